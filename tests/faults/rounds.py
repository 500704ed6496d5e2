"""One round: a broker of its own behind the proxy and the shim, clients, faults,
then healing, draining and checking."""

from __future__ import annotations

import contextlib
import errno
import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))

from confluent_kafka import (  # noqa: E402
    Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, KafkaException, TopicPartition)
from confluent_kafka.admin import AdminClient, NewTopic, OffsetSpec  # noqa: E402
from servers import Millstream, ServerError, wait_until  # noqa: E402

import checker  # noqa: E402
import disk  # noqa: E402
import javaload  # noqa: E402
import tails  # noqa: E402
from load import EVENTS, HOPS, COPIES, PARTITIONS, ROLES  # noqa: E402
from proxy import Proxy  # noqa: E402
from schedule import Round  # noqa: E402
from shim import Shim  # noqa: E402

LOAD = Path(__file__).with_name("load.py")
# More than the 45 s after which a crashed member of the consumer protocol is given up
# (`group.consumer.session.timeout.ms` is the broker's, not the client's).
HEAL_S = 120.0
#: How long a fault may be kept until it has really met something.
BITE_S = 3.0
#: What the broker says of an error of the disk, and of a log that has stopped for good.
TOLD = re.compile(r"cannot (sync|undo|write|cut)|has stopped|sync failed", re.IGNORECASE)
STOPPED = re.compile(r"the log has stopped|the metadata has stopped|log file is broken", re.IGNORECASE)


class Broker(Millstream):
    """The binary under the shim."""

    def __init__(self, folder: Path, config: str, shim: Shim):
        self.shim = shim
        super().__init__(folder, config=config, roles="broker")

    def spawn(self, command, env=None):
        super().spawn(command, {**(env or {}), **self.shim.env()})


class RoundFailed(Exception):
    """The round could not be carried out; not a violation by itself."""


