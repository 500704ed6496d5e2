/**
 * One WebSocket for all live surfaces of a page.
 *
 * Knows subscriptions, reconnecting, and the round trip; knows nothing of
 * React and nothing of what the documents mean. Invariants:
 * - equal requests share one subscription on the wire, however many listen;
 * - a subscription survives a cut: it is sent again when the socket is open,
 *   and its last data stays readable until then;
 * - every queue is bounded: the newest state replaces the older.
 */
import type { ProblemDocument } from "../api/types";

export type LiveRequest =
  | { kind: "sql"; sql: string }
  | { kind: "tail"; topic: string; partition?: number; contains?: string }
  | { kind: "overview" | "topics" | "groups" | "jobs" | "race" };

export interface Push<T = unknown> {
  data: T;
  seq: number;
  sent_ms: number;
  age_ms: number | null;
  /** When this browser got it, on the browser's monotonic clock. */
  received_at: number;
  /** The first push after (re)subscribing is the state, not news. */
  first: boolean;
}

export interface Snapshot<T = unknown> {
  push: Push<T> | null;
  problem: ProblemDocument | null;
}

export type ConnectionState = "connecting" | "open" | "cut";

export interface Connection {
  state: ConnectionState;
  /** Since when the connection is cut, wall clock. */
  cut_since_ms: number | null;
  attempt: number;
  /** When the next try comes, on the monotonic clock. */
  retry_at: number | null;
  /** The shortest recent round trip. */
  round_trip_ms: number | null;
}

/** What the client needs of a WebSocket; tests pass their own. */
export interface Socket {
  send(text: string): void;
  close(): void;
  onopen: (() => void) | null;
  onclose: (() => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
}

export interface Seams {
  open: () => Socket;
  now: () => number;
  wall: () => number;
  setTimer: (run: () => void, ms: number) => unknown;
  clearTimer: (timer: unknown) => void;
  random: () => number;
}

/** The server refuses more (http-api.md). */
export const SUBSCRIPTIONS_MAX = 64;
export const PING_MS = 2_000;
/** No frame at all for this long, though pings were sent: the line is dead. */
export const SILENCE_MS_MAX = 8_000;
const RETRY_MS_MIN = 500;
const RETRY_MS_MAX = 10_000;
const ROUND_TRIPS_KEPT = 16;

interface Entry {
  id: string;
  request: LiveRequest;
  listeners: Set<(snapshot: Snapshot) => void>;
  snapshot: Snapshot;
  fresh: boolean;
}

export class LiveClient {
  readonly #seams: Seams;
  readonly #entries = new Map<string, Entry>();
  readonly #byId = new Map<string, Entry>();
  readonly #watchers = new Set<() => void>();
  #socket: Socket | null = null;
  #connection: Connection = { state: "connecting", cut_since_ms: null, attempt: 0, retry_at: null, round_trip_ms: null };
  #roundTrips: number[] = [];
  #retryTimer: unknown = null;
  #pingTimer: unknown = null;
  #heardAt = 0;
  #nextId = 1;
  #paused = false;
  #closed = false;

  constructor(seams: Seams) {
    this.#seams = seams;
  }

  start(): void {
    this.#closed = false;
    if (!this.#socket) this.#connect();
  }

  stop(): void {
    this.#closed = true;
    this.#seams.clearTimer(this.#retryTimer);
    this.#seams.clearTimer(this.#pingTimer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket) {
      socket.onclose = null;
      socket.close();
    }
  }

  get connection(): Connection {
    return this.#connection;
  }

  /** Calls back on every change of the connection's state. */
  watch(listener: () => void): () => void {
    this.#watchers.add(listener);
    return () => this.#watchers.delete(listener);
  }

