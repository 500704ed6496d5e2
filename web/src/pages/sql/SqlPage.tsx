/** The SQL page: catalog, editor, results; run once or follow live. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useSearchParams } from "react-router";
import { api, problemOf } from "../../api/client";
import type { ProblemDocument, SqlResult, TableInfo } from "../../api/types";
import { count } from "../../format/number";
import { milliseconds } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { firstRows } from "../../sql/quote";
import { Button, cx, Empty, LiveMark, Loading, ProblemBlock } from "../../ui/parts";
import { Catalog } from "./Catalog";
import { Editor, type EditorHandle } from "./Editor";
import { DownloadCsv, ResultTable } from "./Results";

const KEY = "millstream.sql";
const NO_TABLES: TableInfo[] = [];

function stored(): string {
  try {
    return localStorage.getItem(KEY) ?? "";
  } catch {
    return "";
  }
}

interface Run {
  result: SqlResult | null;
  problem: ProblemDocument | null;
  from: number;
}

export default function SqlPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const queries = useQueryClient();
  const [search, setSearch] = useSearchParams();
  const [initial] = useState(() => search.get("q") ?? stored());
  const editor = useRef<EditorHandle>(null);
  const abort = useRef<AbortController | null>(null);
  const [run, setRun] = useState<Run>({ result: null, problem: null, from: 0 });
  const [running, setRunning] = useState(false);
  const [live, setLive] = useState<{ sql: string; from: number } | null>(null);
  const tables = useQuery({ queryKey: ["tables"], queryFn: api.tables, refetchInterval: 10_000 }).data?.tables ?? NO_TABLES;
  const followed = useLive<SqlResult>(live ? { kind: "sql", sql: live.sql } : null);

  // Another page sent a statement: it replaces the text, and the address is clean again.
  const asked = search.get("q");
  useEffect(() => {
    if (asked === null) return;
    editor.current?.replace(asked);
    setSearch({}, { replace: true });
  }, [asked, setSearch]);

  const save = (text: string) => {
    try {
      localStorage.setItem(KEY, text);
    } catch {
      // The text then lives as long as the page.
    }
  };

  const execute = async () => {
    const statement = editor.current?.statement();
    if (!statement || statement.sql.trim() === "") return;
    abort.current?.abort();
    const controller = new AbortController();
    abort.current = controller;
    setLive(null);
    setRunning(true);
    try {
      const result = await api.sql(statement.sql, controller.signal);
      setRun({ result, problem: null, from: statement.from });
      void queries.invalidateQueries({ queryKey: ["tables"] });
    } catch (error) {
      if (!controller.signal.aborted) setRun((old) => ({ ...old, problem: problemOf(error), from: statement.from }));
    }
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
    editor.current?.replace(firstRows(table.name));
    void execute();
  };

  const problem = live ? followed.problem : run.problem;
  const result = live ? (followed.push?.data ?? null) : run.result;
  const from = live?.from ?? run.from;
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
          <Editor
            handle={editor}
            initial={initial}
            tables={tables}
            problem={problem}
            problemFrom={from}
            hint={t("sql.hint")}
            label={t("sql.editor")}
            onChange={save}
            onRun={() => void execute()}
          />
          <section className="out" aria-live="off">
            <header className="out-head">
              <h2>{t("sql.results")}</h2>
              {result && <span className="faint">{t("sql.rows", { count: result.rows.length, n: count(result.rows.length) })}</span>}
              {!live && result?.elapsed_ms !== undefined && <span className="faint">{milliseconds(result.elapsed_ms, language)}</span>}
              {problem && result && <span className="tag stale">{t("sql.lastGood")}</span>}
              <span className="grow" />
              {result && <DownloadCsv result={result} />}
            </header>
            {problem && (
              <div className="out-problem">
                <ProblemBlock problem={problem} />
              </div>
            )}
            {!result && !problem && (running || live ? <div className="cell"><Loading rows={5} /></div> : <First tables={tables} query={query} />)}
            {result && isJob(result) && <JobStarted job={String(result.rows[0]?.[0] ?? "")} />}
            {result && !isJob(result) && (result.rows.length === 0 ? <div className="cell"><Empty title={t("sql.noRows")}>{t("sql.noRowsWhy")}</Empty></div> : <ResultTable result={result} stale={problem !== null} />)}
          </section>
        </div>
      </div>
    </Page>
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
