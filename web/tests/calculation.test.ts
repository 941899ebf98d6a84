// Every calculation equals torch's value, on the layers of calculations.json.

import { expect, test } from "vitest";
import { calculate, ravel, unravel, weightNames } from "../src/calculation";
import type { Layer, LayerFacts, LayerType } from "../src/site";
import cases from "./calculations.json";

interface Case {
  title: string;
  type: LayerType;
  facts: LayerFacts;
  input: number[];
  input_shape: number[];
  output: number[];
  shape: number[];
  weights: Record<string, number[]>;
}

function layerOf({ title, type, facts, input_shape, shape, weights }: Case): Layer {
  const named = (name: string) => (name in weights ? name : null);
  return {
    name: title,
    kind: title,
    type,
    input: "input",
    output: "output",
    input_shape,
    shape,
    weight: named("weight"),
    bias: named("bias"),
    parameters: 0,
    macs: 0,
    size: "",
    facts,
  };
}

test.each(cases as unknown as Case[])("$title", (entry) => {
  const layer = layerOf(entry);
  const input = { data: entry.input, shape: entry.input_shape };
  for (const [index, expected] of entry.output.entries()) {
    const calculation = calculate(layer, unravel(index, entry.shape), input, (name) => entry.weights[name]);
    expect(calculation, `value ${index}`).not.toBeNull();
    expect(calculation?.result).toBeCloseTo(expected, 5);
  }
});

test("every type with a formula is covered", () => {
  const covered = new Set((cases as unknown as Case[]).map((entry) => entry.type));
  for (const type of [
    "conv",
    "max_pool",
    "average_pool",
    "dense",
    "activation",
    "lrn",
    "batch_norm",
    "flatten",
    "dropout",
    "softmax",
  ] as const) {
    expect(covered).toContain(type);
  }
});

test("what is unknown, or lacks weights, has no calculation", () => {
  const conv = (cases as unknown as Case[]).find((entry) => entry.type === "conv")!;
  const input = { data: conv.input, shape: conv.input_shape };
  expect(calculate(layerOf({ ...conv, type: "other" }), [0, 0, 0], input, () => undefined)).toBeNull();
  expect(calculate(layerOf(conv), [0, 0, 0], input, () => undefined)).toBeNull();
  const activation = { ...conv, type: "activation" as const, facts: { function: "other" } };
  expect(calculate(layerOf(activation), [0, 0, 0], input, () => undefined)).toBeNull();
});

test("the terms of a calculation add up to its result", () => {
  const conv = (cases as unknown as Case[]).find((entry) => entry.type === "conv")!;
  const input = { data: conv.input, shape: conv.input_shape };
  const result = calculate(layerOf(conv), [1, 0, 0], input, (name) => conv.weights[name]);
  if (result?.type !== "conv") throw new Error("no convolution");
  const products = result.channels.flatMap((channel) => channel.cells.flat()).map((cell) => cell.value * cell.weight);
  expect(products.reduce((a, b) => a + b, result.bias ?? 0)).toBeCloseTo(result.result, 10);
});

test("batch normalization asks for its statistics, other layers for weight and bias", () => {
  const norm = (cases as unknown as Case[]).find((entry) => entry.type === "batch_norm")!;
  expect(weightNames(layerOf(norm))).toEqual(["mean", "variance", "weight", "bias"]);
  const dense = (cases as unknown as Case[]).find((entry) => entry.type === "dense")!;
  expect(weightNames(layerOf(dense))).toEqual(["weight", "bias"]);
});

test("positions and indices are inverse", () => {
  for (let index = 0; index < 24; index++) expect(ravel(unravel(index, [2, 3, 4]), [2, 3, 4])).toBe(index);
});
