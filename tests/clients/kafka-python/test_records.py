"""Producing and consuming: codecs, nulls, headers, positions, sizes, partitions."""

import pytest
from conftest import VERSION
from kafka import TopicPartition
from kafka.errors import KafkaError, MessageSizeTooLargeError
from servers import wait_until


def fill(broker, topic, n, partitions=1, **settings):
    producer = broker.producer(**settings)
    sent = [producer.send(topic, value=b"v%d" % i, partition=i % partitions, timestamp_ms=1_000_000 + i)
            for i in range(n)]
    producer.flush(30)
    stored = [future.get(30) for future in sent]
    producer.close()
    return stored


def read_committed(broker, topic, n):
    """The values of n committed records, or of more. Kafka answers a commit before it is in the logs."""
    def values():
        read = [m.value for m in broker.read_all(topic, isolation_level="read_committed")]
        return read if len(read) >= n else None
    return wait_until(values, f"{n} committed records")


@pytest.mark.parametrize("codec", [
    None, "gzip", "snappy", "lz4",
    pytest.param("zstd", marks=pytest.mark.since(2, 0)),
])
def test_every_codec_round_trips_keys_values_headers_and_nulls(broker, codec):
    topic = broker.topic("codec")
    producer = broker.producer(compression_type=codec, linger_ms=20)
    large = b"abcdefghij" * 5000
    headers = [("trace", b"a1"), ("trace", b"a2"), ("empty", b"")]
    producer.send(topic, key=b"key", value=large, headers=headers, timestamp_ms=1_700_000_000_123)
    # 1.4 asks for a key when there is no value.
    producer.send(topic, key=b"no value", value=None)
    producer.send(topic, value="订单".encode())
    for i in range(200):
        producer.send(topic, key=b"k%d" % i, value=b"v%d" % i)
    producer.flush(30)
    producer.close()
    read = broker.read_all(topic)
    assert len(read) == 203
    assert (read[0].key, read[0].value, read[0].timestamp) == (b"key", large, 1_700_000_000_123)
    assert list(read[0].headers) == headers
    assert (read[1].key, read[1].value, list(read[1].headers)) == (b"no value", None, [])
    assert (read[2].key, read[2].value) == (None, "订单".encode())
    assert [m.value for m in read[3:]] == [b"v%d" % i for i in range(200)]


@pytest.mark.parametrize("acks", ["all", 1, 0])
def test_records_sent_with_any_acks_are_stored_in_order(broker, acks):
    topic = broker.topic("acks")
    # What 2.0 sends with acks=0 lies in its buffer until another request goes
    # the same way, whatever `flush` says: here that of the metadata.
    settings = {"metadata_max_age_ms": 200} if acks == 0 and (2, 0) <= VERSION < (2, 1) else {}
    producer = broker.producer(acks=acks, **settings)
    sent = [producer.send(topic, value=b"v%d" % i) for i in range(500)]
    producer.flush(30)
    if acks != 0:
        assert [future.get(30).offset for future in sent] == list(range(500))
    wait_until(lambda: len(broker.read_all(topic)) == 500, "500 records")
    assert [m.value for m in broker.read_all(topic)] == [b"v%d" % i for i in range(500)]
    producer.close()


def test_a_consumer_starts_at_an_offset_and_at_a_time(broker):
    topic = broker.topic("positions")
    fill(broker, topic, 100)
    assert [m.offset for m in broker.read_all(topic, first=60)] == list(range(60, 100))
    here = TopicPartition(topic, 0)
    consumer = broker.consumer()
    try:
        consumer.assign([here])
        assert consumer.beginning_offsets([here]) == {here: 0}
        assert consumer.end_offsets([here]) == {here: 100}
        at = consumer.offsets_for_times({here: 1_000_042})[here]
        assert (at.offset, at.timestamp) == (42, 1_000_042)
        assert consumer.offsets_for_times({here: 2_000_000})[here] is None
        consumer.seek(here, at.offset)
        read = []
        wait_until(lambda: read.extend(m for ms in consumer.poll(100).values() for m in ms) or len(read) == 58,
                   "58 records")
        assert read[0].timestamp == 1_000_042
    finally:
        consumer.close()


