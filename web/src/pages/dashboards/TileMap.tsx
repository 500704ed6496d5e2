import { useTranslation } from "react-i18next";
import { useLanguage } from "../../i18n/language";
import { cx } from "../../ui/parts";
import { STEPS, stepsByRank, TILE_COLUMNS, TILE_ROWS, tileOf, TILES } from "./tiles";

export interface Place {
  label: string;
  value: number;
}

const LEADERS = 3;

/** Provinces as tiles, deeper is more; the three leaders are ringed. */
export function TileMap({ places, format, screen }: { places: Place[]; format: (value: number) => string; screen?: boolean }) {
  const { t } = useTranslation();
  const language = useLanguage();
  const known = new Map<string, number>();
  for (const place of places) {
    const tile = tileOf(place.label);
    if (tile) known.set(tile.zh, (known.get(tile.zh) ?? 0) + place.value);
  }
  const step = stepsByRank([...known.values()]);
  const leaders = [...known.entries()].sort((a, b) => b[1] - a[1]).slice(0, LEADERS).map(([name]) => name);
  const [w, h] = screen ? [112, 62] : [100, 56];
  const [tw, th] = [w - 6, h - 6];
  const unknown = places.filter((place) => !tileOf(place.label)).length;
  return (
    <>
      <svg className={cx("tilemap", screen && "on-screen")} viewBox={`-4 -4 ${TILE_COLUMNS * w + 2} ${TILE_ROWS * h + 2}`} role="img" aria-label={t("dashboard.tilemapLabel", { count: known.size })}>
        {TILES.map((tile) => {
          const value = known.get(tile.zh);
          const at = value === undefined ? -1 : step(value);
          const lead = leaders.indexOf(tile.zh);
          return (
            <g key={tile.zh} transform={`translate(${tile.column * w} ${tile.row * h})`} className={at < 0 ? "tile none" : `tile step-${at}`}>
              <title>{`${language === "zh" ? tile.zh : `${tile.en} ${tile.zh}`}  ${value === undefined ? "—" : format(value)}`}</title>
              <rect width={tw} height={th} rx="6" />
              <text x="10" y={th * 0.42} className={language === "en" && tile.en.length > 11 ? "long" : undefined}>{language === "zh" ? tile.zh : tile.en}</text>
              <text x={tw - 9} y={th * 0.82} textAnchor="end" className="v">{value === undefined ? "—" : format(value)}</text>
              {lead >= 0 && <rect className="lead" x="-3" y="-3" width={tw + 6} height={th + 6} rx="8" strokeOpacity={[1, 0.6, 0.35][lead]} />}
            </g>
          );
        })}
      </svg>
      {unknown > 0 && <p className="faint small">{t("dashboard.tilemapUnknown", { count: unknown })}</p>}
    </>
  );
}

export function TileScale() {
  return (
    <span className="tile-scale" aria-hidden="true">
      {Array.from({ length: STEPS }, (_, i) => <i key={i} className={`step-${i}`} />)}
    </span>
  );
}
