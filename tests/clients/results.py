"""Compares what the client suites passed with the list of what must pass.

    python3 tests/clients/results.py RESULTS ALLOW [--all]

RESULTS holds one folder a client, `language/client/version/`, with JUnit XML
(Surefire, pytest, node) or the JSON lines of `go test -json`. ALLOW has one
line a test, `language/client/version: behaviour`. A listed test that did not
run or did not pass is an error, and so is one that passed and is not listed:
the list only grows, by hand, with the line that is printed.

With --all every client of the list must have run; without, only those that did
are compared (a run of some clients by CLIENTS).
"""

from __future__ import annotations

import json
import re
import sys
import xml.etree.ElementTree as xml
from pathlib import Path

# What became of a test; a test that ran twice is as bad as its worst run.
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"


def behaviour(group: str, name: str) -> str:
    """`group: name` in words; runners spell the same thing in four ways."""
    words = re.sub(r"\([A-Za-z, ]*\)$", "", name.strip())
    # Surefire's `name(String)[2] gzip`.
    words = re.sub(r"\([A-Za-z, ]*\)\[\d+\] (.*)$", r"[\1]", words)
    words = re.sub(r"^test_", "", words).replace("_", " ")
    return f"{group} {words}".strip()


def from_junit(path: Path) -> dict[str, str]:
    results = {}
    for case in xml.parse(path).getroot().iter("testcase"):
        # Of a class its simple name: `dev.millstream.clients.AdminTest`, `tests.clients.kcat.test_kcat`.
        group = case.get("classname", "").rsplit(".", 1)[-1]
        group = "" if group in ("", "test") else re.sub(r"^test_|Test$", "", group).lower() + ","
        outcome = PASSED
        if case.find("failure") is not None or case.find("error") is not None:
            outcome = FAILED
        elif case.find("skipped") is not None:
            outcome = SKIPPED
        merge(results, behaviour(group, case.get("name", "")), outcome)
    return results


def from_go(path: Path) -> dict[str, str]:
    results = {}
    for line in path.read_text().splitlines():
        if not line.startswith("{"):
            continue
        event = json.loads(line)
        outcome = {"pass": PASSED, "fail": FAILED, "skip": SKIPPED}.get(event["Action"])
        # A test with subtests is told by these.
        if outcome and "Test" in event:
            merge(results, event["Test"], outcome)
    parents = {name.rsplit("/", 1)[0] for name in results if "/" in name}
    return {in_words(name): outcome for name, outcome in results.items()
            if name not in parents or outcome == FAILED}


def in_words(name: str) -> str:
    """Go's `TestGroup_a_member_leaves/range` reads `group, a member leaves [range]`."""
    name, _, case = name.partition("/")
    group, _, words = name.removeprefix("Test").partition("_")
    return f"{group.lower()}, {words.replace('_', ' ')}" + (f" [{case}]" if case else "")


def merge(results: dict[str, str], name: str, outcome: str):
    worst = [PASSED, SKIPPED, FAILED]
    results[name] = max(results.get(name, PASSED), outcome, key=worst.index)


def gather(root: Path) -> tuple[dict[str, str], set[str]]:
    """Every test's outcome by its line in the list, and the clients that ran."""
    outcomes, clients = {}, set()
    for folder in sorted(path for path in root.glob("*/*/*") if path.is_dir()):
        client = str(folder.relative_to(root))
        clients.add(client)
        for path in sorted(folder.glob("**/*")):
            if path.suffix in (".xml", ".json"):
                read = from_junit if path.suffix == ".xml" else from_go
                for name, outcome in read(path).items():
                    merge(outcomes, f"{client}: {name}", outcome)
    return outcomes, clients


def listed(allow: Path) -> list[str]:
    lines = [line.strip() for line in allow.read_text().splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def main() -> int:
    root, allow = Path(sys.argv[1]), Path(sys.argv[2])
    outcomes, clients = gather(root)
    expected = [line for line in listed(allow)
                if "--all" in sys.argv or line.split(":")[0] in clients]
    complaints = []
    for line in expected:
        outcome = outcomes.get(line, "did not run")
        if outcome != PASSED:
            complaints.append(f"{outcome}, but is in {allow.name}: {line}")
    for line, outcome in sorted(outcomes.items()):
        if line in expected:
            continue
        if outcome == PASSED:
            complaints.append(f"passed and is not in {allow.name}, add this line: {line}")
        else:
            complaints.append(f"{outcome}: {line}")
    repeated = sorted({line for line in expected if expected.count(line) > 1})
    complaints += [f"twice in {allow.name}: {line}" for line in repeated]
    for complaint in complaints:
        print(complaint)
    passed = sum(outcome == PASSED for outcome in outcomes.values())
    print(f"{len(clients)} clients, {len(expected)} tests listed for them")
    print(f"{passed} passed, {len(complaints)} failed")
    return 1 if complaints or not outcomes else 0


if __name__ == "__main__":
    sys.exit(main())
