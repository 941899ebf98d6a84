"""The run of the original network beside a run whose layers were replaced: finding it, and what both results say."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from classicnets.errors import ClassicnetsError
from classicnets.runs.folder import RunFolder
from classicnets.runs.net_spec import NetSpec
from classicnets.studies import run_settings
from classicnets.studies.compared_runs import MEASURE, ComparedRuns
from classicnets.studies.folder import StudyFolder, is_study
from classicnets.text import _, clauses


def first_facts(path: Path) -> dict[str, Any]:
    """Return the facts of the first finished run of a run folder or of several seeds; {} if there is none."""
    runs = StudyFolder(path).networks().values() if is_study(path) else [RunFolder(path)]
    for run in runs:
        if run.path.is_dir() and "result" in (facts := run.read()):
            return facts
    return {}


def seed_count(path: Path) -> int | None:
    """Return the number of seeds in a folder of several; None for a run folder."""
    return len(StudyFolder(path).runs()) if is_study(path) else None


def find(path: Path, facts: dict[str, Any]) -> Path | None:
    """Return the folder beside `path` with the same training of the original network; None if there is none.

    Args:
        path: a run folder, or a folder of several seeds; the other one is of the same kind.
        facts: those of its first run. A run with the same seed is preferred, and then the latest one.
    """
    original = replace(NetSpec(**facts["net"]), variation={})
    wanted = run_settings.identity({**facts, "net": original.to_dict()}, 0)
    several = is_study(path)
    candidates = []
    for folder in _named_like(original, path.parent):
        if is_study(folder) != several:
            continue
        try:
            other = first_facts(folder)
            if other and run_settings.identity(other, 0) == wanted:
                candidates.append((other["seed"] == facts["seed"], other["finished_at"], folder))
        except (ClassicnetsError, KeyError, TypeError):  # a folder that lies there by chance, or is damaged
            continue
    return max(candidates)[2] if candidates else None


def line(compared: ComparedRuns) -> str:
    """Return what a comparison says of the original network, its first side, and the changed one, in one line."""
    original, changed = compared.sides
    if len(original.runs) > 1 or len(changed.runs) > 1 or compared.guessing:
        return clauses(compared.verdicts[:1])
    here, there = (compared.statistics[side.label][MEASURE]["mean"] for side in (changed, original))
    return _(
        "against {original} in {folder} (seed {seed}, {there:.4f}): {points:+.2f} points; one run each says nothing"
        " about chance",
        original=original.label,
        folder=original.first.folder.path,
        seed=original.first.seed,
        there=there,
        points=100 * (here - there),
    )


def _named_like(network: NetSpec, runs: Path) -> Iterator[Path]:
    """Folders in `runs` that are named like the runs of a network."""
    for folder in sorted(runs.glob(f"{glob.escape(network.label)}-*")):
        if folder.is_dir() and ((folder / "run.json").is_file() or is_study(folder)):
            yield folder
