// Numbers as readers see them.

/** About four significant digits, with a typographic minus. */
export function short(value: number): string {
  const size = Math.abs(value);
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  let text: string;
  if (size < 0.001 || size >= 100000) text = value.toExponential(2).replace(/\.?0*e\+?/, "e");
  else if (size >= 100) text = value.toFixed(1);
  else if (size >= 10) text = value.toFixed(2);
  else text = value.toFixed(3);
  return text.replaceAll("-", "−");
}

/** Equal decimals for the numbers of a grid, by the largest of them, so that they fit into a cell. */
export function tiny(value: number, most: number): string {
  if (most >= 1000 || (most > 0 && most < 0.01)) return value.toExponential(0).replace("e+", "e").replaceAll("-", "−");
  const text = value.toFixed(most >= 100 ? 0 : most >= 10 ? 1 : most >= 0.5 ? 2 : 3);
  return Number(text) === 0 ? text.replace("-", "") : text.replace("-", "−");
}

/** In parentheses if it is negative, as in a sum or product. */
export function operand(value: number): string {
  const text = short(value);
  return text.startsWith("−") ? `(${text})` : text;
}

export function percent(value: number, language: string): string {
  return value.toLocaleString(language, { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
}

export function count(value: number, language: string): string {
  return value.toLocaleString(language);
}

export function shapeText(shape: readonly number[]): string {
  return shape.join(" × ");
}
