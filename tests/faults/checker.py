"""Judges what clients saw. Pure: events in, violations out; no I/O, no clock.

An event is a dictionary with `e`, its kind, `t`, a machine-wide monotonic time
in nanoseconds, and `who`, the incarnation of the client that saw it. Within
one `who` events are in the order in which they happened.

| e | fields | meaning |
|---|---|---|
| send | kind v topic p [txn] [parent] | about to be sent; kind is plain, idempotent or transactional |
| ack | v topic p o | acknowledged at offset o (-1: not told) |
| refused | v | the broker said that it will never be there |
| end | txn how | about to ask for the end, how is commit or abort |
| ended | txn how | that end was acknowledged |
| assigned | topic p view [at] [group] | a reader begins, at an offset or where its group is |
| rows | topic p view rows | what one poll gave: pairs of offset and value |
| commit | group topic p o id | about to commit an offset |
| committed | id | that commit was acknowledged |
| final | topic p view rows drained | all of a partition, read after all faults ended |
| ends | topic p committed uncommitted | after all faults ended: the last stable offset and the high watermark |
| batches | topic p rows | from the disk: first and last offset, producer, epoch, sequence, records, control |
| finished | group covers | a group of readers has read all of these topics |
| piped | topics sinks | copiers have copied all of these topics |
| stuck | what | something did not come to its end after all faults ended |

A send without ack or refused may or may not be there; an end without ended
may or may not have happened. `view` is committed or uncommitted.
"""

from __future__ import annotations

import bisect
import collections
from dataclasses import dataclass, field

RULES = {
    "lost": "an acknowledged record, or one of a committed transaction, is not where it was promised",
    "vanished": "a record that somebody read is not there any more",
    "phantom": "a value was read that nobody sent",
    "duplicate": "a value of an idempotent producer is at two offsets",
    "sequence": "a producer's sequence numbers repeat or leave a gap in the log",
    "fenced-write": "a batch of a producer's older epoch comes after one of a newer epoch",
    "hanging-transaction": "a transaction is open although its timeout is long over",
    "refused-read": "a record that was refused for good was read",
    "aborted-read": "read_committed shows a record of a transaction that did not commit",
    "torn-transaction": "a transaction is visible in part",
    "divergence": "two readers saw different values at one offset",
    "back": "offsets went back within one assignment",
    "skipped": "a reader passed over a record that it should have seen",
    "reordered": "records of one producer are not in the order in which they were sent",
    "commit-lost": "a group began before an offset whose commit was acknowledged",
    "group-skipped": "no member of a group ever read a record",
    "copied-twice": "a record was copied by two committed transactions",
    "never-copied": "a record was not copied although the copiers came to the end",
    "undrained": "reading or writing did not come to its end after all faults ended",
    "cycle": "transactions read each other's writes in a circle",
}


@dataclass
class Violation:
    """One broken rule and its evidence."""

    rule: str
    evidence: dict

    def __post_init__(self):
        assert self.rule in RULES, self.rule


@dataclass
class History:
    """Events by what they say."""

    sends: dict = field(default_factory=dict)
    acks: dict = field(default_factory=dict)
    refused: set = field(default_factory=set)
    #: transaction -> ends asked for, and ends acknowledged
    asked: dict = field(default_factory=lambda: collections.defaultdict(set))
    ended: dict = field(default_factory=dict)
    #: transaction -> values, in order
    written: dict = field(default_factory=lambda: collections.defaultdict(list))
    #: (view, topic, partition) -> {offset: value}, the last one read of all
    final: dict = field(default_factory=dict)
    #: (topic, partition) -> batches, from the disk
    batches: dict = field(default_factory=dict)
    #: every single read of a poll, as (event, offset, value)
    reads: list = field(default_factory=list)
    events: list = field(default_factory=list)


