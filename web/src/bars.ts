// The answer of a network: its most probable classes, with bars, and whether it is certain and right.

import { byId, h } from "./dom";
import { words } from "./language";
import { percent } from "./numbers";
import type { NetworkFacts } from "./site";
import { CLOSE, type Grade, gradeOf, judge } from "./verdict";

const SHOWN = 10; // classes with a bar; of more classes only the first half of it
export const SYMBOLS: Record<Grade, string> = { right: "✓", wrong: "✗", unknown: "?" };

export class Answer {
  readonly element = h("div", { class: "answer" });
  /** The answer in a few words; empty before the first image. */
  summary = "";
  private readonly headline = h("p", { class: "headline" });
  private readonly verdict = h("p", { class: "verdict" });
  private readonly list = h("ol", { class: "bars" });
  private readonly note = h("p", { class: "note" });
  private timer = 0;

  /** Calls `onChoose` with the class whose bar was pressed. */
  constructor(
    private readonly facts: NetworkFacts,
    private readonly onChoose: (index: number) => void,
  ) {
    this.list.style.setProperty("--bars", String(this.barCount)); // keeps its height when it is empty
    this.element.append(this.headline, this.verdict, this.list, this.note);
    this.wait();
  }

  /** Before the first image. */
  wait(): void {
    clearTimeout(this.timer);
    this.summary = "";
    this.headline.textContent = "–";
    this.verdict.replaceChildren(h("span", { class: "waiting" }, words.waiting));
    this.note.replaceChildren();
    this.list.replaceChildren();
  }

  private get barCount(): number {
    const { length } = this.facts.classes;
    return length <= SHOWN ? length : SHOWN / 2;
  }

  /** Shows probabilities; screen readers hear the answer when it has not changed for a moment. */
  show(probabilities: ArrayLike<number>, truth: string | null): void {
    const { classes, min_confidence: limit } = this.facts;
    const verdict = judge(probabilities, limit);
    const { order, certainty } = verdict;
    const [best = 0, second = 0] = order;
    const label = certainty === "unknown" ? words.unknown : classes[best]!;
    this.headline.textContent = label;
    const grade = truth === null ? null : gradeOf(verdict, classes, truth);
    const parts: HTMLElement[] = [];
    if (grade) parts.push(tag(grade, SYMBOLS[grade], words.grades[grade](truth!)));
    if (certainty === "unsure") parts.push(tag("unsure", "≈", words.unsure));
    this.verdict.replaceChildren(...parts);
    const shown = order.slice(0, this.barCount);
    while (this.list.children.length < shown.length) this.list.append(this.bar());
    for (const [i, index] of shown.entries()) {
      const item = this.list.children[i] as HTMLElement;
      const button = item.firstElementChild as HTMLElement;
      const [name, bar, value] = button.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
      item.dataset.probability = String(probabilities[index]);
      item.dataset.index = String(index);
      name.textContent = classes[index]!;
      (bar.firstElementChild as HTMLElement).style.width = `${100 * probabilities[index]!}%`;
      value.textContent = percent(probabilities[index]!, words.code);
      button.title = words.showSoftmax; // read after the class and its probability
    }
    const others = classes.length - shown.length;
    const notes: string[] = [];
    if (others > 0) notes.push(words.moreClasses(others));
    if (certainty === "unknown") notes.push(words.unknownBecause(percent(limit!, words.code)));
    if (certainty === "unsure") notes.push(words.unsureBecause(classes[best]!, classes[second]!, 100 * CLOSE));
    this.note.replaceChildren(...notes.map((text) => h("span", {}, text)));
    const probability = percent(probabilities[best]!, words.code);
    this.summary =
      certainty === "unknown"
        ? `${label}${words.inParentheses(`${classes[best]} ${probability}`)}`
        : `${label} ${probability}`;
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      const spoken = [
        words.announcement(label, probability),
        ...parts.map((part) => part.lastElementChild!.textContent),
      ];
      byId("status").textContent = spoken.join(words.comma);
    }, 700);
  }

  /** An empty bar, which is a button that leads to the calculation of its class. */
  private bar(): HTMLElement {
    const button = h("button", { type: "button" });
    const item = h("li", {}, button);
    button.append(
      h("span", { class: "class" }),
      h("span", { class: "bar" }, h("i")),
      h("span", { class: "probability" }),
    );
    button.addEventListener("click", () => this.onChoose(Number(item.dataset.index)));
    return item;
  }
}

/** A symbol with its text, so that nothing depends on a color. */
function tag(kind: string, symbol: string, text: string): HTMLElement {
  return h("span", { class: `tag ${kind}` }, h("span", { "aria-hidden": "true" }, `${symbol} `), h("span", {}, text));
}
