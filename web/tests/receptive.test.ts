// Receptive fields on small chains of layers whose fields are known.

import { expect, test } from "vitest";
import { receptiveFields } from "../src/receptive";
import type { Layer, LayerFacts, LayerType } from "../src/site";

function chain(...layers: [LayerType, number[], LayerFacts][]): Layer[] {
  let shape = [1, 8, 8];
  return layers.map(([type, next, facts], i) => {
    const layer: Layer = {
      name: String(i),
      kind: type,
      type,
      input: i === 0 ? "prepared" : `layers/${i - 1}`,
      output: `layers/${i}`,
      input_shape: shape,
      shape: next,
      weight: null,
      bias: null,
      parameters: 0,
      macs: 0,
      size: "",
      facts,
    };
    shape = next;
    return layer;
  });
}

const conv: LayerFacts = { kernel: [3, 3], stride: [1, 1], padding: [1, 1, 1, 1], dilation: [1, 1] };
const pool: LayerFacts = { kernel: [2, 2], stride: [2, 2], padding: [0, 0, 0, 0] };

test("a window grows from layer to layer and ends at the border", () => {
  const layers = chain(
    ["conv", [2, 8, 8], conv],
    ["activation", [2, 8, 8], { function: "relu" }],
    ["max_pool", [2, 4, 4], pool],
    ["conv", [3, 4, 4], conv],
  );
  const fields = receptiveFields(layers, layers[3]!, [0, 1, 2]);
  expect(fields.get("layers/2")).toEqual({ top: 0, bottom: 3, left: 1, right: 4 });
  expect(fields.get("layers/1")).toEqual({ top: 0, bottom: 6, left: 2, right: 8 });
  expect(fields.get("prepared")).toEqual({ top: 0, bottom: 7, left: 1, right: 8 });
});

test("a flattened value comes from one place, a dense one from everywhere", () => {
  const layers = chain(["max_pool", [1, 4, 4], pool], ["flatten", [16], {}], ["dense", [3], {}]);
  expect(receptiveFields(layers, layers[1]!, [6]).get("prepared")).toEqual({ top: 2, bottom: 4, left: 4, right: 6 });
  expect(receptiveFields(layers, layers[2]!, [1]).get("prepared")).toEqual({ top: 0, bottom: 8, left: 0, right: 8 });
});

test("adaptive windows have their own places", () => {
  const windows: [[number, number][], [number, number][]] = [
    [
      [0, 3],
      [2, 5],
      [5, 8],
    ],
    [
      [0, 3],
      [2, 5],
      [5, 8],
    ],
  ];
  const layers = chain(["average_pool", [1, 3, 3], { windows }]);
  expect(receptiveFields(layers, layers[0]!, [0, 1, 2]).get("prepared")).toEqual({
    top: 2,
    bottom: 5,
    left: 5,
    right: 8,
  });
});

test("it ends at a tensor whose origin is unknown", () => {
  const layers = chain(["conv", [2, 8, 8], conv], ["dense", [3], {}]);
  layers[1]!.input = "layers/1/input";
  layers[1]!.input_shape = [128];
  expect([...receptiveFields(layers, layers[1]!, [0]).keys()]).toEqual(["layers/1/input"]);
});
