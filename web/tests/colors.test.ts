// Color scales of values and of images.

import { expect, test } from "vitest";
import { colorScale, cssColor, rangeOf } from "../src/colors";

test("a scale starts at 0, unless all values are far from it", () => {
  expect(rangeOf([5.35e-5, 0.9, 0.2])).toEqual({ low: 0, high: 0.9 });
  expect(rangeOf([0.45, 0.55])).toEqual({ low: 0.45, high: 0.55 });
  expect(rangeOf([-1, 3])).toEqual({ low: -3, high: 3 });
});

test.each([false, true])("an image is gray, from black to white, on a dark page as on a bright one: %s", (dark) => {
  const color = colorScale({ low: -0.8, high: 2, isGray: true }, dark);
  expect(cssColor(color(-0.8))).toEqual({ background: "rgb(0 0 0)", bright: false });
  expect(cssColor(color(2))).toEqual({ background: "rgb(255 255 255)", bright: true });
  expect(cssColor(color(0.6)).background).toBe("rgb(128 128 128)");
  expect([color(-9), color(9)]).toEqual([color(-0.8), color(2)]);
});
