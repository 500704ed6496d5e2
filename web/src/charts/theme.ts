/** The one adapter from the design tokens to the chart libraries. */
export interface ChartTheme {
  text: string;
  text2: string;
  axis: string;
  grid: string;
  past: string;
  surface: string;
  panel: string;
  line: string;
  warn: string;
  gold: string;
  stale: string;
  font: string;
  series: string[];
  sequence: string[];
}

/** Reads the tokens as they are now; call again when the theme has changed. */
export function readChartTheme(): ChartTheme {
  const style = getComputedStyle(document.documentElement);
  const token = (name: string): string => style.getPropertyValue(name).trim();
  return {
    text: token("--text"),
    text2: token("--text-2"),
    axis: token("--chart-axis"),
    grid: token("--chart-grid"),
    past: token("--chart-past"),
    surface: token("--surface"),
    panel: token("--surface-3"),
    line: token("--line-strong"),
    warn: token("--warn-mark"),
    gold: token("--gold") || token("--c2"),
    stale: token("--stale"),
    font: token("--font"),
    series: Array.from({ length: 8 }, (_, i) => token(`--c${i + 1}`)),
    sequence: Array.from({ length: 7 }, (_, i) => token(`--s${i + 1}`)),
  };
}

/** `#0b8199` and an opacity as a colour that a canvas takes. */
export function withAlpha(hex: string, alpha: number): string {
  const match = /^#([0-9a-f]{2})([0-9a-f]{2})([0-9a-f]{2})$/i.exec(hex);
  if (!match) return hex;
  const channel = (i: number): number => Number.parseInt(match[i] ?? "0", 16);
  return `rgba(${channel(1)}, ${channel(2)}, ${channel(3)}, ${alpha})`;
}
