"""Images of what a net gets wrong: for few and many classes, for names of any length and script."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image

from classicnets.evaluation.metrics import measure
from classicnets.report import figures, mistakes
from classicnets.report.fonts import Lettering

CHINESE = ["T恤", "裤子", "套头衫", "连衣裙", "外套", "凉鞋", "衬衫", "运动鞋", "包", "短靴"]
BARRED_B = "\u1d2f"  # which DejaVu Serif has and DejaVu Sans has not; matplotlib brings both


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def keep(path: Path, figure: Figure) -> None:
    path.write_bytes(figures.png(figure))


@pytest.fixture
def saved(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved, as matplotlib has them."""
    kept, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (kept.append(self), save(self, *a, **k)))
    return kept


@pytest.fixture
def no_other_fonts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that has matplotlib's own font and no other but the one that has a box for every letter."""
    own = [f for f in font_manager.fontManager.ttflist if f.name == "DejaVu Sans" or f.name.startswith("Last Resort")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)


def texts(figure: Figure) -> set[str]:
    return {text.get_text() for axes in figure.axes for text in axes.texts}


def test_the_confusion_matrix_shows_mistakes_as_shares_of_the_true_class(tmp_path: Path, saved: list[Figure]) -> None:
    matrix = [[90, 10, 0], [1, 1, 0], [0, 0, 0]]
    keep(tmp_path / "c.png", mistakes.confusion(matrix, "abc", "title"))
    (figure,) = saved
    shares = figure.axes[0].images[0].get_array().filled(np.nan)
    np.testing.assert_allclose(shares, [[np.nan, 0.1, 0], [0.5, np.nan, 0], [0, 0, np.nan]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list("abc")
    assert {"90", "10", "1"} < texts(figure) and "0" not in texts(figure)
    assert {"0.90", "0.50", "-", "0.99", "0.09"} <= texts(figure)  # recall 90/100, 1/2, none; precision 90/91, 1/11


@pytest.mark.parametrize("classes", [1, 2, 20, 21, 100])
def test_a_confusion_matrix_of_any_number_of_classes_has_all_their_names(
    tmp_path: Path, saved: list[Figure], classes: int
) -> None:
    matrix = np.random.default_rng(1).integers(0, 3, (classes, classes)) * 1000
    keep(
        tmp_path / "c.png",
        mistakes.confusion(matrix, [f"a rather long name, number {i}" for i in range(classes)], "title"),
    )
    names = [label.get_text() for label in saved[0].axes[0].get_xticklabels()]
    assert len(names) == len(set(names)) == classes
    with Image.open(tmp_path / "c.png") as image:
        assert max(image.size) < 2000


def test_of_very_many_classes_those_of_the_commonest_mistakes_are_shown(tmp_path: Path, saved: list[Figure]) -> None:
    matrix = np.eye(1000, dtype=int) * 50
    for i in range(0, 100, 2):
        matrix[i * 9, i * 9 + 9] = 5  # 50 pairs of classes
    matrix[1, 2] = 1
    keep(tmp_path / "c.png", mistakes.confusion(matrix, [str(i) for i in range(1000)], "title"))
    shown = [int(label.get_text()) for label in saved[0].axes[0].get_xticklabels()]
    assert shown == [i * 9 for i in range(100)]
    assert "of the commonest mistakes, of 1,000" in saved[0].get_suptitle()


def test_the_reliability_diagram_draws_what_was_measured(tmp_path: Path, saved: list[Figure]) -> None:
    generator = np.random.default_rng(0)
    measured = measure(generator.dirichlet(np.ones(4), 500).astype(np.float32), generator.integers(0, 4, 500))
    bins = measured.to_dict()["calibration"]
    keep(tmp_path / "c.png", mistakes.calibration(bins, "title"))
    above, below = saved[0].axes
    full = [b for b in bins if b["n"]]
    drawn = above.lines[1].get_xydata()
    np.testing.assert_allclose(drawn, [(b["confidence"], b["accuracy"]) for b in full])
    assert sum(bar.get_height() for bar in below.patches) == pytest.approx(1)
    legend = {text.get_text() for text in above.get_legend().get_texts()}
    assert "less often: too sure" in legend  # chance is right in a quarter, and these are surer


def test_a_net_that_gave_nan_alone_is_drawn_too(tmp_path: Path) -> None:
    measured = measure(np.full((40, 10), np.nan, dtype=np.float32), np.arange(40) % 10)
    keep(tmp_path / "a.png", mistakes.confusion(measured.confusion, "abcdefghij", "title"))
    keep(tmp_path / "b.png", mistakes.calibration(measured.to_dict()["calibration"], "title"))
    probabilities = np.full((40, 10), np.nan)
    keep(
        tmp_path / "c.png",
        mistakes.contact_sheet(pixels(40, 1, 8, 8), np.arange(40) % 10, probabilities, "abcdefghij", "title"),
    )


@pytest.mark.parametrize("wrong", [0, 1, 7, 40])
def test_a_contact_sheet_for_any_number_of_mistakes(tmp_path: Path, wrong: int) -> None:
    labels = np.arange(50) % 10
    probabilities = np.eye(10)[labels] * 0.9 + 0.01
    probabilities[:wrong] = np.roll(probabilities[:wrong], 1, axis=1)
    keep(
        tmp_path / "s.png",
        mistakes.contact_sheet(pixels(50, 1, 28, 28), labels, probabilities, tuple("abcdefghij"), "title"),
    )
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 1000 and sheet.height > (900 if wrong > 30 else 300)


@pytest.mark.parametrize("shape", [(3, 32, 24), (1, 1, 5), (3, 1, 1), (3, 64, 64)])
def test_a_contact_sheet_of_any_images_and_a_thousand_classes(
    tmp_path: Path, saved: list[Figure], shape: tuple[int, ...]
) -> None:
    generator = np.random.default_rng(0)
    labels = generator.integers(0, 1000, 12)
    probabilities = generator.dirichlet(np.ones(1000), 12)
    images = pixels(12, *shape)
    names = [f"n{i:08d}: what a synset of ImageNet is called, and more" for i in range(1000)]
    keep(tmp_path / "s.png", mistakes.contact_sheet(images, labels, probabilities, names, "title"))
    first = saved[0].axes[0]
    drawn = first.images[0].get_array()
    assert drawn.shape[:2] == shape[1:]
    np.testing.assert_array_equal(np.moveaxis(np.atleast_3d(drawn), -1, 0), images[0])
    name = first.texts[1].get_text()  # below the heading
    assert len(name) == 17 and name.startswith("n0000")


def test_chinese_names_where_no_font_has_them_are_numbers(
    tmp_path: Path, saved: list[Figure], no_other_fonts: None
) -> None:
    matrix = np.ones((10, 10), dtype=int)
    keep(tmp_path / "c.png", mistakes.confusion(matrix, CHINESE, "net on 时装"))  # a warning would be an error
    probabilities = np.eye(10)[np.arange(30) % 10]
    keep(
        tmp_path / "s.png",
        mistakes.contact_sheet(pixels(30, 3, 8, 8), np.arange(30) % 10, probabilities, CHINESE, "net on 时装"),
    )
    assert [label.get_text() for label in saved[0].axes[0].get_yticklabels()] == [f"#{i}" for i in range(10)]
    for figure in saved:
        assert "net on ??" in figure.get_suptitle() and "classes by number" in figure.get_suptitle()


def test_letters_that_the_usual_font_lacks_are_written_in_one_that_has_them(
    tmp_path: Path, saved: list[Figure]
) -> None:
    names = [f"{BARRED_B}one", "two"]
    lettering = Lettering(names, "title", 5)
    assert lettering.names == names and lettering.title == "title"
    usual, *others = lettering.style["fontfamily"]
    assert usual == "DejaVu Sans" and len(others) == 1
    assert Lettering(["one", "two"], "title", 5).style["fontfamily"] == [usual]
    keep(
        tmp_path / "c.png", mistakes.confusion([[1, 2], [3, 4]], names, f"net on {BARRED_B}")
    )  # a warning would be an error
    assert saved[0].get_suptitle() == f"net on {BARRED_B}"


def test_dollar_signs_are_no_mathematics(tmp_path: Path) -> None:
    keep(tmp_path / "c.png", mistakes.confusion([[1, 2], [3, 4]], ["$\\nonsense$", "5$ to 7$"], "a $\\title$"))


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
def test_a_long_name_loses_its_middle(name: str, short: str) -> None:
    (got,) = Lettering([name], "", 5).short(10)
    if name.isascii():
        assert got == short
    else:  # as a machine's fonts have it
        assert got in (short, "#0")


def test_a_title_keeps_its_lines_and_gets_more_where_it_is_wider_than_the_image() -> None:
    assert Lettering([], "one\ntwo\tthree", 5).title == "one\ntwo three"
    assert Lettering([], "net with activation=relu on images", 2).title == "net with\nactivation=relu on\nimages"


def test_curves_have_titles_of_any_script(tmp_path: Path, no_other_fonts: None) -> None:
    keep(tmp_path / "c.png", figures.draw_curves([], None, "net on 时装 $\\title$"))
    assert (tmp_path / "c.png").stat().st_size
