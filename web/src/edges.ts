// The network as a graph: a point above each layer, and lines from the layers that it reads.

const SVG = "http://www.w3.org/2000/svg";
const RADIUS = 4;
const ARC = 7; // height of a line over one layer; one over more layers is higher, up to
const MAX_ARC = 28;

/** From one layer to a later one, by their places; `known` is false if the page only knows that it comes before. */
export interface Edge {
  from: number;
  to: number;
  known: boolean;
}

interface Node {
  output: string;
  input: string | null;
  sources?: string[] | undefined;
}

/**
 * Returns the lines between layers, of which the first is the input of the network.
 *
 * A layer reads its sources, with or without operations between them that are no layers. If none is known, the line
 * comes from the layer before.
 */
export function edgesOf(layers: readonly Node[]): Edge[] {
  const places = new Map(layers.map((layer, place) => [layer.output, place]));
  return layers.flatMap(({ input, sources }, to): Edge[] => {
    if (to === 0) return [];
    const names = sources ?? (input === null ? [] : [input]);
    const from = names.map((name) => places.get(name)).filter((place) => place !== undefined && place < to);
    if (from.length === 0) return [{ from: to - 1, to, known: false }];
    return from.map((place) => ({ from: place!, to, known: true }));
  });
}

/** Height that the arcs need above the points, in pixels; 0 if every line is straight. */
export function arcHeight(edges: readonly Edge[]): number {
  return edges.reduce((height, { from, to }) => Math.max(height, rise(from, to)), 0);
}

function rise(from: number, to: number): number {
  return to - from < 2 ? 0 : Math.min(MAX_ARC, ARC * (to - from));
}

/** Draws points and lines; a line over other layers is an arc. */
export function drawEdges(svg: SVGSVGElement, edges: readonly Edge[], places: readonly number[]): void {
  const y = arcHeight(edges) + RADIUS + 1;
  svg.setAttribute("width", String((places.at(-1) ?? 0) + 2 * RADIUS));
  svg.setAttribute("height", String(y + RADIUS + 1));
  const lines = edges.map(({ from, to, known }) => {
    const [start, end] = [places[from]! + RADIUS, places[to]! - RADIUS];
    const height = rise(from, to);
    const bend = Math.min(24, (end - start) / 2);
    const path = height
      ? `M${start},${y - 2} C${start + bend / 2},${y - height} ${start + bend / 2},${y - height} ${start + bend},${y - height} H${end - bend} C${end - bend / 2},${y - height} ${end - bend / 2},${y - height} ${end - 1},${y - 4}`
      : `M${start},${y} H${end - 1}`;
    const tip = height ? `M${end - 6},${y - 6} L${end - 1},${y - 3} L${end - 1},${y - 9}` : "";
    const arrow = height ? tip : `M${end - 6},${y - 3.5} L${end - 1},${y} L${end - 6},${y + 3.5}`;
    return element("path", { d: `${path} ${arrow}`, class: known ? "" : "unknown" });
  });
  const points = places.map((x) => element("circle", { cx: String(x), cy: String(y), r: String(RADIUS - 1) }));
  svg.replaceChildren(...lines, ...points);
}

/** Creates an SVG element with attributes. */
export function element<K extends keyof SVGElementTagNameMap>(
  tag: K,
  attributes: Record<string, string>,
): SVGElementTagNameMap[K] {
  const created = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) created.setAttribute(name, value);
  return created;
}
