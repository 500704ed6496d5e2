// The server under test: the one at BASE_URL, else a demo of our own binary
// with its data in a temporary folder.
import { spawn } from "node:child_process";
import { mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const START_MS_MAX = 120_000;
const STOP_MS_MAX = 30_000;
const LOG = fileURLToPath(new URL("../output/browser/demo.log", import.meta.url));

/** Whether the tests have a server of their own, which they may stop. */
export const OWN = !process.env.BASE_URL;

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.on("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

/** A running server: `stop` ends it for good, `halt` and `start` take it away and bring it back. */
export async function server() {
  if (!OWN) return { base: process.env.BASE_URL.replace(/\/$/, ""), stop: async () => undefined };
  const binary = process.env.MILLSTREAM_BIN;
  if (!binary) throw new Error("give BASE_URL of a running Millstream with demo data, or MILLSTREAM_BIN");
  await mkdir(dirname(LOG), { recursive: true });
  const data = await mkdtemp(join(tmpdir(), "millstream-browser-"));
  const [kafka, http] = [await freePort(), await freePort()];
  const base = `http://127.0.0.1:${http}`;
  let halt = async () => undefined;
  const stop = async () => {
    await halt();
    await rm(data, { recursive: true, force: true });
  };
  const start = async () => {
    halt = await run(binary, ["demo", "--no-open", "--data-dir", join(data, "data"), "--kafka-listen", `127.0.0.1:${kafka}`, "--http-listen", `127.0.0.1:${http}`], base);
  };
  try {
    await start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { base, stop, start, halt: () => halt() };
}

/** Starts the binary, waits until it serves, and answers what ends it. */
async function run(binary, args, base) {
  const log = await open(LOG, "w");
  // Every MILLSTREAM_* variable is a setting to the server; this one is ours.
  const { MILLSTREAM_BIN: _, ...env } = process.env;
  const child = spawn(binary, args, { env, stdio: ["ignore", log.fd, log.fd] });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  let over = false;
  const halt = async () => {
    if (over) return;
    over = true;
    child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS_MAX);
    await ended;
    clearTimeout(timer);
    await log.close();
  };
  const deadline = Date.now() + START_MS_MAX;
  for (;;) {
    if (child.exitCode !== null) throw new Error(`the demo ended with ${child.exitCode}:\n${await readFile(LOG, "utf8")}`);
    if (/^ready kafka=/m.test(await readFile(LOG, "utf8")) && (await answers(`${base}/readyz`))) return halt;
    if (Date.now() > deadline) {
      await halt();
      throw new Error(`the demo was not ready within ${START_MS_MAX} ms, see ${LOG}`);
    }
  }
}

async function answers(url) {
  try {
    return (await fetch(url)).ok;
  } catch {
    return false;
  }
}
