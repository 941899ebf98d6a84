// Color scales of values: paper at 0, orange above, blue below, which people with any color vision can tell apart.

/** Smallest and largest value of a scale. */
export interface Range {
  low: number;
  high: number;
  isGray?: boolean; // levels of an image, from black to white
}

const LIGHT = ["#123f73", "#3f7fbd", "#a9c9e4", "#f7f6f3", "#f0bd86", "#cf7420", "#7a3606"];
const DARK = ["#a9d3ff", "#4f92d1", "#214a73", "#16181c", "#6b3f12", "#d07f2a", "#ffd3a1"];
const STEPS = 256;

/** 2 * STEPS + 1 colors as RGBA in one integer each, from -1 to 1. */
const tables = { light: table(LIGHT), dark: table(DARK) };

function table(stops: readonly string[]): Uint32Array {
  const colors = stops.map((stop) => Number.parseInt(stop.slice(1), 16));
  return Uint32Array.from({ length: 2 * STEPS + 1 }, (_, i) => {
    const place = (i / (2 * STEPS)) * (colors.length - 1);
    const before = Math.min(Math.floor(place), colors.length - 2);
    const part = place - before;
    const mixed = (shift: number) => {
      const [a, b] = [(colors[before]! >> shift) & 255, (colors[before + 1]! >> shift) & 255];
      return Math.round(a + part * (b - a));
    };
    return (255 << 24) | (mixed(0) << 16) | (mixed(8) << 8) | mixed(16); // little endian: red comes first in memory
  });
}

/** The range of finite values: around 0 if some are negative, else from 0, or from the smallest if all are large. */
export function rangeOf(values: ArrayLike<number>): Range {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (value < low) low = value;
    if (value > high && value !== Number.POSITIVE_INFINITY) high = value;
  }
  if (low > high) return { low: 0, high: 0 };
  if (low >= 0) return { low: low < high / 10 ? 0 : low, high };
  const most = Math.max(-low, high);
  return { low: -most, high: most };
}

/** A function from a value to its color as an integer for the pixels of an ImageData. */
export function colorScale({ low, high, isGray }: Range, dark: boolean): (value: number) => number {
  if (isGray)
    return (value) => 0xff000000 + 0x10101 * Math.round(255 * Math.max(0, Math.min(1, (value - low) / (high - low))));
  const colors = dark ? tables.dark : tables.light;
  if (low < 0) {
    const factor = STEPS / high;
    return (value) => colors[Math.round(Math.max(-STEPS, Math.min(STEPS, value * factor))) + STEPS] ?? colors[STEPS]!;
  }
  const factor = high > low ? STEPS / (high - low) : 0;
  return (value) => colors[Math.round(Math.max(0, Math.min(STEPS, (value - low) * factor))) + STEPS] ?? colors[STEPS]!;
}

/** The same color for style sheets, and whether dark text has more contrast on it than white text. */
export function cssColor(color: number): { background: string; bright: boolean } {
  const [red, green, blue] = [color & 255, (color >> 8) & 255, (color >> 16) & 255];
  const linear = (level: number) =>
    level / 255 <= 0.04045 ? level / 255 / 12.92 : ((level / 255 + 0.055) / 1.055) ** 2.4;
  const luminance = 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue); // as WCAG defines it
  return { background: `rgb(${red} ${green} ${blue})`, bright: luminance > 0.179 };
}
