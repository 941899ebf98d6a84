"""How many runs at once, each with how many threads: measured by real steps, or as pinned."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from classicnets import machine
from classicnets.acceleration import prepare
from classicnets.errors import UsageError
from classicnets.text import byte_count, count
from classicnets.training import objective, optim
from classicnets.training.begin import choose_acceleration
from classicnets.training.loop import batch_splitter, take_step, train_mode
from classicnets.training.plan import Plan
from classicnets.training.state import State

_SECONDS = 2.0  # of measuring, at least two steps are taken with each number of threads
_WORTH = 1.1  # results with fewer threads have other last digits, so a smaller gain is left
_MEMORY_MARGIN = 1.25  # evaluation and images come on top of the steps


@dataclass(frozen=True)
class Manner:
    """`at_once` runs side by side with `threads` threads each; `why` in words."""

    at_once: int
    threads: int
    why: str

    def __str__(self) -> str:
        one = "one after the other" if self.at_once == 1 else f"{self.at_once} side by side"
        return f"{one} with {count(self.threads, 'thread')}{' each' * (self.at_once > 1)}: {self.why}"


def choose(plan: Plan, runs: int, pinned: int | None, say: Callable[[str], None]) -> Manner:
    """`pinned` at once, sharing the threads, or what takes the least time for so many runs by the time of a step.

    Runs with fewer threads are only chosen where that is a tenth faster and `runs` processes fit into the free memory.
    Raises UsageError CN204 if less than one is pinned, or more for a module that was passed in Python.
    """
    cores = torch.get_num_threads()
    if pinned is not None and pinned < 1:
        raise UsageError("CN204", f"--parallel-runs {pinned}: at least one at once", hint="--parallel-runs 1")
    if plan.net is not None:
        if pinned not in {None, 1}:
            raise UsageError(
                "CN204",
                "a module that is passed in Python is trained by one process",
                where=f"parallel_runs={pinned}",
                hint='cn.train_seeds("my_net.py:net", ...)',
            )
        return Manner(1, cores, "the module is in this process")
    if pinned is not None:
        return Manner(pinned, max(1, cores // pinned), "as asked")
    if torch.device(plan.device).type != "cpu":
        return Manner(1, cores, f"there is one {plan.device}")
    wanted = min(runs, cores)
    if wanted == 1:
        return Manner(1, cores, "there is nothing to share")
    seconds = seconds_a_step(plan, (cores, max(1, cores // wanted)), say)
    each = int((machine.peak_memory_bytes() or 0) * _MEMORY_MARGIN)  # this process has done what each of them will do
    free = machine.available_memory_bytes()
    fit = wanted if free is None or each == 0 else min(wanted, free // each)
    return compare(runs, cores, fit, wanted, seconds, f"{byte_count(each)} each, {byte_count(free)} are free")


def compare(runs: int, cores: int, fit: int, wanted: int, seconds: dict[int, float], memory: str) -> Manner:
    """The manner that takes less time for so many runs, of which `fit` fit into memory at once; `seconds` of a step by
    number of threads.
    """
    if fit < 2:
        return Manner(1, cores, f"more do not fit into memory ({memory})")
    threads = max(1, cores // wanted)
    gain = runs * seconds[cores] / (-(-runs // fit) * seconds[threads])
    busy = ", while the machine is busy" if machine.is_busy() else ""
    measured = f"a step takes {_ms(seconds[cores])} with {cores} threads, {_ms(seconds[threads])} with {threads}{busy}"
    if gain > _WORTH:
        less = f"; more do not fit into memory ({memory})" if fit < wanted else ""
        return Manner(fit, threads, f"{gain:.1f} times as fast for {runs} runs ({measured}){less}")
    return Manner(1, cores, f"{fit} side by side would be {gain:.1f} times as fast for {runs} runs ({measured})")


def seconds_a_step(plan: Plan, threads: tuple[int, ...], say: Callable[[str], None]) -> dict[int, float]:
    """Seconds a training step of the plan takes with each number of threads: the fastest of those measured in turn.

    What else the machine does at the time makes a step slower, never faster.
    """
    before = torch.get_num_threads()
    state = State(plan.build(say), plan.recipe)
    recipe, classes = plan.recipe, len(plan.description.classes)
    x = torch.rand(recipe.batch_size, *plan.preprocess.shape)
    y = torch.arange(recipe.batch_size) % classes
    loss = objective.make(recipe, y, classes)
    train_mode(state.net)
    ways = {}
    taken: dict[int, list[float]] = {n: [] for n in threads}
    try:
        for n in threads:
            torch.set_num_threads(n)
            ways[n] = choose_acceleration(plan, state.net)
        began = time.perf_counter()
        while min(map(len, taken.values())) < 2 or time.perf_counter() - began < _SECONDS:
            for n, seconds in taken.items():
                torch.set_num_threads(n)
                with prepare.prepared(state.net, ways[n]), batch_splitter(state.net, ways[n], plan.spec.seed) as split:
                    started = time.perf_counter()
                    take_step(state, x, y, optim.rate(recipe, 0.0, 0), recipe, loss, split)
                    seconds.append(time.perf_counter() - started)
    finally:
        torch.set_num_threads(before)
    return {n: min(seconds) for n, seconds in taken.items()}


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms"
