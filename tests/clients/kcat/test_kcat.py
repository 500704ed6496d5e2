"""kcat against a running broker: what an operator types."""

import json
import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "lib"))
from servers import wait_until  # noqa: E402

WAIT_MAX_S = 40


def kcat(*arguments, stdin=""):
    done = run(*arguments, stdin=stdin)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run(*arguments, stdin=""):
    return subprocess.run(["kcat", "-b", os.environ["BOOTSTRAP"], *arguments], input=stdin,
                          capture_output=True, text=True, timeout=WAIT_MAX_S)


@pytest.fixture
def topic():
    """A fresh topic of two partitions: kcat creates none."""
    name = f"kcat-{uuid.uuid4().hex[:8]}"
    admin = AdminClient({"bootstrap.servers": os.environ["BOOTSTRAP"]})
    admin.create_topics([NewTopic(name, 2, 1)])[name].result(30)
    wait_until(lambda: len(metadata(name)["partitions"]) == 2, f"topic {name}")
    return name


def metadata(topic):
    return json.loads(kcat("-L", "-J", "-t", topic))["topics"][0]


def read(topic, *arguments):
    lines = kcat("-C", "-q", "-e", "-J", "-t", topic, *arguments).splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.parametrize("codec", ["none", "gzip", "snappy", "lz4", "zstd"])
def test_lines_are_produced_by_every_codec_and_consumed(topic, codec):
    lines = "".join(f"k{i}:v{i}\n" for i in range(200))
    kcat("-P", "-t", topic, "-p", "0", "-K:", "-z", codec, "-X", "acks=all", stdin=lines)
    messages = read(topic, "-p", "0")
    assert [(m["offset"], m["key"], m["payload"]) for m in messages] == [(i, f"k{i}", f"v{i}") for i in range(200)]


def test_headers_and_null_keys_and_values_come_back(topic):
    kcat("-P", "-t", topic, "-p", "1", "-Z", "-K:", "-H", "trace=a1", "-H", "trace=a2", stdin="key:\n")
    kcat("-P", "-t", topic, "-p", "1", stdin="plain\n")
    with_headers, plain = read(topic, "-p", "1")
    assert (with_headers["key"], with_headers["payload"]) == ("key", None)
    assert with_headers["headers"] == ["trace", "a1", "trace", "a2"]
    assert (plain["key"], plain["payload"]) == (None, "plain")


def test_consuming_starts_at_an_offset_and_at_a_time(topic):
    kcat("-P", "-t", topic, "-p", "0", stdin="".join(f"v{i}\n" for i in range(100)))
    assert [m["payload"] for m in read(topic, "-p", "0", "-o", "60")] == [f"v{i}" for i in range(60, 100)]
    assert [m["payload"] for m in read(topic, "-p", "0", "-o", "-3")] == ["v97", "v98", "v99"]
    first = read(topic, "-p", "0", "-c", "1")[0]
    assert read(topic, "-p", "0", "-o", f"s@{first['ts']}")[0]["payload"] == "v0"


def test_offsets_are_queried_by_time_and_for_both_ends(topic):
    kcat("-P", "-t", topic, "-p", "0", stdin="a\nb\nc\n")
    first = read(topic, "-p", "0", "-c", "1")[0]["ts"]
    offset = {at: int(kcat("-Q", "-t", f"{topic}:0:{at}").split()[-1]) for at in ("-1", "-2", first, first + 86_400_000)}
    # Later than the last record there is none: the end.
    assert offset == {"-1": 3, "-2": 0, first: 0, first + 86_400_000: -1}


def test_metadata_is_told_as_json(topic):
    described = json.loads(kcat("-L", "-J"))
    assert [b["name"] for b in described["brokers"]] == [os.environ["BOOTSTRAP"]]
    assert topic in [t["topic"] for t in described["topics"]]
    own = metadata(topic)
    broker = described["brokers"][0]["id"]
    assert own["partitions"] == [
        {"partition": p, "leader": broker, "replicas": [{"id": broker}], "isrs": [{"id": broker}]} for p in (0, 1)]


def test_two_members_of_a_group_share_the_topic_and_a_later_one_goes_on(topic):
    kcat("-P", "-t", topic, "-p", "0", stdin="a0\na1\n")
    kcat("-P", "-t", topic, "-p", "1", stdin="b0\nb1\n")
    group = f"group-{topic}"
    command = ["kcat", "-b", os.environ["BOOTSTRAP"], "-q", "-u", "-X", "auto.offset.reset=earliest",
               "-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=300", "-f", "%p %s\n", "-G", group, topic]
    members = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, bufsize=1) for _ in range(2)]
    for member in members:
        os.set_blocking(member.stdout.fileno(), False)
    seen = [[], []]

    def gather():
        for member, lines in zip(members, seen):
            lines.extend(line.strip() for line in member.stdout if line.strip())
        return seen

    try:
        wait_until(lambda: {line for lines in gather() for line in lines} == {"0 a0", "0 a1", "1 b0", "1 b1"}, "all four")
        n = 0

        def shared():
            # Until both have got something new: then each has one partition.
            nonlocal n
            n += 1
            for partition in ("0", "1"):
                kcat("-P", "-t", topic, "-p", partition, stdin=f"n{n}\n")
            gather()
            late = [{line.split()[0] for line in lines if f" n{n - 1}" in line} for lines in seen]
            return late in ([{"0"}, {"1"}], [{"1"}, {"0"}])

        wait_until(shared, "one partition each", pause_s=0.3)
    finally:
        for member in members:
            member.terminate()
            member.wait(20)
    # What both had committed when they left is not read again.
    kcat("-P", "-t", topic, "-p", "0", stdin="last\n")
    later = run("-q", "-e", "-X", "auto.offset.reset=earliest", "-f", "%s\n", "-G", group, topic).stdout.split()
    assert "last" in later and "a0" not in later and "b0" not in later


def test_a_transaction_of_idempotent_lines_is_read_committed(topic):
    kcat("-P", "-t", topic, "-p", "0", "-X", f"transactional.id={topic}", stdin="x\ny\n")
    assert [m["payload"] for m in read(topic, "-p", "0", "-X", "isolation.level=read_committed")] == ["x", "y"]


def test_a_line_above_max_message_bytes_is_refused(topic):
    refused = run("-P", "-t", topic, "-p", "0", "-X", "message.max.bytes=5000000", stdin="x" * 2_000_000 + "\n")
    assert "Message size too large" in refused.stderr
    assert read(topic, "-p", "0") == []
