// The languages have the same texts, and the Chinese ones use the terms of the glossary.

import { expect, test } from "vitest";
import glossary from "../../tools/glossary.csv?raw";
import { en } from "../src/languages/en";
import { zh } from "../src/languages/zh";

type Text = string | ((...values: never[]) => string);

/** All texts by their path: "grades.right". */
function textsOf(words: object, path = ""): Map<string, Text> {
  return new Map(
    Object.entries(words).flatMap(([key, value]: [string, Text | object]) =>
      typeof value === "object" ? [...textsOf(value, `${path}${key}.`)] : [[`${path}${key}`, value]],
    ),
  );
}

/** What a text says with a mark for each value; functions take strings, numbers and truth values as they are. */
function written(text: Text, count: number): string {
  if (typeof text === "string") return text;
  const marks = Array.from({ length: count }, (_, i) => `<${i}>`);
  return text(...(marks as never[]));
}

const english = textsOf(en);
const chinese = textsOf(zh);

test("both languages have the same keys", () => {
  expect([...chinese.keys()]).toEqual([...english.keys()]);
});

test.each([...english.keys()])("%s has the same values in both languages", (key) => {
  const [ours, theirs] = [english.get(key)!, chinese.get(key)!];
  expect(typeof theirs).toBe(typeof ours);
  const count = typeof ours === "string" ? 0 : ours.length;
  const marksOf = (text: Text) => [...new Set(written(text, count).match(/<\d+>/g))].sort();
  expect(marksOf(theirs)).toEqual(marksOf(ours));
});

test("the Chinese texts use the terms of the glossary", () => {
  const lines = glossary.trim().split("\n").slice(1);
  const avoided = lines.flatMap((line) => line.split(",")[2]!.trim().split(/\s+/)).filter((word) => word);
  expect(avoided).toContain("池化");
  const found = [...chinese].flatMap(([key, text]) => {
    const said = written(text, 9);
    return avoided.filter((word) => said.includes(word)).map((word) => `${key}: ${word}`);
  });
  expect(found).toEqual([]);
});

test("a Chinese sentence has full-width punctuation, and a space beside Latin letters and digits", () => {
  const found = [...chinese].filter(([, text]) => {
    const said = written(text, 9);
    return /[一-鿿][,.:;?!()]|[,:;?!()][一-鿿]|[一-鿿][A-Za-z0-9]|[A-Za-z0-9][一-鿿]/.test(said);
  });
  expect(found.map(([key]) => key)).toEqual([]);
});
