"""`classicnets train NET`, `--seeds N` and `--resume RUN`."""

from __future__ import annotations

import argparse
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import api, events, machine, report
from classicnets.cli import arguments, process
from classicnets.cli import study as study_command
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.options import about, option, spelling
from classicnets.report.output import print
from classicnets.spec import OFFLINE, Output, Processes, RunSpec, StudyOptions
from classicnets.strict_json import dump
from classicnets.text import _, again, command

if TYPE_CHECKING:
    from classicnets.api.cost import Choice
    from classicnets.api.parallel import World
    from classicnets.api.training import Plan, RunFolder, Session, StudyFolder
    from classicnets.report.displays import Display

HELP = "train a network with a recipe, or resume a run"


@dataclass(frozen=True, kw_only=True)
class Train:
    """Options of the command that do not belong to a RunSpec."""

    resume: str | None = option(
        None, help="resume an interrupted run, instead of NET", group="run", metavar="RUN", shown=""
    )
    dry_run: bool = option(
        False, help="only show the network, the recipe, and the estimated time, memory and disk use", group="run"
    )
    gpu: str | None = option(
        None,
        help="with --dry-run and --processes: predict the time on GPUs of this kind, such as h100",
        group="processes",
        metavar="NAME",
        shown="this machine",
    )
    link: str | None = option(
        None,
        help="with --dry-run and --processes: predict the time with this network between machines, such as 10Gbit",
        group="processes",
        metavar="RATE",
        shown="",
    )
    offline: bool = option(False, **OFFLINE)
    jsonl: bool = option(False, help="print each event and the result as one line of JSON", group="output")


OPTIONS = (RunSpec, StudyOptions, Processes, Output, Train)


def run(args: argparse.Namespace) -> int:
    """Train, print the result and the next commands; at Ctrl-C, save a checkpoint first."""
    options, study = arguments.read(args, Train), arguments.read(args, StudyOptions)
    output = arguments.read(args, Output)
    processes = arguments.read(args, Processes)
    many_runs = _has_many_runs(args, options, study)
    is_shared = process.is_one_of_several()
    _check_processes(args, processes, is_shared=is_shared, many_runs=many_runs, resumes=bool(options.resume))
    if options.jsonl and (args.json or options.dry_run):
        args.parser.error(_("--jsonl cannot be combined with --json or --dry-run"))
    if many_runs and (options.jsonl or output.tensorboard):
        flag = "--jsonl" if options.jsonl else "--tensorboard"
        args.parser.error(_("{flag} shows one run only; each of several runs has a history.jsonl", flag=flag))
    if output.tensorboard:
        report.tensorboard.summary_writer()  # if the package is missing, this fails before any data is read
    console = report.tables.console(stderr=True)
    if options.resume is not None:
        _reject_changes(args, options.resume, many_runs=many_runs)
        given = arguments.given(args, RunSpec)
        data, threads = given.get("data"), given.get("loader_threads")
        if many_runs:
            reopened = api.training.reopen_study(options.resume, data, trust=output.trust)
            if not reopened.is_of_one_arm:
                return study_command.train(reopened, study, output, as_json=args.json)
            return _train_seeds(reopened, study, output, as_json=args.json)
        if is_shared:
            return _train_shared(args, options, output, processes)
        if (processes.processes or 1) > 1:
            api.cost.check_run(options.resume, processes.processes or 1, trust=output.trust)
        session = api.training.resume_session(options.resume, output, console.print, data=data, loader_threads=threads)
        if (processes.processes or 1) > 1:
            run = _leave_to_others(session)
            del session  # each process has images and a network of its own
            return _launch(args, run, processes)
        console.print(_("resuming {run} after {position}", run=options.resume, position=session.position))
        return _train(session, options, output, as_json=args.json)
    _check_order(args)
    _check_prediction(args, options)
    spec = arguments.read(args, RunSpec)
    if not spec.net:
        args.parser.error(_("train needs a NET, or --resume RUN"))
    if is_shared and not options.dry_run:
        return _train_shared(args, options, output, processes)
    machine.set_threads(spec.threads)
    plan = api.training.plan(spec, trust=output.trust)
    if options.dry_run:
        if many_runs:
            console.print(_("each of {n} runs, with seeds {seed} and following:", n=study.seeds, seed=spec.seed))
        return _dry_run(plan, output, options, processes.processes or 1, as_json=args.json)
    if many_runs:
        folder = api.training.start_seeds(plan, study, output, console.print)
        return _train_seeds(folder, study, output, as_json=args.json)
    if (processes.processes or 1) > 1:
        api.cost.check(plan, processes.processes or 1)
        run = _leave_to_others(api.training.start(plan, output, console.print))
        del plan
        return _launch(args, run, processes)
    return _train(api.training.start(plan, output, console.print), options, output, as_json=args.json)


