"""The report of a finished study: its text, its HTML file, its figures and its lines on a terminal."""

from __future__ import annotations

import io
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from classicnets.events import Epoch
from classicnets.report import baselines, html_page, quantities, study, study_figures, study_lines, study_text
from classicnets.report.curves import accuracy_axis
from classicnets.report.markdown import block, code, escaped, table
from classicnets.runs import history
from classicnets.studies.measures import measure
from support import studies

HEADINGS = [
    "Answer",
    "Arms",
    "Comparisons",
    "Learning curves",
    "What papers report",
    "How the arms were matched",
    "How far this study speaks about ImageNet",
    "Cost",
    "Repeat it",
    "All runs",
]
ODD_NAMES = ["a|b", "[x](y)", "*a*", "_a_", "<i>&amp;", "`a`", "a\\|b", "![c](d)", "# a", "a  b", "2 * 3 * 4", "猫"]


class Page(HTMLParser):
    """What a page contains: its text, the cells of each table row, links, and the sources of its images."""

    def __init__(self, content: str):
        super().__init__()
        self.text, self.tags, self.rows, self.in_cell = "", set[str](), list[list[str]](), False
        self.links, self.images = list[str](), list[str]()
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in {"td", "th"}:
            self.in_cell = True
            self.rows[-1].append("")
        elif tag == "a":
            self.links.append(values["href"] or "")
        elif tag == "img":
            self.images.append(values["src"] or "")

    def handle_endtag(self, tag: str) -> None:
        self.in_cell &= tag not in {"td", "th"}

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.in_cell:
            self.rows[-1][-1] += data


@pytest.fixture(scope="module")
def facts() -> dict[str, Any]:
    return studies.facts()


