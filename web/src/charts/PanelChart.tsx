/** Line, area and bar panels on ECharts, themed from the tokens. */
import type { EChartsType } from "echarts/core";
import { useEffect, useRef } from "react";
import type { Plot } from "../pages/dashboards/data";
import { chartTimeOfDay } from "../format/time";
import { useTheme } from "../shell/theme";
import { init } from "./echarts";
import { type ChartTheme, readChartTheme, withAlpha } from "./theme";

export interface PanelChartProps {
  plot: Plot;
  kind: "line" | "area" | "bar";
  stacked: boolean;
  /** Colour of a series by its place: an index of the categorical set, or "gold". */
  colors: (number | "gold")[];
  names: string[];
  format: (value: number) => string;
  label: string;
  stale: boolean;
  threshold: number | null;
  times: "wall" | "local";
  /** The big screen is read from six metres. */
  large?: boolean;
}

export function PanelChart(props: PanelChartProps) {
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<EChartsType | null>(null);
  const theme = useTheme();
  const latest = useRef(props);
  useEffect(() => {
    latest.current = props;
  });

  useEffect(() => {
    const element = host.current;
    if (!element) return;
    const instance = init(element, null, { useDirtyRect: false });
    chart.current = instance;
    const observer = new ResizeObserver(() => instance.resize());
    observer.observe(element);
    return () => {
      observer.disconnect();
      chart.current = null;
      instance.dispose();
    };
  }, []);

  useEffect(() => {
    chart.current?.setOption(optionOf(props, readChartTheme(), () => latest.current), { replaceMerge: ["series"] });
    // Names, colours and formats follow from the plot and the language, which come with a new plot.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [props.plot, props.kind, props.stacked, props.stale, props.label, theme]);

  return <div ref={host} className="panel-chart" role="img" aria-label={props.label} />;
}

function optionOf(props: PanelChartProps, tokens: ChartTheme, latest: () => PanelChartProps) {
  const { plot, kind, stacked, stale } = props;
  const size = props.large ? 14 : 11;
  const colorAt = (i: number): string => {
    if (stale) return tokens.stale;
    const color = props.colors[i] ?? i;
    return color === "gold" ? tokens.gold : (tokens.series[color] ?? tokens.axis);
  };
  const axisText = { color: tokens.axis, fontSize: size, fontFamily: tokens.font };
  const x = plot.time
    ? { type: "time" as const, axisLabel: { ...axisText, hideOverlap: true, formatter: (value: number) => chartTimeOfDay(value, props.times).slice(0, 5 + secondsShown(plot)) }, splitNumber: props.large ? 5 : 4 }
    : { type: "category" as const, data: plot.x as string[], axisLabel: axisText };
  return {
    animation: false,
    useUTC: props.times === "wall",
    grid: { left: 4, right: 12, top: props.large ? 12 : 10, bottom: 2, containLabel: true },
    textStyle: { fontFamily: tokens.font },
    xAxis: { ...x, boundaryGap: kind === "bar" ? ["2%", "2%"] : false, axisLine: { show: false }, axisTick: { show: false }, splitLine: { show: false } },
    yAxis: {
      type: "value" as const,
      min: kind === "line" ? undefined : 0,
      splitNumber: 3,
      axisLabel: { ...axisText, formatter: (value: number) => latest().format(value).replace(/\.0+(?=\D|$)/, "") },
      splitLine: { lineStyle: { color: tokens.grid } },
    },
    tooltip: {
      trigger: "axis" as const,
      confine: true,
      backgroundColor: tokens.panel,
      borderWidth: 0,
      padding: 0,
      extraCssText: "box-shadow:var(--shadow-2);border-radius:8px",
      axisPointer: { lineStyle: { color: tokens.text2, type: "dashed" as const } },
      transitionDuration: 0,
      formatter: (points: TooltipPoint[] | TooltipPoint) => tooltip(Array.isArray(points) ? points : [points], latest()),
    },
    series: plot.series.map((series, i) => {
      const color = colorAt(i);
      const data = plot.time ? series.values.map((value, j) => [plot.x[j], value]) : series.values;
      const mark = i === 0 && props.threshold !== null ? { markLine: thresholdLine(props.threshold, tokens, latest().format(props.threshold), size) } : {};
      if (kind === "bar") {
        return { type: "bar" as const, name: props.names[i], data, ...(stacked ? { stack: "all" } : {}), itemStyle: { color, borderRadius: stacked ? 0 : [2, 2, 0, 0] }, barMaxWidth: 18, ...mark };
      }
      const fill = kind === "area" ? { areaStyle: { color: withAlpha(color, stacked ? 0.22 : 0.16), opacity: 1 } } : {};
      return {
        type: "line" as const,
        name: props.names[i],
        data,
        // The end of the line is now: only it is marked.
        showSymbol: true,
        symbol: "circle",
        symbolSize: (_value: unknown, point: { dataIndex: number }) => (point.dataIndex === series.values.length - 1 ? (props.large ? 8 : 6) : 0),
        connectNulls: false,
        smooth: false,
        ...(stacked ? { stack: "all" } : {}),
        lineStyle: { color, width: props.large ? 2 : 1.5 },
        itemStyle: { color },
        emphasis: { disabled: true },
        ...fill,
        ...mark,
      };
    }),
  };
}

function secondsShown(plot: Plot): number {
  const first = plot.x[0];
  const last = plot.x[plot.x.length - 1];
  return typeof first === "number" && typeof last === "number" && last - first < 3 * 60_000 ? 3 : 0;
}

function thresholdLine(value: number, tokens: ChartTheme, text: string, size: number) {
  return {
    silent: true,
    symbol: "none",
    animation: false,
    lineStyle: { color: tokens.warn, type: "dashed" as const, width: 1 },
    label: { show: true, position: "insideEndTop" as const, formatter: text, color: tokens.warn, fontSize: size },
    data: [{ yAxis: value }],
  };
}

interface TooltipPoint {
  seriesIndex?: number;
  axisValue?: number | string;
  value?: unknown;
  color?: unknown;
}

/** Built as elements, not as HTML text: data is never markup, and no style attribute needs an exception. */
function tooltip(points: TooltipPoint[], props: PanelChartProps): HTMLElement {
  const box = document.createElement("div");
  box.className = "chart-tip";
  const head = document.createElement("div");
  head.className = "tip-head";
  const at = points[0]?.axisValue;
  head.textContent = props.plot.time && typeof at === "number" ? chartTimeOfDay(at, props.times) : String(at ?? "");
  box.append(head);
  // Sorted as drawn: the top band first.
  const ordered = props.stacked ? [...points].reverse() : [...points].sort((a, b) => valueOf(b) - valueOf(a));
  for (const point of ordered) {
    const row = document.createElement("div");
    const key = document.createElement("i");
    key.style.backgroundColor = typeof point.color === "string" ? point.color : "";
    const name = document.createElement("span");
    name.textContent = props.names[point.seriesIndex ?? 0] ?? "";
    const value = document.createElement("b");
    value.textContent = props.format(valueOf(point));
    row.append(key, name, value);
    box.append(row);
  }
  return box;
}

function valueOf(point: TooltipPoint): number {
  const value = Array.isArray(point.value) ? (point.value as unknown[])[1] : point.value;
  return typeof value === "number" ? value : 0;
}
