// The columns of the layers: their heads, color scales, and the filters of a first convolution.

import { h } from "./dom";
import { words } from "./language";
import { FeatureMaps } from "./maps";
import type { Network } from "./network";
import { shapeText, short } from "./numbers";
import type { NetworkFacts } from "./site";
import { isDark } from "./theme";

/** Name, kind and shape of a column; on a phone, a button opens and closes what is below. */
export function columnHead(item: HTMLElement, name: string, kind: string, shape: string, size = ""): HTMLElement {
  const opener = h("button", { type: "button", class: "opener", "aria-expanded": "false" });
  opener.setAttribute("aria-label", words.showValues(name));
  opener.addEventListener("click", () => expand(item, !item.classList.contains("open")));
  return h(
    "div",
    { class: "layer-head" },
    h("p", { class: "layer-name" }, name),
    h("p", { class: "layer-kind" }, kind),
    h("p", { class: "layer-shape" }, shape),
    h("p", { class: "layer-size" }, size),
    opener,
  );
}

/** Opens or closes a column on a phone; on a wide screen, all are open. */
export function expand(item: HTMLElement, isOpen: boolean): void {
  item.classList.toggle("open", isOpen);
  item.querySelector(".opener")?.setAttribute("aria-expanded", String(isOpen));
}

export function emptyLegend(): HTMLElement {
  return h("div", { class: "legend" }, h("span"), h("i"), h("span"));
}

/** Writes the color scale of maps that were drawn. */
export function showLegend(legend: HTMLElement, maps: FeatureMaps): void {
  const { low, high, isGray } = maps.range;
  const [from, bar, to] = legend.children as unknown as [HTMLElement, HTMLElement, HTMLElement];
  from.textContent = short(low);
  to.textContent = short(high);
  bar.className = isGray ? "gray" : low < 0 ? "signed" : "unsigned";
  legend.setAttribute("role", "img");
  legend.setAttribute("aria-label", words.legend(short(low), short(high)));
}

/** The filters of a first convolution, which has one or three channels, are images themselves. */
export async function drawFilters(
  item: HTMLElement,
  facts: NetworkFacts,
  network: Network | null,
  width: number | null,
): Promise<void> {
  const first = facts.layers.find((layer) => layer.type === "conv");
  const kernel = first?.facts.kernel;
  const [inputs, outputs] = [first?.input_shape[0], first?.shape[0]];
  item.hidden = true;
  if (!first?.weight || first.input !== facts.input || kernel?.length !== 2 || !inputs || !outputs) return;
  if (!network || (inputs !== 1 && inputs !== 3) || (first.facts.groups ?? 1) !== 1) return;
  const weights = await network.weight(first.weight);
  if (weights.length !== outputs * inputs * kernel[0]! * kernel[1]!) return;
  const maps = new FeatureMaps([outputs, ...kernel]);
  maps.arrange(width);
  const legend = emptyLegend();
  const body = h("div", { class: "layer-body" }, maps.element);
  const shape = shapeText([outputs, inputs, ...kernel]);
  item.replaceChildren(columnHead(item, words.filters(first.name), words.filtersHelp, shape), body);
  expand(item, item.classList.contains("open"));
  maps.element.setAttribute("role", "img");
  maps.element.setAttribute("aria-label", words.filters(first.name));
  if (inputs === 1) {
    maps.draw(weights, isDark());
    showLegend(legend, maps);
    body.append(legend);
  } else {
    maps.drawColors(weights);
  }
  item.hidden = false;
}
