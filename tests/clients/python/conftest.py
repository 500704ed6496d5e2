"""librdkafka (confluent-kafka) against a running broker; BOOTSTRAP is its address."""

import os
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
from servers import wait_until  # noqa: E402


class Broker:
    """Clients for the broker under test, and names that no other test uses."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    @staticmethod
    def name(what: str) -> str:
        return f"{what}-{uuid.uuid4().hex[:8]}"

    def topic(self, what: str, partitions: int = 1, **configs: str) -> str:
        name = self.name(what)
        settings = {key.replace("_", "."): value for key, value in configs.items()}
        futures = self.admin.create_topics([NewTopic(name, partitions, 1, config=settings)])
        futures[name].result(30)
        # Kafka's controller answers before the broker's own view has the topic.
        wait_until(lambda: name in self.admin.list_topics(timeout=30).topics, f"topic {name}")
        return name

    def producer(self, **settings) -> Producer:
        return Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "linger.ms": 5,
                         "delivery.timeout.ms": 30_000, **dotted(settings)})

    def transactional(self, transactional_id: str, **settings) -> Producer:
        producer = self.producer(transactional_id=transactional_id, **settings)
        producer.init_transactions(30)
        return producer

    def consumer(self, **settings) -> Consumer:
        config = {"bootstrap.servers": self.bootstrap, "group.id": self.name("reader"),
                  "auto.offset.reset": "earliest", "enable.auto.commit": False,
                  # What the tests wait for would otherwise sit in a 500 ms poll.
                  "fetch.wait.max.ms": 50}
        return Consumer({**config, **dotted(settings)})

    def read_all(self, topic: str, isolation: str = "read_uncommitted") -> list:
        """Everything in the topic now, to its end at that isolation, in partition order."""
        consumer = self.consumer(isolation_level=isolation, enable_partition_eof=True)
        messages, ended = [], set()
        try:
            partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
            consumer.assign([TopicPartition(topic, p, 0) for p in partitions])

            def drained():
                for message in consumer.consume(1000, timeout=0.2):
                    if message.error() is None:
                        messages.append(message)
                    elif message.error().name() == "_PARTITION_EOF":
                        ended.add(message.partition())
                    else:
                        raise AssertionError(message.error())
                return ended == set(partitions)

            wait_until(drained, f"all of {topic}")
        finally:
            consumer.close()
        return sorted(messages, key=lambda m: (m.partition(), m.offset()))


def dotted(settings: dict) -> dict:
    return {key.replace("_", "."): value for key, value in settings.items()}


@pytest.fixture(scope="session")
def broker() -> Broker:
    bootstrap = os.environ.get("BOOTSTRAP")
    if not bootstrap:
        pytest.exit("BOOTSTRAP is not set: run tests/clients/run.sh", returncode=2)
    return Broker(bootstrap)
