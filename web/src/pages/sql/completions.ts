/** What the editor completes: tables and their columns, each as SQL reads it. */
import type { Completion } from "@codemirror/autocomplete";
import type { SQLConfig, SQLNamespace } from "@codemirror/lang-sql";
import type { TableInfo } from "../../api/types";
import { identifier } from "../../sql/quote";

/**
 * CodeMirror puts its own quotes around a name, and does not double those
 * inside: a name with a backtick is offered as it has to be written.
 */
function completion(name: string, more: Partial<Completion>): Completion {
  return name.includes("`") ? { ...more, label: identifier(name) } : { ...more, label: name, apply: identifier(name) };
}

export function completions(tables: TableInfo[]): Pick<SQLConfig, "schema" | "tables"> {
  const schema: Record<string, SQLNamespace> = {};
  const others: Completion[] = [];
  for (const table of tables) {
    const self = completion(table.name, { type: "type" });
    if (table.name.includes("`")) {
      others.push(self);
      continue;
    }
    // A dot would nest the name: it is escaped, as CodeMirror asks.
    schema[table.name.replaceAll(".", "\\.")] = {
      self,
      children: table.columns.map((column) => completion(column.name, { detail: column.type, type: "property" })),
    };
  }
  return { schema, tables: others };
}
