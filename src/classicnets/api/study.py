"""Studies: several arms over the same seeds, compared with honest statistics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from classicnets import machine, report
from classicnets.api.models import Run
from classicnets.api.training import follow_study, reopen_study
from classicnets.errors import UsageError
from classicnets.forecast.forecast import Forecast
from classicnets.forecast.forecast import forecast as forecast_plan
from classicnets.models.modules import copy_module
from classicnets.options import documented, split_options
from classicnets.spec import Output, StudyOptions
from classicnets.studies import definition as definitions
from classicnets.studies import preset_texts
from classicnets.studies.arms import Arm, resolve
from classicnets.studies.definition import Definition
from classicnets.studies.folder import StudyFolder, is_study
from classicnets.studies.parallel import Parallelism, choose_for_all
from classicnets.studies.start import notes
from classicnets.studies.start import start as start_study
from classicnets.text import _, byte_count, command, duration
from classicnets.training.begin import Say
from classicnets.training.plan import Plan

__all__ = ["Study", "find", "folder", "forecast", "presets", "resolve", "start", "started", "study"]


class Study:
    """A finished study: its result, and its runs.

    Args:
        path: The folder.
        nets: Needed only if networks were modules that were passed in Python: the modules by arm.
        trust: See `Run`.

    Raises:
        UsageError: CN207, the folder is not that of a study, or the study is not finished.
    """

    def __init__(self, path: str | Path, *, nets: Mapping[str, nn.Module] | None = None, trust: bool = False):
        self.folder = StudyFolder(Path(path), nets or {}, trust)
        exists = is_study(self.folder.path) and not self.folder.is_of_one_arm
        if not exists or "result" not in self.folder.read():
            raise UsageError(
                "CN207",
                _("{path} is not the folder of a finished study", path=path),
                where=str(self.folder.file),
                why=_("not all of its runs are finished") if exists else _("there is no study.json of a study"),
                hint=command("classicnets", "study", "resume", Path(path)) if exists else "classicnets study list",
            )
        self.facts: dict[str, Any] = self.folder.read()

    def __repr__(self) -> str:
        return "\n".join([f"Study({str(self.path)!r})", *(f"  {verdict}" for verdict in self.verdicts)])

    def _repr_html_(self) -> str:
        return report.result_cells.study(self.facts, self.path)

    @property
    def path(self) -> Path:
        """The folder."""
        return self.folder.path

    @property
    def comparisons(self) -> list[dict[str, Any]]:
        """The comparisons of arms, for each measure, with estimates and intervals as in study.json."""
        comparisons: list[dict[str, Any]] = self.facts["result"]["comparisons"]
        return comparisons

    @property
    def verdicts(self) -> list[str]:
        """What each comparison has shown, in a sentence."""
        return [comparison["verdict"] for comparison in self.comparisons]

    def runs(self, arm: str) -> list[Run]:
        """Return the finished runs of an arm with a network, each with its own network."""
        failed = {(row["arm"], row["seed"]) for row in self.facts["result"]["rows"] if "error" in row}
        net = self.folder.nets.get(arm)
        return [
            Run(run.path, net=None if net is None else copy_module(net), trust=self.folder.trust)
            for key, run in self.folder.networks().items()
            if key[0] == arm and key not in failed
        ]


@documented(StudyOptions, Output)
def study(
    study: str | Path | Mapping[str, Any], /, *, nets: Mapping[str, nn.Module] | None = None, **options: Any
) -> Study:
    """Train the arms of a study with the same seeds, compare them, and return the result.

    Args:
        study: A TOML file, the name of a study from `classicnets study list`, or the same as a dict, in which `net`
            may also be a module, whose copies are then trained in this process; or the folder of a study that was
            stopped, whose missing runs are then trained.
        nets: Only for a folder, if networks of its arms were modules: these modules by arm, as they were at the start.
        **options: See below.

    Raises:
        UsageError: CN217, this is not a study, or its arms cannot be compared; CN218, the study that is resumed was
            edited, or started with other versions; others, as `train`.
        DataError, MachineError: Before training; CN403, SciPy is not installed.
    """
    (study_options, output), unknown = split_options(options, StudyOptions, Output)
    if unknown:
        raise TypeError(_("study() takes no {names}: they belong to the study", names=", ".join(unknown)))
    if output.tensorboard:
        raise UsageError(
            "CN206",
            _("--tensorboard shows one run only; each of several runs has a history.jsonl"),
            hint="cn.study(..., tensorboard=False)",
        )
    stopped = folder(study) if isinstance(study, str | Path) and is_study(Path(study)) else None
    if nets and not stopped:
        raise TypeError(_("nets belongs to the folder of a stopped study; a new study has net in its base and arms"))
    console = report.tables.console(stderr=True, quiet=output.quiet)
    with machine.restore_threads():
        if stopped:
            opened = reopen_study(stopped.path, nets=nets, trust=output.trust)
        else:
            definition, text = find(study)
            definition = definition.with_seeds(study_options.seeds)
            arms = resolve(definition, trust=output.trust)
            opened = start(definition, arms, study_options, output, console.print, toml=text)
        display = report.terminal.StudyTerminal(console, len(opened.missing()))
        follow_study(opened, display, output, parallel_runs=study_options.parallel_runs, ray=study_options.ray)
    return Study(opened.path, nets=opened.nets, trust=output.trust)


def find(study: str | Path | Mapping[str, Any], action: str = "run") -> tuple[Definition, str]:
    """Return a study and the text of its file, "" if it has none, for `study run` or `study show`.

    Raises:
        UsageError: CN217, it is not a study; CN207, it is the folder of several seeds.
    """
    if isinstance(study, Mapping):
        return definitions.make(study), ""
    if not isinstance(study, str | Path):
        raise UsageError(
            "CN217",
            _("this does not define a study"),
            where=repr(study),
            why=_("a study is a TOML file, the name of a study, a folder, or a dict"),
            hint='cn.study("pooling")',
        )
    if is_study(Path(study)):
        path = folder(study).path
        raise UsageError(
            "CN217",
            _("{path} is the folder of a study that was started", path=path),
            where=str(path),
            why=_("a new study is started from a file, or by name"),
            hint=(
                _("{command}   # trains its missing runs", command=command("classicnets", "study", "resume", path)),
                _("{command}   # shows its result", command=command("classicnets", "study", "show", path)),
                _(
                    "{command}   # starts it anew",
                    command=command("classicnets", "study", "run", path / "study.toml"),
                ),
            ),
        )
    if (Path(study) / "run.json").is_file():
        raise UsageError(
            "CN217",
            _("{path} is the folder of one run, and not of a study", path=study),
            where=str(study),
            why=_("a study has a file study.json in its folder, and its runs in folders below it"),
            hint=(
                "classicnets study list",
                _("{command}   # shows its network", command=command("classicnets", "show", Path(study))),
            ),
        )
    path = definitions.find(study, action)
    return definitions.read(path), path.read_text(encoding="utf-8")


def start(
    definition: Definition,
    arms: Mapping[str, Arm],
    options: StudyOptions,
    output: Output,
    say: Say,
    *,
    toml: str = "",
) -> StudyFolder:
    """Create the folders of all runs of a study. Raises what `studies.start.start` raises."""
    return start_study(definition, arms, output, say, toml=toml, parallel_runs=options.parallel_runs)


def folder(path: str | Path, *, trust: bool = False) -> StudyFolder:
    """Return the folder of a study, finished or not. Raises UsageError CN207 for another one; see `Run` for `trust`."""
    opened = StudyFolder(Path(path), trust=trust)
    if not is_study(opened.path):
        raise _never_started(opened.path)
    if opened.is_of_one_arm:
        raise UsageError(
            "CN207",
            _("{path} has several seeds of one network, and is not the folder of a study", path=path),
            where=str(opened.file),
            hint=(
                _("{command}   # trains the runs without a result", command=command(*opened.resume_command)),
                _("{path}   # has the result", path=command(opened.card)),
            ),
        )
    return opened


def _never_started(path: Path) -> UsageError:
    """The error for what is not the folder of a study."""
    hints = ["classicnets study list"]
    if str(path) in definitions.presets() or path.is_file():
        hints.insert(0, _("{command}   # starts it", command=command("classicnets", "study", "run", path)))
    elif (path / "run.json").is_file():
        resume = command("classicnets", "train", "--resume", path)
        hints.insert(0, _("{command}   # resumes this run", command=resume))
    return UsageError(
        "CN207",
        _("{path} is not the folder of a study", path=path),
        where=str(path),
        why=_("resume takes the folder of a study that was started, such as runs/study-pooling-1"),
        hint=(*hints,),
    )


def text_to_show(study: str, text: str) -> str:
    """Return the text of the file of a study; that of a study of the package is in the language of the user."""
    return preset_texts.translated(text) if study in definitions.presets() else text


def presets() -> list[dict[str, Any]]:
    """Return the studies that come with the package: name, question, number of runs."""
    studies = [definitions.read(path) for path in definitions.presets().values()]
    return [
        {
            "name": each.name,
            "question": _(each.question),
            "arms": len(each.arms),
            "runs": len(each.arms) * len(each.seeds),
        }
        for each in studies
    ]


def started(runs: Path) -> list[dict[str, Any]]:
    """Return the studies in a folder of runs: folder, question, state."""
    studies = []
    for file in sorted(runs.glob("*/study.json")):
        each, question, total = StudyFolder(file.parent), "", 0
        try:
            if each.is_of_one_arm:
                continue
            question, total = _(each.read()["definition"]["question"]), len(each.runs())
            state = _("{done} of {n}", done=total - len(each.missing()), n=total)
        except UsageError:  # a file was removed or damaged; the other studies are listed all the same
            state = _("cannot be read")
        studies.append({"folder": str(file.parent), "question": question, "runs": total, "state": state})
    return studies


# A run is a process, which imports PyTorch and writes a report with figures. On one busy core, that takes 4 to 6 s.
SECONDS_AROUND_A_RUN = 5.0


@dataclass(frozen=True)
class StudyForecast:
    """The estimated cost of a study.

    `seconds` is that of all runs of networks, with as many at a time as are trained, each with the time of its start
    and report; that of an arm is the training of a run, None for a classical method, whose time is not estimated.
    `notes` say what keeps the study from an answer.
    """

    question: str
    arms: dict[str, dict[str, Any]]
    runs: int
    parallelism: Parallelism
    seconds: float
    disk_bytes: int
    disk_free_bytes: int
    notes: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        del values["parallelism"]
        return {**values, **self.parallelism.to_dict()}

    def lines(self) -> list[str]:
        """Return the estimate as text."""
        lines = [_("study     {question}", question=self.question)]
        for name, arm in self.arms.items():
            if arm["seconds"] is None:
                lines.append(_("arm       {name}: {net}, its time is not estimated", name=name, net=arm["net"]))
            else:
                time = duration(arm["seconds"])
                lines.append(_("arm       {name}: {net}, {time} a run", name=name, net=arm["net"], time=time))
            if arm["matched"]:
                lines.append(_("          {line}", line=arm["matched"]))
        lines.append(_("runs      {n}: {parallelism}", n=self.runs, parallelism=self.parallelism))
        sizes = {
            "time": duration(self.seconds),
            "start": duration(SECONDS_AROUND_A_RUN),
            "disk": byte_count(self.disk_bytes),
            "free": byte_count(self.disk_free_bytes),
        }
        if self.disk_bytes > self.disk_free_bytes:
            lines.append(
                _(
                    "forecast  {time}, with {start} a run for its start and report; disk {disk}, but only {free} are"
                    " free",
                    **sizes,
                )
            )
        else:
            lines.append(_("forecast  {time}, with {start} a run for its start and report; disk {disk}", **sizes))
        return [*lines, *(_("note      {note}", note=note) for note in self.notes)]


def forecast(definition: Definition, arms: Mapping[str, Arm], options: StudyOptions, output: Output) -> StudyForecast:
    """Estimate time and disk use of a study from a few measured steps of each arm. Writes nothing."""
    plans = {name: arm.plan for name, arm in arms.items() if isinstance(arm.plan, Plan)}
    runs = len(arms) * len(definition.seeds)
    parallelism = choose_for_all(plans, runs, options.parallel_runs, lambda _: None)
    with machine.restore_threads():
        machine.set_threads(parallelism.threads)
        forecasts: dict[str, Forecast] = {name: forecast_plan(plan, Path(output.runs)) for name, plan in plans.items()}
    seconds = {name: forecasts[name].seconds if name in forecasts else None for name in arms}
    rounds = -(-runs // parallelism.runs) / runs
    free = next((each.disk_free_bytes for each in forecasts.values()), 0)
    first = next(iter(arms))
    facts = {
        name: {
            "net": arm.label,
            "seconds": seconds[name],
            "matched": "" if arm.matched is None else arm.matched.line(first),
        }
        for name, arm in arms.items()
    }
    return StudyForecast(
        question=_(definition.question),
        arms=facts,
        runs=runs,
        parallelism=parallelism,
        seconds=sum(each.seconds + SECONDS_AROUND_A_RUN for each in forecasts.values())
        * len(definition.seeds)
        * rounds,
        disk_bytes=sum(sum(each.disk_bytes.values()) for each in forecasts.values()) * len(definition.seeds),
        disk_free_bytes=free,
        notes=notes(definition),
    )
