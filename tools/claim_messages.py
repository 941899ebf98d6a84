"""The catalog of the Chinese claims. `python tools/claim_messages.py` adds new messages, and removes old ones.

A message is a literal passed to `_` or `N_` in docs/claims or docs/pages, or the text of a claim: the docstring of its
check, or an argument. The catalog is docs/locale/zh_CN.po.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import messages
from babel.messages import Catalog
from babel.messages.pofile import write_po

DOCS = Path(__file__).resolve().parents[1] / "docs"
CATALOG = DOCS / "locale" / "zh_CN.po"

# positions of the arguments that are messages
_POSITIONS = {"Topic": (0,), "sourced": (2, 3), "Measured": (0,)}


def extract() -> dict[str, list[str]]:
    """Return the messages of the claims and pages, each with its files."""
    files: dict[str, list[str]] = {}
    for path in sorted([*(DOCS / "claims").glob("*.py"), *(DOCS / "pages").glob("*.py")]):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        name = path.relative_to(DOCS).as_posix()
        for message in [*_of_claims(tree), *messages.messages(tree)]:
            assert isinstance(message, str), f"{name}: the pages have no plural forms: {message}"
            names = files.setdefault(message, [])
            if name not in names:
                names.append(name)
    return files


def _of_claims(tree: ast.AST) -> Iterator[str]:
    """The texts of claims: the docstrings of functions with the decorator `computed`, and literal arguments."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            calls = [decorator.func for decorator in node.decorator_list if isinstance(decorator, ast.Call)]
            if any(isinstance(call, ast.Attribute) and call.attr == "computed" for call in calls):
                yield " ".join((ast.get_docstring(node) or "").split())
        elif isinstance(node, ast.Call):
            positions = _POSITIONS.get(getattr(node.func, "id", getattr(node.func, "attr", "")), ())
            for argument in (node.args[position] for position in positions):
                if isinstance(argument, ast.Constant):
                    yield str(argument.value)


def update(translations: Mapping[str, str] | None = None) -> tuple[int, int]:
    """Write the catalog with the messages; return their number and that of the missing translations.

    Args:
        translations: Chinese by the message, to replace what the catalog has.
    """
    old = messages.read(CATALOG) if CATALOG.exists() else Catalog(locale="zh_CN")
    new = Catalog(locale="zh_CN", project="classicnets", charset="utf-8")
    missing = 0
    for message, names in extract().items():
        known = old.get(message)
        text = (translations or {}).get(message) or (str(known.string) if known else "")
        missing += not text
        new.add(message, text, locations=[(name, 1) for name in names])
    CATALOG.parent.mkdir(exist_ok=True)
    with CATALOG.open("wb") as file:
        write_po(file, new, width=0, include_lineno=False, sort_by_file=True)
    return len(new), missing


if __name__ == "__main__":
    count, missing = update()
    print(f"{count} messages, {missing} not translated")
    sys.exit(missing > 0)
