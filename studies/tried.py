"""Techniques that were tried to make training and evaluation faster, each timed in turn against the current code.

    python studies/tried.py                              (about four minutes on 2 quiet cores)

A ratio above 1 means that the technique is faster. docs/performance.md says which ones were kept. Steps are real
training steps on noise images in memory: forward, loss, backward, SGD.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import classicnets as cn
from classicnets import machine
from classicnets.acceleration.memory_format import channels_last
from classicnets.acceleration.prepare import prepared
from classicnets.models.registry import NETS

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from timing import Row, arguments, clock, compared, conditions, pair_by_pair, write

PREPARED = ExitStack()  # what is prepared, to the end of the process
AS_IT_IS = "one call for the whole batch, float32"


def build(name: str, *, last: bool = False) -> nn.Module:
    """The network with the same weights every time, channels last if requested."""
    torch.manual_seed(0)
    net = cn.create(name)
    if last:
        PREPARED.enter_context(channels_last(net))
    return net


def noise(name: str, batch: int) -> tuple[Tensor, Tensor]:
    """Images and labels."""
    side = NETS[name].input
    return torch.rand(batch, *side), torch.arange(batch) % 10


def step(
    name: str,
    batch: int,
    *,
    bfloat16: bool = False,
    last: bool = False,
    fused: bool = False,
    compiled: bool = False,
    onednn: bool = True,
    quick: bool = False,
) -> Callable[[], None]:
    """A training step."""
    net, (x, y) = build(name, last=last), noise(name, batch)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, fused=fused)
    if quick:
        PREPARED.enter_context(prepared(net))

    def loss_of(x: Tensor, y: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            logits = net(x)
        return F.cross_entropy(logits.float(), y)

    loss = torch.compile(loss_of) if compiled else loss_of

    def take() -> None:
        with torch.backends.mkldnn.flags(enabled=onednn):
            loss(x, y).backward()
            optimizer.step()
            optimizer.zero_grad()

    return take


def in_parts(name: str, batch: int, pool: ThreadPoolExecutor, parts: int) -> Callable[[], None]:
    """A training step in which each thread takes a part of the batch, on its own."""
    net, (x, y) = build(name), noise(name, batch)
    parameters = list(net.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.01)

    def gradients(part: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
        loss = F.cross_entropy(net(part[0]), part[1], reduction="sum") / batch
        return torch.autograd.grad(loss, parameters)

    def take() -> None:
        results = list(pool.map(gradients, zip(x.chunk(parts), y.chunk(parts), strict=True)))
        for parameter, *terms in zip(parameters, *results, strict=True):
            parameter.grad = torch.stack(terms).sum(dim=0)
        optimizer.step()

    return take


def classified(net: Callable[[Tensor], Tensor], images: Tensor, *, bfloat16: bool = False) -> Callable[[], None]:
    """All images in batches of 256."""

    def all_of_them() -> None:
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            for batch in images.split(256):
                net(batch)

    return all_of_them


def blocked(net: nn.Module) -> Callable[[Tensor], Tensor]:
    """The network with its weights in oneDNN's layout."""
    from torch.utils import mkldnn

    blocked_net = mkldnn.to_mkldnn(net)
    return lambda x: blocked_net(x.to_mkldnn()).to_dense()


