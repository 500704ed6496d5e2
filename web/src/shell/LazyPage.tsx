/**
 * A page whose code is fetched on its first visit. When that fails the server is
 * away or was upgraded: it says so, and opens the page by itself when it can.
 */
import { type ComponentType, useCallback, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import { useConnection } from "../live/hooks";
import { Button, Empty, Loading } from "../ui/parts";
import { mayReload, served } from "./build";
import { Page } from "./Page";

export type Load = () => Promise<{ default: ComponentType }>;

/** How long until the server is asked again: doubled each time up to the longest. */
const ASK_MS_MIN = 1_000;
const ASK_MS_MAX = 10_000;

const loaded = new Map<Load, ComponentType>();

export function LazyPage({ load }: { load: Load }) {
  const [, setReady] = useState<Load | null>(null);
  const [failed, setFailed] = useState<{ load: Load; detail: string } | null>(null);
  /** Whether the page's code is there now. */
  const fetchCode = useCallback(async (): Promise<boolean> => {
    try {
      loaded.set(load, (await load()).default);
      setReady(() => load);
      return true;
    } catch (error) {
      setFailed({ load, detail: error instanceof Error ? error.message : String(error) });
      return false;
    }
  }, [load]);
  useEffect(() => {
    if (!loaded.has(load)) void fetchCode();
  }, [load, fetchCode]);
  const Content = loaded.get(load);
  if (Content) return <Content />;
  if (failed?.load === load) return <NotLoaded detail={failed.detail} fetchCode={fetchCode} />;
  return <Page title=""><div className="cell"><Loading /></div></Page>;
}

type Why = "away" | "upgraded" | "broken";

/** Asks the server until it has the page; reloads once when it has another build. */
function NotLoaded({ detail, fetchCode }: { detail: string; fetchCode: () => Promise<boolean> }) {
  const { t } = useTranslation();
  const [why, setWhy] = useState<Why | null>(null);
  const [pressed, setPressed] = useState(0);
  // The live connection is back before the next question is due: then it is asked at once.
  const connection = useConnection().state;
  const open = connection === "open";
  const cut = connection === "cut";
  useEffect(() => {
    const abort = new AbortController();
    let timer = 0;
    const ask = async (waitMs: number) => {
      const next = await whyNot(fetchCode, abort.signal);
      if (abort.signal.aborted || next === null) return;
      setWhy(next);
      timer = window.setTimeout(() => void ask(Math.min(ASK_MS_MAX, waitMs * 2)), waitMs);
    };
    void ask(ASK_MS_MIN);
    return () => {
      abort.abort();
      window.clearTimeout(timer);
    };
  }, [fetchCode, open, pressed]);
  if (why === null) return <Page title=""><div className="cell"><Loading /></div></Page>;
  return (
    <Page title={t("notLoaded.title")}>
      <div className="cell" role="status" data-testid={`not-loaded-${why}`}>
        <Empty
          title={t(`notLoaded.${why}`)}
          actions={
            // While the live connection is cut the banner has this button, and its success is noticed here.
            cut ? undefined
            : why === "away" ? <Button icon="refresh" onClick={() => setPressed(pressed + 1)}>{t("banner.now")}</Button>
            : <Button kind="primary" icon="refresh" onClick={() => window.location.reload()}>{t("action.reload")}</Button>
          }
        >
          {t(`notLoaded.${why}Why`)}
        </Empty>
        {why === "broken" && <p className="mono faint">{detail}</p>}
      </div>
    </Page>
  );
}

/** Null when the page is there, or comes with a reload. */
async function whyNot(fetchCode: () => Promise<boolean>, signal: AbortSignal): Promise<Why | null> {
  const { state, entry } = await served(signal);
  if (signal.aborted) return null;
  if (state === "away") return "away";
  if (state === "changed") return reload(`build ${entry}`) ? null : "upgraded";
  if (await fetchCode()) return null;
  // The same build, and its code does not come: once from the beginning.
  return state === "same" && !signal.aborted && reload(`page ${window.location.pathname}`) ? null : "broken";
}

function reload(reason: string): boolean {
  if (!mayReload(reason, sessionStorage)) return false;
  window.location.reload();
  return true;
}
