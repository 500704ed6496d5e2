"""The fault loop: rounds by seed, results as JSON lines, and a verdict.

    faults.py --seed 1 --rounds 20 [--faults 4] [--out FILE] [--keep]

Exit code 1 when a rule was broken, when a round could not be carried out, or
when the run did not do what it claims: a round without faults or without load,
or a kind of fault that was planned often and never met anything.
"""

from __future__ import annotations

import argparse
import collections
import json
import signal
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

import rounds
import shim
from schedule import FAULTS, plan
from servers import OUTPUT, Millstream, millstream_binary

#: A kind that was planned this often must have met something at least once.
PLANNED_OFTEN = 4
CONSUMER_GROUP_HEARTBEAT = 68


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--faults", type=int, default=4, help="faults in a round")
    parser.add_argument("--load", type=float, default=0.0, help="seconds of load after the last fault")
    parser.add_argument("--out", type=Path, default=OUTPUT / "faults.jsonl")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good rounds too")
    arguments = parser.parse_args()
    # However it is ended, the round ends its processes.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    OUTPUT.mkdir(parents=True, exist_ok=True)
    binary = millstream_binary()
    base = Path(tempfile.mkdtemp(prefix="millstream-faults-"))
    library = shim.build(base)
    protocols = protocols_of(base)
    print(f"faults: {binary}, protocols {', '.join(protocols)}, results in {arguments.out}", flush=True)
    started, results = time.monotonic(), []
    with open(arguments.out, "w", encoding="utf-8") as out:
        for seed in range(arguments.seed, arguments.seed + arguments.rounds):
            planned = plan(seed, arguments.faults, protocols)
            folder = base / f"round-{seed}"
            run = rounds.Run(planned, folder, library, arguments.load)
            result = run.carry_out()
            results.append(result)
            out.write(json.dumps(result, separators=(",", ":")) + "\n")
            out.flush()
            broken = bool(result["violations"] or result["complaints"])
            tell(result, run, folder, broken, arguments)
            if not arguments.keep:
                rounds.keep_or_remove(folder, broken)
    return verdict(results, time.monotonic() - started)


def protocols_of(base: Path) -> tuple[str, ...]:
    """The group protocols that this binary announces."""
    with Millstream(base / "probe", roles="broker") as server, socket.create_connection(("127.0.0.1", server.port)) as s:
        body = struct.pack(">hhih", 18, 0, 1, -1)
        s.sendall(struct.pack(">i", len(body)) + body)
        answer = receive(s, struct.unpack(">i", receive(s, 4))[0])
        count = struct.unpack_from(">i", answer, 6)[0]
        keys = {struct.unpack_from(">h", answer, 10 + 6 * i)[0] for i in range(count)}
    return ("classic", "consumer") if CONSUMER_GROUP_HEARTBEAT in keys else ("classic",)


def receive(s: socket.socket, n: int) -> bytes:
    data = b""
    while len(data) < n:
        part = s.recv(n - len(data))
        if not part:
            raise SystemExit("error: the broker closed the connection")
        data += part
    return data


def tell(result: dict, run, folder: Path, broken: bool, arguments):
    kinds = " ".join(f["kind"] for f in result["faults"])
    print(f"seed {result['seed']:>5} {'BROKEN' if broken else 'ok':<6} {result['seconds']:>5.1f} s {result['durability']:<10} "
          f"{result['protocol']:<8} acknowledged {result['acknowledged']:>5} read {result['read']:>6} "
          f"transactions {result['committed']}+{result['aborted']} faults {result['executed']}: {kinds}", flush=True)
    if not broken:
        return
    for complaint in result["complaints"]:
        print(f"  complaint: {complaint}")
    for violation in result["violations"]:
        print(f"  VIOLATION {violation['rule']}: {json.dumps(violation['evidence'])[:1000]}")
    print(f"  reproduce: tests/faults/run.sh --seed {result['seed']} --rounds 1 --faults {arguments.faults}")
    print(f"  evidence:  {folder} (history-*.jsonl, data/), the broker's log {run.broker.log_path}", flush=True)


def verdict(results: list[dict], took_s: float) -> int:
    planned, met = collections.Counter(), collections.Counter()
    for result in results:
        for fault in result["faults"]:
            planned[fault["kind"]] += 1
            met[fault["kind"]] += rounds.bites({"kind": fault["kind"], "did": fault})
    toothless = [kind for kind in FAULTS if planned[kind] >= PLANNED_OFTEN and not met[kind]]
    broken = sum(bool(r["violations"] or r["complaints"]) for r in results)
    total = lambda name: sum(r[name] for r in results)  # noqa: E731
    print(f"faults: {len(results)} rounds in {took_s:.0f} s, {total('executed')} faults executed "
          f"({', '.join(f'{kind} {met[kind]}' for kind in FAULTS)}), {total('acknowledged')} records acknowledged, "
          f"{total('read')} read, {total('committed')} transactions committed, {total('violations_count')} violations")
    if toothless:
        print(f"faults: never met anything: {', '.join(toothless)}")
    for result in results:
        reasons = result["complaints"] + [f"{v['rule']} {json.dumps(v['evidence'])}" for v in result["violations"]]
        if reasons:
            print(f"faults: seed {result['seed']}, the first of {len(reasons)}: {' '.join(reasons[0].split())[:110]}")
    print(f"faults: {len(results) - broken} passed, {broken} failed")
    return 1 if broken or toothless or not results else 0


if __name__ == "__main__":
    sys.exit(main())
