/** The SQL page: catalog, editor, results; run once or follow live. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { ProblemDocument, SqlResult, TableInfo } from "../../api/types";
import { count } from "../../format/number";
import { milliseconds } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { firstRows } from "../../sql/quote";
import { destructions } from "../../sql/statements";
import { Button, cx, Empty, LiveMark, Loading, ProblemBlock } from "../../ui/parts";
import { CoverageNotes } from "../../ui/coverage";
import { Catalog } from "./Catalog";
import { type Aftermath, AftermathNote, deleteLeftovers, DestroyDialog } from "./Destroy";
import { Editor, type EditorHandle } from "./Editor";
import { countsOf, type Impact, impactOf } from "./impact";
import { DownloadCsv, ResultTable } from "./Results";
import { KeptDraft, useDrafts } from "./useDrafts";

const NO_TABLES: TableInfo[] = [];

interface Run {
  result: SqlResult | null;
  problem: ProblemDocument | null;
  from: number;
}

/** A statement that waits for a yes. */
interface Asking {
  sql: string;
  from: number;
  impacts: Impact[];
  /** Why what it would remove could not be looked up. */
  unknown: ProblemDocument | null;
}

/** What the destructive statements of a text would remove; none when nothing of it is there. */
async function lookUp(sql: string): Promise<Pick<Asking, "impacts" | "unknown">> {
  const found = destructions(sql);
  if (found.length === 0) return { impacts: [], unknown: null };
  try {
    const [{ tables }, { jobs }, { topics }] = await Promise.all([api.tables(), api.jobs(), api.topics(false)]);
    return { impacts: found.map((what) => impactOf(what, { tables, jobs, topics })).filter((impact) => impact !== null), unknown: null };
  } catch (error) {
    const impacts = found.map((what): Impact => ({ what: { kind: "other", name: "", text: what.text }, job: null, goes: [], stays: [], leftovers: [], users: [], readers: [] }));
    return { impacts, unknown: problemOf(error) };
  }
}

/** The list of topics is made once a second; one that is on it after this long stays. */
const SETTLE_MS_MAX = 3_000;
const ASK_MS = 250;

/** What is gone and what the topics that stay hold now: looked at, not believed. */
async function settle(impacts: Impact[], also: boolean): Promise<Aftermath> {
  const goes = impacts.flatMap((impact) => impact.goes.map((topic) => topic.name));
  let { topics } = await api.topics(false);
  for (let waited = 0; waited < SETTLE_MS_MAX && topics.some((topic) => goes.includes(topic.name)); waited += ASK_MS) {
    await new Promise((resolve) => setTimeout(resolve, ASK_MS));
    ({ topics } = await api.topics(false));
  }
  const now = (names: string[]) => countsOf(topics, names);
  const stay = [...impacts.flatMap((impact) => impact.stays.map((topic) => topic.name)), ...goes];
  const deleted = goes.filter((name) => !topics.some((topic) => topic.name === name));
  const after: Aftermath = {
    gone: impacts,
    deleted,
    stay: now(stay),
    leftovers: now(impacts.flatMap((impact) => impact.leftovers.map((topic) => topic.name))),
    problem: null,
  };
  return also ? deleteLeftovers(after) : after;
}

