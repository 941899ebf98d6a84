"""ImageNet as it is published, in a small form: every list of classes gives one CSV, and every mistake a message."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from classicnets.datasets.mat5 import read_structs
from classicnets.errors import DataError
from classicnets.images import imagenet, loading
from classicnets.images.layout import read_layout
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.images import make_imagenet, save

# "imagenet_meta.mat" has these three synsets and one above them; MATLAB's format, written by scipy.io.savemat
SYNSETS = ("n01440764", "n01443537", "n02119789")  # tench, goldfish, kit fox
LABELS = ("n02119789", "n01440764", "n02119789", "n01443537")  # of the validation images 1 to 4
WORDS = "n01440764 tench, Tinca tinca\nn01443537 goldfish, Carassius auratus\nn02119789 kit fox, Vulpes macrotis\n"
META = Path(__file__).parent / "imagenet_meta.mat"

SOLUTION = "ImageId,PredictionString\n" + "".join(
    f"ILSVRC2012_val_{number:08d},{synset} 85 1 499 272 {synset} 1 2 3 4\n"
    for number, synset in [*enumerate(LABELS, 1)][::-1]
)
CAFFE = "".join(f"ILSVRC2012_val_{i:08d}.JPEG {SYNSETS.index(synset)}\n" for i, synset in enumerate(LABELS, 1))
TRUTH = "".join(f"{1 + (SYNSETS[2], *SYNSETS[:2]).index(synset)}\n" for synset in LABELS)  # in the order of meta.mat
MAP = "n02119789 1 kit_fox\nn01440764 2 tench\nn01443537 3 goldfish\n"
DEVKIT = "ILSVRC2012_devkit_t12/data"
TRUTH_FILE = "ILSVRC2012_validation_ground_truth.txt"


def make(root: Path, files: dict[str, str | Path], top: str = "", *, sort: bool = False) -> Path:
    """Write two training images of each synset and four validation images below `top`, and other files."""
    for number, synset in enumerate(SYNSETS):
        for i in range(2):
            pixels = np.full((6, 8, 3), 40 * number + i, np.uint8)
            save(root / top / "train" / synset / f"{synset}_{10026 + i}.JPEG", pixels)
    for i, synset in enumerate(LABELS, 1):
        folder = root / top / "val" / (synset if sort else "")
        save(folder / f"ILSVRC2012_val_{i:08d}.JPEG", np.full((6, 8, 3), 150 + i, np.uint8))
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.read_bytes() if isinstance(content, Path) else content.encode())
    return root


FORMS: dict[str, tuple[dict[str, str | Path], str, bool]] = {  # files, the folder of train/ and val/, words
    "Kaggle": (
        {
            "LOC_val_solution.csv": SOLUTION,
            "LOC_synset_mapping.txt": WORDS,
            "ILSVRC/ImageSets/CLS-LOC/val.txt": "ILSVRC2012_val_00000001 1\n",
            "ILSVRC/Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml": "<a/>",
        },
        "ILSVRC/Data/CLS-LOC",
        True,
    ),
    "Caffe": ({"data/ilsvrc12/val.txt": CAFFE, "data/ilsvrc12/synset_words.txt": WORDS}, "", True),
    "Caffe, with the synsets of the folders": ({"val.txt": CAFFE.replace("ILSVRC", "val/ILSVRC")}, "", False),
    "development kit": ({f"{DEVKIT}/meta.mat": META, f"{DEVKIT}/{TRUTH_FILE}": TRUTH}, "", True),
    "development kit of 2015": (
        {
            "devkit/data/map_clsloc.txt": MAP,
            "devkit/data/ILSVRC2015_clsloc_validation_ground_truth.txt": TRUTH.replace("\n", "\r\n"),
        },
        "ILSVRC2015",
        True,
    ),
    "two lists that agree": (
        {"LOC_val_solution.csv": "\ufeff" + SOLUTION, "val.txt": CAFFE, "synset_words.txt": WORDS},
        "",
        True,
    ),
    "sorted as torchvision reads it": ({"synset_words.txt": WORDS}, "", True),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_gives_the_same_list(name: str, tmp_path: Path) -> None:
    files, top, named = FORMS[name]
    root = make(tmp_path / "imagenet", files, top, sort=name.startswith("sorted"))
    before = {path for path in root.rglob("*") if path.is_file()}
    prepared = imagenet.prepare(root)
    assert {path for path in root.rglob("*") if path.is_file()} - before == {root / "imagenet.csv"}
    assert (prepared.train, prepared.val, prepared.named) == (6, 4, named)
    assert not prepared.missing and not prepared.unlabeled and not prepared.untrained
    words = dict(line.split(",")[0].split(" ", 1) for line in WORDS.splitlines()) if named else {}
    classes = tuple(f"{synset} {words[synset]}" if named else synset for synset in SYNSETS)
    assert prepared.classes == classes
    layout = read_layout(prepared.path)  # the one reader of all commands
    layout.check()
    assert layout.name == "imagenet" and layout.classes == classes and layout.has_test_split
    read = {path.stem: label.split()[0] for split, label, path in layout.files() if split == "test"}
    assert read == {f"ILSVRC2012_val_{i:08d}": synset for i, synset in enumerate(LABELS, 1)}
    trained = [(label.split()[0], path.parent.name) for split, label, path in layout.files() if split == "train"]
    assert len(trained) == 6 and all(synset == folder for synset, folder in trained)


def test_the_list_is_trained_on_like_the_sorted_folders(tmp_path: Path) -> None:
    preprocess, notes = Preprocess(channels=3, image_size=4), list[str]()
    unsorted = imagenet.prepare(make(tmp_path / "a", {"val.txt": CAFFE})).path
    ours = loading.load(str(unsorted), preprocess, say=notes.append)
    theirs = loading.load(str(make(tmp_path / "b", {}, sort=True)), preprocess, say=notes.append)
    assert ours.classes == theirs.classes and ours.fingerprint == theirs.fingerprint
    for one, other in ((ours.train, theirs.train), (ours.test, theirs.test)):
        np.testing.assert_array_equal(one.labels, other.labels)
        np.testing.assert_array_equal(one.images[:], other.images[:])


def test_says_what_it_leaves_out(tmp_path: Path, cli: CommandLine) -> None:
    root = make(tmp_path / "x", {"LOC_val_solution.csv": SOLUTION})
    (root / "val/ILSVRC2012_val_00000002.JPEG").rename(root / "val/ILSVRC2012_val_00000007.JPEG")
    shutil.rmtree(root / "train" / SYNSETS[1])
    save(root / "train" / "others" / "a.png", np.zeros((4, 4, 3), np.uint8))
    code, out, _err = cli("data", "prepare", "imagenet", root)
    assert code == 0 and out.splitlines() == [
        "2 classes, 4 training and 2 validation images, which are the test split",
        f"classes of the validation images: {root}/LOC_val_solution.csv",
        "the classes have no readable names, because there is no synset_words.txt",
        "1 image of the lists is missing: ILSVRC2012_val_00000002",
        "2 images have no class and are left out: a.png, ILSVRC2012_val_00000007.JPEG",
        "1 validation image is left out, because its class has no training images: ILSVRC2012_val_00000004.JPEG",
        f"wrote {root}/imagenet.csv",
        f"next: classicnets train NET --data {root}/imagenet.csv",
    ]
    code, out, _err = cli("data", "prepare", "imagenet", root, "-o", tmp_path / "list.csv", "--json")
    assert code == 0 and json.loads(out) == {
        "file": str(tmp_path / "list.csv"),
        "classes": 2,
        "train": 4,
        "val": 2,
        "lists": [f"{root}/LOC_val_solution.csv"],
        "missing": 1,
        "unlabeled": 2,
        "untrained": 1,
        "named": False,
    }
    with (tmp_path / "list.csv").open(newline="") as file:
        assert all((tmp_path / row["path"]).is_file() for row in csv.DictReader(file))


def test_looks_for_the_lists_above_the_images(tmp_path: Path) -> None:
    root = make(tmp_path / "x", {"LOC_val_solution.csv": SOLUTION}, "ILSVRC/Data/CLS-LOC")
    assert imagenet.prepare(root / "ILSVRC/Data/CLS-LOC").val == 4


def test_validation_images_alone_can_be_evaluated(tmp_path: Path) -> None:
    root = make(tmp_path / "x", {"LOC_val_solution.csv": SOLUTION})
    shutil.rmtree(root / "train")
    layout = read_layout(imagenet.prepare(root).path)
    layout.check(training=False)
    assert len([*layout.evaluation_files()]) == 4


def change(name: str, old: str, new: str) -> Callable[[Path], object]:
    """A function that replaces text in a file of the folder."""

    def edit(root: Path) -> None:
        assert old in (root / name).read_text()
        (root / name).write_text((root / name).read_text().replace(old, new, 1))

    return edit


def remove(name: str) -> Callable[[Path], object]:
    return lambda root: shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()


def pack(root: Path) -> None:
    shutil.rmtree(root / "train")
    (root / "train").mkdir()
    (root / "train" / f"{SYNSETS[0]}.tar").touch()


KIT: dict[str, str | Path] = {"meta.mat": META, TRUTH_FILE: TRUTH}
BROKEN: dict[str, tuple[dict[str, str | Path], Callable[[Path], object], str, str, str]] = {
    # files, damage, file of the error, what, why
    "no list": ({}, lambda _: None, "val", "have no classes", "accepted are LOC_val_solution.csv, val.txt"),
    "nothing": ({}, lambda root: [remove(name)(root) for name in ("train", "val")], "", "no images", "JPEG"),
    "archives": ({}, pack, "", "still in archives", "there is n01440764.tar"),
    "other CSV": (
        {"LOC_val_solution.csv": "image,label\n"},
        lambda _: None,
        "LOC_val_solution.csv",
        "not the list of Kaggle",
        "its first line is 'image,label'",
    ),
    "line of Kaggle": (
        {"LOC_val_solution.csv": SOLUTION},
        change("LOC_val_solution.csv", "n01443537 85", "fish 85"),
        "LOC_val_solution.csv",
        "line 2 of the list",
        "a line looks like this: ILSVRC2012_val_00048981,n03995372 85 1 499 272",
    ),
    "numbers of images": (
        {"val.txt": "ILSVRC2012_val_00000001 1\n"},
        lambda _: None,
        "val.txt",
        "it numbers the images and has no classes",
        "accepted are",
    ),
    "line of Caffe": (
        {"val.txt": CAFFE},
        change("val.txt", ".JPEG 0", ".JPEG tench"),
        "val.txt",
        "line 2 of the list",
        "it is 'ILSVRC2012_val_00000002.JPEG tench'",
    ),
    "too few synsets": (
        {"val.txt": CAFFE.replace(" 2", " 999")},
        lambda _: None,
        "val.txt",
        "its numbers do not fit the classes",
        "they go up to 999, which needs 1000 synsets in the order of their names, but there are 3",
    ),
    "no synsets": (
        {"val.txt": CAFFE, "synsets.txt": "tench\n"},
        lambda _: None,
        "synsets.txt",
        "not a list of synsets",
        "begins with 'tench'",
    ),
    "no order": (KIT, remove("meta.mat"), TRUTH_FILE, "it has numbers", "not that of the names"),
    "unknown number": (KIT, change(TRUTH_FILE, "3", "1001"), TRUTH_FILE, "line 4", "it is '1001'"),
    "damaged meta.mat": (
        KIT,
        lambda root: (root / "meta.mat").write_bytes(META.read_bytes()[:-90]),
        "meta.mat",
        "cannot be read",
        "ends too early",
    ),
    "other meta.mat": (
        {**KIT, "meta.mat": "x" * 200},
        lambda _: None,
        "meta.mat",
        "cannot be read",
        "not a MAT-file",
    ),
    "line of map_clsloc.txt": (
        {"map_clsloc.txt": "n02119789 kit_fox\n", TRUTH_FILE: TRUTH},
        lambda _: None,
        "map_clsloc.txt",
        "line 1",
        "n02119789 1 kit_fox",
    ),
    "contradiction": (
        {"LOC_val_solution.csv": SOLUTION, "val.txt": CAFFE.replace(" 1", " 0"), "synsets.txt": "\n".join(SYNSETS)},
        lambda _: None,
        "val.txt",
        "two lists give",
        "ILSVRC2012_val_00000004 is n01443537 in",
    ),
    "not text": ({"val.txt": META}, lambda _: None, "val.txt", "cannot be read", "not UTF-8"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_mistake_has_a_message(name: str, tmp_path: Path) -> None:
    files, damage, file, what, why = BROKEN[name]
    root = make(tmp_path / "x", files)
    damage(root)
    with pytest.raises(DataError) as caught:
        imagenet.prepare(root)
    error = caught.value
    assert (error.code, error.where) == ("CN307", str(root / file))
    assert what in error.what and why in error.why and error.hints[0]
    assert not (root / "imagenet.csv").exists()


def test_the_reader_of_folders_names_the_command(tmp_path: Path, cli: CommandLine) -> None:
    root = make(tmp_path / "x", {})
    for words in (("train", "lenet_d2l", "--data"), ("data", "check"), ("data", "preview")):
        code, _out, err = cli(*words, root)
        if words[1] != "preview":
            assert code == 3 and f"classicnets data prepare imagenet {root}" in err
    code, _out, err = cli("data", "prepare", "imagenet", make_imagenet(tmp_path / "y"), "-o", tmp_path)
    assert code == 4 and "error[CN401]" in err and "-o" in err
    code, _out, err = cli("data", "prepare", "mnist", root)
    assert code == 2 and "classicnets data prepare imagenet FOLDER" in err


@pytest.mark.parametrize("cut", [0, 100, 127, 130, 140, 400])
def test_a_damaged_mat_file_is_an_error_of_its_content(tmp_path: Path, cut: int) -> None:
    (tmp_path / "x.mat").write_bytes(META.read_bytes()[:cut])
    with pytest.raises(ValueError):
        read_structs(tmp_path / "x.mat", "synsets")
    with pytest.raises(ValueError, match="no array of structures called other"):
        read_structs(META, "other")
