import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { CompletionContext, type CompletionSource } from "@codemirror/autocomplete";
import { schemaCompletionSource } from "@codemirror/lang-sql";
import { EditorState } from "@codemirror/state";
import { describe, expect, test } from "vitest";
import type { TableInfo } from "../src/api/types";
import { nameIn, path } from "../src/links";
import { completions } from "../src/pages/sql/completions";
import { flinkDialect } from "../src/pages/sql/dialect";
import { firstRows, identifier, literal } from "../src/sql/quote";

const HOSTILE = [
  "t; DROP MATERIALIZED TABLE live_orders",
  "x` ; DROP TABLE orders; SELECT * FROM `x",
  "``; STOP JOB 'live_orders'; --",
  "t /* ",
  "t -- ",
  "a\nb; DROP TABLE c",
  "订单",
  "order",
  "1st",
  "",
];

/** Reads SQL as the server's lexer does: the content of what is quoted, and the rest as it is. */
function read(sql: string): { names: string[]; rest: string } {
  const names: string[] = [];
  const rest = sql.replace(/`((?:[^`]|``)*)`/g, (_, name: string) => {
    names.push(name.replaceAll("``", "`"));
    return "?";
  });
  return { names, rest };
}

describe("a name in SQL", () => {
  test("stays one name, whatever it holds", () => {
    for (const name of HOSTILE) {
      expect(read(firstRows(name))).toEqual({ names: [name], rest: "SELECT *\nFROM ?\nLIMIT 50" });
    }
  });

  test("is plain where it may be", () => {
    expect(identifier("live_orders")).toBe("live_orders");
    expect(identifier("Orders2")).toBe("Orders2");
    expect([identifier("order"), identifier("Order"), identifier("订单"), identifier("a-b"), identifier("$x")]).toEqual(["`order`", "`Order`", "`订单`", "`a-b`", "`$x`"]);
  });

  test("a text in SQL ends where it should", () => {
    expect(literal("it's'; DROP TABLE t; --")).toBe("'it''s''; DROP TABLE t; --'");
    expect(literal("a\\")).toBe("'a\\'");
  });
});

test("the editor completes a hostile name as one name, inside and outside of backticks", () => {
  const table = (name: string): TableInfo => ({ name, kind: "table", topic: null, statement: "", columns: HOSTILE.map((column) => ({ name: column, type: "STRING", role: "physical" })) });
  const source = schemaCompletionSource({ dialect: flinkDialect, ...completions([...HOSTILE, "orders"].map(table)) }) as CompletionSource;
  const offered = (text: string): string[] => {
    const result = source(new CompletionContext(EditorState.create({ doc: text, extensions: [flinkDialect.extension] }), text.length, true));
    if (!result || "then" in result) throw new Error("no completions");
    return result.options.map((option) => (typeof option.apply === "string" ? option.apply : option.label));
  };
  for (const text of ["SELECT * FROM ", "SELECT * FROM `", "SELECT orders."]) {
    const all = offered(text);
    for (const name of HOSTILE.filter((n) => /[;`]/.test(n))) {
      expect(all).toContain(identifier(name));
      expect(all).not.toContain(name);
      expect(all).not.toContain(`\`${name}\`` === identifier(name) ? "" : `\`${name}\``);
    }
  }
});

describe("a name in an address", () => {
  test("comes back as it was", () => {
    for (const name of ["a/b?c#d%e", "a%2Fb", "a b+c", "订单", "x&from=oldest", "100%", ...HOSTILE.filter(Boolean)]) {
      const address = new URL(path`/topics/${name}?from=${"newest"}`, "http://console");
      expect(nameIn(address.pathname)).toBe(name);
      expect(address.search).toBe("?from=newest");
    }
  });

  test("that is no valid text, or not encoded, takes nothing down", () => {
    expect(path`/topics/${"a\ud800"}`).toBe("/topics/a%EF%BF%BD");
    expect(nameIn("/topics/100%")).toBe("100%");
    expect(nameIn("/groups")).toBeNull();
  });
});

/** The rule for the code that comes: SQL and addresses are put together in two places only. */
describe("the sources", () => {
  const files = (dir: string): string[] => readdirSync(dir, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? files(join(dir, entry.name)) : [join(dir, entry.name)]));
  const sources = files("src").filter((f) => /\.tsx?$/.test(f)).map((f) => [f, readFileSync(f, "utf8")] as const);

  test("encode nothing by hand and paste no name into an address", () => {
    for (const [file, text] of sources) {
      if (!file.endsWith("links.ts")) expect([file, text.match(/encodeURI\w*/g)]).toEqual([file, null]);
      expect([file, text.match(/(?<!\bpath)`\/[a-z][^`]*\$\{/g)]).toEqual([file, null]);
    }
  });

  test("paste no name into SQL", () => {
    for (const [file, text] of sources) {
      for (const [template] of text.matchAll(/`[^`]*\b(?:SELECT|FROM|INSERT INTO|DROP|STOP JOB|SHOW CREATE|DESCRIBE)\b[^`]*`/g)) {
        const pasted = [...template.matchAll(/\$\{([^}]*)\}/g)].map((m) => m[1] ?? "").filter((value) => !/^(identifier|literal)\(/.test(value));
        expect([file, template, pasted]).toEqual([file, template, []]);
      }
    }
  });
});
