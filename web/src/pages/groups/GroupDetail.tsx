/** An open group: a heat strip of its partitions, its members, and why it will not clear. */
import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Group, GroupPartition } from "../../api/types";
import { count } from "../../format/number";
import { duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { Loading, middleCut, ProblemBlock } from "../../ui/parts";
import { useGroupWords } from "./words";

/** A lag in time maps to a step of the sequence; the last is the warning. */
const STEPS_MS = [200, 1_000, 5_000, 15_000, 40_000];

export function heatStep(partition: Pick<GroupPartition, "lag_ms" | "lag_records">): number {
  if (!partition.lag_records) return 0;
  const lag = partition.lag_ms ?? 0;
  const step = STEPS_MS.findIndex((limit) => lag < limit);
  return step === -1 ? STEPS_MS.length : step;
}

export function GroupDetail({ group }: { group: Group }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const words = useGroupWords();
  const detail = useQuery({ queryKey: ["group", group.group], queryFn: () => api.group(group.group), refetchInterval: 2_000 });
  if (detail.isError) return <div className="cell"><ProblemBlock problem={problemOf(detail.error)} retry={() => void detail.refetch()} /></div>;
  if (!detail.data) return <div className="cell"><Loading rows={2} /></div>;
  const partitions = detail.data.partitions;
  const members = detail.data.members;
  const worst = partitions.reduce<GroupPartition | null>((most, p) => ((p.lag_records ?? 0) > (most?.lag_records ?? 0) ? p : most), null);
  const topics = [...new Set(partitions.map((p) => p.topic))];
  return (
    <div className="group-detail">
      <div className="group-left">
        <div className="flex wrap">
          <b>{t("groups.byPartition")}</b>
          {worst && <span className="muted">{t("groups.worst", { topic: worst.topic, partition: worst.partition, records: count(worst.lag_records), time: duration(worst.lag_ms, language) })}</span>}
          <span className="grow" />
          <span className="heat-scale desk" aria-hidden="true">
            0 {STEPS_MS.map((_, i) => <i key={i} className={`heat heat-${i}`} />)}<i className="heat heat-5" /> {duration(40_000, language)}
          </span>
        </div>
        {topics.map((topic) => (
          <div key={topic}>
            {topics.length > 1 && <Link className="mono faint" to={path`/topics/${topic}`}>{topic}</Link>}
            <div className="heat-strip">
              {partitions.filter((p) => p.topic === topic).map((p) => (
                <div key={p.partition} title={t("groups.partitionNote", { partition: p.partition, committed: count(p.committed), end: count(p.end), records: count(p.lag_records), time: duration(p.lag_ms, language), member: p.member ?? "—" })}>
                  <i className={`heat heat-${heatStep(p)}`} />
                  <small>{p.partition}</small>
                </div>
              ))}
            </div>
          </div>
        ))}
        <div className="flex wrap group-facts">
          <span>{t("groups.topics")} {topics.map((topic) => <Link key={topic} className="mono link" to={path`/topics/${topic}`}>{topic} </Link>)}</span>
          <span>{t("groups.members")} <b>{members.map((m) => middleCut(m.client_id || m.id, 24)).join(", ") || "—"}</b></span>
          {group.protocol && <span>{t("groups.assignor")} <b className="mono">{group.protocol}</b></span>}
        </div>
      </div>
      <div className="group-why">
        <b>{words.never(group) ? t("groups.whyNot") : t("groups.how")}</b>
        <p className="muted">{words.reason(group)}</p>
      </div>
    </div>
  );
}
