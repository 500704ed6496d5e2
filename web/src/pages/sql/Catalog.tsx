/** Tables with their columns, and what runs, beside the editor. */
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Job, TableInfo } from "../../api/types";
import { rate } from "../../format/number";
import { path } from "../../links";
import { useLive } from "../../live/hooks";
import { identifier } from "../../sql/quote";
import { Icon } from "../../ui/icons";
import { Mark, jobHealth } from "../../ui/state";

export function Catalog({ tables, insert, query }: { tables: TableInfo[]; insert: (text: string) => void; query: (table: TableInfo) => void }) {
  const { t } = useTranslation();
  const [text, setText] = useState("");
  const jobs = useLive<{ jobs: Job[] }>({ kind: "jobs" }).push?.data.jobs ?? [];
  const match = (table: TableInfo): boolean => [table.name, ...table.columns.map((c) => c.name)].some((name) => name.toLowerCase().includes(text.toLowerCase()));
  const kinds = [
    { id: "table", title: t("sql.tables"), list: tables.filter((table) => table.kind === "table" && match(table)) },
    { id: "mat", title: t("sql.materialized"), list: tables.filter((table) => table.kind === "materialized_table" && match(table)) },
  ];
  const running = jobs.filter((job) => job.state !== "finished" && job.state !== "stopped");
  return (
    <aside className="tree" aria-label={t("sql.catalog")}>
      <label className="tree-find">
        <Icon name="search" small />
        <input value={text} placeholder={t("sql.find")} onChange={(e) => setText(e.target.value)} />
      </label>
      <div className="tree-scroll">
        {kinds.map((kind) => (
          <section key={kind.id}>
            <h3>{kind.title}<small>{kind.list.length}</small></h3>
            {kind.list.map((table) => (
              <TableNode key={table.name} table={table} forced={text !== ""} insert={insert} query={query} />
            ))}
          </section>
        ))}
        {tables.length === 0 && <p className="faint tree-none">{t("sql.noTables")}</p>}
        <section>
          <h3>{t("sql.running")}<small>{running.length}</small></h3>
          {running.map((job) => (
            <Link key={job.id} className="tree-row job" to={path`/jobs/${job.id}`} title={job.id}>
              <Mark state={jobHealth(job.state)} />
              <span className="mono ell">{job.id}</span>
              <small>{rate(job.in_records_per_s)}</small>
            </Link>
          ))}
        </section>
      </div>
    </aside>
  );
}

function TableNode({ table, forced, insert, query }: { table: TableInfo; forced: boolean; insert: (text: string) => void; query: (table: TableInfo) => void }) {
  const { t } = useTranslation();
  const [open, setOpen] = useState(false);
  const shown = open || forced;
  return (
    <>
      <div className="tree-row table">
        <button type="button" aria-expanded={shown} onClick={() => setOpen(!open)} title={table.name}>
          <Icon name={shown ? "down" : "right"} small />
          <span className="mono ell">{table.name}</span>
        </button>
        <button type="button" className="tree-query" aria-label={t("sql.queryTable", { table: table.name })} title={t("sql.queryTable", { table: table.name })} onClick={() => query(table)}>
          <Icon name="play" small />
        </button>
      </div>
      {shown && table.columns.map((column) => (
        <button key={column.name} type="button" className="tree-row column" onClick={() => insert(identifier(column.name))} title={`${column.name} ${column.type}`}>
          <span className="mono ell">{column.name}</span>
          <small>{column.role === "physical" ? column.type.replace(/ NOT NULL$/i, "") : column.role}</small>
        </button>
      ))}
    </>
  );
}