def test_a_message_just_below_the_limit_is_stored_and_one_above_is_refused(broker):
    topic = broker.topic("limit", max_message_bytes="100000")
    producer = broker.producer(max_request_size=1_000_000)
    assert producer.send(topic, value=b"x" * 99_900).get(30).offset == 0
    with pytest.raises(MessageSizeTooLargeError):
        producer.send(topic, value=b"x" * 100_001).get(30)
    # 3.0 takes the refusal of an idempotent producer's batch for that producer's end.
    producer.close(0)
    assert fill(broker, topic, 1)[0].offset == 1
    assert [len(m.value) for m in broker.read_all(topic)] == [99_900, 2]


def test_two_hundred_partitions_are_written_and_read(broker):
    topic = broker.topic("wide", 200)
    stored = fill(broker, topic, 1000, partitions=200)
    assert [(r.partition, r.offset) for r in stored] == [(i % 200, i // 200) for i in range(1000)]
    read = broker.read_all(topic)
    assert len(read) == 1000
    assert {m.partition for m in read} == set(range(200))


@pytest.mark.since(2, 1)
def test_an_idempotent_producer_keeps_the_order_of_many_batches_in_flight(broker):
    topic = broker.topic("idempotent", 3)
    stored = fill(broker, topic, 3000, partitions=3, enable_idempotence=True, batch_size=1024, linger_ms=0)
    assert len(stored) == 3000
    for partition in range(3):
        values = [int(m.value[1:]) for m in broker.read_all(topic) if m.partition == partition]
        assert values == list(range(partition, 3000, 3))


@pytest.mark.since(2, 1)
def test_read_committed_sees_committed_records_and_never_aborted_ones(broker):
    topic = broker.topic("txn", 3)
    producer = broker.producer(transactional_id=broker.name("txn-id"))
    producer.init_transactions()
    for turn in range(6):
        producer.begin_transaction()
        kind = "commit" if turn % 2 == 0 else "abort"
        for i in range(30):
            producer.send(topic, value=f"{kind}-{turn}-{i}".encode(), partition=i % 3)
        producer.flush(30)
        producer.commit_transaction() if kind == "commit" else producer.abort_transaction()
    producer.close()
    committed = read_committed(broker, topic, 90)
    assert len(committed) == 90 == len(set(committed))
    assert all(value.startswith(b"commit-") for value in committed)
    assert len(broker.read_all(topic)) == 180


@pytest.mark.since(2, 1)
def test_a_newer_producer_of_the_same_id_fences_the_older(broker):
    topic, transactional_id = broker.topic("fence"), broker.name("fenced-id")
    older = broker.producer(transactional_id=transactional_id)
    older.init_transactions()
    older.begin_transaction()
    older.send(topic, value=b"older")
    older.flush(30)
    newer = broker.producer(transactional_id=transactional_id)
    newer.init_transactions()
    with pytest.raises(KafkaError) as fenced:
        older.send(topic, value=b"too late").get(30)
        older.commit_transaction()
    assert type(fenced.value).__name__ in ("ProducerFencedError", "InvalidProducerEpochError"), fenced.value
    newer.begin_transaction()
    newer.send(topic, value=b"newer")
    newer.commit_transaction()
    newer.close()
    older.close(0)
    assert read_committed(broker, topic, 1) == [b"newer"]


@pytest.mark.since(2, 1)
def test_offsets_sent_to_a_transaction_appear_with_its_commit_and_not_with_its_abort(broker):
    from kafka.structs import OffsetAndMetadata
    source, target, group = broker.topic("in"), broker.topic("out"), broker.name("copy")
    fill(broker, source, 10)
    here = TopicPartition(source, 0)
    consumer = broker.consumer(group_id=group)
    producer = broker.producer(transactional_id=broker.name("copier"))
    producer.init_transactions()
    for offset, end in ((4, producer.abort_transaction), (10, producer.commit_transaction)):
        producer.begin_transaction()
        producer.send(target, value=b"%d" % offset)
        producer.send_offsets_to_transaction({here: OffsetAndMetadata(offset, "", -1)}, group)
        assert consumer.committed(here) is None
        end()
        # Never that of the abort, and that of the commit as soon as it is in the log.
        wait_until(lambda: consumer.committed(here) == (10 if offset == 10 else None), "the commit's offset")
    producer.close()
    consumer.close()
    assert read_committed(broker, target, 1) == [b"10"]
