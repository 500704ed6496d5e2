/** Reading a topic: live tail, newest, oldest, from an offset or a time, filtered on the server. */
import { keepPreviousData, useQuery } from "@tanstack/react-query";
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { api, type MessageQuery, problemOf } from "../../api/client";
import type { Message, TailPush, Topic } from "../../api/types";
import { bytes, count } from "../../format/number";
import { dateTime, timeOfDay, zone } from "../../format/time";
import { useLive } from "../../live/hooks";
import { Icon } from "../../ui/icons";
import { JsonInline } from "../../ui/JsonView";
import { isTyping, useKeys } from "../../ui/keys";
import { Button, cx, Empty, Loading, middleCut, ProblemBlock, Seg } from "../../ui/parts";
import { SpanAll } from "../../ui/SpanAll";
import { RecordDrawer } from "./RecordDrawer";
import { type Arrivals, before as withPast, EMPTY_TAIL, messageKey, push as pushTail, release, tick, type Tail } from "./tail";

const MODES = ["live", "newest", "oldest", "offset", "time"] as const;
type Mode = (typeof MODES)[number];
const PAGE = 200;
/** The list is painted at most this often. */
const PAINT_MS = 250;

export function Messages({ topic }: { topic: Topic }) {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const mode: Mode = MODES.find((id) => id === search.get("from")) ?? "live";
  const partition = search.get("partition");
  const contains = search.get("contains") ?? "";
  const open = search.get("record");
  const [draft, setDraft] = useState(contains);
  const [paused, setPaused] = useState(false);
  const field = useRef<HTMLInputElement>(null);

  const set = useCallback((changes: Record<string, string | null>) => {
    setSearch((old) => {
      const next = new URLSearchParams(old);
      for (const [key, value] of Object.entries(changes)) {
        if (value === null || value === "") next.delete(key);
        else next.set(key, value);
      }
      return next;
    }, { replace: true });
  }, [setSearch]);

  useEffect(() => {
    if (draft === contains) return;
    const timer = window.setTimeout(() => set({ contains: draft, record: null }), 350);
    return () => window.clearTimeout(timer);
  }, [draft, contains, set]);

  const tail = useTail(topic.name, mode === "live", partition, contains, paused || open !== null);
  const page = usePage(topic, mode, partition, contains, search);
  // What the subscription before this filter still had on its way is not shown under it.
  const tailed = useMemo(
    () => tail.state.rows.filter((row) => contains === "" || row.value_encoding === "binary" || (row.key ?? "").includes(contains) || (row.value ?? "").includes(contains)),
    [tail.state.rows, contains],
  );
  const rows = mode === "live" ? tailed : page.rows;
  const selected = rows.find((message) => messageKey(message) === open) ?? null;
  const index = selected ? rows.indexOf(selected) : -1;
  const select = useCallback((key: string | null) => set({ record: key }), [set]);
  const showHeld = () => {
    select(null);
    setPaused(false);
    tail.release();
  };

  useKeys((event) => {
    if (isTyping(event) || event.metaKey || event.ctrlKey) return;
    if (event.key === "Escape" && open) select(null);
    else if (event.key === " " && mode === "live" && (tail.state.heldCount > 0 || paused)) {
      event.preventDefault();
      showHeld();
    } else if (event.key === "/") {
      event.preventDefault();
      field.current?.focus();
    } else if (event.key === "j" || event.key === "k" || (open && (event.key === "ArrowDown" || event.key === "ArrowUp"))) {
      const next = rows[event.key === "j" || event.key === "ArrowDown" ? index + 1 : Math.max(0, index - 1)];
      if (next) {
        event.preventDefault();
        select(messageKey(next));
      }
    }
  });

  const problem = mode === "live" ? tail.problem : page.problem;
  return (
    <>
      <div className="toolbar messages-bar">
        <Seg label={t("messages.from")} value={mode} onChange={(id) => set({ from: id === "live" ? null : id, record: null })} options={MODES.map((id) => ({ id, label: t(`messages.modes.${id}`) }))} />
        <select className="field" aria-label={t("partitions.partition")} value={partition ?? ""} onChange={(e) => set({ partition: e.target.value, record: null })}>
          <option value="">{t("messages.allPartitions")}</option>
          {Array.from({ length: topic.partitions }, (_, i) => <option key={i} value={i}>{t("messages.partition", { n: i })}</option>)}
        </select>
        {mode === "offset" && <input className="field mono offset" type="number" min={0} aria-label={t("messages.offset")} placeholder={t("messages.offset")} value={search.get("offset") ?? ""} onChange={(e) => set({ offset: e.target.value })} />}
        {mode === "time" && <input className="field" type="datetime-local" step="1" aria-label={t("messages.time")} value={search.get("at") ?? ""} onChange={(e) => set({ at: e.target.value })} />}
        <label className="field search grow">
          <Icon name="filter" small />
          <input ref={field} value={draft} placeholder={t("messages.contains")} spellCheck={false} onChange={(e) => setDraft(e.target.value)} data-testid="contains" />
          {draft !== "" && <button type="button" className="clear" aria-label={t("action.clear")} onClick={() => setDraft("")}><Icon name="close" small /></button>}
        </label>
        {mode === "live" ? (
          <Button icon={paused ? "play" : "pause"} onClick={() => (paused ? showHeld() : setPaused(true))}>{paused ? t("messages.resume") : t("messages.pause")}</Button>
        ) : (
          <Button icon="refresh" onClick={page.refetch}>{t("action.refresh")}</Button>
        )}
      </div>
      {mode === "live" ? <TailStrip tail={tail.state} filtered={contains !== ""} /> : page.note && <div className="strip-note"><span>{page.note}</span></div>}
      {problem && <div className="cell"><ProblemBlock problem={problem} {...(mode === "live" ? {} : { retry: page.refetch })} /></div>}
      <div className={cx("split", selected && "with-drawer")}>
        <div className="scroll" tabIndex={0}>
          {rows.length === 0 && !problem ? (
            <EmptyMessages loading={mode === "live" ? !tail.started : page.loading} filtered={contains !== ""} total={topic.records} />
          ) : (
            <table className="msgs pad head">
              <thead>
                <tr>
                  <th className="time">{t("messages.time")} <span className="faint">{zone()}</span></th>
                  <th className="r p">P</th>
                  <th className="r off desk">{t("messages.offset")}</th>
                  <th className="key desk">{t("messages.key")}</th>
                  <th>{t("messages.value")}</th>
                  <th className="r size desk">{t("topics.size")}</th>
                </tr>
              </thead>
              <tbody>
                {mode === "live" && (paused || open !== null) && (
                  <tr className="held">
                    <SpanAll>
                      <button type="button" onClick={showHeld}>
                        <b>{t("messages.newHeld", { count: tail.state.heldCount, n: count(tail.state.heldCount) })}</b>
                        <span>· {open !== null ? t("messages.heldOpen") : t("messages.heldPaused")}</span>
                        <span className="grow" />
                        {t("messages.showThem")} <span className="kbd desk">Space</span>
                      </button>
                    </SpanAll>
                  </tr>
                )}
                {rows.map((message) => (
                  <MessageRow key={messageKey(message)} message={message} selected={messageKey(message) === open} select={select} />
                ))}
              </tbody>
            </table>
          )}
        </div>
        {selected && <RecordDrawer message={selected} topic={topic} position={index + 1} total={rows.length} find={contains} onClose={() => select(null)} />}
      </div>
    </>
  );
}

