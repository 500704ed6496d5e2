"""1 to 10,000 partitions: creation, memory, a fixed rate over all of them, a
clean stop and the start after it. A part of `make bench`; method in README.md.
"""

from __future__ import annotations

import sys
import time

from side import QUICK, SETTLE_S, Metric, Part, Run, chosen, cpu_of, create_topic, main, resident_mib, start_after

COUNTS = [1, 100, 1_000] if QUICK else [1, 100, 1_000, 10_000]
RATE = 2_000
CONNECTIONS = 100
SECONDS = 3 if QUICK else 8
RECORD_BYTES = 1_000

METRICS = [
    Metric(f"partitions_{n}_{what}", unit, f"{title}, {n:,} partition{'s' if n > 1 else ''}", digits)
    for n in COUNTS
    for what, unit, title, digits in [
        ("create_s", "s", "Creating", 2),
        ("rss_idle_mib", "MiB", "Resident memory, empty", 0),
        ("rss_touched_mib", "MiB", "Resident memory, a record in each", 0),
        ("cpu_s_per_million", "CPU-s", f"Broker CPU for a million Produce requests over all, {RATE:,}/s", 0),
        ("p50_us", "µs", "Produce p50", 0), ("p99_us", "µs", "Produce p99", 0),
        ("stop_s", "s", "Clean stop", 2),
        ("start_ms", "ms", "Start to first accepted produce", 0)]
]


def measure(run: Run):
    for count in COUNTS:
        # An empty folder for each: memory and start are those of this many.
        with Run(run.competitor) as fresh:
            measure_count(fresh, count)
        run.values.update(fresh.values)


def measure_count(run: Run, count: int):
    server, values, key = run.server, run.values, f"partitions_{count}"
    server.start()
    values[f"{key}_create_s"] = create_topic(server, "many", count)
    time.sleep(SETTLE_S)
    values[f"{key}_rss_idle_mib"] = resident_mib(server.pid)
    arguments = {"topic": "many", "partitions": count, "size": RECORD_BYTES, "connections": CONNECTIONS, "rate": RATE}
    # The requests go to one partition after the other: all are met.
    run.load("connections", requests=max(count, RATE), **arguments)
    time.sleep(SETTLE_S)
    values[f"{key}_rss_touched_mib"] = resident_mib(server.pid)
    with cpu_of(server.pid) as spent:
        done = run.load("connections", requests=RATE * SECONDS, **arguments)
    values[f"{key}_cpu_s_per_million"] = 1e6 * spent[0] / done["requests"]
    values[f"{key}_p50_us"], values[f"{key}_p99_us"] = done["produce"]["p50_us"], done["produce"]["p99_us"]
    began = time.monotonic()
    server.stop(300)
    values[f"{key}_stop_s"] = time.monotonic() - began
    values[f"{key}_start_ms"] = start_after(server, "many")


PART = Part(
    name="partitions", title="1 to 10,000 partitions", metrics=METRICS, measure=measure,
    competitors=chosen({"kafka", "millstream-fsync", "millstream-replicated"}), rounds=1,
    what=f"Each count in a server of its own; {RATE:,} requests/s of one {RECORD_BYTES:,} B record over all partitions "
         f"from {CONNECTIONS} connections for {SECONDS} s, without a warm-up but for one record in each.",
    settings={"rate": RATE, "seconds": SECONDS, "record_bytes": RECORD_BYTES, "connections": CONNECTIONS})

if __name__ == "__main__":
    sys.exit(main(PART))
