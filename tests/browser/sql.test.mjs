// The SQL page in Chromium, where somebody's work or data is at stake: hostile
// names, drafts, statements that destroy.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, shot, until, visited } from "./browser.mjs";
import { server } from "./demo.mjs";

let base;
let stop;
let browser;

before(async () => {
  browser = await launch();
  ({ base, stop } = await server());
});
after(async () => {
  await browser?.close();
  await stop?.();
});

const at = (path, options, act, expected) => visited(browser, base, path, options, act, expected);
const get = async (path) => (await fetch(`${base}/api/v1${path}`)).json();
const sql = async (text) => {
  const response = await fetch(`${base}/api/v1/sql`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ sql: text }) });
  const answer = await response.json();
  assert.ok(response.ok, JSON.stringify(answer));
  return answer;
};
const named = (name) => `\`${name.replaceAll("`", "``")}\``;
const tables = async () => (await get("/tables")).tables.map((table) => table.name);
const topics = async () => (await get("/topics")).topics.map((topic) => topic.name);

/** Types into an empty editor. */
async function write(page, text) {
  await page.locator(".cm-content").click();
  await page.keyboard.press("Control+a");
  await page.keyboard.press("Delete");
  // Pasted: typing would meet the editor's completion.
  await page.keyboard.insertText(text);
  await page.keyboard.press("Escape");
}
const editor = async (page) => (await page.locator(".cm-line").allInnerTexts()).join("\n");

describe("a hostile name", () => {
  const victim = "browser_victim";
  const name = `x\` ; DROP MATERIALIZED TABLE ${victim}; SELECT * FROM \`a/b?c#d%e`;

  test("is only a name: a click on it runs nothing else, and its links lead to it", async () => {
    await sql(`CREATE MATERIALIZED TABLE IF NOT EXISTS ${victim} AS SELECT order_id FROM orders`);
    await sql(`CREATE MATERIALIZED TABLE IF NOT EXISTS ${named(name)} WITH ('topic' = 'browser_hostile') AS SELECT order_id, city FROM orders`);
    try {
      await at("/sql", {}, async (page) => {
        const row = page.locator(".tree-row.table").filter({ hasText: "a/b?c#d%e" });
        await row.hover();
        await row.locator(".tree-query").click();
        await page.getByTestId("results").or(page.locator(".out .empty")).first().waitFor();
        assert.equal(await page.locator(".out-problem").count(), 0);
        await page.locator(".tree-row.job").filter({ hasText: "a/b?c#d%e" }).click();
        await page.locator("h1", { hasText: name }).waitFor();
        await until(page, "the job's page", () => page.locator(".graph rect").count(), (n) => n > 1);
        await page.getByRole("link", { name: "Query the result" }).click();
        await page.locator(".cm-content").getByText("browser_victim").waitFor();
        await page.getByTestId("run").click();
        await page.getByTestId("results").or(page.locator(".out .empty")).first().waitFor();
        assert.equal(await page.locator(".out-problem").count(), 0);
        await page.goto(`${base}/jobs`);
        await page.locator("tr.click", { hasText: "a/b?c#d%e" }).locator("a").click();
        await page.locator("h1", { hasText: name }).waitFor();
      });
      assert.ok((await tables()).includes(victim), "the other table is gone");
    } finally {
      await sql(`DROP MATERIALIZED TABLE IF EXISTS ${named(name)}; DROP MATERIALIZED TABLE IF EXISTS ${victim}`);
    }
  });
});

