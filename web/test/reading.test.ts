import { describe, expect, test } from "vitest";
import type { Message } from "../src/api/types";
import { after, found, type ReadPage, searchesOn, START } from "../src/pages/topic/reading";

function page(shown: number, scanned: number, next: string | null, budget_spent: boolean, from = START): ReadPage {
  const messages = Array.from({ length: shown }, (_, offset) => ({ partition: 0, offset }) as Message);
  return { messages, scanned, next, budget_spent, end: {}, from };
}

describe("reading a topic page by page", () => {
  test("counts what was looked at over all answers", () => {
    const first = page(3, 100_000, "a", true);
    const second = page(200, 40_000, "b", false, after(first));
    expect(after(second)).toEqual({ next: "b", scanned: 140_000, shown: 203 });
    expect(found([first, second])).toMatchObject({ scanned: 140_000, before: 0, gaveUp: false, more: true });
  });

  test("says how many rows have left the list", () => {
    const first = page(200, 200, "a", false);
    expect(found([page(200, 200, null, false, after(first))])).toMatchObject({ before: 200, scanned: 400, more: false });
  });

  test("a search that gave up is not the end, and nothing found is said at the end only", () => {
    expect(found([page(0, 100_000, "a", true)])).toMatchObject({ gaveUp: true, more: true, rows: [] });
    expect(found([page(0, 7, null, false)])).toMatchObject({ gaveUp: false, more: false, rows: [] });
    expect(after(page(0, 7, null, false))).toBeUndefined();
  });

  test("goes on by itself until something is found or the log ends", () => {
    expect(searchesOn(page(0, 100_000, "a", true))).toBe(true);
    expect(searchesOn(page(1, 100_000, "a", true))).toBe(false);
    expect(searchesOn(page(0, 10, null, false))).toBe(false);
    expect(searchesOn(undefined)).toBe(false);
  });
});
