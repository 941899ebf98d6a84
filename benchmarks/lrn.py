"""Our LRN against `nn.LocalResponseNorm`: the layer by itself, and the training step of a network with two of them.

    python benchmarks/lrn.py                                (four minutes on 2 quiet cores)
    python benchmarks/lrn.py --images 4 --batch 2 --pairs 1

layer        forward and backward over 64 x 96 x 55 x 55 float32, as AlexNet's first; eager and compiled, contiguous and
             channels last. ReLU is measured beside it: its time is that of reading and writing main memory.
step         `alexnet_2012`, float32, SGD with momentum, 32 images in memory, against the same network with
             `nn.LocalResponseNorm` in place of its LRN layers (the two towers as a batch twice as long, which copies
             nothing).
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn
from torch.testing import assert_close

import classicnets
from classicnets.models.lrn import LRN
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, skip, write

PARTS = ("layer", "step")
LAYOUTS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}


class TorchLRN(nn.Module):
    """What one of ours computes, by `nn.LocalResponseNorm`."""

    def __init__(self, ours: LRN):
        super().__init__()
        alpha = ours.effective_alpha * ours.size
        self.norm, self.groups = nn.LocalResponseNorm(ours.size, alpha, ours.beta, ours.k), ours.groups

    def forward(self, x: Tensor) -> Tensor:
        parts = x.reshape(-1, x.shape[1] // self.groups, *x.shape[2:])
        output: Tensor = self.norm(parts)
        return output.reshape(x.shape)


def forward_backward(layer: nn.Module, a: Tensor, g: Tensor) -> Callable[[], Tensor]:
    """A function that makes the values and returns the gradient."""
    a = a.detach().requires_grad_()
    return lambda: torch.autograd.grad(layer(a), a, g)[0]


def layer(images: int, pairs: int) -> tuple[list[Row], list[str]]:
    """The layer by itself in every mode and layout, and the skipped cases."""
    torch.manual_seed(0)
    shape = (images, 96, 55, 55)
    values, gradient = 100 * torch.randn(shape), torch.randn(shape)
    rows, skipped = [], []
    for mode in ("eager", "compiled"):
        for words, layout in LAYOUTS.items():
            a, g = (t.to(memory_format=layout) for t in (values, gradient))
            nets: list[nn.Module] = [LRN(5, k=1.0), nn.LocalResponseNorm(5), nn.ReLU()]
            if mode == "compiled":
                nets = [cast(nn.Module, torch.compile(net)) for net in nets]
            ours, theirs, floor = (forward_backward(net, a, g) for net in nets)
            try:
                assert_close(ours(), theirs(), rtol=1e-5, atol=1e-5)
                assert_close(nets[0](a), nets[1](a), rtol=1e-5, atol=1e-5)
            except torch._inductor.exc.InductorError as error:
                skipped.append(skip(f"{mode}, {words}", str(error).splitlines()[0]))
                continue
            first = mode == "eager" and words == "channels first"
            for them, their_words in ((theirs, f"`nn.LocalResponseNorm(5)`, {mode}"), (floor, f"ReLU, {mode}")):
                against_torch = them is theirs
                rows.append(
                    compared(
                        pair_by_pair(clock(ours, calls=2), clock(them, calls=2), pairs=pairs),
                        what=f"LRN forward and backward over {'x'.join(map(str, shape))}, {mode}, {words}"
                        + ("" if against_torch else ": lower bound by memory traffic, as a fraction of our time"),
                        ours=f"`LRN(5, k=1.0)`, {mode}",
                        theirs=their_words,
                        at_least=3.0 if first and against_torch else None,
                        reach=6.0 if first and against_torch else None,
                    )
                )
    return rows, skipped


def stepper(net: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A function that takes a training step."""
    optimizer = torch.optim.SGD(net.train().parameters(), lr=1e-5, momentum=0.9)
    loss_of = nn.CrossEntropyLoss()

    def step() -> None:
        optimizer.zero_grad()
        loss_of(net(x), y).backward()
        optimizer.step()

    return step


def step(batch: int, pairs: int) -> Row:
    """The training step of the network."""
    torch.manual_seed(0)
    ours = classicnets.create("alexnet_2012")
    theirs = copy.deepcopy(ours)
    for name, module in list(theirs.named_children()):
        if isinstance(module, LRN):
            setattr(theirs, name, TorchLRN(module))
    x, y = 255 * torch.rand(batch, 3, 224, 224) - 118, torch.randint(1000, (batch,))
    assert_close(ours.eval()(x[:2]), theirs.eval()(x[:2]), rtol=1e-4, atol=1e-5)
    return compared(
        pair_by_pair(clock(stepper(ours, x, y)), clock(stepper(theirs, x, y)), pairs=pairs),
        what=f"training step of `alexnet_2012`, {batch} images, float32",
        ours="with our LRN",
        theirs="with `nn.LocalResponseNorm` in its place",
        at_least=1.25,
        reach=1.35,
    )


def main() -> None:
    parser = arguments(__doc__, name="lrn", pairs=7)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--images", type=int, default=64, help="images for the layer by itself (default: 64)")
    parser.add_argument("--batch", type=int, default=32, help="images in a training step (default: 32)")
    args = parser.parse_args()
    before = conditions()
    rows: list[Row] = []
    skipped: list[str] = []
    if "layer" in args.parts:
        rows, skipped = layer(args.images, args.pairs)
    if "step" in args.parts:
        rows.append(step(args.batch, args.pairs))
    write(args.out, rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
