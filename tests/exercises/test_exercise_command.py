"""`classicnets exercise`: list, show, hint, check, a folder of students' files, and training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import classicnets as cn
from classicnets.api import exercise as api
from classicnets.api import exercise_training
from classicnets.exercises import students
from classicnets.exercises.catalog import EXERCISES
from classicnets.exercises.kinds import Structure
from support.command_line import CommandLine
from support.idx import make_idx_folder

MAX = """from torch import nn
net = nn.Sequential(
    nn.Conv2d(1, 6, 5, padding=2), nn.Sigmoid(), nn.MaxPool2d(2, 2),
    nn.Conv2d(6, 16, 5), nn.Sigmoid(), nn.MaxPool2d(2, 2), nn.Flatten(),
    nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10))
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(MAX)
    return tmp_path


def test_the_list_has_the_numbers_of_both_editions(cli: CommandLine) -> None:
    code, out, _ = cli("exercise", "list")
    row = next(line for line in out.splitlines() if line.startswith("alexnet-5 "))
    assert code == 0 and row.split()[:3] == ["alexnet-5", "5", "7"]
    code, out, _ = cli("exercise", "list", "--json")
    rows = json.loads(out)["exercises"]
    assert [r["id"] for r in rows] == [*EXERCISES] and not any(r["solved"] for r in rows)


def test_a_student_goes_from_the_question_to_the_solution(cli: CommandLine) -> None:
    code, out, _ = cli("exercise", "show", "lenet-en-1a")
    assert code == 0 and "classicnets exercise check lenet-1 my_net.py:net" in out
    code, _, err = cli("exercise", "show", "lenet-1", "--solution")
    assert code == 2 and "CN220" in err
    assert cli("exercise", "hint", "lenet-1")[1].startswith("hint 1 of 3")
    assert json.loads(cli("exercise", "hint", "lenet-1", "--json")[1])["number"] == 2
    code, out, _ = cli("exercise", "check", "lenet-1", "lenet_d2l")
    assert code == 1 and "the pooling is that of the book" in out
    code, out, _ = cli("exercise", "check", "lenet-1", "own.py:net", "--json")
    assert code == 0 and json.loads(out)["passed"] is True
    assert "nn.MaxPool2d" in cli("exercise", "show", "lenet-1", "--solution")[1]
    assert "solved" in cli("exercise", "list")[1]


def test_answers_are_key_and_value(cli: CommandLine) -> None:
    code, out, _ = cli("exercise", "check", "alexnet-4b", "--answer", "compute=conv2", "conv_share=95")
    assert code == 0 and "conv2 has 415,334,400" in out
    code, _, err = cli("exercise", "check", "alexnet-4b", "--answer", "conv2")
    assert code == 2 and "--answer conv2 has no value" in err


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("check lenet-1 own.py:nett", "CN205"),
        ("check lenet-1 own.py:net --seeds 4", "--seeds has no effect here"),
        ("check lenet-1 own.py:net --time-limit 4", "--time-limit has no effect here"),
        ("check lenet-1 --report none", "there is no folder none"),
        ("check lenet-1 --report state", "there is no folder state"),
        ("check lenet-1 own.py:net --report .", "own.py:net has no effect here"),
        ("check alexnet-4 --report .", "asks for no network"),
        ("show lenet-7", "there is no exercise 'lenet-7'"),
    ],
)
def test_mistakes_are_errors(cli: CommandLine, line: str, text: str) -> None:
    code, _, err = cli("exercise", *line.split())
    assert code == 2 and text in err


def test_a_broken_file_does_not_stop_the_others(cli: CommandLine, place: Path) -> None:
    folder = place / "class"
    folder.mkdir()
    (folder / "anna.py").write_text("print('{}')\n" + MAX)
    (folder / "bo.py").write_text("net = 1 +")
    (folder / "notes.txt").write_text("")
    code, out, err = cli("exercise", "check", "lenet-1", "--report", folder, "--time-limit", 600, "--json")
    table = json.loads(out)
    assert code == 0 and table["right"] == 1 and "checked anna" in err
    assert [(row["student"], row["passed"], row["error"]) for row in table["students"]] == [
        ("anna", True, ""),
        ("bo", None, "CN205"),
    ]
    assert api.read_progress("lenet-1").tries == 0  # those of the teacher


