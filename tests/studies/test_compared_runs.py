"""`compare` of runs: groups by settings, differences, verdicts, figures, and mistakes."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import classicnets as cn
from classicnets.errors import UsageError
from classicnets.runs.folder import RunFolder
from classicnets.studies import run_settings
from classicnets.studies.folder import StudyFolder
from classicnets.studies.seeds import METRICS
from classicnets.studies.statistics import statistics_of
from support.command_line import CommandLine
from support.idx import make_idx_folder

OWN_NET = "from torch import nn\n\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
Make = Callable[..., Path]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one short run of one's own network, and its file."""
    root = tmp_path_factory.mktemp("trained")
    data = make_idx_folder(root / "gray", train=40, test=200)
    (root / "own.py").write_text(OWN_NET)
    run = cn.train(f"{root}/own.py:net", data=str(data), epochs=2, runs=str(root / "runs"), quiet=True)
    run.path.rename(root / "run")
    return root


@pytest.fixture
def make(trained: Path, tmp_path: Path) -> Make:
    """Copies the run with another seed, accuracy and facts; `recipe` changes settings."""

    def made(
        name: str, *, seed: int = 0, accuracy: float = 0.7, recipe: dict[str, Any] | None = None, **facts: Any
    ) -> Path:
        path = tmp_path / name
        shutil.copytree(trained / "run", path)
        values = RunFolder(path).read()
        values["result"]["test_accuracy"] = accuracy
        values["recipe"] |= recipe or {}
        RunFolder(path).write({**values, "seed": seed, **facts})
        return path

    return made


def make_seeds(make: Make, root: Path, name: str, accuracies: dict[int, float], **changes: Any) -> Path:
    """A folder of several seeds, as `train --seeds` leaves it, from runs with these accuracies."""
    runs = {
        seed: make(f"{name}/seed-{seed}", seed=seed, accuracy=value, **changes) for seed, value in accuracies.items()
    }
    first = RunFolder(next(iter(runs.values()))).read()
    shared = {key: value for key, value in first.items() if key not in {"result", "checksum", "finished_at"}}
    study = StudyFolder(root / name)
    metrics = {key: statistics_of([*accuracies.values()]) for key in METRICS}
    counts = {"n": len(runs), "of": len(runs), "pictures": 200}
    result: dict[str, Any] = {**counts, **metrics, "published": None, "verdict": "", "runs": []}
    arms: dict[str, Any] = {
        "definition": None,
        "arms": {"": {}},
        "seeds": [*accuracies],
        "side_by_side": 1,
        "threads": 1,
    }
    study.write({**shared, **arms, "result": result})
    return study.path


def code_of(caught: pytest.ExceptionInfo[UsageError]) -> str:
    return caught.value.code


def test_runs_that_differ_only_in_the_seed_are_one_side(make: Make) -> None:
    a = [make(f"a-{seed}", seed=seed, accuracy=0.70 + 0.01 * seed) for seed in range(3)]
    b = [make(f"b-{seed}", seed=seed, accuracy=0.78 + 0.011 * seed, recipe={"lr": 0.1}) for seed in range(3)]
    compared = cn.compare(a[0], b[2], a[1], *b[:2], a[2]).facts
    assert [side.seeds for side in compared.sides] == [[0, 1, 2], [2, 0, 1]]
    assert [side.label for side in compared.sides] == ["own_net, lr=0.003", "own_net, lr=0.1"]
    assert compared.differences == {"lr": ["0.003", "0.1"], "seeds": ["0, 1, 2", "2, 0, 1"]}
    (comparison,) = compared.comparisons
    assert comparison["seeds"] == [0, 1, 2] and comparison["n"] == 3  # in pairs, whatever their order
    assert comparison["first"] == pytest.approx([0.70, 0.71, 0.72])
    assert comparison["second"] == pytest.approx([0.78, 0.791, 0.802])
    assert compared.verdicts[0].startswith("own_net, lr=0.1 against own_net, lr=0.003: test accuracy +8.10 points")
    assert compared.verdicts[0].endswith("n = 3: shown") and compared.next_commands == []
    assert compared.statistics["own_net, lr=0.003"]["test_accuracy"]["mean"] == pytest.approx(0.71)


def test_other_seeds_are_compared_by_welchs_interval(make: Make) -> None:
    a = [make(f"a-{seed}", seed=seed, accuracy=0.70 + 0.01 * seed) for seed in range(3)]
    b = [make(f"b-{seed}", seed=seed + 5, accuracy=0.70 + 0.012 * seed, recipe={"lr": 0.1}) for seed in range(2)]
    (text,) = cn.compare(*a, *b).verdicts
    assert "n = 2 and 3, other seeds: not shown" in text and "95 % interval" in text


