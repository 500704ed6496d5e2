/** Operations charts: uPlot, themed from the tokens. */
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { short } from "../format/number";
import { timeOfDay } from "../format/time";
import { useTheme } from "../shell/theme";
import { useWidth } from "../stream/Stream";
import { readChartTheme, withAlpha } from "./theme";

export interface TimeSeries {
  values: (number | null)[];
  /** Index of the categorical colour, from 0. */
  color: number;
  fill?: boolean;
}

/** Room to the right of the plot, in CSS pixels. */
const PADDING_RIGHT = 10;
/** Width of a digit of the axes' font. */
const DIGIT = 6.3;

/** Whether a label of that many digits, centred at a time, would not end within the chart. */
function isCutOff(u: uPlot, at: number, digits: number) {
  const room = u.bbox.width / devicePixelRatio + PADDING_RIGHT - u.valToPos(at, "x");
  return room < (digits * DIGIT) / 2;
}

export function TimeChart({
  times,
  series,
  height,
  label,
  format = (value) => short(value),
  onHover,
}: {
  /** Milliseconds since the epoch. */
  times: number[];
  series: TimeSeries[];
  height: number;
  label: string;
  format?: (value: number) => string;
  onHover?: (index: number | null) => void;
}) {
  const theme = useTheme();
  const [ref, width] = useWidth<HTMLDivElement>();
  const plot = useRef<uPlot | null>(null);
  const shape = series.map((s) => `${s.color}${s.fill ? "f" : ""}`).join();
  const latest = useRef({ times, series, format, onHover });
  useEffect(() => {
    latest.current = { times, series, format, onHover };
  });

  useEffect(() => {
    const host = ref.current;
    if (!host || width === 0) return;
    const tokens = readChartTheme();
    const font = `11px ${tokens.font}`;
    const chart = new uPlot(
      {
        width,
        height,
        legend: { show: false },
        padding: [8, PADDING_RIGHT, 0, 0],
        cursor: { y: false, points: { size: 6 }, drag: { x: false, y: false } },
        scales: { x: { time: true }, y: { range: (_u, _min, max) => [0, niceMax(max)] } },
        axes: [
          {
            stroke: tokens.axis,
            font,
            size: 24,
            space: 110,
            grid: { show: false },
            ticks: { show: false },
            values: (u, splits) => {
              const length = splits.length > 1 && (splits[1] ?? 0) - (splits[0] ?? 0) < 60 ? 8 : 5;
              return splits.map((s) => (isCutOff(u, s, length) ? "" : timeOfDay(s * 1000).slice(0, length)));
            },
          },
          {
            stroke: tokens.axis,
            font,
            size: 50,
            space: 44,
            grid: { stroke: tokens.grid, width: 1 },
            ticks: { show: false },
            values: (_u, splits) => splits.map((s) => latest.current.format(s)),
          },
        ],
        series: [
          {},
          ...latest.current.series.map((s) => {
            const color = tokens.series[s.color] ?? tokens.axis;
            return {
              stroke: color,
              width: 1.5,
              spanGaps: false,
              points: { show: false },
              ...(s.fill ? { fill: withAlpha(color, 0.13) } : {}),
            };
          }),
        ],
        hooks: {
          setCursor: [(u) => latest.current.onHover?.(u.cursor.idx ?? null)],
          draw: [(u) => markLast(u, tokens.series, latest.current.series)],
        },
      },
      toData(latest.current.times, latest.current.series),
      host,
    );
    plot.current = chart;
    return () => {
      plot.current = null;
      chart.destroy();
    };
  }, [ref, width, height, theme, shape]);

  useEffect(() => {
    plot.current?.setData(toData(times, series));
  }, [times, series]);

  return <div ref={ref} className="time-chart" style={{ height }} role="img" aria-label={label} />;
}

function toData(times: number[], series: TimeSeries[]): uPlot.AlignedData {
  return [times.map((ms) => ms / 1000), ...series.map((s) => s.values)];
}

/** A head-room that does not twitch: the next 1, 1.5, 2, 3, 5 or 7.5 of its power. */
export function niceMax(max: number | null): number {
  if (max === null || !Number.isFinite(max) || max <= 0) return 1;
  const power = 10 ** Math.floor(Math.log10(max));
  for (const step of [1, 1.5, 2, 3, 5, 7.5, 10]) if (max * 1.04 <= step * power) return step * power;
  return 10 * power;
}

function markLast(u: uPlot, colors: string[], series: TimeSeries[]): void {
  const ratio = window.devicePixelRatio;
  series.forEach((s, i) => {
    const values = u.data[i + 1];
    const last = values ? values.length - 1 : -1;
    const value = values?.[last];
    const at = u.data[0]?.[last];
    if (value == null || at === undefined) return;
    u.ctx.beginPath();
    u.ctx.fillStyle = colors[s.color] ?? "";
    u.ctx.arc(u.valToPos(at, "x", true), u.valToPos(value, "y", true), 3 * ratio, 0, 2 * Math.PI);
    u.ctx.fill();
  });
}
