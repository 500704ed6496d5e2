"""kafka-python against a running broker; BOOTSTRAP is its address.

One set of tests for three majors: what a version has not got is marked with
`since` and not collected for it. That nothing is lost so is tests.allow's care.
"""

import os
import sys
import uuid
from pathlib import Path

import kafka
import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
from servers import wait_until  # noqa: E402

VERSION = tuple(int(part) for part in kafka.__version__.split(".")[:2])


def pytest_configure(config):
    config.addinivalue_line("markers", "since(major, minor): not for older clients")


def pytest_collection_modifyitems(config, items):
    kept, dropped = [], []
    for item in items:
        newest = max((mark.args for mark in item.iter_markers("since")), default=(0, 0))
        (kept if newest <= VERSION else dropped).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=dropped)


class Broker:
    """Clients for the broker under test, and names that no other test uses."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    @staticmethod
    def name(what: str) -> str:
        return f"{what}-{uuid.uuid4().hex[:8]}"

    def topic(self, what: str, partitions: int = 1, **configs: str) -> str:
        name = self.name(what)
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        self.admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
        # Kafka's controller answers before the broker's own view has the topic.
        wait_until(lambda: len(self.partitions(name)) == partitions, f"topic {name}")
        return name

    def partitions(self, topic: str) -> set[int]:
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap)
        try:
            return consumer.partitions_for_topic(topic) or set()
        finally:
            consumer.close()

    def producer(self, **settings) -> KafkaProducer:
        return KafkaProducer(**{"bootstrap_servers": self.bootstrap, "acks": "all", "linger_ms": 5, **settings})

    def consumer(self, *topics, **settings) -> KafkaConsumer:
        config = {"bootstrap_servers": self.bootstrap, "auto_offset_reset": "earliest",
                  "enable_auto_commit": False, "fetch_max_wait_ms": 50}
        return KafkaConsumer(*topics, **{**config, **settings})

    def read_all(self, topic: str, first: int | None = None, **settings) -> list:
        """Everything in the topic now, or from an offset on, in partition order."""
        consumer = self.consumer(**settings)
        messages = []
        try:
            wanted = [TopicPartition(topic, p) for p in sorted(consumer.partitions_for_topic(topic))]
            consumer.assign(wanted)
            ends = consumer.end_offsets(wanted)
            for partition in wanted:
                if first is None:
                    consumer.seek_to_beginning(partition)
                else:
                    consumer.seek(partition, first)

            def drained():
                for records in consumer.poll(100, max_records=1000).values():
                    messages.extend(records)
                return all(consumer.position(p) >= ends[p] for p in wanted)

            wait_until(drained, f"all of {topic}")
        finally:
            consumer.close()
        return sorted(messages, key=lambda m: (m.partition, m.offset))


@pytest.fixture(scope="session")
def broker() -> Broker:
    bootstrap = os.environ.get("BOOTSTRAP")
    if not bootstrap:
        pytest.exit("BOOTSTRAP is not set: run tests/clients/run.sh", returncode=2)
    return Broker(bootstrap)
