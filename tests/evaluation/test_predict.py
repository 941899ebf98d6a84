"""`predict` and `evaluate`, with a run and with an .onnx file as the model."""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import classicnets as cn
from classicnets.errors import UsageError
from classicnets.evaluation import classify
from classicnets.images.inputs import Input
from classicnets.report import predictions
from classicnets.report import sheet as sheets
from support.command_line import CommandLine
from support.images import save
from support.onnx_files import colors_onnx
from support.strokes import TWO, draw

COLORS = {"red": (250, 20, 20), "green": (20, 250, 20), "blue": (20, 20, 250)}


def paint(path: Path, color: str, size: tuple[int, int] = (9, 12)) -> Path:
    return save(path, np.full((*size, 3), COLORS[color], dtype=np.uint8))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return colors_onnx(tmp_path / "colors.onnx")


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Two red images, a blue image and a file that is not an image."""
    for name, color in (("a1.png", "red"), ("a10.jpg", "blue"), ("more/a2.png", "red")):
        paint(tmp_path / "album" / name, color)
    (tmp_path / "album/broken.png").write_bytes(b"no image")
    return tmp_path / "album"


@pytest.fixture(scope="module")
def run(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("runs")
    settings = {"image_size": 28, "epochs": 2, "batch_size": 8}
    path: Path = cn.train("lenet_d2l", data=str(folder), recipe="fast", quiet=True, runs=runs, **settings).path
    return path


def set_stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(content))))


# --- predict ---------------------------------------------------------------------------------------------------------


def test_table_includes_images_that_cannot_be_read(cli: CommandLine, model: Path, album: Path) -> None:
    code, out, err = cli("predict", model, album, "--top", 1)
    assert code == 3
    rows = [re.split(" {2,}", line.strip()) for line in out.splitlines()[2:]]
    assert [(Path(row[0]).name, row[1]) for row in rows] == [
        ("a1.png", "red"),
        ("a10.jpg", "blue"),
        ("broken.png", "-"),
        ("a2.png", "red"),
    ]
    assert rows[2][-1] == "it is a text file"
    assert "1 of 4 images could not be read" in err and f"{album}/broken.png: it is a text file" in err
    assert "colors, weights colors.onnx; images are preprocessed to color 8x8" in err


def test_all_output_formats_have_the_same_content(cli: CommandLine, model: Path, album: Path) -> None:
    code, out, _ = cli("predict", model, album, "--json")
    document = json.loads(out)
    assert code == 3 and document["weights"] == "colors.onnx"
    assert (document["pictures"], document["unread"], document["known"], document["right"]) == (4, 1, 0, 0)
    lines = [json.loads(line) for line in cli("predict", model, album, "--jsonl")[1].splitlines()]
    assert lines == document["predictions"]
    assert [line.get("error", "") for line in lines] == ["", "", "it is a text file", ""]
    rows = list(csv.DictReader(io.StringIO(cli("predict", model, album, "--csv")[1])))
    for row, line in zip(rows, lines, strict=True):
        assert (row["picture"], row["error"]) == (line["picture"], line.get("error", ""))
        assert [row["predicted"], row["predicted_2"]] == (list(line["classes"][:2]) or ["", ""])
        if line["classes"]:
            assert float(row["probability"]) == pytest.approx(line["probabilities"][0], rel=1e-5)


def test_csv_with_classes_counts_correct_predictions(
    cli: CommandLine, model: Path, album: Path, tmp_path: Path
) -> None:
    (album / "list.csv").write_text("path;label\na1.png;red\na10.jpg;green\nmore/a2.png;\nbroken.png;red\n")
    code, out, err = cli("predict", model, album / "list.csv", "--json")
    document = json.loads(out)
    assert code == 3 and (document["known"], document["right"]) == (2, 1)
    assert [row.get("right") for row in document["predictions"]] == [True, False, None, None]
    assert "1 of 2 images with a known class are classified correctly (50.0%)" in err
    assert re.search(r"a10.jpg +green \(wrong\) +blue", cli("predict", model, album / "list.csv")[1])


def test_reads_paths_or_an_image_from_standard_input(
    cli: CommandLine, model: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_stdin(monkeypatch, f"{album}/a1.png\n{album}/more\n".encode())
    assert [json.loads(line)["classes"][0] for line in cli("predict", model, "-", "--jsonl")[1].splitlines()] == [
        "red"
    ] * 2
    set_stdin(monkeypatch, (album / "a10.jpg").read_bytes())
    code, out, _ = cli("predict", model, "-", "--csv", "--show", "x.png")
    assert code == 0 and out.splitlines()[1].startswith("-,blue,")


def test_notes_about_folders_from_standard_input_are_printed(
    cli: CommandLine, model: Path, album: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (album / "readme.txt").write_text("not an image")
    folder_notes = [line for line in cli("predict", model, album)[2].splitlines() if line.startswith("album: ")]
    set_stdin(monkeypatch, f"{album}\n".encode())
    stdin_notes = [line for line in cli("predict", model, "-")[2].splitlines() if line.startswith("album: ")]
    assert stdin_notes == folder_notes != []


def test_batches_and_tables_keep_the_order_of_the_images(
    cli: CommandLine, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    colors = [list(COLORS)[i % 3] for i in range(25)]
    for i, color in enumerate(colors):
        paint(tmp_path / "many" / f"{i}.png", color)
    (tmp_path / "many/12.png").write_bytes(b"")
    monkeypatch.setattr(classify, "_BATCH_SIZE", 4)
    monkeypatch.setattr(predictions, "TABLE_ROWS", 10)
    lines = [json.loads(line) for line in cli("predict", model, "many/*.png", "--jsonl")[1].splitlines()]
    expected = [[color] if i != 12 else [] for i, color in enumerate(colors)]
    assert [list(line["classes"][:1]) for line in lines] == expected
    assert cli("predict", model, "many")[1].count("image ") == 3  # tables of ten


def test_reads_at_most_two_batches_ahead(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, read_count = paint(tmp_path / "x.png", "red"), 0
    monkeypatch.setattr(classify, "_BATCH_SIZE", 4)

    def endless() -> Iterator[Any]:
        nonlocal read_count
        while True:
            read_count += 1
            yield Input("x", path)

    stream = cn.load(model).stream(endless())
    assert isinstance(stream, Generator)
    for count in range(1, 30):
        assert next(stream)[1].classes[0] == "red" and read_count <= count + 8
    stream.close()


@pytest.mark.parametrize(
    ("arguments", "exit_code", "message"),
    [
        (["x.onnx", "a.png"], 3, "error[CN308]"),
        (["colors.onnx", "album", "--device", "cuda"], 2, "do not apply to an exported file: device"),
        (["colors.onnx", "album", "--net", "x.py:net"], 2, "do not apply to an exported file: net"),
        (["colors.onnx", "album", "--precision", "auto"], 2, "do not apply to an exported file: precision"),
        (["colors.onnx", "album", "--top", "0"], 2, "--top must be at least 1, not 0"),
        (["colors.onnx", "album", "--json", "--csv"], 2, "cannot be combined"),
        (["colors.onnx", "album", "--jsonl", "--csv"], 2, "cannot be combined"),
        (["colors.onnx", "album", "no*.png"], 3, "there is no image in no*.png"),
        (["colors.onnx", "album", "bad.csv"], 3, "error[CN307]"),
        (["album", "a.png"], 2, "error[CN207]"),
    ],
)
def test_rejects_invalid_arguments_before_classifying(
    cli: CommandLine, model: Path, album: Path, arguments: list[str], exit_code: int, message: str, tmp_path: Path
) -> None:
    (tmp_path / "bad.csv").write_text("name\nx.png\n")
    code, out, err = cli("predict", *arguments)
    assert (code, message in err) == (exit_code, True) and "probabilit" not in out


def recorder(calls: list[Any]) -> Callable[..., Figure]:
    """Draws nothing, and records its arguments."""

    def draw_sheet(*arguments: Any) -> Figure:
        calls.append(arguments)
        return Figure(figsize=(1, 1))

    return draw_sheet


def test_handwriting_is_centered_and_drawn_on_the_sheet(cli: CommandLine, tmp_path: Path) -> None:
    model = colors_onnx(tmp_path / "x.onnx", preprocess=cn.Preprocess(channels=1, image_size=28))
    save(tmp_path / "own/two.png", np.moveaxis(draw(TWO), 0, -1))
    save(tmp_path / "own/page.png", np.full((50, 40), 200, np.uint8))
    sheet_arguments: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "draw_sheet", recorder(sheet_arguments))
        code, out, err = cli("predict", model, "own", "--handwriting", "--show", "seen.png", "--jsonl")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 3 and "each character white on black" in err and (tmp_path / "seen.png").exists()
    assert [line.get("error") for line in lines] == ["no ink stands out from the paper", None]
    (((page, two), title),) = sheet_arguments
    assert page.preprocessed is None and page.original is not None and "28x28" in title
    assert two.preprocessed.shape == (1, 28, 28) and two.preprocessed[0, 0].max() == 0 and two.preprocessed.max() == 255
    assert two.original.shape == (3, 300, 300) and two.original[0, 0, 0] == 255


def test_sheet_shows_the_preprocessed_images(cli: CommandLine, tmp_path: Path) -> None:
    """The preprocessing adds a border of two pixels, then takes the central 10 of 12 pixels."""
    preprocess = cn.Preprocess(channels=3, image_size=10, resize=8, pad=2)
    model = colors_onnx(tmp_path / "x.onnx", preprocess=preprocess)
    paint(tmp_path / "red.png", "red")
    sheet_arguments: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sheets, "draw_sheet", recorder(sheet_arguments))
        assert cli("predict", model, "red.png", "--show", "seen.png")[0] == 0
    seen = sheet_arguments[0][0][0].preprocessed
    assert seen.shape == (3, 10, 10) and (seen[:, 0] == 0).all() and seen[:, 5, 5].tolist() == list(COLORS["red"])


# --- a run, and Python -----------------------------------------------------------------------------------------------


def test_python_and_command_line_predict_the_same(cli: CommandLine, run: Path, folder: Path) -> None:
    model = cn.load(run)
    assert isinstance(model, cn.Run)
    predictions = model.predict(folder / "test", top=1)
    assert len(predictions) == 30
    lines = [json.loads(line) for line in cli("predict", run, folder / "test", "--jsonl", "--top", 1)[1].splitlines()]
    assert [list(prediction.classes) for prediction in predictions] == [line["classes"] for line in lines]
    correct = [Path(prediction.image).parent.name == prediction.classes[0] for prediction in predictions]
    assert np.mean(correct) == pytest.approx(model.evaluate().accuracy)


def test_default_precision_is_float32(cli: CommandLine, run: Path, folder: Path) -> None:
    probabilities = [
        np.array([prediction.probabilities for prediction in model.predict(folder / "test", top=2)])
        for model in (cn.load(run, precision=precision) for precision in ("float32", "bfloat16"))
    ]
    assert 0 < np.abs(probabilities[0] - probabilities[1]).max() < 0.03
    assert cn.load(run).predictor.precision == "float32" == cn.load(run, precision="auto").predictor.precision  # small
    for verb, images in (("evaluate", []), ("predict", [folder / "test"])):
        code, out, err = cli(verb, run, *images, "--precision", "bfloat16")
        assert code == 0 and (", bfloat16)" in out or " (bfloat16);" in err)
        assert json.loads(cli(verb, run, *images, "--json")[1])["computed_in"] == "float32"
    with pytest.raises(UsageError, match="precision must be one of auto, float32, bfloat16"):
        cn.load(run, precision="float16")


def test_loads_an_onnx_file_in_python(model: Path, album: Path) -> None:
    loaded = cn.load(model)
    assert loaded.classes == ("red", "green", "blue") and "colors" in repr(loaded)
    good, broken = loaded.predict(album / "a1.png", album / "broken.png")
    assert good.classes[0] == "red" and sum(good.probabilities) == pytest.approx(1)
    assert (broken.classes, broken.error) == ((), "it is a text file")


# --- evaluate --------------------------------------------------------------------------------------------------------


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Folders of red and blue images; one image in the red folder is green."""
    for name, color in (("red/1", "red"), ("red/2", "green"), ("blue/1", "blue"), ("blue/2", "blue")):
        paint(tmp_path / "data" / f"{name}.png", color)
    return tmp_path / "data"


