import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { en } from "../src/i18n/en";
import { zh } from "../src/i18n/zh";
import { inline, lines, LINES_MAX, tokenize } from "../src/ui/json";
import { before, EMPTY_TAIL, HELD_MAX, positionOf, push, release, ROWS_MAX } from "../src/pages/topic/tail";
import type { Message } from "../src/api/types";

function keys(tree: object, prefix = ""): [string, string][] {
  return Object.entries(tree).flatMap(([key, value]) => (typeof value === "string" ? [[`${prefix}${key}`, value] as [string, string]] : keys(value as object, `${prefix}${key}.`)));
}

const placeholders = (text: string): string[] => [...text.matchAll(/\{\{(\w+)\}\}|<(\w+)>/g)].map((m) => m[1] ?? m[2] ?? "").sort();

describe("the two languages", () => {
  const english = new Map(keys(en));
  const chinese = new Map(keys(zh));

  test("have the same keys", () => {
    expect([...chinese.keys()].sort()).toEqual([...english.keys()].sort());
  });

  test("fill in the same values", () => {
    for (const [key, text] of english) expect([key, placeholders(chinese.get(key) ?? "")]).toEqual([key, placeholders(text)]);
  });

  test("Chinese has a space between Han and Latin or digits, and full-width punctuation", () => {
    for (const [key, text] of chinese) {
      expect([key, /\p{Script=Han}[A-Za-z0-9]|[A-Za-z0-9]\p{Script=Han}/u.test(text)]).toEqual([key, false]);
      expect([key, /\p{Script=Han}[,;!?]/u.test(text)]).toEqual([key, false]);
    }
  });
});

test("pages have no words of their own: every string a person reads is keyed", () => {
  const files = (dir: string): string[] => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]));
  const allowed = new Set(["EN", "Kafka", "NULL", "SQL", "CSV", "Millstream", "Esc", "Space", "J", "K", "P"]);
  for (const file of files("src").filter((f) => f.endsWith(".tsx"))) {
    const text = readFileSync(file, "utf8");
    for (const match of text.matchAll(/>([A-Z][A-Za-z ]*|[A-Z]|\p{Script=Han}+)<\//gu)) {
      const words = (match[1] ?? "").trim();
      expect([file, words, allowed.has(words)]).toEqual([file, words, true]);
    }
  }
});

describe("JSON", () => {
  test("keeps every digit of a number that a double would round", () => {
    expect(tokenize('{"id": 9007199254740993}').find((t) => t.kind === "number")?.text).toBe("9007199254740993");
  });

  test("is laid out a member a line", () => {
    const laid = lines('{"a":[1,{"b":"x, y"}],"c":{}}').lines.map((line) => "  ".repeat(line.indent) + line.tokens.map((t) => t.text).join(""));
    expect(laid).toEqual(["{", '  "a": [', "    1,", "    {", '      "b": "x, y"', "    }", "  ],", '  "c": {}', "}"]);
  });

  test("that is broken is still shown", () => {
    expect(lines('{"a": 1, "b').lines.flatMap((l) => l.tokens.map((t) => t.text)).join("")).toBe('{"a": 1,"b');
  });

  test("that is huge stops at a bound", () => {
    expect(lines(`[${"1,".repeat(LINES_MAX * 2)}1]`)).toMatchObject({ cut: true });
    expect(inline(`{"a": "${"x".repeat(10_000)}"}`, 220).length).toBeLessThan(20);
  });
});

describe("the tail", () => {
  const message = (offset: number): Message => ({ partition: 0, offset, timestamp_ms: offset, key: null, key_encoding: "null", value: "v", value_encoding: "text", value_bytes: 1, key_bytes: 0, cut: false, headers: [], headers_count: 0 });
  const arrivals = (...offsets: number[]) => ({ messages: offsets.map(message), skipped: 0, scanned: offsets.length });

  test("shows the newest first and each record once", () => {
    const tail = push(before(push(EMPTY_TAIL, arrivals(4), false), [message(3), message(4)]), arrivals(5), false);
    expect(tail.rows.map((m) => m.offset)).toEqual([5, 4, 3]);
    expect(tail.matched).toBe(2);
  });

  test("held, it counts what comes and changes nothing until released", () => {
    const held = push(push(EMPTY_TAIL, arrivals(1), false), { ...arrivals(2, 3), skipped: 7 }, true);
    expect(held.rows.map((m) => m.offset)).toEqual([1]);
    expect(held.heldCount).toBe(9);
    expect(release(held)).toMatchObject({ heldCount: 0, held: [] });
    expect(release(held).rows.map((m) => m.offset)).toEqual([3, 2, 1]);
  });

  test("is bounded, shown and held", () => {
    const many = arrivals(...Array.from({ length: 2_000 }, (_, i) => i));
    expect(push(EMPTY_TAIL, many, false).rows).toHaveLength(ROWS_MAX);
    expect(push(EMPTY_TAIL, many, true).held).toHaveLength(HELD_MAX);
  });

  test("knows what the server looked at beside what matched", () => {
    const tail = push(EMPTY_TAIL, { messages: [message(1)], skipped: 0, scanned: 40 }, false);
    expect(tail.bars.at(-1)).toEqual({ matched: 1, scanned: 40 });
  });
});

test("a record's address is a partition and an offset, and nothing else", () => {
  expect(positionOf("0:1")).toEqual({ partition: 0, offset: 1 });
  for (const wrong of [null, "", "0", "0:", "-1:2", "0:1:2", "a:b", "0:1 "]) expect([wrong, positionOf(wrong)]).toEqual([wrong, null]);
});
