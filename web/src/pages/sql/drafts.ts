/**
 * The editor's text, and the drafts that had to make room for a statement that
 * another page or the catalog put there: none is lost. Pure, but for `load` and `save`.
 */
const KEY = "millstream.sql.drafts";
/** Where the one text was kept before there were several. */
const OLD_KEY = "millstream.sql";
/** Drafts that are kept aside; the oldest goes. */
export const KEPT_MAX = 10;

export interface Drafts {
  text: string;
  /** The statement that was put there by a click: until it is changed it is nobody's draft. */
  sent: string | null;
  /** Drafts that made room, newest first. */
  kept: string[];
}

export const NO_DRAFTS: Drafts = { text: "", sent: null, kept: [] };

const isDraft = ({ text, sent }: Drafts): boolean => text.trim() !== "" && text !== sent;

function keep(text: string, kept: string[]): string[] {
  return [text, ...kept.filter((other) => other !== text)].slice(0, KEPT_MAX);
}

/** Another page's statement comes into the editor. */
export function open(drafts: Drafts, statement: string): Drafts {
  if (statement === drafts.text) return drafts;
  return { text: statement, sent: statement, kept: isDraft(drafts) ? keep(drafts.text, drafts.kept) : drafts.kept };
}

export function change(drafts: Drafts, text: string): Drafts {
  return { ...drafts, text };
}

/** The newest kept draft comes back; what is in the editor, if somebody wrote it, goes behind the others. */
export function bringBack(drafts: Drafts): Drafts {
  const [text, ...rest] = drafts.kept;
  if (text === undefined) return drafts;
  return { text, sent: null, kept: isDraft(drafts) ? [...rest, drafts.text] : rest };
}

/** The newest kept draft is not wanted any more. */
export function discard(drafts: Drafts): Drafts {
  return { ...drafts, kept: drafts.kept.slice(1) };
}

export function load(): Drafts {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? "null");
    if (typeof stored === "object" && stored !== null && "text" in stored && typeof stored.text === "string") {
      const { sent, kept } = stored as Partial<Drafts>;
      return { text: stored.text, sent: typeof sent === "string" ? sent : null, kept: Array.isArray(kept) ? kept.filter((k) => typeof k === "string").slice(0, KEPT_MAX) : [] };
    }
    return { ...NO_DRAFTS, text: localStorage.getItem(OLD_KEY) ?? "" };
  } catch {
    return NO_DRAFTS;
  }
}

export function save(drafts: Drafts): void {
  try {
    localStorage.setItem(KEY, JSON.stringify(drafts));
  } catch {
    // The drafts then live as long as the page.
  }
}
