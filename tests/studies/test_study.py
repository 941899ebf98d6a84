"""Studies: their definition, what is refused, paired runs, interruption, resuming, and equal results in every way."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import classicnets as cn
from classicnets import checksum
from classicnets.datasets.formats import read_idx
from classicnets.events import Epoch
from classicnets.spec import Output, StudyOptions
from classicnets.studies import definition as definitions
from classicnets.studies.arms import resolve
from classicnets.studies.folder import StudyFolder
from classicnets.studies.measured import reached
from classicnets.studies.measures import measure
from classicnets.studies.statistics import BOOTSTRAP_LEAST
from classicnets.training.plan import Plan
from support.command_line import CommandLine
from support.idx import write_idx

BASE = """
name = "pooling"
question = "Is maximum pooling better?"
seeds = 2
measure = ["test_accuracy", "generalization_gap", "epochs to train_accuracy 0.1", "dead_units"]
[base]
net = "lenet_d2l"
data = "DATA"
recipe = "fast"
settings = { epochs = 2, batch_size = 100, validation = 0.2 }
[arms.average]
[arms.max]
net.pool = "max"
net.activation = "relu"
[[compare]]
arms = ["average", "max"]
claim = 1.2
[[reported]]
what = "maximum pooling"
value = "better"
source = "a paper"
"""


@pytest.fixture(scope="module")
def file(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "pooling.toml"
    path.write_text(BASE.replace("DATA", str(blobs)))
    return path


@pytest.fixture
def done(file: Path, in_one_process: None, cli: CommandLine) -> tuple[Path, dict[str, Any]]:
    code, out, err = cli("study", "run", file, "--json")
    assert code == 0, err
    facts = json.loads(out)
    return Path(facts["folder"]), facts


def test_a_study_trains_its_arms_with_the_same_seeds_and_compares_them(
    done: tuple[Path, dict[str, Any]], cli: CommandLine, blobs: Path
) -> None:
    path, facts = done
    rows = facts["result"]["rows"]
    assert [(row["arm"], row["seed"], row["folder"]) for row in rows] == [
        (arm, seed, f"{arm}/seed-{seed}") for seed in (0, 1) for arm in ("average", "max")
    ]
    torch.set_num_threads(facts["threads"])
    single = cn.train(
        "lenet_d2l", data=str(blobs), recipe="fast", epochs=2, batch_size=100, validation=0.2, seed=1,
        variation={"pool": "max", "activation": "relu"}, quiet=True, lr=0.03, shift=0,
    )  # fmt: skip
    # `fast` has a recipe for ReLU and maximum pooling; the arm keeps that of the base run, which differs in these two
    of_study, of_single = (load_file(run / "last.safetensors") for run in (path / "max/seed-1", single.path))
    assert all(torch.equal(of_study[key], of_single[key]) for key in of_single)
    first = facts["result"]["comparisons"][0]
    accuracy = {(row["arm"], row["seed"]): row["test_accuracy"] for row in rows}
    differences = [accuracy["max", seed] - accuracy["average", seed] for seed in (0, 1)]
    assert first["estimate"] == pytest.approx(sum(differences) / 2) and first["n"] == 2
    assert first["claim"] is not None and len(facts["result"]["comparisons"]) == 4
    assert accuracy["max", 1] == json.loads((path / "max/seed-1/run.json").read_text())["result"]["test_accuracy"]
    run = cn.Run(path / "max/seed-1")
    gap = next(row["generalization_gap"] for row in rows if (row["arm"], row["seed"]) == ("max", 1))
    assert -1 <= gap <= 1 and run.facts["result"]["test_accuracy"] + gap == pytest.approx(
        json.loads((path / "max/seed-1/measures.json").read_text())["train_accuracy"]
    )
    for name in ("report.md", "report.html", "differences.png", "curves.png", "study.toml"):
        assert (path / name).stat().st_size > 0
    code, out, _ = cli("study", "show", path)
    assert code == 0 and "max against average: test accuracy" in out
    assert cli("study", "resume", path)[0] == 2  # nothing is left to train
    study = cn.Study(path)
    assert study.verdicts[0].split(";")[0] in " ".join(out.split())
    assert [run.facts["seed"] for run in study.runs("max")] == [0, 1]
    assert "2 of 2" not in cli("study", "list")[1] and "4 of 4" in cli("study", "list")[1]


def test_the_test_split_selects_nothing(
    done: tuple[Path, dict[str, Any]], blobs: Path, cli: CommandLine, in_one_process: None
) -> None:
    """With other labels of the test images, weights and thresholds are the same, and the accuracies are others."""
    path, facts = done
    other = shutil.copytree(blobs, Path("other") / "blobs")
    labels = next(other.glob("t10k-labels*"))
    write_idx(labels, (read_idx(labels) + 1) % 10, gz=labels.suffix == ".gz")
    Path("other.toml").write_text(BASE.replace("DATA", str(other)))
    code, out, err = cli("study", "run", "other.toml", "--json")
    assert code == 0, err
    changed = json.loads(out)
    for row, of_other in zip(facts["result"]["rows"], changed["result"]["rows"], strict=True):
        weights, others = (
            load_file(Path(run) / row["folder"] / "best.safetensors") for run in (path, changed["folder"])
        )
        assert all(torch.equal(weights[key], others[key]) for key in weights)
        name = "epochs to train_accuracy 0.1"
        assert row[name] == of_other[name]
    rows = [result["result"]["rows"] for result in (facts, changed)]
    assert [row["test_accuracy"] for row in rows[0]] != [row["test_accuracy"] for row in rows[1]]


def test_a_stopped_study_is_resumed_and_counts_no_run_twice(
    file: Path, in_one_process: None, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from classicnets.studies import processes

    follow = processes.follow

    def stopped(runs: Any, *how: Any) -> Iterator[Any]:
        for key, event in follow(runs, *how):
            yield key, event
            if isinstance(event, processes.RunEnd):
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(processes, "follow", stopped)
        code, _, err = cli("study", "run", file)
    folder = Path("runs/study-pooling-1")
    assert code == 130 and f"to resume: classicnets study resume {folder}" in err
    done = {key: run.file.read_bytes() for key, run in StudyFolder(folder).networks().items() if "result" in run.read()}
    assert 0 < len(done) < 4
    code, out, _ = cli("study", "show", folder)
    assert code == 0 and "runs are finished" in out and "against" not in out  # no early look
    code, out, err = cli("train", "--resume", folder, "--json")  # as well as `study resume`
    assert code == 0, err
    facts = StudyFolder(folder).read()
    keys = [(row["arm"], row["seed"]) for row in facts["result"]["rows"]]
    assert len(keys) == len({*keys}) == 4 and not any("error" in row for row in facts["result"]["rows"])
    assert all((folder / f"{arm}/seed-{seed}/run.json").read_bytes() == text for (arm, seed), text in done.items())


def test_a_study_that_was_edited_or_is_of_another_version_is_not_resumed(
    file: Path, cli: CommandLine, blobs: Path
) -> None:
    definition, text = cn.api.study.find(file)
    study = cn.api.study.start(
        definition, resolve(definition), StudyOptions(parallel_runs=1), Output(),
        lambda line: None, toml=text,
    )  # fmt: skip
    study.toml.write_text(text.replace("epochs = 2", "epochs = 3"))
    code, _, err = cli("study", "resume", study.path)
    assert code == 2 and "error[CN218]: the study was edited after it was started: [base] epochs" in err
    assert "[base] epochs was 2, and is now 3" in err and "or change" not in err
    assert f"classicnets study run {study.toml}" in err
    study.toml.write_text(text)
    facts = study.read()
    facts["machine"]["versions"]["torch"] = "1.0"
    study.write({key: value for key, value in facts.items() if key != checksum.KEY})
    code, _, err = cli("study", "resume", study.path)
    assert code == 2 and "error[CN218]: the study was started with torch 1.0" in err and "torch==1.0" in err
    code, _, err = cli("study", "run", study.path)
    assert code == 2 and "is the folder of a study that was started" in err
    assert all(f"classicnets study {action} {study.path}" in err for action in ("resume", "show"))
    assert f"classicnets study run {study.toml}" in err
    study.file.write_text(study.file.read_text().replace("Is maximum pooling", "Was maximum pooling"))
    code, _, err = cli("study", "show", study.path)
    assert code != 0 and "--trust" in err
    code, out, _ = cli("study", "show", study.path, "--trust")
    assert code == 0 and "Was maximum pooling" in out


def edited(blobs: Path, *pairs: tuple[str, str]) -> str:
    text = BASE.replace("DATA", str(blobs))
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([("seeds = 2", "seeds = 0")], "seeds is 0"),
        ([("seeds = 2", "seeds = [1, 1]")], "a run would count twice"),
        ([("seeds = 2", "seed = 2")], "seed is not known; did you mean seeds?"),
        ([('name = "pooling"', "name = 3")], "name is 3"),
        ([("question =", "#")], "question is missing"),
        ([('"dead_units"', '"dead_unit"')], 'did you mean "dead_units"?'),
        ([('"dead_units"', '"epochs to test_accuracy 0.8"')], "a curve of the test split may not be used"),
        ([('"dead_units"', '"test_accuracy"')], "measure has a name twice"),
        ([('"average", "max"]', '"average", "maximum"]')], "compare names 'maximum'; the arms are average, max"),
        ([('"average", "max"]', '"max", "max"]')], "the arm 'max' against itself"),
        ([('"average", "max"]\nclaim = 1.2', '"average", "max"]\n[[compare]]\narms = ["max", "average"]')], "twice"),
        ([('net.pool = "max"\nnet.activation = "relu"\n', "")], "the arms average and max are the same"),
        ([('net.pool = "max"\nnet.activation = "relu"\n', 'net.pool = "average"\n')], "changes nothing"),
        (
            [('net.pool = "max"\n', 'net.pool = "max"\nsettings = { "net.pool" = "average" }\n')],
            "max has net.pool twice",
        ),
        ([('net.pool = "max"\n', "seed = 3\n")], "max has seed, which the study decides"),
        ([("[arms.average]\n[arms.max]", "[arms.average]\n[arms.\"a/b\"]")], "cannot be the name of a folder"),
        ([("[base]\nnet = \"lenet_d2l\"\n", "[base]\n")], "has no network"),
        (
            [('"dead_units"]', '"epochs to validation_accuracy 0.5"]'), ("validation = 0.2", 'monitor = "none"')],
            "needs validation images",
        ),
        ([('net.pool = "max"\nnet.activation = "relu"\n', 'classifier = "svm_rbf"\n')], "is a measure of networks"),
        ([("seeds = 2", "seeds = ")], "cannot be read"),
    ],
)  # fmt: skip
def test_what_is_no_study_is_refused_with_the_reason(
    pairs: list[tuple[str, str]], expected: str, blobs: Path, cli: CommandLine
) -> None:
    Path("own.toml").write_text(edited(blobs, *pairs))
    code, _, err = cli("study", "run", "own.toml")
    assert code == 2 and "error[CN217]" in err and expected in err and "hint:" in err
    assert not Path("runs").exists()


def test_other_mistakes_are_refused_before_training(blobs: Path, cli: CommandLine, file: Path) -> None:
    for pairs, error in (
        ([(f'data = "{blobs}"', 'data = "nowhere"')], "error[CN202]"),
        ([('net.pool = "max"', 'net.pool = "maximum"')], "error[CN204]"),
        ([('net.pool = "max"', 'net.pol = "max"')], "error[CN202]"),
    ):
        Path("own.toml").write_text(edited(blobs, *pairs))
        code, _, err = cli("study", "run", "own.toml")
        assert code == 2 and err.startswith(error), err
    code, _, err = cli("study", "run", "poolin")
    assert code == 2 and "did you mean pooling?" in err
    assert cli("study", "show", "nothing")[0] == 2
    assert not Path("runs").exists()


def test_dry_run_says_how_many_runs_how_long_and_how_much_disk(file: Path, cli: CommandLine) -> None:
    code, out, _ = cli("study", "run", file, "--dry-run", "--seeds", 3)
    assert (
        code == 0
        and re.search(r"runs +6: (one run at a time|\d runs in parallel) with ", out)
        and re.search(r"forecast +.+, with 5.0 s a run for its start and report; disk ", out)
        and "note      3 seeds for each arm show large differences only" in out
    )
    assert not Path("runs").exists()
    forecast = json.loads(cli("study", "run", file, "--dry-run", "--json")[1])
    assert (
        forecast["runs"] == 4
        and forecast["seconds"] * forecast["side_by_side"] > 4 * 5
        and forecast["disk_bytes"] > 10_000
    )


def test_modules_are_compared_in_this_process(blobs: Path) -> None:
    def net(activation: nn.Module) -> nn.Sequential:
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 8), activation, nn.Linear(8, 10))

    relu = net(nn.ReLU())
    base = {"data": str(blobs), "recipe": "fast", "epochs": 1, "batch_size": 200}
    arms = {
        "relu": {"net": relu},
        "tanh": {"net": net(nn.Tanh())},
        "sigmoid": {"net": relu, "settings": {"net.activation": "sigmoid"}},
    }
    study = cn.study({"name": "own", "question": "Which?", "seeds": 2, "base": base, "arms": arms}, quiet=True)
    assert len(study.verdicts) == 2 and "relu" in study.verdicts[0]
    assert study.facts["arms"]["tanh"]["changes"] == ["net=Sequential of 6,370 parameters"]
    assert isinstance([*study.runs("sigmoid")[1].net.children()][2], nn.Sigmoid)
    with pytest.raises(TypeError, match="belong to the study"):
        cn.study("pooling", epochs=3)


def test_a_grid_makes_an_arm_of_each_combination() -> None:
    values = {
        "name": "grid", "question": "Which?", "seeds": 1, "base": {"net": "lenet_d2l"},
        "grid": {"net": {"pool": ["max", "average"]}, "lr": [0.1, 0.2]},
    }  # fmt: skip
    found = definitions.make(values)
    assert [*found.arms] == ["pool=max,lr=0.1", "pool=max,lr=0.2", "pool=average,lr=0.1", "pool=average,lr=0.2"]
    assert len(found.compare) == 3 and found.arms["pool=max,lr=0.2"] == {"settings": {"net.pool": "max", "lr": 0.2}}


def test_seeds_continue_those_of_the_study() -> None:
    found = definitions.read(definitions.presets()["pooling"])
    assert found.with_seeds(3).seeds == (0, 1, 2) and found.with_seeds(20).seeds == tuple(range(20))


OWN_STUDIES = Path(__file__).parents[2] / "studies"  # studies of data that this package does not know by name


@pytest.mark.parametrize(
    "path", [*definitions.presets().values(), *OWN_STUDIES.glob("*.toml")], ids=lambda path: path.stem
)
def test_studies_of_the_package_are_valid(path: Path) -> None:
    found = definitions.read(path)
    assert found.name == path.stem and found.scope and found.question.endswith("?")
    assert len(found.seeds) >= BOOTSTRAP_LEAST and len(found.measures) <= 2
    assert definitions.Definition.from_dict(json.loads(json.dumps(found.to_dict()))).to_dict() == found.to_dict()
    if path.parent == OWN_STUDIES:  # its data is made by the command in the file
        found = replace(found, base={**found.base, "data": "cifar10"})
    recipes = {name: arm.plan.recipe for name, arm in resolve(found).items() if isinstance(arm.plan, Plan)}
    assert {name for pair in found.compare for name in pair.arms} >= recipes.keys()
    for recipe in recipes.values():
        assert recipe.monitor != "test" and (recipe.validation or recipe.source.startswith("d2l"))


def test_mlps_of_the_preset_are_as_large_as_lenet() -> None:
    arms = resolve(definitions.read(definitions.presets()["mlp"]))
    tables = {name: arm.plan.table for name, arm in arms.items() if isinstance(arm.plan, Plan)}
    assert tables["mlp_parameters"].parameters == pytest.approx(tables["lenet"].parameters, rel=0.01)
    assert tables["mlp_macs"].macs == pytest.approx(tables["lenet"].macs, rel=0.01)


def curve(*values: float) -> list[Epoch]:
    return [
        Epoch(epoch=i, epochs=len(values), loss=1 - value, accuracy=value, validation_accuracy=None, test_accuracy=None,
              lr=0.1, seconds=2.0, evaluation_seconds=1.0, images_per_second=1.0, wait_share=0.0)
        for i, value in enumerate(values, 1)
    ]  # fmt: skip


def test_a_threshold_is_reached_between_two_epochs() -> None:
    epochs = curve(0.5, 0.7, 0.9)
    assert reached(epochs, measure("epochs to train_accuracy 0.8")) == pytest.approx(2.5)
    assert reached(epochs, measure("seconds to train_accuracy 0.8")) == pytest.approx(5.0)
    assert reached(epochs, measure("epochs to train_loss 0.4")) == pytest.approx(1.5)
    assert reached(epochs, measure("epochs to train_accuracy 0.3")) == 1
    assert reached(epochs, measure("epochs to train_accuracy 0.95")) is None


def test_scipy_is_missed_before_training(file: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy", None)
    code, _, err = cli("study", "run", file)
    assert code == 4 and "error[CN403]" in err and "pip install 'classicnets[study]'" in err
    assert not Path("runs").exists()
