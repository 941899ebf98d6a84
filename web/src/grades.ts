// Marks on the test images: which of them were tried, and how each network has answered.

import { SYMBOLS } from "./bars";
import { h } from "./dom";
import { words } from "./language";
import type { Grade } from "./verdict";

/** How a network with a name has answered. */
export interface Tried {
  name: string;
  grade: Grade;
}

const tried = new WeakMap<HTMLElement, readonly Tried[]>();

/** Marks a test image that every network has answered; an empty list removes the marks. */
export function markExample(button: HTMLElement, answers: readonly Tried[]): void {
  tried.set(button, answers);
  button.querySelector(".marks")?.remove();
  if (answers.length > 0) {
    const marks = answers.map(({ grade }) => h("b", { class: grade }, SYMBOLS[grade]));
    button.append(h("span", { class: "marks", "aria-hidden": "true" }, ...marks));
  }
  labelExample(button);
}

/** Writes what screen readers say of a test image. */
export function labelExample(button: HTMLElement): void {
  const answers = tried.get(button) ?? [];
  const named = answers.length > 1;
  const texts = answers.map(({ name, grade }) => (named ? name + words.colon : "") + words.gradeNames[grade]);
  button.setAttribute("aria-label", [words.example(button.dataset.class ?? ""), ...texts].join(words.comma));
}
