"""Data that has moved: a run is resumed, exported and evaluated with --data, if it is proven to be the same."""

from __future__ import annotations

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from torch import nn

import classicnets as cn
from classicnets.api.training import resume_session
from classicnets.errors import ClassicnetsError, DataError
from classicnets.export.source import ExportSource
from classicnets.runs import data as run_data
from classicnets.runs.folder import RunFolder
from classicnets.spec import ExportOptions, Output, run_spec
from classicnets.studies.resume import reopen
from classicnets.training.plan import plan
from classicnets.training.session import Session
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder

SETTINGS = {"image_size": 28, "epochs": 1, "batch_size": 8}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that has not begun, and its data: `data`, `runs`."""
    root = tmp_path_factory.mktemp("original")
    data = make_image_folder(root / "my data", per_class=5, test_per_class=2)
    planned = plan(*run_spec("lenet_d2l", data=str(data), recipe="fast", **SETTINGS))
    Session.start(planned, lambda _: None, Output(runs=str(root / "runs")))
    return root


@pytest.fixture
def moved(original: Path, tmp_path: Path) -> tuple[Path, Path]:
    """The run, whose data is not where it was, and where the data is now."""
    (run,) = (shutil.copytree(original / "runs", tmp_path / "my runs")).iterdir()
    facts = json.loads((run / "run.json").read_text())
    gone = str(tmp_path / "gone")
    (run / "run.json").write_text(json.dumps(facts | {"data": gone, "spec": facts["spec"] | {"data": gone}}))
    return run, shutil.copytree(original / "my data", tmp_path / "new place")


def place_in(run: Path) -> tuple[str, str]:
    facts = json.loads((run / "run.json").read_text())
    return facts["data"], facts["spec"]["data"]


def test_a_run_is_resumed_with_data_that_has_moved(moved: tuple[Path, Path], cli: CommandLine) -> None:
    run, new = moved
    code, _, err = cli("train", "--resume", run)
    resume = shlex.join(["classicnets", "train", "--resume", str(run), "--data", "DATA"])
    assert code == 3 and "error[CN302]" in err and f"{resume}   #" in err and "my runs/" in resume
    code, _, err = cli("train", "--resume", run, "--data", new)
    assert code == 0 and place_in(run) == (str(new), str(new)), err
    assert cli("evaluate", run)[0] == 0


def test_python_takes_moved_data_too(moved: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run, new = moved
    monkeypatch.chdir(new.parent)
    finished = cn.resume(run, data=Path("new place"), quiet=True)
    assert finished.result and place_in(run) == (str(new), str(new))


def change_content(data: Path) -> None:
    shutil.copy(data / "test/dog/test_0.png", data / "train/dog/train_1.png")


def change_test_content(data: Path) -> None:
    shutil.copy(data / "train/dog/train_1.png", data / "test/dog/test_0.png")


def remove(data: Path) -> None:
    (data / "train/cat/train_0.png").unlink()
    (data / "train/cat/train_1.png").unlink()


def add(data: Path) -> None:
    shutil.copy(data / "test/dog/test_0.png", data / "train/dog/more.png")


DIFFERENCES = [
    (change_content, "1 file has other contents: train/dog/train_1.png"),
    (change_test_content, "the files have the same names, and the contents of some of them have changed"),
    (remove, "2 files are missing: train/cat/train_0.png, train/cat/train_1.png"),
    (add, "1 file is new: train/dog/more.png"),
]


@pytest.mark.parametrize(("change", "message"), DIFFERENCES)
def test_other_data_is_refused_and_the_differences_are_named(
    change: Callable[[Path], None], message: str, moved: tuple[Path, Path]
) -> None:
    run, new = moved
    change(new)
    with pytest.raises(DataError) as caught:
        resume_session(run, Output(), lambda _: None, data=str(new))
    error = caught.value
    assert error.code == "CN306" and message in error.why and place_in(run)[0] != str(new)
    resume = shlex.join(["classicnets", "train", "--resume", str(run), "--data", "DATA"])
    assert error.hints[0].startswith(resume) and error.hints[1].startswith("classicnets data check")


def test_another_class_is_named(moved: tuple[Path, Path], tmp_path: Path) -> None:
    run, new = moved
    table = (run / "split.csv").read_text()
    (run / "split.csv").write_text(table.replace("train/cat/train_0.png,cat", "train/cat/train_0.png,dog"))
    facts = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(facts | {"fingerprint": "another"}))
    with pytest.raises(DataError) as caught:
        resume_session(run, Output(), lambda _: None, data=str(new))
    assert "1 file has another class: train/cat/train_0.png" in caught.value.why


def test_an_older_run_and_idx_files_name_the_fingerprints(moved: tuple[Path, Path], tmp_path: Path) -> None:
    run, new = moved
    change_content(new)
    (run / "trained_images.json").unlink()
    with pytest.raises(DataError) as caught:
        resume_session(run, Output(), lambda _: None, data=str(new))
    assert "the contents of some of them have changed" in caught.value.why
    (run / "split.csv").unlink()
    with pytest.raises(DataError) as caught:
        resume_session(run, Output(), lambda _: None, data=str(new))
    assert "its fingerprint is" in caught.value.why


def test_an_export_takes_moved_data(moved: tuple[Path, Path], tmp_path: Path, cli: CommandLine) -> None:
    run, new = moved
    folder = RunFolder(run)
    net = folder.net_spec().build()
    assert isinstance(net, nn.Module)
    messages: list[str] = []
    assert ExportSource(folder, net, messages.append, ExportOptions()).missing_data.startswith(
        "the data of the run is not at"
    )
    source = ExportSource(folder, net, messages.append, ExportOptions(data=str(new)))
    assert source.missing_data == "" and source.place == str(new) and len(source.images) == 6
    retry: list[str | Path] = ["classicnets", "export", run, "--int8"]
    with pytest.raises(DataError) as caught:
        ExportSource(folder, net, messages.append, ExportOptions(), retry).calibration_images()
    hint = shlex.join(["classicnets", "export", str(run), "--int8", "--data", "DATA"])
    assert caught.value.hints[0].startswith(hint)
    for wrong, code in ((tmp_path / "nowhere", "CN302"), (new, "CN306")):
        add(new)
        with pytest.raises(ClassicnetsError) as error:
            ExportSource(folder, net, messages.append, ExportOptions(data=str(wrong)), retry)
        assert error.value.code == code and error.value.hints[0].startswith(hint)
    assert ExportOptions(data=new).data == str(new)  # type: ignore[arg-type]


def test_evaluating_moved_data_gives_the_figure_and_records_the_place(
    moved: tuple[Path, Path], cli: CommandLine
) -> None:
    run, new = moved
    finished = cn.resume(run, data=new, quiet=True)
    newer = new.rename(new.parent / "newer place")
    code, _, err = cli("evaluate", run)
    assert code == 2 and shlex.join(["classicnets", "evaluate", str(run), "DATA"]) in err
    assert cli("evaluate", run, newer, "--json")[0] == 0
    assert place_in(run) == (str(newer), str(newer))
    assert (
        finished.result
        and json.loads(cli("evaluate", run, "--json")[1])["accuracy"] == (finished.result["test_accuracy"])
    )


def test_a_relative_path_is_found_from_another_folder(
    tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_idx_folder(tmp_path / "here/data", train=40, test=20)
    monkeypatch.chdir(tmp_path / "here")
    Session.start(plan(*run_spec("lenet_d2l", data="data", epochs=1)), lambda _: None)
    monkeypatch.chdir(tmp_path)
    assert cli("train", "--resume", "here/runs/lenet_d2l-data-1")[0] == 0
    monkeypatch.chdir(tmp_path / "here/data")
    assert cli("evaluate", "../runs/lenet_d2l-data-1")[0] == 0


def test_all_runs_of_several_seeds_learn_where_their_data_is(moved: tuple[Path, Path], tmp_path: Path) -> None:
    run, new = moved
    folder = tmp_path / "seeds"
    for seed in (0, 1):
        shutil.copytree(run, folder / f"seed-{seed}")
    facts = json.loads((run / "run.json").read_text())
    common = {key: facts[key] for key in ("recipe", "net")}
    (folder / "seeds.json").write_text(json.dumps({"seeds": [0, 1], "side_by_side": 1, "threads": 1, **common}))
    with pytest.raises(DataError) as caught:
        reopen(folder)
    assert caught.value.code == "CN302"
    assert caught.value.hints[0].startswith(shlex.join(["classicnets", "train", "--resume", str(folder), "--data"]))
    reopen(folder, data=str(new))
    assert {place_in(folder / f"seed-{seed}") for seed in (0, 1)} == {(str(new), str(new))}
    add(new)
    with pytest.raises(DataError) as caught:
        reopen(folder, data=str(new))
    assert caught.value.code == "CN306"


def test_a_published_set_needs_no_place(moved: tuple[Path, Path]) -> None:
    run = RunFolder(moved[0])
    assert run_data.locate(run, "mnist", ()) == "mnist"
