/** Health as a shape, a colour and a word: never colour alone. */
import type { ReactNode } from "react";
import type { GroupState, Health, JobState } from "../api/types";

export function Mark({ state }: { state: Health }) {
  return (
    <svg viewBox="0 0 12 12" width="12" height="12" className={`mark mark-${state}`} aria-hidden="true">
      {state === "ok" && <circle cx="6" cy="6" r="3.5" />}
      {state === "warn" && <path d="M6 1.5 11 10.5H1z" />}
      {state === "critical" && <path d="M6 .8 11.2 6 6 11.2.8 6z" />}
      {state === "transition" && <path d="M2.500 2.500h7v7h-7z" />}
      {state === "idle" && <circle cx="6" cy="6" r="3" />}
    </svg>
  );
}

/** Healthy is quiet: only what is wrong colours its word. */
export function State({ state, children }: { state: Health; children: ReactNode }) {
  const loud = state === "warn" || state === "critical";
  return (
    <span className="st">
      <Mark state={state} />
      <span className={loud ? state : undefined}>{children}</span>
    </span>
  );
}

/** The server says it too, as `severity`: one state has one severity on every page. */
export function groupHealth(group: { state: GroupState }): Health {
  switch (group.state) {
    case "keeping_up":
      return "ok";
    case "behind":
    case "left":
      return "warn";
    case "stopped":
      return "critical";
    case "rebalancing":
      return "transition";
    case "idle":
      return "idle";
  }
}

export function jobHealth(state: JobState): Health {
  switch (state) {
    case "running":
      return "ok";
    case "starting":
      return "transition";
    case "restarting":
      return "warn";
    case "failed":
      return "critical";
    case "finished":
    case "stopped":
      return "idle";
  }
}
