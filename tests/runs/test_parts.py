"""Checkpoints in parts: any rows can be read, damage is noticed, and a kill leaves the older or the newer one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from classicnets import files
from classicnets.errors import DataError
from classicnets.runs import checkpoint, parts
from classicnets.runs.parts import Parts
from support.disk import Disk, write_tree

STATE = {"epoch": 1, "step": 2, "images": 3, "seconds": 1.0, "waited": 0.0, "best": -1.0, "best_loss": 0.0}
FACTS: dict[str, Any] = {"state": {**STATE, "stale": 0, "drops": 0, "stopped": False}}


def state(value: float) -> dict[str, Tensor]:
    """Whole tensors: two that are divided, and two that are not."""
    rows = torch.arange(12.0)
    return {
        "net/a": rows[:, None] + torch.tensor([0.0, value]),
        "optimizer/0/b": rows.double() + value,
        "net/c": torch.full((3,), value),
        "sums/loss": torch.tensor(value),
    }


def save(run: Path, value: float, count: int) -> Path:
    """Save a state in parts."""
    whole, divided = state(value), ["net/a", "optimizer/0/b"]
    folder = parts.begin(run)
    for index in reversed(range(count)):
        own = {key: whole[key].chunk(count)[index] for key in divided}
        parts.write(folder, index, count, own if index else whole | own, divided, FACTS)
    return parts.complete(folder)


def value_of(run: Path) -> float:
    """The value of the state that a run is resumed from, which must be whole."""
    folder = parts.newest(run)
    if folder is None:
        tensors, _facts = checkpoint.load(run / "last.safetensors")
    else:
        with Parts(folder) as stored:
            tensors = {key: stored.read(key) for key in stored.keys}
    value = float(tensors["sums/loss"])
    expected = state(value)
    assert tensors.keys() == expected.keys()
    assert all(torch.equal(tensors[key], expected[key]) for key in tensors)
    assert {key: tensor.dtype for key, tensor in tensors.items()} == {key: t.dtype for key, t in expected.items()}
    return value


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_any_number_of_processes_reads_its_rows(tmp_path: Path, count: int) -> None:
    with Parts(save(tmp_path, 2.0, count)) as stored:
        assert stored.facts["state"] == FACTS["state"] and stored.count == count
        whole = state(2.0)
        for key in stored.keys:
            assert stored.shape(key) == whole[key].shape and torch.equal(stored.read(key), whole[key])
        for start in range(12):
            for stop in range(start + 1, 13):
                assert torch.equal(stored.read("net/a", range(start, stop)), whole["net/a"][start:stop])
        assert torch.equal(stored.read("net/c", range(1, 3)), whole["net/c"][1:3])


def test_a_newer_checkpoint_replaces_an_older_one(tmp_path: Path) -> None:
    (tmp_path / "state-8").mkdir()
    for number in (9, 10, 11):  # 10 is newer than 9
        assert save(tmp_path, float(number), 2).name == f"state-{number}"
        assert value_of(tmp_path) == number
    assert [path.name for path in tmp_path.iterdir()] == ["state-11"]
    parts.remove(tmp_path)
    assert parts.newest(tmp_path) is None and not [*tmp_path.iterdir()]


def test_a_kill_at_any_call_leaves_the_older_or_the_newer_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From a file to parts, to newer parts, and back to a file; before and after each call, and in each write."""
    (run := tmp_path / "run").mkdir()
    checkpoint.save(run / "last.safetensors", state(0.0), FACTS)
    disk = Disk(run)
    with monkeypatch.context() as patch:
        disk.watch(patch)
        ends = []
        for value in (1.0, 2.0):
            save(run, value, 2)
            ends.append(len(disk.deaths))
        checkpoint.save(run / "last.safetensors", state(3.0), FACTS)
        parts.remove(run)
    deaths = disk.deaths
    calls = {call for call, _ in disk.calls}
    assert calls == {"mkdir", "open", "write", "fsync", "replace", "fsync folder", "rename", "rmdir"}
    seen = []
    for number, death in enumerate(deaths):
        (copy := tmp_path / f"copy-{number}").mkdir()
        write_tree(copy, death.tree)
        value = value_of(copy)
        saves = sum(number >= end for end in ends)
        assert value in {saves, saves + 1}, death
        seen.append(value)
        files.remove_parts(copy)
        assert not [*copy.glob(".*")] and value_of(copy) == value
    assert seen == sorted(seen) and {*seen} == {0.0, 1.0, 2.0, 3.0} and len(seen) > 50


def copied(folder: Path, name: str) -> Path:
    return Path(shutil.copytree(folder, folder.parent / name))


def test_damage_of_any_part_is_an_error_that_names_it(tmp_path: Path) -> None:
    folder = save(tmp_path, 2.0, 2)
    for file in sorted(folder.iterdir()):
        content = file.read_bytes()
        for place in range(8, len(content), 97):
            file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            with pytest.raises(DataError) as caught, Parts(folder) as stored:
                stored.read("net/a")
            assert caught.value.code == "CN305" and file.name in caught.value.where
        file.write_bytes(content[:-5])
        with pytest.raises(DataError, match="damaged"), Parts(folder) as stored:
            stored.read("net/a")
        file.write_bytes(content)
    with Parts(folder) as stored:
        stored.read("net/a")


def test_rows_of_intact_parts_are_read_beside_a_damaged_one(tmp_path: Path) -> None:
    """A process reads only the files in which its part lies."""
    folder = save(tmp_path, 2.0, 3)
    (folder / "part-00002.safetensors").write_bytes(b"damaged")
    with Parts(folder) as stored:
        assert len(stored.read("net/a", range(8))) == 8
        with pytest.raises(DataError):
            stored.read("net/a", range(9))


def test_missing_and_foreign_parts_are_errors(tmp_path: Path) -> None:
    first, second = copied(save(tmp_path, 2.0, 2), "first"), save(tmp_path, 3.0, 2)
    (missing := copied(first, "missing")).joinpath("part-00001.safetensors").unlink()
    mixed, swapped, whole = (copied(first, name) for name in ("mixed", "swapped", "whole"))
    shutil.copy(second / "part-00001.safetensors", mixed)
    shutil.copy(first / "part-00000.safetensors", swapped / "part-00001.safetensors")
    checkpoint.save(whole / "part-00001.safetensors", state(2.0), FACTS)
    for folder, message in (
        (missing, "does not exist"),
        (mixed, "does not belong"),
        (swapped, "does not belong"),
        (whole, "the whole state"),
    ):
        with pytest.raises(DataError, match=message) as caught, Parts(folder) as stored:
            stored.read("net/a")
        assert caught.value.code == "CN305" and "part-00001" in caught.value.where


def test_a_part_is_no_file_of_weights(tmp_path: Path) -> None:
    folder = save(tmp_path, 2.0, 2)
    with pytest.raises(DataError, match="only a part"):
        checkpoint.load(folder / "part-00000.safetensors")
