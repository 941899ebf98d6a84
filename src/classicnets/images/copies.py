"""Finds groups of copies among inspected images: identical files, and images that `near_duplicates` finds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from classicnets.images.near_duplicates import near_copies
from classicnets.images.thumbnails import ImageInfo, Thumbnails

MAX_COMPARED = 50_000  # the time for near copies grows with the square: 2 s for 10,000 images, 30 s for this many

Pair = tuple[int, int, str]


def identical_pairs(infos: Sequence[ImageInfo]) -> list[Pair]:
    """Return (first, copy, "bytes") for every file with the content of an earlier one; empty files are no copies."""
    first: dict[str, int] = {}
    pairs = []
    for i, info in enumerate(infos):
        if info.digest and info.problem != "empty":
            original = first.setdefault(info.digest, i)
            pairs += [(original, i, "bytes")] * (original != i)
    return pairs


def near_pairs(infos: Sequence[ImageInfo], thumbnails: Thumbnails, identical: Iterable[Pair]) -> list[Pair]:
    """Return (i, j, relation) of nearly identical images, as `near_copies`, without those that are `identical`."""
    copies = {j for _i, j, _relation in identical}
    distinct = [i for i, info in enumerate(infos) if info.readable and i not in copies]
    found = near_copies(thumbnails.gray[distinct], thumbnails.color[distinct])
    return [(distinct[i], distinct[j], relation) for i, j, relation in found]


def groups(infos: Sequence[ImageInfo], thumbnails: Thumbnails) -> list[list[int]]:
    """Return the groups of copies, also mirrored or rotated ones; near copies only among MAX_COMPARED images."""
    identical = identical_pairs(infos)
    near = near_pairs(infos, thumbnails, identical) if len(infos) <= MAX_COMPARED else []
    return connected_components((i, j) for i, j, _relation in (*identical, *near))


def connected_components(links: Iterable[tuple[int, int]]) -> list[list[int]]:
    """Return the connected components of a graph, each sorted, in the order of their first members."""
    parent: dict[int, int] = {}

    def root(i: int) -> int:
        while parent.setdefault(i, i) != i:
            parent[i] = i = parent[parent[i]]
        return i

    for i, j in links:
        a, b = root(i), root(j)
        parent[max(a, b)] = min(a, b)
    components: dict[int, list[int]] = {}
    for i in sorted(parent):
        components.setdefault(root(i), []).append(i)
    return list(components.values())
