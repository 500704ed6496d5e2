// franz-go against a running broker, the newest and an old minor (there is no
// major but the first): what only the newest has is in new_test.go.
package franz

import (
	"context"
	"slices"
	"sort"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"millstream.dev/tests/clients/broker"
)

func background(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), broker.WaitMax)
	t.Cleanup(cancel)
	return ctx
}

func client(t testing.TB, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	all := []kgo.Opt{kgo.SeedBrokers(broker.Address(t)), kgo.FetchMaxWait(50 * time.Millisecond)}
	made, err := kgo.NewClient(append(all, options...)...)
	broker.Check(t, err)
	t.Cleanup(made.Close)
	return made
}

func topic(t testing.TB, what string, partitions int32, configs ...string) string {
	t.Helper()
	name, admin := broker.Name(what), client(t)
	wanted := kmsg.NewCreateTopicsRequestTopic()
	wanted.Topic, wanted.NumPartitions, wanted.ReplicationFactor = name, partitions, 1
	for i := 0; i < len(configs); i += 2 {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = configs[i], &configs[i+1]
		wanted.Configs = append(wanted.Configs, config)
	}
	request := kmsg.NewPtrCreateTopicsRequest()
	request.TimeoutMillis = 10_000
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(background(t), admin)
	broker.Check(t, err)
	broker.Check(t, kerr.ErrorForCode(response.Topics[0].ErrorCode))
	// Kafka's controller answers before the broker's own view has the topic.
	broker.WaitUntil(t, "topic "+name, func() bool { return partitionsOf(t, admin, name) == int(partitions) })
	return name
}

// How many partitions with a leader the metadata tells of.
func partitionsOf(t testing.TB, client *kgo.Client, topic string) int {
	request := kmsg.NewPtrMetadataRequest()
	asked := kmsg.NewMetadataRequestTopic()
	asked.Topic = kmsg.StringPtr(topic)
	request.Topics = append(request.Topics, asked)
	response, err := request.RequestWith(background(t), client)
	broker.Check(t, err)
	found := 0
	for _, partition := range response.Topics[0].Partitions {
		if partition.ErrorCode == 0 {
			found++
		}
	}
	return found
}

func fill(t testing.TB, topic string, from, to, partitions int, options ...kgo.Opt) {
	t.Helper()
	producer := client(t, append([]kgo.Opt{kgo.RecordPartitioner(kgo.ManualPartitioner())}, options...)...)
	var records []*kgo.Record
	for i := from; i < to; i++ {
		records = append(records, &kgo.Record{
			Topic: topic, Partition: int32(i % partitions), Value: []byte("v" + strconv.Itoa(i)),
			Timestamp: time.UnixMilli(int64(1_000_000 + i)),
		})
	}
	broker.Check(t, producer.ProduceSync(background(t), records...).FirstErr())
}

// readAll reads n records, in partition order, and no more are there at that isolation.
func readAll(t testing.TB, topic string, partitions, n int, at kgo.Offset, options ...kgo.Opt) []*kgo.Record {
	t.Helper()
	starts := map[int32]kgo.Offset{}
	for p := 0; p < partitions; p++ {
		starts[int32(p)] = at
	}
	all := append([]kgo.Opt{kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: starts})}, options...)
	consumer := client(t, all...)
	var read []*kgo.Record
	for len(read) < n {
		read = append(read, poll(t, consumer)...)
	}
	short, cancel := context.WithTimeout(context.Background(), 150*time.Millisecond)
	defer cancel()
	broker.Equal(t, "records beyond those expected", len(consumer.PollFetches(short).Records()), 0)
	broker.Equal(t, "records", len(read), n)
	sort.SliceStable(read, func(i, j int) bool {
		if read[i].Partition != read[j].Partition {
			return read[i].Partition < read[j].Partition
		}
		return read[i].Offset < read[j].Offset
	})
	return read
}

func poll(t testing.TB, consumer *kgo.Client) []*kgo.Record {
	t.Helper()
	fetches := consumer.PollFetches(background(t))
	for _, failed := range fetches.Errors() {
		t.Fatalf("%s-%d: %v", failed.Topic, failed.Partition, failed.Err)
	}
	return fetches.Records()
}

func values(records []*kgo.Record) []string {
	var all []string
	for _, record := range records {
		all = append(all, string(record.Value))
	}
	return all
}

func numbered(prefix string, from, to int) []string {
	var all []string
	for i := from; i < to; i++ {
		all = append(all, prefix+strconv.Itoa(i))
	}
	return all
}

func equalValues(t testing.TB, records []*kgo.Record, want []string) {
	t.Helper()
	if got := values(records); !slices.Equal(got, want) {
		t.Fatalf("values: got %v, want %v", got, want)
	}
}
