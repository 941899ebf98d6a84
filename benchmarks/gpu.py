"""What a GPU does with the two networks, against plain PyTorch in the same run; benchmarks/gpu.sh calls each part.

    bash benchmarks/gpu.sh                                  (at most ten minutes; needs no data and no network)
    python benchmarks/gpu.py train --smoke                  (seconds, on any machine)

train          training steps in images per second: our step (`training.loop.take_step`, as `train` calls it) against
               forward, loss, backward and SGD in plain PyTorch, with the batch on the device and the same precision
lrn            our LRN against nn.LocalResponseNorm, forward and backward
deterministic  a step with `--deterministic` against one without; three steps twice must give the same weights
evaluation     images per second of `Predictor`, with uint8 images in memory, against plain PyTorch
seeds          64 seeds of LeNet, the whole command, against one after the other
processes      two processes, ddp and hybrid, against one; needs two GPUs

Images are noise. `gpu.py table FILE...` makes a table of the results. --smoke takes tiny batches and few readings, to
try the script, on a CPU as well.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import classicnets as cn
from classicnets import machine
from classicnets.acceleration.prepare import PLAIN, choose, prepared
from classicnets.evaluation.predictor import Predictor
from classicnets.models.lrn import LRN
from classicnets.models.registry import NETS
from classicnets.training import objective
from classicnets.training.group import ALONE
from classicnets.training.loop import take_step
from classicnets.training.state import State
from classicnets.values import Preprocess, Recipe
from scaling import speed, words
from timing import Row, clock, compared, conditions, pair_by_pair, read, skip, write
from traffic import CASES, noise

LENET, ALEXNET = "lenet_d2l", "alexnet_2014"
BATCHES = {LENET: 256, ALEXNET: 128}


class Steps:
    """Training steps of a network on one batch of noise, in our way and in plain PyTorch."""

    def __init__(self, name: str, batch: int, precision: str, device: torch.device):
        torch.manual_seed(0)
        entry = NETS[name]
        self.net = cn.create(name).to(device).train()
        self.x = torch.rand(batch, *entry.input, device=device)
        self.y = torch.arange(batch, device=device) % entry.classes
        self.recipe = Recipe(
            source="benchmark", net=name, data="noise", epochs=1, batch_size=batch, lr=0.01, precision=precision
        )
        self.state = State(self.net, self.recipe)
        self.loss = objective.make(self.recipe, self.y.cpu(), entry.classes)
        self.acceleration = choose(
            self.net,
            entry.input,
            device=device,
            macs=entry.macs,
            precision=precision,
            threads=torch.get_num_threads(),
            batch_size=batch,
        )
        self.plain = torch.optim.SGD(self.net.parameters(), lr=0.01)

    def ours(self) -> None:
        """One step as `train` takes it."""
        with prepared(self.net, self.acceleration), ALONE.gradients(self.net, self.acceleration, 0) as gradients:
            take_step(self.state, self.x, self.y, 0.01, self.recipe, self.loss, gradients)

    def theirs(self) -> None:
        """One step as anyone writes it."""
        with torch.autocast(self.x.device.type, torch.bfloat16, enabled=self.recipe.precision == "bfloat16"):
            logits = self.net(self.x)
        F.cross_entropy(logits.float(), self.y).backward()
        self.plain.step()
        self.plain.zero_grad()


def train(args: argparse.Namespace) -> Iterator[Row]:
    """Steps of both networks."""
    for name in (LENET, ALEXNET):
        for precision in ("float32", "bfloat16") if name == ALEXNET else ("float32",):
            for batch in (4,) if args.smoke else (BATCHES[name], 8 * BATCHES[name]):
                steps = Steps(name, batch, precision, args.device)
                readings = pair_by_pair(
                    clock(steps.ours, args.calls), clock(steps.theirs, args.calls), pairs=args.pairs
                )
                yield compared(
                    readings,
                    what=f"training step of `{name}`, {batch} images, {precision}",
                    ours=f"{batch / min(readings.ours):,.0f} images/s",
                    theirs=f"plain PyTorch, {batch / min(readings.theirs):,.0f} images/s",
                    facts={"batch": batch, "precision": precision},
                )


def lrn(args: argparse.Namespace) -> Iterator[Row]:
    """The layer by itself."""
    shape = (2, 96, 13, 13) if args.smoke else (128, 96, 55, 55)
    x = torch.rand(shape, device=args.device, requires_grad=True)

    def both_ways(layer: nn.Module) -> Callable[[], None]:
        def run() -> None:
            torch.autograd.grad(layer(x).sum(), x)

        return run

    ours, theirs = LRN(5, k=1.0).to(args.device), nn.LocalResponseNorm(5).to(args.device)
    torch.testing.assert_close(ours(x), theirs(x))
    readings = pair_by_pair(clock(both_ways(ours), args.calls), clock(both_ways(theirs), args.calls), pairs=args.pairs)
    size = "x".join(map(str, shape))
    yield compared(
        readings, what=f"LRN forward and backward over {size}", ours="`LRN(5)`", theirs="`nn.LocalResponseNorm(5)`"
    )


def deterministic(args: argparse.Namespace) -> Iterator[Row]:
    """What only deterministic algorithms cost, and whether steps are then repeated bit for bit."""
    batch = 2 if args.smoke else BATCHES[ALEXNET]

    def weights() -> Tensor:
        steps = Steps(ALEXNET, batch, "float32", args.device)
        for _ in range(3):
            steps.ours()
        return torch.cat([parameter.detach().flatten() for parameter in steps.net.parameters()])

    with machine.deterministic(True):
        equal = bool(torch.equal(weights(), weights()))
    steps = Steps(ALEXNET, batch, "float32", args.device)

    def repeatable() -> None:
        with machine.deterministic(True):
            steps.ours()

    readings = pair_by_pair(clock(repeatable, args.calls), clock(steps.ours, args.calls), pairs=args.pairs)
    yield compared(
        readings,
        what=f"training step of `{ALEXNET}`, {batch} images, with `--deterministic`",
        ours=f"bit for bit the same weights after three steps: {'yes' if equal else 'NO'}",
        theirs="without",
        facts={"equal": equal},
    )


def evaluation(args: argparse.Namespace) -> Iterator[Row]:
    """Probabilities of uint8 images in memory."""
    for name, count in ((LENET, 10_000), (ALEXNET, 1_000)):
        entry, images_count = NETS[name], 20 if args.smoke else count
        net = cn.create(name).to(args.device).eval()
        images = np.random.default_rng(0).integers(0, 256, (images_count, *entry.input), np.uint8)
        preprocess = Preprocess(channels=entry.input[0], image_size=entry.input[1])
        acceleration = choose(
            net,
            entry.input,
            device=args.device,
            macs=entry.macs,
            precision="float32",
            threads=torch.get_num_threads(),
            batch_size=250,
        )
        classes = tuple(map(str, range(entry.classes)))
        predictor = Predictor(net, preprocess, classes, args.device, acceleration=acceleration)
        plain = Predictor(net, preprocess, classes, args.device, acceleration=PLAIN)
        readings = pair_by_pair(
            clock(partial(predictor.probabilities, images)),
            clock(partial(plain.probabilities, images)),
            pairs=args.pairs,
        )
        yield compared(
            readings,
            what=f"evaluation of `{name}`, {images_count:,} images, float32",
            ours=f"{images_count / min(readings.ours):,.0f} images/s",
            theirs=f"without acceleration, {images_count / min(readings.theirs):,.0f} images/s",
        )


def seeds(args: argparse.Namespace) -> Iterator[Row]:
    """A study of many seeds, the whole command."""
    count = 2 if args.smoke else 64
    case = CASES["lenet_d2l"]
    with tempfile.TemporaryDirectory(prefix="gpu-") as name:
        data = noise(case, Path(name))

        def seconds(*options: str) -> float:
            line = [sys.executable, "-m", "classicnets", "train", LENET, "--data", str(data), "--seeds", str(count)]
            line += ["--device", str(args.device), "--runs", f"{name}/runs", "--json", "--limit", "512", *options]
            started = time.perf_counter()
            subprocess.run([*line, "--set", "epochs=1"], stdout=subprocess.PIPE, check=True)
            shutil.rmtree(f"{name}/runs")
            return time.perf_counter() - started

        readings = pair_by_pair(seconds, lambda: seconds("--parallel-runs", "1"), pairs=1, warm_up=0)
    yield compared(
        readings,
        what=f"{count} seeds of `{LENET}`, 512 images, the whole command",
        ours=f"`train --seeds {count}`",
        theirs="with `--parallel-runs 1`",
    )


def processes(args: argparse.Namespace) -> Iterator[Row | str]:
    """Two processes against one, with the same batch for all together."""
    if args.device.type == "cuda" and torch.cuda.device_count() < 2:
        yield skip("two processes", "a machine with two GPUs")
        return
    case = CASES["lenet_d2l"] if args.smoke else replace(CASES["full_size"], batch=256)
    with tempfile.TemporaryDirectory(prefix="gpu-") as name:
        folder = Path(name)
        data = noise(case, folder)

        def seconds(*options: str) -> float:
            line = words(case, data, folder / "runs", batch=case.batch, steps=4, device=args.device.type)
            result = subprocess.run(
                [sys.executable, "-m", "classicnets", *line, *options], stdout=subprocess.PIPE, text=True, check=True
            )
            return 1 / speed(result.stdout)

        for form in case.forms:
            readings = pair_by_pair(
                partial(seconds, "--processes", "2", "--parallel", form), seconds, pairs=1, warm_up=0
            )
            yield compared(
                readings,
                what=f"training of `{case.net}`, {case.batch} images, 2 processes, {form}",
                ours=f"{1 / min(readings.ours):,.0f} images/s",
                theirs=f"one process, {1 / min(readings.theirs):,.0f} images/s",
            )


def table(files: list[Path]) -> str:
    """The results of all parts as Markdown."""
    lines = ["| what | ours | theirs | times as fast (range, n) |", "| --- | --- | --- | ---: |"]
    for path in files:
        rows, facts = read(path)
        for row in rows:
            spread = f"{row.median:.2f} ({min(row.values):.2f} to {max(row.values):.2f}, n = {len(row.values)})"
            lines.append(f"| {row.what} | {row.ours} | {row.theirs} | {spread} |")
        lines += [f"| {line} | skipped | | |" for line in facts["skipped"]]
    if files:
        facts = read(files[0])[1]
        lines += ["", f"{facts['device']}, {facts['processor']}, torch {facts['versions']['torch']}, {facts['date']}"]
    return "\n".join(lines)


PARTS = {part.__name__: part for part in (train, lrn, deterministic, evaluation, seeds, processes)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("files", nargs="*", type=Path, help="results, for table")
    parser.add_argument("--smoke", action="store_true", help="tiny batches and one reading, to try the script")
    parser.add_argument("--out", type=Path, metavar="FILE", help="results of a part")
    args = parser.parse_args()
    if args.part == "table":
        print(table(args.files))
        return
    args.device = machine.choose_device("auto" if torch.cuda.is_available() else "cpu")
    args.pairs, args.calls = (1, 1) if args.smoke else (5, 20 if args.device.type == "cuda" else 1)
    before, rows, skipped = conditions(), list[Row](), list[str]()
    for result in PARTS[args.part](args):
        (skipped if isinstance(result, str) else rows).append(result)  # type: ignore[arg-type]
    write(args.out or Path(f"gpu-{args.part}.json"), rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
