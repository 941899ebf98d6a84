"""Compares runs of 2 and 4 ranks with one process, in float64; prints the largest difference of each check as JSON.

`python sharded_checks.py FOLDER` starts the ranks as forks of one process, which has imported torch but not used it.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch._dynamo  # here once for all ranks, since DistributedDataParallel imports it, which takes seconds
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from classicnets.acceleration import dropout
from classicnets.acceleration.dropout import rows_of_batch
from classicnets.acceleration.prepare import Acceleration, prepared
from classicnets.models.layers import SameMapNorm
from classicnets.models.lrn import LRN
from classicnets.models.modules import copy_module
from classicnets.models.registry import NETS
from classicnets.models.variants import vary
from classicnets.parallel import exchange, hybrid, layers, towers
from classicnets.parallel.batch_norm import global_batch_norm
from classicnets.parallel.mesh import Mesh
from classicnets.parallel.shards import Shards

SEED = 3
BATCHES = (7, 6, 7, 3, 1)  # uneven over 2 and 4 ranks; the last are smaller than the number of ranks
RATE, MOMENTUM, DECAY = 0.05, 0.9, 5e-4

Divide = Callable[[nn.Module, Mesh], Shards]


class Functional(nn.Module):
    """A module of one's own: forward() calls the dense layers one by one, with functions between them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.fc1, self.fc2, self.out = nn.Linear(144, 64), nn.Linear(64, 64), nn.Linear(64, 12)
        self.drop = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.max_pool2d(self.conv(x), 1)).flatten(1)
        x = self.drop(F.relu(self.fc1(x)))
        y: Tensor = self.out(x + torch.tanh(self.fc2(x)))
        return y


def batch_norm_net() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4, momentum=None), nn.PReLU(),
        nn.Flatten(), nn.Linear(64, 96), nn.BatchNorm1d(96, affine=False), nn.ReLU(),
        nn.Dropout(0.5), nn.Linear(96, 64), nn.PReLU(), nn.Linear(64, 12),
    )  # fmt: skip


