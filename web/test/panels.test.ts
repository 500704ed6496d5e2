import { describe, expect, test } from "vitest";
import type { SqlResult } from "../src/api/types";
import { ColorBook, OTHER, plot, ranked, SERIES_MAX, single } from "../src/pages/dashboards/data";
import { flips } from "../src/pages/screen/flip";

const result = (columns: [string, string][], rows: SqlResult["rows"]): SqlResult => ({ columns: columns.map(([name, type]) => ({ name, type })), rows });
const time = (second: number): string => `2026-11-22 20:41:${String(second).padStart(2, "0")}.000`;

describe("plots", () => {
  test("are drawn in time order though the newest rows come first", () => {
    const drawn = plot(result([["window_start", "TIMESTAMP(3)"], ["orders", "BIGINT"]], [[time(3), 30], [time(2), 20], [time(1), 10]]), "window_start", "orders", undefined, false);
    expect(drawn.time).toBe(true);
    expect(drawn.series[0]?.values).toEqual([10, 20, 30]);
  });

  test("a region without a row in a window had none, and the oldest window cut by the LIMIT is left out", () => {
    const rows = [
      [time(4), "华东", 4], [time(4), "华南", 3],
      [time(3), "华东", 2],
      [time(2), "华南", 1], [time(2), "华东", 1],
      [time(1), "华东", 9],
    ];
    const drawn = plot(result([["w", "TIMESTAMP(3)"], ["region", "STRING"], ["n", "BIGINT"]], rows), "w", "n", "region", true);
    expect(drawn.x).toHaveLength(3);
    expect(drawn.series.find((s) => s.name === "华南")?.values).toEqual([1, 0, 3]);
  });

  test("DECIMAL strings are numbers", () => {
    expect(single(result([["revenue", "DECIMAL(12, 2)"]], [["335992.83"]]), "revenue")).toBe(335_992.83);
    expect(ranked(result([["p", "STRING"], ["r", "DECIMAL(12, 2)"]], [["广东", "2.50"], ["浙江", null]]), "p", "r")).toEqual([{ label: "广东", value: 2.5 }]);
  });

  test("over eight series the smallest become one", () => {
    const rows = Array.from({ length: 12 }, (_, i) => ["a", `s${i}`, 12 - i]);
    const drawn = plot(result([["x", "STRING"], ["s", "STRING"], ["y", "INT"]], rows), "x", "y", "s", true);
    expect(drawn.series).toHaveLength(SERIES_MAX);
    expect(drawn.series.at(-1)).toEqual({ name: OTHER, values: [5 + 4 + 3 + 2 + 1] });
  });

  test("a gap in time stays a gap", () => {
    const seconds = [1, 2, 3, 4, 5, 6, 20, 21, 22];
    const rows = seconds.map((s) => [time(s), s]).reverse();
    const drawn = plot(result([["w", "TIMESTAMP(3)"], ["n", "BIGINT"]], rows), "w", "n", undefined, false);
    expect(drawn.series[0]?.values).toEqual([1, 2, 3, 4, 5, 6, null, 20, 21, 22]);
    expect(drawn.x).toHaveLength(10);
  });

  test("a column that is not there draws nothing", () => {
    expect(plot(result([["x", "STRING"]], [["a"]]), "x", "gone", undefined, false).series).toEqual([]);
  });

  test("a name keeps its colour", () => {
    const book = new ColorBook();
    expect([book.index("region", "华东"), book.index("region", "华南"), book.index("region", "华东"), book.index("other", "华南")]).toEqual([0, 1, 0, 0]);
  });
});

describe("the flip figure", () => {
  test("flips only the digits that change", () => {
    expect(flips("7,326", "7,331").filter((f) => f.changed).map((f) => f.text)).toEqual(["3", "1"]);
  });

  test("a longer number keeps its units in place", () => {
    const digits = flips("999", "1,000");
    expect(digits.map((d) => d.kind)).toEqual(["digit", "separator", "digit", "digit", "digit"]);
    expect(digits.map((d) => d.place)).toEqual([4, 3, 2, 1, 0]);
  });

  test("nothing flips at first sight", () => {
    expect(flips("", "123").some((f) => f.changed)).toBe(false);
  });
});
