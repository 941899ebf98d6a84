"""`classicnets train NET` and `classicnets train --resume RUN`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classicnets import events, machine
from classicnets.cli import seeds
from classicnets.datasets.types import ON_BAD_IMAGE
from classicnets.errors import UsageError
from classicnets.report import jsonlines, tables

if TYPE_CHECKING:
    from classicnets.report.displays import Display
    from classicnets.training.plan import Plan
    from classicnets.training.session import Training

HELP = "train a net by a recipe, or go on with a run"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The net, the data, the recipe and what to change in it."""
    parser.add_argument("net", nargs="?", metavar="NET", help="a name of `classicnets list`, or file.py:net")
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="a data set, a folder of pictures or of IDX files, or a CSV (default: the recipe's)",
    )
    parser.add_argument("--recipe", metavar="SOURCE", help="default: d2l; fast for a net of your own")
    parser.add_argument(
        "--set",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        default=[],
        help="change the recipe, or (net.activation=relu) the net",
    )
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    parser.add_argument("--seeds", type=int, metavar="N", help="N runs: this seed and those after it; mean and spread")
    parser.add_argument(
        "--side-by-side", type=int, metavar="N", help="so many of the runs at once (default: what is faster, measured)"
    )
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    parser.add_argument(
        "--precision",
        choices=machine.PRECISIONS,
        help="of the arithmetic; auto: bfloat16 where the hardware multiplies it and the net is large (default: auto)",
    )
    parser.add_argument("--threads", type=_threads, metavar="N", help="auto, or so many CPU threads (default: auto)")
    parser.add_argument("--limit", type=int, metavar="N", help="train on the first N pictures of the order")
    parser.add_argument(
        "--weights", metavar="FILE", help="begin with the weights of a file or a run; a new head if need be"
    )
    parser.add_argument("--deterministic", action="store_true", help="refuse algorithms that are not deterministic")
    parser.add_argument(
        "--on-bad-image", choices=ON_BAD_IMAGE, help="what to do where a picture cannot be read (default: fail)"
    )
    parser.add_argument("--loader-threads", type=int, metavar="N", help="prepare batches ahead (default: 0)")
    parser.add_argument(
        "--save-every", type=float, default=300, metavar="SECONDS", help="also within an epoch (default: 300)"
    )
    parser.add_argument("--offline", action="store_true", help="fetch nothing, as with CLASSICNETS_OFFLINE=1")
    parser.add_argument("--runs", default="runs", metavar="FOLDER", help="where run folders go (default: runs)")
    parser.add_argument(
        "--dry-run", action="store_true", help="show the net, the recipe and what the run would take, and stop"
    )
    parser.add_argument("--resume", metavar="RUN", help="go on with a run; takes no NET")
    parser.add_argument("--jsonl", action="store_true", help="print each event and the result as one line of JSON")
    parser.add_argument("--tensorboard", action="store_true", help="also write scalars to RUN/tensorboard")


def run(args: argparse.Namespace) -> int:
    """Trains, says what came of it and what to type next; Ctrl-C saves first."""
    talk = tables.console(stderr=True)
    if args.jsonl and (args.json or args.dry_run):
        args.parser.error("--jsonl prints what happens in a run; it goes with neither --json nor --dry-run")
    if args.tensorboard:
        from classicnets.report.tensorboard import summary_writer

        summary_writer()  # refused before anything is read if the package is missing
    several = seeds.asked_for(args)
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    if args.resume:
        _refuse_changes(args)
        if several:
            return seeds.resume(args)
        from classicnets.training.session import resume

        training = resume(args.resume, talk.print, loader_threads=args.loader_threads, save_seconds=args.save_every)
        talk.print(f"resuming {args.resume} after {_position(training)}")
    else:
        if not args.net:
            args.parser.error("train needs a NET, or --resume RUN")
        from classicnets.training.plan import plan

        planned = plan(
            args.net,
            data=args.data,
            recipe=args.recipe,
            settings=settings(args.set) | ({"precision": args.precision} if args.precision else {}),
            seed=args.seed,
            device=args.device,
            limit=args.limit,
            weights=args.weights,
            deterministic=args.deterministic,
            loader_threads=args.loader_threads or 0,
            on_bad_image=args.on_bad_image or ON_BAD_IMAGE[0],
        )
        if args.dry_run:
            if several:
                talk.print(f"each of {args.seeds} runs, with seeds from {args.seed} on:")
            return _dry_run(planned, Path(args.runs), as_json=args.json)
        if several:
            return seeds.start(planned, args)
        from classicnets.training.session import command_line, start

        training = start(planned, Path(args.runs), command_line(), talk.print, save_seconds=args.save_every)
    return _follow(training, args)


