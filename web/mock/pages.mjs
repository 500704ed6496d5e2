// The documents of docs/reference/http-api.md with invented figures.
export const started = Date.now() - 573_000;
const history = { in: [], out: [] };
for (let i = 0; i < 900; i += 1) {
  history.in.push(218 + Math.sin(i / 40) * 22 + Math.random() * 16);
  history.out.push(640 + Math.sin(i / 55) * 50 + Math.random() * 40);
}
const lag = { slow: Array.from({ length: 60 }, (_, i) => i * 160 + Math.random() * 300) };
const wave = (base) => Array.from({ length: 60 }, (_, i) => base * (1 + 0.18 * Math.sin(i / 6) + 0.1 * Math.random()));

export function step() {
  const t = Date.now() / 1000;
  for (const [list, base, swing] of [[history.in, 218, 22], [history.out, 640, 50]]) {
    list.push(base + Math.sin(t / 30) * swing + Math.random() * swing * 0.7);
    list.shift();
  }
  lag.slow.push((lag.slow.at(-1) ?? 0) + 40 + Math.random() * 10);
  lag.slow.shift();
}

const JOBS = [
  ["live_orders", "SELECT order_id, order_time, province, city, product, quantity, amount, pay_method, status\nFROM orders", 220, 220, "project"],
  ["orders_by_region_5s", "SELECT window_start, window_end, region,\n  COUNT(*) AS orders,\n  SUM(amount) AS revenue,\n  CAST(AVG(amount) AS DECIMAL(12, 2)) AS avg_amount\nFROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))\nWHERE status <> 'failed'\nGROUP BY window_start, window_end, region", 220, 1.4, "window"],
  ["sales_1s", "SELECT window_start, window_end, COUNT(*) AS orders\nFROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '1' SECOND))\nGROUP BY window_start, window_end", 220, 1, "window"],
  ["sales_by_province_10s", "SELECT window_start, window_end, province, COUNT(*) AS orders\nFROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '10' SECOND))\nGROUP BY window_start, window_end, province", 220, 3.4, "window"],
  ["payment_failures_5s", "SELECT window_start, window_end, region, fail_reason, COUNT(*) AS failures\nFROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))\nWHERE status = 'failed'\nGROUP BY window_start, window_end, region, fail_reason", 220, 3.1, "window"],
  ["payment_alerts", "SELECT window_start, window_end, region, COUNT(*) AS attempts\nFROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(order_time), INTERVAL '5' SECOND))\nGROUP BY window_start, window_end, region\nHAVING COUNT(*) >= 20", 220, 0.1, "window"],
];
const stopped = new Set();
export const stop = (id) => stopped.add(id);

export function jobs() {
  const now = Date.now();
  return JOBS.map(([id, query, into, out, kind], i) => {
    const live = !stopped.has(id);
    const rate = live ? into + Math.sin(now / 9_000 + i) * 12 : 0;
    return {
      id, statement: `CREATE MATERIALIZED TABLE ${id} AS\n${query};`, state: live ? "running" : "stopped", error: null, started_ms: started, sources: ["orders"], sink: id,
      epoch: Math.floor((now - started) / 50), epoch_ms: 50, epoch_commit_p50_ms: 2.1 + Math.random() * 0.3, epoch_commit_p99_ms: 6 + i * 0.4 + Math.random() * 2,
      watermark_ms: kind === "window" ? now - 2_100 : null, watermark_lag_ms: kind === "window" ? 2_050 + Math.random() * 140 : null,
      in_records_per_s: rate, out_records_per_s: live ? out : 0, in_records: Math.floor((now - started) / 1000 * 220), out_records: Math.floor((now - started) / 1000 * out),
      late_records: kind === "window" ? 12 + i : 0, dead_letters: 3 + i, late_topic: kind === "window" ? `${id}.late` : null, dead_letter_topic: `${id}.dlq`,
      state_bytes: kind === "window" ? 18_021 * (i + 1) : 0, lag_records: 4, restarts: 0,
      operators: [
        { id: 0, kind: "source", label: "orders", detail: "4 partitions, watermark order_time - INTERVAL '2' SECOND, idle after 1 s", records_per_s: rate, inputs: [] },
        { id: 1, kind: "filter", label: "status", detail: "status <> 'failed'", records_per_s: rate * 0.94, inputs: [0] },
        ...(kind === "window" ? [{ id: 2, kind: "window", label: "TUMBLE 5 s", detail: "by region", records_per_s: out, inputs: [1] }] : [{ id: 2, kind: "project", label: "9 columns", detail: "order_id, order_time, province", records_per_s: out, inputs: [1] }]),
        { id: 3, kind: "sink", label: id, detail: "exactly once, epoch 50 ms", records_per_s: out, inputs: [2] },
      ],
    };
  });
}

