"""The rendered data set of examples/make_images.py: the same images again, and a folder that the package takes."""

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
    folder = tmp_path_factory.mktemp("pictures") / "signs"
    make_images.write(folder, "train", 36, seed=0, size=32)
    make_images.write(folder, "test", 12, seed=0, size=32)
    return folder


def test_the_same_seed_gives_the_same_files_and_more_of_them_keep_those(signs: Path, tmp_path: Path) -> None:
    make_images.write(tmp_path, "train", 48, seed=0, size=32)
    again = files(tmp_path)
    first = {name: content for name, content in files(signs).items() if name.startswith("train")}
    assert len(first) == 36 and len(again) == 48
    assert {name: again[name] for name in first} == first


def test_another_seed_and_the_other_split_have_other_images(signs: Path, tmp_path: Path) -> None:
    make_images.write(tmp_path, "train", 12, seed=1, size=32)
    contents = [*files(signs).values(), *files(tmp_path).values()]
    assert len(set(contents)) == len(contents) == 60


def test_the_package_takes_the_folder(signs: Path) -> None:
    described = loading.describe(str(signs))
    assert described.classes == make_images.CLASSES
    assert described.shape == (3, 32, 32) and (described.train, described.test) == (36, 12)
    assert {path.suffix for path in signs.rglob("*.*")} == {".png", ".jpg"}
    loaded = loading.load(str(signs))
    assert np.bincount(loaded.train.labels).tolist() == [3] * 12
    assert loaded.train.images.reshape(36, -1).std(axis=1).min() > 5  # none is a single color


@pytest.mark.parametrize("plate", make_images.PLATES)
@pytest.mark.parametrize("font", make_images.FONTS)
def test_every_font_has_every_character_and_they_differ(plate: str, font: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make_images, "FONTS", (font,))
    signs = [
        np.asarray(make_images._sign(plate, character, 128, make_images.Chance(0)).convert("L"), float)
        for character in make_images.CHARACTERS
    ]
    assert min(np.abs(a - b).max() for i, a in enumerate(signs) for b in signs[:i]) > 50


def test_nothing_is_written_over(
    signs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["make_images.py", str(signs)])
    with pytest.raises(SystemExit) as stopped:
        make_images.main()
    assert stopped.value.code == 2 and "already exists" in capsys.readouterr().err
