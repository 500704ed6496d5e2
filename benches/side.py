"""What the parts of `make bench` share: the competitors, the load client, and
the rounds in which they take turns. Method and caveats are in README.md.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests" / "lib"))
from servers import ApacheKafka, BrokerExample, Millstream, Server, wait_until  # noqa: E402

from confluent_kafka import KafkaException, TopicPartition  # noqa: E402
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec  # noqa: E402

QUICK = os.environ.get("QUICK", "") not in ("", "0")
FOR_AIMS = os.environ.get("AIMS", "") not in ("", "0")
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", HERE.parent / "target"))
LOAD = TARGET / "release" / "millstream-load"
# A folder of its own below what was given: it is removed at the end.
DATA = Path(os.environ.get("BENCH_DIR", TARGET)) / "millstream-bench-data"
RESULTS = HERE / "results"
NAME = os.environ.get("NAME") or ("quick" if QUICK else "full")

PARTITIONS = 4
FSYNCS = 200 if QUICK else 500
SETTLE_S = 2
# No single step takes longer than this; the competitor that is optional is
# given up sooner, so that it cannot hold up the others.
STEP_S_MAX = 600
# Kafka refuses a change of 10,000 records, of which each partition is one.
CREATED_AT_ONCE_MAX = 5_000
OPTIONAL_STEP_S_MAX = 60


@dataclass
class Competitor:
    """A server with its durability, under a name."""

    key: str
    title: str
    durability: str
    make: Callable[[Path], Server]
    # A step that it cannot do is named and left out, instead of ending its run.
    optional: bool = False
    # Of the rates that the others are given; what it cannot take is no figure.
    rate_share: float = 1.0

    @property
    def head(self) -> str:
        return f"{self.title}, {self.durability}"


class Tansu(Server):
    """Tansu, on the one storage engine that is embedded and on a disk: libSQL
    (SQLite), a file in WAL mode with `synchronous` at its default, FULL."""

    kind = "tansu"

    def command(self) -> list[str]:
        address = f"tcp://{self.bootstrap}"
        return [tansu_binary(), "broker", "--cluster-id", "bench", "--listener-url", address,
                "--advertised-listener-url", address, "--storage-engine", "sqlite://tansu.db"]

    def is_ready(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


def tansu_binary() -> str | None:
    return os.environ.get("TANSU_BIN") or shutil.which("tansu")


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
if tansu_binary():
    COMPETITORS.append(Competitor("tansu", "Tansu", "SQLite WAL", lambda d: Tansu(d), optional=True,
                                  rate_share=1 / 15))


def chosen(keys: set[str] | None = None) -> list[Competitor]:
    """The competitors of a part, less what the caller's ONLY leaves out."""
    only = set(os.environ.get("ONLY", "").split())
    return [c for c in COMPETITORS if (keys is None or c.key in keys) and (not only or c.key in only)]


# ------------------------------------------------------------------ the load

