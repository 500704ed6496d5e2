/** A result as a table; what is shown and what is not is said. */
import { csv } from "../../format/csv";
import { useTranslation } from "react-i18next";
import type { Cell, Column, SqlResult } from "../../api/types";
import { count } from "../../format/number";
import { Button } from "../../ui/parts";

/** The browser stays quick; the whole result is in the download. */
const ROWS_SHOWN_MAX = 500;

export function isNumeric(type: string): boolean {
  return /^(TINYINT|SMALLINT|INT|INTEGER|BIGINT|FLOAT|DOUBLE|DECIMAL|REAL)/i.test(type);
}

export function cellText(cell: Cell): string {
  if (cell === null) return "NULL";
  if (typeof cell === "object") return JSON.stringify(cell);
  return String(cell);
}

export function ResultTable({ result, stale }: { result: SqlResult; stale?: boolean }) {
  const { t } = useTranslation();
  const rows = result.rows.slice(0, ROWS_SHOWN_MAX);
  return (
    <>
      <div className="scroll results" tabIndex={0}>
        <table className={stale ? "head res pad stale-data" : "head res pad"} data-testid="results">
          <thead>
            <tr>
              <th className="r rownum" aria-hidden="true" />
              {result.columns.map((column, i) => (
                <th key={i} className={isNumeric(column.type) ? "r" : undefined} title={column.type}>
                  {column.name} <span className="faint">{shortType(column)}</span>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {rows.map((row, i) => (
              <tr key={i}>
                <td className="r faint rownum">{i + 1}</td>
                {row.map((cell, j) => (
                  <td key={j} className={isNumeric(result.columns[j]?.type ?? "") ? "r" : undefined} title={cellText(cell)}>
                    {cell === null ? <span className="faint">NULL</span> : cellText(cell)}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      {result.rows.length > ROWS_SHOWN_MAX && <p className="strip-note">{t("sql.firstShown", { shown: count(ROWS_SHOWN_MAX), total: count(result.rows.length) })}</p>}
    </>
  );
}

function shortType(column: Column): string {
  return column.type.replace(/ NOT NULL$/i, "").toLowerCase();
}

export function DownloadCsv({ result }: { result: SqlResult }) {
  const { t } = useTranslation();
  const save = () => {
    const rows = [result.columns.map((c) => c.name), ...result.rows.map((row) => row.map((cell) => (cell === null ? "" : cellText(cell))))];
    // The mark makes spreadsheets read it as UTF-8.
    const url = URL.createObjectURL(new Blob(["\ufeff", csv(rows)], { type: "text/csv" }));
    const link = document.createElement("a");
    link.href = url;
    link.download = "result.csv";
    link.click();
    URL.revokeObjectURL(url);
  };
  return <Button kind="ghost" onClick={save}>CSV<span className="sr"> {t("sql.download")}</span></Button>;
}
