"""Training steps whose batch is divided among Python threads, against steps with intra-op threads.

    python benchmarks/split.py                              (about five minutes on 2 quiet cores)
    python benchmarks/split.py --settings python            with torch's default of spinning threads, as in your Python

Three variants, compared pair by pair in one process, on noise images in memory:

plain   PyTorch's defaults: forward, cross-entropy, backward, SGD, with all intra-op threads
whole   our step with `batch_threads` 1: pools by slices, or channels last above 2M MACs
split   our step with the number of threads that `acceleration.prepare.choose` takes, or --batch-threads

"quiet" is with this program only; "shared" with another program, a busy loop, on one core. With --settings command (the
default) threads and allocator are set as by the command, for all three variants.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import classicnets as cn
from classicnets import machine
from classicnets.acceleration.prepare import PLAIN, Acceleration, choose, prepared
from classicnets.models.registry import NETS
from classicnets.training import objective
from classicnets.training.group import ALONE
from classicnets.training.loop import take_step
from classicnets.training.state import State
from classicnets.values import Recipe
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, write

BATCHES = {  # those of their recipes
    "lenet_d2l": 256,
    "lenet_caffe": 64,
    "alexnet_28": 256,
    "cifar10_26pct": 128,
    "cifar10_11pct": 128,
}
DEFAULT = ("lenet_d2l", "lenet_caffe", "alexnet_28")
READING_SECONDS = 0.4  # a reading takes as many steps as fit
THEIRS = {
    "plain": "PyTorch as it comes, {threads} intra-op threads",
    "whole": "our step of the whole batch, {threads} intra-op threads",
}


class Steps:
    """The steps of a network in one way; `seconds` is a reading."""

    def __init__(self, name: str, precision: str, batch: int, threads: int, way: str, batch_threads: int | None):
        torch.manual_seed(0)
        self.net, self.threads, self.way = cn.create(name, num_classes=10).train(), threads, way
        shape = NETS[name].input
        self.x, self.y = torch.rand(batch, *shape), torch.arange(batch) % 10
        self.recipe = Recipe(
            source="benchmark", net=name, data="noise", epochs=1, batch_size=batch, lr=0.01, precision=precision
        )
        self.state, self.loss = State(self.net, self.recipe), objective.make(self.recipe, self.y, 10)
        self.acceleration = PLAIN
        if way != "plain":
            self.acceleration = choose(
                self.net,
                shape,
                device="cpu",
                macs=NETS[name].macs,
                precision=precision,
                threads=threads,
                batch_size=batch,
                batch_threads=1 if way == "whole" else batch_threads,
            )
        self.calls = 1
        self.calls = max(1, int(READING_SECONDS / self.seconds()))

    def seconds(self) -> float:
        """Seconds of a step, after one to warm up."""
        torch.set_num_threads(self.threads)
        if self.way == "plain":
            optimizer = torch.optim.SGD(self.net.parameters(), lr=0.01)
            return self._read(lambda: plain_step(self.net, optimizer, self.x, self.y, self.recipe.precision))
        with prepared(self.net, self.acceleration), ALONE.gradients(self.net, self.acceleration, 0) as split:
            return self._read(lambda: take_step(self.state, self.x, self.y, 0.01, self.recipe, self.loss, split))

    def _read(self, step: Callable[[], None]) -> float:
        step()
        return clock(step, self.calls)()


def plain_step(net: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, precision: str) -> None:
    """As anyone writes it."""
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
        logits = net(x)
    F.cross_entropy(logits.float(), y).backward()
    optimizer.step()
    optimizer.zero_grad()


@contextmanager
def other_program() -> Iterator[None]:
    """A program of one busy thread, while open."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def measure(
    name: str, precision: str, threads: int, pairs: int, condition: str, batch_threads: int | None
) -> Iterator[Row]:
    """Both comparisons of a network."""
    batch = BATCHES[name]
    runners = {way: Steps(name, precision, batch, threads, way, batch_threads) for way in ("plain", "whole", "split")}
    acceleration = runners["split"].acceleration
    for way, words in THEIRS.items():
        readings = pair_by_pair(runners["split"].seconds, runners[way].seconds, pairs=pairs)
        yield compared(
            readings,
            what=f"training step of `{name}`, {batch} images, {precision}, {condition}",
            ours=describe(acceleration),
            theirs=words.format(threads=threads),
            facts={"batch_threads": acceleration.batch_threads, "channels_last": acceleration.channels_last},
        )


def describe(acceleration: Acceleration) -> str:
    """The way of ours in words."""
    threads = acceleration.batch_threads
    layout = ", channels last" if acceleration.channels_last else ""
    return (f"{threads} threads share the batch" if threads > 1 else "one call for the whole batch") + layout


def main() -> None:
    parser = arguments(__doc__, name="split", pairs=9)
    parser.add_argument("--nets", nargs="+", choices=BATCHES, default=DEFAULT)
    parser.add_argument("--precision", nargs="+", choices=["float32", "bfloat16"], default=["float32"])
    parser.add_argument("--conditions", nargs="+", choices=["quiet", "shared"], default=["quiet", "shared"])
    parser.add_argument("--settings", choices=["command", "python"], default="command")
    parser.add_argument(
        "--threads", type=int, default=torch.get_num_threads(), help="number of CPU threads (default: torch's)"
    )
    parser.add_argument("--batch-threads", type=int, help="threads that share a batch (default: chosen by the rule)")
    args = parser.parse_args()
    if args.settings == "command":
        if "GOMP_SPINCOUNT" not in os.environ:  # read when torch is imported, so from the start again
            os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "GOMP_SPINCOUNT": "1000"})
        machine.keep_memory()
    before, rows = conditions(), list[Row]()
    for condition in args.conditions:
        for name in args.nets:
            for precision in args.precision:
                if condition == "quiet":
                    rows += measure(name, precision, args.threads, args.pairs, "quiet", args.batch_threads)
                else:
                    with other_program():
                        rows += measure(
                            name, precision, args.threads, args.pairs, "one core shared", args.batch_threads
                        )
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
