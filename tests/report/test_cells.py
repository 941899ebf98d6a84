"""What a notebook cell shows: networks, runs, seeds, studies, evaluations and predictions."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from IPython.core.formatters import DisplayFormatter
from torch import nn

import classicnets as cn
from classicnets.api.answers import Evaluation, Predictions
from classicnets.errors import UsageError
from classicnets.evaluation.classify import Prediction
from classicnets.evaluation.evaluate import evaluation_of
from classicnets.report import cell, result_cells
from support.command_line import CommandLine


class _Text(HTMLParser):
    """The text of HTML, without its style; fails for tags that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.parts: list[str] = []
        self.images = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"img", "br"}:
            self.images += tag == "img"
        else:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open and data.strip():
            self.parts.append(data)


def read(html: str) -> _Text:
    text = _Text()
    text.feed(html)
    assert not text.open
    return text


def html_of(value: Any) -> list[str]:
    """The texts that a cell shows, one for each cell of a table or line."""
    return read(value._repr_html_()).parts


def state(net: nn.Module) -> tuple[Any, ...]:
    """All that must not change: weights, modes, hooks, and torch's random numbers."""
    modules = [*net.modules()]
    hooks = [[*m._forward_hooks, *m._forward_pre_hooks] for m in modules]
    values = [None if nn.parameter.is_lazy(t) else t.detach().clone() for t in net.state_dict(keep_vars=True).values()]
    return [type(m) for m in modules], [m.training for m in modules], hooks, values, torch.get_rng_state()


def assert_same(before: tuple[Any, ...], after: tuple[Any, ...]) -> None:
    assert before[:3] == after[:3] and torch.equal(before[4], after[4])
    for a, b in zip(before[3], after[3], strict=True):
        assert (a is None and b is None) or torch.equal(a, b)


# --- networks --------------------------------------------------------------------------------------------------------


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(6, 5, padding=2), nn.BatchNorm2d(6), nn.Flatten(), nn.LazyLinear(10))


MODULES: list[tuple[str, Callable[[], nn.Module], str]] = [
    ("created", lambda: cn.create("lenet_32"), "lenet_32 for 1x32x32 images"),
    ("varied", lambda: cn.vary(cn.create("lenet_d2l"), activation="relu"), "lenet_d2l for 1x28x28 images"),
    ("lazy", lazy, "Sequential for 1x28x28 images"),
    ("wrapped", lambda: torch.optim.swa_utils.AveragedModel(cn.create("lenet_d2l")), "lenet_d2l for 1x28x28 images"),
    ("dense", lambda: nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), "Sequential for 1x28x28 images"),
    ("rows", lambda: nn.Linear(784, 10), "Linear for inputs of shape 784"),
    ("color", lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(1800, 2)), "for 3x32x32 images"),
    ("dense color", lambda: nn.Sequential(nn.Flatten(), nn.Linear(3072, 10)), "for 3x32x32 images"),
    ("another size", lambda: nn.Sequential(nn.Conv2d(1, 2, 5), nn.Flatten(), nn.Linear(2 * 36 * 36, 2)), "1x40x40"),
]


@pytest.mark.parametrize(("make", "title"), [(make, title) for _, make, title in MODULES], ids=[m[0] for m in MODULES])
def test_any_module_is_shown_and_stays_as_it_is(make: Callable[[], nn.Module], title: str) -> None:
    net = make()
    net.train()
    before = state(net)
    shown, explained, drawn = cn.show(net), cn.why(net), cn.figure(net)
    assert_same(before, state(net))
    assert title in repr(shown).splitlines()[0] and title in html_of(shown)[0]
    assert f"{shown.table.parameters:,}" in html_of(shown) and explained.lines and drawn.svg.startswith("<svg")
    found = shown.table.input_shape not in {(1, 28, 28), (1, 32, 32)}  # the last one is what the network is created for
    assert ("1x28x28 images do not fit" in repr(shown)) == found


def test_the_shape_can_be_chosen() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    assert cn.show(net, (1, 12, 12)).table.rows[0].outputs == (2, 10, 10)
    with pytest.raises(UsageError, match="cannot take 1x2x2 images") as caught:
        cn.show(net, (1, 2, 2))
    assert caught.value.code == "CN201"


