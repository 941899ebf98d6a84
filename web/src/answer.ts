// The answer as the last layer of a network: what the exported file computes from the logits. Pure.

import type { Layer, NetworkFacts } from "./site";

const MIN_PROBABILITY = 1e-30; // of a class, before its logarithm, as in the exported file

/** The softmax of one view of the image. */
export interface Share {
  logit: number;
  exponential: number; // of the logit, divided by the temperature if there is one view
  sum: number; // of the exponentials of all classes
  result: number;
}

/** The probability of a class: of one view its softmax; of several their mean, which a temperature then changes. */
export interface AnswerCalculation {
  shares: Share[];
  mean: number;
  temperature: number;
  result: number;
}

/** The answer in the form of a layer, so that it is shown like one. */
export function answerLayer(facts: NetworkFacts): Layer {
  const shape = [facts.classes.length];
  return {
    name: "",
    kind: "Softmax",
    type: "softmax",
    input: facts.logits,
    sources: facts.logits_sources ?? [],
    output: facts.probabilities,
    input_shape: shape,
    shape,
    weight: null,
    bias: null,
    parameters: 0,
    macs: 0,
    size: "",
    facts: {},
  };
}

/** Whether the values of a layer stand for the classes: of the last layer, and of what a last function is applied to. */
export function isOfClasses(facts: NetworkFacts, layer: Layer): boolean {
  const fits = ({ shape }: Layer) => shape.length === 1 && shape[0] === facts.classes.length;
  if (layer.output === facts.probabilities) return true;
  let last = facts.layers.at(-1);
  while (last && fits(last)) {
    if (last === layer) return true;
    if (!["activation", "softmax", "dropout", "flatten", "other"].includes(last.type)) return false;
    const { input } = last;
    last = facts.layers.find((entry) => entry.output === input);
  }
  return false;
}

/**
 * Calculates the probability of a class as the exported file does.
 *
 * @param logits of all views, [views, classes]
 */
export function calculateAnswer(
  logits: ArrayLike<number>,
  classes: number,
  temperature: number,
  index: number,
): AnswerCalculation {
  const all = sharesOfViews(logits, classes, temperature);
  const shares = all.map((view) => view[index]!);
  const means = meansOf(all);
  const mean = means[index]!;
  if (all.length === 1 || temperature === 1) return { shares, mean, temperature, result: mean };
  const powers = means.map((value) => Math.max(value, MIN_PROBABILITY) ** (1 / temperature));
  return { shares, mean, temperature, result: powers[index]! / powers.reduce((sum, value) => sum + value, 0) };
}

/** The softmax of all classes in each view; a temperature divides the logits if there is one view. */
export function sharesOfViews(logits: ArrayLike<number>, classes: number, temperature: number): Share[][] {
  const views = Math.floor(logits.length / classes);
  return Array.from({ length: views }, (_, view) => {
    const own = Array.from({ length: classes }, (_, i) => logits[view * classes + i]!);
    return sharesOf(own, views === 1 ? temperature : 1);
  });
}

/** The mean over the views for each class. */
export function meansOf(views: readonly Share[][]): number[] {
  return views[0]!.map((_, i) => views.reduce((sum, view) => sum + view[i]!.result, 0) / views.length);
}

/** The softmax of logits, which are divided by a temperature first. */
export function sharesOf(logits: readonly number[], temperature: number): Share[] {
  const scaled = logits.map((logit) => logit / temperature);
  const largest = Math.max(...scaled); // divides numerator and denominator, so that no exponential overflows
  const shifted = scaled.map((value) => Math.exp(value - largest));
  const sum = shifted.reduce((total, value) => total + value, 0);
  return logits.map((logit, i) => ({
    logit,
    exponential: Math.exp(scaled[i]!),
    sum: sum * Math.exp(largest),
    result: shifted[i]! / sum,
  }));
}
