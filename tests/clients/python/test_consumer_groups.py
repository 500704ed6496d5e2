"""The consumer group protocol of KIP-848 with librdkafka: group.protocol=consumer."""

import pytest
from confluent_kafka import ConsumerGroupState, ConsumerGroupType, KafkaError, KafkaException
from servers import wait_until
from test_groups import produce


class Member:
    """A group member that is driven by `turn`, all members in one thread."""

    def __init__(self, broker, group, topic, **settings):
        self.consumer = broker.consumer(group_id=group, **settings)
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
            expected = (KafkaError._NO_OFFSET, KafkaError.STALE_MEMBER_EPOCH,
                        KafkaError.REBALANCE_IN_PROGRESS, KafkaError.ILLEGAL_GENERATION)
            assert error.args[0].code() in expected, error
        return {p.partition for p in self.consumer.assignment()}


def modern(broker, group, topic, **settings):
    return Member(broker, group, topic, group_protocol="consumer", **settings)


def shared(one, two):
    first, second = one.turn(), two.turn()
    return len(first) == 2 and len(second) == 2 and first | second == {0, 1, 2, 3}


@pytest.mark.parametrize("assignor", ["uniform", "range"])
def test_members_share_the_partitions_as_they_come_and_go(broker, assignor):
    topic, group = broker.topic("kip848", 4), broker.name("kip848")
    produce(broker, topic, 4, 0, 100)
    first = modern(broker, group, topic, group_remote_assignor=assignor)
    wait_until(lambda: first.turn() == {0, 1, 2, 3} and len(first.values) == 100, "the first has all")
    second = modern(broker, group, topic, group_remote_assignor=assignor)
    wait_until(lambda: shared(first, second), "two partitions each")
    produce(broker, topic, 4, 100, 200)
    wait_until(lambda: (first.turn(), second.turn()) and len(first.values | second.values) == 200,
               "the second hundred between the two")
    assert len(second.values) >= 50
    second.consumer.close()
    wait_until(lambda: first.turn() == {0, 1, 2, 3}, "the first has all again")
    first.consumer.close()


def test_a_pattern_follows_new_topics(broker):
    prefix = broker.name("pattern")
    broker.topic(f"{prefix}.one")
    member = modern(broker, broker.name("pattern"), f"^{prefix}.*", topic_metadata_refresh_interval_ms=500)
    wait_until(lambda: member.turn() == {0}, "the first topic")
    second = broker.topic(f"{prefix}.two", 2)
    produce(broker, second, 2, 0, 10)
    wait_until(lambda: member.turn() and len(member.values) == 10, "the records of the second")
    member.consumer.close()


def test_a_classic_group_is_upgraded_and_downgraded_while_it_consumes(broker):
    topic, group = broker.topic("migrates", 4), broker.name("migrates")
    produce(broker, topic, 4, 0, 100)
    old = Member(broker, group, topic, partition_assignment_strategy="cooperative-sticky",
                 session_timeout_ms=10_000, heartbeat_interval_ms=300)
    wait_until(lambda: old.turn() == {0, 1, 2, 3} and len(old.values) == 100, "the classic one has all")
    new = modern(broker, group, topic)
    wait_until(lambda: shared(old, new), "two partitions each")
    produce(broker, topic, 4, 100, 200)
    wait_until(lambda: (old.turn(), new.turn()) and len(old.values | new.values) == 200,
               "the second hundred between the two")
    assert len(new.values) >= 50
    new.consumer.close()
    wait_until(lambda: old.turn() == {0, 1, 2, 3}, "the classic one has all again")
    old.consumer.close()


def test_groups_are_listed_by_type_and_deleted_when_empty(broker):
    topic, group = broker.topic("listed", 2), broker.name("listed")
    produce(broker, topic, 2, 0, 10)
    member = modern(broker, group, topic)
    wait_until(lambda: member.turn() == {0, 1} and len(member.values) == 10, "the member has both")
    member.turn()

    def listed(kind):
        found = broker.admin.list_consumer_groups(types={kind}).result(30)
        assert found.errors == []
        return {g.group_id: g.state for g in found.valid}

    assert listed(ConsumerGroupType.CONSUMER)[group] == ConsumerGroupState.STABLE
    assert group not in listed(ConsumerGroupType.CLASSIC)
    with pytest.raises(KafkaException) as refused:
        broker.admin.delete_consumer_groups([group])[group].result(30)
    assert refused.value.args[0].code() == KafkaError.NON_EMPTY_GROUP
    member.consumer.close()
    wait_until(lambda: listed(ConsumerGroupType.CONSUMER)[group] == ConsumerGroupState.EMPTY, "it is empty")
    broker.admin.delete_consumer_groups([group])[group].result(30)
    assert group not in listed(ConsumerGroupType.CONSUMER)
