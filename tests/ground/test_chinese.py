"""Chinese outputs: Chinese punctuation, nothing glued together in English, and no result depends on the language."""

from __future__ import annotations

import ast
import json
import pickle
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from babel.messages.pofile import read_po
from PIL import Image

import classicnets
from classicnets.images import background
from classicnets.language import LANGUAGES, VARIABLE, texts_in
from classicnets.models.graph import Graph
from classicnets.models.lrn import LRN
from classicnets.models.messages import Message, ModelError, reason, recognized
from classicnets.report import quantities
from classicnets.spec import run_spec
from classicnets.studies.measures import measure
from classicnets.text import _, clauses, columns, full_stop, in_context, join, labeled, listed, phrases, sentences
from classicnets.training.plan import plan
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.images import make_image_folder

SOURCE = Path(classicnets.__file__).parent
FILES = sorted(SOURCE.rglob("*.py"))
CATALOG = SOURCE / "locale" / "zh_CN" / "LC_MESSAGES" / "classicnets.po"
# English punctuation after a Chinese character, or before one
GLUE = re.compile(r"[一-鿿”）][;,:?!](?=[\s一-鿿]|$)|[一-鿿”）]\.(?=\s|$)|[;,:.] ?[一-鿿“]")
TAG = re.compile(r"^(error\[)?CN\d{3}\]?: ")  # the same in every language
# a command that starts with a folder of a run is `evaluate`, and so on
COMMANDS = """\
train lenet_d2l --data {blobs} --set epochs=2 pad=2 --deterministic --runs runs
train lenet_d2l --data {blobs} --dry-run --set epochs=2
train alexnet_28 --data {shapes} --on-bad-image skip --dry-run --set epochs=1 image_size=16 --recipe folder
train lenet_d2l --data {blobs} --parallel hybrid --processes 2 --dry-run
train lenet_d2l --data {blobs} --set epochs=0 lr=-1
evaluate {run}
predict {run} {shapes}/train
predict {run} {shapes}/train/cat/empty.png
weights identify {run}/weights.safetensors
data check {shapes}
show lenet_d2l --set net.pool=max
show lenet_d2l alexnet_28
show lenet_d2l --input 3x5x5
show lenet5_1998 --set net.width=2
doctor
explain CN201
exercise lenet.1
"""


