"""The color of transparent parts: how it is set and chosen, and that every path shows the same one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classicnets.api.data import preview
from classicnets.audit.audit import audit_images
from classicnets.errors import UsageError
from classicnets.images import background
from classicnets.images.decode import read_fitted, read_image
from classicnets.images.loading import load
from classicnets.images.survey import survey
from classicnets.images.thumbnails import inspect_files
from classicnets.recipes import resolve
from classicnets.spec import Output, run_spec
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import BLACK, GRAY, WHITE, Preprocess
from support.command_line import CommandLine


def shape(color: tuple[int, int, int], number: int = 0, size: int = 16) -> Image.Image:
    """A rectangle on transparency, another one for each number."""
    pixels = np.zeros((size, size, 4), np.uint8)
    pixels[2 : 6 + number % 8, 3 : 8 + number // 2 % 7] = (*color, 255)
    return Image.fromarray(pixels)


def make_icons(root: Path, color: tuple[int, int, int] = (0, 0, 0), per_class: int = 10) -> Path:
    for index, name in enumerate(("tall", "wide")):
        (root / name).mkdir(parents=True)
        for i in range(per_class):
            image = shape(color, i)
            (image if index else image.rotate(90)).save(root / name / f"{i}.png")
    return root


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("white", WHITE), ("#FFF", WHITE), ("Red", "#ff0000"), ("#12ab9F", "#12ab9f"), ("AUTO", "auto"), (BLACK, BLACK)],
)
def test_a_color_is_stored_in_one_form(typed: str, stored: str) -> None:
    recipe = resolve.apply(resolve.find("fast", "", registered=False), {"background": typed}).recipe
    assert recipe.background == stored
    assert recipe.preprocess(3, 8).background == (BLACK if stored == "auto" else stored)


@pytest.mark.parametrize("typed", ["whitish", "#12", "255", "", "#11223344"])
def test_what_is_no_opaque_color_is_refused(typed: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve.apply(resolve.find("fast", "", registered=False), {"background": typed})
    assert caught.value.code == "CN204" and caught.value.hints == ("--set background=auto",)


def test_files_without_the_key_are_black() -> None:
    old = {key: value for key, value in Preprocess(channels=1, image_size=8).to_dict().items() if key != "background"}
    assert Preprocess.from_dict(old).background == BLACK


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("color", [BLACK, WHITE, "#ff8000"])
def test_every_kind_of_transparency_shows_it(tmp_path: Path, mode: str, channels: int, color: str) -> None:
    path = tmp_path / "x.png"
    image = shape((10, 10, 10))
    if mode == "P":
        image.quantize(4).save(path)
    else:
        image.convert(mode).save(path)
    expected = np.asarray(Image.new("RGB", (1, 1), color).convert("L" if channels == 1 else "RGB")).reshape(-1)
    for pixels in (
        read_image(path, channels, color),
        read_fitted(path, Preprocess(channels=channels, image_size=16, background=color)),
    ):
        np.testing.assert_array_equal(pixels[:, 0, 0], expected)
        assert (np.abs(pixels[:, 3, 4].astype(int) - 10) <= 2).all()


@pytest.mark.parametrize(
    ("colors", "chosen"),
    [
        ([(0, 0, 0)] * 3, WHITE),
        ([(46, 52, 54)] * 3, WHITE),
        ([(255, 255, 255)] * 3, BLACK),
        ([(250, 240, 90)] * 3, BLACK),
        ([(0, 0, 0), (255, 255, 255)], GRAY),
        ([(0, 0, 0), (0, 0, 0), (200, 60, 60)], WHITE),
        ([], BLACK),
    ],
)
def test_auto_is_what_the_shapes_stand_out_from(colors: list[tuple[int, int, int]], chosen: str) -> None:
    images = [background.contrasts(np.asarray(shape(color))) for color in colors]
    assert background.choose([*images, ()]) == chosen


def test_what_is_clear_everywhere_or_nowhere_has_no_say(tmp_path: Path) -> None:
    Image.new("RGBA", (9, 9)).save(tmp_path / "clear.png")
    Image.new("RGBA", (9, 9), (5, 5, 5, 255)).save(tmp_path / "opaque.png")
    infos = inspect_files([tmp_path / "clear.png", tmp_path / "opaque.png"])[0]
    assert [info.contrasts for info in infos] == [(), ()]
    assert [(info.transparent, info.constant) for info in infos] == [(True, True), (False, True)]


def test_cached_images_depend_on_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
    folder = make_icons(tmp_path / "icons", per_class=3)
    for color, level in ((BLACK, 0), (WHITE, 255), (BLACK, 0)):
        data = load(str(folder), Preprocess(channels=3, image_size=16, background=color), say=lambda _: None)
        assert data.train.images[0, 0, 0, 0] == level


def start(folder: Path, runs: Path, **settings: object) -> tuple[Session, list[str]]:
    notes: list[str] = []
    spec = run_spec("lenet_d2l", data=str(folder), recipe="fast", settings={"epochs": 1, "image_size": 28, **settings})
    return Session.start(plan(*spec), notes.append, Output(runs=str(runs))), notes


def test_a_run_records_the_color_that_auto_chose(tmp_path: Path) -> None:
    folder = make_icons(tmp_path / "icons")
    session, notes = start(folder, tmp_path / "r")
    facts = json.loads((session.folder.path / "run.json").read_text())
    assert facts["preprocess"]["background"] == WHITE and facts["recipe"]["background"] == "auto"
    assert session.splits.train.images[:].max() == 255 and any("are white (background=auto" in note for note in notes)
    session.lock.release()
    resumed = Session.resume(session.folder.path, lambda _: None)
    np.testing.assert_array_equal(resumed.splits.train.images, session.splits.train.images)
    chosen, notes = start(folder, tmp_path / "r", background="#102030")
    assert chosen.plan.preprocess.background == "#102030" and not any("background" in note for note in notes)
    facts = json.loads((session.folder.path / "run.json").read_text())
    del facts["preprocess"]["background"], facts["copies"]  # as version 0.1 wrote it
    session.folder.write(facts)
    assert session.folder.preprocess().background == BLACK


def test_check_names_dark_art_on_transparency(tmp_path: Path) -> None:
    report = audit_images(make_icons(tmp_path / "icons"))
    topics = {finding.topic: finding for finding in report.findings}
    assert report.background == WHITE and not {"constant", "hidden"} & {*topics}
    assert topics["dark_on_clear"].what == "20 images show dark shapes on transparency, which disappear on black"
    assert topics["dark_on_clear"].hint.startswith("--set background=white ")
    light = audit_images(make_icons(tmp_path / "light", (250, 250, 250)))
    assert light.background == BLACK and "light_on_clear" in {finding.topic for finding in light.findings}


def test_preview_says_the_color(tmp_path: Path, cli: CommandLine) -> None:
    code, _out, err = cli("data", "preview", make_icons(tmp_path / "icons", per_class=2), "-o", tmp_path / "p.png")
    assert code == 0 and "transparent parts are white (background=auto)" in err


def test_preview_shows_the_color_that_training_chooses(tmp_path: Path) -> None:
    """Also where the few images of the preview would suggest another one."""
    folder = make_icons(tmp_path / "icons")
    paths = [folder / name / f"{i}.png" for name in ("tall", "wide") for i in range(10)]
    shown = paths[1::5] + paths[3::5]  # at (2 i + 1) 20 / 16
    for path in shown:
        shape((255, 255, 255), int(path.stem)).save(path)
    notes: list[str] = []
    _samples, count, _errors = preview(str(folder), 16, notes.append)
    assert count == 20 and "transparent parts are gray (background=auto)" in notes
    assert survey(folder, held_out=True, transparent=True, say=notes.append).background == GRAY
    assert background.choose([info.contrasts for info in inspect_files(shown)[0]]) == BLACK
