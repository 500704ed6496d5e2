//go:build !old

package sarama

import (
	"strings"
	"testing"

	"github.com/IBM/sarama"
	"millstream.dev/tests/clients/broker"
)

var strategies = map[string]func(*sarama.Config){
	"range":              by(sarama.NewBalanceStrategyRange()),
	"roundrobin":         by(sarama.NewBalanceStrategyRoundRobin()),
	"sticky":             by(sarama.NewBalanceStrategySticky()),
	"cooperative-sticky": by(sarama.NewBalanceStrategyCooperativeSticky()),
}

var codecs = []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP, sarama.CompressionSnappy,
	sarama.CompressionLZ4, sarama.CompressionZSTD}

func tune(*sarama.Config) {}

func by(strategy sarama.BalanceStrategy) func(*sarama.Config) {
	return func(c *sarama.Config) {
		c.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
	}
}

func TestGroups_a_static_member_comes_back_to_its_partitions(t *testing.T) {
	topic, group, admin := topic(t, "static", 4), broker.Name("static"), admin(t)
	node := func(id string) func(*sarama.Config) {
		return func(c *sarama.Config) { c.Consumer.Group.InstanceId = id }
	}
	steady := join(t, group, topic, node("node-1"))
	leaving := join(t, group, topic, node("node-2"))
	broker.WaitUntil(t, "two partitions each", func() bool { return shared(t, admin, group, 2, 2) })
	leaving.leave()
	described, err := admin.DescribeConsumerGroups([]string{group})
	broker.Check(t, err)
	broker.Equal(t, "members while one is away", len(described[0].Members), 2)
	back := join(t, group, topic, node("node-2"))
	fill(t, topic, 0, 100, 4, nil)
	collect(t, 100, steady, back)
	if len(back.read) != 50 {
		t.Fatalf("the one that came back read %d of 50", len(back.read))
	}
}

func transactional(id string) func(*sarama.Config) {
	return func(c *sarama.Config) {
		c.Producer.Idempotent, c.Net.MaxOpenRequests, c.Producer.Transaction.ID = true, 1, id
	}
}

func committed(c *sarama.Config) { c.Consumer.IsolationLevel = sarama.ReadCommitted }

func TestTransactions_read_committed_sees_committed_records_and_never_aborted_ones(t *testing.T) {
	topic := topic(t, "txn", 3)
	sender := producer(t, transactional(broker.Name("txn-id")))
	for round := 0; round < 6; round++ {
		broker.Check(t, sender.BeginTxn())
		prefix, end := "commit-", sender.CommitTxn
		if round%2 == 1 {
			prefix, end = "abort-", sender.AbortTxn
		}
		messages := numbered(topic, round*100, round*100+30, 3)
		for _, message := range messages {
			message.Value = sarama.StringEncoder(prefix + string(message.Value.(sarama.StringEncoder)))
		}
		broker.Check(t, sender.SendMessages(messages))
		broker.Check(t, end())
	}
	for _, message := range readAll(t, topic, 90, sarama.OffsetOldest, committed) {
		if !strings.HasPrefix(string(message.Value), "commit-") {
			t.Fatalf("read %s", message.Value)
		}
	}
	readAll(t, topic, 180, sarama.OffsetOldest, nil)
}

func TestTransactions_offsets_appear_with_the_commit_and_not_with_the_abort(t *testing.T) {
	source, target, group, admin := topic(t, "in", 1), topic(t, "out", 1), broker.Name("copy"), admin(t)
	fill(t, source, 0, 10, 1, nil)
	sender := producer(t, transactional(broker.Name("copier")))
	offset := func() int64 {
		offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{source: {0}})
		broker.Check(t, err)
		return offsets.GetBlock(source, 0).Offset
	}
	step := func(at int64, end func() error) {
		broker.Check(t, sender.BeginTxn())
		broker.Check(t, sender.SendMessages(numbered(target, int(at), int(at)+1, 1)))
		broker.Check(t, sender.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{
			source: {{Partition: 0, Offset: at}}}, group))
		broker.Check(t, end())
	}
	step(4, sender.AbortTxn)
	broker.Equal(t, "offset after an abort", offset(), -1)
	step(10, sender.CommitTxn)
	broker.WaitUntil(t, "the committed offset", func() bool { return offset() == 10 })
	broker.Equal(t, "value", string(readAll(t, target, 1, sarama.OffsetOldest, committed)[0].Value), "v10")
}

func TestAdmin_topic_settings_can_be_altered_one_by_one(t *testing.T) {
	topic, admin := topic(t, "single", 1, "retention.ms", "3600000", "segment.bytes", "2000000"), admin(t)
	altered := "7200000"
	entries := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &altered}}
	broker.Check(t, admin.IncrementalAlterConfig(sarama.TopicResource, topic, entries, false))
	broker.WaitUntil(t, "the new retention", func() bool { return value(t, admin, topic, "retention.ms") == altered })
	broker.Equal(t, "what was not named", value(t, admin, topic, "segment.bytes"), "2000000")
}

// These ask by DescribeConfigs, the old one by version 0, which Kafka 4 dropped (KIP-896).

func TestAdmin_a_topic_is_created_listed_and_deleted(t *testing.T) {
	topic, admin := topic(t, "life", 3), admin(t)
	listed, err := admin.ListTopics()
	broker.Check(t, err)
	broker.Equal(t, "partitions", listed[topic].NumPartitions, 3)
	err = admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	if !strings.Contains(err.Error(), "exists") {
		t.Fatalf("created twice: %v", err)
	}
	broker.Check(t, admin.DeleteTopic(topic))
	broker.WaitUntil(t, "gone from the list", func() bool {
		listed, err := admin.ListTopics()
		broker.Check(t, err)
		_, there := listed[topic]
		return !there
	})
}

func value(t testing.TB, admin sarama.ClusterAdmin, topic, key string) string {
	t.Helper()
	entries, err := admin.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic})
	broker.Check(t, err)
	for _, entry := range entries {
		if entry.Name == key {
			return entry.Value
		}
	}
	return ""
}

func TestAdmin_topic_settings_can_be_read_and_replaced(t *testing.T) {
	topic, admin := topic(t, "configured", 1, "retention.ms", "3600000", "segment.bytes", "2000000"), admin(t)
	broker.Equal(t, "retention", value(t, admin, topic, "retention.ms"), "3600000")
	altered := "7200000"
	broker.Check(t, admin.AlterConfig(sarama.TopicResource, topic, map[string]*string{"retention.ms": &altered}, false))
	broker.WaitUntil(t, "the new retention", func() bool { return value(t, admin, topic, "retention.ms") == altered })
	broker.Equal(t, "what was not named", value(t, admin, topic, "segment.bytes"), "1073741824")
}
