// The answer of a network is calculated from its logits as the exported file does.

import { expect, test } from "vitest";
import { answerLayer, calculateAnswer, isOfClasses, sharesOf } from "../src/answer";
import type { Layer, LayerType, NetworkFacts } from "../src/site";

const softmax = (values: number[]) => {
  const exponentials = values.map(Math.exp);
  return exponentials.map((value) => value / exponentials.reduce((a, b) => a + b, 0));
};

test("one view: a softmax of the logits, divided by the temperature", () => {
  const logits = [2, -1, 0.5];
  for (const temperature of [1, 1.7, 0.4]) {
    const expected = softmax(logits.map((logit) => logit / temperature));
    for (const [i, value] of expected.entries()) {
      const { result, shares } = calculateAnswer(logits, 3, temperature, i);
      expect(result).toBeCloseTo(value, 12);
      expect(shares[0]!.exponential / shares[0]!.sum).toBeCloseTo(value, 12);
    }
  }
});

test("several views: the mean of their softmax, and its powers with a temperature", () => {
  const [first, second] = [
    [2, -1, 0.5],
    [0, 3, 1],
  ] as const;
  const [a, b] = [softmax([...first]), softmax([...second])];
  const means = a.map((value, i) => (value + b[i]!) / 2);
  const sharpened = softmax(means.map((value) => Math.log(value) / 0.5));
  for (let i = 0; i < 3; i++) {
    const plain = calculateAnswer([...first, ...second], 3, 1, i);
    expect(plain.shares.map((share) => share.result)).toEqual([expect.closeTo(a[i]!, 12), expect.closeTo(b[i]!, 12)]);
    expect(plain.result).toBeCloseTo(means[i]!, 12);
    const scaled = calculateAnswer([...first, ...second], 3, 0.5, i);
    expect(scaled.mean).toBeCloseTo(means[i]!, 12);
    expect(scaled.result).toBeCloseTo(sharpened[i]!, 12);
  }
});

test("large logits give no overflow", () => {
  expect(sharesOf([5000, 4999], 1).map((share) => share.result)).toEqual([
    expect.closeTo(1 / (1 + Math.exp(-1)), 12),
    expect.closeTo(1 / (1 + Math.E), 12),
  ]);
});

function network(...layers: [LayerType, number[]][]): NetworkFacts {
  const facts = {
    classes: ["a", "b", "c"],
    logits: "logits",
    probabilities: "probabilities",
    layers: [] as Layer[],
  } as NetworkFacts;
  facts.layers = layers.map(([type, shape], i) => ({
    ...answerLayer(facts),
    type,
    shape,
    input: `${i - 1}`,
    output: `${i}`,
  }));
  return facts;
}

const named = (facts: NetworkFacts) =>
  facts.layers.filter((layer: Layer) => isOfClasses(facts, layer)).map((l) => l.output);

test("the last layer has the names of the classes, and so has what a last function is applied to", () => {
  expect(named(network(["dense", [3]], ["activation", [3]], ["dense", [3]]))).toEqual(["2"]);
  expect(named(network(["dense", [5]], ["dense", [3]], ["softmax", [3]]))).toEqual(["1", "2"]);
  expect(named(network(["dense", [3]], ["conv", [3, 1, 1]]))).toEqual([]);
  const facts = network(["dense", [3]]);
  expect(isOfClasses(facts, answerLayer(facts))).toBe(true);
});
