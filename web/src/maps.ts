// The values of one layer on a canvas: feature maps, bars of a vector, or cells of a long vector.

import type { Rect } from "./calculation";
import { colorScale, type Range, rangeOf } from "./colors";
import { h } from "./dom";

const MAX_BARS = 256; // longer vectors are drawn as cells
const COLUMN_HEIGHT = 364; // CSS pixels that the maps of a layer fill on a wide screen
const LARGEST_MAP = 64;
const GAP = 4;
const NAME_WIDTH = 108; // of the names of classes, with their gap

/** What is marked: one value, or a window in some of the channels. */
export interface Mark {
  rect: Rect;
  first: number;
  last: number; // channels, exclusive
  kind: "value" | "window";
}

export class FeatureMaps {
  readonly element = h("div", { class: "maps" });
  private readonly labels = h("ol", { class: "class-names", "aria-hidden": "true" });
  private readonly fixedRange: Range | null;
  private readonly canvas = h("canvas");
  private readonly overlay = h("canvas", { class: "overlay" });
  private readonly scratch = h("canvas");
  private readonly channels: number;
  private readonly height: number; // values of one map
  private readonly width: number;
  private readonly mode: "maps" | "bars" | "cells";
  private columns = 1; // maps, or cells, side by side
  private stepX = 1; // CSS pixels of one value
  private stepY = 1;
  private gap = GAP;
  range: Range = { low: 0, high: 0 };

  /** A vector has its `labels` beside its bars; `range` replaces the range of the values. */
  constructor(
    readonly shape: readonly number[],
    { labels = [], range = null }: { labels?: readonly string[]; range?: Range | null } = {},
  ) {
    const planar = shape.length >= 2 ? shape : [1, ...shape];
    this.height = planar.at(-2)!;
    this.width = planar.at(-1)!;
    this.channels = planar.slice(0, -2).reduce((a, b) => a * b, 1);
    const size = this.channels * this.height * this.width;
    const isVector = this.height * this.width === 1 || (this.channels === 1 && this.height === 1);
    this.mode = !isVector ? "maps" : size <= MAX_BARS ? "bars" : "cells";
    this.fixedRange = range;
    this.element.append(this.canvas, this.overlay);
    if (this.mode !== "bars" || labels.length === 0) return;
    this.labels.append(...labels.map((label) => h("li", { title: label }, label)));
    this.element.append(this.labels);
    this.element.classList.add("of-classes");
  }

  get size(): number {
    return this.channels * this.height * this.width;
  }

  /** Chooses the place of each value: in columns of the height of the strip, or in rows of a given width. */
  arrange(width: number | null): void {
    if (this.mode === "bars") {
      this.columns = 1;
      this.gap = 0;
      const isNamed = this.labels.childElementCount > 0; // then, a long list scrolls
      this.stepX = width ? Math.min(isNamed ? width - NAME_WIDTH : width, 220) : 84;
      this.stepY = isNamed ? 18 : Math.max(2, Math.min(18, Math.floor(COLUMN_HEIGHT / this.size)));
    } else if (this.mode === "cells") {
      this.gap = 0;
      this.stepX = this.stepY = this.size > 1024 ? 4 : 6;
      const rows = Math.min(Math.floor(COLUMN_HEIGHT / this.stepY), Math.ceil(Math.sqrt(this.size) * 1.6));
      this.columns = width ? Math.floor(width / this.stepX) : Math.ceil(this.size / rows);
    } else {
      this.gap = GAP;
      const count = this.channels;
      const target = count <= 8 ? 56 : count <= 24 ? 46 : count <= 48 ? 38 : count <= 96 ? 32 : 24;
      const longer = Math.max(this.height, this.width);
      const single = count <= 3 && width === null ? 84 : Math.min(LARGEST_MAP, target);
      this.stepX = this.stepY = longer <= single ? Math.max(1, Math.round(single / longer)) : single / longer;
      const [pitchX, pitchY] = [this.width * this.stepX + GAP, this.height * this.stepY + GAP];
      const rows = Math.max(1, Math.floor(COLUMN_HEIGHT / pitchY));
      this.columns = width ? Math.max(1, Math.floor((width + GAP) / pitchX)) : Math.ceil(count / rows);
      this.columns = Math.min(this.columns, count);
    }
    const [columns, lines] = this.grid();
    const [tileX, tileY] = this.tile();
    this.resize(columns * (tileX + this.gap) - this.gap, lines * (tileY + this.gap) - this.gap);
  }

