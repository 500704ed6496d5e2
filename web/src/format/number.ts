/**
 * Figures, by the table of forms in the design: counts and offsets are never
 * shortened, rates have at most four digits, bytes are powers of 1,024,
 * business figures follow the language (7.33 B, 73.26 亿).
 */
import { type Language, MISSING, NBSP, THIN } from "./language";

const grouped = new Intl.NumberFormat("en-US", { maximumFractionDigits: 0 });

function fixed(value: number, digits: number): string {
  return new Intl.NumberFormat("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits }).format(value);
}

function known(value: number | null | undefined): value is number {
  return value !== null && value !== undefined && Number.isFinite(value);
}

/** `88,411,898`: counts, offsets, ids and differences, every digit. */
export function count(value: number | null | undefined): string {
  return known(value) ? grouped.format(Math.trunc(value)) : MISSING;
}

/** At most four digits: `0`, `6.2`, `61.3`, `233`, `1.21 M`, `412.9 K`. */
export function short(value: number | null | undefined): string {
  if (!known(value)) return MISSING;
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 99.95) return trimZero(fixed(value, 1));
  if (size < 999.5) return fixed(value, 0);
  if (size < 999_950) return `${fixed(value / 1e3, 1)}${NBSP}K`;
  if (size < 999_995_000) return `${fixed(value / 1e6, 2)}${NBSP}M`;
  return `${fixed(value / 1e9, 2)}${NBSP}B`;
}

function trimZero(text: string): string {
  return text === "0.0" || text === "-0.0" ? "0" : text;
}

/** `412.9 K/s`, `233 /s`. */
export function rate(value: number | null | undefined): string {
  if (!known(value)) return MISSING;
  const text = short(value);
  return /[KMB]$/.test(text) ? `${text}/s` : `${text}${NBSP}/s`;
}

const BYTE_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** `639 B`, `18.2 KiB`, `1.24 TiB`: powers of 1,024, three digits. */
export function bytes(value: number | null | undefined): string {
  if (!known(value)) return MISSING;
  let size = value;
  let unit = 0;
  while (Math.abs(size) >= 1023.5 && unit < BYTE_UNITS.length - 1) {
    size /= 1024;
    unit += 1;
  }
  const digits = unit === 0 ? 0 : Math.abs(size) < 10 ? 2 : Math.abs(size) < 100 ? 1 : 0;
  return `${fixed(size, digits)}${NBSP}${BYTE_UNITS[unit] ?? ""}`;
}

export function byteRate(value: number | null | undefined): string {
  return known(value) ? `${bytes(value)}/s` : MISSING;
}

/** `97.4 %`. The argument is already in percent. */
export function percent(value: number | null | undefined, digits = 1): string {
  return known(value) ? `${fixed(value, digits)}${THIN}%` : MISSING;
}

/** A figure and the unit that stands smaller beside it. */
export interface Figure {
  figure: string;
  unit: string;
}

/** Business figures: English `7.33 B`, `14.0 K`; Chinese `73.26 亿`, `1.4 万`. */
export function business(value: number | null | undefined, language: Language): Figure {
  if (!known(value)) return { figure: MISSING, unit: "" };
  const size = Math.abs(value);
  if (language === "zh") {
    if (size >= 99_995_000) return { figure: fixed(value / 1e8, 2), unit: "亿" };
    if (size >= 10_000) return { figure: fixed(value / 1e4, 1), unit: "万" };
    return { figure: plain(value), unit: "" };
  }
  if (size >= 999_500_000) return { figure: three(value / 1e9), unit: "B" };
  if (size >= 999_500) return { figure: three(value / 1e6), unit: "M" };
  if (size >= 10_000) return { figure: three(value / 1e3), unit: "K" };
  return { figure: plain(value), unit: "" };
}

/** Three significant digits, kept to the decimals that a column needs. */
function three(value: number): string {
  const size = Math.abs(value);
  return fixed(value, size < 9.995 ? 2 : size < 99.95 ? 1 : 0);
}

function plain(value: number): string {
  return Number.isInteger(value) ? grouped.format(value) : fixed(value, Math.abs(value) < 1_000 ? 2 : 0);
}

export function businessText(value: number | null | undefined, language: Language): string {
  const { figure, unit } = business(value, language);
  return unit ? `${figure}${NBSP}${unit}` : figure;
}

/** `¥671.22`, `¥7,999`: yuan as an order shows it, cents only where there are any. */
export function money(value: number | null | undefined): string {
  if (!known(value)) return MISSING;
  return `¥${Number.isInteger(value) ? grouped.format(value) : fixed(value, 2)}`;
}

/** DECIMAL and large BIGINT come as strings; what is no number is null. */
export function toNumber(value: unknown): number | null {
  if (typeof value === "number") return Number.isFinite(value) ? value : null;
  if (typeof value === "string" && value.trim() !== "") {
    const parsed = Number(value);
    return Number.isFinite(parsed) ? parsed : null;
  }
  return null;
}
