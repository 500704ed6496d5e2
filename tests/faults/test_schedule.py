"""The same seed gives the same faults, and few rounds have every kind."""

import collections

from schedule import FAULTS, plan


def test_the_same_seed_is_the_same_schedule():
    assert [plan(s).as_json() for s in range(50)] == [plan(s).as_json() for s in range(50)]


def test_another_seed_is_another_schedule():
    assert len({str(plan(s).as_json()["faults"]) for s in range(100)}) == 100


def test_twenty_rounds_have_every_kind_both_durabilities_and_both_protocols():
    for first in (1, 1000, 77_777):
        rounds = [plan(s, protocols=("classic", "consumer")) for s in range(first, first + 20)]
        kinds = collections.Counter(f["kind"] for r in rounds for f in r.faults)
        assert set(kinds) == set(FAULTS), kinds
        assert {r.durability for r in rounds} == {"fsync", "replicated"}
        assert {r.protocol for r in rounds} == {"classic", "consumer"}
        assert {r.acks for r in rounds} == {"all", "1", "0"}


def test_without_sync_nothing_that_was_written_is_taken_away():
    for seed in range(500):
        round_ = plan(seed)
        if round_.durability == "replicated":
            assert all(f["how"] == "garbage" for f in round_.faults if f["kind"] == "tails")
            assert all(not f.get("tails") for f in round_.faults)
