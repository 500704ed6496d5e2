"""Producing and consuming: codecs, nulls, headers, positions, sizes, partitions, transactions."""

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError
from conftest import wait_until


@pytest.mark.parametrize("codec", [None, "gzip", "snappy", "lz4", "zstd"])
async def test_every_codec_round_trips_keys_values_headers_and_nulls(broker, codec):
    topic = await broker.topic("codec")
    producer = await broker.producer(compression_type=codec, linger_ms=20)
    large = b"abcdefghij" * 5000
    headers = [("trace", b"a1"), ("trace", b"a2"), ("empty", b""), ("null", None)]
    sent = [await producer.send(topic, key=b"key", value=large, headers=headers, timestamp_ms=1_700_000_000_123),
            await producer.send(topic, key=b"no value", value=None),
            await producer.send(topic, value="订单".encode())]
    sent += [await producer.send(topic, key=b"k%d" % i, value=b"v%d" % i) for i in range(200)]
    assert [(await future).offset for future in sent] == list(range(203))
    read = await broker.read_all(topic)
    assert (read[0].key, read[0].value, read[0].timestamp) == (b"key", large, 1_700_000_000_123)
    assert list(read[0].headers) == headers
    assert (read[1].key, read[1].value, list(read[1].headers)) == (b"no value", None, [])
    assert (read[2].key, read[2].value) == (None, "订单".encode())
    assert [m.value for m in read[3:]] == [b"v%d" % i for i in range(200)]


@pytest.mark.parametrize("acks", ["all", 1, 0])
async def test_records_sent_with_any_acks_are_stored_in_order(broker, acks):
    topic = await broker.topic("acks")
    stored = await broker.fill(topic, 500, acks=acks)
    if acks != 0:
        assert [record.offset for record in stored] == list(range(500))

    async def all_there():
        return len(await broker.read_all(topic)) == 500

    await wait_until(all_there, "500 records")
    assert [m.value for m in await broker.read_all(topic)] == [b"v%d" % i for i in range(500)]


async def test_a_consumer_starts_at_an_offset_and_at_a_time(broker):
    topic = await broker.topic("positions")
    await broker.fill(topic, 100)
    assert [m.offset for m in await broker.read_all(topic, first=60)] == list(range(60, 100))
    here = TopicPartition(topic, 0)
    consumer = await broker.consumer()
    consumer.assign([here])
    assert await consumer.beginning_offsets([here]) == {here: 0}
    assert await consumer.end_offsets([here]) == {here: 100}
    at = (await consumer.offsets_for_times({here: 1_000_042}))[here]
    assert (at.offset, at.timestamp) == (42, 1_000_042)
    assert (await consumer.offsets_for_times({here: 2_000_000}))[here] is None
    consumer.seek(here, at.offset)
    assert (await consumer.getone()).timestamp == 1_000_042


async def test_a_message_just_below_the_limit_is_stored_and_one_above_is_refused(broker):
    topic = await broker.topic("limit", max_message_bytes="100000")
    producer = await broker.producer(max_request_size=1_000_000)
    assert (await producer.send_and_wait(topic, b"x" * 99_900)).offset == 0
    with pytest.raises(MessageSizeTooLargeError):
        await producer.send_and_wait(topic, b"x" * 100_001)
    assert (await producer.send_and_wait(topic, b"small")).offset == 1
    assert [len(m.value) for m in await broker.read_all(topic)] == [99_900, 5]


async def test_two_hundred_partitions_are_written_and_read(broker):
    topic = await broker.topic("wide", 200)
    stored = await broker.fill(topic, 1000, partitions=200)
    assert [(r.partition, r.offset) for r in stored] == [(i % 200, i // 200) for i in range(1000)]
    read = await broker.read_all(topic, 200)
    assert len(read) == 1000
    assert {m.partition for m in read} == set(range(200))


async def test_an_idempotent_producer_keeps_the_order_of_many_batches(broker):
    topic = await broker.topic("idempotent", 3)
    await broker.fill(topic, 3000, partitions=3, enable_idempotence=True, max_batch_size=1024, linger_ms=0)
    read = await broker.read_all(topic, 3)
    for partition in range(3):
        values = [int(m.value[1:]) for m in read if m.partition == partition]
        assert values == list(range(partition, 3000, 3))


async def test_read_committed_sees_committed_records_and_never_aborted_ones(broker):
    topic = await broker.topic("txn", 3)
    producer = await broker.producer(transactional_id=broker.name("txn-id"))
    for turn in range(6):
        await producer.begin_transaction()
        kind = "commit" if turn % 2 == 0 else "abort"
        for i in range(30):
            await producer.send(topic, value=f"{kind}-{turn}-{i}".encode(), partition=i % 3)
        await producer.flush()
        await (producer.commit_transaction() if kind == "commit" else producer.abort_transaction())
    committed = [m.value for m in await broker.read_all(topic, 3, isolation_level="read_committed")]
    assert len(committed) == 90 == len(set(committed))
    assert all(value.startswith(b"commit-") for value in committed)
    assert len(await broker.read_all(topic, 3)) == 180


async def test_a_newer_producer_of_the_same_id_fences_the_older(broker):
    topic, transactional_id = await broker.topic("fence"), broker.name("fenced-id")
    older = await broker.producer(transactional_id=transactional_id)
    await older.begin_transaction()
    await older.send_and_wait(topic, b"older")
    newer = await broker.producer(transactional_id=transactional_id)
    with pytest.raises(KafkaError) as fenced:
        await older.send_and_wait(topic, b"too late")
        await older.commit_transaction()
    assert type(fenced.value).__name__ in ("ProducerFenced", "InvalidProducerEpoch"), fenced.value
    await newer.begin_transaction()
    await newer.send(topic, b"newer")
    await newer.commit_transaction()
    assert [m.value for m in await broker.read_all(topic, isolation_level="read_committed")] == [b"newer"]


async def test_offsets_sent_to_a_transaction_appear_with_its_commit_and_not_with_its_abort(broker):
    source, target, group = await broker.topic("in"), await broker.topic("out"), broker.name("copy")
    await broker.fill(source, 10)
    here = TopicPartition(source, 0)
    consumer = await broker.consumer(source, group_id=group)
    producer = await broker.producer(transactional_id=broker.name("copier"))
    for offset, commit in ((4, False), (10, True)):
        await producer.begin_transaction()
        await producer.send(target, b"%d" % offset)
        await producer.send_offsets_to_transaction({here: offset}, group)
        await (producer.commit_transaction() if commit else producer.abort_transaction())
        committed = (await broker.admin.list_consumer_group_offsets(group)).get(here)
        assert (committed and committed.offset) == (10 if commit else None)
    await broker.stop(consumer)
    assert [m.value for m in await broker.read_all(target, isolation_level="read_committed")] == [b"10"]
