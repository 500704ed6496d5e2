/** The sheet of a page: a bar with name, live mark and actions, and the body. */
import { type ReactNode, useEffect } from "react";
import { useTranslation } from "react-i18next";
import { Link } from "react-router";
import { setLanguage } from "../i18n";
import { useLanguage } from "../i18n/language";
import { Icon } from "../ui/icons";
import { Button } from "../ui/parts";
import { Banner } from "./Banner";
import { openPalette } from "./Palette";
import { setThemeChoice, type ThemeChoice, useThemeChoice } from "./theme";

export function Page({ title, mono, parent, note, actions, children, className }: { title: string; mono?: boolean; parent?: { to: string; title: string }; note?: ReactNode; actions?: ReactNode; children: ReactNode; className?: string }) {
  useEffect(() => {
    document.title = title ? `${title} · Millstream` : "Millstream";
  }, [title]);
  return (
    <>
      <header className="bar">
        <div className="crumb">
          {parent && (
            <>
              <Link to={parent.to} className="parent">
                <Icon name="back" />
                <span>{parent.title}</span>
              </Link>
              <span className="slash">/</span>
            </>
          )}
          <b className={mono ? "mono ell" : "ell"}>{title}</b>
          {note && <span className="note">{note}</span>}
        </div>
        <div className="grow" />
        {actions}
        <PageTools />
      </header>
      <Banner />
      <main className={className ? `body ${className}` : "body"}>{children}</main>
    </>
  );
}

const NEXT_THEME: Record<ThemeChoice, ThemeChoice> = { system: "light", light: "dark", dark: "system" };
const THEME_ICON = { system: "system", light: "sun", dark: "moon" } as const;

export function LanguageButton() {
  const { t } = useTranslation();
  const language = useLanguage();
  const next = language === "zh" ? "en" : "zh";
  return (
    <Button kind="ghost" className="language" aria-label={t("shell.language")} title={t("shell.language")} onClick={() => setLanguage(next)} data-testid="language">
      {language === "zh" ? "中文" : "EN"}
    </Button>
  );
}

export function ThemeButton() {
  const { t } = useTranslation();
  const choice = useThemeChoice();
  const text = t("shell.theme", { theme: t(`theme.${choice}`) });
  return <Button kind="ghost" icon={THEME_ICON[choice]} aria-label={text} title={text} onClick={() => setThemeChoice(NEXT_THEME[choice])} data-testid="theme" />;
}

function PageTools() {
  const { t } = useTranslation();
  return (
    <div className="tools">
      <Button kind="ghost" icon="search" aria-label={t("palette.open")} title={`${t("palette.open")}  ⌘K`} onClick={openPalette} />
      <LanguageButton />
      <ThemeButton />
    </div>
  );
}
