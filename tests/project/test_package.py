"""The wheel in a fresh environment, and the commands of the README."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import classicnets
from classicnets.cli.main import parser

ROOT = Path(__file__).parents[2]


def run(*command: object) -> str:
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")  # uv's name for what pip knows
    environment = {**os.environ, "UV_FIND_LINKS": links}
    process = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
def test_wheel_trains_in_a_fresh_environment(blobs: Path, tmp_path: Path) -> None:
    uv = (sys.executable, "-m", "uv")
    run(*uv, "build", "-q", "--wheel", "-o", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "classicnets/py.typed" in names and not [n for n in names if n.startswith(("tests", "benchmarks"))]
    run(*uv, "venv", "-q", "-p", sys.executable, tmp_path / "fresh")
    scripts = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    run(*uv, "pip", "install", "-q", "-p", scripts / "python", "-c", ROOT / "constraints.txt", wheel)
    out = run(scripts / "classicnets", "train", "lenet_d2l", "--data", blobs, "--set", "epochs=1", "--limit", 64)
    assert "test accuracy" in out and (tmp_path / "runs/lenet_d2l-blobs-1/last.safetensors").exists()


def test_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first and first[1] == classicnets.__version__


def test_files_of_make_quick_exist() -> None:
    names = (ROOT / "tests/quick.txt").read_text().split()
    assert names and not [name for name in names if not (ROOT / name).is_file()]


def commands(path: Path) -> list[str]:
    """Every `classicnets ...` line in the code blocks of a page."""
    blocks = re.findall(r"```\w*\n(.*?)```", path.read_text(encoding="utf-8"), re.S)
    lines = [re.split("[#>]", line)[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("classicnets ")]


@pytest.mark.parametrize("command", commands(ROOT / "README.md"))
def test_every_command_in_the_readme_parses(command: str) -> None:
    parser().parse_args(shlex.split(command)[1:])


def test_readme_has_commands_and_its_images_exist() -> None:
    assert len(commands(ROOT / "README.md")) >= 5
    for image in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / image).exists()


def test_table_of_networks_in_the_readme_has_the_counts() -> None:
    from classicnets.models.registry import NETS

    text = (ROOT / "README.md").read_text()
    for name, net in NETS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}`"))
        assert f"{net.parameters:,}" in row and f"{net.macs:,}" in row
