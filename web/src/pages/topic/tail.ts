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
const NO_BAR = { matched: 0, scanned: 0 };

export interface Tail {
  rows: Message[];
  held: Message[];
  /** All that came while held, also those beyond HELD_MAX. */
  heldCount: number;
  matched: number;
  skipped: number;
  scanned: number;
  /** Records that matched and that were looked at, second by second, oldest first. */
  bars: { matched: number; scanned: number }[];
}

export const EMPTY_TAIL: Tail = { rows: [], held: [], heldCount: 0, matched: 0, skipped: 0, scanned: 0, bars: Array.from({ length: BARS }, () => NO_BAR) };

export const messageKey = (message: Message): string => `${message.partition}:${message.offset}`;

/** The position in a record's address, `0:1`; null when it is none. */
export function positionOf(key: string | null): { partition: number; offset: number } | null {
  const [, partition, offset] = /^(\d{1,10}):(\d{1,19})$/.exec(key ?? "") ?? [];
  return partition === undefined || offset === undefined ? null : { partition: Number(partition), offset: Number(offset) };
}

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

export interface Arrivals {
  messages: Message[];
  /** Matched too, but more than a push holds. */
  skipped: number;
  scanned: number;
}

/** What was in the log before the tail began: shown, but not counted as new. */
export function before(tail: Tail, messages: Message[]): Tail {
  return { ...tail, rows: unique([...tail.rows, ...[...messages].sort(newestFirst)]).slice(0, ROWS_MAX) };
}

export function push(tail: Tail, { messages, skipped, scanned }: Arrivals, held: boolean): Tail {
  const matched = messages.length + skipped;
  const bars = [...tail.bars];
  const now = bars[BARS - 1] ?? NO_BAR;
  bars[BARS - 1] = { matched: now.matched + matched, scanned: now.scanned + Math.max(matched, scanned) };
  const next = { ...tail, bars, matched: tail.matched + matched, scanned: tail.scanned + Math.max(matched, scanned), skipped: tail.skipped + skipped };
  const sorted = [...messages].sort(newestFirst);
  if (held) {
    return { ...next, held: unique([...sorted, ...tail.held]).slice(0, HELD_MAX), heldCount: tail.heldCount + matched };
  }
  return { ...next, rows: unique([...sorted, ...tail.held, ...tail.rows]).slice(0, ROWS_MAX), held: [], heldCount: 0 };
}

/** Shows what was held. */
export function release(tail: Tail): Tail {
  return { ...tail, rows: unique([...tail.held, ...tail.rows]).slice(0, ROWS_MAX), held: [], heldCount: 0 };
}

/** A second has passed. */
export function tick(tail: Tail): Tail {
  return { ...tail, bars: [...tail.bars.slice(1), NO_BAR] };
}
