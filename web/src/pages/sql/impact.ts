/** What a statement that destroys takes away and what it leaves, in figures: made from what the server knows. */
import type { Job, TableInfo, Topic } from "../../api/types";
import type { Destruction } from "../../sql/statements";

export interface TopicCount {
  name: string;
  records: number;
  bytes: number;
}

export interface Impact {
  what: Destruction;
  /** The job that ends, with what it does now. */
  job: Job | null;
  /** Topics that go, with all that is in them. */
  goes: TopicCount[];
  /** Topics that stay, though their table or job is gone. */
  stays: TopicCount[];
  /** Topics of what was set apart: nobody writes them any more. */
  leftovers: TopicCount[];
  /** Jobs that use what goes: the server refuses. */
  users: string[];
  /** Groups that read what goes. */
  readers: string[];
}

export interface Known {
  tables: TableInfo[];
  jobs: Job[];
  topics: Topic[];
}

/** What topics of these names hold, by name: the server's list has no order. */
export function countsOf(topics: Topic[], names: (string | null | undefined)[]): TopicCount[] {
  return topics
    .filter((topic) => names.includes(topic.name))
    .map(({ name, records, bytes }) => ({ name, records, bytes }))
    .sort((a, b) => a.name.localeCompare(b.name));
}

/** Null when there is nothing of that name: the server then says so, and nothing is lost. */
export function impactOf(what: Destruction, { tables, jobs, topics }: Known): Impact | null {
  const counts = (names: (string | null | undefined)[]) => countsOf(topics, names);
  const none = { what, job: null, goes: [], stays: [], leftovers: [], users: [], readers: [] };
  if (what.kind === "other") return none;
  if (what.kind === "stopped_job" || what.kind === "dropped_job") {
    const job = jobs.find((j) => j.id === what.name);
    if (!job) return null;
    const leftovers = what.kind === "dropped_job" ? counts([job.dead_letter_topic, job.late_topic]) : [];
    return { ...none, job, stays: counts([tables.find((t) => t.name === job.sink)?.topic]), leftovers };
  }
  const table = tables.find((t) => t.name === what.name && t.kind === what.kind);
  if (!table) return null;
  // A materialized table's job has its name.
  const job = (table.kind === "materialized_table" && jobs.find((j) => j.id === table.name)) || null;
  const users = jobs.filter((j) => j !== job && (j.sources.includes(table.name) || j.sink === table.name)).map((j) => j.id);
  if (!job) return { ...none, ...(what.kind === "table" ? { stays: counts([table.topic]) } : { goes: counts([table.topic]) }), users };
  const readers = topics.find((entry) => entry.name === table.topic)?.groups ?? [];
  return { ...none, job, goes: counts([table.topic]), leftovers: counts([job.dead_letter_topic, job.late_topic]), users, readers };
}
