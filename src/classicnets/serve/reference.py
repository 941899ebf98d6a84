"""The page /docs: the paths of /openapi.json as HTML without scripts, so that it needs no other server."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from classicnets.language import html_language
from classicnets.strict_json import dump
from classicnets.text import _

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_PAGE = """<!DOCTYPE html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title} HTTP API</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }}
details {{ border: 1px solid #8888; border-radius: 6px; margin: .5rem 0; padding: .4rem .8rem; }}
summary {{ cursor: pointer; }}
summary b {{ display: inline-block; min-width: 3.2rem; }}
code, pre {{ font: .9rem/1.4 ui-monospace, monospace; }}
pre {{ overflow-x: auto; background: #8882; padding: .6rem .8rem; border-radius: 4px; }}
table {{ border-collapse: collapse; }}
td, th {{ text-align: left; vertical-align: top; padding: .15rem 1rem .15rem 0; }}
h2 {{ font-size: 1rem; margin: .8rem 0 .2rem; }}
</style>
<h1>{title} {version}</h1>
<p>{description} {programs}</p>
{operations}
</html>
"""


def page(schema: dict[str, Any]) -> str:
    """Return the page that describes the paths of an OpenAPI schema, in the language of the texts."""
    about = {name: html.escape(_(schema["info"][name])) for name in ("title", "version", "description")}
    about["lang"] = html_language()
    about["programs"] = _("{link} has all of it for programs.", link='<a href="openapi.json">openapi.json</a>')
    operations = [
        _operation(method.upper(), path, operation)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
    ]
    return _PAGE.format(operations="\n".join(operations), **about)


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<summary><b>{method}</b> <code>{html.escape(path)}</code> {html.escape(_(operation['summary']))}</summary>"
    ]
    if operation.get("description"):
        parts.append(f"<p>{html.escape(_(operation['description']))}</p>")
    if parameters := operation.get("parameters"):
        described = [(p["name"], p["in"], _(p["description"]) + _default(p["schema"])) for p in parameters]
        parts.append(_table(_("Parameters"), described))
    body = operation.get("requestBody", {}).get("content", {})
    if body:
        parts.append(f"<h2>{_('Body')}</h2>" + ", ".join(f"<code>{html.escape(kind)}</code>" for kind in body))
        parts += _examples(body)
    answers = sorted((status, _(answer["description"])) for status, answer in operation["responses"].items())
    parts.append(_table(_("Answers"), answers))
    parts += _examples(operation["responses"].get("200", {}).get("content", {}))
    return f"<details{' open' if path == '/predict' else ''}>{''.join(parts)}</details>"


def _default(schema: dict[str, Any]) -> str:
    return _(" (default: {value})", value=schema["default"]) if "default" in schema else ""


def _table(title: str, rows: Sequence[tuple[str, ...]]) -> str:
    lines = ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f"<h2>{title}</h2><table>{''.join(lines)}</table>"


def _examples(content: dict[str, Any]) -> list[str]:
    """The examples of a body or an answer."""
    examples = [kind["example"] for kind in content.values() if "example" in kind]
    return [f"<pre>{html.escape(dump(example, indent=2))}</pre>" for example in examples]
