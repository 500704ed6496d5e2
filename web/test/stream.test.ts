import { describe, expect, test } from "vitest";
import type { Operator, StreamLink, StreamNode } from "../src/api/types";
import { depths, layoutGraph } from "../src/pages/jobs/graph";
import { foldSinkTopics, layoutStream, NODES_PER_LAYER_MAX } from "../src/stream/layout";

const node = (id: string, layer: StreamNode["layer"], rate: number): StreamNode => ({ id, layer, label: id, records_per_s: rate, state: "ok", link: null, note: null });
const link = (from: string, to: string, rate: number): StreamLink => ({ from, to, records_per_s: rate });
const COLUMNS = [0.13, 0.37, 0.6, 0.8];

describe("the stream", () => {
  test("a wider band is a higher rate", () => {
    const layout = layoutStream({ nodes: [node("a", "collect", 300), node("b", "collect", 100), node("t", "log", 400)], links: [link("a", "t", 300), link("b", "t", 100)] }, 1000, COLUMNS, 180);
    const [wide, thin] = [...layout.links].sort((x, y) => y.thickness - x.thickness);
    expect((wide?.thickness ?? 0) / (thin?.thickness ?? 1)).toBeCloseTo(3);
  });

  test("nodes of a column never overlap and hold their bands", () => {
    const nodes = [node("c", "collect", 220), node("orders", "log", 220), ...Array.from({ length: 6 }, (_, i) => node(`j${i}`, "process", 220))];
    const links = [link("c", "orders", 220), ...Array.from({ length: 6 }, (_, i) => link("orders", `j${i}`, 220))];
    const layout = layoutStream({ nodes, links }, 1000, COLUMNS, 180);
    const column = layout.nodes.filter((n) => n.layer === "process").sort((a, b) => a.y - b.y);
    column.slice(1).forEach((n, i) => expect(n.y).toBeGreaterThanOrEqual((column[i]?.y ?? 0) + (column[i]?.height ?? 0)));
    const orders = layout.nodes.find((n) => n.id === "orders");
    const out = layout.links.filter((l) => l.id.startsWith("orders>")).reduce((sum, l) => sum + l.thickness, 0);
    expect(orders?.height ?? 0).toBeGreaterThanOrEqual(out - 0.01);
  });

  test("a topic that only a job writes is part of the band to its readers", () => {
    const folded = foldSinkTopics({
      nodes: [node("t", "log", 1), node("j", "process", 1), node("out", "log", 1), node("d", "serve", 1)],
      links: [link("t", "j", 220), link("j", "out", 2), link("out", "d", 2)],
    });
    expect(folded.nodes.map((n) => n.id)).toEqual(["t", "j", "d"]);
    expect(folded.links).toContainEqual(link("j", "d", 2));
  });

  test("a crowded column keeps the largest and joins the rest", () => {
    const nodes = Array.from({ length: 30 }, (_, i) => node(`t${i}`, "log", i));
    const layout = layoutStream({ nodes, links: [] }, 1000, COLUMNS, 180);
    expect(layout.nodes).toHaveLength(NODES_PER_LAYER_MAX);
    expect(layout.nodes.find((n) => n.id === "other:log")?.stands_for).toBe(30 - NODES_PER_LAYER_MAX + 1);
  });

  test("an idle cluster is drawn without dividing by zero", () => {
    const layout = layoutStream({ nodes: [node("c", "collect", 0), node("t", "log", 0)], links: [link("c", "t", 0)] }, 1000, COLUMNS, 180);
    for (const n of layout.nodes) expect(Number.isFinite(n.y + n.height)).toBe(true);
    expect(layoutStream({ nodes: [], links: [] }, 1000, COLUMNS, 180).nodes).toEqual([]);
  });
});

describe("the operator graph", () => {
  const operator = (id: number, inputs: number[]): Operator => ({ id, kind: "filter", label: String(id), detail: null, records_per_s: 1, inputs });

  test("an operator stands right of all its inputs", () => {
    expect([...depths([operator(3, [1, 2]), operator(1, [0]), operator(0, []), operator(2, [])])].sort()).toEqual([[0, 0], [1, 1], [2, 0], [3, 2]]);
  });

  test("a broken graph is drawn and does not loop", () => {
    const graph = layoutGraph([operator(0, [1]), operator(1, [0]), operator(2, [9])], 800);
    expect(graph.boxes).toHaveLength(3);
  });
});
