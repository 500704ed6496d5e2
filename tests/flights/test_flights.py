"""The main job on real input: hourly flights per carrier, against pandas.

Once in a calm run with bounded input, and once while the server is killed
with SIGKILL three times as records and results are in flight. Nothing may be
lost, nothing doubled, no row late, every number equal.
"""

import json
import os
import random
import time

import pytest
from confluent_kafka.admin import AdminClient, NewTopic

import flights
from servers import ServerError, http_json, make, wait_until

KIND = os.environ.get("SERVER", "millstream")
SEED = int(os.environ.get("FLIGHTS_SEED") or os.environ.get("SEED") or random.SystemRandom().randrange(1_000_000))
RATE = int(os.environ.get("FLIGHTS_RATE", "8000"))
PARTITIONS, RESULT_PARTITIONS, KILLS = 4, 3, 3

only_millstream = pytest.mark.skipif(KIND != "millstream", reason="SQL runs in millstream only")


@pytest.fixture(scope="module")
def frame():
    print(f"\nFLIGHTS_SEED={SEED} repeats this run", flush=True)
    return flights.table(SEED)


@pytest.fixture(scope="module")
def rows(frame):
    return flights.records(frame)


@pytest.fixture(scope="module")
def wanted(frame):
    return flights.expected(frame)


@pytest.fixture()
def server(tmp_path):
    with make(KIND, tmp_path / "data") as running:
        yield running
        assert "panicked at" not in running.log_path.read_text(errors="replace"), running.log_path


def create_topics(server, **partitions):
    admin = AdminClient({"bootstrap.servers": server.bootstrap})
    topics = [NewTopic(name, count, 1) for name, count in partitions.items()]
    for future in admin.create_topics(topics).values():
        future.result(30)


def sql(server, text):
    return http_json("POST", f"{server.http}/api/v1/sql", {"sql": text})


def start_job(server, scan_options: str) -> str:
    """Declares both tables and starts the job; answers its id."""
    sql(server, f"""CREATE TABLE flights ({flights.SOURCE_COLUMNS}) WITH (
        'connector' = 'kafka', 'topic' = 'flights', 'format' = 'json',
        'scan.startup.mode' = 'earliest-offset'{scan_options})""")
    sql(server, f"""CREATE TABLE hourly ({flights.RESULT_COLUMNS}) WITH (
        'connector' = 'kafka', 'topic' = 'hourly', 'format' = 'json',
        'key.format' = 'json', 'key.fields' = 'carrier')""")
    answer = sql(server, "INSERT INTO hourly" + flights.QUERY.format(source="flights"))
    return answer["rows"][0][0]


def job(server, job_id):
    return http_json("GET", f"{server.http}/api/v1/jobs/{job_id}")


def check_result(server, job_id, wanted):
    """Every row once and right, none late, none undecodable."""
    messages = flights.read_topic(server.bootstrap, "hourly")
    problems = flights.compare(messages, wanted)
    assert not problems, f"{len(problems)} problems, the first: " + "\n".join(problems[:20])
    assert len(messages) == len(wanted)
    state = job(server, job_id)
    assert (state["late_records"], state["dead_letters"]) == (0, 0), state
    topics = AdminClient({"bootstrap.servers": server.bootstrap}).list_topics(timeout=30).topics
    for topic in (state["late_topic"], state["dead_letter_topic"]):
        if topic in topics:
            assert flights.read_topic(server.bootstrap, topic) == []
    print(f"{len(messages)} rows equal pandas'", flush=True)


def check_input(server):
    """Each flight is in the topic exactly once."""
    stored = [json.loads(value)["sequence"] for _, value in flights.read_topic(server.bootstrap, "flights")]
    flown = [sequence for sequence in stored if sequence >= 0]
    assert len(flown) == len(set(flown)) == flights.ROWS
    return stored


