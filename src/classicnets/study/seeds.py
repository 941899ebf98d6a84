"""One plan with several seeds: ordinary runs in one folder, and what they come to together.

runs/lenet_d2l-fashion_mnist-seeds-1/
  seeds.json        what was asked for, how the runs were run, and their statistics
  curves.png        the curves of all in one image          card.md
  seed-0  seed-1 …  run folders like any other
"""

from __future__ import annotations

import copy
import json
import statistics
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from classicnets import machine
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.events import Event
from classicnets.files import remove_parts, write_json
from classicnets.runs import folder
from classicnets.runs.folder import RunFolder
from classicnets.spec import Output
from classicnets.study import processes
from classicnets.study.processes import Ended
from classicnets.study.side_by_side import choose
from classicnets.training.begin import Say, begin, command_line, now, read
from classicnets.training.begin import fill as fill_run
from classicnets.training.plan import Plan, plan_of_run
from classicnets.values import Expected

TrainOne = Callable[[RunFolder, nn.Module], Iterator[Event]]  # trains a run with a module to its end, reports included
Report = Callable[["SeedsResults"], None]

FIGURES = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")


class SeedsDisplay(Protocol):
    """Shows the events of several runs; a context manager."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, seed: int, event: Event) -> None:
        """Takes one event."""

    def ended(self, row: Mapping[str, Any]) -> None:
        """Takes the figures of a run that ended, or why it has none."""


@dataclass(frozen=True)
class SeedsFolder:
    """The folder of the runs. `net` is the module they train copies of, if it was passed in Python."""

    path: Path
    net: nn.Module | None = None

    @property
    def file(self) -> Path:
        """What was asked for, and the statistics."""
        return self.path / "seeds.json"

    @property
    def curves(self) -> Path:
        """The curves of all runs."""
        return self.path / "curves.png"

    @property
    def card(self) -> Path:
        """The statistics for people."""
        return self.path / "card.md"

    def read(self) -> dict[str, Any]:
        """The facts."""
        facts: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return facts

    def runs(self) -> dict[int, RunFolder]:
        """The run folder of each seed."""
        return {seed: RunFolder(self.path / f"seed-{seed}") for seed in self.read()["seeds"]}

    def missing(self) -> dict[int, RunFolder]:
        """Those without results."""
        return {seed: run for seed, run in self.runs().items() if "result" not in run.read()}


@dataclass(frozen=True)
class SeedsResults:
    """What finished runs are reported from: `facts` are those of seeds.json, with the result."""

    plan: Plan
    folder: SeedsFolder
    facts: dict[str, Any]


def start(
    plan: Plan, seeds: Sequence[int], output: Output, say: Say, *, side_by_side: int | None = None
) -> SeedsFolder:
    """Reads the data, chooses how many run in parallel (unless that is pinned) and makes all folders; trains nothing.

    Raises UsageError CN204, DataError if the data is not available, MachineError CN401.
    """
    if not seeds:
        raise UsageError("CN204", "at least one seed is needed", hint="--seeds 5")
    machine.set_threads(plan.spec.threads)
    splits = read(plan, say)
    manner = choose(plan, len(seeds), side_by_side, say)
    command = command_line()
    each = {seed: begin(plan.with_seed(seed), splits, command, manner.threads) for seed in seeds}
    _, asked = each[seeds[0]]
    facts = {
        "command": command,
        "started_at": now(),
        "seeds": [*seeds],
        "side_by_side": manner.at_once,
        "threads": manner.threads,
        "why": manner.why,
        **{key: asked[key] for key in ("net", "recipe", "origins", "as_published", "data_name", "limit", "device")},
        "fingerprint": splits.fingerprint,
        "machine": machine.describe(),
    }

    def fill(part: Path) -> None:
        for seed, (planned_run, run_facts) in each.items():
            fill_run(part / f"seed-{seed}", planned_run, run_facts, splits)
        write_json(SeedsFolder(part).file, facts)

    label = f"{plan.net_spec.label}-{splits.name}-seeds"
    made = SeedsFolder(folder.make(Path(output.runs), label, fill), plan.net)
    for line in plan.lines():
        if not line.startswith("device"):
            say(line)
    say(f"device  {plan.device}, {plan.recipe.precision}, {manner}")
    say(f"seeds   {len(seeds)} runs, seeds {', '.join(map(str, seeds))}, in {made.path}")
    return made


def reopen(path: str | Path, net: nn.Module | None = None) -> SeedsFolder:
    """The runs in a folder, to go on with those that have no results.

    Raises UsageError CN207 if their net cannot be made, CN208 if nothing is left to do.
    """
    made = SeedsFolder(Path(path), net)
    missing = made.missing()
    if not missing and "result" in made.read():
        raise UsageError(
            "CN208",
            "all runs are complete",
            where=str(path),
            hint=f"classicnets evaluate {next(iter(made.runs().values())).path}",
        )
    for run in missing.values():
        plan_of_run(run, net)
    remove_parts(made.path)
    return made


def train(
    made: SeedsFolder,
    display: SeedsDisplay,
    train_one: TrainOne,
    *reports: Report,
    at_once: int | None = None,
    save_seconds: float = Output().save_every,
) -> dict[str, Any]:
    """Trains what is missing to its end and returns the statistics; at Ctrl-C, the runs under way save and stop.

    Runs have processes of their own; those of a module in this process are trained here by `train_one`, one after the
    other. A run that fails is a row with its error, and the others go on.
    """
    facts, missing, errors = made.read(), made.missing(), dict[int, str]()
    if made.net is not None:
        came = _one_by_one(missing, made.net, train_one)
    else:
        came = processes.follow(missing, at_once or facts["side_by_side"], facts["threads"], save_seconds)
    with closing(came), display:
        for seed, event in came:
            if isinstance(event, Ended):
                errors[seed] = event.error
                display.ended(row(seed, made.runs()[seed], event.error))
            else:
                display.show(seed, event)
    return finish(made, errors, *reports)


def _one_by_one(
    runs: Mapping[int, RunFolder], net: nn.Module, train_one: TrainOne
) -> Generator[tuple[int, Event | Ended], None, None]:
    """In this process, each from a copy of `net` as it was given."""
    for seed, run in runs.items():
        try:
            for event in train_one(run, copy.deepcopy(net)):
                yield seed, event
        except ClassicnetsError as error:
            yield seed, Ended(str(error))
        else:
            yield seed, Ended()


def row(seed: int, run: RunFolder, error: str = "") -> dict[str, Any]:
    """A run's figures, or why it has none."""
    result = run.read().get("result")
    where = {"seed": seed, "folder": run.path.name}
    if result is None:
        return {**where, "error": error or "stopped"}
    return {**where, **{key: result[key] for key in FIGURES}, "n": result["n"]}


