/** The race: in and out over the last 60 s, at the foot of every page. */
import { useState } from "react";
import { useTranslation } from "react-i18next";
import type { Overview, Race as RaceData } from "../api/types";
import { rate } from "../format/number";
import { useLive } from "../live/hooks";
import { sparkPath } from "../ui/spark-path";

const SECONDS = 60;

export function Race({ version, past }: { version: string | null; past: Overview["history"] | null }) {
  const { t } = useTranslation();
  const [history, setHistory] = useState<RaceData[]>([]);
  const { push } = useLive<RaceData>({ kind: "race" }, (next) => setHistory((old) => [...old.slice(1 - SECONDS), next.data]));
  // What the server remembers fills the minute before this page was opened.
  const before = past && past.step_ms === 1_000 ? SECONDS - history.length : 0;
  const into = [...lastOf(past?.in_records_per_s, before, history.length), ...history.map((sample) => sample.in_records_per_s)];
  const out = [...lastOf(past?.out_records_per_s, before, history.length), ...history.map((sample) => sample.out_records_per_s)];
  const max = Math.max(1, ...into, ...out);
  return (
    <div className="race">
      <div className="lbl">
        <span>
          {t("race.in")} <b>{push ? rate(push.data.in_records_per_s) : "—"}</b>
        </span>
        <span>
          {t("race.out")} <b>{push ? rate(push.data.out_records_per_s) : "—"}</b>
        </span>
      </div>
      <svg viewBox="0 0 168 30" height="30" preserveAspectRatio="none" aria-hidden="true">
        <Wave values={out} max={max} tone="out" />
        <Wave values={into} max={max} tone="in" />
      </svg>
      <div className="lbl">
        <span>{t("race.window")}</span>
        <span>{version ? `v${version}` : ""}</span>
      </div>
    </div>
  );
}

/** `size` values of the past that come before the newest `skip`. */
function lastOf(values: number[] | undefined, size: number, skip: number): number[] {
  if (!values || size <= 0) return [];
  const end = Math.max(0, values.length - skip);
  return values.slice(Math.max(0, end - size), end);
}

/** Values enter at the right and move left a second at a time; both waves share one scale. */
function Wave({ values, max, tone }: { values: number[]; max: number; tone: "in" | "out" }) {
  if (values.length < 2) return null;
  const width = (168 * (values.length - 1)) / (SECONDS - 1);
  const scaled = sparkPath([...values, max], (width * values.length) / (values.length - 1), 29, 3);
  // The last point is the shared maximum, there only for the scale: cut it off.
  const line = scaled.line.slice(0, scaled.line.lastIndexOf("L"));
  return (
    <g transform={`translate(${168 - width} 0)`} className={`wave-${tone}`}>
      {tone === "in" && <path className="fill" d={`${line}L${width} 30L0 30Z`} />}
      <path className="line" d={line} vectorEffect="non-scaling-stroke" />
    </g>
  );
}