@pytest.fixture
def chinese(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "zh")
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def shapes(tmp_path: Path) -> Path:
    """A folder of images with most kinds of findings."""
    folder = make_image_folder(tmp_path / "shapes", per_class=12, test_per_class=2)
    first = min((folder / "train").glob("*/*.png"))
    cat = folder / "train" / "cat"
    for i in range(12):
        image = Image.new("RGBA", (20 + i, 20), (0, 0, 0, 0))
        image.paste((0, 0, 0, 255), (3, 3, 8 + i % 3, 9 + i // 3))
        image.save(cat / f"clear{i}.png")
    Image.open(first).convert("L").save(cat / "gray.png")
    Image.new("RGB", (200, 8)).save(cat / "long.png")
    (cat / "cut.png").write_bytes(first.read_bytes()[:90])
    (cat / "raw.png").write_bytes(b"FUJIFILMCCD-RAW" + bytes(600))
    (cat / "empty.png").write_bytes(b"")
    (folder / "train" / "dog" / "copy.png").write_bytes(first.read_bytes())
    return folder


def test_parts_are_joined_in_the_punctuation_of_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (listed(["a", "b"]), phrases(["a", "b"]), clauses(["a", "", "b"])) == ("a, b", "a, b", "a; b")
    assert sentences([full_stop("a"), full_stop("b")]) == "a. b."
    assert (labeled("a", "b"), join([*"abc"], 2), listed(["猫", "狗"]), clauses([])) == (
        "a: b",
        "a, b and 1 more",
        "猫, 狗",
        "",
    )
    monkeypatch.setenv(VARIABLE, "zh")
    assert (listed(["a", "b"]), listed(["猫", "b"]), phrases(["甲", "乙"]), clauses(["甲", "", "乙"])) == (
        "a, b",
        "猫、b",
        "甲，乙",
        "甲；乙",
    )
    assert sentences([full_stop("甲"), full_stop("乙")]) == "甲。乙。"
    assert (labeled("甲", "乙"), in_context("unit", "seconds"), in_context("heading", "color")) == (
        "甲：乙",
        "秒",
        "颜色",
    )


def test_outputs_have_chinese_punctuation(
    cli: CommandLine, blobs: Path, shapes: Path, chinese: None, in_one_process: None
) -> None:
    run, wrong = "", []
    for line in COMMANDS.splitlines():
        command = line.format(blobs=blobs, shapes=shapes, run=run).split()
        _code, out, err = cli(*command)
        assert re.search("[一-鿿]", out + err), line
        run = run or str(next(Path("runs").iterdir()))
        wrong += [(line, each) for each in (out + err).splitlines() if GLUE.search(TAG.sub("", each))]
    assert not wrong
    card = (Path(run) / "card.md").read_text(encoding="utf-8")
    assert not [line for line in card.splitlines() if GLUE.search(line)]


def glued(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield strings that are joined with "; ", and f-strings that end a field with a full stop or join two by "; "."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "join":
            if isinstance(node.func.value, ast.Constant) and str(node.func.value.value).startswith(";"):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.JoinedStr):
            texts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            fields = [name for part in node.values if isinstance(part, ast.FormattedValue) for name in names(part)]
            is_sentence = texts[-1] == "." or "; " in texts
            if is_sentence and not {"prefix", "name", "place"} & {*fields}:
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.AugAssign | ast.BinOp) and isinstance(node.op, ast.Add):
            sides = [node.value] if isinstance(node, ast.AugAssign) else [node.left, node.right]
            if any(isinstance(side, ast.Constant) and side.value in {"; ", ", ", ".", ":"} for side in sides):
                yield node.lineno, ast.unparse(node)
            elif isinstance(node, ast.AugAssign) and isinstance(node.value, ast.BinOp):
                continue  # its parts follow


def names(node: ast.AST) -> list[str]:
    return [each.id for each in ast.walk(node) if isinstance(each, ast.Name)]


SHOWN = {"data_source", "verdict", "statement", "remarks", "images"}  # keys of text for people, in one language
CODE = {
    "export/onnx.py",  # a text in the file, in English
    "inspection/listing.py",  # source
    "inspection/stages.py",  # the prefix of a path
    "models/layers.py",
    "options.py",  # docstrings
    "runs/checkpoint.py",  # lines of an error of torch
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(SOURCE).as_posix())
def test_sentences_are_not_glued_in_english(path: Path) -> None:
    """Use `clauses`, `phrases`, `sentences`, `full_stop` and `labeled` of classicnets.text."""
    if path.relative_to(SOURCE).as_posix() not in CODE:
        assert [*glued(ast.parse(path.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize(
    "source", ['"; ".join(hints)', 'f"{sentence}."', 'f"{message}; {cause}"', 'text += "; " + more', 'text + "."']
)
def test_finds_glue(source: str) -> None:
    assert [*glued(ast.parse(source))]


def catalog() -> Iterator[tuple[str, str, list[str]]]:
    """Yield each message, its Chinese, and its files."""
    with CATALOG.open("rb") as file:
        for message in read_po(file):
            if message.id:
                english = message.id if isinstance(message.id, str) else message.id[0]
                text = message.string if isinstance(message.string, str) else "".join(message.string or ())
                yield english, text, [name for name, _line in message.locations]


def test_labels_are_aligned_in_chinese() -> None:
    """The labels of summaries, such as "device  cpu": their texts begin in the same column of all lines of a file."""
    starts: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
    for english, text, files in catalog():
        label = re.match(r"[a-z]+ {2,}", english)
        if label and "#" not in english and english != "{command}":
            column = columns(text[: re.match(r"\S+ *", text).end()])  # type: ignore[union-attr]
            for file in files:
                starts[file, len(label[0])][english] = column
    assert len(starts) > 8
    assert not {place: texts for place, texts in starts.items() if len({*texts.values()}) > 1}


# --- what is pasted, stored or compared is the same in every language -------------------------------------------------


def test_hints_have_the_values_of_settings(
    cli: CommandLine, shapes: Path, chinese: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert background.name("#000000") == "黑色" and background.setting("#000000") == "black"
    hints = [finding["hint"] for finding in json.loads(cli("data", "check", shapes, "--json")[1])["findings"]]
    values = [value for hint in hints for value in re.findall(r"background=(\S+)", hint)]
    assert values and {*values} <= {"black", "white", "gray"}


@pytest.mark.parametrize(
    "name", ["test_accuracy", "seconds", "images_per_second", "epochs to train_loss 0.5", "dead_units"]
)
def test_units_do_not_depend_on_the_language(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    has_unit = []
    for language in LANGUAGES:
        monkeypatch.setenv(VARIABLE, language)
        has_unit.append(quantities.with_unit("1", measure(name)) != "1")
    assert has_unit[0] is has_unit[1]


def values_of(facts: Any, kind: type) -> Iterator[Any]:
    """All texts, or numbers, in facts but those that are only shown."""
    if isinstance(facts, dict):
        for key in sorted(facts.keys() - SHOWN):
            yield from values_of(facts[key], kind)
    elif isinstance(facts, list):
        for value in facts:
            yield from values_of(value, kind)
    elif isinstance(facts, kind):
        yield facts


@pytest.mark.parametrize(("first", "second"), [("zh", "en"), ("en", "zh")])
def test_runs_of_one_language_are_used_in_the_other(
    cli: CommandLine, blobs: Path, monkeypatch: pytest.MonkeyPatch, first: str, second: str
) -> None:
    def call(language: str, *arguments: object) -> str:
        monkeypatch.setenv(VARIABLE, language)
        code, out, err = cli(*arguments)
        assert code == 0, err
        return out

    for seed in (0, 1):
        call(first, "train", "lenet_d2l", "--data", blobs, "--limit", "64", "--set", "epochs=1", "--seed", seed)
    one, other = sorted(Path("runs").iterdir())
    for file in one.glob("*.json*"):
        lines = file.read_text(encoding="utf-8").splitlines() if file.suffix == ".jsonl" else [file.read_text("utf-8")]
        assert not [
            text for line in lines for text in values_of(json.loads(line), str) if re.search("[一-鿿]", text)
        ], file
    results = [json.loads(call(language, "evaluate", one, "--json")) for language in (first, second)]
    first_facts, second_facts = ({key: facts[key] for key in facts.keys() - SHOWN - {"seconds"}} for facts in results)
    assert first_facts == second_facts
    compared = [json.loads(call(language, "compare", one, other, "--json")) for language in (first, second)]
    assert [*values_of(compared[0], float)] == [*values_of(compared[1], float)] != []
    monkeypatch.setenv(VARIABLE, first)
    session = Session.start(plan(*run_spec("lenet_d2l", data=str(blobs), epochs=1, limit=64)), lambda _line: None)
    events = session.events()
    next(events)
    events.close()
    call(second, "train", "--resume", session.folder.path)


# --- errors of models -------------------------------------------------------------------------------------------------


def test_errors_of_models_are_translated(cli: CommandLine, chinese: None) -> None:
    node = {"name": "c", "kind": "conv", "inputs": ["data"], "settings": {"out": 0, "kernel": [3, 3]}}
    with pytest.raises(ModelError) as error:
        Graph.from_json({"name": "x", "input": [1, 28, 28], "nodes": [node]})
    assert str(error.value) == "node 'c' (conv): out is 0; allowed is an integer from 1 to 2147483648"
    for each in (error.value, pickle.loads(pickle.dumps(error.value))):
        assert reason(each, _) == "节点 'c'（conv）：out 为 0；应为 1 到 2147483648 的整数"
    assert reason(ValueError("as it is"), _) == "as it is"
    assert "暂退层" in cli("show", "lenet_d2l", "--set", "net.dropout=0")[2]


STANDALONE_FILES = {"layers.py", "lrn.py"}


def english(text: ast.expr) -> str:
    """The text of an f-string with "x" for each field."""
    assert isinstance(text, ast.JoinedStr)
    return "".join(str(part.value) if isinstance(part, ast.Constant) else "x" for part in text.values)


def test_errors_of_files_to_copy_are_translated() -> None:
    with pytest.raises(ValueError, match="LRN size must be odd") as error:
        LRN(4, 1e-4, 0.75, 2.0)
    assert reason(error.value, str.format) == str(error.value)
    with texts_in("zh"):
        assert re.match("LRN 的 size 必须是奇数", reason(error.value, _))


@pytest.mark.parametrize("path", sorted((SOURCE / "models").glob("*.py")), ids=lambda path: path.name)
def test_models_raise_errors_that_can_be_translated(path: Path) -> None:
    """A literal in ModelError, or in a Message, with fields: never an f-string."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ValueError":
            assert path.name in STANDALONE_FILES, node.lineno
            assert isinstance(recognized(english(node.args[0])), Message), node.lineno
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in {"Message", "ModelError"}:
            assert path.name == "messages.py" or isinstance(node.args[0], ast.Constant), node.lineno


def test_a_message_is_its_english_text() -> None:
    text = Message("{n} of {name}", n=2, name=Message("the {x}", x="a"))
    assert text == "2 of the a" and text.fields["n"] == 2 and Message("{x}") == "{x}"
    assert (
        text.translated(lambda message, **fields: message.upper().format(**{k.upper(): v for k, v in fields.items()}))
        == "2 OF THE a"
    )
