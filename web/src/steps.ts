// Values to show: a striking one of a layer, and the one at the same place of another layer. Pure.

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

/** Index of the value that differs most from the mean of its map, in the middle half of its rows and columns. */
export function strikingIndex(shape: readonly number[], values: ArrayLike<number>): number {
  const [height, width] = shape.length === 3 ? [shape[1]!, shape[2]!] : [1, values.length];
  const isInside = (place: number, length: number) => length < 4 || (place >= length / 4 && place < (3 * length) / 4);
  const inMiddle = (i: number) =>
    height === 1 || (isInside(Math.floor(i / width), height) && isInside(i % width, width));
  let [best, most] = [0, -1];
  for (let start = 0; start < values.length; start += height * width) {
    let mean = 0;
    for (let i = 0; i < height * width; i++) mean += values[start + i]! / (height * width);
    for (let i = 0; i < height * width; i++) {
      const difference = inMiddle(i) ? Math.abs(values[start + i]! - mean) : -1;
      if (difference > most) [best, most] = [start + i, difference];
    }
  }
  return best;
}
