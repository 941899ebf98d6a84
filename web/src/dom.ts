// Short forms to build elements.

/** Creates an HTML element with attributes and children. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** Returns the element with this id, which the page has. */
export function byId<T extends HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Creates a MathML element: a formula that screen readers can read. */
export function m(tag: string, ...children: (Node | string)[]): MathMLElement {
  const element = document.createElementNS("http://www.w3.org/1998/Math/MathML", tag);
  element.append(...children);
  return element;
}

/** A number as `numbers.short` writes it; "2e−5" becomes a product with a power of ten. */
export function number(text: string): MathMLElement {
  const [, start, digits, exponent, end] = /^(\(?−?)([\d.]+)e(−?\d+)(\)?)$/.exec(text) ?? [];
  if (digits === undefined || exponent === undefined) return m("mn", text);
  const power = m("msup", m("mn", "10"), m("mn", exponent));
  const product = digits === "1" ? [power] : [m("mn", digits), m("mo", "×"), power];
  const signs = [...(start ?? "")].map((sign) => upright(sign));
  return m("mrow", ...signs, ...product, ...(end ? [upright(end)] : []));
}

/** A sign or parenthesis that is as high as a digit, also beside a power. */
function upright(text: string): MathMLElement {
  const sign = m("mo", text);
  sign.setAttribute("stretchy", "false");
  if (text === "−") sign.setAttribute("form", "prefix");
  return sign;
}

export const symbol = (text: string) => m("mo", text);
export const name = (text: string) => m("mi", text);
export const row = (...children: Node[]) => m("mrow", ...children);
export const fraction = (above: Node, below: Node) => m("mfrac", above, below);

/** A formula that is broken before its signs, so that its result is in view; a wide fraction scrolls. */
export function formula(...children: MathMLElement[]): HTMLElement {
  const pieces = piecesOf(children, ({ localName, textContent }) => (localName === "mo" ? textContent : null));
  return h(
    "div",
    { class: "formula", tabindex: "0", role: "group" },
    ...pieces.map((piece) => {
      const math = m("math", ...piece);
      math.setAttribute("displaystyle", "true");
      const [first] = piece;
      if (first?.localName === "mo") first.setAttribute("form", "infix"); // with the spaces of a sign between numbers
      return math;
    }),
  );
}

/** Parts of a formula between which a line may end: before a sign, and after a comma. */
export function piecesOf<T>(parts: readonly T[], operatorOf: (part: T) => string | null): T[][] {
  const pieces: T[][] = [];
  let previous: string | null = ",";
  for (const part of parts) {
    const sign = operatorOf(part);
    const isBetween = previous === null || !"+−=×/(".includes(previous); // not the sign of a number
    if (previous === "," || (sign !== null && "+−=".includes(sign) && isBetween && pieces.length > 0)) pieces.push([]);
    pieces.at(-1)!.push(part);
    previous = sign;
  }
  return pieces;
}
