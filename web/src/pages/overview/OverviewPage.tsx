/** The whole stream on one sheet: health with reasons, the drawing, throughput, brokers, jobs, lag. */
import { useMemo, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Broker, Group, Job, Overview } from "../../api/types";
import { TimeChart } from "../../charts/TimeChart";
import { byteRate, bytes, count, percent, rate, short } from "../../format/number";
import { duration, milliseconds } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Stream, StreamStages } from "../../stream/Stream";
import { LiveMark, Loading, Meter, ProblemBlock } from "../../ui/parts";
import { Sparkline } from "../../ui/sparkline";
import { groupHealth, jobHealth, Mark, State } from "../../ui/state";
import { useGroupWords } from "../groups/words";
import { HealthLedger } from "./HealthLedger";

export default function OverviewPage() {
  const { t } = useTranslation();
  const { push, problem } = useLive<Overview>({ kind: "overview" });
  const overview = push?.data;
  return (
    <Page title={t("nav.overview")} note={overview?.cluster.name} actions={<LiveMark push={push} />} className="overview">
      {problem && !overview && <div className="cell"><ProblemBlock problem={problem} /></div>}
      {!overview && !problem && <div className="cell"><Loading rows={9} /></div>}
      {overview && (
        <div className="cells">
          <HealthLedger health={overview.health} cluster={overview.cluster} />
          <section className="cell stream-cell">
            <header className="phone"><h2>{t("stream.title")}</h2></header>
            <div className="phone"><StreamStages overview={overview} /></div>
            <div className="desk"><Stream overview={overview} /></div>
          </section>
          <div className="cells two wide-left">
            <Throughput overview={overview} />
            <Brokers brokers={overview.brokers} />
          </div>
          <div className="cells two">
            <Jobs jobs={overview.jobs} />
            <Groups groups={overview.groups} total={overview.counts.groups} />
          </div>
        </div>
      )}
    </Page>
  );
}

function Throughput({ overview }: { overview: Overview }) {
  const { t } = useTranslation();
  const [hover, setHover] = useState<number | null>(null);
  const { history } = overview;
  const size = history.in_records_per_s.length;
  const times = useMemo(
    () => Array.from({ length: size }, (_, i) => history.end_ms - (size - 1 - i) * history.step_ms),
    [history.end_ms, history.step_ms, size],
  );
  const at = hover !== null && hover < size ? hover : size - 1;
  const into = history.in_records_per_s[at] ?? overview.rates.in_records_per_s;
  const out = history.out_records_per_s[at] ?? overview.rates.out_records_per_s;
  return (
    <section className="cell">
      <header>
        <h2>{t("overview.throughput")}</h2>
        <span className="note desk">{t("overview.recordsASecond")}</span>
        <span className="go legend">
          <span className="st"><i className="swatch c1" />{t("race.in")} <b data-testid="rate-in">{short(into)}</b></span>
          <span className="st"><i className="swatch c3" />{t("race.out")} <b>{short(out)}</b></span>
        </span>
      </header>
      <TimeChart
        label={t("overview.throughputLabel", { in: rate(into), out: rate(out) })}
        times={times}
        height={168}
        onHover={setHover}
        series={[
          { values: history.in_records_per_s, color: 0, fill: true },
          { values: history.out_records_per_s, color: 2 },
        ]}
      />
    </section>
  );
}

function Brokers({ brokers }: { brokers: Broker[] }) {
  const { t } = useTranslation();
  const well = brokers.filter((b) => b.state === "ok").length;
  return (
    <section className="cell">
      <header>
        <h2>{t("overview.brokers")}</h2>
        <span className="note">{t("overview.brokersWell", { well, count: brokers.length })}</span>
      </header>
      <table>
        <thead>
          <tr>
            <th className="broker-name">{t("overview.broker")}</th>
            <th className="r desk">{t("overview.leaders")}</th>
            <th className="r wide mem-col">{t("overview.memory")}</th>
            <th className="r">{t("overview.cpu")}</th>
            <th className="r">{t("overview.disk")}</th>
            <th className="meter-col desk" aria-hidden="true" />
          </tr>
        </thead>
        <tbody>
          {brokers.map((broker) => (
            <BrokerRow key={broker.id} broker={broker} />
          ))}
        </tbody>
      </table>
      {brokers.length === 1 && brokers[0] && <BrokerFacts broker={brokers[0]} />}
    </section>
  );
}

function BrokerRow({ broker }: { broker: Broker }) {
  const { t } = useTranslation();
  const disk = broker.disk_total_bytes && broker.disk_used_bytes !== null ? (broker.disk_used_bytes / broker.disk_total_bytes) * 100 : null;
  const full = disk !== null && disk >= 90 ? "critical" : disk !== null && disk >= 80 ? "warn" : undefined;
  return (
    <tr>
      <td>
        <State state={broker.state}>
          <span className="mono" title={broker.host}>{broker.id} <span className="faint">{broker.host}</span></span>
        </State>
      </td>
      <td className="r desk">{count(broker.leaders)}</td>
      <td className="r wide">{bytes(broker.memory_bytes)}</td>
      <td className="r">{broker.cpu_percent === null ? "—" : percent(broker.cpu_percent, broker.cpu_percent < 10 ? 1 : 0)}</td>
      <td className={full ? `r strong ${full}` : "r"} title={`${bytes(broker.disk_used_bytes)} / ${bytes(broker.disk_total_bytes)}`}>{disk === null ? "—" : percent(disk, 0)}</td>
      <td className="meter-col desk">{disk !== null && <Meter value={disk} {...(full ? { state: full } : {})} label={t("overview.disk")} />}</td>
    </tr>
  );
}

