"""Starts Apache Kafka and Millstream on empty folders, and compares them.

Only the standard library, as tests/lib/servers.py.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

import servers  # noqa: E402

SETS = ["data", "transactions", "groups", "consumer-groups", "settings"]
# What a default would decide is the same on both.
KAFKA = {
    "log.retention.ms": str(servers.RETENTION_MS),
    "auto.create.topics.enable": "false",
    "offsets.topic.num.partitions": "50",
    "transaction.state.log.num.partitions": "50",
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=SETS, help="the requests; all of them by default")
    parser.add_argument("--seed", type=int, default=1, help="of the first run; each next one has the next")
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--steps", type=int, default=400, help="requests of a run")
    arguments = parser.parse_args()
    output = servers.OUTPUT / "differential"
    code = 0
    with tempfile.TemporaryDirectory(prefix="millstream-differential-") as folder:
        kafka = servers.ApacheKafka(Path(folder) / "kafka", KAFKA)
        with kafka, servers.make("millstream", Path(folder) / "millstream") as ours:
            for requests in [arguments.set] if arguments.set else SETS:
                print(f"== {requests}", flush=True)
                code |= subprocess.call([
                    "java", "-Xmx512M", "-cp", f"{servers.JARS}/*:{HERE / 'target'}", "Differential",
                    str(kafka.port), str(ours.port), str(HERE / "deviations.txt"), str(output), requests,
                    str(arguments.seed), str(arguments.runs), str(arguments.steps)])
    return code


if __name__ == "__main__":
    sys.exit(main())
