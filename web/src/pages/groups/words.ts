/** A group's state, time to clear and reason in the user's language, from its figures. */
import { useTranslation } from "react-i18next";
import type { Group } from "../../api/types";
import { short } from "../../format/number";
import { duration } from "../../format/time";
import { useLanguage } from "../../i18n/language";

export function useGroupWords() {
  const { t } = useTranslation();
  const language = useLanguage();
  const never = (group: Group): boolean => group.clears_in_ms === null && (group.state === "behind" || group.state === "stopped" || group.state === "left");
  return {
    never,
    state: (group: Group): string => t(`groups.states.${group.state}`),
    clears: (group: Group): string => {
      if (never(group)) return t("groups.never");
      if (group.clears_in_ms === null) return "—";
      return group.clears_in_ms < 1_000 ? t("groups.underSecond") : duration(group.clears_in_ms, language);
    },
    reason: (group: Group): string => {
      const rates = { consumes: short(group.consumes_per_s), arrives: short(group.arrives_per_s) };
      switch (group.state) {
        case "behind":
          return group.clears_in_ms === null ? t("groups.why.behindForGood", rates) : t("groups.why.catchingUp", { ...rates, time: duration(group.clears_in_ms, language) });
        case "stopped":
          return group.members_count === 0 ? t("groups.why.noMembers", rates) : t("groups.why.stopped", rates);
        case "left":
          return t("groups.why.left");
        case "rebalancing":
          return t("groups.why.rebalancing");
        case "idle":
          return t("groups.why.idle");
        case "keeping_up":
          return t("groups.why.keepingUp", rates);
      }
    },
  };
}