export function groups() {
  const now = Date.now();
  const slow = lag.slow.at(-1);
  const base = { kafka_state: "Stable", protocol: "range", topics: ["orders"], members_count: 1, last_commit_ms: now - 400 };
  return [
    { ...base, group: "slow-audit", state: "behind", lag_records: Math.floor(slow), lag_ms: slow * 4.6, lag_history: lag.slow, arrives_per_s: 220.4, consumes_per_s: 175.1, clears_in_ms: null, reason: "consumes 175.1 of 220.4 records/s that arrive", last_commit_ms: now - 800 },
    { ...base, group: "ck-sink-orders", state: "behind", members_count: 4, lag_records: 3_184, lag_ms: 4_000, lag_history: wave(3_100), arrives_per_s: 220.4, consumes_per_s: 261, clears_in_ms: 37_000, reason: null },
    { ...base, group: "mail-receipts", state: "keeping_up", members_count: 2, lag_records: 22, lag_ms: 400, lag_history: wave(20), arrives_per_s: 220.4, consumes_per_s: 220.4, clears_in_ms: 100, reason: null },
    { ...base, group: "search-indexer", state: "rebalancing", kafka_state: "PreparingRebalance", members_count: 3, lag_records: 96, lag_ms: 380, lag_history: wave(90), arrives_per_s: 220.4, consumes_per_s: 218, clears_in_ms: 900, reason: null },
    { ...base, group: "price-cache", state: "idle", topics: ["live_orders"], lag_records: 0, lag_ms: 0, lag_history: wave(0), arrives_per_s: 0, consumes_per_s: 0, clears_in_ms: 0, reason: null, last_commit_ms: now - 240_000 },
    { ...base, group: "coupon-worker", state: "stopped", kafka_state: "Empty", members_count: 0, lag_records: 48_117_411, lag_ms: 2_513_000, lag_history: Array.from({ length: 60 }, (_, i) => i * 800), arrives_per_s: 220.4, consumes_per_s: 0, clears_in_ms: null, reason: "no members", last_commit_ms: now - 720_000 },
  ];
}

export function group(id) {
  const found = groups().find((g) => g.group === id);
  if (!found) return null;
  const members = Array.from({ length: found.members_count }, (_, i) => ({ id: `audit-${i}-7f3c`, client_id: `audit-${i + 1}`, host: "127.0.0.1", assignments: [{ topic: "orders", partitions: [0, 1, 2, 3] }] }));
  const partitions = [0.1, 0.5, 0.15, 0.25].map((share, partition) => ({ topic: "orders", partition, committed: 88_411_000 + partition, end: 88_411_000 + partition + Math.floor(found.lag_records * share), lag_records: Math.floor(found.lag_records * share), lag_ms: found.lag_ms * share * 2, member: members[0]?.id ?? null }));
  return { ...found, members, partitions };
}

const TABLE_NAMES = ["orders", ...JOBS.map(([id]) => id)];

const removed = new Set();
export const remove = (name) => removed.add(name);

export function topics(internal) {
  const own = [...TABLE_NAMES, "orders_by_region_5s.dlq", "orders_by_region_5s.late"];
  const list = internal ? [...own, "__consumer_offsets", "__transaction_state", "__millstream_changelog_orders_by_region_5s"] : own;
  return list.filter((name) => !removed.has(name)).map((name) => {
    const job = JOBS.find(([id]) => id === name);
    const rate = name === "orders" ? 220 + Math.random() * 8 : job ? job[3] : 0.02;
    return {
      name, id: "5f1c6e6a-0b5a-4a7e-9d47-0f2f9a4a5b11", internal: name.startsWith("__"), partitions: name === "orders" ? 4 : 1, replicas: 1, records: Math.floor(rate * 573), bytes: Math.floor(rate * 573 * 360),
      in_records_per_s: rate, in_bytes_per_s: rate * 360, out_records_per_s: name === "orders" ? rate * 7.8 : rate, in_history: wave(rate), retention_ms: 604_800_000, cleanup_policy: name.startsWith("__") ? "compact" : "delete",
      table: TABLE_NAMES.includes(name) ? name : null, written_by: job ? [job[0]] : [], read_by: name === "orders" ? JOBS.map(([id]) => id) : [], groups: name === "orders" ? ["slow-audit", "ck-sink-orders", "mail-receipts"] : [],
    };
  });
}

export function topic(name, shop) {
  const found = topics(true).find((t) => t.name === name);
  if (!found) return null;
  const next = shop.messages.get(name)?.next ?? [0, 0, 0, 0];
  return {
    ...found,
    partitions_detail: Array.from({ length: found.partitions }, (_, partition) => ({ partition, leader: 1, leader_epoch: 0, log_start_offset: Math.max(0, next[partition] - 30_000), high_watermark: next[partition], last_stable_offset: next[partition], bytes: 11_030_334, last_timestamp_ms: Date.now() - 120 })),
    configs: [
      { name: "retention.ms", value: "604800000", source: "DEFAULT_CONFIG", default: "604800000", documentation: "How long records are kept." },
      { name: "cleanup.policy", value: "delete", source: "DEFAULT_CONFIG", default: "delete", documentation: "What happens to old segments." },
      { name: "max.message.bytes", value: "2097152", source: "DYNAMIC_TOPIC_CONFIG", default: "1048588", documentation: "The largest record batch that is accepted." },
      { name: "segment.bytes", value: "1073741824", source: "DEFAULT_CONFIG", default: "1073741824", documentation: "A segment rolls at this size." },
      { name: "min.insync.replicas", value: "1", source: "DEFAULT_CONFIG", default: "1", documentation: "Replicas that must have a write with acks=all." },
      { name: "compression.type", value: "producer", source: "DEFAULT_CONFIG", default: "producer", documentation: "The codec that batches are stored with." },
    ],
  };
}

