"""The cleaner against Kafka's own: the same records leave the same records.

Both servers get the same batches with the same timestamps, so their segments
roll at the same offsets; after each roll the test waits until the cleaner's
own checkpoint file says that all closed segments are clean. What is left is
then compared record by record, control records included, as Kafka's
DumpLogSegments reads them; and a real Kafka broker serves the folder that our
cleaner has left.
"""

import os
import re
import shutil
import time
from pathlib import Path

import pytest
from confluent_kafka import Consumer, IsolationLevel, Producer, TopicPartition
from confluent_kafka.admin import (AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic, OffsetSpec, ResourceType)

from servers import ApacheKafka, make, wait_until
from test_tools import COMPLAINTS, TOOLS, run_tool

KIND = os.environ.get("SERVER", "millstream")
# A segment takes records of less than this span. Transaction markers carry the
# server's own time, so it is longer than these tests take.
SEGMENT_MS = 1_800_000
# The same on both sides.
BASE_MS = int(time.time() * 1000)
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


class Side:
    """One server, and the same records on it as on the other."""

    def __init__(self, server):
        self.server = server
        self.admin = AdminClient({"bootstrap.servers": server.bootstrap})
        self.producers = {codec: self.producer(codec) for codec in CODECS}
        self.transactional = self.producer("none", **{"transactional.id": "compaction"})
        self.transactional.init_transactions(30)
        self.now_ms = BASE_MS
        # Records and markers written to the topic of the moment.
        self.end = 0

    def producer(self, codec: str, **more) -> Producer:
        return Producer({"bootstrap.servers": self.server.bootstrap, "acks": "all", "enable.idempotence": True,
                         "compression.type": codec, "linger.ms": 100, **more})

    def topic(self, name: str, **configs: str):
        configs = {"cleanup.policy": "compact", "segment.ms": str(SEGMENT_MS), "min.cleanable.dirty.ratio": "0.0",
                   "message.timestamp.after.max.ms": str(100 * SEGMENT_MS),
                   **{key.replace("_", "."): value for key, value in configs.items()}}
        self.end = 0
        self.admin.create_topics([NewTopic(name, 1, 1, config=configs)])[name].result(30)

    def batch(self, producer: Producer, topic: str, records):
        """One flush, at one time, so that it never spans two segments."""
        failures = []
        records = list(records)
        self.end += len(records)
        for key, value in records:
            producer.produce(topic, key=key, value=value, timestamp=self.now_ms,
                             on_delivery=lambda error, _: error and failures.append(error))
        assert producer.flush(30) == 0 and failures == []
        self.now_ms += 100

    def wait_marker(self, topic: str):
        """Until the marker is there: Kafka answers the end of a transaction before it is."""
        self.end += 1
        partition = TopicPartition(topic, 0)

        def is_decided():
            found = self.admin.list_offsets({partition: OffsetSpec.latest()},
                                            isolation_level=IsolationLevel.READ_COMMITTED)
            return found[partition].result(30).offset == self.end
        wait_until(is_decided, f"{topic} decided up to {self.end}")

    def roll(self, topic: str):
        """Closes the segment with a record that is far from its first one."""
        self.now_ms += 2 * SEGMENT_MS
        self.batch(self.producers["none"], topic, [("roll", f"at {self.now_ms - BASE_MS}")])

    def partition(self, topic: str) -> Path:
        return self.server.log_dir() / f"{topic}-0"

    def wait_cleaned(self, topic: str):
        """Until all but the active segment is clean, by the cleaner's own checkpoint."""
        active = max(int(f.stem) for f in self.partition(topic).glob("*.log"))

        def is_clean():
            checkpoint = self.server.log_dir() / "cleaner-offset-checkpoint"
            if not checkpoint.exists():
                return False
            lines = checkpoint.read_text().splitlines()
            if len(lines) < 2:
                return False  # Kafka makes it empty first.
            version, count, *entries = lines
            assert version == "0" and int(count) == len(entries), checkpoint.read_text()
            return f"{topic} 0 {active}" in entries
        wait_until(is_clean, f"{topic} clean up to {active}", 90)


