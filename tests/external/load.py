"""What goes into the job and what has to come out, kept by the producers."""

from __future__ import annotations

import collections
import datetime
import json
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

KEYS = ("north", "south", "east")
WINDOW_MS = 1_000
FAR_MS = 4_000_000_000_000


def sql_time(ms: int) -> str:
    """As Flink's JSON format writes TIMESTAMP(3)."""
    return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


def start_of(text: str) -> str:
    """A window's start without its fraction, which is zero."""
    whole, _, fraction = text.partition(".")
    assert fraction.strip("0") == "", text
    return whole


class Load(threading.Thread):
    """One idempotent producer a partition, so that a partition's times only
    go forward, and what each was acknowledged."""

    def __init__(self, bootstrap: str, topic: str, partitions: int, per_second: int):
        super().__init__(name="load", daemon=True)
        self.topic, self.per_second = topic, per_second
        self.producers = [Producer({
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True, "linger.ms": 5,
            # Which the job's client has to read.
            "compression.type": "zstd",
            "delivery.timeout.ms": 240_000, "reconnect.backoff.max.ms": 500, "log_level": 0,
        }) for _ in range(partitions)]
        self.stopping = threading.Event()
        # (window start, key) to count and sum.
        self.wanted: dict[tuple[str, str], list[int]] = collections.defaultdict(lambda: [0, 0])
        self.sent = self.acknowledged = 0
        self.failures: list[str] = []

    def acknowledge(self, key: str, ms: int, amount: int):
        def delivered(error, _message):
            if error is not None:
                self.failures.append(str(error))
                return
            window = self.wanted[start_of(sql_time(ms // WINDOW_MS * WINDOW_MS)), key]
            window[0] += 1
            window[1] += amount
            self.acknowledged += 1
        return delivered

    def run(self):
        started, index = time.monotonic(), 0
        while not self.stopping.is_set():
            partition = index % len(self.producers)
            key, amount, ms = KEYS[index % 7 % len(KEYS)], index % 101, time.time_ns() // 1_000_000
            value = {"id": index, "k": key, "amount": amount, "ts": sql_time(ms)}
            self.producers[partition].produce(
                self.topic, partition=partition, key=key, value=json.dumps(value),
                on_delivery=self.acknowledge(key, ms, amount))
            index += 1
            self.sent = index
            if index % 50 == 0:
                for producer in self.producers:
                    producer.poll(0)
                # Pace only.
                time.sleep(max(0.0, started + index / self.per_second - time.monotonic()))

    def finish(self):
        """Ends it, and closes every window with a row far in the future."""
        self.stopping.set()
        self.join()
        for partition, producer in enumerate(self.producers):
            value = {"id": -1, "k": "end", "amount": 0, "ts": sql_time(FAR_MS)}
            producer.produce(self.topic, partition=partition, value=json.dumps(value))
        for producer in self.producers:
            left = producer.flush(240)
            if left:
                self.failures.append(f"{left} records were never acknowledged")


def read_results(bootstrap: str, topic: str) -> list[dict]:
    """All committed rows of a topic."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "external-reader", "log_level": 0,
                         "enable.auto.commit": False, "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "error"})
    rows, ended = [], set()
    try:
        partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        deadline = time.monotonic() + 120
        while ended != set(partitions):
            assert time.monotonic() < deadline, f"{topic} does not end"
            for message in consumer.consume(1000, timeout=0.5):
                if message.error() is None:
                    rows.append(json.loads(message.value()))
                elif message.error().name() == "_PARTITION_EOF":
                    ended.add(message.partition())
        return rows
    finally:
        consumer.close()


def compare(rows: list[dict], wanted: dict) -> list[str]:
    """What is wrong with the results; empty when each window is there once and right."""
    problems, seen = [], set()
    for row in rows:
        window = (start_of(row["window_start"]), row["k"])
        if window in seen:
            problems.append(f"doubled: {row}")
        seen.add(window)
        if wanted.get(window) != [row["n"], row["total"]]:
            problems.append(f"{row}, acknowledged were {wanted.get(window)}")
    return problems + [f"lost: {window}" for window in wanted if window not in seen]
