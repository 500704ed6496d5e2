"""Kafka's own VerifiableProducer as one more client: the Java producer,
idempotent, with its own way of retrying. What it prints becomes a history."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path

from servers import java_command

TOPIC = "java"
SETTINGS = {"enable.idempotence": "true", "retries": "2147483647", "delivery.timeout.ms": "60000",
            "request.timeout.ms": "10000", "linger.ms": "5", "reconnect.backoff.ms": "20", "reconnect.backoff.max.ms": "200"}


def start(folder: Path, bootstrap: str, incarnation: int) -> subprocess.Popen:
    settings = folder / "java.properties"
    settings.write_text("".join(f"{key}={value}\n" for key, value in SETTINGS.items()))
    command = java_command("org.apache.kafka.tools.VerifiableProducer", "--bootstrap-server", bootstrap, "--topic", TOPIC,
                           "--throughput", "100", "--acks", "-1", "--value-prefix", str(incarnation),
                           "--command-config", str(settings), level="ERROR")
    with open(folder / f"java-{incarnation}.out", "wb") as out, open(folder / "clients.log", "ab") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=log)


def history(folder: Path, values_read: list[str]) -> list[dict]:
    """Acknowledgements as it printed them, and a send for each value up to the
    greatest that was acknowledged or read: it counts up from 0."""
    events, greatest = [], {}

    def saw(value: str):
        incarnation, n = value.split(".")
        greatest[incarnation] = max(greatest.get(incarnation, -1), int(n))

    now = time.monotonic_ns()
    for path in sorted(folder.glob("java-*.out")):
        for line in path.read_text().splitlines():
            try:
                told = json.loads(line)
            except json.JSONDecodeError:
                continue  # The last line of one that was killed.
            if told.get("name") == "producer_send_success":
                saw(told["value"])
                events.append({"e": "ack", "who": f"java.{told['value'].split('.')[0]}", "t": now, "v": told["value"],
                               "topic": TOPIC, "p": told["partition"], "o": told["offset"]})
    for value in values_read:
        saw(value)
    for incarnation, last in greatest.items():
        events += [{"e": "send", "who": f"java.{incarnation}", "t": now, "kind": "idempotent", "v": f"{incarnation}.{n}",
                    "topic": TOPIC, "p": 0} for n in range(last + 1)]
    return events
