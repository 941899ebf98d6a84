// The page: loads the site, and runs each network whenever the image changes.

import { byId } from "./dom";
import { Drawing } from "./drawing";
import { Examples, paperIsDark } from "./examples";
import { compileFile, FileError, OpenedFromDisk, readFile } from "./files";
import { type Part, seenPart } from "./fit";
import { markExample, type Tried } from "./grades";
import { Inspector } from "./inspector";
import { describe } from "./labels";
import { switchLanguage, translatePage, words } from "./language";
import { Network, prepareRuntime } from "./network";
import { percent } from "./numbers";
import { parseSite, type Site, SiteError } from "./site";
import { startSources } from "./sources";
import { strikingIndex } from "./steps";
import { isDark, startTheme, switchTheme } from "./theme";
import { NetworkView, report, reportAgain, type Selection } from "./view";

let site: Site | null = null;
let views: NetworkView[] = [];
let drawing: Drawing;
let isBroken = false; // nothing that the user does can remove what is reported
let dataIsDark: boolean | null = null; // whether the test images are on dark paper; null: not known, or photos
let isChanged = false; // since the last run began
let runs: Promise<void> | null = null; // those in progress

const inspector = new Inspector((selection) => point(selection, true));
const examples = new Examples((image, button) => drawing.show(image, button));

/** Runs the networks on the current image: once for all changes since the last run. */
function refresh(): Promise<void> {
  isChanged = true;
  runs ??= runUntilUnchanged();
  return runs;
}

async function runUntilUnchanged(): Promise<void> {
  try {
    while (isChanged) {
      isChanged = false;
      await runAll();
    }
  } finally {
    runs = null;
  }
}

async function runAll(): Promise<void> {
  writePad();
  const isEmpty = drawing.isEmpty;
  const pixels = drawing.pixels();
  const centered = isCentered();
  const tried = drawing.example;
  const truth = tried?.dataset.class ?? null;
  examples.press(tried);
  for (const view of views) {
    try {
      const side = view.fit(pixels, centered && !isEmpty) ?? view.fit(pixels, false);
      if (side) await view.run(side, inspector.tensors(view), isEmpty, truth);
    } catch (error) {
      console.error(error);
      report(() => words.runFailed);
    }
  }
  const answers = views.map(({ facts, grade }) => grade && { name: facts.name, grade });
  if (tried)
    markExample(
      tried,
      answers.filter((answer): answer is Tried => answer !== null),
    );
  document.body.dataset.runs = String(Number(document.body.dataset.runs ?? 0) + 1);
  await inspector.update();
}

/** Shows the calculation of a value that the pointer or a key is at. */
function point(selection: Selection | null, keep: boolean): void {
  if (inspector.kept && !keep) {
    inspector.outline(selection);
    return;
  }
  if (!selection) return;
  const previous = inspector.selection;
  if (previous && previous.view !== selection.view) previous.view.mark(null, null, new Map());
  inspector.select(selection, keep);
  const missing = inspector.tensors(selection.view).some((name) => !selection.view.outputs[name]);
  void (missing ? refresh() : inspector.update()).then(() => {
    if (!keep) return;
    byId("status").textContent = `${byId("inspector-title").textContent} = ${byId("inspector-value").textContent}`;
  });
}

/** A first value to explain, in the first layer with a calculation: one on an edge of what is in the image. */
async function selectFirst(): Promise<void> {
  for (const view of views) {
    const layer = view.facts.layers.find((entry) => entry.type !== "other" && entry.type !== "flatten");
    if (!layer || inspector.selection) continue;
    inspector.select({ view, layer, index: 0 }, false);
    await refresh(); // with the values of this layer
    const values = view.values(layer.output, layer.shape) ?? [];
    if (!inspector.kept) inspector.select({ view, layer, index: strikingIndex(layer.shape, values) }, false);
  }
}

