"""The folder of a study: its facts, and ordinary run folders.

runs/study-pooling-1/                    runs/lenet_d2l-fashion_mnist-seeds-1/   (classicnets train --seeds)
  study.json       the study, how its runs were trained, and its result
  study.toml       the study as it was started, if it was a file
  report.md ...    the reports                 curves.png, card.md
  average/seed-0   run folders                 seed-0
  max/seed-0 ...                               seed-1 ...
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from torch import nn

from classicnets import checksum
from classicnets.files import write_json
from classicnets.runs.folder import RunFolder
from classicnets.studies import formats
from classicnets.studies.classic import ClassicRun

Key = tuple[str, int]  # of a run: its arm and its seed
StudyRun: TypeAlias = RunFolder | ClassicRun
ONLY_ARM = ""  # of `classicnets train --seeds`, whose run folders are not in a folder of their arm
_OLD_FILE = "seeds.json"  # of version 0.1


@dataclass(frozen=True)
class StudyFolder:
    """The folder of a study. `nets` has the modules whose copies are trained, by arm, if they were passed in Python.

    With `trust`, code of the runs may be run that was not run on this machine before, and changed files are used.
    """

    path: Path
    nets: Mapping[str, nn.Module] = field(default_factory=dict)
    trust: bool = False

    @property
    def file(self) -> Path:
        """The file with all facts: study.json, or seeds.json in a folder of version 0.1."""
        file = self.path / "study.json"
        return file if file.is_file() or not (self.path / _OLD_FILE).is_file() else self.path / _OLD_FILE

    @property
    def toml(self) -> Path:
        """The study as it was started."""
        return self.path / "study.toml"

    @property
    def curves(self) -> Path:
        """The figure with the curves of all runs."""
        return self.path / "curves.png"

    @property
    def card(self) -> Path:
        """The statistics of several seeds as text."""
        return self.path / "card.md"

    def read(self) -> dict[str, Any]:
        """Return the facts. Raises UsageError CN207 if they are not valid, or were changed."""
        if self.file.name != _OLD_FILE:
            return formats.read(self.file, formats.study, trust=self.trust)
        facts = formats.read(self.file, lambda _: formats.SEEDS, trust=self.trust, has_checksum=False)
        return {**facts, "definition": None, "arms": {ONLY_ARM: {}}}

    def write(self, facts: dict[str, Any]) -> None:
        """Replace study.json atomically."""
        write_json(self.path / "study.json", checksum.with_checksum(facts))

    def runs(self) -> dict[Key, StudyRun]:
        """Return the run folders by arm and seed, in the order in which they are trained."""
        facts = self.read()
        keys = [(arm, seed) for seed in facts["seeds"] for arm in facts["arms"]]
        return {
            key: (ClassicRun if "classifier" in facts["arms"][key[0]] else RunFolder)(self.path / run_name(*key))
            for key in keys
        }

    def networks(self) -> dict[Key, RunFolder]:
        """Return the run folders of the arms with a network."""
        return {key: run for key, run in self.runs().items() if isinstance(run, RunFolder)}

    def missing(self) -> dict[Key, StudyRun]:
        """Return the run folders without a result, also those that were removed."""
        return {key: run for key, run in self.runs().items() if not run.path.is_dir() or "result" not in run.read()}

    @property
    def is_of_one_arm(self) -> bool:
        """Whether these are the runs of one plan with several seeds, and not of a study."""
        return self.read()["definition"] is None

    @property
    def resume_command(self) -> tuple[str | Path, ...]:
        """The words of the command that trains the missing runs."""
        if self.is_of_one_arm:
            return "classicnets", "train", "--resume", self.path
        return "classicnets", "study", "resume", self.path


def run_name(arm: str, seed: int) -> str:
    """Return the name of a run folder, relative to that of its study."""
    return f"{arm}/seed-{seed}" if arm else f"seed-{seed}"


def is_study(path: Path) -> bool:
    """Whether a folder is that of a study, or of several seeds."""
    return (path / "study.json").is_file() or (path / _OLD_FILE).is_file()
