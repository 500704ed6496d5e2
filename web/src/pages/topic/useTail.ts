/** The live tail as a hook: what was in the log before, then what is pushed, painted a few times a second. */
import { useQuery } from "@tanstack/react-query";
import { useCallback, useEffect, useRef, useState } from "react";
import { api, problemOf } from "../../api/client";
import type { TailPush } from "../../api/types";
import { useLive } from "../../live/hooks";
import { type Arrivals, before as withPast, EMPTY_TAIL, push as pushTail, release, tick, type Tail } from "./tail";

/** The list is painted at most this often. */
const PAINT_MS = 250;
/** Arrivals that wait for the next paint; more are counted only. */
const WAITING_MAX = 1_000;

const NOTHING: Arrivals = { messages: [], skipped: 0, scanned: 0 };

export function useTail(topic: string, enabled: boolean, partition: string | null, contains: string, held: boolean) {
  const request = enabled
    ? ({ kind: "tail", topic, ...(partition === null ? {} : { partition: Number(partition) }), ...(contains === "" ? {} : { contains }) } as const)
    : null;
  const key = request && JSON.stringify(request);
  // A list belongs to its request: what another one still had on its way is not shown under it. The text itself is
  // no test: the server also finds what JSON escapes, and what a long value has beyond its cut.
  const [state, setState] = useState<{ key: string | null; tail: Tail }>({ key, tail: EMPTY_TAIL });
  if (state.key !== key) setState({ key, tail: EMPTY_TAIL });
  const update = useCallback((change: (tail: Tail) => Tail) => setState((old) => (old.key === key ? { key, tail: change(old.tail) } : old)), [key]);
  const waiting = useRef<Arrivals>(NOTHING);
  const isHeld = useRef(held);
  useEffect(() => {
    isHeld.current = held;
  }, [held]);

  // What is in the log already, so that the tail does not start with an empty list.
  const before = useQuery({
    queryKey: ["tail-start", key],
    enabled,
    staleTime: 0,
    gcTime: 0,
    queryFn: ({ signal }) => api.messages(topic, { from: "newest", limit: 60, ...(partition === null ? {} : { partition: Number(partition) }), contains }, signal),
  });
  useEffect(() => {
    if (before.data) update((tail) => withPast(tail, before.data.messages));
  }, [before.data, update]);

  const live = useLive<TailPush>(request, (next) => {
    const { messages, skipped, scanned } = waiting.current;
    const all = [...messages, ...next.data.messages];
    // A push every few milliseconds must not grow the queue between two paints.
    const over = Math.max(0, all.length - WAITING_MAX);
    waiting.current = { messages: all.slice(over), skipped: skipped + next.data.skipped + over, scanned: scanned + next.data.scanned };
  });
  useEffect(() => {
    if (!enabled) return;
    waiting.current = NOTHING;
    const paint = window.setInterval(() => {
      const arrived = waiting.current;
      if (arrived.messages.length === 0 && arrived.scanned === 0) return;
      waiting.current = NOTHING;
      update((tail) => pushTail(tail, arrived, isHeld.current));
    }, PAINT_MS);
    const second = window.setInterval(() => update(tick), 1_000);
    return () => {
      window.clearInterval(paint);
      window.clearInterval(second);
    };
  }, [enabled, update]);
  return {
    state: state.key === key ? state.tail : EMPTY_TAIL,
    started: before.isFetched,
    /** The past was searched this far only, when the search gave up. */
    lookedBack: before.data?.budget_spent ? before.data.scanned : null,
    problem: live.problem ?? (before.isError ? problemOf(before.error) : null),
    release: useCallback(() => update(release), [update]),
  };
}
