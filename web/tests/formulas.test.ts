// Long formulas are broken between their terms.

import { expect, test } from "vitest";
import { piecesOf } from "../src/dom";

test.each([
  ["2 × 3 + … + 4 = 10", ["2 × 3", "+ …", "+ 4", "= 10"]],
  ["− 2 − 1 = − 3", ["− 2", "− 1", "= − 3"]],
  ["max ( 1 , 2 , 3 ) = 3", ["max ( 1 ,", "2 ,", "3 )", "= 3"]],
  ["0.5", ["0.5"]],
])("%s", (formula, lines) => {
  const parts = formula.split(" ");
  const pieces = piecesOf(parts, (part) => (/[\d.…]/.test(part) ? null : part));
  expect(pieces.map((piece) => piece.join(" "))).toEqual(lines);
});