def write(side: Side, topic: str):
    """Keys of all codecs that come again and again, tombstones, and transactions of both kinds."""
    for i in range(60):
        if i in (20, 40):
            side.now_ms += 2 * SEGMENT_MS
        codec = CODECS[i % len(CODECS)]
        keys = [f"key-{(i * 7 + n) % 40}" for n in range(8)]
        values = [None if (i + n) % 11 == 0 else f"{i}-{n}-{'x' * (n * 20)}" for n in range(8)]
        side.batch(side.producers[codec], topic, zip(keys, values))
        if i % 10 == 5:
            side.transactional.begin_transaction()
            ending = "commit" if i % 20 == 5 else "abort"
            side.batch(side.transactional, topic,
                       [(f"key-{n}", f"{ending} {i}") for n in range(i % 5, 40, 5)] + [(f"in-{ending}", str(i))])
            side.batch(side.producers["none"], topic, [(f"between-{i}", "v")])
            getattr(side.transactional, f"{ending}_transaction")(30)
            side.wait_marker(topic)




def left(files: list[Path]) -> list[str]:
    """Every record of these logs, as DumpLogSegments prints it, without what differs by design."""
    output = run_tool(TOOLS + "DumpLogSegments", "--files", ",".join(map(str, files)),
                      "--deep-iteration", "--print-data-log")
    records = []
    for line in output.splitlines():
        if not line.startswith("| offset: "):
            continue
        offset = re.match(r"\| offset: (\d+) ", line)[1]
        marker = re.search(r"endTxnMarker: \w+", line)
        # The delta of the timestamp is one from the delete horizon, which is the cleaner's own time.
        told = marker[0] if marker else re.search(r"keySize.*", line)[0]
        sequence = re.search(r"sequence: -?\d+", line)[0]
        records.append(f"{offset} {sequence} {told}")
    return sorted(records, key=lambda record: int(record.split()[0]))


def logs(partition: Path) -> list[Path]:
    return sorted(partition.glob("*.log"))


def consumed(bootstrap: str, topic: str, isolation: str) -> list[tuple]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "reader", "enable.auto.commit": False,
                         "isolation.level": isolation, "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    records = []
    try:
        while True:
            message = consumer.poll(30)
            assert message is not None, "neither a record nor the end within 30 s"
            if message.error():
                assert message.error().name() == "_PARTITION_EOF", message.error()
                return records
            records.append((message.offset(), message.key(), message.value(), message.timestamp()))
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def ours(tmp_path_factory):
    with make(KIND, tmp_path_factory.mktemp("compaction") / "ours") as server:
        side = Side(server)
        resource = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[
            ConfigEntry("log.cleaner.backoff.ms", "100", incremental_operation=AlterConfigOpType.SET)])
        for done in side.admin.incremental_alter_configs([resource]).values():
            done.result(30)
        yield side


@pytest.fixture(scope="module")
def kafka(tmp_path_factory):
    overrides = {"log.cleaner.backoff.ms": "100", "log.cleaner.dedupe.buffer.size": str(8 << 20)}
    with ApacheKafka(tmp_path_factory.mktemp("compaction") / "kafka", overrides) as server:
        yield Side(server)


@pytest.fixture(scope="module")
def cleaned(ours, kafka):
    """Two topics on both sides, cleaned the same number of times."""
    for topic, delete_retention_ms in [("kept-tombstones", 86_400_000), ("no-tombstones", 0)]:
        for side in (ours, kafka):
            side.now_ms = BASE_MS
            side.topic(topic, delete_retention_ms=str(delete_retention_ms))
            write(side, topic)
            # More rounds than any tombstone or marker needs to go.
            for _ in range(5):
                side.roll(topic)
                side.wait_cleaned(topic)
    return ours, kafka


@pytest.mark.parametrize("topic", ["kept-tombstones", "no-tombstones"])
def test_the_same_records_are_left_as_kafkas_cleaner_leaves(cleaned, topic):
    ours, kafka = cleaned
    found, expected = (left(logs(side.partition(topic))) for side in (ours, kafka))
    assert found == expected
    # It was cleaned, and it was not cleaned away.
    assert 40 < len(found) < 200, len(found)
    assert not any("abort" in record and "in-abort" in record for record in found)
    tombstones = [record for record in found if "valueSize: -1" in record]
    assert bool(tombstones) == (topic == "kept-tombstones"), tombstones


