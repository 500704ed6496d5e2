/** What a result is not: rows beyond its bounds, records that it could not read. */
import type { SqlResult } from "../api/types";
import { count } from "../format/number";
import { dateTime } from "../format/time";

/** A sentence of the dictionary, and what is filled in. */
export interface Note {
  key: "coverage.newest" | "coverage.rows" | "coverage.bytes" | "coverage.skipped";
  values: Record<string, string | number>;
}

/** What a reader of this result has to know about it; nothing when it is the whole answer. */
export function notesOf(result: SqlResult): Note[] {
  const notes: Note[] = [];
  for (const { table, rows, of, since_ms } of result.covers ?? []) {
    notes.push({ key: "coverage.newest", values: { table, rows: count(rows), of: count(of), since: dateTime(since_ms) } });
  }
  if (result.truncated) {
    notes.push({ key: result.truncated_by === "bytes" ? "coverage.bytes" : "coverage.rows", values: { rows: count(result.rows.length) } });
  }
  const skipped = result.skipped_records ?? 0;
  if (skipped > 0) notes.push({ key: "coverage.skipped", values: { count: skipped, n: count(skipped) } });
  return notes;
}
