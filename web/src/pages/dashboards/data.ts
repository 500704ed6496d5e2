/** From a SQL result to what a panel draws. Pure. */
import type { Cell, Format, SqlResult } from "../../api/types";
import { type Language, MISSING } from "../../format/language";
import { type Figure, business, businessText, count, money, percent, toNumber } from "../../format/number";
import { parseSqlTime, sqlTimeOfDay } from "../../format/time";

export function columnIndex(result: SqlResult, name: string | undefined): number {
  return name === undefined ? -1 : result.columns.findIndex((column) => column.name === name);
}

/** The first row's value of a column, or of the only column. */
export function single(result: SqlResult | null, name: string | undefined): number | null {
  if (!result) return null;
  const at = name === undefined ? 0 : columnIndex(result, name);
  return toNumber(result.rows[0]?.[at]);
}

export interface Series {
  name: string;
  /** Aligned with `x`; null leaves a gap. */
  values: (number | null)[];
}

export interface Plot {
  /** Wall-clock milliseconds, or category names. */
  x: number[] | string[];
  time: boolean;
  series: Series[];
}

export const SERIES_MAX = 8;
export const OTHER = "\u0000other";

/** Rows as series over x, ascending in time; over eight series the smallest become "other". */
export function plot(result: SqlResult, xName: string | undefined, yName: string | undefined, seriesName: string | undefined, stacked: boolean): Plot {
  const xi = columnIndex(result, xName);
  const yi = columnIndex(result, yName);
  const si = columnIndex(result, seriesName);
  if (xi < 0 || yi < 0) return { x: [], time: false, series: [] };
  const time = /^(TIMESTAMP|TIME|DATE)/i.test(result.columns[xi]?.type ?? "") || parseSqlTime(result.rows[0]?.[xi]) !== null;
  const keyOf = (row: Cell[]): number | string | null => (time ? parseSqlTime(row[xi]) : String(row[xi] ?? MISSING));
  const keys = new Map<number | string, number>();
  const bySeries = new Map<string, Map<number | string, number>>();
  for (const row of result.rows) {
    const key = keyOf(row);
    const value = toNumber(row[yi]);
    if (key === null || value === null) continue;
    keys.set(key, 1);
    const name = si < 0 ? "" : String(row[si] ?? MISSING);
    const values = bySeries.get(name) ?? new Map<number | string, number>();
    values.set(key, (values.get(key) ?? 0) + value);
    bySeries.set(name, values);
  }
  let x = [...keys.keys()];
  if (time) x.sort((a, b) => Number(a) - Number(b));
  // A LIMIT may have cut the oldest instant in the middle of its series.
  if (time && si >= 0 && x.length > 3) x = x.slice(1);
  const series = foldSmall(bySeries).map(({ name, values }) => ({
    name,
    // Where a stacked or multi-series instant has no row, nothing happened there: zero.
    values: x.map((key) => values.get(key) ?? (si >= 0 || stacked ? 0 : null)),
  }));
  return time ? withGaps(x as number[], series) : { x: x as string[], time, series };
}

/** Fewer instants than this say nothing about a rhythm. */
const RHYTHM_MIN = 8;

/** Where instants are missing the line breaks: a gap stays a gap. */
function withGaps(x: number[], series: Series[]): Plot {
  const steps = x.slice(1).map((at, i) => at - (x[i] ?? at));
  const usual = [...steps].sort((a, b) => a - b)[Math.floor(steps.length / 2)] ?? 0;
  if (x.length < RHYTHM_MIN || usual <= 0) return { x, time: true, series };
  const breaks = steps.flatMap((step, i) => (step > 3 * usual ? [i + 1] : []));
  for (const at of breaks.reverse()) {
    x.splice(at, 0, (x[at - 1] ?? 0) + usual);
    for (const one of series) one.values.splice(at, 0, null);
  }
  return { x, time: true, series };
}

function foldSmall(bySeries: Map<string, Map<number | string, number>>): { name: string; values: Map<number | string, number> }[] {
  const total = (values: Map<number | string, number>): number => [...values.values()].reduce((all, v) => all + v, 0);
  const sorted = [...bySeries].map(([name, values]) => ({ name, values })).sort((a, b) => total(b.values) - total(a.values));
  if (sorted.length <= SERIES_MAX) return sorted;
  const other = new Map<number | string, number>();
  for (const { values } of sorted.slice(SERIES_MAX - 1)) for (const [key, value] of values) other.set(key, (other.get(key) ?? 0) + value);
  return [...sorted.slice(0, SERIES_MAX - 1), { name: OTHER, values: other }];
}

export interface Ranked {
  label: string;
  value: number;
}

export function ranked(result: SqlResult, label: string | undefined, value: string | undefined): Ranked[] {
  const li = columnIndex(result, label);
  const vi = columnIndex(result, value);
  if (li < 0 || vi < 0) return [];
  return result.rows.flatMap((row) => {
    const number = toNumber(row[vi]);
    return number === null ? [] : [{ label: String(row[li] ?? MISSING), value: number }];
  });
}

/** A figure with its unit apart, for large type. */
export function figureOf(value: number | null, format: Format | undefined, language: Language): Figure {
  if (value === null) return { figure: MISSING, unit: "" };
  switch (format) {
    case "percent":
      return { figure: percent(value * 100).replace(/\s*%$/, ""), unit: "%" };
    case "count":
      return { figure: count(value), unit: "" };
    default:
      return business(value, language);
  }
}

/** A number on an axis, in a legend or in a cell of a bar list. */
export function numberText(value: number | null, format: Format | undefined, language: Language): string {
  if (value === null) return MISSING;
  if (format === "percent") return percent(value * 100);
  if (format === "count") return count(value);
  return businessText(value, language);
}

/** A cell of a table or list. */
export function cellOf(cell: Cell | undefined, format: Format | undefined, language: Language, times: "wall" | "local" = "wall"): string {
  if (cell === null || cell === undefined) return MISSING;
  switch (format) {
    case "time":
      return sqlTimeOfDay(cell, times);
    case "money":
      return money(toNumber(cell));
    case "percent": {
      const value = toNumber(cell);
      return value === null ? MISSING : percent(value * 100);
    }
    case "count":
      return count(toNumber(cell));
    case "compact":
      return businessText(toNumber(cell), language);
    default:
      return String(cell);
  }
}

export function isRight(format: Format | undefined, type: string): boolean {
  if (format === "time" || format === "text") return false;
  return format !== undefined || /^(TINYINT|SMALLINT|INT|BIGINT|FLOAT|DOUBLE|DECIMAL)/i.test(type);
}

/** Names take their colours in the order they were first seen, and keep them. */
export class ColorBook {
  readonly #names = new Map<string, string[]>();

  index(column: string, name: string): number {
    const names = this.#names.get(column) ?? [];
    this.#names.set(column, names);
    let at = names.indexOf(name);
    if (at < 0) at = names.push(name) - 1;
    return at % SERIES_MAX;
  }
}

export const colorBook = new ColorBook();
