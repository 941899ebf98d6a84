"""Chooses the number of runs in parallel and the threads of each, by timing real steps or as the user sets it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch

from classicnets import machine
from classicnets.acceleration import prepare
from classicnets.errors import UsageError
from classicnets.text import _, byte_count, plural
from classicnets.training import objective, optim
from classicnets.training.begin import choose_acceleration
from classicnets.training.group import ALONE
from classicnets.training.loop import take_step, train_mode
from classicnets.training.plan import Plan
from classicnets.training.state import State

_SECONDS = 2.0  # duration of the measurement; at least two steps are timed with each number of threads
_MIN_SPEEDUP = 1.1  # fewer threads change the last digits of results, so a smaller gain is not worth it
_MEMORY_MARGIN = 1.25  # evaluation and images need memory in addition to the steps


@dataclass(frozen=True)
class Parallelism:
    """The number of runs in parallel, the number of threads of each run, and the reason."""

    runs: int
    threads: int
    why: str

    @classmethod
    def of_study(cls, facts: Mapping[str, Any]) -> Self:
        """Return what study.json says."""
        return cls(facts["side_by_side"], facts["threads"], facts["why"])

    def to_dict(self) -> dict[str, Any]:
        """Return the facts in study.json."""
        return {"side_by_side": self.runs, "threads": self.threads, "why": self.why}

    def __str__(self) -> str:
        if self.runs == 1:
            return plural(
                "one run at a time with {n} thread: {why}",
                "one run at a time with {n} threads: {why}",
                self.threads,
                why=self.why,
            )
        return plural(
            "{runs} runs in parallel with {n} thread each: {why}",
            "{runs} runs in parallel with {n} threads each: {why}",
            self.threads,
            runs=self.runs,
            why=self.why,
        )


def choose(
    plan: Plan, runs: int, requested: int | None, say: Callable[[str], None], *, has_modules: bool = False
) -> Parallelism:
    """Choose what is fastest for a number of runs, by timing a few steps.

    Runs in parallel with fewer threads are chosen only if that is at least 10% faster; they must fit into the free
    memory.

    Args:
        plan: The largest run.
        runs: Number of runs.
        requested: Number of runs in parallel that the user asks for; they share the threads. None: choose.
        say: Receives notes from building the network.
        has_modules: Whether a run trains a module that was passed in Python.

    Raises:
        UsageError: CN204, `requested` is less than 1, or more than 1 for a module that was passed in Python.
    """
    cores = torch.get_num_threads()
    if requested is not None and requested < 1:
        raise UsageError(
            "CN204", _("--parallel-runs must be at least 1, not {n}", n=requested), hint="--parallel-runs 1"
        )
    if has_modules:
        if requested not in {None, 1}:
            raise UsageError(
                "CN204",
                _("a module that is passed in Python is trained in one process"),
                where=f"parallel_runs={requested}",
                hint=_('"FILE.py:NET" instead of the module can be trained in several processes'),
            )
        return Parallelism(1, cores, _("the module is in this process"))
    if requested is not None:
        return Parallelism(requested, max(1, cores // requested), _("as requested"))
    if torch.device(plan.device).type != "cpu":
        return Parallelism(1, cores, _("there is only one {device}", device=plan.device))
    most_runs = min(runs, cores)
    if most_runs == 1:
        return Parallelism(1, cores, _("there is only one run or one thread"))
    seconds = seconds_per_step(plan, (cores, max(1, cores // most_runs)), say)
    needed = int((machine.peak_memory_bytes() or 0) * _MEMORY_MARGIN)  # a run needs what this process has needed
    free = machine.available_memory_bytes()
    fitting_runs = most_runs if free is None or needed == 0 else min(most_runs, free // needed)
    memory = _("{needed} each, {free} free", needed=byte_count(needed), free=byte_count(free))
    return compare(runs, cores, fitting_runs, most_runs, seconds, memory)


def choose_for_all(
    plans: Mapping[str, Plan], runs: int, requested: int | None, say: Callable[[str], None]
) -> Parallelism:
    """Choose for the runs of several plans, by timing steps of the largest one.

    Args:
        plans: A plan of each arm that trains a network.
        runs: Number of runs.
        requested: As in `choose`.
        say: As in `choose`.
    """
    if not plans:
        return Parallelism(1, torch.get_num_threads(), _("there is no network"))
    largest = max(plans.values(), key=lambda plan: plan.table.macs)
    return choose(largest, runs, requested, say, has_modules=any(plan.net is not None for plan in plans.values()))


def compare(
    runs: int, cores: int, fitting_runs: int, most_runs: int, seconds: dict[int, float], memory: str
) -> Parallelism:
    """Compare one run at a time with runs in parallel.

    Args:
        runs: Number of runs.
        cores: Number of threads of one run at a time.
        fitting_runs: Number of runs that fit into memory together.
        most_runs: Largest useful number of runs in parallel.
        seconds: Time of a step by number of threads.
        memory: Needed and free memory, as text.
    """
    if fitting_runs < 2:
        return Parallelism(1, cores, _("more runs do not fit into memory ({memory})", memory=memory))
    threads = max(1, cores // most_runs)
    speedup = runs * seconds[cores] / (-(-runs // fitting_runs) * seconds[threads])
    values = {
        "speedup": speedup,
        "runs": runs,
        "parallel": fitting_runs,
        "measured": _measured_text(seconds, cores, threads),
        "memory": memory,
    }
    if speedup <= _MIN_SPEEDUP:
        why = _("{parallel} runs in parallel are {speedup:.1f} times as fast for {runs} runs ({measured})", **values)
        return Parallelism(1, cores, why)
    if fitting_runs < most_runs:
        why = _(
            "{speedup:.1f} times as fast for {runs} runs ({measured}); more do not fit into memory ({memory})", **values
        )
    else:
        why = _("{speedup:.1f} times as fast for {runs} runs ({measured})", **values)
    return Parallelism(fitting_runs, threads, why)


def _measured_text(seconds: dict[int, float], cores: int, threads: int) -> str:
    values = {
        "cores": cores,
        "cores_ms": 1000 * seconds[cores],
        "threads": threads,
        "threads_ms": 1000 * seconds[threads],
    }
    if machine.is_busy():
        return _(
            "a step takes {cores_ms:.3g} ms with {cores} threads, {threads_ms:.3g} ms with {threads}, while the machine"
            " is busy",
            **values,
        )
    return _("a step takes {cores_ms:.3g} ms with {cores} threads, {threads_ms:.3g} ms with {threads}", **values)


def seconds_per_step(plan: Plan, threads: tuple[int, ...], say: Callable[[str], None]) -> dict[int, float]:
    """Time training steps with each number of threads, in turn; return the seconds of the fastest step of each.

    The fastest step is used because other load on the machine only makes steps slower.
    """
    threads_before = torch.get_num_threads()
    state = State(plan.build(say), plan.recipe)
    recipe, classes = plan.recipe, len(plan.description.classes)
    x = torch.rand(recipe.batch_size, *plan.preprocess.shape)
    y = torch.arange(recipe.batch_size) % classes
    loss = objective.make(recipe, y, classes)
    train_mode(state.net)
    accelerations = {}
    times: dict[int, list[float]] = {n: [] for n in threads}
    try:
        for n in threads:
            torch.set_num_threads(n)
            accelerations[n] = choose_acceleration(plan, state.net)
        began = time.perf_counter()
        while min(map(len, times.values())) < 2 or time.perf_counter() - began < _SECONDS:
            for n, seconds in times.items():
                torch.set_num_threads(n)
                acceleration = accelerations[n]
                with (
                    prepare.prepared(state.net, acceleration),
                    ALONE.gradients(state.net, acceleration, plan.spec.seed) as split,
                ):
                    started = time.perf_counter()
                    take_step(state, x, y, optim.rate(recipe, 0.0, 0), recipe, loss, split)
                    seconds.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(threads_before)
    return {n: min(seconds) for n, seconds in times.items()}
