import { useTranslation } from "react-i18next";
import { Link, useNavigate } from "react-router";
import type { Job } from "../../api/types";
import { bytes, count, rate } from "../../format/number";
import { duration, milliseconds } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive, useNow } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Empty, LiveMark, Loading, middleCut, ProblemBlock } from "../../ui/parts";
import { jobHealth, Mark, State } from "../../ui/state";

export default function JobsPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const { push, problem } = useLive<{ jobs: Job[] }>({ kind: "jobs" });
  useNow(1_000);
  const now = Date.now();
  const jobs = [...(push?.data.jobs ?? [])].sort((a, b) => rank(a) - rank(b) || a.id.localeCompare(b.id));
  return (
    <Page title={t("nav.jobs")} note={push ? t("overview.jobsRunning", { running: jobs.filter((j) => j.state === "running").length, count: jobs.length }) : undefined} actions={<LiveMark push={push} />} className="jobs-page">
      {!push && (problem ? <div className="cell"><ProblemBlock problem={problem} /></div> : <div className="cell"><Loading rows={8} /></div>)}
      {push && jobs.length === 0 && (
        <div className="cell">
          <Empty title={t("jobs.none")} actions={<Link className="btn p" to="/sql">{t("jobs.openSql")}</Link>}>{t("jobs.noneWhy")}</Empty>
        </div>
      )}
      {jobs.length > 0 && (
        <div className="scroll">
          <table className="pad head">
            <thead>
              <tr>
                <th className="name">{t("jobs.job")}</th>
                <th className="state-col desk">{t("groups.state")}</th>
                <th className="flow wide">{t("jobs.reads")}</th>
                <th className="r">{t("jobs.inRate")}</th>
                <th className="r desk">{t("jobs.outRate")}</th>
                <th className="r dur">{t("jobs.watermark")}</th>
                <th className="r big-col desk">{t("jobs.epochP99")}</th>
                <th className="r wide">{t("jobs.stateSize")}</th>
                <th className="r desk">{t("jobs.late")}</th>
                <th className="r big-col desk">{t("jobs.dead")}</th>
                <th className="r wide dur">{t("jobs.since")}</th>
              </tr>
            </thead>
            <tbody>
              {jobs.map((job) => (
                <tr key={job.id} className="click" onClick={() => void navigate(path`/jobs/${job.id}`)}>
                  <td><span className="flex job-name"><span className="phone inline"><Mark state={jobHealth(job.state)} /></span><Link className="mono ell" to={path`/jobs/${job.id}`} title={job.id} onClick={(e) => e.stopPropagation()}>{middleCut(job.id, 40)}</Link></span></td>
                  <td className="desk"><State state={jobHealth(job.state)}>{t(`jobs.states.${job.state}`)}</State></td>
                  <td className="mono faint wide" title={`${job.sources.join(", ")} → ${job.sink ?? "—"}`}>{job.sources.join(", ")}</td>
                  <td className="r">{rate(job.in_records_per_s)}</td>
                  <td className="r desk">{rate(job.out_records_per_s)}</td>
                  <td className="r">{duration(job.watermark_lag_ms, language)}</td>
                  <td className="r desk">{milliseconds(job.epoch_commit_p99_ms, language)}</td>
                  <td className="r wide">{bytes(job.state_bytes)}</td>
                  <td className="r desk">{count(job.late_records)}</td>
                  <td className={`r desk${job.dead_letters > 0 ? " strong" : ""}`}>{count(job.dead_letters)}</td>
                  <td className="r faint wide">{duration(now - job.started_ms, language)}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Page>
  );
}

const ORDER = ["failed", "restarting", "starting", "running", "stopped", "finished"];
const rank = (job: Job): number => ORDER.indexOf(job.state);
