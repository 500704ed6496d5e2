/**
 * The live tail's list: newest first, bounded, held while a record is open.
 * Pure: pushes in, what to show out.
 */
import type { Message } from "../../api/types";

/** Rows that stay in the list; what is older is in the log. */
export const ROWS_MAX = 300;
/** While the view is held this many new records are kept to be shown at once. */
export const HELD_MAX = 300;
const BARS = 120;

export interface Tail {
  rows: Message[];
  held: Message[];
  /** All that came while held, also those beyond HELD_MAX. */
  heldCount: number;
  matched: number;
  skipped: number;
  /** Records per second, oldest first. */
  bars: number[];
}

export const EMPTY_TAIL: Tail = { rows: [], held: [], heldCount: 0, matched: 0, skipped: 0, bars: Array.from({ length: BARS }, () => 0) };

export const messageKey = (message: Message): string => `${message.partition}:${message.offset}`;

const newestFirst = (a: Message, b: Message): number => b.timestamp_ms - a.timestamp_ms || b.offset - a.offset;

function unique(messages: Message[]): Message[] {
  const seen = new Set<string>();
  return messages.filter((message) => {
    const key = messageKey(message);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  });
}

export function push(tail: Tail, messages: Message[], skipped: number, held: boolean, counted = true): Tail {
  const bars = [...tail.bars];
  if (counted) bars[BARS - 1] = (bars[BARS - 1] ?? 0) + messages.length + skipped;
  const next = { ...tail, bars, matched: tail.matched + (counted ? messages.length + skipped : 0), skipped: tail.skipped + skipped };
  const sorted = [...messages].sort(newestFirst);
  if (held) {
    return { ...next, held: unique([...sorted, ...tail.held]).slice(0, HELD_MAX), heldCount: tail.heldCount + messages.length + skipped };
  }
  return { ...next, rows: unique([...sorted, ...tail.held, ...tail.rows]).slice(0, ROWS_MAX), held: [], heldCount: 0 };
}

/** Shows what was held. */
export function release(tail: Tail): Tail {
  return { ...tail, rows: unique([...tail.held, ...tail.rows]).slice(0, ROWS_MAX), held: [], heldCount: 0 };
}

/** A second has passed. */
export function tick(tail: Tail): Tail {
  return { ...tail, bars: [...tail.bars.slice(1), 0] };
}
