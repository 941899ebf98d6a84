"""A table of folders and CSVs, and how each command reads them: train, check, preview, evaluate, predict."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, features

from classicnets.audit.audit import audit_images
from classicnets.errors import DataError
from classicnets.evaluation.model import Model
from classicnets.images import loading
from classicnets.images.formats import image_suffixes
from classicnets.images.layout import read_layout
from classicnets.images.tree import read_tree
from classicnets.report import preview as previews
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.faulty import bomb

SMALL = Preprocess(channels=3, image_size=2)
KNOWN = (
    "red",
    "green",
    "blue",
    "train",
    "test",
    "val",
    "2",
    "10",
    "deep",
    "Red",
    "caf\u00e9",
    "caf\\udce9",
    "a\\nb",
)  # classes of the classifier
NO_TEST = "there is no test split, so about a fifth of each class, chosen by file name, is the test split"
NO_CLASSES = "it has no class folders, so its images have no labels"


def numbered(folder: str, count: int = 2, suffix: str = "ppm") -> list[str]:
    return [f"{folder}/{i}.{suffix}" for i in range(count)]


def make(root: Path, files: list[str], links: dict[str, str] | None = None, csv: str = "", first: int = 0) -> Path:
    """Write files of different content (.ppm are images), empty folders (names ending in a slash), links and a CSV."""
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
        (root / "list.csv").write_text(csv.replace("HERE", str(root)), encoding="utf-8", newline="")
        return root / "list.csv"
    return root


@dataclass
class Case:
    """A folder or its CSV, the expected images of each split, and the expected messages.

    Attributes:
        files: Files to write.
        evaluated: Images that a model is evaluated on; None if the faults prevent evaluation as well.
        unused: Images that belong to no split.
        splits_test: Whether `train` lists all images, and part of them becomes the test split.
        error: The error of a folder that is not a data set.
        order: Order of `predict`, if it is not that of the folder.
        fails_predict: Whether `predict` rejects the CSV.
    """

    files: list[str]
    train: list[str] = field(default_factory=list)
    validation: list[str] = field(default_factory=list)
    test: list[str] = field(default_factory=list)
    evaluated: list[str] | None = None
    unused: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    classes: tuple[str, ...] = ("green", "red")
    splits_test: bool = False
    links: dict[str, str] = field(default_factory=dict)
    csv: str = ""
    error: str = ""
    order: list[str] | None = None
    fails_predict: bool = False


RG = [*numbered("green", 3), *numbered("red", 3)]
TRAIN, TEST, VAL = ([*numbered(f"{split}/green"), *numbered(f"{split}/red")] for split in ("train", "test", "val"))
RG_SPLIT = f"{NO_TEST} (2 of 6 images)"

CASES = {
    # --- splits
    "class folders": Case(RG, train=RG, evaluated=RG, splits_test=True, notes=[RG_SPLIT]),
    "train and test": Case(TRAIN + TEST, train=TRAIN, test=TEST, evaluated=TEST),
    "train and val: val is the test split": Case(TRAIN + VAL, train=TRAIN, test=VAL, evaluated=VAL),
    "three splits": Case(TRAIN + VAL + TEST, train=TRAIN, validation=VAL, test=TEST, evaluated=TEST),
    "only train": Case(TRAIN, train=TRAIN, evaluated=TRAIN, splits_test=True, notes=[f"{NO_TEST} (2 of 4 images)"]),
    "classes beside test": Case(
        RG + TEST,
        train=RG,
        test=TEST,
        evaluated=TEST,
        notes=["there is no train/, so the class folders beside test/ are the training split"],
    ),
    "only test": Case(
        TEST,
        test=TEST,
        evaluated=TEST,
        faults=["there is no training split: put training images into train/CLASS/, beside test/"],
    ),
    "train and val beside an empty test": Case(
        [*TRAIN, *VAL, "test/"],
        train=TRAIN,
        validation=VAL,
        faults=[f"test: {NO_CLASSES}"],
    ),
    "test without images in its classes": Case(
        [*TRAIN, "test/red/", "test/green/"],
        train=TRAIN,
        faults=["test: its class folders contain no images"],
        notes=[],
    ),
    "an empty val": Case(
        [*TRAIN, *TEST, "val/"],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        faults=[f"val: {NO_CLASSES}"],
    ),
    "flat test beside train": Case(
        [*TRAIN, "test/0.ppm"],
        train=TRAIN,
        unused=["test/0.ppm"],
        faults=[f"test: {NO_CLASSES}"],
        notes=["1 image is not used because it belongs to no class of a split: test/0.ppm"],
    ),
    "an empty train": Case(
        [*TEST, "train/"],
        test=TEST,
        evaluated=TEST,
        faults=[f"train: {NO_CLASSES}"],
    ),
    "two folders of one split": Case(
        [*TRAIN, *TEST, *numbered("testing/red")],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        unused=numbered("testing/red"),
        notes=[
            "testing/ is ignored because test/ is used for this split",
            "2 images are not used because they belong to no class of a split, such as testing/red/0.ppm",
        ],
    ),
    "two folders of one split that differ in case": Case(
        [*TRAIN, *TEST, *numbered("Test/red"), *numbered("TRAIN/blue")],
        train=numbered("TRAIN/blue"),
        test=numbered("Test/red"),
        evaluated=numbered("Test/red"),
        unused=[*TRAIN, *TEST],
        classes=("blue",),
        faults=[
            "Test/red: the training split has no such class",
            "Test/blue: the test split has no images of this class",
            "TRAIN/blue: this is the only class, but training needs at least two",
        ],
        notes=[
            "train/ is ignored because TRAIN/ is used for this split",
            "test/ is ignored because Test/ is used for this split",
            "8 images are not used because they belong to no class of a split, such as train/green/0.ppm",
        ],
    ),
    "classes that differ only in case": Case(
        [*numbered("red", 3), *numbered("Red", 3)],
        train=[*numbered("Red", 3), *numbered("red", 3)],
        evaluated=[*numbered("Red", 3), *numbered("red", 3)],
        splits_test=True,
        classes=("Red", "red"),
        notes=[RG_SPLIT, "Red and red are two classes; their names differ only in case"],
    ),
    "one class in two Unicode forms": Case(
        [*numbered("caf\u00e9", 2), *[f"cafe\u0301/{i}.ppm" for i in (2, 3)], *numbered("red", 2)],
        train=[*[f"cafe\u0301/{i}.ppm" for i in (2, 3)], *numbered("caf\u00e9", 2), *numbered("red", 2)],
        evaluated=[*[f"cafe\u0301/{i}.ppm" for i in (2, 3)], *numbered("caf\u00e9", 2), *numbered("red", 2)],
        splits_test=True,
        classes=("caf\u00e9", "red"),
        notes=[f"{NO_TEST} (2 of 6 images)"],
    ),
    "a class name with a line break": Case(
        [*numbered("red", 3), *numbered("a\nb", 3)],
        train=[*numbered("a\nb", 3), *numbered("red", 3)],
        evaluated=[*numbered("a\nb", 3), *numbered("red", 3)],
        splits_test=True,
        classes=("a\\nb", "red"),
        notes=[RG_SPLIT],
    ),
    "a class name that is not UTF-8": Case(
        [*numbered("red", 3), *numbered("caf\udce9", 3)],
        train=[*numbered("caf\udce9", 3), *numbered("red", 3)],
        evaluated=[*numbered("caf\udce9", 3), *numbered("red", 3)],
        splits_test=True,
        classes=("caf\\udce9", "red"),
        notes=[RG_SPLIT],
    ),
    "a link to nowhere, and one that leads to itself": Case(
        RG,
        train=RG,
        evaluated=RG,
        splits_test=True,
        links={"blue": "nowhere", "loop": "loop", "red/loop": "loop"},
        notes=[RG_SPLIT, "3 files and folders that contain no images are ignored, such as blue"],
    ),
    "a class that is in no split": Case(
        [*TRAIN, *TEST, *numbered("blue", 3)],
        train=TRAIN,
        test=TEST,
        evaluated=TEST,
        unused=numbered("blue", 3),
        notes=["3 images are not used because they belong to no class of a split, such as blue/0.ppm"],
    ),
    "classes that are named like splits": Case(
        [*numbered("red", 3), *numbered("train", 3), *numbered("test", 3)],
        train=[*numbered("red", 3), *numbered("test", 3), *numbered("train", 3)],
        evaluated=[*numbered("red", 3), *numbered("test", 3), *numbered("train", 3)],
        classes=("red", "test", "train"),
        splits_test=True,
        notes=[f"{NO_TEST} (3 of 9 images)"],
    ),
    "a nested class that is named like a split": Case(
        [*numbered("red", 3), *numbered("test/2024", 3)],
        train=[*numbered("red", 3), *numbered("test/2024", 3)],
        evaluated=[*numbered("red", 3), *numbered("test/2024", 3)],
        classes=("red", "test"),
        splits_test=True,
        notes=[
            f"{NO_TEST} (2 of 6 images)",
            "3 images in subfolders of class folders belong to those classes, such as test/2024/0.ppm",
        ],
    ),
    "splits inside classes": Case(
        [*numbered("red/train", 3), *numbered("red/test", 3), *numbered("green", 3)],
        train=[*numbered("green", 3), *numbered("red/test", 3), *numbered("red/train", 3)],
        splits_test=True,
        faults=[
            "red: the folders test/, train/ in it look like splits, but splits come above classes: move their images to"
            " test/red/, train/red/, or rename the folders if they are not splits"
        ],
        notes=[
            f"{NO_TEST} (2 of 9 images)",
            "6 images in subfolders of class folders belong to those classes, such as red/test/0.ppm",
        ],
    ),
    "a class that train lacks": Case(
        [*TRAIN, *TEST, *numbered("test/blue")],
        train=TRAIN,
        test=[*TEST, *numbered("test/blue")],
        evaluated=[*TEST, *numbered("test/blue")],
        faults=["test/blue: the training split has no such class"],
    ),
    "a class that test lacks": Case(
        [*TRAIN, *numbered("test/red")],
        train=TRAIN,
        test=numbered("test/red"),
        evaluated=numbered("test/red"),
        faults=["test/green: the test split has no images of this class"],
    ),
    "an empty class": Case(
        [*RG, "blue/"],
        train=RG,
        evaluated=RG,
        splits_test=True,
        classes=("blue", "green", "red"),
        faults=["blue: this class has no images"],
        notes=[RG_SPLIT],
    ),
    # --- folders in folders, links, what is left out
    "folders below a class": Case(
        [*numbered("red", 3), *numbered("red/2024", 2), *numbered("green", 3), *numbered("green/a/b", 2)],
        train=[*numbered("green", 3), *numbered("green/a/b", 2), *numbered("red", 3), *numbered("red/2024", 2)],
        evaluated=[*numbered("green", 3), *numbered("green/a/b", 2), *numbered("red", 3), *numbered("red/2024", 2)],
        splits_test=True,
        notes=[
            f"{NO_TEST} (2 of 10 images)",
            "4 images in subfolders of class folders belong to those classes, such as green/a/b/0.ppm",
        ],
    ),
    "all images below their classes, in splits": Case(
        [f"{split}/{name}/2024/0.ppm" for split in ("train", "test") for name in ("green", "red")],
        train=["train/green/2024/0.ppm", "train/red/2024/0.ppm"],
        test=["test/green/2024/0.ppm", "test/red/2024/0.ppm"],
        evaluated=["test/green/2024/0.ppm", "test/red/2024/0.ppm"],
        notes=["4 images in subfolders of class folders belong to those classes, such as train/green/2024/0.ppm"],
    ),
    "natural order": Case(
        ["2/b10.ppm", "2/b9/0.ppm", "2/b1.ppm", "10/1.ppm", "10/2.ppm"],
        train=["2/b1.ppm", "2/b9/0.ppm", "2/b10.ppm", "10/1.ppm", "10/2.ppm"],
        evaluated=["2/b1.ppm", "2/b9/0.ppm", "2/b10.ppm", "10/1.ppm", "10/2.ppm"],
        splits_test=True,
        classes=("2", "10"),
        notes=[
            f"{NO_TEST} (2 of 5 images)",
            "the class names are numbers: output 0 is 2, output 1 is 10",
            "1 image in a subfolder of a class folder belongs to that class: 2/b9/0.ppm",
        ],
    ),
    "a link to another class": Case(
        RG,
        train=RG,
        evaluated=RG,
        splits_test=True,
        links={"blue": "red"},
        notes=[RG_SPLIT, "1 link to a folder that is read anyway is not followed: blue (to red)"],
    ),
    "links that lead back": Case(
        RG,
        train=RG,
        evaluated=RG,
        splits_test=True,
        links={"red/again": "..", "red/up": "../.."},
        notes=[
            RG_SPLIT,
            "2 links to folders that are read anyway are not followed, such as red/again (to .)",
        ],
    ),
    "two links to one folder elsewhere": Case(
        RG,
        train=[*RG[:3], *numbered("green/more"), *RG[3:]],
        evaluated=[*RG[:3], *numbered("green/more"), *RG[3:]],
        splits_test=True,
        links={"green/more": "../../elsewhere", "red/more": "../../elsewhere"},
        notes=[
            f"{NO_TEST} (2 of 8 images)",
            "2 images in subfolders of class folders belong to those classes, such as green/more/0.ppm",
            "1 link to a folder that is read anyway is not followed: red/more (to green/more)",
        ],
    ),
    "images of no class": Case(
        [*RG, "cover.ppm"],
        train=RG,
        evaluated=RG,
        unused=["cover.ppm"],
        splits_test=True,
        notes=[RG_SPLIT, "1 image is not used because it belongs to no class of a split: cover.ppm"],
    ),
    "files that are no images": Case(
        [*RG, "read.me", "red/notes.txt", "red/more/", "red/.hidden.ppm", "__MACOSX/red/0.ppm", "green/x.jxl"],
        train=RG,
        evaluated=RG,
        splits_test=True,
        notes=[
            RG_SPLIT,
            "1 image is not read because its format is not supported (.jxl): green/x.jxl; save it as JPEG or PNG",
            "3 files and folders that contain no images are ignored, such as read.me",
        ],
    ),
    "a folder in a folder": Case(
        [*numbered("deep/green"), *numbered("deep/red")],
        unused=[*numbered("deep/green"), *numbered("deep/red")],
        error="the folder contains neither class folders with images nor IDX files",
    ),
    "no class folders": Case(
        numbered("."), unused=numbered("."), error="the folder contains neither class folders with images nor IDX files"
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
        splits_test=True,
        notes=[RG_SPLIT, "1 line repeats another line and is ignored"],
    ),
    "a CSV with one path in two classes": Case(
        RG,
        csv="path,label\ngreen/0.ppm,green\ngreen/1.ppm,green\nred/0.ppm,red\nred/1.ppm,red\nred/0.ppm,green",
        train=["green/0.ppm", "green/1.ppm", "red/0.ppm", "red/1.ppm"],
        splits_test=True,
        notes=[f"{NO_TEST} (2 of 4 images)"],
        faults=["line 6: red/0.ppm has another class or split on line 4"],
        fails_predict=True,
    ),
    "a CSV with one path in two splits": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,train\nred/0.ppm,red,train\nred/1.ppm,red,test\ngreen/1.ppm,green,test\n"
        "red/0.ppm,red,test",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        faults=["line 6: red/0.ppm has another class or split on line 3"],
        fails_predict=True,
    ),
    "a CSV with an unknown split": Case(
        RG,
        csv="path,label,split\ngreen/0.ppm,green,train\nred/0.ppm,red,train\nred/1.ppm,red,test\ngreen/1.ppm,green,test\n"
        "red/2.ppm,red,holdout",
        train=["green/0.ppm", "red/0.ppm"],
        test=["green/1.ppm", "red/1.ppm"],
        faults=["line 6: 'holdout' is not a split; use train, val or test"],
        fails_predict=True,
    ),
    "a CSV with blank splits only": Case(
        RG,
        csv="path,label,split\n" + "\n".join(f"{path},{path.split('/')[0]}," for path in RG),
        train=RG,
        evaluated=RG,
        splits_test=True,
        notes=[RG_SPLIT],
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
        faults=["no line has the split train"],
    ),
    "a CSV with a line without a class": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{path},{path.split('/')[0]}" for path in RG[:-1]) + "\nred/2.ppm,",
        train=RG[:-1],
        splits_test=True,
        notes=[f"{NO_TEST} (2 of 5 images)"],
        faults=["line 7: the class is empty"],
        order=RG,  # `predict` needs no class
    ),
    "a CSV from Windows": Case(
        RG,
        csv="\ufeffPath;Label\r\n" + "".join(f".\\{p.replace('/', chr(92))};{p.split('/')[0]}\r\n" for p in RG),
        train=RG,
        evaluated=RG,
        splits_test=True,
        notes=[RG_SPLIT],
    ),
    "a CSV with quoted commas": Case(
        ["red/a, b.ppm", "red/c.ppm", "green/0.ppm", "green/1.ppm"],
        csv='path,label\n"red/a, b.ppm",red\nred/c.ppm,"red"\ngreen/0.ppm,green\ngreen/1.ppm,green',
        train=["green/0.ppm", "green/1.ppm", "red/a, b.ppm", "red/c.ppm"],
        evaluated=["green/0.ppm", "green/1.ppm", "red/a, b.ppm", "red/c.ppm"],
        order=["red/a, b.ppm", "red/c.ppm", "green/0.ppm", "green/1.ppm"],
        splits_test=True,
        notes=[f"{NO_TEST} (2 of 4 images)"],
    ),
    "a CSV with absolute paths and ~": Case(
        RG,
        csv="path,label\n"
        + "\n".join(f"{prefix}/{p},{p.split('/')[0]}" for p, prefix in zip(RG, ["HERE", "~/data"] * 3, strict=True)),
        train=RG,
        evaluated=RG,
        splits_test=True,
        notes=[RG_SPLIT],
    ),
    "a CSV with a web address": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{p},{p.split('/')[0]}" for p in RG) + "\nhttps://example.org/1.ppm,red",
        train=RG,
        splits_test=True,
        notes=[RG_SPLIT],
        faults=["line 8: the path is a web address; download the image and list its file"],
        fails_predict=True,
    ),
    "a CSV with a header only": Case(RG, csv="path,label\n", error="the CSV lists no images", fails_predict=True),
    "an empty CSV": Case(RG, csv="\n", error="the CSV lacks a column for image paths", fails_predict=True),
    "a CSV with a NUL byte": Case(
        RG,
        csv="path,label\n" + "\n".join(f"{path},{path.split('/')[0]}" for path in RG) + "\nred/\0.ppm,red",
        train=RG,
        splits_test=True,
        notes=[RG_SPLIT],
        faults=["line 8: the path contains a NUL byte"],
        fails_predict=True,
    ),
}


class Uniform:
    """A classifier of all classes in the table that gives each the same probability."""

    preprocess, classes, precision = SMALL, KNOWN, "float32"

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        return np.full((len(images), len(KNOWN)), 1 / len(KNOWN), np.float32)


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(Uniform(), path=tmp_path / "m.onnx", name="uniform", weights="none", data=None, fingerprint=None)


@pytest.fixture(params=CASES)
def case(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Case, Path, Callable[[object], str]]:
    """The case, the path for the commands, and a function that makes a path relative to the folder."""
    case = CASES[request.param]
    monkeypatch.setenv("HOME", str(tmp_path))
    make(tmp_path / "elsewhere", numbered(".", 2), first=100)
    path = make(tmp_path / "data", case.files, case.links, case.csv)

    def relative(path: object) -> str:
        return Path(str(path)).relative_to(tmp_path / "data").as_posix()

    return case, path, relative


def messages_about(error: DataError) -> list[str]:
    assert error.code == "CN307" and error.what == "the images do not form a valid data set"
    return error.why.splitlines()


def test_train(case: Any) -> None:
    case, path, _ = case
    messages: list[str] = []
    if case.error or case.faults:
        for use in (loading.describe, loading.load):
            with pytest.raises(DataError) as caught:
                use(str(path))
            assert caught.value.what == case.error if case.error else messages_about(caught.value) == case.faults
        return
    data = loading.load(str(path), SMALL, say=messages.append)
    assert messages == [f"{'list' if case.csv else 'data'}: {note}" for note in case.notes]
    assert (data.classes, loading.describe(str(path)).classes) == (case.classes, case.classes)
    splits = {
        name: [file.path for file in data.files if file.split == name] for name in ("train", "validation", "test")
    }
    if case.splits_test:
        assert sorted(splits["train"] + splits["test"]) == sorted(case.train) and splits["test"]
        assert [path for path in case.train if path in splits["train"]] == splits["train"]  # in the order of the table
        assert [path for path in case.train if path in splits["test"]] == splits["test"]
    else:
        assert splits == {"train": case.train, "validation": case.validation, "test": case.test}
    assert len(data.train) == len(splits["train"]) and len(data.test) == len(splits["test"])


def test_check(case: Any) -> None:
    case, path, relative = case
    if case.error:
        with pytest.raises(DataError, match=case.error):
            audit_images(path)
        return
    report = audit_images(path)
    assert [finding.what for finding in report.findings if finding.topic == "layout"] == case.faults
    lost = [note for note in case.notes if "not used because" in note or "not read because" in note]
    notes = [note for note in case.notes if note not in lost]
    assert [finding.what for finding in report.findings if finding.topic == "read_as"] == notes
    assert [(finding.what, finding.severity) for finding in report.findings if finding.topic == "left_out"] == [
        (note, "warning") for note in lost
    ]
    files = list(read_layout(path).files())
    assert sorted(relative(file) for _, _, file in files) == sorted(case.train + case.validation + case.test)
    counts: dict[str, dict[str, int]] = {}
    for split, label, _ in files:
        counts.setdefault(label, {}).setdefault(split, 0)
        counts[label][split] += 1
    assert {name: splits for name, splits in report.counts.items() if splits} == counts
    assert not report.ok if case.faults else True


def test_evaluate(case: Any, model: Model) -> None:
    case, path, relative = case
    evaluated: list[Any] = []
    messages: list[str] = []

    def watch(inputs: Any) -> Any:
        evaluated.extend(inputs)
        return inputs

    if case.error or case.evaluated is None:
        with pytest.raises(DataError) as caught:
            model.evaluate(path, say=messages.append, watch=watch)
        assert caught.value.what == case.error if case.error else messages_about(caught.value) == case.faults
        return
    result = model.evaluate(path, say=messages.append, watch=watch)
    assert [relative(image.file) for image in evaluated] == case.evaluated and result.n == len(case.evaluated)
    layout = read_layout(path)
    assert [image.truth for image in evaluated] == [name for name, _ in layout.evaluation_files()]
    assert "are not recorded" in messages.pop()  # the images that this model was trained on
    assert [message.split(": ", 1)[1] for message in messages[:-1]] == [n for n in case.notes if n in layout.file_notes]
    assert ("of the test split" in messages[-1]) == (not case.splits_test)


def all_images(case: Case) -> list[str]:
    """What `predict` and `preview` should read: every image once."""
    return sorted({*case.train, *case.validation, *case.test, *case.unused})


def test_predict(case: Any, model: Model) -> None:
    case, path, relative = case
    if case.fails_predict:
        with pytest.raises(DataError) as caught:
            model.predict(path)
        assert not case.faults or messages_about(caught.value) == case.faults
        return
    names = [relative(prediction.image) for prediction in model.predict(path)]
    if case.csv:
        assert names == (case.order or case.train + case.test)
        return
    assert sorted(names) == [name.removeprefix("./") for name in all_images(case)]
    position = {name: i for i, name in enumerate(names)}
    if not case.error:
        for _, files in itertools.groupby(read_layout(path).files(), key=lambda file: file[:2]):
            positions = [position[relative(file)] for _, _, file in files]
            assert positions == sorted(positions)  # the same order in each class of each split


def test_preview(case: Any, cli: CommandLine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    case, path, relative = case
    drawn: list[str] = []
    monkeypatch.setattr("classicnets.api.data._PREVIEW_COUNT", 100)
    monkeypatch.setattr(previews, "draw_sheet", lambda samples, *_: drawn.extend(sample.name for sample in samples))
    monkeypatch.setattr("classicnets.report.figures.png", lambda _: b"")
    code, out, err = cli("data", "preview", path, "--json", "-o", tmp_path / "preview.png")
    if case.fails_predict:
        assert code == 3 and all(fault in err for fault in case.faults)
        return
    assert code == 0 and json.loads(out)["pictures"] == drawn
    csv = case.order or case.train + case.test
    expected = csv if case.csv else [relative(path) for path in read_tree(path).top.walk()]
    assert drawn == [f"{Path(name).parent.name or path.name}/{Path(name).name}" for name in expected]
    if not case.csv:
        assert sorted(expected) == [name.removeprefix("./") for name in all_images(case)]


# --- more rules ------------------------------------------------------------------------------------------------------


def test_error_names_the_nested_folder_with_classes(tmp_path: Path) -> None:
    for name in ("x/y/z/red/0.ppm", "x/y/z/green/0.ppm"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"P6 2 2 255\n" + bytes(12))
    with pytest.raises(DataError) as caught:
        read_layout(tmp_path)
    assert caught.value.hints == (f"--data {tmp_path / 'x' / 'y' / 'z'}   # contains class folders",)


def test_every_command_assigns_a_damaged_image_to_its_split(tmp_path: Path, model: Model, cli: CommandLine) -> None:
    folder = make(tmp_path / "data", TRAIN + TEST)
    broken = folder / "test" / "red" / "0.ppm"
    broken.write_bytes(b"P6 2 2 255\n")
    for use in (lambda: loading.load(str(folder), SMALL), lambda: model.evaluate(folder, say=lambda _: None)):
        with pytest.raises(DataError) as caught:
            use()
        assert caught.value.code == "CN304" and str(broken) in str(caught.value)
    data = loading.load(str(folder), SMALL, on_bad_image="skip", say=lambda _: None)
    assert len(data.test) == 3 and [file.path for file in data.files if file.split == "skipped"] == ["test/red/0.ppm"]
    report = audit_images(folder)
    assert [
        (image.split, image.file)
        for finding in report.findings
        if finding.topic == "damaged"
        for group in finding.groups
        for image in group.images
    ] == [("test", "test/red/0.ppm")]
    assert report.counts["red"] == {"train": 2, "test": 2}
    assert [prediction.image for prediction in model.predict(folder) if prediction.error] == [str(broken)]
    code, _, err = cli("data", "preview", folder, "-o", tmp_path / "p.png")
    assert code == 0 and f"left out: {broken}" in err


@pytest.mark.parametrize("side", [11_400, 13_300])
def test_check_reports_images_that_training_rejects_as_too_large(tmp_path: Path, side: int, model: Model) -> None:
    """130 and 177 megapixels, where Pillow only warns."""
    folder = make(tmp_path / "data", TRAIN + TEST)
    (folder / "train" / "red" / "2.png").write_bytes(bomb(side))
    with pytest.raises(DataError, match="cannot be read"):
        loading.describe(str(folder))
    assert [f.topic for f in audit_images(folder).findings if f.severity == "error"] == ["too_large"]
    (error,) = (prediction.error for prediction in model.predict(folder) if prediction.error)
    assert "pixels" in error


def test_image_suffixes_are_those_that_pillow_can_open(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"} <= {
        *image_suffixes()
    }
    files = [f"{name}/{i}{suffix}" for name in ("red", "green") for i, suffix in enumerate(image_suffixes())]
    for name in files:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8) if path.suffix == ".pgm" else (8, 8, 3), 99, np.uint8)
        Image.fromarray(pixels).save(path)
    predictions = model.predict(tmp_path / "data")
    assert len(predictions) == len(files) == len([*read_layout(tmp_path / "data").evaluation_files()])
    assert not any(prediction.error for prediction in predictions)
    monkeypatch.setattr(features, "check", lambda name: name != "avif")
    image_suffixes.cache_clear()
    try:
        assert ".avif" not in image_suffixes() and ".jfif" in image_suffixes()
    finally:
        image_suffixes.cache_clear()


def test_a_color_image_among_gray_ones_is_named(tmp_path: Path, cli: CommandLine) -> None:
    folder = make(tmp_path / "data", [])
    for number, name in enumerate([*numbered("red", 4, "png"), *numbered("green", 4, "png")]):
        (folder / name).parent.mkdir(exist_ok=True)
        size = (28, 28, 3) if name == "red/2.png" else (28, 28)
        Image.fromarray(np.random.default_rng(number).integers(0, 256, size, np.uint8)).save(folder / name)
    note = "data: 1 of 8 images is stored in color, so the network gets three channels: red/2.png"
    assert loading.describe(str(folder)).notes == (note,)
    code, out, _err = cli("train", "lenet_d2l", "--data", folder, "--dry-run")
    assert code == 0 and " ".join(note.split()[:9]) in out
    (finding,) = (f for f in audit_images(folder).findings if f.topic == "stored_in_color")
    assert finding.what == "1 of 8 images is stored in color; the others are gray"
    assert [image.file for group in finding.groups for image in group.images] == ["red/2.png"]


def test_header_with_many_columns_is_shortened(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text(",".join(f"column{i}" for i in range(500)) + "\n1,2\n")
    with pytest.raises(DataError) as caught:
        read_layout(path)
    assert caught.value.why.endswith("column6, column7 and 492 more") and len(caught.value.why) < 250


def test_what_is_left_out_is_counted_in_every_document(tmp_path: Path, cli: CommandLine, model: Model) -> None:
    folder = make(tmp_path / "data", [*TRAIN, *TEST, *numbered("blue", 3), "train/red/x.psd"])
    counts = {"no_class": 3, "unsupported_format": 1, "unreadable": 0}
    code, out, _err = cli("data", "check", folder, "--json")
    assert (code, json.loads(out)["left_out"]) == (0, counts)
    text = "4 images are left out: 3 that belong to no class, 1 in a format that is not read"
    assert text in " ".join(cli("data", "check", folder)[1].split())
    assert model.evaluate(folder, say=lambda _: None).to_dict()["left_out"] == counts
    assert loading.load(str(folder), SMALL, say=lambda _: None).left_out == counts


def test_reports_gray_images_stored_in_color(tmp_path: Path) -> None:
    folder = make(tmp_path / "data", [])
    for number, name in enumerate([*numbered("red", 4, "png"), *numbered("green", 4, "png")]):
        (folder / name).parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (16, 16), np.uint8)
        Image.fromarray(pixels).convert("RGB" if name == "red/2.png" else "L").save(folder / name)
    assert loading.describe(str(folder)).shape == (3, 16, 16)
    (finding,) = (f for f in audit_images(folder).findings if f.topic == "stored_in_color")
    assert finding.severity == "warning" and [image.file for group in finding.groups for image in group.images] == [
        "red/2.png"
    ]


# --- as in version 0.1 -----------------------------------------------------------------------------------------------

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
def test_split_and_fingerprint_are_those_of_version_0_1(tmp_path: Path, name: str, as_csv: bool) -> None:
    files, fingerprint, test = VERSION_0_1[name]
    path = make(tmp_path / "data", files)
    if as_csv:
        if name == "train":
            pytest.skip("paths of a CSV start at its folder, so the split is another one")
        rows = [[path, *path.split("/")[-2::-1]] for path in files]
        lines = [",".join([*row[:2], *row[2:3]]) for row in rows]
        path = path / "list.csv"
        path.write_text("\n".join(["path,label,split", *lines]))
    data = loading.load(str(path), SMALL, copies=None, say=lambda _: None)
    assert data.fingerprint == fingerprint
    assert [file.path.removesuffix(".ppm") for file in data.files if file.split == "test"] == test
    parts = [file.split for file in data.files]
    assert parts == sorted(parts, key=["train", "validation", "test"].index) and len(parts) == len(files)