@pytest.fixture(scope="module")
def written(facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study with its report."""
    folder = tmp_path_factory.mktemp("study")
    study.write(studies.results(folder, facts))
    return folder


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.+)$", text, re.MULTILINE)


def test_the_folder_has_the_report_and_its_figures(written: Path) -> None:
    figures = {"arms.png", "differences.png", "curves.png"}
    assert {path.name for path in written.iterdir() if path.is_file()} == {"report.md", "report.html"} | figures
    for name in figures:
        with Image.open(written / name) as image:
            assert image.format == "PNG" and image.width > 500


def test_the_report_has_its_sections_in_order(facts: dict[str, Any]) -> None:
    text = study_text.text(facts)
    assert text.startswith(f"# {facts['definition']['question']}\n") and headings(text) == HEADINGS
    for pair in facts["result"]["comparisons"][:3]:
        assert f"- {pair['verdict']}." in text
    for known in ("`net.pool=max`", "Scherer et al. 2010", "a thousand times", "AVX2", "torch 2.13.0"):
        assert known in text, known
    assert "- sigmoid without bias: widened 1.0156 times: 61,510 parameters, 0.3 % below 61,706 of average." in text
    assert "Networks are trained on 2,000 images of fashion_mnist, recipe `d2l`, epochs: 10." in text
    assert "2 runs in parallel with 1 thread each: fastest of those measured" in text
    assert "onnx" not in text  # it was not installed
    assert "```sh\nclassicnets study run pooling\n```" in text


def test_recipes_that_differ_are_listed_by_arm() -> None:
    facts = studies.facts(("average", "max"), (studies.ACCURACY,))
    facts["arms"]["max"]["recipe"] = "fast"
    section = study_text.text(facts).partition("\n## ")[0]
    rows = Page(html_page.page(section, "", {})).rows
    assert [(row[0], row[2]) for row in rows[1:]] == [("average", "d2l"), ("max", "fast")]
    assert "Networks are trained" not in section


def test_every_number_of_a_run_links_to_its_folder(facts: dict[str, Any], written: Path) -> None:
    section = (written / "report.md").read_text().partition("## All runs")[2]
    rows = [line.strip("| ").split(" | ") for line in section.strip().splitlines()[2:]]
    assert len(rows) == len(facts["result"]["rows"])
    for cells, row in zip(rows, facts["result"]["rows"], strict=True):
        targets = [re.fullmatch(r"\[.+\]\((.+)\)", cell) for cell in cells[2:] if cell.strip("| ")]
        assert targets and all(match and match[1].replace("%20", " ") == row["folder"] for match in targets)
        assert (written / row["folder"]).is_dir()


def test_values_that_are_missing_are_named(facts: dict[str, Any]) -> None:
    text = study_text.text(facts)
    assert (
        "1 of 24 runs has no result:\n\n- sigmoid without bias, seed 1: error CN105: the loss is not finite\n" in text
    )
    assert "[not reached](sigmoid%20without%20bias/seed-0)" in text and "[no result](sigmoid%20without" in text
    assert "0.35 ± 0.06 (5 of 6 runs) | no value (0 of 6 runs) |" in text and "| 5 of 6 |" in text
    assert re.search(r"\| sigmoid without bias / average \|[^|]+\| 0 \| +\| +\| no pairs \|", text)


def test_a_study_of_one_arm_compares_nothing() -> None:
    facts = studies.facts(("average",), (studies.ACCURACY,))
    text = study_text.text(facts)
    assert "- average: test accuracy 75.72 ± 0.48 %, 6 runs; nothing is compared." in text
    assert "Comparisons" not in headings(text) and [*study_text.figure_names(facts)] == ["arms", "curves"]


def test_a_study_whose_runs_have_all_failed_has_a_report(facts: dict[str, Any], tmp_path: Path) -> None:
    failed = studies.without_results(facts)
    study.write(studies.results(tmp_path, failed))
    text = (tmp_path / "report.md").read_text()
    assert "24 of 24 runs have no result" in text and "- max, seeds 0, 1, 2, 3, 4, 5: error CN105" in text
    assert [*study_text.figure_names(failed)] == ["curves"] and not (tmp_path / "arms.png").exists()


@pytest.mark.parametrize(
    ("first", "second", "conclusion"),
    [
        ([0.5], [0.75], "not shown"),  # one pair: no interval
        ([0.5, 0.5], [0.5, 0.5], "equal"),
        ([0.5, 0.75], [0.75, 1.0], "not shown"),  # equal differences: no interval
        ([0.5, None], [None, 0.5], "no pairs"),
        ([0.0, 0.0, 0.0], [1.0, 1.0, 1.0], None),  # a ratio with 0 is none
    ],
)
@pytest.mark.parametrize("name", [studies.ACCURACY, "seconds"])
def test_studies_without_spread_have_a_report(
    monkeypatch: pytest.MonkeyPatch, first: list[float], second: list[float], conclusion: str | None, name: str
) -> None:
    monkeypatch.setattr(studies, "SEEDS", [*range(len(first))])
    monkeypatch.setattr(studies, "VALUES", {"average": {name: first}, "max": {name: second}})
    facts = studies.facts(("average", "max"), (name,))
    (comparison,) = facts["result"]["comparisons"]
    assert conclusion in {None, comparison["conclusion"]} or name == "seconds"
    assert f" {study_text.conclusion(comparison)} |" in study_text.text(facts)
    if comparison["n"]:
        figure = study_figures.draw_differences(facts)
        assert len(figure.axes) == 1
        figure.draw_without_rendering()
    study_figures.draw_arms(facts).draw_without_rendering()


def test_classical_methods_have_a_table_and_no_curve(tmp_path: Path) -> None:
    results = studies.results(tmp_path, studies.classic_facts())
    figures = study.draw(results)
    assert [*figures] == ["arms", "differences", "baselines", "curves"]
    assert [text.get_text() for text in figures["curves"].legends[0].get_texts()] == ["average"]
    text = study_text.text(results.facts)
    assert "| max | svm_rbf on hog |" in text
    section = text.partition("## Classical methods and networks\n")[2].partition("\n## ")[0]
    assert "| 4.2 | 6.1 |" in section and "(baselines.png)" in section
    assert "baselines" not in study_text.figure_names(studies.without_results(results.facts))


def test_the_html_is_one_file_without_scripts(written: Path) -> None:
    page = Page((written / "report.html").read_text())
    assert len(page.images) == 3 and all(source.startswith("data:image/png;base64,") for source in page.images)
    assert (
        not page.tags & {"script", "iframe", "link", "object"} and "url(" not in (written / "report.html").read_text()
    )
    assert {"viewport", "charset"} <= {*re.findall(r"viewport|charset", (written / "report.html").read_text())}
    assert all((written / link.replace("%20", " ")).is_dir() for link in page.links)
    for line in re.findall(r"^\| (?!-).*$", (written / "report.md").read_text(), re.MULTILINE):
        assert len(page.rows.pop(0)) == line.count("|") - 1, line


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_are_shown_as_they_are(name: str) -> None:
    text = "\n".join(["# " + escaped(name), "", *table(["x", "y"], [[escaped(name), code(name)]])])
    page = Page(html_page.page(text, name, {}))
    shown = " ".join(name.split())
    assert page.rows[1] in ([shown, shown], [shown, name])  # code keeps its blanks
    assert page.text.count(shown) >= 2 and not page.tags & {"i", "em", "a", "img"}


def test_code_that_contains_a_fence_stays_code() -> None:
    page = Page(html_page.page("\n".join(block("a\n```\n<b>")), "", {}))
    assert "a\n```\n<b>" in page.text and "b" not in page.tags


@pytest.mark.parametrize(
    ("name", "value", "shown", "label"),
    [
        ("test_accuracy", 0.8123, "81.23", "test accuracy, %"),
        ("test_loss", 0.51234, "0.5123", "test loss"),
        ("dead_units", 0.125, "12.5", "dead units, %"),
        ("seconds", 1234.56, "1,234.6", "training time, seconds"),
        ("seconds", 0.0526, "0.053", "training time, seconds"),
        ("images_per_second", 15210.4, "15,210", "images per second"),
        ("epochs to train_accuracy 0.75", 7, "7", "epochs to train accuracy 0.75"),
        ("epochs to train_accuracy 0.75", 7.25, "7.2", "epochs to train accuracy 0.75"),
        ("seconds to train_loss 0.5", None, "not reached", "seconds to train loss 0.5"),
    ],
)
def test_values_have_the_unit_of_their_measure(name: str, value: float | None, shown: str, label: str) -> None:
    assert (quantities.value(value, measure(name)), quantities.label(measure(name))) == (shown, label)


def test_differences_agree_with_the_verdicts(facts: dict[str, Any]) -> None:
    for comparison in facts["result"]["comparisons"][:-1]:
        compared = measure(comparison["measure"])
        estimate, interval = quantities.effect(comparison, compared)
        assert f"{estimate} times" in comparison["verdict"] if compared.ratio else estimate in comparison["verdict"]
        assert interval.replace("+", "") in comparison["verdict"]
    assert quantities.difference(0.00001, measure("test_accuracy")) == "+0.001"  # not 0.00
    assert quantities.difference(0.012, measure("test_accuracy"), signed=False) == "1.20"
    assert quantities.difference(0.012, measure("test_loss")) == "+0.0120"
    assert quantities.difference(1.25, measure("seconds")) == "1.25"
    assert quantities.difference(None, measure("seconds")) == quantities.difference_interval(None, compared) == ""
    assert [quantities.probability(p) for p in (None, 0.0001, 0.0314)] == ["", "< 0.001", "0.031"]


def comparison_axes(facts: dict[str, Any]) -> list[Any]:
    return study_figures.draw_differences(facts).axes


def test_the_chart_has_a_dot_for_each_pair_and_a_line_where_arms_are_equal(facts: dict[str, Any]) -> None:
    axes = comparison_axes(facts)
    assert [each.get_xscale() for each in axes] == ["linear", "linear", "log"]
    assert [each.lines[0].get_xdata()[0] for each in axes] == [0, 0, 1]
    dots = [[len(line.get_xdata()) for line in each.lines if line.get_markersize() == 4.5] for each in axes]
    assert dots == [[6, 6, 5], [6, 6, 5], [6, 6]]
    (claim,) = [line for line in axes[0].lines if line.get_marker() == "D"]
    assert claim.get_xdata()[0] == pytest.approx(1.2)  # points
    assert [text.get_text() for text in axes[2].texts] == ["no pairs"]
    assert axes[0].get_yticklabels()[0].get_text() == "max - average"


def test_the_chart_of_arms_shows_every_value(facts: dict[str, Any]) -> None:
    axes = study_figures.draw_arms(facts).axes
    values = [np.sort(np.asarray(line.get_xdata(), float)) for line in axes[0].lines if line.get_markersize() == 4.5]
    assert values[0] == pytest.approx(sorted(100 * v for v in studies.VALUES["average"][studies.ACCURACY] if v))
    assert [len(each) for each in values] == [6, 6, 6, 5] and [text.get_text() for text in axes[2].texts] == [
        "no value"
    ]


def test_long_names_of_arms_stay_apart_and_inside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    names = [f"norm=batch,dropout=0.{i % 10},activation=relu,width={i}" for i in range(12)]
    monkeypatch.setattr(studies, "SEEDS", [0, 1])
    monkeypatch.setattr(
        studies, "VALUES", {name: {studies.ACCURACY: [0.7, 0.7 + i / 100]} for i, name in enumerate(names)}
    )
    monkeypatch.setattr(studies, "_ARMS", dict.fromkeys(names, studies._ARM))
    facts = studies.facts(names, (studies.ACCURACY,))
    assert len({*study_figures.colors_of(facts).values()}) == 12
    labels = [label.get_text() for label in study_figures.draw_differences(facts).axes[0].get_yticklabels()]
    assert len({*labels}) == 11 and max(len(line) for label in labels for line in label.split("\n")) <= 32
    figure = study.draw(studies.results(tmp_path, facts))["curves"]
    figure.draw_without_rendering()
    box = figure.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1


def test_curves_are_thin_for_seeds_and_thick_for_means(facts: dict[str, Any], written: Path) -> None:
    results = studies.results(written / "again", facts)
    left, right = study.draw(results)["curves"].axes
    assert right.get_ylabel() == "validation accuracy"
    for axes in (left, right):
        thick = [line for line in axes.lines if line.get_linewidth() > 2]
        assert len(thick) == 4 and len(axes.lines) == 4 + 24
        assert [line.get_linestyle() for line in axes.lines].count("--") == 1  # the failed run
        assert len({line.get_color() for line in axes.lines}) == 4


def test_the_accuracy_of_curves_is_one_that_all_runs_have(written: Path) -> None:
    events = [e for e in history.read(written / "max" / "seed-0" / "history.jsonl") if isinstance(e, Epoch)]
    assert accuracy_axis(events)[0] == "validation_accuracy"
    other = Epoch(**{**events[0].__dict__, "validation_accuracy": None})
    assert accuracy_axis([*events, other])[0] == "accuracy"


@pytest.mark.parametrize("width", [200, 100, 60])
def test_the_lines_fit_a_terminal(facts: dict[str, Any], width: int) -> None:
    console = Console(width=width, file=io.StringIO(), soft_wrap=True, highlight=False, markup=False)
    for part in study_lines.lines(console, facts, Path("runs/study-pooling-1")):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    out = console.file.getvalue()
    assert "…" not in out and "75.72 ± 0.48" in out and ("net.pool=max" in out) == (width > 60)
    assert all(pair["verdict"] in out for pair in facts["result"]["comparisons"][:3])
    assert "6 comparisons by other measures" in out and out.endswith("report: runs/study-pooling-1/report.html\n")


def test_arms_that_have_learned_nothing_are_marked() -> None:
    facts = studies.facts(("average", "max"), (studies.ACCURACY,))
    facts["result"]["guessing"] = {"max": 0.1}
    text, (line, *_) = study_text.text(facts), study_text.answers(facts)
    assert line.startswith("max: every run is at the accuracy of guessing, 10 %, so nothing was learned;")
    assert f"- {line}." in text and text.count(" (guessing) |") == 1
    console = Console(width=200, file=io.StringIO(), highlight=False, markup=False)
    for part in study_lines.lines(console, facts, Path("runs/study-pooling-1")):
        console.print(part)
    assert isinstance(console.file, io.StringIO)
    assert line in console.file.getvalue() and console.file.getvalue().count("(guessing)") == 1


@pytest.mark.parametrize(
    ("file", "base", "shown"),
    [
        ("pooling", {}, "```sh\nclassicnets study run pooling\n```"),
        ("/home/ada/my.toml", {}, "```sh\nclassicnets study run 'runs/my study-1/study.toml' --seeds 6\n```"),
        ("/home/ada/my.toml", {"net": "nets.py:net"}, "```sh\nclassicnets study run pooling\n```"),
        ("", {}, "The study was passed to `cn.study` in Python; study.json has its definition."),
    ],
)
def test_the_command_that_repeats_a_study_can_be_pasted(file: str, base: dict[str, Any], shown: str) -> None:
    facts = studies.facts(("average", "max"), (studies.ACCURACY,))
    facts["definition"] |= {"file": file, "base": {**facts["definition"]["base"], **base}}
    assert f"## Repeat it\n\n{shown}\n" in study_text.text(facts, folder=Path("runs/my study-1"))


def test_what_is_not_possible_is_not_shown() -> None:
    accuracy, gap, loss = measure("test_accuracy"), measure("generalization_gap"), measure("test_loss")
    assert quantities.interval((-0.2, 0.5), accuracy) == "0.00 to 50.00"
    assert quantities.interval((-0.2, 1.5), accuracy) == "all that is possible"
    assert quantities.interval((-0.2, 0.5), gap) == "-20.00 to 50.00"
    assert quantities.interval((-0.2, 0.5), loss) == "0.0000 to 0.5000"
    assert quantities.difference_interval((-1.4, 0.5), accuracy) == "-100.00 to +50.00"
    assert quantities.difference_interval((-1.4, 2.5), accuracy) == "all that is possible"
    assert quantities.smallest(5.9, accuracy) == "none that is possible"
    assert quantities.smallest(5.9, measure("seconds")) == "5.90"


def test_dots_of_a_single_epoch_are_not_cut(facts: dict[str, Any], written: Path) -> None:
    epochs = study._epochs(studies.results(written, facts))
    figure = study_figures.draw_curves(facts, {key: events[:1] for key, events in epochs.items()})
    assert all(axes.get_xlim()[1] > 1.05 for axes in figure.axes)
    assert figure.axes[0].get_ylim()[1] > 1.04 * max(events[0].loss for events in epochs.values())


def test_the_time_axis_of_classical_methods_has_plain_numbers() -> None:
    facts = studies.classic_facts()
    facts["arms"] = {{"average": "mlp"}.get(name, name): arm for name, arm in facts["arms"].items()}
    facts["result"]["arms"]["mlp"] = facts["result"]["arms"].pop("average")
    for row in facts["result"]["rows"]:
        row |= {"fit_seconds": 0.6} if row["arm"] == "max" else {"arm": "mlp"}
    figure = baselines.draw(facts)
    figure.draw_without_rendering()
    axes = figure.axes[1]
    labels = [label.get_text() for label in axes.get_xticklabels(which="both")]
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == ["mlp", "SVM with RBF kernel"]  # the network called mlp is not the classical method
    assert any(labels) and not any("$" in label for label in labels)
