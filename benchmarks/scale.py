"""How time and memory of a training step and of inference grow with batch, image size, width and number of images.

    python benchmarks/scale.py lenet_d2l
    python benchmarks/scale.py my_net.py:net --input 3x32x32 --axes batch side

batch      images in a step
side       image size in pixels: a network of the registry is built for it, any other takes it as it is
width      factor for the feature maps and units of every hidden layer of an nn.Sequential (see cn.vary)
images     images in memory, at the network's input size, through an epoch of images/batches.py, without a network

Each point is a separate process, so that its memory can be measured: on the CPU the largest growth of the resident
size, with the weights; on CUDA the peak that torch allocated. The other axes stay at --batch, --input and the network's
own width. An exponent is the slope in a log-log plot, over all points and over the last three: time grows as
axis^exponent. An axis ends before a step would take more than ten seconds or most of the memory.
Writes benchmarks/results/scale-NET.json and .png.
"""

from __future__ import annotations

import argparse
import json
import math
import re
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.errors import UsageError
from classicnets.images.batches import Batches
from classicnets.models.variants import vary
from classicnets.report import figures, tables
from classicnets.values import Preprocess, Recipe
from subject import Work, arguments, load, parse, readings, run_main
from timing import Row, conditions, read, write

AXES = {
    "batch": "images in a batch",
    "side": "side of the image, pixels",
    "width": "times the width of the hidden layers",
    "images": "images in memory, an epoch of batches",
}
IMAGES = ("batch", "images")  # axes that count them
_STATUS = Path("/proc/self/status")
MAX_SECONDS, MAX_MEMORY_SHARE = 10.0, 0.6  # of a step; the share of what is free


def values(axis: str, side: int, *, quick: bool) -> list[float]:
    """The points of an axis, rising."""
    points: dict[str, list[float]] = {
        "batch": [1, 4] if quick else [4**n for n in range(6)],
        "side": [side, 2 * side] if quick else [round(side * factor) for factor in (0.5, 0.75, 1, 1.5, 2)],
        "width": [1, 2] if quick else [0.25, 0.5, 1, 2, 4],
        "images": [64, 128] if quick else [1000, 3000, 10_000, 30_000, 60_000],
    }
    return points[axis]


def measure(args: argparse.Namespace, axis: str, at: float) -> dict[str, Any]:
    """Seconds and MB at one point, in this process."""
    if axis == "images":
        return epoch(args, int(at))
    shape = (args.input[0], int(at), int(at)) if axis == "side" else args.input
    subject = load(args.net, shape, partial(widened, factor=at) if axis == "width" else None)
    machine.keep_memory()  # as training does; now, so that what making the net took is given back
    memory = Memory(args.device)
    cpu_weight_bytes = subject.table.weight_bytes * (args.device.type == "cpu")  # weights were there before
    work = Work(subject, int(at) if axis == "batch" else args.batch, args.device, args.precision)
    samples: dict[str, list[float]] = {}
    work.net.eval()
    samples["inference"] = readings(work.infer, args.seconds)
    samples["memory of inference"] = [(memory.growth() + cpu_weight_bytes) / 1e6]
    work.net.train()
    samples["step"] = readings(work.step, args.seconds)
    samples["memory of a step"] = [(memory.growth() + cpu_weight_bytes) / 1e6]
    return {"macs": subject.table.macs, "parameters": subject.table.parameters, "values": samples}


def widened(net: nn.Module, factor: float) -> nn.Module:
    """A copy with `factor` times as many maps and units in every hidden layer. Raises UsageError CN204."""
    try:
        return vary(net, width=factor)
    except ValueError as error:
        raise UsageError(
            "CN204",
            "the width of this network cannot be changed automatically",
            why=str(error),
            hint="--axes batch side images",
        ) from error


