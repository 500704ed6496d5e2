package franz

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"millstream.dev/tests/clients/broker"
)

func TestRecords_every_codec_round_trips_keys_values_headers_and_nulls(t *testing.T) {
	codecs := map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			topic := topic(t, "codec", 1)
			producer := client(t, kgo.ProducerBatchCompression(codec), kgo.ProducerLinger(20*time.Millisecond))
			large := strings.Repeat("abcdefghij", 5000)
			full := &kgo.Record{Topic: topic, Key: []byte("key"), Value: []byte(large), Timestamp: time.UnixMilli(1_700_000_000_123),
				Headers: []kgo.RecordHeader{{Key: "trace", Value: []byte("a1")}, {Key: "trace", Value: []byte("a2")}, {Key: "empty", Value: []byte{}}, {Key: "null"}}}
			records := []*kgo.Record{full, {Topic: topic}, {Topic: topic, Value: []byte("订单")}}
			for _, value := range numbered("v", 0, 200) {
				records = append(records, &kgo.Record{Topic: topic, Key: []byte("k"), Value: []byte(value)})
			}
			broker.Check(t, producer.ProduceSync(background(t), records...).FirstErr())
			read := readAll(t, topic, 1, 203, kgo.NewOffset().AtStart())
			broker.Equal(t, "value", string(read[0].Value), large)
			broker.Equal(t, "timestamp", read[0].Timestamp.UnixMilli(), 1_700_000_000_123)
			broker.Equal(t, "headers", len(read[0].Headers), 4)
			for i, header := range read[0].Headers {
				broker.Equal(t, "header", header.Key, full.Headers[i].Key)
				if !bytes.Equal(header.Value, full.Headers[i].Value) || (header.Value == nil) != (i == 3) {
					t.Fatalf("header %s: %v", header.Key, header.Value)
				}
			}
			if read[1].Key != nil || read[1].Value != nil {
				t.Fatalf("nulls came back as %v", read[1])
			}
			broker.Equal(t, "value", string(read[2].Value), "订单")
			equalValues(t, read[3:], numbered("v", 0, 200))
		})
	}
}

func TestRecords_a_consumer_starts_at_an_offset_and_at_a_time(t *testing.T) {
	topic := topic(t, "positions", 1)
	fill(t, topic, 0, 100, 1)
	equalValues(t, readAll(t, topic, 1, 40, kgo.NewOffset().At(60)), numbered("v", 60, 100))
	equalValues(t, readAll(t, topic, 1, 10, kgo.NewOffset().AtEnd().Relative(-10)), numbered("v", 90, 100))
	// This client finds the offset of a time by ListOffsets.
	request := kmsg.NewPtrListOffsetsRequest()
	asked, partition := kmsg.NewListOffsetsRequestTopic(), kmsg.NewListOffsetsRequestTopicPartition()
	asked.Topic, partition.Timestamp = topic, 1_000_042
	asked.Partitions = append(asked.Partitions, partition)
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(background(t), client(t))
	broker.Check(t, err)
	found := response.Topics[0].Partitions[0]
	broker.Equal(t, "error", found.ErrorCode, 0)
	broker.Equal(t, "timestamp", found.Timestamp, 1_000_042)
	equalValues(t, readAll(t, topic, 1, 58, kgo.NewOffset().At(found.Offset)), numbered("v", 42, 100))
}

func TestRecords_a_message_just_below_the_limit_is_stored_and_one_above_is_refused(t *testing.T) {
	topic := topic(t, "limit", 1, "max.message.bytes", "100000")
	producer := client(t, kgo.ProducerBatchCompression(kgo.NoCompression()))
	send := func(n int) error {
		record := &kgo.Record{Topic: topic, Value: bytes.Repeat([]byte("x"), n)}
		return producer.ProduceSync(background(t), record).FirstErr()
	}
	broker.Check(t, send(99_900))
	if err := send(100_001); !errors.Is(err, kerr.MessageTooLarge) {
		t.Fatalf("a message above the limit: %v", err)
	}
	broker.Check(t, send(5))
	readAll(t, topic, 1, 2, kgo.NewOffset().AtStart())
}

