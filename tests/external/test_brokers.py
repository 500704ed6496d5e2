"""An external cluster loses a broker, and no job notices.

Brokers are killed in turn and started again while producers send; the job
must not restart, its next result must come within `RESULT_WITHIN_S`, and each
window must hold exactly what was acknowledged.
"""

import os
import re
import threading
import time

import pytest

from cluster import NODES, Cluster, pause
from load import Load, compare, read_results
from servers import Millstream, ServerError, http_json, wait_until

KILLS = int(os.environ.get("EXTERNAL_KILLS", "3"))
PARTITIONS, RESULT_PARTITIONS, RECORDS_PER_S = 6, 3, 1_500
# What a killed broker may cost, the cluster's own election of leaders in it.
RESULT_WITHIN_S = 10.0
# How long a killed broker stays away.
AWAY_S = 6.0

STATEMENTS = """
CREATE TABLE ticks (id BIGINT, k STRING, amount BIGINT, ts TIMESTAMP(3),
    WATERMARK FOR ts AS ts - INTERVAL '1' SECOND)
  WITH ('connector' = 'kafka', 'topic' = 'ticks', 'format' = 'json');
CREATE TABLE sums (window_start TIMESTAMP(3), k STRING, n BIGINT, total BIGINT)
  WITH ('connector' = 'kafka', 'topic' = 'sums', 'format' = 'json', 'key.format' = 'json', 'key.fields' = 'k');
SET 'pipeline.name' = 'sums';
INSERT INTO sums SELECT window_start, k, COUNT(*), SUM(amount)
  FROM TABLE(TUMBLE(TABLE ticks, DESCRIPTOR(ts), INTERVAL '1' SECOND)) GROUP BY window_start, window_end, k;
"""


class Watch(threading.Thread):
    """Looks at the job all the time: when its committed results grew."""

    def __init__(self, url: str):
        super().__init__(name="watch", daemon=True)
        self.url, self.stopping = url, threading.Event()
        self.out_records, self.last = 0, {}
        self.results_at: list[float] = [time.monotonic()]

    def run(self):
        while not self.stopping.is_set():
            try:
                self.last = http_json("GET", self.url, timeout_s=10)
            except (OSError, ServerError):
                # The server is being started, or does not show the job yet.
                pass
            else:
                if self.last["out_records"] > self.out_records:
                    self.out_records = self.last["out_records"]
                    self.results_at.append(time.monotonic())
            time.sleep(0.05)

    def wait_result(self, what: str):
        """Returns when there is a new result; a minute is long."""
        before = len(self.results_at)
        try:
            wait_until(lambda: len(self.results_at) > before, what, 60)
        except TimeoutError as error:
            raise TimeoutError(f"{error}; the job is {self.last}") from error

    def longest_gap(self, since: float) -> float:
        """Seconds without a result, the longest since then."""
        at = [since, *(moment for moment in self.results_at if moment > since)]
        return max((later - earlier for earlier, later in zip(at, at[1:])), default=float("inf"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running


def lines(server: Millstream, pattern: str) -> list[str]:
    text = re.sub(r"\x1b\[\d*m", "", server.log_path.read_text(errors="replace"))
    return [line for line in text.splitlines() if re.search(pattern, line)]


def test_brokers_killed_in_turn_are_not_noticed(cluster, tmp_path):
    cluster.create(ticks=PARTITIONS, sums=RESULT_PARTITIONS)
    config = f'roles = ["engine", "console"]\n[bus]\nbootstrap = "{cluster.bootstrap}"\n'
    with Millstream(tmp_path / "data", config) as server:
        http_json("POST", f"{server.http}/api/v1/sql", {"sql": STATEMENTS})
        load = Load(cluster.bootstrap, "ticks", PARTITIONS, RECORDS_PER_S)
        load.start()
        watch = Watch(f"{server.http}/api/v1/jobs/sums")
        watch.start()
        watch.wait_result("the first result")
        cluster.wait_in_sync()

        gaps = []
        for kill in range(KILLS):
            victim = cluster.nodes[kill % NODES]
            killed_at = time.monotonic()
            victim.kill()
            watch.wait_result(f"a result after kill {kill + 1}")
            pause(AWAY_S)
            victim.start(120)
            cluster.wait_in_sync()
            watch.wait_result("a result with all brokers")
            gaps.append(watch.longest_gap(killed_at))
            print(f"kill {kill + 1}, node {kill % NODES + 1}: at most {gaps[-1]:.1f} s without a result; "
                  f"{watch.last['restarts']} restarts, lag {watch.last['lag_records']}", flush=True)

        went, came = lines(server, "cannot be reached"), lines(server, "of the Kafka cluster is back")
        errors = lines(server, r"\bERROR\b")
        restarts = watch.last["restarts"]

        # The engine finds the cluster whichever broker is away: here the first
        # that it is told of, and it starts again from nothing.
        cluster.nodes[0].kill()
        server.kill()
        server.start()
        watch.wait_result("a result after a start without the first broker")
        cluster.nodes[0].start(120)

        load.finish()
        assert load.failures == []
        wait_until(lambda: watch.last["lag_records"] == 0 and watch.last["in_records"] == load.sent + PARTITIONS,
                   "the job has read everything", 120)
        watch.stopping.set()
        job = http_json("GET", f"{server.http}/api/v1/jobs/sums")
        problems = compare(read_results(cluster.bootstrap, "sums"), load.wanted)

    print(f"{load.acknowledged} records in {len(load.wanted)} windows; longest without a result after each kill: "
          f"{', '.join(f'{gap:.1f} s' for gap in gaps)}", flush=True)
    assert problems == [], f"{len(problems)} problems"
    assert load.acknowledged == load.sent
    assert (job["late_records"], job["dead_letters"]) == (0, 0), job
    assert restarts == 0, lines(server, "job restarts")
    assert max(gaps) < RESULT_WITHIN_S, gaps
    assert errors == []
    assert (len(went), len(came)) == (KILLS, KILLS), went + came
