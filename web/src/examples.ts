// The examples of the site, as buttons: the first one is loaded with the network, the others after it.

import { byId, h } from "./dom";
import { readFile } from "./files";
import { labelExample, markExample } from "./grades";
import { words } from "./language";
import type { Example } from "./site";

export class Examples {
  private readonly list = byId("example-list");
  private unread: [file: string, HTMLButtonElement][] = [];

  /** Calls `use` with an image that was chosen, and its button. */
  constructor(private readonly use: (image: ImageBitmap, button: HTMLElement) => void) {}

  get buttons(): NodeListOf<HTMLElement> {
    return this.list.querySelectorAll("button");
  }

  /** Adds a button for each example, and returns the first image. */
  async start(examples: readonly Example[]): Promise<ImageBitmap | null> {
    byId("examples").hidden = examples.length === 0;
    byId("more-examples").addEventListener("click", () => {
      this.list.classList.toggle("all");
      this.translate();
    });
    this.translate();
    this.unread = examples.map((example) => [example.file, this.add(example)]);
    for (let next = this.unread.shift(); next; next = this.unread.shift()) {
      const image = await this.load(...next);
      if (image) return image;
    }
    return null;
  }

  /** Loads the other images. */
  continue(): void {
    for (const [file, button] of this.unread.splice(0)) void this.load(file, button);
  }

  /** Marks the image that is shown as it is; null: none is. */
  press(shown: HTMLElement | null): void {
    for (const button of this.buttons) button.setAttribute("aria-pressed", String(button === shown));
  }

  /** Removes what was marked as right and wrong, because the weights are others, and says so. */
  forget(): void {
    byId("marks-removed").hidden = !this.list.querySelector(".marks");
    for (const button of this.buttons) markExample(button, []);
  }

  /** Writes the labels again, in the current language. */
  translate(): void {
    for (const button of this.buttons) labelExample(button);
    const isAll = this.list.classList.contains("all");
    const more = byId("more-examples");
    more.textContent = isAll ? words.fewerExamples : words.moreExamples;
    more.setAttribute("aria-expanded", String(isAll));
  }

  private add(example: Example): HTMLButtonElement {
    const canvas = h("canvas", { "aria-hidden": "true" });
    const button = h(
      "button",
      { type: "button", "data-class": example.class, "aria-pressed": "false" },
      canvas,
      h("span", { title: example.class }, example.class),
    );
    labelExample(button);
    const isFirst = !this.list.querySelector(`[data-class="${CSS.escape(example.class)}"]`);
    this.list.append(h("li", isFirst ? {} : { class: "more" }, button)); // a phone shows one of each class first
    return button;
  }

  /** Shows an image on its button; the button of one that cannot be read is removed. */
  private async load(file: string, button: HTMLButtonElement): Promise<ImageBitmap | null> {
    try {
      const image = await createImageBitmap(new Blob([await readFile(file)], { type: "image/png" }));
      const canvas = button.querySelector("canvas")!;
      [canvas.width, canvas.height] = [image.width, image.height];
      canvas.getContext("2d")?.drawImage(image, 0, 0);
      button.addEventListener("click", () => {
        byId("marks-removed").hidden = true;
        this.use(image, button);
      });
      return image;
    } catch {
      button.parentElement?.remove();
      return null;
    }
  }
}

/** Whether at least two corners of an image are dark. */
export function paperIsDark(image: ImageBitmap | HTMLCanvasElement): boolean {
  const { width, height } = image;
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) return true;
  const corners = [
    [0, 0],
    [width - 1, 0],
    [0, height - 1],
    [width - 1, height - 1],
  ] as const;
  const dark = corners.filter(([x, y]) => {
    context.clearRect(0, 0, 1, 1);
    context.drawImage(image, x, y, 1, 1, 0, 0, 1, 1);
    const [red, green, blue] = context.getImageData(0, 0, 1, 1).data;
    return red! + green! + blue! <= 3 * 127;
  });
  return dark.length >= 2;
}