def _follow(training: Training, args: argparse.Namespace) -> int:
    from classicnets.api import follow, tensorboard_display
    from classicnets.report.terminal import Terminal

    talk = tables.console(stderr=True)
    for line in training.summary():
        talk.print(line)
    where = training.folder.path
    faces: list[Display] = [Terminal(talk, training.state.epoch)]
    if args.jsonl:
        faces.append(jsonlines.JsonLines(sys.stdout))
    if args.tensorboard:
        faces.append(tensorboard_display(training))
        talk.print(f"watch   tensorboard --logdir {where / 'tensorboard'}")
    try:
        done = follow(training, *faces)
    except KeyboardInterrupt:
        talk.print(f"stopped after {_position(training)}; to go on: classicnets train --resume {where}")
        return 130
    result: dict[str, Any] = done.facts["result"]
    if args.jsonl:
        print(events.line("result", {"run": str(where), **result}), end="")
        return 0
    if args.json:
        print(json.dumps({"run": str(where), **result}, indent=2))
        return 0
    verdict = f": {result['verdict']}" if result["verdict"] else ""
    print(f"test accuracy {result['test_accuracy']:.4f} on {result['n']:,} pictures ({result['weights']}){verdict}")
    print(f"curves {training.folder.curves}   pictures {training.folder.contact_sheet}   card {where / 'card.md'}")
    print(f"next: classicnets evaluate {where}")
    print(f"      classicnets predict {where} PICTURE.png")
    return 0


def _position(training: Training) -> str:
    state = training.state
    return f"epoch {state.epoch} of {training.plan.recipe.epochs}" + (f", step {state.step}" if state.step else "")


def _dry_run(planned: Plan, runs: Path, *, as_json: bool) -> int:
    from classicnets.forecast.forecast import forecast

    if as_json:
        print(json.dumps({**planned.to_dict(), "forecast": forecast(planned, runs).to_dict()}, indent=2))
        return 0
    out = tables.console()
    for line in planned.lines():
        out.print(line)
    for line in forecast(planned, runs).lines():
        out.print(line)
    recipe = planned.recipe.to_dict()
    out.print("")
    rows = [[key, _text(recipe[key]), where] for key, where in planned.setting_sources.items()]
    rows += [[f"net.{key}", _text(value), "--set"] for key, value in planned.net_spec.variation.items()]
    out.print(tables.table(["setting", "value", "from"], rows))
    out.print("\nnext: the same without --dry-run; --set KEY=VALUE changes a setting")
    return 0


def _text(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _threads(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: must be auto, or a whole number from 1 on")
    return int(text)


def settings(pairs: list[str]) -> dict[str, str]:
    """KEY=VALUE pairs as typed after --set. Raises UsageError CN204 for one without a value."""
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(
                "CN204", f"--set {pair} has no value", why="settings are KEY=VALUE; NET comes before --set",
                hint=f"--set {pair}=VALUE",
            )  # fmt: skip
    return dict(pair.split("=", 1) for pair in pairs)


def _refuse_changes(args: argparse.Namespace) -> None:
    """A resumed run goes on as it was begun."""
    fixed = ["data", "recipe", "set", "precision", "threads", "limit", "weights"]
    fixed += ["seed", "seeds", "deterministic", "on_bad_image"]
    changed = [f"--{name.replace('_', '-')}" for name in fixed if getattr(args, name)]
    if args.net:
        changed.insert(0, args.net)
    if changed:
        raise UsageError(
            "CN208",
            f"--resume goes on with a run as it was begun and takes no {', '.join(changed)}",
            where=args.resume,
            hint=f"classicnets train --resume {args.resume}",
        )