def narrow(name: str, classes: int, size: int, divisor: int = 8, **variation: Any) -> nn.Module:
    """A network of the registry with fewer channels and units."""
    with torch.device("meta"):
        net = NETS[name].load()(num_classes=classes, in_channels=1, image_size=size)
    if variation:
        net = vary(net, **variation)
    for path, layer in [*net.named_modules()]:
        parent, _, key = path.rpartition(".")
        new: nn.Module
        if isinstance(layer, nn.Conv2d):
            channels = max(1, layer.in_channels // divisor)
            settings = {key: getattr(layer, key) for key in ("kernel_size", "stride", "padding", "groups")}
            new = nn.Conv2d(channels, layer.out_channels // divisor, **settings)
        elif isinstance(layer, nn.Linear):
            outputs = layer.out_features if layer.out_features == classes else layer.out_features // divisor // 4
            inputs = layer.in_features // divisor // (4 if layer.in_features == 4096 else 1)
            new = nn.Linear(inputs, outputs)
        elif isinstance(layer, nn.BatchNorm2d):
            new = nn.BatchNorm2d(layer.num_features // divisor)
        elif isinstance(layer, nn.PReLU):
            new = nn.PReLU()
        else:
            if isinstance(layer, LRN | SameMapNorm):
                layer.alpha = 1.0  # with fewer channels, values are small
            continue
        net.get_submodule(parent).add_module(key, new)
    return net


def build(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(SEED)
    return make().double()


def batches(shape: Sequence[int], classes: int, counts: Sequence[int]) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(SEED)
    return [
        (
            torch.randn(count, *shape, generator=generator, dtype=torch.float64),
            torch.randint(classes, (count,), generator=generator),
        )
        for count in counts
    ]


def optimizer_of(net: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(net.parameters(), lr=RATE, momentum=MOMENTUM, weight_decay=DECAY)


def state_of(net: nn.Module, optimizer: torch.optim.Optimizer, shards: Shards) -> dict[str, Tensor]:
    """Whole parameters, buffers and momenta, by name."""
    state = {name: shards.gather(name, tensor).clone() for name, tensor in net.state_dict().items()}
    for name, parameter in net.named_parameters():
        momentum = optimizer.state[parameter]["momentum_buffer"]
        state[f"momentum of {name}"] = shards.gather(name, momentum).clone()
    return state


def train_alone(net: nn.Module, data: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Train `net` with one process."""
    optimizer, norms = optimizer_of(net), []
    with prepared(net.train()):
        for step, (x, y) in enumerate(data):
            optimizer.zero_grad()
            with rows_of_batch((SEED, step), 0, len(y)):
                F.cross_entropy(net(x), y).backward()
            norms.append(torch.stack([p.grad.norm() for p in net.parameters() if p.grad is not None]).norm())
            optimizer.step()
    return {**state_of(net, optimizer, Shards.none()), "norm": torch.stack(norms)}


def train_together(
    net: nn.Module,
    mesh: Mesh,
    divide: Divide,
    data: Sequence[tuple[Tensor, Tensor]],
    *,
    sums: bool = True,
    channels_last: bool = False,
) -> dict[str, Tensor]:
    """Train `net` with all ranks; the gradients of DDP are averaged instead of summed without `sums`."""
    whole, names = copy_module(net), [*net.state_dict()]
    shards = divide(net, mesh)
    assert [*net.state_dict()] == names == [*copy_module(net).state_dict()]
    optimizer, norms = optimizer_of(net), []
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(net, shards.names)
    with prepared(net.train(), Acceleration(channels_last=channels_last)), global_batch_norm(net, mesh):
        wrapped: nn.Module = net
        if mesh.divides_rows:
            parallel = DistributedDataParallel(net, gradient_as_bucket_view=True, forward_sync_buffers=False)
            if sums:
                parallel.register_comm_hook(None, lambda state, bucket: _sum(bucket))  # torch reads annotations
            wrapped = parallel
        for step, (x, y) in enumerate(data):
            optimizer.zero_grad()
            rows = mesh.rows(len(y))
            part = x[rows.start : rows.stop] if rows else torch.full_like(x[:1], 1e3)
            with mesh.batch(len(y)), rows_of_batch((SEED, step), rows.start, len(part)):
                logits = wrapped(part)
                labels = y[rows.start : rows.stop]
                loss = F.cross_entropy(logits, labels) * len(labels) / len(y) if rows else logits.sum() * 0
                loss.backward()
            shards.reduce_gradients(net)
            norms.append(shards.norm(net).double())
            optimizer.step()
    state = state_of(net, optimizer, shards)
    shards.copy_to(whole, net)
    assert all(torch.equal(tensor, state[name]) for name, tensor in whole.state_dict().items())
    shards.copy_from(whole, net)
    assert all(torch.equal(shards.gather(name, t), state[name]) for name, t in net.state_dict().items())
    return {**state, "norm": torch.stack(norms)}


def _sum(bucket: Any) -> torch.futures.Future[Tensor]:
    future = dist.all_reduce(bucket.buffer(), async_op=True).get_future()
    total: torch.futures.Future[Tensor] = future.then(lambda done: done.value()[0])
    return total


def difference(state: dict[str, Tensor], expected: dict[str, Tensor]) -> float:
    assert state.keys() == expected.keys()
    assert all(state[name].shape == expected[name].shape for name in state)
    return max(float((state[name] - expected[name]).abs().max()) for name in state)


def ddp(_net: nn.Module, mesh: Mesh) -> Shards:
    return Shards(mesh, {})


def both_towers(net: nn.Module, mesh: Mesh) -> Shards:
    return towers.divide(net, mesh, NETS["alexnet_2012"].crossings)


class Checks:
    """The checks of one rank; `errors` has the largest difference over the ranks, by name."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.errors: dict[str, float] = {}
        self.references: dict[str, dict[str, Tensor]] = {}

    def record(self, name: str, error: float) -> None:
        total = torch.tensor(error, dtype=torch.float64)
        dist.all_reduce(total, dist.ReduceOp.MAX)
        key = f"{name}, {self.size} ranks"
        assert key not in self.errors
        self.errors[key] = float(total)

    def run(
        self,
        name: str,
        make: Callable[[], nn.Module],
        shape: tuple[int, int, int],
        divide: Divide,
        *,
        classes: int,
        model_size: int | None = None,
        wrong: Callable[[], nn.Module] | None = None,
        counts: Sequence[int] = BATCHES,
        label: str = "",
        **settings: Any,
    ) -> None:
        """Compare a network that all ranks train with the same that this rank trains alone."""
        data, key = batches(shape, classes, counts), name
        if wrong or key not in self.references:
            self.references[key] = train_alone(build(wrong or make), data)
        mesh = Mesh("cpu", self.size, self.size if model_size is None else model_size)
        state = train_together(build(make), mesh, divide, data, **settings)
        self.record(f"{name}{label}", difference(state, self.references[key]))


def check_exchanges(checks: Checks, mesh: Mesh, dtype: torch.dtype = torch.float64) -> None:
    """Values and gradients of the exchanges, for batches that divide equally, unequally, and not among all ranks.

    The values are integers, so that their sums are exact in every dtype.
    """
    size, me = mesh.model_size, mesh.model_rank
    label = f" {str(dtype)[6:]} {mesh.data_size}x{size}"
    for count in sorted({2 * mesh.size, 2 * mesh.size + 1, mesh.size - 1, 1}):
        rows = mesh.split(count)[mesh.data_rank * size : (mesh.data_rank + 1) * size]
        first, total = rows[0].start, rows[-1].stop - rows[0].start
        own = range(rows[me].start - first, rows[me].stop - first)
        whole, weights = (
            _integers((total, 3 * size), dtype, 0),
            [_integers((total, 3 * size), dtype, 1 + r) for r in range(size)],
        )
        columns = slice(3 * me, 3 * me + 3)
        summed = sum(weights, torch.zeros_like(whole))

        def padded(x: Tensor, own: range = own) -> Tensor:
            return x[own.start : own.stop] if own else x.new_full((1, x.shape[1]), 5.0)

        cases: dict[str, tuple[Callable[[Tensor], Tensor], Tensor, Tensor, Tensor, Tensor]] = {
            "gather_rows": (lambda x: exchange.gather_rows(x, mesh), padded(whole), weights[me], whole, summed),
            "gather_columns": (
                lambda x: exchange.gather_columns(x, mesh), whole[:, columns], weights[me], whole, summed[:, columns]
            ),
            "gather_columns, equal": (
                lambda x: exchange.gather_columns(x, mesh, partial=False),
                whole[:, columns], weights[0], whole, weights[0][:, columns],
            ),
            "columns_to_rows": (
                lambda x: exchange.columns_to_rows(x, mesh), whole[:, columns], padded(weights[0]), padded(whole),
                weights[0][:, columns],
            ),
        }  # fmt: skip
        for name, (function, x, weight, expected, gradient) in cases.items():
            leaf = x.clone().requires_grad_()
            with mesh.batch(count):
                y = function(leaf)
                (y * weight).sum().backward()
            assert leaf.grad is not None and leaf.grad.dtype == y.dtype == dtype
            if name == "gather_rows":
                gradient = padded(gradient) if own else torch.zeros_like(leaf)
            if name == "columns_to_rows" and not own:
                expected = torch.zeros_like(expected)
            error = (y.detach() - expected).abs().sum() + (leaf.grad - gradient).abs().sum()
            checks.record(f"{name}, {count} rows{label}", float(error))


def check_maps(checks: Checks, mesh: Mesh) -> None:
    """Feature maps keep their memory format, and gradients of both formats arrive."""
    whole = _integers((2, 2 * mesh.size, 3, 5), torch.float64, 0)
    own = slice(2 * mesh.rank, 2 * mesh.rank + 2)
    for memory_format in (torch.contiguous_format, torch.channels_last):
        leaf = whole[:, own].clone(memory_format=memory_format).requires_grad_()
        y = exchange.gather_columns(leaf, mesh)
        assert y.is_contiguous(memory_format=memory_format)
        weight = _integers(y.shape, torch.float64, 1).contiguous(memory_format=memory_format)
        (y * weight).sum().backward()
        assert leaf.grad is not None
        error = (y.detach() - whole).abs().sum() + (leaf.grad - mesh.size * weight[:, own]).abs().sum()
        checks.record(f"feature maps, {str(memory_format)[6:]}", float(error))


def _integers(shape: Sequence[int], dtype: torch.dtype, seed: int) -> Tensor:
    return torch.randint(-3, 4, tuple(shape), generator=torch.Generator().manual_seed(seed)).to(dtype)


def check_two(checks: Checks) -> None:
    shape = (1, 67, 67)

    def divide(net: nn.Module, mesh: Mesh) -> Shards:
        return hybrid.divide(net, mesh, (1, 67, 67))

    alexnet = lambda: narrow("alexnet_2014", 10, 67)
    checks.run("ddp alexnet_2014", alexnet, shape, ddp, classes=10, model_size=1)
    checks.run("hybrid alexnet_2014", alexnet, shape, divide, classes=10)
    checks.run("hybrid alexnet_2014", alexnet, shape, divide, classes=10, label=" wrong: averages", sums=False)
    checks.run("hybrid alexnet_2014", alexnet, shape, divide, classes=10, label=" channels-last", channels_last=True)
    with wrong_gather():
        checks.run("hybrid alexnet_2014", alexnet, shape, divide, classes=10, label=" wrong: no sum of gradients")
    with wrong_part():
        checks.run(
            "hybrid alexnet_2014", alexnet, shape, divide, classes=10, label=" wrong: masks of the first columns"
        )
    torchvision = lambda: narrow("alexnet_torchvision", 10, 224, 16)
    large = (1, 224, 224)
    checks.run(
        "hybrid alexnet_torchvision",
        torchvision,
        large,
        lambda net, mesh: hybrid.divide(net, mesh, large),
        classes=10,
        counts=(3, 1),
    )
    image = (1, 68, 68)
    for name in ("alexnet_2012", "alexnet_2012_code", "alexnet_2012_plain_pooling"):
        checks.run(f"towers {name}", partial(narrow, name, 10, 68), image, both_towers, classes=10)
    tower = lambda: narrow("alexnet_2012_code", 5, 68)
    checks.run("towers, 5 classes", tower, image, both_towers, classes=5)
    varied = lambda: narrow("alexnet_2012", 6, 68, activation="prelu", pool="average", norm="batch", dropout=0.2)
    checks.run("towers, other layers", varied, image, both_towers, classes=6)
    checks.run("towers, channels-last", tower, image, both_towers, classes=5, channels_last=True)
    with wrong_gather():
        checks.run("towers, 5 classes", tower, image, both_towers, classes=5, label=" wrong: no sum of gradients")
    with wrong_part():
        checks.run("towers, 5 classes", tower, image, both_towers, classes=5, label=" wrong: masks of the first tower")
    checks.run(
        "towers wrong: LRN of both towers",
        tower,
        image,
        both_towers,
        classes=5,
        wrong=lambda: with_one_group(narrow("alexnet_2012_code", 5, 68)),
    )
    check_exchanges(checks, Mesh("cpu", 2, 2))
    check_exchanges(checks, Mesh("cpu", 2, 2), torch.bfloat16)
    check_maps(checks, Mesh("cpu", 2, 2))


def check_four(checks: Checks) -> None:
    small = (1, 8, 8)

    def divide(net: nn.Module, mesh: Mesh) -> Shards:
        return hybrid.divide(net, mesh, small)

    checks.run("ddp batch norm", batch_norm_net, small, ddp, classes=12, model_size=1, counts=(7, 6, 7, 3, 3))
    checks.run("hybrid batch norm", batch_norm_net, small, divide, classes=12, counts=(7, 6, 7, 3, 3))
    checks.run("2x2 batch norm", batch_norm_net, small, divide, classes=12, model_size=2, counts=(7, 6, 7, 3, 3))
    with mock.patch(f"{__name__}.global_batch_norm", lambda _net, _mesh: ExitStack()):
        larger = lambda: nn.Sequential(*list(batch_norm_net())[:8], nn.ReLU(), nn.Linear(96, 12))
        checks.run("ddp wrong: moments of own rows", larger, small, ddp, classes=12, model_size=1, counts=(7, 6))
    checks.run("hybrid own module", Functional, small, divide, classes=12)
    checks.run("2x2 own module", Functional, small, divide, classes=12, model_size=2)
    with mock.patch.object(Shards, "reduce_gradients"):
        checks.run("2x2 wrong: own gradients", Functional, small, divide, classes=12, model_size=2)
    image = (1, 67, 67)
    checks.run(
        "hybrid alexnet_d2l, 10 classes",
        lambda: narrow("alexnet_d2l", 10, 67),
        image,
        lambda net, mesh: hybrid.divide(net, mesh, image),
        classes=10,
    )
    check_exchanges(checks, Mesh("cpu", 4, 4))
    check_exchanges(checks, Mesh("cpu", 4, 2))
    check_maps(checks, Mesh("cpu", 4, 4))


def with_one_group(net: nn.Module) -> nn.Module:
    for layer in net.modules():
        if isinstance(layer, LRN):
            layer.groups = 1
    return net


@contextmanager
def wrong_gather() -> Iterator[None]:
    """Each rank keeps its own term of the gradients."""
    right = exchange.gather_columns

    def own_term(x: Tensor, mesh: Mesh, *, partial: bool = True) -> Tensor:
        return right(x, mesh, partial=False)

    with mock.patch.object(layers, "gather_columns", own_term):
        yield


@contextmanager
def wrong_part() -> Iterator[None]:
    """Dropout has the masks of the first columns on all ranks."""
    right = dropout.part_of_batch
    with mock.patch.object(dropout, "part_of_batch", lambda first, count, _part: right(first, count, 0)):
        yield


def run_rank(folder: Path, rank: int, size: int) -> None:
    place, limit = f"file://{folder}/store{size}", timedelta(seconds=120)
    dist.init_process_group("gloo", init_method=place, rank=rank, world_size=size, timeout=limit)
    torch.set_num_threads(1)
    checks = Checks(rank, size)
    {2: check_two, 4: check_four}[size](checks)
    if rank == 0:
        (folder / f"errors{size}.json").write_text(json.dumps(checks.errors))
    dist.barrier()
    dist.destroy_process_group()


def main(folder: Path) -> int:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    failed = False
    for size in (2, 4):
        children = []
        for rank in range(size):
            child = os.fork()
            if not child:
                code = 1
                try:
                    run_rank(folder, rank, size)
                    code = 0
                except BaseException:
                    traceback.print_exc()
                finally:
                    sys.stdout.flush()
                    sys.stderr.flush()
                    os._exit(code)
            children.append(child)
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
        failed |= any(codes)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
