"""Transactions over four partitions: how many a second, and what a commit
takes in multiples of the disk's own fdatasync. A part of `make bench`; method
in README.md.
"""

from __future__ import annotations

import sys

from side import DATA, FSYNCS, PARTITIONS, QUICK, Metric, Part, Run, chosen, create_topic, load, main

SECONDS = 3 if QUICK else 6
WARM_UP_S = 2 if QUICK else 5
PRODUCERS = [1, 10]
RECORD_BYTES = 1024

METRICS = [
    *[Metric(f"producers_{n}_{what}", unit, f"{title}, {n} producer{'s' if n > 1 else ''}", digits)
      for n in PRODUCERS
      for what, unit, title, digits in [
          ("per_second", "1/s", "Transactions", 0),
          ("commit_p50_us", "µs", "Commit over 4 partitions p50", 0),
          ("commit_p99_us", "µs", "Commit p99", 0),
          ("commit_p999_us", "µs", "Commit p99.9", 0),
          ("transaction_p50_us", "µs", "Whole transaction p50", 0),
          ("transaction_p99_us", "µs", "Whole transaction p99", 0)]],
    Metric("fdatasync_p50_us", "µs", "The disk's own fdatasync right before, p50"),
    Metric("fdatasync_p99_us", "µs", "The disk's own fdatasync right before, p99"),
    Metric("commit_p50_in_fdatasyncs", "x", "Commit p50 in the disk's fdatasync p50", 1),
    Metric("commit_p99_in_fdatasyncs", "x", "Commit p99 in the disk's fdatasync p99", 1),
]


def measure(run: Run):
    server, values = run.server, run.values
    server.start()
    create_topic(server, "transactions", PARTITIONS)
    arguments = {"topic": "transactions", "partitions": PARTITIONS, "size": RECORD_BYTES}
    with run.step("transactions"):
        run.load("commits", producers=1, seconds=WARM_UP_S, **arguments)
        # With the server idle beside it, as it is between two syncs.
        disk = load("fdatasync", dir=DATA, count=FSYNCS)["fdatasync_16k"]
        values["fdatasync_p50_us"], values["fdatasync_p99_us"] = disk["p50_us"], disk["p99_us"]
        for producers in PRODUCERS:
            done = run.load("commits", producers=producers, seconds=SECONDS, **arguments)
            values[f"producers_{producers}_per_second"] = done["per_second"]
            values[f"producers_{producers}_answered_busy"] = done["answered_busy"]
            for what in ("commit", "transaction"):
                for quantile in ("p50", "p99", "p999"):
                    values[f"producers_{producers}_{what}_{quantile}_us"] = done[what][f"{quantile}_us"]
        for quantile in ("p50", "p99"):
            values[f"commit_{quantile}_in_fdatasyncs"] = \
                values[f"producers_1_commit_{quantile}_us"] / disk[f"{quantile}_us"]


PART = Part(
    name="transactions", title="Transactions", metrics=METRICS, measure=measure, competitors=chosen(), rounds=2, rounds_for_aims=2,
    what=f"Transactions of one 1 KiB record to each of {PARTITIONS} partitions, one after the other on each producer, "
         f"for {SECONDS} s. Kafka answers a commit before its markers are written, we after.",
    settings={"seconds": SECONDS, "warm_up_s": WARM_UP_S, "record_bytes": RECORD_BYTES, "partitions": PARTITIONS})

if __name__ == "__main__":
    sys.exit(main(PART))