describe("a draft", () => {
  test("is kept when another page opens a statement, and comes back", async () => {
    const mine = "SELECT 1 AS my_long_work";
    await at("/sql", {}, async (page) => {
      await write(page, mine);
      await page.locator(".nav a[href='/jobs']").click();
      await page.locator("tr.click a", { hasText: "orders_by_region_5s" }).first().click();
      await page.getByRole("link", { name: "Open in SQL" }).click();
      await page.getByTestId("kept-draft").getByText("my_long_work").waitFor();
      assert.match(page.url(), /\/sql\?q=CREATE/);
      assert.match(await editor(page), /^CREATE OR ALTER MATERIALIZED TABLE/);
      // Also after the page was loaded anew.
      await page.reload();
      await page.getByTestId("kept-draft").getByRole("button", { name: "Bring it back" }).click();
      await until(page, "the draft", () => editor(page), (text) => text === mine);
      assert.equal(await page.getByTestId("kept-draft").count(), 0);
      assert.doesNotMatch(page.url(), /q=/);
    });
  });

  test("`?q=` fills the editor and stays until the text is changed", async () => {
    await at("/sql?q=SELECT%20%27a%20%26%20b%3F%27%20AS%20c", {}, async (page) => {
      await until(page, "the statement", () => editor(page), (text) => text === "SELECT 'a & b?' AS c");
      assert.match(page.url(), /q=SELECT/);
      await write(page, "SELECT 2");
      await page.waitForURL((url) => !url.search.includes("q="));
    });
  });
});

describe("a statement that destroys", () => {
  const name = "browser_dropped";
  const dlq = `${name}.dlq`;
  const late = `${name}.late`;
  const create = async () => {
    await sql(`CREATE MATERIALIZED TABLE IF NOT EXISTS ${name} AS SELECT order_id FROM orders`);
    const deadline = Date.now() + 30_000;
    while (!(await topics()).includes(dlq)) assert.ok(Date.now() < deadline, `${dlq} is not there`);
  };

  for (const [language, words] of [["en", { cancel: "Cancel", goes: "cannot be brought back", stays: "Stays" }], ["zh", { cancel: "取消", goes: "无法恢复", stays: "保留" }]]) {
    test(`asks first, with what goes and what stays; a no keeps everything (${language})`, async () => {
      await create();
      await at("/sql", { language }, async (page) => {
        await write(page, `SELECT 1; -- nothing\nDROP MATERIALIZED TABLE ${name}`);
        await page.keyboard.press("Control+Enter");
        const dialog = page.getByRole("dialog");
        await dialog.getByText(words.goes).waitFor();
        const text = await dialog.innerText();
        for (const part of [name, dlq, late, words.stays]) assert.ok(text.includes(part), `${part} is not in: ${text}`);
        await shot(page, `sql-drop-${language}`);
        // Enter must not be a yes.
        await page.keyboard.press("Enter");
        await dialog.waitFor({ state: "detached" });
        await page.keyboard.press("Control+Enter");
        await dialog.getByRole("button", { name: words.cancel }).click();
        await dialog.waitFor({ state: "detached" });
      });
      assert.ok((await tables()).includes(name));
    });
  }

  test("says what stays after it, and deletes that on request", async () => {
    await create();
    await at("/sql", {}, async (page) => {
      await write(page, `DROP MATERIALIZED TABLE ${name}`);
      await page.getByTestId("run").click();
      await page.getByTestId("destroy-confirm").click();
      const after = page.getByTestId("aftermath");
      await after.getByText(`Dropped: ${name}`).waitFor();
      assert.ok(!(await tables()).includes(name));
      if ((await topics()).includes(dlq)) {
        await after.getByRole("link", { name: dlq }).waitFor();
        await shot(page, "sql-dropped");
        await after.getByRole("button", { name: /Delete/ }).click();
        await after.getByText(`Topics that are gone: ${name}, ${dlq}, ${late}`).waitFor();
      }
    });
    const deadline = Date.now() + 30_000;
    for (let left = [dlq]; left.length > 0; left = (await topics()).filter((topic) => topic.startsWith(`${name}.`))) assert.ok(Date.now() < deadline, `still there: ${left}`);
  });

  test("can take along what was set apart", async () => {
    await create();
    await at("/sql", {}, async (page) => {
      await write(page, `DROP MATERIALIZED TABLE ${name}`);
      await page.getByTestId("run").click();
      await page.getByRole("dialog").getByRole("checkbox").check();
      await page.getByTestId("destroy-confirm").click();
      await page.getByTestId("aftermath").getByText(`Dropped: ${name}`).waitFor();
      await page.getByTestId("aftermath").getByText(dlq).waitFor();
      assert.equal(await page.getByTestId("aftermath").getByRole("link").count(), 0);
    });
  });
});
