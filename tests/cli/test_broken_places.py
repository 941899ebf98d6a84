"""Every place where a command writes, broken: a note where the command can do without, otherwise one error.

Root may write everywhere, so a place is broken by a path through a file, or by calls that fail (`support.broken`).
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import classicnets as cn
from classicnets.cli.main import main
from classicnets.errors import MachineError
from classicnets.export import int8
from classicnets.images import cache
from classicnets.report import findings, preview, sheet
from classicnets.values import Preprocess
from support.broken import broken
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder

pytestmark = [
    pytest.mark.usefixtures("undrawn"),
    pytest.mark.skipif(os.name == "nt", reason="its paths and errors are others"),
]

OWN_NET = "from torch import nn\nnet = nn.Sequential(nn.Flatten(), nn.Linear(784, 3))\n"
COLOR = Preprocess(channels=3, image_size=28)
ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


@dataclass(frozen=True)
class Material:
    """A folder of images, a finished run on it, its exported file, and the run of a user's own network."""

    images: Path
    run: Path
    exported: Path
    own: Path


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory, undrawn: None) -> Material:
    root = tmp_path_factory.mktemp("material")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CLASSICNETS_CACHE", str(root / "cache"))
        patch.setenv("CLASSICNETS_IMAGE_CACHE", "memory")
        patch.chdir(root)
        images = make_image_folder(root / "animals", per_class=4, test_per_class=2)
        options: dict[str, Any] = {"data": str(images), "recipe": "fast", "epochs": 1, "image_size": 28, "quiet": True}
        run = cn.train("lenet_d2l", **options)
        exported = run.export(root / "net.onnx").path
        (root / "own.py").write_text(OWN_NET.replace("784", "3 * 784"))
        own = cn.train("own.py:net", **options)
        return Material(images, run.path.absolute(), exported, own.path.absolute())


