"""A host is lost while it shares a run. The hosts are network namespaces; benchmarks/lost_host.py has more ways."""

from __future__ import annotations

from pathlib import Path

import pytest

from hosts import missing
from lost_host import difference, lose, train_words
from process_kills import write_images
from support.command_line import CommandLine

EPOCHS = 1


def test_the_other_host_goes_on(tmp_path: Path, cli: CommandLine) -> None:
    """It starts again by itself, and the run ends like one that has been in one process all the time."""
    if reason := missing():
        pytest.skip(reason)
    write_images(tmp_path / "data", 1600)
    _seconds, code, printed = lose(tmp_path, "killed", EPOCHS)
    assert code == 0, printed
    assert "process 1 of 2" in printed and "on host2" in printed and "restart 1 of 3" in printed, printed
    assert "error[" not in printed and "processes 1, parallel ddp" in printed and "test accuracy" in printed, printed
    code, _out, err = cli(*train_words(tmp_path, "single", EPOCHS))
    assert code == 0, err
    assert difference(tmp_path, "single", "killed") < 1e-9
