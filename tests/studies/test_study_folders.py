"""Folders of studies: interrupted, damaged, incomplete, of other versions; finished runs are never touched."""

from __future__ import annotations

import errno
import json
import shutil
import weakref
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from torch import nn

import classicnets as cn
from classicnets import checksum, files, machine
from classicnets.errors import DataError, MachineError, UsageError
from classicnets.images import loading
from classicnets.report.terminal import StudyTerminal
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.studies import definition as definitions
from classicnets.studies.arms import resolve
from classicnets.studies.classic import ClassicRun
from classicnets.studies.folder import Key, StudyFolder
from classicnets.studies.images import Images
from classicnets.studies.measured import measured
from classicnets.studies.measures import measure
from classicnets.studies.processes import RunEnd
from classicnets.studies.results import rows_of
from classicnets.studies.resume import reopen
from classicnets.studies.start import start
from classicnets.studies.train import train
from classicnets.training.plan import plan_of_run
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.typed import present

NETS = """
from torch import nn
def net():
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 4), nn.ReLU(), nn.Linear(4, 10))
"""
STUDY = """
name = "own"
question = "Which?"
seeds = 2
measure = ["test_accuracy", "predict_seconds", "epochs to train_accuracy 0.10"]
[base]
net = "nets.py:net"
data = "DATA"
recipe = "fast"
settings = { epochs = 1, batch_size = 200 }
[arms.relu]
[arms.tanh]
net.activation = "tanh"
"""


def train_here(*failing: Key) -> Callable[..., Iterator[tuple[Key, Any]]]:
    """What trains networks in this process, without reports; some runs fail."""

    def follow(runs: Mapping[Key, RunFolder], *_how: Any) -> Iterator[tuple[Key, Any]]:
        for key, run in runs.items():
            if key in failing:
                yield key, RunEnd("error[CN101]: it failed")
                continue
            session = Session.resume(run.path, lambda _: None, trust=True)
            yield from ((key, event) for event in session.events())
            session.finish()
            yield key, RunEnd()

    return follow


