// The calculation of one value, with its real numbers.

import { activationOf, type Calculation, type Cell, calculate, type Rect, unravel, weightNames } from "./calculation";
import { colorScale, cssColor, type Range, rangeOf } from "./colors";
import { byId, formula, fraction, h, m, name, number, row, symbol } from "./dom";
import { words } from "./language";
import { drawImageValues } from "./maps";
import { operand, shapeText, short, tiny } from "./numbers";
import { receptiveFields } from "./receptive";
import type { Layer } from "./site";
import { isDark } from "./theme";
import { kindOf, levelOf, placeOf, type Selection } from "./view";

const FIGURE = 132; // CSS pixels of the input and of the enlarged map, on a wide window
const SMALL_FIGURE = 92;
const MAX_PRODUCTS = 3; // products that are written out
const MAX_TERMS = 6; // other terms of a sum
const MAX_LISTED = 9; // values of a maximum: those of a window of 3 x 3
const MAX_CHANNELS = 64;

export class Inspector {
  selection: Selection | null = null;
  kept = false;
  private channel = 0; // input channel whose window is shown, as an offset from the first
  private shown = 0; // number of the last rendering, so that a late one is dropped
  private readonly element = byId("inspector");
  private readonly body = byId("inspector-body");
  private readonly title = byId("inspector-title");
  private readonly value = byId("inspector-value");
  private readonly followButton = byId<HTMLButtonElement>("follow");
  private readonly toggleButton = byId<HTMLButtonElement>("toggle");