export function tables(shop) {
  return TABLE_NAMES.filter((name) => !removed.has(name)).map((name) => ({
    name, kind: name === "orders" ? "table" : "materialized_table", topic: name, statement: JOBS.find(([id]) => id === name)?.[1] ?? "CREATE TABLE orders (…)",
    columns: shop.db.exec(`PRAGMA table_info(${name})`)[0].values.map((row) => ({ name: row[1], type: { REAL: "DECIMAL(12, 2)" }[row[2]] ?? row[2], role: row[1] === "order_time" ? "rowtime" : "physical" })),
  }));
}

export function overview() {
  const all = jobs();
  const into = history.in.at(-1);
  const node = (id, layer, label, rate, state = "ok", link = null, note = null) => ({ id, layer, label, records_per_s: rate, state, link, note });
  const nodes = [
    node("c:orders-producer", "collect", "orders-producer", into * 0.8), node("c:http", "collect", "HTTP", into * 0.2),
    node("t:orders", "log", "orders", into, "ok", "/topics/orders"),
    ...all.map((job) => node(`j:${job.id}`, "process", job.id, job.in_records_per_s, job.state === "running" ? "ok" : "idle", `/jobs/${encodeURIComponent(job.id)}`)),
    ...all.map((job) => node(`t:${job.id}`, "log", job.id, job.out_records_per_s, "ok", `/topics/${encodeURIComponent(job.id)}`)),
    node("s:dashboards", "serve", "Live dashboards", 226, "ok", "/dashboards"),
    node("s:slow-audit", "serve", "slow-audit", 175, "critical", "/groups/slow-audit", "41 s"), node("s:mail-receipts", "serve", "mail-receipts", 220, "ok", "/groups/mail-receipts"),
  ];
  const links = [
    { from: "c:orders-producer", to: "t:orders", records_per_s: into * 0.8 }, { from: "c:http", to: "t:orders", records_per_s: into * 0.2 },
    ...all.flatMap((job) => [{ from: "t:orders", to: `j:${job.id}`, records_per_s: job.in_records_per_s }, { from: `j:${job.id}`, to: `t:${job.id}`, records_per_s: job.out_records_per_s }, { from: `t:${job.id}`, to: "s:dashboards", records_per_s: job.out_records_per_s }]),
    { from: "t:orders", to: "s:slow-audit", records_per_s: 175 }, { from: "t:orders", to: "s:mail-receipts", records_per_s: 220 },
  ];
  return {
    cluster: { id: "mock", name: "local", version: "0.1.0", node: 1, started_ms: started, uptime_ms: Date.now() - started, kafka: "127.0.0.1:9092", http: "127.0.0.1:8090", durability: "fsync" },
    health: { score: 88, deductions: [
      cause(6, "critical", "group_stopped", 1, "coupon-worker", 720, "/groups/coupon-worker"),
      cause(5, "warn", "group_behind", 3, "slow-audit", 41, "/groups"),
      cause(1, "warn", "group_left", 31, "console-consumer-77", 86_400, "/groups"),
    ] },
    rates: { in_records_per_s: into, out_records_per_s: history.out.at(-1), in_bytes_per_s: into * 362, out_bytes_per_s: history.out.at(-1) * 362 },
    history: { step_ms: 1000, end_ms: Math.floor(Date.now() / 1000) * 1000, in_records_per_s: history.in, out_records_per_s: history.out },
    stream: { nodes, links },
    brokers: [{ id: 1, host: "127.0.0.1:9092", leaders: 17, partitions: 17, in_bytes_per_s: into * 362, out_bytes_per_s: history.out.at(-1) * 362, cpu_percent: 7.2 + Math.random(), disk_used_bytes: 61e9, disk_total_bytes: 107e9, log_bytes: 48_120_334, memory_bytes: 81_200_000, connections: 5, state: "ok" }],
    jobs: all, groups: groups(), counts: { topics: topics(false).length, groups: groups().length, jobs: all.length, dashboards: 1 },
  };
}

const cause = (points, severity, kind, count, subject, value, link) => ({ points, severity, kind, count, subject, value, link, examples: [{ subject, value, link: `/groups/${subject}` }] });

export const race = () => ({ in_records_per_s: history.in.at(-1), out_records_per_s: history.out.at(-1) });
