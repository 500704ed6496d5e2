import { useState } from "react";
import { useTranslation } from "react-i18next";
import { api, problemOf } from "../../api/client";
import type { ProblemDocument, PageTopic } from "../../api/types";
import { count } from "../../format/number";
import { Dialog } from "../../ui/overlay";
import { Button, ProblemBlock } from "../../ui/parts";

/** Writes one record through the server, as any producer would. */
export function Produce({ topic, onClose }: { topic: PageTopic; onClose: () => void }) {
  const { t } = useTranslation();
  const [key, setKey] = useState("");
  const [value, setValue] = useState("");
  const [tombstone, setTombstone] = useState(false);
  const [partition, setPartition] = useState("");
  const [header, setHeader] = useState({ key: "", value: "" });
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [done, setDone] = useState<{ partition: number; offset: number } | null>(null);
  const [busy, setBusy] = useState(false);
  const send = async () => {
    setBusy(true);
    setProblem(null);
    setDone(null);
    try {
      setDone(
        await api.produce(topic.name, {
          partition: partition === "" ? null : Number(partition),
          key: key === "" ? null : key,
          value: tombstone ? null : value,
          headers: header.key === "" ? [] : [header],
        }),
      );
    } catch (error) {
      setProblem(problemOf(error));
    }
    setBusy(false);
  };
  return (
    <Dialog
      title={t("produce.title", { topic: topic.name })}
      onClose={onClose}
      actions={
        <>
          <Button kind="primary" disabled={busy} onClick={() => void send()}>{t("produce.send")}</Button>
          <Button kind="ghost" onClick={onClose}>{t("action.close")}</Button>
          <span aria-live="polite" className="ok">{done && t("produce.done", { partition: done.partition, offset: count(done.offset) })}</span>
        </>
      }
    >
      <div className="form">
        <div className="form-row">
          <label>{t("produce.key")}<input className="field mono" value={key} onChange={(e) => setKey(e.target.value)} spellCheck={false} /></label>
          <label>
            {t("partitions.partition")}
            <select className="field" value={partition} onChange={(e) => setPartition(e.target.value)}>
              <option value="">{t("produce.byKey")}</option>
              {Array.from({ length: topic.partitions }, (_, i) => <option key={i} value={i}>{i}</option>)}
            </select>
          </label>
        </div>
        <label>{t("produce.value")}<textarea className="field mono" rows={9} value={tombstone ? "" : value} disabled={tombstone} onChange={(e) => setValue(e.target.value)} spellCheck={false} placeholder='{"order_id": "o-1"}' /></label>
        <label className="check"><input type="checkbox" checked={tombstone} onChange={(e) => setTombstone(e.target.checked)} />{t("produce.tombstone")}</label>
        <div className="form-row">
          <label>{t("produce.headerKey")}<input className="field mono" value={header.key} onChange={(e) => setHeader({ ...header, key: e.target.value })} spellCheck={false} /></label>
          <label>{t("produce.headerValue")}<input className="field mono" value={header.value} onChange={(e) => setHeader({ ...header, value: e.target.value })} spellCheck={false} /></label>
        </div>
      </div>
      {problem && <ProblemBlock problem={problem} />}
    </Dialog>
  );
}
