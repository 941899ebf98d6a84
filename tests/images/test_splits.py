"""CSV files as data sets, the validation split, skipped images, and how runs record them."""

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
from classicnets.audit.audit import audit_images
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import DataError, UsageError
from classicnets.images import batches
from classicnets.images.layout import read_layout
from classicnets.images.loading import describe, load
from classicnets.spec import Output, run_spec
from classicnets.studies.start import start_seeds
from classicnets.training.plan import plan
from classicnets.training.session import Session
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.images import CLASSES, make_image_folder
from support.typed import present

SMALL = Preprocess(channels=3, image_size=16)
SETTINGS = {"epochs": 2, "batch_size": 10, "image_size": 28}


def read(path: Path, **options: Any) -> tuple[ImageSplits, list[str]]:
    """The loaded data and the notes."""
    notes: list[str] = []
    return load(str(path), SMALL, say=notes.append, **options), notes


def error_of(path: Path, use: Callable[..., Any] = load) -> DataError:
    with pytest.raises(DataError) as caught:
        use(str(path))
    return caught.value


def rows_of(folder: Path) -> list[list[str]]:
    """Path, class and split of every image in a folder with train/ and test/."""
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
    folder = make_image_folder(tmp_path / "three", per_class=6, test_per_class=3)
    for name in CLASSES:
        (folder / "val" / name).mkdir(parents=True)
        for i in (4, 5):
            (folder / "train" / name / f"train_{i}.png").rename(folder / "val" / name / f"val_{i}.png")
    return folder


# --- CSV -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize(
    "header", [("path", "label", "split"), ("Filename", " CLASS", "Split"), ("image", "class", "split")]
)
def test_csv_equals_the_folder_that_it_lists(
    mine: Path, header: tuple[str, ...], encoding: str, delimiter: str
) -> None:
    file = write(mine / "list.csv", rows_of(mine)[::-1], header, delimiter, encoding)
    folder, folder_notes = read(mine)
    data, notes = read(file)
    description = describe(str(file))
    assert (data.name, data.classes, data.fingerprint) == ("list", CLASSES, folder.fingerprint)
    assert (description.shape, description.train, description.test) == ((3, 16, 16), 90, 30) and description.decoded
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(data, split).images, getattr(folder, split).images)
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(folder, split).labels)
    assert data.files == folder.files and data.source == f"CSV {file}"
    assert notes == folder_notes[:-1]
    assert folder_notes[-1] == "mine: 1 file or folder that contains no images is ignored: list.csv"
    assert audit_images(file).counts == audit_images(mine).counts


def test_accepts_columns_in_any_order_among_others(mine: Path) -> None:
    rows = [["x, y", name, "1", path] for path, name, _ in rows_of(mine)]
    data, notes = read(write(mine / "a.csv", rows, ("note", "label", "id", "file")))
    assert data.classes == CLASSES and len(data.train) + len(data.test) == 120
    assert notes[0].startswith("a: there is no test split, so about a fifth of each class, chosen by file name")
    again = write(mine / "b.csv", rows[::-1], ("note", "label", "id", "file"))
    assert read(again)[0].fingerprint == data.fingerprint  # the order of the lines does not matter


def test_csv_with_three_splits_and_images_elsewhere(tmp_path: Path, three: Path) -> None:
    (tmp_path / "lists").mkdir()
    names = {"train": "train", "validation": "val", "test": "TEST"}
    rows = [[str(three / path), name, names[split]] for path, name, split in rows_of(three)]
    up = [[f"../three/{path}", name, names[split]] for path, name, split in rows_of(three)]
    windows = [[path.replace("/", "\\"), name, split] for path, name, split in up]
    splits = [read(write(tmp_path / "lists" / "a.csv", lines))[0] for lines in (rows, up, windows)]
    assert all((len(data.train), len(present(data.validation)), len(data.test)) == (12, 6, 9) for data in splits)
    assert {data.fingerprint for data in splits} == {read(three)[0].fingerprint}
    assert splits[0].files[0].path == (three / "train/bird/train_0.png").as_posix()
    only_val = [
        [path, name, "val"] if split == "TEST" else [path, name, split] for path, name, split in rows[:12] + rows[18:]
    ]
    data, _ = read(write(tmp_path / "lists" / "b.csv", only_val))
    assert (data.validation, len(data.test)) == (None, 9)


