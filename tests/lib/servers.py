"""Starts and stops the servers that the suites run against.

Two kinds: `millstream`, the binary of this repository, and `kafka`, Apache
Kafka itself from its published jars, against which every client suite must
pass first: a test that the reference fails is a wrong test.

Only the standard library is used, so that it runs before any venv exists.
As a program it wraps a command in the life of a server:

    python3 tests/lib/servers.py run [--kind kafka|millstream] [--data-dir DIR] -- COMMAND...

COMMAND sees BOOTSTRAP, HTTP (millstream only) and DATA_DIR in its environment.
With BOOTSTRAP already set, nothing is started and that server is used.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
# A hundred years. The suites write records of 1970, and a server looks for
# what has outlived its retention 30 s after its start: with the default of a
# week they are gone before a test that comes just then has read them.
RETENTION_H = 100 * 365 * 24
RETENTION_MS = RETENTION_H * 60 * 60 * 1000
JARS = REPO / "tests" / "kafka-tools" / "target" / "jars"
OUTPUT = REPO / "tests" / "output"

# What Kafka's own start script passes (bin/kafka-run-class.sh), with its 1 GB heap.
KAFKA_JVM = [
    "-Xms1G", "-Xmx1G", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15", "-Djava.awt.headless=true",
]


class ServerError(Exception):
    """The server did not do what was asked; the message ends with its log."""


def wait_until(condition, what: str, timeout_s: float = 30.0, pause_s: float = 0.02):
    """Polls `condition` until it answers something true, and returns that."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(pause_s)


def free_port() -> int:
    """A port that nobody listens on now.

    Taken below the ephemeral range where possible, so that no outgoing
    connection sits on it while a server is restarted on the same port.
    """
    import random
    for _ in range(200):
        port = random.randint(15_000, 30_000)
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise ServerError("no free port between 15000 and 30000")


def accepts(port: int) -> bool:
    """Whether somebody listens on the port."""
    with contextlib.closing(socket.socket()) as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def millstream_binary() -> Path:
    """The binary under test: $MILLSTREAM_BIN, or the debug build's."""
    named = os.environ.get("MILLSTREAM_BIN")
    if named:
        path = Path(named)
    else:
        target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
        path = target / "debug" / "millstream"
    if not path.is_file():
        raise ServerError(
            f"no binary at {path}: build it (cargo build) or set MILLSTREAM_BIN")
    return path.resolve()


class Server:
    """A server process of one kind; `start`, `stop` and `kill` may alternate."""

    kind = "?"
    stop_signal = signal.SIGTERM

    def __init__(self, data_dir: Path, log_name: str | None = None):
        self.data_dir = Path(data_dir)
        self.data_dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.http_port = free_port()
        self.process: subprocess.Popen | None = None
        OUTPUT.mkdir(parents=True, exist_ok=True)
        self.log_path = OUTPUT / f"{log_name or self.kind}-{self.port}.log"

    @property
    def bootstrap(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def http(self) -> str | None:
        return None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def command(self) -> list[str]:
        raise NotImplementedError

    def is_ready(self) -> bool:
        raise NotImplementedError

    def spawn(self, command: list[str], env: dict[str, str] | None = None):
        """Starts the process without waiting for it to be ready."""
        # The log is opened once per start and only its new part is searched.
        self.log_start = self.log_path.stat().st_size if self.log_path.exists() else 0
        # MILLSTREAM_* is also how settings are given, and the binary's path is none.
        inherited = {name: value for name, value in os.environ.items() if name != "MILLSTREAM_BIN"}
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, env={**inherited, **(env or {})},
                cwd=self.data_dir)

    def start(self, timeout_s: float = 60.0) -> "Server":
        self.spawn(self.command())
        try:
            self.wait_ready(timeout_s)
        except BaseException:
            self.kill()
            raise
        return self

    def wait_ready(self, timeout_s: float = 60.0):
        def ready_or_dead():
            if self.process.poll() is not None:
                raise ServerError(f"{self.kind} ended with {self.process.returncode}\n{self.log_tail()}")
            return self.is_ready()
        try:
            wait_until(ready_or_dead, f"{self.kind} ready", timeout_s)
        except TimeoutError as error:
            raise ServerError(f"{error}\n{self.log_tail()}") from error

    def log_text(self) -> str:
        with open(self.log_path, "rb") as log:
            log.seek(self.log_start)
            return log.read().decode("utf-8", "replace")

    def log_tail(self, lines: int = 40) -> str:
        return f"--- end of {self.log_path}\n" + "\n".join(self.log_text().splitlines()[-lines:])

    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def stop(self, timeout_s: float = 60.0) -> int:
        """Asks it to stop, and answers the exit code; a server that does not stop is an error."""
        if not self.is_running():
            return self.process.returncode if self.process else 0
        self.process.send_signal(self.stop_signal)
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ServerError(f"{self.kind} did not stop within {timeout_s:.0f} s of {self.stop_signal.name}\n{self.log_tail()}")

    def kill(self):
        """SIGKILL: no chance to flush or say goodbye."""
        if self.is_running():
            self.process.kill()
            self.process.wait()

    def __enter__(self) -> "Server":
        if not self.is_running():
            self.start()
        return self

    def __exit__(self, *_):
        with contextlib.suppress(ServerError):
            self.stop()
        self.kill()