  /** Calls `onSelect` when a link in the calculation leads to another value. */
  constructor(private readonly onSelect: (selection: Selection) => void) {
    this.followButton.addEventListener("click", () => this.release());
    this.toggleButton.addEventListener("click", () => this.expand(this.body.hidden === true));
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.release();
    });
  }

  /** Tensors that the shown calculation needs. */
  tensors(view: Selection["view"]): string[] {
    const { selection } = this;
    if (!selection || selection.view !== view) return [];
    const { layer } = selection;
    const next = nextLayer(selection);
    return [layer.output, layer.input, next?.output].filter((tensor) => typeof tensor === "string");
  }

  /** Shows another value, and keeps it if it was chosen rather than pointed at. */
  select(selection: Selection, keep: boolean): void {
    if (this.selection?.layer !== selection.layer) this.channel = 0;
    this.selection = selection;
    this.kept = keep;
    if (keep) this.expand(true);
  }

  expand(open: boolean): void {
    this.body.hidden = !open;
    this.toggleButton.setAttribute("aria-expanded", String(open));
    this.toggleButton.textContent = open ? words.collapse : words.expand;
  }

  private release(): void {
    this.kept = false;
    this.state();
  }

  private state(): void {
    this.element.classList.toggle("kept", this.kept);
    this.followButton.hidden = !this.kept;
    this.followButton.textContent = words.follow;
    this.toggleButton.textContent = this.body.hidden ? words.expand : words.collapse;
  }

  /** Renders the calculation of the selected value with the outputs of the last run. */
  async update(): Promise<void> {
    this.state();
    const turn = ++this.shown;
    const { selection } = this;
    if (!selection) {
      this.title.textContent = words.nothingSelected;
      return;
    }
    const { view, layer, index } = selection;
    const { network } = view;
    const values = view.values(layer.output, layer.shape);
    if (!network || !values) return;
    const named = weightNames(layer).map(async (tensor) => [tensor, await network.weight(tensor)] as const);
    const weights = new Map(await Promise.all(named));
    if (turn !== this.shown) return;
    const at = unravel(index, layer.shape);
    const actual = values[index]!;
    const data = layer.input === null ? undefined : view.values(layer.input, layer.input_shape);
    const isInput = layer === view.input;
    const input = data && { data, shape: layer.input_shape };
    const calculation = input && !isInput ? calculate(layer, at, input, (tensor) => weights.get(tensor)) : null;
    const fields = isInput ? new Map<string, Rect>() : receptiveFields(view.facts.layers, layer, at);
    const { layers, classes } = view.facts;
    const isAnswer = layer === layers.at(-1) && layer.shape.length === 1 && layer.shape[0] === classes.length;
    const place = isAnswer ? `${placeOf(layer, index)} (${classes[index]})` : placeOf(layer, index);
    this.title.replaceChildren(h("b", {}, layer.name), ` ${kindOf(layer)} `, h("span", {}, place));
    this.value.textContent = short(actual);
    this.value.dataset.layer = layer.output;
    this.value.dataset.index = String(index);
    this.value.dataset.value = String(actual);
    this.value.dataset.calculated = calculation ? String(calculation.result) : "";
    const figures = h("div", { class: "figures" });
    const formulas = h("div", { class: "formulas" });
    const notes = h("div", { class: "notes" });
    figures.append(this.inputFigure(selection, fields));
    if (calculation) this.explain(calculation, selection, rangeOf(input?.data ?? []), figures, formulas, notes);
    else if (!isInput) notes.append(h("p", {}, words.unknownSentence));
    const error = Math.abs((calculation?.result ?? actual) - actual);
    if (view.facts.int8 && error > 1e-3 * Math.max(1, Math.abs(actual))) {
      notes.append(h("p", { class: "note" }, words.int8Value(short(actual))));
    }
    if (layer.shape.length === 3) figures.append(this.mapFigure(selection, values));
    this.appendNext(selection, actual, formulas);
    if (!isInput) notes.append(facts(layer));
    const scrolled = this.body.scrollTop;
    this.body.replaceChildren(h("div", { class: "work" }, figures, formulas), notes);
    this.body.scrollTop = scrolled;
    view.mark(index, layer, fields);
  }

  /** Sentence, windows and formulas of a calculation. */
  private explain(
    c: Calculation,
    { view, layer, index }: Selection,
    range: Range, // of all values of the input, so that a window has the colors of its map
    figures: HTMLElement,
    formulas: HTMLElement,
    notes: HTMLElement,
  ): void {
    const actual = short(c.result);
    const sentence = (text: string) => notes.append(h("p", { class: "sentence" }, text));
    switch (c.type) {
      case "conv": {
        sentence(words.convSentence(c.bias !== null));
        const shown = c.channels[Math.min(this.channel, c.channels.length - 1)]!;
        const cells = shown.cells.flat();
        figures.append(
          grid(words.window(shown.channel), shown.cells, (cell) => cell.value, range),
          operator("×"),
          grid(words.kernel(shown.channel), shown.cells, (cell) => cell.weight, rangeOf(allWeights(c.channels)), true),
          operator("="),
          h("div", { class: "total" }, short(shown.sum)),
        );
        if (cells.some((cell) => !cell.inside)) notes.append(h("p", { class: "note" }, words.padding));
        const products = cells.map((cell) => [number(operand(cell.value)), symbol("×"), number(operand(cell.weight))]);
        formulas.append(formula(...sumOf(products, MAX_PRODUCTS), symbol("="), number(short(shown.sum))));
        if (c.channels.length > 1) notes.append(this.channelButtons(c.channels, shown.channel));
        const sums: Summand[] = c.channels.map(({ channel, sum }) => [sum, words.channelLabel(channel)]);
        if (c.bias !== null) sums.push([c.bias, words.bias]);
        if (sums.length > 1) formulas.append(formula(...signedSum(sums), symbol("="), result(actual)));
        if (cells.length > MAX_PRODUCTS) {
          const lines = cells.map(
            (cell) => `${short(cell.value)} × ${operand(cell.weight)} = ${short(cell.value * cell.weight)}`,
          );
          notes.append(details(words.products(cells.length), lines));
        }
        break;
      }
      case "max_pool": {
        sentence(words.maxSentence);
        const chosen = c.cells[c.row]?.[c.column];
        figures.append(grid(words.inputWindow, c.cells, (cell) => cell.value, range, false, chosen));
        const inside = c.cells.flat().filter((cell) => cell.inside);
        const listed = inside.slice(0, MAX_LISTED).map((cell) => number(short(cell.value)));
        if (inside.length > listed.length) listed.push(symbol("…"));
        const list = listed.flatMap((part, i) => (i === 0 ? [part] : [symbol(","), part]));
        formulas.append(formula(name(words.max), symbol("("), ...list, symbol(")"), symbol("="), result(actual)));
        break;
      }
      case "average_pool": {
        sentence(words.averageSentence);
        figures.append(grid(words.inputWindow, c.cells, (cell) => cell.value, range));
        const inside = c.cells.flat().filter((cell) => cell.inside);
        const sum = signedSum(inside.map((cell) => [cell.value]));
        const quotient = fraction(row(...sum), number(String(c.divisor)));
        const quotient2 = fraction(number(short(c.sum)), number(String(c.divisor)));
        formulas.append(formula(quotient, symbol("="), quotient2, symbol("="), result(actual)));
        break;
      }
      case "dense": {
        sentence(words.denseSentence(c.bias !== null));
        const largest = [...c.terms].sort((a, b) => Math.abs(b.value * b.weight) - Math.abs(a.value * a.weight));
        const shown = largest.slice(0, 12);
        figures.append(contributions(shown, c.terms.length));
        const written = shown.slice(0, 4);
        const parts = written.map((term) => [number(operand(term.value)), symbol("×"), number(operand(term.weight))]);
        const others: Summand[] = [];
        const sum = written.reduce((total, term) => total + term.value * term.weight, 0);
        if (c.terms.length > written.length) others.push([c.result - (c.bias ?? 0) - sum, words.rest]);
        if (c.bias !== null) others.push([c.bias, words.bias]);
        const terms = [...sumOf(parts, written.length), ...signedSum(others, true)];
        formulas.append(formula(...terms, symbol("="), result(actual)));
        break;
      }
      case "activation": {
        sentence(words.activationSentence(words.functions[c.name] ?? c.name));
        formulas.append(formula(...activationFormula(c.name, c.x, c.constants), symbol("="), result(actual)));
        break;
      }
      case "lrn": {
        sentence(words.lrnSentence(c.window.length));
        const cells = [c.window.map(({ value }) => ({ value, weight: 1, inside: true }))];
        figures.append(grid(words.inputWindow, cells, (cell) => cell.value, range));
        const squares = sumOf(
          c.window.map(({ value }) => [m("msup", number(operand(value)), number("2"))]),
          MAX_TERMS,
        );
        const base = (...inner: Node[]) =>
          row(symbol("("), number(short(c.k)), symbol("+"), number(short(c.alpha)), symbol("×"), ...inner, symbol(")"));
        const power = (...inner: Node[]) => m("msup", base(...inner), number(short(c.beta)));
        formulas.append(
          formula(row(...squares), symbol("="), number(short(c.squares))),
          formula(fraction(number(short(c.x)), power(number(short(c.squares)))), symbol("="), result(actual)),
        );
        break;
      }
      case "batch_norm": {
        sentence(words.batchNormSentence);
        const above = row(number(short(c.x)), symbol("−"), labeled(operand(c.mean), words.mean));
        const variance = labeled(short(c.variance), words.variance);
        const below = m("msqrt", row(variance, symbol("+"), number(short(c.eps))));
        formulas.append(
          formula(
            fraction(above, below),
            symbol("×"),
            labeled(operand(c.weight), words.weight),
            symbol("+"),
            labeled(operand(c.bias), words.bias),
            symbol("="),
            result(actual),
          ),
        );
        break;
      }
      case "softmax": {
        sentence(words.softmaxSentence);
        const above = m("msup", name("e"), number(short(c.x)));
        const numbers = fraction(number(short(c.exponential)), number(short(c.sum)));
        const below = m("munder", symbol("∑"), name("i"));
        const general = fraction(above, row(below, m("msup", name("e"), m("msub", name("x"), name("i")))));
        formulas.append(formula(general, symbol("="), numbers, symbol("="), result(actual)));
        break;
      }
      case "flatten":
        sentence(words.flattenSentence);
        this.appendSource(view, layer, index, formulas);
        break;
      case "dropout":
        sentence(words.dropoutSentence);
        break;
    }
  }

  private appendSource(view: Selection["view"], layer: Layer, index: number, formulas: HTMLElement): void {
    const source = view.layerOf(layer.input);
    if (!source) return;
    const text = words.from(`${source.name}, ${placeOf(source, index)}`);
    formulas.append(h("p", {}, this.link(text, { view, layer: source, index })));
  }

  /** What the next layer makes of the value, if it is an activation. */
  private appendNext(selection: Selection, value: number, formulas: HTMLElement): void {
    const next = nextLayer(selection);
    const known = next && activationOf(next);
    if (!next || !known) return;
    const output = selection.view.values(next.output, next.shape)?.[selection.index];
    if (output === undefined) return;
    const label = `${words.nextLayer} ${next.name}:`;
    const target = { ...selection, layer: next };
    formulas.append(
      h(
        "div",
        { class: "then" },
        this.link(label, target),
        formula(...activationFormula(known.name, value, known.constants), symbol("="), number(short(output))),
      ),
    );
  }

  private link(text: string, target: Selection): HTMLElement {
    const button = h("button", { class: "link", type: "button" }, text);
    button.addEventListener("click", () => this.onSelect(target));
    return button;
  }

  private channelButtons(channels: readonly { channel: number; sum: number }[], shown: number): HTMLElement {
    const list = h("div", { class: "channels", role: "group", "aria-label": words.channelSums });
    for (const [i, { channel, sum }] of channels.slice(0, MAX_CHANNELS).entries()) {
      const button = h("button", { type: "button", "aria-pressed": String(channel === shown) });
      button.append(h("span", {}, `${channel}:`), ` ${short(sum)}`);
      button.addEventListener("click", () => {
        this.channel = i;
        this.kept = true;
        void this.update().then(() => {
          const again = this.body.querySelectorAll<HTMLElement>(".channels button")[i];
          again?.focus();
        });
      });
      list.append(button);
    }
    return h("div", {}, h("p", { class: "label" }, words.channelSums), list);
  }

  /** What the network sees, with the part that the value depends on. */
  private inputFigure({ view, index, layer }: Selection, fields: ReadonlyMap<string, Rect>): HTMLElement {
    const { shape } = view.input;
    const canvas = h("canvas", { role: "img", "aria-label": words.receptiveField });
    const values = view.values(view.input.output, shape);
    if (values) drawImageValues(canvas, values, shape, levelOf(view.facts));
    const at = unravel(index, layer.shape);
    const own = layer === view.input && { top: at[1]!, bottom: at[1]! + 1, left: at[2]!, right: at[2]! + 1 };
    const rect = own || fields.get(view.input.output);
    const spans = rect ? words.receptiveFieldHelp(span(rect.top, rect.bottom), span(rect.left, rect.right)) : "";
    return figure(words.receptiveField, framed(canvas, rect, shape[1]!, shape[2]!), spans);
  }

  /** The map of the value, enlarged. */
  private mapFigure({ layer, index }: Selection, values: Float32Array): HTMLElement {
    const [, height, width] = layer.shape as [number, number, number];
    const channel = Math.floor(index / (height * width));
    const plane = values.subarray(channel * height * width, (channel + 1) * height * width);
    const color = colorScale(rangeOf(values), isDark());
    const canvas = h("canvas", { role: "img", "aria-label": words.outputMap(channel) });
    drawImageValues(
      canvas,
      Float32Array.from([...plane, ...plane, ...plane]),
      [3, height, width],
      (value, c) => (color(value) >> (8 * c)) & 255,
    );
    const [y, x] = [Math.floor(index / width) % height, index % width];
    const rect = { top: y, bottom: y + 1, left: x, right: x + 1 };
    return figure(words.outputMap(channel), framed(canvas, rect, height, width), shapeText([height, width]));
  }
}

