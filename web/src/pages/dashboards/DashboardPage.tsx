import { useQuery } from "@tanstack/react-query";
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Dashboard, Panel as PanelFile, SqlResult } from "../../api/types";
import { useLanguage, words } from "../../i18n/language";
import { path, useNameInPath } from "../../links";
import type { Push } from "../../live/client";
import { useNarrow } from "../../live/hooks";
import { Page } from "../../shell/Page";
import { Icon } from "../../ui/icons";
import { LiveMark, Loading, ProblemBlock } from "../../ui/parts";
import { countedPanels, fresher, LatencyMark, useLatency } from "./latency";
import { Panel } from "./Panel";
import { TimesContext, timesOf } from "./times";

export default function DashboardPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const id = useNameInPath() ?? "";
  const file = useQuery({ queryKey: ["dashboard", id], queryFn: () => api.dashboard(id), staleTime: 60_000 });
  const dashboard = file.data;
  const [newest, setNewest] = useState<Push<SqlResult> | null>(null);
  const narrow = useNarrow();
  const [onLatency, latency] = useLatency(dashboard);
  const onPush = (panel: PanelFile, push: Push<SqlResult>) => {
    setNewest((old) => fresher(old, push));
    onLatency(panel, push);
  };
  return (
    <Page
      title={dashboard ? words(dashboard.title, language) : id}
      parent={{ to: "/dashboards", title: t("nav.dashboards") }}
      className="dashboard-page"
      actions={
        <>
          {!narrow && <LatencyMark window={latency} />}
          <LiveMark push={newest} periodMs={null} />
          {dashboard?.screen && (
            <Link className="btn" to={path`/screen/${id}`}>
              <Icon name="screen" small />
              <span className="desk">{t("dashboard.screen")}</span>
            </Link>
          )}
        </>
      }
    >
      {!dashboard && (file.isError ? <div className="cell"><ProblemBlock problem={problemOf(file.error)} retry={() => void file.refetch()} /></div> : <div className="cell"><Loading rows={10} /></div>)}
      {dashboard && <TimesContext value={timesOf(dashboard)}><Canvas dashboard={dashboard} onPush={onPush} head={narrow && <LatencyMark window={latency} />} /></TimesContext>}
    </Page>
  );
}

function Canvas({ dashboard, onPush, head }: { dashboard: Dashboard; onPush: (panel: PanelFile, push: Push<SqlResult>) => void; head: ReactNode }) {
  const counted = countedPanels(dashboard);
  const ordered = [...dashboard.panels].sort((a, b) => a.grid.y - b.grid.y || a.grid.x - b.grid.x);
  return (
    <div className="canvas">
      {head && <div className="latency-strip">{head}</div>}
      {ordered.map((panel) => (
        <Panel key={panel.id} panel={panel} onPush={onPush} always={panel.type === "list" && counted.has(panel.id)} />
      ))}
    </div>
  );
}