def test_error_about_the_header_names_the_columns(mine: Path) -> None:
    for header, reason in (
        (("path", "kind"), "no column is named label / class; the header is: path, kind"),
        (
            ("name", "label"),
            "no column is named path / file / filename / file_name / image / picture; the header is: name, label",
        ),
    ):
        error = error_of(
            write(mine / "a.csv", [["train/cat/train_0.png", "cat"]], header), use=lambda path: audit_images(Path(path))
        )
        assert (error.code, error.where, error.why) == ("CN307", f"{mine / 'a.csv'}, line 1", reason)
        assert error.hints[0].startswith("path,label ")
    (mine / "a.csv").write_bytes(b"")
    assert error_of(mine / "a.csv").why.endswith("the header is: empty")
    write(mine / "a.csv", [])
    assert error_of(mine / "a.csv").why == "it has no lines after the header"
    write(mine / "a.csv", [["train/cat/train_0.png", "cat", "val"]])
    assert error_of(mine / "a.csv").why == "no line has the split train"


def test_rejects_files_that_are_not_csv(mine: Path) -> None:
    (mine / "a.csv").write_bytes("path,label\na.png,caf\u00e9\n".encode("latin-1"))
    assert (
        error_of(mine / "a.csv").why
        == "line 2 is not UTF-8; in a spreadsheet, choose the format 'CSV UTF-8' when you save"
    )
    (mine / "a.csv").write_text('path,label\n"a.png,cat\n')
    assert error_of(mine / "a.csv").what == "the CSV cannot be read"
    (mine / "a.csv").write_text("path,label\n" + "x" * 200_000)
    assert "field larger than field limit" in error_of(mine / "a.csv").why
    (mine / "a.json").write_text("{}")
    assert error_of(mine / "a.json").code == "CN302"


def test_faults_of_a_csv_name_their_lines(mine: Path) -> None:
    rows = rows_of(mine)
    rows[3:3] = [["", "cat", "train"], ["x.png", "", "train"], ["y.png", "cat", "dev"], [], ["z.png"]]
    rows.append([rows[0][0], "dog", "train"])
    error = error_of(write(mine / "a.csv", rows))
    assert error.why.splitlines() == [
        "line 5: the path is empty",
        "line 6: the class is empty",
        "line 7: 'dev' is not a split; use train, val or test",
        "line 9: the class is empty",
        f"line {len(rows) + 1}: train/bird/train_0.png has another class or split on line 2",
    ]
    assert [
        finding.what for finding in audit_images(mine / "a.csv").findings if finding.topic == "layout"
    ] == error.why.splitlines()


def test_ignores_and_reports_repeated_lines(mine: Path) -> None:
    data, notes = read(write(mine / "a.csv", [*rows_of(mine), *rows_of(mine)[:2]]))
    assert len(data.train) == 90 and notes == ["a: 2 lines repeat other lines and are ignored"]


def test_class_in_only_one_split_is_an_error(mine: Path) -> None:
    rows = rows_of(mine)
    misspelled = [[path, "cats" if split == "test" and name == "cat" else name, split] for path, name, split in rows]
    assert error_of(write(mine / "a.csv", misspelled)).why.splitlines() == [
        "test/cats: the training split has no such class; did you mean cat?",
        "test/cat: the test split has no images of this class",
    ]
    cats = [row for row in rows if row[1] == "cat"]
    assert error_of(write(mine / "a.csv", cats)).why == (
        "train/cat: this is the only class, but training needs at least two"
    )


def test_error_names_the_line_of_a_missing_or_damaged_file(mine: Path) -> None:
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
    findings = audit_images(mine / "a.csv").findings
    files = {image.file for finding in findings for group in finding.groups for image in group.images}
    assert "train/bird/lost.png" in files


