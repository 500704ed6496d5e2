import { describe, expect, test } from "vitest";
import { stepsByRank, TILE_COLUMNS, TILE_ROWS, tileOf, TILES } from "../src/pages/dashboards/tiles";

describe("the tile map", () => {
  test("has all 34 provinces, each once, each on a tile of its own", () => {
    expect(TILES).toHaveLength(34);
    expect(new Set(TILES.map((tile) => tile.zh)).size).toBe(34);
    expect(new Set(TILES.map((tile) => tile.en)).size).toBe(34);
    expect(new Set(TILES.map((tile) => `${tile.column},${tile.row}`)).size).toBe(34);
    for (const tile of TILES) {
      expect(tile.column).toBeGreaterThanOrEqual(0);
      expect(tile.column).toBeLessThan(TILE_COLUMNS);
      expect(tile.row).toBeGreaterThanOrEqual(0);
      expect(tile.row).toBeLessThan(TILE_ROWS);
    }
  });

  test("is complete: Taiwan, Hong Kong and Macao are on it", () => {
    for (const name of ["台湾", "香港", "澳门"]) expect(tileOf(name)).not.toBeNull();
  });

  test("keeps neighbours: north above south, west left of east", () => {
    const at = (name: string) => tileOf(name) ?? { column: -1, row: -1 };
    expect(at("黑龙江").row).toBeLessThan(at("北京").row);
    expect(at("北京").row).toBeLessThan(at("广东").row);
    expect(at("海南").row).toBeGreaterThan(at("广东").row);
    expect(at("新疆").column).toBeLessThan(at("四川").column);
    expect(at("西藏").column).toBeLessThan(at("上海").column);
  });

  test.each(["广东", "广东省", "Guangdong", "guangdong"])("%s names Guangdong", (name) => {
    expect(tileOf(name)?.zh).toBe("广东");
  });

  test("full names of regions and cities are understood, others are not", () => {
    expect(tileOf("新疆维吾尔自治区")?.zh).toBe("新疆");
    expect(tileOf("北京市")?.zh).toBe("北京");
    expect(tileOf("香港特别行政区")?.zh).toBe("香港");
    expect(tileOf("Atlantis")).toBeNull();
  });

  test("one large province does not leave all others in the lightest tone", () => {
    const step = stepsByRank([1, 2, 3, 4, 5, 6, 1_000_000]);
    expect([1, 2, 3, 4, 5, 6, 1_000_000].map(step)).toEqual([0, 1, 2, 3, 4, 5, 6]);
  });
});
