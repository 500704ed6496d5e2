"""Consumer groups and the administrator's requests."""

import asyncio

import pytest
from aiokafka import TopicPartition
from conftest import VERSION, wait_until

if VERSION >= (0, 9):
    from aiokafka.admin import NewPartitions, NewTopic
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
else:  # it stood on kafka-python then
    from kafka.admin import NewPartitions, NewTopic
    from kafka.admin.config_resource import ConfigResource, ConfigResourceType


def assignor(name):
    package = "aiokafka" if VERSION >= (0, 9) else "kafka"
    modules = {"range": ("range", "RangePartitionAssignor"),
               "roundrobin": ("roundrobin", "RoundRobinPartitionAssignor"),
               "sticky": ("sticky.sticky_assignor", "StickyPartitionAssignor")}
    module, name = modules[name]
    from importlib import import_module
    return getattr(import_module(f"{package}.coordinator.assignors.{module}"), name)


async def member(broker, group, topic, strategy="range", **settings):
    return await broker.consumer(
        topic, group_id=group, partition_assignment_strategy=(assignor(strategy),),
        session_timeout_ms=10_000, heartbeat_interval_ms=300, **settings)


async def shares(consumer, values):
    """What it has been assigned; what it reads on the way goes to `values`."""
    for records in (await consumer.getmany(timeout_ms=50)).values():
        values.update(m.value for m in records)
    return {p.partition for p in consumer.assignment()}


@pytest.mark.parametrize("strategy", [
    "range", "roundrobin",
    # kafka-python 2.0's, on which 0.8 stands, does not encode its own metadata.
    pytest.param("sticky", marks=pytest.mark.since(0, 9)),
])
async def test_a_second_member_shares_the_partitions_and_the_first_takes_them_back_when_it_leaves(broker, strategy):
    topic, group = await broker.topic("shared", 4), broker.name("two")
    await broker.fill(topic, 100, partitions=4)
    first, read, read_by_second = await member(broker, group, topic, strategy), set(), set()

    async def has_all():
        return await shares(first, read) == {0, 1, 2, 3} and len(read) == 100

    await wait_until(has_all, "the first has all")
    await first.commit()
    second = await member(broker, group, topic, strategy)

    async def shared():
        one, two = await asyncio.gather(shares(first, read), shares(second, read_by_second))
        return len(one) == 2 and len(two) == 2 and one | two == {0, 1, 2, 3}

    await wait_until(shared, "two partitions each")
    assert read_by_second == set(), "all of it was committed"
    await broker.stop(second)
    await wait_until(has_all, "the first has all again")
    await broker.fill(topic, 200, partitions=4)

    async def has_the_rest():
        return await shares(first, read) and len(read) == 200

    await wait_until(has_the_rest, "what came later too")
    await first.commit()
    assert sum([await first.committed(TopicPartition(topic, p)) for p in range(4)]) == 300


@pytest.mark.since(0, 9)
async def test_a_static_member_is_known_by_its_instance_id(broker):
    topic, group = await broker.topic("static", 2), broker.name("static")
    consumer = await member(broker, group, topic, group_instance_id="node-1")
    read = set()

    async def has_all():
        return await shares(consumer, read) == {0, 1}

    await wait_until(has_all, "it has both")
    # It does not leave: the next of this name takes its place without waiting for a timeout.
    await broker.stop(consumer)
    consumer = await member(broker, group, topic, group_instance_id="node-1")
    await wait_until(has_all, "it has both again")


async def test_a_consumer_resumes_at_the_committed_offset_and_the_metadata_survives(broker):
    topic, group = await broker.topic("resume"), broker.name("resume")
    await broker.fill(topic, 20)
    here = TopicPartition(topic, 0)
    first = await broker.consumer(group_id=group)
    first.assign([here])
    await first.commit({here: (12, "half way")})
    await broker.stop(first)
    committed = (await broker.admin.list_consumer_group_offsets(group))[here]
    assert (committed.offset, committed.metadata) == (12, "half way")
    second = await member(broker, group, topic)
    assert [(await second.getone()).value for _ in range(8)] == [b"v%d" % i for i in range(12, 20)]


async def test_a_topic_is_created_and_deleted_and_a_second_of_its_name_is_refused(broker):
    topic = await broker.topic("life", 3)
    again = await broker.admin.create_topics([NewTopic(topic, 1, 1)])
    assert again.topic_errors[0][:2] == (topic, 36)
    assert (await broker.admin.delete_topics([topic])).topic_error_codes == [(topic, 0)]

    async def gone():
        return topic not in await broker.admin.list_topics()

    await wait_until(gone, "gone from the list")
    assert (await broker.admin.delete_topics([topic])).topic_error_codes == [(topic, 3)]


async def config(broker, topic, key):
    answer = await broker.admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    return {entry[0]: entry[1] for entry in answer[0].resources[0][4]}[key]


async def test_topic_settings_can_be_read_and_altered(broker):
    topic = await broker.topic("configured", retention_ms="3600000")
    assert await config(broker, topic, "retention.ms") == "3600000"
    wanted = ConfigResource(ConfigResourceType.TOPIC, topic, configs={"retention.ms": "7200000"})
    await broker.admin.alter_configs([wanted])

    async def altered():
        return await config(broker, topic, "retention.ms") == "7200000"

    await wait_until(altered, "the new retention")


async def test_partitions_can_be_added(broker):
    topic = await broker.topic("growing", 2)
    await broker.admin.create_partitions({topic: NewPartitions(5)})
    await wait_until(lambda: broker.has(topic, 5), "five partitions")


async def test_a_group_is_listed_and_described(broker):
    topic, group = await broker.topic("described", 2), broker.name("described")
    consumer = await member(broker, group, topic)
    read = set()

    async def stable():
        await shares(consumer, read)
        answer = (await broker.admin.describe_consumer_groups([group]))[0]
        found = answer.groups[0]
        return (found[0], found[1], found[2], len(found[5])) == (0, group, "Stable", 1)

    await wait_until(stable, "one member, stable")
    assert group in [name for name, *_ in await broker.admin.list_consumer_groups()]


@pytest.mark.since(0, 9)
async def test_deleted_records_are_gone(broker):
    from aiokafka.admin import RecordsToDelete
    topic = await broker.topic("purged")
    await broker.fill(topic, 100)
    here = TopicPartition(topic, 0)
    assert await broker.admin.delete_records({here: RecordsToDelete(60)}) == {here: 60}
    consumer = await broker.consumer()
    consumer.assign([here])
    assert await consumer.beginning_offsets([here]) == {here: 60}
