/**
 * How a dashboard shows SQL's times. SQL's text has no zone: it is shown as it
 * is ("wall"), unless the dashboard's file says that it is UTC; then it is an
 * instant and shown in the viewer's own zone, beside the viewer's own clock.
 */
import { createContext, useContext } from "react";
import type { Dashboard } from "../../api/types";

export type TimesMode = "wall" | "local";

export const TimesContext = createContext<TimesMode>("wall");

export const useTimes = (): TimesMode => useContext(TimesContext);

export function timesOf(dashboard: Dashboard): TimesMode {
  return dashboard.time_zone === "UTC" ? "local" : "wall";
}
