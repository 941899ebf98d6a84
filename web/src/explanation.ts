// The explanation of one value: sentence, figures and formulas of its calculation, with its real numbers.

import { type AnswerCalculation, calculateAnswer, meansOf, sharesOfViews } from "./answer";
import { activationOf, type Calculation, type Cell } from "./calculation";
import { type Range, rangeOf } from "./colors";
import { formula, fraction, h, m, name, number, row, symbol } from "./dom";
import { contributions, details, grid, probabilityTable, viewTable, withOperator } from "./figures";
import { activationFormula, labeled, result, type Summand, signedSum, sumOf } from "./formulas";
import { placeOf } from "./labels";
import { words } from "./language";
import { en } from "./languages/en";
import { operand, shapeText, short } from "./numbers";
import type { Layer } from "./site";
import type { Selection } from "./view";

const MAX_PRODUCTS = 3; // products that are written out
const MAX_SQUARES = 6;
const MAX_LISTED = 9; // values of a maximum: those of a window of 3 x 3
const MAX_CHANNELS = 64;
const MAX_SHARES = 12; // classes, or views, in the table of a softmax

/** What an explanation needs to know of the panel, and the parts of the panel that it fills. */
export interface Explained {
  selection: Selection;
  channel: number; // input channel whose window is shown, as an offset from the first
  intro: HTMLElement;
  figures: HTMLElement;
  formulas: HTMLElement;
  notes: HTMLElement;
  choose: (selection: Selection) => void; // another value, by a link
  chooseChannel: (offset: number) => void;
}

function sentence({ intro }: Explained, text: string): void {
  intro.append(h("p", { class: "sentence" }, text));
}

