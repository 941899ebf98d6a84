"""The texts in the files of the studies that come with the package: their strings for readers, and their comments."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

from classicnets.text import _, columns, wrap

_WIDTH = 100  # columns of a translated string
_TEXT = re.compile(
    r'^(?P<key>question|scope|what|value|source) = (?P<string>"""(?:.|\n)*?"""|"(?:[^"\\\n]|\\.)*")$'
    r"|^(?P<block>(?:#.*\n)+)"  # lines that are comments
    r"|(?<=\S)  # (?P<comment>.*)$",  # a comment after a value
    re.MULTILINE,
)


def texts(toml: str) -> Iterator[str]:
    """Yield the strings that readers see, and the comments: paragraphs with their line breaks, without the "#"."""
    for match in _TEXT.finditer(toml):
        if match["string"]:
            yield _string(match)
        else:
            yield from _paragraphs(match)


def translated(toml: str) -> str:
    """Return the text of a file in the language of the user; settings and names stay as they are."""
    return _TEXT.sub(_replacement, toml)


def _replacement(match: re.Match[str]) -> str:
    if match["string"]:
        text = _string(match)
        return match[0] if _(text) == text else f"{match['key']} = {_spelled(_(text))}"
    paragraphs = [_(text) for text in _paragraphs(match)]
    if match["comment"]:
        return f"  # {paragraphs[0]}"
    return "#\n".join("".join(f"# {line}".rstrip() + "\n" for line in text.split("\n")) for text in paragraphs)


def _string(match: re.Match[str]) -> str:
    return str(tomllib.loads(match[0])[match["key"]])


def _paragraphs(match: re.Match[str]) -> list[str]:
    if match["comment"]:
        return [match["comment"]]
    lines = [line[2:] for line in match["block"].splitlines()]
    return "\n".join(lines).split("\n\n")


def _spelled(text: str) -> str:
    """A string in TOML: on one line, or with lines that end with a backslash if it is long."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    if columns(escaped) <= _WIDTH:
        return f'"{escaped}"'
    lines, at = [], 0
    for line in wrap(escaped, _WIDTH):
        at += len(line)
        blanks = len(escaped[at:]) - len(escaped[at:].lstrip(" "))  # a line that ends with a backslash keeps them
        lines.append(line + " " * blanks)
        at += blanks
    return '"""\n' + "\\\n".join(lines) + '"""'
