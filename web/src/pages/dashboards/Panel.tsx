/** One panel: a subscription, its state, and its drawing. */
import { type ReactNode, useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Panel as PanelFile, PanelColumn, SqlResult } from "../../api/types";
import { PanelChart } from "../../charts/PanelChart";
import { joinUnits, useLanguage, words } from "../../i18n/language";
import { path } from "../../links";
import type { Push } from "../../live/client";
import { useConnection, useLive, useOnScreen } from "../../live/hooks";
import { Icon } from "../../ui/icons";
import { CoverageMark } from "../../ui/coverage";
import { AgeMark, cx, Empty, Loading, ProblemBlock } from "../../ui/parts";
import { Sparkline } from "../../ui/sparkline";
import { cellOf, colorBook, columnIndex, figureOf, isRight, numberText, OTHER, plot, ranked, single } from "./data";
import { TileMap, TileScale } from "./TileMap";
import { useTimes } from "./times";

/** Panels that are a drawing: each can be read as a table instead. */
const DRAWN = new Set<PanelFile["type"]>(["line", "area", "bar", "ranking", "tilemap"]);

export type OnPush = (panel: PanelFile, push: Push<SqlResult>) => void;

/** Follows a panel's query while it can be seen. */
export function usePanel(panel: PanelFile, visible: boolean, onPush?: OnPush) {
  const main = useLive<SqlResult>(visible ? { kind: "sql", sql: panel.sql } : null, onPush && ((push) => onPush(panel, push)));
  const connection = useConnection();
  return { push: main.push, result: main.push?.data ?? null, problem: main.problem, stale: connection.state === "cut" };
}

/** The values of a stat's sparkline, oldest first. */
export function useSpark(panel: PanelFile, visible: boolean): number[] {
  const spark = panel.spark;
  const { push } = useLive<SqlResult>(visible && spark ? { kind: "sql", sql: spark.sql } : null);
  return useMemo(() => {
    if (!push || !spark) return [];
    const drawn = plot(push.data, spark.x, spark.y, undefined, false);
    return (drawn.series[0]?.values ?? []).map((value) => value ?? 0);
  }, [push, spark]);
}

export function isOverThreshold(panel: PanelFile, value: number | null): boolean {
  if (value === null || !panel.threshold) return false;
  const { warn_above, warn_below } = panel.threshold;
  return (warn_above !== undefined && value > warn_above) || (warn_below !== undefined && value < warn_below);
}

export function thresholdOf(panel: PanelFile): number | null {
  return panel.threshold?.warn_above ?? panel.threshold?.warn_below ?? null;
}

/** `always` keeps a panel subscribed off screen: the one that the latency is measured on. */
export function Panel({ panel, onPush, always }: { panel: PanelFile; onPush: OnPush; always: boolean }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const [ref, onScreen] = useOnScreen<HTMLElement>();
  const visible = onScreen || always;
  const { push, result, problem, stale } = usePanel(panel, visible, onPush);
  const [asTable, setAsTable] = useState(false);
  const { x, y, w, h } = panel.grid;
  const sqlPage = path`/sql?q=${panel.sql}`;
  return (
    <section
      ref={ref}
      className={cx("pn", `pn-${panel.type}`, stale && "stale-data")}
      style={{ gridColumn: `${x + 1} / span ${w}`, gridRow: `${y + 1} / span ${h}`, "--h": h } as React.CSSProperties}
      data-panel={panel.id}
      data-seq={push?.seq ?? ""}
    >
      <header>
        <h2 className="ell">{words(panel.title, language)}</h2>
        {panel.note && <span className="ell">{words(panel.note, language)}</span>}
        {panel.type !== "stat" && panel.unit && !panel.note && <span>{words(panel.unit, language)}</span>}
        {panel.type === "tilemap" && <TileScale />}
        <span className="panel-tools">
          {DRAWN.has(panel.type) && (
            <button type="button" aria-pressed={asTable} aria-label={t("dashboard.asTable")} title={t("dashboard.asTable")} onClick={() => setAsTable(!asTable)}>
              <Icon name="table" small />
            </button>
          )}
          <Link to={sqlPage} aria-label={t("dashboard.openSql")} title={t("dashboard.openSql")}>
            <Icon name="sql" small />
          </Link>
        </span>
        <CoverageMark result={result} />
        <AgeMark push={push} />
      </header>
      {problem && !result ? (
        <ProblemBlock problem={problem} actions={<Link className="btn" to={sqlPage}>{t("dashboard.openSql")}</Link>} />
      ) : !result ? (
        <Loading rows={Math.max(1, h - 2)} />
      ) : result.rows.length === 0 ? (
        <Empty title={t("dashboard.empty")}>{t("dashboard.emptyWhy")}</Empty>
      ) : (
        <PanelBody panel={asTable ? { ...panel, type: "table" } : panel} result={result} stale={stale} visible={visible} />
      )}
    </section>
  );
}

export function PanelBody({ panel, result, stale, visible }: { panel: PanelFile; result: SqlResult; stale: boolean; visible: boolean }): ReactNode {
  const language = useLanguage();
  switch (panel.type) {
    case "stat":
      return <Stat panel={panel} result={result} stale={stale} visible={visible} />;
    case "line":
    case "area":
    case "bar":
      return <Chart panel={panel} result={result} stale={stale} />;
    case "ranking":
      return <Ranking panel={panel} result={result} />;
    case "tilemap":
      return <TileMap places={ranked(result, panel.label, panel.value)} format={(value) => numberText(value, panel.format, language)} />;
    case "table":
    case "list":
      return <Rows panel={panel} result={result} />;
  }
}

