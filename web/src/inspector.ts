// The panel of the calculation: which value it shows, its head, and its parts.

import { calculateAnswer, isOfClasses } from "./answer";
import { calculate, type Rect, unravel, weightNames } from "./calculation";
import { dock } from "./docking";
import { byId, h } from "./dom";
import { EnlargedMap } from "./enlarged";
import { appendNext, type Explained, explain, explainAnswer, nextLayer, sizeNote } from "./explanation";
import { figure, framed } from "./figures";
import { kindOf, placeOf } from "./labels";
import { words } from "./language";
import { drawImageValues } from "./maps";
import { short } from "./numbers";
import type { Layer } from "./site";
import { placeIn } from "./steps";
import { levelOf, type NetworkView, type Selection } from "./view";

export class Inspector {
  selection: Selection | null = null;
  kept = false;
  private channel = 0; // input channel whose window is shown, as an offset from the first
  private outlined: NetworkView | null = null; // where a value is outlined that is not the selected one
  private shown = 0; // number of the last rendering, so that a late one is dropped
  private readonly element = byId("inspector");
  private readonly body = byId("inspector-body");
  private readonly content = byId("explanation");
  private readonly title = byId("inspector-title");
  private readonly value = byId("inspector-value");
  private readonly answer = byId("inspector-answer");
  private readonly keptNote = byId("kept");
  private readonly followButton = byId<HTMLButtonElement>("follow");
  private readonly toggleButton = byId<HTMLButtonElement>("toggle");
  private readonly stepButtons = [byId<HTMLButtonElement>("previous"), byId<HTMLButtonElement>("next")] as const;
  private readonly enlarged: EnlargedMap;
  private readonly avoidSelection: () => void;

