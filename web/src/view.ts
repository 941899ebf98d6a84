// One network of the page: its facts, what it sees, its answer, and its layers as a strip of feature maps.

import { answerLayer, isOfClasses } from "./answer";
import { Answer } from "./bars";
import type { Position, Rect } from "./calculation";
import { type Range, rangeOf } from "./colors";
import { columnHead, drawFilters, emptyLegend, expand, showLegend } from "./columns";
import type { Extent } from "./docking";
import { byId, h } from "./dom";
import { drawEdges, edgesOf, element } from "./edges";
import { fitPixels, fittedSide, type Pixels, rgbOfGray } from "./fit";
import { centerCharacter } from "./handwriting";
import { describe, kindOf } from "./labels";
import { words } from "./language";
import { drawImageValues, FeatureMaps, type Mark } from "./maps";
import { valueMark, windowMark } from "./marks";
import type { Network, Outputs } from "./network";
import { percent, shapeText, short } from "./numbers";
import { Overview } from "./overview";
import { receptiveFields } from "./receptive";
import type { Epoch, Layer, NetworkFacts } from "./site";
import { isDark } from "./theme";
import { type Grade, gradeOf, judge } from "./verdict";

const MAX_OPEN = 6; // networks of epochs in memory

/** A value of a network: of the layer with this output. */
export interface Selection {
  view: NetworkView;
  layer: Layer;
  index: number;
}

interface LayerView {
  layer: Layer;
  maps: FeatureMaps;
  legend: HTMLElement;
  visible: boolean;
  index: number; // of the value that the keys start from
}

/** Called when the pointer, the focus or a key is at a value (null: at none); `keep`: it was chosen. */
export type OnPoint = (selection: Selection | null, keep: boolean) => void;

export class NetworkView {
  network: Network | null = null;
  outputs: Outputs = {};
  /** Whether the last image was an empty pad, which the network computes on as on any image. */
  isBlank = true;
  private wanted = "";
  private epoch: number; // position of the slider: an index of the epochs, or their number for other final weights
  /** The input of the network in the form of a layer, so that it is shown like one. */
  readonly input: Layer;
  /** The answer of the network in the form of a layer. */
  readonly output: Layer;
  /** How it has answered the last image, if the class of this image is known. */
  grade: Grade | null = null;
  private truth: string | null = null; // class of the last image
  private endsWithLogits: boolean | undefined; // whether the last layer gives the logits; undefined until they are known
  readonly section = h("section", { class: "network" });
  readonly layers: LayerView[] = [];
  private readonly answer: Answer;
  private readonly seen = h("canvas", { class: "seen", role: "img" });
  private readonly seenFigure = h("figure");
  private readonly otherViews: readonly HTMLCanvasElement[]; // what the network sees from the second view on
  private readonly filters = h("li", { class: "layer filters", hidden: "" });
  private readonly byOutput = new Map<string, LayerView>();
  private readonly opened = new Map<string, Promise<Network>>();
  private observer: IntersectionObserver | undefined;
  private readonly narrow = matchMedia("(max-width: 700px)");

  constructor(
    readonly facts: NetworkFacts,
    private readonly named: boolean,
    private readonly onPoint: OnPoint,
    private readonly onVisible: () => void,
    private readonly onEpoch: (epoch: Epoch | null) => void,
    private readonly onLayer: (view: NetworkView, layer: Layer) => void,
  ) {
    this.input = inputLayer(facts);
    this.output = answerLayer(facts);
    this.answer = new Answer(facts, (index) => {
      if (!this.narrow.matches) this.bring(this.output);
      onPoint({ view: this, layer: this.output, index }, true);
    });
    this.otherViews = Array.from({ length: facts.preprocess.views - 1 }, () => h("canvas", { role: "img" }));
    this.epoch = facts.epochs.findIndex(({ file }) => file === facts.file);
    if (this.epoch < 0) this.epoch = facts.epochs.length;
    this.build();
    this.narrow.addEventListener("change", () => this.arrange());
    let width = innerWidth;
    addEventListener("resize", () => {
      if (innerWidth !== width && this.narrow.matches) this.arrange();
      width = innerWidth;
    });
  }