def test_a_network_that_fits_nothing_is_explained_for_the_likeliest_images() -> None:
    net = nn.Sequential(nn.Conv2d(3, 6, 5), nn.Flatten(), nn.Linear(7, 10))
    with pytest.raises(UsageError, match="cannot take 3x224x224 images") as caught:
        cn.show(net)
    assert caught.value.hints[0].startswith("net[2] = nn.Linear(") and "shape=(3, 64, 64)" in caught.value.hints[-1]
    with pytest.raises(UsageError, match="shape"):
        cn.show(nn.Embedding(3, 4))
    with pytest.raises(UsageError, match="its last layer"):
        cn.show(net, num_classes=3)


def test_a_variation_is_of_a_copy() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 5), nn.Sigmoid(), nn.Flatten(), nn.Linear(1152, 10))
    before = state(net)
    shown = cn.show(net, variation={"activation": "relu", "width": 2})
    assert_same(before, state(net))
    assert repr(shown).startswith("Sequential with activation=relu, width=2.0 for 1x28x28 images")
    assert shown.table.rows[1].kind == "ReLU" and shown.table.rows[0].outputs[0] == 4
    with pytest.raises(UsageError) as caught:
        cn.show(net, variation={"pool": "max"})
    assert caught.value.code == "CN204" and caught.value.hints == ("cn.show(net)",)


@pytest.mark.parametrize(
    ("show", "words"),
    [
        (lambda: cn.show("lenet_d2l"), ["lenet_d2l"]),
        (lambda: cn.show("lenet_d2l", (1, 32, 32)), ["lenet_d2l", "--input", "1x32x32"]),
        (lambda: cn.show("lenet_d2l", num_classes=3), ["lenet_d2l", "--classes", "3"]),
        (lambda: cn.show("lenet_d2l", variation={"norm": "batch"}), ["lenet_d2l", "--set", "net.norm=batch"]),
        (lambda: cn.why("lenet_d2l", "fc1"), ["lenet_d2l", "fc1", "--why"]),
        (lambda: cn.why("lenet_d2l", lang="zh"), ["lenet_d2l", "--why", "--lang", "zh"]),
        (lambda: cn.diff("lenet_d2l", "lenet_d2l_v1"), ["lenet_d2l", "lenet_d2l_v1"]),
        (lambda: cn.code("lenet5_1998"), ["lenet5_1998", "--code"]),
    ],
)
def test_text_is_that_of_the_command_line(show: Callable[[], object], words: list[str], cli: CommandLine) -> None:
    code, out, err = cli("show", *words)
    assert (code, err) == (0, "")
    assert [line.rstrip() for line in repr(show()).splitlines()] == [line.rstrip() for line in out.splitlines()]


def test_the_table_shows_each_calculation() -> None:
    texts = html_of(cn.show("lenet_d2l"))
    for text in (
        "14 -> floor((14 + 2*0 - 5) / 1) + 1 = 10",
        "16 x 6 x 5 x 5 + 16",
        "16 x 5 x 5 = 400",
        "120 x 400 + 120",
        "61,706",
        "416,520",
        "246.8 kB",
    ):
        assert text in texts


