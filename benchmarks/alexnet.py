"""The book's AlexNet on Fashion-MNIST at 224 pixels: training steps of its loop against ours, in one run.

    python benchmarks/alexnet.py                            (two to three minutes on 2 quiet cores)
    python benchmarks/alexnet.py --steps 1 --pairs 1

steps        steps of 128 images: `classicnets train alexnet_d2l --limit N` (enlarging images, metrics and optimizer
             included) against the book's loop (peers/book.py: DataLoader with Resize(224) and ToTensor, float32). The
             book's first batch is loaded before the clock starts, since an epoch has many batches.
waiting      the share of our time that is spent waiting for data.
memory       peak memory of a separate process for two steps of each; the book's four workers are not counted.
torchvision  steps of torchvision's AlexNet in plain PyTorch with its batch in memory, against our
             `alexnet_torchvision` as `train` runs it, data included; both in the precision that ours uses. Needs
             torchvision.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path

import torch
from torch import nn

from classicnets import machine
from classicnets.cli.arguments import settings
from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import Split
from classicnets.events import Epoch
from classicnets.images import loading
from classicnets.recipes import resolve
from classicnets.spec import Output, run_spec
from classicnets.training.plan import Plan, plan
from classicnets.training.session import Session
from peers import book
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, skip, write

HERE = Path(__file__).parent
PARTS = ("steps", "memory", "torchvision")
BATCH = 128


class Ours:
    """A training in this process: epochs of a few steps, without evaluation."""

    def __init__(self, planned: Plan, runs: Path):
        self.training = Session.start(planned, lambda _: None, Output(runs=str(runs)))
        self.events = self.training.events()
        self.epochs: list[Epoch] = []

    def seconds(self) -> float:
        """The seconds of the next epoch's steps."""
        self.epochs.append(next(event for event in self.events if isinstance(event, Epoch)))
        return self.epochs[-1].seconds


def planned(net: str, steps: int, changed: dict[str, str]) -> Plan:
    """Epochs with this number of steps of the book's recipe, without evaluation."""
    recipe = replace(resolve.find("d2l", "alexnet_d2l", registered=True), net=net, expected=None)
    few = {"monitor": "none", "epochs": 1000, "batch_size": BATCH}
    return plan(*run_spec(net, data="fashion_mnist", recipe=recipe, settings={**few, **changed}, limit=steps * BATCH))


def steps(train: Split, count: int, changed: dict[str, str], pairs: int) -> list[Row]:
    """Steps of both, and the share of ours that is spent on data."""
    with tempfile.TemporaryDirectory(prefix="alexnet-") as name:
        ours = Ours(planned("alexnet_d2l", count, changed), Path(name))
        device = ours.training.device
        net = book.alexnet().to(device)
        optimizer = torch.optim.SGD(net.parameters(), lr=book.RATE["alexnet"])
        transform, whose = book.find_transform(224)
        first_images = slice(count * BATCH)  # no more, as the loader would make them ahead
        loader = book.loader(
            "alexnet", train.images[first_images, 0], train.labels[first_images], transform, shuffle=True
        )

        def the_books() -> float:
            batches = iter(loader)
            all_of_them = chain([next(batches)], batches)
            return clock(lambda: book.train(net, islice(all_of_them, count), optimizer, device))()

        readings = pair_by_pair(ours.seconds, the_books, pairs=pairs)
        ours.events.close()
    precision = ours.training.plan.recipe.precision
    facts = {"plan": ours.training.plan.lines(), "steps": count, "their_transforms": whose}
    speeds = {"our_images_per_second": ours.epochs[-1].images_per_second}
    waited = Row(
        what="the share of our training time that is spent on data",
        ours=f"`classicnets train alexnet_d2l`, {precision}",
        values=[100 * one.wait_share for one in ours.epochs[1:]],  # the first warmed up
        unit="%",
        at_least=5.0,
        reach=2.0,
        less_is_better=True,
    )
    row = compared(
        readings,
        what=f"{count} training steps of {BATCH} images at 224",
        ours=f"`classicnets train alexnet_d2l`, {precision}",
        theirs="the book's loop: PIL, Resize, ToTensor, DataLoader of 4 workers, float32",
        at_least=2.2,
        reach=2.6,
        facts={**facts, **speeds},
    )
    print(waited)
    return [row, waited]


