import { useTranslation } from "react-i18next";
import type { Words } from "../api/types";
import type { Language } from "../format/language";

export function languageOf(tag: string | undefined): Language {
  return tag?.toLowerCase().startsWith("zh") ? "zh" : "en";
}

export function useLanguage(): Language {
  const { i18n } = useTranslation();
  return languageOf(i18n.resolvedLanguage ?? i18n.language);
}

/** Unit after unit: `M CNY`, `亿元`. */
export function joinUnits(units: string[], language: Language): string {
  return units.filter(Boolean).join(language === "zh" ? "" : "\u00a0");
}

/** A dashboard's string in the user's language. */
export function words(text: Words | undefined, language: Language): string {
  if (text === undefined) return "";
  return typeof text === "string" ? text : (text[language] ?? text.en);
}
