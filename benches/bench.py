"""Millstream beside Apache Kafka on this machine, in one run, alternating.

Called by benches/run.sh; what is measured and how is in benches/README.md.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "lib"))
from servers import ApacheKafka, BrokerExample, Millstream, Server, wait_until  # noqa: E402

from confluent_kafka import Producer  # noqa: E402
from confluent_kafka.admin import AdminClient, NewTopic  # noqa: E402

QUICK = os.environ.get("QUICK", "") not in ("", "0")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
LOAD = TARGET / "release" / "millstream-load"
DATA = Path(os.environ.get("BENCH_DIR", TARGET / "bench-data"))
RESULTS = HERE / "results"
NAME = os.environ.get("NAME") or ("quick" if QUICK else "full")

RECORD_BYTES = 1024
PARTITIONS = 4
MANY_PARTITIONS = 1000
LATENCY_RATE = 5_000
FLOW_RATE = 30_000

# How much of each, full and quick.
ROUNDS = int(os.environ.get("ROUNDS", 1 if QUICK else 5))
WARM_UP_S = 3 if QUICK else 6
FLOW_MIB = 128 if QUICK else 384
LATENCY_S = 5 if QUICK else 12
TRANSACTIONS = 100 if QUICK else 300
FSYNCS = 200 if QUICK else 500
SETTLE_S = 2


class Competitor:
    """A server with its durability, under a name."""

    def __init__(self, key: str, title: str, durability: str, make):
        self.key, self.title, self.durability, self.make = key, title, durability, make


def millstream(durability: str):
    def make(data_dir: Path) -> Server:
        if os.environ.get("BENCH_BROKER_EXAMPLE"):
            return BrokerExample(data_dir, {"fsync": "fsync", "replicated": "page-cache"}[durability])
        return Millstream(data_dir, config=f'[log]\ndurability = "{durability}"\n')
    return make


COMPETITORS = [
    Competitor("kafka", "Apache Kafka", "page cache", lambda d: ApacheKafka(d)),
    Competitor("kafka-flush", "Apache Kafka", "flush per message",
               lambda d: ApacheKafka(d, {"log.flush.interval.messages": "1"})),
    Competitor("millstream-fsync", "Millstream", "fsync", millstream("fsync")),
    Competitor("millstream-replicated", "Millstream", "page cache", millstream("replicated")),
]

# name in the results, unit, title, digits
METRICS = [
    ("cpu_s_per_gb", "CPU-s/GB", "Broker CPU for 1 GB in and 1 GB out, 1 KiB records", 2),
    ("cpu_percent_at_5000", "% of a core", "Broker CPU at 5,000 records/s", 1),
    ("produce_p50_us", "µs", "Produce latency p50 at 5,000 records/s", 0),
    ("produce_p99_us", "µs", "Produce latency p99", 0),
    ("produce_p999_us", "µs", "Produce latency p99.9", 0),
    ("end_to_end_p50_us", "µs", "End-to-end latency p50 at 5,000 records/s", 0),
    ("end_to_end_p99_us", "µs", "End-to-end latency p99", 0),
    ("end_to_end_p999_us", "µs", "End-to-end latency p99.9", 0),
    ("commit_p50_us", "µs", "Commit of a transaction over 4 partitions p50", 0),
    ("commit_p99_us", "µs", "Commit of a transaction over 4 partitions p99", 0),
    ("transaction_p99_us", "µs", "Whole transaction over 4 partitions p99", 0),
    ("rss_idle_mib", "MiB", "Resident memory, idle after start", 0),
    ("rss_loaded_mib", "MiB", "Resident memory after the load", 0),
    ("rss_many_mib", "MiB", "Resident memory with 1,000 partitions", 0),
    ("start_ms", "ms", "Process start to first accepted produce", 0),
]


def load(command: str, **arguments) -> dict:
    """Runs the load client to its end; its one line of JSON."""
    done = subprocess.run(load_command(command, **arguments), capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        raise RuntimeError(f"load {command}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def load_command(command: str, **arguments) -> list[str]:
    words = [str(LOAD), command]
    for name, value in arguments.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def cpu_seconds(pid: int) -> float:
    """utime + stime of the process, all its threads (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def create_topic(server: Server, name: str, partitions: int):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    admin.create_topics([NewTopic(name, partitions, 1)], operation_timeout=60, request_timeout=90)[name].result(120)
    wait_until(lambda: len(admin.list_topics(name, timeout=30).topics[name].partitions) == partitions,
               f"{partitions} partitions of {name}", 120)


def flow(server: Server, rate: int, seconds: float, linger_ms: int) -> dict:
    return load("flow", bootstrap=server.bootstrap, topic="flow", partitions=PARTITIONS, rate=rate,
                records=int(rate * seconds), size=RECORD_BYTES, linger_ms=linger_ms)


def measure(competitor: Competitor) -> dict:
    """One competitor, once, on an empty data folder."""
    data_dir = DATA / competitor.key
    shutil.rmtree(data_dir, ignore_errors=True)
    server = competitor.make(data_dir)
    result = {}
    try:
        server.start()
        time.sleep(SETTLE_S)
        result["rss_idle_mib"] = resident_mib(server.pid)
        create_topic(server, "flow", PARTITIONS)
        create_topic(server, "transactions", PARTITIONS)

        # The JVM compiles what is hot; ours needs no warm-up and gets the same.
        flow(server, FLOW_RATE, WARM_UP_S, linger_ms=5)
        load("transactions", bootstrap=server.bootstrap, topic="transactions", partitions=PARTITIONS,
             count=TRANSACTIONS // 4, size=RECORD_BYTES)

        before = cpu_seconds(server.pid)
        moved = flow(server, FLOW_RATE, FLOW_MIB * 1024 * 1024 / RECORD_BYTES / FLOW_RATE, linger_ms=5)
        result["cpu_s_per_gb"] = (cpu_seconds(server.pid) - before) / (moved["bytes"] / 1e9)
        result["flow_records_per_s"] = moved["records_per_s"]
        result["rss_loaded_mib"] = resident_mib(server.pid)

        flow(server, LATENCY_RATE, 2, linger_ms=0)
        before, started = cpu_seconds(server.pid), time.monotonic()
        latency = flow(server, LATENCY_RATE, LATENCY_S, linger_ms=0)
        result["cpu_percent_at_5000"] = 100 * (cpu_seconds(server.pid) - before) / (time.monotonic() - started)
        for side in ("produce", "end_to_end"):
            for quantile in ("p50", "p99", "p999", "max"):
                result[f"{side}_{quantile}_us"] = latency[side][f"{quantile}_us"]

        transactions = load("transactions", bootstrap=server.bootstrap, topic="transactions",
                            partitions=PARTITIONS, count=TRANSACTIONS, size=RECORD_BYTES)
        for what in ("commit", "transaction"):
            for quantile in ("p50", "p99"):
                result[f"{what}_{quantile}_us"] = transactions[what][f"{quantile}_us"]

        server.stop()
        result["start_ms"] = start_time(server)
        create_topic(server, "many", MANY_PARTITIONS)
        touch_every_partition(server)
        time.sleep(SETTLE_S)
        result["rss_many_mib"] = resident_mib(server.pid)
        server.stop()
    finally:
        server.kill()
        shutil.rmtree(data_dir, ignore_errors=True)
    return result


def start_time(server: Server) -> float:
    """From the start of the process to a record acknowledged, in ms."""
    command = server.command()
    client = subprocess.Popen(load_command("first-produce", bootstrap=server.bootstrap, topic="flow"),
                              stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)  # the client is trying by now
    started = time.time_ns()
    server.spawn(command)
    output, _ = client.communicate(timeout=120)
    if client.returncode != 0:
        raise RuntimeError("no record was accepted after a start")
    server.wait_ready()
    return (int(json.loads(output)["accepted_ns"]) - started) / 1e6


def touch_every_partition(server: Server):
    """A record in each, so that every log is open."""
    failures = []
    producer = Producer({"bootstrap.servers": server.bootstrap, "acks": "all", "linger.ms": 50,
                         "delivery.timeout.ms": 100_000})
    for partition in range(MANY_PARTITIONS):
        producer.produce("many", value=b"x" * RECORD_BYTES, partition=partition,
                         on_delivery=lambda error, _: error and failures.append(error))
    if producer.flush(110) or failures:
        raise RuntimeError(f"1,000 partitions: {failures[:1] or 'not acknowledged'}")


def median(runs: list[dict], name: str) -> float | None:
    values = [run[name] for run in runs if run.get(name) is not None]
    return statistics.median(values) if values else None


def machine() -> dict:
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release()}


def table(runs: dict[str, list[dict]], disk: list[dict]) -> str:
    heads = [f"{c.title}, {c.durability}" for c in COMPETITORS]
    lines = ["| | unit | " + " | ".join(heads) + " |", "|---|---|" + "---:|" * len(heads)]
    for name, unit, title, digits in METRICS:
        cells = [median(runs[c.key], name) for c in COMPETITORS]
        lines.append(f"| {title} | {unit} | " +
                     " | ".join("-" if v is None else f"{v:,.{digits}f}" for v in cells) + " |")
    if not disk:
        return "\n".join(lines)
    p50, p99 = median(disk, "p50_us"), median(disk, "p99_us")
    busy = median(disk, "load_average")
    lines += ["", f"The disk's own fdatasync of 16 KiB in the same folder: p50 {p50:,.0f} µs, p99 {p99:,.0f} µs. "
              f"Load average before the runs: {busy:.1f}" +
              (" (the machine had other work, which shows in the tails)." if busy > os.cpu_count() else ".")]
    return "\n".join(lines)


def aims(runs: dict[str, list[dict]]) -> str:
    """What was aimed at and what came of it, met or not."""
    def ratio(name: str, ours: str, theirs: str = "kafka"):
        mine, other = median(runs[ours], name), median(runs[theirs], name)
        return None if mine is None or not other else mine / other

    rows = [
        ("CPU per GB at most half of Kafka's (page cache both)", ratio("cpu_s_per_gb", "millstream-replicated"), 0.5),
        ("CPU per GB with fsync at most half of Kafka's without", ratio("cpu_s_per_gb", "millstream-fsync"), 0.5),
        ("Produce p99 with fsync no worse than Kafka's without", ratio("produce_p99_us", "millstream-fsync"), 1.0),
        ("End-to-end p99 with fsync no worse than Kafka's without", ratio("end_to_end_p99_us", "millstream-fsync"), 1.0),
        ("Idle memory at most a tenth", ratio("rss_idle_mib", "millstream-fsync"), 0.1),
        ("Memory with 1,000 partitions at most a tenth", ratio("rss_many_mib", "millstream-fsync"), 0.1),
        ("Start at most a tenth", ratio("start_ms", "millstream-fsync"), 0.1),
    ]
    lines = ["| aim | ours / Kafka's | |", "|---|---:|---|"]
    for title, value, limit in rows:
        text = "-" if value is None else f"{value:.2f}"
        lines.append(f"| {title} | {text} | {'' if value is None else 'met' if value <= limit else 'missed'} |")
    return "\n".join(lines)


def main() -> int:
    # Stopped from outside, the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    DATA.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    text = ""
    runs: dict[str, list[dict]] = {c.key: [] for c in COMPETITORS}
    disk, failed = [], 0
    started = time.monotonic()
    for number in range(ROUNDS):
        # Another one begins each round, so that none always follows the same.
        order = COMPETITORS[number % len(COMPETITORS):] + COMPETITORS[:number % len(COMPETITORS)]
        for competitor in order:
            began = time.monotonic()
            # What the machine was like just before: others' work shows here.
            quiet = {"load_average": os.getloadavg()[0],
                     **load("fdatasync", dir=DATA, count=FSYNCS)["fdatasync_16k"]}
            disk.append(quiet)
            try:
                run = {**measure(competitor), "before": quiet}
                runs[competitor.key].append(run)
                print(f"round {number + 1}/{ROUNDS} {competitor.key}: {run['cpu_s_per_gb']:.2f} CPU-s/GB, "
                      f"produce p99 {run['produce_p99_us']:,.0f} µs, end to end p99 {run['end_to_end_p99_us']:,.0f} µs, "
                      f"start {run['start_ms']:,.0f} ms ({time.monotonic() - began:.0f} s)", flush=True)
            except Exception as error:
                failed += 1
                print(f"round {number + 1}/{ROUNDS} {competitor.key} failed: {error}", flush=True)
        # After each round, so that a run that is stopped leaves what it has.
        text = write_results(runs, disk)
    shutil.rmtree(DATA, ignore_errors=True)
    print("\n" + text)
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes; results are in benches/results/{NAME}.md and .json")
    print(f"{sum(map(len, runs.values()))} passed, {failed} failed")
    return 1 if failed else 0


def write_results(runs: dict[str, list[dict]], disk: list[dict]) -> str:
    """The table and every value behind it."""
    rounds = max(map(len, runs.values()))
    document = {
        "name": NAME, "rounds": rounds, "at": time.strftime("%Y-%m-%d %H:%M:%S %z"), "machine": machine(),
        "settings": {"record_bytes": RECORD_BYTES, "partitions": PARTITIONS, "flow_rate": FLOW_RATE,
                     "flow_mib": FLOW_MIB, "latency_rate": LATENCY_RATE, "latency_s": LATENCY_S,
                     "transactions": TRANSACTIONS, "warm_up_s": WARM_UP_S, "kafka_heap": "1G"},
        "medians": {key: {m[0]: median(r, m[0]) for m in METRICS} for key, r in runs.items()},
        "disk": disk, "runs": runs,
    }
    (RESULTS / f"{NAME}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    host = document["machine"]
    text = "\n".join([
        f"# Side by side with Apache Kafka: {NAME}", "",
        f"{document['at']}, {host['cores']} cores ({host['cpu']}), {host['memory_gib']} GiB, Linux {host['kernel']}. "
        f"Medians of {rounds} alternating round{'s' if rounds > 1 else ''}, each {FLOW_MIB} MiB at "
        f"{FLOW_RATE:,} records/s, {LATENCY_S} s at {LATENCY_RATE:,} records/s and {TRANSACTIONS} transactions; "
        "broker and load client share the machine. Method and caveats: ../README.md.", "",
        table(runs, disk), "", aims(runs), ""])
    (RESULTS / f"{NAME}.md").write_text(text)
    return text


if __name__ == "__main__":
    sys.exit(main())
