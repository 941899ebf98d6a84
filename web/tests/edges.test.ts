// Lines between layers, also where one has several sources or an unknown one.

import { expect, test } from "vitest";
import { arcHeight, edgesOf } from "../src/edges";

const chain = (...names: string[]) => names.map((output, i) => ({ output, input: names[Math.max(0, i - 1)]! }));

test("a chain has straight lines", () => {
  const edges = edgesOf(chain("in", "a", "b"));
  expect(edges).toEqual([
    { from: 0, to: 1, known: true },
    { from: 1, to: 2, known: true },
  ]);
  expect(arcHeight(edges)).toBe(0);
});

test("a residual sum has a line over the layers that it skips", () => {
  const layers = [...chain("in", "a", "b", "c"), { output: "d", input: "d/input", sources: ["a", "c"] }];
  const edges = edgesOf(layers);
  expect(edges.filter(({ to }) => to === 4)).toEqual([
    { from: 1, to: 4, known: true },
    { from: 3, to: 4, known: true },
  ]);
  expect(arcHeight(edges)).toBeGreaterThan(0);
});

test("a branch starts where its input is", () => {
  const layers = [...chain("in", "a", "b"), { output: "c", input: "a" }];
  expect(edgesOf(layers).at(-1)).toEqual({ from: 1, to: 3, known: true });
});

test("an unknown source is the layer before", () => {
  const layers = [...chain("in", "a"), { output: "b", input: null, sources: [] }, { output: "c", input: "c/input" }];
  expect(edgesOf(layers).slice(1)).toEqual([
    { from: 1, to: 2, known: false },
    { from: 2, to: 3, known: false },
  ]);
});
