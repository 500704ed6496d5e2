// Reading a topic in Chromium: a search that gives up and goes on, all
// partitions, and a link to one record.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, until, visited } from "./browser.mjs";
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

const send = async (method, path, body) => {
  const answer = await fetch(`${base}/api/v1${path}`, { method, headers: { "Content-Type": "application/json" }, ...(body ? { body: JSON.stringify(body) } : {}) });
  assert.ok(answer.ok, await answer.text());
};
const post = (path, body) => send("POST", path, body);

describe("a search", () => {
  const message = { partition: 0, offset: 7, timestamp_ms: 1_700_000_000_000, key: "k", key_encoding: "text", value: "the needle", value_encoding: "text", value_bytes: 10, key_bytes: 1, cut: false, headers: [], headers_count: 0 };
  /** The server's answers, one after the other: a log that is too long to make here. */
  const answers = async (page, list) => {
    const asked = [];
    await page.route(/\/messages\?/, (route) => {
      asked.push(new URL(route.request().url()).searchParams.get("next"));
      return route.fulfill({ json: { end: { 0: 500_000 }, ...list[Math.min(asked.length, list.length) - 1] } });
    });
    return asked;
  };
  const nothing = (next) => ({ messages: [], scanned: 100_000, budget_spent: true, next });

  for (const [language, words, end] of [["en", /No match in the 100,000 records/, /Nothing matches/], ["zh", /100,000 条/, /没有匹配的消息/]]) {
    test(`that gave up says so, and goes on until it finds (${language})`, async () => {
      await at("/topics/orders", { language }, async (page) => {
        const asked = await answers(page, [nothing("a"), nothing("b"), nothing("c"), { messages: [message], scanned: 40, budget_spent: false, next: null }]);
        await page.goto(`${base}/topics/orders?from=newest&contains=needle`);
        await page.getByText(words).first().waitFor();
        assert.equal(await page.getByText(end).count(), 0);
        await page.getByTestId("search-on").click();
        await page.getByTestId("message").getByText("the needle").waitFor();
        assert.deepEqual(asked.slice(-3), ["a", "b", "c"]);
        assert.match(await page.getByTestId("scanned").innerText(), /300,040/);
      });
    });
  }

  test("that looked at everything says that nothing matches", async () => {
    await at("/topics/orders", {}, async (page) => {
      await answers(page, [{ messages: [], scanned: 12, budget_spent: false, next: null }]);
      await page.goto(`${base}/topics/orders?from=newest&contains=needle`);
      await page.getByText("Nothing matches.").waitFor();
      await page.getByText("12 records were looked at").waitFor();
    });
  });

  test("of the live tail says how far back it looked", async () => {
    await at("/topics/orders", {}, async (page) => {
      await answers(page, [nothing("a")]);
      await page.goto(`${base}/topics/orders?contains=needle-that-nobody-writes`);
      await page.getByText("No match in the newest 100,000 records.").waitFor();
      await page.getByTestId("search-back").click();
      await page.waitForURL(/from=newest/);
      await page.getByTestId("search-on").waitFor();
    });
  });
});

describe("the live tail", () => {
  test("shows a match that the producer wrote in JSON's escapes, and one beyond what is shown of a long value", async () => {
    const topic = "browser_messages";
    await post("/topics", { name: topic, partitions: 1, configs: {} });
    const written = { escaped: '{"note": "\\u6d4b\\u8bd5\\u4e00"}', long: `{"note": "${"x".repeat(100_000)}测试一"}` };
    await at(`/topics/${topic}?contains=${encodeURIComponent("测试一")}`, {}, async (page) => {
      await page.locator(".tail-strip").waitFor();
      for (const [key, value] of Object.entries(written)) {
        await post(`/topics/${topic}/produce`, { partition: 0, key: `browser-${key}`, value, headers: [] });
        await page.getByTestId("message").getByText(`browser-${key}`).waitFor();
      }
      // What was cut is fetched whole when it is opened.
      await page.getByTestId("message").getByText("browser-long").click();
      await until(page, "the whole value", async () => (await page.locator(".drawer .json").innerText()).length, (n) => n > 100_000);
    });
    await send("DELETE", `/topics/${topic}`);
  });
});

describe("a topic read from its beginning", () => {
  test("shows the records of all partitions, and goes on", async () => {
    await at("/topics/orders?from=oldest", {}, async (page) => {
      const rows = page.getByTestId("message");
      await rows.first().waitFor();
      const partitions = await rows.locator("td:nth-child(2)").allInnerTexts();
      assert.ok(new Set(partitions).size > 1, `only partition ${partitions[0]}`);
      const shown = await rows.count();
      await until(page, "there is more to show", async () => {
        await page.getByRole("button", { name: "Read again" }).click();
        await rows.first().waitFor();
        return page.getByTestId("more").count();
      }, (n) => n > 0);
      await page.getByTestId("more").click();
      await until(page, "more rows", () => rows.count(), (n) => n > shown);
    });
  });
});

describe("a link to a record", () => {
  test("opens that record, also where the list does not have it", async () => {
    const [first] = (await get("/topics/orders/messages?from=oldest&limit=1")).messages;
    await at(`/topics/orders?record=${first.partition}:${first.offset}`, {}, async (page) => {
      await page.locator(".drawer .json").first().waitFor();
      assert.match(await page.locator(".drawer .kv").innerText(), new RegExp(`partition ${first.partition} · offset ${first.offset.toLocaleString("en")}\\b`));
      await page.keyboard.press("Escape");
      await page.locator(".drawer").waitFor({ state: "detached" });
    });
  });

  test("to one that is not there says so, and holds nothing", async () => {
    await at("/topics/orders?record=0:900719925474", {}, async (page) => {
      await page.getByText("There is no record at partition 0, offset 900,719,925,474.").waitFor();
      await page.keyboard.press("Escape");
      await until(page, "the tail moves on", () => page.locator(".held").count(), (n) => n === 0);
    }, [/status of 404/]);
  });
});
