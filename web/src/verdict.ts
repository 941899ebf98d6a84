// Whether an answer is certain, and whether it is right. Pure.

export const CLOSE = 0.1; // two best probabilities that differ by less are an unsure answer

export interface Verdict {
  order: number[]; // classes, the most probable one first
  certainty: "sure" | "unsure" | "unknown"; // unknown: below the smallest confidence, which the run's user has chosen
}

/** What became of a test image. */
export type Grade = "right" | "wrong" | "unknown";

/**
 * Orders the classes by their probabilities, and says how certain the first one is.
 *
 * @param minConfidence below it, the answer is unknown; null: the answer is unsure if the second class is close
 */
export function judge(probabilities: ArrayLike<number>, minConfidence: number | null): Verdict {
  const order = Array.from(probabilities, (_, i) => i).sort((a, b) => probabilities[b]! - probabilities[a]!);
  const [best, second] = order.map((i) => probabilities[i]!);
  if (minConfidence !== null) return { order, certainty: best! >= minConfidence ? "sure" : "unknown" };
  return { order, certainty: second === undefined || best! - second >= CLOSE ? "sure" : "unsure" };
}

/** Grades the answer to an image of a known class; null if the network does not know this class. */
export function gradeOf({ order, certainty }: Verdict, classes: readonly string[], truth: string): Grade | null {
  if (!classes.includes(truth)) return null;
  if (certainty === "unknown") return "unknown";
  return classes[order[0] ?? -1] === truth ? "right" : "wrong";
}