  /** Draws all values, in one ImageData; `isAnswer`: the class with the largest value is that of an image. */
  draw(values: ArrayLike<number>, dark: boolean, isAnswer = true): void {
    this.range = this.fixedRange ?? rangeOf(values);
    this.emphasize(isAnswer ? values : []);
    const context = this.canvas.getContext("2d");
    if (!context || this.canvas.width === 0) return;
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const color = colorScale(this.range, dark);
    if (this.mode === "bars") this.drawBars(context, values, color);
    else this.drawTiles(context, values, color);
  }

  /** Marks the name of the class with the largest value, and scrolls to it when it changes; without values, none. */
  private emphasize(values: ArrayLike<number>): void {
    const names = this.labels.children;
    let best = 0;
    for (let i = 1; i < names.length; i++) if (values[i]! > values[best]!) best = i;
    if (values.length === 0) best = -1;
    if (names[best]?.classList.contains("best")) return;
    for (const [i, name] of [...names].entries()) name.classList.toggle("best", i === best);
    if (names[best]) this.scrollTo(best);
  }

  /** Scrolls a list of bars, not the page, so that a bar can be seen. */
  private scrollTo(index: number): void {
    const { element, stepY } = this;
    const top = index * stepY;
    if (top < element.scrollTop) element.scrollTop = top;
    else if (top + stepY > element.scrollTop + element.clientHeight)
      element.scrollTop = top + stepY - element.clientHeight;
  }

  /** Top and bottom, in the window, of the map, bar or cell of a value. */
  extent(index: number): { top: number; bottom: number } {
    const tile = this.mode === "maps" ? Math.floor(index / (this.height * this.width)) : index;
    const [, height] = this.tile();
    const box = this.canvas.getBoundingClientRect();
    const top = box.top + Math.floor(tile / this.columns) * (height + this.gap);
    return { top, bottom: top + height };
  }

  /** Draws filters of three channels, [filters, 3, height, width], as images: gray is 0. */
  drawColors(weights: ArrayLike<number>): void {
    const context = this.canvas.getContext("2d");
    const { low, high } = rangeOf(weights);
    const most = Math.max(-low, high) || 1;
    const [tileX, tileY] = this.tile();
    const plane = this.height * this.width;
    for (let filter = 0; filter < this.channels; filter++) {
      const values = Array.from({ length: 3 * plane }, (_, i) => weights[filter * 3 * plane + i]!);
      drawImageValues(this.scratch, values, [3, this.height, this.width], (value) => 127.5 * (1 + value / most));
      const [column, line] = [filter % this.columns, Math.floor(filter / this.columns)];
      if (context) context.imageSmoothingEnabled = false;
      context?.drawImage(this.scratch, column * (tileX + this.gap), line * (tileY + this.gap), tileX, tileY);
    }
  }

  /** Outlines values or windows; an empty list removes all outlines. */
  mark(marks: readonly Mark[]): void {
    const context = this.overlay.getContext("2d");
    if (!context) return;
    context.clearRect(0, 0, this.overlay.width, this.overlay.height);
    const style = getComputedStyle(this.element);
    const value = marks.find(({ kind }) => kind === "value");
    if (value && this.labels.childElementCount > 0) this.scrollTo(value.rect.left);
    for (const { rect, first, last, kind } of marks) {
      const coversAll = rect.bottom - rect.top >= this.height && rect.right - rect.left >= this.width;
      if (kind === "window" && coversAll && this.size > 1) continue; // an outline of every map would say nothing
      const color = style.getPropertyValue(kind === "value" ? "--mark" : "--mark-window");
      for (let channel = first; channel < Math.min(last, this.mode === "maps" ? this.channels : first + 1); channel++) {
        const [x, y, width, height] = this.boxOf(channel, rect);
        this.outline(context, x, y, width, height, color);
      }
    }
  }

