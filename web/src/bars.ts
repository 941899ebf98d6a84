// The answer of a network: its most probable classes, with bars.

import { byId, h } from "./dom";
import { words } from "./language";
import { percent } from "./numbers";
import type { NetworkFacts } from "./site";

const SHOWN = 10; // classes with a bar; of more classes only the first half of it

export class Answer {
  readonly element = h("div", { class: "answer" });
  private readonly headline = h("p", { class: "headline" });
  private readonly list = h("ol", { class: "bars" });
  private readonly note = h("p", { class: "note" });
  private timer = 0;

  constructor(private readonly facts: NetworkFacts) {
    this.element.append(this.headline, this.list, this.note);
    this.wait();
  }

  /** Before the first image. */
  wait(): void {
    clearTimeout(this.timer);
    this.headline.textContent = "–";
    this.note.textContent = words.waiting;
    this.list.replaceChildren();
  }

  /** Shows probabilities; screen readers hear the answer when it has not changed for a moment. */
  show(probabilities: ArrayLike<number>): void {
    const { classes, min_confidence: limit } = this.facts;
    const order = Array.from(classes, (_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]!);
    const best = order[0] ?? 0;
    const isUnknown = limit !== null && limit !== undefined && !(probabilities[best]! >= limit);
    const label = isUnknown ? words.unknown : classes[best]!;
    this.headline.textContent = label;
    const shown = order.slice(0, classes.length <= SHOWN ? SHOWN : SHOWN / 2);
    while (this.list.children.length < shown.length) {
      const bar = h("span", { class: "bar" }, h("i"));
      this.list.append(h("li", {}, h("span", { class: "class" }), bar, h("span", { class: "probability" })));
    }
    for (const [i, index] of shown.entries()) {
      const item = this.list.children[i] as HTMLElement;
      const [name, bar, value] = item.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
      item.dataset.probability = String(probabilities[index]);
      name.textContent = name.title = classes[index]!;
      (bar.firstElementChild as HTMLElement).style.width = `${100 * probabilities[index]!}%`;
      value.textContent = percent(probabilities[index]!, words.code);
    }
    const others = classes.length - shown.length;
    this.note.textContent = isUnknown
      ? words.unknownBecause(percent(limit, words.code))
      : others > 0
        ? words.moreClasses(others)
        : "";
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => {
      byId("status").textContent = words.announcement(label, percent(probabilities[best]!, words.code));
    }, 700);
  }
}
