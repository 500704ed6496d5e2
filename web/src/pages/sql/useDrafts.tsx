/** The drafts as a hook, tied to the address: `?q=` fills the editor, and stays until the text is changed. */
import { type RefObject, useCallback, useEffect, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { Icon } from "../../ui/icons";
import { Button } from "../../ui/parts";
import { bringBack, change, discard, type Drafts, load, open, save } from "./drafts";
import type { EditorHandle } from "./Editor";

export function useDrafts(editor: RefObject<EditorHandle | null>) {
  const [search, setSearch] = useSearchParams();
  const [kept, setKept] = useState<string[]>([]);
  const drafts = useRef<Drafts | null>(null);
  // Read once; later the editor is what is true.
  const [initial] = useState(load);
  const now = useCallback(() => (drafts.current ??= initial), [initial]);

  const apply = useCallback((next: Drafts) => {
    const before = now();
    drafts.current = next;
    save(next);
    setKept(next.kept);
    if (next.text !== before.text) editor.current?.replace(next.text);
  }, [now, editor]);

  const asked = search.get("q");
  useEffect(() => {
    setKept(now().kept);
    if (asked !== null) apply(open(now(), asked));
  }, [asked, apply, now]);

  return {
    initial: () => now().text,
    kept,
    /** Every change of the editor's text, by hand or by `replace`. */
    changed: (text: string) => {
      if (now().text !== text) {
        drafts.current = change(now(), text);
        save(now());
      }
      // The address says what is in the editor, or nothing.
      if (asked !== null && asked !== text) setSearch({}, { replace: true });
    },
    open: (statement: string) => apply(open(now(), statement)),
    bringBack: () => apply(bringBack(now())),
    discard: () => apply(discard(now())),
  };
}

/** "Your draft was kept", with the way back. */
export function KeptDraft({ kept, bringBack, discard }: { kept: string[]; bringBack: () => void; discard: () => void }) {
  const { t } = useTranslation();
  const newest = kept[0];
  if (newest === undefined) return null;
  return (
    <div className="kept" role="status" data-testid="kept-draft">
      <span className="nowrap">{kept.length > 1 ? t("sql.keptMany", { count: kept.length }) : t("sql.kept")}</span>
      <span className="mono ell faint" title={newest}>{newest.replaceAll(/\s+/g, " ").trim()}</span>
      <span className="grow" />
      <Button onClick={bringBack}>{t("sql.bringBack")}</Button>
      <button type="button" className="clear" aria-label={t("sql.discard")} title={t("sql.discard")} onClick={discard}><Icon name="close" small /></button>
    </div>
  );
}
