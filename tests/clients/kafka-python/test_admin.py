"""The administrator's requests; each major answers in a shape of its own."""

import pytest
from conftest import VERSION
from kafka import TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, NewPartitions, NewTopic
from kafka.errors import TopicAlreadyExistsError, UnknownTopicOrPartitionError
from servers import wait_until
from test_groups import Member
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


def test_a_group_is_described_its_offsets_listed_and_it_is_deleted_when_empty(broker):
    topic, group = broker.topic("described", 2), broker.name("described")
    fill(broker, topic, 10, partitions=2)
    member = Member(broker, group, topic)
    wait_until(lambda: member.turn() == {0, 1} and len(member.values) == 10, "the member has both")
    wait_until(lambda: member.turn() and sum(offsets(broker, group).values()) == 10, "all committed")
    assert state(broker, group) == ("Stable", 1)
    member.consumer.close()
    wait_until(lambda: state(broker, group) == ("Empty", 0), "the group is empty")
    assert offsets(broker, group) == {TopicPartition(topic, 0): 5, TopicPartition(topic, 1): 5}
    if VERSION >= (3, 0):
        assert broker.admin.delete_groups([group]) == {group: "OK"}
    elif VERSION >= (2, 0):
        assert [error.errno for _, error in broker.admin.delete_consumer_groups([group])] == [0]


def state(broker, group):
    if VERSION >= (3, 0):
        described = broker.admin.describe_groups([group])[group]
        return described["group_state"], len(described["members"])
    described = broker.admin.describe_consumer_groups([group])[0]
    if VERSION >= (2, 0):
        return described.state, len(described.members)
    return described.state, len(described.members)


def offsets(broker, group):
    if VERSION >= (3, 0):
        found = broker.admin.list_group_offsets([group])[group]
    else:
        found = broker.admin.list_consumer_group_offsets(group)
    return {partition: committed.offset for partition, committed in found.items()}


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
