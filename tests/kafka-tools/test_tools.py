"""Kafka's own command line tools on a live server, then on its files.

First the tools that talk to a server, beside traffic of every kind and the
whole Python client suite. Then the server is stopped and DumpLogSegments, the
program behind kafka-dump-log, reads every file that it left: logs, offset and
time indexes, transaction indexes and producer snapshots, in Kafka's own code.
"""

import collections
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from servers import OUTPUT, REPO, java_command, make, wait_until

KIND = os.environ.get("SERVER", "millstream")
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
TOOLS = "org.apache.kafka.tools."
# What DumpLogSegments prints about a file that is not as it should be; its
# exit code stays 0 then.
COMPLAINTS = re.compile(
    r"mismatch|non-consecutive|corrupt|isvalid: false|out of order|larger than|exception|error|invalid|could not",
    re.IGNORECASE)


def run_tool(main_class: str, *arguments: str, timeout_s: int = 120) -> str:
    """Runs one of Kafka's tools; it must succeed, and its output is answered."""
    done = subprocess.run(java_command(main_class, *arguments), capture_output=True, text=True, timeout=timeout_s)
    assert done.returncode == 0, f"{main_class} exited with {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout


class Traffic:
    """What this module wrote itself, so that counts can be compared."""

    def __init__(self, bootstrap: str):
        self.bootstrap = bootstrap
        self.records = collections.Counter()
        self.control = collections.Counter()
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def topic(self, name: str, **configs: str):
        new = NewTopic(name, 1, 1, config={key.replace("_", "."): value for key, value in configs.items()})
        self.admin.create_topics([new])[name].result(30)

    def send(self, topic: str, n: int, bytes_each: int, producer: Producer, batch: int = 50):
        failures = []
        for i in range(n):
            producer.produce(topic, key=f"k{i}", value=os.urandom(bytes_each // 2).hex(),
                             headers=[("n", str(i))], on_delivery=lambda e, _: e and failures.append(e))
            if i % batch == batch - 1:
                producer.flush(30)
        assert producer.flush(30) == 0 and failures == []
        self.records[topic] += n

    def producer(self, **settings) -> Producer:
        return Producer({"bootstrap.servers": self.bootstrap, "acks": "all", "enable.idempotence": True,
                         **{key.replace("_", "."): value for key, value in settings.items()}})

    def codecs(self):
        for codec in CODECS:
            self.topic(f"codec-{codec}")
            self.send(f"codec-{codec}", 500, 300, self.producer(compression_type=codec))

    def rolled(self):
        """Several segments, and enough batches for many index entries."""
        self.topic("rolled", segment_bytes=str(1 << 20))
        self.send("rolled", 4000, 1000, self.producer(compression_type="none"), batch=20)

    def killed(self, server):
        """SIGKILL in the middle of it: recovery must leave files that Kafka reads."""
        self.topic("killed", segment_bytes=str(1 << 20))
        producer, outcomes = self.producer(linger_ms=1, delivery_timeout_ms=120_000), collections.Counter()

        def count(error, _message):
            outcomes["failed" if error else "stored"] += 1

        for i in range(4000):
            producer.produce("killed", value=os.urandom(500).hex(), on_delivery=count)
            producer.poll(0)
            if i == 2500:
                wait_until(lambda: producer.poll(0.01) is not None and outcomes["stored"] > 1000, "1,000 records stored")
                server.kill()
                server.start()
        assert producer.flush(120) == 0 and outcomes == {"stored": 4000}, outcomes
        self.records["killed"] += 4000

    def transactions(self):
        self.topic("transacted")
        producer = self.producer(transactional_id="tools-transaction")
        producer.init_transactions(30)
        for round_number in range(10):
            producer.begin_transaction()
            self.send("transacted", 20, 100, producer)
            if round_number % 3:
                producer.commit_transaction(30)
            else:
                producer.abort_transaction(30)
            self.control["transacted"] += 1

    def commits(self):
        consumer = Consumer({"bootstrap.servers": self.bootstrap, "group.id": "tools-group",
                             "enable.auto.commit": False})
        consumer.commit(offsets=[TopicPartition("rolled", 0, 1234, "by the tools test")], asynchronous=False)
        consumer.close()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with make(KIND, tmp_path_factory.mktemp("tools") / "data") as running:
        yield running


@pytest.fixture(scope="module")
def traffic(server):
    traffic = Traffic(server.bootstrap)
    traffic.codecs()
    traffic.rolled()
    traffic.killed(server)
    traffic.transactions()
    traffic.commits()
    return traffic


def test_the_client_suite_passes_on_this_server(server, traffic):
    done = subprocess.run([sys.executable, "-m", "pytest", str(REPO / "tests/clients/python")],
                          env={**os.environ, "BOOTSTRAP": server.bootstrap}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]


def test_broker_api_versions_lists_every_api_as_usable(server):
    output = run_tool(TOOLS + "BrokerApiVersionsCommand", "--bootstrap-server", server.bootstrap)
    for api in ("Produce(0)", "Fetch(1)", "Metadata(3)", "JoinGroup(11)", "EndTxn(26)"):
        line = next(line for line in output.splitlines() if api in line)
        assert "usable:" in line, line


def test_topics_are_listed_and_described(server, traffic):
    listed = run_tool(TOOLS + "TopicCommand", "--bootstrap-server", server.bootstrap, "--list")
    assert set(traffic.records) <= set(listed.split())
    described = run_tool(TOOLS + "TopicCommand", "--bootstrap-server", server.bootstrap,
                         "--describe", "--topic", "rolled")
    assert "PartitionCount: 1" in described and "segment.bytes=1048576" in described, described


def test_get_offsets_tells_the_ends(server, traffic):
    output = run_tool(TOOLS + "GetOffsetShell", "--bootstrap-server", server.bootstrap, "--time", "latest")
    ends = dict(line.rsplit(":", 1) for line in output.split() if line.count(":") == 2)
    for topic, count in traffic.records.items():
        assert int(ends[f"{topic}:0"]) == count + traffic.control[topic], topic


def test_consumer_groups_are_described(server, traffic):
    output = run_tool(TOOLS + "consumer.group.ConsumerGroupCommand", "--bootstrap-server", server.bootstrap,
                      "--describe", "--group", "tools-group")
    fields = next(line.split() for line in output.splitlines() if "rolled" in line)
    assert "1234" in fields and str(4000 - 1234) in fields, output


def test_configs_are_described(server, traffic):
    output = run_tool("kafka.admin.ConfigCommand", "--bootstrap-server", server.bootstrap,
                      "--describe", "--entity-type", "topics", "--entity-name", "rolled")
    assert "segment.bytes=1048576" in output, output


def test_perf_producer_and_consumer_move_twenty_thousand_records(server, traffic):
    traffic.topic("perf")
    output = run_tool(TOOLS + "ProducerPerformance", "--topic", "perf", "--num-records", "20000",
                      "--record-size", "200", "--throughput", "-1", "--bootstrap-server", server.bootstrap,
                      "--command-property", "compression.type=lz4")
    assert "20000 records sent" in output, output
    traffic.records["perf"] += 20000
    output = run_tool(TOOLS + "ConsumerPerformance", "--topic", "perf", "--num-records", "20000",
                      "--bootstrap-server", server.bootstrap, "--timeout", "30000")
    row = output.strip().splitlines()[-1].split(", ")
    assert int(row[4]) >= 20000, output


# ------------------------------------------------------------ administration

def rows(output: str) -> list[str]:
    return [line.strip() for line in output.splitlines() if line.strip()]


@pytest.fixture(scope="module")
def timed(server, traffic):
    """A topic whose second record has the largest timestamp."""
    traffic.topic("timed", retention_ms="-1")
    producer = traffic.producer(linger_ms=0)
    for timestamp in (1_000, 5_000, 3_000):
        producer.produce("timed", value=b"x", timestamp=timestamp)
        assert producer.flush(30) == 0
    traffic.records["timed"] += 3
    return "timed"


@pytest.mark.parametrize("time, expected", [
    ("earliest", "timed:0:0"), ("latest", "timed:0:3"), ("max-timestamp", "timed:0:1"),
    ("earliest-local", "timed:0:0"), ("-2", "timed:0:0"), ("-1", "timed:0:3"), ("1001", "timed:0:1"),
    # Nothing is in tiered storage, nor on its way there; nothing is as late.
    ("latest-tiered", None), ("earliest-pending-upload", None), ("5001", None),
])
def test_get_offsets_answers_every_time(server, timed, time, expected):
    output = run_tool(TOOLS + "GetOffsetShell", "--bootstrap-server", server.bootstrap,
                      "--topic", timed, "--time", time)
    assert rows(output) == ([expected] if expected else []), output


def test_log_dirs_tell_the_size_of_every_partition(server, traffic):
    output = run_tool(TOOLS + "LogDirsCommand", "--bootstrap-server", server.bootstrap,
                      "--describe", "--topic-list", "rolled,codec-lz4")
    [broker] = json.loads(rows(output)[-1])["brokers"]
    [log_dir] = broker["logDirs"]
    sizes = {p["partition"]: p["size"] for p in log_dir["partitions"]}
    assert log_dir["error"] is None and set(sizes) == {"rolled-0", "codec-lz4-0"}, output
    on_disk = sum(f.stat().st_size for f in (server.log_dir() / "rolled-0").glob("*.log"))
    assert sizes["rolled-0"] == on_disk >= 4000 * 1000


def test_delete_records_moves_the_start_of_the_log(server, traffic, tmp_path):
    traffic.topic("trimmed")
    traffic.send("trimmed", 100, 50, traffic.producer())
    wanted = tmp_path / "offsets.json"
    wanted.write_text(json.dumps({"version": 1, "partitions": [{"topic": "trimmed", "partition": 0, "offset": 60}]}))
    output = run_tool(TOOLS + "DeleteRecordsCommand", "--bootstrap-server", server.bootstrap,
                      "--offset-json-file", str(wanted))
    assert re.search(r"partition: trimmed-0\s+low_watermark: 60", output), output
    output = run_tool(TOOLS + "GetOffsetShell", "--bootstrap-server", server.bootstrap,
                      "--topic", "trimmed", "--time", "earliest")
    assert rows(output) == ["trimmed:0:60"]


def test_topics_are_created_grown_filtered_and_deleted(server, traffic):
    def topics(*arguments: str) -> str:
        return run_tool(TOOLS + "TopicCommand", "--bootstrap-server", server.bootstrap, *arguments)

    topics("--create", "--topic", "by-tool", "--partitions", "2", "--config", "retention.ms=60000")
    topics("--alter", "--topic", "by-tool", "--partitions", "3")
    described = topics("--describe", "--topic", "by-tool")
    assert "PartitionCount: 3" in described and "retention.ms=60000" in described, described
    for problem in ("--under-replicated-partitions", "--unavailable-partitions", "--under-min-isr-partitions"):
        assert rows(topics("--describe", problem)) == []
    # One replica in sync, and one is the minimum.
    assert len(rows(topics("--describe", "--topic", "by-tool", "--at-min-isr-partitions"))) == 3
    topics("--delete", "--topic", "by-tool")
    assert "by-tool" not in topics("--list").split()


def test_configs_are_altered_and_go_back_to_their_defaults(server, traffic):
    def configs(*arguments: str) -> str:
        return run_tool("kafka.admin.ConfigCommand", "--bootstrap-server", server.bootstrap, *arguments)

    traffic.topic("configured")
    for kind, name, key, value in [("topics", "configured", "max.message.bytes", "5000"),
                                   ("brokers", "1", "log.retention.ms", "7200000"),
                                   ("groups", "configured", "consumer.session.timeout.ms", "50000")]:
        entity = ("--entity-type", kind, "--entity-name", name)
        configs("--alter", *entity, "--add-config", f"{key}={value}")
        assert f"{key}={value}" in configs("--describe", *entity)
        assert f"{key}=" in configs("--describe", "--all", *entity)
        # All of a kind, which the tool asks the broker for.
        assert f"{key}={value}" in configs("--describe", "--entity-type", kind)
        configs("--alter", *entity, "--delete-config", key)
        assert f"{key}={value}" not in configs("--describe", *entity)
    # There are none, and asking for them is no error.
    assert rows(configs("--describe", "--entity-type", "client-metrics")) == []


def test_the_metadata_quorum_is_described(server):
    def quorum(*arguments: str) -> str:
        return run_tool(TOOLS + "MetadataQuorumCommand", "--bootstrap-server", server.bootstrap,
                        "describe", *arguments)

    status = dict(re.findall(r"^(\w+):\s+(.*)$", quorum("--status"), re.M))
    assert status["LeaderId"] == "1" and status["MaxFollowerLag"] == "0", status
    assert int(status["HighWatermark"]) > 0 and int(status["LeaderEpoch"]) > 0
    assert [voter["id"] for voter in json.loads(status["CurrentVoters"])] == [1]
    _, voter = rows(quorum("--replication"))
    node, _, _, lag, *_, role = voter.split()
    assert (node, lag, role) == ("1", "0", "Leader"), voter


def test_no_leader_needs_to_be_elected(server, traffic):
    def elect(*arguments: str) -> str:
        return run_tool(TOOLS + "LeaderElectionCommand", "--bootstrap-server", server.bootstrap,
                        "--election-type", "preferred", *arguments)

    assert rows(elect("--all-topic-partitions")) == []
    assert "already elected" in elect("--topic", "rolled", "--partition", "0")


def test_reassignments_are_verified_and_can_lead_nowhere_else(server, traffic, tmp_path):
    def reassign(*arguments: str, replicas: list[int]) -> subprocess.CompletedProcess:
        wanted = tmp_path / "reassignment.json"
        partition = {"topic": "rolled", "partition": 0, "replicas": replicas}
        wanted.write_text(json.dumps({"version": 1, "partitions": [partition]}))
        command = java_command(TOOLS + "reassign.ReassignPartitionsCommand", "--bootstrap-server", server.bootstrap,
                               "--reassignment-json-file", str(wanted), *arguments)
        return subprocess.run(command, capture_output=True, text=True, timeout=120)

    done = reassign("--verify", replicas=[1])
    assert done.returncode == 0 and "Reassignment of partition rolled-0 is completed." in done.stdout, done
    done = reassign("--execute", replicas=[1])
    assert done.returncode == 0 and "Successfully started partition reassignment" in done.stdout, done
    done = reassign("--execute", replicas=[1, 2])
    assert done.returncode != 0, done
    output = run_tool(TOOLS + "reassign.ReassignPartitionsCommand", "--bootstrap-server", server.bootstrap, "--list")
    assert "No partition reassignments found." in output


def test_the_cluster_tells_its_id_and_its_endpoints(server, traffic):
    def cluster(command: str) -> str:
        return run_tool(TOOLS + "ClusterTool", command, "--bootstrap-server", server.bootstrap)

    assert re.search(r"Cluster ID: [\w-]{22}$", cluster("cluster-id").strip())
    port = server.bootstrap.rpartition(":")[2]
    endpoint = rows(cluster("list-endpoints"))[1].split()
    assert endpoint[:3] == ["1", "127.0.0.1", port] and "broker" in endpoint, endpoint


# ------------------------------------------------------------ the files

class Dump:
    """The files of the stopped server, and DumpLogSegments' words about them."""

    def __init__(self, log_dir: Path):
        self.log_dir = log_dir
        self.partitions = sorted(p for p in log_dir.glob("*-[0-9]*") if p.is_dir())
        assert self.partitions, log_dir

    def files(self, suffix: str, only=lambda partition: True) -> list[Path]:
        return [file for partition in self.partitions if only(partition) and is_kafka_log(partition)
                for file in sorted(partition.glob(f"*{suffix}"))]

    def dump(self, files: list[Path], *options: str) -> str:
        """Reads many files in one JVM; nothing in the output may be a complaint."""
        assert files
        output = run_tool(TOOLS + "DumpLogSegments", "--files", ",".join(map(str, files)), *options, timeout_s=300)
        (OUTPUT / f"dump-{files[0].suffix[1:]}{'-'.join(options)}.txt").write_text(output)
        # Payloads are not printed without --print-data-log, so any such word is the tool's own.
        found = [line for line in output.splitlines() if COMPLAINTS.search(re.sub(r"Dumping .*", "", line))]
        assert not found, "\n".join(found[:20])
        dumped = output.count("Dumping ")
        assert dumped == len(files), f"{dumped} of {len(files)} files were read"
        return output


def is_kafka_log(partition: Path) -> bool:
    # Kafka's own metadata log has another record format and its own decoder;
    # deleted topics are renamed first and removed a minute later.
    return partition.name != "__cluster_metadata-0" and not partition.name.endswith("-delete")


@pytest.fixture(scope="module")
def dump(server, traffic):
    log_dir = server.log_dir()
    if server.is_running():
        code = server.stop()
        assert code == 0 or KIND == "kafka", f"the server stopped with {code}"
    return Dump(log_dir)


def of_topic(name: str):
    return lambda partition: partition.name.rpartition("-")[0] == name


def counts(output: str) -> tuple[int, int]:
    """Data records and control records in a deep dump of one partition."""
    records = re.findall(r"^\| offset: \d+ .*$", output, re.M)
    control = sum("endTxnMarker" in line for line in records)
    return len(records) - control, control


def test_every_log_file_is_read_without_complaint(dump):
    output = dump.dump(dump.files(".log"), "--deep-iteration")
    assert "isvalid: true" in output


def test_record_counts_are_what_was_produced(dump, traffic):
    for topic, count in traffic.records.items():
        output = dump.dump(dump.files(".log", of_topic(topic)), "--deep-iteration")
        assert counts(output) == (count, traffic.control[topic]), topic


def test_the_small_segments_rolled(dump):
    assert len(dump.files(".log", of_topic("rolled"))) >= 4


def test_every_offset_index_points_at_its_batches(dump):
    output = dump.dump(dump.files(".index"))
    assert len(re.findall(r"^offset: \d+ position: \d+", output, re.M)) >= 100


def test_every_offset_index_passes_kafkas_sanity_check(dump):
    output = dump.dump(dump.files(".index"), "--index-sanity-check")
    assert "passed sanity check" in output


def test_every_time_index_points_at_its_batches(dump):
    dump.dump(dump.files(".timeindex"))


def test_aborted_transactions_are_in_the_transaction_index(dump):
    output = dump.dump(dump.files(".txnindex", of_topic("transacted")))
    assert len(re.findall(r"producerId: \d+", output)) == 4, output


def test_producer_snapshots_are_read(dump):
    snapshots = dump.files(".snapshot")
    output = dump.dump(snapshots)
    assert re.search(r"producerId: \d+ producerEpoch: \d+", output), output[:1000]


def test_committed_offsets_are_in_kafkas_own_format(dump):
    output = dump.dump(dump.files(".log", of_topic("__consumer_offsets")), "--offsets-decoder")
    line = next(line for line in output.splitlines() if "tools-group" in line and "rolled" in line)
    assert "1234" in line and "by the tools test" in line, line


def test_transaction_state_is_in_kafkas_own_format(dump):
    output = dump.dump(dump.files(".log", of_topic("__transaction_state")), "--transaction-log-decoder")
    states = [line for line in output.splitlines() if "tools-transaction" in line]
    # TransactionState.java: 4 is CompleteCommit, 5 CompleteAbort.
    ended = [status for line in states for status in re.findall(r'"transactionStatus":([45])', line)]
    assert collections.Counter(ended) == {"4": 6, "5": 4}, states[:3]