  /** A hidden tab asks for nothing; what it showed stays. */
  setPaused(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    if (this.#connection.state !== "open") return;
    for (const entry of this.#entries.values()) this.#sendOp(entry, paused ? "unsubscribe" : "subscribe");
  }

  retryNow(): void {
    if (this.#connection.state !== "cut") return;
    this.#seams.clearTimer(this.#retryTimer);
    this.#connect();
  }

  subscribe(request: LiveRequest, listener: (snapshot: Snapshot) => void): () => void {
    const key = JSON.stringify(request);
    let entry = this.#entries.get(key);
    if (!entry) {
      entry = { id: `s${this.#nextId++}`, request, listeners: new Set(), snapshot: { push: null, problem: null }, fresh: true };
      if (this.#entries.size >= SUBSCRIPTIONS_MAX) {
        entry.snapshot = { push: null, problem: { title: "Too many live panels", detail: `one page may follow ${SUBSCRIPTIONS_MAX}` } };
        listener(entry.snapshot);
        return () => undefined;
      }
      this.#entries.set(key, entry);
      this.#byId.set(entry.id, entry);
      if (this.#connection.state === "open" && !this.#paused) this.#sendOp(entry, "subscribe");
    }
    const held = entry;
    held.listeners.add(listener);
    if (held.snapshot.push || held.snapshot.problem) listener(held.snapshot);
    return () => {
      held.listeners.delete(listener);
      if (held.listeners.size > 0 || this.#entries.get(key) !== held) return;
      this.#entries.delete(key);
      this.#byId.delete(held.id);
      if (this.#connection.state === "open" && !this.#paused) this.#sendOp(held, "unsubscribe");
    };
  }

  #connect(): void {
    if (this.#closed) return;
    const socket = this.#seams.open();
    this.#socket = socket;
    this.#update({ state: this.#connection.cut_since_ms === null ? "connecting" : "cut", retry_at: null });
    socket.onopen = () => this.#opened(socket);
    socket.onmessage = (event) => this.#received(event.data);
    socket.onclose = () => this.#lost(socket);
  }

  #opened(socket: Socket): void {
    if (socket !== this.#socket) return;
    this.#heardAt = this.#seams.now();
    this.#roundTrips = [];
    this.#update({ state: "open", cut_since_ms: null, attempt: 0, retry_at: null });
    if (!this.#paused) for (const entry of this.#entries.values()) this.#sendOp(entry, "subscribe");
    this.#ping();
  }

  #lost(socket: Socket): void {
    if (socket !== this.#socket || this.#closed) return;
    this.#socket = null;
    this.#seams.clearTimer(this.#pingTimer);
    const attempt = this.#connection.attempt + 1;
    // Jitter, so that the viewers of a restarted server do not all come back in one moment.
    const wait = Math.min(RETRY_MS_MAX, RETRY_MS_MIN * 2 ** (attempt - 1)) * (0.75 + this.#seams.random() * 0.5);
    this.#update({
      state: "cut",
      attempt,
      cut_since_ms: this.#connection.cut_since_ms ?? this.#seams.wall(),
      retry_at: this.#seams.now() + wait,
    });
    this.#retryTimer = this.#seams.setTimer(() => this.#connect(), wait);
  }

  #ping(): void {
    const socket = this.#socket;
    if (!socket || this.#connection.state !== "open") return;
    if (this.#seams.now() - this.#heardAt > SILENCE_MS_MAX) {
      socket.close();
      this.#lost(socket);
      return;
    }
    socket.send(JSON.stringify({ op: "ping", t: this.#seams.now() }));
    this.#pingTimer = this.#seams.setTimer(() => this.#ping(), PING_MS);
  }

  #sendOp(entry: Entry, op: "subscribe" | "unsubscribe"): void {
    if (op === "subscribe") entry.fresh = true;
    const frame = op === "subscribe" ? { op, id: entry.id, ...entry.request } : { op, id: entry.id };
    this.#socket?.send(JSON.stringify(frame));
  }

  #received(data: unknown): void {
    if (typeof data !== "string") return;
    this.#heardAt = this.#seams.now();
    const frame = parseFrame(data);
    if (!frame) return;
    if (frame.type === "pong") {
      this.#measured(this.#seams.now() - frame.t);
      return;
    }
    const entry = this.#byId.get(frame.id);
    if (!entry) return;
    if (frame.type === "error") {
      entry.snapshot = { push: entry.snapshot.push, problem: frame.problem };
    } else {
      const push: Push = {
        data: frame.data,
        seq: frame.seq,
        sent_ms: frame.sent_ms,
        age_ms: frame.age_ms ?? null,
        received_at: this.#seams.now(),
        first: entry.fresh,
      };
      entry.fresh = false;
      entry.snapshot = { push, problem: null };
    }
    for (const listener of [...entry.listeners]) listener(entry.snapshot);
  }

  #measured(roundTrip: number): void {
    if (!Number.isFinite(roundTrip) || roundTrip < 0) return;
    this.#roundTrips = [...this.#roundTrips.slice(1 - ROUND_TRIPS_KEPT), roundTrip];
    const sorted = [...this.#roundTrips].sort((a, b) => a - b);
    this.#update({ round_trip_ms: sorted[Math.floor(sorted.length / 2)] ?? roundTrip });
  }

  #update(change: Partial<Connection>): void {
    this.#connection = { ...this.#connection, ...change };
    for (const watcher of [...this.#watchers]) watcher();
  }
}

type Frame =
  | { type: "pong"; t: number }
  | { type: "error"; id: string; problem: ProblemDocument }
  | { type: "data"; id: string; seq: number; sent_ms: number; age_ms?: number | null; data: unknown };

function parseFrame(text: string): Frame | null {
  try {
    const frame = JSON.parse(text) as { type?: unknown; id?: unknown; t?: unknown };
    if (frame.type === "pong" && typeof frame.t === "number") return frame as Frame;
    if ((frame.type === "data" || frame.type === "error") && typeof frame.id === "string") return frame as Frame;
    return null;
  } catch {
    return null;
  }
}
