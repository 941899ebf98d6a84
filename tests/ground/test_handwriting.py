"""Handwritten characters: position, size, colors and paper do not change what a network is given."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classicnets.errors import DataError
from classicnets.handwriting import centered, read_handwriting
from classicnets.values import Preprocess
from support.strokes import BLACK, SHAPES, WHITE, draw


def photographed(image: np.ndarray, noise: float, shadow: float) -> np.ndarray:
    """Adds noise, and a shadow that becomes darker from left to right."""
    grain = np.random.default_rng(0).normal(0, noise, image.shape)
    return (image + grain - shadow * np.linspace(0, 1, image.shape[2])).clip(0, 255).astype(np.uint8)


def difference(image: np.ndarray | None, other: np.ndarray | None) -> float:
    """The difference of two characters, as a fraction of the ink of the first."""
    assert image is not None and other is not None
    return float(np.abs(image.astype(float) - other).sum() / image.sum())


@pytest.fixture(scope="module", params=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Any:
    return SHAPES[request.param]


@pytest.fixture(scope="module")
def plain(shape: Any) -> np.ndarray:
    character = centered(draw(shape), 28)
    assert character is not None
    return character


def test_character_has_the_size_and_position_of_mnist(plain: np.ndarray) -> None:
    assert plain.shape == (28, 28) and plain.dtype == np.uint8 and plain.max() == 255
    rows, columns = (np.flatnonzero((plain > 127).any(axis=axis)) for axis in (1, 0))
    longer = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    assert 19 <= longer <= 21
    share = plain / plain.sum()
    center = [(share.sum(axis=axis) * (np.arange(28) + 0.5)).sum() for axis in (1, 0)]
    assert center == pytest.approx([14, 14], abs=0.25)
    assert (plain[[0, 1, -2, -1]] == 0).all()


@pytest.mark.parametrize(
    "changes",
    [
        {"ink": WHITE, "paper": BLACK},
        {"at": (230, 20)},
        {"at": (20, 190), "ink": (90, 90, 90), "paper": (130, 130, 130)},
        {"size": (900, 1300), "at": (100, 500), "height": 500},
        {"ink": (200, 30, 40), "paper": (60, 150, 70)},  # nearly the same brightness
        {"ink": (240, 230, 60)},  # little contrast
    ],
    ids=str,
)
def test_position_size_and_colors_do_not_matter(shape: Any, plain: np.ndarray, changes: dict[str, Any]) -> None:
    assert difference(plain, centered(draw(shape, **changes), 28)) < 0.06


def test_small_drawing_is_nearly_the_same(shape: Any, plain: np.ndarray) -> None:
    assert difference(plain, centered(draw(shape, height=60), 28)) < 0.15  # at 60 pixels, outlines are less sharp


def test_difference_distinguishes_characters() -> None:
    characters = [centered(draw(shape), 28) for shape in SHAPES.values()]
    assert min(difference(characters[i], characters[j]) for i in range(3) for j in range(i)) > 0.5


def test_noise_and_shadow_do_not_matter(shape: Any, plain: np.ndarray) -> None:
    noisy = photographed(draw(shape, (1000, 800), (600, 300), 240, ink=(60, 60, 120), paper=(220, 215, 200)), 12, 100)
    assert difference(plain, centered(noisy, 28)) < 0.1


def test_specks_are_ignored(shape: Any, plain: np.ndarray) -> None:
    image = draw(shape).copy()
    for x, y in ((20, 30), (350, 60), (370, 380)):
        image[:, y : y + 6, x : x + 6] = 0
    assert difference(plain, centered(image, 28)) < 0.06


def test_dot_of_a_character_is_kept() -> None:
    letter_i = [[(0.5, 0.3), (0.5, 1)], [(0.5, 0), (0.5, 0.04)]]
    character = centered(draw(letter_i), 28)
    assert character is not None
    filled = (character[:, 12:16] > 100).any(axis=1)
    assert np.abs(np.diff(filled.astype(int))).sum() == 4  # two patches above each other


def test_thin_strokes_are_thickened(shape: Any) -> None:
    for width in (0.01, 0.03):
        character = centered(draw(shape, width=width), 28)
        assert character is not None and (character == 255).sum() >= 1 and (character > 180).sum() > 35
    thin, thick = (centered(draw(shape, width=width), 28) for width in (0.01, 0.2))
    assert thin is not None and thick is not None and thick.sum() > 1.3 * thin.sum()  # thick strokes stay thick


def test_centered_character_is_nearly_unchanged(plain: np.ndarray) -> None:
    repeated = centered(np.repeat(plain[None], 3, axis=0), 28)
    assert difference(plain, repeated) < 0.2  # it is resampled again


def test_other_image_sizes_are_scaled(shape: Any, plain: np.ndarray) -> None:
    large = centered(draw(shape), 112)
    assert large is not None and large.shape == (112, 112)
    small = np.asarray(Image.fromarray(large).resize((28, 28), Image.Resampling.BOX))
    assert difference(plain, small) < 0.15


BLANK = {
    "white": np.full((3, 40, 30), 255, np.uint8),
    "grainy": photographed(np.full((3, 300, 200), 230, np.uint8), 10, 0),
    "shadow": photographed(np.full((3, 300, 200), 230, np.uint8), 3, 150),
    "one pixel": np.zeros((3, 1, 1), np.uint8),
}


@pytest.mark.parametrize("page", BLANK)
def test_rejects_blank_page(tmp_path: Path, page: str) -> None:
    assert centered(BLANK[page], 28) is None
    path = tmp_path / "x.png"
    Image.fromarray(np.moveaxis(BLANK[page], 0, -1)).save(path)
    with pytest.raises(DataError) as caught:
        read_handwriting(path, Preprocess(channels=1, image_size=28))
    assert caught.value.code == "CN304" and "no ink" in caught.value.why


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_background(tmp_path: Path, ink: int, plain: np.ndarray, shape: Any) -> None:
    alpha = 255 - draw(shape)[0]
    layers = [np.full_like(alpha, ink)] * 3 + [alpha]
    path: Path = tmp_path / "x.png"
    Image.fromarray(np.stack(layers, axis=-1), mode="RGBA").save(path)
    character = read_handwriting(path, Preprocess(channels=3, image_size=32, pad=2))
    assert character.shape == (3, 28, 28) and (character[0] == character[2]).all()
    assert difference(plain, character[0]) < 0.06
