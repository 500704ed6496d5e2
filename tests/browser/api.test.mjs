// The web's types against what the server really answers: TypeScript itself is
// the judge. Each answer becomes a literal of its type; a field that the types do
// not know, one that the answer does not have, or a value of another type is an error.
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { WAIT_MS } from "./browser.mjs";
import { server } from "./demo.mjs";

const WEB = fileURLToPath(new URL("../../web/", import.meta.url));
const web = createRequire(join(WEB, "package.json"));
const ts = web("typescript");
const { WebSocket } = web("ws");

let base;
let stop;

before(async () => {
  ({ base, stop } = await server());
});
after(() => stop?.());

/** Asks until there is something to compare: the demo has just begun. */
async function filled(path, list) {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const answer = await get(path);
    if (answer[list]?.length > 0) return answer;
    if (Date.now() > deadline) throw new Error(`${path} has no ${list} within ${WAIT_MS} ms: ${JSON.stringify(answer)}`);
  }
}

const get = async (path) => {
  const response = await fetch(`${base}/api/v1${path}`);
  return response.json();
};
const post = async (path, body) => {
  const response = await fetch(`${base}/api/v1${path}`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
  return response.json();
};

/** The first push of a subscription. */
function push(request) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${base.replace("http", "ws")}/api/v1/live`);
    socket.on("error", reject);
    socket.on("open", () => socket.send(JSON.stringify({ op: "subscribe", id: "s", ...request })));
    socket.on("message", (text) => {
      const frame = JSON.parse(String(text));
      socket.close();
      if (frame.type === "data") resolve(frame.data);
      else reject(new Error(String(text)));
    });
  });
}

/** What TypeScript has against these answers; the empty list when they are what the types say. */
async function complaints(answers) {
  // Inside web/, so that the types' own imports are found.
  const folder = await mkdtemp(join(WEB, "node_modules/.api-"));
  try {
    const file = join(folder, "answers.ts");
    const lines = answers.map(([type, json], i) => `export const a${i}: ${type} = ${JSON.stringify(json)};`);
    await writeFile(file, [`import type * as api from "${join(WEB, "src/api/types")}";`, ...lines].join("\n"));
    const program = ts.createProgram([file], { strict: true, noEmit: true, skipLibCheck: true, moduleResolution: ts.ModuleResolutionKind.Bundler, module: ts.ModuleKind.ESNext, target: ts.ScriptTarget.ES2022, types: [] });
    const all = ts.getPreEmitDiagnostics(program).map((found) => {
      const line = found.file ? found.file.getLineAndCharacterOfPosition(found.start ?? 0).line : 0;
      return `${answers[line - 1]?.[0] ?? "?"}: ${ts.flattenDiagnosticMessageText(found.messageText, " ")}`;
    });
    return [...new Set(all)];
  } finally {
    await rm(folder, { recursive: true });
  }
}

test("the types know every field of the server's answers, and no other", async () => {
  const jobs = await filled("/jobs", "jobs");
  const groups = await filled("/groups", "groups");
  const answers = [
    ["api.Overview", await get("/overview")],
    ["{ topics: api.Topic[] }", await get("/topics?internal=true")],
    ["api.TopicDetail", await get("/topics/orders")],
    ["{ groups: api.Group[] }", groups],
    ["api.Group", await get(`/groups/${encodeURIComponent(groups.groups[0].group)}`)],
    ["{ jobs: api.Job[] }", jobs],
    ["api.Job", await get(`/jobs/${encodeURIComponent(jobs.jobs[0].id)}`)],
    ["{ tables: api.TableInfo[] }", await get("/tables")],
    ["{ dashboards: api.DashboardEntry[] }", await get("/dashboards")],
    ["api.Dashboard", await get("/dashboards/retail")],
    ["api.MessagePage", await filled("/topics/orders/messages?limit=5", "messages")],
    ["api.MessagePage", await filled("/topics/orders_by_region_5s.dlq/messages?from=oldest&limit=5", "messages")],
    ["api.SqlAnswer", await post("/sql", { sql: "SELECT * FROM live_orders LIMIT 3" })],
    ["api.SqlAnswer", await post("/sql", { sql: "SHOW TABLES" })],
    ["api.ProblemDocument", await post("/sql", { sql: "SELECT amout FROM live_orders" })],
    ["api.SqlResult", await push({ kind: "sql", sql: "SELECT COUNT(*) AS n FROM live_orders" })],
    ["api.TailPush", await push({ kind: "tail", topic: "orders" })],
    ["api.Race", await push({ kind: "race" })],
    ...(await Promise.all(["overview", "topics", "groups", "jobs"].map(async (kind) => [kind === "overview" ? "api.Overview" : `{ ${kind}: api.${kind[0].toUpperCase()}${kind.slice(1, -1)}[] }`, await push({ kind })]))),
  ];
  assert.deepEqual(await complaints(answers), []);
});

test("a field that the types do not know, or the answer does not have, is found", async () => {
  const page = { messages: [], scanned: 0, budget_spent: false, next: null, end: {} };
  assert.deepEqual(await complaints([["api.MessagePage", page]]), []);
  const { budget_spent: _, ...less } = page;
  assert.match(String(await complaints([["api.MessagePage", less]])), /budget_spent/);
  assert.match(String(await complaints([["api.MessagePage", { ...page, unread: 1 }]])), /unread/);
});
