/** Every page of the console, one line each. */
import { Component, type ReactNode } from "react";
import { useTranslation } from "react-i18next";
import { Link, Route, Routes, useLocation } from "react-router";
import { LazyPage, type Load } from "./shell/LazyPage";
import { Page } from "./shell/Page";
import { Shell } from "./shell/Shell";
import { Button, Empty, ProblemBlock } from "./ui/parts";

const overview: Load = () => import("./pages/overview/OverviewPage");
const topics: Load = () => import("./pages/topics/TopicsPage");
const topic: Load = () => import("./pages/topic/TopicPage");
const groups: Load = () => import("./pages/groups/GroupsPage");
const sql: Load = () => import("./pages/sql/SqlPage");
const jobs: Load = () => import("./pages/jobs/JobsPage");
const job: Load = () => import("./pages/jobs/JobPage");
const dashboards: Load = () => import("./pages/dashboards/DashboardsPage");
const dashboard: Load = () => import("./pages/dashboards/DashboardPage");
const screen: Load = () => import("./pages/screen/ScreenPage");

export function App() {
  return (
    <Routes>
      <Route path="/screen/:id" element={<Guard><LazyPage load={screen} /></Guard>} />
      <Route path="*" element={<Shell><Guard><Pages /></Guard></Shell>} />
    </Routes>
  );
}

function Pages() {
  return (
    <Routes>
      <Route path="/" element={<LazyPage load={overview} />} />
      <Route path="/topics" element={<LazyPage load={topics} />} />
      <Route path="/topics/:name" element={<LazyPage load={topic} />} />
      <Route path="/groups" element={<LazyPage load={groups} />} />
      <Route path="/groups/:id" element={<LazyPage load={groups} />} />
      <Route path="/sql" element={<LazyPage load={sql} />} />
      <Route path="/jobs" element={<LazyPage load={jobs} />} />
      <Route path="/jobs/:id" element={<LazyPage load={job} />} />
      <Route path="/dashboards" element={<LazyPage load={dashboards} />} />
      <Route path="/dashboards/:id" element={<LazyPage load={dashboard} />} />
      <Route path="*" element={<NotFound />} />
    </Routes>
  );
}

function NotFound() {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  return (
    <Page title={t("notFound.title")}>
      <div className="cell">
        <Empty title={t("notFound.what", { path: pathname })} actions={<Link className="btn" to="/">{t("nav.overview")}</Link>} />
      </div>
    </Page>
  );
}

function Guard({ children }: { children: ReactNode }) {
  const { pathname } = useLocation();
  const { t } = useTranslation();
  return (
    <ErrorBoundary key={pathname} again={t("action.reload")}>
      {children}
    </ErrorBoundary>
  );
}

/** A page that throws takes only itself down, and says what it was. */
class ErrorBoundary extends Component<{ children: ReactNode; again: string }, { error: Error | null }> {
  override state: { error: Error | null } = { error: null };
  static getDerivedStateFromError(error: Error) {
    return { error };
  }
  override render() {
    if (!this.state.error) return this.props.children;
    return (
      <div className="cell">
        <ProblemBlock
          problem={{ title: this.state.error.name, detail: this.state.error.message }}
          actions={<Button icon="refresh" onClick={() => window.location.reload()}>{this.props.again}</Button>}
        />
      </div>
    );
  }
}