function nextLayer({ view, layer }: Selection): Layer | undefined {
  return view.facts.layers.find((entry) => entry.input === layer.output && entry.type === "activation");
}

function span(start: number, end: number): string {
  return end - start > 1 ? `${start}–${end - 1}` : String(start);
}

function figure(caption: string, content: HTMLElement, note = ""): HTMLElement {
  const element = h("figure", {}, h("figcaption", {}, caption), content);
  if (note) element.append(h("p", { class: "note" }, note));
  return element;
}

/** A canvas with a frame around a rectangle of its values. */
function framed(canvas: HTMLCanvasElement, rect: Rect | false | undefined, height: number, width: number): HTMLElement {
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

function operator(text: string): HTMLElement {
  return h("div", { class: "operator", "aria-hidden": "true" }, text);
}

/** A window or kernel as a table of colored numbers. */
function grid(
  caption: string,
  cells: readonly Cell[][],
  value: (cell: Cell) => number,
  range: Range,
  isKernel = false,
  chosen?: Cell,
): HTMLElement {
  const color = colorScale(range, isDark());
  const most = Math.max(...cells.flat().map((cell) => Math.abs(value(cell))));
  const table = h("table", { class: cells.length > 7 ? "grid small" : "grid" });
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
function contributions(terms: readonly { index: number; value: number; weight: number }[], all: number): HTMLElement {
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

/** Terms joined by plus signs; of many, the first ones, an ellipsis, and the last `end` terms. */
function sumOf(terms: readonly MathMLElement[][], most: number, end = 0): MathMLElement[] {
  const hidden = terms.length > most + end;
  const shown = hidden ? [...terms.slice(0, most - end), [symbol("…")], ...terms.slice(terms.length - end)] : terms;
  return shown.flatMap((term, i) => (i === 0 ? term : [symbol("+"), ...term]));
}

type Summand = [value: number, label?: string];

/** Numbers joined by plus and minus signs, with labels below; of many, the first ones, an ellipsis and the last one. */
function signedSum(summands: readonly Summand[], isContinued = false): MathMLElement[] {
  const hidden = summands.length > MAX_TERMS + 1;
  const shown = hidden ? [...summands.slice(0, MAX_TERMS - 1), ...summands.slice(-1)] : summands;
  return shown.flatMap(([value, label], i) => {
    const sign = value < 0 ? "−" : "+";
    const isFirst = i === 0 && !isContinued;
    const amount = isFirst ? short(value) : short(Math.abs(value));
    const term = label === undefined ? number(amount) : labeled(amount, label);
    const gap = hidden && i === shown.length - 1 ? [symbol("+"), symbol("…")] : [];
    return isFirst ? [term] : [...gap, symbol(sign), term];
  });
}

/** A number with a word below it. */
function labeled(value: string, label: string): MathMLElement {
  return m("munder", number(value), m("mtext", label));
}

function result(text: string): MathMLElement {
  const node = number(text);
  node.setAttribute("class", "result");
  return node;
}

/** The formula of an activation with its number: max(0, x), 1 / (1 + e^-x) ... */
function activationFormula(label: string, x: number, constants: Record<string, number>): MathMLElement[] {
  const value = () => number(operand(x));
  const e = (power: Node) => m("msup", name("e"), power);
  const minus = () => row(symbol("−"), value());
  const call = (of: string, ...inner: MathMLElement[]) => [name(of), symbol("("), ...inner, symbol(")")];
  switch (label) {
    case "relu":
      return call(words.max, number("0"), symbol(","), number(short(x)));
    case "relu6":
      return call("min", number("6"), symbol(","), ...call(words.max, number("0"), symbol(","), number(short(x))));
    case "sigmoid":
      return [fraction(number("1"), row(number("1"), symbol("+"), e(minus())))];
    case "silu":
      return [fraction(number(short(x)), row(number("1"), symbol("+"), e(minus())))];
    case "leaky_relu": {
      const { negative_slope: slope = 0.01 } = constants;
      if (x >= 0) return call(words.functions[label] ?? label, number(short(x)));
      return [number(short(slope)), symbol("×"), value()];
    }
    case "elu": {
      const { alpha = 1 } = constants;
      if (x > 0) return call(words.functions[label] ?? label, number(short(x)));
      return [
        number(short(alpha)),
        symbol("×"),
        symbol("("),
        e(number(short(x))),
        symbol("−"),
        number("1"),
        symbol(")"),
      ];
    }
    case "scaled_tanh": {
      const { amplitude = 1.7159, slope = 2 / 3 } = constants;
      return [number(short(amplitude)), symbol("×"), ...call("tanh", number(short(slope)), symbol("×"), value())];
    }
    case "gelu":
      return [number(short(x)), symbol("×"), ...call("Φ", number(short(x)))];
    default:
      return call(words.functions[label] ?? label, number(short(x)));
  }
}

function details(summary: string, lines: readonly string[]): HTMLElement {
  const list = h("ol", { class: "products" }, ...lines.map((line) => h("li", {}, line)));
  return h("details", {}, h("summary", {}, summary), list);
}

/** Shapes, counts and the formula of the output size. */
function facts(layer: Layer): HTMLElement {
  const parts = [`${shapeText(layer.input_shape)} → ${shapeText(layer.shape)}`];
  if (layer.parameters > 0) parts.push(words.parameters(layer.parameters));
  if (layer.macs > 0) parts.push(words.macs(layer.macs));
  if (layer.size) parts.push(`${words.sizeOf}: ${layer.size.replace("->", "→").replaceAll("*", "×")}`);
  return h("p", { class: "note facts" }, parts.join(" · "));
}

function allWeights(channels: readonly { cells: Cell[][] }[]): number[] {
  return channels.flatMap(({ cells }) => cells.flat().map((cell) => cell.weight));
}