  /** Loads the weights of an epoch, or the final ones, and forgets those that were used longest ago. */
  async load(file: string, read: (file: string) => Promise<Network>): Promise<void> {
    this.wanted = file;
    const opening = this.opened.get(file) ?? read(file);
    this.opened.delete(file);
    this.opened.set(file, opening); // the last one
    let network: Network;
    try {
      network = await opening;
    } catch (error) {
      this.opened.delete(file);
      throw error;
    }
    if (this.wanted !== file) return; // the slider has moved on
    this.network = network;
    for (const [old, stale] of this.opened) {
      if (this.opened.size <= MAX_OPEN) break;
      this.opened.delete(old);
      void stale.then((unused) => unused.release());
    }
    await this.drawFilters();
  }

  /** The image as input of the graph, uint8 [side, side, 3]; null if a drawing has no character. */
  fit(pixels: Pixels, centered: boolean): Uint8Array | null {
    if (!centered) return fitPixels(pixels, this.facts.preprocess);
    const character = centerCharacter(pixels, fittedSide(this.facts.preprocess));
    return character && rgbOfGray(character);
  }

  /** Runs the network on fitted pixels, of an image of the class `truth`, and shows the answer and all visible layers. */
  async run(pixels: Uint8Array, also: readonly string[], isBlank: boolean, truth: string | null): Promise<void> {
    this.isBlank = isBlank;
    this.truth = truth;
    this.grade = null;
    if (!this.network) {
      const side = Math.sqrt(pixels.length / 3);
      drawImageValues(this.seen, planesOf(pixels), [3, side, side], (value) => value);
      return;
    }
    const visible = this.layers.filter((entry) => entry.visible).map((entry) => entry.layer.output);
    const { probabilities, input } = this.facts;
    this.outputs = await this.network.run(pixels, [probabilities, input, ...visible, ...also]);
    this.show();
  }

  /** Values of a tensor, of the first view; undefined if it was not asked for. */
  values(name: string, shape: readonly number[]): Float32Array | undefined {
    return this.outputs[name]?.subarray(
      0,
      shape.reduce((a, b) => a * b, 1),
    );
  }

  /** The color scale of a tensor, of which `values` are all values. */
  rangeOf(name: string | null, values: ArrayLike<number>): Range {
    return name === this.input.output ? imageRange(this.facts) : rangeOf(values);
  }

  /** Draws what the last run gave, such as after a change of colors. */
  show(): void {
    const dark = isDark();
    const input = this.values(this.input.output, this.input.shape);
    const probabilities = this.outputs[this.facts.probabilities];
    if (!input || !probabilities) return;
    if (this.isBlank) this.answer.wait();
    else this.answer.show(probabilities, this.truth);
    const { classes, min_confidence: limit } = this.facts;
    this.grade = this.truth === null ? null : gradeOf(judge(probabilities, limit), classes, this.truth);
    drawImageValues(this.seen, input, this.input.shape, levelOf(this.facts));
    for (const [i, canvas] of this.otherViews.entries()) {
      const values = this.outputs[this.input.output]!.subarray((i + 1) * input.length, (i + 2) * input.length);
      drawImageValues(canvas, values, this.input.shape, levelOf(this.facts));
    }
    for (const { layer, maps, legend, visible } of this.layers) {
      const values = this.values(layer.output, layer.shape);
      if (!visible || !values) continue;
      maps.draw(values, dark, !this.isBlank);
      showLegend(legend, maps);
    }
  }

  /** Outlines a value and the windows that it comes from. */
  mark(index: number | null, layer: Layer | null, fields: ReadonlyMap<string, Rect>): void {
    for (const entry of this.layers) {
      if (entry.layer === layer && index !== null) entry.index = index;
      const marks: Mark[] = [];
      const rect = fields.get(entry.layer.output);
      if (rect && layer) marks.push(windowMark(layer, index ?? 0, entry.layer, rect));
      if (entry.layer === layer && index !== null) marks.push(valueMark(layer, index));
      entry.maps.mark(marks);
    }
  }

  layerOf(output: string | null): Layer | undefined {
    return output === null ? undefined : this.byOutput.get(output)?.layer;
  }