function isCentered(): boolean {
  return drawing.mayBeCentered && byId<HTMLInputElement>("centered").checked;
}

/** What each network sees of something of this size; a character that is centered is not cropped. */
function seenParts(width: number, height: number): Part[] {
  if (isCentered()) return [];
  return views.map(({ facts }) => seenPart(width, height, facts.preprocess));
}

/** Says beside the pad what can be done with it, how much is cropped away, and that an image can be drawn on. */
function writePad(): void {
  byId("undo").setAttribute("aria-disabled", String(!drawing.canUndo)); // a disabled button would lose the focus
  byId("paper-text").textContent = drawing.isDrawn ? words.invert : words.invertImage;
  byId<HTMLInputElement>("paper").checked = drawing.isDrawn ? drawing.paperIsDark : drawing.isInverted;
  const [width, height] = drawing.size;
  const sentences: string[] = [];
  for (const [i, { left, top, right, bottom }] of seenParts(width, height).entries()) {
    const cut = 1 - ((right - left) * (bottom - top)) / (width * height);
    if (cut > 0) sentences.push(words.cutOff(percent(cut, words.code), views.length > 1 ? views[i]!.facts.name : ""));
  }
  const { image } = drawing;
  if (image) sentences.push(words.drawOnImage);
  if (image && dataIsDark && !drawing.example && !isCentered() && !paperIsDark(image))
    sentences.push(words.lightOnDark);
  byId("pad-note").textContent = sentences.join(words.gap);
}

function startDrawing(): void {
  drawing = new Drawing(byId<HTMLCanvasElement>("drawing"), dismiss, () => void refresh());
  drawing.seen = seenParts;
  byId("undo").addEventListener("click", () => drawing.undo());
  byId("clear").addEventListener("click", () => drawing.clear());
  byId("dismiss").addEventListener("click", () => report(() => ""));
  byId("centered").addEventListener("change", () => drawing.refresh());
  const paper = byId<HTMLInputElement>("paper");
  paper.addEventListener("change", () => (drawing.isDrawn ? usePaper(paper.checked) : drawing.invert(paper.checked)));
  const pen = byId<HTMLInputElement>("pen");
  pen.addEventListener("input", () => {
    drawing.penColor = pen.value;
  });
  startSources((image, isNext) => (isNext ? drawing.showNext(image) : drawing.show(image)), report);
}

function startSwitches(): void {
  const label = () => {
    byId("language").textContent = words.otherLanguage;
    byId("language").lang = words.code === "en" ? "zh-CN" : "en";
    byId("theme").textContent = isDark() ? words.light : words.dark;
  };
  const recolor = () => {
    label();
    for (const view of views) view.translate(); // filters, maps and legends again
    void inspector.update();
  };
  byId("language").addEventListener("click", () => {
    switchLanguage();
    recolor();
    writeFacts();
    writePad();
    reportAgain();
    inspector.expand(inspector.isOpen);
    examples.translate();
  });
  byId("theme").addEventListener("click", () => {
    switchTheme();
    recolor();
  });
  startTheme(recolor);
  label();
}

function writeFacts(): void {
  if (!site) return;
  const names = site.networks.map((network) => network.name).join(", ");
  document.title = `${names} – classicnets`;
  byId("title").textContent = names;
  const [only] = site.networks;
  byId("subtitle").textContent = only && site.networks.length === 1 ? describe(only) : "";
  byId("made-with").textContent = words.madeWith(site.classicnets);
  const licenses = [...new Set(site.networks.map((network) => network.license))].filter(
    (license) => license && license !== "unknown", // the export writes it if the data set names none
  );
  byId("license").textContent = licenses.map((license) => words.license(license)).join(" ");
}

/** Draws on dark or bright paper, with the opposite ink unless another one was chosen. */
function usePaper(isDarkPaper: boolean): void {
  drawing.paperIsDark = isDarkPaper;
  if (drawing.penColor === null) byId<HTMLInputElement>("pen").value = isDarkPaper ? "#ffffff" : "#000000";
  drawing.refresh();
}