def _check_processes(
    args: argparse.Namespace, options: Processes, *, is_shared: bool, many_runs: bool, resumes: bool
) -> None:
    """Raise UsageError CN206 for options of several processes that contradict others."""
    if many_runs and (is_shared or options.processes is not None):
        unused = ("local_batch_norm", *(f.name for f in fields(Processes)))
        raise UsageError(
            "CN206",
            _("several seeds are several runs, each with a process of its own; several processes share one"),
            where=args.parser.prog,
            hint=again("classicnets", "train", **dict.fromkeys(unused)),
        )
    if is_shared and options.processes is not None:
        args.parser.error(_("torchrun has started the processes, so --processes has no effect"))
    hint = again("classicnets", "train", processes=2)
    if is_shared:
        reason = _("torchrun restarts the processes; its own option has the same name")
        arguments.reject(args, (Processes,), {"max_restarts"}, reason, hint)
    elif (options.processes or 1) == 1:
        without_effect = {"max_restarts", "process_timeout"} | (set() if resumes else {"local_batch_norm"})
        arguments.reject(args, (RunSpec, Processes), without_effect, _("there is only one process"), hint)


def _leave_to_others(session: Session) -> Path:
    """Let other processes resume the run of a session, and return its folder."""
    session.lock.release()
    return session.folder.path


def _launch(args: argparse.Namespace, run: Path, options: Processes) -> int:
    """Train a run in several processes of this machine, which resume its folder; return the exit code."""
    machine.release_memory()  # the processes have images and networks of their own
    count = options.processes or 1
    kept = (*fields(Output), *fields(Train), *fields(arguments.Common))
    given = [f.name for kind in OPTIONS for f in fields(kind) if f not in kept and not about(f).resumes]
    changes = {**dict.fromkeys([*given, "runs"]), "process_timeout": options.process_timeout}
    words = arguments.words(args, **changes, resume=str(run), trust=True)
    report.tables.console(stderr=True).print(_("starting {n} processes", n=count))
    with report.output.inherited():
        return api.parallel.launch(["train", *words], count, options.max_restarts, run)


def _train_shared(args: argparse.Namespace, options: Train, output: Output, processes: Processes) -> int:
    """Train in a process that torchrun has started, together with the others; only the first prints."""
    process.endings.append(api.parallel.leave)
    console = report.tables.console(stderr=True)
    given = arguments.given(args, RunSpec)
    spec = arguments.read(args, RunSpec)

    def say_nothing(_message: str) -> None:
        """Leave out the notes on the data: whoever started the run has seen them."""

    def start() -> Session:
        machine.set_threads(spec.threads)
        return api.training.start(api.training.plan(spec, trust=output.trust), output, console.print)

    try:
        with api.parallel.joined(processes.process_timeout) as world:
            process.stops_quietly = False  # the first process to stop says so
            with api.parallel.session(
                world,
                None if options.resume is None else Path(options.resume),
                start,
                [args.command, *arguments.words(args)],
                output,
                say_nothing,
                data=given.get("data"),
                loader_threads=given.get("loader_threads"),
            ) as session:
                return _train_part(world, session, options, output, as_json=args.json)
    except ClassicnetsError:
        process.signals.clear()  # the launcher sends a signal to the processes that remain when one has failed
        raise


def _train_part(world: World, session: Session | None, options: Train, output: Output, *, as_json: bool) -> int:
    """Train in one of several processes; `session` is None if the run is complete after a restart."""
    if session is None:
        if world.rank == 0 and not world.has_finished:
            _show_result(Path(world.failures.folder), options, as_json=as_json)
        return 0
    if world.rank == 0:
        if session.state.epoch or session.state.step:
            report.tables.console(stderr=True).print(
                _("resuming {run} after {position}", run=session.folder.path, position=session.position)
            )
        return _train(session, options, output, as_json=as_json, stopping=world.failures.interruptible())
    try:
        with world.failures.interruptible():
            api.parallel.take_part(session)
    except KeyboardInterrupt:
        return 130
    return 0


