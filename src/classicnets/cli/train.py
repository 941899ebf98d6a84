"""`classicnets train NET`, `--seeds N` and `--resume RUN`."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, events, machine, report
from classicnets.cli import arguments
from classicnets.errors import UsageError
from classicnets.spec import OFFLINE, Output, RunSpec, Study, about, option
from classicnets.text import command

if TYPE_CHECKING:
    from classicnets.api.training import Plan, SeedsFolder, Session
    from classicnets.report.displays import Display

HELP = "train a network by a recipe, or resume a run"


@dataclass(frozen=True, kw_only=True)
class Train:
    """What the command does with a spec, beside training one run."""

    resume: str | None = option(None, help="resume a run; takes no NET", group="run", metavar="RUN", shown="")
    dry_run: bool = option(
        False, help="show the network, the recipe and what the run would take, and stop", group="run"
    )
    offline: bool = option(False, **OFFLINE)
    jsonl: bool = option(False, help="print each event and the result as one line of JSON", group="output")


OPTIONS = (RunSpec, Study, Output, Train)


def run(args: argparse.Namespace) -> int:
    """Trains, prints the result and what to type next; Ctrl-C saves first."""
    asked, study, output = arguments.read(args, Train), arguments.read(args, Study), arguments.read(args, Output)
    several = _several(args, asked, study)
    if asked.jsonl and (args.json or asked.dry_run):
        args.parser.error("--jsonl prints what happens in a run; it goes with neither --json nor --dry-run")
    if several and (asked.jsonl or output.tensorboard):
        option_name = "--jsonl" if asked.jsonl else "--tensorboard"
        args.parser.error(f"{option_name} shows one run; each of several has its history.jsonl")
    if output.tensorboard:
        report.tensorboard.summary_writer()  # refused before anything is read if the package is missing
    talk = report.tables.console(stderr=True)
    if asked.resume is not None:
        _refuse_changes(args, asked.resume)
        if several:
            return _follow_seeds(api.training.reopen_seeds(asked.resume), study, output, as_json=args.json)
        threads = arguments.given(args, RunSpec).get("loader_threads")
        session = api.training.resume_session(asked.resume, output, talk.print, loader_threads=threads)
        talk.print(f"resuming {asked.resume} after {session.position}")
        return _follow(session, asked, output, as_json=args.json)
    spec = arguments.read(args, RunSpec)
    if not spec.net:
        args.parser.error("train needs a NET, or --resume RUN")
    machine.set_threads(spec.threads)
    planned = api.training.plan(spec)
    if asked.dry_run:
        if several:
            talk.print(f"each of {study.seeds} runs, with seeds from {spec.seed} on:")
        return _dry_run(planned, output, as_json=args.json)
    if several:
        made = api.training.start_seeds(planned, study, output, talk.print)
        return _follow_seeds(made, study, output, as_json=args.json)
    return _follow(api.training.start(planned, output, talk.print), asked, output, as_json=args.json)


def _several(args: argparse.Namespace, asked: Train, study: Study) -> bool:
    """Whether several runs are meant; refuses what does not go with one, or with several."""
    several = study.seeds is not None or (asked.resume is not None and (Path(asked.resume) / "seeds.json").is_file())
    if not several and study.parallel_runs is not None:
        args.parser.error("--parallel-runs is about the runs of --seeds")
    for f in fields(Study):
        number = getattr(study, f.name)
        if number is not None and number < 1:
            args.parser.error(f"{arguments.flag(f)} {number}: at least one is needed")
    return several


def _refuse_changes(args: argparse.Namespace, resumed: str) -> None:
    """A resumed run goes on as it was begun."""
    changed: list[str] = []
    for f in [*fields(RunSpec), *(f for f in fields(Study) if f.name == "seeds")]:
        if hasattr(args, f.name) and not about(f).resumes:
            value = getattr(args, f.name)
            if f.name == "net":
                changed.insert(0, value)
            elif value != f.default:
                changed.append(arguments.flag(f))
    if changed:
        raise UsageError(
            "CN208",
            f"--resume goes on with a run as it was begun and takes no {', '.join(changed)}",
            where=resumed,
            hint=command("classicnets", "train", "--resume", resumed),
        )


def _follow(session: Session, asked: Train, output: Output, *, as_json: bool) -> int:
    talk = report.tables.console(stderr=True)
    for line in session.summary():
        talk.print(line)
    where = session.folder.path
    displays: list[Display] = [report.terminal.Terminal(talk, session.state.epoch)]
    if asked.jsonl:
        displays.append(report.jsonlines.JsonLines(sys.stdout))
    if output.tensorboard:
        displays.append(api.training.attach_tensorboard(session))
        talk.print(f"watch   {command('tensorboard', '--logdir', where / 'tensorboard')}")
    try:
        done = api.training.follow(session, *displays)
    except KeyboardInterrupt:
        resuming = command("classicnets", "train", "--resume", where)
        talk.print(f"stopped after {session.position}; to go on: {resuming}")
        return 130
    result: dict[str, Any] = done.facts["result"]
    if asked.jsonl:
        print(events.line("result", {"run": str(where), **result}), end="")
        return 0
    if as_json:
        print(json.dumps({"run": str(where), **result}, indent=2))
        return 0
    folder = session.folder
    verdict = f": {result['verdict']}" if result["verdict"] else ""
    print(f"test accuracy {result['test_accuracy']:.4f} on {result['n']:,} images ({result['weights']}){verdict}")
    print(f"curves {folder.curves}   images {folder.contact_sheet}   card {where / 'card.md'}")
    print(f"next: {command('classicnets', 'evaluate', where)}")
    print(f"      {command('classicnets', 'predict', where, 'IMAGE.png')}")
    return 0


def _follow_seeds(made: SeedsFolder, study: Study, output: Output, *, as_json: bool) -> int:
    """Trains what is missing, prints the statistics and what to type next; at Ctrl-C the runs under way save."""
    talk = report.tables.console(stderr=True)
    display = report.terminal.SeedsTerminal(talk, len(made.missing()))
    resuming = command("classicnets", "train", "--resume", made.path)
    try:
        result = api.training.follow_seeds(made, display, output, at_once=study.parallel_runs)
    except KeyboardInterrupt:
        left = len(made.missing())
        talk.print(f"stopped, {left} without results; to go on: {resuming}")
        return 130
    failed = [one for one in result["runs"] if "error" in one]
    if as_json:
        print(json.dumps({"folder": str(made.path), **result}, indent=2))
        return 1 if failed else 0
    whole = f"{result['n']} of {result['of']}" if failed else f"{result['of']}"
    verdict = f": {result['verdict']}" if result["verdict"] else ""
    on = f" on {result['pictures']:,} images" if result["pictures"] else ""
    accuracy = api.models.spread(result["test_accuracy"])
    print(f"test accuracy {accuracy}, mean ± sd of {whole} seeds{on}{verdict}")
    print(f"curves {made.curves}   numbers {made.file}   card {made.card}")
    if failed:
        print(f"without results: seed {', '.join(str(one['seed']) for one in failed)}")
        print(f"next: {resuming}   tries these again")
        return 1
    print(f"next: {command('classicnets', 'evaluate', next(iter(made.runs().values())).path)}")
    return 0


def _dry_run(planned: Plan, output: Output, *, as_json: bool) -> int:
    forecast = api.training.forecast(planned, output)
    if as_json:
        print(json.dumps({**planned.to_dict(), "forecast": forecast.to_dict()}, indent=2))
        return 0
    out = report.tables.console()
    for line in (*planned.lines(), *forecast.lines()):
        out.print(line)
    out.print("")
    rows = [[key, _text(getattr(planned.recipe, key)), where] for key, where in planned.setting_sources.items()]
    rows += [[f"net.{key}", _text(value), "--set"] for key, value in planned.net_spec.variation.items()]
    out.print(report.tables.table(["setting", "value", "from"], rows))
    out.print("\nnext: the same without --dry-run; --set KEY=VALUE changes a setting")
    return 0


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
