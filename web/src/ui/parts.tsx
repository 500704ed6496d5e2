/** The small parts that every page is made of. */
import { type ReactNode, useEffect, useState } from "react";
import { useTranslation } from "react-i18next";
import type { ProblemDocument } from "../api/types";
import { age as formatAge } from "../format/time";
import { useLanguage } from "../i18n/language";
import type { Push } from "../live/client";
import { useConnection, useNow } from "../live/hooks";
import { Icon, type IconName } from "./icons";
import { Mark } from "./state";

export function cx(...names: (string | false | null | undefined)[]): string {
  return names.filter(Boolean).join(" ");
}

/** How old a push is, and whether it should be shown as stale. */
export function useAge(push: Push | null, periodMs: number | null): { ms: number | null; stale: boolean; cut: boolean } {
  const now = useNow();
  const connection = useConnection();
  if (!push) return { ms: null, stale: false, cut: connection.state === "cut" };
  const since = now - push.received_at;
  const cut = connection.state === "cut";
  // A page pushed on a clock is stale after three missed pushes (and 2 s). A SQL
  // panel is pushed when it changes, so only a lost connection makes it stale.
  const stale = cut || (periodMs !== null && since > Math.max(3 * periodMs, 2_000));
  return { ms: Math.max(0, since + (push.age_ms ?? 0)), stale, cut };
}

/** "● Live 0.3 s" at the head of a page. */
export function LiveMark({ push, periodMs = 1_000, held }: { push: Push | null; periodMs?: number | null; held?: ReactNode }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { ms, stale, cut } = useAge(push, periodMs);
  if (held) {
    return (
      <span className="live held">
        <i className="square" />
        {t("live.held")}
        <em>{held}</em>
      </span>
    );
  }
  if (cut) return <span className="live stale"><i />{t("live.cut")}{ms !== null && <em>{formatAge(ms, language)}</em>}</span>;
  return (
    <span className={cx("live", stale && "stale")} data-testid="live">
      <i />
      {stale ? t("live.stale") : t("live.live")}
      <em>{formatAge(ms, language)}</em>
    </span>
  );
}

/** The age in a panel's corner. */
export function AgeMark({ push, periodMs = null }: { push: Push | null; periodMs?: number | null }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const { ms, stale } = useAge(push, periodMs);
  if (ms === null) return null;
  const text = formatAge(ms, language);
  return stale ? <span className="tag stale age">{t("live.old", { age: text })}</span> : <span className="age">{text}</span>;
}

export function Tag({ tone, children, title }: { tone?: "ok" | "warn" | "critical" | "info" | "brand" | "stale"; children: ReactNode; title?: string }) {
  return (
    <span className={cx("tag", tone)} title={title}>
      {children}
    </span>
  );
}

export function Meter({ value, state, label }: { value: number; state?: "warn" | "critical"; label: string }) {
  const clamped = Math.max(0, Math.min(100, value));
  return (
    <div className={cx("meter", state)} role="meter" aria-valuenow={Math.round(clamped)} aria-valuemin={0} aria-valuemax={100} aria-label={label}>
      <i style={{ width: `${clamped}%` }} />
    </div>
  );
}

export function Kpi({ label, value, unit, detail, tone, title }: { label: ReactNode; value: ReactNode; unit?: ReactNode; detail?: ReactNode; tone?: "warn" | "critical"; title?: string }) {
  return (
    <div className="kpi" title={title}>
      <div className="k">{label}</div>
      <div className={cx("v", tone)}>
        {value}
        {unit && <small>{unit}</small>}
      </div>
      <div className="d ell">{detail ?? "\u00a0"}</div>
    </div>
  );
}

export function Seg<T extends string>({ value, options, onChange, label }: { value: T; options: { id: T; label: ReactNode }[]; onChange: (id: T) => void; label: string }) {
  return (
    <div className="seg" role="radiogroup" aria-label={label}>
      {options.map((option) => (
        <button key={option.id} type="button" role="radio" aria-checked={option.id === value} className={option.id === value ? "on" : undefined} onClick={() => onChange(option.id)}>
          {option.label}
        </button>
      ))}
    </div>
  );
}

