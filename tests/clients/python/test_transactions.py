"""Transactions through librdkafka, which speaks older versions than the Java client."""

import pytest
from confluent_kafka import KafkaException, TopicPartition
from servers import wait_until


def send(producer, topic, partitions, prefix, n):
    for i in range(n):
        producer.produce(topic, value=f"{prefix}{i}", partition=i % partitions)


def test_read_committed_sees_committed_records_and_never_aborted_ones(broker):
    topic = broker.topic("txn", 3)
    producer = broker.transactional(broker.name("txn-id"))
    for round_number in range(6):
        commit = round_number % 2 == 0
        producer.begin_transaction()
        send(producer, topic, 3, f"{'commit' if commit else 'abort'}-{round_number}-", 30)
        assert producer.flush(30) == 0
        if commit:
            producer.commit_transaction(30)
        else:
            producer.abort_transaction(30)
    committed = [m.value().decode() for m in broker.read_all(topic, "read_committed")]
    assert len(committed) == 90 == len(set(committed))
    assert all(value.startswith("commit-") for value in committed)
    assert len(broker.read_all(topic)) == 180


def test_an_open_transaction_holds_back_the_last_stable_offset_until_it_ends(broker):
    topic = broker.topic("stable")
    plain, open_one = broker.producer(), broker.transactional(broker.name("open"))
    plain.produce(topic, value="before")
    assert plain.flush(30) == 0
    open_one.begin_transaction()
    open_one.produce(topic, value="inside")
    assert open_one.flush(30) == 0
    plain.produce(topic, value="after")
    assert plain.flush(30) == 0
    assert [m.value() for m in broker.read_all(topic, "read_committed")] == [b"before"]
    open_one.commit_transaction(30)
    wait_until(lambda: len(broker.read_all(topic, "read_committed")) == 3, "the commit is visible")


def test_a_newer_producer_of_the_same_id_fences_the_older_and_aborts_its_transaction(broker):
    topic = broker.topic("fence", 2)
    transactional_id = broker.name("fenced-id")
    older = broker.transactional(transactional_id)
    older.begin_transaction()
    send(older, topic, 2, "older-", 10)
    assert older.flush(30) == 0
    newer = broker.transactional(transactional_id)
    with pytest.raises(KafkaException) as fenced:
        older.produce(topic, value="too-late", partition=0)
        older.commit_transaction(30)
    assert fenced.value.args[0].fatal(), fenced.value
    assert fenced.value.args[0].name() in ("_FENCED", "INVALID_PRODUCER_EPOCH", "PRODUCER_FENCED")
    newer.begin_transaction()
    send(newer, topic, 2, "newer-", 10)
    newer.commit_transaction(30)
    values = [m.value().decode() for m in broker.read_all(topic, "read_committed")]
    assert len(values) == 10
    assert all(value.startswith("newer-") for value in values)


def test_offsets_sent_to_a_transaction_appear_with_its_commit_and_not_with_its_abort(broker):
    source, target = broker.topic("copy-in"), broker.topic("copy-out")
    seed = broker.producer()
    send(seed, source, 1, "v", 50)
    assert seed.flush(30) == 0
    consumer = broker.consumer(group_id=broker.name("copy"), isolation_level="read_committed")
    try:
        consumer.subscribe([source])
        read = []
        wait_until(lambda: read.extend(consumer.consume(50, 0.2)) or len(read) == 50, "50 records")
        here = TopicPartition(source, 0)
        producer = broker.transactional(broker.name("copier"))

        producer.begin_transaction()
        producer.produce(target, value="aborted")
        producer.send_offsets_to_transaction(
            [TopicPartition(source, 0, 20)], consumer.consumer_group_metadata(), 30)
        producer.abort_transaction(30)
        assert consumer.committed([here], 30)[0].offset == -1001

        producer.begin_transaction()
        for message in read:
            producer.produce(target, value=message.value())
        producer.send_offsets_to_transaction(
            [TopicPartition(source, 0, 50)], consumer.consumer_group_metadata(), 30)
        producer.commit_transaction(30)
        wait_until(lambda: consumer.committed([here], 30)[0].offset == 50, "the committed offset")
    finally:
        consumer.close()
    assert len(broker.read_all(target, "read_committed")) == 50
