"""Names that shells, terminals, CSV or JSON read in their own way: every command takes them and prints them back."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.cli.main import main
from classicnets.images.names import class_name
from classicnets.text import command, csv_row
from support.command_line import CommandLine
from support.images import make_image_folder

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(sys.platform != "linux", reason="other systems do not have these names"),
]

NAMES = {
    "line break": "a\nb",
    "carriage return": "a\rb",
    "tab": "a\tb",
    "escape": "\x1b[31mred\x1b[0m",
    "dash": "-weird",
    "option": "--help",
    "spaces": "  a  b ",
    "quotes": "a'b\"c`d",
    "dollar": "$HOME;$(id)",
    "backslash": "a\\n\\",
    "comment": "#a %s %(x)d {y}",
    "setting": "a=1:b",
    "commas": "a,b;c",
    "formula": "=1+1",
    "brackets": "[red]*?",
    "tilde": "~nobody-of-this-name",
    "long": "x" * 200 + "ü" * 15,
    "emoji": "👩‍👧 猫",
    "right to left": "\u200fשלום\u202egnp",
    "not text": "caf\udce9",
    "device": "nul",
    "console": "CON",
    "dots": "a..",
}


@dataclass(frozen=True)
class Material:
    """A folder with a class of each name, whose images have that name, too; a run on it, and its exported file."""

    root: Path
    images: Path
    run: Path
    exported: Path

    def image(self, name: str) -> Path:
        return self.images / "test" / name / f"{name}.png"


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Material:
    root = tmp_path_factory.mktemp("odd")
    images = make_image_folder(root / NAMES["not text"], classes=[*NAMES.values()], per_class=2, test_per_class=1)
    for split in ("train", "test"):
        for name in NAMES.values():
            (images / split / name / f"{split}_0.png").rename(images / split / name / f"{name}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSICNETS_CACHE", str(root / "cache"))
        patch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
        patch.chdir(root)
        words = ["lenet_d2l", "--data", images.name, "--runs", "./" + NAMES["dash"], "--recipe", "fast"]
        assert main(["train", *words, "--set", "epochs=1", "image_size=28"]) == 0
        (run,) = Path(NAMES["dash"]).iterdir()
        assert main(["export", f"./{run}", "-o", f"./{NAMES['dash']}.onnx"]) == 0
    return Material(root, images, root / run, root / f"{NAMES['dash']}.onnx")


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Callable[..., bytes]:
    """Runs a command line in this process and returns what a file gets as its standard output."""

    def call(*arguments: str | Path, terminal: bool = False) -> bytes:
        content = io.BytesIO()
        stream = io.TextIOWrapper(content, "utf-8", "surrogateescape", newline="")
        monkeypatch.setattr(stream, "isatty", lambda: terminal)
        monkeypatch.setattr(sys, "stdout", stream)
        assert main([str(argument) for argument in arguments]) == 0
        stream.flush()
        return content.getvalue()

    return call


def read_csv(content: bytes) -> list[dict[str, str]]:
    return [*csv.DictReader(io.StringIO(content.decode("utf-8", "surrogateescape"), newline=""))]


def bash(line: str) -> list[str]:
    """The words of a command line, as bash reads them."""
    script = f"printf '%s\\0' {line}".encode("utf-8", "surrogateescape")
    done = subprocess.run(["bash", "-c", script], stdout=subprocess.PIPE, check=True)
    return [os.fsdecode(word) for word in done.stdout.split(b"\0")[:-1]]


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_name(name: str, material: Material, tmp_path: Path, output: Callable[..., bytes]) -> None:
    """Predict with an image and with an exported file of this name, in every format."""
    exported = Path(f"{name}.onnx")
    shutil.copy(material.exported, exported)
    line = command("classicnets", "predict", exported, material.image(name))
    assert line.isprintable() or any(c in line for c in "\u200d\u200f")
    program, verb, *places = bash(line)
    assert (program, verb) == ("classicnets", "predict")
    assert places == [f"./{exported}" if name.startswith("-") else str(exported), str(material.image(name))]
    document = json.loads(output("predict", *places, "--json"))
    (line_of_json,) = output("predict", *places, "--jsonl").splitlines()
    (row,) = read_csv(output("predict", *places, "--csv"))
    names = {document["predictions"][0]["picture"], json.loads(line_of_json)["picture"], row["picture"]}
    assert names == {str(material.image(name))}
    shown = output("predict", *places, "--csv", terminal=True)
    assert len(shown.splitlines()) == 2 and not {*b"\x1b\r\t\xe9"} & {*shown} and "\u202e".encode() not in shown
    if not name.startswith("-"):
        relative = shutil.copy(material.image(name), f"{name}.png")
        (row,) = read_csv(output("predict", exported, relative, "--csv"))
        assert row["picture"] == relative


def test_all_names(material: Material, output: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    classes, images = [class_name(name) for name in NAMES.values()], {str(material.image(n)) for n in NAMES.values()}
    monkeypatch.chdir(material.root)
    evaluation = json.loads(output("evaluate", material.run, "--json"))
    rows = read_csv(output("evaluate", material.run, "--csv"))
    assert {*evaluation["classes"]} == {row["class"] for row in rows} == {*classes}
    assert [f"as {name}" for name in evaluation["classes"]] == [*rows[0]][4:]
    for model in (material.run, material.exported):
        folder = material.images / "test"
        predictions = json.loads(output("predict", model, folder, "--json"))["predictions"]
        assert {prediction["picture"] for prediction in predictions} == images
        assert {name for prediction in predictions for name in prediction["classes"]} <= {*classes}
        assert {row["picture"] for row in read_csv(output("predict", model, folder, "--csv"))} == images
    split = read_csv((material.run / "split.csv").read_bytes())
    assert {row["path"] for row in split if row["split"] == "test"} == {
        f"test/{name}/{name}.png" for name in NAMES.values()
    }
    assert {row["class"] for row in split} == {*classes}
    checked = json.loads(output("data", "preview", material.images, "--json", "-o", "./-.png"))
    assert checked["file"] == "-.png"
    assert cn.Run(material.run).facts["data"] == str(material.images)


def test_names_on_standard_input(
    material: Material, output: Callable[..., bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    images = [str(material.image(name)) for name in NAMES.values()]
    stdin = io.TextIOWrapper(io.BufferedReader(io.BytesIO(b"\0".join(map(os.fsencode, images)) + b"\0")))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert [row["picture"] for row in read_csv(output("predict", material.exported, "-", "--csv"))] == images


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["predict", "RUN", "x.png", "--show", "-weird.png"], "--show ./-weird.png"),
        (["export", "RUN", "-o", "-weird.onnx"], "-o ./-weird.onnx"),
        (["predict", "-run", "x.png"], "./-run   # a file whose name begins with a dash"),
        (["predict", "RUN", "-run"], "./-run   # a file whose name begins with a dash"),
        (["export", "RUN", "-o"], "-o FILE"),
    ],
)
def test_a_dash_is_explained(words: list[str], hint: str, tmp_path: Path, cli: CommandLine) -> None:
    (tmp_path / "-run").mkdir()
    code, _, err = cli(*words)
    assert code == 2 and f"  hint:  {hint}\n" in err


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_a_line_of_csv(name: str) -> None:
    (row,) = csv.reader(io.StringIO(csv_row([name, 1, name]), newline=""))
    assert row == [name, "1", name]
