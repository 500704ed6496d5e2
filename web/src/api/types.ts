/** The documents of docs/reference/http-api.md, field for field; tests/browser/api.test.mjs holds them against a server's answers. */

export type Health = "ok" | "warn" | "critical" | "transition" | "idle";

export interface Cluster {
  id: string;
  name: string;
  version: string;
  node: number;
  started_ms: number;
  uptime_ms: number;
  kafka: string;
  http: string;
  durability: string;
}

/** A cause: one line, however many it is about. */
export interface Deduction {
  points: number;
  severity: Health;
  kind: string;
  count: number;
  /** The worst of them. */
  subject: string;
  value: number | null;
  link: string | null;
  /** The worst ones, the first is `subject`. */
  examples: DeductionExample[];
}

export interface DeductionExample {
  subject: string;
  value: number | null;
  link: string | null;
}

export interface StreamNode {
  id: string;
  layer: "collect" | "log" | "process" | "serve";
  label: string;
  records_per_s: number;
  state: Health;
  link: string | null;
  note: string | null;
}

export interface StreamLink {
  from: string;
  to: string;
  records_per_s: number;
}

export interface Broker {
  id: number;
  host: string;
  leaders: number;
  partitions: number;
  in_bytes_per_s: number;
  out_bytes_per_s: number;
  cpu_percent: number | null;
  disk_used_bytes: number | null;
  disk_total_bytes: number | null;
  log_bytes: number;
  memory_bytes: number;
  connections: number;
  state: Health;
}

export interface Overview {
  cluster: Cluster;
  health: { score: number; deductions: Deduction[] };
  rates: {
    in_records_per_s: number;
    out_records_per_s: number;
    in_bytes_per_s: number;
    out_bytes_per_s: number;
  };
  history: { step_ms: number; end_ms: number; in_records_per_s: number[]; out_records_per_s: number[] };
  stream: { nodes: StreamNode[]; links: StreamLink[] };
  brokers: Broker[];
  jobs: Job[];
  groups: Group[];
  counts: { topics: number; groups: number; jobs: number; dashboards: number };
}

export interface PartitionDetail {
  partition: number;
  state: "online" | "read_only" | "offline";
  leader: number;
  leader_epoch: number;
  log_start_offset: number;
  high_watermark: number;
  last_stable_offset: number;
  bytes: number;
  last_timestamp_ms: number | null;
}

export interface ConfigEntry {
  name: string;
  value: string | null;
  source: string;
  default: string | null;
  documentation: string;
}

export interface Topic {
  name: string;
  id: string;
  internal: boolean;
  partitions: number;
  replicas: number;
  records: number;
  bytes: number;
  in_records_per_s: number;
  in_bytes_per_s: number;
  out_records_per_s: number;
  out_bytes_per_s: number;
  in_history: number[];
  retention_ms: number | null;
  cleanup_policy: string;
  written_by: string[];
  read_by: string[];
  groups: string[];
}

export interface TopicDetail extends Topic {
  partitions_detail: PartitionDetail[];
  configs: ConfigEntry[];
}

/** What a topic's page shows: the table over it is from /tables. */
export interface PageTopic extends TopicDetail {
  table: string | null;
}

export type Encoding = "json" | "text" | "binary" | "null";

export interface Message {
  partition: number;
  offset: number;
  timestamp_ms: number;
  key: string | null;
  key_encoding: Encoding;
  value: string | null;
  value_encoding: Encoding;
  value_bytes: number;
  key_bytes: number;
  /** Key, value or headers are more than what is shown. */
  cut: boolean;
  headers: { key: string; value: string | null; encoding: Encoding; value_bytes: number }[];
  /** All of them, also those that are not shown. */
  headers_count: number;
  /** Stands for records that cannot be read, from `offset` to `last_offset`. */
  unreadable?: { last_offset: number; reason: string };
}

export interface MessagePage {
  messages: Message[];
  /** Records looked at for this answer. */
  scanned: number;
  /** The answer ended before `limit` messages were found: what it has is not all there is. */
  budget_spent: boolean;
  /** Where to go on; null when there is nothing further in this direction now. */
  next: string | null;
  end: Record<string, number>;
}

export type GroupState = "keeping_up" | "behind" | "stopped" | "rebalancing" | "left" | "idle";

