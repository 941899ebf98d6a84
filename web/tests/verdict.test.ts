// Whether an answer is certain, and whether it is right.

import { expect, test } from "vitest";
import { gradeOf, judge } from "../src/verdict";

test("an answer is unsure if the second class is close", () => {
  expect(judge([0.1, 0.6, 0.3], null)).toEqual({ order: [1, 2, 0], certainty: "sure" });
  expect(judge([0.2, 0.42, 0.38], null).certainty).toBe("unsure");
  expect(judge([1], null).certainty).toBe("sure");
  expect(judge([Number.NaN, Number.NaN], null).certainty).toBe("unsure");
});

test("a smallest confidence replaces this bound", () => {
  expect(judge([0.2, 0.42, 0.38], 0.4).certainty).toBe("sure");
  expect(judge([0.1, 0.6, 0.3], 0.7).certainty).toBe("unknown");
});

test("the most probable class is right or wrong, and no answer is neither", () => {
  const classes = ["a", "b", "c"];
  expect(gradeOf(judge([0.1, 0.6, 0.3], null), classes, "b")).toBe("right");
  expect(gradeOf(judge([0.1, 0.6, 0.3], null), classes, "c")).toBe("wrong");
  expect(gradeOf(judge([0.1, 0.6, 0.3], 0.7), classes, "b")).toBe("unknown");
  expect(gradeOf(judge([0.1, 0.6, 0.3], null), classes, "of other data")).toBeNull();
});