def test_one_run_each_says_how_to_train_more(make: Make, trained: Path) -> None:
    a, b = make("a"), make("b", accuracy=0.72, recipe={"lr": 0.1})
    compared = cn.compare(a, b)
    assert "+2.00 points, n = 1: not shown" in compared.verdicts[0]
    assert "one run each says nothing about chance" in compared.verdicts[1]
    (words, same) = (compared.facts.next_commands[0], compared.facts.next_commands[-1])
    assert words.startswith("classicnets train ") and words.endswith("--set epochs=2 --seeds 5")
    assert f"--data {trained / 'gray'}" in words and f"{trained}/own.py:net" in words
    assert words == same  # the copies have the same spec


def test_the_folder_of_several_seeds_is_one_side(make: Make, tmp_path: Path) -> None:
    seeds = make_seeds(make, tmp_path, "seeds", {0: 0.70, 1: 0.71, 2: 0.73})
    other = make("other", seed=0, accuracy=0.6, recipe={"lr": 0.1})
    further = make("further", seed=7, accuracy=0.72)
    compared = cn.compare(seeds, other, further).facts
    assert [side.seeds for side in compared.sides] == [[0, 1, 2, 7], [0]]
    assert "n = 1 and 4: not shown, a test needs at least two runs of each" in compared.verdicts[0]
    assert len(compared.next_commands) == 1  # only of the side with one run


def test_only_seeds_differ(make: Make) -> None:
    compared = cn.compare(make("a"), make("b", seed=1, accuracy=0.72))
    assert "differ only in the seed" in compared.verdicts[0] and len(compared.facts.sides) == 1
    assert compared.differences == {} and "71.00 ± 1.41 %, n = 2" in repr(compared)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"data_name": "other", "fingerprint": "1" * 16}, "they are tested on other data: gray, other"),
        ({"fingerprint": "1" * 16}, "gray had other images when some of them were trained"),
        ({"classes": [f"x{i}" for i in range(10)]}, "they have different classes"),
    ],
)
def test_other_test_images_have_no_verdict(make: Make, change: dict[str, Any], why: str) -> None:
    compared = cn.compare(make("a"), make("b", **change))
    assert not compared.facts.comparisons and not compared.facts.next_commands
    assert compared.verdicts == [f"no verdict, because the results cannot be compared: {why}"]
    assert compared.to_dict()["comparable"] is False


def test_other_numbers_of_test_images_have_no_verdict(make: Make) -> None:
    path = make("b")
    facts = RunFolder(path).read()
    facts["result"]["n"] = 100
    RunFolder(path).write({**facts, "on_bad_image": "skip", "spec": {**facts["spec"], "on_bad_image": "skip"}})
    assert "different numbers of images: 100, 200" in cn.compare(make("a"), path).verdicts[0]


def test_runs_at_the_accuracy_of_guessing_need_no_more_seeds(make: Make) -> None:
    compared = cn.compare(make("a", accuracy=0.1), make("b", accuracy=0.1, recipe={"lr": 0.1}))
    assert "nothing was learned" in compared.verdicts[0] and not compared.facts.next_commands


def test_modules_are_sides_of_their_own(trained: Path, tmp_path: Path) -> None:
    """run.json does not tell two modules apart that were passed in Python."""
    runs = [
        cn.train(nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), data=str(trained / "gray"), epochs=1, seed=seed,
                 runs=str(tmp_path), quiet=True)
        for seed in range(2)
    ]  # fmt: skip
    assert len(cn.compare(*runs).facts.sides) == 2
    command = run_settings.train_command(runs[0].facts, seeds=5)
    assert command == f"in Python: cn.train_seeds(net, data='{trained / 'gray'}', epochs=1, seeds=5)"


# --- mistakes -----------------------------------------------------------------------------------------------------


def test_networks_are_compared_by_show(make: Make, trained: Path) -> None:
    with pytest.raises(UsageError, match="lenet_d2l is a network") as caught:
        cn.compare("lenet_d2l", "alexnet_d2l")
    assert code_of(caught) == "CN206" and caught.value.hints[0] == "classicnets show lenet_d2l alexnet_d2l"
    with pytest.raises(UsageError, match="is a network"):
        cn.compare(make("a"), f"{trained}/own.py:net")


def test_one_run_and_the_same_run_twice(make: Make) -> None:
    a = make("a")
    for arguments in ((), (a,)):
        with pytest.raises(UsageError) as caught:
            cn.compare(*arguments)
        assert code_of(caught) == "CN206" and "RUN" in caught.value.hints[0]
    with pytest.raises(UsageError, match="given twice") as caught:
        cn.compare(a, make("b"), a / ".." / "a")
    assert code_of(caught) == "CN206"
    with pytest.raises(UsageError, match="same settings and the same seed, 0") as caught:
        cn.compare(a, make("c"))
    assert "--seeds 5" in caught.value.hints[0]