const MessageRow = memo(function MessageRow({ message, selected, select }: { message: Message; selected: boolean; select: (key: string) => void }) {
  const key = messageKey(message);
  return (
    <tr className={cx("click", selected && "sel")} onClick={() => select(key)} data-testid="message">
      <td title={dateTime(message.timestamp_ms, true)}>{timeOfDay(message.timestamp_ms, true)}</td>
      <td className="r">{message.partition}</td>
      <td className="r desk">{count(message.offset)}</td>
      <td className="desk" title={message.key ?? ""}>{message.key === null ? <span className="faint">null</span> : middleCut(message.key, 24)}</td>
      <td className="val">
        {message.value === null ? <span className="faint">null</span> : message.value_encoding === "json" ? <JsonInline text={message.value} /> : <span className={message.value_encoding === "binary" ? "faint" : ""}>{message.value.slice(0, 220)}</span>}
      </td>
      <td className="r faint desk">{bytes(message.value_bytes)}</td>
    </tr>
  );
});

function EmptyMessages({ loading, filtered, total }: { loading: boolean; filtered: boolean; total: number }) {
  const { t } = useTranslation();
  if (loading) return <div className="cell"><Loading rows={12} /></div>;
  return (
    <div className="cell">
      <Empty title={filtered ? t("messages.noMatch") : total > 0 ? t("messages.noneHere") : t("messages.none")}>
        {filtered ? t("messages.noMatchWhy") : total > 0 ? t("messages.noneHereWhy") : t("messages.noneWhy")}
      </Empty>
    </div>
  );
}

