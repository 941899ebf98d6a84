"""Networks that are divided over 2 and 4 processes are trained as by one process, up to rounding in float64.

`sharded_checks.py` does all the training in one launch; the checks with "wrong" in their name leave out one part.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import classicnets
from support.once import once

SCRIPT = Path(__file__).with_name("sharded_checks.py")
MAX_ROUNDING = 1e-12
MIN_FAULT = 1e-6

Errors = dict[str, float]


@pytest.fixture(scope="module")
def errors(tmp_path_factory: pytest.TempPathFactory) -> Errors:
    folder = once(tmp_path_factory, "ranks", run_ranks)
    merged: Errors = {}
    for file in sorted(folder.glob("errors*.json")):
        merged |= json.loads(file.read_text())
    return merged


def run_ranks(folder: Path) -> None:
    """Run the script, which writes its results into the folder."""
    path = os.pathsep.join([str(Path(classicnets.__file__).parents[1]), str(SCRIPT.parents[1])])
    command = [sys.executable, "-W", "error", str(SCRIPT), str(folder)]
    process = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, timeout=600
    )
    assert process.returncode == 0, process.stderr


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="the ranks are forks")
@pytest.mark.parametrize(
    ("form", "count", "faults"),
    [
        ("ddp", 3, 1),
        ("hybrid", 9, 3),
        ("2x2", 3, 1),
        ("towers", 9, 3),
        ("gather_rows", 14, 0),
        ("gather_columns", 28, 0),
        ("columns_to_rows", 14, 0),
        ("feature maps", 4, 0),
    ],
)
def test_ranks_compute_what_one_process_computes(errors: Errors, form: str, count: int, faults: int) -> None:
    checks = {name: error for name, error in errors.items() if name.startswith(form)}
    wrong = {name for name in checks if "wrong" in name}
    print(*(f"{error:.1e} {name}" for name, error in checks.items()), sep="\n")
    assert (len(checks), len(wrong)) == (count, faults)
    for name, error in checks.items():
        assert error > MIN_FAULT if name in wrong else error < MAX_ROUNDING, (name, error)
