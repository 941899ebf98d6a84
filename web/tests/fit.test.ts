// Images are fitted as in examples/browser/index.html, which tests/project/test_browser.py compares with Pillow.

import { expect, test } from "vitest";
import example from "../../examples/browser/index.html?raw";
import { fitPixels, seenPart } from "../src/fit";
import type { Preprocess } from "../src/site";

type Prepare = (rgba: Uint8ClampedArray, width: number, height: number, preprocess: Preprocess) => Uint8Array;
const [, functions = ""] = example.split("// --- functions to copy");
const prepare = new Function(`//${functions.split("// --- this page")[0]}; return preparePixels;`)() as Prepare;

function noise(width: number, height: number): Uint8ClampedArray {
  let state = 12345;
  return Uint8ClampedArray.from({ length: width * height * 4 }, () => {
    state = (state * 1103515245 + 12345) % 2147483648;
    return state >> 16;
  });
}

const SIZES = [
  [8, 8],
  [1, 1],
  [7, 31],
  [31, 7],
  [8, 3],
  [3, 8],
  [100, 9],
  [9, 100],
] as const;

test.each(["stretch", "crop", "letterbox"] as const)("every size is fitted by %s", (fit) => {
  for (const channels of [1, 3]) {
    for (const [pad, resize] of [
      [0, null],
      [1, 9],
    ] as const) {
      const preprocess: Preprocess = {
        channels,
        image_size: 8,
        resize,
        pad,
        fit,
        mean: [0],
        std: [1],
        views: 1,
        background: "#3080f0",
      };
      for (const [width, height] of SIZES) {
        const data = noise(width, height);
        const expected = prepare(data, width, height, preprocess);
        expect(fitPixels({ data, width, height }, preprocess)).toEqual(expected);
      }
    }
  }
});

test("a long strip needs no square of its length", () => {
  const preprocess: Preprocess = {
    channels: 3,
    image_size: 4,
    resize: null,
    pad: 0,
    fit: "letterbox",
    mean: [0],
    std: [1],
    views: 1,
    background: "#000000",
  };
  const white = { data: new Uint8ClampedArray(4 * 100_000).fill(255), width: 100_000, height: 1 };
  const fitted = fitPixels(white, preprocess); // the square would have 30 GB
  expect(fitted.length).toBe(48);
});

test.each([
  ["everything", { fit: "stretch" }, [0, 0, 40, 20]],
  ["the middle square", { fit: "crop" }, [10, 0, 30, 20]],
  ["everything, with a border", { fit: "letterbox" }, [0, 0, 40, 20]],
  ["a crop of the middle", { fit: "stretch", resize: 10 }, [4, 2, 36, 18]],
  ["a crop of the middle square", { fit: "crop", resize: 10 }, [12, 2, 28, 18]],
  ["a crop that reaches into the border", { fit: "letterbox", resize: 10 }, [4, 0, 36, 20]],
  ["everything, in ten views", { fit: "stretch", resize: 10, views: 10 }, [0, 0, 40, 20]],
  ["everything, padded", { fit: "stretch", resize: 6, pad: 1 }, [0, 0, 40, 20]],
  ["an uneven crop of the middle", { fit: "stretch", resize: 9 }, [0, 0, (40 * 8) / 9, (20 * 8) / 9]],
] as const)("the network sees %s", (_, changes, [left, top, right, bottom]) => {
  const plain = {
    channels: 1,
    image_size: 8,
    resize: null,
    pad: 0,
    views: 1,
    mean: [0],
    std: [1],
    background: "#000000",
  };
  expect(seenPart(40, 20, { ...plain, ...changes })).toEqual({ left, top, right, bottom });
});
