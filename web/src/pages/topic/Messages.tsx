/** Reading a topic: live tail, newest, oldest, from an offset or a time, filtered on the server. */
import { memo, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { TFunction } from "i18next";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import type { MessageQuery } from "../../api/client";
import type { Message, PageTopic } from "../../api/types";
import { bytes, count } from "../../format/number";
import { dateTime, timeOfDay, zone } from "../../format/time";
import { Icon } from "../../ui/icons";
import { JsonInline } from "../../ui/JsonView";
import { isTyping, useKeys } from "../../ui/keys";
import { Button, cx, Empty, Loading, middleCut, ProblemBlock, Seg } from "../../ui/parts";
import { SpanAll } from "../../ui/SpanAll";
import { RecordDrawer } from "./RecordDrawer";
import { PAGE, type Reading, useReading } from "./reading";
import { messageKey, positionOf, type Tail } from "./tail";
import { useTail } from "./useTail";

const MODES = ["live", "newest", "oldest", "offset", "time"] as const;
type Mode = (typeof MODES)[number];

export function Messages({ topic }: { topic: PageTopic }) {
  const { t } = useTranslation();
  const [search, setSearch] = useSearchParams();
  const mode: Mode = MODES.find((id) => id === search.get("from")) ?? "live";
  const partition = search.get("partition");
  const contains = search.get("contains") ?? "";
  const position = positionOf(search.get("record"));
  const open = position && `${position.partition}:${position.offset}`;
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
  const query = useMessageQuery(mode, partition, contains, search.get("offset") ?? "", search.get("at") ?? "");
  const reading = useReading(topic.name, query);
  const rows = mode === "live" ? tail.state.rows : reading.rows;
  const index = rows.findIndex((message) => messageKey(message) === open);
  const selected = rows[index] ?? null;
  const select = useCallback((key: string | null) => set({ record: key }), [set]);
  const showHeld = () => {
    select(null);
    setPaused(false);
    tail.release();
  };

  const searchBack = () => set({ from: "newest", record: null });

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

  const problem = mode === "live" ? tail.problem : reading.problem;
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
          <Button icon="refresh" onClick={reading.again}>{t("action.refresh")}</Button>
        )}
      </div>
      {mode === "live" ? <TailStrip tail={tail.state} filtered={contains !== ""} /> : <ReadingStrip reading={reading} mode={mode} />}
      {mode === "live" && contains !== "" && tail.lookedBack !== null && tail.state.rows.length > 0 && (
        <div className="strip-note flex wrap">
          <span>{t("messages.lookedBack", { count: tail.lookedBack, n: count(tail.lookedBack) })}</span>
          <button type="button" className="link" onClick={searchBack}>{t("messages.searchBack")}</button>
        </div>
      )}
      {problem && <div className="cell"><ProblemBlock problem={problem} {...(mode === "live" ? {} : { retry: reading.again })} /></div>}
      <div className={cx("split", open !== null && "with-drawer")}>
        <div className="scroll" tabIndex={0}>
          {rows.length === 0 ? (
            !problem && (mode === "live" ? (
              <EmptyTail loading={!tail.started} filtered={contains !== ""} total={topic.records} lookedBack={tail.lookedBack} searchBack={searchBack} />
            ) : (
              <EmptyReading reading={reading} filtered={contains !== ""} total={records(topic, partition, mode)} />
            ))
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
          {mode !== "live" && rows.length > 0 && <ReadingFoot reading={reading} />}
        </div>
        {position && <RecordDrawer position={position} listed={selected} topic={topic} place={selected ? t("record.position", { position: index + 1, total: rows.length }) : null} find={contains} onClose={() => select(null)} />}
      </div>
    </>
  );
}

/** Stands for records that are in the log and that nobody can read. */
function unreadableText(t: TFunction, { offset, unreadable }: Message) {
  return t("messages.unreadable", { from: count(offset), to: count(unreadable?.last_offset ?? offset), reason: unreadable?.reason ?? "" });
}

const MessageRow = memo(function MessageRow({ message, selected, select }: { message: Message; selected: boolean; select: (key: string) => void }) {
  const { t } = useTranslation();
  const key = messageKey(message);
  return (
    // The list moves: between press and release another row may come under the pointer.
    <tr className={cx("click", selected && "sel")} onMouseDown={(event) => event.button === 0 && select(key)} onClick={() => select(key)} data-testid="message">
      <td title={dateTime(message.timestamp_ms, true)}>{timeOfDay(message.timestamp_ms, true)}</td>
      <td className="r">{message.partition}</td>
      <td className="r desk">{count(message.offset)}</td>
      <td className="desk" title={message.key ?? ""}>{message.key === null ? <span className="faint">null</span> : message.key === "" ? <span className="faint">{t("record.empty")}</span> : middleCut(message.key, 24)}</td>
      <td className="val">
        {message.unreadable ? <span className="warn" title={message.unreadable.reason}>{unreadableText(t, message)}</span> : message.value === null ? <span className="faint">null</span> : message.value_encoding === "json" ? <JsonInline text={message.value} /> : <span className={message.value_encoding === "binary" ? "faint" : ""}>{message.value.slice(0, 220)}</span>}
      </td>
      <td className="r faint desk">{bytes(message.value_bytes)}</td>
    </tr>
  );
});

