// The server goes away, or comes back as another build, while the console is
// open: a page that was not visited before says so, and opens by itself.
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { launch, shot, until, visit } from "./browser.mjs";
import { OWN, server } from "./demo.mjs";

let own;
let browser;

before(async () => {
  browser = await launch();
  own = await server();
});
after(async () => {
  await browser?.close();
  await own?.stop();
});

/** Opens the overview only: the code of the other pages is not loaded yet. */
async function overview(language = "en") {
  const view = await visit(browser, own.base, "/", { language });
  await view.page.locator(".score").waitFor();
  return view;
}

describe("a page that is visited first while the server is away", { skip: !OWN && "the server at BASE_URL is not ours to stop" }, () => {
  for (const [language, words] of [["en", "The server does not answer, so this page could not be loaded."], ["zh", "服务器没有应答，页面无法加载。"]]) {
    test(`says so, and opens when the server is back (${language})`, async () => {
      const { context, page, strangers } = await overview(language);
      await own.halt();
      await page.locator(".nav a[href='/jobs']").click();
      await page.getByText(words).waitFor();
      assert.equal(await page.getByText("TypeError").count(), 0);
      await shot(page, `away-${language}`);
      await own.start();
      await page.locator("tr.click").first().waitFor();
      assert.match(page.url(), /\/jobs$/);
      assert.deepEqual(strangers, []);
      await context.close();
    });
  }
});

describe("a page whose code the server does not have any more", () => {
  const code = /\/assets\/JobsPage-/;

  test("comes with the new build, which is loaded once", async () => {
    const { context, page } = await overview();
    let loads = 0;
    page.on("load", () => (loads += 1));
    await page.route(code, (route) => (loads === 0 ? route.fulfill({ status: 404 }) : route.continue()));
    // What the console asks says "another build"; what the browser loads is the real one.
    await page.route("**/", (route) => (route.request().resourceType() === "fetch" ? route.fulfill({ contentType: "text/html", body: '<script type="module" src="/assets/index-another.js"></script>' }) : route.continue()));
    await page.locator(".nav a[href='/jobs']").click();
    await page.locator("tr.click").first().waitFor();
    assert.equal(loads, 1);
    assert.match(page.url(), /\/jobs$/);
    await context.close();
  });

  test("is not loaded again and again when that does not help", async () => {
    const { context, page } = await overview();
    let loads = 0;
    page.on("load", () => (loads += 1));
    let asked = 0;
    await page.route(code, (route) => route.fulfill({ status: 404 }));
    await page.route("**/", (route) => {
      if (route.request().resourceType() !== "fetch") return route.continue();
      asked += 1;
      return route.fulfill({ contentType: "text/html", body: '<script type="module" src="/assets/index-another.js"></script>' });
    });
    await page.locator(".nav a[href='/jobs']").click();
    await page.getByText("The server was upgraded, and this window still has the version before.").waitFor();
    const before = asked;
    await until(page, "it goes on asking", async () => asked, (n) => n > before + 1);
    assert.equal(loads, 1);
    await page.getByRole("button", { name: "Reload the page" }).waitFor();
    await context.close();
  });
});
