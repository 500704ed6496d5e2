import { beforeEach, describe, expect, test } from "vitest";
import { LiveClient, PING_MS, SILENCE_MS_MAX, type Snapshot, type Socket, SUBSCRIPTIONS_MAX } from "../src/live/client";
import { LatencyWindow, SAMPLES_MAX, WINDOW_MS } from "../src/live/latency";

class FakeSocket implements Socket {
  sent: { op: string; id?: string; kind?: string; sql?: string; t?: number }[] = [];
  closed = false;
  onopen: (() => void) | null = null;
  onclose: (() => void) | null = null;
  onmessage: ((event: { data: unknown }) => void) | null = null;
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.closed = true;
  }
  receive(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  ops(op: string): string[] {
    return this.sent.filter((frame) => frame.op === op).map((frame) => frame.id ?? "");
  }
}

/** Time that stands still until the test moves it. */
class Bench {
  now = 0;
  sockets: FakeSocket[] = [];
  timers: { at: number; run: () => void }[] = [];
  client = new LiveClient({
    open: () => {
      const socket = new FakeSocket();
      this.sockets.push(socket);
      return socket;
    },
    now: () => this.now,
    wall: () => 1_000_000 + this.now,
    setTimer: (run, ms) => {
      const timer = { at: this.now + ms, run };
      this.timers.push(timer);
      return timer;
    },
    clearTimer: (timer) => {
      this.timers = this.timers.filter((t) => t !== timer);
    },
    random: () => 0.5,
  });

  get socket(): FakeSocket {
    const last = this.sockets[this.sockets.length - 1];
    if (!last) throw new Error("no socket was opened");
    return last;
  }

  open(): FakeSocket {
    const socket = this.socket;
    socket.onopen?.();
    return socket;
  }

  pass(ms: number): void {
    const end = this.now + ms;
    for (;;) {
      const next = this.timers.filter((t) => t.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.timers = this.timers.filter((t) => t !== next);
      this.now = next.at;
      next.run();
    }
    this.now = end;
  }
}

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
  bench.client.start();
});

const query = { kind: "sql", sql: "SELECT 1" } as const;
const data = (id: string | undefined, seq: number, value: unknown) => ({ id, type: "data", seq, sent_ms: 5, age_ms: 34.1, data: value });

