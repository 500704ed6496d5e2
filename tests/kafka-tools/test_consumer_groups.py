"""Consumer groups of KIP-848 in Kafka's own tools, and through kill -9.

librdkafka members in a group of the new protocol: what Kafka's commands say of
it, that a server that was killed goes on with it as if nothing had happened,
and that DumpLogSegments reads the group's records.
"""

import collections
import json
import os
import re

import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient, NewTopic

from servers import make, wait_until
from test_tools import TOOLS, Dump, of_topic, run_tool

KIND = os.environ.get("SERVER", "millstream")
GROUP = "tools-group-848"
PARTITIONS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with make(KIND, tmp_path_factory.mktemp("groups") / "data") as running:
        admin = AdminClient({"bootstrap.servers": running.bootstrap})
        admin.create_topics([NewTopic("kip-848", PARTITIONS, 1)])["kip-848"].result(30)
        wait_until(lambda: "kip-848" in admin.list_topics(timeout=30).topics, "the topic")
        yield running


class Member:
    """A member that counts what its group tells it."""

    def __init__(self, server, instance: str):
        self.told = collections.Counter()
        self.owned = set()
        self.read = 0
        self.consumer = Consumer({
            "bootstrap.servers": server.bootstrap, "group.id": GROUP, "group.protocol": "consumer",
            "group.instance.id": instance, "log_level": 0, "auto.offset.reset": "earliest", "enable.auto.commit": False})
        self.consumer.subscribe(["^kip-.*"], on_assign=self.assigned, on_revoke=self.revoked, on_lost=self.lost)

    def assigned(self, consumer, partitions):
        self.told["assigned"] += 1
        self.owned |= {p.partition for p in partitions}
        consumer.incremental_assign(partitions)

    def revoked(self, consumer, partitions):
        self.told["revoked"] += 1
        self.owned -= {p.partition for p in partitions}
        consumer.incremental_unassign(partitions)

    def lost(self, consumer, partitions):
        self.told["lost"] += 1
        self.owned -= {p.partition for p in partitions}
        consumer.incremental_unassign(partitions)

    def turn(self):
        for message in self.consumer.consume(100, 0.05):
            if message.error() is None:
                self.read += 1
        return self.owned


@pytest.fixture(scope="module")
def members(server):
    both = [Member(server, "one"), Member(server, "two")]
    # Records come after the assignment, or the first member may read what the second reads again.
    wait_until(lambda: all([len(member.turn()) == PARTITIONS // 2 for member in both]), "two members with two partitions each")
    produce(server, 100)
    wait_until(lambda: all([member.turn() for member in both]) and sum(member.read for member in both) == 100, "all read")
    for member in both:
        member.consumer.commit(asynchronous=False)
    yield both
    for member in both:
        member.consumer.close()


def produce(server, n: int):
    producer = Producer({"bootstrap.servers": server.bootstrap, "delivery.timeout.ms": 30_000, "log_level": 0})
    for i in range(n):
        producer.produce("kip-848", f"v{i}", partition=i % PARTITIONS)
    assert producer.flush(30) == 0


def describe(server, *options: str) -> str:
    return run_tool(TOOLS + "consumer.group.ConsumerGroupCommand", "--bootstrap-server", server.bootstrap,
                    "--describe", "--group", GROUP, *options)


def epochs(server) -> dict[str, str]:
    """Member epochs by instance id, as kafka-consumer-groups tells them."""
    lines = [line.split() for line in describe(server, "--members", "--verbose").splitlines() if line.strip()]
    header = next(line for line in lines if "CURRENT-EPOCH" in line)
    columns = {name: header.index(name) for name in ("GROUP-INSTANCE-ID", "CURRENT-EPOCH")}
    rows = [line for line in lines if line[0] == GROUP]
    return {row[columns["GROUP-INSTANCE-ID"]]: row[columns["CURRENT-EPOCH"]] for row in rows}


def test_the_commands_tell_the_group_its_state_its_members_and_its_lag(server, members):
    listed = run_tool(TOOLS + "GroupsCommand", "--bootstrap-server", server.bootstrap, "--list")
    row = next(line.split() for line in listed.splitlines() if GROUP in line)
    assert row[1:3] == ["Consumer", "consumer"], listed
    state = describe(server, "--state", "--verbose")
    assert re.search(rf"{GROUP}.* uniform .*Stable .*2", state), state
    assert set(epochs(server)) == {"one", "two"}
    lag = [line.split() for line in describe(server).splitlines() if "kip-848" in line]
    assert len(lag) == PARTITIONS and all("25" in row and "0" in row for row in lag), lag


def test_members_of_a_killed_server_go_on_without_a_rebalance(server, members):
    before, told = epochs(server), [dict(member.told) for member in members]
    owned = [set(member.owned) for member in members]
    server.kill()
    server.start()
    produce(server, 100)
    wait_until(lambda: [member.turn() for member in members] and sum(m.read for m in members) == 200,
               "the records after the kill", timeout_s=60)
    # Long enough for a heartbeat, which is every five seconds: it would tell of a rebalance.
    wait_until(lambda: [member.turn() for member in members] and epochs(server) == before, "the same epochs")
    assert [dict(member.told) for member in members] == told, "nobody was told anything"
    assert [member.owned for member in members] == owned


def test_the_groups_records_are_in_kafkas_own_format(server, members):
    log_dir = server.log_dir()
    code = server.stop()
    assert code == 0 or KIND == "kafka", f"the server stopped with {code}"
    dump = Dump(log_dir)
    output = dump.dump(dump.files(".log", of_topic("__consumer_offsets")), "--offsets-decoder")
    records = collections.defaultdict(list)
    for key, payload in re.findall(r"key: (\{.*?\}) payload: (\{.*\}|<DELETE>)$", output, re.M):
        key = json.loads(key)
        if GROUP in json.dumps(key):
            records[int(key["type"])].append((key, None if payload == "<DELETE>" else json.loads(payload)))
    assert {1, 3, 5, 6, 7, 8, 16} <= set(records), sorted(records)
    values = [value["data"] for _, value in records[5] if value]
    assert {value["instanceId"] for value in values} == {"one", "two"}
    assert {value["subscribedTopicRegex"] for value in values} == {"(^kip-.*)"}
    assert any(value["data"]["topics"] == ["kip-848"] for _, value in records[16] if value)
    current = [value["data"] for _, value in records[8] if value]
    assert any(len(topic["partitions"]) == 2 for value in current for topic in value["assignedPartitions"])
