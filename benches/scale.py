"""Many connections, a large group, a reader that catches up: Millstream beside
Apache Kafka, alternating. The second part of `make bench`; method in README.md.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time

from bench import (COMPETITORS, DATA, QUICK, RESULTS, Competitor, cpu_seconds, create_topic, flow, load,
                   machine, median, resident_mib)

NAME = "-".join(filter(None, ["scale", os.environ.get("NAME") or ("quick" if QUICK else "")]))
ROUNDS = int(os.environ.get("ROUNDS", 1 if QUICK else 5))
CONNECTIONS = [1, 100, 2000]
REQUEST_RATE = 2_000
REQUEST_S = 3 if QUICK else 8
MEMBERS = 20 if QUICK else 100
FILL_RATE = 50_000
FILL_S = 2 if QUICK else 10
WARM_UP_S = 3 if QUICK else 6
# One connection has one request in flight: the rate must leave it time.
ONE_CONNECTION_RATE = 500

# Kafka with a flush per message answers one request in several ms.
SKIPPED = {"kafka-flush"}

METRICS = [
    *[(f"connections_{n}_{what}", unit, f"{title}, {n:,} connection{'s' if n > 1 else ''}", digits)
      for n in CONNECTIONS
      for what, unit, title, digits in [
          ("cpu_s_per_million", "CPU-s", "Broker CPU for a million Produce requests of 100 B", 0),
          ("p50_us", "µs", "Produce p50", 0), ("p99_us", "µs", "Produce p99", 0),
          ("rss_mib", "MiB", "Resident memory", 0)]],
    ("join_s", "s", f"A group of {MEMBERS}: subscribe to all assigned", 2),
    ("catch_up_mb_per_s", "MB/s", "One reader from the beginning, from the page cache", 0),
    ("catch_up_cpu_s_per_gb", "CPU-s/GB", "Broker CPU for it", 2),
]


def measure(competitor: Competitor) -> dict:
    """One competitor, once, on an empty data folder."""
    data_dir = DATA / competitor.key
    shutil.rmtree(data_dir, ignore_errors=True)
    server = competitor.make(data_dir)
    result = {}
    try:
        server.start()
        create_topic(server, "flow", 4)
        create_topic(server, "requests", 4)
        create_topic(server, "joined", MEMBERS)
        flow(server, 20_000, WARM_UP_S, linger_ms=5)
        for count in CONNECTIONS:
            rate = ONE_CONNECTION_RATE if count == 1 else REQUEST_RATE
            arguments = {"bootstrap": server.bootstrap, "topic": "requests", "partitions": 4,
                         "connections": count, "rate": rate, "size": 100}
            load("connections", requests=rate, **arguments)
            before = cpu_seconds(server.pid)
            done = load("connections", requests=rate * REQUEST_S, **arguments)
            spent = cpu_seconds(server.pid) - before
            result[f"connections_{count}_cpu_s_per_million"] = 1e6 * spent / done["requests"]
            result[f"connections_{count}_p50_us"] = done["produce"]["p50_us"]
            result[f"connections_{count}_p99_us"] = done["produce"]["p99_us"]
            result[f"connections_{count}_rss_mib"] = resident_mib(server.pid)
        result["join_s"] = load("group", bootstrap=server.bootstrap, topic="joined", members=MEMBERS)["seconds"]
        flow(server, FILL_RATE, FILL_S, linger_ms=5)
        before = cpu_seconds(server.pid)
        read = load("catch-up", bootstrap=server.bootstrap, topic="flow", partitions=4)
        result["catch_up_mb_per_s"] = read["mb_per_s"]
        result["catch_up_cpu_s_per_gb"] = (cpu_seconds(server.pid) - before) / (read["bytes"] / 1e9)
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(data_dir, ignore_errors=True)
    return result


def write_results(competitors: list[Competitor], runs: dict[str, list[dict]]) -> str:
    """The table and every value behind it."""
    host, rounds = machine(), max(map(len, runs.values()))
    at = time.strftime("%Y-%m-%d %H:%M:%S %z")
    heads = [f"{c.title}, {c.durability}" for c in competitors]
    lines = [
        f"# Connections, groups, catching up: {NAME}", "",
        f"{at}, {host['cores']} cores ({host['cpu']}), {host['memory_gib']} GiB, Linux {host['kernel']}. Medians of "
        f"{rounds} alternating round{'s' if rounds > 1 else ''}. {REQUEST_RATE:,} requests/s in all "
        f"({ONE_CONNECTION_RATE} on one connection), acks=all, one record each; broker and load client share the "
        "machine. Method and caveats: ../README.md.", "",
        "| | unit | " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(heads)]
    for name, unit, title, digits in METRICS:
        cells = [median(runs[c.key], name) for c in competitors]
        lines.append(f"| {title} | {unit} | " +
                     " | ".join("-" if v is None else f"{v:,.{digits}f}" for v in cells) + " |")
    text = "\n".join([*lines, ""])
    (RESULTS / f"{NAME}.md").write_text(text)
    document = {"name": NAME, "rounds": rounds, "at": at, "machine": host, "runs": runs}
    (RESULTS / f"{NAME}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    return text


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    DATA.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    competitors = [c for c in COMPETITORS if c.key not in SKIPPED]
    runs: dict[str, list[dict]] = {c.key: [] for c in competitors}
    text, failed = "", 0
    for number in range(ROUNDS):
        turn = number % len(competitors)
        for competitor in competitors[turn:] + competitors[:turn]:
            began = time.monotonic()
            try:
                runs[competitor.key].append(measure(competitor))
                print(f"round {number + 1}/{ROUNDS} {competitor.key} ({time.monotonic() - began:.0f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"round {number + 1}/{ROUNDS} {competitor.key} failed: {error}", flush=True)
        text = write_results(competitors, runs)
    shutil.rmtree(DATA, ignore_errors=True)
    print("\n" + text)
    print(f"{sum(map(len, runs.values()))} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
