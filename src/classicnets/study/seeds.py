"""Trains one plan with several seeds: ordinary runs in one folder, and their statistics.

runs/lenet_d2l-fashion_mnist-seeds-1/
  seeds.json        the plan, how the runs were trained, and their statistics
  curves.png        the curves of all runs in one figure
  card.md           the statistics as text
  seed-0  seed-1 …  ordinary run folders
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from classicnets import checksum, machine, schema
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.events import Event
from classicnets.files import remove_parts, write_json
from classicnets.models.modules import copy_module
from classicnets.runs import data as run_data
from classicnets.runs import folder, formats
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output
from classicnets.study import processes
from classicnets.study.parallel import choose
from classicnets.study.processes import RunEnd
from classicnets.study.summary import statistics_of, verdict
from classicnets.text import _
from classicnets.training.begin import Say, begin, command_line, now, read, survey
from classicnets.training.begin import fill as fill_run
from classicnets.training.plan import Plan, plan_of_run
from classicnets.training.results import more_training

TrainRun = Callable[[RunFolder, nn.Module], Iterator[Event]]  # trains a run with a module and writes its reports
Report = Callable[["SeedsResults"], None]

METRICS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")


class SeedsDisplay(Protocol):
    """A context manager that shows the events of several runs."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, seed: int, event: Event) -> None:
        """Show an event."""

    def show_result(self, row: Mapping[str, Any]) -> None:
        """Show the metrics of a run that has ended, or its error."""


@dataclass(frozen=True)
class SeedsFolder:
    """The folder of the runs. `net` is the module whose copies are trained, if it was passed in Python.

    With `trust`, code of the runs may be run that was not run on this machine before, and changed files are used.
    """

    path: Path
    net: nn.Module | None = None
    trust: bool = False

    @property
    def file(self) -> Path:
        """The file with the plan and the statistics."""
        return self.path / "seeds.json"

    @property
    def curves(self) -> Path:
        """The figure with the curves of all runs."""
        return self.path / "curves.png"

    @property
    def card(self) -> Path:
        """The statistics as text."""
        return self.path / "card.md"

    def read(self) -> dict[str, Any]:
        """Return the contents of seeds.json. Raises UsageError CN207 if they are not valid, or were changed."""
        try:
            facts: dict[str, Any] = schema.read(self.file.read_bytes(), formats.SEEDS)
            if facts.get(checksum.KEY, "") not in ["", checksum.of_values(facts)] and not self.trust:
                raise ValueError(_("its checksum is not that of its contents"))
        except (OSError, ValueError) as error:
            raise UsageError(
                "CN207",
                _("{name} cannot be read, is not valid, or was changed", name=self.file.name),
                where=str(self.file),
                why=str(error),
                hint=(_("copy the folder again"), _("{option}   # uses a changed file", option="--trust")),
            ) from error
        return facts

    def write(self, facts: dict[str, Any]) -> None:
        """Replace seeds.json atomically."""
        write_json(self.file, checksum.with_checksum(facts))

    def runs(self) -> dict[int, RunFolder]:
        """Return the run folders by seed."""
        return {seed: RunFolder(self.path / f"seed-{seed}") for seed in self.read()["seeds"]}

    def missing(self) -> dict[int, RunFolder]:
        """Return the run folders without a result, by seed."""
        return {seed: run for seed, run in self.runs().items() if "result" not in run.read()}


@dataclass(frozen=True)
class SeedsResults:
    """What the reports need: the plan, the folder, and the contents of seeds.json with the result."""

    plan: Plan
    folder: SeedsFolder
    facts: dict[str, Any]


