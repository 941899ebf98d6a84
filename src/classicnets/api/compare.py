"""Comparing the results of finished runs."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from classicnets import report
from classicnets.api.models import Run, Seeds
from classicnets.api.study import Study
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.files import check_target, write_whole
from classicnets.studies import compared_runs, original_run, run_settings
from classicnets.studies.compared_runs import ComparedRuns
from classicnets.text import _, command

__all__ = ["RunComparison", "check_figure", "compare", "with_original"]


class RunComparison:
    """The comparison of finished runs: what differs between them, and what their results show.

    A notebook shows it as tables with the curves.

    Attributes:
        facts: the runs in groups with the same settings, the settings that differ, the statistics and the comparisons.
    """

    def __init__(self, facts: ComparedRuns):
        self.facts = facts

    def __repr__(self) -> str:
        return report.compare.summary(self.facts)

    def _repr_html_(self) -> str:
        return report.compare.html_page(self.facts)

    @property
    def differences(self) -> dict[str, list[str]]:
        """The settings that differ, each with the values of the groups."""
        return self.facts.differences

    @property
    def verdicts(self) -> list[str]:
        """What the comparisons show, in sentences."""
        return self.facts.verdicts

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return self.facts.to_dict()

    def draw(self, path: str | Path) -> None:
        """Draw the curves of all runs as a .png or .svg file.

        Raises:
            UsageError: CN206, the name has another ending.
            MachineError: CN401, the file cannot be written.
        """
        path = Path(path)
        check_figure(path)
        with report.fonts.figure_texts():
            content = report.compare.image(report.compare.draw(self.facts), path.suffix.lower())
        write_whole(path, content, option="-o")


def compare(*runs: str | Path | Run | Seeds) -> RunComparison:
    """Compare the results of finished runs.

    Runs that differ only in the seed are grouped. Each group is compared with the first one by its test accuracy: in
    pairs if both have the same seeds, else by Welch's interval.

    Args:
        runs: Run folders or folders of several seeds, or what `train` and `train_seeds` have returned.

    Raises:
        UsageError: CN206, fewer than two runs, the same run twice, or a network or a study instead of a run; CN207, a
            run that is not finished, or a folder that is no run.
        MachineError: CN403, several seeds are compared and SciPy is not installed.
    """
    if not runs:
        raise UsageError(
            "CN206", _("there are no runs to compare"), where="cn.compare()", hint='cn.compare("RUN", "RUN")'
        )
    return RunComparison(compared_runs.compare([_place(run) for run in runs]))


def with_original(path: Path) -> list[str]:
    """Compare a run with replaced layers, or several seeds of it, with the same training of the original network.

    Args:
        path: A finished run folder, or a folder of several seeds.

    Returns:
        Lines: the comparison with the run of the original network that lies in the same folder, if there is one, and
        the commands that compare further. Empty if no layers were replaced.
    """
    facts = original_run.first_facts(path)
    if not facts or not facts["net"]["variation"]:
        return []
    original = original_run.find(path, facts)
    if original is None:
        train = run_settings.train_command(facts, seeds=original_run.seed_count(path), variation=False)
        return [
            _("original: {command}   # trains the network without the change", command=train),
            _("compare:  {command}", command=command("classicnets", "compare", "RUN", path)),
        ]
    lines = []
    with suppress(ClassicnetsError):  # a run that lies beside it is damaged, or SciPy is missing
        lines = [original_run.line(compared_runs.compare([original, path]))]
    return [*lines, _("compare: {command}", command=command("classicnets", "compare", original, path))]


def check_figure(path: Path) -> None:
    """Check that a figure can be written to a file. Raises UsageError CN206 and MachineError CN401."""
    suffixes = report.compare.FIGURE_SUFFIXES
    if path.suffix.lower() not in suffixes:
        raise UsageError(
            "CN206",
            _("a figure is a file that ends with {suffixes}", suffixes=_(" or ").join(suffixes)),
            where=command("-o", path),
            hint=command("-o", path.with_suffix(suffixes[0]) if path.name else Path("curves.png")),
        )
    check_target(path, option="-o")


def _place(run: object) -> Path:
    """The folder of a run."""
    if isinstance(run, Run | Seeds | Study):
        return run.folder.path
    if isinstance(run, str | Path):
        return Path(run)
    raise UsageError(
        "CN206",
        _("a value of type {kind} is not a run", kind=type(run).__name__),
        where="cn.compare(...)",
        why=_("compare takes run folders, and what train and train_seeds return"),
        hint='cn.compare("RUN", "RUN")',
    )
