/** Consumer groups: lag in records and in time, whether it will clear, and why not. */
import { Fragment, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate, useSearchParams } from "react-router";
import type { Group } from "../../api/types";
import { count, rate, short } from "../../format/number";
import { agoAbout, dateTime, duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path, useNameInPath } from "../../links";
import { useLive, useNow } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Icon } from "../../ui/icons";
import { isTyping, useKeys } from "../../ui/keys";
import { cx, Empty, Kpi, LiveMark, Loading, middleCut, ProblemBlock, Seg } from "../../ui/parts";
import { SpanAll } from "../../ui/SpanAll";
import { Sparkline } from "../../ui/sparkline";
import { groupHealth, Mark, State } from "../../ui/state";
import { GroupDetail } from "./GroupDetail";
import { useGroupWords } from "./words";

type Filter = "all" | "attention" | "keeping_up" | "idle";
const FILTERS: Filter[] = ["all", "attention", "keeping_up", "idle"];
/** Rows are re-sorted at most this often, and never with a row open. */
const RESORT_MS = 5_000;

function matches(group: Group, filter: Filter): boolean {
  if (filter === "all") return true;
  if (filter === "attention") return group.state === "behind" || group.state === "stopped";
  if (filter === "idle") return group.state === "idle";
  return group.state === "keeping_up" || group.state === "rebalancing";
}

export default function GroupsPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const open = useNameInPath();
  const [search, setSearch] = useSearchParams();
  const { push, problem } = useLive<{ groups: Group[] }>({ kind: "groups" });
  const groups = useMemo(() => push?.data.groups ?? [], [push]);
  const text = search.get("q") ?? "";
  const filter = (FILTERS.find((f) => f === search.get("state")) ?? "all") as Filter;
  const order = useSlowOrder(groups, open !== null);
  const field = useRef<HTMLInputElement>(null);
  const shown = order.filter((g) => matches(g, filter) && [g.group, ...g.topics].some((name) => name.toLowerCase().includes(text.toLowerCase())));
  const toggle = (id: string) => void navigate({ pathname: open === id ? "/groups" : path`/groups/${id}`, search: search.toString() });
  const set = (key: string, value: string) => setSearch((old) => {
    const next = new URLSearchParams(old);
    if (value) next.set(key, value);
    else next.delete(key);
    return next;
  }, { replace: true });

  useKeys((event) => {
    if (isTyping(event) || event.metaKey || event.ctrlKey) return;
    if (event.key === "/") {
      event.preventDefault();
      field.current?.focus();
    } else if (event.key === "Escape" && open) toggle(open);
    else if (event.key === "j" || event.key === "k") {
      const at = shown.findIndex((g) => g.group === open);
      const next = shown[event.key === "j" ? at + 1 : Math.max(0, at - 1)];
      if (next && next.group !== open) toggle(next.group);
    }
  });

  return (
    <Page title={t("nav.groups")} actions={<LiveMark push={push} />} className="groups-page">
      {!push && (problem ? <div className="cell"><ProblemBlock problem={problem} /></div> : <div className="cell"><Loading rows={10} /></div>)}
      {push && <Strip groups={groups} />}
      {push && groups.length > 0 && (
        <div className="toolbar">
          <label className="field search">
            <Icon name="search" small />
            <input ref={field} value={text} placeholder={t("groups.search")} onChange={(e) => set("q", e.target.value)} />
            <span className="kbd desk">/</span>
          </label>
          <Seg label={t("groups.state")} value={filter} onChange={(id) => set("state", id === "all" ? "" : id)} options={FILTERS.map((id) => ({ id, label: <>{t(`groups.filter.${id}`)} <small>{groups.filter((g) => matches(g, id)).length}</small></> }))} />
        </div>
      )}
      {push && groups.length === 0 && <div className="cell"><Empty title={t("groups.none")}>{t("groups.noneWhy")}</Empty></div>}
      {push && groups.length > 0 && <GroupTable groups={shown} open={open} toggle={toggle} />}
      {push && groups.length > 0 && (
        <footer className="foot desk">
          <span>{t("groups.shown", { some: shown.length, total: groups.length })}</span>
          <span className="grow" />
          <span className="kbd">J</span><span className="kbd">K</span>{t("keys.move")}<span className="kbd">Esc</span>{t("action.close")}
        </footer>
      )}
    </Page>
  );
}

/** The order by lag, taken anew every few seconds, with the newest figures in it. */
function useSlowOrder(groups: Group[], held: boolean): Group[] {
  const now = useNow(1_000);
  const [order, setOrder] = useState<{ at: number; ids: string[] }>({ at: -RESORT_MS, ids: [] });
  const fresh = groups.some((g) => !order.ids.includes(g.group));
  if (groups.length > 0 && (fresh || (!held && now - order.at > RESORT_MS))) {
    const sorted = [...groups].sort((a, b) => Number(matches(b, "attention")) - Number(matches(a, "attention")) || b.lag_records - a.lag_records || a.group.localeCompare(b.group));
    setOrder({ at: now, ids: sorted.map((g) => g.group) });
  }
  const byId = new Map(groups.map((g) => [g.group, g]));
  return order.ids.flatMap((id) => byId.get(id) ?? []);
}

