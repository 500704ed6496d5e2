"""What was aimed at and what came of it, from the parts' results: the last
thing that run.sh does.
"""

from __future__ import annotations

import json
import sys

from side import NAME, RESULTS

OURS, FSYNC, THEIRS, FLUSHED = "millstream-replicated", "millstream-fsync", "kafka", "kafka-flush"

# part, aim, (whose, figure), (whose, figure) or a number to divide by, limit
AIMS = [
    ("core", "CPU per GB at most half of Kafka's, page cache both", (OURS, "cpu_s_per_gb"), (THEIRS, "cpu_s_per_gb"), 0.5),
    ("core", "CPU per GB with fsync at most half of Kafka's without", (FSYNC, "cpu_s_per_gb"), (THEIRS, "cpu_s_per_gb"), 0.5),
    ("core", "CPU per GB at most 1.5 times the floor, page cache both", (OURS, "cpu_s_per_gb"),
     ("floor-page-cache", "cpu_s_per_gb"), 1.5),
    ("core", "CPU per GB at most 1.5 times the floor, both synced", (FSYNC, "cpu_s_per_gb"),
     ("floor-fsync", "cpu_s_per_gb"), 1.5),
    *[("core", f"{title} p99.9 at most half of Kafka's, {durability}", (mine, f"{side}_p999_us"), (other, f"{side}_p999_us"), 0.5)
      for side, title in [("produce", "Produce"), ("end_to_end", "End-to-end")]
      for durability, mine, other in [("page cache both", OURS, THEIRS), ("synced both", FSYNC, FLUSHED)]],
    *[("core", f"{title} p99 with fsync no worse than Kafka's without", (FSYNC, f"{side}_p99_us"), (THEIRS, f"{side}_p99_us"), 1.0)
      for side, title in [("produce", "Produce"), ("end_to_end", "End-to-end")]],
    ("core", "Memory, idle, at most a tenth", (FSYNC, "rss_idle_mib"), (THEIRS, "rss_idle_mib"), 0.1),
    ("core", "Memory after the load at most a tenth", (FSYNC, "rss_loaded_mib"), (THEIRS, "rss_loaded_mib"), 0.1),
    ("core", "Start at most a tenth", (FSYNC, "start_ms"), (THEIRS, "start_ms"), 0.1),
    *[("connections", f"CPU per million small requests at most half, {durability}, {n:,} connection{'s' if n > 1 else ''}",
       (mine, f"connections_{n}_cpu_s_per_million"), (THEIRS, f"connections_{n}_cpu_s_per_million"), 0.5)
      for n in (1, 100, 5_000)
      for durability, mine in [("page cache both", OURS), ("fsync against Kafka without", FSYNC)]],
    ("connections", "Memory with 5,000 connections at most a tenth", (FSYNC, "connections_5000_rss_mib"),
     (THEIRS, "connections_5000_rss_mib"), 0.1),
    ("transactions", "Commit over 4 partitions, p99, within 4 fdatasyncs (p99 by p99)",
     (FSYNC, "commit_p99_in_fdatasyncs"), 1, 4),
    ("transactions", "Commit over 4 partitions, p50, within 4 fdatasyncs (p50 by p50)",
     (FSYNC, "commit_p50_in_fdatasyncs"), 1, 4),
    *[("partitions", f"Memory with {n:,} partitions at most a tenth", (FSYNC, f"partitions_{n}_rss_touched_mib"),
       (THEIRS, f"partitions_{n}_rss_touched_mib"), 0.1) for n in (1_000, 10_000)],
    ("partitions", "10,000 partitions: started within 3 s", (FSYNC, "partitions_10000_start_ms"), 1000, 3),
]


def main() -> int:
    parts = {}
    for path in sorted(RESULTS.glob(f"{NAME}-*.json")):
        part = json.loads(path.read_text())
        if part["name"] == NAME:  # "quick-*" is also what "quick-other-*" looks like
            parts[part["part"]] = part
    rows = [row(parts, *aim) for aim in AIMS]
    missing = sorted({aim[0] for aim in AIMS} - set(parts))
    lines = [f"# Aims: {NAME}", "",
             "From the parts' results beside this file, each with its own date. Ratios of medians; method and caveats: "
             "../README.md.", "",
             "| part | of | rounds | load average before |", "|---|---|---:|---:|",
             *[f"| [{name}]({NAME}-{name}.md) | {part['at']} | {part['rounds']} | {part['disk']['load_average']:.1f} |"
               for name, part in parts.items()],
             "", "| aim | limit | measured | |", "|---|---:|---:|---|", *[text for text, _ in rows], ""]
    if missing:
        lines += ["Not run: " + ", ".join(missing) + ".", ""]
    text = "\n".join(lines)
    (RESULTS / f"{NAME}.md").write_text(text)
    print(text)
    return 0 if parts else 1


def row(parts: dict, part: str, title: str, mine: tuple, other, limit: float) -> tuple[str, bool | None]:
    def value(source):
        if not isinstance(source, tuple):
            return source
        key, name = source
        return parts.get(part, {}).get("medians", {}).get(key, {}).get(name)

    measured, base = value(mine), value(other)
    if measured is None or not base:
        return f"| {title} | {limit:g} | - | not measured |", None
    met = measured / base <= limit
    return f"| {title} | {limit:g} | {measured / base:.2f} | {'met' if met else 'missed'} |", met


if __name__ == "__main__":
    sys.exit(main())
