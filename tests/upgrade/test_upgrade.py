"""A data folder that an earlier build made opens with this one, and all that
was in it goes on: records, offsets of groups, definitions, jobs with their state.
"""

import json
import tarfile
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

import content
from servers import Millstream, http_json, wait_until

FOLDERS = sorted(Path(__file__).parent.glob("folders/*.tar.xz"))


def sql(server, text):
    return http_json("POST", f"{server.http}/api/v1/sql", {"sql": text})["rows"]


def jobs(server):
    return {job["id"]: job["state"] for job in http_json("GET", f"{server.http}/api/v1/jobs")["jobs"]}


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name.removesuffix(".tar.xz"))
def server(request, tmp_path):
    with tarfile.open(request.param) as archive:
        archive.extractall(tmp_path, filter="data")
    with Millstream(tmp_path / "data", config=content.CONFIG) as running:
        yield running
        assert "panicked at" not in running.log_path.read_text(errors="replace"), running.log_path


def test_there_is_a_folder_of_an_earlier_build():
    assert FOLDERS


def test_a_folder_of_an_earlier_build_opens_and_goes_on(server):
    # Records, in order and exactly once.
    read = {}
    consumer = Consumer({"bootstrap.servers": server.bootstrap, "group.id": "readers", "enable.auto.commit": False,
                         "isolation.level": "read_committed", "enable.partition.eof": True})
    for partition in range(content.PARTITIONS):
        consumer.assign([TopicPartition("orders", partition, 0)])
        read[partition] = []
        while (message := consumer.poll(30)) is not None and message.error() is None:
            read[partition].append(json.loads(message.value())["id"])
    assert read == {p: list(range(p, content.ORDERS, content.PARTITIONS)) for p in range(content.PARTITIONS)}

    # What the group had committed.
    committed = consumer.committed([TopicPartition("orders", p) for p in range(content.PARTITIONS)], 30)
    assert sum(max(partition.offset, 0) for partition in committed) == content.COMMITTED
    consumer.close()

    # Results from before are there, and the open window's state: the next orders
    # close it with all ten that belong to it.
    assert sql(server, "SELECT COUNT(*) FROM by_city") == [[content.RESULTS_BEFORE]]
    producer = Producer({"bootstrap.servers": server.bootstrap, "transactional.id": "upgrade", "log_level": 0})
    producer.init_transactions(30)
    producer.begin_transaction()
    for n in range(content.ORDERS, content.ORDERS + 20):
        producer.produce("orders", json.dumps(content.order(n)), partition=n % content.PARTITIONS)
    producer.commit_transaction(30)
    counted = "SELECT COUNT(*), SUM(orders) FROM by_city"
    windows = content.WINDOWS_CLOSED + 2
    wait_until(lambda: sql(server, counted) == [[windows * len(content.CITIES), 10 * windows]],
               f"{windows} windows of ten orders", 60, 0.2)

    # A stopped job stays stopped. A circle of tables, which builds before 2026-12
    # let through and could then not start with, stops nobody else.
    states = jobs(server)
    assert states["by_city"] == "running", states
    assert states["large"] == "stopped", states
    assert states["a"] != "running" or states["t"] != "running", states
