"""What is in the folders: small, and of each kind that is stored."""

# The records are of 2026-01; without this they would outlive their retention.
CONFIG = '[log]\nretention = "876000h"\nsegment = "1MiB"\n'
PARTITIONS = 2
ORDERS = 400
CITIES = ["上海", "北京", "Paris", "Lima"]
COMMITTED = 25
# Windows of ten seconds, one order a second: the last window stays open.
WINDOWS_CLOSED = ORDERS // 10 - 1
RESULTS_BEFORE = WINDOWS_CLOSED * len(CITIES)


def order(n):
    return {"id": n, "city": CITIES[n % 4], "amount": f"{n}.50",
            "ts": f"2026-01-01T00:{n // 60:02d}:{n % 60:02d}.000Z"}


STATEMENTS = [
    """CREATE TABLE orders (id BIGINT, city STRING, amount DECIMAL(12, 2), ts TIMESTAMP_LTZ(3),
         WATERMARK FOR ts AS ts) WITH ('connector' = 'kafka', 'topic' = 'orders', 'format' = 'json',
         'json.timestamp-format.standard' = 'ISO-8601', 'scan.startup.mode' = 'earliest-offset')""",
    """CREATE MATERIALIZED TABLE by_city AS SELECT window_start, city, COUNT(*) AS orders, SUM(amount) AS revenue
         FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '10' SECOND)) GROUP BY window_start, window_end, city""",
    "CREATE MATERIALIZED TABLE large AS SELECT id, city, amount FROM orders WHERE amount > 390",
    # What that build let through, and never started again with: a and t read each other.
    """CREATE TABLE t (v STRING) WITH ('connector' = 'kafka', 'topic' = 'circle', 'format' = 'json')""",
    "CREATE MATERIALIZED TABLE a AS SELECT v FROM t",
    "STOP JOB 'a'",
    "DROP TABLE t",
    "CREATE MATERIALIZED TABLE t AS SELECT v FROM a",
]