  /** The layers in order, from the input to the answer. */
  steps(): Layer[] {
    return [this.input, ...this.facts.layers, this.output];
  }

  /** The last layer, if its values are the logits: a network may change them by a function that is no layer. */
  logitLayer(): Layer | undefined {
    const last = this.facts.layers.at(-1);
    const [values, logits] = [last && this.outputs[last.output], this.outputs[this.facts.logits]];
    if (this.endsWithLogits === undefined && values && logits) {
      this.endsWithLogits = values.length === logits.length && values.every((value, i) => Object.is(value, logits[i]));
    }
    return this.endsWithLogits ? last : undefined;
  }

  /** The windows in earlier tensors that a value depends on. */
  fieldsOf(layer: Layer, at: Position): ReadonlyMap<string, Rect> {
    const linked = layer === this.output ? { ...layer, input: this.logitLayer()?.output ?? null } : layer;
    return receptiveFields(this.facts.layers, linked, at);
  }

  /** The most probable class with its probability. */
  shortAnswer(): string {
    return this.isBlank || !this.outputs[this.facts.probabilities] ? "" : this.answer.summary;
  }

  /** Where the channel, or the bar, of a value is in the window. */
  extentOf(layer: Layer, index: number): Extent | null {
    return this.byOutput.get(layer.output)?.maps.extent(index) ?? null;
  }

  /** Scrolls the strip so that a layer can be seen; on a phone, where the strip is a list, the page. */
  bring(layer: Layer, withFocus = false): void {
    const maps = this.byOutput.get(layer.output)?.maps.element;
    const item = this.columnOf(layer);
    const frame = this.section.querySelector(".strip-frame");
    if (!maps || !item || !frame) return;
    expand(item, true);
    if (withFocus) maps.focus({ preventScroll: true });
    if (this.narrow.matches) {
      item.scrollIntoView({ block: "nearest" });
      return;
    }
    const [box, outer] = [item.getBoundingClientRect(), frame.getBoundingClientRect()];
    if (box.left < outer.left) frame.scrollLeft += box.left - outer.left - 16;
    else if (box.right > outer.right) frame.scrollLeft += Math.min(box.right - outer.right + 16, box.left - outer.left);
  }

  /** Writes all texts again, in the current language. */
  translate(): void {
    const scrolled = this.section.querySelector(".strip-frame")?.scrollLeft ?? 0;
    this.build();
    this.show();
    void this.drawFilters();
    this.section.querySelector(".strip-frame")?.scrollTo({ left: scrolled });
    if (!this.outputs[this.facts.probabilities]) this.answer.wait();
  }

  private columnOf(layer: Layer): HTMLElement | null {
    return this.byOutput.get(layer.output)?.maps.element.closest<HTMLElement>(".layer") ?? null;
  }

  private build(): void {
    const { facts } = this;
    this.input.name = words.inputLayer;
    this.output.name = words.answerLayer;
    const open = new Set(
      this.layers.map(({ layer }) => layer).filter((layer) => this.columnOf(layer)?.matches(".open")),
    );
    const strip = h("ol", { class: "strip" });
    const visible = new Set(this.layers.filter((entry) => entry.visible).map((entry) => entry.layer));
    this.layers.length = 0;
    this.byOutput.clear();
    for (const layer of this.steps()) {
      strip.append(this.layerElement(layer));
      if (layer === this.input) strip.append(this.filters);
    }
    const about = h("div", {}, h("h3", {}, facts.name), h("p", { class: "note" }, describe(facts)));
    const edges = element("svg", { class: "edges", "aria-hidden": "true" });
    const frame = h("div", { class: "strip-frame", tabindex: "0", role: "group", "aria-label": facts.name });
    frame.append(edges, strip);
    const steps = this.layers.map(({ layer }) => layer);
    const lines = edgesOf(steps);
    const isKnown = lines.every(({ known }) => known);
    const columns = steps.map((layer) => ({ name: layer.name, column: this.columnOf(layer)! }));
    const views = this.otherViews.length + 1;
    this.section.replaceChildren(
      h(
        "div",
        { class: "network-head" },
        ...(this.named ? [about] : []),
        ...(views > 1 ? [h("p", { class: "note" }, words.layersOfView(views))] : []),
      ),
      new Overview(frame, columns, (place) => this.onLayer(this, steps[place]!)).element,
      frame,
      ...(isKnown ? [] : [h("p", { class: "note dashed" }, words.dashedLines)]),
    );
    for (const layer of open) expand(this.columnOf(layer)!, true);
    const place = (column: HTMLElement) => column.offsetLeft - strip.offsetLeft + 5;
    new ResizeObserver(() =>
      drawEdges(
        edges,
        lines,
        columns.map(({ column }) => place(column)),
      ),
    ).observe(strip);
    if (facts.epochs.length > 0) this.section.firstElementChild?.append(this.epochSlider());
    for (const entry of this.layers) entry.visible = visible.has(entry.layer);
    this.arrange();
    this.observe();
    this.buildPanel();
  }

