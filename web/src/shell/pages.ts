/** The console's pages, in the order of the data: the navigation, the tabs and the palette follow from this list. */
import type { IconName } from "../ui/icons";

export interface PageEntry {
  to: string;
  key: "overview" | "topics" | "groups" | "sql" | "jobs" | "dashboards";
  icon: IconName;
  section: "top" | "data" | "process" | "show";
  count?: "topics" | "groups" | "jobs" | "dashboards";
  /** Has a place of its own in the bottom tabs of a phone. */
  tab?: true;
}

export const PAGES: PageEntry[] = [
  { to: "/", key: "overview", icon: "home", section: "top", tab: true },
  { to: "/topics", key: "topics", icon: "topics", section: "data", count: "topics", tab: true },
  { to: "/groups", key: "groups", icon: "groups", section: "data", count: "groups", tab: true },
  { to: "/sql", key: "sql", icon: "sql", section: "process" },
  { to: "/jobs", key: "jobs", icon: "jobs", section: "process", count: "jobs", tab: true },
  { to: "/dashboards", key: "dashboards", icon: "dashboards", section: "show", count: "dashboards" },
];
