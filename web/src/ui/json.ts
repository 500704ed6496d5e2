/** JSON as coloured lines: parsed for display only, the text that was sent stays what "Raw" shows. */
export type TokenKind = "key" | "string" | "number" | "word" | "punctuation";

export interface Token {
  kind: TokenKind;
  text: string;
}

export interface JsonLine {
  indent: number;
  tokens: Token[];
}

/** A record's value may be large: the tree stops here and says so. */
export const LINES_MAX = 2_000;

/**
 * Splits a JSON text into tokens as they stand in it. Numbers keep every digit
 * (parsing would round a 64-bit id), and broken JSON still shows what there is.
 */
export function tokenize(text: string): Token[] {
  const tokens: Token[] = [];
  const pattern = /("(?:[^"\\]|\\.)*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|(true|false|null)|([{}[\],:])|(\s+)|([^\s"{}[\],:]+|")/g;
  for (const match of text.matchAll(pattern)) {
    if (match[1] !== undefined) {
      tokens.push({ kind: match[2] === undefined ? "string" : "key", text: match[1] });
      if (match[2] !== undefined) tokens.push({ kind: "punctuation", text: ":" });
    } else if (match[3] !== undefined) tokens.push({ kind: "number", text: match[3] });
    else if (match[4] !== undefined) tokens.push({ kind: "word", text: match[4] });
    else if (match[5] !== undefined) tokens.push({ kind: "punctuation", text: match[5] });
    else if (match[7] !== undefined) tokens.push({ kind: "string", text: match[7] });
  }
  return tokens;
}

/** The lines of a pretty print, two spaces a level. */
export function lines(text: string): { lines: JsonLine[]; cut: boolean } {
  const out: JsonLine[] = [];
  let indent = 0;
  let current: JsonLine = { indent: 0, tokens: [] };
  const flush = (): void => {
    if (current.tokens.length > 0) out.push(current);
    current = { indent, tokens: [] };
  };
  const tokens = tokenize(text);
  for (let i = 0; i < tokens.length; i += 1) {
    const token = tokens[i];
    if (!token) break;
    if (out.length >= LINES_MAX) return { lines: out, cut: true };
    const next = tokens[i + 1]?.text;
    if (token.kind === "punctuation" && (token.text === "{" || token.text === "[")) {
      const empty = next === "}" || next === "]";
      current.tokens.push({ kind: "punctuation", text: empty ? `${token.text}${next ?? ""}` : token.text });
      if (empty) i += 1;
      else {
        indent += 1;
        flush();
      }
    } else if (token.kind === "punctuation" && (token.text === "}" || token.text === "]")) {
      indent = Math.max(0, indent - 1);
      flush();
      current.tokens.push(token);
    } else {
      current.tokens.push(token.text === ":" ? { kind: "punctuation", text: ": " } : token);
      if (token.text === ",") flush();
    }
  }
  flush();
  return { lines: out, cut: false };
}

/** One line for a table cell: keys without quotes, at most `max` characters. */
export function inline(text: string, max: number): Token[] {
  const out: Token[] = [];
  let size = 0;
  for (const token of tokenize(text.slice(0, max * 2))) {
    const shown =
      token.kind === "key" ? token.text.slice(1, -1) : token.text === "," ? ", " : token.text === ":" ? ": " : token.text;
    out.push({ kind: token.kind, text: shown });
    size += shown.length;
    if (size > max) break;
  }
  return out;
}
