package franz

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"millstream.dev/tests/clients/broker"
)

// A member that polls in the background and commits what it has read.
type member struct {
	client *kgo.Client
	read   chan string
	stop   context.CancelFunc
	done   chan struct{}
}

func join(t testing.TB, group, topic string, options ...kgo.Opt) *member {
	t.Helper()
	all := append([]kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(200 * time.Millisecond)}, options...)
	ctx, stop := context.WithCancel(context.Background())
	joined := &member{client(t, all...), make(chan string, 10_000), stop, make(chan struct{})}
	go func() {
		defer close(joined.done)
		for ctx.Err() == nil {
			records := joined.client.PollFetches(ctx).Records()
			for _, record := range records {
				joined.read <- string(record.Value)
			}
			// Refused in the middle of a rebalance: then it is read again.
			_ = joined.client.CommitRecords(ctx, records...)
		}
	}()
	t.Cleanup(joined.leave)
	return joined
}

func (m *member) leave() {
	m.stop()
	<-m.done
	m.client.Close()
}

// What the coordinator has assigned to each member, by its number of partitions; nil unless stable.
func shares(t testing.TB, client *kgo.Client, group string) []int {
	request := kmsg.NewPtrDescribeGroupsRequest()
	request.Groups = []string{group}
	response, err := request.RequestWith(background(t), client)
	broker.Check(t, err)
	if response.Groups[0].State != "Stable" {
		return nil
	}
	counts := []int{}
	for _, member := range response.Groups[0].Members {
		assignment := kmsg.NewConsumerMemberAssignment()
		if err := assignment.ReadFrom(member.MemberAssignment); err != nil {
			t.Fatal(err)
		}
		count := 0
		for _, topic := range assignment.Topics {
			count += len(topic.Partitions)
		}
		counts = append(counts, count)
	}
	return counts
}

func collect(t testing.TB, seen map[string]bool, want int, members ...*member) {
	t.Helper()
	broker.WaitUntil(t, "what was produced", func() bool {
		for _, m := range members {
			for len(m.read) > 0 {
				seen[<-m.read] = true
			}
		}
		return len(seen) == want
	})
}

func TestGroups_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(t *testing.T) {
	balancers := map[string]kgo.GroupBalancer{
		"range": kgo.RangeBalancer(), "roundrobin": kgo.RoundRobinBalancer(),
		"sticky": kgo.StickyBalancer(), "cooperative-sticky": kgo.CooperativeStickyBalancer(),
	}
	for name, balancer := range balancers {
		t.Run(name, func(t *testing.T) {
			topic, group, admin := topic(t, "shared", 4), broker.Name("two"), client(t)
			fill(t, topic, 0, 100, 4)
			seen := map[string]bool{}
			first := join(t, group, topic, kgo.Balancers(balancer))
			collect(t, seen, 100, first)
			second := join(t, group, topic, kgo.Balancers(balancer))
			broker.WaitUntil(t, "two partitions each", func() bool {
				counts := shares(t, admin, group)
				return len(counts) == 2 && counts[0] == 2 && counts[1] == 2
			})
			fill(t, topic, 100, 200, 4)
			collect(t, seen, 200, first, second)
			second.leave()
			broker.WaitUntil(t, "the first has all again", func() bool {
				counts := shares(t, admin, group)
				return len(counts) == 1 && counts[0] == 4
			})
			fill(t, topic, 200, 300, 4)
			collect(t, seen, 300, first)
		})
	}
}

func TestGroups_a_static_member_comes_back_without_a_rebalance(t *testing.T) {
	topic, group, admin := topic(t, "static", 4), broker.Name("static"), client(t)
	steady := join(t, group, topic, kgo.InstanceID("node-1"))
	leaving := join(t, group, topic, kgo.InstanceID("node-2"))
	settled := func() bool { return len(shares(t, admin, group)) == 2 && generation(steady) == generation(leaving) }
	broker.WaitUntil(t, "two members", settled)
	before := generation(steady)
	leaving.leave()
	broker.Equal(t, "members while one is away", len(shares(t, admin, group)), 2)
	back := join(t, group, topic, kgo.InstanceID("node-2"))
	broker.WaitUntil(t, "it is back", func() bool { return generation(back) == before })
	broker.Equal(t, "generation", generation(steady), before)
}

func generation(m *member) int32 {
	_, generation := m.client.GroupMetadata()
	return generation
}

func TestGroups_a_consumer_resumes_at_the_committed_offset(t *testing.T) {
	topic, group := topic(t, "resume", 1), broker.Name("resume")
	fill(t, topic, 0, 20, 1)
	group1 := []kgo.Opt{kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	first := client(t, group1...)
	var read []*kgo.Record
	for len(read) < 20 {
		read = append(read, poll(t, first)...)
	}
	broker.Check(t, first.CommitRecords(background(t), read[11]))
	first.Close()
	second := client(t, group1...)
	read = nil
	for len(read) < 8 {
		read = append(read, poll(t, second)...)
	}
	equalValues(t, read, numbered("v", 12, 20))
}
