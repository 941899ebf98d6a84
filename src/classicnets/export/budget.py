"""What of a net fits into so many bytes: as it is, int8, dense layers narrowed, both; and what each costs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import nn

from classicnets.errors import CheckFailed
from classicnets.export import narrow

_TRIES = 6


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file that was made and run. `accuracy` is on images beside the test split; `numbers` is how many weights the
    dense layers were allowed together, None where they are as trained.
    """

    name: str
    bytes: int
    accuracy: float
    int8: bool
    numbers: int | None


def candidates(
    net: nn.Module,
    limit: int,
    build: Callable[[nn.Module, bool], bytes],
    judge: Callable[[bytes], float],
    *,
    only_int8: bool = False,
) -> tuple[Candidate, ...]:
    """`build` makes a file of a net, int8 or not, and `judge` says how accurate a file is.

    Dense layers are narrowed only where the whole net does not fit: to the largest that does, else as far as can be.
    """
    found = []
    for as_int8 in (True,) if only_int8 else (False, True):
        whole = build(net, as_int8)
        name = "int8" if as_int8 else "as it is"
        found.append(Candidate(name=name, bytes=len(whole), accuracy=judge(whole), int8=as_int8, numbers=None))
        if len(whole) > limit and narrow.dense(net):
            room, content = _largest(net, limit, build, as_int8, len(whole))
            name = "narrowed and int8" if as_int8 else "narrowed"
            found.append(Candidate(name=name, bytes=len(content), accuracy=judge(content), int8=as_int8, numbers=room))
    return tuple(found)


def best(found: Sequence[Candidate], limit: int) -> Candidate:
    """The most accurate that fits; of equals the first, which is changed least. Raises CheckFailed CN104."""
    fitting = [one for one in found if one.bytes <= limit]
    if not fitting:
        smallest = min(found, key=lambda one: one.bytes)
        raise CheckFailed(
            "CN104",
            f"nothing fits into {limit:,} bytes",
            where=f"the smallest that can be reached is {smallest.bytes:,} bytes: {smallest.name}",
            why="; ".join(f"{one.name} {one.bytes:,}" for one in found),
            hint=f"--size-budget {smallest.bytes}B",
        )
    return max(fitting, key=lambda one: one.accuracy)


def _largest(
    net: nn.Module, limit: int, build: Callable[[nn.Module, bool], bytes], as_int8: bool, whole: int
) -> tuple[int, bytes]:
    """The room for dense weights, and the file, that come nearest to `limit` from below; 0 where none does."""
    width = 1 if as_int8 else 4  # bytes a weight
    room = narrow.numbers(net) - (whole - limit) / width
    for _ in range(_TRIES):
        content = build(narrow.narrowed(net, max(int(room), 0)), as_int8)
        if len(content) <= limit or room <= 0:
            return max(int(room), 0), content
        room -= (len(content) - limit) / width + 16
    return 0, build(narrow.narrowed(net, 0), as_int8)
