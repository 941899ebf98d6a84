// Scales and centers a drawn or photographed character as in MNIST, as classicnets/handwriting.py does.

import type { Pixels } from "./fit";
import { type Box, boundingBox, INK, type Ink, inkOf } from "./ink";

const BOX = 20 / 28; // longer side of the character, as a fraction of the image size
const STROKE = 2.2 / 28; // minimum stroke width, as a fraction of the image size
const INPUT_SIZE = 448; // longer side in pixels at which ink is detected
const CHARACTER_SIZE = 224; // longer side of the character in pixels, before it is scaled down

/**
 * Finds the character on an image of any colors, and scales and centers it.
 *
 * @returns uint8 [size, size], white on black; null if there is no character
 */
export function centerCharacter(pixels: Pixels, size: number): Uint8Array | null {
  const drawing = inkOf(scaledDown(pixels));
  const outline = drawing && boundingBox(drawing);
  if (!drawing || !outline) return null;
  const ink = thickened(cut(drawing, outline));
  const box = boundingBox(ink);
  if (!box) return null;
  const scale = Math.max(box.bottom - box.top, box.right - box.left) / (BOX * size);
  const half = (size * scale) / 2;
  const limited = (center: number, low: number, high: number) => Math.max(high - half, Math.min(low + half, center));
  const [massY, massX] = centerOfMass(ink);
  const y = limited(massY, box.top, box.bottom);
  const x = limited(massX, box.left, box.right);
  const small = resample(ink, { top: y - half, bottom: y + half, left: x - half, right: x + half }, size, size, 1);
  const largest = small.data.reduce((a, b) => Math.max(a, b), 0);
  return largest > 0 ? Uint8Array.from(small.data, (value) => Math.round((value / largest) * 255)) : null;
}

/** The image with at most `INPUT_SIZE` pixels in height and width. */
function scaledDown({ data, width, height }: Pixels): Pixels {
  const scale = INPUT_SIZE / Math.max(width, height);
  if (scale >= 1) return { data, width, height };
  const [columns, rows] = [Math.max(1, Math.round(width * scale)), Math.max(1, Math.round(height * scale))];
  const small = new Uint8ClampedArray(4 * columns * rows).fill(255);
  for (let c = 0; c < 3; c++) {
    const plane = { data: Float32Array.from({ length: width * height }, (_, i) => data[4 * i + c]!), width, height };
    const scaled = resample(plane, { top: 0, bottom: height, left: 0, right: width }, columns, rows, 1, true);
    for (const [i, value] of scaled.data.entries()) small[4 * i + c] = value;
  }
  return { data: small, width: columns, height: rows };
}

function cut(ink: Ink, box: Box): Ink {
  return padded(ink, -box.top, -box.left, box.bottom - box.top, box.right - box.left);
}

/** A copy, moved by `top` and `left`, in an image of another size; without ink outside. */
function padded({ data, width, height }: Ink, top: number, left: number, rows: number, columns: number): Ink {
  const copy = new Float32Array(rows * columns);
  for (let y = Math.max(0, -top); y < Math.min(height, rows - top); y++) {
    for (let x = Math.max(0, -left); x < Math.min(width, columns - left); x++) {
      copy[(y + top) * columns + x + left] = data[y * width + x]!;
    }
  }
  return { data: copy, width: columns, height: rows };
}

/** The character with its longer side `CHARACTER_SIZE`, and strokes of at least the minimum width; with a margin. */
function thickened(ink: Ink): Ink {
  const factor = CHARACTER_SIZE / Math.max(ink.height, ink.width);
  const width = Math.max(1, Math.round(ink.width * factor));
  const height = Math.max(1, Math.round(ink.height * factor));
  const scaled = resample(ink, { top: 0, bottom: ink.height, left: 0, right: ink.width }, width, height, 2);
  scaled.data = scaled.data.map((value) => Math.max(0, Math.min(1, value)));
  const minWidth = (STROKE / BOX) * CHARACTER_SIZE;
  const margin = Math.floor(minWidth) + 1;
  let image = padded(scaled, margin, margin, height + 2 * margin, width + 2 * margin);
  const steps = Math.max(0, (minWidth - strokeWidth(image)) / 2);
  if (steps === 0) return image;
  const whole = Math.floor(steps);
  for (let step = 0; step < whole; step++) image = dilated(image, step % 2 === 1);
  const next = dilated(image, whole % 2 === 1);
  image.data = image.data.map((value, i) => value + (steps - whole) * (next.data[i]! - value));
  return image;
}