def parse(events: list[dict]) -> History:
    history = History(events=events)
    for event in events:
        kind = event["e"]
        if kind == "send":
            history.sends[event["v"]] = event
            if event.get("txn"):
                history.written[event["txn"]].append(event["v"])
        elif kind == "ack":
            history.acks[event["v"]] = event
        elif kind == "refused":
            history.refused.add(event["v"])
        elif kind == "end":
            history.asked[event["txn"]].add(event["how"])
        elif kind == "ended":
            history.ended[event["txn"]] = event["how"]
        elif kind == "final":
            history.final[event["view"], event["topic"], event["p"]] = dict(map(tuple, event["rows"]))
        elif kind == "batches":
            history.batches[event["topic"], event["p"]] = event["rows"]
        elif kind == "rows":
            history.reads.extend((event, o, v) for o, v in event["rows"])
    return history


def check(events: list[dict]) -> list[Violation]:
    """All violations in a history that ends with final reads."""
    history = parse(events)
    found: list[Violation] = []
    for rule in (lost, vanished_and_divergence, phantom, duplicate, sequences, fenced_writes, hanging, isolation, streams, reordered,
                 group_commits, group_skipped, copies, undrained, cycles):
        found.extend(rule(history))
    return found


def counts(events: list[dict]) -> dict[str, int]:
    """What the run did, to show that it did something."""
    history = parse(events)
    return {
        "sent": len(history.sends),
        "acknowledged": len(history.acks),
        "read": len(history.reads),
        "committed": sum(how == "commit" for how in history.ended.values()),
        "aborted": sum(how == "abort" for how in history.ended.values()),
        "sent_again": sent_again_count(history),
        "offset_commits": sum(event["e"] == "committed" for event in events),
        "final": sum(len(rows) for (view, _, _), rows in history.final.items() if view == "uncommitted"),
    }


def did_commit(history: History, txn: str) -> bool | None:
    """None when nobody can know."""
    if txn in history.ended:
        return history.ended[txn] == "commit"
    # Nobody asked for a commit, so nothing may have committed it.
    return None if "commit" in history.asked[txn] else False


def lost(history: History):
    for value, ack in history.acks.items():
        send = history.sends.get(value, ack)
        txn = send.get("txn")
        # What no transaction holds back is for readers of committed records too.
        for view in ("uncommitted",) if txn else ("uncommitted", "committed"):
            rows = history.final.get((view, ack["topic"], ack["p"]))
            if rows is None:
                continue
            if ack["o"] < 0 and not txn and value not in set_of(rows):
                yield Violation("lost", {"value": value, "ack": ack, "view": view})
            elif ack["o"] >= 0 and rows.get(ack["o"]) != value:
                yield Violation("lost", {"value": value, "ack": ack, "view": view, "found": rows.get(ack["o"])})
    for txn, values in history.written.items():
        if did_commit(history, txn):
            for value in values:
                send = history.sends[value]
                rows = history.final.get(("committed", send["topic"], send["p"]))
                if rows is not None and value not in set_of(rows):
                    yield Violation("lost", {"value": value, "transaction": txn, "send": send})


_SETS: dict[int, tuple[dict, set]] = {}


def set_of(rows: dict) -> set:
    """The values of a final read; remembered, for they are asked for often."""
    kept = _SETS.get(id(rows))
    if kept is None or kept[0] is not rows:
        if len(_SETS) > 64:
            _SETS.clear()
        kept = _SETS[id(rows)] = (rows, set(rows.values()))
    return kept[1]


def vanished_and_divergence(history: History):
    seen: dict = {}
    for event, offset, value in history.reads:
        place = (event["topic"], event["p"], offset)
        if seen.setdefault(place, value) != value:
            yield Violation("divergence", {"at": place, "one": seen[place], "other": value, "reader": event["who"]})
    for (view, topic, partition), rows in history.final.items():
        for offset, value in rows.items():
            place = (topic, partition, offset)
            if seen.setdefault(place, value) != value:
                yield Violation("divergence", {"at": place, "one": seen[place], "other": value, "reader": f"final {view}"})
    for event, offset, value in history.reads:
        rows = history.final.get((event["view"], event["topic"], event["p"]))
        if rows is not None and offset not in rows:
            yield Violation("vanished", {"at": (event["topic"], event["p"], offset), "value": value,
                                         "view": event["view"], "reader": event["who"]})


