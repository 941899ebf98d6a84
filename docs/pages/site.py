"""The sources of the website: the pages of docs/, and pages that are made from the program itself.

Links between files of the repository become links between pages of the website. A link to another file of the
repository leads to the repository if CLASSICNETS_REPOSITORY_URL is set; otherwise its text stays without a link.
"""

from __future__ import annotations

import os
import posixpath
import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

from pages import commands, errors, notebooks, settings

ROOT = Path(__file__).parents[2]
MADE: dict[str, Callable[[], str]] = {
    "reference/commands.md": commands.page,
    "reference/settings.md": settings.page,
    "reference/errors.md": errors.page,
}
WIDE = {
    "claims.md",
    "claims.zh-CN.md",
    "nets.md",
    "performance.md",
    "studies.md",
}  # pages with wide tables, which have no list of sections beside them
_COPIED = (".md", ".css", ".svg", ".png")
_LINK = re.compile(r"(?P<image>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
_CODE = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """Where each file of the repository that is part of the website lies there: path in ROOT to path in the website."""
    files = {f"docs/{path}": path for path in _files(ROOT / "docs", _COPIED)}
    files |= {"CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
    cards = "src/classicnets/models/cards"
    files |= {f"{cards}/{path}": f"nets/{path}" for path in _files(ROOT / cards, (".md",))}
    books = "examples/notebooks"
    files |= {f"{books}/{p}": f"notebooks/{Path(p).with_suffix('.md')}" for p in _files(ROOT / books, (".ipynb",))}
    return files | {f"benchmarks/results/{p}": f"measured/{p}" for p in _files(ROOT / "benchmarks/results", (".png",))}


def write(folder: Path) -> int:
    """Writes the sources of the website into `folder` and returns the number of pages.

    An older version in `folder` is replaced. Raises FileExistsError if the folder has other contents.
    """
    if folder.exists() and any(folder.iterdir()):
        if not all((folder / page).exists() for page in MADE):
            raise FileExistsError(f"{folder} has other contents; choose an empty folder")
        shutil.rmtree(folder)
    files = pages()
    repository = os.environ.get("CLASSICNETS_REPOSITORY_URL", "").rstrip("/")
    for source, destination in files.items():
        target = folder / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.endswith(".ipynb"):
            page = notebooks.page(ROOT / source)
            target.write_text(notebook_links(page.text, source, files), encoding="utf-8")
            for name, content in page.images.items():
                (target.parent / name).write_bytes(content)
        elif target.suffix == ".md":
            text = (ROOT / source).read_text(encoding="utf-8")
            metadata = "---\nhide: [toc]\n---\n\n" if destination in WIDE or destination.startswith("studies/") else ""
            target.write_text(metadata + relinked(text, source, files, repository), encoding="utf-8")
        else:
            shutil.copyfile(ROOT / source, target)
    for destination, make_page in MADE.items():
        target = folder / destination
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(make_page(), encoding="utf-8")
    return len(list(folder.rglob("*.md")))


def relinked(text: str, source: str, files: dict[str, str], repository: str = "") -> str:
    """The text of the page `source` with the links that its page of the website needs; code is left as it is."""
    here = posixpath.dirname(files[source]) or "."

    def link(match: re.Match[str]) -> str:
        target = match["target"]
        if not target or "://" in target:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        anchor = match["anchor"] or ""
        if path in files:
            return f"{match['image']}[{match['text']}]({posixpath.relpath(files[path], here)}{anchor})"
        if repository and (ROOT / path).exists():
            kind = "tree" if (ROOT / path).is_dir() else "blob"
            return f"{match['image']}[{match['text']}]({repository}/{kind}/main/{path}{anchor})"
        return match["text"]

    parts = _CODE.split(text)
    return "".join(part if part.startswith("```") else _LINK.sub(link, part) for part in parts)


def notebook_links(text: str, source: str, files: dict[str, str]) -> str:
    """The text of the notebook `source`; its links to files of the repository lead to their pages, if they have one."""
    here = posixpath.dirname(files[source])

    def link(match: re.Match[str]) -> str:
        path = match[1]
        return match[0] if path == source or path not in files else f"]({posixpath.relpath(files[path], here)}"

    return re.sub(rf"\]\({re.escape(notebooks.repository())}/blob/main/([^)#\s]+)", link, text)


def external_resources(site: Path) -> list[str]:
    """What a browser would load from other servers to show the built website: "page: URL" of each."""
    loaded = re.compile(
        r"<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc(?:set)?=[\"']?((?:https?:)?//[^\"'\s>]+)"
        r"|<link\b(?=[^>]*\brel=[\"']?(?:stylesheet|icon|preload|preconnect|prefetch|modulepreload|manifest))"
        r"[^>]*?\bhref=[\"']?((?:https?:)?//[^\"'\s>]+)"
        r"|(?:url\(|@import\s+)[\"']?((?:https?:)?//[^\"')\s]+)",
        re.IGNORECASE,
    )
    resources: list[str] = []
    for path in sorted([*site.rglob("*.html"), *site.rglob("*.css"), *site.rglob("*.svg")]):
        matches = loaded.finditer(path.read_text(encoding="utf-8"))
        resources += [f"{path.relative_to(site)}: {next(filter(None, match.groups()))}" for match in matches]
    return resources


def _files(folder: Path, suffixes: Iterable[str]) -> list[str]:
    """The files below `folder` with these suffixes, as paths from it."""
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.suffix in suffixes)
