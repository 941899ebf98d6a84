"""Python imports this first in each process of test_launched_runs.py: one of them is to kill itself in each start."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any, NoReturn

from support.startup import sitecustomize as stand_ins


def _die(*_arguments: Any, **_options: Any) -> NoReturn:
    with Path("deaths").open("a", encoding="utf-8") as file:
        print(_death, file=file)
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def _prepare(moment: str) -> None:
    """Let this process kill itself at a moment."""
    if moment == "start":
        _die()
    from torch import distributed

    from classicnets.parallel.group import Group, SharedPredictor
    from classicnets.parallel.world import World
    from classicnets.report import run as reports
    from classicnets.training import session

    if moment == "joining":
        distributed.init_process_group = _die
    elif moment == "reading":
        vars(session)["read"] = _die
    elif moment.endswith("step"):
        agree, left = Group.agree, [1 if moment == "first step" else 10]

        def step(self: Group, *arguments: Any, **options: Any) -> tuple[bool, bool]:
            left[0] -= 1
            return agree(self, *arguments, **options) if left[0] else _die()

        Group.agree = step  # type: ignore[method-assign]
    elif moment == "evaluation":
        SharedPredictor.probabilities = _die  # type: ignore[method-assign]
    elif moment == "reports":
        reports.write = _die
    elif moment == "end":  # the first process writes the reports then
        World.close = _die  # type: ignore[method-assign]
    elif moment == "result":  # is in the folder, and not printed yet
        finish = session.Session.finish

        def end(self: session.Session, *reports: Any) -> None:
            finish(self, *reports)
            _die()

        session.Session.finish = end  # type: ignore[method-assign]


stand_ins.install()
_death = ""
if (_start := os.environ.get("TORCHELASTIC_RESTART_COUNT")) and "TEST_DEATHS" in os.environ:
    _deaths = os.environ["TEST_DEATHS"].splitlines()
    _death = _deaths[int(_start)] if int(_start) < len(_deaths) else ""
    if _death.partition(" ")[0] == os.environ["RANK"]:
        _prepare(_death.partition(" ")[2])