def memory(changed: list[str]) -> Row:
    """Peak memory of both, each in its own process."""
    files = [str(path) for path in sources.obtain(DATASETS["fashion_mnist"]).paths.values()]
    results = []
    for line in (
        [__file__, "--in-process", *(["--set", *changed] if changed else [])],
        [str(HERE / "peers" / "book.py"), "--net", "alexnet", "--steps", "2", *files],
    ):
        process = subprocess.run([sys.executable, *line], stdout=subprocess.PIPE, text=True, check=True)
        results.append(json.loads(process.stdout.splitlines()[-1]))
    kind = "peak_device_memory_bytes" if "peak_device_memory_bytes" in results[1] else "peak_memory_bytes"
    ours, theirs = (result[kind] for result in results)
    row = Row(
        what="peak memory of the process in training, ours by theirs",
        ours=f"`classicnets train alexnet_d2l`, {ours / 1e6:,.0f} MB",
        theirs=f"the book's loop, {theirs / 1e6:,.0f} MB without its workers",
        values=[ours / theirs],
        at_least=1.0,
        reach=0.6,
        less_is_better=True,
        facts={"our_bytes": ours, "their_bytes": theirs, "of": kind},
    )
    print(row)
    return row


def in_process(changed: dict[str, str]) -> None:
    """Our part of `memory`: two steps, and what they took, as JSON."""
    with tempfile.TemporaryDirectory(prefix="alexnet-") as name:
        ours = Ours(planned("alexnet_d2l", 2, changed), Path(name))
        ours.seconds()
        ours.events.close()
    result = {"peak_memory_bytes": machine.peak_memory_bytes()}
    if ours.training.device.type == "cuda":
        result["peak_device_memory_bytes"] = torch.cuda.max_memory_allocated()
    print(json.dumps(result))


def torchvisions(count: int, changed: dict[str, str], pairs: int) -> Row | None:
    """Steps of torchvision's AlexNet and of ours under its names; None without torchvision."""
    vision = book.find_torchvision()
    if vision is None:
        return None
    with tempfile.TemporaryDirectory(prefix="alexnet-") as name:
        ours = Ours(planned("alexnet_torchvision", count, changed), Path(name))
        device, precision = ours.training.device, ours.training.plan.recipe.precision
        net = vision.models.alexnet(num_classes=10)
        net.features[0] = nn.Conv2d(1, 64, kernel_size=11, stride=4, padding=2)
        net.to(device).train()
        optimizer, loss_of = torch.optim.SGD(net.parameters(), lr=0.01), nn.CrossEntropyLoss()
        x, y = torch.rand(BATCH, 1, 224, 224, device=device), torch.randint(10, (BATCH,), device=device)

        def theirs() -> None:
            for _ in range(count):
                optimizer.zero_grad()
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                    logits = net(x)
                loss_of(logits.float(), y).backward()
                optimizer.step()

        readings = pair_by_pair(ours.seconds, clock(theirs), pairs=pairs)
        ours.events.close()
    return compared(
        readings,
        what=f"{count} training steps of {BATCH} images at 224, torchvision's network",
        ours=f"`classicnets train` of `alexnet_torchvision`, {precision}, data and metrics included",
        theirs=f"`torchvision.models.alexnet` in plain PyTorch, {precision}, the batch in memory",
        facts={"plan": ours.training.plan.lines(), "steps": count, "torchvision": vision.__version__},
    )


def main() -> None:
    parser = arguments(__doc__, name="alexnet", pairs=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--steps", type=int, default=2, help="training steps in one reading (default: 2)")
    parser.add_argument(
        "--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE", help="settings of our training"
    )
    parser.add_argument("--in-process", action="store_true", help="print our peak memory for two steps and exit")
    args = parser.parse_args()
    changed = settings(args.set)
    if args.in_process:
        in_process(changed)
        return
    before = conditions()
    rows: list[Row] = []
    skipped: list[str] = []
    if "memory" in args.parts:
        rows.append(memory(args.set))
    if "steps" in args.parts:
        rows += steps(loading.load("fashion_mnist").train, args.steps, changed, args.pairs)
    if "torchvision" in args.parts:
        row = torchvisions(args.steps, changed, args.pairs)
        if row is None:
            skipped.append(skip("torchvision", "pip install torchvision"))
        else:
            rows.append(row)
    write(args.out, rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
