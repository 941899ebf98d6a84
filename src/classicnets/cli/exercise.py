"""`classicnets exercise list|show|hint|check`: the exercises of the book, with answers that are checked."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets import api, report
from classicnets.cli import arguments
from classicnets.cli.arguments import Action
from classicnets.files import user_path
from classicnets.options import option, option_words
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import _, command, plural

HELP = "exercises of the book's chapters on LeNet and AlexNet: questions, hints, and answers that are checked"
_ID: dict[str, Any] = {"help": "exercise from `classicnets exercise list`, such as lenet-2a", "metavar": "ID"}


@dataclass(frozen=True, kw_only=True)
class Show:
    """Options of `exercise show`."""

    id: str = option(**_ID)
    solution: bool = option(False, help="show the solution, after two tries", group="output")


@dataclass(frozen=True, kw_only=True)
class Hint:
    """Options of `exercise hint`."""

    id: str = option(**_ID)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Options of `exercise check`."""

    id: str = option(**_ID)
    net: str = option(
        "",
        help="your network as file.py:net, or a run folder, where the exercise asks for one",
        metavar="NET",
        nargs="?",
    )
    answer: Mapping[str, Any] = option(
        dict,
        help="answers, where the exercise asks for numbers, layers or settings",
        group="recipe",
        metavar="KEY=VALUE",
        shown="",
    )
    data: str | None = option(
        None, help="data set", group="data", metavar="DATA", shown="that of the exercise, or of the run"
    )
    limit: int | None = option(
        None, help="number of training images, with --train", group="data", metavar="N", shown="all", minimum=1
    )
    train: bool = option(
        False,
        help="also train both networks with the same seeds, after a forecast; for alexnet-3, measure steps",
        group="run",
    )
    seeds: int = option(3, help="number of runs of each network, with --train", group="run", metavar="N", minimum=2)
    report: str | None = option(
        None,
        help="check every file NAME.py of this folder, in which the network is called net, and print a table",
        group="output",
        metavar="FOLDER",
        shown="",
    )
    time_limit: float = option(
        60.0, help="seconds for each file, with --report", group="limits", metavar="SECONDS", minimum=1
    )


def list_exercises(args: argparse.Namespace) -> int:
    """Print all exercises with their numbers in both editions."""
    exercises = api.exercise.exercises()
    progress = [api.exercise.read_progress(each.id) for each in exercises]
    if args.json:
        rows = [
            {
                "id": each.id,
                "chinese": each.zh,
                "english": each.en,
                "kind": each.kind,
                "title": _(each.title),
                "tries": done.tries,
                "hints": done.hints,
                "solved": done.solved,
            }
            for each, done in zip(exercises, progress, strict=True)
        ]
        print(dump({"exercises": rows}, indent=2, ascii=False))
        return 0
    console = report.tables.console()
    report.exercise.print_list(console, exercises, progress)
    console.print()
    console.print(_("next: {command}", command=command("classicnets", "exercise", "show", exercises[0].id)))
    return 0


def show(args: argparse.Namespace) -> int:
    """Print the question of an exercise, or its solution."""
    options = arguments.read(args, Show)
    found = api.exercise.find(options.id)
    lines = api.exercise.describe(found)
    text = api.exercise.solution(found) if options.solution else ""
    if args.json:
        values = {"id": found.id, "names": found.numbers, "kind": found.kind, "question": _(found.question)}
        print(dump({**values, "text": lines, **({"solution": text} if text else {})}, indent=2, ascii=False))
        return 0
    for line in [*report.exercise.wrapped(text)] if text else lines:
        print(line)
    if not text:
        print()
        print(_("next: {command}", command=api.exercise.next_step(found)))
        print(_("a hint: {command}", command=command("classicnets", "exercise", "hint", found.id)))
    return 0


def hint(args: argparse.Namespace) -> int:
    """Print the next hint."""
    found = api.exercise.find(arguments.read(args, Hint).id)
    text, number = api.exercise.hint(found)
    total = len(found.hints)
    if args.json:
        print(dump({"id": found.id, "hint": text, "number": number, "of": total}, indent=2, ascii=False))
    else:
        print(_("hint {number} of {total}: {hint}", number=number, total=total, hint=text))
    return 0


def check(args: argparse.Namespace) -> int:
    """Check an answer, or a folder of them; the exit code is 1 if something is missing."""
    options = arguments.read(args, Check)
    if not options.train:
        reason = _("nothing is trained without --train")
        retry = command("classicnets", "exercise", "check", options.id, *filter(None, [options.net]), "--train")
        arguments.reject(args, (Check,), {"seeds"}, reason, retry)
    found = api.exercise.find(options.id)
    if options.report is not None:
        return _report(args, options, found)
    retry = command("classicnets", "exercise", "check", options.id, "--report", "FOLDER")
    arguments.reject(args, (Check,), {"time_limit"}, _("it is the limit of each file with --report"), retry)
    result = api.exercise.check(
        found,
        options.net or None,
        options.answer,
        train=options.train,
        seeds=options.seeds,
        limit=options.limit,
        data=options.data,
    )
    print(dump(result.to_dict(), indent=2, ascii=False) if args.json else "\n".join(result.lines()))
    return 1 if result.passed is False else 0


def _report(args: argparse.Namespace, options: Check, found: api.exercise.Exercise) -> int:
    """Check every file of a folder and print the table."""
    retry = command("classicnets", "exercise", "check", options.id, "--report", Path(str(options.report)))
    arguments.reject(args, (Check,), {"net", "answer"}, _("--report checks the files of a folder"), retry)
    names = ("data", "limit", "train", "seeds") if options.train else ("data", "limit")
    given = {name: value for name, value in arguments.given(args, Check).items() if name in names}
    console = report.tables.console(stderr=True)
    students = []
    folder = user_path(str(options.report))
    for student in api.exercise.students_of(found, folder, option_words(given, Check), options.time_limit):
        students.append(student)
        console.print(_("checked {name}", name=student.name))
    right = sum(student.passed is True for student in students)
    if args.json:
        rows = [student.to_dict() for student in students]
        print(dump({"id": found.id, "right": right, "students": rows}, indent=2, ascii=False))
        return 0
    report.exercise.print_students(report.tables.console(), students)
    print()
    print(plural("{right} of {n} file is right", "{right} of {n} files are right", len(students), right=right))
    return 0


ACTIONS = {
    "list": Action("list the exercises with their numbers in both editions", (), list_exercises),
    "show": Action("print the question of an exercise, or its solution after two tries", (Show,), show),
    "hint": Action("print the next hint for an exercise", (Hint,), hint),
    "check": Action("check an answer: a network, or numbers", (Check,), check),
}
