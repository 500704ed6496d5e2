"""From a seed, all that a round does: settings, load and faults. Pure: the same
seed and the same protocols give the same schedule."""

from __future__ import annotations

import random
from dataclasses import asdict, dataclass, field

#: Every kind of fault, with its weight.
FAULTS = {
    "kill": 4,          # SIGKILL of the broker, and a restart
    "tails": 4,         # the same, and the ends of logs are altered in between
    "pause": 2,         # SIGSTOP, SIGCONT
    "client-crash": 3,  # SIGKILL of a client; another one takes its place
    "cut": 3,           # connections are reset
    "stall": 2,         # connections stay open, nothing passes
    "delay": 1,         # everything takes longer
    "disk-full": 2,     # ENOSPC on writes
    "write-error": 2,   # EIO on writes
    "sync-error": 2,    # EIO on fdatasync
    "clock": 2,         # the wall clock jumps
}
#: Which files an I/O error meets; empty is any below the data folder.
WHERE = ("", ".log", "events-", "__consumer_offsets", "__transaction_state", "copies-", "__cluster_metadata")
ASSIGNORS = ("range", "roundrobin", "cooperative-sticky")
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")


@dataclass
class Round:
    seed: int
    durability: str
    protocol: str
    assignor: str
    codec: str
    #: What the plain producer asks for.
    acks: str
    #: A Java producer takes part, beside librdkafka's.
    java: bool
    #: Kafka's own DumpLogSegments reads what is left.
    dump_log: bool
    #: The last restart is a stop, not a kill.
    graceful_end: bool
    faults: list[dict] = field(default_factory=list)

    def as_json(self) -> dict:
        return asdict(self)


def plan(seed: int, faults_count: int = 4, protocols: tuple[str, ...] = ("classic",)) -> Round:
    """The round of a seed."""
    chance = random.Random(f"millstream-faults-{seed}")
    durability = "replicated" if chance.random() < 0.25 else "fsync"
    result = Round(
        seed=seed, durability=durability, protocol=protocols[chance.randrange(1000) % len(protocols)],
        assignor=chance.choice(ASSIGNORS), codec=chance.choice(CODECS),
        acks=("all", "1", "0")[seed % 7 % 3], java=seed % 5 == 3, dump_log=seed % 5 == 0, graceful_end=chance.random() < 0.5)
    # Each round has one kind by turns, so that a run of a few rounds has them all.
    kinds = [list(FAULTS)[seed % len(FAULTS)]]
    kinds += chance.choices(list(FAULTS), list(FAULTS.values()), k=faults_count - 1)
    chance.shuffle(kinds)
    for kind in kinds:
        result.faults.append(fault(kind, chance, durability))
    return result


def fault(kind: str, chance: random.Random, durability: str) -> dict:
    result = {"kind": kind, "wait_ms": chance.randint(300, 1200), "seed": chance.randrange(2**32)}
    if kind == "tails":
        # Page cache only: all that was written may have been promised.
        kinds = ("garbage", "cut", "flip", "zero") if durability == "fsync" else ("garbage",)
        result["how"] = chance.choice(kinds)
    elif kind == "client-crash":
        result["which"] = chance.randrange(100)
        result["down_ms"] = chance.randint(0, 400)
    elif kind == "cut":
        result["share"] = chance.choice([0.2, 0.5, 1.0])
        result["times"] = chance.randint(1, 4)
    elif kind == "delay":
        result |= {"for_ms": chance.randint(300, 1000), "delay_ms": chance.randint(5, 120)}
    elif kind in ("pause", "stall"):
        result["for_ms"] = chance.randint(200, 1500)
    elif kind in ("disk-full", "write-error", "sync-error"):
        result |= {"for_ms": chance.randint(100, 800), "where": chance.choice(WHERE),
                   "permille": chance.choice([50, 300, 1000]),
                   # A disk that has space again needs no restart, unless a log has stopped.
                   "then": chance.choice(["kill", "stop", "nothing"] if kind == "disk-full" else ["kill", "stop"]),
                   "tails": chance.choice([None, "garbage", "cut", "flip"]) if durability == "fsync" else None}
    elif kind == "clock":
        result["seconds"] = chance.choice([-3600, -600, -5, 5, 600, 3600])
    return result
