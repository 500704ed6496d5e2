/** Every page of the console, one line each. */
import { Component, lazy, type ReactNode, Suspense } from "react";
import { useTranslation } from "react-i18next";
import { Link, Route, Routes, useLocation } from "react-router";
import { Page } from "./shell/Page";
import { Shell } from "./shell/Shell";
import { Button, Empty, Loading, ProblemBlock } from "./ui/parts";

const OverviewPage = lazy(() => import("./pages/overview/OverviewPage"));
const TopicsPage = lazy(() => import("./pages/topics/TopicsPage"));
const TopicPage = lazy(() => import("./pages/topic/TopicPage"));
const GroupsPage = lazy(() => import("./pages/groups/GroupsPage"));
const SqlPage = lazy(() => import("./pages/sql/SqlPage"));
const JobsPage = lazy(() => import("./pages/jobs/JobsPage"));
const JobPage = lazy(() => import("./pages/jobs/JobPage"));
const DashboardsPage = lazy(() => import("./pages/dashboards/DashboardsPage"));
const DashboardPage = lazy(() => import("./pages/dashboards/DashboardPage"));
const ScreenPage = lazy(() => import("./pages/screen/ScreenPage"));

export function App() {
  return (
    <Suspense fallback={null}>
      <Routes>
        <Route path="/screen/:id" element={<Guard><ScreenPage /></Guard>} />
        <Route path="*" element={<Shell><Guard><Pages /></Guard></Shell>} />
      </Routes>
    </Suspense>
  );
}

function Pages() {
  return (
    <Suspense fallback={<Page title=""><div className="cell"><Loading /></div></Page>}>
      <Routes>
        <Route path="/" element={<OverviewPage />} />
        <Route path="/topics" element={<TopicsPage />} />
        <Route path="/topics/:name" element={<TopicPage />} />
        <Route path="/groups" element={<GroupsPage />} />
        <Route path="/groups/:id" element={<GroupsPage />} />
        <Route path="/sql" element={<SqlPage />} />
        <Route path="/jobs" element={<JobsPage />} />
        <Route path="/jobs/:id" element={<JobPage />} />
        <Route path="/dashboards" element={<DashboardsPage />} />
        <Route path="/dashboards/:id" element={<DashboardPage />} />
        <Route path="*" element={<NotFound />} />
      </Routes>
    </Suspense>
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
