// Numbers and colors as readers see them.

import { expect, test } from "vitest";
import { colorScale, cssColor, rangeOf } from "../src/colors";
import { operand, short, tiny } from "../src/numbers";

test.each([
  [0, "0"],
  [1.8732, "1.873"],
  [-0.31, "−0.310"],
  [12.345, "12.35"],
  [-123.44, "−123.4"],
  [0.00012, "1.2e−4"],
  [1e-5, "1e−5"],
  [1234567, "1.23e6"],
  [Number.POSITIVE_INFINITY, "∞"],
  [Number.NaN, "NaN"],
])("%d is written as %s", (value, text) => {
  expect(short(value)).toBe(text);
});

test("a negative operand is in parentheses, and a grid has decimals for its largest number", () => {
  expect(operand(-2)).toBe("(−2.000)");
  expect(operand(2)).toBe("2.000");
  expect(tiny(-0.456, 0.9)).toBe("−0.46");
  expect(tiny(-0.0456, 0.2)).toBe("−0.046");
  expect(tiny(1.234, 12.3)).toBe("1.2");
  expect(tiny(0.001, 0.002)).toBe("1e−3");
  expect(tiny(-0.001, 0.9)).toBe("0.00");
});

test("a scale is around 0 if there are negative values, else from the smallest to the largest", () => {
  expect(rangeOf([-1, 0.5])).toEqual({ low: -1, high: 1 });
  expect(rangeOf([0.25, 0.5])).toEqual({ low: 0.25, high: 0.5 });
  expect(rangeOf([Number.NaN])).toEqual({ low: 0, high: 0 });
});

test.each([false, true])("0 has the color of the paper, and signs have different colors (dark: %s)", (dark) => {
  const color = colorScale({ low: -2, high: 2 }, dark);
  expect(cssColor(color(0)).bright).toBe(!dark);
  expect(new Set([color(-2), color(0), color(2)]).size).toBe(3);
  expect(color(5)).toBe(color(2));
  expect(color(Number.NaN)).toBe(color(0));
  expect(colorScale({ low: 0, high: 0 }, dark)(0)).toBe(color(0));
});
