-- The retail scenario: shop orders from all over China, live.
--
-- Works as it is on Millstream; the statements are Flink SQL. Apply with
--   millstream sql -f scenarios/retail/pipeline.sql
-- `millstream demo` applies it by itself and feeds the topic `orders`.

-- What the shop's services produce. Some orders come up to a few seconds
-- late, some much later (they go to `<job>.late`), some are not even JSON
-- (they go to `<job>.dlq`).
CREATE TABLE IF NOT EXISTS orders (
  order_id    STRING,
  user_id     BIGINT,
  province    STRING,
  city        STRING,
  region      STRING,
  product     STRING,
  category    STRING,
  quantity    INT,
  amount      DECIMAL(12, 2),
  pay_method  STRING,
  status      STRING,
  fail_reason STRING,
  order_time  TIMESTAMP_LTZ(3),
  WATERMARK FOR order_time AS order_time - INTERVAL '2' SECOND
) WITH (
  'connector' = 'kafka',
  'topic' = 'orders',
  'scan.startup.mode' = 'earliest-offset',
  'scan.watermark.idle-timeout' = '1 s',
  'format' = 'json',
  'json.timestamp-format.standard' = 'ISO-8601'
);

-- Every order as it comes: the list on the big screen. No window, so this is
-- the shortest way from the producer to the eye.
CREATE OR ALTER MATERIALIZED TABLE live_orders AS
SELECT order_id, order_time, province, city, product, quantity, amount, pay_method, status
FROM orders;

-- Orders and revenue per 5 seconds and region.
CREATE OR ALTER MATERIALIZED TABLE orders_by_region_5s AS
SELECT
  window_start,
  window_end,
  region,
  COUNT(*)                                   AS orders,
  SUM(amount)                                AS revenue,
  CAST(AVG(amount) AS DECIMAL(12, 2))        AS avg_amount
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))
WHERE status <> 'failed'
GROUP BY window_start, window_end, region;

-- The whole country, second by second.
CREATE OR ALTER MATERIALIZED TABLE sales_1s AS
SELECT
  window_start,
  window_end,
  COUNT(*)                                             AS orders,
  COUNT(*) FILTER (WHERE status = 'paid')              AS paid,
  COUNT(*) FILTER (WHERE status = 'failed')            AS failed,
  COALESCE(SUM(amount) FILTER (WHERE status = 'paid'), 0) AS revenue
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '1' SECOND))
GROUP BY window_start, window_end;

-- Who buys where: the map and the ranking.
CREATE OR ALTER MATERIALIZED TABLE sales_by_province_10s AS
SELECT window_start, window_end, province, COUNT(*) AS orders, SUM(amount) AS revenue
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '10' SECOND))
WHERE status = 'paid'
GROUP BY window_start, window_end, province;

-- Why payments fail.
CREATE OR ALTER MATERIALIZED TABLE payment_failures_5s AS
SELECT window_start, window_end, region, fail_reason, COUNT(*) AS failures
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))
WHERE status = 'failed'
GROUP BY window_start, window_end, region, fail_reason;

-- A region in which more than one payment in ten failed within 5 seconds.
-- This is a topic like any other: point an alert channel at it.
CREATE OR ALTER MATERIALIZED TABLE payment_alerts AS
SELECT
  window_start,
  window_end,
  region,
  COUNT(*)                                                        AS attempts,
  COUNT(*) FILTER (WHERE status = 'failed')                       AS failures,
  CAST(COUNT(*) FILTER (WHERE status = 'failed') AS DOUBLE) / COUNT(*) AS failure_rate
FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))
GROUP BY window_start, window_end, region
HAVING COUNT(*) >= 20
   AND CAST(COUNT(*) FILTER (WHERE status = 'failed') AS DOUBLE) / COUNT(*) > 0.10;