@pytest.fixture(autouse=True)
def no_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sheets of images are drawn, which would take seconds."""
    for module in (findings, preview, sheet):
        monkeypatch.setattr(module, "draw_sheet", lambda *_: Figure(figsize=(1, 1)))


VERBS = {
    "help": "--help",
    "list": "list",
    "explain": "explain CN401",
    "show": "show RUN",
    "data list": "data list",
    "data check": "data check IMAGES",
    "data preview": "data preview IMAGES",
    "train": "train lenet_d2l --data IMAGES --recipe fast --set epochs=1 image_size=28",
    "train own": "train OWN.py:net --data IMAGES --recipe fast --set epochs=1 image_size=28",
    "evaluate": "evaluate RUN",
    "evaluate images": "evaluate RUN IMAGES --include-trained",
    "predict": "predict RUN IMAGES",
    "predict exported": "predict EXPORTED IMAGES --show sheet.png",
    "export": "export RUN -o out.onnx",
    "identify": "weights identify RUN/last.safetensors",
}


def words(line: str, material: Material) -> list[str]:
    places = {
        "OWN.py": f"{material.images.parent}/own.py",
        "RUN": material.run,
        "IMAGES": material.images,
        "EXPORTED": material.exported,
    }
    for name, place in places.items():
        line = line.replace(name, str(place))
    return line.split()


@pytest.fixture
def homeless(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The home folder is a file, and so there is no cache, no state and no folder for temporary files of one's own."""
    (tmp_path / "file").touch()
    for name in ("CLASSICNETS_CACHE", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")


@pytest.mark.parametrize("verb", VERBS)
def test_no_command_needs_a_cache_a_state_or_a_home(
    verb: str, material: Material, homeless: None, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = main(words(VERBS[verb], material))
    except SystemExit as exited:  # --help
        code = int(exited.code or 0)
    out, err = capsys.readouterr()
    reads_all = verb in {"train", "train own", "evaluate", "export"}
    assert code == 0 and out and "rror" not in err
    assert err.count("decoded images stay in memory because they cannot be written to ") == reads_all
    assert err.count("note: this code is not remembered as yours") == (verb == "train own")
    assert not reads_all or "(Not a directory)" in err


def test_code_that_is_not_remembered_needs_trust_each_time(
    material: Material, homeless: None, cli: CommandLine
) -> None:
    code, _, err = cli("evaluate", material.own)
    assert code == 2 and "error[CN212]" in err
    for _again in range(2):
        code, _, err = cli("evaluate", material.own, "--trust")
        assert code == 0 and err.count("it will run only with --trust") == 1


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch, cli: CommandLine) -> None:
    def no_home() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("CLASSICNETS_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", no_home)
    code, out, err = cli("doctor", "--json")
    assert code == 1 and len(json.loads(out)["amiss"]) == 1 and "no-home-folder" in out and not err
    assert cli("data", "list")[0] == 0


def test_doctor_names_what_cannot_be_written(homeless: None, cli: CommandLine) -> None:
    code, out, _ = cli("doctor")
    assert code == 1 and "cannot be written: Not a directory" in out


@pytest.mark.parametrize("number", ERRORS)
@pytest.mark.parametrize("in_write", [False, True])
def test_a_cache_that_breaks_is_replaced_by_memory(
    number: int, in_write: bool, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
    preprocess, paths, notes = COLOR, sorted(material.images.rglob("*.png")), list[str]()
    whole = cache.read_images(paths, preprocess, notes.append)
    shutil.rmtree(tmp_path / "cache")
    with broken(tmp_path / "cache", 0) as disk:
        disk.at = 10**6
        disk.in_write = in_write
        cache.read_images(paths, preprocess, notes.append)
    assert notes == [] and disk.calls > 2
    for at in range(1, disk.calls + 1):
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)
        with broken(tmp_path / "cache", number, at=at, in_write=in_write):
            images = cache.read_images(paths, preprocess, notes.append).images
        assert (images[:] == whole.images[:]).all()
        assert not [*tmp_path.glob("cache/**/.*.part*")]
        reason = f"{tmp_path}/cache/pictures ({os.strerror(number)})"
        assert notes.pop() == f"decoded images stay in memory because they cannot be written to {reason}"
        assert notes == []


def test_a_cache_that_can_only_be_read_is_read(
    material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CLASSICNETS_IMAGE_CACHE", "disk")
    preprocess, paths, notes = COLOR, sorted(material.images.rglob("*.png")), list[str]()
    monkeypatch.setattr(cache, "FRESH_SECONDS", -1e6)  # the images are as good as old
    cache.read_images(paths, preprocess, notes.append)

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(cache, "_decode", lambda *_: pytest.fail("decoded again"))
    with broken(tmp_path / "cache", errno.EROFS):
        assert len(cache.read_images(paths, preprocess, notes.append).images) == len(paths)
    assert notes == []


# --- results ---------------------------------------------------------------------------------------------------------

OUTPUTS = {
    "export": ("export RUN -o", "net.onnx"),
    "predict": ("predict EXPORTED IMAGES --json --show", "sheet.png"),
    "data preview": ("data preview IMAGES -o", "sheet.png"),
    "data check": ("data check IMAGES -o", "sheet.png"),
    "show": ("show lenet_d2l --svg", "net.svg"),
}


def check_error(result: tuple[int, str, str], target: Path, why: str) -> None:
    code, _, err = result
    error = err[err.index("error[") :].splitlines()
    assert code == 4 and error[0] == f"error[CN401]: cannot write {target.name}"
    assert error[1:3] == [f"  where: {target}", f"  why:   {why}"] and error[3].startswith("  hint:  ")


@pytest.mark.parametrize("verb", OUTPUTS)
def test_an_output_that_cannot_be_created(verb: str, material: Material, tmp_path: Path, cli: CommandLine) -> None:
    line, name = OUTPUTS[verb]
    command = words(line, material)
    (tmp_path / "file").touch()
    (tmp_path / "taken" / name).mkdir(parents=True)
    target = tmp_path / "no folder" / name
    result = cli(*command, target)
    check_error(result, target, "No such file or directory")
    assert f"mkdir -p '{tmp_path}/no folder'" in result[2]
    assert verb == "show" or not result[1] or result[1].startswith("{\n"), "work was done first"
    check_error(cli(*command, tmp_path / "file" / name), tmp_path / "file" / name, "Not a directory")
    if verb != "export":  # which writes into a folder
        check_error(cli(*command, tmp_path / "taken" / name), tmp_path / "taken" / name, "Is a directory")
        assert cli(*command, ".")[0] == 4
    with broken(tmp_path, errno.EROFS):
        check_error(cli(*command, tmp_path / name), tmp_path / name, "Read-only file system")
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "cache") == ["file", "taken"]


@pytest.mark.parametrize(("verb", "number"), [*((verb, errno.ENOSPC) for verb in OUTPUTS), ("show", errno.EDQUOT)])
def test_a_disk_that_is_full_in_the_middle(
    verb: str, number: int, material: Material, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classicnets.report.figures.png", lambda _: bytes(100))
    line, name = OUTPUTS[verb]
    (tmp_path / "out").mkdir()
    target = tmp_path / "out" / name
    target.write_bytes(b"the file of yesterday")
    with broken(tmp_path / "out", number, in_write=True) as disk:
        result = cli(*words(line, material), target)
    assert disk.calls
    check_error(result, target, os.strerror(number))
    assert "a folder on a disk with free space" in result[2]
    assert [path.name for path in target.parent.iterdir()] == [name]
    assert target.read_bytes() == b"the file of yesterday"
    if verb == "predict":  # the predictions are complete, and the error is no second document
        assert len(json.loads(result[1])["predictions"]) == 18


def test_int8_needs_temporary_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    network: Any = None  # which would be written there first
    with pytest.raises(MachineError) as caught:
        int8.quantize(network, np.zeros((1, 3, 28, 28), np.uint8), COLOR)
    error = str(caught.value)
    assert error.startswith("error[CN401]: temporary files cannot be written\n  where: /nowhere\n")
    assert "export TMPDIR=FOLDER" in error


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_idx_folder(tmp_path_factory.mktemp("digits") / "digits", train=40, test=10)


def train(cli: CommandLine, digits: Path, *options: object) -> tuple[int, str, str]:
    settings = ("--set", "epochs=2", "validation=0.2", "batch_size=16")
    return cli("train", "lenet_d2l", "--data", digits, "--recipe", "fast", *options, *settings)


@pytest.mark.parametrize("options", [(), ("--seeds", "2")])
def test_a_folder_for_runs_is_tried_before_data_is_read(
    options: tuple[str, ...], digits: Path, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("classicnets.images.loading.load", lambda *_, **__: pytest.fail("data was read"))
    (tmp_path / "file").touch()
    for name in ("file", "file/runs"):
        code, _, err = train(cli, digits, "--runs", name, *options)
        assert code == 4 and f"cannot write {Path(name).name}\n  where: {name}\n  why:   Not a directory\n" in err
        assert "--runs FOLDER   # a folder that you may write to" in err


WRITTEN = ("history.jsonl", "last", "best", "metrics", "card", "trained_images", "run.json", ".lock")


@pytest.mark.parametrize("name", WRITTEN)
def test_a_training_that_cannot_write_can_be_resumed(name: str, digits: Path, tmp_path: Path, cli: CommandLine) -> None:
    pattern = name if name.startswith(".") else f"/.{name.removesuffix('.json')}."
    pattern = "history" if name == "history.jsonl" else pattern
    while_started = name in {"trained_images", "run.json"}
    with broken(tmp_path / "runs", errno.ENOSPC, names=pattern, in_write=True) as disk:
        code, out, err = train(cli, digits)
    assert disk.calls and code == 4 and not out and "No space left on device" in err
    runs = [*(tmp_path / "runs").iterdir()]
    assert not [*tmp_path.glob("runs/**/.*.part*")]
    if while_started:
        assert runs == [] and "--runs FOLDER" in err
        return
    (run,) = runs
    assert f"classicnets train --resume {run.relative_to(tmp_path)}   # resumes after the last checkpoint" in err
    assert cli("train", "--resume", run)[0] == 0


def test_a_run_in_a_folder_that_cannot_be_written_is_read_but_not_resumed(
    material: Material, digits: Path, tmp_path: Path, cli: CommandLine
) -> None:
    with broken(tmp_path / "runs", errno.ENOSPC, names="/.best.", in_write=True):
        train(cli, digits)
    (run,) = (tmp_path / "runs").iterdir()
    with broken(tmp_path / "runs", errno.EROFS):
        code, _, err = cli("train", "--resume", run)
        assert code == 4 and "cannot write .lock" in err and f"cp -r {run} FOLDER" in err
    with broken(material.run, errno.EROFS):
        for command in ("evaluate RUN", "predict RUN IMAGES", "show RUN"):
            assert cli(*words(command, material))[0] == 0


def test_several_seeds_need_temporary_files(digits: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
    code, _, err = train(cli, digits, "--seeds", "2", "--parallel-runs", "1")
    assert code == 4 and "error[CN401]: temporary files cannot be written\n  where: /nowhere\n" in err


def test_what_no_command_expects_is_an_error_without_traceback(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(_: Path) -> bool:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/root/net.py")

    monkeypatch.setattr(Path, "is_file", forbidden)
    code, _, err = cli("show", "/root/net.py")
    assert code == 4 and "error[CN401]: a file or folder cannot be used\n  where: /root/net.py\n" in err
    with pytest.raises(PermissionError):
        cli("show", "/root/net.py", "--debug")


# --- standard streams ------------------------------------------------------------------------------------------------


def shell(redirections: str, *arguments: str) -> tuple[int, str, str]:
    line = f'exec "$0" -m classicnets "$@" {redirections}'
    done = subprocess.run(["sh", "-c", line, sys.executable, *arguments], capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("arguments", ["--help", "--version", "list", "explain CN401 --json"])
def test_a_closed_standard_output_is_an_error(arguments: str) -> None:
    code, _, err = shell(">&-", *arguments.split())
    assert code == 4 and err.startswith("error[CN401]: cannot write the results to standard output\n")
    assert "Bad file descriptor" in err and "Traceback" not in err and "ignored" not in err


@pytest.mark.parametrize("redirections", ["2>&-", "2>/dev/full", "<&- 2>&-", "<&-"])
def test_messages_that_cannot_be_written_are_lost(redirections: str) -> None:
    code, out, err = shell(redirections, "explain", "CN401", "--json")
    assert code == 0 and json.loads(out)["code"] == "CN401" and err == ""
    code, out, err = shell(redirections, "explain", "CN999")
    assert code == 2 and out == "" and ("CN202" in err) == ("2>" not in redirections)


def test_no_file_gets_the_number_of_a_closed_stream(tmp_path: Path) -> None:
    script = (
        "import os, sys\nfrom classicnets.cli import streams\nstreams.prepare()\nfile = open('x', 'w')\n"
        "os.write(2, b'message')\nsys.stderr.write('message')\nassert file.fileno() > 2"
    )
    done = subprocess.run(["sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, script])
    assert done.returncode == 0 and (tmp_path / "x").read_bytes() == b""
