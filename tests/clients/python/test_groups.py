"""Consumer groups: rebalance, committed offsets, the administrator's view."""

import pytest
from confluent_kafka import (ConsumerGroupState, ConsumerGroupTopicPartitions, KafkaError,
                             KafkaException, TopicPartition)
from servers import wait_until


def produce(broker, topic, partitions, first, last):
    producer = broker.producer()
    for i in range(first, last):
        producer.produce(topic, value=f"v{i}", partition=i % partitions)
    assert producer.flush(30) == 0


class Member:
    """A group member that is driven by `turn`, all members in one thread."""

    def __init__(self, broker, group, topic, strategy):
        self.consumer = broker.consumer(
            group_id=group, partition_assignment_strategy=strategy,
            session_timeout_ms=10_000, heartbeat_interval_ms=300)
        self.values = set()
        self.consumer.subscribe([topic])

    def turn(self):
        for message in self.consumer.consume(200, 0.05):
            assert message.error() is None, message.error()
            self.values.add(message.value().decode())
        try:
            self.consumer.commit(asynchronous=False)
        except KafkaException as error:
            # Nothing new to commit, or in the middle of a rebalance: the next turn does it.
            expected = (KafkaError._NO_OFFSET, KafkaError.REBALANCE_IN_PROGRESS,
                        KafkaError.ILLEGAL_GENERATION, KafkaError.UNKNOWN_MEMBER_ID)
            assert error.args[0].code() in expected, error
        return {p.partition for p in self.consumer.assignment()}


@pytest.mark.parametrize("strategy", ["range", "cooperative-sticky"])
def test_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(broker, strategy):
    topic, group = broker.topic("shared", 4), broker.name("two")
    produce(broker, topic, 4, 0, 100)
    first = Member(broker, group, topic, strategy)
    wait_until(lambda: first.turn() == {0, 1, 2, 3} and len(first.values) == 100, "the first has all")

    second = Member(broker, group, topic, strategy)

    def shared():
        one, two = first.turn(), second.turn()
        return len(one) == 2 and len(two) == 2 and one | two == {0, 1, 2, 3}

    wait_until(shared, "two partitions each")
    produce(broker, topic, 4, 100, 200)
    wait_until(lambda: (first.turn(), second.turn()) and len(first.values | second.values) == 200,
               "the second hundred between the two")
    assert len(second.values) >= 50
    second.consumer.close()

    wait_until(lambda: first.turn() == {0, 1, 2, 3}, "the first has all again")
    produce(broker, topic, 4, 200, 300)
    wait_until(lambda: first.turn() and len([v for v in first.values if int(v[1:]) >= 200]) == 100,
               "the last hundred")
    first.turn()
    committed = first.consumer.committed([TopicPartition(topic, p) for p in range(4)], 30)
    assert sum(p.offset for p in committed) == 300
    first.consumer.close()


def test_a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives(broker):
    topic, group = broker.topic("resume"), broker.name("resume")
    produce(broker, topic, 1, 0, 20)
    consumer = broker.consumer(group_id=group)
    consumer.commit(offsets=[TopicPartition(topic, 0, 12, "half way")], asynchronous=False)
    consumer.close()
    consumer = broker.consumer(group_id=group)
    try:
        committed = consumer.committed([TopicPartition(topic, 0)], 30)[0]
        assert (committed.offset, committed.metadata) == (12, "half way")
        consumer.subscribe([topic])
        read = []
        wait_until(lambda: read.extend(consumer.consume(20, 0.2)) or len(read) == 8, "the rest")
        assert read[0].value() == b"v12"
    finally:
        consumer.close()


def test_groups_are_listed_described_and_deleted_only_when_empty(broker):
    topic, group = broker.topic("described", 2), broker.name("described")
    produce(broker, topic, 2, 0, 10)
    member = Member(broker, group, topic, "range")
    wait_until(lambda: member.turn() == {0, 1} and len(member.values) == 10, "the member has both")

    description = broker.admin.describe_consumer_groups([group])[group].result(30)
    assert description.state == ConsumerGroupState.STABLE
    assert description.partition_assignor == "range"
    assert [{p.partition for p in m.assignment.topic_partitions} for m in description.members] == [{0, 1}]
    listed = broker.admin.list_consumer_groups().result(30)
    assert group in [g.group_id for g in listed.valid]
    assert listed.errors == []

    with pytest.raises(KafkaException) as refused:
        broker.admin.delete_consumer_groups([group])[group].result(30)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.turn()
    member.consumer.close()

    description = broker.admin.describe_consumer_groups([group])[group].result(30)
    assert description.state == ConsumerGroupState.EMPTY
    request = [ConsumerGroupTopicPartitions(group)]
    offsets = broker.admin.list_consumer_group_offsets(request)[group].result(30).topic_partitions
    assert sum(p.offset for p in offsets) == 10
    broker.admin.delete_consumer_groups([group])[group].result(30)
    with pytest.raises(KafkaException) as gone:
        broker.admin.delete_consumer_groups([group])[group].result(30)
    assert gone.value.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND
