"""The checker against histories made by hand: one that is right, and for each
rule at least one that breaks it. A checker that cannot fail is worthless."""

import itertools

import pytest

from checker import RULES, check, counts

CLOCK = itertools.count(1)


def event(e, who="a", **fields):
    return {"e": e, "who": who, "t": next(CLOCK), **fields}


def send(v, who="a", kind="idempotent", topic="x", p=0, **fields):
    return event("send", who, kind=kind, v=v, topic=topic, p=p, **fields)


def ack(v, o, who="a", topic="x", p=0):
    return event("ack", who, v=v, topic=topic, p=p, o=o)


def rows(*pairs, who="r", view="uncommitted", topic="x", p=0):
    return event("rows", who, topic=topic, p=p, view=view, rows=[list(pair) for pair in pairs])


def assigned(at=None, who="r", view="uncommitted", topic="x", p=0, **fields):
    return event("assigned", who, topic=topic, p=p, view=view, at=at, **fields)


def final(*pairs, view="uncommitted", topic="x", p=0, drained=True):
    return event("final", "final", topic=topic, p=p, view=view, rows=[list(pair) for pair in pairs], drained=drained)


def both(*pairs, **fields):
    return [final(*pairs, **fields), final(*pairs, view="committed", **fields)]


def sent(*values, **fields):
    return [send(v, **fields) for v in values]


def rules(*events):
    return sorted({v.rule for v in check(list(events))})


def commit(o, identity, group="g", who="r", topic="x", p=0):
    return event("commit", who, group=group, topic=topic, p=p, o=o, id=identity)


def committed(identity, who="r"):
    return event("committed", who, id=identity)


def test_a_right_history_breaks_no_rule():
    history = [
        *sent("1", "2", "3"), ack("1", 0), ack("2", 1),
        *sent("t1", "t2", kind="transactional", txn="T"), event("end", txn="T", how="commit"), event("ended", txn="T", how="commit"),
        *sent("u1", kind="transactional", txn="U"), event("end", txn="U", how="abort"), event("ended", txn="U", how="abort"),
        event("ends", topic="x", p=0, committed=7, uncommitted=7),
        assigned(0), rows((0, "1"), (1, "2")), rows((2, "t1")),
        assigned(0, who="d", view="committed"), rows((0, "1"), (1, "2"), (2, "t1"), (3, "t2"), who="d", view="committed"),
        final((0, "1"), (1, "2"), (2, "t1"), (3, "t2"), (5, "u1")),
        final((0, "1"), (1, "2"), (2, "t1"), (3, "t2"), view="committed"),
    ]
    assert check(history) == []
    assert counts(history) == {"sent": 6, "acknowledged": 2, "read": 7, "committed": 1, "aborted": 1, "sent_again": 0,
                               "offset_commits": 0, "final": 5}


def test_an_acknowledged_record_that_is_gone_is_lost():
    assert rules(*sent("1", "2"), ack("1", 0), ack("2", 1), *both((0, "1"))) == ["lost"]
    assert rules(*sent("1", "2"), ack("1", 0), ack("2", 1), *both((1, "2"))) == ["lost"]


def test_an_acknowledged_record_elsewhere_is_lost():
    assert "lost" in rules(*sent("1"), ack("1", 0), *both((7, "1")))


def test_an_acknowledgement_without_offset_still_promises_the_record():
    assert rules(*sent("1", "2"), ack("1", -1), *both((0, "2"))) == ["lost"]
    assert rules(*sent("1", "2"), ack("1", -1), *both((0, "1"))) == []


def test_an_acknowledged_record_that_only_readers_of_everything_see_is_lost():
    """So it is behind a transaction that never ends."""
    assert rules(*sent("1", "2"), ack("1", 0), ack("2", 1), final((0, "1"), (1, "2")), final((0, "1"), view="committed")) == ["lost"]
    assert rules(*sent("1", "2"), ack("2", -1), final((0, "1"), (1, "2")), final((0, "1"), view="committed")) == ["lost"]


def test_a_transaction_that_never_ends_is_told():
    ends = {"topic": "x", "p": 0, "uncommitted": 7}
    assert rules(event("ends", committed=7, **ends)) == []
    assert rules(event("ends", committed=5, **ends)) == ["hanging-transaction"]


def test_a_record_without_acknowledgement_may_be_there_or_not():
    assert rules(*sent("1", "2"), *both((0, "1"))) == []


def test_a_record_of_a_committed_transaction_that_is_gone_is_lost():
    history = [*sent("1", "2", kind="transactional", txn="T"), event("end", txn="T", how="commit"), event("ended", txn="T", how="commit")]
    assert "lost" in rules(*history, *both((0, "1")))
    assert rules(*history, *both((0, "1"), (1, "2"))) == []


def test_what_was_read_and_is_gone_has_vanished():
    assert rules(*sent("1", "2"), rows((0, "1"), (1, "2")), *both((0, "1"))) == ["vanished"]


def test_a_value_that_nobody_sent_is_a_phantom():
    assert rules(*sent("1"), *both((0, "1"), (1, "other"))) == ["phantom"]
    assert rules(send("1", p=1), *both((0, "1"))) == ["phantom"]


def test_a_refused_record_must_not_be_there():
    assert rules(*sent("1"), event("refused", v="1"), *both((0, "1"))) == ["refused-read"]


def test_the_same_value_at_two_offsets_is_a_duplicate_but_for_plain_producers():
    assert rules(*sent("1"), *both((0, "1"), (1, "1"))) == ["duplicate"]
    assert rules(*sent("1", kind="plain"), *both((0, "1"), (1, "1"))) == []


def batches(*rows, topic="x", p=0):
    """Rows of first offset, last offset, producer, epoch, sequence."""
    return event("batches", "disk", topic=topic, p=p, rows=[[f, l, pid, e, s, l - f + 1, False] for f, l, pid, e, s in rows])


def test_a_batch_is_on_the_disk_once_and_none_is_left_out():
    assert rules(batches((0, 1, 7, 0, 0), (2, 2, 7, 0, 2), (3, 3, 7, 1, 0), (4, 4, 8, 0, 0), (5, 9, -1, -1, -1))) == []
    assert rules(batches((0, 1, 7, 0, 0), (2, 3, 7, 0, 0))) == ["sequence"]
    assert rules(batches((0, 1, 7, 0, 0), (2, 3, 7, 0, 3))) == ["sequence"]
    assert rules(batches((0, 1, 7, 0, 4))) == ["sequence"]


def test_a_fenced_producer_writes_no_more():
    assert rules(batches((0, 0, 7, 0, 0), (1, 1, 7, 1, 0), (2, 2, 8, 0, 0), (3, 3, 7, 1, 1))) == []
    assert rules(batches((0, 0, 7, 0, 0), (1, 1, 7, 1, 0), (2, 2, 7, 0, 1))) == ["fenced-write"]
    late_marker = event("batches", "disk", topic="x", p=0, rows=[[0, 0, 7, 1, 0, 1, False], [1, 1, 7, 0, -1, 1, True]])
    assert rules(late_marker) == ["fenced-write"]


def test_what_a_client_sends_again_in_another_epoch_is_its_own_duplicate():
    history = [*sent("1"), *both((0, "1"), (1, "1"))]
    assert rules(*history, batches((0, 0, 7, 0, 0), (1, 1, 7, 1, 0))) == []
    assert rules(*history, batches((0, 0, 7, 0, 0), (1, 1, 7, 0, 1))) == ["duplicate"]
    assert counts([*history])["sent_again"] == 1


def test_read_committed_must_not_show_what_aborted():
    history = [*sent("1", kind="transactional", txn="T"), event("end", txn="T", how="abort"), event("ended", txn="T", how="abort")]
    assert rules(*history, *both((0, "1"))) == ["aborted-read"]
    assert "aborted-read" in rules(*history, rows((0, "1"), view="committed"), final((0, "1")), final(view="committed"))


def test_what_nobody_asked_to_commit_must_not_be_shown():
    history = sent("1", kind="transactional", txn="T")
    assert rules(*history, *both((0, "1"))) == ["aborted-read"]
    assert rules(*history, event("end", txn="T", how="commit"), *both((0, "1"))) == [], "nobody knows how it ended"


def test_a_transaction_is_visible_whole_or_not_at_all():
    history = [*sent("1", "2", kind="transactional", txn="T"), event("end", txn="T", how="commit")]
    assert rules(*history, final((0, "1"), (1, "2")), final((0, "1"), view="committed")) == ["torn-transaction"]
    assert rules(*history, final((0, "1"), (1, "2")), final(view="committed")) == []


def test_two_readers_agree_on_every_offset():
    assert "divergence" in rules(*sent("1", "2"), rows((0, "1")), rows((0, "2"), who="s"), *both((0, "1")))
    assert "divergence" in rules(*sent("1", "2"), rows((0, "1")), *both((0, "2")))


def test_offsets_do_not_go_back_within_or_between_polls():
    base = sent("1", "2")
    assert rules(*base, assigned(0), rows((0, "1"), (0, "1")), *both((0, "1"), (1, "2"))) == ["back"]
    assert rules(*base, assigned(0), rows((0, "1"), (1, "2")), rows((0, "1")), *both((0, "1"), (1, "2"))) == ["back"]
    assert rules(*base, assigned(1), rows((0, "1")), *both((0, "1"), (1, "2"))) == ["back"]
    again = [assigned(0), rows((0, "1"), (1, "2")), assigned(0), rows((0, "1"))]
    assert rules(*base, *again, *both((0, "1"), (1, "2"))) == [], "a new assignment may"


def test_offsets_skip_nothing_that_is_visible():
    base = sent("1", "2", "3")
    all_three = both((0, "1"), (1, "2"), (2, "3"))
    assert rules(*base, assigned(0), rows((0, "1"), (2, "3")), *all_three) == ["skipped"]
    assert rules(*base, assigned(0), rows((0, "1")), rows((2, "3")), *all_three) == ["skipped"]
    assert rules(*base, assigned(0), rows((1, "2")), *all_three) == ["skipped"]
    holes = both((0, "1"), (4, "2"), (9, "3"))
    assert rules(*base, assigned(0), rows((0, "1"), (4, "2")), *holes) == [], "markers have offsets too"


def test_records_of_one_producer_keep_their_order():
    assert rules(*sent("1", "2"), *both((0, "2"), (1, "1"))) == ["reordered"]
    assert rules(*sent("1", who="a"), *sent("2", who="b"), *both((0, "2"), (1, "1"))) == []
    plain = sent("1", "2", kind="plain")
    assert rules(*plain, ack("1", 1), ack("2", 0), *both((0, "2"), (1, "1"))) == [], "a second attempt may be late"


def test_a_group_goes_on_where_its_acknowledged_commit_was():
    base = sent("1", "2", "3")
    all_three = both((0, "1"), (1, "2"), (2, "3"))
    history = [assigned(group="g"), rows((0, "1"), (1, "2")), commit(2, "c1"), committed("c1")]
    assert rules(*base, *history, assigned(group="g", who="s"), rows((1, "2"), who="s"), *all_three) == ["commit-lost"]
    assert rules(*base, *history, assigned(group="g", who="s"), rows((2, "3"), who="s"), *all_three) == []
    assert rules(*base, *history, assigned(group="h", who="s"), rows((0, "1"), who="s"), *all_three) == []


