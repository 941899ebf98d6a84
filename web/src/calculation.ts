// How one value of a layer follows from its input and weights. Pure: no page, no network.

import type { Layer } from "./site";

/** Index of a value in the output of a layer: [channel, row, column], or [unit]. */
export type Position = readonly number[];

/** The values of a tensor without its batch axis. */
export interface Values {
  data: ArrayLike<number>;
  shape: readonly number[];
}

/** A rectangle of rows and columns; the ends are exclusive. */
export interface Rect {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** One number of a window. */
export interface Cell {
  value: number;
  weight: number; // 1 in pools
  inside: boolean; // false in the padding
}

export interface ConvChannel {
  channel: number;
  cells: Cell[][];
  sum: number;
}

export interface Term {
  index: number;
  value: number;
  weight: number;
}

export type Calculation =
  | { type: "conv"; channels: ConvChannel[]; bias: number | null; result: number }
  | { type: "max_pool"; cells: Cell[][]; row: number; column: number; result: number }
  | { type: "average_pool"; cells: Cell[][]; sum: number; divisor: number; result: number }
  | { type: "dense"; terms: Term[]; bias: number | null; result: number }
  | { type: "activation"; name: string; x: number; constants: Record<string, number>; result: number }
  | { type: "lrn"; x: number; window: Term[]; squares: number; k: number; alpha: number; beta: number; result: number }
  | {
      type: "batch_norm";
      x: number;
      mean: number;
      variance: number;
      eps: number;
      weight: number;
      bias: number;
      result: number;
    }
  | { type: "flatten"; from: number[]; result: number }
  | { type: "dropout"; result: number }
  | { type: "softmax"; x: number; exponential: number; sum: number; result: number };

/** Values of weights by the name of their output; undefined for an unknown one. */
export type WeightsByName = (name: string) => ArrayLike<number> | undefined;

/** Names of the weights that the calculation of a layer needs. */
export function weightNames(layer: Layer): string[] {
  const { mean, variance, weight, bias } = layer.facts;
  const names = layer.type === "batch_norm" ? [mean, variance, weight, bias] : [layer.weight, layer.bias];
  return names.filter((name): name is string => typeof name === "string");
}

/** Calculates the value at a position; null where this page has no formula, or lacks a value for it. */
export function calculate(layer: Layer, at: Position, input: Values, weights: WeightsByName): Calculation | null {
  switch (layer.type) {
    case "conv":
      return convolution(layer, at, input, weights);
    case "max_pool":
      return maxPool(layer, at, input);
    case "average_pool":
      return averagePool(layer, at, input);
    case "dense":
      return dense(layer, at, input, weights);
    case "activation":
      return activation(layer, at, input);
    case "lrn":
      return responseNorm(layer, at, input);
    case "batch_norm":
      return batchNorm(layer, at, input, weights);
    case "flatten":
      return {
        type: "flatten",
        from: unravel(ravel(at, layer.shape), input.shape),
        result: sameValue(layer, at, input),
      };
    case "dropout":
      return { type: "dropout", result: sameValue(layer, at, input) };
    case "softmax":
      return softmax(at, input);
    default:
      return null;
  }
}

/** Position of an index in the data of a tensor. */
export function unravel(index: number, shape: readonly number[]): number[] {
  const position: number[] = [];
  let rest = index;
  for (const length of [...shape].reverse()) {
    position.unshift(rest % length);
    rest = Math.floor(rest / length);
  }
  return position;
}

/** Index in the data of a tensor. */
export function ravel(position: Position, shape: readonly number[]): number {
  return shape.reduce((index, length, axis) => index * length + position[axis]!, 0);
}

/** Rows and columns of the input that a window of a conv or a pool covers, including the padding. */
export function windowOf(layer: Layer, row: number, column: number): Rect | null {
  const { kernel, stride, padding, dilation, windows } = layer.facts;
  if (windows) {
    const [rows, columns] = [windows[0][row], windows[1][column]];
    return rows && columns ? { top: rows[0], bottom: rows[1], left: columns[0], right: columns[1] } : null;
  }
  if (kernel?.length !== 2) return null;
  const extent = (axis: 0 | 1, place: number) => {
    const start = place * (stride?.[axis] ?? 1) - (padding?.[axis] ?? 0);
    return [start, start + (dilation?.[axis] ?? 1) * (kernel[axis]! - 1) + 1] as const;
  };
  const [[top, bottom], [left, right]] = [extent(0, row), extent(1, column)];
  return { top, bottom, left, right };
}

/** The numbers of a channel of the input in a window, with a weight for each. */
function cellsOf(
  layer: Layer,
  at: Position,
  input: Values,
  channel: number,
  weight: (row: number, column: number) => number,
): Cell[][] | null {
  const rect = at.length === 3 && input.shape.length === 3 ? windowOf(layer, at[1]!, at[2]!) : null;
  if (!rect) return null;
  const [, height, width] = input.shape as [number, number, number];
  const [down, across] = [layer.facts.dilation?.[0] ?? 1, layer.facts.dilation?.[1] ?? 1];
  const cells: Cell[][] = [];
  for (let y = rect.top, row = 0; y < rect.bottom; y += down, row++) {
    const line: Cell[] = [];
    for (let x = rect.left, column = 0; x < rect.right; x += across, column++) {
      const inside = y >= 0 && y < height && x >= 0 && x < width;
      const value = inside ? input.data[(channel * height + y) * width + x]! : (layer.facts.pad_value ?? 0);
      line.push({ value, weight: weight(row, column), inside });
    }
    cells.push(line);
  }
  return cells;
}

function convolution(layer: Layer, at: Position, input: Values, weights: WeightsByName): Calculation | null {
  const weight = layer.weight === null ? undefined : weights(layer.weight);
  const biases = layer.bias === null ? null : weights(layer.bias);
  const { kernel, groups = 1 } = layer.facts;
  if (!weight || biases === undefined || kernel?.length !== 2) return null;
  const [out, rows, columns] = [at[0]!, kernel[0]!, kernel[1]!];
  const perGroup = input.shape[0]! / groups;
  const first = Math.floor(out / (layer.shape[0]! / groups)) * perGroup;
  if (weight.length !== layer.shape[0]! * perGroup * rows * columns) return null;
  const channels: ConvChannel[] = [];
  let result = 0;
  for (let i = 0; i < perGroup; i++) {
    const start = (out * perGroup + i) * rows * columns;
    const cells = cellsOf(layer, at, input, first + i, (row, column) => weight[start + row * columns + column]!);
    if (!cells) return null;
    const sum = cells.flat().reduce((total, cell) => total + cell.value * cell.weight, 0);
    channels.push({ channel: first + i, cells, sum });
    result += sum;
  }
  // a layer may have a bias for each unit instead of one for each channel
  const bias = biases && (biases.length === layer.shape[0] ? biases[out]! : biases[ravel(at, layer.shape)]!);
  return { type: "conv", channels, bias, result: result + (bias ?? 0) };
}

function maxPool(layer: Layer, at: Position, input: Values): Calculation | null {
  const cells = cellsOf(layer, at, input, at[0]!, () => 1);
  if (!cells) return null;
  let [row, column, result] = [0, 0, Number.NEGATIVE_INFINITY];
  for (const [i, line] of cells.entries()) {
    for (const [j, cell] of line.entries()) {
      if (cell.inside && cell.value > result) [row, column, result] = [i, j, cell.value];
    }
  }
  return { type: "max_pool", cells, row, column, result };
}

function averagePool(layer: Layer, at: Position, input: Values): Calculation | null {
  const cells = cellsOf(layer, at, input, at[0]!, () => 1);
  const rect = windowOf(layer, at[1]!, at[2]!);
  if (!cells || !rect) return null;
  const { count_include_pad: countsPadding = true, divisor: fixed, padding = [0, 0, 0, 0], windows } = layer.facts;
  const [, height, width] = input.shape as [number, number, number];
  const inside = cells.flat().filter((cell) => cell.inside);
  const sum = inside.reduce((total, cell) => total + cell.value, 0);
  // with ceil, the last window may end outside of the padding, too; there nothing counts
  const counted =
    (Math.min(rect.bottom, height + (padding[2] ?? 0)) - rect.top) *
    (Math.min(rect.right, width + (padding[3] ?? 0)) - rect.left);
  const divisor = fixed ?? (countsPadding && !windows ? counted : inside.length);
  return { type: "average_pool", cells, sum, divisor, result: sum / divisor };
}

function dense(layer: Layer, at: Position, input: Values, weights: WeightsByName): Calculation | null {
  const weight = layer.weight === null ? undefined : weights(layer.weight);
  const biases = layer.bias === null ? null : weights(layer.bias);
  const length = input.shape.at(-1)!;
  const unit = at.at(-1)!;
  if (!weight || biases === undefined || weight.length !== length * layer.shape.at(-1)!) return null;
  const start = ravel([...at.slice(0, -1), 0], [...layer.shape.slice(0, -1), length]);
  const terms = Array.from({ length }, (_, index) => ({
    index,
    value: input.data[start + index]!,
    weight: weight[unit * length + index]!,
  }));
  const bias = biases && biases[unit]!;
  return { type: "dense", terms, bias, result: terms.reduce((sum, t) => sum + t.value * t.weight, bias ?? 0) };
}

const ACTIVATIONS: Record<string, (x: number, constants: Record<string, number>) => number> = {
  relu: (x) => Math.max(0, x),
  relu6: (x) => Math.min(6, Math.max(0, x)),
  tanh: Math.tanh,
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  leaky_relu: (x, { negative_slope = 0.01 }) => (x >= 0 ? x : negative_slope * x),
  elu: (x, { alpha = 1 }) => (x > 0 ? x : alpha * Math.expm1(x)),
  silu: (x) => x / (1 + Math.exp(-x)),
  gelu: (x) => (x / 2) * (1 + erf(x / Math.SQRT2)),
  gelu_tanh: (x) => (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
  scaled_tanh: (x, { amplitude = 1.7159, slope = 2 / 3 }) => amplitude * Math.tanh(slope * x),
};

/** The function that an activation layer applies, with its constants; null if this page does not know it. */
export function activationOf(layer: Layer): { name: string; constants: Record<string, number> } | null {
  const facts = layer.facts;
  let name = facts.function ?? "other";
  if (name === "gelu" && facts.approximate === "tanh") name = "gelu_tanh";
  if (layer.type !== "activation" || !(name in ACTIVATIONS)) return null;
  const { negative_slope, alpha, amplitude, slope } = facts;
  const constants = Object.entries({ negative_slope, alpha, amplitude, slope });
  return { name, constants: Object.fromEntries(constants.filter((c): c is [string, number] => c[1] !== undefined)) };
}

function activation(layer: Layer, at: Position, input: Values): Calculation | null {
  const known = activationOf(layer);
  if (!known) return null;
  const x = sameValue(layer, at, input);
  return { type: "activation", ...known, x, result: ACTIVATIONS[known.name]!(x, known.constants) };
}

/** Error function, by its series, all terms of which are positive. */
function erf(x: number): number {
  if (Math.abs(x) > 6) return Math.sign(x);
  let [sum, term] = [x, x];
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1);
    sum += term;
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum;
}

function responseNorm(layer: Layer, at: Position, input: Values): Calculation | null {
  const { size, alpha_per_term: alpha, beta, k, groups = 1 } = layer.facts;
  if (size === undefined || alpha === undefined || beta === undefined || k === undefined) return null;
  const [channel, ...place] = at as [number, ...number[]];
  const perGroup = input.shape[0]! / groups;
  const start = Math.floor(channel / perGroup) * perGroup;
  const window: Term[] = [];
  const before = Math.floor(size / 2); // an even window reaches one channel further down, as in torch
  for (let index = channel - before; index < channel - before + size; index++) {
    if (index < start || index >= start + perGroup) continue;
    window.push({ index, value: input.data[ravel([index, ...place], input.shape)]!, weight: 1 });
  }
  const x = sameValue(layer, at, input);
  const squares = window.reduce((sum, term) => sum + term.value ** 2, 0);
  return { type: "lrn", x, window, squares, k, alpha, beta, result: x / (k + alpha * squares) ** beta };
}

function batchNorm(layer: Layer, at: Position, input: Values, weights: WeightsByName): Calculation | null {
  const { eps = 1e-5 } = layer.facts;
  const channel = at[0]!;
  const number = (name: string | null | undefined, neutral: number) =>
    typeof name === "string" ? weights(name)?.[channel] : neutral;
  const { mean: meanName, variance: varianceName } = layer.facts;
  if (!meanName || !varianceName) return null;
  const mean = number(meanName, 0);
  const variance = number(varianceName, 1);
  const weight = number(layer.facts.weight, 1);
  const bias = number(layer.facts.bias, 0);
  if (mean === undefined || variance === undefined || weight === undefined || bias === undefined) return null;
  const x = sameValue(layer, at, input);
  const result = ((x - mean) / Math.sqrt(variance + eps)) * weight + bias;
  return { type: "batch_norm", x, mean, variance, eps, weight, bias, result };
}

function softmax(at: Position, input: Values): Calculation | null {
  if (input.shape.length !== 1) return null;
  const data = Array.from(input.data);
  const x = data[at[0]!]!;
  const largest = Math.max(...data); // divides numerator and denominator, so that no exponential overflows
  const shifted = data.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  const result = Math.exp(x - largest) / shifted;
  return { type: "softmax", x, exponential: Math.exp(x), sum: shifted * Math.exp(largest), result };
}

/** The value at the same index of the data: layers that keep the number of values keep their order. */
function sameValue(layer: Layer, at: Position, input: Values): number {
  return input.data[ravel(at, layer.shape)]!;
}
