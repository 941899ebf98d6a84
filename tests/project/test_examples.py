"""The data set of examples/make_images.py: reproducible images, in a folder that the package loads."""

from __future__ import annotations

import sys
from pathlib import Path

import make_images
import numpy as np
import pytest

from classicnets.images import loading


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*.*")}


@pytest.fixture(scope="module")
def signs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images") / "signs"
    make_images.write(folder, "train", 36, seed=0, size=32)
    make_images.write(folder, "test", 12, seed=0, size=32)
    return folder


def test_same_seed_gives_same_files_and_a_larger_set_contains_a_smaller(signs: Path, tmp_path: Path) -> None:
    make_images.write(tmp_path, "train", 48, seed=0, size=32)
    again = files(tmp_path)
    first = {name: content for name, content in files(signs).items() if name.startswith("train")}
    assert len(first) == 36 and len(again) == 48
    assert {name: again[name] for name in first} == first


def test_other_seeds_and_splits_give_other_images(signs: Path, tmp_path: Path) -> None:
    make_images.write(tmp_path, "train", 12, seed=1, size=32)
    contents = [*files(signs).values(), *files(tmp_path).values()]
    assert len(set(contents)) == len(contents) == 60


def test_folder_is_loaded_as_a_data_set(signs: Path) -> None:
    described = loading.describe(str(signs))
    assert described.classes == make_images.CLASSES
    assert described.shape == (3, 32, 32) and (described.train, described.test) == (36, 12)
    assert {path.suffix for path in signs.rglob("*.*")} == {".png", ".jpg"}
    loaded = loading.load(str(signs))
    assert np.bincount(loaded.train.labels).tolist() == [3] * 12
    assert loaded.train.images[:].reshape(36, -1).std(axis=1).min() > 5  # none is a single color


@pytest.mark.parametrize("plate", make_images.PLATES)
@pytest.mark.parametrize("font", make_images.FONTS)
def test_every_font_has_distinct_characters(plate: str, font: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_images, "FONTS", (font,))
    signs = [
        np.asarray(make_images._sign(plate, character, 128, make_images.Chance(0)).convert("L"), float)
        for character in make_images.CHARACTERS
    ]
    assert min(np.abs(a - b).max() for i, a in enumerate(signs) for b in signs[:i]) > 50


def test_existing_folder_is_refused(
    signs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_images.py", str(signs)])
    with pytest.raises(SystemExit) as error:
        make_images.main()
    assert error.value.code == 2 and "already exists" in capsys.readouterr().err