export interface Group {
  group: string;
  state: GroupState;
  severity: Health;
  kafka_state: string;
  protocol: string;
  members_count: number;
  topics: string[];
  lag_records: number;
  lag_ms: number | null;
  lag_history: number[];
  arrives_per_s: number;
  consumes_per_s: number;
  clears_in_ms: number | null;
  last_commit_ms: number | null;
  reason: string | null;
  members: { id: string; client_id: string; host: string; assignments: { topic: string; partitions: number[] }[] }[];
  partitions: GroupPartition[];
}

export interface GroupPartition {
  topic: string;
  partition: number;
  committed: number | null;
  end: number;
  lag_records: number | null;
  lag_ms: number | null;
  member: string | null;
}

export type JobState = "starting" | "running" | "restarting" | "failed" | "finished" | "stopped";

export interface Operator {
  id: number;
  kind: string;
  label: string;
  detail: string | null;
  records_per_s: number;
  inputs: number[];
}

export interface Job {
  id: string;
  statement: string;
  state: JobState;
  error: string | null;
  started_ms: number;
  sources: string[];
  sink: string | null;
  epoch: number;
  epoch_ms: number;
  epoch_commit_p50_ms: number | null;
  epoch_commit_p99_ms: number | null;
  watermark_ms: number | null;
  watermark_lag_ms: number | null;
  in_records_per_s: number;
  out_records_per_s: number;
  in_records: number;
  out_records: number;
  late_records: number;
  dead_letters: number;
  late_topic: string | null;
  dead_letter_topic: string | null;
  state_bytes: number;
  lag_records: number | null;
  restarts: number;
  operators: Operator[];
}

export interface TableInfo {
  name: string;
  kind: "table" | "materialized_table";
  topic: string | null;
  columns: { name: string; type: string; role: "physical" | "metadata" | "computed" | "rowtime" }[];
  statement: string;
}

export interface Column {
  name: string;
  type: string;
}

export type Cell = string | number | boolean | null;

export interface SqlResult {
  columns: Column[];
  rows: Cell[][];
  truncated?: boolean;
  truncated_by?: "rows" | "bytes";
  elapsed_ms?: number;
  /** Records that could not be decoded and gave no row. */
  skipped_records?: number;
  /** What of the statements was taken and does nothing, a sentence each. */
  notices?: string[];
  /** Of a live result: the tables of which it does not see all rows. */
  covers?: Covers[];
}

/** The newest rows of a table that a live result sees, and of how many. */
export interface Covers {
  table: string;
  rows: number;
  of: number;
  since_ms: number | null;
}

/** The answer to a statement; a live query pushes the result alone. */
export interface SqlAnswer extends SqlResult {
  truncated: boolean;
  elapsed_ms: number;
  /** Records that could not be decoded, and gave no row. */
  skipped_records: number;
}

export interface ProblemDocument {
  type?: string;
  title: string;
  status?: number;
  detail?: string | null;
  hint?: string | null;
  line?: number | null;
  column?: number | null;
}

/** A push of a `tail` subscription. */
export interface TailPush {
  messages: Message[];
  skipped: number;
  scanned: number;
}

export interface Race {
  in_records_per_s: number;
  out_records_per_s: number;
  /** The health score. */
  health: number;
}

/** A string a person reads: one for all languages, or one for each. */
export type Words = string | { en: string; zh: string };

export type Format = "count" | "compact" | "money" | "percent" | "time" | "text";
export type PanelType = "stat" | "line" | "area" | "bar" | "ranking" | "table" | "list" | "tilemap";

export interface PanelColumn {
  name: string;
  title?: Words;
  format?: Format;
}

export interface Panel {
  id: string;
  type: PanelType;
  title: Words;
  sql: string;
  note?: Words;
  value?: string;
  label?: string;
  x?: string;
  y?: string;
  series?: string;
  stacked?: boolean;
  unit?: Words;
  format?: Format;
  columns?: PanelColumn[];
  spark?: { sql: string; x: string; y: string };
  threshold?: { warn_below?: number; warn_above?: number };
  grid: { x: number; y: number; w: number; h: number };
}

export type Slot =
  | "hero"
  | "figures"
  | "map"
  | "left_top"
  | "left_bottom"
  | "center_bottom"
  | "right_top"
  | "right_bottom";

export interface Dashboard {
  id: string;
  title: Words;
  /** The zone that the panels' times are written in; absent: shown as SQL prints them. */
  time_zone?: "UTC";
  panels: Panel[];
  screen?: { title?: Words; blocks: { slot: Slot; panel: string | string[] }[] };
}

export interface DashboardEntry {
  id: string;
  title: Words;
  panels: number;
  screen: boolean;
}
