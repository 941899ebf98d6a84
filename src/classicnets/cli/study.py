"""`classicnets study run|list|show|resume`: arms compared over the same seeds."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.arguments import Action
from classicnets.options import option, option_fields, spelling
from classicnets.report.output import print
from classicnets.spec import OFFLINE, TRUST, Output, RunSpec, StudyOptions
from classicnets.strict_json import dump
from classicnets.text import _, command, plural

if TYPE_CHECKING:
    from classicnets.api.training import StudyFolder

HELP = "compare networks and settings: train several arms with the same seeds, and test the differences"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Options of `study run`."""

    study: str = option(help="TOML file of a study, or its name from `classicnets study list`", metavar="STUDY")
    dry_run: bool = option(
        False, help="only show the arms, the number of runs, and the estimated time and disk use", group="run"
    )
    offline: bool = option(False, **OFFLINE)


@dataclass(frozen=True, kw_only=True)
class List:
    """Options of `study list`."""

    runs: str = option("runs", help="folder of the studies that were started", group="output", metavar="FOLDER")


@dataclass(frozen=True, kw_only=True)
class Show:
    """Options of `study show`."""

    study: str = option(
        help="folder of a study, whose result is shown; or a TOML file or a name, whose text is", metavar="STUDY"
    )
    trust: bool = option(False, **TRUST)


@dataclass(frozen=True, kw_only=True)
class Resume:
    """Options of `study resume`."""

    study: str = option(help="folder of a study", metavar="FOLDER")
    data: str | None = option(
        None, help="where the data of the runs is now, if it has moved", group="data", metavar="DATA", shown=""
    )
    offline: bool = option(False, **OFFLINE)


def run(args: argparse.Namespace) -> int:
    """Train the arms of a study and print its result."""
    options, study, output = arguments.read(args, Run), arguments.read(args, StudyOptions), arguments.read(args, Output)
    retry = command("classicnets", "study", "run", options.study)
    arguments.reject(args, (Output,), {"tensorboard"}, _one_run_only(), retry)
    console = report.tables.console(stderr=True)
    definition, text = api.study.find(options.study)
    definition = definition.with_seeds(study.seeds)
    arms = api.study.resolve(definition, trust=output.trust)
    if options.dry_run:
        forecast = api.study.forecast(definition, arms, study, output)
        print(dump(forecast.to_dict(), indent=2) if args.json else "\n".join(forecast.lines()))
        return 0
    folder = api.study.start(definition, arms, study, output, console.print, toml=text)
    return train(folder, study, output, as_json=args.json)


def _one_run_only() -> str:
    return _("TensorBoard shows one run only, and each run of a study has a history.jsonl")


def resume(args: argparse.Namespace) -> int:
    """Train the runs of a study that have no result, and print its result."""
    options, study = arguments.read(args, Resume), arguments.read(args, StudyOptions)
    output = arguments.read(args, Output)
    retry = command("classicnets", "study", "resume", Path(options.study))
    arguments.reject(args, (Output,), {"tensorboard"}, _one_run_only(), retry)
    reason = _("a resumed study keeps its seeds and its folder")
    arguments.reject(args, (StudyOptions, Output), {"seeds", "runs"}, reason, retry)
    folder = api.study.folder(options.study, trust=output.trust)
    folder = api.training.reopen_study(folder.path, options.data, trust=output.trust)
    return train(folder, study, output, as_json=args.json)


def train_all(folder: StudyFolder, study: StudyOptions, output: Output) -> dict[str, Any] | None:
    """Train the runs without a result; return the result, or None at Ctrl-C, after the active runs are saved."""
    console = report.tables.console(stderr=True)
    display = report.terminal.StudyTerminal(console, len(folder.missing()))
    try:
        return api.training.follow_study(folder, display, output, parallel_runs=study.parallel_runs, ray=study.ray)
    except KeyboardInterrupt:
        missing, resume_command = len(folder.missing()), command(*folder.resume_command)
        if missing:
            message = plural(
                "stopped; {n} run has no result; to resume: {command}",
                "stopped; {n} runs have no result; to resume: {command}",
                missing,
                command=resume_command,
            )
        else:
            message = _("stopped; all runs are finished; to compare them: {command}", command=resume_command)
        console.print(message)
        return None


