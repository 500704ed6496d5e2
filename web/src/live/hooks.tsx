/** The live client in React: one for the app, hooks for the surfaces. */
import { createContext, type ReactNode, useCallback, useContext, useEffect, useRef, useState, useSyncExternalStore } from "react";
import { type Connection, LiveClient, type LiveRequest, type Push, type Snapshot, type Socket } from "./client";

const Context = createContext<LiveClient | null>(null);

function browserSocket(): Socket {
  const url = new URL("/api/v1/live", window.location.href);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  return new WebSocket(url) as unknown as Socket;
}

export function LiveProvider({ children }: { children: ReactNode }) {
  const [client] = useState(
    () =>
      new LiveClient({
        open: browserSocket,
        now: () => performance.now(),
        wall: () => Date.now(),
        setTimer: (run, ms) => window.setTimeout(run, ms),
        clearTimer: (timer) => window.clearTimeout(timer as number | undefined),
        random: Math.random,
      }),
  );
  useEffect(() => {
    client.start();
    const visibility = () => client.setPaused(document.hidden);
    document.addEventListener("visibilitychange", visibility);
    return () => {
      document.removeEventListener("visibilitychange", visibility);
      client.stop();
    };
  }, [client]);
  return <Context value={client}>{children}</Context>;
}

export function useLiveClient(): LiveClient {
  const client = useContext(Context);
  if (!client) throw new Error("useLiveClient outside of LiveProvider");
  return client;
}

export function useConnection(): Connection {
  const client = useLiveClient();
  return useSyncExternalStore(
    useCallback((changed: () => void) => client.watch(changed), [client]),
    () => client.connection,
  );
}

const NOTHING: Snapshot<never> = { push: null, problem: null };

/** The newest push of a subscription; `null` asks for nothing and keeps what was shown. */
export function useLive<T>(request: LiveRequest | null, onPush?: (push: Push<T>) => void): Snapshot<T> {
  const client = useLiveClient();
  const [snapshot, setSnapshot] = useState<Snapshot<T>>(NOTHING);
  const key = request ? JSON.stringify(request) : null;
  const shown = useRef<string | null>(null);
  const callback = useRef(onPush);
  useEffect(() => {
    callback.current = onPush;
  });
  useEffect(() => {
    if (key === null) return;
    if (shown.current !== key) {
      shown.current = key;
      setSnapshot(NOTHING);
    }
    let last: Push<T> | null = null;
    return client.subscribe(JSON.parse(key) as LiveRequest, (next) => {
      const typed = next as Snapshot<T>;
      setSnapshot(typed);
      if (typed.push && typed.push !== last) {
        last = typed.push;
        callback.current?.(typed.push);
      }
    });
  }, [client, key]);
  return snapshot;
}

/** A clock for ages and relative times: four ticks a second at most. */
export function useNow(everyMs = 250): number {
  const [now, setNow] = useState(() => performance.now());
  useEffect(() => {
    const timer = window.setInterval(() => {
      if (!document.hidden) setNow(performance.now());
    }, everyMs);
    return () => window.clearInterval(timer);
  }, [everyMs]);
  return now;
}

const narrow = window.matchMedia("(max-width: 640px)");

/** A phone: where a part moves to another place, not only to another size. */
export function useNarrow(): boolean {
  return useSyncExternalStore(
    (changed) => {
      narrow.addEventListener("change", changed);
      return () => narrow.removeEventListener("change", changed);
    },
    () => narrow.matches,
  );
}

/** True once the element has been near the screen; false again when it leaves. */
export function useOnScreen<E extends Element>(): [(element: E | null) => void, boolean] {
  const [visible, setVisible] = useState(false);
  const observer = useRef<IntersectionObserver | null>(null);
  const ref = useCallback((element: E | null) => {
    observer.current?.disconnect();
    if (!element) return;
    observer.current = new IntersectionObserver(
      (entries) => setVisible(entries.some((entry) => entry.isIntersecting)),
      { rootMargin: "120px" },
    );
    observer.current.observe(element);
  }, []);
  return [ref, visible];
}
