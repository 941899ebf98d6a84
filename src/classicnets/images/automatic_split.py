"""Chooses the test split of a folder or CSV that has none: a function of paths, and of the groups of copies."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from classicnets.images.names import encode_name, normalize_name, relative_path

TEST_FRACTION = 0.2  # of each class

_KEY_DIGITS = 12

Classes = dict[str, list[Path]]  # class -> its image files
Copies = Sequence[Sequence[str]]  # groups of copies, by the keys of their paths; run.json stores them


def key(root: Path, path: Path) -> str:
    """Return 12 hex digits that depend only on the path relative to `root`, and order the images."""
    return hashlib.sha256(encode_name(normalize_name(relative_path(root, path)))).hexdigest()[:_KEY_DIGITS]


def split_off_test(root: Path, classes: Classes, copies: Copies | None) -> tuple[Classes, Classes]:
    """Return the images of each class for training, and for testing.

    The fifth of each class whose keys are smallest is tested, at least one image and never all. Copies stay on one
    side, at the position of their smallest key. A class that consists of copies of one image is split all the same.

    Args:
        root: The folder that paths are relative to.
        classes: The images of each class.
        copies: Groups of copies; None for the rule of version 0.1, which knows no copies and tests the images whose
            keys are below a fifth of the largest possible one, so that the number of them varies.
    """
    if copies is None:
        test = {path for paths in classes.values() for path in _choose_as_version_0_1(root, paths)}
    else:
        test = _choose(root, classes, copies)
    return (
        {name: [path for path in paths if path not in test] for name, paths in classes.items()},
        {name: [path for path in paths if path in test] for name, paths in classes.items()},
    )


def _choose(root: Path, classes: Classes, copies: Copies) -> set[Path]:
    group_of = {member: group for group in copies for member in group}
    units: dict[str, list[tuple[str, Path]]] = {}  # smallest key -> (class, path) of one image or of copies
    positions: dict[int, str] = {}
    keyed = sorted((key(root, path), name, path) for name, paths in classes.items() for path in paths)
    for own_key, name, path in keyed:
        position = own_key
        if own_key in group_of:
            position = positions.setdefault(id(group_of[own_key]), own_key)
        units.setdefault(position, []).append((name, path))
    quotas = {name: _quota(len(paths)) for name, paths in classes.items()}
    test: set[Path] = set()
    counts: Counter[str] = Counter()

    def add(unit: list[tuple[str, Path]], limits: dict[str, int]) -> None:
        size = Counter(name for name, _path in unit)
        if all(counts[name] + count <= limits[name] for name, count in size.items()):
            counts.update(size)
            test.update(path for _name, path in unit)

    for unit in units.values():
        add(unit, quotas)
    all_but_one = {name: len(paths) - 1 for name, paths in classes.items()}
    for name in classes:  # the copies of a small class may be more than its fifth
        for unit in _smallest_first(units.values(), name):
            if not counts[name] and quotas[name]:
                add(unit, all_but_one)
        if not counts[name] and quotas[name]:
            for _own_key, label, path in keyed:
                if label == name and counts[name] < quotas[name]:
                    add([(label, path)], quotas)
    return test


def _quota(count: int) -> int:
    """About a fifth, at least one and never all; none of a single image."""
    return min(max(1, round(count * TEST_FRACTION)), count - 1) if count else 0


def _smallest_first(units: Iterable[list[tuple[str, Path]]], name: str) -> Iterator[list[tuple[str, Path]]]:
    """The units with images of a class, those with the fewest images first."""
    yield from sorted((unit for unit in units if any(label == name for label, _path in unit)), key=len)


def _choose_as_version_0_1(root: Path, paths: list[Path]) -> list[Path]:
    """The test images of one class."""
    if len(paths) < 2:
        return []
    limit = format(int(TEST_FRACTION * 2**64), "016x")[:_KEY_DIGITS]
    keys = {path: key(root, path) for path in paths}
    by_key = sorted(paths, key=lambda path: keys[path])
    return by_key[: min(max(sum(value < limit for value in keys.values()), 1), len(paths) - 1)]