def test_evaluate_matches_class_folders_by_name(cli: CommandLine, model: Path, labeled: Path) -> None:
    code, out, err = cli("evaluate", model, labeled, "--json")
    result = json.loads(out)
    assert code == 0 and "4 images (there is no test split), in 2 of the network's 3 classes" in err
    assert (result["n"], result["accuracy"], result["classes"]) == (4, 0.75, ["red", "green", "blue"])
    assert result["confusion"] == [[1, 1, 0], [0, 0, 0], [0, 0, 2]] and result["support"] == [2, 0, 2]
    _, out, _ = cli("evaluate", model, labeled)
    assert "accuracy 0.7500" in out and re.search(r"^red +0.500 +1.000 +2 +green \(1\)", out, re.M)
    _, out, _ = cli("evaluate", model, labeled, "--csv")
    assert out.splitlines() == [
        "class,pictures,recall,precision,as red,as green,as blue",
        "red,2,0.5,1,1,1,0",
        "green,0,,0,0,0,0",
        "blue,2,1,1,0,0,2",
    ]


def test_evaluate_csv_equals_evaluate_folder(model: Path, labeled: Path) -> None:
    rows = [f"{path.relative_to(labeled)},{path.parent.name}" for path in labeled.rglob("*.png")]
    (labeled / "list.csv").write_text("\n".join(["path,class", *rows]))
    loaded = cn.load(model)
    csv_result, folder_result = loaded.evaluate(labeled / "list.csv"), loaded.evaluate(labeled)
    assert csv_result.confusion == folder_result.confusion and csv_result.n == 4


