"""Kafka's own tools on transactions: features, `kafka-transactions`, and the
formatter of `__transaction_state`, beside clients of both versions: librdkafka
speaks `transaction.version` 1, the tools' own Java producer version 2.
"""

import json
import os
import re
import subprocess

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from servers import java_command, make, wait_until

KIND = os.environ.get("SERVER", "millstream")
TOOLS = "org.apache.kafka.tools."


def run_tool(main_class: str, *arguments: str, timeout_s: int = 120) -> str:
    """Runs one of Kafka's tools; it must succeed, and its output is answered."""
    done = subprocess.run(java_command(main_class, *arguments), capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{main_class} exited with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with make(KIND, tmp_path_factory.mktemp("transactions") / "data") as running:
        yield running


class Clients:
    """One transaction of each version that is over, and one that is left open."""

    TOPIC = "transacted"

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.create(self.TOPIC)
        self.ended = self.begin("v1-ended")
        self.ended.commit_transaction(30)
        self.v2()
        self.open = self.begin("v1-open")

    def create(self, topic: str):
        self.admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(30)

    def begin(self, transactional_id: str, topic: str = TOPIC) -> Producer:
        producer = Producer({"bootstrap.servers": self.bootstrap, "transactional.id": transactional_id,
                             # A JVM a tool takes its time; nothing shall time out meanwhile.
                             "transaction.timeout.ms": 600_000,
                             # Its server is killed on purpose: no word about that.
                             "log_level": 0})
        producer.init_transactions(30)
        producer.begin_transaction()
        producer.produce(topic, value=transactional_id)
        assert producer.flush(30) == 0
        return producer

    def v2(self):
        """Many short transactions of Kafka's own producer: each bumps the epoch."""
        run_tool(TOOLS + "ProducerPerformance", "--topic", self.TOPIC, "--num-records", "40", "--record-size", "10",
                 "--throughput", "40", "--bootstrap-server", self.bootstrap,
                 "--transactional-id", "v2-ended", "--transaction-duration-ms", "50")

    def last_stable_offset(self, topic: str = TOPIC) -> int:
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "reader",
                             "isolation.level": "read_committed"})
        try:
            return consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=30)[1]
        finally:
            consumer.close()


@pytest.fixture(scope="module")
def clients(server):
    return Clients(server.bootstrap)


def transactions(server, *arguments: str) -> list[dict[str, str]]:
    """The rows of one `kafka-transactions` command, by column."""
    output = run_tool(TOOLS + "TransactionsCommand", "--bootstrap-server", server.bootstrap, *arguments)
    lines = [line.split("\t") for line in output.splitlines() if "\t" in line]
    if not lines:
        return []
    head, *rows = [[cell.strip() for cell in line] for line in lines]
    return [dict(zip(head, row)) for row in rows]


def test_features_are_described(server):
    output = run_tool(TOOLS + "FeatureCommand", "--bootstrap-server", server.bootstrap, "describe")
    line = next(line for line in output.splitlines() if "transaction.version" in line)
    assert re.search(r"SupportedMinVersion: 0\s+SupportedMaxVersion: 2\s+FinalizedVersionLevel: 2\s+Epoch: \d+", line), line


def test_transactions_are_listed(server, clients):
    rows = {row["TransactionalId"]: row["TransactionState"] for row in transactions(server, "list")}
    assert rows == {"v1-ended": "CompleteCommit", "v2-ended": "CompleteCommit", "v1-open": "Ongoing"}


def test_transactions_are_listed_by_duration_and_pattern(server, clients):
    assert transactions(server, "list", "--duration-filter", "3600000") == []
    rows = transactions(server, "list", "--transactional-id-pattern", "v1-.*")
    assert {row["TransactionalId"] for row in rows} == {"v1-ended", "v1-open"}


def test_version_2_bumps_the_epoch_with_every_transaction_and_version_1_does_not(server, clients):
    def epoch(transactional_id):
        return int(transactions(server, "describe", "--transactional-id", transactional_id)[0]["ProducerEpoch"])
    assert epoch("v1-ended") == 0
    assert 1 < epoch("v2-ended") <= 40


def test_an_open_transaction_is_described(server, clients):
    row, = transactions(server, "describe", "--transactional-id", "v1-open")
    assert (row["TransactionState"], row["TopicPartitions"]) == ("Ongoing", "transacted-0"), row
    assert int(row["CurrentTransactionStartTimeMs"]) > 0, row


def test_producers_are_described_with_the_start_of_the_open_transaction(server, clients):
    rows = transactions(server, "describe-producers", "--topic", Clients.TOPIC, "--partition", "0")
    assert len(rows) == 3
    starts = [row["CurrentTransactionStartOffset"] for row in rows]
    assert starts.count("None") == 2, rows


def test_what_its_coordinator_knows_does_not_hang(server, clients):
    assert transactions(server, "find-hanging", "--topic", Clients.TOPIC, "--partition", "0",
                        "--max-transaction-timeout", "0") == []