def _has_many_runs(args: argparse.Namespace, options: Train, study: StudyOptions) -> bool:
    """Whether the command trains several seeds. Raises UsageError CN206 for options that contradict this."""
    resumes_seeds = options.resume is not None and api.training.is_study(Path(options.resume))
    many_runs = study.seeds is not None or resumes_seeds
    if not many_runs and (study.parallel_runs is not None or study.ray is not None):
        flag = "--ray" if study.parallel_runs is None else "--parallel-runs"
        args.parser.error(_("{flag} needs --seeds", flag=flag))
    return many_runs


def _reject_changes(args: argparse.Namespace, run: str, *, many_runs: bool) -> None:
    """Raise UsageError CN208 for options that a resumed run cannot change, CN206 for those without an effect."""
    fixed = [f for f in fields(StudyOptions) if f.name == "seeds"]
    kept = [f for f in (*fields(RunSpec), *fixed) if not about(f).resumes]
    given = [f for f in kept if hasattr(args, f.name)]
    changes = [args.net if f.name == "net" else spelling(f) for f in given]
    resume = ("classicnets", "train", "--resume", Path(run))
    if changes:
        raise UsageError(
            "CN208",
            _("--resume takes no {options}: a resumed run keeps its settings", options=", ".join(changes)),
            where=run,
            hint=again(*resume, **dict.fromkeys(f.name for f in given)),
        )
    unused = {"runs", "dry_run"} | ({"loader_threads"} if many_runs else set())
    reason = _("a resumed run stays in its folder, as it was started")
    arguments.reject(args, OPTIONS, unused, reason, again(*resume, **dict.fromkeys(unused)))


def _check_prediction(args: argparse.Namespace, options: Train) -> None:
    """Raise UsageError CN206 for options of a prediction without one: it needs --dry-run, and several processes."""
    given = {"gpu": options.gpu, "link": options.link}
    hint = again("classicnets", "train", dry_run=True, processes=arguments.read(args, Processes).processes or 8)
    if not options.dry_run:
        arguments.reject(args, (Train,), given.keys(), _("it is for predictions, which --dry-run prints"), hint)
    elif (arguments.read(args, Processes).processes or 1) == 1:
        reason = _("it is for predictions of several processes, and there is one")
        arguments.reject(args, (Train,), given.keys(), reason, hint)


def _check_order(args: argparse.Namespace) -> None:
    """Raise UsageError CN206 if the only word that may be NET stands among the settings, and so belongs to --set."""
    pairs = list(getattr(args, "settings", ()))
    words = [pair for pair in pairs if "=" not in pair]
    if words and not hasattr(args, "net"):
        pairs.remove(words[0])
        raise UsageError(
            "CN206",
            _("train needs a NET, and it comes before --set"),
            where=args.parser.prog,
            why=_("--set takes all words that follow it, so {word} is a setting without a value", word=words[0]),
            hint=again("classicnets", "train", net=words[0], settings=pairs or None),
        )


def _train(
    session: Session,
    options: Train,
    output: Output,
    *,
    as_json: bool,
    stopping: AbstractContextManager[None] = nullcontext(),  # noqa: B008 - it has no state
) -> int:
    console = report.tables.console(stderr=True)
    for line in session.summary():
        console.print(line)
    path = session.folder.path
    displays: list[Display] = [report.terminal.Terminal(console, session.state.epoch)]
    if options.jsonl:
        displays.append(report.jsonlines.JsonLines(report.output.stream()))
    if output.tensorboard:
        displays.append(api.training.attach_tensorboard(session))
        console.print(_("watch   {command}", command=command("tensorboard", "--logdir", path / "tensorboard")))
    try:
        with stopping:
            api.training.follow(session, *displays)
    except KeyboardInterrupt:
        resume = command("classicnets", "train", "--resume", path)
        console.print(_("stopped after {position}; to resume: {command}", position=session.position, command=resume))
        return 130
    _show_result(path, options, as_json=as_json)
    return 0


def _show_result(path: Path, options: Train, *, as_json: bool) -> None:
    run = api.training.RunFolder(path)
    result: dict[str, Any] = run.read()["result"]
    if options.jsonl:
        print(events.line("result", {"run": str(path), **result}), end="")
    elif as_json:
        print(dump({"run": str(path), **result}, indent=2))
    else:
        _print_result(run, result)


