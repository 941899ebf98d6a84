// Fits an image to the input of a network with Pillow's arithmetic, bit for bit.

import type { Preprocess } from "./site";

/** RGBA pixels of an image. */
export interface Pixels {
  data: Uint8ClampedArray;
  width: number;
  height: number;
}

/** Height and width in pixels to which images are resized, before padding and cropping. */
export function fittedSide(preprocess: Preprocess): number {
  return preprocess.resize ?? preprocess.image_size - 2 * preprocess.pad;
}

/**
 * Crops, pads or stretches an image to a square and resizes it. The graph could do it too, but takes seconds for a
 * large photo. What is padded is never stored, so that a long strip needs no more memory than its own pixels.
 *
 * @returns uint8 [side, side, 3]
 */
export function fitPixels(image: Pixels, preprocess: Preprocess): Uint8Array {
  const side = fittedSide(preprocess);
  const { width, height } = image;
  const { fit } = preprocess;
  const edge = fit === "crop" ? Math.min(width, height) : Math.max(width, height);
  const columns = fit === "stretch" ? width : edge;
  const rows = fit === "stretch" ? height : edge;
  const left = Math.trunc((width - columns) / 2); // of the box in the image; negative if the image is padded
  const top = Math.trunc((height - rows) / 2);
  const gray = preprocess.channels === 1;
  const channels = gray ? 1 : 3;
  let wide = Math.min(columns, width);
  let high = Math.min(rows, height);
  let planes = opaquePixels(image, Math.max(0, left), Math.max(0, top), wide, high, preprocess);
  const horizontal = () => {
    const target = new Uint8Array(high * side * channels);
    const weights = axisWeights(columns, side, Math.max(0, -left), wide);
    const start = (line: number, length: number) => Math.floor(line / channels) * length * channels + (line % channels);
    for (let line = 0; line < high * channels; line++) {
      resizeLine(planes, start(line, wide), channels, target, start(line, side), channels, weights);
    }
    [planes, wide] = [target, side];
  };
  const vertical = () => {
    const row = wide * channels;
    const target = new Uint8Array(side * row);
    const weights = axisWeights(rows, side, Math.max(0, -top), high);
    for (let line = 0; line < row; line++) resizeLine(planes, line, row, target, line, row, weights);
    [planes, high] = [target, side];
  };
  if (wide !== side || high !== side) {
    const heightFirst = rows - side > 0 && rows - side > 2 * (columns - side); // as Pillow since version 13
    for (const pass of heightFirst ? [vertical, horizontal] : [horizontal, vertical]) pass();
  }
  return gray ? rgbOfGray(planes) : planes;
}

/** A part of an image, in its pixels. */
export interface Part {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

/** Returns the part of an image that the network sees; the rest is cropped away. */
export function seenPart(width: number, height: number, preprocess: Preprocess): Part {
  const { fit, image_size: size, pad, views } = preprocess;
  const side = fittedSide(preprocess);
  const edge = fit === "crop" ? Math.min(width, height) : Math.max(width, height);
  // more than two views have the corners, and together see everything
  const first = views > 2 ? 0 : Math.max(0, Math.floor((side + 2 * pad - size) / 2) - pad);
  const last = views > 2 ? side : Math.min(side, first + size);
  const along = (length: number): [number, number] => {
    const span = fit === "stretch" ? length : edge;
    const start = Math.trunc((length - span) / 2);
    return [Math.max(0, start + (first / side) * span), Math.min(length, start + (last / side) * span)];
  };
  const [left, right] = along(width);
  const [top, bottom] = along(height);
  return { left, top, right, bottom };
}

/** Repeats gray levels as red, green and blue. */
export function rgbOfGray(gray: Uint8Array): Uint8Array {
  return Uint8Array.from({ length: gray.length * 3 }, (_, i) => gray[Math.floor(i / 3)]!);
}

/** A part of the image on its background: uint8 [high, wide, channels]. */
function opaquePixels(
  { data, width }: Pixels,
  left: number,
  top: number,
  wide: number,
  high: number,
  { channels, background }: Preprocess,
): Uint8Array {
  const color = Number.parseInt((background ?? "#000000").slice(1), 16);
  const [backRed, backGreen, backBlue] = [color >> 16, (color >> 8) & 255, color & 255] as const;
  const over = (level: number, back: number, alpha: number) => Math.round((level * alpha + back * (255 - alpha)) / 255);
  const planes = new Uint8Array(wide * high * channels);
  for (let y = 0, to = 0; y < high; y++) {
    for (let x = 0; x < wide; x++, to += channels) {
      const from = 4 * ((y + top) * width + x + left);
      const alpha = data[from + 3]!;
      let [r, g, b] = [data[from]!, data[from + 1]!, data[from + 2]!];
      if (alpha < 255) [r, g, b] = [over(r, backRed, alpha), over(g, backGreen, alpha), over(b, backBlue, alpha)];
      if (channels === 1) {
        planes[to] = (r * 19595 + g * 38470 + b * 7471 + 32768) >> 16;
      } else {
        planes[to] = r;
        planes[to + 1] = g;
        planes[to + 2] = b;
      }
    }
  }
  return planes;
}

interface Weights {
  first: number;
  values: Int32Array;
}

/**
 * Weights of `length` pixels in `side` pixels: a triangle around each of them, as integers in units of 2^-22.
 *
 * Only those of the `count` pixels from `start` on are returned, and counted from there; the others are black.
 */
function axisWeights(length: number, side: number, start: number, count: number): Weights[] {
  const ratio = length / side;
  const scale = 1 / Math.max(ratio, 1);
  const support = Math.max(ratio, 1);
  return Array.from({ length: side }, (_, i) => {
    const center = (i + 0.5) * ratio;
    const first = Math.max(0, Math.floor(center - support));
    const last = Math.min(length, Math.ceil(center + support) + 1);
    const triangle: number[] = [];
    for (let j = first; j < last; j++) triangle.push(Math.max(0, 1 - Math.abs((j - center + 0.5) * scale)));
    const sum = triangle.reduce((a, b) => a + b);
    const from = Math.max(first, start);
    const inside = triangle.slice(from - first, Math.max(from, Math.min(last, start + count)) - first);
    return {
      first: from - start,
      values: Int32Array.from(inside, (value) => Math.floor((value / sum) * 4194304 + 0.5)),
    };
  });
}

function resizeLine(
  source: Uint8Array,
  sourceStart: number,
  sourceStep: number,
  target: Uint8Array,
  targetStart: number,
  targetStep: number,
  weights: Weights[],
): void {
  for (const [i, { first, values }] of weights.entries()) {
    let sum = 2097152;
    for (let k = 0, at = sourceStart + first * sourceStep; k < values.length; k++, at += sourceStep) {
      sum += values[k]! * source[at]!;
    }
    target[targetStart + i * targetStep] = Math.min(255, Math.floor(sum / 4194304));
  }
}
