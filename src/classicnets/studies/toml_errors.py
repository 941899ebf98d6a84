"""Explains why a file is not TOML: shows the line, and how it is written."""

from __future__ import annotations

import re
import tomllib

from classicnets.strict_json import dump
from classicnets.text import _

_OTHER_SPELLINGS = {"True": "true", "False": "false"}  # Python's


def explain(text: str, error: tomllib.TOMLDecodeError) -> tuple[str, str]:
    """Return why a text is not TOML, with the line, and that line as it should be; "" if that is not known."""
    place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
    lines = text.splitlines()
    number, column = map(int, place.groups()) if place else (len(lines), 1)  # at the end of the document
    if not 0 < number <= len(lines):
        return str(error), ""
    line = lines[number - 1]
    shown = _("line {number}: {line}", number=number, line=line.strip())
    if key := _dotted_key(lines[:number]):
        reason = _("net has a value, so {key} beside it must be in quotes: {quoted}", key=key, quoted=dump(key))
        wrong = next(each for each in reversed(lines[:number]) if re.match(rf"\s*{re.escape(key)}\s*=", each))
        return f"{reason}\n{shown}", wrong.strip().replace(key, dump(key), 1)
    if right := _with_quotes(line, column - 1):
        return "\n".join([_("text needs quotes"), str(error), shown]), right.strip()
    return f"{error}\n{shown}", ""


def _dotted_key(lines: list[str]) -> str:
    """The key such as net.pool that stands beside net = ... in the last table of these lines, one in the last line."""
    start = max((i for i, line in enumerate(lines) if line.lstrip().startswith("[")), default=0)
    keys = [found[1] for line in lines[start:] if (found := re.match(r"\s*(net(?:\.[\w-]+)?)\s*=", line))]
    last = re.match(r"\s*net\b", lines[-1])
    return next((key for key in reversed(keys) if "." in key), "") if last and "net" in keys else ""


def _with_quotes(line: str, at: int) -> str:
    """The line with quotes around a value without them that begins at `at`; "" if there is none."""
    rest = line[at:]
    if not re.match(r"[^\W\d]|[./~]", rest) or not re.search(r"[=,\[]\s*$", line[:at]):
        return ""
    is_whole = re.fullmatch(r"\s*[\w.\"'-]+\s*=\s*", line[:at])
    found = re.match(r"[^#\"]+" if is_whole else r"[^\s,\]}#\"]+", rest)
    if not found:
        return ""
    value = found[0].rstrip()
    return line[:at] + _OTHER_SPELLINGS.get(value, dump(value, ascii=False)) + rest[len(value) :]