def test_a_file_that_does_not_end_is_stopped(place: Path) -> None:
    (place / "loop.py").write_text("while True: pass")
    student = students.check_file("lenet-1", place / "loop.py", [], seconds=1)
    assert student.error == "timeout" and student.missing == ("not finished after 1.0 s",)


@pytest.fixture
def gray(place: Path) -> Path:
    return make_idx_folder(place / "gray", train=40, test=20)


def test_networks_are_trained_as_the_book_does(gray: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both arms have every setting of the book's recipe, and the verdict is the answer."""
    found = EXERCISES["lenet-1"]
    assert isinstance(found, Structure)
    settings: dict[str, Any] = {}
    original = exercise_training._settings_of_book

    def shorter(net: str) -> dict[str, Any]:
        settings.update(original(net))
        return {**settings, "epochs": 1, "batch_size": 20}

    monkeypatch.setattr(exercise_training, "_settings_of_book", shorter)
    net = cn.vary(cn.create("lenet_d2l"), pool="max")
    result = cn.exercise("lenet-1", net, train=True, seeds=2, data=str(gray))
    assert settings["lr"] == 0.9 and settings["epochs"] == 10 and settings["initialize"] == "xavier_uniform"
    assert result.passed and "yours against book: test accuracy" in result.facts["verdicts"][0]
    assert result.facts["verdicts"][0] in result.seen and Path(result.files[0]).is_file()


@pytest.mark.parametrize(
    ("name", "net", "sizes"),
    [
        ("alexnet-2b", "alexnet_28", {"book": 224, "yours": 28}),
        ("alexnet-2a", "alexnet_d2l_v1", {"book": 224, "yours": 224}),
        ("alexnet-5", "lenet_caffe", {"book": 28, "yours": 28}),
    ],
)
def test_each_network_gets_images_of_its_size(
    name: str, net: str, sizes: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings are valid for both arms, and equal but for the size."""
    plans: dict[str, Any] = {}

    class Stop(Exception):
        pass

    def stop(_definition: Any, arms: dict[str, Any], *_options: Any) -> None:
        plans.update({arm: each.plan for arm, each in arms.items()})
        raise Stop

    monkeypatch.setattr("classicnets.api.study.forecast", stop)
    found = EXERCISES[name]
    assert isinstance(found, Structure)
    result = api.Result(id=name, passed=True)
    with pytest.raises(Stop):
        exercise_training.compare_networks(found, result, net, exercise_training.Options())
    assert {arm: plan.preprocess.image_size for arm, plan in plans.items()} == sizes
    assert len({(plan.recipe.lr, plan.recipe.batch_size, plan.recipe.optimizer) for plan in plans.values()}) == 1


def test_activations_of_a_run_are_drawn(gray: Path, cli: CommandLine) -> None:
    run = cn.train("own.py:net", data=str(gray), epochs=1, quiet=True)
    run.facts["result"]["test_accuracy"] = 0.5
    result = cn.exercise("lenet-en-5", run)
    assert result.passed is None and (run.path / "lenet-en-5.png").is_file()
    assert len([line for line in result.seen if line.startswith("conv2")]) == 6  # pairs of four images
    assert any("noise: classified as" in line for line in result.seen)
    run.facts["result"]["test_accuracy"] = 0.1
    assert cn.exercise("lenet-4", run).passed is False
    code, out, _ = cli("exercise", "check", "lenet-4", "own.py:net")
    assert code == 1 and "is not trained" in out


def test_activations_need_two_convolutions(gray: Path) -> None:
    from torch import nn

    result = cn.exercise("lenet-4", nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), data=str(gray))
    assert result.passed is False and "0 convolutions" in result.missing[0]


def test_batch_sizes_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    class Measured:
        step_images, step_seconds, memory_bytes = 64, 2.0, 10**9

    sizes: list[int] = []

    def forecast(plan: Any, _output: Any) -> type[Measured]:
        sizes.append(plan.recipe.batch_size)
        return Measured

    monkeypatch.setattr(exercise_training, "forecast_run", forecast)
    result = cn.exercise("alexnet-3", image_mb=5.3, train=True)
    assert sizes == [8, 32, 128] and result.passed
    assert result.seen[-1] == "batch of 128: 32.0 images a second, peak memory 1.0 GB"
    assert np.isfinite(result.facts["sweep"][0]["images_per_second"])
