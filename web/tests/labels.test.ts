// What the heading says of a network.

import { expect, test, vi } from "vitest";
import { en } from "../src/languages/en";
import type { NetworkFacts } from "../src/site";

vi.stubGlobal("navigator", { languages: ["en"] });
vi.stubGlobal("location", { search: "" });
const { describe } = await import("../src/labels");

test("the heading names the data, the accuracy beside chance, the size, and int8", () => {
  const facts = {
    data_name: "fashion_mnist",
    data_title: "Fashion-MNIST",
    test_accuracy: 0.9044,
    test_images: 10_000,
    classes: Array.from({ length: 10 }, (_, i) => String(i)),
    epochs: [],
    parameters: 61_706,
    macs: 416_520,
    int8: true,
  } as unknown as NetworkFacts;
  const heading = describe(facts);
  expect(heading).toContain("Trained on Fashion-MNIST · 90.4% correct on 10,000 test images (chance: 10.0%)");
  expect(heading.split(" · ").at(-1)).toBe(en.int8);
  expect(describe({ ...facts, int8: false })).not.toContain(en.int8);
});
