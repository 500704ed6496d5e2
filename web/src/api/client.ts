import { path } from "../links";
import type { Dashboard, DashboardEntry, Group, Job, Message, MessagePage, ProblemDocument, SqlAnswer, TableInfo, Topic, TopicDetail } from "./types";

/** An answer of the server that is not a success, as the server words it. */
export class Problem extends Error {
  readonly document: ProblemDocument;
  constructor(document: ProblemDocument) {
    super(document.title);
    this.name = "Problem";
    this.document = document;
  }
}

/** What a failed call shows: the server's own problem, or what the browser knows. */
export function problemOf(error: unknown): ProblemDocument {
  if (error instanceof Problem) return error.document;
  return { title: "unreachable", detail: error instanceof Error ? error.message : String(error) };
}

async function call<T>(path: string, init?: RequestInit): Promise<T> {
  const response = await fetch(path, init);
  const text = await response.text();
  if (response.ok) return JSON.parse(text) as T;
  let document: ProblemDocument = { title: `${response.status} ${response.statusText}`, status: response.status, detail: text };
  try {
    document = { ...document, detail: null, ...(JSON.parse(text) as ProblemDocument) };
  } catch {
    // Not problem JSON (a proxy's page, say): the text itself is the best detail there is.
  }
  throw new Problem(document);
}

function post<T>(path: string, body: unknown, signal?: AbortSignal): Promise<T> {
  return call<T>(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    ...(signal ? { signal } : {}),
  });
}

export interface MessageQuery {
  from: "newest" | "oldest" | "offset" | "time";
  partition?: number;
  offset?: number;
  timestamp_ms?: number;
  limit?: number;
  contains?: string;
  /** Where the answer before it ended, with the same parameters otherwise. */
  next?: string;
}

export const api = {
  sql: (sql: string, signal?: AbortSignal) => post<SqlAnswer>("/api/v1/sql", { sql }, signal),
  topics: (internal: boolean) => call<{ topics: Topic[] }>(internal ? "/api/v1/topics?internal=true" : "/api/v1/topics"),
  topic: (topic: string) => call<TopicDetail>(path`/api/v1/topics/${topic}`),
  messages: (topic: string, query: MessageQuery, signal?: AbortSignal) => {
    const parameters = new URLSearchParams();
    for (const [key, value] of Object.entries(query)) {
      if (value !== undefined && value !== "") parameters.set(key, String(value));
    }
    return call<MessagePage>(`${path`/api/v1/topics/${topic}/messages`}?${parameters}`, signal ? { signal } : undefined);
  },
  /** One record, whole up to 8 MiB. */
  message: (topic: string, partition: number, offset: number, signal?: AbortSignal) =>
    call<Message>(path`/api/v1/topics/${topic}/messages/${partition}/${offset}`, signal ? { signal } : undefined),
  createTopic: (body: { name: string; partitions: number; configs: Record<string, string> }) =>
    post<unknown>("/api/v1/topics", body),
  /** Refused for topics that a job or a table still uses. */
  deleteTopic: (topic: string) => call<{ name: string }>(path`/api/v1/topics/${topic}`, { method: "DELETE", headers: { "Content-Type": "application/json" } }),
  produce: (
    topic: string,
    body: { partition: number | null; key: string | null; value: string | null; headers: { key: string; value: string }[] },
  ) => post<{ partition: number; offset: number }>(path`/api/v1/topics/${topic}/produce`, body),
  group: (group: string) => call<Group>(path`/api/v1/groups/${group}`),
  jobs: () => call<{ jobs: Job[] }>("/api/v1/jobs"),
  job: (job: string) => call<Job>(path`/api/v1/jobs/${job}`),
  stopJob: (job: string) => post<unknown>(path`/api/v1/jobs/${job}/stop`, {}),
  startJob: (job: string) => post<unknown>(path`/api/v1/jobs/${job}/start`, {}),
  tables: () => call<{ tables: TableInfo[] }>("/api/v1/tables"),
  dashboards: () => call<{ dashboards: DashboardEntry[] }>("/api/v1/dashboards"),
  dashboard: (id: string) => call<Dashboard>(path`/api/v1/dashboards/${id}`),
};
