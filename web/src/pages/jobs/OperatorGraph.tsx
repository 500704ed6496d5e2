import { useMemo } from "react";
import { useTranslation } from "react-i18next";
import type { Job } from "../../api/types";
import { rate, short } from "../../format/number";
import { useWidth } from "../../stream/Stream";
import { middleCut } from "../../ui/parts";
import { BOX_HEIGHT, layoutGraph, twoLines } from "./graph";

const PAD = 20;

export function OperatorGraph({ job }: { job: Job }) {
  const { t } = useTranslation();
  const [ref, width] = useWidth<HTMLDivElement>();
  const graph = useMemo(() => layoutGraph(job.operators, Math.max(0, width - 2 * PAD)), [job.operators, width]);
  const max = Math.max(1, ...job.operators.map((o) => o.records_per_s));
  const letters = Math.floor((graph.boxWidth - 24) / 5.5);
  const moving = job.state === "running";
  return (
    <div className="graph scroll" ref={ref} tabIndex={0}>
      {width > 0 && (
        <svg width={Math.max(width, graph.width + 2 * PAD)} height={graph.height + 2 * PAD + 12} role="img" aria-label={t("job.graphLabel", { job: job.id })}>
          <g transform={`translate(${PAD + Math.max(0, (width - 2 * PAD - graph.width) / 2)} ${PAD + 6})`}>
            {graph.edges.map((edge) => {
              const drift = moving && edge.records_per_s > 0;
              return (
                <g key={edge.id}>
                  <path d={edge.path} fill="none" stroke="var(--brand)" strokeOpacity=".24" strokeWidth={Math.max(1.5, (edge.records_per_s / max) * 13)} />
                  {drift && <path d={edge.path} className={edge.records_per_s < 50 ? "drift slow" : "drift"} fill="none" stroke="var(--brand)" strokeWidth="1.5" strokeDasharray="2 10" strokeLinecap="round" />}
                  <text x={edge.labelX} y={edge.labelY} textAnchor="middle" className="t2">{short(edge.records_per_s)}</text>
                </g>
              );
            })}
            {graph.boxes.map((box) => (
              <g key={box.id} transform={`translate(${box.x} ${box.y})`}>
                <rect width={graph.boxWidth} height={BOX_HEIGHT} rx="8" fill="var(--surface)" stroke="var(--line-strong)" />
                <text x="12" y="20" className="t b">{kindName(box.kind, t)}</text>
                <text x="12" y="38" className="t m"><title>{box.label}</title>{middleCut(box.label, Math.floor((graph.boxWidth - 24) / 7.1))}</text>
                <text x="12" y="55" className="t2"><title>{box.detail ?? ""}</title>{twoLines(box.detail ?? "", letters)[0]}</text>
                <text x="12" y="70" className="t2"><title>{box.detail ?? ""}</title>{middleCut(twoLines(box.detail ?? "", letters)[1], letters)}</text>
                <text x="12" y="88" className="t">{rate(box.records_per_s)}</text>
              </g>
            ))}
          </g>
        </svg>
      )}
    </div>
  );
}

const KINDS = ["source", "decode", "filter", "project", "window", "aggregate", "join", "sink", "dead_letters", "late", "watermark"] as const;

function kindName(kind: string, t: ReturnType<typeof useTranslation>["t"]): string {
  const known = KINDS.find((k) => k === kind);
  return known ? t(`job.kinds.${known}`) : kind;
}
