"""Small and large records and the five codecs, at fixed rates. A part of `make
bench`; method in README.md.
"""

from __future__ import annotations

import sys

from side import PARTITIONS, QUICK, Metric, Part, Run, chosen, cpu_of, create_topic, main, resident_mib

SECONDS = 3 if QUICK else 4
WARM_UP_S = 2 if QUICK else 4
# name in the results, title, bytes, records/s
SIZES = [("small", "100 B", 100, 50_000), ("large", "100 KB", 100_000, 300)]
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]
CODEC_BYTES, CODEC_RATE = 1_000, 20_000

METRICS = [
    *[Metric(f"{key}_{what}", unit, f"{title}, records of {text}, {rate:,}/s", digits)
      for key, text, _, rate in SIZES
      for what, unit, title, digits in [
          ("cpu_s_per_gb", "CPU-s/GB", "Broker CPU for 1 GB in and 1 GB out", 2),
          ("produce_p99_us", "µs", "Produce p99", 0), ("produce_p999_us", "µs", "Produce p99.9", 0),
          ("end_to_end_p99_us", "µs", "End-to-end p99", 0), ("rss_mib", "MiB", "Resident memory", 0)]],
    *[Metric(f"{codec}_{what}", unit, f"{title}, {codec}", digits)
      for codec in CODECS
      for what, unit, title, digits in [
          ("cpu_s_per_gb", "CPU-s/GB", "Broker CPU for 1 GB of values in and out", 2),
          ("produce_p99_us", "µs", "Produce p99", 0)]],
]


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    create_topic(server, "records", PARTITIONS)
    flow(run, 10_000, WARM_UP_S, 1_000)
    for key, text, size, rate in SIZES:
        spent, done = flow(run, rate, SECONDS, size)
        values[f"{key}_cpu_s_per_gb"] = spent / (done["bytes"] / 1e9)
        values[f"{key}_produce_p99_us"] = done["produce"]["p99_us"]
        values[f"{key}_produce_p999_us"] = done["produce"]["p999_us"]
        values[f"{key}_end_to_end_p99_us"] = done["end_to_end"]["p99_us"]
        values[f"{key}_rss_mib"] = resident_mib(server.pid)
    for codec in CODECS:
        spent, done = flow(run, CODEC_RATE, SECONDS, CODEC_BYTES, codec)
        values[f"{codec}_cpu_s_per_gb"] = spent / (done["bytes"] / 1e9)
        values[f"{codec}_produce_p99_us"] = done["produce"]["p99_us"]


def flow(run: Run, rate: int, seconds: float, size: int, codec: str = "none") -> tuple[float, dict]:
    with cpu_of(run.server.pid) as spent:
        done = run.load("flow", topic="records", partitions=PARTITIONS, rate=rate, records=int(rate * seconds),
                        size=size, linger_ms=5, codec=codec)
    return spent[0], done


PART = Part(
    name="records", title="Record sizes and codecs", metrics=METRICS, measure=measure,
    competitors=chosen({"kafka", "millstream-fsync", "millstream-replicated"}), rounds=2,
    what=f"{SECONDS} s each, linger 5 ms, read by one consumer at the same time; codecs with {CODEC_RATE:,} records/s "
         f"of {CODEC_BYTES:,} B.",
    settings={"seconds": SECONDS, "sizes": SIZES, "codec_bytes": CODEC_BYTES, "codec_rate": CODEC_RATE})

if __name__ == "__main__":
    sys.exit(main(PART))
