// The drawing area: strokes of a mouse, finger, pen or the keyboard, on paper or on an image.

import type { Part, Pixels } from "./fit";

const SIZE = 336; // pixels of the drawing
const PEN = SIZE / 14; // stroke width: about two pixels of 28

interface Stroke {
  color: string | null; // null: the opposite of the paper
  points: [number, number][];
}

export class Drawing {
  private strokes: Stroke[] = [];
  private image: ImageBitmap | null = null;
  private isPrepared = false;
  private active: Stroke | null = null;
  private cursor: [number, number] | null = null; // of the keyboard
  /** The parts that the networks see of something of this size. */
  seen: (width: number, height: number) => Part[] = () => [];
  paperIsDark = true;
  penColor: string | null = null; // null: the opposite of the paper

  /** Calls `changed` after each change. */
  constructor(
    private readonly canvas: HTMLCanvasElement,
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
    return this.strokes.length === 0 && !this.image;
  }

  /** Whether the input is a drawing, not an image. */
  get isDrawn(): boolean {
    return !this.image;
  }

  /** Whether the input is a drawing, or a photo of one: not an image that is prepared already. */
  get mayBeCentered(): boolean {
    return !this.image || !this.isPrepared;
  }

  /** Whether the input is an image of the data, and nothing is drawn on it. */
  get isUnchanged(): boolean {
    return this.image !== null && this.isPrepared && this.strokes.length === 0;
  }

  /** Width and height of the image, or of the paper. */
  get size(): [number, number] {
    return this.image ? [this.image.width, this.image.height] : [SIZE, SIZE];
  }

  /** Pixels of the drawing, or of the image in its own size, with the strokes on it. */
  pixels(): Pixels {
    const [width, height] = this.size;
    const context = paint(document.createElement("canvas"), width, height);
    if (this.image) context.drawImage(this.image, 0, 0);
    else this.paintPaper(context);
    const [x, y, scale] = this.place();
    context.setTransform(1 / scale, 0, 0, 1 / scale, -x / scale, -y / scale);
    this.paintStrokes(context);
    return { data: context.getImageData(0, 0, width, height).data, width, height };
  }

  /** Shows an image; `isPrepared`: it is one of the data, as the network reads it. */
  show(image: ImageBitmap, isPrepared = false): void {
    this.image = image;
    this.isPrepared = isPrepared;
    this.strokes = [];
    this.refresh();
  }

  /** Takes back the last stroke, or the image if nothing is drawn on it. */
  undo(): void {
    if (!this.strokes.pop()) this.image = null;
    this.refresh();
  }

  clear(): void {
    this.image = null;
    this.strokes = [];
    this.refresh();
  }

  refresh(): void {
    this.draw();
    this.changed();
  }

  private begin(point: [number, number]): void {
    this.active = { color: this.penColor, points: [point] };
    this.strokes.push(this.active);
    this.refresh();
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
    if (this.image) {
      context.imageSmoothingEnabled = scale < 2;
      context.drawImage(this.image, x, y, width * scale, height * scale);
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
    for (const { color, points } of this.strokes) {
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