def start(
    plan: Plan, seeds: Sequence[int], output: Output, say: Say, *, parallel_runs: int | None = None
) -> SeedsFolder:
    """Read the data, choose the number of runs in parallel and create all folders; train nothing.

    Args:
        plan: The run.
        seeds: The seed of each run.
        output: Where the folder is created.
        say: Receives the plan and notes about the data.
        parallel_runs: Number of runs in parallel (default: chosen by timing a few steps).

    Raises:
        UsageError: CN204, there is no seed, or `parallel_runs` is not valid.
        DataError: The data is not available.
        MachineError: CN401, the folder cannot be written.
    """
    if not seeds:
        raise UsageError("CN204", _("at least one seed is needed"), hint="--seeds 5")
    folder.check_root(Path(output.runs))
    machine.set_threads(plan.spec.threads)
    plan = survey(plan, say)
    splits = read(plan, say)
    parallelism = choose(plan, len(seeds), parallel_runs, say)
    typed_command = command_line()
    runs = {seed: begin(plan.with_seed(seed), splits, typed_command, parallelism.threads) for seed in seeds}
    first_facts = runs[seeds[0]][1]
    common = ("net", "recipe", "origins", "as_published", "data_name", "limit", "device")
    facts = {
        "command": typed_command,
        "started_at": now(),
        "seeds": [*seeds],
        "side_by_side": parallelism.runs,
        "threads": parallelism.threads,
        "why": parallelism.why,
        **{key: first_facts[key] for key in common},
        "fingerprint": splits.fingerprint,
        "machine": machine.describe(),
    }

    def fill(part: Path) -> None:
        for seed, (run_plan, run_facts) in runs.items():
            fill_run(part / f"seed-{seed}", run_plan, run_facts, splits)
        SeedsFolder(part).write(facts)

    label = f"{plan.net_spec.label}-{splits.name}-seeds"
    seeds_folder = SeedsFolder(folder.make(Path(output.runs), label, fill), plan.net, trust=True)
    for line in plan.lines():
        if not line.startswith("device"):
            say(line)
    say(
        _(
            "device  {device}, {precision}, {parallelism}",
            device=plan.device,
            precision=plan.recipe.precision,
            parallelism=parallelism,
        )
    )
    say(
        _(
            "seeds   {n} runs with seeds {seeds}, in {folder}",
            n=len(seeds),
            seeds=", ".join(map(str, seeds)),
            folder=seeds_folder.path,
        )
    )
    return seeds_folder


def reopen(
    path: str | Path, net: nn.Module | None = None, data: str | None = None, *, trust: bool = False
) -> SeedsFolder:
    """Open a folder of runs to train those without a result.

    Args:
        path: The folder.
        net: The module, if the runs were started with one.
        data: Where the data of the runs lies now, if it has moved.
        trust: Whether code of the runs may be run that was not run on this machine before.

    Raises:
        UsageError: CN207, a network cannot be built; CN208, all runs are complete; CN212, code is not trusted.
        DataError: CN302, the data is not there; CN306, `data` is not that of the runs.
    """
    seeds_folder = SeedsFolder(Path(path), net, trust)
    missing = seeds_folder.missing()
    if not missing and "result" in seeds_folder.read():
        run = next(iter(seeds_folder.runs().values()))
        raise UsageError(
            "CN208",
            _("all runs are complete"),
            where=str(path),
            hint=more_training(run.path, run.read()),
        )
    for run in missing.values():
        plan_of_run(run, net, trust=trust)
    _locate_data(seeds_folder, data)
    return seeds_folder


def _locate_data(seeds_folder: SeedsFolder, data: str | None) -> None:
    """Check that the data of the runs is there; with `data`, that it is the same, which all runs then remember."""
    retry = ("classicnets", "train", "--resume", seeds_folder.path)
    runs = seeds_folder.runs()
    for run in seeds_folder.missing().values():
        place = run_data.locate(run, data, retry)
        if data is not None:
            splits = read(
                replace(plan_of_run(run, seeds_folder.net, trust=seeds_folder.trust), data=place), lambda _: None
            )
            run_data.check(run, splits, place, retry)
            for each in runs.values():
                run_data.remember(each, place)
            return


