"""Run folders: atomic writing, checkpoints, histories that survive a crash, and how networks are rebuilt."""

from __future__ import annotations

import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from classicnets.errors import DataError, MachineError, UsageError
from classicnets.events import Epoch, Event, Step
from classicnets.runs import checkpoint, folder, history, net_spec


def test_a_checkpoint_loads_what_was_saved(tmp_path: Path) -> None:
    tied = torch.rand(3, 4)
    tensors = {"a": tied, "b": tied, "step": torch.tensor(5), "view": torch.rand(4, 6).t()}
    checkpoint.save(tmp_path / "x.safetensors", tensors, {"epoch": 3, "name": "é"})
    back, facts = checkpoint.load(tmp_path / "x.safetensors")
    assert facts["epoch"] == 3 and facts["name"] == "é"
    assert all(torch.equal(back[k], tensors[k]) for k in tensors)
    assert [p.name for p in tmp_path.iterdir()] == ["x.safetensors"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("c") / "x.safetensors"
    checkpoint.save(path, {"w": torch.rand(20)}, {"epoch": 1})
    return path.read_bytes()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_reports_a_truncated_or_damaged_checkpoint(
    saved: bytes, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    cut = saved[: data.draw(st.integers(0, len(saved) - 1))]
    path = tmp_path_factory.mktemp("t") / "x.safetensors"
    path.write_bytes(cut)
    with pytest.raises(DataError) as caught:
        checkpoint.load(path)
    assert caught.value.code == "CN305" and str(path) in caught.value.where


def test_distinguishes_foreign_damaged_and_missing_files(tmp_path: Path) -> None:
    save_file({"w": torch.rand(2)}, tmp_path / "foreign.safetensors")
    with pytest.raises(DataError, match="was not written by classicnets"):
        checkpoint.load(tmp_path / "foreign.safetensors")
    (tmp_path / "pickle.safetensors").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(DataError, match="truncated or damaged"):
        checkpoint.load(tmp_path / "pickle.safetensors")
    with pytest.raises(DataError, match="checkpoint does not exist"):
        checkpoint.load(tmp_path / "none.safetensors")


def test_rejects_a_newer_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint, "_VERSION", 99)
    checkpoint.save(tmp_path / "x.safetensors", {"w": torch.rand(2)}, {})
    monkeypatch.setattr(checkpoint, "_VERSION", 1)
    with pytest.raises(DataError, match="newer version of classicnets"):
        checkpoint.load(tmp_path / "x.safetensors")


def epoch(n: int) -> Epoch:
    return Epoch(
        epoch=n, epochs=9, loss=1.0, accuracy=0.5, validation_accuracy=None, test_accuracy=0.4, lr=0.1, seconds=1.0,
        evaluation_seconds=0.1, images_per_second=100.0, wait_share=0.01,
    )  # fmt: skip


def step(n: int, at: int) -> Step:
    return Step(epoch=n, step=at, steps=10, images=at * 4, seconds=0.5, loss=1.5, accuracy=0.25)


def test_history_ignores_a_truncated_line(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    events: list[Event] = [step(1, 5), step(1, 10), epoch(1), step(2, 5)]
    for event in events:
        history.append(path, event)
    assert history.read(path) == events
    with path.open("a") as file:
        file.write('{"event": "epo')
    assert history.read(path) == events
    history.truncate(path, 1, 0)
    assert history.read(path) == events[:3]
    history.append(path, step(2, 5))
    history.truncate(path, 1, 5)
    assert history.read(path) == events
    history.truncate(path, 0, 0)
    assert history.read(path) == []


def test_a_history_damaged_by_a_power_cut_is_read_up_to_the_damage(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history.append(path, step(1, 5))
    with path.open("ab") as file:
        file.write(b"\x00\xff\n" + b'{"event"')
    assert history.read(path) == [step(1, 5)]


def facts_of(path: Path) -> dict[str, Any]:
    facts = json.loads((path / "run.json").read_text())
    assert len(facts.pop("checksum")) == 64
    return dict(facts)


def test_a_run_folder_is_complete_or_does_not_exist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own.py").write_text(NET)
    spec, runs = net_spec.find("own.py:net"), tmp_path / "runs"
    (runs / "own-2").mkdir(parents=True)  # empty: as good as none
    (runs / "own-3").write_text("a file")

    def fill(temporary: Path, k: int) -> None:
        folder.fill(temporary, spec, {"k": k})

    paths = [folder.make(runs, "own", partial(fill, k=k)) for k in range(3)]
    assert [path.name for path in paths] == ["own-1", "own-2", "own-4"]
    assert [facts_of(path) for path in paths] == [{"k": 0}, {"k": 1}, {"k": 2}]
    assert (paths[0] / "net.py").read_text() == NET
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(MachineError, match="cannot write"):
        folder.make(runs, "own", lambda temporary: folder.fill(temporary, spec, {}))
    assert sorted(path.name for path in runs.iterdir()) == ["own-1", "own-2", "own-3", "own-4"]


def test_rejects_a_folder_that_is_not_a_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a run folder"):
        folder.open_run(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UsageError) as caught:
        folder.open_run(tmp_path)
    assert caught.value.code == "CN207" and "it is not JSON" in caught.value.why


NET = "from torch import nn\ndef net():\n    return nn.Linear(2, 3)\nready = nn.Linear(4, 5)\nnumber = 3\n"


def test_networks_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NET)
    assert net_spec.find("own.py:net").build().in_features == 2
    assert net_spec.find(f"{tmp_path}/own.py:ready").build().in_features == 4
    assert net_spec.find("own.py:net").label == "own_net"


@pytest.mark.parametrize(
    ("name", "message"),
    [("number", "is not a network"), ("absent", "is not a network"), ("broken", "cannot be built")],
)
def test_rejects_files_without_a_network(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "own.py").write_text(NET + "def broken():\n    return 1 / 0\n")
    with pytest.raises(UsageError) as caught:
        net_spec.find(f"own.py:{name}").build()
    assert caught.value.code == "CN205" and message in caught.value.what
    if name == "broken":
        assert caught.value.where.endswith("own.py:7") and "division" in caught.value.why


def test_reports_a_syntax_error(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text("net = (")
    with pytest.raises(UsageError) as caught:
        net_spec.find("own.py:net").build()
    assert "SyntaxError" in caught.value.why


def test_rejects_a_file_that_has_changed(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(NET)
    spec = net_spec.find("own.py:net")
    (tmp_path / "own.py").write_text(NET + "# changed\n")
    with pytest.raises(UsageError) as caught:
        net_spec.NetSpec(**json.loads(json.dumps(spec.to_dict()))).build()
    assert caught.value.code == "CN207"


def test_reports_missing_files_and_names(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"the file gone\.py does not exist"):
        net_spec.find("gone.py:net")
    with pytest.raises(UsageError) as caught:
        net_spec.find("alexnet_d21")
    assert "did you mean alexnet_d2l?" in caught.value.what and caught.value.hints == ("classicnets list",)
