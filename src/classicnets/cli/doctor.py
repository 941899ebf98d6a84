"""`classicnets doctor`: versions, devices and permissions on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from classicnets import api, report
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import _, byte_count, labeled, pad, plural

HELP = "check versions, device, memory, write access and the sources of the data sets"
OPTIONS: tuple[type, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Print one line for each fact; the exit code is 1 if there is a problem."""
    facts = api.data.describe_machine([Path.cwd() / "runs"])
    problems = [
        _("{package} is missing", package=name) for name, version in facts["versions"].items() if version == "missing"
    ]
    problems += [
        _("{folder} cannot be written: {reason}", folder=folder, reason=reason)
        for folder, reason in facts["write_access"].items()
        if reason != "yes"
    ]
    if args.json:
        print(dump({**facts, "amiss": problems}, indent=2))
        return 1 if problems else 0
    console = report.tables.console()
    for name, value in [*_rows(facts), *((_("problem"), problem) for problem in problems)]:
        console.print(f"{pad(_('{label}:', label=name), 14)}{value}")
    if problems:
        console.print(plural("{n} problem", "{n} problems", len(problems)))
    else:
        console.print(_("no problems"))
    return 1 if problems else 0


def _rows(facts: dict[str, Any]) -> list[tuple[str, str]]:
    system = _(
        "{system}, {processor}, {cores} cores, {memory} memory",
        system=facts["system"],
        processor=facts["processor"],
        cores=facts["cores"],
        memory=byte_count(facts["memory_bytes"]),
    )
    device = _(
        "{device} by default, {threads} threads, {capability}",
        device=facts["device"],
        threads=facts["threads"],
        capability=facts["cpu_capability"],
    )
    return [
        (_("system"), system),
        (_("versions"), ", ".join(f"{name} {version}" for name, version in facts["versions"].items())),
        (_("device"), device),
        *((_("write access"), labeled(folder, _(answer))) for folder, answer in facts["write_access"].items()),
        *((_("data"), labeled(name, source)) for name, source in facts["data"].items()),
    ]
