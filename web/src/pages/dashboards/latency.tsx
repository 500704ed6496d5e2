/** "produced → shown", computed here from every push and shown on the page itself. */
import { useCallback, useState } from "react";
import { useTranslation } from "react-i18next";
import type { Dashboard, Panel, SqlResult } from "../../api/types";
import { latency } from "../../format/time";
import { useLanguage } from "../../i18n/language";
import type { Push } from "../../live/client";
import { useLiveClient, useNow } from "../../live/hooks";
import { LatencyWindow, type Percentiles } from "../../live/latency";
import { Icon } from "../../ui/icons";

/**
 * Which panels are counted: those that show single records as they come. A
 * windowed panel is as old as its window by definition; where a dashboard has
 * only such panels, all of them are counted.
 */
export function countedPanels(dashboard: Dashboard): Set<string> {
  const lists = dashboard.panels.filter((panel) => panel.type === "list");
  return new Set((lists.length > 0 ? lists : dashboard.panels).map((panel) => panel.id));
}

/** Of two pushes the one whose newest record is the younger: a page is as fresh as its freshest panel. */
export function fresher<T>(old: Push<T> | null, push: Push<T>): Push<T> {
  const produced = (p: Push<T>): number => p.received_at - (p.age_ms ?? 0);
  return old === null || produced(push) >= produced(old) ? push : old;
}

export function useLatency(dashboard: Dashboard | undefined): [(panel: Panel, push: Push<SqlResult>) => void, LatencyWindow] {
  const client = useLiveClient();
  const [window] = useState(() => new LatencyWindow());
  const onPush = useCallback(
    (panel: Panel, push: Push<SqlResult>) => {
      if (!dashboard || push.first || !countedPanels(dashboard).has(panel.id)) return;
      window.add(push.received_at, push.age_ms, client.connection.round_trip_ms);
    },
    [dashboard, window, client],
  );
  return [onPush, window];
}

export function useLatencyFigures(window: LatencyWindow): Percentiles | null {
  const now = useNow(1_000);
  return window.read(now);
}

export function LatencyMark({ window }: { window: LatencyWindow }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const figures = useLatencyFigures(window);
  if (!figures) return null;
  const text = { p50: latency(figures.p50, language), p99: latency(figures.p99, language) };
  return (
    <span className="latency" title={t("dashboard.latencyHow", { count: figures.samples })} data-testid="latency" data-p50={figures.p50.toFixed(1)} data-p99={figures.p99.toFixed(1)} data-samples={figures.samples}>
      <span>{t("dashboard.produced")}</span>
      <span>p50 <b>{text.p50}</b></span>
      <span>p99 <b>{text.p99}</b></span>
      <Icon name="info" small />
    </span>
  );
}
