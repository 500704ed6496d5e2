/**
 * Where the stream's nodes and bands lie. Pure: documents in, numbers out.
 *
 * Four columns, width is rate. A topic that only jobs write (a materialized
 * table's) is folded into the band from its job to its readers, or every band
 * would run back to the left; it stays a node where another job reads it.
 */
import type { Health, StreamLink, StreamNode } from "../api/types";

export const LAYERS = ["collect", "log", "process", "serve"] as const;
export const NODE_WIDTH = 9;
const NODE_HEIGHT_MIN = 9;
const BAND_MIN = 1.5;
const GAP = 13;
/** A column shows this many nodes; the smallest of the rest are one "other". */
export const NODES_PER_LAYER_MAX = 7;

export interface PlacedNode extends StreamNode {
  x: number;
  y: number;
  height: number;
  /** How many nodes an "other" stands for; 1 for a node of its own. */
  stands_for: number;
}

export interface PlacedLink {
  id: string;
  band: string;
  middle: string;
  thickness: number;
  records_per_s: number;
  layer: number;
  state: Health;
}

export interface StreamLayout {
  nodes: PlacedNode[];
  links: PlacedLink[];
  columns: number[];
  height: number;
}

const layerOf = (node: StreamNode): number => LAYERS.indexOf(node.layer);

interface Graph {
  nodes: StreamNode[];
  links: StreamLink[];
}

/** Folds topics that only jobs write into job -> reader bands. */
export function foldSinkTopics({ nodes, links }: Graph): Graph {
  const byId = new Map(nodes.map((node) => [node.id, node]));
  const layer = (id: string): number => {
    const node = byId.get(id);
    return node ? layerOf(node) : -1;
  };
  const folded = new Set<string>();
  for (const node of nodes) {
    if (node.layer !== "log") continue;
    const into = links.filter((link) => link.to === node.id);
    const out = links.filter((link) => link.from === node.id);
    const onlyJobs = into.length > 0 && into.every((link) => layer(link.from) === 2);
    if (onlyJobs && out.every((link) => layer(link.to) === 3)) folded.add(node.id);
  }
  const kept: StreamLink[] = [];
  for (const link of links) {
    if (folded.has(link.from)) continue;
    if (!folded.has(link.to)) {
      if (layer(link.from) >= 0 && layer(link.from) < layer(link.to)) kept.push(link);
      continue;
    }
    for (const onward of links) if (onward.from === link.to) kept.push({ ...onward, from: link.from });
  }
  return { nodes: nodes.filter((node) => !folded.has(node.id)), links: merge(kept) };
}

function merge(links: StreamLink[]): StreamLink[] {
  const sums = new Map<string, StreamLink>();
  for (const link of links) {
    const key = `${link.from}\u0000${link.to}`;
    const seen = sums.get(key);
    if (seen) seen.records_per_s += link.records_per_s;
    else sums.set(key, { ...link });
  }
  return [...sums.values()];
}

/** Keeps the largest nodes of each column and joins the rest into one. */
function bound({ nodes, links }: Graph): { graph: Graph; standsFor: Map<string, number> } {
  const standsFor = new Map<string, number>();
  const rename = new Map<string, string>();
  const kept: StreamNode[] = [];
  for (const layer of LAYERS) {
    const all = nodes.filter((node) => node.layer === layer);
    if (all.length <= NODES_PER_LAYER_MAX) {
      kept.push(...all);
      continue;
    }
    const rank = (node: StreamNode): number => node.records_per_s + (node.state === "ok" || node.state === "idle" ? 0 : 1e12);
    const sorted = [...all].sort((a, b) => rank(b) - rank(a));
    const rest = sorted.slice(NODES_PER_LAYER_MAX - 1);
    const id = `other:${layer}`;
    for (const node of rest) rename.set(node.id, id);
    standsFor.set(id, rest.length);
    kept.push(...all.filter((node) => !rename.has(node.id)));
    kept.push({ id, layer, label: "", records_per_s: rest.reduce((sum, node) => sum + node.records_per_s, 0), state: "ok", link: null, note: null });
  }
  const renamed = links.map((link) => ({ ...link, from: rename.get(link.from) ?? link.from, to: rename.get(link.to) ?? link.to }));
  return { graph: { nodes: kept, links: merge(renamed) }, standsFor };
}

