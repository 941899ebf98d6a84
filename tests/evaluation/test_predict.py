"""`predict` and `evaluate` from the outside, with a run and with an .onnx file as the model."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image

import classicnets as cn
from classicnets.errors import UsageError
from classicnets.evaluation import classify
from classicnets.report import predictions
from classicnets.report import sheet as sheets
from support.command_line import CommandLine
from support.images import save
from support.onnx_files import colors_onnx
from support.strokes import TWO, draw

pytestmark = pytest.mark.usefixtures("undrawn")
COLORS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}


def paint(path: Path, color: str, size: tuple[int, int] = (9, 12)) -> Path:
    return save(path, np.full((*size, 3), COLORS[color], dtype=np.uint8))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return colors_onnx(tmp_path / "colours.onnx")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two red images, a blue one and a file that is none."""
    for name, color in (("a1.png", "red"), ("a10.jpg", "blue"), ("more/a2.png", "red")):
        paint(tmp_path / "album" / name, color)
    (tmp_path / "album/broken.png").write_bytes(b"no image")
    return tmp_path / "album"


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    settings = {"image_size": 28, "epochs": 2, "batch_size": 8}
    return cn.train("lenet_d2l", data=str(folder), recipe="fast", quiet=True, runs=runs, **settings).path


def given(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content))))


# --- predict ---------------------------------------------------------------------------------------------------------


def test_a_table_with_what_could_not_be_read(cli: CommandLine, model: Path, album: Path) -> None:
    code, out, err = cli("predict", model, album, "--top", 1)
    assert code == 3
    rows = [re.split(" {2,}", line.strip()) for line in out.splitlines()[2:]]
    assert [(Path(row[0]).name, row[1]) for row in rows] == [
        ("a1.png", "red"),
        ("a10.jpg", "blue"),
        ("broken.png", "-"),
        ("a2.png", "red"),
    ]
    assert rows[2][-1] == "damaged, or not an image"
    assert "1 of 4 images could not be read" in err and f"{album}/broken.png: damaged" in err
    assert "colors, weights colors.onnx; images are seen as color 8x8" in err


def test_every_form_says_the_same(cli: CommandLine, model: Path, album: Path) -> None:
    code, out, _ = cli("predict", model, album, "--json")
    whole = json.loads(out)
    assert code == 3 and whole["weights"] == "colours.onnx"
    assert (whole["pictures"], whole["unread"], whole["known"], whole["right"]) == (4, 1, 0, 0)
    lines = [json.loads(line) for line in cli("predict", model, album, "--jsonl")[1].splitlines()]
    assert lines == whole["predictions"]
    assert [line.get("error", "") for line in lines] == ["", "", "damaged, or not an image", ""]
    rows = list(csv.DictReader(io.StringIO(cli("predict", model, album, "--csv")[1])))
    for row, line in zip(rows, lines, strict=True):
        assert (row["picture"], row["error"]) == (line["picture"], line.get("error", ""))
        assert [row["predicted"], row["predicted_2"]] == (list(line["classes"][:2]) or ["", ""])
        if line["classes"]:
            assert float(row["probability"]) == pytest.approx(line["probabilities"][0], rel=1e-5)


def test_a_list_with_classes_is_counted(cli: CommandLine, model: Path, album: Path, tmp_path: Path) -> None:
    (album / "list.csv").write_text("path;label\na1.png;red\na10.jpg;green\nmore/a2.png;\nbroken.png;red\n")
    code, out, err = cli("predict", model, album / "list.csv", "--json")
    whole = json.loads(out)
    assert code == 3 and (whole["known"], whole["right"]) == (2, 1)
    assert [row.get("right") for row in whole["predictions"]] == [True, False, None, None]
    assert "1 of 2 images of known class are right (50.0%)" in err
    assert re.search(r"a10.jpg +green \(wrong\) +blue", cli("predict", model, album / "list.csv")[1])