export default function SqlPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const queries = useQueryClient();
  const editor = useRef<EditorHandle>(null);
  const drafts = useDrafts(editor);
  const abort = useRef<AbortController | null>(null);
  const [run, setRun] = useState<Run>({ result: null, problem: null, from: 0 });
  const [running, setRunning] = useState(false);
  const [asking, setAsking] = useState<Asking | null>(null);
  const [aftermath, setAftermath] = useState<Aftermath | null>(null);
  const [live, setLive] = useState<{ sql: string; from: number } | null>(null);
  const tables = useQuery({ queryKey: ["tables"], queryFn: api.tables, refetchInterval: 10_000 }).data?.tables ?? NO_TABLES;
  const followed = useLive<SqlResult>(live ? { kind: "sql", sql: live.sql } : null);

  /** What destroys is run after a question only. */
  const execute = async () => {
    const statement = editor.current?.statement();
    if (!statement || statement.sql.trim() === "") return;
    const { impacts, unknown } = await lookUp(statement.sql);
    if (impacts.length > 0) setAsking({ ...statement, impacts, unknown });
    else await send(statement.sql, statement.from, [], false);
  };

  const send = async (sql: string, from: number, impacts: Impact[], also: boolean) => {
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    setAsking(null);
    setAftermath(null);
    setLive(null);
    setRunning(true);
    try {
      const result = await api.sql(sql, controller.signal);
      setRun({ result, problem: null, from });
      if (impacts.some((impact) => impact.what.kind !== "other")) setAftermath(await settle(impacts, also));
    } catch (error) {
      if (!controller.signal.aborted) setRun((old) => ({ ...old, problem: problemOf(error), from }));
    }
    // Also after an error: the statements before it have been run.
    void queries.invalidateQueries({ queryKey: ["tables"] });
    if (abort.current === controller) setRunning(false);
  };

  const toggleLive = () => {
    if (live) {
      setLive(null);
      if (followed.push) setRun({ result: followed.push.data, problem: null, from: live.from });
      return;
    }
    const statement = editor.current?.statement();
    if (!statement || statement.sql.trim() === "") return;
    setRun((old) => ({ ...old, problem: null }));
    setLive({ sql: statement.sql.trim().replace(/;\s*$/, ""), from: statement.from });
  };

  const query = (table: TableInfo) => {
    drafts.open(firstRows(table.name));
    void execute();
  };

  const problem = live ? followed.problem : run.problem;
  const result = live ? (followed.push?.data ?? null) : run.result;
  const from = live?.from ?? run.from;
  // "OK" says less than what is told of it.
  const told = aftermath !== null && result !== null && isOk(result);
  const mac = /Mac|iPhone|iPad/.test(navigator.userAgent);
  return (
    <Page
      title="SQL"
      className="sql-page"
      actions={
        <>
          {live && <LiveMark push={followed.push} periodMs={null} />}
          <Button icon={live ? "stop" : "clock"} className={live ? "on" : ""} aria-pressed={live !== null} onClick={toggleLive} data-testid="live-toggle">{live ? t("sql.stopLive") : t("sql.live")}</Button>
          {running ? (
            <Button icon="stop" onClick={() => { abort.current?.abort(); setRunning(false); }}>{t("action.cancel")}</Button>
          ) : (
            <Button kind="primary" icon="play" onClick={() => void execute()} data-testid="run">{t("sql.run")}<span className="kbd desk">{mac ? "⌘↵" : "Ctrl ↵"}</span></Button>
          )}
        </>
      }
    >
      <div className="workspace">
        <Catalog tables={tables} insert={(text) => editor.current?.insert(text)} query={query} />
        <div className="work">
          <div className="edit">
            <KeptDraft kept={drafts.kept} bringBack={drafts.bringBack} discard={drafts.discard} />
            <Editor
              handle={editor}
              initial={drafts.initial}
              tables={tables}
              problem={problem}
              problemFrom={from}
              hint={t("sql.hint")}
              label={t("sql.editor")}
              onChange={drafts.changed}
              onRun={() => void execute()}
            />
          </div>
          <section className="out" aria-live="off">
            <header className="out-head">
              <h2>{t("sql.results")}</h2>
              {result && !told && <span className="faint">{t("sql.rows", { count: result.rows.length, n: count(result.rows.length) })}</span>}
              {!live && result?.elapsed_ms !== undefined && <span className="faint">{milliseconds(result.elapsed_ms, language)}</span>}
              {problem && result && <span className="tag stale">{t("sql.lastGood")}</span>}
              <span className="grow" />
              {result && !told && <DownloadCsv result={result} />}
            </header>
            {problem && (
              <div className="out-problem">
                <ProblemBlock problem={problem} />
              </div>
            )}
            {aftermath && <AftermathNote aftermath={aftermath} set={setAftermath} />}
            {!live && !problem && result?.notices && result.notices.length > 0 && <Notices notices={result.notices} />}
            {!result && !problem && (running || live ? <div className="cell"><Loading rows={5} /></div> : <First tables={tables} query={query} />)}
            {result && <CoverageNotes result={result} />}
            {result && isJob(result) && <JobStarted job={String(result.rows[0]?.[0] ?? "")} />}
            {result && !isJob(result) && !told && (result.rows.length === 0 ? <div className="cell"><Empty title={t("sql.noRows")}>{t("sql.noRowsWhy")}</Empty></div> : <ResultTable result={result} stale={problem !== null} />)}
          </section>
        </div>
      </div>
      {asking && <DestroyDialog impacts={asking.impacts} unknown={asking.unknown} onClose={() => setAsking(null)} onRun={(also) => void send(asking.sql, asking.from, asking.impacts, also)} />}
    </Page>
  );
}

/** The answer of a statement that has no rows. */
function isOk(result: SqlResult): boolean {
  return result.columns.length === 1 && result.columns[0]?.name === "result" && result.rows.length === 1 && String(result.rows[0]?.[0]).startsWith("OK");
}

/** What of the statements did nothing here, in the server's words. */
function Notices({ notices }: { notices: string[] }) {
  const { t } = useTranslation();
  return (
    <div className="cell" role="note" aria-label={t("sql.notices")} data-testid="notices">
      <strong>{t("sql.notices")}</strong>
      <ul>
        {notices.map((notice) => <li key={notice}>{notice}</li>)}
      </ul>
    </div>
  );
}

function isJob(result: SqlResult): boolean {
  return result.columns.length === 1 && result.columns[0]?.name === "job" && result.rows.length === 1;
}

function JobStarted({ job }: { job: string }) {
  const { t } = useTranslation();
  return (
    <div className="cell">
      <Empty title={t("sql.jobStarted", { job })} actions={<Link className={cx("btn", "p")} to={path`/jobs/${job}`}>{t("sql.openJob")}</Link>} />
    </div>
  );
}

function First({ tables, query }: { tables: TableInfo[]; query: (table: TableInfo) => void }) {
  const { t } = useTranslation();
  const start = [...tables.filter((table) => table.kind === "materialized_table"), ...tables.filter((table) => table.kind === "table")].slice(0, 4);
  return (
    <div className="cell">
      <Empty
        title={t("sql.first")}
        actions={start.map((table) => (
          <Button key={table.name} icon="play" onClick={() => query(table)}><span className="mono">{table.name}</span></Button>
        ))}
      >
        {t("sql.firstWhy")}
      </Empty>
    </div>
  );
}