def test_evaluate_names_unknown_classes(cli: CommandLine, model: Path, labeled: Path) -> None:
    (labeled / "blue").rename(labeled / "Blues")
    code, _, err = cli("evaluate", model, labeled)
    assert code == 3 and "error[CN306]" in err and "'Blues'; the nearest is 'blue'" in err
    assert "the network knows red, green, blue" in err


def test_evaluate_fails_for_image_that_cannot_be_read(cli: CommandLine, model: Path, labeled: Path) -> None:
    (labeled / "red/3.png").write_bytes(b"")
    code, out, err = cli("evaluate", model, labeled)
    assert (code, out) == (3, "") and "1 image cannot be read" in err and "red/3.png" in err
    assert "--on-bad-image skip" in err


def test_evaluate_skips_images_that_cannot_be_read(cli: CommandLine, model: Path, labeled: Path) -> None:
    complete = json.loads(cli("evaluate", model, labeled, "--json")[1])
    for i in range(6):
        (labeled / f"red/broken{i}.png").write_bytes(b"")
    code, out, err = cli("evaluate", model, labeled, "--on-bad-image", "skip", "--json")
    result = json.loads(out)
    assert code == 0 and "6 images cannot be read and are skipped, the first is " in err and "red/broken0.png" in err
    assert (result["n"], result["confusion"]) == (4, complete["confusion"])
    assert result["left_out"] == {"no_class": 0, "unsupported_format": 0, "unreadable": 6}
    assert "6 images are left out" in cli("evaluate", model, labeled, "--on-bad-image", "skip")[1]


