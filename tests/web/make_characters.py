"""Writes web/tests/characters.json: images of a character, and what classicnets.handwriting makes of them.

The page must make the same of them (web/tests/handwriting.test.ts). Run it after a change of handwriting.py:

    .venv/bin/python tests/web/make_characters.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from classicnets.handwriting import centered

FILE = Path(__file__).parents[2] / "web" / "tests" / "characters.json"
BLACK, WHITE = [0, 0, 0], [255, 255, 255]
SEVEN = [[30, 20, 70, 28], [62, 28, 70, 50], [50, 46, 58, 84]]  # left, top, right, bottom
THIN = [[30, 20, 70, 22], [68, 22, 70, 84]]
SPECKS = [[6, 6, 10, 9], [90, 70, 93, 74]]
CASES: dict[str, dict[str, Any]] = {
    "black on white": {},
    "white on black": {"ink": WHITE, "paper": BLACK},
    "color on color of the same brightness": {"ink": [200, 30, 40], "paper": [60, 150, 70]},
    "specks": {"boxes": [*SEVEN, *SPECKS]},
    "thin strokes": {"boxes": THIN},
    "shadow and grain": {"ink": [60, 60, 120], "paper": [220, 215, 200], "shadow": 90, "grain": 9},
    "ink at the border": {"boxes": [[0, 10, 40, 18], [32, 18, 40, 100]]},
    "large": {"scale": 6, "shadow": 40},
    "blank": {"boxes": []},
    "blank with a shadow": {"boxes": [], "shadow": 90, "grain": 5},
}
DEFAULTS = {"ink": BLACK, "paper": WHITE, "boxes": SEVEN, "shadow": 0, "grain": 0, "scale": 1}


def image_of(case: dict[str, Any]) -> np.ndarray:
    """Boxes of ink on paper, with a shadow from left to right and grain: uint8 [3, 100, 100], `scale` times larger."""
    scale = case["scale"]
    image = np.empty((100 * scale, 100 * scale, 3), np.int64)
    image[:] = case["paper"]
    for left, top, right, bottom in case["boxes"]:
        image[top * scale : bottom * scale, left * scale : right * scale] = case["ink"]
    image -= (case["shadow"] * np.arange(100 * scale) // (100 * scale))[:, None]
    if case["grain"]:
        state, values = 1, []
        for _ in range(image.size):
            state = state * 16807 % 2147483647
            values.append(state % (2 * case["grain"] + 1) - case["grain"])
        image += np.reshape(values, image.shape)
    return np.moveaxis(image.clip(0, 255).astype(np.uint8), -1, 0)


def main() -> None:
    cases = []
    for title, changes in CASES.items():
        case = DEFAULTS | changes
        character = centered(image_of(case), 28)
        cases.append(case | {"title": title, "expected": None if character is None else character.ravel().tolist()})
    FILE.write_text(json.dumps(cases) + "\n")


if __name__ == "__main__":
    main()
