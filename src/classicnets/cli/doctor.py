"""`classicnets doctor`: what this machine has and lacks."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from classicnets import machine
from classicnets.datasets import sources
from classicnets.datasets.catalogue import DATASETS
from classicnets.report import tables

HELP = "versions, device, memory, write access, where each data set would come from"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """This verb takes none."""


def run(args: argparse.Namespace) -> int:
    """Prints a line a finding; exit code 1 if something is amiss."""
    about = machine.describe()
    about |= machine.torch_facts()
    about["write_access"] = {
        str(folder): machine.can_write(folder) or "yes" for folder in (Path.cwd() / "runs", sources.cache_root())
    }
    about["data"] = {name: sources.would_come_from(d) for name, d in DATASETS.items()}
    amiss = [f"{name} is missing" for name, version in about["versions"].items() if version == "missing"]
    amiss += [f"{folder} cannot be written: {why}" for folder, why in about["write_access"].items() if why != "yes"]
    if args.json:
        print(json.dumps({**about, "amiss": amiss}, indent=2))
        return 1 if amiss else 0
    memory = tables.bytes_text(about["memory_bytes"])
    rows = [
        ["system", f"{about['system']}, {about['processor']}, {about['cores']} cores, {memory} memory"],
        ["versions", ", ".join(f"{name} {version}" for name, version in about["versions"].items())],
        ["device", f"{about['device']} would be used, {about['threads']} threads, {about['cpu_capability']}"],
        *(["write access", f"{folder}: {answer}"] for folder, answer in about["write_access"].items()),
        *(["data", f"{name}: {where}"] for name, where in about["data"].items()),
    ]
    out = tables.console()
    for name, text in rows:
        out.print(f"{name + ':':<14}{text}")
    for line in amiss:
        out.print(f"{'amiss:':<14}{line}")
    out.print("all is well" if not amiss else f"{len(amiss)} thing(s) amiss")
    return 1 if amiss else 0
