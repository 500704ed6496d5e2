import { expect, test } from "vitest";
import type { SqlResult } from "../src/api/types";
import { en } from "../src/i18n/en";
import { notesOf } from "../src/ui/notes";

const whole: SqlResult = { columns: [{ name: "n", type: "BIGINT" }], rows: [[498_634]] };

test("a whole answer needs no words", () => {
  expect(notesOf(whole)).toEqual([]);
  expect(notesOf({ ...whole, truncated: false, skipped_records: 0, covers: [] })).toEqual([]);
});

test("a live answer over the newest records says how many of how many", () => {
  const [note] = notesOf({ ...whole, covers: [{ table: "orders", rows: 93_337, of: 498_634, since_ms: null }] });
  expect(note?.key).toBe("coverage.newest");
  expect(note?.values).toMatchObject({ table: "orders", rows: "93,337", of: "498,634" });
});

test("a cut result says what cut it, and records without a row are counted", () => {
  const keys = (result: SqlResult) => notesOf(result).map((note) => note.key);
  expect(keys({ ...whole, truncated: true, truncated_by: "bytes" })).toEqual(["coverage.bytes"]);
  expect(keys({ ...whole, truncated: true })).toEqual(["coverage.rows"]);
  const [skipped] = notesOf({ ...whole, skipped_records: 60 });
  expect(skipped).toEqual({ key: "coverage.skipped", values: { count: 60, n: "60" } });
  expect(en.coverage.skipped_other).toContain("{{n}}");
});
