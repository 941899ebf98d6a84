"""Compare our training losses, step by step, with those of a plain PyTorch loop of the book.

    python benchmarks/equality.py alexnet_d2l --steps 50

The plain loop is `train_ch6` written out: Xavier-uniform initialization, torch.optim.SGD, nn.CrossEntropyLoss, images
in 0..1 enlarged by F.interpolate. Both start from the same weights and take the images in the same order; they share
nothing else. Writes benchmarks/results/equality-NET.json.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from datetime import date
from itertools import islice
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from classicnets import machine
from classicnets.datasets.types import Split
from classicnets.events import Step
from classicnets.images import batches, loading
from classicnets.spec import run_spec
from classicnets.training import objective
from classicnets.training.loop import Scores
from classicnets.training.loop import train as train_loop
from classicnets.training.plan import Plan, plan
from classicnets.training.state import State

RESULTS = Path(__file__).parent / "results"


def ours(planned: Plan, net: nn.Module, train: Split, steps: int) -> list[float]:
    """The loss of each of the first steps of the real loop."""
    recipe = planned.recipe
    loader = batches.Batches(train, recipe, planned.preprocess, seed=planned.spec.seed, device=torch.device("cpu"))
    state = State(net, recipe)
    losses, before = [], 0
    for event in train_loop(state, loader, recipe, objective.make(recipe, loader.labels, 10), Scores):
        if isinstance(event, Step):
            losses.append(float(state.loss_sum) / (state.images - before))
            state.loss_sum, before = 0.0, state.images  # the sum is set back, so that it is the loss of one step
        if len(losses) == steps:
            break
    return losses


def plain(planned: Plan, net: nn.Module, train: Split, steps: int) -> list[float]:
    """The same by the book, for a recipe of plain SGD at a constant rate."""
    recipe, side = planned.recipe, planned.preprocess.image_size
    images, labels = torch.from_numpy(train.images), torch.from_numpy(train.labels)
    trainer, loss = torch.optim.SGD(net.parameters(), lr=recipe.lr), nn.CrossEntropyLoss()
    net.train()
    losses = []
    for index in islice(batches.order(len(labels), planned.spec.seed, 1).split(recipe.batch_size), steps):
        x = images[index].float() / 255
        if x.shape[-1] != side:
            x = F.interpolate(x, size=(side, side), mode="bilinear", align_corners=False)
        trainer.zero_grad()
        value = loss(net(x), labels[index])
        value.backward()
        trainer.step()
        losses.append(value.item())
    return losses


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("net")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE")
    args = parser.parse_args()
    settings = {"precision": "float32", **dict(pair.split("=") for pair in args.set)}
    planned = plan(*run_spec(args.net, recipe="d2l", settings=settings, device="cpu"))
    train = loading.load(planned.data).train
    net = planned.build(print)
    losses = {}
    for name, train_steps in (("ours", ours), ("plain", plain)):
        started = time.perf_counter()
        torch.manual_seed(planned.spec.seed)  # dropout draws from torch's own generator in both
        losses[name] = train_steps(planned, copy.deepcopy(net), train, args.steps)
        print(f"{name}: {args.steps} steps in {time.perf_counter() - started:.0f} s, last loss {losses[name][-1]:.6f}")
    largest = max(abs(a - b) for a, b in zip(losses["ours"], losses["plain"], strict=True))
    print(f"largest difference {largest:.2e} over {args.steps} steps")
    facts = {
        "net": args.net,
        "changed": args.set,
        "steps": args.steps,
        "batch_size": planned.recipe.batch_size,
        "largest_difference": largest,
        **losses,
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    (RESULTS / f"equality-{args.net}.json").write_text(json.dumps(facts, indent=2) + "\n")


if __name__ == "__main__":
    main()
