"""Folders of images: classes and splits, the loaded images, and the error messages."""

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
from classicnets.audit.audit import audit_images
from classicnets.datasets.types import ImageSplits
from classicnets.errors import DataError, UsageError
from classicnets.images.decode import fit_image, read_image
from classicnets.images.layout import read_layout
from classicnets.images.loading import describe, load
from classicnets.images.names import natural_key
from classicnets.values import Preprocess
from support.idx import make_idx_folder
from support.images import CLASSES, make_image_folder, save
from support.typed import present

GRAY, COLOR = Preprocess(channels=1, image_size=16), Preprocess(channels=3, image_size=16)


def read(folder: Path, preprocess: Preprocess | None = None) -> tuple[ImageSplits, list[str]]:
    """The loaded data and the notes."""
    notes: list[str] = []
    return load(str(folder), preprocess, say=notes.append), notes


def error_of(folder: Path, use: Callable[..., Any] = load) -> DataError:
    with pytest.raises(DataError) as caught:
        use(str(folder))
    return caught.value


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_train_and_test_folders(folder: Path) -> None:
    data, notes = read(folder)
    assert describe(str(folder)).shape == data.shape == (3, 16, 16)
    assert (data.name, data.classes) == ("animals", CLASSES) == (describe(str(folder)).name, data.classes)
    assert (len(data.train), len(data.test)) == (90, 30)
    assert (data.train.images[:].dtype, data.train.labels.dtype) == (np.dtype("u1"), np.dtype("i8"))
    assert np.bincount(data.train.labels).tolist() == [30] * 3 and np.bincount(data.test.labels).tolist() == [10] * 3
    assert data.source == f"folder {folder}" and notes == []


def test_every_image_has_the_label_of_its_folder(folder: Path) -> None:
    data, _ = read(folder)
    for split, images in (("train", data.train), ("test", data.test)):
        for label, name in enumerate(CLASSES):
            paths = sorted((folder / split / name).iterdir(), key=lambda path: natural_key(path.name))
            expected = np.stack([read_image(path, 3) for path in paths])
            np.testing.assert_array_equal(images.images[images.labels == label], expected)


@pytest.mark.parametrize("train", ["train", "Train", "training"])
@pytest.mark.parametrize("test", ["test", "testing", "val", "valid", "Validation"])
def test_the_names_of_splits(tmp_path: Path, train: str, test: str) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, test_per_class=1)
    (folder / "train").rename(folder / "renamed")
    (folder / "renamed").rename(folder / train)
    (folder / "test").rename(folder / "renamed")
    (folder / "renamed").rename(folder / test)
    data, notes = read(folder)
    assert (len(data.train), len(data.test), notes) == (6, 3, [])


