"""Alters the ends of log files between a kill and a restart, as a power loss or
a torn write may have left them: only bytes that no successful sync covered.

What a client was told, and what anybody could read, was synced before (with
`durability = "fsync"`), so nothing of it may be missed afterwards.
"""

from __future__ import annotations

from pathlib import Path

KINDS = ("garbage", "cut", "flip", "zero")
GARBAGE_BYTES_MAX = 3000
#: Anything else than the machine's own: the broker takes it for a restart of the machine.
OTHER_BOOT = "the-boot-before"


def alter(data_dir: Path, shim, kind: str, chance) -> list[dict]:
    """Alters every log whose end allows it and tells what was done."""
    done = []
    for path in sorted(data_dir.glob("**/*-[0-9]*/*.log")):
        # A closed segment's end is not where a log ends.
        if path != sorted(path.parent.glob("*.log"))[-1]:
            continue
        size = path.stat().st_size
        synced = min(shim.synced_bytes(path), size)
        what = alter_one(path, kind, synced, size, chance)
        if what:
            done.append({"file": str(path.relative_to(data_dir)), "synced": synced, "size": size, **what})
    if kind != "garbage":
        # Bytes that vanish were in memory: the machine went down.
        for boot in data_dir.glob("**/.boot-id"):
            boot.write_text(OTHER_BOOT)
    return done


def alter_one(path: Path, kind: str, synced: int, size: int, chance) -> dict | None:
    if kind == "garbage":
        if chance.random() < 0.5:
            return None
        n = chance.randint(1, GARBAGE_BYTES_MAX)
        garbage = bytes(n) if chance.random() < 0.3 else chance.randbytes(n)
        with open(path, "r+b") as file:
            file.seek(size)
            file.write(garbage)
        return {"did": "garbage", "bytes": n}
    if synced >= size:
        return None
    if kind == "cut":
        to = chance.randint(synced, size - 1)
        with open(path, "r+b") as file:
            file.truncate(to)
        return {"did": "cut", "to": to}
    at = chance.randint(synced, size - 1)
    with open(path, "r+b") as file:
        file.seek(at)
        if kind == "zero":
            n = min(size - at, chance.randint(1, 4096))
            file.write(bytes(n))
            return {"did": "zero", "at": at, "bytes": n}
        old = file.read(1)[0]
        bit = chance.randrange(8)
        file.seek(at)
        file.write(bytes([old ^ (1 << bit)]))
        return {"did": "flip", "at": at, "bit": bit}