def load(command: str, timeout_s: float = STEP_S_MAX, **arguments) -> dict:
    """Runs the load client to its end; its one line of JSON."""
    done = subprocess.run(load_command(command, **arguments), capture_output=True, text=True, timeout=timeout_s,
                          env={**os.environ, "RUST_BACKTRACE": "0"})
    if done.returncode != 0:
        raise RuntimeError(f"load {command}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def load_command(command: str, **arguments) -> list[str]:
    words = [str(LOAD), command]
    for name, value in arguments.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return words


def create_topic(server: Server, name: str, partitions: int) -> float:
    """Creates it and waits until all of it is known; how long that took."""
    began = time.monotonic()
    # Its threads live until Python lets go of it: they must not be heard of.
    admin = AdminClient({"bootstrap.servers": server.bootstrap, "log_level": 0, "reconnect.backoff.ms": 5_000,
                         "reconnect.backoff.max.ms": 10_000})
    # Above what any of them needs for so many partitions.
    patience = {"operation_timeout": 300, "request_timeout": 310}
    at_once = min(partitions, CREATED_AT_ONCE_MAX)
    admin.create_topics([NewTopic(name, at_once, 1)], **patience)[name].result(320)
    while at_once < partitions:
        at_once = min(partitions, at_once + CREATED_AT_ONCE_MAX)
        admin.create_partitions([NewPartitions(name, at_once)], **patience)[name].result(320)
    wait_until(lambda: len(admin.list_topics(name, timeout=60).topics[name].partitions) == partitions,
               f"{partitions} partitions of {name}", 320)
    # A partition that is known may not be led yet.
    wait_until(lambda: serves(admin, name, partitions), f"{partitions} partitions of {name} served", 320)
    took = time.monotonic() - began
    del admin
    gc.collect()
    return took


def serves(admin: AdminClient, name: str, partitions: int) -> bool:
    asked = {TopicPartition(name, number): OffsetSpec.latest() for number in range(partitions)}
    try:
        return all(f.result(60) for f in admin.list_offsets(asked, request_timeout=60).values())
    except KafkaException:
        return False


def start_after(server: Server, topic: str, timeout_s: float = STEP_S_MAX) -> float:
    """From the start of the process to a record acknowledged, in ms."""
    command = server.command()
    client = subprocess.Popen(load_command("first-produce", bootstrap=server.bootstrap, topic=topic),
                              stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(0.5)  # the client is trying by now
        started = time.time_ns()
        server.spawn(command)
        output, _ = client.communicate(timeout=timeout_s)
    finally:
        client.kill()
    if client.returncode != 0:
        raise RuntimeError("no record was accepted after a start")
    server.wait_ready(timeout_s)
    return (int(json.loads(output)["accepted_ns"]) - started) / 1e6


# --------------------------------------------------------------- the machine

def cpu_seconds(pid: int) -> float:
    """utime + stime of the process, all its threads (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def cpu_of(pid: int):
    """The CPU seconds that a process spends in the block, in its one-item list."""
    spent: list[float] = []
    before = cpu_seconds(pid)
    yield spent
    spent.append(cpu_seconds(pid) - before)


def resident_mib(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise RuntimeError("no VmRSS")


def machine() -> dict:
    cpu = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                if line.startswith("model name")), platform.machine())
    memory = int(Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return {"cpu": cpu, "cores": os.cpu_count(), "memory_gib": round(memory, 1), "kernel": platform.release().split("-")[0]}


def quiet_disk() -> dict:
    """What the machine was like just before: others' work shows here."""
    return {"load_average": os.getloadavg()[0],
            **load("fdatasync", dir=DATA, count=FSYNCS)["fdatasync_16k"]}


# ---------------------------------------------------------------- the rounds

@dataclass
class Metric:
    name: str
    unit: str
    title: str
    digits: int = 0


class Run:
    """One competitor, once, on an empty data folder."""

    def __init__(self, competitor: Competitor):
        self.competitor = competitor
        self.data_dir = DATA / competitor.key
        self.values: dict = {}
        self.failed: list[str] = []

    def __enter__(self) -> "Run":
        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.server = self.competitor.make(self.data_dir)
        return self

    def __exit__(self, *_):
        self.server.kill()
        shutil.rmtree(self.data_dir, ignore_errors=True)

    @property
    def step_s_max(self) -> float:
        return OPTIONAL_STEP_S_MAX if self.competitor.optional else STEP_S_MAX

    @contextmanager
    def step(self, what: str):
        """Part of a run that the optional competitor may fail in."""
        try:
            yield
        except Exception as error:
            if not self.competitor.optional:
                raise
            reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
            self.failed.append(f"{what}: {reason}")

    def load(self, command: str, **arguments) -> dict:
        return load(command, self.step_s_max, bootstrap=self.server.bootstrap, **arguments)

    def rate(self, records_per_s: int) -> int:
        return max(1, int(records_per_s * self.competitor.rate_share))


@dataclass
class Part:
    """A file of its own, a row in run.sh's list, and two files of results."""

    name: str
    title: str
    metrics: list[Metric]
    measure: Callable[[Run], None]
    competitors: list[Competitor]
    rounds: int
    # Rounds of the shorter run that AIMS=1 asks for; 0: not in it.
    rounds_for_aims: int = field(default=0, kw_only=True)
    # One sentence on what was done, for the table's head.
    what: str
    settings: dict = field(default_factory=dict)
    # Once a round, apart from the competitors (the floor): key to values.
    beside: Callable[[], dict[str, dict]] | None = None
    beside_heads: dict[str, str] = field(default_factory=dict)


def main(part: Part) -> int:
    # Stopped from outside, the servers are stopped too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    DATA.mkdir(parents=True, exist_ok=True)
    RESULTS.mkdir(exist_ok=True)
    usual = part.rounds_for_aims or part.rounds if FOR_AIMS else part.rounds
    rounds = int(os.environ.get("ROUNDS") or (1 if QUICK else usual))
    runs: dict[str, list[dict]] = {c.key: [] for c in part.competitors}
    failed, text, started = [], "", time.monotonic()
    for number in range(rounds):
        # Another one begins each round, so that none always follows the same.
        turn = number % len(part.competitors)
        for competitor in part.competitors[turn:] + part.competitors[:turn]:
            began = time.monotonic()
            say = f"{part.name} {number + 1}/{rounds} {competitor.key}"
            quiet = quiet_disk()
            try:
                with Run(competitor) as run:
                    part.measure(run)
                runs[competitor.key].append({**run.values, "before": quiet, "failed": run.failed})
                print(f"{say} ({time.monotonic() - began:.0f} s)"
                      + "".join(f"\n  could not: {f}" for f in run.failed), flush=True)
            except Exception as error:
                print(f"{say} failed: {error}", flush=True)
                reason = " ".join(str(error).split())[:300]
                if competitor.optional:
                    runs[competitor.key].append({"before": quiet, "failed": [reason]})
                else:
                    failed.append(f"{competitor.key}: {reason}")
        if part.beside:
            for key, values in part.beside().items():
                runs.setdefault(key, []).append(values)
        # After each round, so that a run that is stopped leaves what it has.
        text = write_results(part, runs, failed)
    shutil.rmtree(DATA, ignore_errors=True)
    print("\n" + text)
    print(f"took {(time.monotonic() - started) / 60:.1f} minutes; results are in benches/results/{NAME}-{part.name}.*")
    passed = sum(any(m.name in run for m in part.metrics) for c in part.competitors for run in runs[c.key])
    print(f"{passed} passed, {len(failed)} failed")
    return 1 if failed or not passed else 0


def median(runs: list[dict], name: str) -> float | None:
    values = [run[name] for run in runs if run.get(name) is not None]
    return statistics.median(values) if values else None


def write_results(part: Part, runs: dict[str, list[dict]], failed: list[str]) -> str:
    """The table and every value behind it."""
    rounds = max(map(len, runs.values()))
    disk = [run["before"] for several in runs.values() for run in several if "before" in run]
    host = machine()
    document = {
        "name": NAME, "part": part.name, "rounds": rounds, "at": time.strftime("%Y-%m-%d %H:%M:%S %z"),
        "machine": host, "settings": part.settings,
        "medians": {key: {m.name: median(several, m.name) for m in part.metrics} for key, several in runs.items()},
        "disk": {name: median(disk, name) for name in ("load_average", "p50_us", "p99_us", "p999_us")},
        "failed": failed, "runs": runs,
    }
    (RESULTS / f"{NAME}-{part.name}.json").write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    lines = [f"# {part.title}: {NAME}", "",
             f"{document['at']}, {host['cores']} cores ({host['cpu']}), {host['memory_gib']} GiB, Linux "
             f"{host['kernel']}. Medians of {rounds} alternating round{'s' if rounds != 1 else ''}. {part.what} "
             "Broker and load client share the machine. Method and caveats: ../README.md.", "",
             *table(part, runs), "", *notes(part, runs, document["disk"], failed), ""]
    text = "\n".join(lines)
    (RESULTS / f"{NAME}-{part.name}.md").write_text(text)
    return text


def table(part: Part, runs: dict[str, list[dict]]) -> list[str]:
    columns = [(c.key, c.head) for c in part.competitors] + list(part.beside_heads.items())
    lines = ["| | unit | " + " | ".join(head for _, head in columns) + " |",
             "|---|---|" + "---:|" * len(columns)]
    for metric in part.metrics:
        cells = [median(runs.get(key, []), metric.name) for key, _ in columns]
        lines.append(f"| {metric.title} | {metric.unit} | " +
                     " | ".join("-" if v is None else f"{v:,.{metric.digits}f}" for v in cells) + " |")
    return lines


def notes(part: Part, runs: dict[str, list[dict]], disk: dict, failed: list[str]) -> list[str]:
    lines = []
    if disk["p50_us"] is not None:
        busy = " (the machine had other work, which shows in the tails)" if disk["load_average"] > os.cpu_count() else ""
        lines.append(f"The disk's own fdatasync of 16 KiB in the same folder: p50 {disk['p50_us']:,.0f} µs, p99 "
                     f"{disk['p99_us']:,.0f} µs. Load average before the runs: {disk['load_average']:.1f}{busy}.")
    for competitor in part.competitors:
        could_not = sorted({f for run in runs[competitor.key] for f in run.get("failed", [])})
        if could_not:
            lines.append(f"{competitor.title} could not: " + "; ".join(could_not) + ".")
        if competitor.rate_share != 1 and part.name == "core":
            lines.append(f"{competitor.title} was given 1/{1 / competitor.rate_share:.0f} of the records per second "
                         "where CPU per GB is measured.")
    if failed:
        lines.append("Failed: " + "; ".join(failed) + ".")
    if "tansu" not in {c.key for c in part.competitors}:
        lines.append("Tansu is not in this table" +
                     ("." if tansu_binary() else ": no `tansu` was found (README.md says how to have it)."))
    return [line for note in lines for line in (note, "")][:-1]
