/** 100 minus named deductions, each with its points and one action. Never a score without reasons. */
import { Trans, useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Cluster, Deduction, Overview } from "../../api/types";
import { count, percent } from "../../format/number";
import { duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { Icon } from "../../ui/icons";
import { CopyButton } from "../../ui/parts";
import { Mark } from "../../ui/state";

/** The causes that we have our own words for, and what their value counts. */
const KINDS = {
  group_behind: "seconds",
  group_stopped: "seconds",
  group_left: "none",
  job_failed: "none",
  job_restarting: "none",
  watermark_behind: "seconds",
  disk: "percent",
  offline_partitions: "count",
} as const;

type Kind = keyof typeof KINDS;

const isKnown = (kind: string): kind is Kind => kind in KINDS;

export function HealthLedger({ health, cluster }: { health: Overview["health"]; cluster: Cluster }) {
  const { t } = useTranslation();
  const language = useLanguage();
  return (
    <section className="cell health">
      <div>
        <div className="muted">{t("health.title")}</div>
        <div className="score">
          {Math.round(health.score)}
          <small>/ 100</small>
        </div>
        <div className="ledger" aria-hidden="true">
          <i style={{ flex: Math.max(0, health.score) }} />
          {health.deductions.map((d, i) => (
            <i key={i} className={d.severity} style={{ flex: d.points }} />
          ))}
        </div>
      </div>
      <div className="reasons">
        <div className="muted">{t("health.reasons")}</div>
        {health.deductions.length === 0 && (
          <p className="reason-none">
            <Mark state="ok" />
            {t("health.nothing")}
          </p>
        )}
        {health.deductions.map((d) => (
          <Reason key={d.kind} deduction={d} />
        ))}
      </div>
      <dl className="desk cluster-facts">
        <div><dt>Kafka</dt><dd className="mono">{cluster.kafka}<CopyButton text={cluster.kafka} /></dd></div>
        <div><dt>{t("health.durability")}</dt><dd>{cluster.durability}</dd></div>
        <div><dt>{t("health.up")}</dt><dd>{duration(cluster.uptime_ms, language)}</dd></div>
      </dl>
    </section>
  );
}

function Reason({ deduction }: { deduction: Deduction }) {
  const { t } = useTranslation();
  // Who the line is about, for as many as the server names.
  const examples = deduction.count > 1 ? deduction.examples.map((e) => e.subject).join(", ") : undefined;
  const text = <span className="ell" title={examples}><ReasonText deduction={deduction} /></span>;
  const points = <b className={deduction.severity}>−{deduction.points}</b>;
  if (!deduction.link) {
    return <div className="reason">{points}<Mark state={deduction.severity} />{text}<span /></div>;
  }
  const kind = deduction.link.split("/")[1];
  const go = deduction.count > 1 ? t("health.open") : kind === "groups" ? t("health.openGroup") : kind === "jobs" ? t("health.openJob") : kind === "topics" ? t("health.openTopic") : t("health.open");
  return (
    <Link className="reason" to={deduction.link}>
      {points}
      <Mark state={deduction.severity} />
      {text}
      <span className="go"><span className="w">{go}</span><Icon name="right" small /></span>
    </Link>
  );
}

function ReasonText({ deduction }: { deduction: Deduction }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { kind, subject, value, count: about } = deduction;
  if (!isKnown(kind)) {
    return <>{kind.replaceAll("_", " ")} <b className="mono">{subject}</b>{value === null ? "" : `: ${value}`}</>;
  }
  const shown = value === null ? "" : KINDS[kind] === "seconds" ? duration(value * 1000, language) : KINDS[kind] === "percent" ? percent(value, 0) : count(value);
  const words = about > 1 ? (`health.many.${kind}` as const) : (`health.kind.${kind}` as const);
  return <Trans t={t} i18nKey={words} values={{ subject, value: shown, many: count(about) }} components={{ n: <b className="mono" /> }} />;
}