def epoch(args: argparse.Namespace, count: int) -> dict[str, Any]:
    """An epoch of batches from this number of noise images."""
    channels, side, _ = args.input
    machine.keep_memory()
    memory, chance = Memory(args.device), np.random.default_rng(0)
    split = Split(chance.integers(0, 256, (count, *args.input), np.uint8), chance.integers(0, 10, count))
    recipe = Recipe(source="benchmark", net="none", data="noise", epochs=1, batch_size=args.batch, lr=0.0)
    loader = Batches(split, recipe, Preprocess(channels=channels, image_size=side), seed=0, device=args.device)
    seconds = readings(lambda: [None for _ in loader.epoch(1)], args.seconds)
    return {"values": {"epoch": seconds, "memory": [memory.growth() / 1e6]}}


class Memory:
    """What this process takes from here on."""

    def __init__(self, device: torch.device):
        self.device = device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        elif _STATUS.exists():
            Path("/proc/self/clear_refs").write_text("5")  # Linux: resets the peak
        self.before = self._most()

    def growth(self) -> int:
        """By how many bytes it has grown at most."""
        return self._most() - self.before

    def _most(self) -> int:
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated(self.device)
        if _STATUS.exists():  # getrusage would count what the parent process had when it started this one
            return 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", _STATUS.read_text())[0])
        return machine.peak_memory_bytes() or 0