function Strip({ groups }: { groups: Group[] }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const words = useGroupWords();
  const behind = groups.filter((g) => matches(g, "attention"));
  const never = groups.filter(words.never);
  const worst = groups.reduce<Group | null>((most, g) => ((g.lag_ms ?? 0) > (most?.lag_ms ?? 0) ? g : most), null);
  const names = (list: Group[]): string => list.slice(0, 2).map((g) => middleCut(g.group, 22)).join(", ") + (list.length > 2 ? " …" : "");
  const keeping = groups.filter((g) => g.state === "keeping_up").length;
  const idle = groups.filter((g) => g.state === "idle").length;
  return (
    <div className="strip">
      <Kpi label={t("groups.kpi.groups")} value={count(groups.length)} detail={t("groups.kpi.keeping", { keeping, idle })} />
      <Kpi label={t("groups.kpi.behind")} value={count(behind.length)} {...(behind.length > 0 ? { tone: "warn" as const } : {})} detail={names(behind) || t("groups.kpi.none")} />
      <Kpi label={t("groups.kpi.never")} value={count(never.length)} {...(never.length > 0 ? { tone: "critical" as const } : {})} detail={names(never) || t("groups.kpi.none")} />
      <Kpi label={t("groups.kpi.records")} value={short(groups.reduce((all, g) => all + g.lag_records, 0))} detail={t("groups.kpi.recordsNote")} title={count(groups.reduce((all, g) => all + g.lag_records, 0))} />
      <Kpi label={t("groups.kpi.worst")} value={duration(worst?.lag_ms ?? 0, language)} detail={worst ? middleCut(worst.group, 28) : t("groups.kpi.none")} />
      <Kpi label={t("groups.kpi.consumed")} value={rate(groups.reduce((all, g) => all + g.consumes_per_s, 0))} detail={t("groups.kpi.arrives", { rate: rate(groups.reduce((all, g) => all + g.arrives_per_s, 0)) })} />
    </div>
  );
}

function GroupTable({ groups, open, toggle }: { groups: Group[]; open: string | null; toggle: (id: string) => void }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const words = useGroupWords();
  useNow(1_000);
  const now = Date.now();
  return (
    <div className="scroll">
      <table className="pad head grp">
        <thead>
          <tr>
            <th className="chev" aria-hidden="true" />
            <th className="name">{t("groups.group")}</th>
            <th className="state-col desk">{t("groups.state")}</th>
            <th className="w9 wider">Kafka</th>
            <th className="r w6 wide">{t("groups.members")}</th>
            <th className="r w6 wider">{t("groups.topics")}</th>
            <th className="r big-col desk">{t("groups.records")}</th>
            <th className="r dur">{t("groups.lagTime")}</th>
            <th className="spark-col desk">{t("groups.trend")}</th>
            <th className="r desk">{t("groups.arrives")}</th>
            <th className="r big-col desk">{t("groups.consumes")}</th>
            <th className="r dur">{t("groups.clears")}</th>
            <th className="r big-col wide">{t("groups.commit")}</th>
          </tr>
        </thead>
        <tbody>
          {groups.map((g) => {
            const health = groupHealth(g);
            const isOpen = g.group === open;
            return (
              <Fragment key={g.group}>
                <tr className={cx("click", isOpen && "open")} onClick={() => toggle(g.group)}>
                  <td className="chev">
                    <button type="button" className="chevron" aria-expanded={isOpen} aria-label={t("groups.expand", { group: g.group })} onClick={(e) => { e.stopPropagation(); toggle(g.group); }}>
                      <Icon name={isOpen ? "down" : "right"} small />
                    </button>
                  </td>
                  <td className="mono name" title={g.group}><span className="phone inline"><Mark state={health} /> </span>{middleCut(g.group, 40)}</td>
                  <td className="desk"><State state={health}>{words.state(g)}</State></td>
                  <td className="muted wider" title={g.kafka_state}>{g.kafka_state}</td>
                  <td className="r wide">{g.members_count === 0 ? "—" : count(g.members_count)}</td>
                  <td className="r wider">{count(g.topics.length)}</td>
                  <td className="r strong desk">{count(g.lag_records)}</td>
                  <td className={cx("r", "strong", health === "critical" && "critical")}>{duration(g.lag_ms, language)}</td>
                  <td className="desk"><Sparkline values={g.lag_history} state={health} /></td>
                  <td className="r desk">{short(g.arrives_per_s)}</td>
                  <td className="r desk">{short(g.consumes_per_s)}</td>
                  <td className={cx("r", words.never(g) ? "critical strong" : "muted")}>{words.clears(g)}</td>
                  <td className="r faint wide" title={dateTime(g.last_commit_ms)}>{agoAbout(g.last_commit_ms, now, language)}</td>
                </tr>
                {isOpen && (
                  <tr className="detail">
                    <SpanAll><GroupDetail group={g} /></SpanAll>
                  </tr>
                )}
              </Fragment>
            );
          })}
        </tbody>
      </table>
      {groups.length === 0 && <div className="cell"><Empty title={t("groups.noMatch")} /></div>}
    </div>
  );
}