  /** Calls `onSelect` when the panel leads to another value. */
  constructor(private readonly onSelect: (selection: Selection) => void) {
    this.enlarged = new EnlargedMap(
      (index) => this.selection && onSelect({ ...this.selection, index }),
      (index) => this.sweepTo(index),
    );
    this.avoidSelection = dock(this.element, () => {
      const { selection } = this;
      return selection && this.kept ? selection.view.extentOf(selection.layer, selection.index) : null;
    });
    this.followButton.addEventListener("click", () => this.release());
    this.toggleButton.addEventListener("click", () => this.expand(!this.isOpen));
    for (const [i, button] of this.stepButtons.entries()) {
      button.addEventListener("click", () => this.step(i === 0 ? -1 : 1));
    }
    document.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.release();
      const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!direction || !event.shiftKey || event.ctrlKey || event.altKey || event.metaKey) return;
      const focused = event.target instanceof Element ? event.target.closest("#inspector, .maps") : null;
      if (!focused) return;
      event.preventDefault();
      this.step(direction, focused !== this.element);
    });
  }

  /** Tensors that the shown calculation needs. */
  tensors(view: NetworkView): string[] {
    const { selection } = this;
    if (!selection || selection.view !== view) return [];
    const { layer } = selection;
    const last = isOfClasses(view.facts, layer) ? [view.facts.layers.at(-1)?.output, view.output.input] : [];
    const names = [layer.output, layer.input, nextLayer(selection)?.output, ...last];
    return names.filter((tensor) => typeof tensor === "string");
  }

  /** Shows another value, and keeps it if it was chosen rather than pointed at. */
  select(selection: Selection, keep: boolean): void {
    if (keep) this.enlarged.stop();
    if (this.selection?.layer !== selection.layer) this.channel = 0;
    this.selection = selection;
    this.kept = keep;
    if (keep) this.expand(true);
  }

  /** Outlines a value that is pointed at while another one is kept; null: the kept one again. */
  outline(pointed: Selection | null): void {
    this.outlined?.mark(null, null, new Map());
    this.outlined = pointed?.view ?? null;
    const outlined = pointed ?? this.selection;
    if (outlined) outlined.view.mark(outlined.index, outlined.layer, this.fields(outlined));
  }

  get isOpen(): boolean {
    return this.element.classList.contains("open");
  }

  expand(open: boolean): void {
    if (!open) this.enlarged.stop();
    this.element.classList.toggle("open", open);
    this.toggleButton.setAttribute("aria-expanded", String(open));
    this.toggleButton.textContent = open ? words.collapse : words.expand;
    this.avoidSelection();
  }

  /** Goes to the previous or next layer, with the focus if it is on a layer. */
  private step(direction: number, withFocus = false): void {
    const { selection } = this;
    if (!selection) return;
    const { view, layer } = selection;
    const all = view.steps();
    const next = all[all.indexOf(layer) + direction];
    if (!next) return;
    view.bring(next, withFocus); // first, so that the panel and its buttons stay where they are
    this.goTo(view, next);
  }

  /** Shows the value of a layer at the place of the shown one. */
  goTo(view: NetworkView, layer: Layer): void {
    const { selection } = this;
    const index = selection ? placeIn(layer.shape, selection.index, selection.layer.shape) : 0;
    this.onSelect({ view, layer, index });
  }

  /** Shows the next value of a sweep; its number is not announced, since there are many of them. */
  private async sweepTo(index: number): Promise<void> {
    if (!this.selection) return;
    this.selection = { ...this.selection, index };
    this.kept = true;
    await this.update();
  }

  private release(): void {
    this.kept = false;
    this.state();
  }

  private state(): void {
    this.element.classList.toggle("kept", this.kept);
    this.followButton.hidden = this.keptNote.hidden = !this.kept;
    this.keptNote.textContent = words.kept;
    this.followButton.textContent = words.follow;
    this.toggleButton.textContent = this.isOpen ? words.collapse : words.expand;
    const { selection } = this;
    const [first, last] = [selection?.view.steps()[0], selection?.view.steps().at(-1)];
    // a disabled button would lose the focus
    this.stepButtons[0].setAttribute("aria-disabled", String(!selection || selection.layer === first));
    this.stepButtons[1].setAttribute("aria-disabled", String(!selection || selection.layer === last));
    this.answer.textContent = selection?.view.shortAnswer() || "–";
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
    const input = data && { data, shape: layer.input_shape };
    const fields = this.fields(selection);
    const intro = h("div", { class: "intro" });
    const figures = h("div", { class: "figures" });
    const formulas = h("div", { class: "formulas" });
    const notes = h("div", { class: "notes" });
    const panel: Explained = {
      selection,
      channel: this.channel,
      intro,
      figures,
      formulas,
      notes,
      choose: this.onSelect,
      chooseChannel: (offset) => this.chooseChannel(offset),
    };
    if (view.isBlank) intro.append(h("p", { class: "note" }, words.emptyPad));
    let calculated: number | undefined;
    const logits = view.outputs[view.facts.logits];
    if (layer === view.output) {
      const { classes, temperature } = view.facts;
      const calculation = logits && calculateAnswer(logits, classes.length, temperature, index);
      calculated = calculation?.result;
      if (calculation) explainAnswer(calculation, logits, panel);
    } else if (layer !== view.input) {
      const calculation = input ? calculate(layer, at, input, (tensor) => weights.get(tensor)) : null;
      calculated = calculation?.result;
      if (calculation) explain(calculation, view.rangeOf(layer.input, input?.data ?? []), panel);
      else intro.append(h("p", { class: "sentence" }, words.unknownSentence));
    }
    this.title.replaceChildren(h("b", {}, layer.name), ` ${kindOf(layer)} `, h("span", {}, placeOf(layer, index)));
    if (isOfClasses(view.facts, layer))
      this.title.lastElementChild?.append(words.inParentheses(view.facts.classes[index]!));
    this.value.textContent = short(actual);
    this.value.dataset.layer = layer.output;
    this.value.dataset.index = String(index);
    this.value.dataset.value = String(actual);
    this.value.dataset.calculated = calculated === undefined ? "" : String(calculated);
    const error = Math.abs((calculated ?? actual) - actual);
    if (view.facts.int8 && error > 1e-3 * Math.max(1, Math.abs(actual))) {
      notes.append(h("p", { class: "note" }, words.int8Value(short(actual))));
    }
    appendNext(actual, panel);
    if (layer !== view.input) notes.append(sizeNote(layer));
    if (isOfClasses(view.facts, layer)) this.enlarged.hide();
    else this.enlarged.show(layer.shape, values, index, view.rangeOf(layer.output, values));
    byId("places").hidden = layer === view.output; // the answer depends on all of the image
    byId("receptive").replaceChildren(this.inputFigure(selection, fields));
    const scrolled = this.body.scrollTop;
    this.content.replaceChildren(intro, figures, formulas, notes);
    this.body.scrollTop = scrolled;
    view.mark(index, layer, fields);
  }

  private chooseChannel(offset: number): void {
    this.channel = offset;
    this.kept = true;
    void this.update().then(() => {
      const again = this.body.querySelectorAll<HTMLElement>(".channels button")[offset];
      again?.focus();
    });
  }

  /** The windows in earlier tensors that the value depends on. */
  private fields({ view, layer, index }: Selection): ReadonlyMap<string, Rect> {
    if (layer === view.input) return new Map();
    return view.fieldsOf(layer, unravel(index, layer.shape));
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
}

function span(start: number, end: number): string {
  return end - start > 1 ? `${start}–${end - 1}` : String(start);
}
