import { memo } from "react";
import { useTranslation } from "react-i18next";
import { inline, lines, LINES_MAX } from "./json";

const CLASS = { key: "fld", string: "str", number: "num", word: "kw", punctuation: "pun" } as const;

export const JsonInline = memo(function JsonInline({ text }: { text: string }) {
  return (
    <>
      {inline(text, 220).map((token, i) => (
        <span key={i} className={CLASS[token.kind]}>{token.text}</span>
      ))}
    </>
  );
});

export const JsonTree = memo(function JsonTree({ text, find }: { text: string; find: string }) {
  const { t } = useTranslation();
  const { lines: shown, cut } = lines(text);
  return (
    <div className="json">
      {shown.map((line, i) => {
        const hit = find !== "" && line.tokens.some((token) => token.text.includes(find));
        return (
          <div key={i} className={hit ? "hit" : undefined}>
            <u>{i + 1}</u>
            <span style={{ paddingLeft: `${line.indent * 14}px` }}>
              {line.tokens.map((token, j) => (
                <span key={j} className={CLASS[token.kind]}>{token.text}</span>
              ))}
            </span>
            {hit && <em>{t("messages.matches")}</em>}
          </div>
        );
      })}
      {cut && <div><u /><span className="faint">{t("messages.treeCut", { lines: LINES_MAX })}</span></div>}
    </div>
  );
});
