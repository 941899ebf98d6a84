"""Data sets by name or folder: describing, loading and checking them, and the error messages."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from classicnets.datasets import idx as idx_folders
from classicnets.datasets.catalog import DATASETS, IDX_NAMES, Dataset
from classicnets.datasets.types import Description
from classicnets.errors import DataError, UsageError
from classicnets.images.loading import check, describe, load
from classicnets.recipes import resolve
from support.idx import NAMES, dataset_of, make_idx_folder, make_images, write_idx
from support.typed import present


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_idx_folder(tmp_path / "mine", train=20, test=10, classes=3, size=8)


@pytest.fixture
def toy(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dataset:
    """`folder` as a published set, on a machine without network and without its files."""
    dataset = dataset_of(folder)
    monkeypatch.setitem(DATASETS, "toy", dataset)
    monkeypatch.setenv("CLASSICNETS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CLASSICNETS_OFFLINE", "1")
    return dataset


def copy_to_cache(folder: Path) -> Path:
    return shutil.copytree(folder, folder.parent / "cache" / "data" / "toy")


# --- facts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS)
def test_facts_are_consistent(name: str) -> None:
    dataset = DATASETS[name]
    pixels = int(np.prod(dataset.shape))
    assert dataset.name == name
    digests = {file.sha256 for file in dataset.files}
    assert len(digests) == len(dataset.files)
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert all(file.digest_of in ("content", "file") and file.size > 0 for file in dataset.files)
    content = sum(file.size for file in dataset.files if file.digest_of == "content")
    if dataset.label_bytes:
        assert content == (dataset.train + dataset.test) * (dataset.label_bytes + pixels)
        assert present(dataset.archive).file.size == dataset.download_bytes < content
        assert [file.role for file in dataset.files][-1] == "test"
    else:
        assert dataset.file_names == NAMES
        packed = sum(file.size for file in dataset.files if file.digest_of == "file")
        assert content in (0, (dataset.train + dataset.test) * (pixels + 1) + 2 * 16 + 2 * 8)
        assert packed in (0, dataset.download_bytes)
    assert all(mirror.endswith("/") for mirror in dataset.mirrors + dataset.mirrors_in_china)
    assert all(mirror.startswith("https://") for mirror in dataset.mirrors_in_china)
    assert dataset.mirrors[0].startswith("https://")
    assert len(set(dataset.classes)) == len(dataset.classes)
    assert len(dataset.fingerprint) == 16
    assert IDX_NAMES == NAMES


def test_facts_of_fashion_mnist() -> None:
    dataset = DATASETS["fashion_mnist"]
    assert (dataset.shape, dataset.train, dataset.test, dataset.license) == ((1, 28, 28), 60_000, 10_000, "MIT")
    assert dataset.classes[0] == "t-shirt"
    assert dataset.classes[9] == "ankle boot"
    assert dataset.fingerprint == "bd7794149301a1b0"  # old runs refer to it
    assert dataset.package is not None and dataset.package.digest_of == "file"
    assert dataset.package.name.startswith(f"{dataset.debian_package}_") and dataset.package.name.endswith("_all.deb")


def test_fingerprint_of_mnist_is_that_of_its_folder() -> None:
    assert DATASETS["mnist"].fingerprint == "0fa6d6565a8c3c62"


def test_recipes_have_the_sizes_of_the_catalog() -> None:
    for name in resolve.PUBLISHED_SIZES.keys() & DATASETS.keys():
        dataset = DATASETS[name]
        assert resolve.PUBLISHED_SIZES[name] == (len(dataset.classes), dataset.train, dataset.test)


def test_catalog_and_sources_need_neither_numpy_nor_torch() -> None:
    program = (
        "import sys, classicnets.datasets.sources as s; from classicnets.datasets.catalog import DATASETS; "
        "s.describe_source(DATASETS['mnist']); "
        "sys.exit(any(m in sys.modules for m in ('numpy', 'torch', 'urllib.request')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- describe --------------------------------------------------------------------------------------------------------


def test_describes_a_name_without_reading_files(toy: Dataset) -> None:
    assert describe("toy") == Description("toy", ("class 0", "class 1", "class 2"), (1, 8, 8), train=20, test=10)


def test_describes_a_folder_from_headers_and_labels(folder: Path) -> None:
    assert describe(str(folder)) == Description("mine", ("0", "1", "2"), (1, 8, 8), train=20, test=10)
    images = folder / "train-images-idx3-ubyte.gz"
    write_idx(images, np.zeros((20, 8, 8), np.uint8), gz=False)
    images.write_bytes(images.read_bytes()[:16])  # nothing left but the header
    assert describe(str(folder)).shape == (1, 8, 8)


def test_description_matches_the_loaded_data(toy: Dataset, folder: Path) -> None:
    for spec in (str(folder), "toy"):
        if spec == "toy":
            copy_to_cache(folder)
        description, splits = describe(spec), load(spec)
        assert (description.name, description.classes, description.shape) == (splits.name, splits.classes, splits.shape)


# --- load ------------------------------------------------------------------------------------------------------------


def test_loads_a_folder(folder: Path) -> None:
    messages: list[str] = []
    splits = load(str(folder), say=messages.append)
    images, labels = make_images(20, classes=3, size=8)
    np.testing.assert_array_equal(splits.train.images, images[:, None])
    np.testing.assert_array_equal(splits.train.labels, labels)
    assert (splits.train.images[:].dtype, splits.train.labels.dtype) == (np.dtype("u1"), np.dtype("i8"))
    assert (splits.name, splits.classes, splits.shape) == ("mine", ("0", "1", "2"), (1, 8, 8))
    assert (len(splits.train), len(splits.test)) == (20, 10)
    assert splits.source == f"folder {folder}"
    assert messages == []


def test_fingerprint_does_not_depend_on_compression(folder: Path, tmp_path: Path) -> None:
    plain = make_idx_folder(tmp_path / "plain", train=20, test=10, classes=3, size=8, gz=False)
    other = make_idx_folder(tmp_path / "other", train=20, test=10, classes=3, size=8, seed=1)
    assert load(str(folder)).fingerprint == load(str(plain)).fingerprint != load(str(other)).fingerprint


def test_loads_a_name_from_the_cache(toy: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = copy_to_cache(folder)
    splits = load("toy")
    assert (splits.name, splits.classes[0], splits.fingerprint) == ("toy", "class 0", toy.fingerprint)
    assert splits.source == f"cache {cache}"
    assert capsys.readouterr() == ("", "")


def test_recognizes_a_folder_with_the_files_of_a_published_set(
    toy: Dataset, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    splits = load(str(folder))
    assert (splits.name, splits.classes[0], splits.fingerprint) == ("toy", "class 0", toy.fingerprint)
    assert splits.source == f"folder {folder}"
    assert capsys.readouterr() == ("", f"{folder} contains the files of Toy, so the data set is called toy\n")


def test_recognizes_mnist_in_a_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mnist = dataset_of(folder, name="mnist", title="MNIST")
    monkeypatch.setitem(DATASETS, "mnist", mnist)
    messages: list[str] = []
    splits = load(str(folder), say=messages.append)
    assert (splits.name, splits.classes, splits.fingerprint) == ("mnist", mnist.classes, mnist.fingerprint)
    assert messages == [f"{folder} contains the files of MNIST, so the data set is called mnist"]


def test_loads_images_with_channels(folder: Path) -> None:
    for name, n in (("train-images-idx3-ubyte.gz", 20), ("t10k-images-idx3-ubyte.gz", 10)):
        write_idx(folder / name, np.ones((n, 3, 8, 6), np.uint8))
    assert load(str(folder)).shape == describe(str(folder)).shape == (3, 8, 6)


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        (
            "train-labels-idx1-ubyte.gz",
            np.zeros(19, np.uint8),
            "numbers of images and labels differ: 19 labels, 20 images",
        ),
        (
            "train-labels-idx1-ubyte.gz",
            np.zeros((20, 1), np.uint8),
            "labels have 1 dimension, but the header declares 2",
        ),
        (
            "t10k-images-idx3-ubyte.gz",
            np.zeros((10, 8, 9), np.uint8),
            "are 1x8x9, but those of the training split are 1x8x8",
        ),
        (
            "train-images-idx3-ubyte.gz",
            np.zeros((20, 64), np.uint8),
            "have 3 or 4 dimensions, but the header declares 2",
        ),
    ],
)
def test_inconsistent_files_are_an_error_and_wrong_in_the_check(
    folder: Path, name: str, array: np.ndarray, why: str
) -> None:
    write_idx(folder / name, array)
    with pytest.raises(DataError) as caught:
        load(str(folder))
    assert caught.value.code == "CN301"
    assert why in caught.value.why
    assert caught.value.where == str(folder / name)
    assert next(why in report.detail for report in check(str(folder)) if report.status == "wrong")


def test_rejects_labels_out_of_range() -> None:
    assert idx_folders._label_fault(np.array([0, 9], np.uint8), 2, classes=10) == ""
    fault = idx_folders._label_fault(np.array([0, 10], np.uint8), 2, classes=10)
    assert fault == "the largest label is 10, but there are 10 classes (0 to 9)"


# --- missing data sets -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [describe, load, check])
def test_suggests_the_nearest_name(use: Callable[..., Any]) -> None:
    with pytest.raises(UsageError) as caught:
        use("fashon-mnist")
    assert str(caught.value).splitlines() == [
        "error[CN202]: there is no data set 'fashon-mnist'; did you mean fashion_mnist?",
        "  where: the name of a data set",
        f"  why:   the data sets are {', '.join(DATASETS)};"
        " you can also give the path of a folder of images or of IDX files",
        "  hint:  classicnets data check fashion_mnist",
    ]
    for spec in ("qqq", ""):
        with pytest.raises(UsageError, match=r"hint:  classicnets list"):
            use(spec)


@pytest.mark.parametrize("spec", ["./none", "/none/there", "~/none", "~nobody-here/x", "a\\b", "/" + "x" * 300])
def test_explains_a_missing_path(spec: str) -> None:
    with pytest.raises(DataError) as caught:
        describe(spec)
    assert caught.value.code == "CN302"
    assert caught.value.what == f"there is no data set at {spec}"
    assert caught.value.why


def test_explains_a_file_instead_of_a_folder(folder: Path) -> None:
    with pytest.raises(
        DataError, match="it is a file, but a folder of images, a folder of IDX files or a CSV is needed"
    ):
        load(str(folder / "train-images-idx3-ubyte.gz"))


def test_names_files_that_a_folder_lacks(folder: Path) -> None:
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError) as caught:
        load(str(folder))
    assert str(caught.value).splitlines() == [
        "error[CN302]: the folder lacks 1 of the four IDX files of a data set",
        f"  where: {folder}",
        "  why:   missing are: t10k-labels-idx1-ubyte (each with or without .gz)",
        f"  hint:  classicnets data check {folder}",
    ]


# --- check -----------------------------------------------------------------------------------------------------------


def test_check_of_a_valid_cache(toy: Dataset, folder: Path) -> None:
    cache = copy_to_cache(folder)
    reports = check("toy")
    assert [report.status for report in reports] == ["ok"] * 4
    assert reports[0].file == "train-images-idx3-ubyte.gz"
    assert reports[0].detail.startswith(f"{cache}/train-images-idx3-ubyte.gz: 1,296 bytes, 20 images of 1x8x8, values")
    assert reports[1].detail.endswith("28 bytes, 20 labels 0..2, sha256 ok")


def test_check_shows_the_system_folder_if_it_would_be_used(toy: Dataset, folder: Path) -> None:
    system = shutil.copytree(folder, toy.system_folder)
    assert all(report.status == "ok" and system in report.detail for report in check("toy"))


def test_check_downloads_nothing(toy: Dataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLASSICNETS_OFFLINE")
    assert [(report.status, report.file) for report in check("toy")] == [("missing", name) for name in NAMES.values()]
    assert not (folder.parent / "cache").exists()


def test_check_reports_wrong_and_missing_files(
    toy: Dataset, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = copy_to_cache(folder)
    mnist = make_idx_folder(tmp_path / "mnist", train=20, test=10, classes=4, size=8)
    monkeypatch.setitem(DATASETS, "mnist", dataset_of(mnist, name="mnist", title="MNIST"))
    shutil.copy(mnist / "t10k-images-idx3-ubyte.gz", cache)
    (cache / "train-labels-idx1-ubyte.gz").write_bytes(b"<html>")
    (cache / "t10k-labels-idx1-ubyte.gz").unlink()
    images, labels, test_images, test_labels = check("toy")
    assert (images.status, labels.status, test_images.status, test_labels.status) == ("ok", "wrong", "wrong", "missing")
    assert test_images.detail.endswith("this is the file t10k-images of MNIST")
    assert test_labels.detail == f"not in {cache}"


def test_check_of_a_folder(toy: Dataset, folder: Path, tmp_path: Path) -> None:
    other = make_idx_folder(tmp_path / "other", train=20, test=10, classes=3, size=8, seed=1)
    shutil.copy(folder / "t10k-images-idx3-ubyte.gz", other)
    path = other / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:100])
    images, _, test_images, _ = check(str(other))
    assert images.status == "wrong"
    assert "it is truncated: it declares 20x8x8 = 1,280 bytes, but has " in images.detail
    assert test_images.detail.endswith(", the file t10k-images of Toy")


# --- real data -------------------------------------------------------------------------------------------------------


@pytest.mark.real_data
def test_the_real_fashion_mnist() -> None:
    splits = load("fashion_mnist")
    assert splits.train.images.shape == (60_000, 1, 28, 28)
    assert splits.test.images.shape == (10_000, 1, 28, 28)
    assert np.bincount(splits.train.labels).tolist() == [6_000] * 10
    assert splits.train.images[:].mean() / 255 == pytest.approx(0.2860, abs=1e-4)
    assert splits.train.images[:].std() / 255 == pytest.approx(0.3530, abs=1e-4)
    assert all(report.status == "ok" for report in check("fashion_mnist"))
