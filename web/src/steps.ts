// From a value of a layer to the value at the same place of another one. Pure.

import { ravel, unravel } from "./calculation";

/** Index of the value at the same place in another layer, in proportion to its size. */
export function placeIn(shape: readonly number[], index: number, from: readonly number[]): number {
  const size = (of: readonly number[]) => of.reduce((a, b) => a * b, 1);
  if (size(shape) === size(from)) return index;
  const scaled = (place: number, length: number, other: number) => Math.floor(((place + 0.5) * other) / length);
  if (shape.length !== from.length) return scaled(index, size(from), size(shape));
  const at = unravel(index, from);
  const isMap = shape.length === 3;
  // the channels of two layers have nothing to do with each other, so that the number of the channel stays if it can
  const there = at.map((place, axis) =>
    isMap && axis === 0 ? Math.min(place, shape[0]! - 1) : scaled(place, from[axis]!, shape[axis]!),
  );
  return ravel(there, shape);
}
