"""What the coach reports for runs that are broken on purpose, and that it is silent for sound runs, on Fashion-MNIST.

    python studies/coach.py                      all runs, a few minutes
    python studies/coach.py --only book          the runs whose names contain this word

Writes studies/results/coach.json: the advice of every run, when it was given, and how the run ended. The test split is
not used.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

import classicnets as cn
from classicnets import machine
from classicnets.coach.coach import Coach
from classicnets.coach.task import Sample, Task
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import Split
from classicnets.events import Advice, Epoch, to_dict
from classicnets.images import batches, loading
from classicnets.images.transforms import prepare
from classicnets.recipes.resolve import ANY_NET, RECIPES, RecipeKey
from classicnets.training import objective
from classicnets.training.initialize import initialize
from classicnets.training.loop import Scores
from classicnets.training.loop import train as train_loop
from classicnets.training.state import State

RESULTS = Path(__file__).parent / "results" / "coach.json"
BOOK = RECIPES[RecipeKey("d2l", "lenet_d2l")]
PLAIN = replace(BOOK, batch_size=128, lr=0.05, initialize="as_built", epochs=1)
FAST = RECIPES[RecipeKey("fast", "lenet_d2l")]
ANY = RECIPES[RecipeKey("fast", ANY_NET)]
RAW: dict[str, Any] = {"mean": (0.0,), "std": (1 / 255,)}  # 0..255
OF_2012 = replace(
    ANY, initialize="krizhevsky2012_code", std=(1 / 255,), optimizer="sgd", momentum=0.9, lr=0.01, weight_decay=0.0005,
    schedule="constant",
)  # fmt: skip


def book() -> nn.Module:
    return cn.create("lenet_d2l")


def relu() -> nn.Module:
    return cn.create("lenet_d2l", variation={"activation": "relu", "pool": "max"})


def batch_norm() -> nn.Module:
    return cn.create("lenet_d2l", variation={"activation": "relu", "norm": "batch"})


def alexnet() -> nn.Module:
    return cn.create("alexnet_28")


def times(net: nn.Module, factor: float) -> nn.Module:
    with torch.no_grad():
        for p in net.parameters():
            p.mul_(factor)
    return net


def biases(net: nn.Module, value: float) -> nn.Module:
    for name, p in net.named_parameters():
        if name.endswith("bias"):
            nn.init.constant_(p, value)
    return net


def constant(split: Split) -> Split:
    return Split(np.full_like(split.images, 90), split.labels)


def shuffled(split: Split) -> Split:
    return Split(split.images, np.random.default_rng(0).permutation(split.labels))


def partly_shuffled(split: Split) -> Split:
    rng = np.random.default_rng(0)
    labels, index = split.labels.copy(), np.flatnonzero(rng.random(len(split)) < 1 / 3)
    labels[index] = rng.permutation(labels[index])
    return Split(split.images, labels)


def without(split: Split, label: int, keep: int = 0) -> Split:
    index = np.flatnonzero(split.labels == label)[keep:]
    remaining = np.setdiff1d(np.arange(len(split)), index)
    return Split(split.images[remaining], split.labels[remaining])


class Slow(batches.Batches):
    """Batches from a disk that takes its time."""

    def epoch(self, epoch: int, start: int = 0) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for batch in super().epoch(epoch, start):
            time.sleep(0.1)
            yield batch


@dataclass(frozen=True)
class Run:
    """One row of the table; `expected` is a topic, or "" for a sound run."""

    name: str
    expected: str
    net: Callable[[], nn.Module]
    recipe: Any
    images: int = 60_000
    change: Callable[[Split], Split] = lambda split: split
    loader: type[batches.Batches] = batches.Batches
    validation: int = 0
    stop_after: int | None = None  # epochs of the recipe; None: all
    original: Any = None  # the recipe before the user changed it; None: unknown


def learns_by_heart() -> Any:
    return replace(PLAIN, batch_size=16, epochs=25, lr=0.1, monitor="validation", validation=0.05)


BROKEN = (
    Run("all images are one gray", "constant_pictures", book, replace(BOOK, epochs=1), 2000, constant),
    Run("values divided by 255 twice", "pictures_out_of_range", book, replace(BOOK, epochs=1, std=(255.0,)), 2000),
    Run("ImageNet's mean in 0..255", "pictures_out_of_range", relu, replace(PLAIN, mean=(123.7,), std=(58.4,)), 2000),
    Run("raw 0-255 into sigmoids", "pictures_out_of_range", book, replace(BOOK, epochs=1, **RAW), 2000),
    Run("raw 0-255 into a ReLU net", "pictures_out_of_range", relu, replace(BOOK, lr=0.05, epochs=1, **RAW), 2000),
    Run("a class without images", "class_without_pictures", relu, PLAIN, 4000, lambda s: without(s, 4)),
    Run("a class with 20 images", "classes_unequal", relu, PLAIN, 4000, lambda s: without(s, 4, 20)),
    Run("weights of a sigmoid net times 50", "saturated_sigmoids", lambda: times(book(), 50), PLAIN, 2000),
    Run("weights all zero", "equal_weights", lambda: times(book(), 0), replace(BOOK, initialize="as_built"), 2000),
    Run("biases of -10 before ReLUs", "dead_relus", lambda: biases(relu(), -10), PLAIN, 2000),
    Run("labels shuffled", "stuck_at_chance", relu, replace(PLAIN, epochs=2), 30_000, shuffled),
    Run("a third of the labels shuffled", "label_noise", relu, replace(ANY, epochs=5), 30_000, partly_shuffled),
    Run("lr 0.00001, ReLU", "stuck_at_chance", relu, replace(PLAIN, lr=1e-5), 30_000, original=PLAIN),
    Run("lr 0.00001 for 0.003, AdamW", "rate_low", relu, replace(ANY, lr=1e-5, epochs=1), 5_000, original=ANY),
    Run("lr 1, ReLU", "dead_relus", relu, replace(BOOK, lr=1.0, epochs=1), 30_000, original=BOOK),
    Run("lr 5, ReLU", "dead_relus", relu, replace(BOOK, lr=5.0, epochs=1), 30_000, original=BOOK),
    Run("lr 50, ReLU", "loss_grows", relu, replace(BOOK, lr=50.0, epochs=1), 30_000, original=BOOK),
    Run("lr 20, sigmoids", "saturated_sigmoids", book, replace(BOOK, lr=20.0, epochs=1), 30_000, original=BOOK),
    Run("momentum 0.999", "dead_relus", relu, replace(PLAIN, momentum=0.999), 30_000, original=PLAIN),
    Run("weight decay 5", "weights_vanish", relu, replace(PLAIN, weight_decay=5.0), 4000, original=PLAIN),
    Run("the book's LeNet, lr a tenth", "rate_low", book, replace(BOOK, lr=0.09, epochs=1), original=BOOK),
    Run("the book's LeNet, weights as built", "stuck_at_chance", book, replace(BOOK, initialize="as_built", epochs=2)),
    Run("the book's LeNet, weights N(0, 0.01)", "stuck_at_chance", book, replace(BOOK, initialize="normal", epochs=2)),
    Run("500 images learned by heart", "validation_turns", relu, learns_by_heart(), 500, validation=3000),
    Run("batches that come late", "data_starved", relu, replace(PLAIN, epochs=2), 1500, loader=Slow),
)  # fmt: skip

# The recipes as they are, with their whole schedules, of which the first epochs are run.
SOUND = (
    Run("the book's LeNet, recipe d2l", "", book, BOOK, stop_after=2),
    Run("the book's LeNet, recipe fast", "", book, FAST, stop_after=2),
    Run("with ReLU and maximum, recipe fast", "", relu, FAST, stop_after=2),
    Run("with ReLU and batch normalization", "", batch_norm, ANY, stop_after=1),
    Run("alexnet_28, recipe fast", "", alexnet, ANY, 4000, stop_after=1),
    Run("4,000 images, with validation", "", relu, replace(ANY, epochs=8), 4000, validation=3000),
    Run("alexnet_28 on 0-255 with the weights of 2012", "", alexnet, OF_2012, 6000, stop_after=2),
)  # fmt: skip


def run(row: Run, images: Split, seed: int) -> dict[str, Any]:
    """Trains, and gives what the coach said and where the training ended."""
    order = batches.order(len(images), seed, 0).numpy()
    validation_index, index = order[: row.validation], order[row.validation :][: row.images]
    train = row.change(Split(images.images[index], images.labels[index]))
    torch.manual_seed(seed)
    net = row.net()
    initialize(net, row.recipe.initialize)
    preprocess = row.recipe.preprocess(1, 28)
    loader = row.loader(train, row.recipe, preprocess, seed=seed, device=torch.device("cpu"))
    state = State(net, row.recipe)
    classes = DATASETS["fashion_mnist"].classes
    first = torch.arange(256)
    coach = Coach(
        Task(
            recipe=row.recipe,
            original=row.original or row.recipe,
            classes=classes,
            counts=torch.bincount(loader.labels, minlength=len(classes)),
        ),
        Sample(prepare(loader.images(first), preprocess), loader.labels[first], preprocess),
    )
    started, watching = time.perf_counter(), 0.0
    advice, best, last = coach.on_start(net), 0.0, None
    for event in train_loop(state, loader, row.recipe, objective.make(row.recipe, loader.labels, 10), Scores):
        if event.epoch > (row.recipe.epochs if row.stop_after is None else row.stop_after):
            break
        if isinstance(event, Advice) or event.loss is None:
            continue
        if isinstance(event, Epoch):
            if row.validation:
                x = prepare(torch.from_numpy(images.images[validation_index]), preprocess)
                loss, accuracy = evaluate(net, x, torch.from_numpy(images.labels[validation_index]))
                event = replace(event, validation_loss=loss, validation_accuracy=accuracy, best=accuracy > best)
                best = max(best, accuracy)
            last = event
        ready = time.perf_counter()
        new = coach.on_event(event, net)
        watching += time.perf_counter() - ready
        if event.loss is not None and not math.isfinite(event.loss):  # where a run stops with CN101
            advice += [] if advice else new
            break
        advice += new
    return {
        "run": row.name,
        "seed": seed,
        "expected": row.expected,
        "said": [to_dict(item) for item in advice],
        "as_expected": topics(advice) == ({row.expected} if row.expected else set()),
        "train_loss": last.loss if last else None,
        "train_accuracy": last.accuracy if last else None,
        "seconds": time.perf_counter() - started,
        "coach_seconds": watching,
    }


def evaluate(net: nn.Module, x: torch.Tensor, y: torch.Tensor) -> tuple[float, float]:
    net.eval()
    with torch.no_grad():
        logits = net(x)
    return float(nn.functional.cross_entropy(logits, y)), float((logits.argmax(1) == y).float().mean())


def topics(advice: list[Advice]) -> set[str]:
    return {item.topic for item in advice}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="only runs whose names contain this; writes no results")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each sound run (default: 3)")
    args = parser.parse_args()
    images = loading.load("fashion_mnist").train
    runs = [(row, 0) for row in BROKEN] + [(row, seed) for row in SOUND for seed in range(args.seeds)]
    rows = []
    for row, seed in runs:
        if args.only not in row.name:
            continue
        rows.append(run(row, images, seed))
        advice = "; ".join(f"epoch {a['epoch']}: {a['said']} -> {a['hint']}" for a in rows[-1]["said"]) or "nothing"
        mark = " " if rows[-1]["as_expected"] else "!"
        print(f"{mark} {row.name}, seed {seed} ({rows[-1]['seconds']:.0f} s)\n      {advice}", flush=True)
    summary = {
        "n_broken": sum(bool(row["expected"]) for row in rows),
        "n_broken_as_expected": sum(row["as_expected"] for row in rows if row["expected"]),
        "n_sound": sum(not row["expected"] for row in rows),
        "n_sound_silent": sum(not row["said"] for row in rows if not row["expected"]),
        "runs": rows,
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "date": date.today().isoformat(),
        **machine.describe(),
    }
    print({key: value for key, value in summary.items() if key.startswith("n_")})
    if not args.only:
        RESULTS.parent.mkdir(exist_ok=True)
        RESULTS.write_text(json.dumps(summary, indent=2) + "\n")


if __name__ == "__main__":
    main()
