"""`classicnets doctor`: what this machine has and lacks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from classicnets import api, report
from classicnets.text import byte_count

HELP = "versions, device, memory, write access, where each data set would come from"
OPTIONS: tuple[type, ...] = ()


def run(args: argparse.Namespace) -> int:
    """Prints a line for each fact; exit code 1 if something is amiss."""
    about = api.data.describe_machine([Path.cwd() / "runs"])
    amiss = [f"{name} is missing" for name, version in about["versions"].items() if version == "missing"]
    amiss += [f"{folder} cannot be written: {why}" for folder, why in about["write_access"].items() if why != "yes"]
    if args.json:
        print(json.dumps({**about, "amiss": amiss}, indent=2))
        return 1 if amiss else 0
    memory = byte_count(about["memory_bytes"])
    rows = [
        ["system", f"{about['system']}, {about['processor']}, {about['cores']} cores, {memory} memory"],
        ["versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())],
        ["device", f"{about['device']} would be used, {about['threads']} threads, {about['cpu_capability']}"],
        *(["write access", f"{folder}: {answer}"] for folder, answer in about["write_access"].items()),
        *(["data", f"{name}: {where}"] for name, where in about["data"].items()),
    ]
    out = report.tables.console()
    for name, text in rows:
        out.print(f"{name + ':':<14}{text}")
    for line in amiss:
        out.print(f"{'amiss:':<14}{line}")
    out.print("all is well" if not amiss else f"{len(amiss)} thing(s) amiss")
    return 1 if amiss else 0
