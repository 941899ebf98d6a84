"""Adds a finished study to the repository: `python docs/add_study.py FOLDER`, the folder of `classicnets study run`.

Copies its facts to studies/results and its figures to docs/images/studies, and makes its page and the list of all
studies.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
from pathlib import Path

import make
from pages import studies


def add(folder: Path) -> str:
    """Copies the facts and the figures of a study and returns its name.

    Raises:
        ValueError: The folder has no finished study, or the name is not usable or belongs to another experiment.
    """
    source = folder / "study.json"
    facts = studies.read(source) if source.is_file() else None
    if not facts:
        raise ValueError(f"{folder} has no finished study; `classicnets study resume` finishes one")
    name = str(facts["definition"]["name"])
    if not re.fullmatch(r"[\w-]+", name):
        raise ValueError(f"{name!r} cannot be the name of a page; use letters, digits, - and _")
    target = studies.RESULTS / f"{name}.json"
    if target.exists() and not studies.read(target):
        raise ValueError(f"{target} has the results of another experiment; choose another name")
    figures = studies.FIGURES
    figures.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    for old in figures.glob(f"{name}-*.png"):
        if old.stem.removeprefix(f"{name}-") in studies.FIGURE_NAMES:
            old.unlink()
    for path in map(folder.joinpath, (f"{each}.png" for each in studies.FIGURE_NAMES)):
        if path.exists():
            shutil.copyfile(path, figures / f"{name}-{path.name}")
    return name


def main() -> None:
    """Adds the study and makes the pages."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", metavar="FOLDER", type=Path, help="folder of a finished study")
    args = parser.parse_args()
    try:
        name = add(args.folder)
    except ValueError as error:
        sys.exit(f"add_study.py: {error}")
    for page in ("studies.md", f"studies/{name}.md"):
        make.write(page)


if __name__ == "__main__":
    main()
