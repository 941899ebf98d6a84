// The drawing area: strokes of a mouse, finger, pen or the keyboard, on paper or on an image.

import type { Part, Pixels } from "./fit";
import { History } from "./history";

const SIZE = 336; // pixels of the drawing
const PEN = SIZE / 14; // stroke width: about two pixels of 28

interface Stroke {
  color: string | null; // null: the opposite of the paper
  points: [number, number][];
}

/** What is on the drawing area. */
interface Content {
  readonly image: ImageBitmap | null;
  readonly example: HTMLElement | null; // the button of the image, if it is one of the data, as the network reads it
  readonly isInverted: boolean;
  readonly strokes: readonly Stroke[];
}

const EMPTY: Content = { image: null, example: null, isInverted: false, strokes: [] };

export class Drawing {
  private readonly history = new History<ImageBitmap, Content>(EMPTY);
  private readonly inverted = new WeakMap<ImageBitmap, HTMLCanvasElement>();
  private active: Stroke | null = null;
  private cursor: [number, number] | null = null; // of the keyboard
  /** The parts that the networks see of something of this size. */
  seen: (width: number, height: number) => Part[] = () => [];
  paperIsDark = true;
  penColor: string | null = null; // null: the opposite of the paper

  /** Calls `acted` when a stroke begins, and on what else the user does, and `changed` after each change. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
    private readonly acted: () => void,
    private readonly changed: () => void,
  ) {
    canvas.width = canvas.height = SIZE;
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      this.cursor = null;
      this.begin(this.pointOf(event));
      event.preventDefault();
      canvas.focus({ preventScroll: true });
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!this.active || this.cursor) return;
      const events = event.getCoalescedEvents?.() ?? [];
      for (const part of events.length > 0 ? events : [event]) this.active.points.push(this.pointOf(part));
      this.refresh();
    });
    for (const kind of ["pointerup", "pointercancel"] as const) {
      canvas.addEventListener(kind, () => {
        if (!this.cursor) this.active = null;
      });
    }
    canvas.addEventListener("keydown", (event) => this.onKey(event));
    canvas.addEventListener("blur", () => {
      this.cursor = this.active = null;
      this.draw();
    });
    this.draw();
  }

  get isEmpty(): boolean {
    return this.content.strokes.length === 0 && this.isDrawn;
  }

  /** Whether the input is a drawing, not an image. */
  get isDrawn(): boolean {
    return !this.content.image;
  }

  /** Whether the input is a drawing, or a photo of one: not an image that is prepared already. */
  get mayBeCentered(): boolean {
    return !this.content.example;
  }

  /** The button of the image of the data that is shown, if it is as the data have it. */
  get example(): HTMLElement | null {
    const { example, isInverted, strokes } = this.content;
    return isInverted || strokes.length > 0 ? null : example;
  }

  /** The image that is open, without strokes, with its colors as they are shown. */
  get image(): ImageBitmap | HTMLCanvasElement | null {
    const { image, isInverted } = this.content;
    return image && isInverted ? this.invertedImage(image) : image;
  }

  get isInverted(): boolean {
    return this.content.isInverted;
  }

  get canUndo(): boolean {
    return !this.history.isEmpty;
  }

  /** Width and height of the image, or of the paper. */
  get size(): [number, number] {
    const { image } = this.content;
    return image ? [image.width, image.height] : [SIZE, SIZE];
  }

  private get content(): Content {
    return this.history.now;
  }

  /** Pixels of the drawing, or of the image in its own size, with the strokes on it. */
  pixels(): Pixels {
    const [width, height] = this.size;
    const context = paint(document.createElement("canvas"), width, height);
    const { image } = this;
    if (image) context.drawImage(image, 0, 0);
    else this.paintPaper(context);
    const [x, y, scale] = this.place();
    context.setTransform(1 / scale, 0, 0, 1 / scale, -x / scale, -y / scale);
    this.paintStrokes(context);
    return { data: context.getImageData(0, 0, width, height).data, width, height };
  }

  /** Shows an image; `example`: the button of one of the data, as the network reads it. */
  show(image: ImageBitmap, example: HTMLElement | null = null): void {
    this.change({ ...EMPTY, image, example });
  }

  /** Shows the next image of the camera in place of the last one. */
  showNext(image: ImageBitmap): void {
    this.history.now = { ...EMPTY, image, isInverted: this.isInverted };
    this.refresh();
  }

  /** Inverts the colors of the image, or shows them as they are. */
  invert(isInverted: boolean): void {
    this.change({ ...this.content, isInverted });
  }

  /** Takes back the last change: a stroke, an image, or what cleared or inverted it. */
  undo(): void {
    this.active = null;
    this.history.undo();
    this.acted();
    this.refresh();
  }

  clear(): void {
    this.change(EMPTY);
  }

  /** Makes what is shown the start, so that it cannot be undone. */
  forget(): void {
    this.history.forget();
  }

