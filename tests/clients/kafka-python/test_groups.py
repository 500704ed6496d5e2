"""Consumer groups: rebalances by every assignor, static members, commits."""

import pytest
from kafka import TopicPartition
from kafka.errors import CommitFailedError, KafkaError
from kafka.structs import OffsetAndMetadata
from servers import wait_until
from test_records import fill
from conftest import VERSION


def assignor(name):
    if name == "cooperative-sticky":
        from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
        return CooperativeStickyAssignor
    if name == "sticky":
        from kafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
        return StickyPartitionAssignor
    if name == "range":
        from kafka.coordinator.assignors.range import RangePartitionAssignor
        return RangePartitionAssignor
    from kafka.coordinator.assignors.roundrobin import RoundRobinPartitionAssignor
    return RoundRobinPartitionAssignor


def position(offset):
    # The leader's epoch came with 2.1.
    return OffsetAndMetadata(offset, "half way", -1) if VERSION >= (2, 1) else OffsetAndMetadata(offset, "half way")


class Member:
    """A group member that is driven by `turn`, all members in one thread."""

    def __init__(self, broker, group, topic, strategy="range", **settings):
        self.consumer = broker.consumer(
            topic, group_id=group, partition_assignment_strategy=[assignor(strategy)],
            session_timeout_ms=10_000, heartbeat_interval_ms=300, **settings)
        self.values = set()

    def turn(self):
        for records in self.consumer.poll(300).values():
            self.values.update(m.value for m in records)
        try:
            self.consumer.commit()
        except CommitFailedError:
            pass  # In the middle of a rebalance: the next turn commits.
        except KafkaError as error:
            assert error.retriable or "ebalance" in repr(error), error
        return {p.partition for p in self.consumer.assignment()}


def turns(members):
    """One turn of each at the same time: a poll may block until the others have joined too."""
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(len(members)) as pool:
        return list(pool.map(Member.turn, members))


@pytest.mark.parametrize("strategy", [
    "range", "roundrobin",
    pytest.param("sticky", marks=pytest.mark.since(2, 0)),
    pytest.param("cooperative-sticky", marks=pytest.mark.since(3, 0)),
])
def test_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(broker, strategy):
    topic, group = broker.topic("shared", 4), broker.name("two")
    fill(broker, topic, 100, partitions=4)
    first = Member(broker, group, topic, strategy)
    wait_until(lambda: first.turn() == {0, 1, 2, 3} and len(first.values) == 100, "the first has all")
    second = Member(broker, group, topic, strategy)

    def shared():
        one, two = turns([first, second])
        return len(one) == 2 and len(two) == 2 and one | two == {0, 1, 2, 3}

    wait_until(shared, "two partitions each")
    second.consumer.close()
    wait_until(lambda: first.turn() == {0, 1, 2, 3}, "the first has all again")
    fill(broker, topic, 200, partitions=4)
    wait_until(lambda: first.turn() and len(first.values) == 200, "what came later too")
    first.turn()
    committed = [first.consumer.committed(TopicPartition(topic, p)) for p in range(4)]
    assert sum(committed) == 300
    first.consumer.close()


@pytest.mark.since(3, 0)
def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(broker):
    topic, group = broker.topic("static", 4), broker.name("static")
    # One after the other: as leader it gives nothing for a topic that it has no metadata of yet.
    members = [Member(broker, group, topic, group_instance_id="node-1")]
    wait_until(lambda: members[0].turn() == {0, 1, 2, 3}, "the first has all")
    members.append(Member(broker, group, topic, group_instance_id="node-2"))

    def shared():
        one, two = turns(members)
        return len(one) == 2 and len(two) == 2 and one | two == {0, 1, 2, 3}

    wait_until(shared, "two partitions each")
    before = broker.admin.describe_groups([group])[group]
    had = turns(members)[1]
    members[1].consumer.close()
    members[1] = Member(broker, group, topic, group_instance_id="node-2")
    wait_until(lambda: turns(members)[1] == had, "the same partitions as before")
    after = broker.admin.describe_groups([group])[group]
    instances = [sorted(m["group_instance_id"] for m in g["members"]) for g in (before, after)]
    assert instances == [["node-1", "node-2"]] * 2
    for member in members:
        member.consumer.close()


def test_a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives(broker):
    topic, group = broker.topic("resume"), broker.name("resume")
    fill(broker, topic, 20)
    here = TopicPartition(topic, 0)
    consumer = broker.consumer(group_id=group)
    consumer.assign([here])
    consumer.commit({here: position(12)})
    consumer.close()
    member = Member(broker, group, topic)
    metadata = member.consumer.committed(here, metadata=True) if VERSION >= (2, 0) else None
    if metadata is not None:
        assert (metadata.offset, metadata.metadata) == (12, "half way")
    wait_until(lambda: member.turn() and len(member.values) == 8, "the rest")
    assert member.values == {b"v%d" % i for i in range(12, 20)}
    assert member.consumer.committed(here) == 20
    member.consumer.close()
