/** A statement to read, coloured as in the editor. */
import { memo } from "react";
import { functionSet, keywordSet, typeSet } from "./dialect";

function classOf(text: string): string | undefined {
  if (text.startsWith("--") || text.startsWith("/*")) return "com";
  if (text.startsWith("'")) return "str";
  if (/^\d/.test(text)) return "num";
  const word = text.toLowerCase();
  if (functionSet.has(word)) return "fn";
  if (typeSet.has(word)) return "ty";
  if (keywordSet.has(word)) return "kw";
  return undefined;
}

export const SqlText = memo(function SqlText({ sql }: { sql: string }) {
  const tokens = sql.match(/--[^\n]*|\/\*[\s\S]*?\*\/|'(?:[^']|'')*'|`[^`]*`|[A-Za-z_][\w$]*|\d+(?:\.\d+)?|\s+|./g) ?? [];
  return (
    <pre className="sql-text" tabIndex={0}>
      {tokens.map((token, i) => (
        <span key={i} className={classOf(token)}>{token}</span>
      ))}
    </pre>
  );
});
