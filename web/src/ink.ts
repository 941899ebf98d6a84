// Finds the ink of a character on paper of any color, as classicnets/handwriting.py does. Runs for every move of the pen,
// so the loops over all pixels use plain variables: destructuring and iterators are several times slower.

import type { Pixels } from "./fit";

export const INK = 0.4; // from here on, a pixel belongs to a stroke
const SPECK = 0.04; // a patch with less ink than this fraction of the largest patch is dirt
const MIN_CONTRAST = 16 / 255; // between ink and paper, on a scale from black to white
const MIN_CONTRAST_TO_NOISE = 4; // contrast between ink and paper, relative to the variation of the paper
const BORDER_PIXELS = 4096; // at most so many of the border are looked at for the color of the paper

/** Amounts of ink, 0 to 1. */
export interface Ink {
  data: Float32Array;
  width: number;
  height: number;
}

export interface Box {
  top: number;
  bottom: number;
  left: number;
  right: number;
}

/** Returns the ink of a character without specks; null if no ink stands out from the paper. */
export function inkOf(pixels: Pixels): Ink | null {
  const { width, height } = pixels;
  const { differences, border } = differencesFromPaper(pixels);
  const size = width * height;
  const distances = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    const red = differences[3 * i]!;
    const green = differences[3 * i + 1]!;
    const blue = differences[3 * i + 2]!;
    distances[i] = Math.sqrt(red * red + green * green + blue * blue); // much faster than Math.hypot
  }
  const fullCount = Math.min(size, Math.max(5, Math.floor(size / 500))); // a thin stroke may have no more full ink
  const farthest = largest(distances, fullCount)[0]!;
  const direction = [0, 0, 0];
  for (let i = 0; i < size; i++) {
    if (distances[i]! < farthest || distances[i] === 0) continue;
    for (let c = 0; c < 3; c++) direction[c]! += differences[3 * i + c]!;
  }
  const length = Math.hypot(...direction);
  if (length === 0) return null;
  const [red, green, blue] = direction.map((value) => value / length) as [number, number, number];
  const data = new Float32Array(size);
  for (let i = 0; i < size; i++) {
    data[i] = differences[3 * i]! * red + differences[3 * i + 1]! * green + differences[3 * i + 2]! * blue;
  }
  const grain = new Float32Array(border.length);
  for (let k = 0; k < grain.length; k++) grain[k] = Math.abs(data[border[k]!]!);
  grain.sort();
  const noise = grain[Math.floor(0.9 * (grain.length - 1))]!;
  const full = median(largest(data, fullCount));
  if (full < Math.max(MIN_CONTRAST, MIN_CONTRAST_TO_NOISE * noise)) return null;
  const low = Math.min(2 * noise, full / 4);
  for (let i = 0; i < size; i++) data[i] = Math.max(0, Math.min(1, (data[i]! - low) / (full - low)));
  return withoutSpecks({ data, width, height });
}

export function boundingBox({ data, width, height }: Ink): Box | null {
  const box = { top: height, bottom: 0, left: width, right: 0 };
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      if (data[y * width + x]! < INK) continue;
      box.top = Math.min(box.top, y);
      box.bottom = y + 1;
      box.left = Math.min(box.left, x);
      box.right = Math.max(box.right, x + 1);
    }
  }
  return box.bottom > box.top ? box : null;
}

/** Difference of each pixel from the paper, [pixels, 3] in units of white, and the pixels of the border. */
function differencesFromPaper({ data, width, height }: Pixels) {
  const border = borderOf(width, height);
  const step = Math.ceil(border.length / BORDER_PIXELS);
  const sample = border.filter((_, i) => i % step === 0);
  const across = (x: number) => (width > 1 ? (2 * x) / (width - 1) - 1 : -1);
  const along = (y: number) => (height > 1 ? (2 * y) / (height - 1) - 1 : -1);
  const colorOf = (i: number) => [data[4 * i]! / 255, data[4 * i + 1]! / 255, data[4 * i + 2]! / 255];
  const paper = colorOf(sample[0]!);
  const isPlain = sample.every((i) => colorOf(i).every((value, c) => value === paper[c]));
  const planes = isPlain
    ? paper.map((value) => [value, 0, 0])
    : planesOf(
        sample.map((i) => [1, across(i % width), along(Math.floor(i / width))]),
        sample.map(colorOf),
      );
  const differences = new Float32Array(3 * width * height);
  const places = Float64Array.from({ length: width }, (_, x) => across(x));
  const slopes = planes.map((plane) => plane[1]!);
  for (let y = 0, i = 0, k = 0; y < height; y++) {
    const starts = planes.map(([level, , slopeY]) => level! + slopeY! * along(y));
    for (let x = 0; x < width; x++, i += 4) {
      const place = places[x]!;
      for (let c = 0; c < 3; c++) differences[k++] = data[i + c]! / 255 - starts[c]! - slopes[c]! * place;
    }
  }
  return { differences, border };
}

function borderOf(width: number, height: number): number[] {
  const margin = Math.max(1, Math.floor(Math.min(width, height) / 20));
  const border: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = y >= margin && y < height - margin && x >= margin && x < width - margin;
      if (inside) x = width - margin - 1;
      else border.push(y * width + x);
    }
  }
  return border;
}

type Three = number[]; // three numbers