  refresh(): void {
    this.draw();
    this.changed();
  }

  private begin(point: [number, number]): void {
    const stroke: Stroke = { color: this.penColor, points: [point] };
    this.change({ ...this.content, strokes: [...this.content.strokes, stroke] }, stroke);
  }

  private change(content: Content, active: Stroke | null = null): void {
    this.active = active;
    if (content !== EMPTY || !this.isEmpty) this.history.change(content); // an empty pad cannot be cleared
    this.acted();
    this.refresh();
  }

  private invertedImage(image: ImageBitmap): HTMLCanvasElement {
    const ready = this.inverted.get(image);
    if (ready) return ready;
    const context = paint(document.createElement("canvas"), image.width, image.height);
    context.drawImage(image, 0, 0);
    const pixels = context.getImageData(0, 0, image.width, image.height);
    for (let i = 0; i < pixels.data.length; i++) {
      if (i % 4 < 3) pixels.data[i] = 255 - pixels.data[i]!; // not the opacity
    }
    context.putImageData(pixels, 0, 0);
    this.inverted.set(image, context.canvas);
    return context.canvas;
  }

  private pointOf(event: PointerEvent): [number, number] {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.left) * SIZE) / box.width, ((event.clientY - box.top) * SIZE) / box.height];
  }

  private onKey(event: KeyboardEvent): void {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      this.undo();
      return;
    }
    const steps: Record<string, [number, number]> = {
      ArrowLeft: [-1, 0],
      ArrowRight: [1, 0],
      ArrowUp: [0, -1],
      ArrowDown: [0, 1],
    };
    const step = steps[event.key];
    if (!step && event.key !== " ") return;
    event.preventDefault();
    this.cursor ??= [SIZE / 2, SIZE / 2];
    if (step) {
      const move = (place: number, by: number) => Math.max(0, Math.min(SIZE, place + (by * SIZE) / 28));
      this.cursor = [move(this.cursor[0], step[0]), move(this.cursor[1], step[1])];
      this.active?.points.push(this.cursor);
      this.refresh();
    } else if (this.active) {
      this.active = null;
      this.draw();
    } else {
      this.begin(this.cursor);
    }
  }

  private draw(): void {
    const context = this.canvas.getContext("2d");
    if (!context) return;
    const [x, y, scale] = this.place();
    const [width, height] = this.size;
    context.clearRect(0, 0, SIZE, SIZE);
    context.save();
    context.beginPath();
    context.rect(x, y, width * scale, height * scale);
    context.clip();
    const { image } = this;
    if (image) {
      context.imageSmoothingEnabled = scale < 2;
      context.drawImage(image, x, y, width * scale, height * scale);
    } else {
      this.paintPaper(context);
    }
    this.paintStrokes(context);
    context.restore();
    this.drawFrames(context);
    if (this.cursor) {
      context.lineWidth = 2;
      context.strokeStyle = this.active ? "#e8590c" : "#4c8dd6";
      context.beginPath();
      context.arc(...this.cursor, PEN / 2 + 3, 0, 2 * Math.PI);
      context.stroke();
    }
  }

  /** Where the image is on the pad: left, top, and pixels of the pad for one of the image. */
  private place(): [number, number, number] {
    const [width, height] = this.size;
    const scale = SIZE / Math.max(width, height);
    return [(SIZE - width * scale) / 2, (SIZE - height * scale) / 2, scale];
  }

  /** A dashed frame around what a network sees, in two colors, so that it shows on every image. */
  private drawFrames(context: CanvasRenderingContext2D): void {
    const [x, y, scale] = this.place();
    const [width, height] = this.size;
    for (const { left, top, right, bottom } of this.seen(width, height)) {
      if (right - left >= width && bottom - top >= height) continue;
      const box = [x + left * scale, y + top * scale, (right - left) * scale, (bottom - top) * scale] as const;
      context.lineWidth = 2;
      context.setLineDash([]);
      context.strokeStyle = "#000000b0";
      context.strokeRect(...box);
      context.setLineDash([7, 7]);
      context.strokeStyle = "#ffffff";
      context.strokeRect(...box);
      context.setLineDash([]);
    }
  }

  private paintPaper(context: CanvasRenderingContext2D): void {
    context.fillStyle = this.paperIsDark ? "#000000" : "#ffffff";
    context.fillRect(0, 0, SIZE, SIZE);
  }

  private paintStrokes(context: CanvasRenderingContext2D): void {
    context.lineCap = context.lineJoin = "round";
    context.lineWidth = PEN;
    for (const { color, points } of this.content.strokes) {
      context.strokeStyle = color ?? (this.paperIsDark ? "#ffffff" : "#000000");
      context.beginPath();
      context.moveTo(...points[0]!);
      for (const point of points.length > 1 ? points.slice(1) : points) context.lineTo(...point);
      context.stroke();
    }
  }
}

function paint(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  if (!context) throw new Error("canvas");
  return context;
}
