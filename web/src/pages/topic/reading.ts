/**
 * Reading a topic page by page: an answer of the server holds so many messages,
 * and gives up its search after so many records; `next` goes on from there.
 */
import { useInfiniteQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useMemo, useState } from "react";
import { api, type MessageQuery, problemOf } from "../../api/client";
import type { Message, MessagePage, ProblemDocument } from "../../api/types";

/** Messages of one answer. */
export const PAGE = 200;
/** Answers that stay in the list: 2,000 rows at most, so that the page stays quick. */
export const PAGES_MAX = 10;

/** Where an answer begins, and what the answers before it had. */
interface From {
  next: string | null;
  scanned: number;
  shown: number;
}

export type ReadPage = MessagePage & { from: From };

export const START: From = { next: null, scanned: 0, shown: 0 };

/** Where to go on after an answer; undefined at the end. */
export function after(page: ReadPage): From | undefined {
  if (!page.next) return undefined;
  return { next: page.next, scanned: page.from.scanned + page.scanned, shown: page.from.shown + page.messages.length };
}

export interface Found {
  rows: Message[];
  /** Records looked at since the start. */
  scanned: number;
  /** Rows that were shown before these and left the list. */
  before: number;
  /** The last answer ended before it was full: what is here is not all there is. */
  gaveUp: boolean;
  /** There is something further. */
  more: boolean;
}

export function found(pages: ReadPage[]): Found {
  const last = pages.at(-1);
  return {
    rows: pages.flatMap((page) => page.messages),
    scanned: last ? last.from.scanned + last.scanned : 0,
    before: pages[0]?.from.shown ?? 0,
    gaveUp: last?.budget_spent ?? false,
    more: Boolean(last?.next),
  };
}

/** A search goes on by itself until something is found, the log ends, or it is stopped. */
export function searchesOn(last: ReadPage | undefined): boolean {
  return last !== undefined && last.messages.length === 0 && Boolean(last.next);
}

export interface Reading extends Found {
  /** What is read; null when something is still to be given. */
  asked: boolean;
  /** There is an answer. */
  answered: boolean;
  /** The first answer is on its way. */
  pending: boolean;
  busy: boolean;
  problem: ProblemDocument | null;
  again: () => void;
  goOn: () => void;
  stop: () => void;
}

const NONE: ReadPage[] = [];

export function useReading(topic: string, query: MessageQuery | null): Reading {
  const queries = useQueryClient();
  const key = useMemo(() => ["messages", topic, query], [topic, query]);
  const [search, setSearch] = useState<{ key: unknown; after: ReadPage | undefined; errors: number } | null>(null);
  const result = useInfiniteQuery({
    queryKey: key,
    enabled: query !== null,
    // Read once, and anew on request: going over all pages again would move the list.
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    maxPages: PAGES_MAX,
    initialPageParam: START,
    getNextPageParam: after,
    getPreviousPageParam: () => undefined,
    queryFn: async ({ pageParam, signal }): Promise<ReadPage> => ({
      ...(await api.messages(topic, { ...(query as MessageQuery), ...(pageParam.next === null ? {} : { next: pageParam.next }) }, signal)),
      from: pageParam,
    }),
  });
  const { fetchNextPage, isFetching, isError, errorUpdateCount } = result;
  const pages = query === null ? NONE : (result.data?.pages ?? NONE);
  const last = pages.at(-1);
  const searching = search?.key === key;
  useEffect(() => {
    if (search?.key !== key || isFetching) return;
    if (errorUpdateCount > search.errors) setSearch(null);
    // The answer that was asked for is there: enough, or further.
    else if (last !== search.after) {
      if (searchesOn(last)) {
        setSearch({ ...search, after: last });
        void fetchNextPage();
      } else setSearch(null);
    }
  }, [search, key, isFetching, errorUpdateCount, last, fetchNextPage]);

  const goOn = () => {
    setSearch({ key, after: last, errors: errorUpdateCount });
    void fetchNextPage();
  };
  return {
    ...found(pages),
    asked: query !== null,
    answered: pages.length > 0,
    pending: query !== null && result.isPending && result.fetchStatus !== "idle",
    busy: isFetching || searching,
    problem: query !== null && isError ? problemOf(result.error) : null,
    again: () => (result.isFetchNextPageError ? goOn() : void queries.resetQueries({ queryKey: key, exact: true })),
    goOn,
    stop: () => {
      setSearch(null);
      void queries.cancelQueries({ queryKey: key, exact: true });
    },
  };
}
