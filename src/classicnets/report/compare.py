"""What is printed and drawn of a comparison of runs: the runs, their settings, their results, verdicts and curves."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Iterator, Sequence

from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from classicnets.report import figures, quantities, tables
from classicnets.report.fonts import FigureText, figure_texts
from classicnets.report.study_figures import draw_curves
from classicnets.studies.compared_runs import MEASURE, ComparedRuns, Side, measures
from classicnets.studies.finished_runs import COUNTS
from classicnets.studies.measures import Measure
from classicnets.text import _, join

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MAX_FOLDERS = 3  # that are named
_NONE = "-"
FIGURE_SUFFIXES = (".png", ".svg")
_TABLE_STYLE, _CELL_STYLE = "border-collapse: collapse; margin: 0.5em 0", "text-align: left; padding: 0.1em 1em 0.1em 0"


def lines(console: Console, compared: ComparedRuns) -> Iterator[str | Table]:
    """Yield the lines and tables to print.

    Args:
        console: where they are printed.
        compared: the comparison.
    """
    letters = _letters(compared)
    for letter, side in zip(letters, compared.sides, strict=True):
        yield f"{letter}  {_described(side)}"
    yield ""
    if compared.differences:
        yield tables.fit(console, [_("setting"), *letters], _setting_rows(compared))
    else:
        yield _("no setting differs")
    yield ""
    yield tables.fit(console, [_("result"), *letters], _result_rows(compared), numbers=letters)
    yield ""
    yield from compared.verdicts
    if commands := compared.next_commands:
        yield _("next: train more seeds, and compare their folders:")
        yield from (f"  {line}" for line in commands)


def summary(compared: ComparedRuns) -> str:
    """Return the sides, the accuracies and the verdicts as lines of text."""
    first = measures()[0]
    accuracies = [
        _(
            "  {label}: {measure} {value}, n = {n}",
            label=side.label,
            measure=first.label,
            value=quantities.with_unit(_spread(compared, side, first), first),
            n=len(side.runs),
        )
        for side in compared.sides
    ]
    return "\n".join([_("comparison of {n} runs", n=len(compared.rows)), *accuracies, *compared.verdicts])


def html_page(compared: ComparedRuns) -> str:
    """Return the comparison as HTML for a notebook: tables, verdicts, and the curves as an image."""
    letters = _letters(compared)
    sides = [
        [letter, side.label, ", ".join(map(str, side.seeds)), _folders(side)]
        for letter, side in zip(letters, compared.sides, strict=True)
    ]
    parts = [_html_table(["", _("network"), _("seeds"), _("folder")], sides)]
    if compared.differences:
        parts.append(_html_table([_("setting"), *letters], _setting_rows(compared)))
    parts.append(_html_table([_("result"), *letters], _result_rows(compared)))
    parts += [f"<p>{html.escape(verdict)}</p>" for verdict in compared.verdicts]
    if commands := compared.next_commands:
        parts.append(f"<p>{html.escape(_('next: train more seeds, and compare their folders:'))}</p>")
        parts.append(f"<pre>{html.escape(chr(10).join(commands))}</pre>")
    with figure_texts():
        png = base64.b64encode(figures.png(draw(compared))).decode()
    parts.append(f'<img alt="{html.escape(_("curves"))}" src="data:image/png;base64,{png}">')
    return "\n".join(parts)


def draw(compared: ComparedRuns) -> Figure:
    """Draw train loss and accuracy against epochs, with one color for each side and a thin line for each seed."""
    labels = [side.label for side in compared.sides]
    printable = [shown == label for shown, label in zip(FigureText(labels, "", 1).names, labels, strict=True)]
    names = [
        f"{letter}  {label}" if has_font else letter  # without a font for its script, the letter of the tables
        for letter, label, has_font in zip(_letters(compared), labels, printable, strict=True)
    ]
    facts = {"arms": dict.fromkeys(names), "result": {"rows": []}}
    epochs = {
        (name, run.seed): run.epochs() for name, side in zip(names, compared.sides, strict=True) for run in side.runs
    }
    return draw_curves(facts, epochs)


def image(figure: Figure, suffix: str) -> bytes:
    """Return the figure as the bytes of a file with one of `FIGURE_SUFFIXES`."""
    if suffix == ".png":
        return figures.png(figure)
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    return file.getvalue()


def _letters(compared: ComparedRuns) -> list[str]:
    """The heads of the columns: A, B, ...; with numbers for more sides than letters."""
    count = len(compared.sides)
    return [*_LETTERS[:count]] if count <= len(_LETTERS) else [f"#{i + 1}" for i in range(count)]


def _described(side: Side) -> str:
    """A side on one line: its label, folders and seeds."""
    seeds = join([*map(str, side.seeds)])
    if len(side.runs) == 1:
        return _("{label}: {folders} (seed {seeds})", label=side.label, folders=_folders(side), seeds=seeds)
    return _(
        "{label}: {folders} ({n} runs, seeds {seeds})",
        label=side.label,
        folders=_folders(side),
        n=len(side.runs),
        seeds=seeds,
    )


def _folders(side: Side) -> str:
    """The folders of a side: that of several seeds instead of those of its runs."""
    paths = [run.folder.path for run in side.runs]
    arguments = [run.argument for run in side.runs]
    whole = [path.parent if arguments.count(place) > 1 else path for path, place in zip(paths, arguments, strict=True)]
    return join(list(dict.fromkeys(map(str, whole))), _MAX_FOLDERS)


def _setting_rows(compared: ComparedRuns) -> list[list[str]]:
    return [[name, *(value or _NONE for value in values)] for name, values in compared.differences.items()]


def _result_rows(compared: ComparedRuns) -> list[list[str]]:
    rows = [[_("runs"), *(str(len(side.runs)) for side in compared.sides)]]
    rows += [
        [quantities.label(each), *(_spread(compared, side, each) for side in compared.sides)] for each in measures()
    ]
    labels = dict(zip(COUNTS, (_("parameters"), _("MACs")), strict=True))
    counts = [[labels[key], *(f"{side.first.facts[key]:,}" for side in compared.sides)] for key in COUNTS]
    return [*rows, *counts]


def _spread(compared: ComparedRuns, side: Side, each: Measure) -> str:
    """The mean of a side, and the standard deviation if it has several runs: "81.23 ± 0.41"."""
    mean = quantities.mean(compared.statistics[side.label][each.name], each)
    return _("{mean} (guessing)", mean=mean) if each.name == MEASURE and side.label in compared.guessing else mean


def _html_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f'<th style="{_CELL_STYLE}">{html.escape(column)}</th>' for column in columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL_STYLE}">{html.escape(cell)}</td>' for cell in row) + "</tr>"
        for row in rows
    )
    return f'<table style="{_TABLE_STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
