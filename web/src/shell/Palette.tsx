/** ⌘K: finds every page, topic, group, job and dashboard, and goes there. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useMemo, useRef, useState } from "react";
import { useTranslation } from "react-i18next";
import { useNavigate } from "react-router";
import { api } from "../api/client";
import type { Group, Job } from "../api/types";
import { setLanguage } from "../i18n";
import { useLanguage, words } from "../i18n/language";
import { path } from "../links";
import { useLive } from "../live/hooks";
import { Icon, type IconName } from "../ui/icons";
import { useKeys } from "../ui/keys";
import { PAGES } from "./pages";
import { setThemeChoice } from "./theme";

const OPEN = "millstream:palette";
const RESULTS_MAX = 12;

export function openPalette(): void {
  window.dispatchEvent(new Event(OPEN));
}

interface Command {
  id: string;
  icon: IconName;
  text: string;
  note: string;
  mono?: boolean;
  run: () => void;
}

export function Palette() {
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const show = () => setOpen(true);
    window.addEventListener(OPEN, show);
    return () => window.removeEventListener(OPEN, show);
  }, []);
  useKeys((event) => {
    if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
      event.preventDefault();
      setOpen((was) => !was);
    }
  });
  return open ? <PaletteDialog close={() => setOpen(false)} /> : null;
}

function useCommands(): Command[] {
  const { t } = useTranslation();
  const language = useLanguage();
  const navigate = useNavigate();
  const topics = useQuery({ queryKey: ["topics", true], queryFn: () => api.topics(true) }).data?.topics;
  const dashboards = useQuery({ queryKey: ["dashboards"], queryFn: api.dashboards }).data?.dashboards;
  const groups = useLive<{ groups: Group[] }>({ kind: "groups" }).push?.data.groups;
  const jobs = useLive<{ jobs: Job[] }>({ kind: "jobs" }).push?.data.jobs;
  return useMemo(() => {
    const go = (to: string) => () => void navigate(to);
    return [
      ...PAGES.map((page): Command => ({ id: page.to, icon: page.icon, text: t(`nav.${page.key}`), note: t("palette.page"), run: go(page.to) })),
      ...(dashboards ?? []).flatMap((d): Command[] => [
        { id: `d${d.id}`, icon: "dashboards", text: words(d.title, language), note: t("palette.dashboard"), run: go(path`/dashboards/${d.id}`) },
        ...(d.screen ? [{ id: `s${d.id}`, icon: "screen" as const, text: words(d.title, language), note: t("dashboard.screen"), run: go(path`/screen/${d.id}`) }] : []),
      ]),
      ...(topics ?? []).map((topic): Command => ({ id: `t${topic.name}`, icon: "topics", text: topic.name, note: t("palette.topic"), mono: true, run: go(path`/topics/${topic.name}`) })),
      ...(groups ?? []).map((g): Command => ({ id: `g${g.group}`, icon: "groups", text: g.group, note: t("palette.group"), mono: true, run: go(path`/groups/${g.group}`) })),
      ...(jobs ?? []).map((job): Command => ({ id: `j${job.id}`, icon: "jobs", text: job.id, note: t("palette.job"), mono: true, run: go(path`/jobs/${job.id}`) })),
      { id: "light", icon: "sun", text: t("palette.light"), note: t("palette.action"), run: () => setThemeChoice("light") },
      { id: "dark", icon: "moon", text: t("palette.dark"), note: t("palette.action"), run: () => setThemeChoice("dark") },
      { id: "en", icon: "info", text: "English", note: t("palette.action"), run: () => setLanguage("en") },
      { id: "zh", icon: "info", text: "简体中文", note: t("palette.action"), run: () => setLanguage("zh") },
    ];
  }, [t, language, navigate, topics, dashboards, groups, jobs]);
}

function PaletteDialog({ close }: { close: () => void }) {
  const { t } = useTranslation();
  const ref = useRef<HTMLDialogElement>(null);
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const commands = useCommands();
  useEffect(() => {
    if (ref.current && !ref.current.open) ref.current.showModal();
  }, []);
  const parts = text.toLowerCase().split(/\s+/).filter(Boolean);
  const found = commands.filter((c) => parts.every((p) => `${c.text} ${c.note}`.toLowerCase().includes(p))).slice(0, RESULTS_MAX);
  const index = Math.min(at, Math.max(0, found.length - 1));
  const run = (command: Command | undefined) => {
    if (!command) return;
    close();
    command.run();
  };
  const onKey = (event: React.KeyboardEvent) => {
    if (event.nativeEvent.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      const step = event.key === "ArrowDown" ? 1 : -1;
      setAt((index + step + found.length) % Math.max(1, found.length));
    } else if (event.key === "Enter") {
      event.preventDefault();
      run(found[index]);
    }
  };
  return (
    <dialog ref={ref} className="palette" aria-label={t("palette.open")} onCancel={(e) => { e.preventDefault(); close(); }} onClick={(e) => { if (e.target === ref.current) close(); }}>
      <div className="palette-body">
        <label className="palette-field">
          <Icon name="search" />
          <input autoFocus value={text} placeholder={t("palette.placeholder")} onChange={(e) => { setText(e.target.value); setAt(0); }} onKeyDown={onKey} role="combobox" aria-expanded="true" aria-controls="palette-list" aria-activedescendant={`palette-${index}`} />
          <span className="kbd">Esc</span>
        </label>
        <ul id="palette-list" role="listbox">
          {found.map((command, i) => (
            <li key={command.id} id={`palette-${i}`} role="option" aria-selected={i === index} className={i === index ? "on" : undefined} onMouseMove={() => setAt(i)} onClick={() => run(command)}>
              <Icon name={command.icon} />
              <span className={command.mono ? "mono ell" : "ell"}>{command.text}</span>
              <small>{command.note}</small>
            </li>
          ))}
          {found.length === 0 && <li className="none">{t("palette.nothing", { text })}</li>}
        </ul>
      </div>
    </dialog>
  );
}
