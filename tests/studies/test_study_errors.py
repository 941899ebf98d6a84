"""What a person who writes a study file is told: lines of TOML, with the table where they belong."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import classicnets as cn
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.studies import definition as definitions
from classicnets.studies.arms import resolve
from support.command_line import CommandLine

HEAD = 'name = "own"\nquestion = "Which?"\nseeds = 2\n'
BASE = HEAD + '[base]\nnet = "lenet_d2l"\ndata = "fashion_mnist"\nlimit = 500\n[arms.a]\n[arms.b]\n'


def refused(text: str) -> UsageError:
    Path("own.toml").write_text(text)
    with pytest.raises(ClassicnetsError) as caught:
        resolve(definitions.read(Path("own.toml")))
    assert isinstance(caught.value, UsageError)
    return caught.value


@pytest.mark.parametrize(
    ("arm", "place", "hints"),
    [
        ("epochs = -1", "[arms.b]", ["epochs = 10   # in [arms.b]"]),
        ("settings = { epochs = -1 }", "[arms.b.settings]", ["epochs = 10   # in [arms.b.settings]"]),
        ('net.pool = "maxx"', "[arms.b]", ['net.pool = "max"   # in [arms.b]']),
        ('variation = { pool = "maxx" }', "[arms.b.variation]", ['pool = "max"   # in [arms.b.variation]']),
        ('net = "alexnet_28"\n"net.pool" = "maxx"', "[arms.b]", ['"net.pool" = "max"   # in [arms.b]']),
        ('net.pol = "max"', "[arms.b]", ['net.pool = "max"   # in [arms.b]']),
        ('pool = "max"', "[arms.b]", ['net.pool = "max"   # in [arms.b]']),
        ("limit = 0", "[arms.b]", ["limit = 512   # in [arms.b]"]),
        ("limit = 5", "[arms.b]", None),
        ('limit = "many"', "[arms.b]", []),
        ('recipe = "fst"', "[arms.b]", ['recipe = "fast"   # in [arms.b]']),
        ('precision = "float32"\nsettings = { precision = "float64" }', "[arms.b.settings]", None),
        ('net = "lenet_d2"', "[arms.b]", ["classicnets list"]),
        ('data = "fashion_mnits"', "[arms.b]", None),
        ("[grid]\nlr = [-1]", "[grid]", None),
    ],
)
def test_hints_of_an_arm_are_lines_of_its_table(arm: str, place: str, hints: list[str] | None) -> None:
    error = refused(BASE + arm)
    assert error.where.startswith(place)
    assert hints is None or [*error.hints] == hints
    assert not re.search(r"--(?!dry-run)\w", "\n".join([error.what, error.where, error.why, *error.hints])), str(error)
    for line in [line for hint in error.hints for line in hint.splitlines() if "# in [" in line]:
        table = re.search(r"# in (\[.+\])$", line)
        assert table and tomllib.loads(f"{table[1]}\n{line}")


def test_a_mistake_of_the_base_is_named_there() -> None:
    error = refused(BASE.replace("limit = 500", "limit = 500\nepochs = -1"))
    assert error.where.startswith("[base]") and error.hints == ("epochs = 10   # in [base]",)
    error = refused(BASE.replace("limit = 500", 'epochs = -1\nrecipe = "fast"') + 'net = "alexnet_28"\n')
    assert error.hints == ("epochs = 30   # in [base]",)  # also if an arm with another network inherits it


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        (BASE + 'net = "alexnet_28"\nnet.pool = "max"', 'line 11: net.pool = "max"', '"net.pool" = "max"'),
        (BASE + 'net.pool = "max"\nnet = "alexnet_28"', 'line 11: net = "alexnet_28"', '"net.pool" = "max"'),
        (BASE + "recipe = fast", "line 10: recipe = fast", 'recipe = "fast"'),
        ("question = Is it better?  # ask", "line 1: question = Is", 'question = "Is it better?"  # ask'),
        (BASE + "settings = { monitor = none }", "line 10", 'settings = { monitor = "none" }'),
        ("measure = [test_accuracy]", "line 1", 'measure = ["test_accuracy"]'),
        (BASE + "flip = True", "line 10", "flip = true"),
        ("seeds = ", "line 1: seeds =", None),
        ("a = 1 b", "line 1: a = 1 b", None),
        ('name = "a', "name", None),
    ],
)
def test_an_error_of_toml_shows_the_line_and_how_it_is_written(text: str, line: str, hint: str | None) -> None:
    error = refused(text)
    assert error.code == "CN217" and line in error.why
    assert error.hints[0] == hint if hint else "classicnets study show" in error.hints[0]
    if hint and hint.startswith('"net.pool"'):
        assert '"net.pool"' in error.why
    if hint:
        assert tomllib.loads(hint)


@pytest.mark.parametrize(
    ("arm", "expected"),
    [
        ({"net": 3}, "the network of the arm b is not a network"),
        ({"net": nn.Linear}, "the network of the arm b is not a network"),
        ({"settings": 3}, "settings is not a table"),
        ({"variation": "max"}, "variation is not a table"),
        ({"settings": {"net": 3}}, "'net' is not known"),
    ],
)
def test_values_of_python_are_refused_with_the_arm(arm: dict[str, Any], expected: str) -> None:
    values = {
        "name": "own",
        "question": "Which?",
        "seeds": 2,
        "base": {"net": "lenet_d2l"},
        "arms": {"a": {}, "b": arm},
    }
    with pytest.raises(UsageError, match=expected) as caught:
        cn.study(values, quiet=True)
    assert caught.value.where == "[arms.b]"


def test_what_is_no_study_in_python_is_refused() -> None:
    for value in (3, None, [1]):
        with pytest.raises(UsageError, match="this does not define a study"):
            cn.study(value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (BASE + 'classifier = "svm_rbf"\nnet.pool = "max"', "a classical method has no net.pool"),
        (BASE + 'classifier = "svm_rbf"\nlr = 0.1\nsettings = { epochs = 3 }', "has no lr, epochs"),
        (BASE + 'classifier = "svm_rbf"\nseed = 3', "which the study decides"),
        ('match = "macs"\n' + BASE + 'classifier = "svm_rbf"', "the arm b has no size that could be matched"),
        (BASE + 'features = "hog"', "features needs classifier"),
        (BASE.replace("limit = 500", 'features = "hog"'), "[base] has features, but trains a network"),
        (BASE + "[grid]\nclassifier = ['svm_rbf']", "write [arms.NAME] for classical methods"),
        (BASE + "threads = 2", "b has threads, which the study decides"),
        (BASE + "batch_threads = 2", "b has batch_threads, which the study decides"),
        (BASE + 'device = "cuda"', "b has device, which the study decides"),
        (BASE + "description = 'x'", "'description' is not known"),
        (BASE + "epoch = 3", "did you mean epochs?"),
        (BASE + 'classifier = "svm_rfb"', 'classifier = "svm_rbf"'),
        (BASE.replace('data = "fashion_mnist"', "") + 'classifier = "svm_rbf"', "the arm b has no data"),
    ],
)
def test_what_an_arm_would_ignore_is_refused(text: str, expected: str) -> None:
    error = refused(text)
    assert expected in str(error) and error.hints, str(error)


@pytest.mark.parametrize(
    ("text", "expected", "example"),
    [
        ("", "base is missing; allowed is a table [base]", "pooling"),
        (BASE + "[[compare]]\narms = ['a', 'b', 'a']", "the names of two arms", "lrn"),
        (BASE + "[[compare]]\narms = ['a', 'b']\nclaim = 'x'", 'claim is "x"; allowed is a number', "lrn"),
        (
            BASE + "[[compare]]\narms = ['a', 'b']\nclam = 1",
            "compare[0].clam is not known; did you mean claim?",
            "",
        ),
        (BASE + "[grid]\nnet.pool = []", "grid.net.pool is empty", "dead_units"),
        (BASE + "[grid]\nnet.pool = 'max'", "in square brackets", "dead_units"),
        (BASE.replace("seeds = 2", "seeds = 'x'"), "the number of seeds, such as 6", "pooling"),
        (HEAD + "[base]\n[arms]\nb = 3", "[arms.NAME]", ""),
        (HEAD + "[base]\n[grid]\nlr = []", "grid.lr is empty", "dead_units"),
    ],
)
def test_a_schema_is_described_for_a_person(text: str, expected: str, example: str) -> None:
    error = refused(text)
    words = str(error)
    assert expected in words, words
    for leaked in ("object", "e+308", "null", "values;", "newer version", "list of 2 to 2"):
        assert leaked not in words, words
    assert "there is no arm" not in words
    assert f"classicnets study show {example}" in words


def test_folders_and_names_at_the_wrong_action(cli: CommandLine) -> None:
    run = Path("runs/lenet-1")
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    Path("own.toml").write_text(BASE)
    study = Path("runs/study-own-1")
    definition, text = cn.api.study.find("own.toml")
    study.mkdir()
    (study / "study.toml").write_text(text)
    assert definition.name == "own"
    for words, expected in (
        (("resume", "pooling"), "classicnets study run pooling "),
        (("resume", "own.toml"), "classicnets study run own.toml "),
        (("resume", run), "classicnets train --resume runs/lenet-1"),
        (("resume", "nowhere"), "resume takes the folder of a study that was started"),
        (("show", "poling"), "hint:  classicnets study show pooling"),
        (("show", "runs/nothing"), "STUDY is the folder of a study, a TOML file"),
        (("show", run), "is the folder of one run, and not of a study"),
        (("run", "pooling", "--seed", 3), "hint:  seeds = [3, 4, 5]   # in the study file"),
        (("run", "pooling", "--limit=3"), "hint:  limit = ..."),
        (("run", "pooling", "--set", "lr=1"), "hint:  lr = 0.1   # in [base] or [arms.NAME]"),
        (("run", "pooling", "--sedes", 3), "hint:  --seeds"),
    ):
        code, _, err = cli("study", *words)
        assert code == 2 and expected in err, err


def test_hints_of_recipes_name_the_near_one(cli: CommandLine) -> None:
    code, _, err = cli("train", "lenet_d2l", "--recipe", "fst", "--dry-run")
    assert code == 2 and "did you mean 'fast'?" in err and "hint:  --recipe fast" in err


def test_a_module_is_still_a_network() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    values: dict[str, Any] = {
        "name": "own", "question": "Which?", "seeds": 2, "base": {"data": "fashion_mnist", "recipe": "fast"},
        "arms": {"a": {"net": net}, "b": {"net": net, "lr": 0.5, "initialise": "as_built"}},
    }  # fmt: skip
    assert {*resolve(definitions.make(values))} == {"a", "b"}
    assert torch.is_grad_enabled()