@pytest.mark.parametrize("isolation", ["read_committed", "read_uncommitted"])
@pytest.mark.parametrize("topic", ["kept-tombstones", "no-tombstones"])
def test_a_consumer_reads_the_same_from_both(cleaned, topic, isolation):
    ours, kafka = cleaned
    found = consumed(ours.server.bootstrap, topic, isolation)
    assert found == consumed(kafka.server.bootstrap, topic, isolation)
    keys = [key for _, key, _, _ in found if key != b"roll"]
    assert len(keys) == len(set(keys)) > 30


def test_the_last_value_of_each_key_is_what_was_written_last(cleaned):
    ours, _ = cleaned
    expected = {}

    class Recorder(Side):
        def __init__(self):
            self.producers, self.now_ms = dict.fromkeys(CODECS), BASE_MS
            self.pending = None
            self.transactional = self

        def begin_transaction(self):
            self.pending = {}

        def commit_transaction(self, _):
            expected.update({k: v for k, v in self.pending.items()})

        def abort_transaction(self, _):
            pass

        def wait_marker(self, _):
            pass

        def batch(self, producer, topic, records):
            (self.pending if producer is self else expected).update(records)

    write(Recorder(), "any")
    found = {key.decode(): value and value.decode() for _, key, value, _ in
             consumed(ours.server.bootstrap, "no-tombstones", "read_committed") if key != b"roll"}
    assert found == {key: value for key, value in expected.items() if value is not None}


@pytest.fixture(scope="module")
def stopped(cleaned):
    """Both servers at rest, and their files."""
    ours, kafka = cleaned
    for side in (ours, kafka):
        side.server.stop()
    return ours, kafka


def test_kafkas_dump_log_reads_every_file_that_the_cleaner_wrote(stopped):
    ours, _ = stopped
    for topic in ("kept-tombstones", "no-tombstones"):
        for suffix, options in [("log", ["--deep-iteration"]), ("index", []), ("index", ["--index-sanity-check"]),
                                ("timeindex", []), ("txnindex", []), ("snapshot", [])]:
            files = sorted(ours.partition(topic).glob(f"*.{suffix}"))
            output = run_tool(TOOLS + "DumpLogSegments", "--files", ",".join(map(str, files)), *options)
            # Compaction leaves gaps: the one complaint that is meant.
            gaps = re.compile(r"Non-consecutive offsets in|^\s+\d+ is followed by \d+")
            found = [line for line in output.splitlines()
                     if COMPLAINTS.search(re.sub(r"Dumping .*", "", line)) and not gaps.search(line)]
            assert not found, f"{topic} {suffix} {options}: " + "\n".join(found[:20])
            assert output.count("Dumping ") == len(files) > 0


@pytest.mark.skipif(KIND == "kafka", reason="its own folder")
def test_a_kafka_broker_serves_the_folder_that_our_cleaner_left(stopped):
    """Kafka opens our files as its own after an unclean stop, and goes on from them."""
    ours, kafka = stopped
    topic = "kept-tombstones"
    folder = kafka.partition(topic)
    identity = (folder / "partition.metadata").read_text()
    shutil.rmtree(folder)
    shutil.copytree(ours.partition(topic), folder)
    (folder / "partition.metadata").write_text(identity)
    # Nothing that Kafka knew of its own files holds: it must read ours.
    for name in (".kafka_cleanshutdown", "recovery-point-offset-checkpoint"):
        (kafka.server.log_dir() / name).unlink(missing_ok=True)
    expected = left(logs(folder))
    kafka.server.start()
    found = consumed(kafka.server.bootstrap, topic, "read_committed")
    told = [int(record.split()[0]) for record in expected if "endTxnMarker" not in record]
    assert [offset for offset, *_ in found] == told
    side = Side(kafka.server)
    side.now_ms = ours.now_ms
    for _ in range(2):
        side.roll(topic)
        side.wait_cleaned(topic)

    def others(records):
        return [record for record in records if record[1] != b"roll"]
    assert others(consumed(kafka.server.bootstrap, topic, "read_committed")) == others(found)
