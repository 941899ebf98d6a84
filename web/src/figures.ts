// The figures of a calculation: tables of colored numbers, bars of products, and canvases with a frame.

import type { Cell, Rect } from "./calculation";
import { colorScale, cssColor, type Range } from "./colors";
import { h } from "./dom";
import { words } from "./language";
import { operand, short, tiny } from "./numbers";
import { isDark } from "./theme";

const FIGURE = 132; // CSS pixels of what the network sees, on a wide window
const SMALL_FIGURE = 92;
const MAX_VIEWS = 2; // with columns of their own

export function figure(caption: string, content: HTMLElement, note = ""): HTMLElement {
  const element = h("figure", {}, h("figcaption", {}, caption), content);
  if (note) element.append(h("p", { class: "note" }, note));
  return element;
}

/** A canvas with a frame around a rectangle of its values. */
export function framed(
  canvas: HTMLCanvasElement,
  rect: Rect | false | undefined,
  height: number,
  width: number,
): HTMLElement {
  const scale = (innerWidth > 700 ? FIGURE : SMALL_FIGURE) / Math.max(height, width);
  canvas.style.width = `${width * scale}px`;
  canvas.style.height = `${height * scale}px`;
  const box = h("div", { class: "framed" }, canvas);
  if (rect) {
    const frame = h("div", { class: "frame" });
    frame.style.left = `${rect.left * scale}px`;
    frame.style.top = `${rect.top * scale}px`;
    frame.style.width = `${(rect.right - rect.left) * scale}px`;
    frame.style.height = `${(rect.bottom - rect.top) * scale}px`;
    box.append(frame);
  }
  return box;
}

/** Something with the sign before it, which stay together. */
export function withOperator(sign: string, content: HTMLElement): HTMLElement {
  return h("div", { class: "with-operator" }, h("div", { class: "operator", "aria-hidden": "true" }, sign), content);
}

/** A window or kernel as a table of colored numbers. */
export function grid(
  caption: string,
  cells: readonly Cell[][],
  value: (cell: Cell) => number,
  range: Range,
  isKernel = false,
  chosen?: Cell,
): HTMLElement {
  const color = colorScale(range, isDark());
  const most = Math.max(...cells.flat().map((cell) => Math.abs(value(cell))));
  const size = cells.length > 7 ? " small" : cells.length > 3 ? " medium" : "";
  const table = h("table", { class: `grid${size}` });
  for (const line of cells) {
    const tableRow = table.insertRow();
    for (const cell of line) {
      const { background, bright } = cssColor(color(value(cell)));
      const data = tableRow.insertCell();
      data.textContent = tiny(value(cell), most);
      data.style.background = background;
      data.className = bright ? "bright" : "dim";
      if (!cell.inside && !isKernel) data.classList.add("outside");
      if (cell === chosen) data.classList.add("chosen");
    }
  }
  return figure(caption, h("div", { class: "grid-frame", tabindex: "0", role: "group", "aria-label": caption }, table));
}

/** The largest products of a dense layer as a table with bars. */
export function contributions(
  terms: readonly { index: number; value: number; weight: number }[],
  all: number,
): HTMLElement {
  const most = Math.max(...terms.map((term) => Math.abs(term.value * term.weight))) || 1;
  const table = h("table", { class: "contributions" });
  for (const { index, value, weight } of terms) {
    const product = value * weight;
    const bar = h("i", { class: product < 0 ? "negative" : "positive" });
    bar.style.width = `${(50 * Math.abs(product)) / most}%`;
    const tableRow = table.insertRow();
    const parts = [words.unit(index), short(value), "×", operand(weight), "=", short(product)];
    for (const part of parts) tableRow.insertCell().textContent = part;
    tableRow.insertCell().append(h("span", { class: "signed-bar" }, bar));
  }
  const caption = words.largestTerms(terms.length, all);
  return figure(caption, h("div", { class: "grid-frame", tabindex: "0", role: "group", "aria-label": caption }, table));
}

