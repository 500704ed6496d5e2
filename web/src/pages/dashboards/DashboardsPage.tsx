import { useQuery } from "@tanstack/react-query";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { api, problemOf } from "../../api/client";
import { useLanguage, words } from "../../i18n/language";
import { path } from "../../links";
import { Page } from "../../shell/Page";
import { Icon } from "../../ui/icons";
import { Empty, Loading, ProblemBlock } from "../../ui/parts";

export default function DashboardsPage() {
  const { t } = useTranslation();
  const language = useLanguage();
  const list = useQuery({ queryKey: ["dashboards"], queryFn: api.dashboards });
  return (
    <Page title={t("nav.dashboards")}>
      {!list.data && (list.isError ? <div className="cell"><ProblemBlock problem={problemOf(list.error)} retry={() => void list.refetch()} /></div> : <div className="cell"><Loading /></div>)}
      {list.data?.dashboards.length === 0 && <div className="cell"><Empty title={t("dashboard.none")}>{t("dashboard.noneWhy")}</Empty></div>}
      <div className="dashboard-list">
        {list.data?.dashboards.map((entry) => (
          <article key={entry.id} className="pn">
            <h2><Link to={path`/dashboards/${entry.id}`}>{words(entry.title, language)}</Link></h2>
            <p className="muted"><span className="mono">{entry.id}</span> · {t("dashboard.panels", { count: entry.panels })}</p>
            <div className="flex wrap">
              <Link className="btn" to={path`/dashboards/${entry.id}`}><Icon name="dashboards" small />{t("dashboard.open")}</Link>
              {entry.screen && <Link className="btn" to={path`/screen/${entry.id}`}><Icon name="screen" small />{t("dashboard.screen")}</Link>}
            </div>
          </article>
        ))}
      </div>
    </Page>
  );
}