func TestRecords_two_hundred_partitions_are_written_and_read(t *testing.T) {
	topic := topic(t, "wide", 200)
	fill(t, topic, 0, 1000, 200)
	read := readAll(t, topic, 200, 1000, kgo.NewOffset().AtStart())
	for i, record := range read {
		broker.Equal(t, "partition", int(record.Partition), i/5)
		broker.Equal(t, "offset", int(record.Offset), i%5)
	}
}

func TestRecords_acks_of_the_leader_and_of_nobody_are_stored_too(t *testing.T) {
	for name, acks := range map[string]kgo.Acks{"leader": kgo.LeaderAck(), "nobody": kgo.NoAck()} {
		t.Run(name, func(t *testing.T) {
			topic := topic(t, "acks", 1)
			fill(t, topic, 0, 100, 1, kgo.RequiredAcks(acks), kgo.DisableIdempotentWrite())
			equalValues(t, readAll(t, topic, 1, 100, kgo.NewOffset().AtStart()), numbered("v", 0, 100))
		})
	}
}

func TestTransactions_read_committed_sees_committed_records_and_never_aborted_ones(t *testing.T) {
	topic := topic(t, "txn", 3)
	producer := client(t, kgo.TransactionalID(broker.Name("txn-id")))
	for round := 0; round < 6; round++ {
		broker.Check(t, producer.BeginTransaction())
		prefix, end := "commit-", kgo.TryCommit
		if round%2 == 1 {
			prefix, end = "abort-", kgo.TryAbort
		}
		var records []*kgo.Record
		for _, value := range numbered(prefix, round*100, round*100+30) {
			records = append(records, &kgo.Record{Topic: topic, Value: []byte(value)})
		}
		broker.Check(t, producer.ProduceSync(background(t), records...).FirstErr())
		broker.Check(t, producer.EndTransaction(background(t), end))
	}
	seen := map[string]bool{}
	for _, value := range values(readAll(t, topic, 3, 90, kgo.NewOffset().AtStart(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))) {
		if !strings.HasPrefix(value, "commit-") || seen[value] {
			t.Fatalf("read %s", value)
		}
		seen[value] = true
	}
	readAll(t, topic, 3, 180, kgo.NewOffset().AtStart())
}

func TestTransactions_a_group_copies_a_topic_exactly_once(t *testing.T) {
	source, target, group := topic(t, "in", 2), topic(t, "out", 1), broker.Name("copy")
	fill(t, source, 0, 100, 2)
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(broker.Address(t)), kgo.TransactionalID(broker.Name("copier")), kgo.ConsumerGroup(group),
		kgo.ConsumeTopics(source), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.DefaultProduceTopic(target),
		kgo.FetchMaxWait(50*time.Millisecond), kgo.RequireStableFetchOffsets())
	broker.Check(t, err)
	defer session.Close()
	copied := 0
	for aborted := false; copied < 100; {
		fetches := session.PollFetches(background(t))
		broker.Check(t, fetches.Err())
		broker.Check(t, session.Begin())
		for _, record := range fetches.Records() {
			session.Produce(background(t), &kgo.Record{Value: record.Value}, nil)
		}
		// The first try is thrown away, and what it read is read again.
		committed, err := session.End(background(t), kgo.TransactionEndTry(aborted))
		broker.Check(t, err)
		if committed {
			copied += fetches.NumRecords()
		}
		aborted = true
	}
	seen := map[string]bool{}
	for _, value := range values(readAll(t, target, 1, 100, kgo.NewOffset().AtStart(), kgo.FetchIsolationLevel(kgo.ReadCommitted()))) {
		seen[value] = true
	}
	broker.Equal(t, "different values", len(seen), 100)
}
