"""Many connections with small requests, and a large group. A part of `make
bench`; method in README.md.
"""

from __future__ import annotations

import sys

from side import PARTITIONS, QUICK, Metric, Part, Run, chosen, cpu_of, create_topic, main, resident_mib

COUNTS = [1, 100, 5_000]
REQUEST_RATE = 2_000
# One connection has one request in flight: the rate must leave it time.
ONE_CONNECTION_RATE = 500
REQUEST_BYTES = 100
REQUEST_S = 3 if QUICK else 8
MEMBERS = 20 if QUICK else 100
WARM_UP_S = 3 if QUICK else 6

METRICS = [
    *[Metric(f"connections_{n}_{what}", unit, f"{title}, {n:,} connection{'s' if n > 1 else ''}")
      for n in COUNTS
      for what, unit, title in [
          ("cpu_s_per_million", "CPU-s", "Broker CPU for a million Produce requests of 100 B"),
          ("p50_us", "µs", "Produce p50"), ("p99_us", "µs", "Produce p99"), ("p999_us", "µs", "Produce p99.9"),
          ("rss_mib", "MiB", "Resident memory")]],
    Metric("join_s", "s", f"A group of {MEMBERS}: subscribe to all assigned", 2),
]


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    create_topic(server, "requests", PARTITIONS)
    with run.step("small requests to warm up"):
        run.load("connections", topic="requests", partitions=PARTITIONS, connections=50, rate=4 * REQUEST_RATE,
                 requests=4 * REQUEST_RATE * WARM_UP_S, size=REQUEST_BYTES)
    for count in COUNTS:
        rate = ONE_CONNECTION_RATE if count == 1 else REQUEST_RATE
        arguments = {"topic": "requests", "partitions": PARTITIONS, "connections": count, "rate": rate,
                     "size": REQUEST_BYTES}
        with run.step(f"{count:,} connections"):
            run.load("connections", requests=rate, **arguments)
            with cpu_of(server.pid) as spent:
                done = run.load("connections", requests=rate * REQUEST_S, **arguments)
            values[f"connections_{count}_cpu_s_per_million"] = 1e6 * spent[0] / done["requests"]
            for quantile in ("p50", "p99", "p999"):
                values[f"connections_{count}_{quantile}_us"] = done["produce"][f"{quantile}_us"]
            values[f"connections_{count}_rss_mib"] = resident_mib(server.pid)
    with run.step(f"a group of {MEMBERS}"):
        create_topic(server, "joined", MEMBERS)
        values["join_s"] = run.load("group", topic="joined", members=MEMBERS)["seconds"]


PART = Part(
    name="connections", title="Connections and groups", metrics=METRICS, measure=measure,
    # Kafka with a flush per message answers one request in several ms.
    competitors=chosen({"kafka", "millstream-fsync", "millstream-replicated", "tansu"}), rounds=2, rounds_for_aims=1,
    what=f"{REQUEST_RATE:,} requests/s in all ({ONE_CONNECTION_RATE} on one connection) for {REQUEST_S} s, acks=all, "
         "one record each.",
    settings={"request_rate": REQUEST_RATE, "one_connection_rate": ONE_CONNECTION_RATE, "request_s": REQUEST_S,
              "request_bytes": REQUEST_BYTES, "members": MEMBERS})

if __name__ == "__main__":
    sys.exit(main(PART))
