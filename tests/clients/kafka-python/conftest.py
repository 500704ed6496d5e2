"""kafka-python against a running broker; BOOTSTRAP is its address.

One set of tests for three majors: what a version has not got is marked with
`since` and not collected for it. That nothing is lost so is tests.allow's care.
"""

import os
import sys
import threading
import uuid
from pathlib import Path

import kafka
import pytest
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import CommitFailedError, RebalanceInProgressError

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
        # Kafka's controller answers before the broker's own view has the topic, and
        # that is there before its partitions take records: a producer before 2.1,
        # which tries nothing twice, would fail. Offsets are told from then on.
        consumer = self.consumer()
        wait_until(lambda: len(consumer.partitions_for_topic(name) or ()) == partitions, f"topic {name}")
        consumer.end_offsets([TopicPartition(name, p) for p in range(partitions)])
        consumer.close()
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

    def committed(self, group: str) -> dict:
        """The group's offsets and what was written beside them, by partition."""
        if VERSION >= (3, 0):
            return self.admin.list_group_offsets([group])[group]
        return self.admin.list_consumer_group_offsets(group)


class Member(ConsumerRebalanceListener):
    """A group member that polls and commits in a thread of its own until it leaves.

    Before 3.0 a poll does not come back until the group has formed, for which
    every other member has to be polling too. Only the thread touches the
    consumer; what it has seen is in `partitions`, `values` and `rebalances`.
    """

    def __init__(self, broker: Broker, group: str, topic: str, assignor, **settings):
        self.partitions, self.values, self.rebalances = set(), set(), 0
        self.failure = None
        self.leaving = threading.Event()
        self.consumer = broker.consumer(
            group_id=group, partition_assignment_strategy=[assignor],
            session_timeout_ms=10_000, heartbeat_interval_ms=300, **settings)
        self.consumer.subscribe([topic], listener=self)
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        try:
            while not self.leaving.is_set():
                self.turn()
            self.consumer.close()
        except BaseException as failure:  # Told by `has` and `left`, in the test's thread.
            self.failure = failure

    def turn(self):
        read = {m.value for records in self.consumer.poll(200).values() for m in records}
        try:
            self.consumer.commit()
        except (CommitFailedError, RebalanceInProgressError):
            pass  # In the middle of a rebalance: a later turn commits.
        self.values = self.values | read
        self.partitions = {p.partition for p in self.consumer.assignment()}

    def on_partitions_revoked(self, revoked):
        pass

    def on_partitions_assigned(self, assigned):
        self.rebalances += 1

    def has(self, partitions: set[int]) -> bool:
        if self.failure:
            raise self.failure
        return self.partitions == partitions

    def left(self):
        """Leaves the group and answers when it has."""
        self.leaving.set()
        self.thread.join(30)
        if self.failure:
            raise self.failure
        assert not self.thread.is_alive(), "a member that does not come back from its poll"


@pytest.fixture
def join(broker):
    """Joins members to groups, and has those leave that are still there at the end."""
    members = []

    def joined(*arguments, **settings) -> Member:
        members.append(Member(broker, *arguments, **settings))
        return members[-1]

    yield joined
    for member in members:  # All at once: none is to wait for another that has gone.
        member.leaving.set()
    for member in members:
        member.left()


@pytest.fixture(scope="session")
def broker() -> Broker:
    bootstrap = os.environ.get("BOOTSTRAP")
    if not bootstrap:
        pytest.exit("BOOTSTRAP is not set: run tests/clients/run.sh", returncode=2)
    return Broker(bootstrap)
