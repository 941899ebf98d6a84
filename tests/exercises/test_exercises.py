"""Every exercise has an answer that is right and one that is wrong, and says why."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import classicnets as cn
from classicnets.api import exercise as api
from classicnets.errors import UsageError
from classicnets.exercises.catalog import EXERCISES
from classicnets.exercises.kinds import Activations, Essay, Numbers, Structure, Trained
from classicnets.text import command


@pytest.fixture(autouse=True)
def no_progress(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    yield


def lenet(
    *,
    kernel: int = 5,
    channels: int = 16,
    activation: Callable[[], nn.Module] = nn.Sigmoid,
    pools: tuple[type[nn.Module], type[nn.Module]] = (nn.AvgPool2d, nn.AvgPool2d),
    more: tuple[nn.Module, ...] = (),
    hidden: tuple[int, ...] = (120, 84),
    dropout: float = 0.0,
    end: tuple[nn.Module, ...] = (),
    classes: int = 10,
) -> nn.Sequential:
    """The book's LeNet with changes."""
    layers: list[nn.Module] = [nn.Conv2d(1, 6, kernel, padding=kernel // 2), activation(), pools[0](2, 2)]
    layers += [nn.Conv2d(6, channels, 5), activation(), *more, pools[1](2, 2), nn.Flatten()]
    width = channels * 25
    for size in hidden:
        layers += [nn.Linear(width, size), activation(), *([nn.Dropout(dropout)] if dropout else [])]
        width = size
    return nn.Sequential(*layers, nn.Linear(width, classes), *end)


MAX = (nn.MaxPool2d, nn.MaxPool2d)
CONV: tuple[nn.Module, ...] = (nn.Conv2d(16, 16, 3, padding=1), nn.Sigmoid())


class Functional(nn.Module):
    """A modern LeNet whose activations and poolings are functions."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.LazyLinear(120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2).flatten(1)
        logits: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return logits


def small_alexnet() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 24, 11, 4), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(24, 48, 5, padding=2), nn.ReLU()),
        *(nn.AdaptiveMaxPool2d(4), nn.Flatten(), nn.Linear(768, 64), nn.ReLU(), nn.Linear(64, 10)),
    )


def enlarging() -> nn.Module:
    return nn.Sequential(nn.Upsample(scale_factor=8), small_alexnet())


# id: (a right answer, a wrong one, a part of what is missing)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], Callable[[], nn.Module], str]] = {
    "lenet-1": (lambda: lenet(pools=MAX), lambda: lenet(pools=(nn.MaxPool2d, nn.AvgPool2d)), "are mixed (1 and 1)"),
    "lenet-2": (lambda: lenet(activation=nn.ReLU, channels=32), lenet, "nothing of what the exercise names"),
    "lenet-2a": (lambda: lenet(kernel=3), lambda: lenet(channels=32), "the kernels of the convolutions are those"),
    "lenet-2b": (lambda: lenet(channels=32), lambda: lenet(kernel=3), "have the channels of the book"),
    "lenet-2c": (
        lambda: lenet(activation=nn.ReLU),
        lambda: lenet(activation=nn.ReLU, end=(nn.ReLU(),)),
        "follows the last layer",
    ),
    "lenet-2d": (lambda: lenet(more=CONV), lenet, "the number of convolutions is that of the book"),
    "lenet-2e": (lambda: lenet(hidden=(120,)), lambda: lenet(hidden=(120, 60)), "the number of dense layers is that"),
    "lenet-3": (lambda: lenet(activation=nn.ReLU), lenet, "nothing of what the exercise names"),
    "lenet-en-1": (Functional, lambda: lenet(activation=nn.ReLU), "the pooling is that of the book"),
    "alexnet-2a": (small_alexnet, lambda: cn.create("alexnet_d2l"), "not fewer than the book's"),
    "alexnet-2b": (lambda: cn.create("alexnet_28"), enlarging, "a layer enlarges the image"),
    "alexnet-5": (lambda: lenet(activation=nn.ReLU, dropout=0.5), lambda: lenet(activation=nn.ReLU), "no dropout"),
}
RIGHT_NUMBERS: dict[str, Any] = {"memory": "fc6", "dense_share": 92.04, "compute": "conv2", "conv_share": "95.4%"}
RIGHT_NUMBERS |= {"bandwidth": "dense", "intensity": 0.2498, "image_mb": 5.3018}
WRONG_NUMBERS: dict[str, tuple[Any, str]] = {
    "memory": ("conv2", "another layer has 42.7 times as many"),
    "dense_share": (0.92, "by a factor of 100"),
    "compute": ("fc6", "another layer has 15.8 times as many"),
    "conv_share": (50, "is too small"),
    "bandwidth": ("conv", "is not right"),
    "intensity": (1.0, "4 bytes a number"),
    "image_mb": (1.3255, "4 bytes a number"),
}
SETTINGS: dict[str, tuple[Mapping[str, Any], Mapping[str, Any], str]] = {
    "lenet-2f": ({"lr": 0.5}, {"lr": 0.9}, "as in the book"),
    "alexnet-1": ({"epochs": 20}, {"epochs": 5}, "fewer than the 10 of the book"),
}


def test_the_tables_have_every_exercise() -> None:
    by_kind = {kind: {e.id for e in EXERCISES.values() if isinstance(e, kind)} for kind in (Structure, Trained)}
    assert by_kind[Structure] == NETWORKS.keys() and by_kind[Trained] == SETTINGS.keys()
    numbers = [e for e in EXERCISES.values() if isinstance(e, Numbers)]
    assert {key for e in numbers for key in e.quantities} == RIGHT_NUMBERS.keys() == WRONG_NUMBERS.keys()
    assert {type(e) for e in EXERCISES.values()} == {Structure, Trained, Numbers, Activations, Essay}


def test_every_number_of_both_editions_is_listed_once() -> None:
    """The numbers of the books: parts have letters here."""
    by_chapter = {c: [e for e in EXERCISES.values() if e.chapter == c] for c in ("lenet", "alexnet")}
    chinese = {c: {e.zh for e in by_chapter[c] if e.zh} for c in by_chapter}
    english = {c: {e.en for e in by_chapter[c] if e.en} for c in by_chapter}
    assert chinese["lenet"] == {"1", "2", "2a", "2b", "2c", "2d", "2e", "2f", "3", "4"}
    assert chinese["alexnet"] == {"1", "2a", "2b", "3", "4", "4a", "4b", "4c", "5"}
    assert english["lenet"] == {"1", "1a", "1b", "2", "2a", "2b", "2c", "2d", "2e", "3", "4", "5"}
    assert english["alexnet"] == {"1", "1a", "1b", "1c", "2", "3", "4", "5a", "5b", "6", "7", "8"}
    names = [name for e in EXERCISES.values() for name in e.numbers]
    assert len(names) == len(set(names))
    assert api.find("alexnet-en-4").id == "alexnet-1" and api.find("LENET-2A").id == "lenet-2a"


@pytest.mark.parametrize("name", EXERCISES)
def test_every_exercise_has_a_text_and_three_hints(name: str) -> None:
    found = EXERCISES[name]
    lines = api.describe(found)
    assert found.title in lines and found.question.split()[0] in "\n".join(lines)
    hints = [api.hint(found) for _ in range(4)]
    assert [number for _, number in hints] == [1, 2, 3, 3] and len({text for text, _ in hints}) == 3
    assert all("classicnets " in text for text, _ in hints if " --" in f" {text}"), (
        "an option is pasted with its command"
    )
    assert found.solution


@pytest.mark.parametrize("name", NETWORKS)
def test_a_right_network_passes(name: str) -> None:
    result = cn.exercise(name, NETWORKS[name][0]())
    assert result.passed, result
    assert result.seen and not result.missing and api.read_progress(name).solved
    assert "--train" in result.notes[-1]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_wrong_network_is_told_what_is_missing(name: str) -> None:
    _, wrong, reason = NETWORKS[name]
    if name == "alexnet-2b":  # 28 pixels become 224
        assert cn.exercise(name, wrong()).passed is False
    result = cn.exercise(name, wrong())
    assert result.passed is False and reason in "\n".join(result.missing), result
    assert not api.read_progress(name).solved


@pytest.mark.parametrize(
    ("net", "reason"),
    [
        (lambda: lenet(kernel=3, end=(nn.Softmax(1),)), "ends in softmax"),
        (lambda: lenet(kernel=3, end=(nn.LogSoftmax(1),)), "ends in log-softmax"),
        (lambda: lenet(kernel=3, activation=nn.Identity), "0 activations for 4 hidden layers"),
        (lambda: lenet(kernel=3, classes=11), "returns 11 numbers"),
    ],
)
def test_a_misunderstanding_is_named(net: Callable[[], nn.Module], reason: str) -> None:
    result = cn.exercise("lenet-2a", net())
    assert result.passed is False and reason in "\n".join(result.missing)


def test_more_changes_than_asked_for_are_refused_or_noted() -> None:
    result = cn.exercise("lenet-1", lenet(pools=MAX, channels=32))
    assert result.passed is False and "conv2: channels 16 -> 32" in result.missing[0]
    assert result.seen == ("conv2: channels 16 -> 32", "pooling: average x2 -> max x2")
    noted = cn.exercise("lenet-2a", lenet(kernel=3, channels=32))
    assert noted.passed and "more than one thing has changed" in noted.notes[0]


def test_a_network_is_not_changed() -> None:
    net = lenet(activation=nn.ReLU, dropout=0.5, more=(nn.BatchNorm2d(16),))
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    generator = torch.get_rng_state()
    cn.exercise("alexnet-5", net)
    assert all(torch.equal(before[name], tensor) for name, tensor in net.state_dict().items()) and net.training
    assert torch.equal(generator, torch.get_rng_state())


@pytest.mark.parametrize("name", [e.id for e in EXERCISES.values() if isinstance(e, Numbers)])
def test_numbers_are_compared_with_the_calculated_ones(name: str) -> None:
    found = EXERCISES[name]
    assert isinstance(found, Numbers)
    right = cn.exercise(name, **{key: RIGHT_NUMBERS[key] for key in found.quantities})
    assert right.passed and len(right.seen) == len(found.quantities), right
    wrong = cn.exercise(name, **{key: WRONG_NUMBERS[key][0] for key in found.quantities})
    assert wrong.passed is False and not wrong.seen
    for key, sentence in zip(found.quantities, wrong.missing, strict=True):
        assert sentence.startswith(f"{key}: ") and WRONG_NUMBERS[key][1] in sentence


def test_an_answer_may_be_left_out_and_is_then_missing() -> None:
    result = cn.exercise("alexnet-4a", memory="FC1")
    assert result.passed is False and result.missing[0].startswith("dense_share: no answer")
    assert result.seen[0].startswith("memory: fc6 has 26,218,496, 56.1 %")


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_compared_with_the_book(name: str) -> None:
    right, wrong, reason = SETTINGS[name]
    result = cn.exercise(name, **right)
    assert result.passed is None and " -> " in result.seen[0]  # only training shows the rest
    assert next(iter(right)) in result.notes[-1] and "--train" in result.notes[-1]
    refused = cn.exercise(name, **wrong)
    assert refused.passed is False and reason in refused.missing[0]


@pytest.mark.parametrize("name", [e.id for e in EXERCISES.values() if isinstance(e, Essay)])
def test_an_essay_has_a_rubric_and_facts_and_no_grade(name: str) -> None:
    found = EXERCISES[name]
    assert isinstance(found, Essay)
    result = api.check(found, None, {})
    assert result.passed is None
    text = repr(result)
    assert all(sentence in text for sentence in found.rubric)
    fact = {"alexnet-en-2": "in a batch of 128", "alexnet-en-3": "46,764,746", "alexnet-en-8": "drop6, drop7"}[name]
    assert fact in text


def test_a_result_is_text_and_html() -> None:
    result = cn.exercise("lenet-1", lenet())
    assert repr(result).splitlines()[0] == "lenet-1: not yet"
    assert html.escape("the pooling is that of the book") in result._repr_html_()
    question = cn.exercise("alexnet-4")
    assert "conv_share" in repr(question) and question._repr_html_().startswith("<pre>")
    assert api.read_progress("alexnet-4").tries == 0  # reading a question is no try


def test_a_folder_of_students_is_not_a_network(tmp_path: Path) -> None:
    (tmp_path / "anna.py").write_text("net = 1", encoding="utf-8")
    with pytest.raises(UsageError, match="is a folder") as caught:
        cn.exercise("lenet-1", tmp_path)
    assert caught.value.hints[0] == command("classicnets", "exercise", "check", "lenet-1", "--report", tmp_path)


def test_the_solution_needs_two_tries() -> None:
    found = EXERCISES["lenet-1"]
    for tries, text in ((0, "2 more tries"), (1, "1 more try")):
        assert api.read_progress("lenet-1").tries == tries
        with pytest.raises(UsageError, match=text) as caught:
            api.solution(found)
        assert caught.value.code == "CN220"
        cn.exercise("lenet-1", lenet())
    assert "nn.MaxPool2d" in api.solution(found)


def test_a_network_that_does_not_fit_is_a_try() -> None:
    with pytest.raises(UsageError) as caught:
        cn.exercise("lenet-2a", nn.Sequential(nn.Flatten(), nn.Linear(400, 10)))
    assert caught.value.code == "CN201" and api.read_progress("lenet-2a").tries == 1


def test_damaged_progress_is_that_of_a_first_try(tmp_path: Path) -> None:
    cn.exercise("lenet-1", lenet())
    for content in ("{", '{"tries": "2"}', "[]"):
        (tmp_path / "state" / "classicnets" / "exercises" / "lenet-1.json").write_text(content)
        assert api.read_progress("lenet-1").tries == 0


def test_tries_that_cannot_be_saved_are_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert cn.exercise("lenet-1", lenet(pools=MAX)).passed
    assert "tries and hints are not remembered" in capsys.readouterr().err


WRONG_CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], str, str]] = [
    ("lenet-9", (), {}, "CN202", "there is no exercise 'lenet-9'"),
    ("alexnet-2", (), {}, "CN202", "has parts: alexnet-2a, alexnet-2b"),
    ("lenet-1", (), {"train": True}, "CN206", "there is none"),
    ("lenet-1", ("missing.py:net",), {}, "CN205", "does not exist"),
    ("lenet-1", ("lenet_d2",), {}, "CN202", "did you mean lenet_d2l"),
    ("alexnet-4", (), {"memry": "fc6"}, "CN202", "asks for no 'memry'"),
    ("alexnet-4", (), {"memory": "conv9"}, "CN204", "is no answer to memory"),
    ("alexnet-4", (), {"intensity": "much"}, "CN204", "is no answer to intensity"),
    ("alexnet-4", (), {"bandwidth": "both"}, "CN204", "is no answer to bandwidth"),
    ("alexnet-4", ("lenet_d2l",), {}, "CN206", "asks for answers, and not for a network"),
    ("alexnet-4", (), {"memory": "fc6", "train": True}, "CN206", "nothing is trained"),
    ("lenet-1", ("lenet_d2l",), {"limit": 9}, "CN206", "--limit has no effect"),
    ("lenet-1", ("lenet_d2l",), {"data": "mnist"}, "CN206", "--data has no effect"),
    ("lenet-1", (nn.Flatten,), {}, "CN205", "Flatten is a class, not a network"),
    ("lenet-1", ([nn.Flatten()],), {}, "CN205", "a value of type list is not a network"),
    ("alexnet-3", (), {"image_mb": float("nan")}, "CN204", "it is not a number"),
    (1, (), {}, "CN202", "there is no exercise '1'"),  # type: ignore[list-item]
    ("lenet-2f", (), {"momentum": 2}, "CN204", "momentum"),
    ("lenet-2f", (), {"lr": 0.5, "train": True, "seeds": 1}, "CN204", "one run of each network"),
    ("lenet-4", ("nowhere",), {}, "CN207", "nowhere"),
]


@pytest.mark.parametrize(("name", "nets", "options", "code", "text"), WRONG_CALLS)
def test_wrong_calls_are_errors(
    name: str, nets: tuple[Any, ...], options: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(UsageError) as caught:
        cn.exercise(name, *nets, **options)
    assert caught.value.code == code and text in str(caught.value) and caught.value.hints


def test_an_invalid_setting_is_answered_with_the_command_of_the_exercise() -> None:
    with pytest.raises(UsageError) as caught:
        cn.exercise("lenet-2f", lr="abc")
    assert caught.value.hints == ("classicnets exercise check lenet-2f --answer lr=VALUE",)