def test_standard_input(cli: CommandLine, model: Path, album: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given(monkeypatch, f"{album}/a1.png\n{album}/more\n".encode())
    assert [json.loads(line)["classes"][0] for line in cli("predict", model, "-", "--jsonl")[1].splitlines()] == [
        "red"
    ] * 2
    given(monkeypatch, (album / "a10.jpg").read_bytes())
    code, out, _ = cli("predict", model, "-", "--csv", "--show", "x.png")
    assert code == 0 and out.splitlines()[1].startswith("-,blue,")


def test_batches_keep_the_order_and_are_bounded(
    cli: CommandLine, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colors = [list(COLORS)[i % 3] for i in range(25)]
    for i, color in enumerate(colors):
        paint(tmp_path / "many" / f"{i}.png", color)
    (tmp_path / "many/12.png").write_bytes(b"")
    monkeypatch.setattr(classify, "_AT_ONCE", 4)
    monkeypatch.setattr(predictions, "TABLE", 10)
    lines = [json.loads(line) for line in cli("predict", model, "many/*.png", "--jsonl")[1].splitlines()]
    expected = [[color] if i != 12 else [] for i, color in enumerate(colors)]
    assert [list(line["classes"][:1]) for line in lines] == expected
    assert cli("predict", model, "many")[1].count("image ") == 3  # tables of ten


def test_no_more_than_two_batches_are_read_ahead(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, taken = paint(tmp_path / "x.png", "red"), 0
    monkeypatch.setattr(classify, "_AT_ONCE", 4)

    def endless() -> Iterator[Any]:
        nonlocal taken
        while True:
            taken += 1
            yield classify.Input("x", path)

    stream = cn.load(model).stream(endless())
    for shown in range(1, 30):
        assert next(stream)[1].classes[0] == "red" and taken <= shown + 8
    stream.close()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["x.onnx", "a.png"], 3, "error[CN308]"),
        (["colours.onnx", "album", "--device", "cuda"], 2, "takes no device"),
        (["colours.onnx", "album", "--net", "x.py:net"], 2, "takes no net"),
        (["colours.onnx", "album", "--precision", "auto"], 2, "takes no precision"),
        (["colours.onnx", "album", "--top", "0"], 2, "at least one class"),
        (["colours.onnx", "album", "--json", "--csv"], 2, "exclude each other"),
        (["colours.onnx", "album", "--jsonl", "--csv"], 2, "not allowed with"),
        (["colours.onnx", "album", "no*.png"], 3, "there is no image in no*.png"),
        (["colours.onnx", "album", "bad.csv"], 3, "error[CN307]"),
        (["album", "a.png"], 2, "error[CN207]"),
    ],
)
def test_mistakes(
    cli: CommandLine, model: Path, album: Path, arguments: list[str], code: int, words: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("name\nx.png\n")
    got, out, err = cli("predict", *arguments)
    assert (got, words in err) == (code, True) and "probabilit" not in out  # before anything is classified


def test_handwriting_and_the_sheet(cli: CommandLine, tmp_path: Path) -> None:
    model = colors_onnx(tmp_path / "x.onnx", preprocess=cn.Preprocess(channels=1, image_size=28))
    save(tmp_path / "own/two.png", np.moveaxis(draw(TWO), 0, -1))
    save(tmp_path / "own/page.png", np.full((50, 40), 200, np.uint8))
    shown: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "sheet", lambda pairs, title: shown.append((pairs, title)))
        code, out, err = cli("predict", model, "own", "--handwriting", "--show", "seen.png", "--jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3 and "each character white on black" in err and (tmp_path / "seen.png").exists()
    assert [line.get("error") for line in lines] == ["no ink stands out from the paper", None]
    (((page, two), title),) = shown
    assert page.seen is None and page.original is not None and "28x28" in title
    assert two.seen.shape == (1, 28, 28) and two.seen[0, 0].max() == 0 and two.seen.max() == 255
    assert two.original.shape == (3, 300, 300) and two.original[0, 0, 0] == 255


def test_the_sheet_shows_what_the_net_is_given(cli: CommandLine, tmp_path: Path) -> None:
    """A border of two pixels, then the middle: a net that pads to 12 and takes 10."""
    preprocess = cn.Preprocess(channels=3, image_size=10, resize=8, pad=2)
    model = colors_onnx(tmp_path / "x.onnx", preprocess=preprocess)
    paint(tmp_path / "red.png", "red")
    shown: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "sheet", lambda pairs, title: shown.extend(pairs))
        assert cli("predict", model, "red.png", "--show", "seen.png")[0] == 0
    seen = shown[0].seen
    assert seen.shape == (3, 10, 10) and (seen[:, 0] == 0).all() and seen[:, 5, 5].tolist() == list(COLORS["red"])


