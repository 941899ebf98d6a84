// Characters are centered as by classicnets/handwriting.py: characters.json is written by tests/web/make_characters.py.

import { expect, test } from "vitest";
import type { Pixels } from "../src/fit";
import { centerCharacter } from "../src/handwriting";
import cases from "./characters.json";

/** Boxes of ink on paper, with a shadow from left to right and grain. */
function imageOf({ ink, paper, boxes, shadow, grain, scale }: (typeof cases)[number]): Pixels {
  const size = 100 * scale;
  const data = new Uint8ClampedArray(4 * size * size).fill(255);
  let state = 1;
  for (let i = 0; i < size * size; i++) {
    const [x, y] = [i % size, Math.floor(i / size)];
    const inside = ([left, top, right, bottom]: number[]) =>
      x >= left! * scale && x < right! * scale && y >= top! * scale && y < bottom! * scale;
    for (let c = 0; c < 3; c++) {
      state = (state * 16807) % 2147483647;
      const noise = grain ? (state % (2 * grain + 1)) - grain : 0;
      data[4 * i + c] = (boxes.some(inside) ? ink : paper)[c]! - Math.floor((shadow * x) / size) + noise;
    }
  }
  return { data, width: size, height: size };
}

test.each(cases)("$title", (entry) => {
  const character = centerCharacter(imageOf(entry), 28);
  if (entry.expected === null) {
    expect(character).toBeNull();
    return;
  }
  const differences = Array.from(character!, (value, i) => Math.abs(value - entry.expected[i]!));
  expect(Math.max(...differences)).toBeLessThanOrEqual(5); // Python rounds to 256 levels in between
});
