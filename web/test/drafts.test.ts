import { describe, expect, test } from "vitest";
import { bringBack, change, discard, type Drafts, KEPT_MAX, NO_DRAFTS, open } from "../src/pages/sql/drafts";

const wrote = (text: string): Drafts => change(NO_DRAFTS, text);

describe("drafts", () => {
  test("one that somebody wrote is kept when a statement is put in its place, and comes back", () => {
    const opened = open(wrote("SELECT my work"), "SELECT 1");
    expect(opened).toEqual({ text: "SELECT 1", sent: "SELECT 1", kept: ["SELECT my work"] });
    expect(bringBack(opened)).toEqual({ text: "SELECT my work", sent: null, kept: [] });
  });

  test("a statement that was put there and not changed is no draft, one that was changed is", () => {
    const second = open(open(wrote("mine"), "SELECT 1"), "SELECT 2");
    expect(second.kept).toEqual(["mine"]);
    expect(open(change(second, "SELECT 2, 3"), "SELECT 4").kept).toEqual(["SELECT 2, 3", "mine"]);
  });

  test("bringing one back loses nothing either", () => {
    const changed = change(open(wrote("mine"), "SELECT 1"), "SELECT 1, 2");
    expect(bringBack(changed)).toEqual({ text: "mine", sent: null, kept: ["SELECT 1, 2"] });
  });

  test("nothing, or the same statement, is not kept", () => {
    expect(open(wrote("  \n"), "SELECT 1").kept).toEqual([]);
    expect(open(wrote("SELECT 1"), "SELECT 1").kept).toEqual([]);
  });

  test("so many are kept, each once", () => {
    let drafts = NO_DRAFTS;
    for (let i = 0; i < KEPT_MAX + 5; i += 1) drafts = open(change(drafts, `draft ${i}`), "SELECT 1");
    expect(drafts.kept).toHaveLength(KEPT_MAX);
    expect(drafts.kept[0]).toBe(`draft ${KEPT_MAX + 4}`);
    expect(open(change(drafts, `draft ${KEPT_MAX}`), "SELECT 1").kept.filter((text) => text === `draft ${KEPT_MAX}`)).toHaveLength(1);
    expect(discard(drafts).kept).toHaveLength(KEPT_MAX - 1);
  });
});
