// A stand-in for the server while working on the console: the contract of
// docs/reference/http-api.md over invented data. Development and tests only.
//   node mock/server.mjs [--port 8090]
// It also serves `dist/`, with the Content-Security-Policy that the console is built for.
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { Shop } from "./data.mjs";
import * as pages from "./pages.mjs";

const here = fileURLToPath(new URL(".", import.meta.url));
const dist = join(here, "../dist");
const dashboard = JSON.parse(await readFile(join(here, "../../scenarios/retail/dashboard.json"), "utf8"));
const port = Number(process.argv[process.argv.indexOf("--port") + 1]) || 8090;
const CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'";
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" };

const shop = await Shop.open();
const ORDERS_PER_S = 220;
/** Small, so that a search that gives up can be looked at. */
const SCANNED_MAX = 1_500;
for (let i = 0; i < 3; i += 1) {
  const letter = shop.append("orders_by_region_5s.dlq", 0, null, `{"order_id": "o-${i}", "amount": "n/a`, Date.now() - 9_000 + i);
  const errors = { topic: "orders", partition: "2", offset: `${88_420_000 + i}`, "connector.name": "orders_by_region_5s", stage: "VALUE_CONVERTER", "exception.class.name": "DecodeError", "exception.message": "column amount: 'n/a' is not a DECIMAL(12, 2)" };
  letter.headers = Object.entries(errors).map(([key, value]) => ({ key: `__connect.errors.${key}`, value, encoding: "text", value_bytes: value.length }));
  letter.headers_count = letter.headers.length;
}
let owed = 0;
let current = { second: Math.floor(Date.now() / 1000), orders: [] };
setInterval(() => {
  owed += ORDERS_PER_S / 20;
  const now = Date.now();
  const second = Math.floor(now / 1000);
  if (second !== current.second) {
    shop.windows(current.second * 1000, current.orders, 1);
    current = { second, orders: [] };
    pages.step();
  }
  for (; owed >= 1; owed -= 1) {
    const order = shop.order(now - 40);
    shop.take(order);
    current.orders.push(order);
  }
}, 50);

class Refused extends Error {
  constructor(status, title, detail, more = {}) {
    super(title);
    this.problem = { type: "about:blank", title, status, detail, ...more };
  }
}

function runSql(sql) {
  if (/^\s*SHOW\s+JOBS/i.test(sql)) return { columns: [{ name: "job", type: "STRING" }, { name: "state", type: "STRING" }], rows: pages.jobs().map((j) => [j.id, j.state]) };
  if (/^\s*CREATE\s+MATERIALIZED\s+TABLE\s+(\w+)/i.test(sql)) return { columns: [{ name: "job", type: "STRING" }], rows: [["live_orders"]] };
  const dropped = /^\s*DROP\s+(?:MATERIALIZED\s+)?TABLE\s+(?:IF\s+EXISTS\s+)?(\w+)/i.exec(sql)?.[1];
  if (dropped) {
    pages.remove(dropped);
    return { columns: [{ name: "result", type: "STRING" }], rows: [["OK"]], truncated: false, elapsed_ms: 3, skipped_records: 0 };
  }
  try {
    return shop.query(sql);
  } catch (error) {
    const word = /(?:no such column|no such table|no such function): (\S+)/.exec(error.message)?.[1] ?? /near "([^"]+)"/.exec(error.message)?.[1];
    const at = word ? sql.indexOf(word) : 0;
    const before = sql.slice(0, Math.max(0, at)).split("\n");
    throw new Refused(400, error.message, "The statement was not run.", { hint: "Look at the tables in the catalog.", line: before.length, column: before.at(-1).length + 1 });
  }
}

