export interface SparkPath {
  line: string;
  area: string;
  last: { x: number; y: number } | null;
}

const round = (value: number): number => Math.round(value * 10) / 10;

/** The path of a sparkline over a zero baseline; empty for fewer than two values. */
export function sparkPath(values: readonly number[], width: number, height: number, pad = 3): SparkPath {
  if (values.length < 2) return { line: "", area: "", last: null };
  const max = Math.max(...values, 0);
  const base = height - 1.5;
  const scale = max > 0 ? (base - pad) / max : 0;
  const step = width / (values.length - 1);
  const points = values.map((value, i) => ({ x: round(i * step), y: round(base - Math.max(0, value) * scale) }));
  const line = points.map((p, i) => `${i === 0 ? "M" : "L"}${p.x} ${p.y}`).join("");
  const last = points[points.length - 1] ?? null;
  return { line, area: `${line}L${round(width)} ${height}L0 ${height}Z`, last };
}
