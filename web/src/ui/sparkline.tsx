import { memo } from "react";
import type { Health } from "../api/types";
import { sparkPath } from "./spark-path";

/** A line with its last value marked. Zero is at the bottom unless nothing ever moved. */
export const Sparkline = memo(function Sparkline({
  values,
  width = 108,
  height = 22,
  state = "ok",
  stale = false,
}: {
  values: readonly number[];
  width?: number;
  height?: number;
  state?: Health;
  stale?: boolean;
}) {
  const { line, area, last } = sparkPath(values, width - 3, height);
  const tone = stale ? "stale" : state === "critical" || state === "warn" ? state : "brand";
  return (
    <svg className={`spark spark-${tone}`} width={width} height={height} viewBox={`0 0 ${width} ${height}`} aria-hidden="true">
      {line && <path className="fill" d={area} />}
      {line && <path className="line" d={line} />}
      {last && <circle cx={last.x} cy={last.y} r="2" />}
    </svg>
  );
});
