"""One table of folders and CSVs, and what every command makes of each: train, check, preview, evaluate, predict."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classicnets.audit.examine import examine
from classicnets.errors import DataError
from classicnets.evaluation.model import Model
from classicnets.images import loading
from classicnets.images.layout import read_layout
from classicnets.images.tree import image_suffixes, read_tree
from classicnets.report import preview as previews
from classicnets.values import Preprocess
from support.filthy import bomb

SMALL = Preprocess(channels=3, image_size=2)
KNOWN = ("red", "green", "blue", "train", "test", "val", "2", "10", "deep")  # classes of the classifier
NO_TEST = "no test split, so about a fifth of each class, chosen by file names, is the test split"


def some(folder: str, count: int = 2, suffix: str = "ppm") -> list[str]:
    return [f"{folder}/{i}.{suffix}" for i in range(count)]


def make(root: Path, files: list[str], links: dict[str, str] | None = None, csv: str = "", first: int = 0) -> Path:
    """Files of different contents (images if their suffix is .ppm, empty folders if they end in a slash), and links."""
    root.mkdir()
    for number, name in enumerate(files, first):
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(b"P6 2 2 255\n" + bytes([number % 251] * 12) if path.suffix == ".ppm" else b"text")
    for name, target in (links or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    if csv:
        (root / "list.csv").write_text(csv)
        return root / "list.csv"
    return root


@dataclass
class Case:
    """A folder (or its CSV), the images of each split, those that are evaluated, those of no split, and the messages.

    With `divided`, `train` holds all images and a part of them becomes the test split. `evaluated` is None if the
    faults concern evaluation as well. `refused` is the error of a folder that is no data set at all.
    """

    files: list[str]
    train: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    evaluated: list[str] | None = None
    loose: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ("green", "red")
    divided: bool = False
    links: dict[str, str] = field(default_factory=dict)
    csv: str = ""
    refused: str = ""
    order: list[str] | None = None  # of `predict`, where it is not the order of the folder
    unpredicted: bool = False  # by `predict`, as it refuses the CSV


RG = [*some("green", 3), *some("red", 3)]
TRAIN, TEST, VAL = ([*some(f"{split}/green"), *some(f"{split}/red")] for split in ("train", "test", "val"))
RG_DIVIDED = f"{NO_TEST} (2 of 6 images)"

CASES = {
    # --- splits
    "class folders": Case(RG, train=RG, evaluated=RG, divided=True, notes=[RG_DIVIDED]),
    "train and test": Case(TRAIN + TEST, train=TRAIN, test=TEST, evaluated=TEST),
    "train and val: val is the test split": Case(TRAIN + VAL, train=TRAIN, test=VAL, evaluated=VAL),
    "three splits": Case(TRAIN + VAL + TEST, train=TRAIN, validation=VAL, test=TEST, evaluated=TEST),
    "only train": Case(TRAIN, train=TRAIN, evaluated=TRAIN, divided=True, notes=[f"{NO_TEST} (2 of 4 images)"]),
    "classes beside test": Case(
        RG + TEST,
        train=RG,
        test=TEST,
        evaluated=TEST,
        notes=["there is no train/, so the folders of classes beside test/ are the train split"],
    ),
    "only test": Case(
        TEST,
        test=TEST,
        evaluated=TEST,
        faults=["there is no train split: put images to train on in train/CLASS/, beside test/"],
    ),
    "train and val beside an empty test": Case(
        [*TRAIN, *VAL, "test/"],
        train=TRAIN,
        validation=VAL,
        faults=["test: no class folders, so nothing tells what its images show"],
    ),
    "test without images in its classes": Case(
        [*TRAIN, "test/red/", "test/green/"],
        train=TRAIN,
        faults=["test: no image in any of its class folders"],
        notes=[],
    ),
    "an empty val": Case(
        [*TRAIN, *TEST, "val/"],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        faults=["val: no class folders, so nothing tells what its images show"],
    ),
    "flat test beside train": Case(
        [*TRAIN, "test/0.ppm"],
        train=TRAIN,
        loose=["test/0.ppm"],
        faults=["test: no class folders, so nothing tells what its images show"],
        notes=["1 image is in no class of a split and is not used, such as test/0.ppm"],
    ),
    "an empty train": Case(
        [*TEST, "train/"],
        test=TEST,
        evaluated=TEST,
        faults=["train: no class folders, so nothing tells what its images show"],
    ),
    "two folders of one split": Case(
        [*TRAIN, *TEST, *some("testing/red")],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        loose=some("testing/red"),
        notes=["testing is not used: test is there"],
    ),
    "a class that is in no split": Case(
        [*TRAIN, *TEST, *some("blue", 3)],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        loose=some("blue", 3),
        notes=["3 images are in no class of a split and are not used, such as blue/0.ppm"],
    ),
    "classes that are named like splits": Case(
        [*some("red", 3), *some("train", 3), *some("test", 3)],
        train=[*some("red", 3), *some("test", 3), *some("train", 3)],
        evaluated=[*some("red", 3), *some("test", 3), *some("train", 3)],
        classes=("red", "test", "train"),
        divided=True,
        notes=[f"{NO_TEST} (3 of 9 images)"],
    ),
    "a nested class that is named like a split": Case(
        [*some("red", 3), *some("test/2024", 3)],
        train=[*some("red", 3), *some("test/2024", 3)],
        evaluated=[*some("red", 3), *some("test/2024", 3)],
        classes=("red", "test"),
        divided=True,
        notes=[
            f"{NO_TEST} (2 of 6 images)",
            "3 images lie in folders below a class and belong to it, such as test/2024/0.ppm",
        ],
    ),
    "splits inside classes": Case(
        [*some("red/train", 3), *some("red/test", 3), *some("green", 3)],
        train=[*some("green", 3), *some("red/test", 3), *some("red/train", 3)],
        divided=True,
        faults=[
            "red: test/, train/ in it look like splits, but splits come above classes: move the images to test/red/,"
            " train/red/, or rename the folder if it is no split"
        ],
        notes=[
            f"{NO_TEST} (2 of 9 images)",
            "6 images lie in folders below a class and belong to it, such as red/test/0.ppm",
        ],
    ),
    "a class that train lacks": Case(
        [*TRAIN, *TEST, *some("test/blue")],
        train=TRAIN,
        test=[*TEST, *some("test/blue")],
        evaluated=[*TEST, *some("test/blue")],
        faults=["test/blue: the train split has no such class"],
    ),
    "a class that test lacks": Case(
        [*TRAIN, *some("test/red")],
        train=TRAIN,
        test=some("test/red"),
        evaluated=some("test/red"),
        faults=["test/green: no image of this class to test with"],
    ),
    "an empty class": Case(
        [*RG, "blue/"],
        train=RG,
        evaluated=RG,
        divided=True,
        classes=("blue", "green", "red"),
        faults=["blue: no image in this class"],
        notes=[RG_DIVIDED],
    ),
    # --- folders in folders, links, what is left out
    "folders below a class": Case(
        [*some("red", 3), *some("red/2024", 2), *some("green", 3), *some("green/a/b", 2)],
        train=[*some("green", 3), *some("green/a/b", 2), *some("red", 3), *some("red/2024", 2)],
        evaluated=[*some("green", 3), *some("green/a/b", 2), *some("red", 3), *some("red/2024", 2)],
        divided=True,
        notes=[
            f"{NO_TEST} (2 of 10 images)",
            "4 images lie in folders below a class and belong to it, such as green/a/b/0.ppm",
        ],
    ),
    "all images below their classes, in splits": Case(
        [f"{split}/{name}/2024/0.ppm" for split in ("train", "test") for name in ("green", "red")],
        train=["train/green/2024/0.ppm", "train/red/2024/0.ppm"],
        test=["test/green/2024/0.ppm", "test/red/2024/0.ppm"],
        evaluated=["test/green/2024/0.ppm", "test/red/2024/0.ppm"],
        notes=["4 images lie in folders below a class and belong to it, such as train/green/2024/0.ppm"],
    ),
    "natural order": Case(
        ["2/b10.ppm", "2/b9/0.ppm", "2/b1.ppm", "10/1.ppm", "10/2.ppm"],
        train=["2/b1.ppm", "2/b9/0.ppm", "2/b10.ppm", "10/1.ppm", "10/2.ppm"],
        evaluated=["2/b1.ppm", "2/b9/0.ppm", "2/b10.ppm", "10/1.ppm", "10/2.ppm"],
        divided=True,
        classes=("2", "10"),
        notes=[
            f"{NO_TEST} (2 of 5 images)",
            "the names of the classes are numbers: output 0 is 2, output 1 is 10",
            "1 image lies in a folder below its class and belongs to it, such as 2/b9/0.ppm",
        ],
    ),
    "a link to another class": Case(
        RG,
        train=RG,
        evaluated=RG,
        divided=True,
        links={"blue": "red"},
        notes=[RG_DIVIDED, "1 link not followed, blue (to red): that folder is read anyway, and its images count once"],
    ),
    "links that lead back": Case(
        RG,
        train=RG,
        evaluated=RG,
        divided=True,
        links={"red/again": "..", "red/up": "../.."},
        notes=[
            RG_DIVIDED,
            "2 links not followed, such as red/again (to .): those folders are read anyway, and their images count"
            " once",
        ],
    ),
    "two links to one folder elsewhere": Case(
        RG,
        train=[*RG[:3], *some("green/more"), *RG[3:]],
        evaluated=[*RG[:3], *some("green/more"), *RG[3:]],
        divided=True,
        links={"green/more": "../../elsewhere", "red/more": "../../elsewhere"},
        notes=[
            f"{NO_TEST} (2 of 8 images)",
            "2 images lie in folders below a class and belong to it, such as green/more/0.ppm",
            "1 link not followed, red/more (to green/more): that folder is read anyway, and its images count once",
        ],
    ),
    "images of no class": Case(
        [*RG, "cover.ppm"],
        train=RG,
        evaluated=RG,
        loose=["cover.ppm"],
        divided=True,
        notes=[RG_DIVIDED, "1 image is in no class of a split and is not used, such as cover.ppm"],
    ),
    "files that are no images": Case(
        [*RG, "read.me", "red/notes.txt", "red/more/", "red/.hidden.ppm", "__MACOSX/red/0.ppm", "green/x.heic"],
        train=RG,
        evaluated=RG,
        divided=True,
        notes=[
            RG_DIVIDED,
            "1 image not read, such as green/x.heic: the format is not supported (.heic); save as JPEG or PNG",
            "2 files and 1 folder not read, such as read.me: no images of a class",
        ],
    ),
    "a folder in a folder": Case(
        [*some("deep/green"), *some("deep/red")],
        loose=[*some("deep/green"), *some("deep/red")],
        refused="the folder holds neither classes of images nor IDX files",
    ),
    "no class folders": Case(
        some("."), loose=some("."), refused="the folder holds neither classes of images nor IDX files"
    ),
    # --- CSVs
    "a CSV with splits": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,train\nred/0.ppm,red,Training\nred/1.ppm,red,TEST\ngreen/1.ppm,green,test",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        evaluated=["green/1.ppm", "red/1.ppm"],
        order=["green/0.ppm", "red/0.ppm", "red/1.ppm", "green/1.ppm"],
    ),
    "a CSV with a line twice, spelled in two ways": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{path},{path.split('/')[-2]}" for path in [*RG, "./red/0.ppm"]),
        train=RG,
        evaluated=RG,
        divided=True,
        notes=[RG_DIVIDED, "1 line said again what another one says"],
    ),
    "a CSV with one path in two classes": Case(
        RG,
        csv="path,label\ngreen/0.ppm,green\ngreen/1.ppm,green\nred/0.ppm,red\nred/1.ppm,red\nred/0.ppm,green",
        train=["green/0.ppm", "green/1.ppm", "red/0.ppm", "red/1.ppm"],
        divided=True,
        notes=[f"{NO_TEST} (2 of 4 images)"],
        faults=["line 6: red/0.ppm is on line 4 as well, as something else"],
        unpredicted=True,
    ),
    "a CSV with one path in two splits": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,train\nred/0.ppm,red,train\nred/1.ppm,red,test\ngreen/1.ppm,green,test\n"
        "red/0.ppm,red,test",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        faults=["line 6: red/0.ppm is on line 3 as well, as something else"],
        unpredicted=True,
    ),
    "a CSV with an unknown split": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,train\nred/0.ppm,red,train\nred/1.ppm,red,test\ngreen/1.ppm,green,test\n"
        "red/2.ppm,red,holdout",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        faults=["line 6: 'holdout' is no split: train, val or test"],
        unpredicted=True,
    ),
    "a CSV with blank splits only": Case(
        RG,
        csv="path,label,split\n" + "\n".join(f"{path},{path.split('/')[0]}," for path in RG),
        train=RG,
        evaluated=RG,
        divided=True,
        notes=[RG_DIVIDED],
    ),
    "a CSV with some blank splits": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,\nred/0.ppm,red, \nred/1.ppm,red,test\ngreen/1.ppm,green,test",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        evaluated=["green/1.ppm", "red/1.ppm"],
        order=["green/0.ppm", "red/0.ppm", "red/1.ppm", "green/1.ppm"],
    ),
    "a CSV of a test split": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,test\nred/0.ppm,red,test",
        test=["green/0.ppm", "red/0.ppm"],
        evaluated=["green/0.ppm", "red/0.ppm"],
        faults=["the column split never says train"],
    ),
    "a CSV with a line without a class": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{path},{path.split('/')[0]}" for path in RG[:-1]) + "\nred/2.ppm,",
        train=RG[:-1],
        divided=True,
        notes=[f"{NO_TEST} (2 of 5 images)"],
        faults=["line 7: no class"],
        order=RG,  # which needs no class
    ),
    "a CSV with a NUL byte": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{path},{path.split('/')[0]}" for path in RG) + "\nred/\0.ppm,red",
        train=RG,
        divided=True,
        notes=[RG_DIVIDED],
        faults=["line 8: the path holds a NUL byte"],
        unpredicted=True,
    ),
}


class Uniform:
    """A classifier that knows all classes of the table and gives each the same probability."""

    preprocess, classes, precision = SMALL, KNOWN, "float32"

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.full((len(images), len(KNOWN)), 1 / len(KNOWN), np.float32)


@pytest.fixture
def model(tmp_path) -> Model:
    return Model(Uniform(), path=tmp_path / "m.onnx", name="uniform", weights="none", data=None, fingerprint=None)


@pytest.fixture(params=CASES)
def case(request, tmp_path) -> tuple[Case, Path, Callable[[object], str]]:
    """The case, what commands are given, and the function that makes a path relative to the folder."""
    case = CASES[request.param]
    make(tmp_path / "elsewhere", some(".", 2), first=100)
    given = make(tmp_path / "data", case.files, case.links, case.csv)

    def relative(path: object) -> str:
        return Path(str(path)).relative_to(tmp_path / "data").as_posix()

    return case, given, relative


def messages_about(error: DataError) -> list[str]:
    assert error.code == "CN307" and error.what == "the images are no sound data set"
    return error.why.splitlines()


def test_train(case):
    case, given, _ = case
    said: list[str] = []
    if case.refused or case.faults:
        for use in (loading.describe, loading.load):
            with pytest.raises(DataError) as caught:
                use(str(given))
            assert caught.value.what == case.refused if case.refused else messages_about(caught.value) == case.faults
        return
    data = loading.load(str(given), SMALL, say=said.append)
    assert said == [f"{'list' if case.csv else 'data'}: {note}" for note in case.notes]
    assert (data.classes, loading.describe(str(given)).classes) == (case.classes, case.classes)
    splits = {
        name: [file.path for file in data.files if file.split == name] for name in ("train", "validation", "test")
    }
    if case.divided:
        assert sorted(splits["train"] + splits["test"]) == sorted(case.train) and splits["test"]
        assert [path for path in case.train if path in splits["train"]] == splits["train"]  # in the order of the table
        assert [path for path in case.train if path in splits["test"]] == splits["test"]
    else:
        assert splits == {"train": case.train, "validation": case.validation, "test": case.test}
    assert len(data.train) == len(splits["train"]) and len(data.test) == len(splits["test"])


def test_check(case):
    case, given, relative = case
    if case.refused:
        with pytest.raises(DataError, match=case.refused):
            examine(given)
        return
    diagnosis = examine(given)
    assert [one.what for one in diagnosis.findings if one.topic == "layout"] == case.faults
    assert [one.what for one in diagnosis.findings if one.topic == "read_as"] == case.notes
    files = list(read_layout(given).files())
    assert sorted(relative(path) for _, _, path in files) == sorted(case.train + case.validation + case.test)
    counts: dict[str, dict[str, int]] = {}
    for split, label, _ in files:
        counts.setdefault(label, {}).setdefault(split, 0)
        counts[label][split] += 1
    assert {name: of for name, of in diagnosis.counts.items() if of} == counts
    assert not diagnosis.ok if case.faults else True


def test_evaluate(case, model):
    case, given, relative = case
    seen: list = []
    said: list[str] = []
    watch = lambda inputs: seen.extend(inputs) or inputs
    if case.refused or case.evaluated is None:
        with pytest.raises(DataError) as caught:
            model.evaluate(given, say=said.append, watch=watch)
        assert caught.value.what == case.refused if case.refused else messages_about(caught.value) == case.faults
        return
    result = model.evaluate(given, say=said.append, watch=watch)
    assert [relative(one.file) for one in seen] == case.evaluated and result.n == len(case.evaluated)
    layout = read_layout(given)
    assert [one.truth for one in seen] == [name for name, _ in layout.evaluated()]
    assert [one.split(": ", 1)[1] for one in said[:-1]] == [n for n in case.notes if n in layout.file_notes]
    assert ("its test split" in said[-1]) == (not case.divided)


def everything(case: Case) -> list[str]:
    """What `predict` and `preview` are to see: every image once."""
    return sorted({*case.train, *case.validation, *case.test, *case.loose})


def test_predict(case, model):
    case, given, relative = case
    if case.unpredicted:
        with pytest.raises(DataError) as caught:
            model.predict(given)
        assert messages_about(caught.value) == case.faults
        return
    names = [relative(one.image) for one in model.predict(given)]
    if case.csv:
        assert names == (case.order or case.train + case.test)
        return
    assert sorted(names) == [name.removeprefix("./") for name in everything(case)]
    place = {name: i for i, name in enumerate(names)}
    if not case.refused:
        for _, files in itertools.groupby(read_layout(given).files(), key=lambda file: file[:2]):
            places = [place[relative(path)] for _, _, path in files]
            assert places == sorted(places)  # in each class of each split the same order


def test_preview(case, cli, monkeypatch, tmp_path):
    case, given, relative = case
    drawn: list[str] = []
    monkeypatch.setattr("classicnets.api.data._PREVIEW_COUNT", 100)
    monkeypatch.setattr(previews, "sheet", lambda samples, *_: drawn.extend(sample.name for sample in samples))
    monkeypatch.setattr("classicnets.report.figures.png", lambda _: b"")
    code, out, err = cli("data", "preview", given, "--json", "-o", tmp_path / "preview.png")
    if case.unpredicted:
        assert code == 3 and all(fault in err for fault in case.faults)
        return
    assert code == 0 and json.loads(out)["pictures"] == drawn
    csv = case.order or case.train + case.test
    expected = csv if case.csv else [relative(path) for path in read_tree(given).top.walk()]
    assert drawn == [f"{Path(name).parent.name or given.name}/{Path(name).name}" for name in expected]
    if not case.csv:
        assert sorted(expected) == [name.removeprefix("./") for name in everything(case)]


# --- what the table cannot say ---------------------------------------------------------------------------------------


def test_a_folder_in_a_folder_is_named_down_to_the_classes(tmp_path):
    for name in ("x/y/z/red/0.ppm", "x/y/z/green/0.ppm"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"P6 2 2 255\n" + bytes(12))
    with pytest.raises(DataError) as caught:
        read_layout(tmp_path)
    assert caught.value.hints == (f"--data {tmp_path / 'x' / 'y' / 'z'}   # holds such folders",)


def test_a_damaged_image_belongs_to_its_split_for_every_command(tmp_path, model, cli):
    folder = make(tmp_path / "data", TRAIN + TEST)
    broken = folder / "test" / "red" / "0.ppm"
    broken.write_bytes(b"P6 2 2 255\n")
    for use in (lambda: loading.load(str(folder), SMALL), lambda: model.evaluate(folder, say=lambda _: None)):
        with pytest.raises(DataError) as caught:
            use()
        assert caught.value.code == "CN304" and str(broken) in str(caught.value)
    data = loading.load(str(folder), SMALL, on_bad_image="skip", say=lambda _: None)
    assert len(data.test) == 3 and [file.path for file in data.files if file.split == "skipped"] == ["test/red/0.ppm"]
    diagnosis = examine(folder)
    assert [
        (p.split, p.file) for f in diagnosis.findings if f.topic == "damaged" for g in f.groups for p in g.places
    ] == [("test", "test/red/0.ppm")]
    assert diagnosis.counts["red"] == {"train": 2, "test": 2}
    assert [one.image for one in model.predict(folder) if one.error] == [str(broken)]
    code, _, err = cli("data", "preview", folder, "-o", tmp_path / "p.png")
    assert code == 0 and f"left out: {broken}" in err


@pytest.mark.parametrize("side", [9_500, 13_300])
def test_what_training_refuses_as_too_large_is_an_error_of_the_check(tmp_path, side, model):
    """90 to 177 megapixels, where Pillow only warns."""
    folder = make(tmp_path / "data", TRAIN + TEST)
    (folder / "train" / "red" / "2.png").write_bytes(bomb(side))
    with pytest.raises(DataError, match="cannot be read"):
        loading.describe(str(folder))
    assert [one.topic for one in examine(folder).findings if one.severity == "error"] == ["suspiciously_large"]
    (error,) = (one.error for one in model.predict(folder) if one.error)
    assert "pixels" in error


def test_suffixes_are_those_that_pillow_can_open(tmp_path, model, monkeypatch):
    assert {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"} <= {
        *image_suffixes()
    }
    files = [f"{name}/{i}{suffix}" for name in ("red", "green") for i, suffix in enumerate(image_suffixes())]
    for name in files:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8) if path.suffix == ".pgm" else (8, 8, 3), 99, np.uint8)
        Image.fromarray(pixels).save(path)
    assert len(model.predict(tmp_path / "data")) == len(files) == len([*read_layout(tmp_path / "data").evaluated()])
    assert not any(one.error for one in model.predict(tmp_path / "data"))
    without = {end: kind for end, kind in Image.registered_extensions().items() if kind != "AVIF"}
    monkeypatch.setattr(Image, "registered_extensions", lambda: without)
    image_suffixes.cache_clear()
    try:
        assert ".avif" not in image_suffixes() and ".jfif" in image_suffixes()
    finally:
        image_suffixes.cache_clear()


def test_gray_images_that_are_stored_in_color_are_found(tmp_path):
    folder = make(tmp_path / "data", [])
    for number, name in enumerate([*some("red", 4, "png"), *some("green", 4, "png")]):
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).convert("RGB" if name == "red/2.png" else "L").save(folder / name)
    assert loading.describe(str(folder)).shape == (3, 16, 16)
    (finding,) = (one for one in examine(folder).findings if one.topic == "stored_in_color")
    assert finding.severity == "warning" and [p.file for g in finding.groups for p in g.places] == ["red/2.png"]


# --- what version 0.1 made of them -----------------------------------------------------------------------------------

NAMES = ("cat", "dog", "10", "2", "caf\u00e9")
VERSION_0_1 = {  # files, fingerprint, test split (None: as the folders say)
    "classes": (
        [f"{name}/{i}.ppm" for name in NAMES for i in range(12)],
        "5bbbd1b242a4ab98",
        ["2/1", "2/5", "10/8", "caf\u00e9/3", "caf\u00e9/8", "caf\u00e9/11", "cat/2", "dog/4", "dog/7", "dog/10"],
    ),
    "train": (
        [f"train/{name}/{i}.ppm" for name in NAMES[:2] for i in range(15)],
        "5ea519c4ea6f95d4",
        [f"train/{path}" for path in ("cat/2", "cat/13", "dog/4", "dog/7", "dog/10")],
    ),
    "train and test": (
        [f"{split}/{name}/{i}.ppm" for split in ("train", "test") for name in NAMES[:2] for i in range(5)],
        "7eb16ee24d7aac4d",
        [f"test/{name}/{i}" for name in NAMES[:2] for i in range(5)],
    ),
    "three": (
        [
            f"{split}/{name}/{i}.ppm"
            for split in ("Training", "valid", "testing")
            for name in NAMES[:2]
            for i in range(4)
        ],
        "b321719501c26e7f",
        [f"testing/{name}/{i}" for name in NAMES[:2] for i in range(4)],
    ),
    "train and validation": (
        [f"{split}/{name}/{i}.ppm" for split in ("train", "validation") for name in NAMES[:2] for i in range(4)],
        "d918d2f646a0b637",
        [f"validation/{name}/{i}" for name in NAMES[:2] for i in range(4)],
    ),
}


@pytest.mark.parametrize("name", VERSION_0_1)
@pytest.mark.parametrize("as_csv", [False, True])
def test_the_split_and_the_fingerprint_are_those_of_version_0_1(tmp_path, name, as_csv):
    files, fingerprint, test = VERSION_0_1[name]
    given = make(tmp_path / "data", files)
    if as_csv:
        if name == "train":
            pytest.skip("paths of a CSV start at its folder, so the split is another one")
        rows = [[path, *path.split("/")[-2::-1]] for path in files]
        lines = [",".join([*row[:2], *row[2:3]]) for row in rows]
        given = given / "list.csv"
        given.write_text("\n".join(["path,label,split", *lines]))
    data = loading.load(str(given), SMALL, say=lambda _: None)
    assert data.fingerprint == fingerprint
    assert [file.path.removesuffix(".ppm") for file in data.files if file.split == "test"] == test
    parts = [file.split for file in data.files]
    assert parts == sorted(parts, key=["train", "validation", "test"].index) and len(parts) == len(files)