def train(
    seeds_folder: SeedsFolder,
    display: SeedsDisplay,
    train_run: TrainRun,
    *reports: Report,
    parallel_runs: int | None = None,
    save_seconds: float = Output().save_every,
) -> dict[str, Any]:
    """Train the runs without a result and return the statistics. At Ctrl-C, the active runs save and stop.

    Each run has its own process, except for a module that was passed in Python: its copies are trained in this process,
    one after the other. If a run fails, its row has an error, and the others continue.

    Args:
        seeds_folder: The runs.
        display: Shows the events.
        train_run: Trains one run in this process.
        *reports: Called with the results before they are saved.
        parallel_runs: Number of runs in parallel (default: as chosen at the start).
        save_seconds: Time between two checkpoints of a run.

    Raises:
        UsageError: CN211, another process trains them.
        MachineError: CN401, a file cannot be written; the runs are kept as far as they got.
    """
    lock = FolderLock(seeds_folder.path)
    with folder.resumable(seeds_folder.path):
        lock.acquire()
        try:
            remove_parts(seeds_folder.path)
            errors = _train(seeds_folder, display, train_run, parallel_runs=parallel_runs, save_seconds=save_seconds)
            return finish(seeds_folder, errors, *reports)
        finally:
            lock.release()


def _train(
    seeds_folder: SeedsFolder,
    display: SeedsDisplay,
    train_run: TrainRun,
    *,
    parallel_runs: int | None,
    save_seconds: float,
) -> dict[int, str]:
    """Train the runs without a result; return the errors by seed."""
    facts, missing, errors = seeds_folder.read(), seeds_folder.missing(), dict[int, str]()
    if seeds_folder.net is not None:
        seed_events = _train_in_process(missing, seeds_folder.net, train_run)
    else:
        parallel_runs = parallel_runs or facts["side_by_side"]
        seed_events = processes.follow(missing, parallel_runs, facts["threads"], save_seconds)
    with closing(seed_events), display:
        for seed, event in seed_events:
            if isinstance(event, RunEnd):
                errors[seed] = event.error
                display.show_result(row(seed, seeds_folder.runs()[seed], event.error))
            else:
                display.show(seed, event)
    return errors


def _train_in_process(
    runs: Mapping[int, RunFolder], net: nn.Module, train_run: TrainRun
) -> Generator[tuple[int, Event | RunEnd], None, None]:
    """Train copies of `net` one after the other."""
    for seed, run in runs.items():
        try:
            for event in train_run(run, copy_module(net)):
                yield seed, event
        except ClassicnetsError as error:
            yield seed, RunEnd(str(error))
        else:
            yield seed, RunEnd()


def row(seed: int, run: RunFolder, error: str = "") -> dict[str, Any]:
    """Return the metrics of a run, or its error."""
    result = run.read().get("result")
    identity = {"seed": seed, "folder": run.path.name}
    if result is None:
        return {**identity, "error": error or "stopped"}
    return {**identity, **{key: result[key] for key in METRICS}, "n": result["n"]}


def finish(seeds_folder: SeedsFolder, errors: Mapping[int, str], *reports: Report) -> dict[str, Any]:
    """Compute the statistics, call the `reports` and save the result."""
    facts, runs = seeds_folder.read(), seeds_folder.runs()
    rows = [row(seed, run, errors.get(seed, "")) for seed, run in runs.items()]
    finished = [values for values in rows if "error" not in values]
    plan = plan_of_run(next(iter(runs.values())), seeds_folder.net, trust=seeds_folder.trust)
    facts["finished_at"] = now()
    result: dict[str, Any] = {
        "n": len(finished),
        "of": len(rows),
        "pictures": finished[0]["n"] if finished else None,
        **{key: statistics_of([values[key] for values in finished]) for key in METRICS},
        "published": facts["recipe"]["expected"],
        "verdict": verdict(plan, [values["test_accuracy"] for values in finished]),
        "runs": rows,
    }
    facts["result"] = result
    for report in reports:
        report(SeedsResults(plan, seeds_folder, facts))
    seeds_folder.write(facts)
    return result
