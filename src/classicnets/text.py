"""Text for users: translation, plurals, shapes, sizes, durations, lists, nearest names, shell commands.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import csv
import difflib
import functools
import io
import itertools
import re
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from classicnets.language import catalog, language

# classes of the characters that change the direction of text, in Unicode's bidirectional algorithm
_DIRECTIONS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}

_NOT_FIRST, _NOT_LAST = "，。、；：？！）》」』”’…,.;:?!)%", "（《「『“‘("  # on a line

_running: tuple[list[str], Callable[..., Sequence[str]]] | None = None  # see `running`

__all__ = ["N_", "_", "again", "assignments", "byte_count", "clauses", "columns", "command", "csv_row", "duration"]
__all__ += ["full_stop", "in_context", "join", "labeled", "listed", "nearest", "note", "pad", "phrases", "plural"]
__all__ += ["sentences", "shape", "visible", "wrap"]


def _(message: str, /, **fields: object) -> str:
    """Translate a message and fill in its fields: `_("{n:,} images of {name}", n=3, name=x)`.

    Every text that a user reads passes through this function or `plural`. Pass whole sentences, so that a translation
    can change the order of their parts.
    """
    translated = catalog(language()).gettext(message) if message else ""  # gettext returns its header for ""
    return _filled(translated, fields) if fields else translated


def in_context(context: str, message: str) -> str:
    """Translate a word that has several translations, as which it is used: `in_context("unit", "seconds")`."""
    return catalog(language()).pgettext(context, message)


def N_(message: str) -> str:  # noqa: N802
    """Return a message as it is, and mark it as one that `_` translates when it is shown: a constant."""
    return message


def plural(singular: str, plural_form: str, n: int, /, **fields: object) -> str:
    """Translate the form of a message for `n` items; `n` is a field too: `plural("{n} class", "{n:,} classes", n)`."""
    return _filled(catalog(language()).ngettext(singular, plural_form, n), {"n": n, **fields})


def _filled(message: str, fields: Mapping[str, object]) -> str:
    """Fill in the fields. The blank between Chinese and Latin letters is omitted where a field is Chinese, too."""
    if language() == "zh":
        for name, value in fields.items():
            text = str(value)
            if text and _is_wide(text[0]):
                message = re.sub(rf"(?<=[\u4e00-\u9fff]) (?=\{{{name}\b)", "", message)
            if text and _is_wide(text[-1]):
                message = re.sub(rf"(\{{{name}\b[^}}]*\}}) (?=[\u4e00-\u9fff])", r"\1", message)
    return message.format(**fields)


def shape(sizes: Iterable[int | str], by: str = "x") -> str:
    """Format a shape: (1, 28, 28) as "1x28x28", () as "a single number"."""
    return by.join(map(str, sizes)) or _("a single number")


def byte_count(size: int | None) -> str:
    """Format a number of bytes in decimal units: "246.8 kB"; None as "unknown"."""
    if size is None:
        return _("unknown")
    value = float(size)
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def duration(seconds: float) -> str:
    """Format seconds in at most two units: "8.3 s", "4 min 10 s", "1 day 3 h"."""
    if seconds < 10:
        return _("{seconds:.1f} s", seconds=seconds)
    minutes, whole_seconds = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return plural("{n} day {hours} h", "{n:,} days {hours} h", days, hours=hours_left)
    if hours:
        return _("{hours} h {minutes} min", hours=hours, minutes=minutes_left)
    if minutes:
        return _("{minutes} min {seconds} s", minutes=minutes, seconds=whole_seconds)
    return _("{seconds} s", seconds=whole_seconds)


def join(names: Sequence[str], most: int = 5) -> str:
    """List the first `most` names and the number of the others: "a, b and 3 more"."""
    first, others = listed(names[:most]), len(names) - most
    return plural("{names} and {n:,} more", "{names} and {n:,} more", others, names=first) if others > 0 else first


def listed(words: Iterable[str]) -> str:
    """List words: "a, b"; with the comma of Chinese lists if one of them is Chinese."""
    words = [*words]
    if not any(map(_is_wide, "".join(words))):  # a list of code
        return ", ".join(words)
    return _linked(words, lambda before, word: _("{words}, {word}", words=before, word=word))


def phrases(parts: Iterable[str]) -> str:
    """Put parts of a sentence into one line: "3 layers, 10 outputs"."""
    return _linked(parts, lambda before, phrase: _("{before}, {phrase}", before=before, phrase=phrase))


def clauses(parts: Iterable[str]) -> str:
    """Put clauses that are not empty into one sentence: "the loss grows; lr is high"."""
    return _linked(parts, lambda before, clause: _("{before}; {clause}", before=before, clause=clause))


def sentences(parts: Iterable[str]) -> str:
    """Put whole sentences into one line."""
    return _linked(parts, lambda before, sentence: _("{before} {sentence}", before=before, sentence=sentence))


def full_stop(sentence: str) -> str:
    """Return a sentence with its full stop."""
    return _("{sentence}.", sentence=sentence)


def labeled(label: object, text: object) -> str:
    """Put a label before a text: "conv1: no bias"."""
    return _("{label}: {text}", label=label, text=text)


def _linked(parts: Iterable[str], link: Callable[[str, str], str]) -> str:
    parts = [part for part in parts if part]
    return functools.reduce(link, parts) if parts else ""


def assignments(values: Mapping[str, object], prefix: str = "") -> str:
    """Format settings as they are typed: "lr=0.1, epochs=2"; `prefix` is put before each name."""
    return ", ".join(f"{prefix}{name}={value}" for name, value in values.items())


def nearest(word: str, names: Iterable[str]) -> str:
    """Return the name that `word` most likely means: a misspelling or an abbreviation of it; "" if there is none.

    Case, and separators such as "_" and "-", are ignored. A misspelling has the first letter and the digits of the
    name, because cifar100 is not cifar10, and resnet not lenet; it differs in at most one letter in four. An
    abbreviation is the beginning of only one name, and ends with one of its words or has half of its letters.
    """
    originals = {name.casefold(): name for name in reversed([*names])}
    typed = word.casefold()
    plain = _plain(typed)
    if not plain:
        return ""
    for name in difflib.get_close_matches(typed, originals, 5):
        letters = _plain(name)
        same_digits = any(_digits(form(letters)) == _digits(form(plain)) for form in (str, _with_digits))
        if letters == plain or (
            (letters[:1] == plain[:1] or letters[1::-1] == plain[:2])
            and same_digits
            and _edit_distance(plain, letters) <= (max(1, len(plain) // 4) if len(plain) > 2 else 0)
        ):
            return originals[name]
    longer = sorted((name for name in originals if name.startswith(typed)), key=len)
    if not longer or not all(re.match(re.escape(longer[0]) + r"(_|$)", name) for name in longer):
        return ""
    name = longer[0]
    ends_word = not name[len(typed)].isalnum()
    return originals[name] if len(typed) > 2 and (ends_word or 2 * len(typed) >= len(name)) else ""


def _plain(name: str) -> str:
    """The letters and digits of a name."""
    return re.sub(r"[\W_]", "", name)


def _with_digits(name: str) -> str:
    """The name with digits for the letters that look like them: convl is conv1."""
    return name.translate(str.maketrans("lio", "110"))


def _digits(name: str) -> list[str]:
    return re.findall(r"\d", name)


def _edit_distance(left: str, right: str) -> int:
    """The number of letters to insert, delete, replace or swap with their neighbor to get from `left` to `right`."""
    earlier: list[int] = []
    before: list[int] = []
    row: list[int] = [*range(len(right) + 1)]
    for i, letter in enumerate(left, 1):
        earlier, before, row = before, row, [i]
        for j, other in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (letter != other)))
            if i > 1 and j > 1 and (letter, left[i - 2]) == (right[j - 2], other):
                row[-1] = min(row[-1], earlier[j - 2] + 1)
    return row[-1]


def command(*words: str | Path) -> str:
    r"""Format words of a command line for a shell, so that it can be pasted: with quotes where they are needed.

    Characters that would control a terminal, and bytes that are not valid UTF-8, are written as bash's $'\x1b'.

    Pass a file or folder as a Path: if its name begins with a dash, it is written as ./-name, because commands would
    take it for an option.
    """
    return " ".join(
        _quoted(f"./{word}" if isinstance(word, Path) and str(word).startswith("-") else str(word)) for word in words
    )


def _quoted(word: str) -> str:
    """A word as bash reads it."""
    if not any(map(_controls, word)):
        return shlex.quote(word)
    letters = []
    for c in word:
        if _controls(c):
            letters.append("".join(f"\\x{byte:02x}" for byte in c.encode("utf-8", "surrogateescape")))
        else:
            letters.append(f"\\{c}" if c in "\\'" else c)
    return f"$'{''.join(letters)}'"


def csv_row(cells: Iterable[object]) -> str:
    """Format a line of a CSV; cells with line breaks of any kind are quoted."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)  # quotes a cell that has one of these characters
    return line.getvalue().removesuffix("\r\n") + "\n"


