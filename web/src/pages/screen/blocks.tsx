/** The blocks of the big screen: hero, figures, map, and the panels at the sides. */
import { useMemo, useRef } from "react";
import { useTranslation } from "react-i18next";
import type { Cell, Panel, PanelColumn, Slot, SqlResult } from "../../api/types";
import type { Language } from "../../format/language";
import { count, money, toNumber } from "../../format/number";
import { joinUnits, useLanguage, words } from "../../i18n/language";
import { CoverageMark } from "../../ui/coverage";
import { cx, Loading, ProblemBlock } from "../../ui/parts";
import { cellOf, columnIndex, figureOf, isRight, numberText, ranked, single } from "../dashboards/data";
import { Chart, isOverThreshold, type OnPush, thresholdOf, usePanel } from "../dashboards/Panel";
import { TileMap, TileScale } from "../dashboards/TileMap";
import { useTimes } from "../dashboards/times";
import { flips } from "./flip";

/** A figure stands alone on the screen: what it counts and over which time, in one line. */
function fullTitle(panel: Panel, language: Language): string {
  const [title, note] = [words(panel.title, language), words(panel.note, language)];
  if (!note) return title;
  return language === "zh" ? `${note}${title}` : `${title}, ${note}`;
}

/** The one large figure. Only the digits that change flip. */
export function Hero({ panel, onPush }: { panel: Panel; onPush: OnPush }) {
  const language = useLanguage();
  const { push, result, stale } = usePanel(panel, true, onPush);
  const value = single(result, panel.value);
  const before = useRef<string>("");
  const text = value === null ? "—" : count(value);
  const digits = useMemo(() => flips(before.current, text), [text]);
  before.current = text;
  return (
    <div className={cx("hero", stale && "stale-data")} data-panel={panel.id} data-seq={push?.seq ?? ""}>
      <div className="hero-title">
        {fullTitle(panel, language)}
        {panel.unit && (language === "zh" ? `（${words(panel.unit, language)}）` : ` (${words(panel.unit, language)})`)}
        <CoverageMark result={result} />
      </div>
      <div className={cx("flip", panel.format === "money" && "gold")} role="img" aria-label={text} data-testid="hero">
        {digits.map((digit) =>
          digit.kind === "digit" ? (
            <i key={digit.place} className={cx("dg", digit.changed && "fl")}>
              <span key={digit.text}>{digit.text}</span>
            </i>
          ) : (
            <i key={digit.place} className="sep">{digit.text}</i>
          ),
        )}
      </div>
    </div>
  );
}

export function Figures({ panels, onPush }: { panels: Panel[]; onPush: OnPush }) {
  if (panels.length === 0) return null;
  return (
    <div className="screen-figures" style={{ gridTemplateColumns: `repeat(${panels.length}, 1fr)` }}>
      {panels.map((panel) => (
        <FigureBlock key={panel.id} panel={panel} onPush={onPush} />
      ))}
    </div>
  );
}

function FigureBlock({ panel, onPush }: { panel: Panel; onPush: OnPush }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { push, result, stale } = usePanel(panel, true, onPush);
  const value = single(result, panel.value);
  const { figure, unit } = figureOf(value, panel.format, language);
  const warn = isOverThreshold(panel, value);
  const limit = thresholdOf(panel);
  return (
    <div className={stale ? "stale-data" : undefined} data-panel={panel.id} data-seq={push?.seq ?? ""}>
      <small className="ell">{fullTitle(panel, language)}</small>
      <b className={warn ? "warn" : undefined}>{panel.format === "percent" ? `${figure}\u202f%` : figure}</b>
      <em>
        {joinUnits([panel.format === "percent" ? "" : unit, words(panel.unit, language)], language)}
        {limit !== null && ` ${t("dashboard.target", { value: numberText(limit, panel.format, language) })}`}
      </em>
      <CoverageMark result={result} />
    </div>
  );
}

export function MapBlock({ panel, onPush }: { panel: Panel; onPush: OnPush }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { push, result, problem, stale } = usePanel(panel, true, onPush);
  const places = result ? ranked(result, panel.label, panel.value) : [];
  const values = places.map((place) => place.value);
  const text = (value: number): string => numberText(value, panel.format, language);
  return (
    <section className={cx("sec", "map", stale && "stale-data")} data-panel={panel.id} data-seq={push?.seq ?? ""}>
      <h2>
        {words(panel.title, language)}
        <small>{[words(panel.unit, language), t("screen.tiles")].filter(Boolean).join(language === "zh" ? "，" : ", ")}</small>
        {values.length > 1 && (
          <small className="e scale">
            {text(Math.min(...values))} <TileScale /> {text(Math.max(...values))}
          </small>
        )}
        <CoverageMark result={result} />
      </h2>
      {problem && !result ? <ProblemBlock problem={problem} /> : result ? <TileMap places={places} format={text} screen /> : <Loading />}
    </section>
  );
}

