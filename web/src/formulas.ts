// Formulas with their numbers: sums, labeled numbers and activation functions, as MathML.

import { fraction, m, name, number, row, symbol } from "./dom";
import { words } from "./language";
import { operand, short } from "./numbers";

const MAX_TERMS = 6; // terms of a sum

/** Terms joined by plus signs; of many, the first ones, an ellipsis, and the last `end` terms. */
export function sumOf(terms: readonly MathMLElement[][], most: number, end = 0): MathMLElement[] {
  const hidden = terms.length > most + end;
  const shown = hidden ? [...terms.slice(0, most - end), [symbol("…")], ...terms.slice(terms.length - end)] : terms;
  return shown.flatMap((term, i) => (i === 0 ? term : [symbol("+"), ...term]));
}

export type Summand = [value: number, label?: string];

/** Numbers joined by plus and minus signs, with labels below; of many, the first ones, an ellipsis and the last one. */
export function signedSum(summands: readonly Summand[], isContinued = false): MathMLElement[] {
  const hidden = summands.length > MAX_TERMS + 1;
  const shown = hidden ? [...summands.slice(0, MAX_TERMS - 1), ...summands.slice(-1)] : summands;
  return shown.flatMap(([value, label], i) => {
    const sign = value < 0 ? "−" : "+";
    const isFirst = i === 0 && !isContinued;
    const amount = isFirst ? short(value) : short(Math.abs(value));
    const term = label === undefined ? number(amount) : labeled(amount, label);
    const gap = hidden && i === shown.length - 1 ? [symbol("+"), symbol("…")] : [];
    return isFirst ? [term] : [...gap, symbol(sign), term];
  });
}

/** A number with a word below it. */
export function labeled(value: string, label: string): MathMLElement {
  return m("munder", number(value), m("mtext", label));
}

export function result(text: string): MathMLElement {
  const node = number(text);
  node.setAttribute("class", "result");
  return node;
}

/** The formula of an activation with its number: max(0, x), 1 / (1 + e^-x) ... */
export function activationFormula(label: string, x: number, constants: Record<string, number>): MathMLElement[] {
  const value = () => number(operand(x));
  const e = (power: Node) => m("msup", name("e"), power);
  const minus = () => row(symbol("−"), value());
  const call = (of: string, ...inner: MathMLElement[]) => [name(of), symbol("("), ...inner, symbol(")")];
  switch (label) {
    case "relu":
      return call(words.max, number("0"), symbol(","), number(short(x)));
    case "relu6":
      return call("min", number("6"), symbol(","), ...call(words.max, number("0"), symbol(","), number(short(x))));
    case "sigmoid":
      return [fraction(number("1"), row(number("1"), symbol("+"), e(minus())))];
    case "silu":
      return [fraction(number(short(x)), row(number("1"), symbol("+"), e(minus())))];
    case "leaky_relu": {
      const { negative_slope: slope = 0.01 } = constants;
      if (x >= 0) return call(words.functions[label] ?? label, number(short(x)));
      return [number(short(slope)), symbol("×"), value()];
    }
    case "elu": {
      const { alpha = 1 } = constants;
      if (x > 0) return call(words.functions[label] ?? label, number(short(x)));
      return [
        number(short(alpha)),
        symbol("×"),
        symbol("("),
        e(number(short(x))),
        symbol("−"),
        number("1"),
        symbol(")"),
      ];
    }
    case "scaled_tanh": {
      const { amplitude = 1.7159, slope = 2 / 3 } = constants;
      return [number(short(amplitude)), symbol("×"), ...call("tanh", number(short(slope)), symbol("×"), value())];
    }
    case "gelu":
      return [number(short(x)), symbol("×"), ...call("Φ", number(short(x)))];
    default:
      return call(words.functions[label] ?? label, number(short(x)));
  }
}
