// Which part of earlier tensors a value depends on.

import { type Position, type Rect, ravel, unravel, windowOf } from "./calculation";
import type { Layer } from "./site";

/**
 * Follows a value of a layer back to the input of the network.
 *
 * @returns the rectangle of rows and columns by name of the tensor; it ends at a tensor whose origin is unknown
 */
export function receptiveFields(layers: readonly Layer[], layer: Layer, at: Position): Map<string, Rect> {
  const byOutput = new Map(layers.map((entry) => [entry.output, entry]));
  const fields = new Map<string, Rect>();
  let current: Layer | undefined = layer;
  let rect: Rect | null = rectOf(at);
  while (current && current.input !== null && !fields.has(current.input)) {
    rect = stepBack(current, rect, current === layer ? at : null);
    fields.set(current.input, rect);
    current = byOutput.get(current.input);
  }
  return fields;
}

function rectOf(at: Position): Rect {
  const [row, column] = at.length === 3 ? [at[1]!, at[2]!] : [0, at.at(-1) ?? 0];
  return { top: row, bottom: row + 1, left: column, right: column + 1 };
}

/** The part of the input of a layer that a part of its output depends on. */
function stepBack(layer: Layer, rect: Rect, at: Position | null): Rect {
  const [height, width] = layer.input_shape.length === 3 ? layer.input_shape.slice(1) : [1, layer.input_shape.at(-1)];
  const all = { top: 0, bottom: height ?? 1, left: 0, right: width ?? 1 };
  switch (layer.type) {
    case "conv":
    case "max_pool":
    case "average_pool": {
      const first = windowOf(layer, rect.top, rect.left);
      const last = windowOf(layer, rect.bottom - 1, rect.right - 1);
      if (!first || !last) return all;
      return {
        top: Math.max(all.top, first.top),
        bottom: Math.min(all.bottom, last.bottom),
        left: Math.max(all.left, first.left),
        right: Math.min(all.right, last.right),
      };
    }
    case "flatten":
      return at ? rectOf(unravel(ravel(at, layer.shape), layer.input_shape)) : all;
    case "activation":
    case "lrn":
    case "batch_norm":
    case "dropout":
      return rect;
    default:
      return all;
  }
}
