// What the page says of a network, a layer and the place of a value.

import { activationOf, unravel } from "./calculation";
import { words } from "./language";
import { count, percent, shapeText } from "./numbers";
import type { Layer, NetworkFacts } from "./site";

/** Data, accuracy and size of a network in one line. */
export function describe(facts: NetworkFacts): string {
  const details = [words.trainedOn(facts.data_title ?? facts.data_name)];
  if (facts.test_accuracy !== null && facts.test_images !== null) {
    const [accuracy, chance] = [facts.test_accuracy, 1 / facts.classes.length];
    const parts = [accuracy, chance].map((part) => percent(part, words.code)) as [string, string];
    const sentence = words.testAccuracy(...parts, count(facts.test_images, words.code));
    details.push(facts.epochs.length > 0 ? words.ofFinalWeights(sentence) : sentence);
  }
  details.push(words.parameters(facts.parameters), words.macs(facts.macs));
  if (facts.int8) details.push(words.int8);
  return details.join(" · ");
}

/** Name of a layer's kind with its window: "Convolution 5 × 5". */
export function kindOf(layer: Layer): string {
  const known = activationOf(layer);
  if (known) return words.functions[known.name] ?? layer.kind;
  if (layer.output === layer.input) return words.inputKind;
  if (layer.type === "other" || layer.type === "activation") return layer.kind;
  const { kernel } = layer.facts;
  return kernel ? `${words.types[layer.type]} ${shapeText(kernel)}` : words.types[layer.type];
}

/** The place of a value: channel, row and column from 0, or the unit. */
export function placeOf(layer: Layer, index: number): string {
  const at = unravel(index, layer.shape);
  if (at.length !== 3) return words.unit(index);
  return words.place(at[0]!, at[1]!, at[2]!);
}
