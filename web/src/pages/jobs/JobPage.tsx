/** One job: its operators with rates, event time, epochs, what came late and what could not be read. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Job } from "../../api/types";
import { TimeChart } from "../../charts/TimeChart";
import { bytes, count, short } from "../../format/number";
import { duration, milliseconds, timeOfDay } from "../../format/time";
import { type Language } from "../../format/language";
import { useLanguage } from "../../i18n/language";
import { path, useNameInPath } from "../../links";
import type { Push } from "../../live/client";
import { useLive, useNow } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { firstRows } from "../../sql/quote";
import { Dialog } from "../../ui/overlay";
import { Button, CopyButton, Kpi, LiveMark, Loading, ProblemBlock, Tag } from "../../ui/parts";
import { jobHealth, Mark } from "../../ui/state";
import { SqlText } from "../sql/SqlText";
import { OperatorGraph } from "./OperatorGraph";

/** Two minutes at a push a second. */
const HISTORY_MAX = 120;

interface Sample {
  at: number;
  watermark: number | null;
  commit: number | null;
}

export default function JobPage() {
  const { t } = useTranslation();
  const id = useNameInPath() ?? "";
  const [history, setHistory] = useState<Sample[]>([]);
  const live = useLive<{ jobs: Job[] }>({ kind: "jobs" }, (push: Push<{ jobs: Job[] }>) => {
    const job = push.data.jobs.find((j) => j.id === id);
    if (job) setHistory((old) => [...old.slice(1 - HISTORY_MAX), { at: push.sent_ms || Date.now(), watermark: job.watermark_lag_ms, commit: job.epoch_commit_p99_ms }]);
  });
  const first = useQuery({ queryKey: ["job", id], queryFn: () => api.job(id) });
  const job = live.push?.data.jobs.find((j) => j.id === id) ?? first.data;
  const [stopping, setStopping] = useState(false);
  return (
    <Page title={id} mono parent={{ to: "/jobs", title: t("nav.jobs") }} actions={<LiveMark push={live.push} />} className="job-page">
      {!job && (first.isError ? <div className="cell"><ProblemBlock problem={problemOf(first.error)} retry={() => void first.refetch()} /></div> : <div className="cell"><Loading rows={10} /></div>)}
      {job && (
        <>
          <JobHead job={job} onStop={() => setStopping(true)} />
          {job.error && <div className="cell problem-cell"><ProblemBlock problem={{ title: t("job.failed"), detail: job.error, hint: t("job.failedHint") }} /></div>}
          <Figures job={job} />
          <OperatorGraph job={job} />
          <div className="cells three">
            <EventTime job={job} history={history} />
            <Epochs job={job} history={history} />
            <Apart job={job} />
          </div>
          <section className="cell statement">
            <header>
              <h2>SQL</h2>
              <span className="go flex">
                <Link className="btn ghost" to={path`/sql?q=${job.statement}`}>{t("job.openSql")}</Link>
                <CopyButton text={job.statement} />
              </span>
            </header>
            <SqlText sql={job.statement} />
          </section>
          {stopping && <StopDialog job={job} onClose={() => setStopping(false)} />}
        </>
      )}
    </Page>
  );
}

function JobHead({ job, onStop }: { job: Job; onStop: () => void }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const health = jobHealth(job.state);
  useNow(1_000);
  const active = job.state === "running" || job.state === "restarting" || job.state === "starting";
  const canStart = job.state === "stopped" || job.state === "failed";
  const start = useMutation({ mutationFn: () => api.startJob(job.id) });
  return (
    <div className="head-row">
      <h1 className="mono ell" title={job.id}>{job.id}</h1>
      <Tag {...(health === "ok" ? { tone: "ok" as const } : health === "warn" ? { tone: "warn" as const } : health === "critical" ? { tone: "critical" as const } : health === "transition" ? { tone: "info" as const } : { tone: "stale" as const })}>
        <Mark state={health} />
        {t(`jobs.states.${job.state}`)}
      </Tag>
      <span className="muted facts-line">
        {t("job.since", { time: duration(Date.now() - job.started_ms, language) })} · {t("job.epochEvery", { time: milliseconds(job.epoch_ms, language) })}
        {job.restarts > 0 && <> · {t("job.restarts", { count: job.restarts })}</>}
      </span>
      <span className="grow" />
      {job.sink && <Link className="btn" to={path`/sql?q=${firstRows(job.sink)}`}>{t("job.query")}</Link>}
      {active && <Button kind="danger" icon="stop" onClick={onStop}>{t("job.stop")}</Button>}
      {canStart && <Button icon="play" disabled={start.isPending} onClick={() => start.mutate()} data-testid="job-start">{t("job.start")}</Button>}
      {canStart && start.isError && <ProblemBlock problem={problemOf(start.error)} />}
    </div>
  );
}

function figure(text: string): { value: string; unit: string } {
  const at = text.lastIndexOf("\u00a0");
  return at < 0 ? { value: text, unit: "" } : { value: text.slice(0, at).replaceAll("\u00a0", " "), unit: text.slice(at + 1) };
}