/** A plane for each color, fitted to positions [1, x, y], up to half of which may be ink. */
function planesOf(positions: readonly Three[], colors: readonly Three[]): Three[] {
  const at = ([level, x, y]: Three, position: Three) => level! + x! * position[1]! + y! * position[2]!;
  let planes: Three[] = [0, 1, 2].map((c) => [median(Float64Array.from(colors, (color) => color[c]!).sort()), 0, 0]);
  for (let iteration = 0; iteration < 4; iteration++) {
    const errors = new Float64Array(positions.length);
    for (const [c, plane] of planes.entries()) {
      for (let i = 0; i < errors.length; i++) {
        errors[i] = Math.max(errors[i]!, Math.abs(colors[i]![c]! - at(plane, positions[i]!)));
      }
    }
    const limit = Math.max(3 * median(errors.slice().sort()), 2 / 255);
    const inliers = positions.map((_, i) => i).filter((i) => errors[i]! <= limit);
    if (inliers.every((i) => errors[i] === 0)) break; // plain paper
    planes = planes.map((plane, c) => leastSquares(inliers, positions, (i) => colors[i]![c]!) ?? plane);
  }
  return planes;
}

/** The plane with the least squared errors at some positions; null if they are on one line. */
function leastSquares(indices: readonly number[], positions: readonly Three[], value: (i: number) => number) {
  const rows = [0, 1, 2].map(() => [0, 0, 0, 0]); // normal equations
  for (const i of indices) {
    const position = positions[i]!;
    for (let r = 0; r < 3; r++) {
      for (let k = 0; k < 3; k++) rows[r]![k]! += position[r]! * position[k]!;
      rows[r]![3]! += position[r]! * value(i);
    }
  }
  for (let r = 0; r < 3; r++) {
    const pivot = rows[r]!;
    if (Math.abs(pivot[r]!) < 1e-9 * indices.length) return null;
    for (let other = 0; other < 3; other++) {
      const factor = other === r ? 0 : rows[other]![r]! / pivot[r]!;
      for (let k = 0; k < 4; k++) rows[other]![k]! -= factor * pivot[k]!;
    }
  }
  return rows.map((row, r) => row[3]! / row[r]!);
}

/** The ink of the character and its soft edge, of two pixels: patches with little ink are dirt. */
function withoutSpecks({ data, width, height }: Ink): Ink {
  const labels = new Int32Array(data.length); // of the connected patch, from 1 on
  const open = new Int32Array(data.length); // a stack of pixels whose neighbors are to be visited
  const sums = [0];
  for (let start = 0; start < data.length; start++) {
    if (labels[start] || data[start]! < INK) continue;
    const label = sums.length;
    let sum = data[start]!;
    labels[start] = label;
    open[0] = start;
    for (let count = 1; count > 0; ) {
      const i = open[--count]!;
      const x = i % width;
      const y = (i - x) / width;
      const left = Math.max(0, x - 1);
      const right = Math.min(width - 1, x + 1);
      const bottom = Math.min(height - 1, y + 1);
      for (let row = Math.max(0, y - 1); row <= bottom; row++) {
        for (let next = row * width + left; next <= row * width + right; next++) {
          if (labels[next] || data[next]! < INK) continue;
          labels[next] = label;
          sum += data[next]!;
          open[count++] = next;
        }
      }
    }
    sums.push(sum);
  }
  const least = SPECK * sums.reduce((a, b) => Math.max(a, b));
  const strokes = new Uint8Array(data.length);
  for (let i = 0; i < data.length; i++) if (labels[i] && sums[labels[i]!]! >= least) strokes[i] = 1;
  const kept = widened(widened(strokes, width, 1, width), height, width, 1);
  const ink = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) if (kept[i]) ink[i] = data[i]!;
  return { data: ink, width, height };
}

/** Widens a mask by two pixels along lines of `length` pixels, of which neighbors are `step` apart. */
function widened(mask: Uint8Array, length: number, step: number, nextLine: number): Uint8Array {
  const result = new Uint8Array(mask.length);
  for (let line = 0; line < mask.length / length; line++) {
    for (let k = 0; k < length; k++) {
      if (!mask[line * nextLine + k * step]) continue;
      for (let near = Math.max(0, k - 2); near <= Math.min(length - 1, k + 2); near++) {
        result[line * nextLine + near * step] = 1;
      }
    }
  }
  return result;
}

/** The `count` largest values in ascending order, without sorting all. */
function largest(values: Float32Array, count: number): Float32Array {
  let most = 0;
  for (let i = 0; i < values.length; i++) most = Math.max(most, values[i]!);
  const scale = most > 0 ? 1024 / most : 0;
  const bins = new Uint32Array(1026); // one more than 1024, which rounding may reach
  const places = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value > 0) places[i] = value * scale;
    bins[places[i]!]!++;
  }
  let first = 1025;
  let sum = bins[first]!;
  while (sum < count && first > 0) sum += bins[--first]!;
  const candidates = new Float32Array(sum);
  for (let i = 0, k = 0; i < values.length; i++) if (places[i]! >= first) candidates[k++] = values[i]!;
  return candidates.sort().slice(-count);
}

function median(sorted: ArrayLike<number>): number {
  const middle = (sorted.length - 1) / 2;
  return (sorted[Math.floor(middle)]! + sorted[Math.ceil(middle)]!) / 2;
}
