"""Makes the generated pages of docs/: `python docs/make.py`, or with the names of some pages.

`make docs` builds the website: `--site FOLDER` writes its sources into a folder, and `--check FOLDER` fails if the
built website in a folder loads something from another server.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from classicnets.language import texts_in
from pages import claims, nets, performance, recipes, site, studies

DOCS = Path(__file__).parent
COMMAND = "python docs/make.py"
PAGES: dict[str, Callable[[str], str]] = {
    "nets.md": nets.page,
    "claims.md": claims.page,
    "claims.zh-CN.md": claims.page,
    "recipes.md": recipes.page,
    "performance.md": performance.page,
    "studies.md": studies.index,
}


def pages() -> dict[str, Callable[[str], str]]:
    """The functions that make the generated pages, by their names; each finished study has one, too."""
    return PAGES | {f"studies/{name}.md": partial(studies.page, name=name) for name in studies.names()}


def page(name: str) -> str:
    """The text of a generated page, in the language of its name."""
    with texts_in("zh" if name.endswith(".zh-CN.md") else "en"):
        return pages()[name](COMMAND)


def write(name: str) -> None:
    """Writes a generated page and prints its path."""
    path = DOCS / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(page(name), encoding="utf-8")
    print(path)


def main() -> None:
    """Writes the pages, or the sources of the website."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"some of {', '.join(pages())} (default: all)")
    parser.add_argument("--site", metavar="FOLDER", type=Path, help="write the sources of the website into FOLDER")
    parser.add_argument("--check", metavar="FOLDER", type=Path, help="check that a website loads nothing external")
    args = parser.parse_args()
    if unknown := set(args.pages) - set(pages()):
        parser.error(f"there is no generated page {', '.join(sorted(unknown))}")
    if args.site:
        print(f"{site.write(args.site)} pages in {args.site}")
        return
    if args.check:
        if resources := site.external_resources(args.check):
            sys.exit("loaded from other servers:\n" + "\n".join(resources))
        print(f"{args.check} loads nothing from other servers")
        return
    for name in args.pages or pages():
        write(name)


if __name__ == "__main__":
    main()
