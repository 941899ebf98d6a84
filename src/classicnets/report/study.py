"""Writes the report of a finished study into its folder: Markdown, one HTML file, and figures."""

from __future__ import annotations

from matplotlib.figure import Figure

from classicnets.events import Epoch
from classicnets.files import write_whole
from classicnets.report import baselines, figures, html_page, study_figures, study_text
from classicnets.report.fonts import figure_texts
from classicnets.runs import history
from classicnets.runs.folder import RunFolder
from classicnets.studies.results import StudyResults


def write(results: StudyResults) -> None:
    """Write report.md, report.html and the figures. Raises MachineError CN401."""
    facts, folder = results.facts, results.folder.path
    with figure_texts():
        images = {f"{name}.png": figures.png(figure) for name, figure in draw(results).items()}
    text = study_text.text(facts, folder=folder)
    page = html_page.page(text, study_text.question(facts), images)
    for name, content in {**images, "report.md": encoded(text), "report.html": encoded(page)}.items():
        write_whole(folder / name, content)


def draw(results: StudyResults) -> dict[str, Figure]:
    """Return the figures of a study by the names of their files, without suffix."""
    facts = results.facts
    drawn = {
        "arms": lambda: study_figures.draw_arms(facts),
        "differences": lambda: study_figures.draw_differences(facts),
        "baselines": lambda: baselines.draw(facts),
        "curves": lambda: study_figures.draw_curves(facts, _epochs(results)),
    }
    return {name: drawn[name]() for name in study_text.figure_names(facts)}


def _epochs(results: StudyResults) -> dict[tuple[str, int], list[Epoch]]:
    """The epochs of the runs of networks; classical methods have none."""
    folder, facts = results.folder.path, results.facts
    return {
        (row["arm"], row["seed"]): [
            event for event in history.read(RunFolder(folder / row["folder"]).history) if isinstance(event, Epoch)
        ]
        for row in facts["result"]["rows"]
        if "net" in facts["arms"][row["arm"]]
    }


def encoded(text: str) -> bytes:
    """Return text as UTF-8; names of files may have bytes that are not."""
    return text.encode("utf-8", "backslashreplace")
