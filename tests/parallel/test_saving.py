"""When several processes save the state in parts, and which of them must see the run folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets import machine
from classicnets.errors import MachineError
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.saving import Saving, state_bytes
from classicnets.parallel.shards import Shards
from classicnets.training.state import State
from classicnets.values import Recipe
from parallel.shared_nets import one_tower


class OneOfTwo:
    """The first of two processes; the other answers that it has `access` to a folder, or not."""

    rank, local_rank, local_size = 0, 0, 1

    def __init__(self, *, access: bool) -> None:
        self.access = access

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value, ["other-host", self.access] if isinstance(value, list) else value]


def saving(size: int, *, access: bool = True, divided: bool = True) -> Saving:
    mesh = Mesh()
    mesh.model_size = 2
    shards = Shards(mesh, {"weight": torch.Size([2])} if divided else {})
    world: Any = OneOfTwo(access=access)
    return Saving(world, mesh, shards, size)


def test_saves_in_parts_what_does_not_fit_into_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 3_000_000)
    assert not saving(1_000_000).in_parts and not saving(1_000_000).lines()
    assert not saving(2_000_000, divided=False).in_parts  # each process has all of it, so no part is smaller
    one = saving(1_000_001)
    assert one.in_parts and "1.0 MB" in one.lines()[0] and "3.0 MB" in one.lines()[0]
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: None)
    assert not saving(2_000_000).in_parts


def test_a_process_without_the_run_folder_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: 0)
    with pytest.raises(MachineError) as caught:
        saving(1, access=False).newest(tmp_path)
    assert caught.value.code == "CN401" and f"{tmp_path.absolute()}, rank 1 on other-host" in caught.value.where
    assert saving(1, access=True).newest(tmp_path) is None and not [*tmp_path.iterdir()]
    monkeypatch.setattr(machine, "available_memory_bytes", lambda: None)
    assert saving(1, access=False).newest(tmp_path) is None  # it is not needed


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adamw"},
        {"optimizer": "adamw", "ema": 0.9},
        {"optimizer": "sgd", "momentum": 0.9},
        {"optimizer": "sgd"},
        {"optimizer": "sgd_rate_inside"},
    ],
)
def test_the_size_of_the_state_is_that_of_its_tensors(settings: dict[str, Any]) -> None:
    recipe = Recipe(source="x", net="x", data="x", epochs=1, batch_size=2, lr=0.1, **settings)
    net = one_tower()
    state = State(net, recipe)
    net(torch.zeros(2, 1, 16, 16)).sum().backward()
    state.optimizer.step()
    tensors = {key: t for key, t in state.tensors().items() if key.split("/")[0] in {"net", "average", "optimizer"}}
    size = sum(tensor.nbytes for key, tensor in tensors.items() if not key.endswith("/step"))
    assert abs(state_bytes(net, recipe) - size) < 0.01 * size