function readMessages(name, query) {
  const contains = query.get("contains") ?? "";
  const limit = Math.min(1000, Number(query.get("limit") ?? 100));
  const partition = query.get("partition");
  const from = query.get("from") ?? "newest";
  const log = shop.messages.get(name) ?? { list: [], next: [0] };
  const position = (m) => `${String(m.timestamp_ms).padStart(15, "0")}:${m.partition}:${String(m.offset).padStart(12, "0")}`;
  let list = log.list.filter((m) => partition === null || m.partition === Number(partition)).sort((a, b) => (position(a) < position(b) ? -1 : 1));
  if (from === "offset") list = list.filter((m) => m.offset >= Number(query.get("offset")));
  if (from === "time") list = list.filter((m) => m.timestamp_ms >= Number(query.get("timestamp_ms")));
  if (from === "newest") list.reverse();
  const next = query.get("next");
  if (next !== null) list = list.filter((m) => (from === "newest" ? position(m) < next : position(m) > next));
  const messages = [];
  let scanned = 0;
  for (const message of list) {
    if (messages.length >= limit || scanned >= SCANNED_MAX) break;
    scanned += 1;
    if (contains === "" || `${message.key ?? ""}${message.value ?? ""}`.includes(contains)) messages.push(message);
  }
  const more = scanned < list.length;
  return { messages, scanned, budget_spent: more && messages.length < limit, next: more ? position(list[scanned - 1]) : null, end: Object.fromEntries(log.next.map((n, i) => [i, n])) };
}

function oneMessage(topic, partition, offset) {
  return shop.messages.get(topic)?.list.find((m) => m.partition === Number(partition) && m.offset === Number(offset));
}

async function answer(request, url) {
  const path = url.pathname.replace(/^\/api\/v1/, "");
  const parts = path.split("/").filter(Boolean).map(decodeURIComponent);
  const body = request.method === "POST" ? JSON.parse(await readBody(request)) : null;
  const found = (value) => {
    if (value === null || value === undefined) throw new Refused(404, "Not found", `there is no ${parts.join(" ")}`);
    return value;
  };
  switch (parts[0]) {
    case "sql":
      return runSql(body.sql);
    case "overview":
      return pages.overview();
    case "topics":
      if (request.method === "DELETE") return pages.remove(parts[1]), { name: parts[1] };
      if (parts[2] === "messages" && parts[4]) return found(oneMessage(parts[1], parts[3], parts[4]));
      if (parts[2] === "messages") return found(pages.topic(parts[1], shop)), readMessages(parts[1], url.searchParams);
      if (parts[2] === "produce") {
        const message = shop.append(parts[1], body.partition ?? 0, body.key, body.value, Date.now());
        return { partition: message.partition, offset: message.offset };
      }
      if (body) throw new Refused(409, "Topic exists", `${body.name} is there already`);
      return parts[1] ? found(pages.topic(parts[1], shop)) : { topics: pages.topics(url.searchParams.get("internal") === "true") };
    case "groups":
      return parts[1] ? found(pages.group(parts[1])) : { groups: pages.groups() };
    case "jobs":
      if (parts[2] === "stop") return pages.stop(parts[1]), {};
      return parts[1] ? found(pages.jobs().find((j) => j.id === parts[1])) : { jobs: pages.jobs() };
    case "tables":
      return { tables: pages.tables(shop) };
    case "dashboards":
      if (parts[1]) return found(parts[1] === dashboard.id ? dashboard : null);
      return { dashboards: [{ id: dashboard.id, title: dashboard.title, panels: dashboard.panels.length, screen: true }] };
    default:
      throw new Refused(404, "Not found", path);
  }
}

async function readBody(request) {
  let text = "";
  for await (const chunk of request) text += chunk;
  return text;
}

async function file(path, response) {
  const wanted = normalize(path).replace(/^\/+/, "");
  const target = extname(wanted) ? join(dist, wanted) : join(dist, "index.html");
  if (!target.startsWith(dist)) return response.writeHead(404).end();
  try {
    const bytes = await readFile(target);
    response.writeHead(200, { "Content-Type": TYPES[extname(target)] ?? "application/octet-stream", "Content-Security-Policy": CSP }).end(bytes);
  } catch {
    response.writeHead(404).end();
  }
}

