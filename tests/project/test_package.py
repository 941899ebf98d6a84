"""What is shipped: the wheel in a fresh environment, with a changelog of its version."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import classicnets

ROOT = Path(__file__).parents[2]


def run(*command: object) -> str:
    links = os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS", "")  # uv's name for what pip knows
    environment = {**os.environ, "UV_FIND_LINKS": links, "PYTHONPATH": "", "PYTHONUTF8": "1"}  # nothing but the wheel
    process = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=environment)
    assert process.returncode == 0, process.stdout + process.stderr
    return process.stdout


@pytest.mark.slow
def test_wheel_trains_in_a_fresh_environment(blobs: Path, tmp_path: Path) -> None:
    uv = (sys.executable, "-m", "uv")
    run(*uv, "build", "-q", "--wheel", "-o", tmp_path, ROOT)
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    page = {path.name for path in (ROOT / "src/classicnets/export/page").glob("*")}  # built from web/
    assert {f"classicnets/export/page/{name}" for name in page} <= {*names}
    assert "classicnets/locale/zh_CN/LC_MESSAGES/classicnets.mo" in names
    assert "classicnets/py.typed" in names and not [n for n in names if n.startswith(("tests", "benchmarks"))]
    run(*uv, "venv", "-q", "-p", sys.executable, tmp_path / "fresh")
    scripts = tmp_path / "fresh" / ("Scripts" if os.name == "nt" else "bin")
    run(*uv, "pip", "install", "-q", "-p", scripts / "python", "-c", ROOT / "constraints.txt", wheel)
    assert "分类" in run(scripts / "classicnets", "--lang=zh", "predict", "--help")
    out = run(scripts / "classicnets", "train", "lenet_d2l", "--data", blobs, "--set", "epochs=1", "--limit", 64)
    assert "test accuracy" in out and (tmp_path / "runs/lenet_d2l-blobs-1/last.safetensors").exists()


def test_changelog_begins_with_this_version() -> None:
    first = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert first and first[1] == classicnets.__version__


def test_files_of_make_quick_exist() -> None:
    names = (ROOT / "tests/quick.txt").read_text().split()
    assert names and not [name for name in names if not (ROOT / name).is_file()]
