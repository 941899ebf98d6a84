"""`classicnets train NET --seeds N`, and `--resume` of such runs."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from classicnets.report import tables

if TYPE_CHECKING:
    from classicnets.study.seeds import SeedsFolder
    from classicnets.training.plan import Plan


def asked_for(args: argparse.Namespace) -> bool:
    """Whether `train` was asked for several runs, or to go on with them; refuses what does not go with that."""
    several = args.seeds is not None or (args.resume is not None and (Path(args.resume) / "seeds.json").is_file())
    if not several and args.side_by_side is not None:
        args.parser.error("--side-by-side is about the runs of --seeds")
    for option in ("seeds", "side_by_side"):
        number = getattr(args, option)
        if number is not None and number < 1:
            args.parser.error(f"--{option.replace('_', '-')} {number}: at least one is needed")
    for option in ("jsonl", "tensorboard"):
        if several and getattr(args, option):
            args.parser.error(f"--{option} shows one run; each of several has its history.jsonl")
    return several


def start(planned: Plan, args: argparse.Namespace) -> int:
    """The seeds from --seed on."""
    from classicnets.study import seeds
    from classicnets.training.session import command_line

    wanted = range(args.seed, args.seed + args.seeds)
    say = tables.console(stderr=True).print
    made = seeds.start(planned, wanted, Path(args.runs), command_line(), say, at_once=args.side_by_side)
    return _follow(made, args)


def resume(args: argparse.Namespace) -> int:
    """Those without results."""
    from classicnets.study.seeds import reopen

    return _follow(reopen(args.resume), args)


def _follow(made: SeedsFolder, args: argparse.Namespace) -> int:
    """Trains what is missing, says what came of all and what to type next; Ctrl-C lets the runs under way save."""
    from classicnets.report.seeds import spread
    from classicnets.report.terminal import SeedsTerminal
    from classicnets.study import seeds

    talk = tables.console(stderr=True)
    face = SeedsTerminal(talk, len(made.missing()))
    try:
        result = seeds.train(made, face, at_once=args.side_by_side, save_seconds=args.save_every)
    except KeyboardInterrupt:
        left = len(made.missing())
        talk.print(f"stopped, {left} without results; to go on: classicnets train --resume {made.path}")
        return 130
    failed = [one for one in result["runs"] if "error" in one]
    if args.json:
        print(json.dumps({"folder": str(made.path), **result}, indent=2))
        return 1 if failed else 0
    whole = f"{result['n']} of {result['of']}" if failed else f"{result['of']}"
    verdict = f": {result['verdict']}" if result["verdict"] else ""
    on = f" on {result['pictures']:,} pictures" if result["pictures"] else ""
    print(f"test accuracy {spread(result['test_accuracy'])}, mean ± sd of {whole} seeds{on}{verdict}")
    print(f"curves {made.curves}   numbers {made.file}   card {made.card}")
    if failed:
        print(f"without results: seed {', '.join(str(one['seed']) for one in failed)}")
        print(f"next: classicnets train --resume {made.path}   tries these again")
        return 1
    print(f"next: classicnets evaluate {next(iter(made.runs().values())).path}")
    return 0