def trained(study: StudyFolder, *failing: Key, report: Callable[[Any], None] = lambda _: None) -> dict[str, Any]:
    display = StudyTerminal(Console(quiet=True), 1)
    return train(study, display, lambda run, net: iter(()), report, follow=train_here(*failing))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def file(blobs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "own.toml"
    path.write_text(STUDY.replace("DATA", str(blobs)))
    (path.parent / "nets.py").write_text(NETS)
    return path


@pytest.fixture(scope="module")
def half(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of which one run of four has failed."""
    definition = definitions.read(file)
    output = Output(runs=str(tmp_path_factory.mktemp("runs")))
    study = start(definition, resolve(definition), output, lambda _: None, toml=file.read_text(), parallel_runs=1)
    trained(study, ("tanh", 1))
    return study.path


@pytest.fixture
def copy(half: Path, tmp_path: Path) -> StudyFolder:
    return StudyFolder(Path(shutil.copytree(half, tmp_path / half.name)))


def contents(study: StudyFolder) -> dict[Path, bytes]:
    """The files of the finished runs."""
    finished = [run.path for run in study.runs().values() if "result" in run.read()]
    return {path: path.read_bytes() for run in finished for path in run.rglob("*") if path.name != ".lock"}


def test_a_failed_run_is_tried_again_and_the_others_are_not_touched(copy: StudyFolder) -> None:
    facts, before = copy.read(), contents(copy)
    assert [row.get("error", "") for row in rows_of(facts)] == ["", "", "", "error[CN101]: it failed"]
    metrics = json.loads((copy.path / "relu/seed-0/metrics.json").read_text())
    shares = {max(map(sum, metrics["confusion"])) / metrics["n"]}
    assert {row["most_frequent"] for row in rows_of(facts)[:3]} == shares  # the split is that of all runs
    assert all(row["at_most"] == ["epochs to train_accuracy 0.1"] for row in rows_of(facts)[:3])
    assert facts["result"]["comparisons"][0]["seeds"] == [0]
    opened = reopen(copy.path)
    assert [*opened.missing()] == [("tanh", 1)]
    result = trained(opened)
    assert not any("error" in row for row in result["rows"]) and result["comparisons"][0]["seeds"] == [0, 1]
    assert before.items() <= contents(copy).items()
    times = [[row["predict_seconds"] for row in rows] for rows in (rows_of(facts)[:3], result["rows"][:3])]
    assert times[0] == times[1] and all(time > 0 for time in times[0])  # measured once
    with pytest.raises(UsageError) as caught:
        reopen(copy.path)
    assert caught.value.code == "CN208" and f"classicnets study run {facts['definition']['file']}" in str(caught.value)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MachineError("CN401", "a report cannot be written")])
def test_a_result_that_was_not_written_is_made_by_resuming(copy: StudyFolder, error: BaseException) -> None:
    """All runs are finished then, and study.json still has the result in which one has failed."""

    def fail(_results: object) -> None:
        raise error

    with pytest.raises(type(error)):
        trained(reopen(copy.path), report=fail)
    before = contents(copy)
    assert not copy.missing() and any("error" in row for row in rows_of(copy.read()))
    assert not any("error" in row for row in trained(reopen(copy.path))["rows"])
    assert contents(copy) == before


def test_a_full_disk_leaves_the_study_as_it_was(copy: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    before, write = copy.file.read_bytes(), files.write_whole

    def full(path: Path, content: Any, **options: Any) -> None:
        if path.name == "study.json":
            raise files.cannot_write(path, OSError(errno.ENOSPC, "No space left on device"))
        write(path, content, **options)

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_whole", full)
        with pytest.raises(MachineError, match="No space left") as caught:
            trained(reopen(copy.path))
    assert copy.file.read_bytes() == before and f"classicnets study resume {copy.path}" in str(caught.value)
    assert not any("error" in row for row in trained(reopen(copy.path))["rows"])


def test_a_run_folder_that_was_removed_is_named_and_trained_again(copy: StudyFolder, cli: CommandLine) -> None:
    removed = RunFolder(copy.path / "relu/seed-1")
    before, facts = removed.weights_file().read_bytes(), removed.read()
    shutil.rmtree(removed.path)
    code, out, _ = cli("study", "show", copy.path)  # the result does not need it
    assert code == 0 and "1 run folder is missing: relu/seed-1; to train it again: classicnets study resume" in out
    code, out, _ = cli("study", "list", "--runs", copy.path.parent)
    assert code == 0 and "2 of 4" in out
    opened = reopen(copy.path)
    assert [*opened.missing()] == [("relu", 1), ("tanh", 1)]
    assert not any("error" in row for row in trained(opened)["rows"])
    assert removed.weights_file().read_bytes() == before
    assert {key: value for key, value in removed.read().items() if facts[key] != value}.keys() <= {
        "started_at",
        "finished_at",
        "machine",
        "result",
        "checksum",
    }


def test_an_arm_without_a_run_folder_is_named(copy: StudyFolder, cli: CommandLine) -> None:
    shutil.rmtree(copy.path / "relu")
    code, _, err = cli("study", "resume", copy.path)
    assert code == 2 and "error[CN207]" in err and "the run folders of the arm relu are missing" in err
    assert str(copy.path / "relu/seed-0") in err and "classicnets study run" in err
    assert not (copy.path / "relu/seed-0").exists()


def test_a_stopped_comparison_says_how_to_make_it(
    half: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cn.api.training, "follow_study", interrupted)
    monkeypatch.setattr(StudyFolder, "missing", lambda _study: {})
    monkeypatch.setattr(cn.api.training, "reopen_study", lambda path, *_, **__: StudyFolder(path))
    code, _, err = cli("study", "resume", half)
    assert code == 130 and f"all runs are finished; to compare them: classicnets study resume {half}" in err


def test_a_network_beside_the_study_is_found_and_the_study_is_not_taken_for_edited(copy: StudyFolder) -> None:
    facts = copy.read()
    assert facts["definition"]["base"]["net"] == "nets.py:net" and (copy.path / "study.toml").is_file()
    assert facts["definition"]["measures"][2] == "epochs to train_accuracy 0.1"
    reopen(copy.path)
    copy.toml.write_text(copy.toml.read_text().replace("epochs = 1", "epochs = 2"))
    with pytest.raises(UsageError, match=r"edited after it was started: \[base\] epochs"):
        reopen(copy.path)


def test_the_facts_of_the_machine_name_the_instruction_set(half: Path) -> None:
    assert StudyFolder(half).read()["machine"]["cpu_capability"] == machine.torch_facts()["cpu_capability"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"of_a_newer_version": 1}, ""),
        ({"definition": {"of_a_newer_version": 1}}, "a newer version of classicnets may have written it"),
        ({"definition": {"measures": ["a new measure"]}}, 'definition.measures[0] is "a new measure"'),
        ({"arms": None}, "arms is null"),
        ({"machine": {"versions": None}}, "machine.versions is null"),
    ],
)
def test_files_of_other_versions_are_read_or_refused(copy: StudyFolder, change: dict[str, Any], words: str) -> None:
    facts = copy.read()
    for key, value in change.items():
        facts[key] = {**facts[key], **value} if isinstance(value, dict) else value
    del facts[checksum.KEY]
    copy.write(facts)
    if not words:
        assert copy.read()["of_a_newer_version"] == 1
        return
    with pytest.raises(UsageError) as caught:
        copy.read()
    assert caught.value.code == "CN207" and words in caught.value.why


def test_definitions_without_later_fields_are_read() -> None:
    made = definitions.make({"name": "a", "question": "b", "seeds": 1, "base": {}, "arms": {"c": {}}}).to_dict()
    early = {key: made[key] for key in ("name", "question", "seeds", "base", "arms")}
    assert definitions.Definition.from_dict(early).to_dict() == {**made, "compare": []}


@pytest.mark.parametrize("name", ["a/b", ".", "..", "", ".hidden", "a\\b", "a\nb", "猫" * 90])
def test_names_that_no_folder_can_have_are_refused(name: str) -> None:
    values = {"name": "a", "question": "b", "seeds": 1, "base": {}, "arms": {"c": {}}}
    for changed in ({**values, "name": name}, {**values, "arms": {name: {}}}):
        with pytest.raises(UsageError) as caught:
            definitions.make(changed)
        assert caught.value.code == "CN217"


def test_several_seeds_are_not_taken_for_a_study(tmp_path: Path, cli: CommandLine, half: Path) -> None:
    facts = StudyFolder(half).read()
    run = RunFolder(half / "relu/seed-0").read()
    study = StudyFolder(tmp_path / "seeds")
    study.path.mkdir()
    study.write({**facts, "definition": None, "arms": {"": {}}, "seeds": [0], "net": run["net"],
                 "recipe": run["recipe"], "result": seeds_result()})  # fmt: skip
    for command in ("show", "resume"):
        code, _, err = cli("study", command, study.path)
        assert code == 2 and "error[CN207]" in err and f"classicnets train --resume {study.path}" in err
    with pytest.raises(UsageError, match="several seeds"):
        cn.study(study.path)


def seeds_result() -> dict[str, Any]:
    names = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")
    figures = dict.fromkeys(names, dict.fromkeys(("mean", "sd", "min", "max"), 0.5))
    return {**figures, "n": 1, "of": 1, "pictures": 1, "published": None, "verdict": "", "runs": []}


def test_modules_are_needed_to_resume_and_can_be_passed(blobs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    base = {"data": str(blobs), "recipe": "fast", "epochs": 1, "batch_size": 200, "net": net}
    study = {"name": "modules", "question": "Which?", "seeds": 1, "base": base, "arms": {"a": {}, "b": {"lr": 0.2}}}
    definition = definitions.make(study)
    assert definition.to_dict()["base"]["net"] == "Sequential"
    folder = start(definition, resolve(definition), Output(), lambda _: None).path
    with pytest.raises(UsageError) as caught:
        reopen(folder)
    assert caught.value.code == "CN207" and "the arm a was passed in Python" in caught.value.what
    assert caught.value.hints == (f"cn.study({str(folder)!r}, nets={{'a': net}})",)
    with pytest.raises(UsageError, match="not on a cluster"):
        cn.study(folder, nets={"a": net, "b": net}, ray="auto", quiet=True)
    monkeypatch.setattr(cn.report.study, "write", lambda _results: None)
    monkeypatch.setattr(cn.report.run, "write", lambda _results: None)
    assert len(cn.study(folder, nets={"a": net, "b": net}, quiet=True).runs("b")) == 1
    with pytest.raises(TypeError, match="nets belongs to the folder"):
        cn.study(study, nets={"a": net})


def test_only_the_images_that_were_read_last_are_kept(
    half: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load, read = loading.load, list[str]()

    def counted(spec: str, *arguments: Any, **options: Any) -> Any:
        read.append(spec)
        return load(spec, *arguments, **options)

    monkeypatch.setattr(loading, "load", counted)
    plan = plan_of_run(RunFolder(half / "relu/seed-0"), trust=True)
    other_seed = replace(plan, preprocess=replace(plan.preprocess, mean=(0.123,)))  # the mean of its images
    other_data = replace(plan, data=str(make_idx_folder(tmp_path / "other", train=20, test=10)))
    images = Images(lambda _: None)
    splits = weakref.ref(images.read(plan))
    assert images.read(other_seed) is splits() and len(read) == 1
    images.read(other_data)
    assert splits() is None
    images.read(plan)
    assert len(read) == 3


def test_predictions_are_timed_only_if_asked(half: Path, tmp_path: Path) -> None:
    run = RunFolder(Path(shutil.copytree(half / "relu/seed-0", tmp_path / "run")))
    (run.path / "measures.json").unlink()
    plan, images = plan_of_run(run, trust=True), Images(lambda _: None)

    def values(*names: str) -> dict[str, float | None]:
        return measured(run, plan, [measure(name) for name in names], images.read, trust=True)

    assert values("test_accuracy", "seconds").keys() == {"test_accuracy", "seconds"}
    assert not (run.path / "measures.json").exists()
    values("train_accuracy")
    assert "predict_seconds" not in json.loads((run.path / "measures.json").read_text())
    both = values("predict_seconds", "generalization_gap")
    assert present(both["predict_seconds"]) > 0
    (run.path / "measures.json").write_text("{}")  # a damaged file is made again
    assert values("generalization_gap")["generalization_gap"] == both["generalization_gap"]


def test_moved_data_is_found_by_all_runs_that_had_it(file: Path, tmp_path: Path, blobs: Path, cli: CommandLine) -> None:
    old, new = (tmp_path / name for name in ("old", "new"))
    shutil.copytree(blobs, old)
    text = file.read_text().replace(str(blobs), str(old)).replace('"predict_seconds", "epochs to', "#")
    text = (
        text.split("measure")[0] + "[base]" + text.split("[base]")[1].replace("nets.py", str(file.parent / "nets.py"))
    )
    (tmp_path / "own.toml").write_text(text + '[arms.svm]\nclassifier = "linear_svm"\n')
    definition = definitions.read(tmp_path / "own.toml")
    study = start(definition, resolve(definition), Output(), lambda _: None, parallel_runs=1)
    old.rename(new)
    with pytest.raises(DataError) as caught:
        reopen(study.path)
    assert f"classicnets study resume {study.path} --data" in str(caught.value)
    reopen(study.path, data=str(new))
    places = [run.spec().data if isinstance(run, ClassicRun) else run.read()["data"] for run in study.runs().values()]
    assert places == [str(new)] * 6
