"""Options in the text of a hint: read from the words of the command line, and written as keywords of Python."""

from __future__ import annotations

import re
import shlex

from classicnets.options import option_fields, spelling
from classicnets.spec import RunSpec

FLAGS = {spelling(f): f for f in option_fields(RunSpec) if spelling(f).startswith("--") and f.name != "settings"}


def options(text: str) -> list[tuple[str, str]] | None:
    """Return the options and settings in words of the command line, "--set lr=0.1 --limit 10"; None for other text."""
    try:
        words = shlex.split(text, comments=True)
    except ValueError:
        return None
    changes, flag = list[tuple[str, str]](), ""
    for word in words:
        if word == "--set" or word in FLAGS:
            flag = word
            if flag in FLAGS and str(FLAGS[flag].type) == "bool":
                changes.append((FLAGS[flag].name, "true"))
        elif flag == "--set" and "=" in word:
            key, _equals, value = word.partition("=")
            changes.append((key, value))
        elif flag in FLAGS:
            changes.append((FLAGS[flag].name, word))
            flag = ""
        elif re.fullmatch(r"\S+\.py:\w+", word) and len(words) == 1:
            changes.append(("net", word))
        else:
            return None
    return changes or None


def as_python(hint: str) -> str:
    """Return a hint with keywords of `train` instead of options: "lr=0.1, initialize='xavier_uniform'"."""
    keywords, variation = list[str](), dict[str, str | float]()
    for key, value in options(hint) or ():
        if key.startswith("net."):
            variation[key.removeprefix("net.")] = _value(value)
        else:
            keywords.append(f"{key}={_value(value)!r}")
    if variation:
        keywords.append(f"variation={variation!r}")
    return ", ".join(keywords) or hint


def _value(text: str) -> str | float:
    """The value of an option as Python has it: a number, or text as it is typed."""
    if text in {"true", "false"}:
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return text