def test_unfinished_and_damaged_runs(make: Make, tmp_path: Path) -> None:
    a, stopped, damaged = make("a"), make("stopped", seed=1), make("damaged", seed=2)
    facts = RunFolder(stopped).read()
    del facts["result"]
    RunFolder(stopped).write(facts)
    with pytest.raises(UsageError, match="is not finished") as caught:
        cn.compare(a, stopped)
    assert caught.value.hints == (f"classicnets train --resume {stopped}",)
    (damaged / "run.json").write_text("{}")
    with pytest.raises(UsageError, match=r"run\.json is not valid"):
        cn.compare(a, damaged)
    with pytest.raises(UsageError, match="is not a run folder"):
        cn.compare(a, tmp_path / "nothing")
    with pytest.raises(UsageError, match="is not a run"):
        cn.compare(a, 3)  # type: ignore[arg-type]


def test_a_study_is_shown_by_its_own_command(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds = make_seeds(make, tmp_path, "seeds", {0: 0.70, 1: 0.71})
    monkeypatch.setattr(StudyFolder, "is_of_one_arm", False)
    with pytest.raises(UsageError, match="is a study") as caught:
        cn.compare(seeds, make("a", seed=3))
    assert caught.value.hints[0] == f"classicnets study show {seeds}"


def test_a_run_of_version_0_1_has_settings() -> None:
    facts = RunFolder(Path(__file__).parents[1] / "runs/version_0_1/finished").read()
    assert run_settings.shown(facts)["net.activation"] == "tanh"
    assert run_settings.identity(facts, 0) == run_settings.identity({**facts, "seed": 9}, 1)
    assert run_settings.identity(facts, 0) != run_settings.identity({**facts, "limit": 9}, 0)


# --- the command, and the notebook ----------------------------------------------------------------------------------


def test_the_command_prints_tables_and_draws_curves(make: Make, cli: CommandLine, tmp_path: Path) -> None:
    a, b = make("a", accuracy=0.70), make("网络", accuracy=0.75, recipe={"lr": 0.1})
    figure = tmp_path / "curves.svg"
    code, out, err = cli("compare", a, b, "-o", figure)
    lines = [line.rstrip() for line in out.splitlines()]
    assert code == 0 and err == ""
    assert lines[0] == f"A  own_net, lr=0.003: {a} (seed 0)"
    assert any(line.split() == ["lr", "0.003", "0.1"] for line in lines)
    assert any(line.split() == ["test", "accuracy,", "%", "70.00", "75.00"] for line in lines)
    assert "next: train more seeds" in out and lines[-1] == f"curves: {figure}"
    assert figure.read_bytes().startswith(b"<?xml")
    code, out, _err = cli("compare", a, b, "--json")
    document = json.loads(out)
    assert [side["n"] for side in document["sides"]] == [1, 1] and document["comparable"]
    assert document["differences"] == {"lr": ["0.003", "0.1"]} and len(document["verdicts"]) == 2
    code, _out, err = cli("compare", a, b, "-o", tmp_path / "curves.pdf")
    assert code == 2 and "ends with .png or .svg" in err and "curves.png" in err


def test_a_notebook_shows_tables_and_curves(make: Make, tmp_path: Path) -> None:
    compared = cn.compare(make("a"), make("b", accuracy=0.75, recipe={"lr": 0.1}))
    page = compared._repr_html_()
    assert page.count("<table") == 3 and "data:image/png;base64," in page and "<td" in page
    compared.draw(tmp_path / "curves.png")
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert repr(compared).splitlines()[0] == "comparison of 2 runs"


def test_a_changed_network_is_compared_with_the_original(trained: Path, cli: CommandLine, tmp_path: Path) -> None:
    net, gray, runs = f"{trained}/own.py:net", trained / "gray", tmp_path / "runs"
    words = ("train", "lenet_d2l", "--data", gray, "--runs", runs, "--recipe", "d2l", "--set", "epochs=1")
    code, out, _err = cli(*words, "net.activation=relu")
    assert code == 0 and "which is that of the network without activation=relu" in out
    original = next(line for line in out.splitlines() if line.startswith("original: "))
    assert "--set epochs=1   #" in original and "relu" not in original and f"--data {gray}" in original
    assert cli(*words)[0] == 0
    code, out, _err = cli(*words, "net.activation=relu", "--seed", 3)
    first = runs / "lenet_d2l-gray-1"
    assert "original:" not in out and f"compare: classicnets compare {first} " in out
    assert "against lenet_d2l: " in out or f"against lenet_d2l in {first} (seed 0, " in out
    code, out, _err = cli("train", net, "--data", gray, "--runs", runs, "--set", "epochs=1")
    assert code == 0 and "compare:" not in out
