"""What the group of several processes says of a run, and what its processes print; without other processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from torch import nn

from classicnets import api
from classicnets.cli import process
from classicnets.parallel.gradients import Traits
from classicnets.parallel.group import Group
from support.command_line import CommandLine


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Dropout2d(), nn.ReLU()])
def test_group_says_what_dropout_depends_on(layer: nn.Module) -> None:
    group: Any = SimpleNamespace(
        size=2,
        form="ddp",
        reason="",
        local_batch_norm=False,
        whole_network=nn.Sequential(nn.Flatten(), layer),
        traits=Traits(has_unused=False, is_random=False),
        saving=SimpleNamespace(lines=list),
    )
    has_dropout = not isinstance(layer, nn.ReLU)
    assert any(line.startswith("dropout  masks") for line in Group.lines(group)) == has_dropout


def test_notes_on_the_data_are_printed_by_the_process_that_starts_the_run(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def session(
        _world: object, path: Path | None, start: Callable[[], object], *others: Any, **_: object
    ) -> Iterator[None]:
        if path is None:
            start()
        others[-1]("a note on the data, from the run that is resumed")
        yield None

    def start(_plan: object, _output: object, say: Callable[[str], None]) -> None:
        say("a note on the data")

    monkeypatch.setattr(process, "is_one_of_several", lambda: True)
    monkeypatch.setattr(process, "endings", [])
    monkeypatch.setattr(process, "stops_quietly", process.stops_quietly)
    monkeypatch.setattr(api.parallel, "joined", lambda _timeout: nullcontext(SimpleNamespace(rank=1)))
    monkeypatch.setattr(api.parallel, "session", session)
    monkeypatch.setattr(api.training, "plan", lambda *_, **__: None)
    monkeypatch.setattr(api.training, "start", start)
    for words, count in ((["lenet_d2l"], 1), (["--resume", "run"], 0)):
        code, out, err = cli("train", *words)
        assert (code, out, err.count("a note on the data")) == (0, "", count)
