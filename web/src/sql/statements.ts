/**
 * What a text would destroy, read before it is run. The server alone decides
 * what a statement means; this finds the ones that are asked about first.
 */

type Token = { kind: "word" | "name" | "string" | "sign"; text: string };

export type Destruction =
  | { kind: "table" | "materialized_table" | "dropped_job" | "stopped_job"; name: string; text: string }
  /** Removes something, but is no statement that we know the effect of. */
  | { kind: "other"; name: string; text: string };

/** Comments and space, quoted, words, and single signs; a quote that never ends reaches to the end, as at the server. */
const TOKEN = /(?<skip>\s+|--[^\n]*|\/\*[\s\S]*?(?:\*\/|$))|(?<string>'(?:[^']|'')*(?:'|$))|(?<name>`(?:[^`]|``)*(?:`|$))|(?<word>[\p{L}_][\p{L}\p{N}_$]*)|(?<sign>[\s\S])/gu;

interface Statement {
  tokens: Token[];
  text: string;
}

/** The statements of a text, split at its semicolons; those in quotes and comments do not count. */
export function statements(text: string): Statement[] {
  const all: Statement[] = [];
  let tokens: Token[] = [];
  let from = 0;
  const end = (at: number) => {
    if (tokens.length > 0) all.push({ tokens, text: text.slice(from, at).trim() });
    tokens = [];
  };
  for (const match of text.matchAll(TOKEN)) {
    const { skip, string, name, word, sign } = match.groups ?? {};
    if (skip !== undefined) continue;
    if (sign === ";") {
      end(match.index);
      continue;
    }
    if (tokens.length === 0) from = match.index;
    if (string !== undefined) tokens.push({ kind: "string", text: string.slice(1, -1).replaceAll("''", "'") });
    else if (name !== undefined) tokens.push({ kind: "name", text: name.slice(1, -1).replaceAll("``", "`") });
    else if (word !== undefined) tokens.push({ kind: "word", text: word });
    else tokens.push({ kind: "sign", text: sign ?? "" });
  }
  end(text.length);
  return all;
}

/** What comes before the name; the words after it are looked at for ALTER only. */
const HEADS = [
  [/^DROP TABLE (?:IF EXISTS )?/, "table"],
  [/^DROP MATERIALIZED TABLE (?:IF EXISTS )?/, "materialized_table"],
  [/^DROP JOB (?:IF EXISTS )?/, "dropped_job"],
  [/^STOP JOB /, "stopped_job"],
  [/^ALTER MATERIALIZED TABLE (?=\S+ SUSPEND$)/, "stopped_job"],
] as const;

const OTHER = /^(?:DROP|DELETE|TRUNCATE|STOP)\b|^ALTER\b.*\bDROP\b|^INSERT OVERWRITE\b/;

/** The statements of a text that remove something. */
export function destructions(text: string): Destruction[] {
  return statements(text).flatMap(({ tokens, text: own }): Destruction[] => {
    const words = tokens.map((token) => (token.kind === "word" ? token.text.toUpperCase() : "?")).join(" ");
    for (const [pattern, kind] of HEADS) {
      const head = pattern.exec(words)?.[0];
      const name = head && tokens[head.trim().split(" ").length];
      if (name) return [{ kind, name: name.text, text: own }];
    }
    return OTHER.test(words) ? [{ kind: "other", name: "", text: own }] : [];
  });
}
