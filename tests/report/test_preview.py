"""The figure of `data preview`: images before and after preprocessing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from classicnets.images.decode import read_fitted
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.images import make_image_folder, save


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    saved_figures, savefig = [], Figure.savefig

    def save_and_keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved_figures.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)
    return saved_figures


def test_draws_a_folder_under_every_fit(tmp_path: Path, cli: CommandLine, saved: list[Figure]) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=10)
    wide = save(folder / "bird" / "a.png", np.random.default_rng(0).integers(0, 256, (20, 50, 3), dtype=np.uint8))
    code, out, _ = cli("data", "preview", folder, "--fit", "crop", "--size", 10, "-o", tmp_path / "p.png", "--json")
    result = json.loads(out)
    assert code == 0 and len(result["pictures"]) == 8 and (result["fit"], result["size"]) == ("crop", 10)
    assert {path.split("/")[-2] for path in result["pictures"]} == {"bird", "cat", "dog"}
    with Image.open(tmp_path / "p.png") as image:
        assert image.format == "PNG" and min(image.size) > 500
    cli("data", "preview", wide, "--fit", "crop", "--size", 10, "-o", tmp_path / "q.png")
    (original, *fits) = saved[-1].axes
    frame = original.patches[0]
    assert isinstance(frame, Rectangle)
    assert original.get_title() == "a.png\n50 x 20" and frame.get_bbox().bounds == (14.5, -0.5, 20, 20)
    for axes, fit in zip(fits, ("crop", "letterbox", "stretch"), strict=True):
        expected = read_fitted(wide, Preprocess(channels=3, image_size=10, fit=fit))
        np.testing.assert_array_equal(axes.images[0].get_array(), expected.transpose(1, 2, 0))
        assert axes.get_ylabel().startswith(f"fit={fit}") and ("chosen" in axes.get_ylabel()) == (fit == "crop")


def test_reports_images_that_cannot_be_drawn(tmp_path: Path, cli: CommandLine) -> None:
    assert cli("data", "preview")[0] == 2
    assert cli("data", "preview", tmp_path, "--size", 0)[0] == 2
    assert cli("data", "preview", tmp_path, "--size", 5000)[0] == 2
    for place in (tmp_path, tmp_path / "nowhere"):
        code, _, err = cli("data", "preview", place)
        assert code == 3 and "CN304" in err
    (tmp_path / "x.png").write_bytes(b"")
    code, _, err = cli("data", "preview", tmp_path)
    assert code == 3 and "CN304" in err and "empty" in err
    save(tmp_path / "y.png", np.zeros((4, 4, 3), np.uint8))
    code, out, err = cli("data", "preview", tmp_path, "-o", tmp_path / "p.PNG")
    assert code == 0 and "x.png: the file is empty" in err and "1 image, its original and each fit" in out
    code, _, err = cli("data", "preview", tmp_path, "-o", tmp_path / "no" / "p.png")
    assert code == 4 and "CN401" in err