/** A network could not be loaded; the message is its file. */
class NetworkError extends Error {}

async function openNetwork(file: string, isInt8: boolean, content = readFile(file)): Promise<Network> {
  const bytes = await content;
  try {
    return await Network.open(bytes, isInt8);
  } catch (error) {
    throw new NetworkError(file, { cause: error });
  }
}

/** Whether the browser has what the network needs. */
function canRun(): boolean {
  return typeof WebAssembly === "object" && typeof DecompressionStream === "function";
}

/** Loads what the page needs; what is missing is said, and the rest works. */
async function load(): Promise<void> {
  const module = canRun() ? compileFile("runtime.wasm.gz") : null; // the largest file first
  void module?.catch(() => undefined); // what failed is said below
  site = parseSite(new TextDecoder().decode(await readFile("site.json")));
  const { networks } = site;
  const files = module ? networks.map((facts) => readFile(facts.file)) : [];
  const loaded = Promise.allSettled([module, ...files]);
  const named = networks.length > 1;
  document.body.classList.toggle("several", named);
  views = networks.map(
    (facts) =>
      new NetworkView(
        facts,
        named,
        point,
        () => void refresh(),
        (epoch) => {
          const view = views.find((entry) => entry.facts === facts);
          void view
            ?.load(epoch?.file ?? facts.file, (file) => openNetwork(file, facts.int8))
            .then(() => {
              report(() => "");
              examples.forget(); // other weights, other answers
              return refresh();
            }, explain);
        },
        (view, layer) => inspector.goTo(view, layer),
      ),
  );
  byId<HTMLInputElement>("centered").checked = networks.some((facts) => facts.handwriting);
  byId("pen-label").hidden = networks.every((facts) => facts.preprocess.channels === 1);
  byId("centered-label").hidden = !networks.some((facts) => facts.handwriting);
  writeFacts();
  for (const view of views) {
    view.addPanels(byId("sees"), byId("answers"));
    byId("networks").append(view.section);
  }
  document.body.classList.add("ready");
  const first = examples.start(site.examples).then((image) => {
    if (image && drawing.isEmpty) usePaper(paperIsDark(image)); // the drawing has the paper of the data
    if (image && networks.every((facts) => facts.preprocess.channels === 1)) dataIsDark = paperIsDark(image);
    return image;
  });
  if (!module) {
    isBroken = true;
    report(() => words.noWebAssembly);
    void first.then(() => examples.continue());
    return;
  }
  await loaded;
  prepareRuntime(await module);
  for (const [i, view] of views.entries()) {
    await view.load(view.facts.file, (file) => openNetwork(file, view.facts.int8, files[i]));
  }
  const image = await first;
  if (image && drawing.isEmpty) {
    examples.buttons[0]?.click();
    drawing.forget();
  }
  await selectFirst();
  await refresh();
  document.body.dataset.ready = "true";
  examples.continue();
}

/** Removes what is reported, when the user has gone on. */
function dismiss(): void {
  if (!isBroken) report(() => "");
}

/** Says on the page what went wrong and what to do. */
function explain(error: unknown): void {
  console.error(error);
  if (!canRun()) report(() => words.noWebAssembly);
  else if (error instanceof OpenedFromDisk) report(() => words.openedFromDisk);
  else if (error instanceof FileError) report(() => words.missingFile(error.file));
  else if (error instanceof NetworkError) report(() => words.badNetwork(error.message));
  else if (error instanceof SiteError) report(() => words.damagedSite(error.message));
  else report(() => (error instanceof Error ? error.message : String(error)));
}

translatePage();
startSwitches();
inspector.expand(false);
if (document.createElement("canvas").getContext("2d")) {
  startDrawing();
  load().catch((error) => {
    isBroken = true;
    explain(error);
  });
} else {
  report(() => words.noCanvas);
}