# --- a run, and Python -----------------------------------------------------------------------------------------------


def test_a_run_and_its_python_face(cli: CommandLine, run: Path, folder: Path) -> None:
    opened = cn.load(run)
    assert isinstance(opened, cn.Run)
    found = opened.predict(folder / "test", top=1)
    assert len(found) == 30
    lines = [json.loads(line) for line in cli("predict", run, folder / "test", "--jsonl", "--top", 1)[1].splitlines()]
    assert [list(one.classes) for one in found] == [line["classes"] for line in lines]
    right = [Path(one.image).parent.name == one.classes[0] for one in found]
    assert np.mean(right) == pytest.approx(opened.evaluate().accuracy)


def test_the_precision_is_float32_unless_asked_for(cli: CommandLine, run: Path, folder: Path) -> None:
    exact, rough = (cn.load(run, precision=one).predict(folder / "test", top=2) for one in ("float32", "bfloat16"))
    found = [np.array([one.probabilities for one in each]) for each in (exact, rough)]
    assert 0 < np.abs(found[0] - found[1]).max() < 0.03
    assert cn.load(run).predictor.precision == "float32" == cn.load(run, precision="auto").predictor.precision  # small
    for verb, images in (("evaluate", []), ("predict", [folder / "test"])):
        code, out, err = cli(verb, run, *images, "--precision", "bfloat16")
        assert code == 0 and (", bfloat16)" in out or " in bfloat16;" in err)
        assert json.loads(cli(verb, run, *images, "--json")[1])["computed_in"] == "float32"
    with pytest.raises(UsageError, match="precision must be one of auto, float32, bfloat16"):
        cn.load(run, precision="float16")


def test_an_onnx_file_in_python(model: Path, album: Path) -> None:
    opened = cn.load(model)
    assert opened.classes == ("red", "green", "blue") and "colours" in repr(opened)
    good, broken = opened.predict(album / "a1.png", album / "broken.png")
    assert good.classes[0] == "red" and sum(good.probabilities) == pytest.approx(1)
    assert (broken.classes, broken.error) == ((), "damaged, or not an image")


# --- evaluate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Red and blue images in folders; one of the red ones is green."""
    for name, color in (("red/1", "red"), ("red/2", "green"), ("blue/1", "blue"), ("blue/2", "blue")):
        paint(tmp_path / "data" / f"{name}.png", color)
    return tmp_path / "data"