function Figures({ job }: { job: Job }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const watermark = figure(duration(job.watermark_lag_ms, language));
  const commit = figure(milliseconds(job.epoch_commit_p99_ms, language));
  const state = figure(bytes(job.state_bytes));
  return (
    <div className="strip seven">
      <Kpi label={t("job.in")} value={short(job.in_records_per_s)} unit="/s" detail={t("job.inAll", { n: count(job.in_records) })} />
      <Kpi label={t("job.out")} value={short(job.out_records_per_s)} unit="/s" detail={t("job.outAll", { n: count(job.out_records) })} />
      <Kpi label={t("job.lag")} value={count(job.lag_records)} detail={job.lag_records === null ? t("job.lagUnknown") : t("job.lagNote")} />
      <Kpi label={t("job.watermarkBehind")} {...watermarkParts(watermark)} detail={job.watermark_ms === null ? t("job.noWatermark") : timeOfDay(job.watermark_ms, true)} />
      <Kpi label={t("job.epochP99")} value={commit.value} unit={commit.unit} detail={t("job.epochNumber", { n: count(job.epoch) })} />
      <Kpi label={t("job.stateSize")} value={state.value} unit={state.unit} detail={t("job.stateNote")} />
      <Kpi label={t("job.dead")} value={count(job.dead_letters)} detail={t("job.lateNote", { n: count(job.late_records) })} />
    </div>
  );
}

function watermarkParts({ value, unit }: { value: string; unit: string }) {
  return { value, unit };
}

function EventTime({ job, history }: { job: Job; history: Sample[] }) {
  const { t } = useTranslation();
  const language = useLanguage();
  return (
    <section className="cell">
      <header>
        <h2>{t("job.timeBehind")}</h2>
        <span className="go legend"><span className="st"><i className="swatch c1" />{t("job.watermark")} <b>{duration(job.watermark_lag_ms, language)}</b></span></span>
      </header>
      <History history={history} read={(s) => s.watermark} language={language} label={t("job.timeBehind")} />
    </section>
  );
}

function Epochs({ job, history }: { job: Job; history: Sample[] }) {
  const { t } = useTranslation();
  const language = useLanguage();
  return (
    <section className="cell">
      <header>
        <h2>{t("job.epochs")}</h2>
        <span className="note">{t("job.commitTime")}</span>
        <span className="go">p50 <b>{milliseconds(job.epoch_commit_p50_ms, language)}</b> · p99 <b>{milliseconds(job.epoch_commit_p99_ms, language)}</b></span>
      </header>
      <History history={history} read={(s) => s.commit} language={language} label={t("job.epochs")} />
    </section>
  );
}

function History({ history, read, language, label }: { history: Sample[]; read: (sample: Sample) => number | null; language: Language; label: string }) {
  const { t } = useTranslation();
  if (history.length < 2) return <p className="muted chart-wait">{t("job.collecting")}</p>;
  return <TimeChart label={label} times={history.map((s) => s.at)} height={170} format={(v) => (v === 0 ? "0" : milliseconds(v, language))} series={[{ values: history.map(read), color: 0, fill: true }]} />;
}

/** What the job set apart: late rows and undecodable records, each a topic that can be read. */
function Apart({ job }: { job: Job }) {
  const { t } = useTranslation();
  return (
    <section className="cell">
      <header><h2>{t("job.apart")}</h2><span className="note">{t("job.apartNote")}</span></header>
      <ApartRow n={job.dead_letters} title={t("job.deadTitle")} why={t("job.deadWhy")} topic={job.dead_letter_topic} />
      <ApartRow n={job.late_records} title={t("job.lateTitle")} why={t("job.lateWhy")} topic={job.late_topic} />
    </section>
  );
}

function ApartRow({ n, title, why, topic }: { n: number; title: string; why: string; topic: string | null }) {
  const { t } = useTranslation();
  return (
    <div className="apart">
      <div className="flex">
        <span className="grow strong">{title}</span>
        <b className={n > 0 ? "" : "faint"}>{count(n)}</b>
      </div>
      <p className="faint">{why}</p>
      {topic && n > 0 ? <Link className="mono link" to={path`/topics/${topic}?from=newest`}>{topic}</Link> : <span className="faint">{t("job.noneYet")}</span>}
    </div>
  );
}

function StopDialog({ job, onClose }: { job: Job; onClose: () => void }) {
  const { t } = useTranslation();
  const stop = useMutation({ mutationFn: () => api.stopJob(job.id), onSuccess: onClose });
  return (
    <Dialog
      title={t("job.stopTitle", { job: job.id })}
      onClose={onClose}
      actions={
        <>
          <Button kind="danger" icon="stop" disabled={stop.isPending} onClick={() => stop.mutate()} data-testid="stop-confirm">{t("job.stopDo")}</Button>
          <Button kind="ghost" onClick={onClose}>{t("action.cancel")}</Button>
        </>
      }
    >
      <p>{t("job.stopImpact", { in: short(job.in_records_per_s), out: short(job.out_records_per_s), sink: job.sink ?? "—" })}</p>
      <p className="muted">{t("job.stopKeeps", { epoch: count(job.epoch) })}</p>
      {stop.isError && <ProblemBlock problem={problemOf(stop.error)} />}
    </Dialog>
  );
}
