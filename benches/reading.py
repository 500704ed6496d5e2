"""One reader that catches up, from the page cache and from the disk. A part of
`make bench`; method in README.md.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from side import PARTITIONS, QUICK, Metric, Part, Run, chosen, cpu_of, create_topic, main, resident_mib

RECORD_BYTES = 1024
BYTES = (256 if QUICK else 1024) << 20
DROP_CACHES = Path("/proc/sys/vm/drop_caches")

METRICS = [
    Metric(f"{where}_{what}", unit, f"{title}, {text}", digits)
    for where, text in [("cached", "from the page cache"), ("cold", "from the disk")]
    for what, unit, title, digits in [
        ("mb_per_s", "MB/s", "One reader from the beginning", 0),
        ("cpu_s_per_gb", "CPU-s/GB", "Broker CPU for it", 2),
        ("read_mb", "MB", "Read from the disk by the broker meanwhile", 0),
        ("rss_mib", "MiB", "Resident memory after it", 0)]
]


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    create_topic(server, "history", PARTITIONS)
    run.load("fill", topic="history", partitions=PARTITIONS, bytes=BYTES, size=RECORD_BYTES)
    read(run)  # the JVM compiles what is hot
    for where in ("cached", "cold"):
        if where == "cold":
            values["dropped_by"] = drop_page_cache(run)
        disk_before = disk_bytes(server.pid)
        with cpu_of(server.pid) as spent:
            done = read(run)
        values[f"{where}_mb_per_s"] = done["mb_per_s"]
        values[f"{where}_cpu_s_per_gb"] = spent[0] / (done["bytes"] / 1e9)
        # What says whether it was the disk at all.
        values[f"{where}_read_mb"] = (disk_bytes(server.pid) - disk_before) / 1e6
        values[f"{where}_rss_mib"] = resident_mib(server.pid)


def read(run: Run) -> dict:
    return run.load("catch-up", topic="history", partitions=PARTITIONS)


def disk_bytes(pid: int) -> int:
    fields = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    return int(fields["read_bytes"])


def drop_page_cache(run: Run) -> str:
    """Forgets the log's pages; how. What is dirty cannot be forgotten."""
    subprocess.run(["sync"], check=True)
    if os.access(DROP_CACHES, os.W_OK):
        DROP_CACHES.write_text("1\n")
        return "drop_caches"
    for path in run.data_dir.rglob("*.log"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return "posix_fadvise"


HOW = "/proc/sys/vm/drop_caches" if os.access(DROP_CACHES, os.W_OK) else "posix_fadvise(DONTNEED) on its files"
PART = Part(
    name="reading", title="Catching up", metrics=METRICS, measure=measure,
    competitors=chosen({"kafka", "millstream-fsync", "millstream-replicated"}), rounds=2,
    what=f"{BYTES >> 20} MiB of 1 KiB records over {PARTITIONS} partitions, read once to warm up; the page cache is "
         f"dropped by {HOW}.",
    settings={"bytes": BYTES, "record_bytes": RECORD_BYTES, "page_cache_dropped_by": HOW})

if __name__ == "__main__":
    sys.exit(main(PART))
