"""Builds and steers shim.c: the faults below the broker, and what was synced."""

from __future__ import annotations

import errno
import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOTS = 16384
MAGIC = 0x4D494C4C46415554
#: Where each field of `struct control` is.
FIELDS = {name: 8 * i for i, name in enumerate(
    ["magic", "write_errno", "write_permille", "sync_errno", "sync_permille", "clock_shift_ns"])}
ONLY, ONLY_BYTES = 48, 64
FIELDS |= {name: ONLY + ONLY_BYTES + 8 * i for i, name in enumerate(
    ["writes", "syncs", "writes_failed", "syncs_failed", "clock_shifted", "loaded", "random"])}
TABLE = FIELDS["random"] + 8


def build(folder: Path) -> Path:
    """Compiles the shim; a machine without cc cannot run this suite."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise SystemExit("error: cc is needed and not on PATH")
    library = folder / "shim.so"
    subprocess.run([compiler, "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library),
                    str(HERE / "shim.c"), "-ldl", "-lpthread"], check=True)
    return library


class Shim:
    """One run's control file."""

    def __init__(self, library: Path, control: Path, data_dir: Path, seed: int):
        self.library, self.control, self.data_dir = library, control, data_dir
        control.write_bytes(b"\0" * (TABLE + SLOTS * 16))
        self.file = open(control, "r+b")
        self.map = mmap.mmap(self.file.fileno(), 0)
        self.recovered: dict[int, int] = {}
        self.set("magic", MAGIC)
        self.set("random", seed)

    def env(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "FAULTS_CONTROL": str(self.control),
                "FAULTS_DIR": str(self.data_dir)}

    def set(self, name: str, value: int):
        struct.pack_into("<q" if name == "clock_shift_ns" else "<Q", self.map, FIELDS[name], value)

    def get(self, name: str) -> int:
        return struct.unpack_from("<Q", self.map, FIELDS[name])[0]

    def _only(self, part: str):
        raw = part.encode()
        assert len(raw) < ONLY_BYTES
        self.map[ONLY:ONLY + ONLY_BYTES] = raw.ljust(ONLY_BYTES, b"\0")

    def fail_writes(self, error: int, permille: int = 1000, only: str = ""):
        self._only(only)
        self.set("write_permille", permille)
        self.set("write_errno", error)

    def fail_syncs(self, permille: int = 1000, only: str = ""):
        self._only(only)
        self.set("sync_permille", permille)
        self.set("sync_errno", errno.EIO)

    def shift_clock(self, seconds: float):
        self.set("clock_shift_ns", int(seconds * 1e9))

    def heal(self):
        """No more faults; a clock that has jumped stays where it is."""
        self.set("write_errno", 0)
        self.set("sync_errno", 0)

    def note_recovered(self):
        """What a start shows is synced, perhaps all at once by a syncfs that the shim does not see."""
        for path in self.data_dir.glob("**/*-[0-9]*/*.log"):
            stat = os.stat(path)
            self.recovered[stat.st_ino] = stat.st_size

    def synced_bytes(self, path: Path) -> int:
        """Bytes that a sync is known to have covered."""
        inode = os.stat(path).st_ino
        return max(self._synced_in_table(inode) or 0, self.recovered.get(inode, 0))

    def _synced_in_table(self, inode: int) -> int | None:
        at = (inode * 0x9E3779B97F4A7C15) % 2**64
        for i in range(SLOTS):
            slot = TABLE + 16 * ((at + i) % 2**64 % SLOTS)
            found, size = struct.unpack_from("<QQ", self.map, slot)
            if found == inode:
                return size
            if found == 0:
                return None
        return None

    def close(self):
        self.map.close()
        self.file.close()
