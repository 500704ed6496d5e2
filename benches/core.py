"""CPU per GB, latency at a fixed rate, memory, start, and the floor beside
them. A part of `make bench`; method in README.md.
"""

from __future__ import annotations

import subprocess
import sys
import time

from side import (DATA, PARTITIONS, QUICK, SETTLE_S, Metric, Part, Run, chosen, cpu_of, create_topic, load,
                  load_command, main, resident_mib, start_after)

RECORD_BYTES = 1024
LATENCY_RATE = 5_000
FLOW_RATE = 30_000
FLOW_LINGER_MS = 5
WARM_UP_S = 3 if QUICK else 6
FLOW_MIB = 128 if QUICK else 384
LATENCY_S = 5 if QUICK else 12
# What librdkafka makes of the flow: what one partition gets while it lingers.
FLOOR_BATCH_RECORDS = FLOW_RATE * FLOW_LINGER_MS // 1000 // PARTITIONS

METRICS = [
    Metric("cpu_s_per_gb", "CPU-s/GB", "Broker CPU for 1 GB in and 1 GB out, 1 KiB records", 2),
    Metric("cpu_percent_at_5000", "% of a core", "Broker CPU at 5,000 records/s", 1),
    *[Metric(f"{side}_{quantile}_us", "µs", f"{title} latency {text} at 5,000 records/s")
      for side, title in [("produce", "Produce"), ("end_to_end", "End-to-end")]
      for quantile, text in [("p50", "p50"), ("p99", "p99"), ("p999", "p99.9")]],
    Metric("rss_idle_mib", "MiB", "Resident memory, idle after start"),
    Metric("rss_loaded_mib", "MiB", "Resident memory after the load"),
    Metric("cpu_idle_percent", "% of a core", "CPU while idle, five seconds", 1),
    Metric("start_ms", "ms", "Process start to first accepted produce"),
]


def flow(run: Run, rate: int, seconds: float, linger_ms: int) -> dict:
    return run.load("flow", topic="flow", partitions=PARTITIONS, rate=rate, records=int(rate * seconds),
                    size=RECORD_BYTES, linger_ms=linger_ms)


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    time.sleep(SETTLE_S)
    values["rss_idle_mib"] = resident_mib(server.pid)
    create_topic(server, "flow", PARTITIONS)
    flow_rate = run.rate(FLOW_RATE)
    with run.step("1 KiB records in and out"):
        # The JVM compiles what is hot; ours needs no warm-up and gets the same.
        flow(run, flow_rate, WARM_UP_S, FLOW_LINGER_MS)
        with cpu_of(server.pid) as spent:
            moved = flow(run, flow_rate, FLOW_MIB * 1024 * 1024 / RECORD_BYTES / FLOW_RATE, FLOW_LINGER_MS)
        values["cpu_s_per_gb"] = spent[0] / (moved["bytes"] / 1e9)
        values["flow_records_per_s"] = moved["records_per_s"]
    values["rss_loaded_mib"] = resident_mib(server.pid)
    with run.step(f"{LATENCY_RATE:,} records/s"):
        flow(run, LATENCY_RATE, 2, 0)
        began = time.monotonic()
        with cpu_of(server.pid) as spent:
            latency = flow(run, LATENCY_RATE, LATENCY_S, 0)
        values["cpu_percent_at_5000"] = 100 * spent[0] / (time.monotonic() - began)
        for side in ("produce", "end_to_end"):
            for quantile in ("p50", "p99", "p999", "max"):
                values[f"{side}_{quantile}_us"] = latency[side][f"{quantile}_us"]
    time.sleep(SETTLE_S)
    with cpu_of(server.pid) as spent:
        time.sleep(5)
    values["cpu_idle_percent"] = 100 * spent[0] / 5
    with run.step("a stop and a start"):
        server.stop()
        values["start_ms"] = start_after(server, "flow", run.step_s_max)
        server.stop()


def floor() -> dict[str, dict]:
    return {f"floor-{name}": floor_once(is_synced) for name, is_synced in [("page-cache", False), ("fsync", True)]}


def floor_once(is_synced: bool) -> dict:
    folder = DATA / "floor"
    folder.mkdir(parents=True, exist_ok=True)
    server = subprocess.Popen(load_command("floor-server", dir=folder, partitions=PARTITIONS,
                                           sync=str(is_synced).lower()), stdout=subprocess.PIPE, text=True)
    try:
        address = f"127.0.0.1:{server.stdout.readline().strip()}"
        arguments = {"address": address, "partitions": PARTITIONS, "rate": FLOW_RATE, "size": RECORD_BYTES,
                     "batch_records": FLOOR_BATCH_RECORDS}
        load("floor-load", records=FLOW_RATE, **arguments)
        with cpu_of(server.pid) as spent:
            moved = load("floor-load", records=FLOW_MIB * 1024 * 1024 // RECORD_BYTES, **arguments)
        return {"cpu_s_per_gb": spent[0] / (moved["bytes"] / 1e9),
                **{f"batch_{q}_us": moved["produce"][f"{q}_us"] for q in ("p50", "p99", "p999")}}
    finally:
        server.kill()
        server.wait()
        for file in folder.iterdir():
            file.unlink()


PART = Part(
    name="core", title="Side by side with Apache Kafka", metrics=METRICS, measure=measure, competitors=chosen(),
    rounds=3, rounds_for_aims=2,
    what=f"Each run {FLOW_MIB} MiB at {FLOW_RATE:,} records/s and {LATENCY_S} s at {LATENCY_RATE:,} records/s.",
    settings={"record_bytes": RECORD_BYTES, "partitions": PARTITIONS, "flow_rate": FLOW_RATE, "flow_mib": FLOW_MIB,
              "latency_rate": LATENCY_RATE, "latency_s": LATENCY_S, "warm_up_s": WARM_UP_S, "kafka_heap": "1G",
              "floor_batch_records": FLOOR_BATCH_RECORDS},
    beside=floor,
    beside_heads={"floor-page-cache": "The floor, page cache", "floor-fsync": "The floor, fdatasync"})

if __name__ == "__main__":
    sys.exit(main(PART))
