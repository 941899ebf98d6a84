// All layers of a network in one line of buttons, which lead to a layer and mark those in view.

import { h } from "./dom";
import { words } from "./language";

export class Overview {
  readonly element = h("nav", { class: "overview", hidden: "" });
  private waiting = false;

  /**
   * @param frame what scrolls sideways
   * @param entries the columns in it, with their names
   * @param choose shows the values of the layer of a column
   */
  constructor(
    private readonly frame: HTMLElement,
    private readonly entries: readonly { name: string; column: HTMLElement }[],
    choose: (place: number) => void,
  ) {
    this.element.setAttribute("aria-label", words.overview);
    this.element.append(
      h("span", { "aria-hidden": "true" }, words.overview),
      ...entries.map(({ name, column }, place) => {
        const button = h("button", { type: "button" }, name);
        button.addEventListener("click", () => {
          this.goTo(column);
          choose(place);
        });
        return button;
      }),
    );
    frame.addEventListener("scroll", () => this.update());
    new ResizeObserver(() => this.update()).observe(frame);
  }

  private goTo(column: HTMLElement): void {
    const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
    this.frame.scrollTo({ left: column.offsetLeft - 16, behavior: calm ? "auto" : "smooth" });
    column.querySelector<HTMLElement>(".maps")?.focus({ preventScroll: true });
  }

  /** Marks the layers in view; hidden if all of them are. */
  private update(): void {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      const { scrollLeft, clientWidth, scrollWidth } = this.frame;
      this.element.hidden = scrollWidth <= clientWidth;
      const buttons = this.element.querySelectorAll("button");
      for (const [i, { column }] of this.entries.entries()) {
        const middle = column.offsetLeft + column.offsetWidth / 2;
        const inView = middle > scrollLeft && middle < scrollLeft + clientWidth;
        buttons[i]!.classList.toggle("in-view", inView);
        if (inView) buttons[i]!.setAttribute("aria-current", "true");
        else buttons[i]!.removeAttribute("aria-current");
      }
    });
  }
}