def test_data_check_reads_a_csv(mine: Path, cli: CommandLine) -> None:
    code, out, _ = cli("data", "check", write(mine / "a.csv", rows_of(mine)), "--json")
    assert code == 0 and json.loads(out)["classes"] == {name: {"train": 30, "test": 10} for name in CLASSES}


# --- images that cannot be read --------------------------------------------------------------------------------------


def test_skips_damaged_images_on_request(mine: Path) -> None:
    broken = ["train/bird/train_1.png", "train/dog/train_29.png", "test/cat/test_0.png"]
    complete, _ = read(mine)
    before = {path: (mine / path).read_bytes() for path in broken}
    for path in broken:
        (mine / path).write_bytes(before[path][:60])
    with pytest.raises(DataError) as caught:
        load(str(mine), SMALL)
    assert caught.value.what == "3 images cannot be read" and "--on-bad-image skip" in caught.value.hints[1]
    data, notes = read(mine, on_bad_image="skip")
    assert (len(data.train), len(data.test)) == (88, 29)
    assert len(notes) == 1 and notes[0].startswith(
        "mine: 3 of 120 images cannot be read and are skipped, such as train/bird/train_1.png ("
    )
    skipped = {file.path: file for file in data.files if file.split == "skipped"}
    assert set(skipped) == set(broken) and all(file.reason for file in skipped.values())
    files = [file.path for file in complete.files]
    for split, start in (("train", 0), ("test", 90)):
        rows = [i for i, _ in enumerate(getattr(complete, split).labels) if files[start + i] not in broken]
        np.testing.assert_array_equal(getattr(data, split).images, getattr(complete, split).images[rows])
        np.testing.assert_array_equal(getattr(data, split).labels, getattr(complete, split).labels[rows])
    assert data.fingerprint != complete.fingerprint
    assert all((mine / path).read_bytes() == before[path][:60] for path in broken)  # nothing was moved or repaired


def test_skips_a_damaged_header_before_the_size_is_known(mine: Path) -> None:
    (mine / "train/cat/train_1.png").write_text("<html>")
    assert error_of(mine, use=describe).code == "CN304"
    description = describe(str(mine), "skip")
    assert (description.train, description.test, description.shape) == (89, 30, (3, 16, 16))
    assert load(str(mine), on_bad_image="skip", say=lambda _: None).shape == (3, 16, 16)


def test_class_without_readable_images_is_an_error(mine: Path) -> None:
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


def test_on_bad_image_must_be_fail_or_skip(mine: Path) -> None:
    with pytest.raises(UsageError, match="must be fail or skip"):
        plan(*run_spec("lenet_d2l", data=str(mine), on_bad_image="repair"))


# --- validation split ------------------------------------------------------------------------------------------------


COUNTS = st.lists(st.integers(1, 60), min_size=1, max_size=12)


@given(COUNTS, st.floats(0, 0.95), st.integers(0, 5), st.none() | st.integers(1, 50))
def test_holds_out_the_fraction_of_each_class_within_one_image(
    counts: Any, validation: float, seed: int, limit: Any
) -> None:
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(counts)), counts))
    train, held_out = batches.split_indices(labels, validation, limit, seed)
    assert (len(train), len(held_out)) == batches.split_sizes(len(labels), validation, limit)
    assert not set(train) & set(held_out) and (np.diff(train) > 0).all() and (np.diff(held_out) > 0).all()
    held_out_counts = np.bincount(labels[held_out], minlength=len(counts))
    assert (np.abs(held_out_counts - validation * np.array(counts)) <= 1 + 1e-9).all()
    again = batches.split_indices(labels, validation, limit, seed)
    assert all(np.array_equal(*pair) for pair in zip((train, held_out), again, strict=True))


def test_trains_on_a_class_of_one_image_if_others_can_give_one() -> None:
    labels = np.array([0] * 9 + [1] * 9 + [2])
    for seed in range(20):
        _, held_out = batches.split_indices(labels, 0.5, None, seed)
        assert 2 not in labels[held_out] and len(held_out) == 10


