"""Trains the runs of a study, or of one plan with several seeds: ordinary runs in one folder, and their statistics."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from torch import nn

from classicnets import machine
from classicnets.datasets.types import ImageSplits
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.events import Event
from classicnets.files import remove_parts, write_whole
from classicnets.models.modules import copy_module
from classicnets.runs import data as run_data
from classicnets.runs import folder
from classicnets.runs.folder import RunFolder
from classicnets.runs.lock import FolderLock
from classicnets.spec import Output
from classicnets.studies import classic, processes
from classicnets.studies.arms import Arm
from classicnets.studies.classic import ClassicRun, ClassicSpec
from classicnets.studies.definition import Definition
from classicnets.studies.definition import read as read_definition
from classicnets.studies.folder import ONLY_ARM, Key, StudyFolder, StudyRun, run_name
from classicnets.studies.measured import measured, measured_classic
from classicnets.studies.measures import measure
from classicnets.studies.parallel import choose_for_all
from classicnets.studies.processes import RunEnd
from classicnets.studies.statistics import statistics_of
from classicnets.studies.summary import summarize, verdict
from classicnets.text import _, command, plural
from classicnets.training.begin import Say, begin, command_line, now, read, survey, training_and_validation
from classicnets.training.begin import fill as fill_run
from classicnets.training.plan import Plan, plan_of_run
from classicnets.training.results import more_training

TrainRun = Callable[[RunFolder, nn.Module | None], Iterator[Event]]  # trains a run, with a module or as its folder says
Follow = Callable[[Mapping[Key, RunFolder], int, int, float], Generator[tuple[Key, Event | RunEnd], None, None]]
Report = Callable[["StudyResults"], None]

METRICS = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")
_OF_ONE_ARM = ("net", "recipe", "origins", "as_published", "data_name", "limit")


class StudyDisplay(Protocol):
    """A context manager that shows the events of several runs."""

    def __enter__(self) -> object: ...

    def __exit__(self, *_: object) -> None: ...

    def show(self, key: Key, event: Event) -> None:
        """Show an event of a run."""

    def show_result(self, row: Mapping[str, Any]) -> None:
        """Show the metrics of a run that has ended, or its error."""


@dataclass(frozen=True)
class StudyResults:
    """What the reports need: the plan of each arm with a network, the folder, and study.json with the result."""

    plans: Mapping[str, Plan]
    folder: StudyFolder
    facts: dict[str, Any]

    @property
    def runs(self) -> dict[Key, RunFolder]:
        """The run folders of networks by arm and seed."""
        return self.folder.networks()


def start_seeds(
    plan: Plan, seeds: Sequence[int], output: Output, say: Say, *, parallel_runs: int | None = None
) -> StudyFolder:
    """Create the folders of the runs of one plan with several seeds; see `start`."""
    if not seeds:
        raise UsageError("CN204", _("at least one seed is needed"), hint="--seeds 5")
    folder_of_study = _create({ONLY_ARM: plan}, seeds, output, say, parallel_runs, lambda _: {})
    for line in plan.lines():
        if not line.startswith("device"):
            say(line)
    facts = folder_of_study.read()
    say(
        _(
            "device  {device}, {precision}, {parallelism}",
            device=plan.device,
            precision=plan.recipe.precision,
            parallelism=_parallelism(facts),
        )
    )
    say(
        _(
            "seeds   {n} runs with seeds {seeds}, in {folder}",
            n=len(seeds),
            seeds=", ".join(map(str, seeds)),
            folder=folder_of_study.path,
        )
    )
    return folder_of_study


def start(
    definition: Definition,
    arms: Mapping[str, Arm],
    output: Output,
    say: Say,
    *,
    toml: str = "",
    parallel_runs: int | None = None,
) -> StudyFolder:
    """Read the data, choose the number of runs in parallel and create all folders; train nothing.

    Args:
        definition: The study.
        arms: Its arms, as `arms.resolve` returns them.
        output: Where the folder is created.
        say: Receives what is trained, and notes about the data.
        toml: The text of its file, if it has one.
        parallel_runs: Number of runs in parallel (default: chosen by timing a few steps).

    Raises:
        UsageError: CN204, `parallel_runs` is not valid.
        DataError: The data is not available.
        MachineError: CN401, the folder cannot be written; CN403, SciPy is not installed.
    """
    machine.require("scipy", extra="study")  # its absence shows before hours of training, not after them
    plans = {name: arm.plan for name, arm in arms.items()}

    def more_facts(counts: Mapping[str, int]) -> dict[str, Any]:
        described = {name: arm.to_dict(definition.arms[name]) for name, arm in arms.items()}
        described = {name: facts | {"train_images": counts.get(name)} for name, facts in described.items()}
        return {"definition": definition.to_dict(), "arms": described}

    study = _create(plans, definition.seeds, output, say, parallel_runs, more_facts, definition.name, toml)
    say(_("study   {question}", question=definition.question))
    for name, arm in arms.items():
        say(_("arm     {name}: {description}", name=name, description=arm))
        if arm.matched is not None:
            say(_("        {line}", line=arm.matched.line(next(iter(arms)))))
    say(_("runs    {parallelism}", parallelism=_parallelism(study.read())))
    say(
        plural(
            "folder  {folder}: {n} run, the arms with the same seeds",
            "folder  {folder}: {n} runs, the arms with the same seeds",
            len(study.runs()),
            folder=study.path,
        )
    )
    return study


def _parallelism(facts: Mapping[str, Any]) -> str:
    return plural(
        "{n} run at a time, threads of each: {threads} ({why})",
        "{n} runs at a time, threads of each: {threads} ({why})",
        facts["side_by_side"],
        threads=facts["threads"],
        why=facts["why"],
    )


def _create(
    arms: Mapping[str, Plan | ClassicSpec],
    seeds: Sequence[int],
    output: Output,
    say: Say,
    parallel_runs: int | None,
    more_facts: Callable[[Mapping[str, int]], Mapping[str, Any]],
    name: str = "",
    toml: str = "",
) -> StudyFolder:
    """Create the folder of a study with all its run folders.

    Args:
        arms: What is trained, by arm.
        seeds: The seed of each run of an arm.
        output: Where the folder is created.
        say: Receives notes about the data.
        parallel_runs: Number of runs in parallel, if the user has set it.
        more_facts: Returns more facts of study.json, from the number of training images of each network.
        name: The name of the study; "" for several seeds of one plan.
        toml: The text of its file.
    """
    folder.check_root(Path(output.runs))
    images = _Reader(say)
    plans = {arm: images.survey(plan) for arm, plan in arms.items() if isinstance(plan, Plan)}
    nets = {arm: plan.net for arm, plan in plans.items() if plan.net is not None}
    for plan in islice(plans.values(), 1):
        machine.set_threads(plan.spec.threads)
    splits = {arm: images(plan) for arm, plan in plans.items()}
    counts = {arm: len(training_and_validation(splits[arm], plan)[0]) for arm, plan in plans.items()}
    parallelism = choose_for_all(plans, len(seeds) * len(arms), parallel_runs, say)
    typed_command = command_line()
    begun = {
        (arm, seed): begin(plan.with_seed(seed), splits[arm], typed_command, parallelism.threads)
        for seed in seeds
        for arm, plan in plans.items()
    }
    only_arm = {key: begun[ONLY_ARM, seeds[0]][1][key] for key in _OF_ONE_ARM} if ONLY_ARM in arms else {}
    facts: dict[str, Any] = {
        "command": typed_command,
        "started_at": now(),
        "seeds": [*seeds],
        "side_by_side": parallelism.runs,
        "threads": parallelism.threads,
        "why": parallelism.why,
        "device": next((plan.device for plan in plans.values()), "cpu"),
        "fingerprint": next((each.fingerprint for each in splits.values()), ""),
        "machine": machine.describe(),
        "definition": None,
        "arms": {arm: {} for arm in arms},
        **only_arm,
        **more_facts(counts),
    }

    def fill(part: Path) -> None:
        for seed in seeds:
            for arm, spec in arms.items():
                path = part / run_name(arm, seed)
                path.parent.mkdir(exist_ok=True)
                if isinstance(spec, Plan):
                    fill_run(path, *begun[arm, seed], splits[arm])
                else:
                    classic.fill(path, spec.with_seed(seed))
        if toml:
            write_whole(part / "study.toml", toml.encode())
        StudyFolder(part).write(facts)

    label = f"study-{name}" if name else f"{plans[ONLY_ARM].net_spec.label}-{splits[ONLY_ARM].name}-seeds"
    return StudyFolder(folder.make(Path(output.runs), label, fill), nets, trust=True)


class _Reader:
    """Surveys and reads the images of plans, each data only once."""

    def __init__(self, say: Say) -> None:
        self.say = say
        self._surveys: dict[object, Plan] = {}
        self._splits: dict[object, ImageSplits] = {}

    def survey(self, plan: Plan) -> Plan:
        """Complete a plan with what depends on the contents of image files."""
        key = (plan.data, plan.preprocess, plan.recipe.background, plan.recipe.validation > 0, plan.spec.on_bad_image)
        found = self._surveys.setdefault(key, plan)
        if found is plan:
            self._surveys[key] = found = survey(plan, self.say)
        return replace(plan, copies=found.copies, preprocess=found.preprocess)

    def __call__(self, plan: Plan) -> ImageSplits:
        """Read the images of a plan."""
        key = (plan.data, plan.preprocess, plan.spec.on_bad_image, plan.recipe.validation, plan.spec.limit)
        if key not in self._splits:
            self._splits[key] = read(plan, self.say)
        return self._splits[key]


def reopen(
    path: str | Path,
    nets: Mapping[str, nn.Module] | None = None,
    data: str | None = None,
    *,
    trust: bool = False,
) -> StudyFolder:
    """Open the folder of a study, or of several seeds, to train the runs without a result.

    Args:
        path: The folder.
        nets: The modules by arm, if the runs were started with some.
        data: Where the data of the runs lies now, if it has moved.
        trust: Whether code of the runs may be run that was not run on this machine before.

    Raises:
        UsageError: CN207, a network cannot be built; CN208, all runs are complete; CN212, code is not trusted; CN218,
            the study was edited, or started with other versions.
        DataError: CN302, the data is not there; CN306, `data` is not that of the runs.
    """
    study = StudyFolder(Path(path), nets or {}, trust)
    facts, missing = study.read(), study.missing()
    if not missing and "result" in facts:
        raise _complete(study, facts)
    if facts["definition"] is not None:
        _check_unchanged(study, facts)
    for (arm, _seed), run in missing.items():
        if isinstance(run, RunFolder):
            plan_of_run(run, study.nets.get(arm), trust=trust)
    _locate_data(study, data)
    return study


def _complete(study: StudyFolder, facts: Mapping[str, Any]) -> UsageError:
    """The error that says that there is nothing to train."""
    run = next(iter(study.runs().values()))
    hint: str | tuple[str, ...] = more_training(run.path, run.read())
    if facts["definition"] is not None:
        hint = (
            command("classicnets", "study", "show", study.path),
            _("{command}   # starts it anew", command=command("classicnets", "study", "run", study.toml)),
        )
    return UsageError("CN208", _("all runs are complete"), where=str(study.path), hint=hint)


def _check_unchanged(study: StudyFolder, facts: Mapping[str, Any]) -> None:
    """Refuse to train runs that could not be compared with the finished ones. Raises UsageError CN218."""
    anew = _(
        "{command}   # starts it anew; the finished runs stay",
        command=command("classicnets", "study", "run", study.toml if study.toml.is_file() else facts["command"]),
    )
    begun = Definition.from_dict(facts["definition"])
    if study.toml.is_file():
        edited = read_definition(study.toml).with_seeds(len(begun.seeds))
        if edited.to_dict() != begun.to_dict():
            changed = [key for key, value in edited.to_dict().items() if begun.to_dict()[key] != value]
            raise UsageError(
                "CN218",
                _("the study was edited after it was started: {keys}", keys=", ".join(changed)),
                where=str(study.toml),
                why=_("the finished runs belong to the study as it was, so the others would not be comparable"),
                hint=(anew, _("or change the file back")),
            )
    then, today = facts["machine"]["versions"], machine.versions()
    if changed := [name for name in ("classicnets", "torch") if then.get(name) != today[name]]:
        versions = [_("{name} {version}", name=name, version=then.get(name)) for name in changed]
        raise UsageError(
            "CN218",
            _("the study was started with {versions}", versions=", ".join(versions)),
            where=str(study.path),
            why=_(
                "this is {versions}, which may compute other numbers",
                versions=", ".join(_("{name} {version}", name=name, version=today[name]) for name in changed),
            ),
            hint=(command("pip", "install", *(f"{name}=={then.get(name)}" for name in changed)), anew),
        )


def _locate_data(study: StudyFolder, data: str | None) -> None:
    """Check that the data of the runs is there; with `data`, that it is the same, which all runs then remember."""
    retry = study.resume_command
    runs = study.networks()
    for (arm, seed), run in runs.items():
        if (arm, seed) not in study.missing():
            continue
        place = run_data.locate(run, data, retry)
        if data is not None:
            plan = plan_of_run(run, study.nets.get(arm), trust=study.trust)
            run_data.check(run, read(replace(plan, data=place), lambda _: None), place, retry)
            for each in runs.values():
                run_data.remember(each, place)
            return


def train(
    study: StudyFolder,
    display: StudyDisplay,
    train_run: TrainRun,
    *reports: Report,
    follow: Follow = processes.follow,
    parallel_runs: int | None = None,
    save_seconds: float = Output().save_every,
) -> dict[str, Any]:
    """Train the runs without a result and return the statistics. At Ctrl-C, the active runs save and stop.

    Each run has its own process, except for modules that were passed in Python: their copies are trained in this
    process, one after the other. If a run fails, its row has an error, and the others continue.

    Args:
        study: The runs.
        display: Shows the events.
        train_run: Trains one run in this process.
        *reports: Called with the results before they are saved.
        follow: Trains runs in other processes, on this machine or on others.
        parallel_runs: Number of runs in parallel (default: as chosen at the start).
        save_seconds: Time between two checkpoints of a run.

    Raises:
        UsageError: CN211, another process trains them.
        MachineError: CN401, a file cannot be written; the runs are kept as far as they got.
    """
    lock = FolderLock(study.path)
    with folder.resumable(study.path, lambda: study.resume_command):
        lock.acquire()
        try:
            remove_parts(study.path)
            facts, missing, errors = study.read(), study.missing(), dict[Key, str]()
            if study.nets:
                events = _train_in_process(missing, study.nets, train_run)
            else:
                how = parallel_runs or facts["side_by_side"], facts["threads"], save_seconds
                events = _train_in_processes(missing, follow, *how)
            with closing(events), display:
                for key, event in events:
                    if isinstance(event, RunEnd):
                        errors[key] = event.error
                        display.show_result(row(key, missing[key], event.error))
                    else:
                        display.show(key, event)
            return finish(study, errors, *reports)
        finally:
            lock.release()


def _train_in_processes(
    runs: Mapping[Key, StudyRun], follow: Follow, *how: Any
) -> Generator[tuple[Key, Event | RunEnd], None, None]:
    """Fit classical methods in processes of this machine, and train networks as `follow` does."""
    methods = {key: run for key, run in runs.items() if isinstance(run, ClassicRun)}
    yield from processes.follow(methods, *how)
    yield from follow({key: run for key, run in runs.items() if isinstance(run, RunFolder)}, *how)


def _train_in_process(
    runs: Mapping[Key, StudyRun], nets: Mapping[str, nn.Module], train_run: TrainRun
) -> Generator[tuple[Key, Event | RunEnd], None, None]:
    """Train copies of the modules, or what the run folders build, one after the other."""
    for key, run in runs.items():
        try:
            if isinstance(run, ClassicRun):
                classic.fit(run, lambda _: None)
            else:
                for event in train_run(run, copy_module(nets[key[0]]) if key[0] in nets else None):
                    yield key, event
        except ClassicnetsError as error:
            yield key, RunEnd(str(error))
        else:
            yield key, RunEnd()


def row(key: Key, run: StudyRun, error: str = "") -> dict[str, Any]:
    """Return the metrics of a run, or its error."""
    arm, seed = key
    result = run.read().get("result")
    identity = {**({"arm": arm} if arm else {}), "seed": seed, "folder": run_name(arm, seed)}
    if result is None:
        return {**identity, "error": error or "stopped"}
    if isinstance(run, ClassicRun):
        times = {key: result[key] for key in ("fit_seconds", "predict_seconds")}
        result = {**result, "seconds": result["fit_seconds"], "train_loss": None}
        return {**identity, **{key: result[key] for key in METRICS}, **times, "n": result["n"]}
    return {**identity, **{key: result[key] for key in METRICS}, "n": result["n"]}


def finish(study: StudyFolder, errors: Mapping[Key, str], *reports: Report) -> dict[str, Any]:
    """Compute the statistics, call the `reports` and save the result."""
    facts, runs, plans = study.read(), study.runs(), dict[str, Plan]()
    rows = [row(key, run, errors.get(key, "")) for key, run in runs.items()]
    for (arm, _seed), run in runs.items():
        if isinstance(run, RunFolder) and arm not in plans:
            plans[arm] = plan_of_run(run, study.nets.get(arm), trust=study.trust)
    facts["finished_at"] = now()
    if facts["definition"] is None:
        facts["result"] = _seeds_result(plans[ONLY_ARM], facts, rows)
    else:
        facts["result"] = _study_result(study, facts, rows)
    for report in reports:
        report(StudyResults(plans, study, facts))
    study.write(facts)
    result: dict[str, Any] = facts["result"]
    return result


def _seeds_result(plan: Plan, facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The statistics of one plan with several seeds."""
    finished = [values for values in rows if "error" not in values]
    return {
        "n": len(finished),
        "of": len(rows),
        "pictures": finished[0]["n"] if finished else None,
        **{key: statistics_of([values[key] for values in finished]) for key in METRICS},
        "published": facts["recipe"]["expected"],
        "verdict": verdict(plan, [values["test_accuracy"] for values in finished]),
        "runs": rows,
    }


def _study_result(study: StudyFolder, facts: Mapping[str, Any], rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The measures of all runs, and their comparison."""
    definition, runs, images = Definition.from_dict(facts["definition"]), study.runs(), _Reader(lambda _: None)
    measures = [measure(text) for text in definition.measures]
    for values in rows:
        if "error" in values:
            continue
        arm, seed = values["arm"], values["seed"]
        run, net = runs[arm, seed], study.nets.get(arm)
        if isinstance(run, ClassicRun):
            values.update(measured_classic(run, measures))
        else:
            plan = plan_of_run(run, net, trust=study.trust)
            values.update(measured(run, plan, measures, images, net, trust=study.trust))
    return {
        "seconds": sum(values.get("seconds") or 0 for values in rows),
        "rows": rows,
        **summarize(facts["definition"]["compare"], measures, rows),
    }
