// A real browser against a running Millstream: opening it, watching what it
// does, waiting for conditions. No test sleeps; all waiting has a bound.
import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

/** How long a page may take to show what it should; the machine may be busy. */
export const WAIT_MS = Number(process.env.BROWSER_WAIT_MS ?? 30_000);

const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const SHOTS = fileURLToPath(new URL("../output/browser/", import.meta.url));

export const DESK = { width: 1440, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const SCREEN = { width: 1920, height: 1080 };

export async function launch() {
  await mkdir(SHOTS, { recursive: true });
  return chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
}

/**
 * A fresh visitor's page. It remembers every complaint of the console and every
 * request, so that a test can assert that there was none it did not expect.
 */
export async function visit(browser, base, path, { size = DESK, language = "en", theme = "light" } = {}) {
  const context = await browser.newContext({
    viewport: size,
    locale: language === "zh" ? "zh-CN" : "en-US",
    colorScheme: theme,
    hasTouch: size.width < 600,
    deviceScaleFactor: size.width < 600 ? 2 : 1,
  });
  context.setDefaultTimeout(WAIT_MS);
  const page = await context.newPage();
  const complaints = [];
  const strangers = [];
  const host = new URL(base).host;
  page.on("console", (message) => {
    if (message.type() === "error" || message.type() === "warning") complaints.push(`${message.type()}: ${message.text()} (${message.location().url})`);
  });
  page.on("pageerror", (error) => complaints.push(`thrown: ${error.message}`));
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.protocol !== "data:" && url.protocol !== "blob:" && url.host !== host) strangers.push(request.url());
  });
  page.on("websocket", (socket) => {
    if (new URL(socket.url()).host !== host) strangers.push(socket.url());
  });
  await page.goto(base + path);
  return { context, page, complaints, strangers };
}

/** Opens a page, does something, and asserts that the console was silent and nothing left the host. */
export async function visited(browser, base, path, options, act, expected = []) {
  const view = await visit(browser, base, path, options);
  try {
    await act(view.page);
    assert.deepEqual(view.complaints.filter((text) => !expected.some((pattern) => pattern.test(text))), [], "the browser's console complains");
    assert.deepEqual(view.strangers, [], "a request left the host");
  } catch (error) {
    await shot(view.page, `failed-${path.replaceAll(/\W+/g, "-").slice(0, 60)}`).catch(() => undefined);
    throw error;
  } finally {
    await view.context.close();
  }
}

/** Waits until `read` of the page gives a value that `enough` accepts, and returns it. */
export async function until(page, what, read, enough) {
  const deadline = Date.now() + WAIT_MS;
  let value;
  do {
    value = await read();
    if (enough(value)) return value;
    // The next look comes with the page's next frames, not after a fixed time.
    await page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));
  } while (Date.now() < deadline);
  throw new Error(`${what}: not within ${WAIT_MS} ms; it is ${JSON.stringify(value)}`);
}

export const shot = (page, name) => page.screenshot({ path: `${SHOTS}${name}.png` });

/** Figures and heads of figures that do not fit their column: `48,11…`. */
export const cutFigures = (page) => page.locator("td.r, th.r").evaluateAll((cells) => cells.filter((cell) => cell.offsetParent !== null && cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent));

/** How far the page is wider than the window. */
export const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
