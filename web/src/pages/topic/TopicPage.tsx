/** One topic: messages, partitions, consumers, configuration. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { useSearchParams } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Topic } from "../../api/types";
import { bytes, count, rate } from "../../format/number";
import { duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { useNameInPath } from "../../links";
import { useLive } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Button, LiveMark, Loading, ProblemBlock, Tabs, Tag } from "../../ui/parts";
import { Sparkline } from "../../ui/sparkline";
import { Configuration, Consumers, Partitions } from "./facts";
import { Messages } from "./Messages";
import { Produce } from "./Produce";

const TABS = ["messages", "partitions", "consumers", "configuration"] as const;
type Tab = (typeof TABS)[number];

export default function TopicPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const name = useNameInPath() ?? "";
  const [search, setSearch] = useSearchParams();
  const [producing, setProducing] = useState(false);
  const tab: Tab = TABS.find((id) => id === search.get("tab")) ?? "messages";
  const detail = useQuery({ queryKey: ["topic", name], queryFn: () => api.topic(name), refetchInterval: 2_000 });
  const live = useLive<{ topics: Topic[] }>({ kind: "topics" }).push;
  const tables = useQuery({ queryKey: ["tables"], queryFn: api.tables, staleTime: 30_000 }).data?.tables;
  const topic = detail.data && { ...detail.data, table: tables?.find((table) => table.topic === name)?.name ?? null };
  const newest = live?.data.topics.find((entry) => entry.name === name) ?? topic;
  const changed = topic?.configs.filter((config) => config.source !== "DEFAULT_CONFIG").length ?? 0;
  const consumers = topic ? topic.read_by.length + topic.groups.length : 0;
  return (
    <Page title={name} mono parent={{ to: "/topics", title: t("nav.topics") }} actions={<LiveMark push={live} />} className="topic-page">
      {!topic && (detail.isError ? <div className="cell"><ProblemBlock problem={problemOf(detail.error)} retry={() => void detail.refetch()} /></div> : <div className="cell"><Loading rows={12} /></div>)}
      {topic && newest && (
        <>
          <div className="head-row">
            <h1 className="mono ell" title={name}>{name}</h1>
            <span className="tags">
              <Tag>{t("topic.partitions", { count: topic.partitions })}</Tag>
              <Tag>{topic.cleanup_policy.includes("compact") ? t("topics.compact") : topic.retention_ms === null || topic.retention_ms < 0 ? t("topics.forEver") : t("topic.keeps", { time: duration(topic.retention_ms, language) })}</Tag>
              <Tag>{bytes(newest.bytes)}</Tag>
              <Tag title={t("topics.recordsNote")}>{t("topic.records", { n: count(newest.records) })}</Tag>
              {topic.table && <Tag tone="brand">{t("topic.table", { name: topic.table })}</Tag>}
            </span>
            <span className="grow" />
            <span className="muted nowrap desk">{t("topic.rateIn", { rate: rate(newest.in_records_per_s) })}</span>
            <span className="desk"><Sparkline values={newest.in_history} /></span>
            <Button icon="plus" onClick={() => setProducing(true)}>{t("produce.button")}</Button>
          </div>
          <Tabs<Tab>
            label={name}
            value={tab}
            onChange={(id) => setSearch(id === "messages" ? {} : { tab: id })}
            items={[
              { id: "messages", label: t("topic.tabs.messages") },
              { id: "partitions", label: t("topic.tabs.partitions"), note: topic.partitions },
              { id: "consumers", label: t("topic.tabs.consumers"), note: consumers },
              { id: "configuration", label: t("topic.tabs.configuration"), note: changed > 0 ? t("topic.changed", { count: changed }) : null },
            ]}
          />
          {tab === "messages" && <Messages topic={topic} />}
          {tab === "partitions" && <Partitions topic={topic} />}
          {tab === "consumers" && <Consumers topic={topic} />}
          {tab === "configuration" && <Configuration topic={topic} />}
          {producing && <Produce topic={topic} onClose={() => setProducing(false)} />}
        </>
      )}
    </Page>
  );
}