  /** Index of the value under the pointer; null outside of the maps. */
  indexAt(event: MouseEvent): number | null {
    const box = this.canvas.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const [tileX, tileY] = this.tile();
    const [column, line] = [Math.floor(x / (tileX + this.gap)), Math.floor(y / (tileY + this.gap))];
    if (x < 0 || y < 0) return null;
    if (this.mode === "bars") return line < this.size ? line : null; // the name beside a bar belongs to it
    if (column >= this.columns) return null;
    // the gap after a map belongs to it, so that pointing is easy
    const inX = Math.min(x - column * (tileX + this.gap), tileX - 1);
    const inY = Math.min(y - line * (tileY + this.gap), tileY - 1);
    const tile = line * this.columns + column;
    if (this.mode !== "maps") return tile < this.size ? tile : null;
    if (tile >= this.channels) return null;
    return (tile * this.height + Math.floor(inY / this.stepY)) * this.width + Math.floor(inX / this.stepX);
  }

  /** Index after a key was pressed; null if the key does not move. */
  moved(index: number, key: string): number | null {
    const plane = this.height * this.width;
    const isMap = this.mode === "maps";
    const [x, y] = [index % this.width, Math.floor(index / this.width) % this.height];
    const across = this.mode === "bars" ? 0 : 1;
    const steps: Record<string, number> = {
      ArrowLeft: isMap && x === 0 ? 0 : -across,
      ArrowRight: isMap && x === this.width - 1 ? 0 : across,
      ArrowUp: isMap ? (y === 0 ? 0 : -this.width) : -this.columns,
      ArrowDown: isMap ? (y === this.height - 1 ? 0 : this.width) : this.columns,
      PageUp: isMap ? -plane : -10 * this.columns,
      PageDown: isMap ? plane : 10 * this.columns,
      Home: -(isMap ? index % plane : index),
      End: isMap ? plane - 1 - (index % plane) : this.size - 1 - index,
    };
    const step = steps[key];
    if (step === undefined) return null;
    const target = index + step;
    return target >= 0 && target < this.size ? target : index;
  }

  /** Columns and lines of tiles: maps, bars or cells. */
  private grid(): [number, number] {
    const tiles = this.mode === "maps" ? this.channels : this.size;
    return [Math.min(this.columns, tiles), Math.ceil(tiles / this.columns)];
  }

  /** Width and height of a tile in CSS pixels. */
  private tile(): [number, number] {
    if (this.mode !== "maps") return [this.stepX, this.stepY];
    return [this.width * this.stepX, this.height * this.stepY];
  }

  private resize(width: number, height: number): void {
    for (const canvas of [this.canvas, this.overlay]) {
      canvas.width = Math.ceil(width * devicePixelRatio);
      canvas.height = Math.ceil(height * devicePixelRatio);
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
      canvas.getContext("2d")?.scale(devicePixelRatio, devicePixelRatio);
    }
    if (this.labels.childElementCount > 0) return;
    this.element.style.width = `${width}px`;
    this.element.style.height = `${height}px`;
  }

  private drawBars(
    context: CanvasRenderingContext2D,
    values: ArrayLike<number>,
    color: (value: number) => number,
  ): void {
    const { low, high } = this.range;
    const span = high - Math.min(0, low) || 1;
    const zero = (-Math.min(0, low) / span) * this.stepX;
    const thickness = this.stepY > 3 ? this.stepY - 1 : this.stepY;
    const style = getComputedStyle(this.element);
    context.fillStyle = style.getPropertyValue("--bar-track");
    context.fillRect(0, 0, this.stepX, this.size * this.stepY);
    for (let i = 0; i < this.size; i++) {
      const length = (values[i]! / span) * this.stepX;
      const extreme = values[i]! < 0 ? low : high;
      context.fillStyle = css(color(0.35 * extreme + 0.65 * values[i]!));
      context.fillRect(Math.min(zero, zero + length), i * this.stepY, Math.abs(length), thickness);
    }
    context.fillStyle = style.getPropertyValue("--line");
    if (low < 0) context.fillRect(zero - 0.5, 0, 1, this.size * this.stepY);
  }

