"""The administrator's requests; each major answers in a shape of its own."""

import pytest
from conftest import VERSION
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from servers import wait_until
from test_groups import assignor
from test_records import fill


def config(broker, topic, key):
    if VERSION >= (3, 0):
        wanted = ConfigResource(ConfigResourceType.TOPIC, topic, configs=None)
        return broker.admin.describe_configs([wanted], config_filter="all")["topic"][topic][key]["value"]
    answer = broker.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    resources = [r for part in (answer if isinstance(answer, list) else [answer]) for r in part.resources]
    assert [(r[0], r[3]) for r in resources] == [(0, topic)]
    return {entry[0]: entry[1] for entry in resources[0][4]}[key]


def test_a_topic_is_created_and_deleted_and_a_second_of_its_name_is_refused(broker):
    topic = broker.topic("life", 3)
    assert broker.partitions(topic) == {0, 1, 2}
    with pytest.raises(TopicAlreadyExistsError):
        broker.admin.create_topics([NewTopic(topic, 1, 1)])
    broker.admin.delete_topics([topic])
    wait_until(lambda: not broker.partitions(topic), "gone from the metadata")
    with pytest.raises(UnknownTopicOrPartitionError):
        broker.admin.delete_topics([topic])


def test_topic_settings_can_be_read_and_altered(broker):
    topic = broker.topic("configured", retention_ms="3600000")
    assert config(broker, topic, "retention.ms") == "3600000"
    assert config(broker, topic, "cleanup.policy") == "delete"
    broker.admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})])
    wait_until(lambda: config(broker, topic, "retention.ms") == "7200000", "the new retention")


def test_partitions_can_be_added(broker):
    topic = broker.topic("growing", 2)
    broker.admin.create_partitions({topic: NewPartitions(5)})
    wait_until(lambda: broker.partitions(topic) == {0, 1, 2, 3, 4}, "five partitions")


def test_a_group_is_described_and_its_offsets_are_listed(broker, join):
    topic, group = broker.topic("described", 2), broker.name("described")
    fill(broker, topic, 10, partitions=2)
    member = join(group, topic, assignor("range"))
    wait_until(lambda: member.has({0, 1}) and len(member.values) == 10, "the member has both")
    assert state(broker, group) == ("Stable", 1)
    everything = {TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 5}
    wait_until(lambda: offsets(broker, group) == everything, "all committed")
    member.left()
    wait_until(lambda: state(broker, group) == ("Empty", 0), "the group is empty")
    assert offsets(broker, group) == everything


@pytest.mark.since(2, 0)
def test_a_group_is_deleted_only_when_it_is_empty(broker, join):
    topic, group = broker.topic("deleted"), broker.name("deleted")
    fill(broker, topic, 10)
    member = join(group, topic, assignor("range"))
    wait_until(lambda: member.has({0}) and offsets(broker, group) == {TopicPartition(topic, 0): 10}, "all committed")
    assert delete(broker, group) == "NonEmptyGroupError"
    assert state(broker, group) == ("Stable", 1)
    member.left()
    wait_until(lambda: state(broker, group) == ("Empty", 0), "the group is empty")
    assert delete(broker, group) == "OK"
    assert state(broker, group) == ("Dead", 0)
    assert offsets(broker, group) == {}


def delete(broker, group):
    """The name of the error, or OK."""
    if VERSION >= (3, 0):
        return broker.admin.delete_groups([group])[group]
    (name, error), = broker.admin.delete_consumer_groups([group])
    assert name == group
    return error.__name__ if error.errno else "OK"


def state(broker, group):
    """The group's state and how many members it has."""
    if VERSION >= (3, 0):
        described = broker.admin.describe_groups([group])[group]
        return described["group_state"], len(described["members"])
    described, = broker.admin.describe_consumer_groups([group])
    if VERSION >= (2, 0):
        return described.state, len(described.members)
    _, _, state, _, _, members = described
    return state, len(members)


def offsets(broker, group):
    return {partition: committed.offset for partition, committed in broker.committed(group).items()}


@pytest.mark.since(3, 0)
def test_deleted_records_are_gone_and_offsets_are_listed_by_end_and_by_time(broker):
    from kafka.admin import OffsetSpec
    topic = broker.topic("purged")
    fill(broker, topic, 100)
    here = TopicPartition(topic, 0)
    broker.admin.delete_records({here: 60})
    cases = [(OffsetSpec.EARLIEST, 60), (OffsetSpec.LATEST, 100), (OffsetSpec.MAX_TIMESTAMP, 99), (1_000_070, 70)]
    for spec, expected in cases:
        assert broker.admin.list_partition_offsets({here: spec})[here].offset == expected, spec
    assert [m.offset for m in broker.read_all(topic)] == list(range(60, 100))
