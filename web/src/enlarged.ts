// The enlarged channel of the chosen value, or all units of a vector, where mouse, touch and keys choose a value.

import { colorScale, type Range } from "./colors";
import { byId, h } from "./dom";
import { words } from "./language";
import { drawImageValues } from "./maps";
import { shapeText } from "./numbers";
import { isOfMaps, movedIn, type Plane, planeOf } from "./plane";
import { isDark } from "./theme";

const LARGE = 240; // CSS pixels of its longer side
const SMALL = 152; // on a phone
const PAUSE = 250; // milliseconds at each value of a sweep

export class EnlargedMap {
  private readonly element = byId("enlarged");
  private readonly caption = h("figcaption");
  private readonly canvas = h("canvas");
  private readonly frame = h("div", { class: "frame" });
  private readonly pad = h("div", { class: "framed choosable", tabindex: "0", role: "application" });
  private readonly note = h("p", { class: "note" });
  private readonly sweepButton = h("button", { type: "button", class: "sweep" });
  private timer = 0; // of the next step of a sweep; 0: there is none
  private plane: Plane = { start: 0, count: 1, height: 1, width: 1 };
  private size = 1;
  private index = 0;

  /** Calls `choose` with the index of a value in the layer, and `sweep` with each of those that it moves over. */
  constructor(
    private readonly choose: (index: number) => void,
    private readonly sweep: (index: number) => Promise<void>,
  ) {
    this.pad.append(this.canvas, this.frame);
    this.element.append(h("figure", {}, this.caption, this.pad, this.note, this.sweepButton));
    this.sweepButton.addEventListener("click", () => {
      if (isCalm()) this.choose(this.following());
      else if (this.timer) this.stop();
      else void this.step();
    });
    document.addEventListener("keydown", (event) => {
      const isPress = event.target === this.sweepButton && (event.key === "Enter" || event.key === " ");
      if (!isPress) this.stop(); // the press becomes a click
    });
    this.pad.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      this.pad.setPointerCapture(event.pointerId);
      this.chooseAt(event);
    });
    this.pad.addEventListener("pointermove", (event) => {
      if (this.pad.hasPointerCapture(event.pointerId)) this.chooseAt(event);
    });
    this.pad.addEventListener("keydown", (event) => {
      if (event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
      const target = movedIn(this.plane, this.size, this.index, event.key);
      if (target === null) return;
      event.preventDefault();
      this.choose(target);
    });
  }

  hide(): void {
    this.stop();
    this.element.hidden = true;
  }

  /** Ends a sweep. */
  stop(): void {
    clearTimeout(this.timer);
    this.timer = 0;
    this.label();
  }

  /** Moves to the next value, and to others after a while, up to the last one. */
  private async step(): Promise<void> {
    clearTimeout(this.timer);
    this.timer = window.setTimeout(() => void this.step(), PAUSE);
    this.label();
    const index = this.following();
    await this.sweep(index);
    if (index === this.plane.start + this.plane.count - 1) this.stop();
  }

  /** The value after the shown one, row by row; after the last one, the first one. */
  private following(): number {
    const { start, count } = this.plane;
    return start + ((this.index - start + 1) % count);
  }

  private label(): void {
    this.sweepButton.textContent = isCalm() ? words.sweepStep : this.timer ? words.sweepStop : words.sweep;
  }

  /** Draws the plane of a value with the colors of its layer. */
  show(shape: readonly number[], values: Float32Array, index: number, range: Range): void {
    const plane = planeOf(shape, index);
    const { start, count, height, width } = plane;
    this.plane = plane;
    this.size = values.length;
    this.index = index;
    this.element.hidden = false;
    this.label();
    const color = colorScale(range, isDark());
    const pixels = Uint32Array.from({ length: height * width }, (_, i) => (i < count ? color(values[start + i]!) : 0));
    const colors = Float32Array.from({ length: 3 * pixels.length }, (_, i) => {
      return (pixels[i % pixels.length]! >> (8 * Math.floor(i / pixels.length))) & 255;
    });
    drawImageValues(this.canvas, colors, [3, height, width], (value) => value);
    if (count < height * width) {
      this.canvas.getContext("2d")?.clearRect(count % width, height - 1, width, 1);
    }
    const scale = (innerWidth > 700 ? LARGE : SMALL) / Math.max(height, width);
    this.canvas.style.width = `${width * scale}px`;
    this.canvas.style.height = `${height * scale}px`;
    const [row, column] = [Math.floor((index - start) / width), (index - start) % width];
    const { style } = this.frame;
    style.left = `${column * scale}px`;
    style.top = `${row * scale}px`;
    style.width = style.height = `${scale}px`;
    const isMap = isOfMaps(shape);
    this.caption.textContent = isMap ? words.enlargedMap(start / count) : words.enlargedUnits(count);
    this.note.textContent = `${shapeText(isMap ? [height, width] : [count])} · ${words.chooseHere}`;
    this.pad.setAttribute("aria-label", this.caption.textContent + words.fullStop + words.enlargedKeys);
  }

  private chooseAt(event: PointerEvent): void {
    const box = this.canvas.getBoundingClientRect();
    const { start, count, height, width } = this.plane;
    const place = (at: number, from: number, length: number, cells: number) =>
      Math.max(0, Math.min(cells - 1, Math.floor(((at - from) * cells) / length)));
    const column = place(event.clientX, box.left, box.width, width);
    const row = place(event.clientY, box.top, box.height, height);
    if (row * width + column < count) this.choose(start + row * width + column);
  }
}

/** Whether the user wants nothing to move by itself. */
function isCalm(): boolean {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}
