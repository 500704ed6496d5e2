/** One banner a page while the live connection is cut, with the next try. */
import { useTranslation } from "react-i18next";
import { timeOfDay } from "../format/time";
import { useConnection, useLiveClient, useNow } from "../live/hooks";
import { Button } from "../ui/parts";
import { Mark } from "../ui/state";

export function Banner() {
  const { t } = useTranslation();
  const client = useLiveClient();
  const connection = useConnection();
  const now = useNow(500);
  if (connection.state !== "cut" || connection.cut_since_ms === null) return null;
  const seconds = connection.retry_at === null ? 0 : Math.max(0, Math.ceil((connection.retry_at - now) / 1000));
  return (
    <div className="banner" role="status">
      <Mark state="warn" />
      <b>{t("banner.cut", { time: timeOfDay(connection.cut_since_ms) })}</b>
      <span>{seconds > 0 ? t("banner.next", { count: seconds }) : t("banner.trying")}</span>
      <span className="grow" />
      <Button onClick={() => client.retryNow()}>{t("banner.now")}</Button>
    </div>
  );
}
