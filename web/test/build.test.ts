import { describe, expect, test } from "vitest";
import { compare, entryOf, mayReload } from "../src/shell/build";

const page = (entry: string): string => `<!doctype html><script src="/boot.js"></script><script type="module" crossorigin src="${entry}"></script>`;

describe("which build the server has", () => {
  test("is told by the entry script, not by the one before the first paint", () => {
    expect(entryOf(page("/assets/index-abc.js"))).toBe("/assets/index-abc.js");
    expect(compare(page("/assets/index-abc.js"), "/assets/index-abc.js")).toBe("same");
    expect(compare(page("/assets/index-new.js"), "/assets/index-abc.js")).toBe("changed");
  });

  test("is unknown on a page that is not ours: nothing is reloaded for a proxy's error", () => {
    expect(compare("<h1>Bad gateway</h1>", "/assets/index-abc.js")).toBe("unknown");
    expect(compare(page("/assets/index-abc.js"), null)).toBe("unknown");
  });
});

test("a reload that did not help is not tried again", () => {
  const kept = new Map<string, string>();
  const storage = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value) };
  expect([mayReload("build a", storage), mayReload("build a", storage), mayReload("build b", storage), mayReload("build a", storage)]).toEqual([true, false, true, false]);
  const refusing = { getItem: () => null, setItem: () => { throw new Error("full"); } };
  expect(mayReload("build a", refusing)).toBe(false);
});
