"""Looks at all images of a folder or CSV before training: which are copies, and what background shows them.

The result is kept in the cache of decoded images, until a file changes.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classicnets.datasets.local import cache_root
from classicnets.files import move_into_place, temporary_file
from classicnets.images import background, cache, copies
from classicnets.images.automatic_split import Copies
from classicnets.images.layout import read_layout
from classicnets.images.thumbnails import inspect_files
from classicnets.strict_json import dump
from classicnets.text import _, plural
from classicnets.values import BLACK

_MAX_SAMPLE = 1000  # images
_VERSION = 1  # raise it whenever other copies are found, or other contrasts are computed


@dataclass(frozen=True)
class Survey:
    """Groups of copies by the keys of their paths, and the background that the images stand out from."""

    copies: Copies
    background: str


def survey(
    path: Path, *, held_out: bool, transparent: bool, say: Callable[[str], None], sampled: bool = False
) -> Survey:
    """Inspect the images of a folder or CSV, as far as training needs it.

    Args:
        path: The folder or CSV.
        held_out: Whether a part of its training split is held out for validation.
        transparent: Whether the background is to be chosen.
        say: Receives notes.
        sampled: Whether only some of the images are inspected, for the background, and no copies are looked for,
            because there are too many.

    Raises:
        DataError: CN307 as `read_layout`.
    """
    layout = read_layout(path)
    layout.check()
    is_split = layout.unsplit is not None
    if not (is_split or held_out or transparent):
        return Survey((), BLACK)
    files = list(layout.files())
    if sampled:
        if is_split or held_out:
            say(_("{name}: copies are not looked for, because the images are decoded while training", name=layout.name))
        if not transparent:
            return Survey((), BLACK)
        files, is_split, held_out = files[:: -(-len(files) // _MAX_SAMPLE)], False, False
    found = _inspect([image for _split, _label, image in files], say)
    pool = {i for i, (split, _label, _image) in enumerate(files) if is_split or split == "train"}
    groups: list[list[str]] = []
    if is_split or held_out:
        members = [[i for i in group if i in pool] for group in found["copies"]]
        groups = [[layout.key(files[i][2]) for i in group] for group in members if len(group) > 1]
        if len(files) > copies.MAX_COMPARED:
            say(
                _(
                    "{name}: only identical copies are kept together in the splits, because there are more than"
                    " {limit:,} images",
                    name=layout.name,
                    limit=copies.MAX_COMPARED,
                )
            )
    layout = read_layout(path, groups)
    if groups:
        say(
            plural(
                "{name}: {n} group of copies ({images:,} images) stays on one side of the split",
                "{name}: {n:,} groups of copies ({images:,} images) stay on one side of the split",
                len(groups),
                name=layout.name,
                images=sum(map(len, groups)),
            )
        )
    trained = {image for split, _label, image in layout.files() if split == "train"}
    contrasts = [tuple(found["contrasts"].get(str(i), ())) for i, file in enumerate(files) if file[2] in trained]
    chosen = background.choose(contrasts)
    if transparent and any(contrasts):
        say(
            plural(
                "{name}: transparent parts of {n} training image are {color} (background=auto; to change it:"
                " --set background=COLOR)",
                "{name}: transparent parts of {n:,} training images are {color} (background=auto; to change it:"
                " --set background=COLOR)",
                sum(map(bool, contrasts)),
                name=layout.name,
                color=background.name(chosen),
            )
        )
    return Survey(groups, chosen)


def _inspect(paths: Sequence[Path], say: Callable[[str], None]) -> dict[str, Any]:
    """Groups of copies (indices), and the contrasts of images with transparent parts, by index; from the cache."""
    states = [cache.file_state(path) for path in paths]
    name = dump([_VERSION, *(([str(path)], state) for path, state in zip(paths, states, strict=True))])
    folder = cache_root() / "pictures"
    file = folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}{cache.SURVEY_SUFFIX}"
    with suppress(OSError, ValueError):
        values: dict[str, Any] = json.loads(file.read_text())
        os.utime(file)
        return {"copies": values["copies"], "contrasts": values["contrasts"]}
    if len(paths) >= cache.ANNOUNCED_COUNT:
        say(plural("looking for copies among {n} image", "looking for copies among {n:,} images", len(paths)))
    infos, thumbnails = inspect_files(paths)
    values = {
        "copies": copies.groups(infos, thumbnails),
        "contrasts": {str(i): info.contrasts for i, info in enumerate(infos) if info.contrasts},
    }
    newest = (time.time() - cache.FRESH_SECONDS) * 1e9
    if len(paths) >= cache.ANNOUNCED_COUNT and all(state and max(state[1:]) < newest for state in states):
        with suppress(OSError), temporary_file(file) as part:
            folder.mkdir(parents=True, exist_ok=True)
            part.write_text(dump(values))
            move_into_place(part, file)
            cache.remove_old_entries(folder)
    return values
