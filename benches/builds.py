"""Two builds of our own, one beside the other: does a change of code or of the
compiler's settings cost a hot path anything?

    python benches/builds.py --old BINARY --new BINARY [--rounds 5] [--records 1000000]

Each round runs both, in turn, on a new folder: a million orders of 850 bytes
through the Kafka protocol, a windowed job over them, a SELECT over the same.
Printed are CPU seconds of the server and seconds of each step, medians, and
new by old. It says nothing of competitors; `run.sh` does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "lib"))
from servers import Millstream, http_json, wait_until  # noqa: E402

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

PARTITIONS = 4
TABLE = """CREATE TABLE orders (id BIGINT, city STRING, amount DECIMAL(12, 2), note STRING, ts TIMESTAMP_LTZ(3),
  WATERMARK FOR ts AS ts - INTERVAL '1' SECOND) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json',
  'json.timestamp-format.standard' = 'ISO-8601', 'scan.startup.mode' = 'earliest-offset'%s)"""
JOB = """INSERT INTO by_city SELECT window_start, city, COUNT(*) AS orders, SUM(amount) AS revenue, MAX(UPPER(note)) AS note
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)) WHERE amount > 10 GROUP BY window_start, window_end, city"""
SINK = """CREATE TABLE by_city (window_start TIMESTAMP_LTZ(3), city STRING, orders BIGINT, revenue DECIMAL(38, 2), note STRING)
WITH ('connector' = 'kafka', 'topic' = 'by_city', 'format' = 'json')"""
SELECT = "SELECT city, COUNT(*) AS n, SUM(amount) AS revenue, AVG(CHAR_LENGTH(note)) AS l FROM orders WHERE note LIKE '%a%' GROUP BY city"


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def orders(count: int) -> list[bytes]:
    """A thousand different ones a second of event time."""
    chance = random.Random(1)
    filler = ["".join(chance.choices("abcdefghij ", k=700)) for _ in range(100)]
    cities = [f"city-{n}" for n in range(50)]
    out = []
    for n in range(count):
        t = 1_767_225_600_000 + n
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(t // 1000)) + f".{t % 1000:03d}Z"
        out.append(json.dumps({"id": n, "city": cities[n % 50], "amount": f"{n % 9973}.25", "note": filler[n % 100], "ts": stamp}).encode())
    return out


def one_round(binary: Path, records: list[bytes]) -> dict[str, float]:
    figures: dict[str, float] = {}
    with tempfile.TemporaryDirectory(prefix="millstream-builds-") as folder:
        with Millstream(Path(folder) / "data", binary=binary) as server:
            admin = AdminClient({"bootstrap.servers": server.bootstrap})
            topics = [NewTopic(name, PARTITIONS, 1) for name in ("orders", "by_city")]
            for future in admin.create_topics(topics).values():
                future.result(30)

            def step(name: str, work):
                cpu, started = cpu_s(server.pid), time.monotonic()
                work()
                figures[f"{name} s"] = time.monotonic() - started
                figures[f"{name} CPU s"] = cpu_s(server.pid) - cpu

            def produce():
                producer = Producer({"bootstrap.servers": server.bootstrap, "linger.ms": 5, "compression.type": "none",
                                     "queue.buffering.max.messages": 200_000, "log_level": 0})
                for n, value in enumerate(records):
                    while True:
                        try:
                            producer.produce("orders", value, partition=n % PARTITIONS)
                            break
                        except BufferError:
                            producer.poll(0.05)
                assert producer.flush(300) == 0

            def sql(text: str):
                return http_json("POST", f"{server.http}/api/v1/sql", {"sql": text}, 300)

            def job():
                sql(TABLE % ", 'scan.bounded.mode' = 'latest-offset'")
                sql(SINK)
                name = sql(JOB)["rows"][0][0]

                def finished():
                    state = http_json("GET", f"{server.http}/api/v1/jobs/{name}")
                    assert state["state"] not in ("failed", "stopped"), state
                    return state["state"] == "finished"

                wait_until(finished, "the job", 600, 0.1)

            step("produce", produce)
            step("job", job)
            step("select", lambda: [sql(SELECT) for _ in range(3)])
    return figures


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--old", type=Path, required=True)
    parser.add_argument("--new", type=Path, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--out", type=Path, help="a JSON file for all rounds")
    arguments = parser.parse_args()
    records = orders(arguments.records)
    rounds: dict[str, list[dict[str, float]]] = {"old": [], "new": []}
    for n in range(arguments.rounds):
        # Who goes first alternates too.
        for key in ("old", "new") if n % 2 == 0 else ("new", "old"):
            rounds[key].append(one_round(getattr(arguments, key), records))
            print(f"round {n + 1} {key}: {json.dumps({k: round(v, 2) for k, v in rounds[key][-1].items()})}", flush=True)
    print(f"\n{'':<16}{'old':>8}{'new':>8}{'new/old':>9}")
    for name in rounds["old"][0]:
        old, new = (statistics.median(r[name] for r in rounds[key]) for key in ("old", "new"))
        print(f"{name:<16}{old:>8.2f}{new:>8.2f}{new / old:>9.2f}")
    if arguments.out:
        arguments.out.write_text(json.dumps(rounds, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
