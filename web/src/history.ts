// What was on the drawing area before each change, so that every change can be undone. Pure.

const MAX_PIXELS = 64_000_000; // of the images that are kept: 250 MB
const MAX_STATES = 1000;

/** What is on the drawing area: strokes on an image, or on paper. */
export interface State<Image extends { width: number; height: number }> {
  readonly image: Image | null;
}

export class History<Image extends { width: number; height: number }, S extends State<Image>> {
  private readonly past: S[] = [];

  constructor(public now: S) {}

  get isEmpty(): boolean {
    return this.past.length === 0;
  }

  /** Makes a change that can be undone; of large images, the oldest are forgotten. */
  change(next: S): void {
    this.past.push(this.now);
    this.now = next;
    while (this.past.length > MAX_STATES || (this.past.length > 1 && this.pixelCount() > MAX_PIXELS)) this.past.shift();
  }

  /** Returns to what was there before the last change. */
  undo(): void {
    this.now = this.past.pop() ?? this.now;
  }

  /** Makes what is there now the first state. */
  forget(): void {
    this.past.length = 0;
  }

  private pixelCount(): number {
    const images = new Set(this.past.map(({ image }) => image));
    return [...images].reduce((sum, image) => sum + (image ? image.width * image.height : 0), 0);
  }
}
