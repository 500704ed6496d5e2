/** Where the operators of a job lie: left to right by distance from the sources. Pure. */
import type { Operator } from "../../api/types";

export const BOX_WIDTH_MAX = 188;
const BOX_WIDTH_MIN = 152;
export const BOX_HEIGHT = 98;
const GAP_Y = 26;
const GAP_X_MIN = 40;

export interface Box extends Operator {
  x: number;
  y: number;
}

export interface Edge {
  id: string;
  path: string;
  labelX: number;
  labelY: number;
  records_per_s: number;
}

export interface Graph {
  boxWidth: number;
  boxes: Box[];
  edges: Edge[];
  width: number;
  height: number;
}

/** Breaks a detail into at most two lines; the second is cut in its middle when it is still too long. */
export function twoLines(text: string, max: number): [string, string] {
  if (text.length <= max) return [text, ""];
  const cut = text.lastIndexOf(" ", max);
  const at = cut > max / 3 ? cut : max;
  return [text.slice(0, at), text.slice(at).trimStart()];
}

/** The longest way from a source; an input that does not exist or a cycle counts as a source. */
export function depths(operators: Operator[]): Map<number, number> {
  const byId = new Map(operators.map((o) => [o.id, o]));
  const known = new Map<number, number>();
  const visit = (id: number, path: Set<number>): number => {
    const seen = known.get(id);
    if (seen !== undefined) return seen;
    const operator = byId.get(id);
    if (!operator || path.has(id)) return -1;
    const depth = 1 + Math.max(-1, ...operator.inputs.map((input) => visit(input, new Set([...path, id]))));
    known.set(id, depth);
    return depth;
  };
  for (const operator of operators) visit(operator.id, new Set());
  return known;
}

export function layoutGraph(operators: Operator[], room: number): Graph {
  const depth = depths(operators);
  const columns: Operator[][] = [];
  for (const operator of operators) {
    const d = Math.max(0, depth.get(operator.id) ?? 0);
    (columns[d] ??= []).push(operator);
  }
  const used = columns.filter((c) => c !== undefined);
  const gaps = Math.max(1, used.length - 1);
  const even = (room - gaps * GAP_X_MIN) / Math.max(1, used.length);
  const boxWidth = Math.round(Math.max(BOX_WIDTH_MIN, Math.min(BOX_WIDTH_MAX, even)));
  const gapX = Math.max(GAP_X_MIN, Math.min(150, (room - used.length * boxWidth) / gaps));
  const rows = Math.max(1, ...used.map((c) => c.length));
  const height = rows * BOX_HEIGHT + (rows - 1) * GAP_Y;
  const at = new Map<number, Box>();
  used.forEach((column, i) => {
    const columnHeight = column.length * BOX_HEIGHT + (column.length - 1) * GAP_Y;
    column.forEach((operator, j) => {
      at.set(operator.id, { ...operator, x: i * (boxWidth + gapX), y: (height - columnHeight) / 2 + j * (BOX_HEIGHT + GAP_Y) });
    });
  });
  const edges: Edge[] = [];
  for (const box of at.values()) {
    for (const input of box.inputs) {
      const from = at.get(input);
      if (!from) continue;
      const x0 = from.x + boxWidth;
      const y0 = from.y + BOX_HEIGHT / 2;
      const y1 = box.y + BOX_HEIGHT / 2;
      const mid = (x0 + box.x) / 2;
      edges.push({ id: `${input}-${box.id}`, path: `M${x0} ${y0}C${mid} ${y0} ${mid} ${y1} ${box.x} ${y1}`, labelX: mid, labelY: (y0 + y1) / 2 - 12, records_per_s: from.records_per_s });
    }
  }
  return { boxWidth, boxes: [...at.values()], edges, width: used.length * boxWidth + (used.length - 1) * gapX, height };
}