export function layoutStream(input: Graph, width: number, columns: number[], room: number): StreamLayout {
  const { graph, standsFor } = bound(foldSinkTopics(input));
  const { nodes, links } = graph;
  const value = (node: StreamNode): number => {
    const into = sum(links.filter((link) => link.to === node.id));
    const out = sum(links.filter((link) => link.from === node.id));
    return Math.max(node.records_per_s, into, out);
  };
  const byLayer = LAYERS.map((layer) => nodes.filter((node) => node.layer === layer));
  const scale = Math.min(
    ...byLayer.filter((column) => column.length > 0).map((column) => {
      const free = room - GAP * (column.length - 1) - NODE_HEIGHT_MIN * column.length;
      const total = column.reduce((all, node) => all + value(node), 0);
      return total > 0 ? Math.max(0, free) / total : 0;
    }),
  );
  const safeScale = Number.isFinite(scale) ? scale : 0;
  const thickness = (link: StreamLink): number => Math.max(BAND_MIN, link.records_per_s * safeScale);
  const heightOf = (node: StreamNode): number =>
    Math.max(
      NODE_HEIGHT_MIN,
      value(node) * safeScale,
      total(links.filter((link) => link.from === node.id).map(thickness)),
      total(links.filter((link) => link.to === node.id).map(thickness)),
    );

  const placed = new Map<string, PlacedNode>();
  let height = 0;
  byLayer.forEach((column, layer) => {
    const ordered = layer === 0 ? [...column].sort((a, b) => step(value(b)) - step(value(a)) || byLabel(a, b)) : byNeighbours(column, links, placed);
    const used = total(ordered.map(heightOf)) + GAP * Math.max(0, ordered.length - 1);
    // A column with air spreads over the room, as the mock does; a full one starts at the top.
    const gap = ordered.length > 1 ? GAP + Math.min(28, Math.max(0, room - used) / (ordered.length - 1)) : 0;
    let y = ordered.length === 1 ? Math.max(0, (room - used) / 2) : 0;
    for (const node of ordered) {
      const h = heightOf(node);
      placed.set(node.id, { ...node, x: (columns[layer] ?? 0) * width, y, height: h, stands_for: standsFor.get(node.id) ?? 1 });
      y += h + gap;
    }
    height = Math.max(height, y - gap);
  });

  return { nodes: [...placed.values()], links: bands(links, placed, thickness), columns: columns.map((c) => c * width), height };
}

/** Rates that differ by noise rank alike: nodes must not change places every second. */
const step = (rate: number): number => Math.round(Math.log2(rate + 1));
const byLabel = (a: StreamNode, b: StreamNode): number => a.label.localeCompare(b.label);
/** Neighbours closer than this count as level. */
const LEVEL = 24;

const sum = (links: StreamLink[]): number => links.reduce((all, link) => all + link.records_per_s, 0);
const total = (values: number[]): number => values.reduce((all, v) => all + v, 0);

/** Orders a column by where its inputs lie, which keeps bands from crossing. */
function byNeighbours(column: StreamNode[], links: StreamLink[], placed: Map<string, PlacedNode>): StreamNode[] {
  const weight = (node: StreamNode): number => {
    const into = links.filter((link) => link.to === node.id && placed.has(link.from));
    const rates = sum(into);
    if (into.length === 0) return Number.MAX_SAFE_INTEGER;
    const y = (link: StreamLink): number => (placed.get(link.from)?.y ?? 0) + (placed.get(link.from)?.height ?? 0) / 2;
    if (rates === 0) return total(into.map(y)) / into.length;
    return into.reduce((all, link) => all + y(link) * link.records_per_s, 0) / rates;
  };
  return [...column].sort((a, b) => Math.round((weight(a) - weight(b)) / LEVEL) || step(b.records_per_s) - step(a.records_per_s) || byLabel(a, b));
}

function bands(links: StreamLink[], placed: Map<string, PlacedNode>, thickness: (link: StreamLink) => number): PlacedLink[] {
  const outUsed = new Map<string, number>();
  const inUsed = new Map<string, number>();
  const take = (used: Map<string, number>, id: string, size: number): number => {
    const at = used.get(id) ?? 0;
    used.set(id, at + size);
    return at;
  };
  const y = (id: string): number => placed.get(id)?.y ?? 0;
  const ordered = links
    .filter((link) => placed.has(link.from) && placed.has(link.to))
    .sort((a, b) => y(a.from) - y(b.from) || y(a.to) - y(b.to));
  const inOffset = new Map<StreamLink, number>();
  for (const link of [...ordered].sort((a, b) => y(a.to) - y(b.to) || y(a.from) - y(b.from))) {
    inOffset.set(link, take(inUsed, link.to, thickness(link)));
  }
  return ordered.map((link) => {
    const from = placed.get(link.from) as PlacedNode;
    const to = placed.get(link.to) as PlacedNode;
    const t = thickness(link);
    const x0 = from.x + NODE_WIDTH;
    const x1 = to.x;
    const y0 = from.y + take(outUsed, link.from, t);
    const y1 = to.y + (inOffset.get(link) ?? 0);
    const mid = (x0 + x1) / 2;
    const n = (value: number): string => value.toFixed(1);
    return {
      id: `${link.from}>${link.to}`,
      band: `M${n(x0)} ${n(y0)}C${n(mid)} ${n(y0)} ${n(mid)} ${n(y1)} ${n(x1)} ${n(y1)}V${n(y1 + t)}C${n(mid)} ${n(y1 + t)} ${n(mid)} ${n(y0 + t)} ${n(x0)} ${n(y0 + t)}Z`,
      middle: `M${n(x0)} ${n(y0 + t / 2)}C${n(mid)} ${n(y0 + t / 2)} ${n(mid)} ${n(y1 + t / 2)} ${n(x1)} ${n(y1 + t / 2)}`,
      thickness: t,
      records_per_s: link.records_per_s,
      layer: layerOf(from),
      state: to.state === "warn" || to.state === "critical" ? "warn" : "ok",
    };
  });
}