function Stat({ panel, result, stale, visible }: { panel: PanelFile; result: SqlResult; stale: boolean; visible: boolean }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const spark = useSpark(panel, visible);
  const value = single(result, panel.value);
  const { figure, unit } = figureOf(value, panel.format, language);
  const warn = isOverThreshold(panel, value);
  const limit = thresholdOf(panel);
  return (
    <div className="stat">
      <div>
        <div className={cx("big", warn && "warn")} title={value === null ? undefined : String(value)} data-testid={`stat-${panel.id}`}>
          {figure}
          <small>{joinUnits([unit, words(panel.unit, language)], language)}</small>
        </div>
        {limit !== null && <div className={warn ? "warn small" : "faint small"}>{t("dashboard.target", { value: numberText(limit, panel.format, language) })}</div>}
      </div>
      {spark.length > 1 && <Sparkline values={spark} width={110} height={44} state={warn ? "warn" : "ok"} stale={stale} />}
    </div>
  );
}

export function useChart(panel: PanelFile, result: SqlResult, screen: boolean) {
  const { t } = useTranslation();
  const language = useLanguage();
  const stacked = panel.stacked === true;
  const drawn = useMemo(() => {
    const made = plot(result, panel.x, panel.y, panel.series, stacked);
    // Drawn in the order of their colours, so that bands never change places.
    const column = panel.series ?? "";
    for (const series of made.series) colorBook.index(column, series.name);
    return { ...made, series: [...made.series].sort((a, b) => colorBook.index(column, a.name) - colorBook.index(column, b.name)) };
  }, [result, panel.x, panel.y, panel.series, stacked]);
  const names = drawn.series.map((series) => (series.name === OTHER ? t("dashboard.other") : series.name || words(panel.title, language)));
  const colors = drawn.series.map((series) => (screen && panel.format === "money" && !panel.series ? ("gold" as const) : colorBook.index(panel.series ?? "", series.name)));
  return { drawn, names, colors, stacked, language };
}

const LEGEND_MAX = 4;

export function Chart({ panel, result, stale, screen = false }: { panel: PanelFile; result: SqlResult; stale: boolean; screen?: boolean }) {
  const { t } = useTranslation();
  const times = useTimes();
  const { drawn, names, colors, stacked, language } = useChart(panel, result, screen);
  const format = (value: number): string => numberText(value, panel.format, language);
  const last = (values: (number | null)[]): string => numberText(values[values.length - 1] ?? null, panel.format, language);
  return (
    <>
      {panel.series && (
        <div className="legend">
          {drawn.series.slice(0, screen ? 8 : LEGEND_MAX).map((series, i) => (
            <span key={series.name} className="st">
              <i className={`swatch c${Number(colors[i]) + 1}`} />
              {names[i]} <b>{last(series.values)}</b>
            </span>
          ))}
          {!screen && drawn.series.length > LEGEND_MAX && <span className="faint">{t("dashboard.moreSeries", { count: drawn.series.length - LEGEND_MAX })}</span>}
        </div>
      )}
      <PanelChart plot={drawn} kind={panel.type as "line" | "area" | "bar"} stacked={stacked} colors={colors} names={names} format={format} label={`${words(panel.title, language)}: ${drawn.series.map((s, i) => `${names[i]} ${last(s.values)}`).join(", ")}`} stale={stale} threshold={thresholdOf(panel)} times={times} large={screen} />
    </>
  );
}

function Ranking({ panel, result }: { panel: PanelFile; result: SqlResult }) {
  const language = useLanguage();
  const rows = ranked(result, panel.label, panel.value);
  const max = Math.max(0, ...rows.map((row) => row.value));
  return (
    <ol className="ranking">
      {rows.map((row, i) => (
        <li key={row.label}>
          <span className="n">{i + 1}</span>
          <span className="ell">{row.label}</span>
          <span className="bar"><i style={{ width: `${max > 0 ? (Math.max(0, row.value) / max) * 100 : 0}%` }} /></span>
          <b title={String(row.value)}>{numberText(row.value, panel.format, language)}</b>
        </li>
      ))}
    </ol>
  );
}

function Rows({ panel, result }: { panel: PanelFile; result: SqlResult }) {
  const times = useTimes();
  const language = useLanguage();
  const columns = (panel.columns ?? result.columns.map((column): PanelColumn => ({ name: column.name }))).map((column) => {
    const at = columnIndex(result, column.name);
    return { ...column, at, right: isRight(column.format, result.columns[at]?.type ?? "") };
  });
  return (
    <div className="scroll" tabIndex={0}>
      <table className="panel-table">
        <thead>
          <tr>
            {columns.map((column) => (
              <th key={column.name} className={column.right ? "r" : undefined}>{column.title ? words(column.title, language) : column.name}</th>
            ))}
          </tr>
        </thead>
        <tbody>
          {result.rows.map((row, i) => (
            <tr key={i}>
              {columns.map((column) => (
                <td key={column.name} className={cx(column.right && "r", column.format === "time" && "faint")}>{cellOf(row[column.at], column.format, language, times)}</td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