def note(message: str) -> None:
    """Print a note to standard error."""
    print(visible(message), file=sys.stderr)


@contextmanager
def running(program: str, words: Callable[..., Sequence[str]]) -> Iterator[None]:
    """While open, `again` repeats a command.

    Args:
        program: the command without its options: "classicnets export".
        words: returns the words that follow, with those changes of options that `again` is given.
    """
    global _running  # noqa: PLW0603 - a process runs one command
    before, _running = _running, (program.split(), words)
    try:
        yield
    finally:
        _running = before


def again(*words: str | Path, **changes: object) -> str:
    """Format the command that runs now with all options that the user gave, except for these changes.

    Args:
        words: the command to format instead if it is not the one that runs, as in Python.
        changes: new values of options by the names of their fields; None removes one.
    """
    if _running is not None and [*map(str, words[: len(_running[0])])] == _running[0]:
        return command(*_running[0], *_running[1](**changes))
    return command(*words)


def visible(text: str, *, one_line: bool = False) -> str:
    """Return text for a terminal: what would control it, or reverse the order of what follows, is escaped.

    Args:
        text: Any text, such as the name of a file.
        one_line: Whether line breaks and tabs are escaped, too.
    """
    kept = "" if one_line else "\n\t"
    return "".join(c if c in kept or not _controls(c) else c.encode("unicode_escape").decode() for c in text)


