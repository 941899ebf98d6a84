"""Every command of the README works: all of them are run, in order, on small stand-ins for the data that they name.

The Chinese README has the same commands (test_chinese_pages.py).
"""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets.datasets.catalog import DATASETS
from classicnets.training import loop
from support.command_line import CommandLine
from support.idx import dataset_of, make_idx_folder
from support.images import make_image_folder

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def commands() -> list[str]:
    """Every `classicnets ...` line, without its comment."""
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines if line.startswith("classicnets ")]


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_export: None) -> None:
    """In the working folder: the files that the README names; Fashion-MNIST is small."""
    system = make_idx_folder(tmp_path / "system", train=120, test=40, gz=True)
    monkeypatch.setitem(DATASETS, "fashion_mnist", dataset_of(system, name="fashion_mnist"))
    photos = make_image_folder(tmp_path / "photos", per_class=10, test_per_class=4)
    new = next((photos / "test").iterdir())
    (tmp_path / "new").symlink_to(new)
    (tmp_path / "boot.png").write_bytes(next(new.iterdir()).read_bytes())


def interrupt(run: str, cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trains again in the folder `run`, until Ctrl-C in the fifth step."""
    steps = iter(range(4))

    def take_step(*arguments: Any) -> None:
        if next(steps, None) is None:
            raise KeyboardInterrupt
        real(*arguments)

    real = loop.take_step
    shutil.rmtree(run)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "take_step", take_step)
        code, _, _ = cli("train", "lenet_d2l")
    assert code == 130


@pytest.mark.slow
def test_every_command_works(
    stand_ins: None, in_one_process: None, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in commands():
        arguments = shlex.split(command)[1:]
        if "--resume" in arguments:
            interrupt(arguments[-1], cli, monkeypatch)
        code, _, err = cli(*arguments)
        assert code == 0, f"{command}\n{err}"


@pytest.mark.slow
def test_the_listing_works(stand_ins: None, capsys: pytest.CaptureFixture[str]) -> None:
    (listing,) = blocks("python")
    variables: dict[str, object] = {}
    exec(compile(listing, "README.md", "exec"), variables)
    assert isinstance(variables["net"], torch.nn.Module) and Path("lenet.onnx").exists()
    assert 0 <= float(capsys.readouterr().out.split()[-1]) <= 1


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_is_short_and_has_commands_and_images(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    assert len(commands()) >= 12 and len(text.splitlines()) <= 110
    assert max(map(len, text.splitlines())) <= 120
    for target in re.findall(r"\]\(([^)#]+)", text):
        assert (ROOT / target).exists()
