/** The live tail as a hook: what was in the log before, then what is pushed, painted a few times a second. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { api, problemOf } from "../../api/client";
import type { TailPush } from "../../api/types";
import { useLive } from "../../live/hooks";
import { type Arrivals, before as withPast, EMPTY_TAIL, push as pushTail, release, tick, type Tail } from "./tail";

/** The list is painted at most this often. */
const PAINT_MS = 250;

export function useTail(topic: string, enabled: boolean, partition: string | null, contains: string, held: boolean) {
  const [state, setState] = useState<Tail>(EMPTY_TAIL);
  const waiting = useRef<Arrivals>({ messages: [], skipped: 0, scanned: 0 });
  const isHeld = useRef(held);
  useEffect(() => {
    isHeld.current = held;
  }, [held]);
  const request = enabled
    ? ({ kind: "tail", topic, ...(partition === null ? {} : { partition: Number(partition) }), ...(contains === "" ? {} : { contains }) } as const)
    : null;
  const key = request && JSON.stringify(request);

  // What is in the log already, so that the tail does not start with an empty list.
  const before = useQuery({
    queryKey: ["tail-start", key],
    enabled,
    staleTime: 0,
    gcTime: 0,
    queryFn: ({ signal }) => api.messages(topic, { from: "newest", limit: 60, ...(partition === null ? {} : { partition: Number(partition) }), contains }, signal),
  });
  const [loadedFor, setLoadedFor] = useState<string | null>(null);
  if (key !== loadedFor) {
    setLoadedFor(key);
    setState(EMPTY_TAIL);
  }
  useEffect(() => {
    if (before.data) setState((old) => withPast(old, before.data.messages));
  }, [before.data, loadedFor]);

  const live = useLive<TailPush>(request, (next) => {
    waiting.current.messages.push(...next.data.messages);
    waiting.current.skipped += next.data.skipped;
    waiting.current.scanned += next.data.scanned;
    // A push every few milliseconds must not grow the queue between two paints.
    if (waiting.current.messages.length > 1_000) {
      waiting.current.skipped += waiting.current.messages.length - 1_000;
      waiting.current.messages = waiting.current.messages.slice(-1_000);
    }
  });
  useEffect(() => {
    if (!enabled) return;
    waiting.current = { messages: [], skipped: 0, scanned: 0 };
    const paint = window.setInterval(() => {
      const arrived = waiting.current;
      if (arrived.messages.length === 0 && arrived.scanned === 0) return;
      waiting.current = { messages: [], skipped: 0, scanned: 0 };
      setState((old) => pushTail(old, arrived, isHeld.current));
    }, PAINT_MS);
    const second = window.setInterval(() => setState(tick), 1_000);
    return () => {
      window.clearInterval(paint);
      window.clearInterval(second);
    };
  }, [enabled, key]);
  return {
    state,
    started: before.isFetched,
    /** The past was searched this far only, when the search gave up. */
    lookedBack: before.data?.budget_spent ? before.data.scanned : null,
    problem: live.problem ?? (before.isError ? problemOf(before.error) : null),
    release: useCallback(() => setState(release), []),
  };
}
