"""Three nodes of Apache Kafka, each broker and controller: topics have three
replicas of which two must be in sync, so one node may be away."""

from __future__ import annotations

import time
from pathlib import Path

from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from servers import KAFKA_JVM, ApacheKafka, java_command, wait_until

NODES = 3


class Node(ApacheKafka):
    """One of the nodes; it needs little memory."""

    def command(self) -> list[str]:
        self.format()
        jvm = [option for option in KAFKA_JVM if not option.startswith("-Xm")]
        return java_command("kafka.Kafka", str(self.properties_path), jvm=["-Xmx384M", *jvm], level="INFO")


class Cluster:
    """Starts the nodes; each can be killed and started again."""

    def __init__(self, data_dir: Path):
        self.nodes = [Node(data_dir / f"node-{n}") for n in range(1, NODES + 1)]
        voters = ",".join(f"{n}@127.0.0.1:{node.controller_port}" for n, node in enumerate(self.nodes, 1))
        for n, node in enumerate(self.nodes, 1):
            node.overrides = {
                "node.id": str(n),
                "controller.quorum.voters": voters,
                "default.replication.factor": "3",
                "min.insync.replicas": "2",
                "offsets.topic.replication.factor": "3",
                "offsets.topic.num.partitions": "4",
                "transaction.state.log.replication.factor": "3",
                "transaction.state.log.min.isr": "2",
                "transaction.state.log.num.partitions": "4",
                # How long the cluster takes to notice that a broker is gone.
                # Kafka's own 9 s and a controller's election leave nothing of
                # the 10 s that are measured here.
                "broker.session.timeout.ms": "3000",
                "broker.heartbeat.interval.ms": "500",
            }

    @property
    def bootstrap(self) -> str:
        return ",".join(node.bootstrap for node in self.nodes)

    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap, "log_level": 0, "reconnect.backoff.max.ms": 1000})

    def create(self, **partitions: int):
        topics = [NewTopic(name, count, NODES) for name, count in partitions.items()]
        admin = self.admin()
        for future in admin.create_topics(topics).values():
            future.result(60)

    def wait_in_sync(self):
        """Returns when every partition has all its replicas in sync."""
        admin = self.admin()

        def in_sync():
            try:
                names = list(admin.list_topics(timeout=5).topics)
                described = admin.describe_topics(TopicCollection(names), request_timeout=5)
                partitions = [p for future in described.values() for p in future.result(10).partitions]
            except Exception:
                # A cluster on its way back answers in many ways.
                return False
            return all(p.leader is not None and len(p.isr) == NODES for p in partitions)
        wait_until(in_sync, "all replicas are in sync", 120, pause_s=0.5)

    def __enter__(self) -> "Cluster":
        try:
            # None is ready before a majority is there.
            for node in self.nodes:
                node.spawn(node.command())
            for node in self.nodes:
                node.wait_ready(120)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        # They hold each other up when asked to stop one by one.
        for node in self.nodes:
            node.kill()


def pause(seconds: float):
    """Lets the cluster be as it is for a while; decides nothing."""
    time.sleep(seconds)
