"""Makes the generated pages of docs/: `python docs/make.py`, or with the names of some pages.

`python docs/make.py --site FOLDER` writes the sources of the website into a folder, which `make docs` builds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from pages import claims, nets, performance, recipes

DOCS = Path(__file__).parent
COMMAND = "python docs/make.py"
PAGES: dict[str, Callable[[str], str]] = {
    "nets.md": nets.page,
    "claims.md": claims.page,
    "recipes.md": recipes.page,
    "performance.md": performance.page,
}


def page(name: str) -> str:
    """The text of a generated page."""
    return PAGES[name](COMMAND)


def main() -> None:
    """Writes the pages, or the sources of the website."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pages", nargs="*", metavar="PAGE", help=f"some of {', '.join(PAGES)} (default: all)")
    parser.add_argument("--site", metavar="FOLDER", type=Path, help="write the sources of the website into FOLDER")
    args = parser.parse_args()
    if unknown := set(args.pages) - set(PAGES):
        parser.error(f"there is no generated page {', '.join(sorted(unknown))}")
    if args.site:
        from pages import site

        print(f"{site.write(args.site)} pages in {args.site}")
        return
    for name in args.pages or PAGES:
        (DOCS / name).write_text(page(name), encoding="utf-8")
        print(DOCS / name)


if __name__ == "__main__":
    main()
