import { useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import type { Message, PageTopic } from "../../api/types";
import { bytes, count } from "../../format/number";
import { dateTime, zone } from "../../format/time";
import { path } from "../../links";
import { firstRows } from "../../sql/quote";
import { Icon } from "../../ui/icons";
import { JsonTree } from "../../ui/JsonView";
import { CopyButton, middleCut, Tabs } from "../../ui/parts";
import { Drawer } from "../../ui/overlay";

type Tab = "value" | "headers" | "key" | "raw";

export function RecordDrawer({ message, topic, position, total, find, onClose }: { message: Message; topic: PageTopic; position: number; total: number; find: string; onClose: () => void }) {
  const { t } = useTranslation();
  const [tab, setTab] = useState<Tab>("value");
  const title = message.key !== null && message.key_encoding !== "binary" ? middleCut(message.key, 28) : `${message.partition} : ${count(message.offset)}`;
  return (
    <Drawer title={title} note={t("record.position", { position, total })} onClose={onClose} actions={<CopyButton text={message.value ?? ""} />}>
      <dl className="kv">
        <dt>{t("record.where")}</dt>
        <dd>{t("record.partition")} {message.partition} · {t("record.offset")} {count(message.offset)}</dd>
        <dt>{t("record.timestamp")}</dt>
        <dd>{dateTime(message.timestamp_ms, true)} {zone()}</dd>
        <dt>{t("messages.key")}</dt>
        <dd className="ell">{message.key ?? "null"} <span className="faint">{message.key_encoding}</span></dd>
        <dt>{t("messages.value")}</dt>
        <dd>{bytes(message.value_bytes)} <span className="faint">{message.value_encoding}</span>{message.cut && <span className="warn"> {t("record.cut")}</span>}</dd>
      </dl>
      <div className="drawer-tabs">
        <Tabs<Tab>
          label={t("record.parts")}
          value={tab}
          onChange={setTab}
          items={[
            { id: "value", label: t("messages.value") },
            { id: "headers", label: t("record.headers"), note: message.headers.length },
            { id: "key", label: t("messages.key") },
            { id: "raw", label: t("record.raw") },
          ]}
        />
        {topic.table && (
          <Link className="query-in-sql" to={path`/sql?q=${firstRows(topic.table)}`}>
            <Icon name="sql" small />
            {t("record.queryInSql")}
          </Link>
        )}
      </div>
      <div className="drawer-scroll" tabIndex={0}>
        {tab === "value" && <Body text={message.value} encoding={message.value_encoding} find={find} />}
        {tab === "key" && <Body text={message.key} encoding={message.key_encoding} find={find} />}
        {tab === "raw" && <pre className="raw">{message.value ?? "null"}</pre>}
        {tab === "headers" && (message.headers.length === 0 ? <p className="cell muted">{t("record.noHeaders")}</p> : (
          <dl className="kv">
            {message.headers.map((header, i) => (
              <div key={i} className="contents"><dt className="mono">{header.key}</dt><dd className="mono">{header.value ?? "null"}</dd></div>
            ))}
          </dl>
        ))}
      </div>
      <footer className="drawer-foot desk">
        <span className="kbd">J</span><span className="kbd">K</span>{t("record.next")}
        <span className="grow" />
        <span className="kbd">Esc</span>
      </footer>
    </Drawer>
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
