/** The question before a statement that destroys, and what stayed after it. */
import { useState } from "react";
import { Trans, useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { ProblemDocument } from "../../api/types";
import { bytes, count, rate } from "../../format/number";
import { path } from "../../links";
import { Dialog } from "../../ui/overlay";
import { Button, ProblemBlock } from "../../ui/parts";
import { Mark } from "../../ui/state";
import type { Impact, TopicCount } from "./impact";

export function DestroyDialog({ impacts, unknown, onClose, onRun }: { impacts: Impact[]; unknown: ProblemDocument | null; onClose: () => void; onRun: (alsoLeftovers: boolean) => void }) {
  const { t } = useTranslation();
  const leftovers = impacts.flatMap((impact) => impact.leftovers);
  const [also, setAlso] = useState(false);
  const first = impacts[0];
  const title =
    impacts.length !== 1 || !first || first.what.kind === "other" ? t("destroy.titleMany", { count: impacts.length })
    : first.what.kind === "stopped_job" ? t("job.stopTitle", { job: first.what.name })
    : t("destroy.title", { name: first.what.name });
  const onlyJobs = impacts.every((impact) => impact.what.kind === "stopped_job");
  return (
    <Dialog
      title={title}
      onClose={onClose}
      actions={
        <>
          <Button kind="danger" icon={onlyJobs ? "stop" : "trash"} onClick={() => onRun(also)} data-testid="destroy-confirm">{impacts.length > 1 || first?.what.kind === "other" ? t("destroy.runDo") : onlyJobs ? t("destroy.stopDo") : t("destroy.do")}</Button>
          <Button kind="ghost" onClick={onClose} data-autofocus="">{t("action.cancel")}</Button>
        </>
      }
    >
      {unknown && <ProblemBlock problem={{ ...unknown, hint: t("destroy.unknown") }} />}
      {impacts.map((impact, i) => <ImpactRows key={i} impact={impact} headed={impacts.length > 1} />)}
      {leftovers.length > 0 && (
        <section className="impact">
          <h3>{t("destroy.leftovers")}</h3>
          {leftovers.map((topic) => <TopicRow key={topic.name} topic={topic} />)}
          <label className="check"><input type="checkbox" checked={also} onChange={(e) => setAlso(e.target.checked)} />{t("destroy.also", { count: leftovers.length })}</label>
        </section>
      )}
    </Dialog>
  );
}

function ImpactRows({ impact, headed }: { impact: Impact; headed: boolean }) {
  const { t } = useTranslation();
  const { what, job, goes, stays, users, readers } = impact;
  return (
    <>
      {(headed || what.kind === "other") && <pre className="impact-sql">{what.text}</pre>}
      {what.kind === "other" && <p>{t("destroy.other")}</p>}
      {what.kind !== "other" && (
        <section className="impact">
          <h3>{what.kind === "table" ? t("destroy.ends") : what.kind === "stopped_job" ? t("destroy.stops") : t("destroy.goes")}</h3>
          {what.kind === "table" && <p className="impact-row"><Mark state="critical" /><span><Named i18nKey="destroy.definition" name={what.name} /></span></p>}
          {what.kind === "materialized_table" && <p className="impact-row"><Mark state="critical" /><span><Named i18nKey="destroy.materialized" name={what.name} /></span>{job && <span className="faint end">{t("destroy.writes", { rate: rate(job.out_records_per_s) })}</span>}</p>}
          {job && (what.kind === "stopped_job" || what.kind === "dropped_job") && <p className="impact-row"><Mark state="critical" /><span><Named i18nKey={what.kind === "stopped_job" ? "destroy.job" : "destroy.droppedJob"} name={job.id} /></span><span className="faint end">{t("destroy.writes", { rate: rate(job.out_records_per_s) })}</span></p>}
          {goes.map((topic) => <TopicRow key={topic.name} topic={topic} goes />)}
          {goes.length > 0 && <p className="faint small">{t("destroy.ownTopic")}</p>}
        </section>
      )}
      {users.length > 0 && <p className="impact-row"><Mark state="warn" /><span>{t("destroy.usedBy", { names: some(users) })}</span></p>}
      {readers.length > 0 && <p className="impact-row"><Mark state="warn" /><span>{t("destroy.readBy", { names: some(readers) })}</span></p>}
      {stays.length > 0 && (
        <section className="impact">
          <h3>{t("destroy.stays")}</h3>
          {stays.map((topic) => <TopicRow key={topic.name} topic={topic} />)}
        </section>
      )}
      {what.kind === "stopped_job" && <p className="muted">{t("destroy.jobKeeps")}</p>}
    </>
  );
}

/** A sentence with a name in it, the name as names look. */
function Named({ i18nKey, name }: { i18nKey: "destroy.definition" | "destroy.materialized" | "destroy.job" | "destroy.droppedJob"; name: string }) {
  const { t } = useTranslation();
  return <Trans t={t} i18nKey={i18nKey} values={{ name }} components={{ n: <span className="mono" /> }} />;
}

/** Names that are listed; more are counted. */
const NAMES_MAX = 5;

function some(names: string[]): string {
  const more = names.length - NAMES_MAX;
  return `${names.slice(0, NAMES_MAX).join(", ")}${more > 0 ? ` +${more}` : ""}`;
}

function TopicRow({ topic, goes }: { topic: TopicCount; goes?: boolean }) {
  const { t } = useTranslation();
  return (
    <p className="impact-row">
      <Mark state={goes ? "critical" : "idle"} />
      <span>{t("destroy.topic")} <span className="mono">{topic.name}</span></span>
      <span className="faint end">{t("destroy.topicHolds", { count: topic.records, n: count(topic.records), size: bytes(topic.bytes) })}</span>
    </p>
  );
}

export interface Aftermath {
  /** What the statements removed. */
  gone: Impact[];
  /** Topics that are gone with them, or were deleted since. */
  deleted: string[];
  /** Topics that were not asked to go, or could not. */
  stay: TopicCount[];
  leftovers: TopicCount[];
  problem: ProblemDocument | null;
}

/** Deletes topics of what was set apart; what could not be deleted stays on the list. */
export async function deleteLeftovers(before: Aftermath): Promise<Aftermath> {
  let after: Aftermath = { ...before, problem: null };
  for (const topic of before.leftovers) {
    try {
      await api.deleteTopic(topic.name);
      after = { ...after, deleted: [...after.deleted, topic.name], leftovers: after.leftovers.filter((other) => other !== topic) };
    } catch (error) {
      after = { ...after, problem: problemOf(error) };
    }
  }
  return after;
}

/** After it: what is gone, what stays, and the one thing left to do. */
export function AftermathNote({ aftermath, set }: { aftermath: Aftermath; set: (next: Aftermath) => void }) {
  const { t } = useTranslation();
  const [busy, setBusy] = useState(false);
  const { gone, deleted, stay, leftovers, problem } = aftermath;
  const dropped = gone.filter((impact) => impact.what.kind !== "stopped_job" && impact.what.kind !== "other").map((impact) => impact.what.name);
  const stopped = gone.filter((impact) => impact.what.kind === "stopped_job").map((impact) => impact.what.name);
  const links = (list: TopicCount[]) =>
    list.map((topic) => (
      <span key={topic.name} className="nowrap">
        <Link className="mono link" to={path`/topics/${topic.name}?from=newest`}>{topic.name}</Link>
        <span className="faint"> {t("destroy.topicHolds", { count: topic.records, n: count(topic.records), size: bytes(topic.bytes) })}</span>
      </span>
    ));
  return (
    <div className="cell aftermath" role="status" data-testid="aftermath">
      {dropped.length > 0 && <p className="flex wrap"><Mark state="ok" /><b>{t("destroy.doneTables", { names: some(dropped) })}</b></p>}
      {stopped.length > 0 && <p className="flex wrap"><Mark state="ok" /><b>{t("destroy.doneJobs", { names: some(stopped) })}</b></p>}
      {deleted.length > 0 && <p className="muted">{t("destroy.doneTopics", { names: some(deleted) })}</p>}
      {stay.length > 0 && <p className="flex wrap"><span>{t("destroy.stay")}</span>{links(stay)}</p>}
      {leftovers.length > 0 && (
        <p className="flex wrap">
          <span>{t("destroy.leftoversStay")}</span>
          {links(leftovers)}
          <Button kind="danger" icon="trash" disabled={busy} onClick={() => { setBusy(true); void deleteLeftovers(aftermath).then((next) => { set(next); setBusy(false); }); }}>{t("destroy.deleteThem", { count: leftovers.length })}</Button>
        </p>
      )}
      {problem && <ProblemBlock problem={problem} />}
    </div>
  );
}
