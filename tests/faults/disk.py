"""What the broker left on its disk: batch headers by our own few lines, and the
verdict of Kafka's DumpLogSegments about whole files."""

from __future__ import annotations

import re
import struct
import subprocess
from pathlib import Path

from servers import java_command

#: base offset, length | epoch, magic, crc, attributes, last delta, times, producer, epoch, sequence, count
PREFIX, HEADER = struct.Struct(">qi"), struct.Struct(">ibIhiqqqhii")
CONTROL = 1 << 5
#: Words of DumpLogSegments about a file that is not as it should be; its exit code stays 0 then.
COMPLAINTS = re.compile(r"mismatch|non-consecutive|corrupt|isvalid: false|out of order|larger than|exception|error|invalid|could not",
                        re.IGNORECASE)


def batches(partition: Path) -> list[list]:
    """[first offset, last offset, producer, epoch, sequence, records, control] of each batch."""
    found = []
    for path in sorted(partition.glob("*.log")):
        data, at = path.read_bytes(), 0
        while at + PREFIX.size + HEADER.size <= len(data):
            first, length = PREFIX.unpack_from(data, at)
            _, _, _, attributes, delta, _, _, producer, epoch, sequence, count = HEADER.unpack_from(data, at + PREFIX.size)
            found.append([first, first + delta, producer, epoch, sequence, count, bool(attributes & CONTROL)])
            at += PREFIX.size + length
    return found


def dump_log(data_dir: Path) -> list[str]:
    """Complaints of DumpLogSegments about any log, index or snapshot."""
    files = [str(path) for folder in sorted(data_dir.glob("**/*-[0-9]*")) if folder.is_dir() and not folder.name.endswith("-delete")
             for suffix in ("log", "index", "timeindex", "txnindex", "snapshot") for path in sorted(folder.glob(f"*.{suffix}"))]
    if not files:
        return ["there are no files"]
    done = subprocess.run(java_command("org.apache.kafka.tools.DumpLogSegments", "--files", ",".join(files)),
                          capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        return [f"DumpLogSegments exited with {done.returncode}: {done.stderr[-500:]}"]
    found = [line for line in done.stdout.splitlines() if COMPLAINTS.search(re.sub(r"Dumping .*", "", line))]
    read = done.stdout.count("Dumping ")
    return found[:5] + ([] if read == len(files) else [f"{read} of {len(files)} files were read"])
