/**
 * The tile map: one tile for each of China's 34 provinces, regions and cities.
 * A drawing of neighbourhoods, not of borders: there is nothing to license.
 */
export interface Tile {
  zh: string;
  en: string;
  column: number;
  row: number;
}

export const TILE_COLUMNS = 7;
export const TILE_ROWS = 8;

export const TILES: readonly Tile[] = [
  { zh: "黑龙江", en: "Heilongjiang", column: 6, row: 0 },
  { zh: "内蒙古", en: "Inner Mongolia", column: 3, row: 1 },
  { zh: "北京", en: "Beijing", column: 4, row: 1 },
  { zh: "辽宁", en: "Liaoning", column: 5, row: 1 },
  { zh: "吉林", en: "Jilin", column: 6, row: 1 },
  { zh: "新疆", en: "Xinjiang", column: 0, row: 2 },
  { zh: "甘肃", en: "Gansu", column: 1, row: 2 },
  { zh: "宁夏", en: "Ningxia", column: 2, row: 2 },
  { zh: "山西", en: "Shanxi", column: 3, row: 2 },
  { zh: "河北", en: "Hebei", column: 4, row: 2 },
  { zh: "天津", en: "Tianjin", column: 5, row: 2 },
  { zh: "青海", en: "Qinghai", column: 1, row: 3 },
  { zh: "陕西", en: "Shaanxi", column: 2, row: 3 },
  { zh: "河南", en: "Henan", column: 3, row: 3 },
  { zh: "山东", en: "Shandong", column: 4, row: 3 },
  { zh: "西藏", en: "Tibet", column: 0, row: 4 },
  { zh: "四川", en: "Sichuan", column: 1, row: 4 },
  { zh: "重庆", en: "Chongqing", column: 2, row: 4 },
  { zh: "湖北", en: "Hubei", column: 3, row: 4 },
  { zh: "安徽", en: "Anhui", column: 4, row: 4 },
  { zh: "江苏", en: "Jiangsu", column: 5, row: 4 },
  { zh: "上海", en: "Shanghai", column: 6, row: 4 },
  { zh: "云南", en: "Yunnan", column: 1, row: 5 },
  { zh: "贵州", en: "Guizhou", column: 2, row: 5 },
  { zh: "湖南", en: "Hunan", column: 3, row: 5 },
  { zh: "江西", en: "Jiangxi", column: 4, row: 5 },
  { zh: "浙江", en: "Zhejiang", column: 5, row: 5 },
  { zh: "广西", en: "Guangxi", column: 2, row: 6 },
  { zh: "广东", en: "Guangdong", column: 3, row: 6 },
  { zh: "福建", en: "Fujian", column: 4, row: 6 },
  { zh: "台湾", en: "Taiwan", column: 5, row: 6 },
  { zh: "海南", en: "Hainan", column: 2, row: 7 },
  { zh: "澳门", en: "Macao", column: 3, row: 7 },
  { zh: "香港", en: "Hong Kong", column: 4, row: 7 },
];

const SUFFIX = /(省|市|壮族自治区|回族自治区|维吾尔自治区|自治区|特别行政区)$/;

/** `广东省`, `广东` and `Guangdong` name the same tile; unknown names have none. */
export function tileOf(name: string): Tile | null {
  const short = name.trim().replace(SUFFIX, "");
  return TILES.find((tile) => tile.zh === short || tile.en.toLowerCase() === short.toLowerCase()) ?? null;
}

export const STEPS = 7;

/**
 * The step of the sequence for a value: by rank among the tiles, so that one
 * large province does not leave all others in the lightest tone.
 */
export function stepsByRank(values: readonly number[]): (value: number) => number {
  const sorted = [...values].sort((a, b) => a - b);
  return (value) => {
    if (sorted.length === 0) return 0;
    let below = 0;
    for (const other of sorted) if (other < value) below += 1;
    return Math.min(STEPS - 1, Math.floor((below / sorted.length) * STEPS));
  };
}