const server = createServer((request, response) => {
  const url = new URL(request.url, "http://mock");
  if (!url.pathname.startsWith("/api/")) return void file(url.pathname, response);
  answer(request, url).then(
    (document) => response.writeHead(200, { "Content-Type": "application/json" }).end(JSON.stringify(document)),
    (error) => {
      const problem = error.problem ?? { type: "about:blank", title: "Mock error", status: 500, detail: String(error) };
      response.writeHead(problem.status, { "Content-Type": "application/problem+json" }).end(JSON.stringify(problem));
    },
  );
});

const live = new WebSocketServer({ noServer: true });
server.on("upgrade", (request, socket, head) => live.handleUpgrade(request, socket, head, connected));

const PAGE_KINDS = { overview: () => pages.overview(), topics: () => ({ topics: pages.topics(false) }), groups: () => ({ groups: pages.groups() }), jobs: () => ({ jobs: pages.jobs() }), race: pages.race };

function connected(socket) {
  const subscriptions = new Map();
  const send = (frame) => socket.readyState === 1 && socket.send(JSON.stringify(frame));
  const tail = (topic, message) => {
    for (const [, sub] of subscriptions) {
      if (sub.kind !== "tail" || sub.topic !== topic) continue;
      if (sub.partition !== undefined && sub.partition !== message.partition) continue;
      sub.scanned = (sub.scanned ?? 0) + 1;
      if (sub.contains && !`${message.key ?? ""}${message.value ?? ""}`.includes(sub.contains)) continue;
      sub.waiting.push(message);
    }
  };
  shop.listeners.add(tail);
  const push = (id, sub, data, age) => send({ id, type: "data", seq: sub.seq++, sent_ms: Date.now(), age_ms: age, data });
  const timers = [
    setInterval(() => {
      for (const [id, sub] of subscriptions) if (PAGE_KINDS[sub.kind]) push(id, sub, PAGE_KINDS[sub.kind](), 0);
    }, 1000),
    setInterval(() => {
      for (const [id, sub] of subscriptions) {
        if (sub.kind === "sql") sqlPush(id, sub);
        if (sub.kind === "tail" && sub.waiting.length > 0) {
          const messages = sub.waiting.splice(0);
          push(id, sub, { messages: messages.slice(-200), skipped: Math.max(0, messages.length - 200), scanned: sub.scanned }, 20);
          sub.scanned = 0;
        }
      }
    }, 250),
  ];
  const sqlPush = (id, sub) => {
    try {
      const result = shop.query(sub.sql);
      const text = JSON.stringify(result.rows);
      if (text === sub.last) return;
      sub.last = text;
      push(id, sub, { columns: result.columns, rows: result.rows }, /live_orders/.test(sub.sql) ? 30 + Math.random() * 90 : 2_100 + Math.random() * 200);
    } catch (error) {
      subscriptions.delete(id);
      send({ id, type: "error", problem: { title: error.message, status: 400, detail: "The query was refused.", line: 1, column: 8 } });
    }
  };
  socket.on("message", (raw) => {
    const frame = JSON.parse(String(raw));
    if (frame.op === "ping") return send({ type: "pong", t: frame.t, server_ms: Date.now() });
    if (frame.op === "unsubscribe") return subscriptions.delete(frame.id);
    const sub = { ...frame, seq: 1, waiting: [], last: null };
    subscriptions.set(frame.id, sub);
    if (PAGE_KINDS[sub.kind]) push(frame.id, sub, PAGE_KINDS[sub.kind](), 0);
    else if (sub.kind === "sql") sqlPush(frame.id, sub);
  });
  socket.on("close", () => {
    shop.listeners.delete(tail);
    timers.forEach(clearInterval);
  });
}

server.listen(port, "127.0.0.1", () => console.log(`mock http://127.0.0.1:${port}`));
