"""The start after SIGKILL with much log. A part of `make bench`; method in
README.md.
"""

from __future__ import annotations

import os
import sys
import time

from side import PARTITIONS, QUICK, Metric, Part, Run, chosen, cpu_seconds, create_topic, main, start_after

BYTES = int(float(os.environ.get("RECOVERY_GB", 0.5 if QUICK else 10)) * 1e9)
RECORD_BYTES = 10_000

METRICS = [
    Metric("fill_mb_per_s", "MB/s", "Filling, as fast as it goes"),
    Metric("fill_cpu_s_per_gb", "CPU-s/GB", "Broker CPU for filling", 2),
    Metric("start_after_kill_ms", "ms", "SIGKILL, then start to first accepted produce"),
    Metric("start_cpu_s", "CPU-s", "Broker CPU for that start", 2),
    Metric("start_after_stop_ms", "ms", "Clean stop, then start to first accepted produce"),
]


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    create_topic(server, "history", PARTITIONS)
    before = cpu_seconds(server.pid)
    filled = run.load("fill", topic="history", partitions=PARTITIONS, bytes=BYTES, size=RECORD_BYTES)
    values["fill_mb_per_s"] = filled["mb_per_s"]
    values["fill_cpu_s_per_gb"] = (cpu_seconds(server.pid) - before) / (filled["bytes"] / 1e9)
    server.kill()
    values["start_after_kill_ms"] = start_after(server, "history")
    values["start_cpu_s"] = cpu_seconds(server.pid)
    time.sleep(1)
    server.stop(300)
    values["start_after_stop_ms"] = start_after(server, "history")


PART = Part(
    name="recovery", title="Start after SIGKILL", metrics=METRICS, measure=measure,
    competitors=chosen({"kafka", "millstream-fsync", "millstream-replicated"}), rounds=1,
    what=f"{BYTES / 1e9:g} GB of log in {PARTITIONS} partitions (RECOVERY_GB sets it), written just before; the page "
         "cache is what it is, for all alike.",
    settings={"bytes": BYTES, "record_bytes": RECORD_BYTES, "partitions": PARTITIONS})

if __name__ == "__main__":
    sys.exit(main(PART))