def measure_in_new_process(args: argparse.Namespace, axis: str, at: float) -> dict[str, Any]:
    """`measure` in its own process; {"refused": why} where that ends with an error."""
    shape = "x".join(map(str, args.input))
    command = [sys.executable, __file__, *args.given, "--input", shape, "--point", axis, str(at)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        return {"refused": (process.stderr.strip().splitlines() or [f"ended with {process.returncode}"])[-1]}
    result: dict[str, Any] = json.loads(process.stdout)
    return result


def measure_axis(args: argparse.Namespace, about: dict[str, Any], axis: str) -> Iterator[Row | str]:
    """The points of an axis, or why there are none, or no more."""
    _, height, width = args.input
    if height != width and axis in ("side", "images"):
        yield f"{axis}: for square images alone"
        return
    previous: tuple[float, dict[str, list[float]]] | None = None
    for at in values(axis, height, quick=args.quick):
        if previous and (
            why := _too_much(args.device, previous[1], (at / previous[0]) ** (1 if axis in IMAGES else 2))
        ):
            yield f"{axis}: not from {at:g} on: {why}"
            return
        result = measure_in_new_process(args, axis, at)
        if "refused" in result:
            yield f"{axis}: not {at:g}: {result['refused']}"
            if axis != "side":  # of images larger ones may fit
                return
            continue
        previous = at, result["values"]
        for name, samples in result["values"].items():
            facts = {**about, "axis": axis, "at": at, "measure": name}
            facts |= {key: result[key] for key in ("macs", "parameters") if key in result}
            unit = "MB" if name.startswith("memory") else "s"
            yield Row(what=f"{name}, {axis} {at:g}", ours=about["net"], values=samples, unit=unit, facts=facts)


def _too_much(device: torch.device, samples: dict[str, list[float]], factor: float) -> str:
    """Why a point with `factor` times the work is not measured."""
    seconds = factor * max(
        statistics.median(values) for name, values in samples.items() if not name.startswith("memory")
    )
    size = factor * max(values[0] for name, values in samples.items() if name.startswith("memory"))
    if seconds > MAX_SECONDS:
        return f"it would take about {seconds:.0f} s"
    free = machine.available_memory_bytes() if device.type == "cpu" else machine.memory_bytes_of(device)
    return f"it would take about {size / 1e3:.1f} GB" if free and size * 1e6 > MAX_MEMORY_SHARE * free else ""


def exponent_rows(rows: Sequence[Row]) -> Iterator[Row]:
    """A row for each measure of each axis that has two points: the slope over all of them."""
    for axis, name in dict.fromkeys((row.facts["axis"], row.facts["measure"]) for row in rows):
        points = [
            (row.facts["at"], row.median)
            for row in rows
            if (row.facts["axis"], row.facts["measure"]) == (axis, name) and row.median > 0
        ]
        if len(points) < 2:
            continue
        common = {key: rows[0].facts[key] for key in ("net", "precision", "device")}
        facts = {**common, "axis": axis, "measure": name, "last_three": slope(points[-3:])}
        facts |= {"from": points[0], "to": points[-1], "points": len(points)}
        yield Row(what=f"{name} against {axis}", ours="exponent", values=[slope(points)], unit="exponent", facts=facts)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line through the points in a log-log plot."""
    x, y = ([math.log(value) for value in side] for side in zip(*points, strict=True))
    return statistics.linear_regression(x, y).slope


def print_table(rows: Sequence[Row], skipped: Sequence[str]) -> None:
    """Exponents and end points of every measure, and the points left out."""

    def format_value(value: float, name: str) -> str:
        return f"{value:,.1f} MB" if name.startswith("memory") else f"{1e3 * value:,.2f} ms"

    columns = ["axis", "of", "points", "from", "to", "at the first", "at the last"]
    columns += ["exponent", "of the last three", "an image"]
    lines = []
    for row in (row for row in rows if row.unit == "exponent"):
        (start, low), (end, high) = row.facts["from"], row.facts["to"]
        name = row.facts["measure"]
        ends = [f"{start:g}", f"{end:g}", format_value(low, name), format_value(high, name)]
        slope_per_image = (high - low) / (end - start)
        cost = f"{1e3 * slope_per_image:.3g} kB" if name.startswith("memory") else f"{1e6 * slope_per_image:.3g} us"
        slopes = [f"{row.median:.2f}", f"{row.facts['last_three']:.2f}", cost * (row.facts["axis"] in IMAGES)]
        lines.append([row.facts["axis"], name, row.facts["points"], *ends, *slopes])
    out = tables.console()
    out.print(tables.table(columns, lines, numbers=columns[2:]))
    for line in skipped:
        out.print(f"- {line}")


def main(argv: list[str] | None = None) -> None:
    parser = arguments(__doc__, batch=64)
    parser.add_argument("--axes", nargs="+", choices=AXES, default=[*AXES], help="axes to measure (default: all)")
    parser.add_argument("--point", nargs=2, help=argparse.SUPPRESS)  # measured in its own process
    args = parse(parser, "scale", argv)
    args.given = sys.argv[1:] if argv is None else argv
    if args.point:
        print(json.dumps(measure_point(args)))
        return
    subject = load(args.net, args.input)
    args.input = subject.shape
    about = {"net": subject.name, "input": subject.shape, "batch": args.batch}
    about |= {"precision": args.precision, "device": str(args.device)}
    machine_before = conditions()
    rows: list[Row] = []
    skipped: list[str] = []
    for axis in args.axes:
        for result in measure_axis(args, about, axis):
            print(f"  {result}", file=sys.stderr, flush=True)
            if isinstance(result, Row):
                rows.append(result)
            else:
                skipped.append(result)
    rows += exponent_rows(rows)
    with redirect_stdout(sys.stderr):
        write(args.out, rows, machine_before, skipped=skipped)
    if rows:
        draw(args.out)
    if args.json:
        print(args.out.read_text(), end="")
    else:
        print_table(rows, skipped)


def measure_point(args: argparse.Namespace) -> dict[str, Any]:
    """The measurement of one point; {"refused": why} if the network does not support it."""
    axis, at = args.point
    try:
        return measure(args, axis, float(at))
    except UsageError as error:
        return {"refused": ": ".join([error.what, *error.why.splitlines()[-1:]])}


def draw(results: Path) -> None:
    """The image of a file of results, beside it."""
    from drawing import scale  # only here: the processes that measure draw nothing

    rows, facts = read(results)
    image = results.with_suffix(".png")
    image.write_bytes(figures.png(scale(rows, AXES, facts)))
    print(f"written to {image}", file=sys.stderr)


if __name__ == "__main__":
    run_main(main)
