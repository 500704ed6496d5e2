// sarama against a running broker, the newest and 1.23 of 2019: what only one
// of them has is in new_test.go and old_test.go.
package sarama

import (
	"context"
	"errors"
	"sort"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"millstream.dev/tests/clients/broker"
)

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.MaxVersion
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	// Kafka's controller has a topic before its broker leads every partition.
	config.Producer.Retry.Max, config.Producer.Retry.Backoff = 100, 50*time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.MaxWaitTime = 50 * time.Millisecond
	config.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	tune(config)
	return config
}

func admin(t testing.TB) sarama.ClusterAdmin {
	t.Helper()
	made, err := sarama.NewClusterAdmin([]string{broker.Address(t)}, config())
	broker.Check(t, err)
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func topic(t testing.TB, what string, partitions int32, configs ...string) string {
	t.Helper()
	name, admin := broker.Name(what), admin(t)
	detail := &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: map[string]*string{}}
	for i := 0; i < len(configs); i += 2 {
		detail.ConfigEntries[configs[i]] = &configs[i+1]
	}
	broker.Check(t, admin.CreateTopic(name, detail, false))
	// Kafka's controller answers before the broker's own view has the topic.
	broker.WaitUntil(t, "topic "+name, func() bool { return partitionsOf(t, admin, name) == int(partitions) })
	return name
}

func partitionsOf(t testing.TB, admin sarama.ClusterAdmin, topic string) int {
	described, err := admin.DescribeTopics([]string{topic})
	broker.Check(t, err)
	found := 0
	for _, partition := range described[0].Partitions {
		if partition.Err == sarama.ErrNoError {
			found++
		}
	}
	return found
}

func producer(t testing.TB, change func(*sarama.Config)) sarama.SyncProducer {
	t.Helper()
	settings := config()
	settings.Producer.Partitioner = sarama.NewManualPartitioner
	if change != nil {
		change(settings)
	}
	made, err := sarama.NewSyncProducer([]string{broker.Address(t)}, settings)
	broker.Check(t, err)
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func numbered(topic string, from, to, partitions int) []*sarama.ProducerMessage {
	var messages []*sarama.ProducerMessage
	for i := from; i < to; i++ {
		messages = append(messages, &sarama.ProducerMessage{
			Topic: topic, Partition: int32(i % partitions), Value: sarama.StringEncoder("v" + strconv.Itoa(i)),
			Timestamp: time.Unix(1_000+int64(i), 0),
		})
	}
	return messages
}

func fill(t testing.TB, topic string, from, to, partitions int, change func(*sarama.Config)) {
	t.Helper()
	broker.Check(t, producer(t, change).SendMessages(numbered(topic, from, to, partitions)))
}

// readAll reads n messages of every partition's from an offset on, in partition order.
func readAll(t testing.TB, topic string, n int, from int64, change func(*sarama.Config)) []*sarama.ConsumerMessage {
	t.Helper()
	settings := config()
	if change != nil {
		change(settings)
	}
	consumer, err := sarama.NewConsumer([]string{broker.Address(t)}, settings)
	broker.Check(t, err)
	defer func() { _ = consumer.Close() }()
	partitions, err := consumer.Partitions(topic)
	broker.Check(t, err)
	all := make(chan *sarama.ConsumerMessage)
	for _, partition := range partitions {
		reader, err := consumer.ConsumePartition(topic, partition, from)
		broker.Check(t, err)
		go func() {
			for message := range reader.Messages() {
				all <- message
			}
		}()
		defer reader.AsyncClose()
	}
	var read []*sarama.ConsumerMessage
	patience := time.After(broker.WaitMax)
	for len(read) < n {
		select {
		case message := <-all:
			read = append(read, message)
		case <-patience:
			t.Fatalf("%d of %d messages of %s", len(read), n, topic)
		}
	}
	select {
	case extra := <-all:
		t.Fatalf("more than %d messages: %s", n, extra.Value)
	case <-time.After(150 * time.Millisecond):
	}
	sort.SliceStable(read, func(i, j int) bool {
		if read[i].Partition != read[j].Partition {
			return read[i].Partition < read[j].Partition
		}
		return read[i].Offset < read[j].Offset
	})
	return read
}

func TestRecords_every_codec_round_trips_keys_values_headers_and_nulls(t *testing.T) {
	for _, codec := range codecs {
		t.Run(codec.String(), func(t *testing.T) {
			topic := topic(t, "codec", 1)
			large := strings.Repeat("abcdefghij", 5000)
			messages := append([]*sarama.ProducerMessage{
				{Topic: topic, Key: sarama.StringEncoder("key"), Value: sarama.StringEncoder(large), Timestamp: time.Unix(1_700_000_000, 0),
					Headers: []sarama.RecordHeader{{Key: []byte("trace"), Value: []byte("a1")}, {Key: []byte("trace"), Value: []byte("a2")}}},
				{Topic: topic},
			}, numbered(topic, 0, 200, 1)...)
			sender := producer(t, func(c *sarama.Config) { c.Producer.Compression = codec })
			broker.Check(t, sender.SendMessages(messages))
			read := readAll(t, topic, 202, sarama.OffsetOldest, nil)
			broker.Equal(t, "key", string(read[0].Key), "key")
			broker.Equal(t, "value", string(read[0].Value), large)
			broker.Equal(t, "time", read[0].Timestamp.Unix(), 1_700_000_000)
			broker.Equal(t, "headers", len(read[0].Headers), 2)
			broker.Equal(t, "header", string(read[0].Headers[1].Value), "a2")
			if read[1].Key != nil || read[1].Value != nil {
				t.Fatalf("nulls came back as %v", read[1])
			}
			for i, message := range read[2:] {
				broker.Equal(t, "value", string(message.Value), "v"+strconv.Itoa(i))
			}
		})
	}
}

func TestRecords_a_consumer_starts_at_an_offset(t *testing.T) {
	topic := topic(t, "positions", 1)
	fill(t, topic, 0, 100, 1, nil)
	broker.Equal(t, "first", string(readAll(t, topic, 40, 60, nil)[0].Value), "v60")
}

func TestRecords_a_message_just_below_the_limit_is_stored_and_one_above_is_refused(t *testing.T) {
	topic := topic(t, "limit", 1, "max.message.bytes", "100000")
	sender := producer(t, nil)
	send := func(n int) error {
		_, _, err := sender.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.ByteEncoder(make([]byte, n))})
		return err
	}
	broker.Check(t, send(99_900))
	if err := send(100_001); !errors.Is(err, sarama.ErrMessageSizeTooLarge) {
		t.Fatalf("a message above the limit: %v", err)
	}
	broker.Check(t, send(5))
	readAll(t, topic, 2, sarama.OffsetOldest, nil)
}

