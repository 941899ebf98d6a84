"""How much less ReLU costs than sigmoid and tanh: a layer by itself, and the training step of a network with it.

    python studies/activation_cost.py                    (about a minute on 2 quiet cores)

A ratio is the time with the other activation by the time with ReLU. Writes studies/results/activation_cost.json.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import classicnets as cn

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, write

RESULTS = Path(__file__).parent / "results" / "activation_cost.json"
OTHERS = ("sigmoid", "tanh", "scaled_tanh")
MODULES = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
STEPS = {"lenet_d2l": 256, "alexnet_28": 64}  # images in a step


def layer(name: str, shape: tuple[int, ...]) -> Callable[[], Tensor]:
    """A function that computes an activation of these values and its gradient."""
    torch.manual_seed(0)
    x, gradient = torch.randn(shape).requires_grad_(), torch.randn(shape)
    module = MODULES[name]()
    return lambda: torch.autograd.grad(module(x), x, gradient)[0]


def step(net_name: str, activation: str, batch: int) -> Callable[[], None]:
    """A function that takes a training step: forward, loss, backward, SGD."""
    torch.manual_seed(0)
    net = cn.create(net_name, variation={"activation": activation}).train()
    x, y = torch.rand(batch, 1, 28, 28), torch.arange(batch) % 10
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)

    def take() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), y).backward()
        optimizer.step()

    return take


def against(other: str, what: str, work: Callable[[str], Callable[[], object]], pairs: int, calls: int = 2) -> Row:
    """The time with another activation by the time with ReLU; `work` makes a function for each."""
    seconds = (clock(work(name), calls=calls) for name in ("relu", other))
    return compared(pair_by_pair(*seconds, pairs=pairs), what=what, ours="ReLU", theirs=other)


def main() -> None:
    parser = arguments(__doc__, name="activation_cost", pairs=7)
    parser.set_defaults(out=RESULTS)
    args = parser.parse_args()
    before = conditions()
    shape = (64, 96, 54, 54)  # the outputs of the book's AlexNet after conv1, for 64 images
    size = "x".join(map(str, shape))
    rows = [
        against(other, f"{other} over {size}, forward and backward", partial(layer, shape=shape), args.pairs)
        for other in MODULES
        if other != "relu"
    ] + [
        against(
            other,
            f"training step of `{net}`, {batch} images, with {other}",
            partial(step, net, batch=batch),
            args.pairs,
            calls=8 if net == "lenet_d2l" else 2,
        )
        for net, batch in STEPS.items()
        for other in OTHERS
    ]
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