export function details(summary: string, lines: readonly string[]): HTMLElement {
  const list = h("ol", { class: "products" }, ...lines.map((line) => h("li", {}, line)));
  return h("details", {}, h("summary", {}, summary), list);
}

/** A row of a softmax: what it is of, its logit, and its part of the whole. */
export interface ShareRow {
  label: string;
  logit: number;
  exponential: number;
  sum?: number | undefined; // of the exponentials, if it differs from row to row
  result: number;
  choose?: () => void; // shows the calculation of this row
}

/** The softmax of several classes, or of several views, as a table with bars; `power` names the exponentials. */
export function probabilityTable(
  caption: string,
  power: string,
  rows: readonly ShareRow[],
  current: number | null,
): HTMLElement {
  const table = h("table", { class: "contributions shares" });
  const head = table.createTHead().insertRow();
  const sums = rows[0]?.sum === undefined ? [] : [words.sum];
  for (const text of ["", words.logit, power, ...sums, words.probability]) head.append(columnName(text));
  const body = table.createTBody();
  for (const [i, { label, logit, exponential, sum, result, choose }] of rows.entries()) {
    const tableRow = body.insertRow();
    if (i === current) tableRow.className = "chosen";
    tableRow.append(rowName(label, i === current ? undefined : choose));
    const values = sum === undefined ? [logit, exponential, result] : [logit, exponential, sum, result];
    for (const value of values) tableRow.insertCell().textContent = short(value);
    tableRow.insertCell().append(shareBar(result));
  }
  return figure(caption, h("div", { class: "grid-frame", tabindex: "0", role: "group", "aria-label": caption }, table));
}

/** A class in each view, and its mean. */
export interface ViewRow {
  label: string;
  views: readonly { logit: number; result: number }[];
  mean: number;
  choose: () => void; // shows the calculation of this row
}

/** The softmax of several classes in each view, and the mean, as a table with bars. */
export function viewTable(caption: string, rows: readonly ViewRow[], current: number): HTMLElement {
  const table = h("table", { class: "contributions shares of-views" });
  const [above, below] = [table.createTHead().insertRow(), table.tHead!.insertRow()];
  const count = Math.min(MAX_VIEWS, rows[0]?.views.length ?? 0);
  const isCut = count < (rows[0]?.views.length ?? 0);
  above.append(h("td"));
  below.append(h("td"));
  for (let i = 1; i <= count; i++) {
    above.append(h("th", { scope: "colgroup", colspan: "2", class: "number" }, words.view(i)));
    below.append(columnName(words.logit), columnName(words.probability));
  }
  if (isCut) above.append(h("td", {}, "…"));
  above.append(h("td"), h("td"));
  below.append(...(isCut ? [h("td")] : []), columnName(words.mean));
  const body = table.createTBody();
  for (const [i, { label, views, mean, choose }] of rows.entries()) {
    const tableRow = body.insertRow();
    if (i === current) tableRow.className = "chosen";
    tableRow.append(rowName(label, i === current ? undefined : choose));
    const values = views.slice(0, count).flatMap(({ logit, result }) => [short(logit), short(result)]);
    for (const value of [...values, ...(isCut ? ["…"] : []), short(mean)]) tableRow.insertCell().textContent = value;
    tableRow.insertCell().append(shareBar(mean));
  }
  return figure(caption, h("div", { class: "grid-frame", tabindex: "0", role: "group", "aria-label": caption }, table));
}

function columnName(text: string): HTMLElement {
  return text ? h("th", { scope: "col", class: "number" }, text) : h("td");
}

/** The first cell of a row: its name, as a link if there is something to show. */
function rowName(label: string, choose?: () => void): HTMLElement {
  if (!choose) return h("th", { scope: "row" }, label);
  const button = h("button", { class: "link", type: "button", title: label }, label);
  button.addEventListener("click", choose);
  return h("th", { scope: "row" }, button);
}

function shareBar(share: number): HTMLElement {
  const bar = h("i");
  bar.style.width = `${100 * share}%`;
  return h("span", { class: "bar share-bar" }, bar);
}