def test_another_seed_holds_out_other_images() -> None:
    labels = np.repeat(np.arange(10), 50)
    first, second = (batches.split_indices(labels, 0.1, None, seed)[1] for seed in (0, 1))
    assert np.bincount(labels[first]).tolist() == [5] * 10 == np.bincount(labels[second]).tolist()
    assert len(set(first) & set(second)) < 25


def test_own_validation_split_replaces_the_fraction() -> None:
    def split(n: int) -> Split:
        return Split(np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1), np.arange(n) % 3)

    train, own = split(30), split(7)
    for validation, limit, expected in ((0.2, None, (30, own)), (0.2, 12, (12, own)), (0.0, None, (30, None))):
        indices, validation_split = batches.hold_out(train, validation, limit, 4, own)
        assert (len(indices), validation_split) == expected
        assert batches.split_sizes(30, validation, limit, len(own)) == (
            len(indices),
            len(validation_split) if validation_split else 0,
        )


# --- runs ------------------------------------------------------------------------------------------------------------


def table(run: Path) -> list[dict[str, str]]:
    with (run / "split.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def count(run: Path) -> dict[str, int]:
    splits = [row["split"] for row in table(run)]
    return {split: splits.count(split) for split in sorted(set(splits))}


def start_run(data: Path, runs: Path, messages: list[str] | None = None, **options: Any) -> Session:
    settings = {**SETTINGS, "validation": 0.2, "monitor": "validation", **options.pop("settings", {})}
    planned = plan(*run_spec("lenet_d2l", data=str(data), settings=settings, device="cpu", **options))
    return Session.start(planned, (messages if messages is not None else []).append, Output(runs=str(runs)))


def test_command_line_with_three_splits(three: Path, tmp_path: Path, cli: CommandLine) -> None:
    command = ["train", "lenet_d2l", "--data", three, "--recipe", "fast", "--runs", tmp_path / "r", "--device", "cpu"]
    code, out, err = cli(*command, "--set", "epochs=2", "image_size=28", "batch_size=4")
    assert code == 0 and "on 9 images (best.safetensors)" in out
    assert "three: its validation split (6 images) replaces validation=0.05 of the recipe" in err
    assert "12 training, 6 validation and 9 test images" in err
    run = tmp_path / "r" / "lenet_d2l-three-1"
    assert count(run) == {"test": 9, "train": 12, "validation": 6}
    assert [row["path"] for row in table(run) if row["split"] == "validation"] == [
        f"val/{name}/val_{i}.png" for name in CLASSES for i in (4, 5)
    ]
    assert not json.loads((run / "run.json").read_text())["as_published"]
    assert cli("evaluate", run)[0] == 0


def test_command_line_with_a_csv(mine: Path, tmp_path: Path, cli: CommandLine) -> None:
    file = write(mine / "animals.csv", [row[:2] for row in rows_of(mine)], delimiter=";")
    broken = mine / "train" / "dog" / "train_7.jpg"
    broken.write_bytes(b"")
    command = ["train", "lenet_d2l", "--data", file, "--runs", tmp_path / "r", "--device", "cpu"]
    command += ["--set", "epochs=1", "image_size=28", "batch_size=20", "validation=0.25", "monitor=validation"]
    code, _, err = cli(*command)
    assert code == 3 and "(line " in err and not (tmp_path / "r").exists()
    code, out, err = cli(*command[:4], "--on-bad-image", "skip", *command[4:])
    assert code == 0 and "1 of 120 images cannot be read and is skipped" in err
    run = tmp_path / "r" / "lenet_d2l-animals-1"
    rows, layout = table(run), read_layout(file)
    [skipped] = [row for row in rows if row["split"] == "skipped"]
    assert skipped["path"] == "train/dog/train_7.jpg" and skipped["reason"]
    parts = {row["path"]: row["split"] for row in rows}
    for split, _, path in layout.files():
        if path != broken:
            assert parts[layout.relative_path(path)] in {"train": {"train", "validation"}, "test": {"test"}}[split]
    in_training = {name: [row["split"] for row in rows if row["class"] == name] for name in CLASSES}
    for splits in in_training.values():
        held_out, train = splits.count("validation"), splits.count("train")
        assert abs(held_out - 0.25 * (held_out + train)) <= 1
    assert json.loads((run / "run.json").read_text())["on_bad_image"] == "skip"
    code, out, err = cli("evaluate", run, "--json")
    assert code == 0 and json.loads(out)["n"] == count(run)["test"]
    assert cli("train", "--resume", run, "--on-bad-image", "skip")[2].count("takes no --on-bad-image") == 1


def test_split_csv_records_the_use_of_every_image(mine: Path, tmp_path: Path) -> None:
    session = start_run(mine, tmp_path / "r", limit=40, seed=3)
    assert count(session.folder.path) == {"skipped": 32, "test": 30, "train": 40, "validation": 18}
    assert {row["reason"] for row in table(session.folder.path)} == {"", "--limit 40"}
    images = session.splits.train.images
    places = [i for i, row in enumerate(table(session.folder.path)[:90]) if row["split"] == "train"]
    all_rows = torch.arange(len(session.batches.labels))
    np.testing.assert_array_equal(session.batches.images(all_rows).numpy(), images[places])
    places = [i for i, row in enumerate(table(session.folder.path)[:90]) if row["split"] == "validation"]
    np.testing.assert_array_equal(present(session.validation).images, images[places])


def test_reports_a_validation_split_that_the_recipe_does_not_use(three: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    session = start_run(three, tmp_path / "r", messages, settings={"validation": 0.0, "monitor": "test"})
    assert session.validation is None and session.batches.train_count == 12
    assert messages[0].startswith(
        "three: its validation split (6 images) is not used, because the recipe has no validation set"
    )
    assert count(session.folder.path) == {"skipped": 6, "test": 9, "train": 12}


def test_idx_files_have_no_split_csv(blobs: Path, tmp_path: Path) -> None:
    planned = plan(*run_spec("lenet_d2l", data=str(blobs), settings={"epochs": 1}, device="cpu"))
    assert not Session.start(planned, print, Output(runs=str(tmp_path / "r"))).folder.split.exists()


def test_resumed_run_skips_the_same_images(three: Path, tmp_path: Path) -> None:
    (three / "train/cat/train_0.png").write_bytes(b"")
    session = start_run(three, tmp_path / "r", on_bad_image="skip")
    before = session.folder.split.read_bytes()
    session.lock.release()
    resumed = Session.resume(session.folder.path, lambda _: None)
    assert len(resumed.splits.train) == 11 and resumed.splits.fingerprint == session.splits.fingerprint
    for _ in resumed.events():
        pass
    resumed.finish()
    assert Run(session.folder.path).evaluate().n == 9 and session.folder.split.read_bytes() == before
    shutil.copy(three / "train/cat/train_1.png", three / "train/cat/train_0.png")  # the image was repaired
    with pytest.raises(DataError, match="have changed"):
        Run(session.folder.path).evaluate()


def test_each_seed_has_its_own_split(mine: Path, tmp_path: Path) -> None:
    settings = {**SETTINGS, "validation": 0.2, "monitor": "validation"}
    planned = plan(*run_spec("lenet_d2l", data=str(mine), settings=settings, device="cpu"))
    study = start_seeds(planned, (0, 1), Output(runs=str(tmp_path / "r")), lambda _: None, parallel_runs=1)
    first, second = (table(run.path) for run in study.runs().values())
    assert [row["path"] for row in first] == [row["path"] for row in second] and first != second


def test_does_not_change_user_files(three: Path, tmp_path: Path, cli: CommandLine) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        return {str(p): (p.stat().st_mtime_ns, p.read_bytes()) for p in three.rglob("*") if p.is_file()}

    (three / "train/cat/train_0.png").write_bytes(b"")
    before = state()
    session = start_run(three, tmp_path / "r", on_bad_image="skip")
    audit_images(three)
    session.splits.train.images[:].fill(0)
    assert state() == before
