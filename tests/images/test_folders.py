"""Folders of images: what counts as a class and a split, what arrives in memory, what a user reads when it cannot."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from classicnets import machine
from classicnets.audit.examine import examine
from classicnets.datasets.types import ImageSplits
from classicnets.errors import DataError, UsageError
from classicnets.images.decode import fitted, read_image
from classicnets.images.layout import read_layout
from classicnets.images.loading import describe, load
from classicnets.images.names import natural
from classicnets.values import Preprocess
from support.idx import make_idx_folder
from support.images import CLASSES, make_image_folder, save

GRAY, COLOR = Preprocess(channels=1, image_size=16), Preprocess(channels=3, image_size=16)


def read(folder: Path, preprocess: Preprocess | None = None) -> tuple[ImageSplits, list[str]]:
    """What is loaded, and the lines that are said."""
    said: list[str] = []
    return load(str(folder), preprocess, say=said.append), said


def error_of(folder: Path, use: Callable[..., Any] = load) -> DataError:
    with pytest.raises(DataError) as caught:
        use(str(folder))
    return caught.value


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_train_and_test_folders(folder: Path) -> None:
    data, said = read(folder)
    assert describe(str(folder)).shape == data.shape == (3, 16, 16)
    assert (data.name, data.classes) == ("animals", CLASSES) == (describe(str(folder)).name, data.classes)
    assert (len(data.train), len(data.test)) == (90, 30)
    assert (data.train.images.dtype, data.train.labels.dtype) == (np.uint8, np.int64)
    assert np.bincount(data.train.labels).tolist() == [30] * 3 and np.bincount(data.test.labels).tolist() == [10] * 3
    assert data.source == f"folder {folder}" and said == []


def test_every_image_is_where_its_label_says(folder: Path) -> None:
    data, _ = read(folder)
    for split, images in (("train", data.train), ("test", data.test)):
        for label, name in enumerate(CLASSES):
            paths = sorted((folder / split / name).iterdir(), key=lambda path: natural(path.name))
            expected = np.stack([read_image(path, 3) for path in paths])
            np.testing.assert_array_equal(images.images[images.labels == label], expected)


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("test", ["test", "testing", "val", "valid", "Validation"])
def test_the_names_of_splits(tmp_path: Path, train: str, test: str) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, test_per_class=1)
    (folder / "train").rename(folder / "aside")
    (folder / "aside").rename(folder / train)
    (folder / "test").rename(folder / "aside")
    (folder / "aside").rename(folder / test)
    data, said = read(folder)
    assert (len(data.train), len(data.test), said) == (6, 3, [])


def test_of_two_folders_of_one_split_the_first_is_used_and_that_is_said(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    shutil.copytree(mine / "test", mine / "testing")
    shutil.rmtree(mine / "testing" / "dog")
    data, said = read(mine)
    assert len(data.test) == 30 and said == ["mine: testing is not used: test is there"]


def with_validation(folder: Path, to: Path, per_class: int = 5) -> Path:
    """A copy of a folder with train/ and test/ that has val/ as well, of other images of the same classes."""
    shutil.copytree(folder, to)
    for name in CLASSES:
        for i in range(per_class):
            (to / "val" / name).mkdir(parents=True, exist_ok=True)
            shutil.move(to / "train" / name / f"train_{i}.{'jpg' if i % 4 == 3 else 'png'}", to / "val" / name)
    return to


def test_val_beside_test_is_the_validation_split(tmp_path: Path, folder: Path) -> None:
    mine = with_validation(folder, tmp_path / "mine")
    data, said = read(mine)
    told = describe(str(mine))
    assert (told.train, told.validation, told.test) == (75, 15, 30) == (len(data.train), len(data.validation), 30)
    assert said == [] and len(data.test) == 30
    for label, name in enumerate(CLASSES):
        paths = sorted((mine / "val" / name).iterdir(), key=lambda path: natural(path.name))
        expected = np.stack([read_image(path, 3) for path in paths])
        np.testing.assert_array_equal(data.validation.images[data.validation.labels == label], expected)
    assert [(file.split, file.label, file.path) for file in data.files[75:80]] == [
        ("validation", "bird", f"val/bird/train_{i}.{'jpg' if i == 3 else 'png'}") for i in range(5)
    ]
    assert [file.split for file in data.files] == ["train"] * 75 + ["validation"] * 15 + ["test"] * 30
    assert read(folder)[0].validation is None and read(folder)[0].fingerprint != data.fingerprint


def test_classes_of_the_validation_split_are_known_by_name(tmp_path: Path, folder: Path) -> None:
    mine = with_validation(folder, tmp_path / "mine")
    shutil.rmtree(mine / "val" / "bird")
    data, said = read(mine)
    assert set(data.validation.labels) == {1, 2} and said == ["mine: val has no image of bird"]
    (mine / "val" / "dog").rename(mine / "val" / "Dog")
    assert error_of(mine).why == "val/Dog: the train split has no such class; the nearest is dog"
    shutil.rmtree(mine / "val")
    (mine / "val").mkdir()
    assert error_of(mine).why == "val: no class folders, so nothing tells what its images show"


@pytest.mark.parametrize("inside", ["", "train"])
def test_without_a_test_folder_a_fifth_of_each_class_is_taken(tmp_path: Path, inside: str) -> None:
    make_image_folder(tmp_path / "pets" / inside, per_class=50, side=4)
    data, said = read(tmp_path / "pets")
    assert len(data.train) + len(data.test) == 150
    assert all(4 <= count <= 17 for count in np.bincount(data.test.labels, minlength=3))  # 3 sigma of 50 draws of 1/5
    assert said == [
        "pets: no test split, so about a fifth of each class, chosen by file names, is the test split"
        f" ({len(data.test)} of 150 images)"
    ]
    assert read(tmp_path / "pets")[0].fingerprint == data.fingerprint


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "traffic", ("car", "train", "test"), per_class=3)
    assert describe(str(folder)).classes == ("car", "test", "train")


def touched(root: Path, names: dict[str, set[str]]) -> Path:
    for name, files in names.items():
        (root / name).mkdir(parents=True)
        for file in files:
            (root / name / file).touch()
    return root


FILES = st.sets(st.integers(0, 9999).map(lambda i: f"{i}.png"), min_size=2, max_size=60)


@given(FILES, FILES)
def test_the_split_is_stable_when_files_are_added(
    tmp_path_factory: pytest.TempPathFactory, before: Any, added: Any
) -> None:
    """An image changes sides only in a class so small that one of its parts would have been empty."""
    root = tmp_path_factory.mktemp("split")
    names = {"a": before, "b": {"0.png", "1.png"}}
    first = read_layout(touched(root / "first", names))
    second = read_layout(touched(root / "second", {**names, "a": before | added}))
    parts = [{path.name: "test" for path in found.test["a"]} for found in (first, second)]
    moved = [name for name in before if parts[0].get(name) != parts[1].get(name)]
    assert len(moved) <= 1
    if moved and parts[0].get(moved[0]):
        assert len(parts[0]) == 1  # the one image that was drafted into the test split went back
    elif moved:
        assert len(first.train["a"]) == 1
    for found in (first, second):
        for name in ("a", "b"):
            assert found.train[name] and found.test[name]
            assert not {p.name for p in found.train[name]} & {p.name for p in found.test[name]}


# --- names -----------------------------------------------------------------------------------------------------------


def test_classes_are_in_natural_order_and_numbers_are_said(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "n", ("10", "2", "1"), per_class=3, side=4)
    data, said = read(folder)
    assert data.classes == ("1", "2", "10")
    assert said[-1] == "n: the names of the classes are numbers: output 0 is 1, output 1 is 2, output 2 is 10"
    assert describe(str(make_image_folder(tmp_path / "m", ("b10", "B2", "a"), per_class=2))).classes == (
        "a",
        "B2",
        "b10",
    )
    many = read_layout(make_image_folder(tmp_path / "o", [str(i) for i in range(40)], per_class=2, side=4)).notes[-1]
    assert many.endswith("output 2 is 2, ..., output 39 is 39")


@given(st.lists(st.text(alphabet="a10²٣-_ é", min_size=1), min_size=2))
def test_the_natural_order_is_an_order_of_any_names(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural) == sorted(backwards, key=natural)


@given(st.lists(st.integers(0, 10**6), min_size=2))
def test_numbers_in_names_are_ordered_as_numbers(numbers: list[int]) -> None:
    assert sorted((f"x{n}y" for n in set(numbers)), key=natural) == [f"x{n}y" for n in sorted(set(numbers))]


def test_hidden_files_and_folders_are_no_part_of_it(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "animals")
    shutil.copytree(mine / "train" / "cat", mine / "train" / ".ipynb_checkpoints")
    shutil.copytree(mine / "train" / "cat", mine / "__MACOSX" / "cat")
    shutil.copy(mine / "train" / "cat" / "train_0.png", mine / "train" / "cat" / "._train_0.png")
    for name in ("train/.DS_Store", "test/cat/Thumbs.db", "desktop.ini", "test/.directory"):
        (mine / name).write_bytes(b"nothing")
    data, said = read(mine)
    assert said == [] and data.fingerprint == read(folder)[0].fingerprint


def test_what_is_not_read_is_counted_and_said(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, test_per_class=1)
    (folder / "train" / "cat" / "notes.txt").write_text("x")
    (folder / "readme.md").write_text("x")
    (folder / "train" / "dog" / "more").mkdir()
    data, said = read(folder)
    assert len(data.train) == 6
    assert said == ["x: 2 files and 1 folder not read, such as readme.md: no images of a class"]


def test_accents_mean_the_same_however_they_are_written(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", ("caf\u00e9", "the"), per_class=2, test_per_class=1)
    (folder / "test" / "caf\u00e9").rename(folder / "test" / "cafe\u0301")
    assert len(read(folder)[0].test) == 2


def test_links_count_as_what_they_lead_to(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "linked" / "train").mkdir(parents=True)
    for name in CLASSES:
        (tmp_path / "linked" / "train" / name).symlink_to(folder / "train" / name)
    (tmp_path / "linked" / "test").symlink_to(folder / "test")
    assert read(tmp_path / "linked")[0].fingerprint == read(folder)[0].fingerprint


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [describe, load, lambda given: examine(Path(given))])
def test_neither_layout_is_one_error_that_names_both(tmp_path: Path, use: Callable[..., Any]) -> None:
    (tmp_path / "x" / "deep" / "cat").mkdir(parents=True)
    save(tmp_path / "x" / "deep" / "cat" / "1.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "x" / "a.csv").touch()
    one_class = make_image_folder(tmp_path / "y", per_class=1) / "cat"
    assert error_of(one_class, use).hints == ("classicnets explain CN307",)
    error = error_of(tmp_path / "x", use)
    assert (error.code, error.where) == ("CN307", str(tmp_path / "x"))
    assert "found: deep/, a.csv\n" in error.why and error.hints == (
        f"--data {tmp_path / 'x' / 'deep'}   # holds such folders",
    )
    assert all(words in error.why for words in ("FOLDER/CLASS/*.png", "FOLDER/train/CLASS", "train-images-idx3-ubyte"))


def test_an_idx_folder_stays_one(tmp_path: Path) -> None:
    folder = make_idx_folder(tmp_path / "mine", train=20, test=10, classes=3, size=8)
    make_image_folder(folder, per_class=2)
    assert describe(str(folder)).classes == ("0", "1", "2")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert error_of(folder).code == "CN302"


def test_a_strange_class_in_the_test_split_is_named(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    (mine / "test" / "dog").rename(mine / "test" / "dogs")
    for use in (load, describe):
        error = error_of(mine, use)
        assert (error.code, error.why.splitlines()) == (
            "CN307",
            [
                "test/dogs: the train split has no such class; the nearest is dog",
                "test/dog: no image of this class to test with",
            ],
        )
        assert error.hints == (f"classicnets data check {mine}   # lists them all",)


def test_an_empty_class_is_an_error(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2)
    (folder / "ant").mkdir()
    (folder / "emu" / "inner").mkdir(parents=True)
    save(folder / "fox" / "1.png", np.zeros((4, 4), np.uint8))
    assert error_of(folder).why.splitlines() == [
        "fox: one image; at least two are needed, to train on one and test with the other",
        "ant: no image in this class",
        "emu: no image in this class",
    ]
    split = make_image_folder(tmp_path / "y", per_class=2, test_per_class=1)
    (split / "train" / "ant").mkdir()
    assert error_of(split).why == "train/ant: no image in this class"
    many = make_image_folder(tmp_path / "z", per_class=2)
    for i in range(7):
        (many / f"c{i}").mkdir()
    assert error_of(many).why.splitlines()[5:] == ["and 2 more"]


def test_one_class_is_too_few(tmp_path: Path) -> None:
    assert "at least two" in error_of(make_image_folder(tmp_path / "x", ("cat",), per_class=3)).why


def test_test_images_without_class_folders_have_no_labels(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2)
    for name in CLASSES:
        (folder / "train").mkdir(exist_ok=True)
        (folder / name).rename(folder / "train" / name)
    save(folder / "test" / "1.png", np.zeros((4, 4), np.uint8))
    assert error_of(folder).why == "test: no class folders, so nothing tells what its images show"


def test_damaged_images_are_named_together_and_nothing_is_loaded(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    whole = (mine / "train" / "cat" / "train_2.png").read_bytes()
    (mine / "train" / "cat" / "train_2.png").write_bytes(whole[: len(whole) // 2])

    def load_all(spec: str) -> ImageSplits:
        return load(spec, COLOR)

    error = error_of(mine, load_all)
    assert (error.code, error.where) == ("CN304", str(mine / "train" / "cat" / "train_2.png"))
    assert "truncated" in error.why
    (mine / "test" / "dog" / "test_1.png").write_text("<html>")
    (mine / "test" / "dog" / "lost.png").symlink_to("nowhere.png")
    error = error_of(mine, load_all)
    assert error.what == "3 images cannot be read"
    assert [line.split(": ")[0] for line in error.why.splitlines()] == [
        str(mine / "train" / "cat" / "train_2.png"),
        str(mine / "test" / "dog" / "lost.png"),
        str(mine / "test" / "dog" / "test_1.png"),
    ]
    assert error_of(mine, describe).what == "2 images cannot be read"  # no header to be read in these
    for i in range(10, 20):
        (mine / "train" / "dog" / f"train_{i}.png").write_bytes(b"")
    error = error_of(mine, load_all)
    assert error.what == "5 or more images cannot be read" and len(error.why.splitlines()) == 5


def test_what_cannot_fit_into_memory_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 2 * 120 * 3 * 64**2 - 1)
    monkeypatch.setattr("classicnets.images.cache.fit_bytes", lambda *_: pytest.fail("an image was read"))
    for preprocess, hint in (
        (Preprocess(channels=3, image_size=64), "--set image_size=63"),
        (Preprocess(channels=3, image_size=60, resize=64), "--set resize=63"),
    ):
        with pytest.raises(DataError, match="120 images of 3x64x64 need more than half") as caught:
            load(str(folder), preprocess)
        assert caught.value.code == "CN307" and caught.value.hints == (hint,)
    monkeypatch.undo()
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 2 * 120 * 3 * 64**2)
    assert read(folder, Preprocess(channels=3, image_size=64))[0].shape == (3, 64, 64)


# --- images --------------------------------------------------------------------------------------------------------


def test_gray_only_if_every_image_is(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=4, side=8, color=False)
    assert describe(str(folder)).shape == read(folder)[0].shape == (1, 8, 8)
    deep = np.linspace(0, 65535, 64).reshape(8, 8)
    Image.fromarray(deep.astype(np.uint16)).save(folder / "cat" / "deep.png")
    Image.fromarray(deep.astype(">u2")).save(folder / "cat" / "deep.tif")
    Image.fromarray(deep > 9).save(folder / "cat" / "bits.png")
    assert describe(str(folder)).shape == (1, 8, 8)
    data, _ = read(folder)
    order = [path.name for _, name, path in read_layout(folder).files() if name == "cat"]
    cats = np.concatenate([split.images[split.labels == 1] for split in (data.train, data.test)])
    for name in ("deep.png", "deep.tif"):
        assert np.abs(cats[order.index(name), 0].astype(float) - deep / 257).max() <= 1, name
    save(folder / "dog" / "colour.bmp", np.full((8, 8, 3), (200, 10, 10), np.uint8))
    assert describe(str(folder)).shape == read(folder)[0].shape == (3, 8, 8)
    assert read(folder, Preprocess(channels=1, image_size=8))[0].shape == (1, 8, 8)


@pytest.mark.parametrize("end", [".png", ".jpg", ".JPEG", ".bmp", ".gif", ".webp", ".tif", ".TIFF", ".ppm", ".Pgm"])
def test_every_extension_is_a_image(tmp_path: Path, end: str) -> None:
    for name in ("a", "b"):
        for i in range(2):
            pixels = np.full((6, 6) if end == ".Pgm" else (6, 6, 3), 90, np.uint8)
            save(tmp_path / "x" / name / f"{i}{end}", pixels)
    images = read(tmp_path / "x")[0].train.images
    assert len(images) == 2 and np.abs(images.astype(int) - 90).max() <= 3


def test_images_are_turned_upright_and_transparent_parts_are_black(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=1, side=4, test_per_class=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    left = np.zeros((4, 4, 3), np.uint8)
    left[:, :2] = 255
    save(folder / "train" / "bird" / "turned.png", left, exif=exif)
    save(folder / "train" / "cat" / "clear.png", np.full((4, 4, 4), (255, 255, 255, 0), np.uint8))
    data, _ = read(folder)
    turned, clear = data.train.images[1], data.train.images[2]
    assert turned[:, :2].min() == 255 and turned[:, 2:].max() == 0 and not clear.any()


def test_different_sizes_need_an_image_size(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, side=8)
    save(folder / "dog" / "wide.png", np.zeros((30, 40, 3), np.uint8))
    description = describe(str(folder))
    assert description.shape == (3, 0, 0)
    for use in (lambda: description.own_size(), lambda: load(str(folder))):
        with pytest.raises(UsageError) as caught:
            use()
        assert caught.value.code == "CN204"
        assert caught.value.what == "the images in x have different sizes, 8x8 to 40x30"
        assert caught.value.hints[0] == "--set image_size=64"
    assert read(folder, GRAY)[0].shape == (1, 16, 16)
    same = make_image_folder(tmp_path / "y", per_class=2, side=8)
    for path in same.glob("*/*"):
        save(path, np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(UsageError, match=r"the images in y are not square \(40x30\)"):
        describe(str(same)).own_size()
    assert describe(str(make_image_folder(tmp_path / "z", per_class=2, side=8))).own_size() == 8


def test_stretching_and_letterboxing_keep_the_whole_image_and_cropping_its_middle(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=1, side=8, test_per_class=1)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    save(folder / "train" / "bird" / "wide.png", wide)
    stretched, said = read(folder, Preprocess(channels=3, image_size=8))
    cropped, also_said = read(folder, Preprocess(channels=3, image_size=8, fit="crop"))
    assert (cropped.train.images[1] == 200).all()
    middle = stretched.train.images[1].mean((0, 1))
    assert middle[:2].max() == 0 and middle[-2:].max() == 0 and middle[3:5].min() > 150
    assert said == ["x: 1 of 7 images are not square and are stretched to a square (fit=stretch)"]
    assert also_said == ["x: 1 of 7 images are not square and lose what is outside their middle square (fit=crop)"]
    boxed, said_of_it = read(folder, Preprocess(channels=3, image_size=8, fit="letterbox"))
    assert boxed.train.images[1][:, [0, -1]].max() == 0 and boxed.train.images[1][:, 3:5, 3:5].min() > 150
    assert said_of_it == ["x: 1 of 7 images are not square and get black borders (fit=letterbox)"]
    np.testing.assert_array_equal(cropped.train.images[0], stretched.train.images[0])
    assert cropped.fingerprint == stretched.fingerprint


def test_images_come_at_the_size_before_the_middle_is_taken(folder: Path) -> None:
    assert read(folder, Preprocess(channels=3, image_size=8, resize=12))[0].shape == (3, 12, 12)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
    st.sampled_from(["stretch", "crop", "letterbox"]),
)
def test_fitting_is_pil_s_bilinear_to_within_its_rounding(
    height: int, width: int, side: int, channels: int, fit: str
) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, height, width), dtype=np.uint8)
    got = fitted(image, side, fit)
    assert got.shape == (channels, side, side) and got.dtype == np.uint8
    box = None
    if fit == "crop":
        short = min(height, width)
        left, top = (width - short) // 2, (height - short) // 2
        box = (left, top, left + short, top + short)
    if fit == "letterbox":  # what PIL crops from outside of an image is black
        long = max(height, width)
        left, top = (long - width) // 2, (long - height) // 2
        box = (-left, -top, long - left, long - top)
    for channel in range(channels):
        whole = Image.fromarray(image[channel])
        theirs = (whole.crop(box) if box else whole).resize((side, side), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(got[channel], np.asarray(theirs))


# --- fingerprints and leaks ------------------------------------------------------------------------------------------


def test_the_fingerprint_stands_for_bytes_names_classes_and_splits_alone(tmp_path: Path, folder: Path) -> None:
    own, copy = read(folder)[0].fingerprint, shutil.copytree(folder, tmp_path / "elsewhere")
    assert len(own) == 16 and int(own, 16)
    assert read(copy)[0].fingerprint == own == read(folder, Preprocess(channels=1, image_size=5))[0].fingerprint
    image = copy / "train" / "cat" / "train_0.png"
    changes = [
        lambda: image.write_bytes(image.read_bytes() + b"\0"),
        lambda: image.rename(image.with_name("other.png")),
        lambda: (copy / "test" / "cat" / "test_0.png").rename(copy / "train" / "cat" / "test_0.png"),
        lambda: (copy / "train" / "cat" / "test_0.png").rename(copy / "train" / "dog" / "test_0.png"),
    ]
    seen = {own}
    for change in changes:
        change()
        seen.add(read(copy)[0].fingerprint)
    assert len(seen) == 1 + len(changes)


def test_test_images_that_are_trained_on_are_said(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    shutil.copy(mine / "train" / "cat" / "train_0.png", mine / "test" / "cat" / "copy.png")
    assert read(mine)[1] == ["mine: 1 of the 31 test images are in the train split as well"]
