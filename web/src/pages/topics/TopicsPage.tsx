/** Topics: size, rates, who writes and reads them. */
import { useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useNavigate, useSearchParams } from "react-router";
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { api, problemOf } from "../../api/client";
import type { ProblemDocument, Topic } from "../../api/types";
import { bytes, count, rate } from "../../format/number";
import { duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Icon } from "../../ui/icons";
import { isTyping, useKeys } from "../../ui/keys";
import { Button, Empty, LiveMark, Loading, middleCut, ProblemBlock, Tag } from "../../ui/parts";
import { Dialog } from "../../ui/overlay";
import { Sparkline } from "../../ui/sparkline";

export default function TopicsPage() {
  const { t } = useTranslation();
  const navigate = useNavigate();
  const [search, setSearch] = useSearchParams();
  const field = useRef<HTMLInputElement>(null);
  const [creating, setCreating] = useState(false);
  const text = search.get("q") ?? "";
  const internal = search.get("internal") === "true";
  const { push, problem } = useLive<{ topics: Topic[] }>({ kind: "topics" });
  // Internal topics hardly change: they are asked for, not pushed.
  const hidden = useQuery({ queryKey: ["topics", true], queryFn: () => api.topics(true), enabled: internal, refetchInterval: 5_000 });
  const own = push?.data.topics ?? [];
  const names = new Set(own.map((topic) => topic.name));
  const all = internal ? [...own, ...(hidden.data?.topics ?? []).filter((topic) => !names.has(topic.name))] : own.filter((topic) => !topic.internal);
  const shown = all.filter((topic) => topic.name.toLowerCase().includes(text.toLowerCase())).sort((a, b) => Number(a.internal) - Number(b.internal) || a.name.localeCompare(b.name));
  const set = (key: string, value: string) => setSearch((old) => {
    const next = new URLSearchParams(old);
    if (value) next.set(key, value);
    else next.delete(key);
    return next;
  }, { replace: true });
  useKeys((event) => {
    if (event.key === "/" && !isTyping(event)) {
      event.preventDefault();
      field.current?.focus();
    }
  });
  return (
    <Page title={t("nav.topics")} note={push ? t("topics.total", { count: all.length, size: bytes(all.reduce((sum, topic) => sum + topic.bytes, 0)) }) : undefined} actions={<LiveMark push={push} />}>
      {!push && (problem ? <div className="cell"><ProblemBlock problem={problem} /></div> : <div className="cell"><Loading rows={10} /></div>)}
      {push && (
        <div className="toolbar">
          <label className="field search">
            <Icon name="search" small />
            <input ref={field} value={text} placeholder={t("topics.search")} onChange={(e) => set("q", e.target.value)} />
            <span className="kbd desk">/</span>
          </label>
          <label className="check">
            <input type="checkbox" checked={internal} onChange={(e) => set("internal", e.target.checked ? "true" : "")} />
            {t("topics.internal")}
          </label>
          <span className="grow" />
          <Button icon="plus" onClick={() => setCreating(true)}>{t("topics.create")}</Button>
        </div>
      )}
      {push && all.length === 0 && <div className="cell"><Empty title={t("topics.none")}>{t("topics.noneWhy")}</Empty></div>}
      {push && all.length > 0 && <TopicTable topics={shown} />}
      {creating && <CreateTopic onClose={() => setCreating(false)} onDone={(name) => void navigate(path`/topics/${name}`)} />}
    </Page>
  );
}

function TopicTable({ topics }: { topics: Topic[] }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  return (
    <div className="scroll">
      <table className="pad head">
        <thead>
          <tr>
            <th className="name-wide">{t("topics.topic")}</th>
            <th className="r w6 desk">{t("topics.partitions")}</th>
            <th className="r big-col desk" title={t("topics.recordsNote")}>{t("topics.records")}</th>
            <th className="r desk">{t("topics.size")}</th>
            <th className="r">{t("topics.in")}</th>
            <th className="spark-col">{t("topics.trend")}</th>
            <th className="r wide">{t("topics.out")}</th>
            <th className="wide readers">{t("topics.writtenBy")}</th>
            <th className="wide readers">{t("topics.readBy")}</th>
            <th className="r wide since">{t("topics.keeps")}</th>
          </tr>
        </thead>
        <tbody>
          {topics.map((topic) => (
            <tr key={topic.name} className="click" onClick={() => void navigate(path`/topics/${topic.name}`)}>
              <td>
                <span className="flex">
                  <Link className="mono ell" to={path`/topics/${topic.name}`} title={topic.name} onClick={(e) => e.stopPropagation()}>{middleCut(topic.name, 44)}</Link>
                  {topic.internal && <Tag>{t("topics.internalTag")}</Tag>}
                </span>
              </td>
              <td className="r desk">{count(topic.partitions)}</td>
              <td className="r desk">{count(topic.records)}</td>
              <td className="r desk">{bytes(topic.bytes)}</td>
              <td className="r">{rate(topic.in_records_per_s)}</td>
              <td><Sparkline values={topic.in_history} width={84} height={20} /></td>
              <td className="r wide">{rate(topic.out_records_per_s)}</td>
              <td className="wide mono faint" title={topic.written_by.join(", ")}>{topic.written_by.join(", ")}</td>
              <td className="wide mono faint" title={[...topic.read_by, ...topic.groups].join(", ")}>{summary([...topic.read_by, ...topic.groups])}</td>
              <td className="r muted wide">{topic.cleanup_policy.includes("compact") ? t("topics.compact") : topic.retention_ms === null || topic.retention_ms < 0 ? t("topics.forEver") : duration(topic.retention_ms, language)}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {topics.length === 0 && <div className="cell"><Empty title={t("topics.noMatch")} /></div>}
    </div>
  );
}

function summary(names: string[]): string {
  return names.length <= 1 ? (names[0] ?? "") : `${names[0] ?? ""} +${names.length - 1}`;
}

function CreateTopic({ onClose, onDone }: { onClose: () => void; onDone: (name: string) => void }) {
  const { t } = useTranslation();
  const queries = useQueryClient();
  const [name, setName] = useState("");
  const [partitions, setPartitions] = useState("3");
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [busy, setBusy] = useState(false);
  const create = async () => {
    setBusy(true);
    try {
      await api.createTopic({ name, partitions: Number(partitions), configs: {} });
      await queries.invalidateQueries({ queryKey: ["topics"] });
      onDone(name);
    } catch (error) {
      setProblem(problemOf(error));
      setBusy(false);
    }
  };
  return (
    <Dialog
      title={t("topics.create")}
      onClose={onClose}
      actions={
        <>
          <Button kind="primary" disabled={busy || name === "" || !(Number(partitions) >= 1)} onClick={() => void create()}>{t("topics.createDo")}</Button>
          <Button kind="ghost" onClick={onClose}>{t("action.cancel")}</Button>
        </>
      }
    >
      <div className="form">
        <label>{t("topics.name")}<input className="field mono" autoFocus value={name} onChange={(e) => setName(e.target.value)} spellCheck={false} /></label>
        <label>{t("topics.partitions")}<input className="field" type="number" min={1} value={partitions} onChange={(e) => setPartitions(e.target.value)} /></label>
      </div>
      {problem && <ProblemBlock problem={problem} />}
    </Dialog>
  );
}