def test_kafkas_formatter_reads_transaction_state(server, clients):
    output = run_tool(TOOLS + "consumer.ConsoleConsumer", "--bootstrap-server", server.bootstrap,
                      "--topic", "__transaction_state", "--from-beginning", "--timeout-ms", "8000",
                      "--formatter", TOOLS + "consumer.TransactionLogMessageFormatter")
    assert '"transactionalId":"v2-ended"' in output and '"transactionalId":"v1-open"' in output, output[:2000]
    # The formatter puts no line ends between records.
    records = re.findall(r'{"key":.*?}}}(?={"key"|\s|$)', output)

    def of(transactional_id: str) -> list[dict]:
        values = [json.loads(record) for record in records]
        return [value["value"]["data"] for value in values if value["key"]["data"]["transactionalId"] == transactional_id]

    assert all(json.loads(record)["value"]["version"] == 1 for record in records), output[:500]
    v2, v1 = of("v2-ended"), of("v1-ended")
    states = [value["transactionStatus"] for value in v2]
    # Empty, then for each transaction Ongoing, PrepareCommit, CompleteCommit.
    assert states == [0] + [1, 2, 4] * (len(states) // 3), states
    epochs = [value["producerEpoch"] for value in v2]
    assert epochs == [0] + [epoch for n in range(len(states) // 3) for epoch in (n, n + 1, n + 1)], epochs
    assert all(value.get("clientTransactionVersion") == 2 for value in v2[1:]), v2[1]
    assert all(value["previousProducerId"] == value["producerId"] for value in v2 + v1), v1
    assert [(value["transactionStatus"], value["producerEpoch"], value.get("clientTransactionVersion")) for value in v1] \
        == [(0, 0, None), (1, 0, None), (2, 0, None), (4, 0, None)], v1
    began = [value["transactionStartTimestampMs"] for value in v1]
    assert began[0] == -1 and began[1] == began[2] == began[3] > 0, v1
    assert v1[0].get("transactionPartitions") is None and v1[3]["transactionPartitions"] == [], v1


def test_an_operator_aborts_an_open_transaction(server, clients):
    start, = [row["CurrentTransactionStartOffset"]
              for row in transactions(server, "describe-producers", "--topic", Clients.TOPIC, "--partition", "0")
              if row["CurrentTransactionStartOffset"] != "None"]
    assert clients.last_stable_offset() == int(start)
    run_tool(TOOLS + "TransactionsCommand", "--bootstrap-server", server.bootstrap, "abort",
             "--topic", Clients.TOPIC, "--partition", "0", "--start-offset", start)
    wait_until(lambda: clients.last_stable_offset() == int(start) + 2, "the last stable offset moves over record and marker")
    rows = transactions(server, "describe-producers", "--topic", Clients.TOPIC, "--partition", "0")
    assert all(row["CurrentTransactionStartOffset"] == "None" for row in rows), rows


def test_a_transaction_outlives_sigkill_between_produce_and_commit(server, clients):
    """The coordinator remembers the open transaction, and the next producer of the id ends it."""
    clients.create("killed-v1")
    producer = clients.begin("killed", "killed-v1")
    server.kill()
    server.start()
    wait_until(lambda: any(row["TransactionalId"] == "killed" and row["TransactionState"] == "Ongoing"
                           for row in transactions(server, "list")), "the transaction is open still")
    assert clients.last_stable_offset("killed-v1") == 0
    producer.commit_transaction(60)
    # Kafka answers before the markers are written.
    wait_until(lambda: clients.last_stable_offset("killed-v1") == 2, "record and marker are visible")
    row, = transactions(server, "describe", "--transactional-id", "killed")
    assert row["TransactionState"] == "CompleteCommit", row


def test_kafkas_own_producer_commits_everything_once_over_a_sigkill(server, clients):
    """Version 2: bumps and retried ends over a restart."""
    clients.create("killed-v2")

    def committed() -> list[bytes]:
        consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "killed-v2-reader", "log_level": 0,
                             "isolation.level": "read_committed", "enable.partition.eof": True})
        consumer.assign([TopicPartition("killed-v2", 0, 0)])
        values = []
        try:
            while (message := consumer.poll(30)) is not None:
                if message.error():
                    assert message.error().code() == KafkaError._PARTITION_EOF, message.error()
                    break
                values.append(message.value())
            return values
        finally:
            consumer.close()

    producing = subprocess.Popen(java_command(
        TOOLS + "ProducerPerformance", "--topic", "killed-v2", "--num-records", "300", "--record-size", "40",
        "--throughput", "40", "--bootstrap-server", server.bootstrap,
        "--transactional-id", "killed-v2", "--transaction-duration-ms", "40"), stdout=subprocess.PIPE, text=True)
    try:
        wait_until(lambda: len(committed()) > 20, "the first transactions are committed", 60)
        server.kill()
        server.start()
        output, _ = producing.communicate(timeout=120)
    finally:
        producing.kill()
    assert producing.returncode == 0 and "300 records sent" in output, output
    wait_until(lambda: len(committed()) == 300, "all is committed")
    assert len(set(committed())) == 300
