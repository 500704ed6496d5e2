import i18next from "i18next";
import { initReactI18next } from "react-i18next";
import { languageOf } from "./language";
import { en } from "./en";
import { zh } from "./zh";

declare module "i18next" {
  interface CustomTypeOptions {
    defaultNS: "translation";
    resources: { translation: typeof en };
  }
}

const KEY = "millstream.language";

function stored(): string | null {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null;
  }
}

/** `lang` picks the Simplified Han glyphs; Chinese readers expect red for rise. */
function mark(tag: string): void {
  const root = document.documentElement;
  const language = languageOf(tag);
  root.lang = language === "zh" ? "zh-CN" : "en";
  if (language === "zh") root.dataset.delta = "cn";
  else delete root.dataset.delta;
}

const initial = languageOf(stored() ?? navigator.language);
mark(initial);

export const i18n = i18next.createInstance();
void i18n.use(initReactI18next).init({
  lng: initial,
  fallbackLng: "en",
  resources: { en: { translation: en }, zh: { translation: zh } },
  interpolation: { escapeValue: false },
});

export function setLanguage(language: "en" | "zh"): void {
  try {
    localStorage.setItem(KEY, language);
  } catch {
    // Private windows may refuse storage; the choice then lasts as long as the page.
  }
  mark(language);
  void i18n.changeLanguage(language);
}