def steps(pairs: int) -> list[Row]:
    """What was tried for a training step."""
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads)
    comparisons: list[tuple[str, int, str, Callable[[], None], Callable[[], None], str]] = []
    lenet = ("lenet_d2l", 256)
    plain, sliced = step(*lenet), step(*lenet, quick=True)
    comparisons += [
        (*lenet, "average pooling by slices (kept)", sliced, plain, AS_IT_IS),
        (*lenet, "channels last", step(*lenet, last=True), plain, AS_IT_IS),
        (*lenet, "bfloat16, channels last", step(*lenet, bfloat16=True, last=True), plain, AS_IT_IS),
        (*lenet, "SGD in one kernel", step(*lenet, fused=True), plain, AS_IT_IS),
        (*lenet, "without oneDNN", step(*lenet, onednn=False), plain, AS_IT_IS),
        (*lenet, "each thread takes a part of the batch", in_parts(*lenet, pool, threads), plain, AS_IT_IS),
        (*lenet, "torch.compile of network and loss", step(*lenet, compiled=True), sliced, "average pooling by slices"),
    ]
    for name, batch in (("lenet_caffe", 64), ("cifar10_26pct", 128), ("alexnet_28", 256)):
        technique = "bfloat16, channels last"
        comparisons.append(
            (name, batch, technique, step(name, batch, bfloat16=True, last=True), step(name, batch), AS_IT_IS)
        )
    for name, batch in (("lenet_caffe", 64), ("cifar10_26pct", 128), ("alexnet_28", 256)):
        technique = "float32, channels last"
        comparisons.append((name, batch, technique, step(name, batch, last=True), step(name, batch), AS_IT_IS))
    for name, batch in (("lenet_caffe", 64), ("cifar10_26pct", 128), ("cifar10_11pct", 128), ("alexnet_28", 256)):
        technique, ours = (
            "torch.compile of network and loss, bfloat16",
            step(name, batch, bfloat16=True, last=True, compiled=True),
        )
        comparisons.append(
            (name, batch, technique, ours, step(name, batch, bfloat16=True, last=True), "bfloat16, channels last")
        )
    rows = []
    for name, batch, technique, ours, theirs, as_it_is in comparisons:
        started = time.perf_counter()
        ours()
        first = time.perf_counter() - started
        calls = 20 if name == "lenet_d2l" else 3
        times = pair_by_pair(clock(ours, calls), clock(theirs, calls), pairs=pairs)
        facts = {"first_call_seconds": first}
        label = f"{technique}; first call {first:.0f} s" if "compile" in technique else technique
        what = f"training step of `{name}`, {batch} images"
        rows.append(compared(times, what=what, ours=label, theirs=as_it_is, facts=facts))
    return rows


def evaluations(pairs: int) -> list[Row]:
    """What was tried for evaluation."""
    net, images = build("lenet_d2l").eval(), torch.rand(10_000, 1, 28, 28)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that torch.jit is to be given up
        frozen = torch.jit.optimize_for_inference(torch.jit.trace(net, images[:256]))
    plain, rows = classified(net, images), []
    for technique, ours in (
        ("torch.jit, frozen and optimized for inference", classified(frozen, images)),
        ("weights kept in oneDNN's layout", classified(blocked(net), images)),
        ("bfloat16", classified(net, images, bfloat16=True)),
    ):
        times = pair_by_pair(clock(ours), clock(plain), pairs=pairs)
        rows.append(compared(times, what="evaluation of `lenet_d2l`, 10,000 images", ours=technique, theirs=AS_IT_IS))
    return rows


def with_busy_core(pairs: int) -> Row:
    """Steps of a process of its own while another program keeps one core busy, with threads that soon sleep when they
    wait for each other, as `machine.share_cores` has them, and with threads that spin, as they do by default.
    """
    plain = {name: value for name, value in os.environ.items() if name not in {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY"}}

    def seconds(environment: dict[str, str]) -> float:
        line = [sys.executable, __file__, "--steps-alone"]
        process = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        return float(process.stdout)

    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        times = pair_by_pair(
            lambda: seconds({**plain, "GOMP_SPINCOUNT": "1000"}), lambda: seconds(plain), pairs=pairs, warm_up=0
        )
    finally:
        busy.kill()
        busy.wait()  # from here on its time counts as ours
    return compared(
        times,
        what="training step of `lenet_d2l`, 256 images, another program on one core",
        ours="threads sleep soon (kept: every run)",
        theirs="threads spin, the default of OpenMP",
    )


def main() -> None:
    parser = arguments(__doc__, name="tried", pairs=7)
    parser.set_defaults(out=Path(__file__).resolve().parent / "results" / "tried.json")
    parser.add_argument("--steps-alone", action="store_true", help="print the seconds of a LeNet step and exit")
    args = parser.parse_args()
    if args.steps_alone:
        seconds = clock(step("lenet_d2l", 256), 100)
        seconds()
        print(seconds())
        return
    before = conditions()
    machine.keep_memory()  # as `train` does
    with tempfile.TemporaryDirectory(prefix="inductor-") as folder:  # or what was compiled before would be found
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        rows = [*steps(args.pairs), *evaluations(args.pairs), with_busy_core(args.pairs)]
    write(args.out, rows, before)


if __name__ == "__main__":
    main()
