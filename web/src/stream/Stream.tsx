/** The stream: collect, log, process, serve as one drawing. Width is rate, amber is where it waits. */
import { useLayoutEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Overview } from "../api/types";
import { rate, byteRate, short } from "../format/number";
import { duration, milliseconds } from "../format/time";
import { useLanguage } from "../i18n/language";
import { middleCut } from "../ui/parts";
import { LAYERS, layoutStream, NODE_WIDTH, type PlacedNode } from "./layout";

const ROOM = 178;
const TOP = 30;

export function useWidth<E extends Element>(): [React.RefObject<E | null>, number] {
  const ref = useRef<E>(null);
  const [width, setWidth] = useState(0);
  useLayoutEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver((entries) => setWidth(Math.floor(entries[0]?.contentRect.width ?? 0)));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** Three steps of speed by rate; nothing drifts where nothing moves. */
function speed(recordsPerS: number): string | null {
  if (recordsPerS <= 0) return null;
  return recordsPerS < 50 ? "drift slow" : recordsPerS < 5_000 ? "drift" : "drift fast";
}

export function stageFacts(overview: Overview, language: "en" | "zh") {
  const running = overview.jobs.filter((job) => job.state === "running");
  const commits = running.map((job) => job.epoch_commit_p99_ms).filter((ms): ms is number => ms !== null);
  return {
    // What clients write; the rest of what comes in is the jobs' own.
    collect: rate(
      overview.stream.nodes
        .filter((node) => node.layer === "collect")
        .reduce((all, node) => all + node.records_per_s, 0),
    ),
    log: byteRate(overview.rates.in_bytes_per_s),
    process: rate(running.reduce((all, job) => all + job.in_records_per_s, 0)),
    commit: commits.length > 0 ? milliseconds(Math.max(...commits), language) : null,
    serve: rate(overview.rates.out_records_per_s),
    waits: overview.stream.nodes.some((node) => node.layer === "process" && (node.state === "warn" || node.state === "critical")),
  };
}

/** Names stand left of the first column and right of the last; the two between share the rest. */
function columnsFor(width: number): number[] {
  const left = width < 1000 ? 150 : 196;
  const right = width - (width < 1000 ? 178 : 240);
  const between = right - left;
  return [left, left + between * 0.33, left + between * 0.64, right].map((x) => x / width);
}

export function Stream({ overview }: { overview: Overview }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const [ref, width] = useWidth<HTMLDivElement>();
  const columns = useMemo(() => columnsFor(width), [width]);
  const layout = useMemo(
    () => (width > 0 ? layoutStream(overview.stream, width, columns, ROOM) : null),
    [overview.stream, width, columns],
  );
  const facts = stageFacts(overview, language);
  const heads: Record<(typeof LAYERS)[number], string> = {
    collect: facts.collect,
    log: facts.log,
    process: facts.commit && width >= 1000 ? `${facts.process} · ${t("stream.commit", { p99: facts.commit })}` : facts.process,
    serve: facts.serve,
  };
  const height = Math.max(ROOM, layout?.height ?? 0) + TOP + 6;
  const label = (node: PlacedNode): string => {
    if (node.stands_for > 1) return t("stream.others", { count: node.stands_for });
    if (node.label === "") return t("stream.rest");
    return node.id === "s:dashboards" ? t("stream.dashboards") : node.label;
  };
  // The server's note of a group is its lag, "41 s".
  const note = (node: PlacedNode): string | null => {
    const seconds = /^(\d+) s$/.exec(node.note ?? "")?.[1];
    return seconds === undefined ? node.note : t("stream.behind", { time: duration(Number(seconds) * 1000, language) });
  };
  return (
    <div ref={ref} className="stream">
      {layout && (
        <svg width={width} height={height} viewBox={`0 0 ${width} ${height}`} role="img" aria-label={t("stream.label")}>
          <defs>
            <linearGradient id="band" x1="0" x2="1">
              <stop offset="0" stopColor="var(--c1)" stopOpacity=".30" />
              <stop offset="1" stopColor="var(--c1)" stopOpacity=".16" />
            </linearGradient>
            <linearGradient id="band-warn" x1="0" x2="1">
              <stop offset="0" stopColor="var(--c1)" stopOpacity=".26" />
              <stop offset=".8" stopColor="var(--warn-mark)" stopOpacity=".42" />
            </linearGradient>
          </defs>
          {LAYERS.map((layer, i) => {
            const x = i === 0 ? 0 : (layout.columns[i] ?? 0) - 4;
            return (
              <text key={layer} x={x} y="12">
                <tspan className="t b">{t(`stream.${layer}`)}</tspan>
                <tspan dx="12">{heads[layer]}</tspan>
              </text>
            );
          })}
          <g transform={`translate(0 ${TOP})`}>
            {layout.links.map((link) => (
              <path key={link.id} d={link.band} fill={link.state === "warn" ? "url(#band-warn)" : "url(#band)"}>
                <title>{rate(link.records_per_s)}</title>
              </path>
            ))}
            {layout.links.map((link) => {
              const drift = speed(link.records_per_s);
              return drift && link.thickness > 3 ? (
                <path key={link.id} d={link.middle} className={drift} fill="none" stroke={link.state === "warn" ? "var(--warn-mark)" : "var(--c1)"} strokeOpacity=".65" strokeWidth="1.2" strokeDasharray="2 22" strokeLinecap="round" />
              ) : null;
            })}
            {layout.nodes.map((node) => {
              const left = node.layer === "collect";
              const waits = node.state === "warn" || node.state === "critical";
              const next = layout.columns[LAYERS.indexOf(node.layer) + 1] ?? width;
              const room = left ? node.x - 6 : next - node.x - 24;
              const figure = node.records_per_s > 0 || !waits ? short(node.records_per_s) : "";
              const text = middleCut(label(node), Math.max(8, Math.floor((room - 46) / 6.3)));
              const body = (
                <>
                  <rect x={node.x} y={node.y} width={NODE_WIDTH} height={node.height} rx="2" fill={waits ? "var(--warn-mark)" : node.state === "idle" ? "var(--line-strong)" : "var(--c1)"} />
                  <text x={left ? node.x - 11 : node.x + 22} y={node.y + node.height / 2 + 4} textAnchor={left ? "end" : "start"} className="t halo">
                    {text} <tspan className={waits ? "tw" : "t2"}>{node.note && waits ? note(node) : figure}</tspan>
                    <title>{`${label(node)}  ${rate(node.records_per_s)}${node.note ? `  ${note(node)}` : ""}`}</title>
                  </text>
                </>
              );
              return node.link ? (
                <a
                  key={node.id}
                  href={node.link}
                  onClick={(event) => {
                    event.preventDefault();
                    void navigate(node.link ?? "/");
                  }}
                >
                  {body}
                </a>
              ) : (
                <g key={node.id}>{body}</g>
              );
            })}
          </g>
        </svg>
      )}
    </div>
  );
}

/** The stream in four figures, where the drawing has no room. */
export function StreamStages({ overview }: { overview: Overview }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const facts = stageFacts(overview, language);
  return (
    <div className="stages">
      <Link to="/topics">
        <small>{t("stream.collect")}</small>
        <b>{short(overview.rates.in_records_per_s)}</b>
        <small>{t("unit.recordsPerS")}</small>
      </Link>
      <Link to="/topics">
        <small>{t("stream.log")}</small>
        <b>{facts.log.replace("/s", "")}</b>
        <small>{t("stream.aSecondIn")}</small>
      </Link>
      <Link to="/jobs" className={facts.waits ? "w" : undefined}>
        <small>{t("stream.process")}</small>
        <b>{facts.commit ?? "—"}</b>
        <small>{t("stream.commitP99")}</small>
      </Link>
      <Link to="/groups">
        <small>{t("stream.serve")}</small>
        <b>{short(overview.rates.out_records_per_s)}</b>
        <small>{t("unit.recordsPerS")}</small>
      </Link>
    </div>
  );
}