/** Explains the value of a layer; `range` is that of all values of its input, so that a window has the colors of its map. */
export function explain(c: Calculation, range: Range, panel: Explained): void {
  const { figures, formulas, notes } = panel;
  const actual = short(c.result);
  switch (c.type) {
    case "conv": {
      sentence(panel, words.convSentence(c.bias !== null));
      const shown = c.channels[Math.min(panel.channel, c.channels.length - 1)]!;
      const cells = shown.cells.flat();
      figures.append(
        grid(words.window(shown.channel), shown.cells, (cell) => cell.value, range),
        withOperator(
          "×",
          grid(words.kernel(shown.channel), shown.cells, (cell) => cell.weight, rangeOf(allWeights(c.channels)), true),
        ),
        withOperator("=", h("div", { class: "total" }, short(shown.sum))),
      );
      if (cells.some((cell) => !cell.inside)) notes.append(h("p", { class: "note" }, words.padding));
      const products = cells.map((cell) => [number(operand(cell.value)), symbol("×"), number(operand(cell.weight))]);
      formulas.append(formula(...sumOf(products, MAX_PRODUCTS), symbol("="), number(short(shown.sum))));
      if (c.channels.length > 1) notes.append(channelButtons(panel, c.channels, shown.channel));
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
      sentence(panel, words.maxSentence);
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
      sentence(panel, words.averageSentence);
      figures.append(grid(words.inputWindow, c.cells, (cell) => cell.value, range));
      const inside = c.cells.flat().filter((cell) => cell.inside);
      const sum = signedSum(inside.map((cell) => [cell.value]));
      const divided = [symbol("/"), number(String(c.divisor))]; // no fraction, so that a long sum can be broken
      const quotient = fraction(number(short(c.sum)), number(String(c.divisor)));
      formulas.append(
        formula(symbol("("), ...sum, symbol(")"), ...divided, symbol("="), quotient, symbol("="), result(actual)),
      );
      break;
    }
    case "dense": {
      sentence(panel, words.denseSentence(c.bias !== null));
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
      sentence(panel, words.activationSentence(words.functions[c.name] ?? c.name));
      formulas.append(formula(...activationFormula(c.name, c.x, c.constants), symbol("="), result(actual)));
      break;
    }
    case "lrn": {
      sentence(panel, words.lrnSentence(c.window.length));
      const cells = [c.window.map(({ value }) => ({ value, weight: 1, inside: true }))];
      figures.append(grid(words.inputWindow, cells, (cell) => cell.value, range));
      const squares = sumOf(
        c.window.map(({ value }) => [m("msup", number(operand(value)), number("2"))]),
        MAX_SQUARES,
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
      sentence(panel, words.batchNormSentence);
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
      sentence(panel, words.softmaxSentence);
      const above = m("msup", name("e"), number(short(c.x)));
      const numbers = fraction(number(short(c.exponential)), number(short(c.sum)));
      const below = m("munder", symbol("∑"), name("i"));
      const general = fraction(above, row(below, m("msup", name("e"), m("msub", name("x"), name("i")))));
      formulas.append(formula(general, symbol("="), numbers, symbol("="), result(actual)));
      break;
    }
    case "flatten":
      sentence(panel, words.flattenSentence);
      appendSource(panel);
      break;
    case "dropout":
      sentence(panel, words.dropoutSentence);
      break;
  }
}

/** Explains the probability of a class, the last step of every network. */
export function explainAnswer(c: AnswerCalculation, logits: ArrayLike<number>, panel: Explained): void {
  const { selection, figures, formulas, notes } = panel;
  const { view, index } = selection;
  const { classes, layers } = view.facts;
  const [share] = c.shares;
  if (!share) return;
  const views = c.shares.length;
  const isScaled = c.temperature !== 1;
  sentence(panel, views > 1 ? words.meanSentence(views) : words.softmaxSentence);
  if (isScaled) sentence(panel, words.temperatureSentence(short(c.temperature), views > 1));
  if (layers.at(-1)?.type === "softmax") notes.append(h("p", { class: "note" }, words.softmaxTwice));
  const temperature = () => labeled(short(c.temperature), words.temperature);
  const scaled = (logit: number, divide: boolean) =>
    divide ? row(number(short(logit)), symbol("/"), temperature()) : number(short(logit));
  const power = (logit: number) => m("msup", name("e"), scaled(logit, isScaled && views === 1));
  const isLogarithm = views === 1 && !isScaled && Math.abs(share.sum - 1) < 1e-4;
  if (isLogarithm) {
    sentence(panel, words.logarithmSentence);
    formulas.append(formula(power(share.logit), symbol("="), result(short(c.result))));
  } else if (views === 1) {
    const below = m("munder", symbol("∑"), name("i"));
    const symbolic = m("msub", name("x"), name("i"));
    const exponent = isScaled ? row(symbolic, symbol("/"), number(short(c.temperature))) : symbolic;
    const general = fraction(power(share.logit), row(below, m("msup", name("e"), exponent)));
    const numbers = fraction(number(short(share.exponential)), number(short(share.sum)));
    formulas.append(formula(general, symbol("="), numbers, symbol("="), result(short(c.result))));
  } else {
    formulas.append(...meanFormulas(c, result));
  }
  figures.append(shareFigure(c, logits, panel));
  const source = view.logitLayer();
  const text = words.logit + words.colon + (source ? nameOf(source, index) : classes[index]);
  const target = source ? link(text, () => panel.choose({ view, layer: source, index })) : text;
  formulas.append(h("p", {}, target, ` = ${short(share.logit)}`));
}

/** The mean of several views, and what a temperature makes of it; `end` writes the last number. */
function meanFormulas(c: AnswerCalculation, end: (text: string) => MathMLElement): HTMLElement[] {
  const sum = signedSum(c.shares.map((entry, i) => [entry.result, words.view(i + 1)]));
  const mean = fraction(row(...sum), number(String(c.shares.length)));
  if (c.temperature === 1) return [formula(mean, symbol("="), end(short(c.result)))];
  const power = () => row(number("1"), symbol("/"), labeled(short(c.temperature), words.temperature));
  const raised = (base: Node) => m("msup", base, power());
  const below = row(m("munder", symbol("∑"), name("i")), raised(m("msub", name("p"), name("i"))));
  return [
    formula(mean, symbol("="), number(short(c.mean))),
    formula(fraction(raised(number(short(c.mean))), below), symbol("="), end(short(c.result))),
  ];
}

/** Tables of how the whole is divided between the classes, and with several views, of each view of one class. */
function shareFigure(c: AnswerCalculation, logits: ArrayLike<number>, panel: Explained): HTMLElement {
  const { view, layer, index } = panel.selection;
  const { classes } = view.facts;
  const shares = sharesOfViews(logits, classes.length, c.temperature);
  const means = meansOf(shares);
  const order = classes
    .map((_, i) => i)
    .sort((a, b) => means[b]! - means[a]! || shares[0]![b]!.logit - shares[0]![a]!.logit);
  const shown = order.filter((i, place) => place < MAX_SHARES || i === index);
  const caption = shown.length < classes.length ? words.largestShares(MAX_SHARES, classes.length) : words.allShares;
  const current = shown.indexOf(index);
  const choose = (i: number) => () => panel.choose({ view, layer, index: i });
  const power = c.temperature === 1 || shares.length > 1 ? "" : ` / ${short(c.temperature)}`;
  const exponential = `exp(${words.logit}${power})`;
  if (shares.length === 1) {
    const rows = shown.map((i) => ({ ...shares[0]![i]!, sum: undefined, label: classes[i]!, choose: choose(i) }));
    return probabilityTable(caption, exponential, rows, current);
  }
  const views = c.shares.slice(0, MAX_SHARES).map((entry, i) => ({ ...entry, label: words.view(i + 1) }));
  const rows = shown.map((i) => {
    return { label: classes[i]!, views: shares.map((own) => own[i]!), mean: means[i]!, choose: choose(i) };
  });
  return h(
    "div",
    { class: "figures" },
    probabilityTable(words.viewsOf(classes[index]!), exponential, views, null),
    viewTable(caption, rows, current),
  );
}

function appendSource(panel: Explained): void {
  const { view, layer, index } = panel.selection;
  const source = view.layerOf(layer.input);
  if (!source) return;
  const text = words.from(nameOf(source, index));
  panel.formulas.append(
    h(
      "p",
      {},
      link(text, () => panel.choose({ view, layer: source, index })),
    ),
  );
}

/** What becomes of the value: in an activation that follows, or as a logit. */
export function appendNext(value: number, panel: Explained): void {
  const { view, index } = panel.selection;
  const next = nextLayer(panel.selection);
  const output = next && view.values(next.output, next.shape)?.[index];
  if (!next || output === undefined) return;
  const isAnswer = next === view.output;
  const label = isAnswer ? words.nextAnswer : words.nextLayer(next.name);
  const known = activationOf(next);
  const formulas = known
    ? [formula(...activationFormula(known.name, value, known.constants), symbol("="), number(short(output)))]
    : softmaxFormulas(value, panel);
  const choose = () => panel.choose({ view, layer: next, index });
  panel.formulas.append(h("div", { class: "then" }, link(label, choose), ...formulas));
}

/** What the answer makes of a logit: its softmax, and with several views, the mean over them. */
function softmaxFormulas(logit: number, { selection }: Explained): HTMLElement[] {
  const { view, index } = selection;
  const { classes, logits, temperature } = view.facts;
  const all = view.outputs[logits];
  if (!all) return [];
  const c = calculateAnswer(all, classes.length, temperature, index);
  const views = c.shares.length;
  const divisor = temperature !== 1 && views === 1 ? [symbol("/"), number(short(temperature))] : [];
  const softmax = row(
    name("softmax"),
    symbol("("),
    number(short(logit)),
    ...divisor,
    symbol(","),
    symbol("…"),
    symbol(")"),
  );
  const own = formula(softmax, symbol("="), number(short(c.shares[0]!.result)));
  return views === 1 ? [own] : [h("p", { class: "note" }, words.viewOf(1, views)), own, ...meanFormulas(c, number)];
}

/** The layer that makes one value of the value: an activation, or the answer after the last layer. */
export function nextLayer({ view, layer }: Selection): Layer | undefined {
  if (layer === view.logitLayer()) return view.output;
  return view.facts.layers.find((entry) => entry.input === layer.output && activationOf(entry) !== null);
}

function link(text: string, choose: () => void): HTMLElement {
  const button = h("button", { class: "link", type: "button" }, text);
  button.addEventListener("click", choose);
  return button;
}

function channelButtons(
  panel: Explained,
  channels: readonly { channel: number; sum: number }[],
  shown: number,
): HTMLElement {
  const list = h("div", { class: "channels", role: "group", "aria-label": words.channelSums });
  for (const [i, { channel, sum }] of channels.slice(0, MAX_CHANNELS).entries()) {
    const button = h("button", { type: "button", "aria-pressed": String(channel === shown) });
    button.append(h("span", {}, `${channel}:`), ` ${short(sum)}`);
    button.addEventListener("click", () => panel.chooseChannel(i));
    list.append(button);
  }
  return h("div", {}, h("p", { class: "label" }, words.channelSums), list);
}

/** Shapes, counts and the formula of the output size. */
export function sizeNote(layer: Layer): HTMLElement {
  const [before, after] = [shapeText(layer.input_shape), shapeText(layer.shape)];
  const parts = before === after ? [] : [`${before} → ${after}`];
  if (layer.parameters > 0) parts.push(words.parameters(layer.parameters));
  if (layer.macs > 0) parts.push(words.macs(layer.macs));
  if (layer.size.includes("=")) {
    parts.push(words.sizeOf + words.colon + sizeText(layer.size));
  }
  return h("p", { class: "note facts" }, parts.join(" · "));
}

/** The formula of a size, whose remark is in English in site.json. */
function sizeText(size: string): string {
  const signs = size.replace("->", "→").replaceAll("*", "×").replaceAll(" - ", " − ");
  return signs.replace(en.lastWindow, words.lastWindow);
}

function nameOf(layer: Layer, index: number): string {
  return layer.name + words.comma + placeOf(layer, index);
}

function allWeights(channels: readonly { cells: Cell[][] }[]): number[] {
  return channels.flatMap(({ cells }) => cells.flat().map((cell) => cell.weight));
}