@only_millstream
def test_every_hour_of_every_carrier_equals_pandas(server, rows, wanted):
    create_topics(server, flights=PARTITIONS, hourly=RESULT_PARTITIONS)
    sender = flights.Sender(server.bootstrap, "flights", rows, per_second=None)
    started = time.monotonic()
    sender.run()
    assert sender.failures == []
    print(f"sent {sender.delivered} records in {time.monotonic() - started:.1f} s", flush=True)

    started = time.monotonic()
    job_id = start_job(server, ", 'scan.bounded.mode' = 'latest-offset'")

    def finished():
        state = job(server, job_id)
        assert state["state"] not in ("failed", "stopped"), state
        return state["state"] == "finished"

    wait_until(finished, "the bounded job finishes", 180, pause_s=0.2)
    print(f"the job took {time.monotonic() - started:.1f} s", flush=True)
    check_result(server, job_id, wanted)


@only_millstream
def test_every_number_is_equal_when_the_server_is_killed_three_times(server, rows, wanted):
    create_topics(server, flights=PARTITIONS, hourly=RESULT_PARTITIONS)
    job_id = start_job(server, "")
    sender = flights.Sender(server.bootstrap, "flights", rows, RATE, sentinels_for=PARTITIONS)
    kill_while_sending(server, sender, lambda: len(flights.read_topic(server.bootstrap, "hourly")), len(wanted))
    check_input(server)

    def all_read():
        try:
            state = job(server, job_id)
        except (ServerError, OSError):
            return False
        assert state["state"] not in ("failed", "stopped", "finished"), state
        # The sentinels' watermark has closed every window, and nothing is left to read.
        return state["lag_records"] == 0 and (state["watermark_ms"] or 0) > 1_800_000_000_000

    wait_until(all_read, "the job reads to the end", 180, pause_s=0.2)
    wait_until(lambda: len(flights.read_topic(server.bootstrap, "hourly")) >= len(wanted),
               "all windows are committed", 60, pause_s=1)
    check_result(server, job_id, wanted)


if KIND != "millstream":
    def test_the_input_is_stored_exactly_once_through_three_kills(server, rows):
        """The reference's half of the test above: what Apache Kafka must pass too."""
        create_topics(server, flights=PARTITIONS)
        kill_while_sending(server, flights.Sender(server.bootstrap, "flights", rows, RATE))
        check_input(server)


def kill_while_sending(server, sender, results=None, results_wanted=0):
    """Three SIGKILLs at seeded moments while the sender is at work, and the job."""
    chance = random.Random(SEED + 1)
    # One in each third, so that every kill meets another stretch of the year.
    third = len(sender.rows) // KILLS
    moments = [int(third * (k + chance.uniform(0.15, 0.85))) for k in range(KILLS)]
    print(f"kills after {moments} records", flush=True)
    sender.start()
    for moment in moments:
        wait_until(lambda: sender.delivered >= moment and sender.in_flight > 0 or sender.failures,
                   f"{moment} records acknowledged", 180, pause_s=0.001)
        assert sender.failures == []
        # Some results are there and some are not: the job is in the middle of it.
        done = wait_until(results, "the first results", 60) if results else 0
        assert done < results_wanted or results is None
        in_flight = sender.in_flight
        server.kill()
        started = time.monotonic()
        server.start()
        print(f"killed after {sender.delivered} records with {in_flight} in flight and {done} results, "
              f"ready again in {time.monotonic() - started:.2f} s", flush=True)
    sender.join(240)
    assert not sender.is_alive(), f"the sender has {sender.in_flight} records in flight"
    assert sender.failures == []
    assert sender.delivered == sender.sent


def test_the_comparison_finds_a_lost_a_doubled_and_a_wrong_row(wanted):
    def message(key, row):
        return json.dumps({"window_start": key[0], "carrier": key[1], **row}).encode()

    good = [(str(i), message(key, row)) for i, (key, row) in enumerate(wanted.items())]
    assert flights.compare(good, wanted) == []
    assert "lost" in flights.compare(good[1:], wanted)[0]
    assert "doubled" in flights.compare(good + good[:1], wanted)[0]
    key, row = next(iter(wanted.items()))
    wrong = [("0", message(key, {**row, "flights": row["flights"] + 1}))] + good[1:]
    assert "pandas says" in flights.compare(wrong, wanted)[0]