/** Maximum over each pixel and its four or eight neighbors; both in turn approximate an octagon. */
function dilated({ data, width, height }: Ink, square: boolean): Ink {
  const result = data.slice();
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let largest = 0;
      for (let dy = -1; dy <= 1; dy++) {
        for (let dx = -1; dx <= 1; dx++) {
          if (!square && dy !== 0 && dx !== 0) continue;
          if (y + dy < 0 || y + dy >= height || x + dx < 0 || x + dx >= width) continue;
          largest = Math.max(largest, data[(y + dy) * width + x + dx]!);
        }
      }
      result[y * width + x] = largest;
    }
  }
  return { data: result, width, height };
}

/** Mean width of the strokes: twice their area divided by the length of their outline. */
function strokeWidth({ data, width, height }: Ink): number {
  let area = 0;
  let crossings = 0;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const inside = data[y * width + x]! >= INK;
      if (inside) area++;
      if (x > 0 && inside !== data[y * width + x - 1]! >= INK) crossings++;
      if (y > 0 && inside !== data[(y - 1) * width + x]! >= INK) crossings++;
    }
  }
  return (2 * area) / ((crossings * Math.PI) / 4); // a slanted outline crosses more grid lines than its length
}

function centerOfMass({ data, width }: Ink): [number, number] {
  let sum = 0;
  let y = 0;
  let x = 0;
  for (let i = 0; i < data.length; i++) {
    const value = data[i]!;
    sum += value;
    y += value * (Math.floor(i / width) + 0.5);
    x += value * ((i % width) + 0.5);
  }
  return [y / sum, x / sum];
}

/** Resizes a box of the image as Pillow does, bilinearly (order 1) or bicubically (order 2); no ink outside. */
function resample(ink: Ink, box: Box, width: number, height: number, order: 1 | 2, whole = order === 2): Ink {
  const rows = axis(box.top, box.bottom, height, ink.height, order, whole);
  const columns = axis(box.left, box.right, width, ink.width, order, whole);
  const narrow = new Float32Array(ink.height * width);
  for (let x = 0; x < width; x++) {
    const { first, values } = columns[x]!;
    for (let y = 0; y < ink.height; y++) {
      const start = y * ink.width + first;
      let sum = 0;
      for (let k = 0; k < values.length; k++) sum += values[k]! * ink.data[start + k]!;
      narrow[y * width + x] = sum;
    }
  }
  const data = new Float32Array(height * width);
  for (let y = 0; y < height; y++) {
    const { first, values } = rows[y]!;
    for (let k = 0; k < values.length; k++) {
      const weight = values[k]!;
      const start = (first + k) * width;
      for (let x = 0; x < width; x++) data[y * width + x]! += weight * narrow[start + x]!;
    }
  }
  return { data, width, height };
}

function axis(start: number, end: number, size: number, length: number, order: 1 | 2, whole: boolean) {
  const ratio = (end - start) / size;
  const scale = Math.max(ratio, 1);
  return Array.from({ length: size }, (_, i) => {
    const center = start + (i + 0.5) * ratio;
    const from = Math.floor(center - order * scale);
    const to = Math.ceil(center + order * scale) + 1;
    const weights = Array.from({ length: to - from }, (__, k) => kernel((from + k - center + 0.5) / scale, order));
    const first = Math.min(length, Math.max(0, from));
    const last = Math.max(first, Math.min(length, to));
    const inside = weights.slice(first - from, last - from);
    // Pillow shares out the weights that fall outside of a whole image; others are parts of a larger canvas without ink
    const sum = (whole ? inside : weights).reduce((a, b) => a + b, 0);
    return { first, values: inside.map((weight) => weight / sum) };
  });
}

function kernel(x: number, order: 1 | 2): number {
  const t = Math.abs(x);
  if (order === 1) return Math.max(0, 1 - t);
  if (t < 1) return (1.5 * t - 2.5) * t * t + 1;
  return t < 2 ? ((-0.5 * t + 2.5) * t - 4) * t + 2 : 0;
}