def test_names_are_no_markup() -> None:
    class Layer(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

        def extra_repr(self) -> str:
            return "<script>alert(1)</script>\x1b[31m\u202e"

    net = nn.Sequential(nn.Flatten(), Layer())
    net.add_module("<b>&x", nn.Linear(784, 2))
    for shown in (cn.show(net), cn.diff(net, net), cn.why(net, "<b>&x")):
        html = shown._repr_html_()
        assert "<script>" not in html and "<b>&x" not in html and "\x1b" not in html and "\u202e" not in html
        assert "<b>&x" in " ".join(html_of(shown))


def test_the_differences_of_two_modules() -> None:
    net = cn.create("lenet_d2l")
    shown = cn.diff(net, cn.vary(net, activation="relu", pool="max"))
    assert shown.names == ("lenet_d2l (1)", "lenet_d2l (2)") and shown.sentences[0].startswith("activation: ReLU x4")
    html = shown._repr_html_()
    assert html.count('class="cn-changed"') == 6 and shown.sentences[0] in html_of(shown)
    assert shown.to_dict()["nets"] == [*shown.names]


def test_a_figure_is_saved(tmp_path: Path, cli: CommandLine) -> None:
    drawn = cn.figure("lenet_d2l", "alexnet_28")
    assert drawn._repr_svg_() == drawn.svg and repr(drawn).startswith("figure of lenet_d2l, alexnet_28")
    assert drawn.save(tmp_path / "net.svg").read_text(encoding="utf-8") == drawn.svg
    assert cli("show", "lenet_d2l", "alexnet_28", "--svg", tmp_path / "cli.svg")[0] == 0
    assert (tmp_path / "cli.svg").read_bytes() == (tmp_path / "net.svg").read_bytes()


@pytest.mark.parametrize(
    ("show", "code", "text", "hint"),
    [
        (lambda: cn.show(cn.create), "CN205", "create makes networks, and is not a network itself", "net = create()"),  # type: ignore[arg-type]
        (lambda: cn.show(3), "CN205", "a value of type int is not a network", "net = MyNet()"),  # type: ignore[arg-type]
        (lambda: cn.show("lenet_d2"), "CN202", "did you mean lenet_d2l?", "classicnets list"),
        (lambda: cn.show("lenet_d2l", 28), "CN201", "28 is not the shape of an image", "shape=(1, 28, 28)"),  # type: ignore[arg-type]
        (lambda: cn.code("lenet_d2l", (28, 28)), "CN201", "(28, 28) is not the shape", "shape=(1, 28, 28)"),
        (lambda: cn.show("lenet_d2l", (1, 28, 30)), "CN201", "made for square images", "--input 1x28x28"),
        (lambda: cn.show(nn.Linear(4, 2), [1, 2.5]), "CN201", "[1, 2.5] is not the shape", "shape=(1, 28, 28)"),  # type: ignore[list-item]
        (lambda: cn.why("lenet_d2l", lang="fr"), "CN204", "the language 'fr' is not available", "use one of: en, zh"),
        (lambda: cn.code(nn.Flatten()), "CN206", "only the networks of `classicnets list`", 'cn.code("lenet_d2l")'),  # type: ignore[arg-type]
        (lambda: cn.figure("lenet_d2l").save("net.pdf"), "CN206", "SVG file", "cn.figure(...).save('net.svg')"),
        (lambda: cn.figure(), "CN206", "there is no network to draw", 'cn.figure("lenet_d2l")'),
    ],
)
def test_mistakes_are_explained(show: Callable[[], object], code: str, text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        show()
    assert caught.value.code == code and text in str(caught.value) and caught.value.hints == (hint,)


def test_code_is_written_once(tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    line = ["show", "lenet_d2l", "--code", "--set", "net.activation=relu", "-o", "my_net.py"]
    assert cli(*line)[:2] == (0, "my_net.py\n")
    assert "with activation=relu for 1x28x28 images" in (tmp_path / "my_net.py").read_text()
    (tmp_path / "my_net.py").write_text(cn.code("lenet_d2l").replace("nn.Linear(84, 10)", "nn.Linear(84, 7)"))
    code, out, err = cli(*line)
    assert (code, out) == (2, "") and "not overwritten" in err and "hint:  -o my_net_2.py" in err
    assert cn.show("my_net.py:net").table.rows[-1].outputs == (7,)
    assert json.loads(cli("show", "lenet_d2l", "--code", "-o", "b.py", "--json")[1]) == {
        "net": "lenet_d2l",
        "file": "b.py",
    }
    assert json.loads(cli("show", "lenet_d2l", "--code", "--json")[1])["code"] == cn.code("lenet_d2l")


def test_text_is_returned_in_a_notebook_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rich would display it beside the table."""
    expected = repr(cn.show("lenet_d2l"))
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert repr(cn.show("lenet_d2l")) == expected and "conv1" in expected


def test_ipython_chooses_the_richest_form() -> None:
    formatter = DisplayFormatter()

    def form(value: object) -> dict[str, Any]:
        data: dict[str, Any] = formatter.format(value)[0]
        return data

    assert set(form(cn.show("lenet_d2l"))) == {"text/plain", "text/html"}
    assert set(form(cn.figure("lenet_d2l"))) == {"text/plain", "image/svg+xml"}
    assert form(cn.code("lenet_d2l")) == {"text/plain": cn.code("lenet_d2l").rstrip()}


# --- results ---------------------------------------------------------------------------------------------------------

FACTS: dict[str, Any] = {
    "data_name": "<fashion>",
    "fingerprint": "bd7794149301a1b0bd77",
    "limit": 100,
    "device": "cpu",
    "machine": {"processor": "A processor"},
    "origins": {"lr": "--set"},
    "recipe": {
        "source": "d2l", "epochs": 4, "batch_size": 256, "optimizer": "sgd", "lr": 0.5, "schedule": "constant",
        "expected": {"low": 0.75, "high": 0.83, "mean": 0.8, "n": 130, "source": "the book"},
    },
}  # fmt: skip
RESULT = {
    "test_accuracy": 0.8125, "n": 10_000, "test_loss": 0.51, "train_loss": 0.4, "train_accuracy": 0.85,
    "seconds": 83.0, "verdict": "within the published range",
}  # fmt: skip


def test_a_run_shows_its_result_beside_the_published_one(tmp_path: Path) -> None:
    (tmp_path / "curves.png").write_bytes(b"png")
    html = result_cells.run({**FACTS, "result": RESULT}, tmp_path, net="lenet")
    texts = read(html).parts
    for text in (
        "lenet on <fashion>",
        "0.8125 on 10,000 images",
        "0.750 to 0.830 (n = 130): the book",
        "within the published range",
        "0.5100",
        "lr=0.5, limit=100",
        "cpu, A processor",
        "1 min 23 s",
        str(tmp_path),
    ):
        assert text in texts
    assert read(html).images == 1
    (tmp_path / "curves.png").unlink()
    assert read(result_cells.run({**FACTS, "result": {**RESULT, "test_loss": None}}, tmp_path, net="a")).images == 0


def test_a_run_without_a_result_says_how_to_go_on(tmp_path: Path) -> None:
    text = " ".join(read(result_cells.run(FACTS, tmp_path, net="lenet")).parts)
    assert "not finished" in text and f"cn.resume({str(tmp_path)!r})" in text
    assert "converted" in " ".join(read(result_cells.run({**FACTS, "converted": {}}, tmp_path, net="a")).parts)


def test_seeds_show_their_spread(tmp_path: Path) -> None:
    runs = [{"seed": 0, **RESULT}, {"seed": 1, "error": "error[CN101]: loss\nmore"}]
    accuracy = {"mean": 0.8125, "sd": None, "min": 0.8125, "max": 0.8125}
    result = {"n": 1, "of": 2, "test_accuracy": accuracy, "verdict": "", "runs": runs}
    texts = read(result_cells.seeds({**FACTS, "result": result}, tmp_path)).parts
    assert "0.8125, 1 of 2 runs" in texts and "error[CN101]: loss" in texts and "0.8500" in texts


def evaluation(classes: int = 3) -> Evaluation:
    probabilities = np.full((6, classes), 0.1 / (classes - 1))
    probabilities[np.arange(6), [0, 1, 2, 0, 1, 1]] = 0.9
    metrics = evaluation_of(probabilities, np.array([0, 1, 2, 0, 1, 2]), 0.5)
    names = tuple(f"class {i}" for i in range(classes))
    return Evaluation.of(metrics, names, model="lenet", data="letters", device="cpu")


def test_an_evaluation_is_short_as_text_and_complete_as_html() -> None:
    result = evaluation()
    assert repr(result).startswith("Evaluation(lenet on letters: accuracy 0.8333, loss ") and len(repr(result)) < 90
    texts = html_of(result)
    assert texts[0] == "lenet on letters" and "0.8333 on 6 images" in texts and "class 1 (1)" in texts
    assert "about" not in result.to_dict() and "classes" not in result.to_dict()


def test_of_many_classes_the_worst_are_shown() -> None:
    texts = html_of(evaluation(30))
    assert "the 20 of 30 classes with the lowest recall" in texts
    assert "class 2" in texts and "class 29" not in texts


def test_predictions_are_a_list_and_a_table() -> None:
    right = Prediction("a.png", ("boot", "bag"), (0.9, 0.05), truth="boot")
    wrong = Prediction("b.png", ("bag", "boot"), (0.6, 0.4), truth="boot")
    unreadable = Prediction("<c>.png", (), (), error="not an image")
    found = Predictions([right, wrong, unreadable])
    assert found == [right, wrong, unreadable]
    texts = html_of(found)
    assert {"a.png", "0.900", "boot 0.400", "not an image", "<c>.png"} <= {*texts}
    assert found._repr_html_().count('cn-removed"') == 1
    assert "and 1 more image" in html_of(Predictions([right] * 51))


def test_cells_have_no_color_of_their_own() -> None:
    """Text and background are those of the notebook, in light and dark themes, except behind figures."""
    style = cell.cell().split("<style>")[1].split("</style>")[0]
    rules = [rule for rule in style.split("}") if "img" not in rule]
    assert "#" not in "".join(rules) and "rgb(" not in style
