// kafka-go against a running broker: it asks for ApiVersions 1 whatever the
// broker, and negotiates the rest.
package kafkago

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"millstream.dev/tests/clients/broker"
)

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), broker.WaitMax)
	t.Cleanup(cancel)
	return ctx
}

func client(t testing.TB) *kafka.Client {
	return &kafka.Client{Addr: kafka.TCP(broker.Address(t)), Timeout: broker.WaitMax}
}

func topic(t testing.TB, what string, partitions int, configs ...kafka.ConfigEntry) string {
	t.Helper()
	name := broker.Name(what)
	response, err := client(t).CreateTopics(background(t), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: name, NumPartitions: partitions, ReplicationFactor: 1, ConfigEntries: configs}}})
	broker.Check(t, err)
	broker.Check(t, response.Errors[name])
	// Kafka's controller answers before the broker's own view has the topic.
	broker.WaitUntil(t, "topic "+name, func() bool {
		metadata, err := client(t).Metadata(background(t), &kafka.MetadataRequest{Topics: []string{name}})
		broker.Check(t, err)
		return metadata.Topics[0].Error == nil && len(metadata.Topics[0].Partitions) == partitions
	})
	return name
}

func write(t testing.TB, topic string, change func(*kafka.Writer), messages ...kafka.Message) error {
	t.Helper()
	// Its balancer is asked for every message: the one of the test's own choice.
	writer := &kafka.Writer{Addr: kafka.TCP(broker.Address(t)), Topic: topic, RequiredAcks: kafka.RequireAll,
		BatchTimeout: 5 * time.Millisecond, BatchBytes: 10_000_000, MaxAttempts: 3,
		Balancer: kafka.BalancerFunc(func(m kafka.Message, partitions ...int) int {
			n, _ := strconv.Atoi(strings.TrimPrefix(string(m.Value), "v"))
			return n % len(partitions)
		})}
	if change != nil {
		change(writer)
	}
	defer func() { _ = writer.Close() }()
	return writer.WriteMessages(background(t), messages...)
}

func numbered(from, to int) []kafka.Message {
	var messages []kafka.Message
	for i := from; i < to; i++ {
		messages = append(messages, kafka.Message{Value: []byte("v" + strconv.Itoa(i)), Time: time.Unix(1_000+int64(i), 0)})
	}
	return messages
}

func reader(t testing.TB, settings kafka.ReaderConfig) *kafka.Reader {
	settings.Brokers, settings.MaxWait = []string{broker.Address(t)}, 50*time.Millisecond
	settings.HeartbeatInterval, settings.StartOffset = 200*time.Millisecond, kafka.FirstOffset
	made := kafka.NewReader(settings)
	t.Cleanup(func() { _ = made.Close() })
	return made
}

func read(t testing.TB, reader *kafka.Reader, n int) []kafka.Message {
	t.Helper()
	var messages []kafka.Message
	for len(messages) < n {
		message, err := reader.ReadMessage(background(t))
		broker.Check(t, err)
		messages = append(messages, message)
	}
	return messages
}

func TestRecords_every_codec_round_trips_keys_values_headers_and_nulls(t *testing.T) {
	codecs := map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := topic(t, "codec", 1)
			large := strings.Repeat("abcdefghij", 5000)
			messages := append([]kafka.Message{{Key: []byte("key"), Value: []byte(large), Time: time.Unix(1_700_000_000, 0),
				Headers: []kafka.Header{{Key: "trace", Value: []byte("a1")}, {Key: "trace", Value: []byte("a2")}}}, {}}, numbered(0, 200)...)
			broker.Check(t, write(t, topic, func(w *kafka.Writer) { w.Compression = codec }, messages...))
			got := read(t, reader(t, kafka.ReaderConfig{Topic: topic}), 202)
			broker.Equal(t, "value", string(got[0].Value), large)
			broker.Equal(t, "time", got[0].Time.Unix(), 1_700_000_000)
			broker.Equal(t, "header", string(got[0].Headers[1].Value), "a2")
			if got[1].Key != nil || got[1].Value != nil {
				t.Fatalf("nulls came back as %v", got[1])
			}
			for i, message := range got[2:] {
				broker.Equal(t, "value", string(message.Value), "v"+strconv.Itoa(i))
			}
		})
	}
}

