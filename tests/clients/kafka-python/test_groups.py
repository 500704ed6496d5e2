"""Consumer groups: rebalances by every assignor, static members, commits."""

import pytest
from conftest import VERSION
from kafka import TopicPartition
from kafka.structs import OffsetAndMetadata
from servers import wait_until
from test_records import fill

EVERY = {0, 1, 2, 3}


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


def shared(first, second):
    """Whether each has half of the partitions."""
    one, two = first.partitions, second.partitions
    return first.has(one) and second.has(two) and len(one) == len(two) == 2 and one | two == EVERY


@pytest.mark.parametrize("strategy", [
    "range", "roundrobin",
    pytest.param("sticky", marks=pytest.mark.since(2, 0)),
    pytest.param("cooperative-sticky", marks=pytest.mark.since(3, 0)),
])
def test_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(broker, join, strategy):
    topic, group = broker.topic("shared", 4), broker.name("two")
    fill(broker, topic, 100, partitions=4)
    first = join(group, topic, assignor(strategy))
    wait_until(lambda: first.has(EVERY) and len(first.values) == 100, "the first has all")
    second = join(group, topic, assignor(strategy))
    wait_until(lambda: shared(first, second), "two partitions each")
    second.left()
    wait_until(lambda: first.has(EVERY), "the first has all again")
    fill(broker, topic, 200, partitions=4)
    wait_until(lambda: first.has(EVERY) and len(first.values) == 200, "what came later too")
    everything = {TopicPartition(topic, p): 75 for p in EVERY}
    wait_until(lambda: {p: c.offset for p, c in broker.committed(group).items()} == everything, "all committed")


@pytest.mark.since(3, 0)
def test_a_static_member_comes_back_to_its_partitions_without_a_rebalance(broker, join):
    topic, group = broker.topic("static", 4), broker.name("static")
    # One after the other: as leader it gives nothing for a topic that it has no metadata of yet.
    first = join(group, topic, assignor("range"), group_instance_id="node-1")
    wait_until(lambda: first.has(EVERY), "the first has all")
    second = join(group, topic, assignor("range"), group_instance_id="node-2")
    wait_until(lambda: shared(first, second), "two partitions each")
    had, rebalances = second.partitions, first.rebalances
    second.left()
    again = join(group, topic, assignor("range"), group_instance_id="node-2")
    wait_until(lambda: again.has(had), "the same partitions as before")
    members = broker.admin.describe_groups([group])[group]["members"]
    assert sorted(m["group_instance_id"] for m in members) == ["node-1", "node-2"]
    assert shared(first, again) and first.rebalances == rebalances


def test_a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives(broker, join):
    topic, group = broker.topic("resume"), broker.name("resume")
    fill(broker, topic, 20)
    here = TopicPartition(topic, 0)
    consumer = broker.consumer(group_id=group)
    consumer.assign([here])
    consumer.commit({here: position(12)})
    assert consumer.committed(here) == 12
    consumer.close()
    stored = broker.committed(group)[here]
    assert (stored.offset, stored.metadata) == (12, "half way")
    member = join(group, topic, assignor("range"))
    wait_until(lambda: member.has({0}) and len(member.values) == 8, "the rest")
    assert member.values == {b"v%d" % i for i in range(12, 20)}
    wait_until(lambda: broker.committed(group)[here].offset == 20, "all committed")
