"""Drawn characters: the same drawing on any paper, anywhere, in any size, is the same to the net."""

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
    """The image with grain, and a shadow that falls from the left to the right."""
    grain = np.random.default_rng(0).normal(0, noise, image.shape)
    return (image + grain - shadow * np.linspace(0, 1, image.shape[2])).clip(0, 255).astype(np.uint8)


def difference(one: np.ndarray | None, other: np.ndarray | None) -> float:
    """The mean difference of two characters, as a share of the ink of the first."""
    assert one is not None and other is not None
    return float(np.abs(one.astype(float) - other).sum() / one.sum())


@pytest.fixture(scope="module", params=list(SHAPES))
def shape(request: pytest.FixtureRequest) -> Any:
    return SHAPES[request.param]


@pytest.fixture(scope="module")
def plain(shape: Any) -> np.ndarray:
    found = centered(draw(shape), 28)
    assert found is not None
    return found


def test_a_character_lies_as_mnist_s_do(plain: np.ndarray) -> None:
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
        {"ink": (200, 30, 40), "paper": (60, 150, 70)},  # of nearly the same gray
        {"ink": (240, 230, 60)},  # hardly darker than the paper
    ],
    ids=str,
)
def test_the_same_drawing_is_the_same_to_the_net(shape: Any, plain: np.ndarray, changes: dict[str, Any]) -> None:
    assert difference(plain, centered(draw(shape, **changes), 28)) < 0.06


def test_a_small_drawing_is_nearly_the_same(shape: Any, plain: np.ndarray) -> None:
    assert difference(plain, centered(draw(shape, height=60), 28)) < 0.15  # of 60 pixels, with fuzzier outlines


def test_the_measure_tells_characters_apart() -> None:
    found = [centered(draw(shape), 28) for shape in SHAPES.values()]
    assert min(difference(found[i], found[j]) for i in range(3) for j in range(i)) > 0.5


def test_a_photograph_of_grainy_paper_in_half_shadow(shape: Any, plain: np.ndarray) -> None:
    noisy = photographed(draw(shape, (1000, 800), (600, 300), 240, ink=(60, 60, 120), paper=(220, 215, 200)), 12, 100)
    assert difference(plain, centered(noisy, 28)) < 0.1


def test_specks_do_not_count(shape: Any, plain: np.ndarray) -> None:
    image = draw(shape).copy()
    for x, y in ((20, 30), (350, 60), (370, 380)):
        image[:, y : y + 6, x : x + 6] = 0
    assert difference(plain, centered(image, 28)) < 0.06


def test_a_dot_that_belongs_to_the_character_stays() -> None:
    line = [[(0.5, 0.3), (0.5, 1)], [(0.5, 0), (0.5, 0.04)]]
    found = centered(draw(line), 28)
    assert found is not None
    filled = (found[:, 12:16] > 100).any(axis=1)
    assert np.abs(np.diff(filled.astype(int))).sum() == 4  # two patches above each other


def test_thin_strokes_become_as_bold_as_a_pen_s(shape: Any) -> None:
    for width in (0.01, 0.03):
        found = centered(draw(shape, width=width), 28)
        assert found is not None and (found == 255).sum() >= 1 and (found > 180).sum() > 35
    thin, thick = (centered(draw(shape, width=width), 28) for width in (0.01, 0.2))
    assert thin is not None and thick is not None and thick.sum() > 1.3 * thin.sum()  # bold ones stay bold


def test_what_is_central_already_stays_as_it_is(plain: np.ndarray) -> None:
    again = centered(np.repeat(plain[None], 3, axis=0), 28)
    assert difference(plain, again) < 0.2  # it has been resampled once more


def test_other_sides_are_in_proportion(shape: Any, plain: np.ndarray) -> None:
    large = centered(draw(shape), 112)
    assert large is not None and large.shape == (112, 112)
    small = np.asarray(Image.fromarray(large).resize((28, 28), Image.Resampling.BOX))
    assert difference(plain, small) < 0.15


EMPTY = {
    "white": np.full((3, 40, 30), 255, np.uint8),
    "grainy": photographed(np.full((3, 300, 200), 230, np.uint8), 10, 0),
    "shadow": photographed(np.full((3, 300, 200), 230, np.uint8), 3, 150),
    "one pixel": np.zeros((3, 1, 1), np.uint8),
}


@pytest.mark.parametrize("page", EMPTY)
def test_an_empty_page_has_no_character(tmp_path: Path, page: str) -> None:
    assert centered(EMPTY[page], 28) is None
    path = tmp_path / "x.png"
    Image.fromarray(np.moveaxis(EMPTY[page], 0, -1)).save(path)
    with pytest.raises(DataError) as caught:
        read_handwriting(path, Preprocess(channels=1, image_size=28))
    assert caught.value.code == "CN304" and "no ink" in caught.value.why


@pytest.mark.parametrize("ink", [0, 255])
def test_ink_on_a_transparent_ground(tmp_path: Path, ink: int, plain: np.ndarray, shape: Any) -> None:
    drawn = 255 - draw(shape)[0]
    layers = [np.full_like(drawn, ink)] * 3 + [drawn]
    path: Path = tmp_path / "x.png"
    Image.fromarray(np.stack(layers, axis=-1), mode="RGBA").save(path)
    found = read_handwriting(path, Preprocess(channels=3, image_size=32, pad=2))
    assert found.shape == (3, 28, 28) and (found[0] == found[2]).all()
    assert difference(plain, found[0]) < 0.06
