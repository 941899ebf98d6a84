"""Chinese labels of the book's figures, with and without a font that has them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager
from matplotlib import pyplot as plt

from classicnets.compat import drawing
from classicnets.report import fonts

FAMILY = "Some Sans Hei"


@pytest.fixture(autouse=True)
def only_default_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of all installed fonts, only the one that matplotlib brings."""
    default = [font for font in font_manager.fontManager.ttflist if font.name == "DejaVu Sans"]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", default)
    monkeypatch.setattr(fonts, "_add_new_fonts", lambda: None)
    yield
    plt.close("all")


@pytest.fixture
def chinese_font(tmp_path: Path) -> None:
    """A font with a square for each letter of the labels."""
    letters = sorted({*"训练损失精度迭代周期短裤毛衣x"})
    pen = TTGlyphPen(None)
    pen.moveTo((100, 0))
    for point in ((100, 800), (900, 800), (900, 0)):
        pen.lineTo(point)
    pen.closePath()
    square = pen.glyph()
    names = {ord(letter): f"glyph{i}" for i, letter in enumerate(letters)}
    font = FontBuilder(1000)
    font.setupGlyphOrder([".notdef", *names.values()])
    font.setupCharacterMap(names)
    font.setupGlyf(dict.fromkeys([".notdef", *names.values()], square))
    font.setupHorizontalMetrics(dict.fromkeys([".notdef", *names.values()], (1000, 100)))
    font.setupHorizontalHeader(ascent=800, descent=-200)
    font.setupNameTable({"familyName": FAMILY, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(tmp_path / "hei.ttf")
    font_manager.fontManager.addfont(tmp_path / "hei.ttf")


def animator() -> drawing.Animator:
    board = drawing.Animator(xlabel="迭代周期", ylabel="x", legend=["训练损失", "训练精度"], xlim=(1, 2))
    board.add(1, (0.5, 0.7))
    return board


def legend_of(board: drawing.Animator) -> list[str]:
    legend = board.axes[0].get_legend()
    assert legend is not None
    return [text.get_text() for text in legend.get_texts()]


def test_labels_of_the_animator(chinese_font: None, capsys: pytest.CaptureFixture[str], recwarn: object) -> None:
    board = animator()
    board.fig.canvas.draw()  # a missing letter would be a warning, which is an error
    assert board.axes[0].get_xlabel() == "迭代周期" and legend_of(board) == ["训练损失", "训练精度"]
    assert FAMILY in board.axes[0].xaxis.label.get_fontfamily()
    assert "#" not in capsys.readouterr().err


def test_labels_of_the_animator_without_a_font(capsys: pytest.CaptureFixture[str]) -> None:
    board = animator()
    board.add(1.5, (0.4, 0.8))
    board.fig.canvas.draw()
    assert board.axes[0].get_xlabel() == "#0" and board.axes[0].get_ylabel() == "x"
    assert legend_of(board) == ["#2", "#3"]
    key = [line for line in capsys.readouterr().err.splitlines() if line.startswith("#")]
    assert key == ["#0: 迭代周期", "#2: 训练损失", "#3: 训练精度"]  # once


def test_titles_of_images(chinese_font: None) -> None:
    axes = drawing.show_images(np.zeros((2, 4, 4)), 1, 2, titles=["短裤", "毛衣"])
    axes[0].figure.canvas.draw()
    assert [ax.get_title() for ax in axes] == ["短裤", "毛衣"]


def test_titles_of_images_without_a_font(capsys: pytest.CaptureFixture[str]) -> None:
    axes = drawing.show_images(np.zeros((2, 4, 4)), 1, 2, titles=["短裤", "coat"])
    axes[0].figure.canvas.draw()
    assert [ax.get_title() for ax in axes] == ["#0", "coat"]
    assert "#0: 短裤" in capsys.readouterr().err


def test_no_key_for_latin_labels(capsys: pytest.CaptureFixture[str]) -> None:
    drawing.Animator(xlabel="epoch", legend=["train loss"]).add(1, 0.5)
    assert "#" not in capsys.readouterr().err


def test_figures_choose_the_font(chinese_font: None) -> None:
    families, missing = fonts._families({*"训练精度"})
    assert families[-1] == FAMILY and not missing


def test_titles_of_two_lines(capsys: pytest.CaptureFixture[str]) -> None:
    axes = drawing.show_images(np.zeros((1, 4, 4)), 1, 1, titles=["coat\nbag"])
    assert axes[0].get_title() == "coat\nbag" and capsys.readouterr().err == ""