class Millstream(Server):
    """The binary under test, by its documented command line."""

    kind = "millstream"

    def __init__(self, data_dir: Path, config: str | None = None, binary: Path | None = None,
                 roles: str | None = None):
        super().__init__(data_dir)
        self.binary = binary or millstream_binary()
        self.roles = roles
        self.config_path = None
        if config is not None:
            self.config_path = self.data_dir.parent / f"{self.data_dir.name}.toml"
            self.config_path.write_text(config)

    @property
    def http(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def command(self) -> list[str]:
        command = [str(self.binary), "start", "--data-dir", str(self.data_dir),
                   "--kafka-listen", self.bootstrap,
                   "--http-listen", f"127.0.0.1:{self.http_port}"]
        if self.config_path:
            command += ["--config", str(self.config_path)]
        if self.roles:
            command += ["--roles", self.roles]
        return command

    def is_ready(self) -> bool:
        return re.search(r"^ready kafka=", self.log_text(), re.M) is not None

    def log_dir(self) -> Path:
        """Where the partition folders are."""
        for name in ("", "log", "logs", "topics", "kafka"):
            if any((self.data_dir / name).glob("*-[0-9]*/*.log")):
                return self.data_dir / name
        found = sorted(self.data_dir.glob("**/*-[0-9]*/*.log"))
        if not found:
            raise ServerError(f"no partition folder below {self.data_dir}")
        return found[0].parent.parent


class BrokerExample(Millstream):
    """The broker alone: `cargo build -p millstream-broker --example broker`.

    For work on the broker without the rest; no HTTP and no SQL.
    """

    kind = "broker"
    stop_signal = signal.SIGINT

    def __init__(self, data_dir: Path, durability: str = "fsync"):
        target = Path(os.environ.get("CARGO_TARGET_DIR", REPO / "target"))
        build = os.environ.get("BROKER_BUILD", "debug")
        super().__init__(data_dir, binary=target / build / "examples" / "broker")
        self.durability = durability

    @property
    def http(self) -> None:
        return None

    def command(self) -> list[str]:
        return [str(self.binary), "--data-dir", str(self.data_dir), "--listen", self.bootstrap,
                "--durability", self.durability]


class ApacheKafka(Server):
    """Apache Kafka in KRaft mode, one node, broker and controller."""

    kind = "kafka"

    def __init__(self, data_dir: Path, overrides: dict[str, str] | None = None):
        super().__init__(data_dir)
        require("java")
        if not any(JARS.glob("kafka_2.13-*.jar")):
            raise ServerError("Apache Kafka's jars are not there: run tests/kafka-tools/run.sh once, it fetches them")
        self.controller_port = free_port()
        self.overrides = overrides or {}
        self.properties_path = self.data_dir / "server.properties"
        self.formatted = False

    def properties(self) -> dict[str, str]:
        return {
            "process.roles": "broker,controller",
            "node.id": "1",
            "listeners": f"PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller_port}",
            "advertised.listeners": f"PLAINTEXT://127.0.0.1:{self.port}",
            "controller.listener.names": "CONTROLLER",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "log.dirs": str(self.data_dir / "logs"),
            "offsets.topic.replication.factor": "1",
            "offsets.topic.num.partitions": "8",
            "transaction.state.log.replication.factor": "1",
            "transaction.state.log.min.isr": "1",
            "transaction.state.log.num.partitions": "8",
            "share.coordinator.state.topic.replication.factor": "1",
            "share.coordinator.state.topic.min.isr": "1",
            # As on our side: a test does not wait for members that may come.
            "group.initial.rebalance.delay.ms": "0",
            **self.overrides,
        }

    def format(self):
        if self.formatted:
            return
        lines = [f"{key}={value}\n" for key, value in self.properties().items()]
        self.properties_path.write_text("".join(lines))
        done = subprocess.run(
            java_command("kafka.tools.StorageTool", "format", "--ignore-formatted",
                         "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", str(self.properties_path)),
            capture_output=True, text=True)
        if done.returncode != 0:
            raise ServerError(f"StorageTool format failed\n{done.stdout}{done.stderr}")
        self.formatted = True

    def command(self) -> list[str]:
        self.format()
        return java_command("kafka.Kafka", str(self.properties_path), jvm=KAFKA_JVM, level="INFO")

    def is_ready(self) -> bool:
        return "Kafka Server started" in self.log_text()

    def log_dir(self) -> Path:
        return self.data_dir / "logs"


def require(tool: str):
    """Refuses to go on without a program that the suites need."""
    if shutil.which(tool) is None:
        raise ServerError(f"{tool} is needed and not on PATH")


def java_command(main_class: str, *arguments: str, jvm: list[str] = (), level: str = "WARN") -> list[str]:
    """The command line of one of Kafka's own programs."""
    config = Path(__file__).with_name("log4j2.properties")
    return ["java", *(jvm or ["-Xmx256M", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]),
            f"-Dlog4j2.configurationFile={config}", f"-Dmillstream.level={level}",
            "-cp", f"{JARS}/*", main_class, *arguments]


def make(kind: str, data_dir: Path) -> Server:
    """A server of the kind for a suite of clients, not started."""
    if kind == "kafka":
        return ApacheKafka(data_dir, {"log.retention.ms": str(RETENTION_MS)})
    if kind == "millstream":
        return Millstream(data_dir, f'[log]\nretention = "{RETENTION_H}h"\n')
    if kind == "broker":
        return BrokerExample(data_dir)
    raise ServerError(f"unknown kind of server {kind!r}: millstream, kafka or broker")


def http_json(method: str, url: str, body: dict | None = None, timeout_s: float = 60.0):
    """One HTTP call with JSON both ways; an error answer raises with its body."""
    import json
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method,
                                     headers={"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        text = error.read().decode("utf-8", "replace")
        raise ServerError(f"{method} {url}: {error.code} {text}") from error


def run(arguments) -> int:
    if os.environ.get("BOOTSTRAP"):
        print(f"using the server at {os.environ['BOOTSTRAP']}", flush=True)
        return subprocess.call(arguments.command)
    temporary = None
    data_dir = arguments.data_dir
    if data_dir is None:
        temporary = tempfile.TemporaryDirectory(prefix="millstream-test-")
        data_dir = Path(temporary.name) / "data"
    try:
        with make(arguments.kind, Path(data_dir).resolve()) as server:
            print(f"{server.kind} is up at {server.bootstrap}, its log is {server.log_path}", flush=True)
            env = {**os.environ, "BOOTSTRAP": server.bootstrap,
                   "DATA_DIR": str(server.data_dir), "SERVER": server.kind}
            if server.http:
                env["HTTP"] = server.http
            code = subprocess.call(arguments.command, env=env)
            if not server.is_running():
                print(f"{server.kind} ended while it was being used\n{server.log_tail()}", flush=True)
                return code or 1
            if "panicked at" in server.log_text():
                print(f"{server.kind} panicked, see {server.log_path}", flush=True)
                code = code or 1
            stopped = server.stop()
            if server.kind == "millstream" and stopped != 0:
                print(f"{server.kind} exited with {stopped} when asked to stop\n{server.log_tail()}", flush=True)
                return code or 1
            return code
    finally:
        if temporary:
            temporary.cleanup()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="name", required=True)
    runner = commands.add_parser("run", help="run a command beside a server")
    runner.add_argument("--kind", default=os.environ.get("SERVER", "millstream"))
    runner.add_argument("--data-dir", default=None)
    runner.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    if arguments.command[:1] == ["--"]:
        arguments.command = arguments.command[1:]
    try:
        return run(arguments)
    except ServerError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