describe("the live client", () => {
  test("equal requests share one subscription, and the last listener ends it", () => {
    const socket = bench.open();
    const one = bench.client.subscribe(query, () => undefined);
    const two = bench.client.subscribe({ ...query }, () => undefined);
    expect(socket.ops("subscribe")).toHaveLength(1);
    one();
    expect(socket.ops("unsubscribe")).toHaveLength(0);
    two();
    expect(socket.ops("unsubscribe")).toEqual(socket.ops("subscribe"));
  });

  test("a late listener gets the newest state at once", () => {
    const socket = bench.open();
    bench.client.subscribe(query, () => undefined);
    socket.receive(data(socket.ops("subscribe")[0], 1, "state"));
    let seen: Snapshot | null = null;
    bench.client.subscribe(query, (snapshot) => (seen = snapshot));
    expect(seen).toMatchObject({ push: { data: "state", first: true } });
  });

  test("subscribes again after a cut, and keeps the last data until then", () => {
    const first = bench.open();
    const seen: Snapshot[] = [];
    bench.client.subscribe(query, (snapshot) => seen.push(snapshot));
    first.receive(data(first.ops("subscribe")[0], 1, "before"));
    first.onclose?.();
    expect(bench.client.connection).toMatchObject({ state: "cut", attempt: 1, cut_since_ms: 1_000_000 });
    expect(seen.at(-1)?.push?.data).toBe("before");

    bench.pass(500);
    const second = bench.open();
    expect(bench.sockets).toHaveLength(2);
    expect(second.ops("subscribe")).toHaveLength(1);
    second.receive(data(second.ops("subscribe")[0], 1, "after"));
    expect(seen.at(-1)).toMatchObject({ push: { data: "after", first: true }, problem: null });
    second.receive(data(second.ops("subscribe")[0], 2, "news"));
    expect(seen.at(-1)?.push?.first).toBe(false);
    expect(bench.client.connection).toMatchObject({ state: "open", cut_since_ms: null, attempt: 0 });
  });

  test("waits longer after each failed try, up to ten seconds", () => {
    const waits: number[] = [];
    for (let i = 0; i < 7; i += 1) {
      bench.socket.onclose?.();
      const wait = (bench.client.connection.retry_at ?? 0) - bench.now;
      waits.push(wait);
      bench.pass(wait);
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000]);
  });

  test("a try can be made at once", () => {
    bench.socket.onclose?.();
    bench.client.retryNow();
    expect(bench.sockets).toHaveLength(2);
    bench.pass(60_000);
    expect(bench.sockets).toHaveLength(2);
  });

  test("a silent line is given up though nobody closed it", () => {
    const socket = bench.open();
    bench.pass(SILENCE_MS_MAX + 2 * PING_MS);
    expect(socket.closed).toBe(true);
    expect(bench.sockets.length).toBeGreaterThan(1);
  });

  test("measures the round trip by pings", () => {
    const socket = bench.open();
    const ping = socket.sent.find((frame) => frame.op === "ping");
    bench.now += 12;
    socket.receive({ type: "pong", t: ping?.t, server_ms: 0 });
    expect(bench.client.connection.round_trip_ms).toBe(12);
  });

  test("an error ends in its own subscription and keeps what was shown", () => {
    const socket = bench.open();
    let seen: Snapshot | null = null;
    bench.client.subscribe(query, (snapshot) => (seen = snapshot));
    const id = socket.ops("subscribe")[0];
    socket.receive(data(id, 1, "rows"));
    socket.receive({ id, type: "error", problem: { title: "Unknown column" } });
    expect(seen).toMatchObject({ push: { data: "rows" }, problem: { title: "Unknown column" } });
  });

  test("a hidden tab asks for nothing and takes up again where it was", () => {
    const socket = bench.open();
    bench.client.subscribe(query, () => undefined);
    bench.client.setPaused(true);
    expect(socket.ops("unsubscribe")).toHaveLength(1);
    bench.client.subscribe({ kind: "race" }, () => undefined);
    expect(socket.ops("subscribe")).toHaveLength(1);
    bench.client.setPaused(false);
    expect(socket.ops("subscribe")).toHaveLength(3);
  });

  test("asks for no more than the server allows", () => {
    const socket = bench.open();
    let refused: Snapshot | null = null;
    for (let i = 0; i <= SUBSCRIPTIONS_MAX; i += 1) bench.client.subscribe({ kind: "sql", sql: `SELECT ${i}` }, (s) => (refused = s));
    expect(socket.ops("subscribe")).toHaveLength(SUBSCRIPTIONS_MAX);
    expect(refused).toMatchObject({ problem: { title: "Too many live panels" } });
  });

  test("frames that are not understood change nothing", () => {
    const socket = bench.open();
    socket.onmessage?.({ data: "not json" });
    socket.onmessage?.({ data: new ArrayBuffer(2) });
    socket.receive({ type: "data", id: "unknown", seq: 1, data: {} });
    expect(bench.client.connection.state).toBe("open");
  });
});

describe("the latency window", () => {
  test("adds half a round trip to each push's age and gives measured values", () => {
    const window = new LatencyWindow();
    for (let i = 1; i <= 100; i += 1) window.add(i, i, 4);
    expect(window.read(100)).toEqual({ p50: 52, p99: 101, samples: 100 });
  });

  test("forgets what is older than a minute, and is bounded", () => {
    const window = new LatencyWindow();
    for (let i = 0; i < SAMPLES_MAX + 10; i += 1) window.add(0, 1, null);
    expect(window.read(0)?.samples).toBe(SAMPLES_MAX);
    expect(window.read(WINDOW_MS + 1)).toBeNull();
  });

  test("a push without an age is not a sample", () => {
    const window = new LatencyWindow();
    window.add(0, null, 4);
    expect(window.read(0)).toBeNull();
  });
});
