/** Durations, ages and times of day. Milliseconds in, text out. */
import { type Language, MISSING, NBSP } from "./language";

interface Units {
  ms: string;
  s: string;
  min: string;
  minAlone: string;
  h: string;
  hAlone: string;
  d: string;
}

const UNITS: Record<Language, Units> = {
  en: { ms: "ms", s: "s", min: "min", minAlone: "min", h: "h", hAlone: "h", d: "d" },
  zh: { ms: "ms", s: "秒", min: "分", minAlone: "分钟", h: "小时", hAlone: "小时", d: "天" },
};

function known(value: number | null | undefined): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

function part(value: number | string, unit: string): string {
  return `${value}${NBSP}${unit}`;
}

/** `62 ms`, `0.3 s`, `41 s`, `9 min 33 s`, `4 d 2 h`: two units at most. */
export function duration(ms: number | null | undefined, language: Language): string {
  if (!known(ms)) return MISSING;
  const u = UNITS[language];
  const value = Math.max(0, ms);
  if (value < 99.5) return part(Math.round(value), u.ms);
  if (value < 9_950) return part((value / 1000).toFixed(1), u.s);
  const seconds = Math.round(value / 1000);
  if (seconds < 60) return part(seconds, u.s);
  if (seconds < 3600) return pair(Math.floor(seconds / 60), u.min, u.minAlone, seconds % 60, u.s);
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1440) return pair(Math.floor(minutes / 60), u.h, u.hAlone, minutes % 60, u.min);
  const hours = Math.floor(minutes / 60);
  return pair(Math.floor(hours / 24), u.d, u.d, hours % 24, u.h);
}

function pair(big: number, unit: string, alone: string, small: number, smallUnit: string): string {
  return small === 0 ? part(big, alone) : `${part(big, unit)} ${part(small, smallUnit)}`;
}

/** Latencies stay in milliseconds below a second: `128 ms`, `1.4 s`. */
export function latency(ms: number | null | undefined, language: Language): string {
  if (!known(ms)) return MISSING;
  return ms < 999.5 ? part(Math.round(Math.max(0, ms)), UNITS[language].ms) : duration(ms, language);
}

/** Small commit times keep a digit: `2.1 ms`, `62 ms`. */
export function milliseconds(ms: number | null | undefined, language: Language): string {
  if (!known(ms)) return MISSING;
  return ms < 9.95 ? part(ms.toFixed(1), UNITS[language].ms) : duration(ms, language);
}

/** The age in a live corner: always in seconds and never jumping in width: `0.3 s`, `12 s`. */
export function age(ms: number | null | undefined, language: Language): string {
  if (!known(ms)) return MISSING;
  const value = Math.max(0, ms);
  return value < 9_950 ? part((value / 1000).toFixed(1), UNITS[language].s) : duration(value, language);
}

/** `2.1 s ago`, `2.1 秒前`; older than an hour it is the time itself. */
export function ago(timestampMs: number | null | undefined, nowMs: number, language: Language): string {
  if (!known(timestampMs)) return MISSING;
  const past = nowMs - timestampMs;
  if (past >= 3_600_000) return dateTime(timestampMs);
  const text = age(past, language);
  return language === "zh" ? `${text}前` : `${text} ago`;
}

/** `12 min ago`, `3 h ago`: one unit, where a column is narrow and the time itself is on hover. */
export function agoAbout(timestampMs: number | null | undefined, nowMs: number, language: Language): string {
  if (!known(timestampMs)) return MISSING;
  const past = Math.max(0, nowMs - timestampMs);
  const u = UNITS[language];
  const text =
    past < 60_000 ? age(past, language)
    : past < 3_600_000 ? part(Math.floor(past / 60_000), u.minAlone)
    : past < 86_400_000 ? part(Math.floor(past / 3_600_000), u.hAlone)
    : part(Math.floor(past / 86_400_000), u.d);
  return language === "zh" ? `${text}前` : `${text} ago`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}

/** `20:41:07.502`, in the browser's zone. */
export function timeOfDay(timestampMs: number | null | undefined, withMillis = false): string {
  if (!known(timestampMs)) return MISSING;
  const t = new Date(timestampMs);
  const text = `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}`;
  return withMillis ? `${text}.${String(t.getMilliseconds()).padStart(3, "0")}` : text;
}

/** `2026-11-22 20:41:07`. */
export function dateTime(timestampMs: number | null | undefined, withMillis = false): string {
  if (!known(timestampMs)) return MISSING;
  const t = new Date(timestampMs);
  return `${t.getFullYear()}-${two(t.getMonth() + 1)}-${two(t.getDate())} ${timeOfDay(timestampMs, withMillis)}`;
}

/** `+08:00`, shown once a view. */
export function zone(at: Date = new Date()): string {
  const minutes = -at.getTimezoneOffset();
  const size = Math.abs(minutes);
  return `${minutes < 0 ? "−" : "+"}${two(Math.floor(size / 60))}:${two(size % 60)}`;
}

/**
 * A SQL time (`2026-11-22 20:41:05.000`) as a wall-clock instant, for axes.
 * SQL's text is shown as SQL prints it: it is read as UTC and printed as UTC,
 * never shifted by the browser's zone. A text with a zone of its own is an instant.
 */
export function parseSqlTime(text: unknown): number | null {
  if (typeof text === "number") return text;
  if (typeof text !== "string") return null;
  const iso = text.trim().replace(" ", "T");
  if (!/^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}/.test(iso)) return null;
  const zoned = /(Z|[+-]\d{2}:?\d{2})$/.test(iso);
  const parsed = Date.parse(zoned ? iso : `${iso}Z`);
  return Number.isNaN(parsed) ? null : parsed;
}

/** `20:41:05` of an instant made by parseSqlTime: as SQL printed it, or in the viewer's zone. */
export function chartTimeOfDay(ms: number, mode: "wall" | "local"): string {
  return mode === "local" ? timeOfDay(ms) : new Date(ms).toISOString().slice(11, 19);
}

/** `20:41:05` of a SQL time; what is none is shown as it is. */
export function sqlTimeOfDay(text: unknown, mode: "wall" | "local"): string {
  const ms = parseSqlTime(text);
  if (ms === null) return typeof text === "string" ? text : MISSING;
  return chartTimeOfDay(ms, mode);
}
