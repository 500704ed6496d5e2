/** The marks of a result that is not the whole answer. */
import { useTranslation } from "react-i18next";
import type { SqlResult } from "../api/types";
import type { Language } from "../format/language";
import { business } from "../format/number";
import { joinUnits, useLanguage } from "../i18n/language";
import { notesOf } from "./notes";
import { Tag } from "./parts";

/** The notes in full, above or below a table of results. */
export function CoverageNotes({ result }: { result: SqlResult }) {
  const { t } = useTranslation();
  const notes = notesOf(result);
  if (notes.length === 0) return null;
  return (
    <p className="strip-note" role="status" data-testid="coverage">
      {notes.map((note) => t(note.key, note.values)).join(" ")}
    </p>
  );
}

/** `1.2 M`, as small as it can be said. */
function brief(value: number, language: Language): string {
  const { figure, unit } = business(value, language);
  return joinUnits([figure, unit], language);
}

/** The mark in a panel's head: its title says all. */
export function CoverageMark({ result }: { result: SqlResult | null }) {
  const { t } = useTranslation();
  const language = useLanguage();
  if (!result) return null;
  const notes = notesOf(result);
  if (notes.length === 0) return null;
  const least = [...(result.covers ?? [])].sort((a, b) => a.rows / a.of - b.rows / b.of)[0];
  const text = least ? t("coverage.mark", { rows: brief(least.rows, language), of: brief(least.of, language) }) : t("coverage.notAll");
  return <Tag tone="warn" title={notes.map((note) => t(note.key, note.values)).join(" ")}><span data-testid="coverage">{text}</span></Tag>;
}
