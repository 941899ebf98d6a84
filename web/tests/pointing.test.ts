// Choosing a value: in an enlarged map, in the next layer, and with a panel that does not cover it.

import { expect, test } from "vitest";
import { isAtTop } from "../src/docking";
import { movedIn, planeOf } from "../src/plane";
import { placeIn, strikingIndex } from "../src/steps";

test("a channel is enlarged, or all units of a vector", () => {
  expect(planeOf([4, 5, 6], 70)).toEqual({ start: 60, count: 30, height: 5, width: 6 });
  expect(planeOf([10], 7)).toEqual({ start: 0, count: 10, height: 3, width: 4 });
  expect(planeOf([9, 1, 1], 7)).toEqual({ start: 0, count: 9, height: 3, width: 3 });
});

test("keys stay inside, and Page Up and Page Down change the channel", () => {
  const map = planeOf([4, 5, 6], 70);
  const move = (index: number, key: string) => movedIn(planeOf([4, 5, 6], index), 120, index, key);
  expect(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"].map((key) => move(70, key))).toEqual([69, 71, 64, 76]);
  expect(["ArrowLeft", "ArrowUp", "Home", "PageUp"].map((key) => move(0, key))).toEqual([0, 0, 0, 0]);
  expect([move(70, "PageUp"), move(70, "PageDown"), move(70, "End")]).toEqual([40, 100, map.start + 29]);
  expect(move(70, "a")).toBeNull();
  expect(movedIn(planeOf([10], 7), 10, 7, "ArrowDown")).toBe(7); // the last row is not full
});

test("the next layer is entered at the same place", () => {
  expect(placeIn([6, 14, 14], 2 * 784 + 14 * 28 + 14, [6, 28, 28])).toBe(2 * 196 + 7 * 14 + 7);
  expect(placeIn([1, 28, 28], 5 * 784, [6, 28, 28])).toBe(0);
  expect(placeIn([400], 123, [16, 5, 5])).toBe(123);
  expect(placeIn([10], 119, [120])).toBe(9);
  for (const index of [0, 150, 399]) expect(placeIn([10], index, [16, 5, 5])).toBeLessThan(10);
});

test("the panel leaves the chosen value in view, and moves only if it covers it", () => {
  const at = (top: number, atTop = false) => isAtTop({ top, bottom: top + 60 }, 280, 640, atTop);
  expect([at(100), at(280), at(400), at(570)]).toEqual([false, false, true, true]);
  expect([at(100, true), at(280, true), at(570, true)]).toEqual([false, true, true]);
  expect(at(-80, true)).toBe(false); // scrolled away
  expect(isAtTop(null, 280, 640, true)).toBe(false);
});

test("the first value shown is the most striking one in the middle of a map, not at its border", () => {
  const maps = Array.from({ length: 2 * 64 }, () => 5); // two flat maps
  [maps[0], maps[127]] = [90, -90]; // corners, which padding makes large
  maps[64 + 3 * 8 + 4] = 7;
  maps[2 * 8 + 2] = 6;
  expect(strikingIndex([2, 8, 8], maps)).toBe(64 + 3 * 8 + 4);
  expect(strikingIndex([4], [0, 1, -9, 2])).toBe(2);
  expect(strikingIndex([4], [])).toBe(0);
});