/** With one broker the table is one row; what else it does is worth the room. */
function BrokerFacts({ broker }: { broker: Broker }) {
  const { t } = useTranslation();
  return (
    <dl className="facts">
      <div><dt>{t("overview.bytesIn")}</dt><dd>{byteRate(broker.in_bytes_per_s)}</dd></div>
      <div><dt>{t("overview.bytesOut")}</dt><dd>{byteRate(broker.out_bytes_per_s)}</dd></div>
      <div><dt>{t("overview.logSize")}</dt><dd>{bytes(broker.log_bytes)}</dd></div>
      <div><dt>{t("topics.partitions")}</dt><dd>{count(broker.partitions)}</dd></div>
      <div><dt>{t("overview.connections")}</dt><dd>{count(broker.connections)}</dd></div>
    </dl>
  );
}

const ROWS_MAX = 7;

function Jobs({ jobs }: { jobs: Job[] }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const running = jobs.filter((job) => job.state === "running").length;
  // Not by rate: rows that change places every second cannot be read.
  const sorted = [...jobs].sort((a, b) => Number(a.state === "running") - Number(b.state === "running") || a.id.localeCompare(b.id));
  return (
    <section className="cell o2">
      <header>
        <h2>{t("nav.jobs")}</h2>
        <span className="note">{t("overview.jobsRunning", { running, count: jobs.length })}</span>
        <Link className="go" to="/jobs">{t("overview.allJobs")} ›</Link>
      </header>
      {jobs.length === 0 ? (
        <p className="muted">{t("jobs.none")}</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th className="name">{t("jobs.job")}</th>
              <th className="wide state-col">{t("groups.state")}</th>
              <th className="r">{t("jobs.inRate")}</th>
              <th className="r desk">{t("jobs.outRate")}</th>
              <th className="r">{t("jobs.epochP99")}</th>
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, ROWS_MAX).map((job) => (
              <tr key={job.id}>
                <td><span className="flex job-name"><span className="compact"><Mark state={jobHealth(job.state)} /></span><Link className="mono ell" to={path`/jobs/${job.id}`} title={job.id}>{job.id}</Link></span></td>
                <td className="wide"><State state={jobHealth(job.state)}>{t(`jobs.states.${job.state}`)}</State></td>
                <td className="r">{rate(job.in_records_per_s)}</td>
                <td className="r desk">{rate(job.out_records_per_s)}</td>
                <td className="r">{milliseconds(job.epoch_commit_p99_ms, language)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
    </section>
  );
}

function Groups({ groups, total }: { groups: Group[]; total: number }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const groupWords = useGroupWords();
  const isLagging = (g: Group): boolean => g.state === "behind" || g.state === "stopped";
  const sorted = [...groups].sort((a, b) => Number(isLagging(b)) - Number(isLagging(a)) || (isLagging(a) ? (b.lag_ms ?? 0) - (a.lag_ms ?? 0) : 0) || a.group.localeCompare(b.group));
  return (
    <section className="cell o1">
      <header>
        <h2>{t("overview.laggingGroups")}</h2>
        <span className="note">{t("overview.ofTotal", { some: groups.filter(isLagging).length, total })}</span>
        <Link className="go" to="/groups">{t("overview.allGroups")} ›</Link>
      </header>
      {groups.length === 0 ? (
        <p className="muted">{t("groups.none")}</p>
      ) : (
        <table>
          <thead>
            <tr>
              <th className="name">{t("groups.group")}</th>
              <th className="wide state-col">{t("groups.state")}</th>
              <th className="r desk big-col">{t("groups.records")}</th>
              <th className="r dur">{t("groups.lag")}</th>
              <th className="wider spark-col">{t("groups.trend")}</th>
              <th className="r dur">{t("groups.clears")}</th>
            </tr>
          </thead>
          <tbody>
            {sorted.slice(0, ROWS_MAX).map((group) => {
              const health = groupHealth(group);
              return (
                <tr key={group.group}>
                  <td><span className="flex job-name"><span className="compact"><Mark state={health} /></span><Link className="mono ell" to={path`/groups/${group.group}`} title={group.group}>{group.group}</Link></span></td>
                  <td className="wide"><State state={health}>{groupWords.state(group)}</State></td>
                  <td className="r desk">{count(group.lag_records)}</td>
                  <td className={`r strong${health === "critical" ? " critical" : ""}`}>{duration(group.lag_ms, language)}</td>
                  <td className="wider"><Sparkline values={group.lag_history} width={84} height={20} state={health} /></td>
                  <td className={`r ${groupWords.never(group) ? "critical" : "muted"}`}>{groupWords.clears(group)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      )}
    </section>
  );
}
