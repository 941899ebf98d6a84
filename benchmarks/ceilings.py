"""Measure the peak arithmetic (over shapes) and bandwidth (over sizes) of the machine in one precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch.nn import functional as F

from subject import readings, say
from timing import Row

FLOPS, BANDWIDTH = "GFLOP/s", "GB/s"
# batch, maps in, side, maps out, kernel: of VGG, of AlexNet's middle, and wide
CONVOLUTIONS = ((16, 64, 56, 64, 3), (32, 96, 27, 256, 5), (32, 256, 13, 384, 3), (16, 256, 28, 256, 3))


def ceilings(device: torch.device, precision: str, seconds: float, *, quick: bool) -> Iterator[Row]:
    """A row for each shape and size that was tried; values are GFLOP/s or GB/s."""
    dtype = getattr(torch, precision)
    full = {"device": device, "dtype": dtype}
    sides = (64, 128) if quick else (512, 1024, 2048, 4096) + (8192,) * (device.type == "cuda")
    for n in sides:
        a, b = torch.rand(n, n, **full), torch.rand(n, n, **full)
        yield _ceiling(f"matrix product {n}x{n}x{n}", FLOPS, 2 * n**3, partial(torch.mm, a, b), seconds)
    for batch, maps, side, out, kernel in ((2, 16, 8, 16, 3),) if quick else CONVOLUTIONS:
        x, w = torch.rand(batch, maps, side, side, **full), torch.rand(out, maps, kernel, kernel, **full)
        flop = 2 * batch * out * side**2 * maps * kernel**2
        for layout, kind in (("", torch.contiguous_format), (", channels last", torch.channels_last)):
            operands = x.to(memory_format=kind), w.to(memory_format=kind)
            name = f"convolution {batch}x{maps}x{side}x{side} to {out}, {kernel}x{kernel}{layout}"
            yield _ceiling(name, FLOPS, flop, partial(F.conv2d, *operands, padding=kernel // 2), seconds)
    for exponent in (12, 16) if quick else range(15, 31 if device.type == "cuda" else 29):
        a, b, c = (torch.rand(2**exponent // dtype.itemsize, **full) for _ in range(3))
        for name, arrays, run in (
            ("copy", 2, partial(c.copy_, a)),
            ("add", 3, partial(torch.add, a, b, out=c)),
            ("triad", 3, partial(torch.add, a, b, alpha=2, out=c)),
        ):
            size = arrays * 2**exponent
            yield _ceiling(f"{name}, {arrays} x {_binary(2**exponent)}", BANDWIDTH, size, run, seconds / 3)


def _ceiling(what: str, unit: str, amount: int, run: Callable[[], object], seconds: float) -> Row:
    values = [amount / s / 1e9 for s in readings(run, seconds / 2)]
    row = Row(what=what, ours="ceiling", values=values, unit=unit, facts={"amount": amount})
    say(row)
    return row


def _binary(size: int) -> str:
    return next(f"{size // unit} {name}" for unit, name in ((2**20, "MiB"), (2**10, "KiB"), (1, "B")) if size >= unit)


def best(rows: Sequence[Row]) -> dict[str, Row]:
    """The ceilings, by their best reading: arithmetic, bandwidth of the largest arrays (memory) and of all (cache)."""
    bandwidth_rows = [row for row in rows if row.unit == BANDWIDTH]
    largest = max(row.facts["amount"] for row in bandwidth_rows) / 2  # copy has two arrays, the others three
    groups = {
        "arithmetic": [row for row in rows if row.unit == FLOPS],
        "memory": [row for row in bandwidth_rows if row.facts["amount"] > largest],
        "cache": bandwidth_rows,
    }
    return {name: max(group, key=lambda row: max(row.values)) for name, group in groups.items()}
