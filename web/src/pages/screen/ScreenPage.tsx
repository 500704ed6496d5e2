/** The big screen: 1920x1080, scaled to fit, read from six metres. Every figure comes from a panel. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api, problemOf } from "../../api/client";
import type { Dashboard, Panel, Slot, SqlResult } from "../../api/types";
import type { Language } from "../../format/language";
import { age, latency as latencyText, timeOfDay } from "../../format/time";
import { useLanguage, words } from "../../i18n/language";
import { path, useNameInPath } from "../../links";
import type { Push } from "../../live/client";
import { useNow } from "../../live/hooks";
import { setScreenTheme } from "../../shell/theme";
import { useKeys } from "../../ui/keys";
import { Button, Loading, ProblemBlock, useAge } from "../../ui/parts";
import { fresher, useLatency, useLatencyFigures } from "../dashboards/latency";
import type { OnPush } from "../dashboards/Panel";
import type { LatencyWindow } from "../../live/latency";
import { TimesContext, timesOf } from "../dashboards/times";
import { Figures, Hero, MapBlock, ScreenBlock } from "./blocks";

const WIDTH = 1920;
const HEIGHT = 1080;

function fit(): number {
  return Math.min(window.innerWidth / WIDTH, window.innerHeight / HEIGHT);
}

export default function ScreenPage() {
  const language = useLanguage();
  const navigate = useNavigate();
  const id = useNameInPath() ?? "";
  const [scale, setScale] = useState(fit);
  const file = useQuery({ queryKey: ["dashboard", id], queryFn: () => api.dashboard(id), staleTime: 60_000, retry: true, retryDelay: 2_000 });
  const dashboard = file.data;
  const title = words(dashboard?.screen?.title ?? dashboard?.title, language);
  useEffect(() => {
    setScreenTheme(true);
    const resize = () => setScale(fit());
    window.addEventListener("resize", resize);
    return () => {
      window.removeEventListener("resize", resize);
      setScreenTheme(false);
    };
  }, []);
  useEffect(() => {
    if (title) document.title = title;
  }, [title]);
  useKeys((event) => {
    if (event.key === "Escape" && !document.fullscreenElement) void navigate(path`/dashboards/${id}`);
  });
  return (
    <div className="screen-stage">
      <div className="screen" style={{ transform: `translate(-50%, -50%) scale(${scale})` }}>
        {!dashboard && (file.isError ? <div className="screen-wait"><ProblemBlock problem={problemOf(file.error)} /></div> : <div className="screen-wait"><Loading /></div>)}
        {dashboard && <TimesContext value={timesOf(dashboard)}><Screen dashboard={dashboard} title={title} /></TimesContext>}
      </div>
    </div>
  );
}

function Screen({ dashboard, title }: { dashboard: Dashboard; title: string }) {
  const [newest, setNewest] = useState<Push<SqlResult> | null>(null);
  const [onLatency, latency] = useLatency(dashboard);
  const onPush: OnPush = (panel, push) => {
    setNewest((old) => fresher(old, push));
    onLatency(panel, push);
  };
  const inSlot = (slot: Slot): Panel[] => {
    const ids = dashboard.screen?.blocks.filter((block) => block.slot === slot).flatMap((block) => block.panel) ?? [];
    return ids.flatMap((panelId) => dashboard.panels.find((panel) => panel.id === panelId) ?? []);
  };
  const block = (slot: Slot) => <ScreenBlock slot={slot} panels={inSlot(slot)} onPush={onPush} />;
  return (
    <>
      <Head title={title} newest={newest} latency={latency} id={dashboard.id} />
      <div className="screen-columns">
        <div className="screen-column">
          {block("left_top")}
          {block("left_bottom")}
        </div>
        <div className="screen-column center">
          {inSlot("hero").slice(0, 1).map((panel) => <Hero key={panel.id} panel={panel} onPush={onPush} />)}
          <Figures panels={inSlot("figures").slice(0, 4)} onPush={onPush} />
          {inSlot("map").slice(0, 1).map((panel) => <MapBlock key={panel.id} panel={panel} onPush={onPush} />)}
          {block("center_bottom")}
        </div>
        <div className="screen-column">
          {block("right_top")}
          {block("right_bottom")}
        </div>
      </div>
    </>
  );
}

function Head({ title, newest, latency, id }: { title: string; newest: Push | null; latency: LatencyWindow; id: string }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const figures = useLatencyFigures(latency);
  const { ms, cut } = useAge(newest, null);
  return (
    <header className="screen-head">
      <svg width="1920" height="96" viewBox="0 0 1920 96" fill="none" aria-hidden="true">
        <defs>
          <linearGradient id="screen-line" x1="0" x2="1920" y1="0" y2="0" gradientUnits="userSpaceOnUse">
            <stop offset="0" stopColor="#4fd3ea" stopOpacity="0" />
            <stop offset=".3" stopColor="#4fd3ea" stopOpacity=".55" />
            <stop offset=".5" stopColor="#9becf8" />
            <stop offset=".7" stopColor="#4fd3ea" stopOpacity=".55" />
            <stop offset="1" stopColor="#4fd3ea" stopOpacity="0" />
          </linearGradient>
        </defs>
        <path d="M0 66C330 66 420 66 560 76S800 86 960 86s260 0 400-10 230-10 560-10" stroke="url(#screen-line)" strokeWidth="2" />
        <path d="M0 74C350 74 440 74 580 81S810 91 960 91s240-3 380-10 230-7 580-7" stroke="url(#screen-line)" strokeWidth="1" opacity=".6" />
        <path d="M0 82C370 82 460 82 600 86.5S820 96 960 96s220-5 360-9.500 230-4.500 600-4.500" stroke="url(#screen-line)" strokeWidth="1" opacity=".3" />
      </svg>
      <Clock language={language} />
      <h1>{title}</h1>
      <div className="screen-right">
        {figures && (
          <span className="screen-latency" title={t("dashboard.latencyHow", { count: figures.samples })} data-testid="latency" data-p50={figures.p50.toFixed(1)} data-p99={figures.p99.toFixed(1)} data-samples={figures.samples}>
            {t("dashboard.produced")} p50 <b>{latencyText(figures.p50, language)}</b> p99 <b>{latencyText(figures.p99, language)}</b>
          </span>
        )}
        {cut ? (
          <span className="warn">{t("screen.cut", { time: newest ? timeOfDay(newest.sent_ms) : "—" })}</span>
        ) : (
          <span className="screen-live"><i />{t("live.live")}</span>
        )}
        <span>{t("screen.age", { age: age(ms, language) })}</span>
      </div>
      <div className="screen-tools">
        <Button kind="ghost" icon="back" aria-label={t("screen.back")} title={`${t("screen.back")}  Esc`} onClick={() => void navigate(path`/dashboards/${id}`)} />
        <Button kind="ghost" icon="expand" aria-label={t("screen.full")} title={t("screen.full")} onClick={() => void (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen())} />
      </div>
    </header>
  );
}

function Clock({ language }: { language: Language }) {
  useNow(500);
  const now = new Date();
  const date = new Intl.DateTimeFormat(language === "zh" ? "zh-CN" : "en-GB", { year: "numeric", month: "long", day: "numeric", weekday: "long" }).format(now);
  return (
    <div className="screen-left">
      <b>{timeOfDay(now.getTime())}</b>
      <span>{language === "zh" ? date.replace(/(星期.)$/, " $1").replace("  ", " ") : date}</span>
    </div>
  );
}