def _print_result(folder: RunFolder, result: dict[str, Any]) -> None:
    accuracy = _(
        "test accuracy {accuracy:.4f} on {n:,} images ({weights})",
        accuracy=result["test_accuracy"],
        n=result["n"],
        weights=result["weights"],
    )
    print(_with_verdict(accuracy, result["verdict"]))
    if lost := report.lines.left_out(result.get("left_out", {})):
        print(lost)
    for line in api.compare.with_original(folder.path):
        print(line)
    print(
        _(
            "curves {curves}   images {images}   card {card}",
            curves=folder.curves,
            images=folder.contact_sheet,
            card=folder.path / "card.md",
        )
    )
    print(_("next: {command}", command=command("classicnets", "evaluate", folder.path)))
    print(_("      {command}", command=command("classicnets", "predict", folder.path, "IMAGE.png")))


def _train_seeds(folder: StudyFolder, study: StudyOptions, output: Output, *, as_json: bool) -> int:
    """Train the unfinished runs, print the statistics and the next command; at Ctrl-C, the active runs are saved."""
    result = study_command.train_all(folder, study, output)
    if result is None:
        return 130
    failed = [str(row["seed"]) for row in result["runs"] if "error" in row]
    if as_json:
        print(dump({"folder": str(folder.path), **result}, indent=2))
        return 1 if failed else 0
    _print_seeds_result(folder, result)
    if failed:
        print(_("seeds without a result: {seeds}", seeds=", ".join(failed)))
        print(_("next: {command}   tries these again", command=command(*folder.resume_command)))
        return 1
    run = next(iter(folder.runs().values()))
    print(_("next: {command}", command=command("classicnets", "evaluate", run.path)))
    return 0


def _print_seeds_result(folder: StudyFolder, result: dict[str, Any]) -> None:
    values = {
        "accuracy": api.models.spread(result["test_accuracy"]),
        "n": result["n"],
        "of": result["of"],
        "images": result["pictures"],
    }
    if result["n"] == 0:
        accuracy = _("no test accuracy, because all {of} seeds failed", **values)
    elif result["n"] < result["of"]:
        accuracy = _("test accuracy {accuracy}, mean ± sd of {n} of {of} seeds on {images:,} images", **values)
    else:
        accuracy = _("test accuracy {accuracy}, mean ± sd of {n} seeds on {images:,} images", **values)
    print(_with_verdict(accuracy, result["verdict"]))
    for line in api.compare.with_original(folder.path) if result["n"] else []:
        print(line)
    print(
        _(
            "curves {curves}   numbers {numbers}   card {card}",
            curves=folder.curves,
            numbers=folder.file,
            card=folder.card,
        )
    )


def _with_verdict(accuracy: str, verdict: str) -> str:
    return _("{accuracy}: {verdict}", accuracy=accuracy, verdict=verdict) if verdict else accuracy


def _dry_run(plan: Plan, output: Output, options: Train, processes: int, *, as_json: bool) -> int:
    forecast = None if options.gpu else api.training.forecast(plan, output)
    shared: Choice | None = None
    if processes > 1:
        shared = api.cost.predict(plan, processes, forecast, gpu=options.gpu or "", link=options.link or "")
    if as_json:
        estimates = {"forecast": forecast, "processes": shared}
        given = {name: estimate.to_dict() for name, estimate in estimates.items() if estimate is not None}
        print(dump({**plan.to_dict(), **given}, indent=2))
        return 0
    console = report.tables.console()
    remarks = [line for remark in plan.check.remarks for line in report.lines.advice_lines(remark)]
    alone = forecast.lines(is_shared=shared is not None) if forecast is not None else []
    for line in (*plan.lines(of_this_machine=not options.gpu), *remarks, *alone, *(shared.lines() if shared else [])):
        console.print(line)
    if shared is not None:
        start = again("classicnets", "train", **dict.fromkeys(["dry_run", "gpu", "link"]))
        if options.gpu:
            console.print(_("next, with such GPUs: {command}", command=start))
        else:
            console.print(_("next: {command}", command=start))
        return 0
    sources = {"recipe": _("recipe"), "machine": _("machine"), "network": _("network")}
    rows = [
        [key, _value_text(getattr(plan.recipe, key)), sources.get(source, source)]
        for key, source in plan.setting_sources.items()
    ]
    rows += [[f"net.{key}", _value_text(value), "--set"] for key, value in plan.net_spec.variation.items()]
    console.print()
    console.print(report.tables.table([_("setting"), _("value"), _("from")], rows))
    console.print()
    console.print(_("next: the same command without --dry-run; change a setting with --set KEY=VALUE"))
    return 0


def _value_text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