def test_a_commit_that_may_have_happened_excuses_its_place_only():
    base = sent("1", "2", "3")
    all_three = both((0, "1"), (1, "2"), (2, "3"))
    history = [assigned(group="g"), rows((0, "1")), commit(1, "c1")]
    assert rules(*base, *history, assigned(group="g", who="s"), rows((1, "2"), who="s"), *all_three) == []
    assert rules(*base, *history, assigned(group="g", who="s"), rows((0, "1"), who="s"), *all_three) == []
    assert rules(*base, *history, assigned(group="g", who="s"), rows((2, "3"), who="s"), *all_three) == ["skipped"]


def test_a_group_that_finished_has_read_everything():
    base = [*sent("1", "2"), assigned(0, group="g"), rows((0, "1"))]
    end = event("finished", "s", group="g", covers=["x"], view="uncommitted")
    assert rules(*base, end, *both((0, "1"), (1, "2"))) == ["group-skipped"]
    assert rules(*base, rows((1, "2")), end, *both((0, "1"), (1, "2"))) == []


def test_a_record_is_copied_exactly_once():
    copies = [send("c1", topic="y", kind="transactional", txn="T", parent="1"), event("end", txn="T", how="commit"),
              send("c2", topic="y", kind="transactional", txn="U", parent="1"), event("end", txn="U", how="commit")]
    end = event("piped", topics=["x"], hops=1)
    source = [*sent("1"), *both((0, "1"))]
    assert rules(*source, *copies, *both((0, "c1"), (1, "c2"), topic="y")) == ["copied-twice"]
    assert rules(*source, *copies, *both((0, "c1"), topic="y"), end) == []
    assert rules(*source, *copies, *both(topic="y"), end) == ["never-copied"]
    assert rules(*source, *copies, *both(topic="y")) == []


def test_a_record_that_is_there_twice_is_copied_twice():
    copies = [send("c1", topic="y", kind="transactional", txn="T", parent="1"),
              send("c2", topic="y", kind="transactional", txn="T", parent="1"), event("end", txn="T", how="commit")]
    copied = both((0, "c1"), (1, "c2"), topic="y")
    assert rules(*sent("1", kind="plain"), *both((0, "1"), (3, "1")), *copies, *copied) == []
    assert rules(*sent("1", kind="plain"), *both((0, "1")), *copies, *copied) == ["copied-twice"]


def test_a_copy_of_what_is_not_there_was_an_aborted_read():
    history = [*sent("1", kind="transactional", txn="S"), event("end", txn="S", how="abort"),
               send("c1", topic="y", kind="transactional", txn="T", parent="1"), event("end", txn="T", how="commit")]
    assert rules(*history, final((0, "1")), final(view="committed"), *both((0, "c1"), topic="y")) == ["aborted-read"]


def test_reads_that_never_drain_are_told():
    assert rules(*both(drained=False)) == ["undrained"]
    assert rules(event("stuck", what="client a")) == ["undrained"]


def test_transactions_do_not_read_each_other_in_a_circle():
    def transfer(v, parent, txn):
        return [send(v, kind="transactional", txn=txn, parent=parent), event("end", txn=txn, how="commit")]
    circle = [*transfer("1", "2", "T"), *transfer("2", "1", "U")]
    assert rules(*circle) == ["cycle"]
    longer = [*transfer("1", "3", "T"), *transfer("2", "1", "U"), *transfer("3", "2", "V")]
    assert rules(*longer) == ["cycle"]
    assert rules(*transfer("1", "0", "T"), *transfer("2", "1", "U"), *transfer("3", "1", "V")) == []


def test_every_rule_is_broken_by_some_test_here():
    text = open(__file__, encoding="utf-8").read()
    unbroken = [rule for rule in RULES if f'"{rule}"' not in text]
    assert unbroken == []


def test_a_rule_that_is_not_known_cannot_be_told():
    from checker import Violation
    with pytest.raises(AssertionError):
        Violation("nonsense", {})
