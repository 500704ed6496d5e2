/** Addresses of pages and of the API: every name in them is encoded, here and nowhere else. */
import { useLocation } from "react-router";

/** `` path`/topics/${name}?from=${mode}` ``: what is put in stays one segment, or one value, whatever it holds. */
export function path(parts: TemplateStringsArray, ...values: (string | number)[]): string {
  return parts.reduce((all, part, i) => all + encode(String(values[i - 1] ?? "")) + part);
}

function encode(text: string): string {
  // Half a surrogate pair cannot be encoded, and must not take the page down.
  return encodeURIComponent(text.replace(/[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g, "\ufffd"));
}

/**
 * The name in `/topics/NAME`, or null without one. The router's own parameters
 * turn a name's `%2F` into a slash: `a%2Fb` and `a/b` would be one topic.
 */
export function nameIn(pathname: string): string | null {
  const segment = pathname.split("/")[2];
  if (!segment) return null;
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}

/** The name in this page's address. */
export function useNameInPath(): string | null {
  return nameIn(useLocation().pathname);
}
