// Which values of a layer are outlined: a value, and the windows that it comes from.

import { type Rect, unravel } from "./calculation";
import type { Mark } from "./maps";
import type { Layer } from "./site";

/** The outline of a value. */
export function valueMark(layer: Layer, index: number): Mark {
  const at = unravel(index, layer.shape);
  const [row, column] = at.length >= 2 ? at.slice(-2) : [0, at[0]];
  const rect = { top: row!, bottom: row! + 1, left: column!, right: column! + 1 };
  const plane = at.length >= 2 ? layer.shape.at(-1)! * layer.shape.at(-2)! : layer.shape[0]!;
  const channel = Math.floor(index / plane);
  return { rect, first: channel, last: channel + 1, kind: "value" };
}

/** The window in an earlier layer; directly before, only in the channels that the value reads. */
export function windowMark(layer: Layer, index: number, earlier: Layer, rect: Rect): Mark {
  const channel = unravel(index, layer.shape)[0]!;
  const channels = earlier.shape.length === 3 ? earlier.shape[0]! : 1;
  const all: Mark = { rect, first: 0, last: channels, kind: "window" };
  if (earlier.output !== layer.input || layer.shape.length !== 3 || earlier.shape.length !== 3) return all;
  switch (layer.type) {
    case "conv": {
      const perGroup = channels / (layer.facts.groups ?? 1);
      const first = Math.floor(channel / (layer.shape[0]! / (layer.facts.groups ?? 1))) * perGroup;
      return { ...all, first, last: first + perGroup };
    }
    case "max_pool":
    case "average_pool":
    case "activation":
    case "batch_norm":
    case "dropout":
      return { ...all, first: channel, last: channel + 1 };
    case "lrn": {
      const size = layer.facts.size ?? 1;
      const first = channel - Math.floor(size / 2);
      return { ...all, first: Math.max(0, first), last: Math.min(channels, first + size) };
    }
    default:
      return all;
  }
}
