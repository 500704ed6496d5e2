//go:build !old

package franz

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"millstream.dev/tests/clients/broker"
)

// The old one takes CONCURRENT_TRANSACTIONS, with which the older's transaction is waited for, as its end.
func TestTransactions_a_newer_producer_of_the_same_id_fences_the_older(t *testing.T) {
	topic, id := topic(t, "fence", 1), broker.Name("fenced-id")
	older := client(t, kgo.TransactionalID(id))
	broker.Check(t, older.BeginTransaction())
	broker.Check(t, older.ProduceSync(background(t), &kgo.Record{Topic: topic, Value: []byte("older")}).FirstErr())
	newer := client(t, kgo.TransactionalID(id))
	broker.Check(t, newer.BeginTransaction())
	broker.Check(t, newer.ProduceSync(background(t), &kgo.Record{Topic: topic, Value: []byte("newer")}).FirstErr())
	err := older.ProduceSync(background(t), &kgo.Record{Topic: topic, Value: []byte("too late")}).FirstErr()
	if err == nil {
		err = older.EndTransaction(background(t), kgo.TryCommit)
	}
	if !errors.Is(err, kerr.InvalidProducerEpoch) && !errors.Is(err, kerr.ProducerFenced) {
		t.Fatalf("the older went on: %v", err)
	}
	broker.Check(t, newer.EndTransaction(background(t), kgo.TryCommit))
	equalValues(t, readAll(t, topic, 1, 1, kgo.NewOffset().AtStart(), kgo.FetchIsolationLevel(kgo.ReadCommitted())), []string{"newer"})
}

func admin(t testing.TB) *kadm.Client { return kadm.NewClient(client(t)) }

func TestAdmin_a_topic_is_created_listed_and_deleted(t *testing.T) {
	topic, admin := topic(t, "life", 3), admin(t)
	listed, err := admin.ListTopics(background(t), topic)
	broker.Check(t, err)
	broker.Equal(t, "partitions", len(listed[topic].Partitions), 3)
	_, err = admin.CreateTopic(background(t), 1, 1, nil, topic)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		t.Fatalf("created twice: %v", err)
	}
	_, err = admin.DeleteTopic(background(t), topic)
	broker.Check(t, err)
	broker.WaitUntil(t, "gone from the list", func() bool {
		listed, err := admin.ListTopics(background(t))
		broker.Check(t, err)
		return !listed.Has(topic)
	})
	_, err = admin.DeleteTopic(background(t), topic)
	if !errors.Is(err, kerr.UnknownTopicOrPartition) {
		t.Fatalf("deleted twice: %v", err)
	}
}

func TestAdmin_topic_settings_can_be_read_and_altered_one_by_one(t *testing.T) {
	topic, admin := topic(t, "configured", 1, "retention.ms", "3600000", "segment.bytes", "2000000"), admin(t)
	value := func(key string) string {
		described, err := admin.DescribeTopicConfigs(background(t), topic)
		broker.Check(t, err)
		for _, config := range described[0].Configs {
			if config.Key == key {
				return config.MaybeValue()
			}
		}
		return ""
	}
	broker.Equal(t, "retention", value("retention.ms"), "3600000")
	altered := "7200000"
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &altered}}
	responses, err := admin.AlterTopicConfigs(background(t), set, topic)
	broker.Check(t, err)
	broker.Check(t, responses[0].Err)
	broker.WaitUntil(t, "the new retention", func() bool { return value("retention.ms") == altered })
	broker.Equal(t, "what was not named", value("segment.bytes"), "2000000")
}

func TestAdmin_partitions_can_be_added(t *testing.T) {
	topic, admin := topic(t, "growing", 2), admin(t)
	responses, err := admin.CreatePartitions(background(t), 3, topic)
	broker.Check(t, err)
	broker.Check(t, responses.Error())
	broker.WaitUntil(t, "five partitions", func() bool { return partitionsOf(t, client(t), topic) == 5 })
}

func TestAdmin_offsets_are_listed_and_deleted_records_are_gone(t *testing.T) {
	topic, admin := topic(t, "purged", 1), admin(t)
	fill(t, topic, 0, 100, 1)
	offset := func(listed kadm.ListedOffsets, err error) int64 {
		t.Helper()
		broker.Check(t, err)
		broker.Check(t, listed.Error())
		found, _ := listed.Lookup(topic, 0)
		return found.Offset
	}
	broker.Equal(t, "end", offset(admin.ListEndOffsets(background(t), topic)), 100)
	broker.Equal(t, "largest time", offset(admin.ListMaxTimestampOffsets(background(t), topic)), 99)
	broker.Equal(t, "by time", offset(admin.ListOffsetsAfterMilli(background(t), 1_000_042, topic)), 42)
	var wanted kadm.Offsets
	wanted.AddOffset(topic, 0, 60, -1)
	deleted, err := admin.DeleteRecords(background(t), wanted)
	broker.Check(t, err)
	broker.Check(t, deleted.Error())
	broker.Equal(t, "start", offset(admin.ListStartOffsets(background(t), topic)), 60)
}

func TestAdmin_a_group_is_described_its_offsets_read_and_it_is_deleted_only_when_empty(t *testing.T) {
	topic, group, admin := topic(t, "described", 2), broker.Name("described"), admin(t)
	fill(t, topic, 0, 10, 2)
	member := join(t, group, topic)
	collect(t, map[string]bool{}, 10, member)
	state := func() string {
		described, err := admin.DescribeGroups(background(t), group)
		broker.Check(t, err)
		return described[group].State
	}
	broker.Equal(t, "state", state(), "Stable")
	broker.WaitUntil(t, "all committed", func() bool {
		committed, err := admin.FetchOffsets(background(t), group)
		broker.Check(t, err)
		sum := int64(0)
		committed.Each(func(o kadm.OffsetResponse) { sum += o.At })
		return sum == 10
	})
	refused, err := admin.DeleteGroups(background(t), group)
	broker.Check(t, err)
	if !errors.Is(refused[group].Err, kerr.NonEmptyGroup) {
		t.Fatalf("deleted with a member: %v", refused[group].Err)
	}
	member.leave()
	broker.Equal(t, "state", state(), "Empty")
	deleted, err := admin.DeleteGroups(background(t), group)
	broker.Check(t, err)
	broker.Check(t, deleted.Error())
}
