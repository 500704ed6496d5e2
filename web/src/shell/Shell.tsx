/** Navigation, cluster, race, the sheet, and the bottom tabs of a phone. */
import { type ReactNode, useState } from "react";
import { useTranslation } from "react-i18next";
import { Link, useLocation } from "react-router";
import type { Overview } from "../api/types";
import { count } from "../format/number";
import { useConnection, useLive } from "../live/hooks";
import { Icon, Logo } from "../ui/icons";
import { cx } from "../ui/parts";
import { Mark } from "../ui/state";
import { LanguageButton, ThemeButton } from "./Page";
import { PAGES, type PageEntry } from "./pages";
import { Palette } from "./Palette";
import { Race } from "./Race";

const SECTIONS = ["top", "data", "process", "show"] as const;

function isOn(page: PageEntry, path: string): boolean {
  return page.to === "/" ? path === "/" : path === page.to || path.startsWith(`${page.to}/`);
}

export function Shell({ children }: { children: ReactNode }) {
  const overview = useLive<Overview>({ kind: "overview" }).push?.data ?? null;
  return (
    <div className="app">
      <Nav overview={overview} />
      <div className="main">{children}</div>
      <BottomTabs />
      <Palette />
    </div>
  );
}

function Nav({ overview }: { overview: Overview | null }) {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const connection = useConnection();
  return (
    <nav className="nav" aria-label={t("nav.label")}>
      <Link className="logo" to="/">
        <Logo />
        <span>Millstream</span>
      </Link>
      <div className="cluster" title={overview ? `${overview.cluster.kafka} · ${overview.cluster.durability}` : undefined}>
        <Mark state={connection.state === "open" ? "ok" : connection.state === "cut" ? "warn" : "transition"} />
        <span className="ell">{overview?.cluster.name ?? "—"}</span>
        <small>{overview ? t("nav.nodes", { count: overview.brokers.length }) : ""}</small>
      </div>
      {SECTIONS.map((section) => (
        <div key={section} className="nav-section">
          {section !== "top" && <h3>{t(`nav.${section}`)}</h3>}
          {PAGES.filter((page) => page.section === section).map((page) => {
            const on = isOn(page, pathname);
            return (
              <Link key={page.to} to={page.to} className={on ? "on" : undefined} aria-current={on ? "page" : undefined} title={t(`nav.${page.key}`)}>
                <Icon name={page.icon} />
                <span>{t(`nav.${page.key}`)}</span>
                {page.count && overview && <b>{count(overview.counts[page.count])}</b>}
              </Link>
            );
          })}
        </div>
      ))}
      <Race version={overview?.cluster.version ?? null} past={overview?.history ?? null} />
    </nav>
  );
}

function BottomTabs() {
  const { t } = useTranslation();
  const { pathname } = useLocation();
  const [open, setOpen] = useState<string | null>(null);
  const shown = open === pathname;
  const rest = PAGES.filter((page) => !page.tab);
  return (
    <nav className="tabs-bottom" aria-label={t("nav.label")}>
      {shown && (
        <div className="more-sheet">
          {rest.map((page) => (
            <Link key={page.to} to={page.to} className={isOn(page, pathname) ? "on" : undefined} onClick={() => setOpen(null)}>
              <Icon name={page.icon} />
              {t(`nav.${page.key}`)}
            </Link>
          ))}
          <div className="flex">
            <LanguageButton />
            <ThemeButton />
          </div>
        </div>
      )}
      {PAGES.filter((page) => page.tab).map((page) => {
        const on = !shown && isOn(page, pathname);
        return (
          <Link key={page.to} to={page.to} className={on ? "on" : undefined} aria-current={on ? "page" : undefined} onClick={() => setOpen(null)}>
            <Icon name={page.icon} />
            {t(`tab.${page.key as "overview" | "topics" | "groups" | "jobs"}`)}
          </Link>
        );
      })}
      <button type="button" className={cx((shown || rest.some((page) => isOn(page, pathname))) && "on")} aria-expanded={shown} onClick={() => setOpen(shown ? null : pathname)}>
        <Icon name="more" />
        {t("tab.more")}
      </button>
    </nav>
  );
}
