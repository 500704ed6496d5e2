"""Consuming: where to start, static members, sizes near the limit, many partitions."""

import pytest
from confluent_kafka import OFFSET_END, TopicPartition
from servers import wait_until


def fill(broker, topic, n, partitions=1, size=0, **settings):
    producer = broker.producer(**settings)
    for i in range(n):
        producer.produce(topic, value=f"v{i}".ljust(size, "x"), partition=i % partitions, timestamp=1_000_000 + i)
    assert producer.flush(30) == 0


def read(consumer, n):
    messages = []

    def there():
        for message in consumer.consume(1000, 0.2):
            assert message.error() is None, message.error()
            messages.append(message)
        return len(messages) >= n

    wait_until(there, f"{n} messages")
    assert len(messages) == n
    return messages


def test_a_consumer_starts_at_an_offset_at_a_time_and_at_the_end(broker):
    topic = broker.topic("positions")
    fill(broker, topic, 100)
    consumer = broker.consumer()
    try:
        consumer.assign([TopicPartition(topic, 0, 60)])
        assert [m.offset() for m in read(consumer, 40)] == list(range(60, 100))
        at = consumer.offsets_for_times([TopicPartition(topic, 0, 1_000_042)], 30)[0]
        assert at.offset == 42
        consumer.assign([at])
        assert read(consumer, 58)[0].timestamp()[1] == 1_000_042
        assert consumer.offsets_for_times([TopicPartition(topic, 0, 2_000_000)], 30)[0].offset == OFFSET_END
    finally:
        consumer.close()


@pytest.mark.parametrize("protocol", ["range", "roundrobin"])
def test_a_static_member_comes_back_to_its_partitions(broker, protocol):
    topic, group = broker.topic("static", 4), broker.name("static")
    fill(broker, topic, 40, 4)

    def member(node):
        consumer = broker.consumer(group_id=group, group_instance_id=node, partition_assignment_strategy=protocol,
                                   session_timeout_ms=20_000, heartbeat_interval_ms=300)
        consumer.subscribe([topic])
        return consumer

    def has(consumer):
        consumer.consume(100, 0.05)
        return {p.partition for p in consumer.assignment()}

    first, second = member("node-1"), member("node-2")
    shares = []

    def shared():
        shares[:] = [has(first), has(second)]
        return [len(share) for share in shares] == [2, 2] and shares[0] | shares[1] == {0, 1, 2, 3}

    try:
        wait_until(shared, "two partitions each")
        second.close()
        # It does not leave: nobody takes its partitions, and they wait for the next of its name.
        second = member("node-2")
        wait_until(lambda: has(second), "it has some again")
        assert (has(first), has(second)) == tuple(shares)
    finally:
        first.close()
        second.close()


def test_a_message_just_below_the_limit_is_stored_and_read_whatever_the_fetch_size(broker):
    topic = broker.topic("limit", max_message_bytes="2000000")
    fill(broker, topic, 2, size=1_999_900, message_max_bytes=2_000_000, batch_num_messages=1)
    consumer = broker.consumer(fetch_message_max_bytes=1000)
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        assert [len(m.value()) for m in read(consumer, 2)] == [1_999_900] * 2
    finally:
        consumer.close()


def test_two_hundred_partitions_are_written_and_read(broker):
    topic = broker.topic("wide", 200)
    fill(broker, topic, 1000, 200)
    read = broker.read_all(topic)
    assert [(m.partition(), m.offset()) for m in read] == [(p, o) for p in range(200) for o in range(5)]