/** How much came in, second by second: the pulse of the tail. */
function TailStrip({ tail, filtered }: { tail: Tail; filtered: boolean }) {
  const { t } = useTranslation();
  const max = Math.max(1, ...tail.bars.map((bar) => bar.scanned));
  return (
    <div className="tail-strip desk">
      <div className="flex">
        <span><b>{count(tail.matched)}</b> {filtered ? t("messages.matchedOf", { n: count(tail.scanned) }) : t("messages.came")}</span>
        {tail.skipped > 0 && <span className="faint">{t("messages.skipped", { n: count(tail.skipped) })}</span>}
        <span className="grow" />
        {filtered && (
          <>
            <span className="faint st"><i className="swatch block c1" />{t("messages.legendMatched")}</span>
            <span className="faint st"><i className="swatch block scanned" />{t("messages.legendScanned")}</span>
          </>
        )}
        <span className="faint">{t("messages.bars")}</span>
      </div>
      <svg viewBox="0 0 1200 30" height="30" preserveAspectRatio="none" aria-hidden="true">
        {tail.bars.map((bar, i) => {
          const scanned = Math.max(1, (bar.scanned / max) * 29);
          const matched = (bar.matched / max) * 29;
          return (
            <g key={i}>
              <rect x={i * 10 + 1} width="8" y={30 - scanned} height={scanned} />
              {bar.matched > 0 && <rect x={i * 10 + 1} width="8" y={30 - matched} height={matched} className="on" />}
            </g>
          );
        })}
      </svg>
    </div>
  );
}

function useTail(topic: string, enabled: boolean, partition: string | null, contains: string, held: boolean) {
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
    waiting.current.skipped += next.data.skipped ?? 0;
    waiting.current.scanned += next.data.scanned ?? next.data.messages.length;
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
    problem: live.problem ?? (before.isError ? problemOf(before.error) : null),
    release: useCallback(() => setState(release), []),
  };
}

function usePage(topic: Topic, mode: Mode, partition: string | null, contains: string, search: URLSearchParams) {
  const { t } = useTranslation();
  const offset = search.get("offset") ?? "";
  const at = search.get("at") ?? "";
  const query: MessageQuery | null = useMemo(() => {
    const base = { limit: PAGE, contains, ...(partition === null ? {} : { partition: Number(partition) }) };
    switch (mode) {
      case "live":
        return null;
      case "newest":
      case "oldest":
        return { ...base, from: mode };
      case "offset":
        return offset === "" ? null : { ...base, from: "offset", offset: Number(offset) };
      case "time": {
        const ms = at === "" ? Number.NaN : new Date(at).getTime();
        return Number.isNaN(ms) ? null : { ...base, from: "time", timestamp_ms: ms };
      }
    }
  }, [mode, partition, contains, offset, at]);
  const result = useQuery({
    queryKey: ["messages", topic.name, query],
    enabled: query !== null,
    staleTime: 0,
    placeholderData: keepPreviousData,
    queryFn: ({ signal }) => api.messages(topic.name, query as MessageQuery, signal),
  });
  const rows = query === null ? [] : (result.data?.messages ?? []);
  const note =
    query === null && mode !== "live"
      ? mode === "offset" ? t("messages.giveOffset") : t("messages.giveTime")
      : result.data ? t("messages.scanned", { shown: count(rows.length), scanned: count(result.data.scanned) }) : null;
  return {
    rows,
    note,
    loading: query !== null && result.isPending,
    problem: query !== null && result.isError ? problemOf(result.error) : null,
    refetch: () => void result.refetch(),
  };
}
