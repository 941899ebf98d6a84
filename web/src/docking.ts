// Keeps the panel away from what it explains. On a wide window, it has a place of its own; on a narrow one, it lies over
// the bottom of the window, or over the top while the chosen value is at the bottom.

/** Top and bottom of something in the window, in CSS pixels. */
export interface Extent {
  top: number;
  bottom: number;
}

/**
 * Says at which edge the panel is to be.
 *
 * @param target what it must not cover; null if there is nothing
 * @param panel height of the panel
 * @param height of the window
 * @param atTop where it is now, and where it stays as long as it covers nothing
 */
export function isAtTop(target: Extent | null, panel: number, height: number, atTop: boolean): boolean {
  if (!target || target.bottom <= 0 || target.top >= height) return false;
  const coveredAtTop = target.top < panel;
  const coveredAtBottom = target.bottom > height - panel;
  return atTop ? !coveredAtTop || coveredAtBottom : coveredAtBottom && !coveredAtTop;
}

/** Moves the panel whenever the window or the panel changes; returns a function that does it at once. */
export function dock(panel: HTMLElement, target: () => Extent | null): () => void {
  const wide = matchMedia("(min-width: 1200px)");
  const root = document.documentElement;
  const place = () => {
    const height = wide.matches ? 0 : panel.offsetHeight;
    root.style.setProperty("--panel-height", `${height}px`); // room at the end of the page
    const atTop = panel.classList.contains("at-top");
    const next = !wide.matches && isAtTop(target(), height, innerHeight, atTop);
    panel.classList.toggle("at-top", next);
    root.classList.toggle("panel-at-top", next);
  };
  new ResizeObserver(place).observe(panel);
  wide.addEventListener("change", place);
  addEventListener("scroll", place, { passive: true });
  addEventListener("resize", place);
  return place;
}