  private drawTiles(
    context: CanvasRenderingContext2D,
    values: ArrayLike<number>,
    color: (value: number) => number,
  ): void {
    const [columns, lines] = this.grid();
    const isMap = this.mode === "maps";
    const [width, height] = isMap ? [this.width, this.height] : [1, 1];
    this.scratch.width = columns * width;
    this.scratch.height = lines * height;
    const scratch = this.scratch.getContext("2d");
    if (!scratch) return;
    const image = scratch.createImageData(this.scratch.width, this.scratch.height);
    const pixels = new Uint32Array(image.data.buffer);
    const tiles = isMap ? this.channels : this.size;
    for (let tile = 0, i = 0; tile < tiles; tile++) {
      const corner = Math.floor(tile / columns) * height * image.width + (tile % columns) * width;
      for (let y = 0; y < height; y++) {
        for (let x = 0; x < width; x++) pixels[corner + y * image.width + x] = color(values[i++]!);
      }
    }
    scratch.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = this.stepX < 1;
    const [tileX, tileY] = this.tile();
    if (!isMap) {
      context.drawImage(this.scratch, 0, 0, columns * tileX, lines * tileY);
      return;
    }
    for (let tile = 0; tile < tiles; tile++) {
      const [column, line] = [tile % columns, Math.floor(tile / columns)];
      const target = [column * (tileX + this.gap), line * (tileY + this.gap), tileX, tileY] as const;
      context.drawImage(this.scratch, column * width, line * height, width, height, ...target);
    }
  }

  /** Place of a rectangle of values in CSS pixels: x, y, width, height. */
  private boxOf(channel: number, rect: Rect): [number, number, number, number] {
    const [tileX, tileY] = this.tile();
    if (this.mode !== "maps") {
      const index = Math.max(channel, rect.left); // a vector is a row of values, or of channels of one value
      return [(index % this.columns) * tileX, Math.floor(index / this.columns) * tileY, tileX, tileY];
    }
    const [column, line] = [channel % this.columns, Math.floor(channel / this.columns)];
    return [
      column * (tileX + this.gap) + rect.left * this.stepX,
      line * (tileY + this.gap) + rect.top * this.stepY,
      (rect.right - rect.left) * this.stepX,
      (rect.bottom - rect.top) * this.stepY,
    ];
  }

  /** A colored frame with a thin one of the page's color around it, so that it shows on every color. */
  private outline(
    context: CanvasRenderingContext2D,
    x: number,
    y: number,
    width: number,
    height: number,
    color: string,
  ): void {
    const [w, ht] = [Math.max(width, 3), Math.max(height, 3)];
    context.lineWidth = 3;
    context.strokeStyle = getComputedStyle(this.element).getPropertyValue("--page");
    context.strokeRect(x, y, w, ht);
    context.lineWidth = 1.5;
    context.strokeStyle = color;
    context.strokeRect(x, y, w, ht);
  }
}

function css(color: number): string {
  return `rgb(${color & 255} ${(color >> 8) & 255} ${(color >> 16) & 255})`;
}

/** Draws an image of gray levels or RGB on a canvas of its own size: [channels, height, width], from low to high. */
export function drawImageValues(
  canvas: HTMLCanvasElement,
  values: ArrayLike<number>,
  shape: readonly number[],
  level: (value: number, channel: number) => number,
): void {
  const [channels, height, width] = shape as [number, number, number];
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  if (!context) return;
  const image = context.createImageData(width, height);
  const plane = width * height;
  for (let i = 0; i < plane; i++) {
    for (let c = 0; c < 3; c++) {
      const channel = channels === 3 ? c : 0;
      image.data[4 * i + c] = level(values[channel * plane + i]!, channel);
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}