def test_evaluate_fails_if_no_image_can_be_read(cli: CommandLine, model: Path, tmp_path: Path) -> None:
    (tmp_path / "data/red").mkdir(parents=True)
    (tmp_path / "data/red/1.png").write_bytes(b"")
    code, out, err = cli("evaluate", model, "data", "--on-bad-image", "skip")
    assert (code, out) == (3, "") and "error[CN304]: 1 image cannot be read" in err


def test_evaluate_skips_images_of_the_training_data_as_training_did(
    cli: CommandLine, folder: Path, tmp_path: Path
) -> None:
    data = shutil.copytree(folder, tmp_path / "animals")
    next(data.glob("test/*/*.png")).write_bytes(b"")
    settings = {"image_size": 28, "epochs": 1, "batch_size": 8}
    run = cn.train("lenet_d2l", data=str(data), recipe="fast", quiet=True, on_bad_image="skip", **settings)
    assert json.loads(cli("evaluate", run.path, "--json")[1])["n"] == 29
    assert run.evaluate(on_bad_image="skip").n == 29


def test_evaluate_reports_missing_default_data(cli: CommandLine, model: Path) -> None:
    code, _, err = cli("evaluate", model)
    assert code == 2 and "error[CN206]" in err and "where: animals" in err and f"evaluate {model} DATA" in err


