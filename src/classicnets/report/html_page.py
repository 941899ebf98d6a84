"""A Markdown page as one HTML file: images inside, no scripts, readable on a phone, in the dark and printed."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping
from urllib.parse import unquote

from markdown_it import MarkdownIt
from markdown_it.token import Token

from classicnets.language import html_language

_STYLE = """\
:root { color-scheme: light dark; --text: #1c1e21; --back: #fff; --soft: #f4f5f7; --line: #d9dce1; --link: #1559a5; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e6ea; --back: #16181c; --soft: #20242a; --line: #3a3f47; --link: #83b9f5; }
}
body { margin: 0 auto; max-width: 72rem; padding: 1rem 1.25rem 3rem; color: var(--text); background: var(--back);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: .6rem 0 1rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .7rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; }
h2:first-of-type + ul { font-size: 1.08rem; padding: .8rem 1rem .8rem 2.2rem; background: var(--soft);
  border-left: 4px solid var(--link); border-radius: 4px; }
a { color: var(--link); }
code, pre { font: .9em/1.4 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; background: var(--soft);
  border-radius: 4px; }
code { padding: .1em .3em; }
pre { padding: .7rem 1rem; white-space: pre-wrap; overflow-wrap: anywhere; }
pre code { padding: 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
.table { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { background: var(--soft); vertical-align: bottom; }
th:empty { padding: 0; }
td[style*=right] { white-space: nowrap; }
td:first-child { min-width: 6rem; }
@media (max-width: 48rem) {
  body { padding: .5rem .8rem 2rem; } h1 { font-size: 1.3rem; } table { font-size: .8rem; }
  th, td { padding: .3rem .5rem; }
  th:first-child, td:first-child { position: sticky; left: 0; background: var(--soft); }
}
@media print {
  :root { color-scheme: light; --text: #000; --back: #fff; --soft: #f4f5f7; --line: #bbb; --link: #000; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  .table { overflow: visible; } table { font-size: 7.5pt; } th, td { padding: .2rem .35rem; }
  td[style*=right] { white-space: normal; }
  a { text-decoration: none; } h2 { break-after: avoid; } tr, img { break-inside: avoid; }
  img { max-height: 24cm; }
}
"""


def page(markdown: str, title: str, images: Mapping[str, bytes]) -> str:
    """Return the HTML of a page.

    Args:
        markdown: its text; HTML in it is shown, not obeyed.
        title: the title of the window.
        images: the contents of its PNG images, by their names in the text.
    """
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(markdown)
    for token in tokens:
        for child in token.children or []:
            _embed(child, images)
    body = parser.renderer.render(tokens, parser.options, {})
    body = body.replace("<table>", '<div class="table"><table>').replace("</table>", "</table></div>")
    return (
        f'<!doctype html>\n<html lang="{html_language()}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{_STYLE}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def _embed(token: Token, images: Mapping[str, bytes]) -> None:
    """Put the contents of an image into its token."""
    source = unquote(str(token.attrGet("src") or ""))
    if token.type == "image" and source in images:
        token.attrSet("src", f"data:image/png;base64,{base64.b64encode(images[source]).decode()}")