func TestRecords_two_hundred_partitions_are_written_and_read(t *testing.T) {
	topic := topic(t, "wide", 200)
	fill(t, topic, 0, 1000, 200, nil)
	for i, message := range readAll(t, topic, 1000, sarama.OffsetOldest, nil) {
		broker.Equal(t, "partition", int(message.Partition), i/5)
		broker.Equal(t, "offset", int(message.Offset), i%5)
	}
}

func TestRecords_an_idempotent_producer_keeps_the_order(t *testing.T) {
	topic := topic(t, "idempotent", 1)
	fill(t, topic, 0, 1000, 1, func(c *sarama.Config) {
		c.Producer.Idempotent, c.Net.MaxOpenRequests, c.Producer.Flush.MaxMessages = true, 1, 50
	})
	for i, message := range readAll(t, topic, 1000, sarama.OffsetOldest, nil) {
		broker.Equal(t, "value", string(message.Value), "v"+strconv.Itoa(i))
	}
}

// A member that consumes in the background and marks what it has read.
type member struct {
	group sarama.ConsumerGroup
	stop  context.CancelFunc
	done  chan struct{}

	lock sync.Mutex
	read map[string]bool
}

func (m *member) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (m *member) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for message := range claim.Messages() {
		m.lock.Lock()
		m.read[string(message.Value)] = true
		m.lock.Unlock()
		session.MarkMessage(message, "half way")
	}
	return nil
}

// Whether the coordinator has given the members these numbers of partitions, and all is stable.
func shared(t testing.TB, admin sarama.ClusterAdmin, group string, want ...int) bool {
	t.Helper()
	described, err := admin.DescribeConsumerGroups([]string{group})
	broker.Check(t, err)
	if described[0].State != "Stable" || len(described[0].Members) != len(want) {
		return false
	}
	var got []int
	for _, member := range described[0].Members {
		assignment, err := member.GetMemberAssignment()
		broker.Check(t, err)
		count := 0
		for _, partitions := range assignment.Topics {
			count += len(partitions)
		}
		got = append(got, count)
	}
	sort.Ints(got)
	for i := range want {
		if got[i] != want[i] {
			return false
		}
	}
	return true
}

func join(t testing.TB, group, topic string, change func(*sarama.Config)) *member {
	t.Helper()
	settings := config()
	if change != nil {
		change(settings)
	}
	made, err := sarama.NewConsumerGroup([]string{broker.Address(t)}, group, settings)
	broker.Check(t, err)
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{group: made, stop: stop, done: make(chan struct{}), read: map[string]bool{}}
	go func() {
		defer close(joined.done)
		for ctx.Err() == nil {
			_ = made.Consume(ctx, []string{topic}, joined)
		}
	}()
	t.Cleanup(joined.leave)
	return joined
}