/** A place at the side: its panels one above the other, under the first one's title. */
export function ScreenBlock({ slot, panels, onPush }: { slot: Slot; panels: Panel[]; onPush: OnPush }) {
  if (panels.length === 0) return null;
  return (
    <div className={`screen-block slot-${slot}`}>
      {panels.map((panel, i) => (
        <ScreenPanel key={panel.id} panel={panel} first={i === 0} onPush={onPush} />
      ))}
    </div>
  );
}

function ScreenPanel({ panel, first, onPush }: { panel: Panel; first: boolean; onPush: OnPush }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { push, result, problem, stale } = usePanel(panel, true, onPush);
  return (
    <section className={cx("sec", `sec-${panel.type}`, stale && "stale-data")} data-panel={panel.id} data-seq={push?.seq ?? ""}>
      {first && (
        <h2>
          {words(panel.title, language)}
          <small>{words(panel.note ?? panel.unit, language)}</small>
        </h2>
      )}
      <CoverageMark result={result} />
      {problem && !result ? <ProblemBlock problem={problem} /> : !result ? <Loading rows={4} /> : result.rows.length === 0 ? <p className="muted">{t("dashboard.empty")}</p> : <ScreenBody panel={panel} result={result} stale={stale} />}
    </section>
  );
}

function ScreenBody({ panel, result, stale }: { panel: Panel; result: SqlResult; stale: boolean }) {
  switch (panel.type) {
    case "ranking":
      return <ScreenRanking panel={panel} result={result} />;
    case "list":
    case "table":
      return <ScreenList panel={panel} result={result} />;
    case "stat":
      return <ScreenStat panel={panel} result={result} />;
    case "tilemap":
      return null;
    default:
      return <Chart panel={panel} result={result} stale={stale} screen />;
  }
}

function ScreenStat({ panel, result }: { panel: Panel; result: SqlResult }) {
  const language = useLanguage();
  const { figure, unit } = figureOf(single(result, panel.value), panel.format, language);
  return <div className="screen-stat"><b>{figure}</b> {unit}</div>;
}

const RANKS_MAX = 10;

function ScreenRanking({ panel, result }: { panel: Panel; result: SqlResult }) {
  const language = useLanguage();
  const all = ranked(result, panel.label, panel.value);
  const rows = all.slice(0, RANKS_MAX);
  const max = Math.max(0, ...rows.map((row) => row.value));
  const total = all.reduce((sum, row) => sum + row.value, 0);
  return (
    <ol className="rk-list">
      {rows.map((row, i) => (
        <li key={row.label} className="rk">
          <b className={i < 3 ? "t" : undefined}>{i + 1}</b>
          <span className="ell">{row.label}</span>
          <div className="hb"><i style={{ width: `${max > 0 ? (row.value / max) * 100 : 0}%` }} /></div>
          <em>{numberText(row.value, panel.format, language)}</em>
          {panel.format === "count" && total > 0 && <small>{((row.value / total) * 100).toFixed(1)}{"\u202f"}%</small>}
        </li>
      ))}
    </ol>
  );
}

/** From six metres cents are noise. */
function wholeYuan(cell: Cell | undefined): number | null {
  const value = toNumber(cell);
  return value === null ? null : Math.round(value);
}

const LIST_MAX = 11;
/** The last rows fade out; new ones come at the top. */
const FADE = [1, 1, 1, 1, 1, 1, 1, 1, 0.8, 0.55, 0.3];

function ScreenList({ panel, result }: { panel: Panel; result: SqlResult }) {
  const times = useTimes();
  const language = useLanguage();
  const columns = (panel.columns ?? result.columns.map((column): PanelColumn => ({ name: column.name }))).map((column) => {
    const at = columnIndex(result, column.name);
    return { ...column, at, right: isRight(column.format, result.columns[at]?.type ?? "") };
  });
  const firstText = columns.findIndex((column) => !column.right && column.format !== "time");
  const template = columns.map((column, i) => (column.format === "time" ? "82px" : column.format === "money" ? "80px" : i === firstText ? "70px" : i === columns.length - 1 ? "72px" : "minmax(0, 1fr)")).join(" ");
  return (
    <div className="od-list">
      {result.rows.slice(0, LIST_MAX).map((row, i) => (
        <div key={i} className={cx("od", i === 0 && "new")} style={{ gridTemplateColumns: template, opacity: FADE[i] ?? 1 }}>
          {columns.map((column, j) => (
            <span key={column.name} className={cx("ell", column.right && "r", column.format === "time" && "tm", column.format === "money" && "gold", j === firstText && "strong", j === columns.length - 1 && !column.right && "last")}>
              {column.format === "money" ? money(wholeYuan(row[column.at])) : cellOf(row[column.at], column.format, language, times)}
            </span>
          ))}
        </div>
      ))}
    </div>
  );
}
