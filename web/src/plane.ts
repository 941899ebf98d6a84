// The part of a layer that is enlarged, and how keys move in it. Pure.

/** Rows and columns of a plane of values; the last row of a vector may not be full. */
export interface Plane {
  start: number; // index of its first value
  count: number;
  height: number;
  width: number;
}

/** Whether a layer has maps: channels of one value each are a vector. */
export function isOfMaps(shape: readonly number[]): boolean {
  return shape.length >= 2 && shape.at(-1)! * shape.at(-2)! > 1;
}

/** The plane that a value is in: its channel, or a vector in rows of nearly equal length. */
export function planeOf(shape: readonly number[], index: number): Plane {
  const isMap = isOfMaps(shape);
  const count = isMap ? shape.at(-1)! * shape.at(-2)! : shape.reduce((a, b) => a * b, 1);
  const width = isMap ? shape.at(-1)! : Math.ceil(Math.sqrt(count));
  return { start: isMap ? Math.floor(index / count) * count : 0, count, width, height: Math.ceil(count / width) };
}

/** Index in the layer after a key was pressed; null if the key does not move. */
export function movedIn(plane: Plane, size: number, index: number, key: string): number | null {
  const place = index - plane.start;
  const column = place % plane.width;
  const steps: Record<string, number> = {
    ArrowLeft: column > 0 ? -1 : 0,
    ArrowRight: column < plane.width - 1 ? 1 : 0,
    ArrowUp: -plane.width,
    ArrowDown: plane.width,
    Home: -place,
    End: plane.count - 1 - place,
  };
  const channels: Record<string, number> = { PageUp: -plane.count, PageDown: plane.count };
  const step = steps[key];
  if (step !== undefined) return place + step >= 0 && place + step < plane.count ? index + step : index;
  const channel = channels[key];
  if (channel === undefined) return null;
  return index + channel >= 0 && index + channel < size ? index + channel : index;
}
