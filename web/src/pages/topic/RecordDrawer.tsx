/** One record beside the list: from the list, or by its address alone; whole where the list cut it. */
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Message, PageTopic } from "../../api/types";
import { bytes, count } from "../../format/number";
import { dateTime, zone } from "../../format/time";
import { path } from "../../links";
import { firstRows } from "../../sql/quote";
import { Drawer } from "../../ui/overlay";
import { Icon } from "../../ui/icons";
import { JsonTree } from "../../ui/JsonView";
import { Button, CopyButton, Empty, Loading, middleCut, ProblemBlock, Tabs } from "../../ui/parts";

/** A record that was cut is fetched whole by itself up to this size; a larger one is asked for. */
const WHOLE_BYTES_MAX = 256 * 1024;

interface Position {
  partition: number;
  offset: number;
}

export function RecordDrawer({ position, listed, topic, place, find, onClose }: { position: Position; listed: Message | null; topic: PageTopic; place: string | null; find: string; onClose: () => void }) {
  const { t } = useTranslation();
  const address = `${position.partition}:${position.offset}`;
  const [wanted, setWanted] = useState<string | null>(null);
  const small = listed !== null && listed.value_bytes + listed.key_bytes <= WHOLE_BYTES_MAX;
  const whole = useQuery({
    queryKey: ["record", topic.name, position.partition, position.offset],
    enabled: listed === null || (listed.cut && (small || wanted === address)),
    staleTime: Number.POSITIVE_INFINITY,
    gcTime: 0,
    queryFn: ({ signal }) => api.message(topic.name, position.partition, position.offset, signal),
  });
  const message = whole.data ?? listed;
  const where = `${position.partition} : ${count(position.offset)}`;
  const title = message && message.key !== null && message.key_encoding !== "binary" ? middleCut(message.key, 28) : where;
  if (!message) {
    const problem = whole.isError ? problemOf(whole.error) : null;
    return (
      <Drawer title={where} onClose={onClose}>
        <div className="cell" data-testid="record-missing">
          {!problem ? <Loading rows={8} />
          : problem.status === 404 ? <Empty title={t("record.missing", { partition: position.partition, offset: count(position.offset) })}>{t("record.missingWhy")}</Empty>
          : <ProblemBlock problem={problem} retry={() => void whole.refetch()} />}
        </div>
      </Drawer>
    );
  }
  return (
    <Drawer title={title} note={place} onClose={onClose} actions={<CopyButton text={message.value ?? ""} />}>
      <dl className="kv">
        <dt>{t("record.where")}</dt>
        <dd>{t("record.partition")} {message.partition} · {t("record.offset")} {count(message.offset)}</dd>
        <dt>{t("record.timestamp")}</dt>
        <dd>{dateTime(message.timestamp_ms, true)} {zone()}</dd>
        <dt>{t("messages.key")}</dt>
        <dd className="ell" title={message.key ?? undefined}>{message.key === null ? <span className="faint">null</span> : <>{message.key === "" ? <span className="faint">{t("record.empty")}</span> : message.key} <span className="faint">{message.key_encoding}</span></>}</dd>
        <dt>{t("messages.value")}</dt>
        <dd>
          {bytes(message.value_bytes)} <span className="faint">{message.value_encoding}</span>
          {message.value !== null && <> · <a className="link" download href={path`/api/v1/topics/${topic.name}/messages/${message.partition}/${message.offset}/value`}>{t("record.download")}</a></>}
        </dd>
      </dl>
      {message.unreadable && (
        <div className="strip-note"><span className="warn">{t("messages.unreadable", { from: count(message.offset), to: count(message.unreadable.last_offset), reason: message.unreadable.reason })}</span></div>
      )}
      {message.cut && (
        <div className="strip-note flex wrap">
          <span className="warn">{t("record.cut")}</span>
          {!whole.data && (whole.isFetching ? <span className="faint">{t("messages.reading")}</span> : <Button onClick={() => (whole.isError ? void whole.refetch() : setWanted(address))}>{t("record.whole")}</Button>)}
        </div>
      )}
      {whole.isError && <div className="cell"><ProblemBlock problem={problemOf(whole.error)} /></div>}
      <Parts message={message} table={topic.table} find={find} />
      <footer className="drawer-foot desk">
        <span className="kbd">J</span><span className="kbd">K</span>{t("record.next")}
        <span className="grow" />
        <span className="kbd">Esc</span>
      </footer>
    </Drawer>
  );
}

type Tab = "value" | "headers" | "key" | "raw";

function Parts({ message, table, find }: { message: Message; table: string | null; find: string }) {
  const { t } = useTranslation();
  const [tab, setTab] = useState<Tab>("value");
  return (
    <>
      <div className="drawer-tabs">
        <Tabs<Tab>
          label={t("record.parts")}
          value={tab}
          onChange={setTab}
          items={[
            { id: "value", label: t("messages.value") },
            { id: "headers", label: t("record.headers"), note: message.headers_count },
            { id: "key", label: t("messages.key") },
            { id: "raw", label: t("record.raw") },
          ]}
        />
        {table && (
          <Link className="query-in-sql" to={path`/sql?q=${firstRows(table)}`}>
            <Icon name="sql" small />
            {t("record.queryInSql")}
          </Link>
        )}
      </div>
      <div className="drawer-scroll" tabIndex={0}>
        {tab === "value" && <Body text={message.value} encoding={message.value_encoding} find={find} />}
        {tab === "key" && <Body text={message.key} encoding={message.key_encoding} find={find} />}
        {tab === "raw" && <pre className="raw">{message.value ?? "null"}</pre>}
        {tab === "headers" && <Headers message={message} />}
      </div>
    </>
  );
}

/** Names whole: those of dead letters differ in their last word only. */
function Headers({ message }: { message: Message }) {
  const { t } = useTranslation();
  if (message.headers_count === 0) return <p className="cell muted">{t("record.noHeaders")}</p>;
  return (
    <dl className="record-headers">
      {message.headers.map((header, i) => (
        <div key={i}>
          <dt className="mono">{header.key} {header.encoding === "binary" && <span className="faint">{t("record.base64")}</span>}</dt>
          <dd className={header.value === null ? "mono faint" : "mono"}>{header.value ?? "null"}</dd>
        </div>
      ))}
      {message.headers_count > message.headers.length && <p className="faint">{t("record.moreHeaders", { count: message.headers_count - message.headers.length })}</p>}
    </dl>
  );
}

function Body({ text, encoding, find }: { text: string | null; encoding: Message["value_encoding"]; find: string }) {
  const { t } = useTranslation();
  if (text === null) return <p className="cell muted">{t("record.null")}</p>;
  if (encoding === "json") return <JsonTree text={text} find={find} />;
  return (
    <>
      {encoding === "binary" && <p className="cell muted">{t("record.binary")}</p>}
      <pre className="raw">{text}</pre>
    </>
  );
}