def every_read(history: History):
    for event, offset, value in history.reads:
        yield event["view"], event["topic"], event["p"], offset, value, event["who"]
    for (view, topic, partition), rows in history.final.items():
        for offset, value in rows.items():
            yield view, topic, partition, offset, value, "final"


def phantom(history: History):
    told = set()
    for _, topic, partition, offset, value, who in every_read(history):
        send = history.sends.get(value)
        wrong_place = send is not None and (send["topic"], send["p"]) != (topic, partition)
        if (send is None or wrong_place) and value not in told:
            told.add(value)
            yield Violation("phantom", {"value": value, "at": (topic, partition, offset), "reader": who, "send": send})
        if value in history.refused and value not in told:
            told.add(value)
            yield Violation("refused-read", {"value": value, "at": (topic, partition, offset), "reader": who})


def duplicate(history: History):
    for (view, topic, partition), rows in history.final.items():
        if view != "uncommitted":
            continue
        first: dict = {}
        for offset, value in sorted(rows.items()):
            send = history.sends.get(value)
            if value in first and send is not None and send["kind"] != "plain" \
                    and not sent_again(history, topic, partition, first[value], offset):
                yield Violation("duplicate", {"value": value, "topic": topic, "p": partition,
                                              "offsets": [first[value], offset]})
            first.setdefault(value, offset)


def sent_again(history: History, topic: str, partition: int, *offsets: int) -> bool:
    """Whether the client itself sent it again as another producer epoch: librdkafka
    does so when one partition's error makes it begin a new epoch while the outcome
    of another partition's request is not known. No broker can tell the two apart."""
    rows = history.batches.get((topic, partition), [])
    starts = [row[0] for row in rows]
    batches = [rows[bisect.bisect_right(starts, o) - 1] for o in offsets if starts and starts[0] <= o]
    return len(batches) == len(offsets) and len({(row[2], row[3]) for row in batches}) == len(offsets)


def sent_again_count(history: History) -> int:
    count = 0
    for (view, topic, partition), rows in history.final.items():
        first: dict = {}
        for offset, value in sorted(rows.items()) if view == "uncommitted" else ():
            kind = history.sends.get(value, {}).get("kind")
            count += value in first and kind not in (None, "plain")
            first.setdefault(value, offset)
    return count


def sequences(history: History):
    """On the disk, each epoch of a producer counts its records from zero without a gap."""
    for (topic, partition), rows in history.batches.items():
        expected: dict = {}
        for first, _, producer, epoch, sequence, count, control in rows:
            if producer < 0 or control:
                continue
            following = expected.get((producer, epoch), 0)
            if sequence != following:
                yield Violation("sequence", {"topic": topic, "p": partition, "offset": first, "producer": producer,
                                             "epoch": epoch, "sequence": sequence, "expected": following})
            expected[producer, epoch] = (sequence + count) % 2**31


def fenced_writes(history: History):
    """On the disk, the epochs of a producer never go down: who is fenced writes no more, and
    no marker of an earlier transaction comes into a later one."""
    for (topic, partition), rows in history.batches.items():
        newest: dict = {}
        for first, _, producer, epoch, _, _, control in rows:
            if producer < 0:
                continue
            if epoch < newest.get(producer, epoch):
                yield Violation("fenced-write", {"topic": topic, "p": partition, "offset": first, "producer": producer,
                                                 "epoch": epoch, "newest": newest[producer], "control": control})
            newest[producer] = max(epoch, newest.get(producer, epoch))


def hanging(history: History):
    """Every transaction is ended by its producer, by the next one of its id, or by its timeout."""
    for event in history.events:
        if event["e"] == "ends" and event["committed"] != event["uncommitted"]:
            yield Violation("hanging-transaction", {"topic": event["topic"], "p": event["p"],
                                                    "last_stable_offset": event["committed"],
                                                    "high_watermark": event["uncommitted"]})


