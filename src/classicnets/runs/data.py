"""The data of an existing run, which may have moved: where it lies now, and the proof that it is still the same."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import ImageSplits
from classicnets.errors import DataError
from classicnets.files import user_path
from classicnets.images.trained import TrainedImages, digests_of
from classicnets.runs.folder import RunFolder
from classicnets.text import _, again, command, join, plural

_MAX_NAMED = 3  # files that an error names for each kind of difference
_Rows = dict[str, tuple[str, str]]  # path -> class and split


def locate(run: RunFolder, data: str | Path | None, retry: Sequence[str | Path]) -> str:
    """Return the name of the data of a run, or its absolute path.

    Args:
        run: The run.
        data: Where the data lies now; None for where it was.
        retry: The words of the command, which a hint repeats with --data (see `text.again`).

    Raises:
        DataError: CN302, there is nothing at this place, or the run was converted and does not know its data.
    """
    place = str(data or run.read()["data"])
    if not place:
        raise DataError(
            "CN302",
            _("the data that the network was trained on is not known"),
            where=str(run.path),
            why=_("its weights were converted from a file of another library"),
            hint=_("{command}   # images of its classes", command=_with_data(retry)),
        )
    if place in DATASETS:
        return place
    path = user_path(place)
    if path.exists():
        return str(path.resolve())
    raise DataError(
        "CN302",
        _("the data of the run is not at {path}", path=place),
        where=str(run.path),
        why=_("there is no such file or folder") if data else _("it was there when the run was started"),
        hint=_("{command}   # the folder or file where it is now", command=_with_data(retry)),
    )


def check(run: RunFolder, splits: ImageSplits, place: str, retry: Sequence[str | Path]) -> None:
    """Check that `splits`, which were read from `place`, are those that the run was trained on.

    Raises:
        DataError: CN306 with the differences.
    """
    facts = run.read()
    if splits.is_data_of(facts) or not facts["fingerprint"]:  # converted weights do not know their data
        return
    recorded = facts["fingerprint"]
    raise DataError(
        "CN306",
        _("the data at {path} is not that of the run, or has changed since", path=place),
        where=str(run.path),
        why="\n".join(_differences(run, splits))
        or _(
            "its fingerprint is {now}, and that of the run is {recorded}",
            now=splits.fingerprint[:12],
            recorded=recorded[:12],
        ),
        hint=(
            _("{command}   # the folder or file where it is now", command=_with_data(retry)),
            command("classicnets", "data", "check", Path(place)),
        ),
    )


def _with_data(retry: Sequence[str | Path]) -> str:
    """The command with a place of the data."""
    return again(*retry, "--data", "DATA", data="DATA")


def remember(run: RunFolder, place: str) -> None:
    """Write to run.json where the data lies now. Raises MachineError CN401."""
    facts = run.read()
    if facts["data"] == place or not facts["fingerprint"]:
        return
    if "spec" in facts:
        facts["spec"]["data"] = place
    run.write({**facts, "data": place})


def _differences(run: RunFolder, splits: ImageSplits) -> list[str]:
    """What has changed, one sentence for each kind of change; empty if this cannot be said."""
    before, now = _recorded_rows(run), {file.path: (file.label, file.split) for file in splits.files}
    if not before or not now:
        return []
    missing, added = [path for path in before if path not in now], [path for path in now if path not in before]
    moved = [path for path, (label, _split) in before.items() if path in now and now[path][0] != label]
    sentences = []
    if missing:
        sentences.append(
            plural(
                "{n} file is missing: {names}", "{n:,} files are missing: {names}", len(missing), names=_names(missing)
            )
        )
    if added:
        sentences.append(
            plural("{n} file is new: {names}", "{n:,} files are new: {names}", len(added), names=_names(added))
        )
    if moved:
        sentences.append(
            plural(
                "{n} file has another class: {names}",
                "{n:,} files have another class: {names}",
                len(moved),
                names=_names(moved),
            )
        )
    if sentences:
        return sentences
    changed = _changed_files(run, before, splits)
    if changed:
        return [
            plural(
                "{n} file has other contents: {names}",
                "{n:,} files have other contents: {names}",
                len(changed),
                names=_names(changed),
            )
        ]
    return [_("the files have the same names, and the contents of some of them have changed")]


def _recorded_rows(run: RunFolder) -> _Rows:
    """The files in split.csv, with their class and how the run uses them."""
    try:
        with run.split.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            return {row["path"]: (row["class"], row["split"]) for row in csv.DictReader(file)}
    except (OSError, KeyError, csv.Error):
        return {}


def _changed_files(run: RunFolder, before: _Rows, splits: ImageSplits) -> list[str]:
    """The files for training and validation whose images are not those that the run recorded."""
    facts: dict[str, Any] | None = run.read_trained_images()
    if facts is None or "digests" not in facts or splits.is_lazy:
        return []
    trained = TrainedImages.from_text(facts["digests"], facts["count"])
    changed = []
    for name, split in (("train", splits.train), ("validation", splits.validation)):
        paths = [file.path for file in splits.files if file.split == name]
        known = trained.contain(digests_of(split.images[:])) if split is not None and paths else ()
        changed += [
            path
            for path, is_known in zip(paths, known, strict=True)
            if not is_known and before[path][1] in {"train", "validation"}
        ]
    return changed


def _names(paths: Sequence[str]) -> str:
    return join(paths, most=_MAX_NAMED)