func TestRecords_a_consumer_starts_at_an_offset_and_at_a_time(t *testing.T) {
	topic := topic(t, "positions", 1)
	broker.Check(t, write(t, topic, nil, numbered(0, 100)...))
	at := reader(t, kafka.ReaderConfig{Topic: topic})
	broker.Check(t, at.SetOffset(60))
	broker.Equal(t, "by offset", read(t, at, 1)[0].Offset, 60)
	broker.Check(t, at.SetOffsetAt(background(t), time.Unix(1_042, 0)))
	broker.Equal(t, "by time", read(t, at, 1)[0].Offset, 42)
}

func TestRecords_a_message_just_below_the_limit_is_stored_and_one_above_is_refused(t *testing.T) {
	topic := topic(t, "limit", 1, kafka.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: "100000"})
	broker.Check(t, write(t, topic, nil, kafka.Message{Value: make([]byte, 99_900)}))
	err := write(t, topic, nil, kafka.Message{Value: make([]byte, 100_001)})
	var refused kafka.WriteErrors
	if !errors.As(err, &refused) || !errors.Is(refused[0], kafka.MessageSizeTooLarge) {
		t.Fatalf("a message above the limit: %v", err)
	}
	broker.Check(t, write(t, topic, nil, kafka.Message{Value: []byte("small")}))
	broker.Equal(t, "second", len(read(t, reader(t, kafka.ReaderConfig{Topic: topic}), 2)[1].Value), 5)
}

func TestGroups_a_second_member_takes_over_when_the_first_leaves_and_nothing_is_lost(t *testing.T) {
	balancers := map[string]kafka.GroupBalancer{"range": kafka.RangeGroupBalancer{}, "roundrobin": kafka.RoundRobinGroupBalancer{}}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			topic, group := topic(t, "shared", 4), broker.Name("two")
			settings := kafka.ReaderConfig{GroupID: group, Topic: topic, GroupBalancers: []kafka.GroupBalancer{balancer},
				RebalanceTimeout: 5 * time.Second, JoinGroupBackoff: 100 * time.Millisecond}
			broker.Check(t, write(t, topic, nil, numbered(0, 100)...))
			first := reader(t, settings)
			read(t, first, 100)
			second := reader(t, settings)
			broker.WaitUntil(t, "two partitions each", func() bool {
				described, err := client(t).DescribeGroups(background(t), &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
				broker.Check(t, err)
				members := described.Groups[0].Members
				return described.Groups[0].GroupState == "Stable" && len(members) == 2 &&
					len(members[0].MemberAssignments.Topics[0].Partitions) == 2
			})
			broker.Check(t, first.Close())
			broker.Check(t, write(t, topic, nil, numbered(100, 200)...))
			// A commit that met the rebalance may be lost, and what it was for is read again.
			late := map[string]bool{}
			for len(late) < 100 {
				if value := string(read(t, second, 1)[0].Value); len(value) == len("v100") {
					late[value] = true
				}
			}
		})
	}
}

func TestAdmin_settings_offsets_and_deletion(t *testing.T) {
	topic := topic(t, "admin", 1)
	broker.Check(t, write(t, topic, nil, numbered(0, 10)...))
	described, err := client(t).DescribeConfigs(background(t), &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"segment.ms"}}}})
	broker.Check(t, err)
	broker.Equal(t, "segment.ms", described.Resources[0].ConfigEntries[0].ConfigValue, "604800000")
	offsets, err := client(t).ListOffsets(background(t), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	broker.Check(t, err)
	broker.Equal(t, "end", offsets.Topics[topic][0].LastOffset, 10)
	deleted, err := client(t).DeleteTopics(background(t), &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	broker.Check(t, err)
	broker.Check(t, deleted.Errors[topic])
}
