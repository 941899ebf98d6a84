// Every change of the drawing area can be undone, within the memory of a browser.

import { expect, test } from "vitest";
import { History } from "../src/history";

const state = (name: string, side = 0) => ({ name, image: side ? { width: side, height: side } : null });

test("a change is undone, and the first state stays", () => {
  const history = new History(state("empty"));
  for (const name of ["image", "stroke", "empty again"]) history.change(state(name));
  const names = [1, 2, 3, 4].map(() => {
    history.undo();
    return history.now.name;
  });
  expect(names).toEqual(["stroke", "image", "empty", "empty"]);
  expect(history.isEmpty).toBe(true);
});

test("what is shown first cannot be undone", () => {
  const history = new History(state("empty"));
  history.change(state("first image"));
  history.forget();
  history.undo();
  expect([history.now.name, history.isEmpty]).toEqual(["first image", true]);
});

test("large images are forgotten, strokes on one image are not", () => {
  const history = new History(state("empty"));
  const photo = state("photo", 6000);
  for (let i = 0; i < 50; i++) history.change({ ...photo, name: `stroke ${i}` }); // the same image
  history.undo();
  expect(history.now.name).toBe("stroke 48");
  for (const name of ["a", "b", "c"]) history.change(state(name, 6000));
  history.undo();
  expect([history.now.name, history.isEmpty]).toEqual(["b", true]);
});
