/** The still tabs of a topic: partitions, consumers, configuration. */
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Group, PageTopic } from "../../api/types";
import { bytes, count } from "../../format/number";
import { ago, duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import { path } from "../../links";
import { useLive, useNow } from "../../live/hooks";
import { Empty, Tag } from "../../ui/parts";
import { groupHealth, State } from "../../ui/state";
import { useGroupWords } from "../groups/words";

export function Partitions({ topic }: { topic: PageTopic }) {
  const { t } = useTranslation();
  const language = useLanguage();
  useNow(1_000);
  const now = Date.now();
  return (
    <div className="scroll">
      <table className="pad head">
        <thead>
          <tr>
            <th className="w6">{t("partitions.partition")}</th>
            <th className="r w6">{t("partitions.leader")}</th>
            <th className="r w6 desk">{t("partitions.epoch")}</th>
            <th className="r">{t("partitions.start")}</th>
            <th className="r">{t("partitions.highWatermark")}</th>
            <th className="r desk">{t("partitions.stable")}</th>
            <th className="r desk">{t("topics.size")}</th>
            <th className="r desk">{t("partitions.last")}</th>
          </tr>
        </thead>
        <tbody>
          {topic.partitions_detail.map((p) => (
            <tr key={p.partition}>
              <td className="mono">{p.partition}</td>
              <td className="r">{p.state === "online" ? p.leader : <Tag tone="critical" title={t(`partitions.why.${p.state}`)}>{t(`partitions.states.${p.state}`)}</Tag>}</td>
              <td className="r desk">{count(p.leader_epoch)}</td>
              <td className="r mono">{count(p.log_start_offset)}</td>
              <td className="r mono">{count(p.high_watermark)}</td>
              <td className="r mono desk">{count(p.last_stable_offset)}</td>
              <td className="r desk">{bytes(p.bytes)}</td>
              <td className="r muted desk">{p.last_timestamp_ms && p.last_timestamp_ms > 0 ? ago(p.last_timestamp_ms, now, language) : "—"}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

export function Consumers({ topic }: { topic: PageTopic }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const words = useGroupWords();
  const groups = useLive<{ groups: Group[] }>({ kind: "groups" }).push?.data.groups ?? [];
  if (topic.read_by.length + topic.groups.length === 0) {
    return <div className="cell"><Empty title={t("consumers.none")}>{t("consumers.noneWhy")}</Empty></div>;
  }
  return (
    <div className="scroll">
      <table className="pad head">
        <thead>
          <tr>
            <th className="name">{t("consumers.consumer")}</th>
            <th className="w6">{t("consumers.kind")}</th>
            <th className="state-col">{t("groups.state")}</th>
            <th className="r">{t("groups.records")}</th>
            <th className="r">{t("groups.lagTime")}</th>
          </tr>
        </thead>
        <tbody>
          {topic.read_by.map((job) => (
            <tr key={`j${job}`}>
              <td><Link className="mono link" to={path`/jobs/${job}`}>{job}</Link></td>
              <td className="muted">{t("consumers.job")}</td>
              <td /><td /><td />
            </tr>
          ))}
          {topic.groups.map((id) => {
            const group = groups.find((g) => g.group === id);
            return (
              <tr key={`g${id}`}>
                <td><Link className="mono link" to={path`/groups/${id}`}>{id}</Link></td>
                <td className="muted">{t("consumers.group")}</td>
                <td>{group && <State state={groupHealth(group)}>{words.state(group)}</State>}</td>
                <td className="r">{count(group?.lag_records)}</td>
                <td className="r strong">{duration(group?.lag_ms, language)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </div>
  );
}

export function Configuration({ topic }: { topic: PageTopic }) {
  const { t } = useTranslation();
  const configs = [...topic.configs].sort((a, b) => Number(a.source === "DEFAULT_CONFIG") - Number(b.source === "DEFAULT_CONFIG") || a.name.localeCompare(b.name));
  return (
    <div className="scroll">
      <table className="pad head config">
        <thead>
          <tr>
            <th className="name-wide">{t("config.name")}</th>
            <th>{t("config.value")}</th>
            <th className="desk">{t("config.default")}</th>
            <th className="w9 desk">{t("config.source")}</th>
          </tr>
        </thead>
        <tbody>
          {configs.map((config) => (
            <tr key={config.name} title={config.documentation}>
              <td className="mono">{config.name}</td>
              <td className="mono strong">{config.value ?? "—"}</td>
              <td className="mono faint desk">{config.default ?? "—"}</td>
              <td className="desk">{config.source === "DEFAULT_CONFIG" ? <span className="faint">{t("config.isDefault")}</span> : <Tag tone="info">{t("config.changed")}</Tag>}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}
