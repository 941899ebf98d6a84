"""Names cannot control a terminal: escape sequences, line breaks and marks of direction are shown, not obeyed."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

import classicnets as cn
from classicnets.errors import DataError
from classicnets.report import tables
from classicnets.text import visible
from support.command_line import CommandLine
from support.images import make_image_folder


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\x1b[31mred", r"\x1b[31mred"),
        ("bell\x07 delete\x7f c1\x9b2J", r"bell\x07 delete\x7f c1\x9b2J"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("a\u2028b", r"a\u2028b"),
        ("\udcff", r"\udcff"),
        ("déjà vu 猫 \xa0 👩‍👧 שלום [red]", "déjà vu 猫 \xa0 👩‍👧 שלום [red]"),
    ],
)
def test_only_what_controls_is_escaped(name: str, shown: str) -> None:
    assert visible(name) == shown
    assert str(DataError("CN304", "what", where=name)).splitlines()[1] == f"  where: {shown}"


def test_line_breaks_are_kept_where_text_has_lines() -> None:
    assert visible("a\n\tb\r") == "a\n\tb\\r" and visible("a\n\tb", one_line=True) == r"a\n\tb"


def test_consoles_escape_text_and_cells_but_keep_their_own_styles(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr("sys.stderr", stream)
    console = tables.console(stderr=True)
    console.print("\x1b[31mx", "[red]y[/red]")
    console.print(tables.table(["\x1b]0;title\x07"], [["\x1b[2J"]]))
    assert "\x1b" not in stream.getvalue() and "\x07" not in stream.getvalue()
    assert r"\x1b[31mx [red]y[/red]" in stream.getvalue() and r"\x1b[2J" in stream.getvalue()


def test_every_command_escapes_the_names_of_files(tmp_path: Path, cli: CommandLine) -> None:
    folder = make_image_folder(tmp_path / "animals", per_class=6, test_per_class=2)
    run = cn.train("lenet_d2l", data=str(folder), recipe="fast", epochs=1, image_size=28, quiet=True)
    image = next((folder / "test").rglob("*.png"))
    bad = folder / "train" / image.parent.name / "\x1b[31mbad\n\u202e.png"
    bad.write_bytes(b"")
    odd = image.rename(image.with_name("\x1b[32mgood.png"))
    for words in (
        ["predict", run.path, odd, bad],
        ["evaluate", run.path, folder],
        ["data", "check", folder],
        ["data", "preview", folder],
        ["train", "lenet_d2l", "--data", folder],
        ["predict", run.path, "\x1b[33mgone.png"],
        ["show", "\x1b[34mnet"],
        ["explain", "\x1b[35mCODE"],
    ):
        _, out, err = cli(*words)
        assert "\x1b" not in out + err and "\u202e" not in out + err, (words, out, err)