def train(folder: StudyFolder, study: StudyOptions, output: Output, *, as_json: bool) -> int:
    """Train the runs of a study that have no result, and print its result."""
    result = train_all(folder, study, output)
    if result is None:
        return 130
    failed = sum("error" in row for row in result["rows"])
    if as_json:
        print(dump({"folder": str(folder.path), **folder.read()}, indent=2))
        return 1 if failed else 0
    _print_result(folder)
    if failed:
        print(
            plural(
                "{n} run failed; to try it again: {command}",
                "{n} runs failed; to try them again: {command}",
                failed,
                command=command(*folder.resume_command),
            )
        )
    return 1 if failed else 0


def _print_result(folder: StudyFolder) -> None:
    console = report.tables.console()
    for part in report.study_lines.lines(console, folder.read(), folder.path):
        console.print(part)


def show(args: argparse.Namespace) -> int:
    """Print the result of a study, or the text of one that was not started."""
    options = arguments.read(args, Show)
    path = Path(options.study)
    if not api.training.is_study(path):
        definition, text = api.study.find(options.study, "show")
        if args.json:
            print(dump(definition.to_dict(), indent=2))
        else:
            print(api.study.text_to_show(options.study, text), end="")
        return 0
    folder = api.study.folder(path, trust=options.trust)
    facts = folder.read()
    if args.json:
        print(dump({"folder": str(path), **facts}, indent=2))
        return 0
    if "result" in facts:
        _print_result(folder)
        return 0
    done = len(folder.runs()) - len(folder.missing())
    print(_("study   {question}", question=_(facts["definition"]["question"])))
    print(
        plural(
            "runs    {done} of {n} run is finished",
            "runs    {done} of {n} runs are finished",
            len(folder.runs()),
            done=done,
        )
    )
    print(_("result  none before all runs are finished, because looking early makes chance look like a difference"))
    print(_("next: {command}", command=command(*folder.resume_command)))
    return 0


def list_studies(args: argparse.Namespace) -> int:
    """Print the studies that come with the package, and those that were started."""
    options = arguments.read(args, List)
    presets, started = api.study.presets(), api.study.started(Path(options.runs))
    if args.json:
        print(dump({"presets": presets, "started": started}, indent=2))
        return 0
    console = report.tables.console()
    rows = [[study["name"], study["runs"], study["question"]] for study in presets]
    console.print(report.tables.table([_("study"), _("runs"), _("question")], rows))
    if started:
        rows = [[study["folder"], study["state"], study["question"]] for study in started]
        console.print()
        console.print(report.tables.table([_("started"), _("runs"), _("question")], rows))
    console.print()
    console.print(_("next: {command}", command="classicnets study run STUDY --dry-run"))
    return 0


def _in_file(flag: str) -> str:
    """What a study file has instead of an option of `train`; "" for other options."""
    if flag == "--seed":
        return _("{line}   # in the study file", line="seeds = [3, 4, 5]")
    if flag == "--set":
        return _("{line}   # in [base] or [arms.NAME] of the study file", line="lr = 0.1")
    names = {spelling(f): f.name for f in option_fields(RunSpec)}
    if flag not in names:
        return ""
    return _("{line}   # in [base] or [arms.NAME] of the study file", line=f"{names[flag]} = ...")


ACTIONS = {
    "run": Action("train the arms of a study and compare them", (Run, StudyOptions, Output), run, _in_file),
    "list": Action("list the studies that come with classicnets, and those that were started", (List,), list_studies),
    "show": Action("print the result of a study, or the text of its file", (Show,), show),
    "resume": Action("train the runs of a stopped study that have no result", (Resume, StudyOptions, Output), resume),
}
