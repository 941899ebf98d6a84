"""CSV files as data sets, which images are kept aside, images that are left out, and how a run keeps all that."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from classicnets.api.models import Run
from classicnets.audit.examine import examine
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import DataError, UsageError
from classicnets.images import batches
from classicnets.images.layout import read_layout
from classicnets.images.loading import describe, load
from classicnets.spec import Output, run_spec
from classicnets.study import seeds
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.images import CLASSES, make_image_folder

pytestmark = pytest.mark.usefixtures("undrawn")

SMALL = Preprocess(channels=3, image_size=16)
SETTINGS = {"epochs": 2, "batch_size": 10, "image_size": 28}


def read(given: Path, **options: Any) -> tuple[ImageSplits, list[str]]:
    """What is loaded, and the lines that are said."""
    said: list[str] = []
    return load(str(given), SMALL, say=said.append, **options), said


def error_of(given: Path, use: Callable[..., Any] = load) -> DataError:
    with pytest.raises(DataError) as caught:
        use(str(given))
    return caught.value


def rows_of(folder: Path) -> list[list[str]]:
    """path, class and split of every image of a folder with train/ and test/."""
    return [[path.relative_to(folder).as_posix(), name, split] for split, name, path in read_layout(folder).files()]


def write(
    file: Path,
    rows: list[list[str]],
    header: tuple[str, ...] = ("path", "label", "split"),
    delimiter: str = ",",
    encoding: str = "utf-8",
) -> Path:
    with file.open("w", newline="", encoding=encoding) as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header[: len(rows[0])] if rows else header, *rows])
    return file


@pytest.fixture
def mine(tmp_path: Path, folder: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "mine"))


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """A folder with 4, 2 and 3 images of each class in train/, val/ and test/."""
    made = make_image_folder(tmp_path / "three", per_class=6, test_per_class=3)
    for name in CLASSES:
        (made / "val" / name).mkdir(parents=True)
        for i in (4, 5):
            (made / "train" / name / f"train_{i}.png").rename(made / "val" / name / f"val_{i}.png")
    return made


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "header", [("path", "label", "split"), ("Filename", " CLASS", "Split"), ("image", "class", "split")]
)
def test_a_csv_is_the_folder_it_lists(mine: Path, header: tuple[str, ...], encoding: str, delimiter: str) -> None:
    file = write(mine / "list.csv", rows_of(mine)[::-1], header, delimiter, encoding)
    folder, said = read(mine)
    data, also_said = read(file)
    told = describe(str(file))
    assert (data.name, data.classes, data.fingerprint) == ("list", CLASSES, folder.fingerprint)
    assert (told.shape, told.train, told.test, told.decoded) == ((3, 16, 16), 90, 30, True)
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(data, split).images, getattr(folder, split).images)
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(folder, split).labels)
    assert data.files == folder.files and data.source == f"CSV {file}"
    assert also_said == said[:-1] and said[-1].startswith("mine: 1 file not read, such as list.csv")
    assert examine(file).counts == examine(mine).counts


def test_columns_may_come_in_any_order_among_others(mine: Path) -> None:
    rows = [["x, y", name, "1", path] for path, name, _ in rows_of(mine)]
    data, said = read(write(mine / "a.csv", rows, ("note", "label", "id", "file")))
    assert data.classes == CLASSES and len(data.train) + len(data.test) == 120
    assert said[0].startswith("a: no test split, so about a fifth of each class, chosen by file names")
    again = write(mine / "b.csv", rows[::-1], ("note", "label", "id", "file"))
    assert read(again)[0].fingerprint == data.fingerprint  # the order of the lines decides nothing


def test_three_splits_of_a_csv_and_images_that_lie_elsewhere(tmp_path: Path, three: Path) -> None:
    (tmp_path / "lists").mkdir()
    names = {"train": "train", "validation": "val", "test": "TEST"}
    rows = [[str(three / path), name, names[split]] for path, name, split in rows_of(three)]
    up = [[f"../three/{path}", name, names[split]] for path, name, split in rows_of(three)]
    windows = [[path.replace("/", "\\"), name, split] for path, name, split in up]
    found = [read(write(tmp_path / "lists" / "a.csv", each))[0] for each in (rows, up, windows)]
    assert all((len(data.train), len(data.validation), len(data.test)) == (12, 6, 9) for data in found)
    assert {data.fingerprint for data in found} == {read(three)[0].fingerprint}
    assert found[0].files[0].path == (three / "train/bird/train_0.png").as_posix()
    only_val = [
        [path, name, "val"] if split == "TEST" else [path, name, split] for path, name, split in rows[:12] + rows[18:]
    ]
    data, _ = read(write(tmp_path / "lists" / "b.csv", only_val))
    assert (data.validation, len(data.test)) == (None, 9)


def test_a_wrong_header_is_an_error_that_names_the_columns(mine: Path) -> None:
    for header, lacking in (
        (("path", "kind"), "no column label or class; found: path, kind"),
        (("name", "label"), "no column path or file or filename or file_name or image or image; found: name, label"),
    ):
        error = error_of(
            write(mine / "a.csv", [["train/cat/train_0.png", "cat"]], header), use=lambda given: examine(Path(given))
        )
        assert (error.code, error.where, error.why) == ("CN307", f"{mine / 'a.csv'}, line 1", lacking)
        assert error.hints[0].startswith("path,label ")
    (mine / "a.csv").write_bytes(b"")
    assert error_of(mine / "a.csv").why.endswith("found: nothing")
    write(mine / "a.csv", [])
    assert error_of(mine / "a.csv").why == "nothing comes after its first line"
    write(mine / "a.csv", [["train/cat/train_0.png", "cat", "val"]])
    assert error_of(mine / "a.csv").why == "the column split never says train"


def test_what_is_no_csv(mine: Path) -> None:
    (mine / "a.csv").write_bytes("path,label\na.png,caf\u00e9\n".encode("latin-1"))
    assert error_of(mine / "a.csv").why == "line 2 is not UTF-8; a spreadsheet saves that as 'CSV UTF-8'"
    (mine / "a.csv").write_text('path,label\n"a.png,cat\n')
    assert error_of(mine / "a.csv").what == "the CSV cannot be read"
    (mine / "a.csv").write_text("path,label\n" + "x" * 200_000)
    assert "field larger than field limit" in error_of(mine / "a.csv").why
    (mine / "a.json").write_text("{}")
    assert error_of(mine / "a.json").code == "CN302"


def test_faults_of_a_csv_come_with_their_lines(mine: Path) -> None:
    rows = rows_of(mine)
    rows[3:3] = [["", "cat", "train"], ["x.png", "", "train"], ["y.png", "cat", "dev"], [], ["z.png"]]
    rows.append([rows[0][0], "dog", "train"])
    error = error_of(write(mine / "a.csv", rows))
    assert error.why.splitlines() == [
        "line 5: no path",
        "line 6: no class",
        "line 7: 'dev' is no split: train, val or test",
        "line 9: no class",
        f"line {len(rows) + 1}: train/bird/train_0.png is on line 2 as well, as something else",
    ]
    assert [one.what for one in examine(mine / "a.csv").findings if one.topic == "layout"] == error.why.splitlines()


def test_a_line_that_is_there_twice_is_taken_once_and_said(mine: Path) -> None:
    data, said = read(write(mine / "a.csv", [*rows_of(mine), *rows_of(mine)[:2]]))
    assert len(data.train) == 90 and said == ["a: 2 lines said again what another one says"]


def test_a_class_in_one_split_only_is_an_error(mine: Path) -> None:
    rows = rows_of(mine)
    strange = [[path, "cats" if split == "test" and name == "cat" else name, split] for path, name, split in rows]
    assert error_of(write(mine / "a.csv", strange)).why.splitlines() == [
        "test/cats: the train split has no such class; the nearest is cat",
        "test/cat: no image of this class to test with",
    ]
    one = [row for row in rows if row[1] == "cat"]
    assert error_of(write(mine / "a.csv", one)).why == "train/cat: the only class; at least two are needed"


def test_a_file_that_is_missing_or_broken_is_named_with_its_line(mine: Path) -> None:
    rows = rows_of(mine)
    rows[4][0] = "train/bird/lost.png"
    error = error_of(write(mine / "a.csv", rows), use=describe)
    assert (error.code, error.what) == ("CN304", "an image cannot be read")
    assert error.where == f"{mine / 'train/bird/lost.png'} (line 6 of a.csv)" and "no such image" in error.why
    (mine / rows[1][0]).write_text("<html>")
    lines = error_of(mine / "a.csv").why.splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        f"{mine / rows[row][0]} (line {row + 2} of a.csv)" for row in (4, 1)
    ]
    named = {place.file for one in examine(mine / "a.csv").findings for group in one.groups for place in group.places}
    assert "train/bird/lost.png" in named


def test_data_check_sees_a_csv(mine: Path, cli: CommandLine) -> None:
    code, out, _ = cli("data", "check", write(mine / "a.csv", rows_of(mine)), "--json")
    assert code == 0 and json.loads(out)["classes"] == {name: {"train": 30, "test": 10} for name in CLASSES}


# --- images that cannot be read ------------------------------------------------------------------------------------


def test_broken_images_can_be_left_out(mine: Path) -> None:
    broken = ["train/bird/train_1.png", "train/dog/train_29.png", "test/cat/test_0.png"]
    whole, _ = read(mine)
    before = {path: (mine / path).read_bytes() for path in broken}
    for path in broken:
        (mine / path).write_bytes(before[path][:60])
    with pytest.raises(DataError) as caught:
        load(str(mine), SMALL)
    assert caught.value.what == "3 images cannot be read" and "--on-bad-image skip" in caught.value.hints[1]
    data, said = read(mine, on_bad_image="skip")
    assert (len(data.train), len(data.test)) == (88, 29)
    assert len(said) == 1 and said[0].startswith(
        "mine: 3 of 120 images cannot be read and are left out, such as train/bird/train_1.png: "
    )
    skipped = {file.path: file for file in data.files if file.split == "skipped"}
    assert set(skipped) == set(broken) and all(file.reason for file in skipped.values())
    files = [file.path for file in whole.files]
    for split, start in (("train", 0), ("test", 90)):
        left = [i for i, _ in enumerate(getattr(whole, split).labels) if files[start + i] not in broken]
        np.testing.assert_array_equal(getattr(data, split).images, getattr(whole, split).images[left])
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(whole, split).labels[left])
    assert len({data.fingerprint, whole.fingerprint}) == 2
    assert all((mine / path).read_bytes() == before[path][:60] for path in broken)  # nothing is moved or mended


def test_a_header_that_is_broken_is_left_out_before_the_size_is_known(mine: Path) -> None:
    (mine / "train/cat/train_1.png").write_text("<html>")
    assert error_of(mine, use=describe).code == "CN304"
    told = describe(str(mine), "skip")
    assert (told.train, told.test, told.shape) == (89, 30, (3, 16, 16))
    assert load(str(mine), on_bad_image="skip", say=lambda _: None).shape == (3, 16, 16)


def test_a_class_that_loses_all_its_images_is_an_error_still(mine: Path) -> None:
    for path in (mine / "test" / "cat").iterdir():
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no image of cat can be read in the test split") as caught:
        read(mine, on_bad_image="skip")
    assert caught.value.code == "CN304"
    assert plan_error(mine) == "CN304"


def plan_error(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        plan(*run_spec("lenet_d2l", data=str(data), settings=SETTINGS, on_bad_image="skip"))
    return caught.value.code


def test_only_fail_and_skip_can_be_asked_for(mine: Path) -> None:
    with pytest.raises(UsageError, match="must be fail or skip"):
        plan(*run_spec("lenet_d2l", data=str(mine), on_bad_image="repair"))


# --- what is kept aside ----------------------------------------------------------------------------------------------


COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@given(COUNTS, st.floats(0, 0.95), st.integers(0, 5), st.none() | st.integers(1, 50))
def test_each_class_keeps_its_share_aside_within_one_image(
    counts: Any, validation: float, seed: int, limit: Any
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, aside = batches.division(labels, validation, limit, seed)
    assert (len(train), len(aside)) == batches.shares(len(labels), validation, limit)
    assert not set(train) & set(aside) and (np.diff(train) > 0).all() and (np.diff(aside) > 0).all()
    kept = np.bincount(labels[aside], minlength=len(counts))
    assert (np.abs(kept - validation * np.array(counts)) <= 1 + 1e-9).all()
    again = batches.division(labels, validation, limit, seed)
    assert all(np.array_equal(*pair) for pair in zip((train, aside), again, strict=True))


def test_a_class_of_one_image_is_trained_on_if_others_can_give_one() -> None:
    labels = np.array([0] * 9 + [1] * 9 + [2])
    for seed in range(20):
        _, aside = batches.division(labels, 0.5, None, seed)
        assert 2 not in labels[aside] and len(aside) == 10


def test_another_seed_keeps_others_aside() -> None:
    labels = np.repeat(np.arange(10), 50)
    first, second = (batches.division(labels, 0.1, None, seed)[1] for seed in (0, 1))
    assert np.bincount(labels[first]).tolist() == [5] * 10 == np.bincount(labels[second]).tolist()
    assert len(set(first) & set(second)) < 25


def test_a_validation_split_of_its_own_stands_in_for_the_share() -> None:
    def split(n: int) -> Split:
        return Split(np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1), np.arange(n) % 3)

    train, own = split(30), split(7)
    for validation, limit, expected in ((0.2, None, (30, own)), (0.2, 12, (12, own)), (0.0, None, (30, None))):
        alone, aside = batches.divide(train, validation, limit, 4, own)
        assert (len(alone), aside) == expected
        assert batches.shares(30, validation, limit, len(own)) == (len(alone), len(aside) if aside else 0)


# --- in a run --------------------------------------------------------------------------------------------------------


def table(run: Path) -> list[dict[str, str]]:
    with (run / "split.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def count(run: Path) -> dict[str, int]:
    splits = [row["split"] for row in table(run)]
    return {split: splits.count(split) for split in sorted(set(splits))}


def trained(given: Path, runs: Path, said: list[str] | None = None, **options: Any) -> Session:
    settings = {**SETTINGS, "validation": 0.2, "monitor": "validation", **options.pop("settings", {})}
    made = plan(*run_spec("lenet_d2l", data=str(given), settings=settings, device="cpu", **options))
    return Session.start(made, (said if said is not None else []).append, Output(runs=str(runs)))


def test_a_folder_with_three_splits_from_the_command_line(three: Path, tmp_path: Path, cli: CommandLine) -> None:
    command = ["train", "lenet_d2l", "--data", three, "--recipe", "fast", "--runs", tmp_path / "r", "--device", "cpu"]
    code, out, talk = cli(*command, "--set", "epochs=2", "image_size=28", "batch_size=4")
    assert code == 0 and "on 9 images (best.safetensors)" in out
    assert "three: its validation split, 6 images, stands in for validation=0.05 of the recipe" in talk
    assert "12 training, 6 validation and 9 test images" in talk
    run = tmp_path / "r" / "lenet_d2l-three-1"
    assert count(run) == {"test": 9, "train": 12, "validation": 6}
    assert [row["path"] for row in table(run) if row["split"] == "validation"] == [
        f"val/{name}/val_{i}.png" for name in CLASSES for i in (4, 5)
    ]
    assert not json.loads((run / "run.json").read_text())["as_published"]
    assert cli("evaluate", run)[0] == 0


def test_a_csv_from_the_command_line(mine: Path, tmp_path: Path, cli: CommandLine) -> None:
    file = write(mine / "animals.csv", [row[:2] for row in rows_of(mine)], delimiter=";")
    broken = mine / "train" / "dog" / "train_7.jpg"
    broken.write_bytes(b"")
    command = ["train", "lenet_d2l", "--data", file, "--runs", tmp_path / "r", "--device", "cpu"]
    command += ["--set", "epochs=1", "image_size=28", "batch_size=20", "validation=0.25", "monitor=validation"]
    code, _, talk = cli(*command)
    assert code == 3 and "(line " in talk and not (tmp_path / "r").exists()
    code, out, talk = cli(*command[:4], "--on-bad-image", "skip", *command[4:])
    assert code == 0 and "1 of 120 images cannot be read and are left out" in talk
    run = tmp_path / "r" / "lenet_d2l-animals-1"
    rows, found = table(run), read_layout(file)
    [skipped] = [row for row in rows if row["split"] == "skipped"]
    assert skipped["path"] == "train/dog/train_7.jpg" and skipped["reason"]
    parts = {row["path"]: row["split"] for row in rows}
    for split, _, path in found.files():
        if path != broken:
            assert parts[found.shown(path)] in {"train": {"train", "validation"}, "test": {"test"}}[split]
    in_training = {name: [row["split"] for row in rows if row["class"] == name] for name in CLASSES}
    for splits in in_training.values():
        kept, alone = splits.count("validation"), splits.count("train")
        assert abs(kept - 0.25 * (kept + alone)) <= 1
    assert json.loads((run / "run.json").read_text())["on_bad_image"] == "skip"
    code, out, talk = cli("evaluate", run, "--json")
    assert code == 0 and json.loads(out)["n"] == count(run)["test"]
    assert cli("train", "--resume", run, "--on-bad-image", "skip")[2].count("takes no --on-bad-image") == 1


def test_split_csv_says_which_images_are_really_used(mine: Path, tmp_path: Path) -> None:
    made = trained(mine, tmp_path / "r", limit=40, seed=3)
    assert count(made.folder.path) == {"skipped": 32, "test": 30, "train": 40, "validation": 18}
    assert {row["reason"] for row in table(made.folder.path)} == {"", "--limit 40"}
    images = made.splits.train.images
    places = [i for i, row in enumerate(table(made.folder.path)[:90]) if row["split"] == "train"]
    everything = torch.arange(len(made.batches.labels))
    np.testing.assert_array_equal(made.batches.images(everything).numpy(), images[places])
    places = [i for i, row in enumerate(table(made.folder.path)[:90]) if row["split"] == "validation"]
    np.testing.assert_array_equal(made.validation.images, images[places])


def test_a_validation_split_that_the_recipe_has_no_use_for_is_said(three: Path, tmp_path: Path) -> None:
    said: list[str] = []
    made = trained(three, tmp_path / "r", said, settings={"validation": 0.0, "monitor": "test"})
    assert made.validation is None and made.batches.alone == 12
    assert said[0].startswith("three: its validation split, 6 images, is not used: the recipe keeps no images aside")
    assert count(made.folder.path) == {"skipped": 6, "test": 9, "train": 12}


def test_idx_files_have_no_split_csv(blobs: Path, tmp_path: Path) -> None:
    made = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 1}, device="cpu"))
    assert not Session.start(made, print, Output(runs=str(tmp_path / "r"))).folder.split.exists()


def test_a_run_without_bad_images_is_resumed_and_evaluated_without_them(three: Path, tmp_path: Path) -> None:
    (three / "train/cat/train_0.png").write_bytes(b"")
    made = trained(three, tmp_path / "r", on_bad_image="skip")
    before = made.folder.split.read_bytes()
    again = Session.resume(made.folder.path, lambda _: None)
    assert len(again.splits.train) == 11 and again.splits.fingerprint == made.splits.fingerprint
    for _ in again.events():
        pass
    again.finish()
    assert Run(made.folder.path).evaluate().n == 9 and made.folder.split.read_bytes() == before
    shutil.copy(three / "train/cat/train_1.png", three / "train/cat/train_0.png")  # the image was mended
    with pytest.raises(DataError, match="other bytes"):
        Run(made.folder.path).evaluate()


def test_each_seed_has_its_own_split(mine: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "validation": 0.2, "monitor": "validation"}
    made = plan(*run_spec("lenet_d2l", data=str(mine), settings=settings, device="cpu"))
    several = seeds.start(made, (0, 1), Output(runs=str(tmp_path / "r")), lambda _: None, side_by_side=1)
    first, second = (table(run.path) for run in several.runs().values())
    assert [row["path"] for row in first] == [row["path"] for row in second] and first != second


def test_nothing_of_the_user_s_is_touched(three: Path, tmp_path: Path, cli: CommandLine) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in three.rglob("*") if p.is_file()}

    (three / "train/cat/train_0.png").write_bytes(b"")
    before = state()
    made = trained(three, tmp_path / "r", on_bad_image="skip")
    examine(three)
    made.splits.train.images[:] = 0
    assert state() == before