function EmptyTail({ loading, filtered, total, lookedBack, searchBack }: { loading: boolean; filtered: boolean; total: number; lookedBack: number | null; searchBack: () => void }) {
  const { t } = useTranslation();
  if (loading) return <div className="cell"><Loading rows={12} /></div>;
  if (filtered && lookedBack !== null) {
    return (
      <div className="cell">
        <Empty title={t("messages.noMatchNewest", { count: lookedBack, n: count(lookedBack) })} actions={<Button icon="search" onClick={searchBack} data-testid="search-back">{t("messages.searchBack")}</Button>}>
          {t("messages.noMatchWhy")}
        </Empty>
      </div>
    );
  }
  return (
    <div className="cell">
      <Empty title={filtered ? t("messages.noMatch") : total > 0 ? t("messages.noneHere") : t("messages.none")}>
        {filtered ? t("messages.noMatchWhy") : total > 0 ? t("messages.noneHereWhy") : t("messages.noneWhy")}
      </Empty>
    </div>
  );
}

/** Nothing is shown: still looking, stopped before the end, or really nothing. Only the last says so. */
function EmptyReading({ reading, filtered, total }: { reading: Reading; filtered: boolean; total: number | null }) {
  const { t } = useTranslation();
  const n = count(reading.scanned);
  if (!reading.asked) return null;
  if (reading.pending) return <div className="cell"><Loading rows={12} /></div>;
  if (reading.more) {
    const words = total !== null && total > reading.scanned ? t("messages.gaveUpOf", { n, total: count(total) }) : t("messages.gaveUp", { count: reading.scanned, n });
    return (
      <div className="cell">
        <Empty
          title={reading.busy ? t("messages.searchedSoFar", { count: reading.scanned, n }) : words}
          actions={reading.busy ? <Button icon="stop" onClick={reading.stop}>{t("action.cancel")}</Button> : <Button kind="primary" icon="search" onClick={reading.goOn} data-testid="search-on">{t("messages.searchOn")}</Button>}
        >
          {t("messages.gaveUpWhy")}
        </Empty>
      </div>
    );
  }
  if (!reading.answered) {
    return <div className="cell"><Empty title={t("messages.stopped")} actions={<Button icon="refresh" onClick={reading.again}>{t("action.refresh")}</Button>} /></div>;
  }
  return (
    <div className="cell">
      <Empty title={filtered ? t("messages.noMatch") : t("messages.noneHere")}>
        {filtered ? t("messages.noMatchAll", { count: reading.scanned, n }) : t("messages.noneHereWhy")}
      </Empty>
    </div>
  );
}

/** How far was read, and a way to stop it. */
function ReadingStrip({ reading, mode }: { reading: Reading; mode: Mode }) {
  const { t } = useTranslation();
  if (!reading.asked) return <div className="strip-note">{mode === "offset" ? t("messages.giveOffset") : t("messages.giveTime")}</div>;
  return (
    <div className="strip-note flex">
      <span data-testid="scanned">{reading.answered ? t("messages.scanned", { shown: count(reading.rows.length), scanned: count(reading.scanned) }) : t("messages.reading")}</span>
      {reading.before > 0 && <span className="faint desk">{t("messages.leftList", { n: count(reading.before) })}</span>}
      <span className="grow" />
      {reading.busy && <button type="button" className="link later" onClick={reading.stop}>{t("action.cancel")}</button>}
    </div>
  );
}

/** What comes after the last row: more, a search that gave up, or nothing. */
function ReadingFoot({ reading }: { reading: Reading }) {
  const { t } = useTranslation();
  if (!reading.more) return <p className="list-foot faint">{t("messages.end")}</p>;
  const label = reading.busy ? t("messages.reading") : reading.gaveUp ? t("messages.searchOn") : t("messages.more", { n: count(PAGE) });
  return (
    <div className="list-foot flex wrap">
      {reading.gaveUp && <span className="muted">{t("messages.gaveUpSome", { count: reading.scanned, n: count(reading.scanned) })}</span>}
      <Button icon={reading.gaveUp ? "search" : "down"} disabled={reading.busy} onClick={reading.goOn} data-testid="more">{label}</Button>
    </div>
  );
}

/** How many records there are to look at, where that is known. */
function records(topic: PageTopic, partition: string | null, mode: Mode): number | null {
  if (mode !== "newest" && mode !== "oldest") return null;
  if (partition === null) return topic.records;
  const detail = topic.partitions_detail.find((p) => p.partition === Number(partition));
  return detail ? detail.high_watermark - detail.log_start_offset : null;
}

function useMessageQuery(mode: Mode, partition: string | null, contains: string, offset: string, at: string): MessageQuery | null {
  return useMemo(() => {
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