def isolation(history: History):
    told = set()
    visible = collections.defaultdict(set)
    for view, topic, partition, offset, value, who in every_read(history):
        txn = history.sends.get(value, {}).get("txn")
        if view != "committed" or txn is None:
            continue
        if did_commit(history, txn) is False and txn not in told:
            told.add(txn)
            yield Violation("aborted-read", {"value": value, "at": (topic, partition, offset), "transaction": txn,
                                             "asked": sorted(history.asked[txn]), "reader": who})
        if who == "final":
            visible[txn].add(value)
    for txn, values in visible.items():
        missing = [v for v in history.written[txn] if v not in values
                   and ("committed", history.sends[v]["topic"], history.sends[v]["p"]) in history.final]
        if missing and txn not in told:
            yield Violation("torn-transaction", {"transaction": txn, "visible": sorted(values), "missing": missing})


def streams(history: History):
    """Within one assignment offsets go up and pass over nothing that is visible."""
    offsets = {key: sorted(rows) for key, rows in history.final.items()}
    position: dict = {}
    for event in history.events:
        if event["e"] == "assigned":
            position[event["who"], event["topic"], event["p"]] = event.get("at")
        elif event["e"] == "rows":
            stream = (event["who"], event["topic"], event["p"])
            there = offsets.get((event["view"], event["topic"], event["p"]))
            next_offset = position.get(stream)
            for offset, value in event["rows"]:
                if next_offset is not None and offset < next_offset:
                    yield Violation("back", {"reader": stream, "offset": offset, "expected": next_offset})
                elif next_offset is not None and there is not None:
                    at = bisect.bisect_left(there, next_offset)
                    if at < len(there) and there[at] < offset:
                        yield Violation("skipped", {"reader": stream, "from": next_offset, "to": offset,
                                                    "offset": there[at], "view": event["view"]})
                next_offset = offset + 1
            position[stream] = next_offset


def reordered(history: History):
    for (view, topic, partition), rows in history.final.items():
        if view != "uncommitted":
            continue
        number = {value: n for n, value in enumerate(
            e["v"] for e in history.events if e["e"] == "send" and (e["topic"], e["p"]) == (topic, partition))}
        newest: dict = {}
        done: set = set()
        for offset, value in sorted(rows.items()):
            send = history.sends.get(value)
            # A plain producer that tries again may overtake itself, and librdkafka's does.
            if send is None or send["kind"] == "plain" or value in done:
                continue
            done.add(value)
            before = newest.get(send["who"])
            if before is not None and number[value] < number[before[1]]:
                yield Violation("reordered", {"producer": send["who"], "topic": topic, "p": partition,
                                              "first": before, "then": (offset, value)})
            if before is None or number[value] > number[before[1]]:
                newest[send["who"]] = (offset, value)


def group_commits(history: History):
    """Where a member of a group begins, against what the group has committed."""
    offsets = {key: sorted(rows) for key, rows in history.final.items()}
    commits = {e["id"]: e for e in history.events if e["e"] == "commit"}
    acknowledged = {e["id"]: e["t"] for e in history.events if e["e"] == "committed"}
    by_place = collections.defaultdict(list)
    for identity, commit in commits.items():
        by_place[commit["group"], commit["topic"], commit["p"]].append((commit, acknowledged.get(identity)))
    waiting: dict = {}
    for event in history.events:
        if event["e"] == "assigned" and event.get("group") and event.get("at") is None:
            waiting[event["who"], event["topic"], event["p"]] = event
        elif event["e"] == "assigned":
            waiting.pop((event["who"], event["topic"], event["p"]), None)
        elif event["e"] == "rows" and event["rows"]:
            begun = waiting.pop((event["who"], event["topic"], event["p"]), None)
            if begun is None:
                continue
            first = event["rows"][0][0]
            place = by_place[begun["group"], event["topic"], event["p"]]
            done = [c["o"] for c, t in place if t is not None and t < begun["t"]]
            # Asked for and perhaps done, before this member was given the partition or since.
            perhaps = [c["o"] for c, t in place if (t is None or t >= begun["t"]) and c["t"] < event["t"]]
            floor = max(done, default=0)
            if first < floor and not any(o <= first for o in perhaps):
                yield Violation("commit-lost", {"reader": begun["who"], "group": begun["group"], "topic": event["topic"],
                                                "p": event["p"], "began": first, "committed": floor})
            there = offsets.get((event["view"], event["topic"], event["p"]), [])
            limit = max([floor, *perhaps])
            at = bisect.bisect_left(there, limit)
            if at < len(there) and there[at] < first:
                yield Violation("skipped", {"reader": begun["who"], "group": begun["group"], "topic": event["topic"],
                                            "p": event["p"], "from": limit, "to": first, "offset": there[at]})