def wrap(text: str, width: int, indent: int = 0) -> list[str]:
    """Break a line into lines of at most `width` columns: at blanks, and between Chinese characters.

    A Chinese character is two columns wide. A word that is wider than a line is broken, too.

    Args:
        text: The line; blanks at its start stay.
        width: Columns of a line.
        indent: Blanks before each line but the first.
    """
    lines: list[str] = []
    line = ""
    for piece in _pieces(text):
        if columns(line + piece.rstrip()) <= width or not line.strip():
            line += piece
        else:
            lines.append(line.rstrip())
            line = " " * indent + piece
        while columns(line.rstrip()) > width:
            end = next(i for i in range(len(line), 0, -1) if columns(line[:i]) <= width or i == indent + 1)
            lines.append(line[:end])
            line = " " * indent + line[end:]
    return [*lines, line.rstrip()] if line.strip() or not lines else lines


def columns(text: str) -> int:
    """Return the width of a text in a terminal: a Chinese character takes two columns."""
    return sum(2 if _is_wide(c) else 1 for c in text if not unicodedata.combining(c))


def pad(text: str, width: int) -> str:
    """Return a text with blanks up to a width in columns."""
    return text + " " * (width - columns(text))


def _pieces(text: str) -> Iterator[str]:
    """The parts of a text that stay on one line: words with their blanks, and Chinese characters with their marks."""
    piece = ""
    for before, c in itertools.pairwise(f" {text}"):
        between_words = before == " " and c != " "
        between_characters = (_is_wide(before) or _is_wide(c)) and " " not in (before, c)
        if between_words or (between_characters and c not in _NOT_FIRST and before not in _NOT_LAST):
            if piece:
                yield piece
            piece = ""
        piece += c
    yield piece


def _is_wide(c: str) -> bool:
    return unicodedata.east_asian_width(c) in "WF"


def _controls(c: str) -> bool:
    return unicodedata.category(c) in {"Cc", "Cs", "Zl", "Zp"} or unicodedata.bidirectional(c) in _DIRECTIONS