class Run:
    def __init__(self, plan: Round, folder: Path, library: Path, load_s: float = 0.0):
        self.plan, self.folder, self.load_s = plan, folder, load_s
        self.executed: list[dict] = []
        self.complaints: list[str] = []
        self.clients: dict[str, subprocess.Popen] = {}
        self.incarnations: dict[str, int] = {}
        self.events: list[dict] = []
        data = folder / "data"
        data.mkdir(parents=True)
        self.shim = Shim(library, folder / "control", data, plan.seed)
        # The port is chosen by the server's constructor; the proxy needs it first and the settings the proxy.
        self.broker = Broker(data, "", self.shim)
        self.proxy = Proxy(self.broker.port)
        self.broker.config_path.write_text(
            f'[kafka]\nadvertised = "{self.proxy.address}"\n'
            f'[log]\ndurability = "{plan.durability}"\nsegment = "1MiB"\nauto_create_topics = false\n'
            "[coordinator]\noffsets_partitions = 4\ntransactions_partitions = 4\n")

    # ------------------------------------------------------------- the round

    def carry_out(self) -> dict:
        started = time.monotonic()
        try:
            self.broker.start()
            self.create_topics()
            self.set_phase("run")
            for role in self.roles():
                self.start_client(role)
            self.wait_for_load()
            for fault in self.plan.faults:
                time.sleep(fault["wait_ms"] / 1000)
                self.execute(fault)
            time.sleep(self.load_s)
            self.heal()
            self.drain()
            self.final_reads()
        except (ServerError, TimeoutError, KafkaException, RoundFailed) as error:
            self.complaints.append(f"the round did not come to its end: {error}")
        finally:
            self.end_all()
        self.look_at_the_disk()
        return self.result(time.monotonic() - started)

    def roles(self) -> list[str]:
        return [*ROLES, *(["java"] if self.plan.java else [])]

    def create_topics(self):
        admin = AdminClient({"bootstrap.servers": self.proxy.address, "log_level": 0})
        topics = [NewTopic(name, n, 1, config={"retention.ms": "-1", "retention.bytes": "-1"})
                  for name, n in PARTITIONS.items()]
        for done in admin.create_topics(topics).values():
            done.result(30)

    def set_phase(self, phase: str):
        aside = self.folder / "phase.new"
        aside.write_text(phase)
        aside.rename(self.folder / "phase")

    def start_client(self, role: str):
        self.incarnations[role] = self.incarnations.get(role, 0) + 1
        if role == "java":
            self.clients[role] = javaload.start(self.folder, self.proxy.address, self.incarnations[role])
            return
        who = f"{role}.{self.incarnations[role]}"
        settings = {"seed": self.plan.seed, "bootstrap": self.proxy.address, "codec": self.plan.codec,
                    "protocol": self.plan.protocol, "assignor": self.plan.assignor, "pause_s": 0.05,
                    "static": self.plan.seed % 3 == 0, "acks": self.plan.acks}
        with open(self.folder / "clients.log", "ab") as log:
            self.clients[role] = subprocess.Popen(
                [sys.executable, str(LOAD), role, who, str(self.folder), json.dumps(settings)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def wait_for_load(self):
        """Until all kinds of clients work: there are acknowledged records, committed transactions and reads of a group."""
        def going():
            counts = checker.counts(self.read_history())
            java = not self.plan.java or "producer_send_success" in (self.folder / "java-1.out").read_text()
            return counts["acknowledged"] > 100 and counts["committed"] > 3 and counts["offset_commits"] > 0 and java
        wait_until(going, "the load runs", HEAL_S, pause_s=0.1)

    def read_history(self) -> list[dict]:
        events = []
        for path in self.folder.glob("history-*.jsonl"):
            for line in path.read_bytes().split(b"\n"):
                # A client that was killed may have left a part of a line.
                with contextlib.suppress(json.JSONDecodeError):
                    if line:
                        events.append(json.loads(line))
        events.sort(key=lambda event: event["t"])
        return events

    # ---------------------------------------------------------------- faults

    def execute(self, fault: dict):
        chance = random.Random(fault["seed"])
        kind = fault["kind"]
        evidence = getattr(self, kind.replace("-", "_"))(fault, chance)
        self.executed.append({"kind": kind, **{k: v for k, v in fault.items() if k not in ("kind", "wait_ms", "seed")},
                              "did": evidence})

    def restart(self):
        self.broker.start()
        self.shim.note_recovered()

    def kill_broker(self):
        if not self.broker.is_running():
            raise RoundFailed(f"the broker ended by itself\n{self.broker.log_tail()}")
        self.broker.kill()
        self.shim.heal()

    def kill(self, _fault, _chance):
        self.kill_broker()
        self.restart()
        return {"signal": "SIGKILL"}

    def tails(self, fault, chance):
        self.kill_broker()
        done = tails.alter(self.broker.data_dir, self.shim, fault["how"], chance)
        if not done:
            # All was synced: what can still be torn is a write that had just begun.
            done = tails.alter(self.broker.data_dir, self.shim, "garbage", random.Random(1))
        self.restart()
        return {"altered": done}

    def pause(self, fault, _chance):
        self.broker.process.send_signal(signal.SIGSTOP)
        try:
            stat = Path(f"/proc/{self.broker.pid}/stat")
            wait_until(lambda: stat.read_text().rsplit(")", 1)[1].split()[0] == "T", "the broker stopped", 5)
            time.sleep(fault["for_ms"] / 1000)
        finally:
            self.broker.process.send_signal(signal.SIGCONT)
        return {"state": "T"}

    def client_crash(self, fault, _chance):
        role = sorted(self.clients)[fault["which"] % len(self.clients)]
        process = self.clients[role]
        process.kill()
        code = process.wait(10)
        if code != -signal.SIGKILL:
            raise RoundFailed(f"client {role} had ended by itself with {code}, see {self.folder}/clients.log")
        time.sleep(fault["down_ms"] / 1000)
        self.start_client(role)
        return {"role": role}

    def cut(self, fault, chance):
        count = 0
        for _ in range(fault["times"]):
            count += self.proxy.cut(chance, fault["share"])
            time.sleep(0.1)
        return {"connections": count}

    def stall(self, fault, _chance):
        before = self.proxy.held_chunks
        self.proxy.stall(True)
        try:
            time.sleep(fault["for_ms"] / 1000)
            self.wait_for_bite(lambda: self.proxy.held_chunks > before)
        finally:
            self.proxy.stall(False)
        return {"held": self.proxy.held_chunks - before}

    def delay(self, fault, _chance):
        before = self.proxy.delayed_chunks
        self.proxy.delay(fault["delay_ms"] / 1000)
        try:
            time.sleep(fault["for_ms"] / 1000)
            self.wait_for_bite(lambda: self.proxy.delayed_chunks > before)
        finally:
            self.proxy.delay(0.0)
        return {"delayed": self.proxy.delayed_chunks - before}

    def disk_full(self, fault, chance):
        return self.failing(fault, chance, "writes_failed", lambda only: self.shim.fail_writes(
            errno.ENOSPC, fault["permille"], only))

    def write_error(self, fault, chance):
        return self.failing(fault, chance, "writes_failed", lambda only: self.shim.fail_writes(
            errno.EIO, fault["permille"], only))

    def sync_error(self, fault, chance):
        return self.failing(fault, chance, "syncs_failed", lambda only: self.shim.fail_syncs(fault["permille"], only))

    def failing(self, fault, chance, counter: str, begin):
        """I/O errors for a while; then, as an operator would, a restart."""
        before, where = self.shim.get(counter), fault["where"]
        begin(where)
        time.sleep(fault["for_ms"] / 1000)
        if not self.wait_for_bite(lambda: self.shim.get(counter) > before) and where:
            # Nothing is written there just now: somewhere else then.
            begin("")
            self.wait_for_bite(lambda: self.shim.get(counter) > before)
        self.shim.heal()
        given = self.shim.get(counter) - before
        if counter == "syncs_failed" and given and not wait_until_or_none(
                lambda: TOLD.search(self.broker.log_text())):
            self.complaints.append(f"{given} syncs failed and the broker's log says nothing of it")
        said = TOLD.findall(self.broker.log_text())
        altered = []
        ended = not self.broker.is_running()
        if fault["then"] == "nothing" and not ended and not STOPPED.search(self.broker.log_text()):
            return {"given": given, "said": len(said), "restarted": False}
        if fault["then"] == "kill" or ended:
            if not ended:
                self.kill_broker()
            if fault["tails"]:
                altered = tails.alter(self.broker.data_dir, self.shim, fault["tails"], chance)
        else:
            self.broker.stop(30)
        self.restart()
        return {"given": given, "said": len(said), "altered": altered, **({"ended": True} if ended else {})}

    def clock(self, fault, _chance):
        before = self.shim.get("clock_shifted")
        self.shim.shift_clock(fault["seconds"])
        self.wait_for_bite(lambda: self.shim.get("clock_shifted") > before)
        return {"readings": self.shim.get("clock_shifted") - before}

    @staticmethod
    def wait_for_bite(condition) -> bool:
        return bool(wait_until_or_none(condition, BITE_S))

    # ------------------------------------------------------ healing, checking

    def heal(self):
        self.shim.heal()
        self.proxy.heal()
        for role, process in self.clients.items():
            if process.poll() is not None:
                self.complaints.append(f"client {role} ended by itself with {process.returncode}, see clients.log")
        if not self.broker.is_running():
            raise RoundFailed(f"the broker ended by itself\n{self.broker.log_tail()}")

    def stuck(self, what: str):
        self.events.append({"e": "stuck", "who": "harness", "t": time.monotonic_ns(), "what": what})

    def drain(self):
        self.set_phase("drain")
        if self.plan.java:
            self.wait_client("java", ask=True)
        for role in ("plain", "idempotent", "transactions"):
            self.wait_client(role)
        try:
            wait_until(self.all_copied, "copiers have copied all", HEAL_S, pause_s=0.3)
            self.events.append({"e": "piped", "who": "harness", "t": time.monotonic_ns(),
                                "topics": [EVENTS, COPIES], "hops": HOPS})
        except TimeoutError as error:
            self.stuck(f"{error}: {self.uncopied} left")
        try:
            wait_until(self.group_is_at_the_end, "the group has read and committed all", HEAL_S, pause_s=0.3)
            self.events.append({"e": "finished", "who": "harness", "t": time.monotonic_ns(),
                                "group": "group-committed", "covers": [EVENTS], "view": "committed"})
        except TimeoutError as error:
            self.stuck(f"{error}: {self.group_state}")
        self.set_phase("end")
        for role in self.clients:
            if role in ROLES:
                self.wait_client(role)

    def wait_client(self, role: str, ask: bool = False):
        """Until it ends by itself, or because it is asked to (a JVM ends with 143 then)."""
        process = self.clients[role]
        if ask:
            process.terminate()
        try:
            if process.wait(HEAL_S) not in ((0, 143) if ask else (0,)):
                self.complaints.append(f"client {role} ended with {process.returncode}, see clients.log")
        except subprocess.TimeoutExpired:
            self.stuck(f"client {role} does not end, see where it hangs in clients.log")
            if role in ROLES:
                process.send_signal(signal.SIGUSR1)
                self.native_stacks(role)
                time.sleep(0.2)
            process.kill()
            process.wait(10)

    def native_stacks(self, role: str):
        """Where its client library's own threads are, which Python does not know, where gdb is installed."""
        if debugger := shutil.which("gdb"):
            with open(self.folder / f"stacks-{role}.txt", "wb") as out:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    subprocess.run([debugger, "-p", str(self.clients[role].pid), "-batch", "-ex", "thread apply all bt"],
                                   stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=60)

    def all_copied(self) -> bool:
        reads = [self.read_all("committed", topic) for topic in (EVENTS, COPIES)]
        values = [v for partitions in reads for rows, _ in partitions.values() for _, v in rows]
        copied = {v.rsplit("<", 1)[0] for v in values if "<" in v}
        self.uncopied = sum(v.count("<") < HOPS and v not in copied for v in values)
        return self.uncopied == 0

    def group_is_at_the_end(self) -> bool:
        ends = {p: rows[-1][0] + 1 for p, (rows, _) in self.read_all("committed", EVENTS).items() if rows}
        committed = self.committed("group-committed", [TopicPartition(EVENTS, p) for p in ends])
        self.group_state = f"ends {ends}, committed {committed}"
        return all(committed.get(p, -1) >= end for p, end in ends.items())

    def committed(self, group: str, partitions: list) -> dict[int, int]:
        admin = AdminClient({"bootstrap.servers": self.proxy.address, "log_level": 0})
        asked = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(group, partitions)])
        try:
            return {p.partition: p.offset for p in asked[group].result(10).topic_partitions}
        except KafkaException as error:
            return {"error": str(error)}

    def read_all(self, view: str, topic: str) -> dict[int, tuple[list, bool]]:
        """All of a topic by partition, and whether its end was reached."""
        reader = Consumer({"bootstrap.servers": self.proxy.address, "group.id": "final", "isolation.level": f"read_{view}",
                           "enable.auto.commit": False, "enable.partition.eof": True, "auto.offset.reset": "error",
                           "check.crcs": True, "fetch.wait.max.ms": 20, "log_level": 0, "error_cb": lambda error: None})
        rows: dict[int, list] = {p: [] for p in range(PARTITIONS[topic])}
        ended: set[int] = set()
        try:
            reader.assign([TopicPartition(topic, p, 0) for p in rows])
            deadline = time.monotonic() + HEAL_S
            while len(ended) < len(rows) and time.monotonic() < deadline:
                for message in reader.consume(1000, 0.2):
                    if message.error() is None:
                        rows[message.partition()].append(
                            (message.offset(), message.value().split(b"|", 1)[0].decode("utf-8", "replace")))
                    elif message.error().code() == KafkaError._PARTITION_EOF:
                        ended.add(message.partition())
        finally:
            reader.close()
        return {p: (each, p in ended) for p, each in rows.items()}

    def final_reads(self):
        """Once more through a restart: what was readable must be readable from the disk too."""
        if self.plan.graceful_end:
            code = self.broker.stop(30)
            if code != 0:
                self.complaints.append(f"the broker ended with {code} when asked to stop")
        else:
            self.kill_broker()
        self.restart()
        self.wait_for_transactions()
        for view in ("uncommitted", "committed"):
            for topic in PARTITIONS:
                for partition, (rows, drained) in self.read_all(view, topic).items():
                    self.events.append({"e": "final", "who": "final", "t": time.monotonic_ns(), "view": view,
                                        "topic": topic, "p": partition, "rows": rows, "drained": drained})

    def wait_for_transactions(self):
        """Until none is open: what no producer has ended ends with its timeout. Then what is
        left is told to the checker."""
        asked = {(topic, p): TopicPartition(topic, p) for topic, n in PARTITIONS.items() for p in range(n)}
        ends: dict[str, dict] = {}

        def none_is_open() -> bool:
            admin = AdminClient({"bootstrap.servers": self.proxy.address, "log_level": 0})
            for view, level in (("committed", IsolationLevel.READ_COMMITTED),
                                ("uncommitted", IsolationLevel.READ_UNCOMMITTED)):
                listed = admin.list_offsets({p: OffsetSpec.latest() for p in asked.values()},
                                            isolation_level=level, request_timeout=10)
                ends[view] = {(p.topic, p.partition): each.result(10).offset for p, each in listed.items()}
            return ends["committed"] == ends["uncommitted"]

        try:
            wait_until(none_is_open, "no transaction is open", HEAL_S, pause_s=0.3)
        except TimeoutError as error:
            if len(ends) < 2:
                self.stuck(f"{error}: the ends cannot be listed")
                return
        for topic, p in asked:
            self.events.append({"e": "ends", "who": "harness", "t": time.monotonic_ns(), "topic": topic, "p": p,
                                **{view: offsets[topic, p] for view, offsets in ends.items()}})

    def look_at_the_disk(self):
        """The broker has stopped: its files, by our eyes and by Kafka's."""
        for topic, n in PARTITIONS.items():
            for partition in range(n):
                for folder in self.broker.data_dir.glob(f"**/{topic}-{partition}"):
                    self.events.append({"e": "batches", "who": "disk", "t": time.monotonic_ns(), "topic": topic,
                                        "p": partition, "rows": disk.batches(folder)})
        if self.plan.dump_log:
            self.complaints.extend(f"DumpLogSegments: {line}" for line in disk.dump_log(self.broker.data_dir))

    def end_all(self):
        for process in self.clients.values():
            if process.poll() is None:
                process.kill()
                process.wait(10)
        if self.broker.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.broker.process.send_signal(signal.SIGCONT)
            with contextlib.suppress(ServerError):
                if self.broker.is_running() and self.broker.stop(30) != 0:
                    self.complaints.append("the broker did not stop cleanly at the end")
            self.broker.kill()
        self.proxy.close()

    def result(self, took_s: float) -> dict:
        log = self.broker.log_path.read_text(errors="replace")
        if "panicked at" in log:
            self.complaints.append(f"the broker panicked: {log[log.index('panicked at'):][:300]}")
        if not self.shim.get("loaded") or not self.shim.get("syncs"):
            self.complaints.append("the shim saw nothing: it was not loaded")
        events = self.read_history() + self.events
        events = javaload.history(self.folder, [v for e in events if e["e"] in ("rows", "final") and e["topic"] == javaload.TOPIC
                                                for _, v in e["rows"]]) + events
        violations = checker.check(events)
        done = [f for f in self.executed if bites(f)]
        counts = checker.counts(events)
        if not done:
            self.complaints.append("no fault was executed")
        for what in ("acknowledged", "read", "committed", "final"):
            if not counts[what]:
                self.complaints.append(f"nothing was {what}")
        self.shim.close()
        return {
            "seed": self.plan.seed, "durability": self.plan.durability, "protocol": self.plan.protocol,
            "codec": self.plan.codec, "acks": self.plan.acks, "seconds": round(took_s, 1), "executed": len(done),
            "faults": [{"kind": f["kind"], **summary(f["did"])} for f in self.executed],
            **counts, "violations": [{"rule": v.rule, "evidence": v.evidence} for v in violations[:20]],
            "violations_count": len(violations), "complaints": self.complaints,
        }


def wait_until_or_none(condition, timeout_s: float = BITE_S):
    try:
        return wait_until(condition, "", timeout_s)
    except TimeoutError:
        return None


def bites(fault: dict) -> bool:
    """Whether a fault really met something."""
    did = fault["did"]
    return all(did.get(name, 1) not in (0, []) for name in ("given", "connections", "held", "delayed", "readings")) \
        and not (fault["kind"] == "tails" and not did["altered"])


def summary(did: dict) -> dict:
    return {name: len(value) if isinstance(value, list) else value for name, value in did.items()}


def keep_or_remove(folder: Path, broken: bool):
    if not broken:
        shutil.rmtree(folder, ignore_errors=True)