  /** What the network sees, and its answer; with several networks, each has its name. */
  private buildPanel(): void {
    this.seen.setAttribute("aria-label", words.sees);
    const caption = h("figcaption", { class: "note" }, words.seesHelp(shapeText(this.facts.input_shape)));
    const views = this.otherViews.length + 1;
    const others = h("div", { class: "other-views" }, h("p", { class: "note" }, words.viewOf(1, views)));
    for (const [i, canvas] of this.otherViews.entries()) {
      canvas.setAttribute("aria-label", words.view(i + 2));
      others.append(h("span", { class: "note" }, canvas, h("span", { "aria-hidden": "true" }, words.view(i + 2))));
    }
    this.seenFigure.replaceChildren(...this.nameLine(), this.seen, caption, ...(views > 1 ? [others] : []));
  }

  private nameLine(): HTMLElement[] {
    return this.named ? [h("p", { class: "network-name" }, this.facts.name)] : [];
  }

  /** Adds what the network sees and its answer to their panels. */
  addPanels(sees: HTMLElement, answers: HTMLElement): void {
    this.answer.element.prepend(...this.nameLine());
    sees.append(this.seenFigure);
    answers.append(this.answer.element);
  }

  private layerElement(layer: Layer): HTMLElement {
    const { classes } = this.facts;
    const maps = new FeatureMaps(layer.shape, {
      labels: isOfClasses(this.facts, layer) ? classes : [],
      range: layer === this.output ? { low: 0, high: 1 } : layer === this.input ? imageRange(this.facts) : null,
    });
    const legend = emptyLegend();
    const kind = kindOf(layer);
    maps.element.tabIndex = 0;
    maps.element.setAttribute("role", "application");
    maps.element.setAttribute("aria-label", words.mapsLabel(layer.name, kind, shapeText(layer.shape)));
    const entry: LayerView = { layer, maps, legend, visible: false, index: Math.floor(maps.size / 2) };
    this.layers.push(entry);
    this.byOutput.set(layer.output, entry);
    const point = (place: number | null, keep: boolean) => {
      if (place !== null) entry.index = place;
      this.onPoint(place === null ? null : { view: this, layer, index: place }, keep);
    };
    maps.element.addEventListener("pointermove", (event) => point(maps.indexAt(event), false));
    maps.element.addEventListener("pointerleave", () => point(null, false));
    maps.element.addEventListener("click", (event) => point(maps.indexAt(event), true));
    maps.element.addEventListener("keydown", (event) => {
      const target = event.key === "Enter" ? entry.index : maps.moved(entry.index, event.key);
      if (target === null || event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      point(target, true);
    });
    const item = h("li", { class: `layer type-${layer.type}`, "data-output": layer.output });
    const about = layer.parameters > 0 ? words.parameters(layer.parameters) : "";
    item.append(
      columnHead(item, layer.name, kind, shapeText(layer.shape), about),
      h("div", { class: "layer-body" }, maps.element, legend),
    );
    return item;
  }

  private epochSlider(): HTMLElement {
    const { epochs, file, test_accuracy: testAccuracy } = this.facts;
    const isOfEpoch = epochs.some((epoch) => epoch.file === file); // whether the final weights are those of an epoch
    const last = isOfEpoch ? epochs.length - 1 : epochs.length;
    const slider = h("input", { type: "range", min: "0", max: String(last), value: String(this.epoch) });
    const label = h("output", { class: "note" });
    const write = (epoch: Epoch | undefined) => {
      const parts = epoch ? [words.epoch(epoch.epoch)] : [];
      if (!epoch || epoch.file === file) parts.push(words.finalWeights);
      if (!epoch && testAccuracy !== null) parts.push(words.finalAccuracy(percent(testAccuracy, words.code)));
      const { validation_accuracy: accuracy, loss } = epoch ?? {};
      if (typeof accuracy === "number") parts.push(words.epochAccuracy(percent(accuracy, words.code)));
      if (typeof loss === "number") parts.push(words.epochLoss(short(loss)));
      label.textContent = parts.join(words.comma).replace(/^./, (letter) => letter.toUpperCase());
      slider.setAttribute("aria-valuetext", label.textContent);
    };
    slider.addEventListener("input", () => {
      this.epoch = Number(slider.value);
      const epoch = epochs[this.epoch];
      write(epoch);
      this.onEpoch(epoch ?? null);
    });
    write(epochs[this.epoch]);
    return h("label", { class: "epochs" }, h("span", {}, words.epochSlider), slider, label);
  }

  private arrange(): void {
    for (const { maps } of this.layers) maps.arrange(this.width());
    this.show();
  }

  /** Layers that are scrolled into view are computed and drawn; others are not. */
  private observe(): void {
    this.observer?.disconnect();
    this.observer = new IntersectionObserver(
      (entries) => {
        let appeared = false;
        for (const { target, isIntersecting } of entries) {
          const entry = this.byOutput.get(target.closest<HTMLElement>("[data-output]")?.dataset.output ?? "");
          if (!entry) continue;
          appeared ||= isIntersecting && !entry.visible;
          entry.visible = isIntersecting;
        }
        if (appeared) this.onVisible();
      },
      { rootMargin: "200px" },
    );
    for (const body of this.section.querySelectorAll("[data-output] > .layer-body")) this.observer.observe(body);
  }

  private drawFilters(): Promise<void> {
    return drawFilters(this.filters, this.facts, this.network, this.width());
  }

  /** Width of the maps on a phone; null on a wide screen, where they fill columns of a height. */
  private width(): number | null {
    return this.narrow.matches ? Math.max(200, document.documentElement.clientWidth - 72) : null;
  }
}

function inputLayer(facts: NetworkFacts): Layer {
  const shape = facts.input_shape;
  return {
    name: words.inputLayer,
    kind: "",
    type: "other",
    input: facts.input,
    output: facts.input,
    input_shape: shape,
    shape,
    weight: null,
    bias: null,
    parameters: 0,
    macs: 0,
    size: "",
    facts: {},
  };
}

/** The range of an image: from black to white in any of its channels, after the normalization. */
export function imageRange(facts: NetworkFacts): Range {
  const { mean, std } = facts.preprocess;
  const limits = (level: number) => mean.map((value, i) => (level - value) / std[std.length > 1 ? i : 0]!);
  return { low: Math.min(...limits(0)), high: Math.max(...limits(1)), isGray: true };
}

/** Gray level of a normalized value, as in the image: black is 0 before the normalization, white is 1. */
export function levelOf(facts: NetworkFacts): (value: number, channel: number) => number {
  const { mean, std } = facts.preprocess;
  const pick = (list: readonly number[], channel: number) => list[list.length > 1 ? channel : 0]!;
  return (value, channel) => 255 * (value * pick(std, channel) + pick(mean, channel));
}

function planesOf(pixels: Uint8Array): Float32Array {
  const plane = pixels.length / 3;
  return Float32Array.from({ length: pixels.length }, (_, i) => pixels[(i % plane) * 3 + Math.floor(i / plane)]!);
}

let reported: () => string = () => "";

/** Shows a sentence about what went wrong, in the language that is chosen, or removes it. */
export function report(sentence: () => string): void {
  reported = sentence;
  const text = sentence();
  byId("notice-text").textContent = text;
  byId("notice").hidden = text === "";
}

/** Writes it again, in the current language. */
export function reportAgain(): void {
  report(reported);
}
