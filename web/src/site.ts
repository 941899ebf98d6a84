// The types of site.json, version 1, and their validation. All shapes are without the batch axis.

export interface Preprocess {
  channels: number;
  image_size: number;
  resize: number | null;
  pad: number;
  fit: "stretch" | "crop" | "letterbox";
  mean: number[];
  std: number[];
  views: number;
  background: string;
}

export const LAYER_TYPES = [
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
  "other",
] as const;
export type LayerType = (typeof LAYER_TYPES)[number];

/** Settings of a layer; which of them are there depends on its type. */
export interface LayerFacts {
  kernel?: number[];
  stride?: number[];
  padding?: number[]; // top, left, bottom, right
  pad_value?: number;
  dilation?: number[];
  groups?: number;
  count_include_pad?: boolean;
  divisor?: number | null;
  ceil?: boolean;
  windows?: [[number, number][], [number, number][]]; // of adaptive average pooling: rows, columns; [start, end]
  function?: string;
  negative_slope?: number;
  alpha?: number;
  approximate?: string;
  amplitude?: number;
  slope?: number;
  size?: number;
  beta?: number;
  k?: number;
  alpha_per_term?: number;
  mean?: string | null;
  variance?: string | null;
  weight?: string | null;
  bias?: string | null;
  eps?: number;
}

export interface Layer {
  name: string;
  kind: string;
  type: LayerType;
  input: string | null;
  sources?: string[]; // outputs of the layers that its input is, or is computed from
  output: string;
  input_shape: number[];
  shape: number[];
  weight: string | null;
  bias: string | null;
  parameters: number;
  macs: number;
  size: string;
  facts: LayerFacts;
}

export interface Epoch {
  epoch: number;
  file: string;
  validation_accuracy: number | null;
  loss: number | null;
}

export interface NetworkFacts {
  name: string;
  run: string;
  file: string;
  int8: boolean;
  license: string;
  classes: string[];
  data_name: string;
  data_title?: string; // the name of the data for readers, if the export knows one
  test_accuracy: number | null;
  test_images: number | null;
  parameters: number;
  macs: number;
  min_confidence: number | null;
  temperature: number; // divides the logits; 1 changes nothing
  preprocess: Preprocess;
  handwriting: boolean;
  input: string;
  input_shape: number[];
  probabilities: string;
  logits: string;
  logits_sources?: string[]; // outputs of the layers that the logits are, or are computed from
  layers: Layer[];
  epochs: Epoch[];
}

export interface Example {
  file: string;
  class: string;
}

export interface Site {
  version: 1;
  classicnets: string;
  examples: Example[];
  networks: NetworkFacts[];
}

/** site.json is not what this page can show; the message names the place. */
export class SiteError extends Error {}

type Check = (value: unknown, place: string) => void;

const fail = (place: string): never => {
  throw new SiteError(place);
};
const text: Check = (value, place) => {
  if (typeof value !== "string") fail(place);
};
const numeric: Check = (value, place) => {
  if (typeof value !== "number" || !Number.isFinite(value)) fail(place);
};
const truth: Check = (value, place) => {
  if (typeof value !== "boolean") fail(place);
};
const nullable =
  (check: Check): Check =>
  (value, place) => {
    if (value !== null && value !== undefined) check(value, place);
  };
const listOf =
  (check: Check): Check =>
  (value, place) => {
    if (!Array.isArray(value)) return fail(place);
    for (const [index, entry] of value.entries()) check(entry, `${place}[${index}]`);
  };
const oneOf =
  (...choices: readonly unknown[]): Check =>
  (value, place) => {
    if (!choices.includes(value)) fail(place);
  };
const record =
  (checks: Record<string, Check>): Check =>
  (value, place) => {
    if (typeof value !== "object" || value === null || Array.isArray(value)) return fail(place);
    for (const [key, check] of Object.entries(checks)) {
      check((value as Record<string, unknown>)[key], place ? `${place}.${key}` : key);
    }
  };

const preprocess = record({
  channels: oneOf(1, 3),
  image_size: numeric,
  resize: nullable(numeric),
  pad: numeric,
  fit: oneOf("stretch", "crop", "letterbox"),
  mean: listOf(numeric),
  std: listOf(numeric),
  views: numeric,
  background: nullable(text),
});
const layer = record({
  name: text,
  kind: text,
  type: text,
  input: nullable(text),
  sources: nullable(listOf(text)),
  output: text,
  input_shape: listOf(numeric),
  shape: listOf(numeric),
  weight: nullable(text),
  bias: nullable(text),
  parameters: numeric,
  macs: numeric,
  size: text,
  facts: record({}),
});
const site = record({
  version: oneOf(1),
  classicnets: text,
  examples: listOf(record({ file: text, class: text })),
  networks: listOf(
    record({
      name: text,
      run: text,
      file: text,
      classes: listOf(text),
      data_name: text,
      data_title: nullable(text),
      test_accuracy: nullable(numeric),
      test_images: nullable(numeric),
      parameters: numeric,
      macs: numeric,
      min_confidence: nullable(numeric),
      temperature: nullable(numeric),
      preprocess,
      handwriting: truth,
      input: text,
      input_shape: listOf(numeric),
      probabilities: text,
      logits: text,
      logits_sources: nullable(listOf(text)),
      layers: listOf(layer),
      epochs: listOf(
        record({ epoch: numeric, file: text, validation_accuracy: nullable(numeric), loss: nullable(numeric) }),
      ),
    }),
  ),
});

/**
 * Parses and checks the content of site.json. A type of layer that this page does not know becomes "other".
 *
 * @throws SiteError, with the place of the first value that is wrong
 */
export function parseSite(content: string): Site {
  let value: unknown;
  try {
    value = JSON.parse(content);
  } catch {
    throw new SiteError("JSON");
  }
  site(value, "");
  const parsed = value as Site;
  if (parsed.networks.length === 0) throw new SiteError("networks");
  for (const network of parsed.networks) {
    network.min_confidence ??= null;
    network.temperature ??= 1;
    for (const entry of network.layers) if (!LAYER_TYPES.includes(entry.type)) entry.type = "other";
  }
  return parsed;
}
