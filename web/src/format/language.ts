export type Language = "en" | "zh";

/** Figures keep their unit on the line. */
export const NBSP = "\u00a0";
/** Between a number and its percent sign. */
export const THIN = "\u202f";
/** Missing is not zero. */
export const MISSING = "—";
