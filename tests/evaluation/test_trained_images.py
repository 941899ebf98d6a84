"""Evaluations recognize the images that a model was trained on, wherever they lie and however they are stored."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import classicnets as cn
from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import ImageSplits, Split
from classicnets.evaluation import selection
from classicnets.images import decode, loading
from classicnets.images.trained import TrainedImages, digests_of, read_record, record
from support.command_line import CommandLine
from support.idx import make_idx_folder, write_idx
from support.images import CLASSES, make_image_folder, save
from support.onnx_files import colors_onnx


def left_out(counts: dict[str, int]) -> int:
    """The number of images that do not count because they were trained on."""
    return counts.get("trained_on", 0)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders without splits, PNG and JPEG."""
    return make_image_folder(tmp_path_factory.mktemp("data") / "photos", per_class=12, size=28)


@pytest.fixture(scope="module")
def run(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    """A run with a validation set; all its images that are not in the test split are training images here."""
    runs = tmp_path_factory.mktemp("runs")
    settings = {"image_size": 28, "epochs": 1, "batch_size": 8, "monitor": "validation", "validation": 0.2}
    return cn.train("lenet_d2l", data=str(photos), recipe="fast", quiet=True, runs=str(runs), **settings)


def rows(run: cn.Run) -> dict[str, list[Path]]:
    """Split (training and validation as one) -> the image files of the run."""
    files: dict[str, list[Path]] = {"trained": [], "test": []}
    with run.folder.split.open(newline="") as file:
        for row in csv.DictReader(file):
            files["test" if row["split"] == "test" else "trained"].append(Path(run.facts["data"]) / row["path"])
    return files


def fresh(folder: Path, suffix: str = "png") -> Path:
    """Class folders with two images each that no run has seen."""
    for number, name in enumerate(CLASSES):
        for i in range(2):
            noise = np.random.default_rng([9, number, i]).integers(0, 256, (28, 28, 3), dtype=np.uint8)
            save(folder / name / f"fresh {i}.{suffix}", noise)
    return folder


# --- the same image in another form ----------------------------------------------------------------------------------


def copied(files: list[Path], folder: Path) -> None:
    for path in files:
        shutil.copy(path, folder / path.parent.name / path.name)


def renamed(files: list[Path], folder: Path) -> None:
    for i, path in enumerate(files):
        (folder / path.parent.name / "deeper").mkdir(exist_ok=True)
        shutil.copy(path, folder / path.parent.name / f"deeper/x{i}{path.suffix}")


def as_format(suffix: str, **options: object) -> Callable[[list[Path], Path], None]:
    """Writes the decoded images in a lossless format."""

    def write(files: list[Path], folder: Path) -> None:
        for path in files:
            with Image.open(path) as image:
                save(folder / path.parent.name / f"{path.name}.{suffix}", np.asarray(image), **options)

    return write


@pytest.mark.parametrize(
    "write",
    [
        copied,
        renamed,
        as_format("png", compress_level=1),
        as_format("bmp"),
        as_format("tif", compression="tiff_lzw"),
        as_format("webp", lossless=True),
        as_format("ppm"),
    ],
    ids=["copied", "renamed", "png", "bmp", "tif", "webp", "ppm"],
)
def test_training_images_do_not_count(
    write: Callable[[list[Path], Path], None], run: cn.Run, tmp_path: Path, cli: CommandLine
) -> None:
    folder, files = fresh(tmp_path / "else where"), rows(run)["trained"]
    write(files, folder)
    code, out, err = cli("evaluate", run.path, folder, "--json")
    result = json.loads(out)
    assert code == 0 and (result["n"], result["trained_on"], left_out(result["left_out"])) == (
        6,
        len(files),
        len(files),
    )
    assert f"{len(files)} of the {len(files) + 6} images were used to train lenet_d2l and are left out" in err
    assert sum(result["support"]) == 6
    code, out, err = cli("evaluate", run.path, folder, "--json", "--include-trained")
    result = json.loads(out)
    assert code == 0 and (result["n"], result["trained_on"], left_out(result["left_out"])) == (
        6 + len(files),
        len(files),
        0,
    )
    assert "count nevertheless" in err


def test_training_images_in_a_csv_do_not_count(run: cn.Run, tmp_path: Path) -> None:
    files = rows(run)
    lines = [f"{path},{path.parent.name}" for path in files["trained"] + files["test"][:3]]
    (tmp_path / "list.csv").write_text("\n".join(["path,label", *lines]))
    result = run.evaluate(tmp_path / "list.csv", say=lambda _: None)
    assert (result.n, result.trained_on, left_out(result.left_out)) == (
        3,
        len(files["trained"]),
        len(files["trained"]),
    )


def test_new_images_all_count(run: cn.Run, tmp_path: Path, cli: CommandLine) -> None:
    code, out, err = cli("evaluate", run.path, fresh(tmp_path / "new"), "--json")
    assert code == 0 and "lenet_d2l was trained on none of these images" in err
    assert (json.loads(out)["n"], json.loads(out)["trained_on"], left_out(json.loads(out)["left_out"])) == (
        6,
        0,
        0,
    )


def test_lossy_files_are_recognized_by_their_content_if_another_decoder_reads_them(
    run: cn.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, files = fresh(tmp_path / "elsewhere"), rows(run)["trained"]
    renamed(files, folder)
    fit = decode.fit_bytes

    def other_decoder(*arguments: Any) -> tuple[np.ndarray, bool]:
        pixels, square = fit(*arguments)
        return pixels ^ 1, square

    monkeypatch.setattr(selection, "fit_bytes", other_decoder)
    result = run.evaluate(folder, say=lambda _: None)
    assert left_out(result.left_out) == sum(path.suffix == ".jpg" for path in files) > 0


def test_images_of_idx_files_are_recognized_as_image_files_and_only_those_that_were_used(
    blobs: Path, tmp_path: Path
) -> None:
    """With --limit, the other training images count."""
    run = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    splits = loading.load(str(blobs), say=lambda _: None)
    for i, (image, label) in enumerate(zip(splits.train.images[:], splits.train.labels, strict=True)):
        save(tmp_path / f"png/{label}/{i}.png", image[0])
    result = run.evaluate(tmp_path / "png", say=lambda _: None)
    assert (result.n, result.trained_on, left_out(result.left_out)) == (400 - 64, 64, 64)
    moved = shutil.copytree(blobs, tmp_path / "other")
    assert run.evaluate(moved, say=lambda _: None).confusion == run.evaluate().confusion
    test = np.concatenate([splits.train.images, splits.test.images[:5]])[:, 0]  # a test split with training images
    labels = np.concatenate([splits.train.labels, splits.test.labels[:5]])
    write_idx(moved / "t10k-images-idx3-ubyte.gz", test)
    write_idx(moved / "t10k-labels-idx1-ubyte.gz", labels.astype(np.uint8))
    result = run.evaluate(moved, say=lambda _: None)
    assert (result.n, result.trained_on, left_out(result.left_out)) == (
        405,
        64,
        0,
    )  # they are in its training split, too
    foreign = make_idx_folder(tmp_path / "foreign", train=20, test=10, seed=5)
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        shutil.copy(moved / name, foreign / name)
    result = run.evaluate(foreign, say=lambda _: None)
    assert (result.n, result.trained_on, left_out(result.left_out)) == (405 - 64, 64, 64)


# --- the data of the run, and test splits ----------------------------------------------------------------------------


def test_a_copy_of_the_data_gives_the_figure_of_the_run(run: cn.Run, photos: Path, tmp_path: Path) -> None:
    """The reproducer: without it, a copy is evaluated on its training images."""
    messages: list[str] = []
    copy = run.evaluate(shutil.copytree(photos, tmp_path / "copy"), say=messages.append)
    assert any("so only the test split is used" in message for message in messages)
    assert copy.confusion == run.evaluate().confusion and copy.n == len(rows(run)["test"])
    assert run.facts["data"] == str(photos.resolve())  # it has not moved
    next((tmp_path / "copy").rglob("*.png")).unlink()
    assert run.evaluate(tmp_path / "copy", say=messages.append).n in {copy.n, copy.n - 1}
    assert "are left out" in messages[-1]


def test_an_error_if_the_model_was_trained_on_all_images(run: cn.Run, tmp_path: Path, cli: CommandLine) -> None:
    folder = tmp_path / "its own"
    for name in CLASSES:
        (folder / name).mkdir(parents=True)
    copied(rows(run)["trained"], folder)
    code, out, err = cli("evaluate", run.path, folder)
    assert (code, out) == (3, "") and "error[CN309]" in err and "was trained on all" in err
    assert f"classicnets evaluate {run.path}   # evaluates the test split" in err
    assert f"evaluate {run.path} '{folder}' --include-trained" in err
    assert cli("evaluate", run.path, folder, "--include-trained")[0] == 0


@pytest.fixture(scope="module")
def with_copies(tmp_path_factory: pytest.TempPathFactory) -> cn.Run:
    """A run on a folder with train/ and test/; one of the test images is a training image, as another format."""
    root = tmp_path_factory.mktemp("copies")
    data = make_image_folder(root / "data", per_class=4, test_per_class=3, size=28)
    as_format("bmp")([data / "train/cat/train_0.png"], data / "test")
    settings = {"image_size": 28, "epochs": 1, "batch_size": 8}
    return cn.train("lenet_d2l", data=str(data), recipe="fast", quiet=True, runs=str(root), **settings)


def moved_test_image(folder: Path) -> None:
    (folder / "test/cat/train_0.png.bmp").rename(folder / "test/cat/other name.bmp")


def test_a_test_split_keeps_images_that_its_own_training_split_has_too(
    with_copies: cn.Run, tmp_path: Path, cli: CommandLine
) -> None:
    run, metrics = with_copies, json.loads(with_copies.folder.metrics.read_text())
    assert (metrics["n"], metrics["trained_on"], left_out(metrics["left_out"])) == (10, 1, 0)
    code, out, err = cli("evaluate", run.path, "--json")
    assert code == 0 and "1 of the 10 test images was also used to train lenet_d2l; it counts" in err
    assert (json.loads(out)["n"], json.loads(out)["trained_on"], left_out(json.loads(out)["left_out"])) == (
        10,
        1,
        0,
    )
    for change in (lambda _: None, moved_test_image):
        folder = shutil.copytree(run.facts["data"], tmp_path / change.__name__)
        change(folder)
        result = run.evaluate(folder, say=lambda _: None)
        assert (result.n, result.trained_on, left_out(result.left_out)) == (10, 1, 0)


def test_a_test_split_of_other_data_loses_training_images(
    with_copies: cn.Run, tmp_path: Path, cli: CommandLine
) -> None:
    """The same images, split anew: those that are in test/ now, but were trained on, do not count."""
    data = Path(with_copies.facts["data"])
    folder = tmp_path / "again"
    shutil.copytree(data / "test", folder / "train")
    shutil.copytree(data / "train", folder / "test")
    shutil.copy(data / "test/dog/test_0.png", folder / "test/dog/new.png")
    code, out, err = cli("evaluate", with_copies.path, folder, "--json")
    result = json.loads(out)
    # of the twelve training images, one is in train/ too
    assert code == 0 and (result["n"], result["trained_on"], left_out(result["left_out"])) == (2, 12, 11), err
    assert "those that the training split of this data has too count" in err


# --- files and older models ------------------------------------------------------------------------------------------


def test_an_exported_file_recognizes_them_too(run: cn.Run, tmp_path: Path, cli: CommandLine) -> None:
    folder, files = fresh(tmp_path / "data"), rows(run)["trained"]
    as_format("bmp")(files, folder)
    facts: dict[str, Any] = {"classes": run.classes, "preprocess": run.predictor.preprocess, "fingerprint": "another"}
    path = colors_onnx(tmp_path / "a.onnx", trained_images=run.folder.read_trained_images(), **facts)
    result = json.loads(cli("evaluate", path, folder, "--json")[1])
    assert (result["n"], result["trained_on"], left_out(result["left_out"])) == (6, len(files), len(files))
    for damaged in ({}, {"count": 5, "digests": "AAAA"}, {"count": -1, "digests": ""}, {"split_of": "none"}):
        path = colors_onnx(tmp_path / "b.onnx", trained_images={"images": 1} | damaged, **facts)
        code, _, err = cli("evaluate", path, folder)
        assert code == 3 and "error[CN308]" in err


def test_an_older_model_says_that_it_does_not_know_its_training_images(
    run: cn.Run, photos: Path, tmp_path: Path, cli: CommandLine
) -> None:
    old = shutil.copytree(run.path, tmp_path / "old")
    (old / "trained_images.json").unlink()
    code, out, err = cli("evaluate", old, shutil.copytree(photos, tmp_path / "copy"), "--json")
    assert code == 0 and json.loads(out)["n"] == 36 and json.loads(out)["trained_on"] is None
    assert err.count("its training images are not recorded, so copies of them cannot be recognized") == 1
    code, out, err = cli("evaluate", old, photos, "--json")
    assert code == 0 and json.loads(out)["n"] == len(rows(run)["test"]) and "only the test split is used" in err


@pytest.mark.parametrize("kind", ["no JSON", "changed", "without a checksum"])
def test_a_changed_record_is_named_and_not_used(run: cn.Run, tmp_path: Path, cli: CommandLine, kind: str) -> None:
    folder, files = fresh(tmp_path / "data"), rows(run)["trained"]
    as_format("bmp")(files, folder)
    copy = shutil.copytree(run.path, tmp_path / "copy")
    record_file = copy / "trained_images.json"
    values = json.loads(record_file.read_text())
    assert values.pop("checksum") and values == run.folder.read_trained_images()
    changed = {"no JSON": "{", "changed": json.dumps({**values, "images": 7, "checksum": "0" * 64})}
    record_file.write_text(changed.get(kind, json.dumps(values)))
    code, out, err = cli("evaluate", copy, folder, "--json")
    assert code == 0, err
    if kind == "without a checksum":
        assert "note: trained_images.json has no checksum" in err and json.loads(out)["trained_on"] == len(files)
    else:
        assert f"note: {record_file} was changed" in err and "are not recognized" in err
        assert json.loads(out)["trained_on"] is None


# --- records ---------------------------------------------------------------------------------------------------------


def published(n: int = 30) -> ImageSplits:
    """A few images that pass for Fashion-MNIST."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (n + 10, 1, 28, 28), dtype=np.uint8)
    images[-1] = images[0]
    labels = np.arange(n + 10) % 10
    train, test = Split(images[:n], labels[:n]), Split(images[n:], labels[n:])
    known = DATASETS["fashion_mnist"]
    return ImageSplits(known.name, known.classes, train, test, known.fingerprint, "here")


def test_the_training_split_of_a_published_set_is_recorded_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    splits, messages = published(), list[str]()
    facts = record(splits, np.arange(30), None)
    assert facts == {"images": 0, "in_test": 1, "split_of": "fashion_mnist"}
    assert read_record(facts, "lenet", messages.append) is None  # the cache of the tests is empty
    assert "which is not on this machine" in messages[0] and "classicnets data get fashion_mnist" in messages[0]
    monkeypatch.setattr(sources, "is_local", lambda _: True)
    monkeypatch.setattr(loading, "load", lambda *_, **__: splits)
    trained = read_record(facts, "lenet", messages.append)
    assert trained is not None and trained.contain(digests_of(splits.train.images[:])).all() and len(messages) == 1
    assert trained.contain(digests_of(splits.test.images[:])).sum() == 1
    part = record(splits, np.arange(20), None)  # with --limit
    assert part["count"] == 20 and "split_of" not in part
    assert "split_of" not in record(replace(splits, fingerprint="own files"), np.arange(30), None)


@given(st.lists(st.integers(0, 2**64 - 1), max_size=70))
def test_records_hold_every_digest(values: list[int]) -> None:
    digests = np.array(values, np.uint64)
    trained = TrainedImages.from_digests(digests)
    again = TrainedImages.from_text(trained.to_text(), len(trained.prefixes))
    assert np.array_equal(again.prefixes, trained.prefixes) and again.bits == trained.bits
    assert again.contain(digests).all()


def test_records_are_small_and_take_no_other_image_for_theirs() -> None:
    generator = np.random.default_rng(0)
    trained = TrainedImages.from_digests(generator.integers(0, 2**64, 5000, dtype=np.uint64))
    assert len(trained.to_text()) <= 4.5 * 5000
    others = generator.integers(0, 2**64, 1_000_000, dtype=np.uint64)
    assert trained.contain(others).sum() == 0  # expected: 0.02


@pytest.mark.parametrize(("change", "count"), [(lambda text: text[:-8], 50), (lambda text: text, 49), (str.lower, 50)])
def test_rejects_damaged_records(change: Callable[[str], str], count: int) -> None:
    text = TrainedImages.from_digests(np.random.default_rng(0).integers(0, 2**64, 50, dtype=np.uint64)).to_text()
    with pytest.raises(ValueError):
        TrainedImages.from_text(change(text), count)