def test_a_folder_is_matched_by_the_names_of_its_classes(cli: CommandLine, model: Path, labeled: Path) -> None:
    code, out, err = cli("evaluate", model, labeled, "--json")
    result = json.loads(out)
    assert code == 0 and "4 images, of 2 of the net's 3 classes" in err
    assert (result["n"], result["accuracy"], result["classes"]) == (4, 0.75, ["red", "green", "blue"])
    assert result["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 2]] and result["support"] == [2, 0, 2]
    _, out, _ = cli("evaluate", model, labeled)
    assert "accuracy 0.7500" in out and re.search(r"^red +0.500 +1.000 +2 +green \(1\)", out, re.M)
    _, out, _ = cli("evaluate", model, labeled, "--csv")
    assert out.splitlines() == [
        "class,images,recall,precision,as red,as green,as blue",
        "red,2,0.5,1,1,1,0",
        "green,0,,0,0,0,0",
        "blue,2,1,1,0,0,2",
    ]


def test_a_list_is_evaluated_as_the_folder_is(model: Path, labeled: Path) -> None:
    rows = [f"{path.relative_to(labeled)},{path.parent.name}" for path in labeled.rglob("*.png")]
    (labeled / "list.csv").write_text("\n".join(["path,class", *rows]))
    opened = cn.load(model)
    by_list, by_folder = opened.evaluate(labeled / "list.csv"), opened.evaluate(labeled)
    assert by_list.confusion == by_folder.confusion and by_list.n == 4


def test_classes_the_net_does_not_know_are_named(cli: CommandLine, model: Path, labeled: Path) -> None:
    (labeled / "blue").rename(labeled / "Blues")
    code, _, err = cli("evaluate", model, labeled)
    assert code == 3 and "error[CN306]" in err and "'Blues'; the nearest is 'blue'" in err
    assert "it knows red, green, blue" in err


def test_a_broken_image_stops_an_evaluation(cli: CommandLine, model: Path, labeled: Path) -> None:
    (labeled / "red/3.png").write_bytes(b"")
    code, out, err = cli("evaluate", model, labeled)
    assert (code, out) == (3, "") and "1 image cannot be read" in err and "red/3.png" in err


def test_an_onnx_file_without_its_data_says_so(cli: CommandLine, model: Path) -> None:
    code, _, err = cli("evaluate", model)
    assert code == 2 and "error[CN206]" in err and "where: animals" in err and f"evaluate {model} DATA" in err


def test_an_onnx_file_is_measured_on_the_data_it_names(
    cli: CommandLine, folder: Path, run: Path, tmp_path: Path
) -> None:
    facts = cn.Run(run).facts
    shutil.copytree(folder, tmp_path / "animals")
    classes = tuple(facts["classes"])
    model = colors_onnx(tmp_path / "x.onnx", classes=classes, fingerprint=facts["fingerprint"])
    result = json.loads(cli("evaluate", model, "--json")[1])
    assert (result["n"], result["data"]) == (30, "animals")
    model = colors_onnx(tmp_path / "x.onnx", classes=classes, fingerprint="another")
    code, _, err = cli("evaluate", model)
    assert code == 3 and "holds other bytes than x.onnx was trained on" in err


def test_a_run_on_its_own_folder_is_its_test_split_alone(
    cli: CommandLine, run: Path, folder: Path, tmp_path: Path
) -> None:
    own = json.loads(cli("evaluate", run, "--json")[1])
    code, out, err = cli("evaluate", run, folder, "--json")
    assert code == 0 and "its test split alone" in err and json.loads(out)["confusion"] == own["confusion"]
    elsewhere = shutil.copytree(folder / "test", tmp_path / "elsewhere")
    assert json.loads(cli("evaluate", run, elsewhere, "--json")[1])["confusion"] == own["confusion"]


def test_idx_files_are_matched_by_name_or_else_by_number(
    cli: CommandLine, blobs: Path, model: Path, tmp_path: Path
) -> None:
    code, _, err = cli("evaluate", model, blobs)
    assert code == 3 and "does not know 10 of the data's classes" in err
    ten = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    by_name = cn.load(ten.path).evaluate(shutil.copytree(blobs, tmp_path / "copy"))
    assert by_name.confusion == ten.evaluate().confusion
    facts = ten.folder.read()
    ten.folder.write(facts | {"classes": [f"class {i}" for i in range(10)]})
    code, out, err = cli("evaluate", ten.path, tmp_path / "copy", "--json")
    assert code == 0 and "labels are numbers without names" in err
    assert json.loads(out)["confusion"] == [list(row) for row in by_name.confusion]


def test_the_sheet_itself_is_a_image(tmp_path: Path) -> None:
    from classicnets.report import figures, sheet

    pairs = [
        sheet.Pair("a.png", np.zeros((3, 9, 4), np.uint8), np.zeros((1, 8, 8), np.uint8), "boot 0.9", right=True),
        sheet.Pair("b.png", None, None, "not an image"),
    ]
    figure = sheet.sheet(pairs, "title")
    assert [axes.get_title() for axes in figure.axes] == ["a.png", "boot 0.9", "b.png", ""]
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not an image"]
    content = io.BytesIO()
    figure.savefig(content, dpi=figures.DPI)
    assert Image.open(content).size[0] > 400