func (m *member) leave() {
	m.stop()
	<-m.done
	_ = m.group.Close()
}

func collect(t testing.TB, want int, members ...*member) {
	t.Helper()
	broker.WaitUntil(t, "what was produced", func() bool {
		seen := map[string]bool{}
		for _, m := range members {
			m.lock.Lock()
			for value := range m.read {
				seen[value] = true
			}
			m.lock.Unlock()
		}
		return len(seen) == want
	})
}

func TestGroups_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(t *testing.T) {
	for name, strategy := range strategies {
		t.Run(name, func(t *testing.T) {
			topic, group, admin := topic(t, "shared", 4), broker.Name("two"), admin(t)
			fill(t, topic, 0, 100, 4, nil)
			first := join(t, group, topic, strategy)
			collect(t, 100, first)
			second := join(t, group, topic, strategy)
			broker.WaitUntil(t, "two partitions each", func() bool { return shared(t, admin, group, 2, 2) })
			fill(t, topic, 100, 200, 4, nil)
			collect(t, 200, first, second)
			second.leave()
			broker.WaitUntil(t, "the first has all again", func() bool { return shared(t, admin, group, 4) })
			fill(t, topic, 200, 300, 4, nil)
			collect(t, 300, first, second)
		})
	}
}

func TestGroups_a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives(t *testing.T) {
	topic, group, admin := topic(t, "resume", 1), broker.Name("resume"), admin(t)
	fill(t, topic, 0, 12, 1, nil)
	first := join(t, group, topic, nil)
	collect(t, 12, first)
	first.leave()
	offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	broker.Check(t, err)
	block := offsets.GetBlock(topic, 0)
	broker.Equal(t, "offset", block.Offset, 12)
	broker.Equal(t, "metadata", block.Metadata, "half way")
	fill(t, topic, 12, 20, 1, nil)
	second := join(t, group, topic, nil)
	collect(t, 8, second)
}

func TestAdmin_partitions_can_be_added_and_records_deleted(t *testing.T) {
	topic, admin := topic(t, "growing", 2), admin(t)
	broker.Check(t, admin.CreatePartitions(topic, 5, nil, false))
	broker.WaitUntil(t, "five partitions", func() bool { return partitionsOf(t, admin, topic) == 5 })
	fill(t, topic, 0, 100, 1, nil)
	broker.Check(t, admin.DeleteRecords(topic, map[int32]int64{0: 60}))
	read := readAll(t, topic, 40, sarama.OffsetOldest, nil)
	broker.Equal(t, "first", read[0].Offset, 60)
}

func TestAdmin_a_group_is_listed_described_and_deleted_only_when_empty(t *testing.T) {
	topic, group, admin := topic(t, "described", 2), broker.Name("described"), admin(t)
	fill(t, topic, 0, 10, 2, nil)
	member := join(t, group, topic, nil)
	collect(t, 10, member)
	described, err := admin.DescribeConsumerGroups([]string{group})
	broker.Check(t, err)
	broker.Equal(t, "state", described[0].State, "Stable")
	broker.Equal(t, "members", len(described[0].Members), 1)
	listed, err := admin.ListConsumerGroups()
	broker.Check(t, err)
	broker.Equal(t, "type", listed[group], "consumer")
	if err := admin.DeleteConsumerGroup(group); !errors.Is(err, sarama.ErrNonEmptyGroup) {
		t.Fatalf("deleted with a member: %v", err)
	}
	member.leave()
	broker.Check(t, admin.DeleteConsumerGroup(group))
}

// The old one leaves the largest timestamp of a batch out; the broker works it
// out from the records.
func TestRecords_a_consumer_starts_at_a_time(t *testing.T) {
	topic := topic(t, "times", 1)
	fill(t, topic, 0, 100, 1, nil)
	client, err := sarama.NewClient([]string{broker.Address(t)}, config())
	broker.Check(t, err)
	defer func() { _ = client.Close() }()
	at, err := client.GetOffset(topic, 0, 1_042_000)
	broker.Check(t, err)
	broker.Equal(t, "by time", at, 42)
	newest, err := client.GetOffset(topic, 0, sarama.OffsetNewest)
	broker.Check(t, err)
	broker.Equal(t, "end", newest, 100)
	broker.Equal(t, "first", string(readAll(t, topic, 58, at, nil)[0].Value), "v42")
}