export function Button({ icon, kind, children, ...rest }: { icon?: IconName; kind?: "primary" | "ghost" | "danger"; children?: ReactNode } & React.ButtonHTMLAttributes<HTMLButtonElement>) {
  return (
    <button type="button" {...rest} className={cx("btn", kind === "primary" && "p", kind === "ghost" && "ghost", kind === "danger" && "danger", !children && "icon", rest.className)}>
      {icon && <Icon name={icon} small={Boolean(children)} />}
      {children}
    </button>
  );
}

export interface TabItem<T extends string> {
  id: T;
  label: ReactNode;
  note?: ReactNode;
}

export function Tabs<T extends string>({ value, items, onChange, label }: { value: T; items: TabItem<T>[]; onChange: (id: T) => void; label: string }) {
  const move = (event: React.KeyboardEvent, index: number) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    const next = items[(index + step + items.length) % items.length];
    if (step === 0 || !next) return;
    event.preventDefault();
    onChange(next.id);
    (event.currentTarget.parentElement?.children[(index + step + items.length) % items.length] as HTMLElement | undefined)?.focus();
  };
  return (
    <div className="tabs" role="tablist" aria-label={label}>
      {items.map((item, index) => (
        <button key={item.id} type="button" role="tab" aria-selected={item.id === value} tabIndex={item.id === value ? 0 : -1} className={item.id === value ? "on" : undefined} onClick={() => onChange(item.id)} onKeyDown={(event) => move(event, index)}>
          {item.label}
          {item.note !== undefined && item.note !== null && <small>{item.note}</small>}
        </button>
      ))}
    </div>
  );
}

/** What is true, why, and the next step. */
export function Empty({ title, children, actions }: { title: ReactNode; children?: ReactNode; actions?: ReactNode }) {
  return (
    <div className="empty">
      <p className="strong">{title}</p>
      {children && <p className="muted">{children}</p>}
      {actions && <div className="flex wrap">{actions}</div>}
    </div>
  );
}

/** What failed, where, and what to do; in the surface it belongs to. */
export function ProblemBlock({ problem, retry, actions }: { problem: ProblemDocument; retry?: () => void; actions?: ReactNode }) {
  const { t } = useTranslation();
  const unreachable = problem.title === "unreachable";
  return (
    <div className="problem" role="alert">
      <p className="flex top">
        <Mark state="critical" />
        <b>{unreachable ? t("problem.unreachable") : problem.title}</b>
        {problem.line != null && (
          <span className="mono faint">
            {problem.line}:{problem.column ?? 1}
          </span>
        )}
      </p>
      {problem.detail && <p className="muted">{unreachable ? t("problem.unreachableDetail") : problem.detail}</p>}
      {problem.hint && <p>{problem.hint}</p>}
      {(retry ?? actions) && (
        <div className="flex wrap">
          {retry && <Button icon="refresh" onClick={retry}>{t("action.retry")}</Button>}
          {actions}
        </div>
      )}
    </div>
  );
}

/** Nothing for 200 ms, then the still shape of what comes. */
export function Loading({ rows = 6 }: { rows?: number }) {
  const { t } = useTranslation();
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = window.setTimeout(() => setLate(true), 200);
    return () => window.clearTimeout(timer);
  }, []);
  return (
    <div className="loading" aria-busy="true" aria-label={t("live.loading")}>
      {late &&
        Array.from({ length: rows }, (_, i) => (
          <div key={i} className="flex">
            <i style={{ width: `${30 + ((i * 37) % 34)}%` }} />
            <span className="grow" />
            <i style={{ width: 42 }} />
          </div>
        ))}
    </div>
  );
}

/** Cuts the middle of a long name, never its end. */
export function middleCut(text: string, max: number): string {
  if (text.length <= max) return text;
  const tail = Math.ceil((max - 1) * 0.55);
  return `${text.slice(0, max - 1 - tail)}…${text.slice(-tail)}`;
}

export function CopyButton({ text }: { text: string }) {
  const { t } = useTranslation();
  const [done, setDone] = useState(false);
  useEffect(() => {
    if (!done) return;
    const timer = window.setTimeout(() => setDone(false), 1_500);
    return () => window.clearTimeout(timer);
  }, [done]);
  return (
    <Button
      kind="ghost"
      icon="copy"
      aria-label={done ? t("action.copied") : t("action.copy")}
      title={done ? t("action.copied") : t("action.copy")}
      onClick={() => void copyText(text).then(setDone)}
    />
  );
}

/** The clipboard needs a secure context; over plain HTTP a selection does it. */
async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = document.createElement("textarea");
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}