def group_skipped(history: History):
    members = {}
    for event in history.events:
        if event["e"] == "assigned" and event.get("group"):
            members[event["who"]] = event["group"]
    read = collections.defaultdict(set)
    views = {}
    for event, offset, _ in history.reads:
        if event["who"] in members:
            group = members[event["who"]]
            read[group, event["topic"], event["p"]].add(offset)
            views[group] = event["view"]
    for event in history.events:
        if event["e"] != "finished":
            continue
        for (view, topic, partition), rows in history.final.items():
            if topic in event["covers"] and view == event["view"]:
                missing = sorted(set(rows) - read[event["group"], topic, partition])
                if missing:
                    yield Violation("group-skipped", {"group": event["group"], "topic": topic, "p": partition,
                                                      "offsets": missing[:10], "count": len(missing),
                                                      "first": rows[missing[0]]})


def copies(history: History):
    """Exactly once: each visible record has one visible copy at most, and one when all was copied."""
    # How often: a plain producer may have written a record more than once.
    visible: collections.Counter = collections.Counter()
    for (view, _, _), rows in history.final.items():
        if view == "committed":
            visible.update(rows.values())
    copied = collections.defaultdict(list)
    for value, send in history.sends.items():
        if send.get("parent") and value in visible:
            copied[send["parent"]].append(value)
    for parent, children in copied.items():
        if len(children) > max(visible[parent], 1):
            yield Violation("copied-twice", {"value": parent, "copies": children,
                                             "transactions": [history.sends[c].get("txn") for c in children]})
        if parent not in visible and any(view == "committed" for view, _, _ in history.final):
            yield Violation("aborted-read", {"value": parent, "copied_as": children,
                                             "transaction": history.sends.get(parent, {}).get("txn")})
    for event in history.events:
        if event["e"] == "piped":
            for (view, topic, partition), rows in history.final.items():
                if view == "committed" and topic in event["topics"]:
                    missing = [v for v in rows.values() if v not in copied and v.count("<") < event["hops"]]
                    if missing:
                        yield Violation("never-copied", {"topic": topic, "p": partition, "count": len(missing),
                                                         "values": missing[:5]})


def undrained(history: History):
    for event in history.events:
        if event["e"] == "final" and not event["drained"]:
            yield Violation("undrained", {"topic": event["topic"], "p": event["p"], "view": event["view"]})
        elif event["e"] == "stuck":
            yield Violation("undrained", {"what": event["what"]})


def cycles(history: History):
    """Write-read dependencies between transactions that may have committed."""
    edges = collections.defaultdict(set)
    for value, send in history.sends.items():
        parent = history.sends.get(send.get("parent"), {})
        if send.get("txn") and parent.get("txn") and did_commit(history, send["txn"]) is not False:
            edges[parent["txn"]].add(send["txn"])
    state: dict = {}
    for root in list(edges):
        stack = [(root, iter(sorted(edges[root])))] if root not in state else []
        state.setdefault(root, "open")
        while stack:
            node, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                state[node] = "done"
                stack.pop()
            elif state.get(following) == "open":
                path = [n for n, _ in stack]
                yield Violation("cycle", {"transactions": path[path.index(following):] + [following]})
            elif following not in state:
                state[following] = "open"
                stack.append((following, iter(sorted(edges.get(following, ())))))
