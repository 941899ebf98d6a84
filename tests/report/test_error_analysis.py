"""Figures of an evaluation: for few and many classes, and for names of any length and script."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from classicnets.evaluation.metrics import measure
from classicnets.report import figures
from classicnets.report import fonts as report_fonts
from classicnets.report.error_analysis import draw_confusion_matrix, draw_contact_sheet, draw_reliability_diagram
from classicnets.report.fonts import FigureText
from support.typed import present

CHINESE = ["T恤", "裤子", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "包", "短靴"]
BARRED_B = "\u1d2f"  # which DejaVu Serif has and DejaVu Sans has not; matplotlib brings both


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def save_figure(path: Path, figure: Figure) -> None:
    path.write_bytes(figures.png(figure))


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, as matplotlib objects."""
    saved_figures, savefig = [], Figure.savefig

    def save_and_keep(figure: Figure, *arguments: Any, **options: Any) -> None:
        saved_figures.append(figure)
        savefig(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", save_and_keep)
    return saved_figures


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with no fonts except matplotlib's own and the one that has a box for every letter."""
    fonts = [f for f in font_manager.fontManager.ttflist if f.name == "DejaVu Sans" or f.name.startswith("Last Resort")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", fonts)
    monkeypatch.setattr(report_fonts, "_add_new_fonts", lambda: None)


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_confusion_matrix_colors_errors_by_their_share_of_the_true_class(tmp_path: Path, saved: list[Figure]) -> None:
    matrix = [[90, 10, 0], [1, 1, 0], [0, 0, 0]]
    save_figure(tmp_path / "c.png", draw_confusion_matrix(matrix, "abc", "title"))
    (figure,) = saved
    shares = figure.axes[0].images[0].get_array()
    assert isinstance(shares, np.ma.MaskedArray)
    np.testing.assert_allclose(shares.filled(np.nan), [[np.nan, 0.1, 0], [0.5, np.nan, 0], [0, 0, np.nan]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list("abc")
    assert {"90", "10", "1"} < texts(figure) and "0" not in texts(figure)
    assert {"0.90", "0.50", "-", "0.99", "0.09"} <= texts(figure)  # recall 90/100, 1/2, none; precision 90/91, 1/11


@pytest.mark.parametrize("classes", [1, 2, 20, 21, 100])
def test_confusion_matrix_of_up_to_100_classes_names_all_of_them(
    tmp_path: Path, saved: list[Figure], classes: int
) -> None:
    matrix = np.random.default_rng(1).integers(0, 3, (classes, classes)) * 1000
    save_figure(
        tmp_path / "c.png",
        draw_confusion_matrix(matrix.tolist(), [f"a long name, number {i}" for i in range(classes)], "title"),
    )
    names = [label.get_text() for label in saved[0].axes[0].get_xticklabels()]
    assert len(names) == len(set(names)) == classes
    with Image.open(tmp_path / "c.png") as image:
        assert max(image.size) < 2000


def test_confusion_matrix_of_more_classes_shows_the_most_frequent_errors(tmp_path: Path, saved: list[Figure]) -> None:
    matrix = np.eye(1000, dtype=int) * 50
    for i in range(0, 100, 2):
        matrix[i * 9, i * 9 + 9] = 5  # 50 pairs of classes
    matrix[1, 2] = 1
    save_figure(tmp_path / "c.png", draw_confusion_matrix(matrix.tolist(), [str(i) for i in range(1000)], "title"))
    shown = [int(label.get_text()) for label in saved[0].axes[0].get_xticklabels()]
    assert shown == [i * 9 for i in range(100)]
    assert "the 100 classes with the most frequent errors, of 1,000" in saved[0].get_suptitle()


def test_reliability_diagram_draws_the_metrics_bins(tmp_path: Path, saved: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    metrics = measure(generator.dirichlet(np.ones(4), 500).astype(np.float32), generator.integers(0, 4, 500))
    bins = metrics.to_dict()["calibration"]
    save_figure(tmp_path / "c.png", draw_reliability_diagram(bins, "title"))
    above, below = saved[0].axes
    points: Any = above.lines[1].get_xydata()
    np.testing.assert_allclose(points, [(b["confidence"], b["accuracy"]) for b in bins if b["n"]])
    bars: Any = below.patches
    assert sum(bar.get_height() for bar in bars) == pytest.approx(1)
    legend = {text.get_text() for text in present(above.get_legend()).get_texts()}
    assert "overconfident" in legend  # random predictions are right in a quarter and more confident than that


def test_draws_probabilities_that_are_all_nan(tmp_path: Path) -> None:
    metrics = measure(np.full((40, 10), np.nan, dtype=np.float32), np.arange(40) % 10)
    save_figure(tmp_path / "a.png", draw_confusion_matrix(metrics.confusion, "abcdefghij", "title"))
    save_figure(tmp_path / "b.png", draw_reliability_diagram(metrics.to_dict()["calibration"], "title"))
    probabilities = np.full((40, 10), np.nan)
    save_figure(
        tmp_path / "c.png",
        draw_contact_sheet(pixels(40, 1, 8, 8), np.arange(40) % 10, probabilities, "abcdefghij", "title"),
    )


@pytest.mark.parametrize("errors", [0, 1, 7, 40])
def test_contact_sheet_shows_any_number_of_errors(tmp_path: Path, saved: list[Figure], errors: int) -> None:
    labels = np.arange(50) % 10
    probabilities = np.eye(10)[labels] * 0.9 + 0.01
    probabilities[:errors] = np.roll(probabilities[:errors], 1, axis=1)
    save_figure(
        tmp_path / "s.png",
        draw_contact_sheet(pixels(50, 1, 28, 28), labels, probabilities, tuple("abcdefghij"), "title"),
    )
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 1000 and sheet.height > (900 if errors > 30 else 300)
    headings = {
        1: "the only error",
        7: "all 7 errors, the most confident first",
        40: "the 30 most confident of 40 errors",
    }
    assert {text for text in texts(saved[0]) if "error" in text} == {headings[n] for n in [errors] if n}


@pytest.mark.parametrize("shape", [(3, 32, 24), (1, 1, 5), (3, 1, 1), (3, 64, 64)])
def test_contact_sheet_of_any_images_and_a_thousand_classes(
    tmp_path: Path, saved: list[Figure], shape: tuple[int, int, int]
) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 1000, 12)
    probabilities = generator.dirichlet(np.ones(1000), 12)
    images = pixels(12, *shape)
    names = [f"n{i:08d}: what a synset of ImageNet is called, and more" for i in range(1000)]
    save_figure(tmp_path / "s.png", draw_contact_sheet(images, labels, probabilities, names, "title"))
    axes = saved[0].axes[0]
    image: Any = axes.images[0].get_array()
    assert image.shape[:2] == shape[1:]
    np.testing.assert_array_equal(np.moveaxis(np.atleast_3d(image), -1, 0), images[0])
    name = axes.texts[1].get_text()  # below the heading
    assert len(name) == 17 and name.startswith("n0000")


def test_chinese_names_become_indices_without_a_chinese_font(
    tmp_path: Path, saved: list[Figure], no_other_fonts: None
) -> None:
    matrix = np.ones((10, 10), dtype=int)
    # a warning of matplotlib's would fail the test
    save_figure(tmp_path / "c.png", draw_confusion_matrix(matrix.tolist(), CHINESE, "net on 时装"))
    probabilities = np.eye(10)[np.arange(30) % 10]
    save_figure(
        tmp_path / "s.png",
        draw_contact_sheet(pixels(30, 3, 8, 8), np.arange(30) % 10, probabilities, CHINESE, "net on 时装"),
    )
    assert [label.get_text() for label in saved[0].axes[0].get_yticklabels()] == [f"#{i}" for i in range(10)]
    for figure in saved:
        assert "net on ??" in figure.get_suptitle() and "class indices" in figure.get_suptitle()


def test_letters_missing_from_the_default_font_use_another_one(tmp_path: Path, saved: list[Figure]) -> None:
    names = [f"{BARRED_B}one", "two"]
    text = FigureText(names, "title", 5)
    assert text.names == names and text.title == "title"
    default, *others = text.style["fontfamily"]
    assert default == "DejaVu Sans" and len(others) == 1
    assert FigureText(["one", "two"], "title", 5).style["fontfamily"] == [default]
    # a warning of matplotlib's would fail the test
    save_figure(tmp_path / "c.png", draw_confusion_matrix([[1, 2], [3, 4]], names, f"net on {BARRED_B}"))
    assert saved[0].get_suptitle() == f"net on {BARRED_B}"


def test_dollar_signs_do_not_start_mathematics(tmp_path: Path) -> None:
    names = ["$\\nonsense$", "5$ to 7$"]
    save_figure(tmp_path / "c.png", draw_confusion_matrix([[1, 2], [3, 4]], names, "a $\\title$"))


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("t-shirt", "t-shirt"),
        ("Brassica oleracea var. italica", "Bras…alica"),
        ("一个非常长的类别名称", "一个…名称"),
        ("two\nlines\tand\x00more", "two …dmore"),
        ("", ""),
    ],
)
def test_long_names_lose_their_middle(name: str, short: str) -> None:
    (result,) = FigureText([name], "", 5).short(10)
    if name.isascii():
        assert result == short
    else:  # depends on the fonts of the machine
        assert result in (short, "#0")


def test_titles_keep_their_lines_and_wrap_at_the_width_of_the_figure() -> None:
    assert FigureText([], "one\ntwo\tthree", 5).title == "one\ntwo three"
    assert FigureText([], "net with activation=relu on images", 2).title == "net with\nactivation=relu on\nimages"


def test_curves_accept_titles_in_any_script(tmp_path: Path, no_other_fonts: None) -> None:
    save_figure(tmp_path / "c.png", figures.draw_curves([], None, "net on 时装 $\\title$"))
    assert (tmp_path / "c.png").stat().st_size
