"""The network that a benchmark times, with a batch of noise: its training step as in `train`, and its inference."""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from classicnets import machine
from classicnets.acceleration.prepare import choose, prepared
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.models.registry import NETS
from classicnets.runs import net_spec
from classicnets.text import shape as shape_text
from classicnets.training import objective
from classicnets.training.loop import take_step
from classicnets.training.state import State
from classicnets.values import Recipe
from timing import RESULTS, Row, clock

Shape = tuple[int, int, int]
_OWN_NET_INPUT = (1, 28, 28)
_READING_SECONDS = 0.005  # shorter work is called several times for one reading


def arguments(description: str | None, *, batch: int) -> argparse.ArgumentParser:
    """A parser with what both scripts take."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net", metavar="NET", help="name from `classicnets list`, file.py:net, or a run folder")
    parser.add_argument(
        "--input", type=_shape, metavar="CxHxW", help="input shape (default: the network's; 1x28x28 for file.py:net)"
    )
    parser.add_argument("--batch", type=int, default=batch, help=f"images in a step (default {batch})")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda, mps or auto")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="default float32")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="number of CPU threads (default: torch's)"
    )
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="measuring time, with at least three readings (default: 1)"
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE.json", help="file of results; the figure FILE.png is written beside it"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON, not as a table")
    parser.add_argument("--quick", action="store_true", help="a trial run with few, small readings; needs --out")
    return parser


def parse(parser: argparse.ArgumentParser, name: str, argv: list[str] | None) -> argparse.Namespace:
    """The arguments, with device, threads and the place of the results settled."""
    args = parser.parse_args(argv)
    args.device = machine.choose_device(args.device)
    torch.set_num_threads(args.threads)
    args.seconds *= not args.quick
    if args.quick and args.out is None:
        parser.error("--quick makes no results to be kept: say --out FILE.json")
    if args.out is None:
        label = net_spec.find(args.net).label
        usual = {"float32", "cpu"}  # not named
        parts = [name, label, *(part for part in (args.precision, args.device.type) if part not in usual)]
        args.out = RESULTS / f"{'-'.join(parts)}.json"
    return args


def _shape(text: str) -> Shape:
    parts = text.lower().split("x")
    if len(parts) != 3 or not all(part.isdigit() and int(part) for part in parts):
        raise argparse.ArgumentTypeError(f"{text} is not channels x height x width, such as 3x224x224")
    channels, height, width = map(int, parts)
    return channels, height, width


@dataclass(frozen=True)
class ExportSource:
    """A network, its name, and its layer table for images of `shape`."""

    name: str
    net: nn.Module
    shape: Shape
    table: Table


def load(spec: str, shape: Shape | None = None, change: Callable[[nn.Module], nn.Module] | None = None) -> ExportSource:
    """The network for images of `shape` (None: the size it was built for), or the result of `change`.

    Raises UsageError: CN201, CN202, CN204, CN205, CN207.
    """
    resolved = net_spec.find(spec)
    if resolved.kind == "registry":
        own = (
            (resolved.in_channels, resolved.image_size, resolved.image_size)
            if resolved.image_size
            else NETS[resolved.name].input
        )
        channels, height, width = shape or own
        if height != width:
            where = f"--input {channels}x{height}x{width}"
            raise UsageError("CN201", f"{resolved.name} is made for square images", where=where)
        shape = (channels, height, width)
        classes = resolved.num_classes or NETS[resolved.name].classes
        resolved = replace(resolved, num_classes=classes, in_channels=channels, image_size=height)
    shape = shape or _OWN_NET_INPUT
    torch.manual_seed(0)
    net = resolved.build()
    table = check_input(net, shape, name=resolved.display_name)
    with torch.no_grad():
        net.eval()(torch.zeros(1, *shape))  # a lazy layer makes its weights
    if change is not None:
        net = change(net)
        table = check_input(net, shape, name=resolved.display_name)
    if len(table.output_shape) != 1:
        raise UsageError(
            "CN204",
            f"{resolved.display_name} gives {shape_text(table.output_shape)} for an image",
            why="the loss of a step needs one number for each class",
            hint="end it with a dense layer, or with global pooling and nn.Flatten()",
        )
    return ExportSource(resolved.display_name, net, shape, table)


class Work:
    """A network with a batch of noise on the device. The learning rate is 0: every step computes the same numbers."""

    def __init__(self, subject: ExportSource, batch: int, device: torch.device, precision: str):
        self.net = subject.net.to(device)
        self.acceleration = choose(
            self.net,
            subject.shape,
            device=device,
            macs=subject.table.macs,
            precision=precision,
            threads=torch.get_num_threads(),
            batch_size=batch,
            batch_threads=1,  # layers are timed one by one, each with all intra-op threads
        )
        self.stack = ExitStack()  # open as long as there is this object
        self.stack.enter_context(prepared(self.net, self.acceleration))
        self.device, self.precision = device, precision
        [classes] = subject.table.output_shape
        self.x = torch.rand(batch, *subject.shape).to(device)
        self.y = torch.randint(classes, (batch,)).to(device)
        self.recipe = Recipe(
            source="benchmark",
            net=subject.name,
            data="noise",
            epochs=1,
            batch_size=batch,
            lr=0.0,
            momentum=0.9,
            precision=precision,
        )
        self.state = State(self.net, self.recipe)
        self.loss = objective.make(self.recipe, self.y, classes)

    def step(self) -> None:
        """One step of training, as `train` takes it; the network must be in training mode."""
        take_step(self.state, self.x, self.y, 0.0, self.recipe, self.loss)

    def infer(self) -> None:
        """The logits of the batch; the network must be in evaluation mode."""
        with torch.inference_mode(), self.computing():
            self.net(self.x)

    @contextmanager
    def computing(self) -> Iterator[None]:
        """The precision in which layers compute, as training has it."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            yield


def readings(work: Callable[[], object], seconds: float, at_least: int = 3, at_most: int = 30) -> list[float]:
    """Seconds of each call, repeated for `seconds` after a warm-up, at least `least` times."""
    once = clock(work)
    once()
    reading = clock(work, max(1, min(1000, math.ceil(_READING_SECONDS / once()))))
    values: list[float] = []
    started = time.perf_counter()
    while len(values) < at_least or (len(values) < at_most and time.perf_counter() - started < seconds):
        values.append(reading())
    return values


def say(row: Row) -> None:
    """Progress, for people."""
    value = f"{1e3 * row.median:.3f} ms" if row.unit == "s" else f"{row.median:.1f} {row.unit}"
    print(f"  {row.what}: {value}", file=sys.stderr, flush=True)


def run_main(main: Callable[[], object]) -> None:
    """Runs `main`; a mistake that the user can mend ends the program with its four lines."""
    try:
        main()
    except ClassicnetsError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
