// Evaluates every equation that the panel of the calculation prints, from its printed digits.
// Called with the logits of the first view; returns the number of equations that hold, and those that do not.
(logits) => {
  const wrong = [];
  let count = 0;
  const erf = (x) => {
    const t = 1 / (1 + 0.3275911 * Math.abs(x)); // Abramowitz and Stegun 7.1.26
    const sum = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))));
    return Math.sign(x) * (1 - sum * Math.exp(-x * x));
  };
  const index = Number(document.getElementById("inspector-value").dataset.index);
  const functions = {
    max: Math.max,
    min: Math.min,
    tanh: Math.tanh,
    Φ: (x) => (1 + erf(x / Math.SQRT2)) / 2,
    softmax: (x) => {
      const others = logits.reduce((sum, logit, i) => sum + (i === index ? 0 : Math.exp(logit)), 0);
      return Math.exp(x) / (Math.exp(x) + others);
    },
    "leaky ReLU": (x) => (x < 0 ? Number.NaN : x),
  };

  /** A side of an equation as JavaScript, with its numbers and how far each may be rounded; null if it is abridged. */
  class Side {
    numbers = [];
    code = "";

    number(text, error) {
      const value = Number(text.replace("−", "-").replace(/[()]/g, ""));
      const decimals = /\.(\d+)/.exec(text)?.[1].length;
      this.numbers.push({ value, error: error ?? (decimals ? 0.5 * 10 ** -decimals : 0) });
      return `n[${this.numbers.length - 1}]`;
    }

    of(node) {
      const parts = [...node.children];
      switch (node.localName) {
        case "mn":
          return this.number(node.textContent);
        case "mo":
          if ("∑…".includes(node.textContent)) throw new RangeError("abridged");
          return { "×": "*", "−": "-" }[node.textContent] ?? node.textContent;
        case "mi":
          return node.textContent === "e" ? "Math.E" : `f["${node.textContent}"]`;
        case "mfrac":
          return `((${this.of(parts[0])})/(${this.of(parts[1])}))`;
        case "msup": {
          const power = parts[1].textContent.replace("−", "-");
          if (parts[0].textContent === "10") return this.number(`1e${power}`, 0.005 * 10 ** Number(power));
          return `((${this.of(parts[0])})**(${this.of(parts[1])}))`;
        }
        case "msqrt":
          return `Math.sqrt(${this.row(parts)})`;
        case "munder":
        case "mpadded":
          return this.of(parts[0]); // without its label
        default:
          return this.row(parts);
      }
    }

    row(parts) {
      const others = parts[0]?.textContent === "softmax" ? 2 : 0; // the comma and the dots before the parenthesis
      const shown = others ? [...parts.slice(0, -3), parts.at(-1)] : parts;
      return shown.map((part) => this.of(part)).join("");
    }

    /** The value of the side, and by how much rounding may have moved it. */
    evaluate() {
      const f = functions;
      const compute = new Function("n", "f", `return ${this.code}`);
      const values = this.numbers.map(({ value }) => value);
      const value = compute(values, f);
      let error = 0;
      for (const [i, { error: own }] of this.numbers.entries()) {
        const moved = [own, -own].map((by) => compute(values.with(i, values[i] + by), f) - value);
        error += Math.max(...moved.map(Math.abs));
      }
      return { value, error };
    }
  }

  const check = (text, sides) => {
    const values = sides.map((side) => side.evaluate());
    const last = values.at(-1);
    for (const { value, error } of values.slice(0, -1)) {
      count += 1;
      const difference = Math.abs(value - last.value);
      if (!(difference <= 1.01 * (error + last.error) + 1e-9)) wrong.push(`${text}: ${value} and ${last.value}`);
    }
  };

  for (const box of document.querySelectorAll("#explanation .formula")) {
    const sides = [[]];
    for (const part of box.querySelectorAll("math > *")) {
      if (part.textContent === "=" && part.localName === "mo") sides.push([]);
      else sides.at(-1).push(part);
    }
    const parsed = sides.flatMap((parts) => {
      const side = new Side();
      try {
        const isRow = parts.length === 1 && parts[0].localName === "mrow";
        side.code = side.row(isRow ? [...parts[0].children] : parts);
        return [side];
      } catch (error) {
        if (error instanceof RangeError) return [];
        throw error;
      }
    });
    if (parsed.length > 1) check(box.textContent, parsed);
  }
  const lines = [...document.querySelectorAll("#explanation .products li")].map((item) => item.textContent);
  for (const row of document.querySelectorAll("#explanation .contributions:not(.shares) tr")) {
    lines.push([...row.cells].slice(1, -1).map((cell) => cell.textContent).join(""));
  }
  for (const line of lines) {
    const sides = line.split("=").map((text) => {
      const side = new Side();
      side.code = text
        .replaceAll("×", "*")
        .replace(/\(?−?\d[\d.]*(e−?\d+)?\)?/g, (digits) => {
          const power = /e(−?\d+)/.exec(digits)?.[1].replace("−", "-");
          return side.number(digits.replaceAll("−", "-"), power && 0.005 * 10 ** Number(power));
        });
      return side;
    });
    check(line, sides);
  }
  for (const table of document.querySelectorAll("#explanation .shares")) {
    const names = [...table.tHead.rows].at(-1).cells;
    for (const row of table.tBodies[0].rows) {
      const cells = [...row.cells].map((cell, i) => [names[i]?.textContent, cell.textContent]);
      const of = (name) => cells.filter(([other]) => other === name).map(([, text]) => text);
      const side = (code, ...texts) => {
        const made = new Side();
        for (const text of texts) {
          const power = /e(−?\d+)/.exec(text)?.[1].replace("−", "-");
          made.number(text.replaceAll("−", "-"), power && 0.005 * 10 ** Number(power));
        }
        made.code = code;
        return made;
      };
      const [[logit], [power], [sum], shares, [mean]] = ["logit", "exp(logit)", "sum", "probability", "mean"].map(of);
      const text = cells.map(([, part]) => part).join(" ");
      if (power) check(text, [side("Math.exp(n[0])", logit), side("n[0]", power)]);
      if (sum) check(text, [side("n[0]/n[1]", power, sum), side("n[0]", shares[0])]);
      if (mean) check(text, [side("(n[0]+n[1])/2", ...shares), side("n[0]", mean)]);
    }
  }
  return { count, wrong };
}
