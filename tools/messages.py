"""The catalog of the Chinese texts. `python tools/messages.py` adds new messages of the source, and removes old ones.

A message is a literal passed to `_`, `plural`, `N_`, `in_context`, `Message` or `ModelError`, or the text of a
declaration that is translated when it is shown: the help of an option or command, an error code, an exercise, a
deviation of a recipe; or a text in the file of a study of the package. The catalog is
src/classicnets/locale/zh_CN/LC_MESSAGES/classicnets.po; setup.py compiles it.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from babel.messages import Catalog
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

from classicnets.studies.preset_texts import texts

ROOT = Path(__file__).resolve().parents[1]
SOURCE = ROOT / "src" / "classicnets"
CATALOG = SOURCE / "locale" / "zh_CN" / "LC_MESSAGES" / "classicnets.po"

# what holds text: arguments of calls and keys of dictionaries, and constants
_FIELDS = {"help", "shown", "title", "question", "hints", "solution", "rubric", "deviations", "license"}
_KEYWORDS = {"Entry": {"source"}, "Expected": {"source"}}  # arguments that hold text only in these calls
_POSITIONS = {"Action": (0,), "Measure": (1,), "Format": (1, 2), "expect": (2,), "single": (1,)}
_POSITIONS |= {"Message": (0,), "ModelError": (0,)}
_CONSTANTS = {"HELP", "CODES", "EXPLANATIONS", "DIFFERENCES", "NOT_FETCHED", "STANDALONE"}


class InContext(NamedTuple):
    """A message for one of several translations."""

    context: str
    text: str


Message = str | tuple[str, str] | InContext  # a message, with its plural form, or in a context


def extract(folder: Path = SOURCE) -> dict[Message, list[str]]:
    """Return the messages of all Python files and studies in a folder, each with its files."""
    files: dict[Message, list[str]] = {}
    for path in sorted([*folder.rglob("*.py"), *folder.rglob("*.toml")]):
        text = path.read_text(encoding="utf-8")
        for message in messages(ast.parse(text)) if path.suffix == ".py" else texts(text):
            names = files.setdefault(message, [])
            if (name := path.relative_to(folder).as_posix()) not in names:
                names.append(name)
    # a catalog has one entry for a message and its singular
    singular = {message[0] for message in files if isinstance(message, tuple) and not isinstance(message, InContext)}
    return {message: names for message, names in files.items() if message and message not in singular}


def messages(tree: ast.AST) -> Iterator[Message]:
    """Yield the messages of a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in {"_", "N_"}:
                yield from _texts(node.args[0])
            elif name == "plural" and all(isinstance(argument, ast.Constant) for argument in node.args[:2]):
                singular, plural = (text for argument in node.args[:2] for text in _texts(argument))
                yield singular, plural
            elif name == "in_context" and all(isinstance(argument, ast.Constant) for argument in node.args):
                yield InContext(*(text for argument in node.args for text in _texts(argument)))
            for position in _POSITIONS.get(name, ()):
                if position < len(node.args) and not isinstance(node.args[position], ast.Tuple):
                    yield from _texts(node.args[position])
            for keyword in node.keywords:
                if keyword.arg in _FIELDS | _KEYWORDS.get(name, set()):
                    yield from _texts(keyword.value)
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value in _FIELDS:
                    yield from _texts(value)
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id in _CONSTANTS for target in targets):
                yield from _texts(node.value)


def _texts(node: ast.expr) -> Iterator[str]:
    """The texts of a literal: of a tuple, list or dictionary, all values."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List):
        for element in node.elts:
            yield from _texts(element)
    elif isinstance(node, ast.Dict):
        for value in node.values:
            yield from _texts(value)
    elif isinstance(node, ast.IfExp):
        yield from (*_texts(node.body), *_texts(node.orelse))


def read(path: Path = CATALOG) -> Catalog:
    """Read a catalog."""
    with path.open("rb") as file:
        return read_po(file)


def update(translations: dict[str, str] | None = None) -> tuple[int, int]:
    """Write the catalog with the messages of the source; return their number and that of the missing translations.

    Args:
        translations: Chinese by the message, or its singular form, to replace what the catalog has. The key of a
            message in a context is "CONTEXT|MESSAGE".
    """
    old = read() if CATALOG.exists() else Catalog(locale="zh_CN")
    new = Catalog(locale="zh_CN", project="classicnets", charset="utf-8")
    missing = 0
    for message, names in extract().items():
        context, key = message if isinstance(message, InContext) else (None, message)
        key = key if isinstance(key, str) else key[0]
        known = old.get(key, context)
        text = (translations or {}).get(f"{context}|{key}" if context else key) or (known.string if known else "")
        text = text if isinstance(text, str) else "".join(text or ())  # Chinese has one form
        missing += not text
        has_plural = isinstance(message, tuple) and context is None
        places = [(name, 1) for name in names]
        new.add(message if has_plural else key, (text,) if has_plural else text, locations=places, context=context)
    CATALOG.parent.mkdir(parents=True, exist_ok=True)
    temporary = CATALOG.with_suffix(".tmp")
    with temporary.open("wb") as file:
        write_po(file, new, width=0, include_lineno=False, sort_by_file=True)
    temporary.replace(CATALOG)
    with CATALOG.with_suffix(".mo").open("wb") as file:  # for an editable install
        write_mo(file, new)
    return len(new), missing


if __name__ == "__main__":
    count, missing = update()
    print(f"{count} messages, {missing} not translated")
    sys.exit(missing > 0)