def test_evaluate_onnx_file_uses_its_training_data(cli: CommandLine, folder: Path, run: Path, tmp_path: Path) -> None:
    facts = cn.Run(run).facts
    shutil.copytree(folder, tmp_path / "animals")
    classes = tuple(facts["classes"])
    model = colors_onnx(tmp_path / "x.onnx", classes=classes, fingerprint=facts["fingerprint"])
    result = json.loads(cli("evaluate", model, "--json")[1])
    assert (result["n"], result["data"]) == (30, "animals")
    model = colors_onnx(tmp_path / "x.onnx", classes=classes, fingerprint="another")
    code, _, err = cli("evaluate", model)
    assert code == 3 and "the contents of animals have changed since x.onnx was trained on it" in err


def test_evaluate_on_training_folder_uses_only_the_test_split(
    cli: CommandLine, run: Path, folder: Path, tmp_path: Path
) -> None:
    default = json.loads(cli("evaluate", run, "--json")[1])
    code, out, err = cli("evaluate", run, folder, "--json")
    assert code == 0 and "30 images of the test split" in err and json.loads(out)["confusion"] == default["confusion"]
    test_folder = shutil.copytree(folder / "test", tmp_path / "copy")
    assert json.loads(cli("evaluate", run, test_folder, "--json")[1])["confusion"] == default["confusion"]


def test_evaluate_matches_idx_labels_by_name_or_number(
    cli: CommandLine, blobs: Path, model: Path, tmp_path: Path
) -> None:
    code, _, err = cli("evaluate", model, blobs)
    assert code == 3 and "the network does not know 10 classes of the data" in err
    run = cn.train("lenet_d2l", data=str(blobs), epochs=1, limit=64, quiet=True)
    by_name = cn.load(run.path).evaluate(shutil.copytree(blobs, tmp_path / "copy"))
    assert by_name.confusion == run.evaluate().confusion
    facts = run.folder.read()
    run.folder.write(facts | {"classes": [f"class {i}" for i in range(10)], "fingerprint": "another"})
    code, out, err = cli("evaluate", run.path, tmp_path / "copy", "--json", "--trust")
    assert code == 0 and "has labels without class names" in err
    assert json.loads(out)["confusion"] == [list(row) for row in by_name.confusion]


def test_sheet_is_a_figure_with_titles(tmp_path: Path) -> None:
    from classicnets.report import figures, sheet

    pairs = [
        sheet.Pair("a.png", np.zeros((3, 9, 4), np.uint8), np.zeros((1, 8, 8), np.uint8), "boot 0.9", correct=True),
        sheet.Pair("b.png", None, None, "not an image"),
    ]
    figure = sheet.draw_sheet(pairs, "title")
    assert [axes.get_title() for axes in figure.axes] == ["a.png", "boot 0.9", "b.png", ""]
    assert [text.get_text() for axes in figure.axes for text in axes.texts] == ["not an image"]
    content = io.BytesIO()
    figure.savefig(content, dpi=figures.DPI)
    assert Image.open(content).size[0] > 400


def test_skipped_images_have_no_row_and_are_counted(cli: CommandLine, tmp_path: Path) -> None:
    model = colors_onnx(tmp_path / "m.onnx")
    folder = tmp_path / "images"
    folder.mkdir()
    Image.new("RGB", (8, 8), (250, 0, 0)).save(folder / "good.png")
    (folder / "bad.png").write_bytes(b"nothing")
    code, out, err = cli("predict", model, folder, "--on-bad-image", "skip", "--json")
    document = json.loads(out)
    assert code == 0 and "1 image is left out: 1 that cannot be read" in err and "bad.png" in err
    assert [Path(row["picture"]).name for row in document["predictions"]] == ["good.png"]
    assert (document["unread"], document["pictures"]) == (1, 2)
    assert [p.image for p in cn.load(model).predict(folder, on_bad_image="skip")] == [str(folder / "good.png")]
    code, out, _err = cli("predict", model, folder, "--csv")
    assert code == 3 and "bad.png" in out  # by default, the image has a row with the reason
    (folder / "good.png").unlink()
    assert cli("predict", model, folder, "--on-bad-image", "skip")[0] == 3
    with pytest.raises(UsageError, match="--on-bad-image must be fail or skip"):
        cn.load(model).predict(folder, on_bad_image="repair")