def finish(made: SeedsFolder, errors: Mapping[int, str], *reports: Report) -> dict[str, Any]:
    """Works out the statistics, hands them to the `reports` and then writes them."""
    facts, runs = made.read(), made.runs()
    rows = [row(seed, run, errors.get(seed, "")) for seed, run in runs.items()]
    done = [one for one in rows if "error" not in one]
    plan = plan_of_run(next(iter(runs.values())), made.net)
    facts["finished_at"] = now()
    result: dict[str, Any] = {
        "n": len(done),
        "of": len(rows),
        "pictures": done[0]["n"] if done else None,
        **{key: statistics_of([one[key] for one in done]) for key in FIGURES},
        "published": facts["recipe"]["expected"],
        "verdict": verdict(plan, [one["test_accuracy"] for one in done]),
        "runs": rows,
    }
    facts["result"] = result
    for report in reports:
        report(SeedsResults(plan, made, facts))
    write_json(made.file, facts)
    return result


def statistics_of(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, standard deviation (n - 1), smallest and largest; None for what so few values do not have."""
    if not values:
        return dict.fromkeys(("mean", "sd", "min", "max"))
    return {
        "mean": statistics.mean(values),
        "sd": statistics.stdev(values) if len(values) > 1 else None,
        "min": min(values),
        "max": max(values),
    }


def spread(figure: Mapping[str, float | None]) -> str:
    """Mean, standard deviation and range of a figure for people."""
    if figure["mean"] is None:
        return "no run has one"
    if figure["sd"] is None:
        return f"{figure['mean']:.4f}"
    return f"{figure['mean']:.4f} ± {figure['sd']:.4f} ({figure['min']:.4f} to {figure['max']:.4f})"


def verdict(plan: Plan, accuracies: Sequence[float]) -> str:
    """How the runs stand to what was published, in a sentence; empty if there is nothing to hold them against."""
    expected = plan.recipe.expected
    if expected is None or not accuracies:
        return ""
    if not plan.as_published:
        return "no verdict: the net, the recipe, the data or the number of images was changed"
    return against(expected, accuracies)


def against(expected: Expected, accuracies: Sequence[float]) -> str:
    """The mean beside the published mean, and how many runs lie in the published range."""
    mean = statistics.mean(accuracies)
    if expected.n == 1:
        return f"the mean is {expected.verdict(mean)}"
    inside = sum(expected.low <= accuracy <= expected.high for accuracy in accuracies)
    points = 100 * (mean - expected.mean)
    return (
        f"{inside} of {len(accuracies)} within the published range {expected.low:.3f} to {expected.high:.3f}; the mean"
        f" is {abs(points):.2f} points {'below' if points < 0 else 'above'} the published {expected.mean:.4f}"
        f" (n = {expected.n}: {expected.source})"
    )
