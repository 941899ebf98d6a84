"""Temporary folders of processes that are killed are removed by the next process that needs one."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from classicnets import files
from classicnets.files import temporary_folder

KILLED = """
import os, signal
from classicnets.files import temporary_folder
with temporary_folder() as folder:
    (folder / "large").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_abandoned_folders_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    subprocess.run([sys.executable, "-c", KILLED], env={**os.environ, "TMPDIR": str(tmp_path)}, check=False)
    [abandoned] = tmp_path.iterdir()
    (other := tmp_path / "classicnets-other").mkdir()  # a folder of another kind
    with temporary_folder() as used:
        assert {*tmp_path.iterdir()} == {abandoned, other, used}  # it may be about to be locked
        monkeypatch.setattr(files, "_YOUNG_SECONDS", -1.0)
        with temporary_folder() as second:
            assert {*tmp_path.iterdir()} == {other, used, second}
    assert [*tmp_path.iterdir()] == [other]


def test_an_error_in_the_block_stays_what_it_is() -> None:
    with pytest.raises(FileNotFoundError), temporary_folder() as folder:
        (folder / "missing").read_bytes()
    assert not folder.exists()
