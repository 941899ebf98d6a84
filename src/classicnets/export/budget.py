"""Finds the most accurate file within a number of bytes, with int8 quantization, low-rank layers, or both."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from classicnets.errors import CheckFailed
from classicnets.export import low_rank
from classicnets.text import _, clauses, command

_MAX_ATTEMPTS = 6  # attempts to reach the size with low-rank layers


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file that could be written.

    Attributes:
        name: what was changed, in words.
        bytes: its size.
        accuracy: measured on images that are not in the test split.
        int8: whether it is quantized.
        max_weights: number of weights that its linear layers may have; None if they are not approximated.
    """

    name: str
    bytes: int
    accuracy: float
    int8: bool
    max_weights: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = dict(vars(self))
        values["numbers"] = values.pop("max_weights")
        return values


def candidates(
    net: nn.Module,
    limit: int,
    build: Callable[[nn.Module, bool], bytes],
    measure: Callable[[bytes], float],
    *,
    only_int8: bool = False,
) -> tuple[Candidate, ...]:
    """Build and measure the files to choose from.

    Linear layers are approximated only if the file is too large without: to the largest file that fits, or else to
    rank 1.

    Args:
        net: the trained network.
        limit: bytes of the file.
        build: makes the file of a network, in int8 or not.
        measure: the accuracy of a file.
        only_int8: whether every file must be in int8.
    """
    results = []
    for as_int8 in (True,) if only_int8 else (False, True):
        content = build(net, as_int8)
        name = _("int8") if as_int8 else _("unchanged")
        accuracy = measure(content)
        results.append(Candidate(name=name, bytes=len(content), accuracy=accuracy, int8=as_int8, max_weights=None))
        if len(content) > limit and low_rank.linear_layers(net):
            max_weights, content = _largest_that_fits(net, limit, build, as_int8, len(content))
            name = _("low-rank layers and int8") if as_int8 else _("low-rank layers")
            accuracy = measure(content)
            results.append(
                Candidate(name=name, bytes=len(content), accuracy=accuracy, int8=as_int8, max_weights=max_weights)
            )
    return tuple(results)


def best(candidates: Sequence[Candidate], limit: int) -> Candidate:
    """Return the most accurate candidate that fits; of equals the first, which is changed least.

    Raises:
        CheckFailed: CN104 if none fits.
    """
    fitting = [candidate for candidate in candidates if candidate.bytes <= limit]
    if not fitting:
        smallest = min(candidates, key=lambda candidate: candidate.bytes)
        raise CheckFailed(
            "CN104",
            _("no version of the network fits into {limit:,} bytes", limit=limit),
            where=_("the smallest file has {size:,} bytes: {name}", size=smallest.bytes, name=smallest.name),
            why=clauses(
                _("{name}: {size:,} bytes", name=candidate.name, size=candidate.bytes) for candidate in candidates
            ),
            hint=command("--size-budget", f"{smallest.bytes}B"),
        )
    return max(fitting, key=lambda candidate: candidate.accuracy)


def _largest_that_fits(
    net: nn.Module, limit: int, build: Callable[[nn.Module, bool], bytes], as_int8: bool, full_size: int
) -> tuple[int, bytes]:
    """The number of linear weights, and the file, that come closest to `limit` from below; 0 if none does."""
    weight_bytes = 1 if as_int8 else 4
    max_weights = low_rank.weight_count(net) - (full_size - limit) / weight_bytes
    for _attempt in range(_MAX_ATTEMPTS):
        content = build(low_rank.approximate(net, max(int(max_weights), 0)), as_int8)
        if len(content) <= limit or max_weights <= 0:
            return max(int(max_weights), 0), content
        max_weights -= (len(content) - limit) / weight_bytes + 16
    return 0, build(low_rank.approximate(net, 0), as_int8)
