/**
 * Which build of the console this is, and which one the server has now: the
 * name of the entry script carries a hash of everything that it loads.
 */
const ENTRY = /<script[^>]*\ssrc="(\/assets\/[^"]+\.js)"/;
const RELOADED = "millstream.reloaded";

/** The entry script that a page of the server names; null when it is not our page. */
export function entryOf(html: string): string | null {
  return ENTRY.exec(html)?.[1] ?? null;
}

export type Served = "away" | "same" | "changed" | "unknown";

/** What the server has: compared with what runs here. */
export function compare(html: string, own: string | null): Served {
  const served = entryOf(html);
  if (served === null || own === null) return "unknown";
  return served === own ? "same" : "changed";
}

/** Asks the server; one that does not answer, or not well, is away. */
export async function served(signal: AbortSignal): Promise<{ state: Served; entry: string | null }> {
  try {
    const response = await fetch("/", { cache: "no-store", signal });
    if (!response.ok) return { state: "away", entry: null };
    const html = await response.text();
    const own = document.querySelector('script[type="module"][src^="/assets/"]')?.getAttribute("src") ?? null;
    return { state: compare(html, own), entry: entryOf(html) };
  } catch {
    return { state: "away", entry: null };
  }
}

/** Reasons that are remembered; the oldest is forgotten. */
const REASONS_MAX = 50;

/**
 * True once for a reason: a reload that did not help is not tried again, also
 * when two builds answer by turns.
 */
export function mayReload(reason: string, storage: Pick<Storage, "getItem" | "setItem">): boolean {
  try {
    const reasons = (storage.getItem(RELOADED) ?? "").split("\n").filter(Boolean);
    if (reasons.includes(reason)) return false;
    storage.setItem(RELOADED, [...reasons, reason].slice(-REASONS_MAX).join("\n"));
    return true;
  } catch {
    // Without a memory it could go on for ever.
    return false;
  }
}