def test_uses_the_first_of_two_folders_of_one_split_and_reports_it(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    shutil.copytree(mine / "test", mine / "testing")
    shutil.rmtree(mine / "testing" / "dog")
    data, notes = read(mine)
    assert len(data.test) == 30 and data.left_out["no_class"] == 20
    assert notes == [
        "mine: testing/ is ignored because test/ is used for this split",
        "mine: 20 images are not used because they belong to no class of a split, such as testing/bird/test_0.png",
    ]


def with_validation(folder: Path, to: Path, per_class: int = 5) -> Path:
    """Copy a folder with train/ and test/, and move some training images of each class to val/."""
    shutil.copytree(folder, to)
    for name in CLASSES:
        for i in range(per_class):
            (to / "val" / name).mkdir(parents=True, exist_ok=True)
            shutil.move(to / "train" / name / f"train_{i}.{'jpg' if i % 4 == 3 else 'png'}", to / "val" / name)
    return to


def test_val_beside_test_is_the_validation_split(tmp_path: Path, folder: Path) -> None:
    mine = with_validation(folder, tmp_path / "mine")
    data, notes = read(mine)
    description, validation = describe(str(mine)), present(data.validation)
    assert (
        (description.train, description.validation, description.test)
        == (75, 15, 30)
        == (len(data.train), len(validation), 30)
    )
    assert notes == [] and len(data.test) == 30
    for label, name in enumerate(CLASSES):
        paths = sorted((mine / "val" / name).iterdir(), key=lambda path: natural_key(path.name))
        expected = np.stack([read_image(path, 3) for path in paths])
        np.testing.assert_array_equal(validation.images[validation.labels == label], expected)
    assert [(file.split, file.label, file.path) for file in data.files[75:80]] == [
        ("validation", "bird", f"val/bird/train_{i}.{'jpg' if i == 3 else 'png'}") for i in range(5)
    ]
    assert [file.split for file in data.files] == ["train"] * 75 + ["validation"] * 15 + ["test"] * 30
    assert read(folder)[0].validation is None and read(folder)[0].fingerprint != data.fingerprint


def test_matches_classes_of_the_validation_split_by_name(tmp_path: Path, folder: Path) -> None:
    mine = with_validation(folder, tmp_path / "mine")
    shutil.rmtree(mine / "val" / "bird")
    data, notes = read(mine)
    assert set(present(data.validation).labels) == {1, 2} and notes == ["mine: val has no images of bird"]
    (mine / "val" / "dog").rename(mine / "val" / "Dog")
    assert error_of(mine).why == "val/Dog: the training split has no such class; did you mean dog?"
    shutil.rmtree(mine / "val")
    (mine / "val").mkdir()
    assert error_of(mine).why == "val: it has no class folders, so its images have no labels"


@pytest.mark.parametrize("inside", ["", "train"])
def test_without_a_test_folder_a_fifth_of_each_class_is_the_test_split(tmp_path: Path, inside: str) -> None:
    make_image_folder(tmp_path / "pets" / inside, per_class=50, size=4)
    data, notes = read(tmp_path / "pets")
    assert len(data.train) + len(data.test) == 150
    assert all(4 <= count <= 17 for count in np.bincount(data.test.labels, minlength=3))  # 3 sigma of 50 draws of 1/5
    assert notes == [
        "pets: there is no test split, so about a fifth of each class, chosen by file name, is the test split"
        f" ({len(data.test)} of 150 images)"
    ]
    assert read(tmp_path / "pets")[0].fingerprint == data.fingerprint


def test_class_may_be_named_train(tmp_path: Path) -> None:
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
def test_split_is_stable_when_files_are_added(
    tmp_path_factory: pytest.TempPathFactory, before: Any, added: Any
) -> None:
    """Images that are added change the split of no more than as many images, and each part has some."""
    root = tmp_path_factory.mktemp("split")
    names = {"a": before, "b": {"0.png", "1.png"}}
    first = read_layout(touched(root / "first", names))
    second = read_layout(touched(root / "second", {**names, "a": before | added}))
    tested = [{path.name for path in layout.test["a"]} for layout in (first, second)]
    assert len((tested[0] ^ tested[1]) & before) <= len(added - before)
    for layout in (first, second):
        for name in ("a", "b"):
            assert layout.train[name] and layout.test[name]
            assert not {p.name for p in layout.train[name]} & {p.name for p in layout.test[name]}


# --- names -----------------------------------------------------------------------------------------------------------


def test_classes_are_in_natural_order_and_numeric_names_are_reported(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "n", ("10", "2", "1"), per_class=3, size=4)
    data, notes = read(folder)
    assert data.classes == ("1", "2", "10")
    assert notes[-1] == "n: the class names are numbers: output 0 is 1, output 1 is 2, output 2 is 10"
    assert describe(str(make_image_folder(tmp_path / "m", ("b10", "B2", "a"), per_class=2))).classes == (
        "a",
        "B2",
        "b10",
    )
    many = read_layout(make_image_folder(tmp_path / "o", [str(i) for i in range(40)], per_class=2, size=4)).notes[-1]
    assert many.endswith("output 2 is 2, ..., output 39 is 39")


@given(st.lists(st.text(alphabet="a10²٣-_ é", min_size=1), min_size=2))
def test_natural_order_is_consistent_for_any_names(names: list[str]) -> None:
    backwards = names[::-1]
    assert sorted(names, key=natural_key) == sorted(backwards, key=natural_key)


@given(st.lists(st.integers(0, 10**6), min_size=2))
def test_numbers_in_names_are_ordered_as_numbers(numbers: list[int]) -> None:
    assert sorted((f"x{n}y" for n in set(numbers)), key=natural_key) == [f"x{n}y" for n in sorted(set(numbers))]


def test_ignores_hidden_files_and_folders(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "animals")
    shutil.copytree(mine / "train" / "cat", mine / "train" / ".ipynb_checkpoints")
    shutil.copytree(mine / "train" / "cat", mine / "__MACOSX" / "cat")
    shutil.copy(mine / "train" / "cat" / "train_0.png", mine / "train" / "cat" / "._train_0.png")
    for name in ("train/.DS_Store", "test/cat/Thumbs.db", "desktop.ini", "test/.directory"):
        (mine / name).write_bytes(b"nothing")
    data, notes = read(mine)
    assert notes == [] and data.fingerprint == read(folder)[0].fingerprint


def test_reports_the_number_of_files_that_are_not_read(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, test_per_class=1)
    (folder / "train" / "cat" / "notes.txt").write_text("x")
    (folder / "readme.md").write_text("x")
    (folder / "train" / "dog" / "more").mkdir()
    data, notes = read(folder)
    assert len(data.train) == 6
    assert notes == ["x: 3 files and folders that contain no images are ignored, such as readme.md"]


def test_accents_are_compared_in_one_unicode_form(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", ("caf\u00e9", "the"), per_class=2, test_per_class=1)
    (folder / "test" / "caf\u00e9").rename(folder / "test" / "cafe\u0301")
    assert len(read(folder)[0].test) == 2


def test_follows_links(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "linked" / "train").mkdir(parents=True)
    for name in CLASSES:
        (tmp_path / "linked" / "train" / name).symlink_to(folder / "train" / name)
    (tmp_path / "linked" / "test").symlink_to(folder / "test")
    assert read(tmp_path / "linked")[0].fingerprint == read(folder)[0].fingerprint


# --- errors ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("use", [describe, load, lambda path: audit_images(Path(path))])
def test_error_names_both_accepted_layouts(tmp_path: Path, use: Callable[..., Any]) -> None:
    (tmp_path / "x" / "deep" / "cat").mkdir(parents=True)
    save(tmp_path / "x" / "deep" / "cat" / "1.png", np.zeros((4, 4), np.uint8))
    (tmp_path / "x" / "a.csv").touch()
    one_class = make_image_folder(tmp_path / "y", per_class=1) / "cat"
    assert error_of(one_class, use).hints == ("classicnets explain CN307",)
    error = error_of(tmp_path / "x", use)
    assert (error.code, error.where) == ("CN307", str(tmp_path / "x"))
    assert "its contents: deep/, a.csv\n" in error.why and error.hints == (
        f"--data {tmp_path / 'x' / 'deep'}   # contains class folders",
    )
    assert all(words in error.why for words in ("FOLDER/CLASS/*.png", "FOLDER/train/CLASS", "train-images-idx3-ubyte"))


def test_folder_with_idx_files_is_an_idx_folder(tmp_path: Path) -> None:
    folder = make_idx_folder(tmp_path / "mine", train=20, test=10, classes=3, size=8)
    make_image_folder(folder, per_class=2)
    assert describe(str(folder)).classes == ("0", "1", "2")
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    assert error_of(folder).code == "CN302"


def test_names_an_unknown_class_of_the_test_split(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    (mine / "test" / "dog").rename(mine / "test" / "dogs")
    for use in (load, describe):
        error = error_of(mine, use)
        assert (error.code, error.why.splitlines()) == (
            "CN307",
            [
                "test/dogs: the training split has no such class; did you mean dog?",
                "test/dog: the test split has no images of this class",
            ],
        )
        assert error.hints == (f"classicnets data check {mine}   # lists everything that is wrong",)


def test_empty_class_is_an_error(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2)
    (folder / "ant").mkdir()
    (folder / "emu" / "inner").mkdir(parents=True)
    save(folder / "fox" / "1.png", np.zeros((4, 4), np.uint8))
    assert error_of(folder).why.splitlines() == [
        "fox: this class has one image, but needs at least two: one for training and one for testing",
        "ant: this class has no images",
        "emu: this class has no images",
    ]
    split = make_image_folder(tmp_path / "y", per_class=2, test_per_class=1)
    (split / "train" / "ant").mkdir()
    assert error_of(split).why == "train/ant: this class has no images"
    many = make_image_folder(tmp_path / "z", per_class=2)
    for i in range(7):
        (many / f"c{i}").mkdir()
    assert error_of(many).why.splitlines()[5:] == ["and 2 more"]


def test_one_class_is_too_few(tmp_path: Path) -> None:
    assert "at least two" in error_of(make_image_folder(tmp_path / "x", ("cat",), per_class=3)).why


def test_test_images_without_class_folders_are_an_error(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2)
    for name in CLASSES:
        (folder / "train").mkdir(exist_ok=True)
        (folder / name).rename(folder / "train" / name)
    save(folder / "test" / "1.png", np.zeros((4, 4), np.uint8))
    assert error_of(folder).why == "test: it has no class folders, so its images have no labels"


def test_one_error_names_all_damaged_images(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    content = (mine / "train" / "cat" / "train_2.png").read_bytes()
    (mine / "train" / "cat" / "train_2.png").write_bytes(content[: len(content) // 2])

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
    assert error_of(mine, describe).what == "2 images cannot be read"  # the headers of these cannot be read
    for i in range(10, 20):
        (mine / "train" / "dog" / f"train_{i}.png").write_bytes(b"")
    error = error_of(mine, load_all)
    assert error.what == "5 or more images cannot be read" and len(error.why.splitlines()) == 5


def test_rejects_too_many_images_before_reading_them(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 2 * 120 * 3 * 64**2 - 1)
    monkeypatch.setattr("classicnets.images.cache.fit_bytes", lambda *_: pytest.fail("an image was decoded"))
    for preprocess, hint in (
        (Preprocess(channels=3, image_size=64), "--set image_size=63"),
        (Preprocess(channels=3, image_size=60, resize=64), "--set resize=63"),
    ):
        with pytest.raises(DataError, match="120 images of 3x64x64 need more than half") as caught:
            load(str(folder), preprocess)
        assert caught.value.code == "CN307" and caught.value.hints[0] == hint
    monkeypatch.undo()
    monkeypatch.setattr(machine, "total_memory_bytes", lambda: 2 * 120 * 3 * 64**2)
    assert read(folder, Preprocess(channels=3, image_size=64))[0].shape == (3, 64, 64)


# --- images ----------------------------------------------------------------------------------------------------------


def test_data_is_gray_only_if_every_image_is(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=4, size=8, color=False)
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
def test_reads_every_suffix(tmp_path: Path, end: str) -> None:
    for name in ("a", "b"):
        for i in range(2):
            pixels = np.full((6, 6) if end == ".Pgm" else (6, 6, 3), 90, np.uint8)
            save(tmp_path / "x" / name / f"{i}{end}", pixels)
    images = read(tmp_path / "x")[0].train.images[:]
    assert len(images) == 2 and np.abs(images.astype(int) - 90).max() <= 3


def test_images_are_rotated_upright_and_transparent_parts_are_black(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=1, size=4, test_per_class=1)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    left = np.zeros((4, 4, 3), np.uint8)
    left[:, :2] = 255
    save(folder / "train" / "bird" / "turned.png", left, exif=exif)
    save(folder / "train" / "cat" / "clear.png", np.full((4, 4, 4), (255, 255, 255, 0), np.uint8))
    data, _ = read(folder)
    turned, clear = data.train.images[1], data.train.images[2]
    assert turned[:, :2].min() == 255 and turned[:, 2:].max() == 0 and not clear.any()


def test_different_sizes_need_an_image_size(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=2, size=8)
    save(folder / "dog" / "wide.png", np.zeros((30, 40, 3), np.uint8))
    description = describe(str(folder))
    assert description.shape == (3, 0, 0)
    for use in (lambda: description.native_size(), lambda: load(str(folder))):
        with pytest.raises(UsageError) as caught:
            use()
        assert caught.value.code == "CN204"
        assert caught.value.what == "the images in x have different sizes, 8x8 to 40x30"
        assert caught.value.hints[0] == "--set image_size=64"
    assert read(folder, GRAY)[0].shape == (1, 16, 16)
    same = make_image_folder(tmp_path / "y", per_class=2, size=8)
    for path in same.glob("*/*"):
        save(path, np.zeros((30, 40, 3), np.uint8))
    with pytest.raises(UsageError, match=r"the images in y are not square \(40x30\)"):
        describe(str(same)).native_size()
    assert describe(str(make_image_folder(tmp_path / "z", per_class=2, size=8))).native_size() == 8


def test_stretch_and_letterbox_keep_the_whole_image_and_crop_its_center(tmp_path: Path) -> None:
    folder = make_image_folder(tmp_path / "x", per_class=1, size=8, test_per_class=1)
    wide = np.zeros((8, 24, 3), np.uint8)
    wide[:, 8:16] = 200
    save(folder / "train" / "bird" / "wide.png", wide)
    stretched, stretch_notes = read(folder, Preprocess(channels=3, image_size=8))
    cropped, crop_notes = read(folder, Preprocess(channels=3, image_size=8, fit="crop"))
    assert (cropped.train.images[1] == 200).all()
    middle = stretched.train.images[1].mean((0, 1))
    assert middle[:2].max() == 0 and middle[-2:].max() == 0 and middle[3:5].min() > 150
    assert stretch_notes == ["x: 1 of 7 images is not square and is stretched to a square (fit=stretch)"]
    assert crop_notes == ["x: 1 of 7 images is not square and is cropped to its central square (fit=crop)"]
    boxed, letterbox_notes = read(folder, Preprocess(channels=3, image_size=8, fit="letterbox"))
    assert boxed.train.images[1][:, [0, -1]].max() == 0 and boxed.train.images[1][:, 3:5, 3:5].min() > 150
    assert letterbox_notes == ["x: 1 of 7 images is not square and is padded with black to a square (fit=letterbox)"]
    np.testing.assert_array_equal(cropped.train.images[0], stretched.train.images[0])
    assert cropped.fingerprint == stretched.fingerprint


def test_images_have_the_size_before_the_center_crop(folder: Path) -> None:
    assert read(folder, Preprocess(channels=3, image_size=8, resize=12))[0].shape == (3, 12, 12)


@given(
    st.integers(1, 40),
    st.integers(1, 40),
    st.integers(1, 20),
    st.sampled_from([1, 3]),
    st.sampled_from(["stretch", "crop", "letterbox"]),
)
def test_fitting_equals_pillow_bilinear(height: int, width: int, size: int, channels: int, fit: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (channels, height, width), dtype=np.uint8)
    result = fit_image(image, size, fit)
    assert result.shape == (channels, size, size) and result.dtype == np.uint8
    box = None
    if fit == "crop":
        short = min(height, width)
        left, top = (width - short) // 2, (height - short) // 2
        box = (left, top, left + short, top + short)
    if fit == "letterbox":  # Pillow fills with black outside of an image
        long = max(height, width)
        left, top = (long - width) // 2, (long - height) // 2
        box = (-left, -top, long - left, long - top)
    for channel in range(channels):
        original = Image.fromarray(image[channel])
        expected = (original.crop(box) if box else original).resize((size, size), Image.Resampling.BILINEAR)
        np.testing.assert_array_equal(result[channel], np.asarray(expected))


# --- fingerprints and leaks ------------------------------------------------------------------------------------------


def test_fingerprint_depends_only_on_bytes_names_classes_and_splits(tmp_path: Path, folder: Path) -> None:
    own, copy = read(folder)[0].fingerprint, shutil.copytree(folder, tmp_path / "elsewhere")
    assert len(own) == 16 and int(own, 16)
    assert read(copy)[0].fingerprint == own == read(folder, Preprocess(channels=1, image_size=5))[0].fingerprint
    image = copy / "train" / "cat" / "train_0.png"
    changes: list[Callable[[], object]] = [
        lambda: image.write_bytes(image.read_bytes() + b"\0"),
        lambda: image.rename(image.with_name("other.png")),
        lambda: (copy / "test" / "cat" / "test_0.png").rename(copy / "train" / "cat" / "test_0.png"),
        lambda: (copy / "train" / "cat" / "test_0.png").rename(copy / "train" / "dog" / "test_0.png"),
    ]
    fingerprints = {own}
    for change in changes:
        change()
        fingerprints.add(read(copy)[0].fingerprint)
    assert len(fingerprints) == 1 + len(changes)


def test_reports_test_images_in_the_training_split(tmp_path: Path, folder: Path) -> None:
    mine = shutil.copytree(folder, tmp_path / "mine")
    shutil.copy(mine / "train" / "cat" / "train_0.png", mine / "test" / "cat" / "copy.png")
    assert read(mine)[1] == ["mine: 1 of the 31 test images is also in the training split"]
