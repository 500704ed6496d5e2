"""Topics that grow, and nodes with many partitions."""

import threading
from collections import Counter, defaultdict

from confluent_kafka.admin import NewPartitions
from servers import wait_until

KEYS = 40
RECORDS = 6_000


def test_partitions_added_during_keyed_production_lose_and_repeat_nothing(broker):
    topic = broker.topic("grows", 2)
    group = broker.name("growing")
    fresh = {"topic_metadata_refresh_interval_ms": 100, "metadata_max_age_ms": 300}
    producer = broker.producer(enable_idempotence=True, partitioner="murmur2_random",
                               max_in_flight_requests_per_connection=5, linger_ms=1, **fresh)
    # Nothing is committed, so what an eager rebalance takes would be read again.
    consumer = broker.consumer(group_id=group, partition_assignment_strategy="cooperative-sticky", **fresh)
    assigned = set()
    consumer.subscribe([topic], on_assign=lambda _, parts: assigned.update(p.partition for p in parts))
    failed, acknowledged = [], Counter()

    def delivered(error, message):
        if error:
            failed.append(error)
        else:
            acknowledged[message.partition()] += 1

    grown = {RECORDS // 3: 5, 2 * RECORDS // 3: 9}
    had = {RECORDS // 3: 2, 2 * RECORDS // 3: 5}
    seen, order = Counter(), defaultdict(list)
    halfway = threading.Event()

    def produce():
        for n in range(RECORDS):
            if n in grown:
                wait_until(lambda: seen and len(assigned) == had[n], "the consumer reads what there is")
                futures = broker.admin.create_partitions([NewPartitions(topic, grown[n])])
                futures[topic].result(30)
                # The producer goes on writing; it must have heard of the new
                # ones before the next third begins, or nothing would be shown.
                wait_until(lambda: len(producer.list_topics(topic, 30).topics[topic].partitions)
                           == grown[n], "the producer sees the new partitions")
            producer.produce(topic, key=str(n % KEYS), value=str(n), on_delivery=delivered)
            producer.poll(0)
            if n == RECORDS // 2:
                halfway.set()
        producer.flush(60)

    writing = threading.Thread(target=produce)
    writing.start()

    def read_all():
        for message in consumer.consume(500, 0.2):
            assert not message.error(), message.error()
            seen[int(message.value())] += 1
            order[message.key(), message.partition()].append(int(message.value()))
        return not writing.is_alive() and len(seen) == RECORDS

    wait_until(read_all, "every record is read", 120)
    writing.join(60)
    assert halfway.is_set() and not failed
    assert sum(acknowledged.values()) == RECORDS
    assert set(acknowledged) == set(range(9)), "keys go to the new partitions"
    assert assigned == set(range(9)), "the consumer found the new partitions"
    assert set(seen) == set(range(RECORDS)) and set(seen.values()) == {1}
    for (key, partition), values in order.items():
        assert values == sorted(values), f"key {key} is out of order in partition {partition}"
    consumer.close()
