"""What a network consists of, and how it differs from another one, in the aspects that exercises ask about."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn

from classicnets.inspection.arithmetic import format_size
from classicnets.inspection.shapes import Row, Table
from classicnets.inspection.windows import layer_type
from classicnets.models.modules import complete, copy_module, in_dtype_of, unwrap
from classicnets.text import _, labeled

_ACTIVATIONS = tuple(name for name in nn.modules.activation.__all__ if name != "MultiheadAttention")
_IMAGES = 4  # of the probe
# Aspects that can change, in the order in which they are named.
ASPECTS = (
    *("input", "convolutions", "window", "stride", "padding", "channels", "pooling", "pool_window"),
    *("activation", "dense", "widths", "dropout", "normalization"),
)


@dataclass(frozen=True, kw_only=True)
class Traits:
    """A network as the exercises see it.

    Attributes:
        table: Its layer table.
        convolutions, pools, dense: The layers of each type in call order. Calls of functional.max_pool2d in forward()
            are not in `pools`; `pooling` counts them.
        activations, pooling, normalization: How often each kind is used, as a layer or as a function in forward().
        dropout: Whether it computes other outputs for the same images each time while it is trained.
        ending: What the outputs are passed through: "ReLU", "softmax", "log-softmax" or "".
    """

    table: Table
    convolutions: tuple[Row, ...]
    pools: tuple[Row, ...]
    dense: tuple[Row, ...]
    activations: Counter[str]
    pooling: Counter[str]
    normalization: Counter[str]
    dropout: bool
    ending: str

    @property
    def hidden_layers(self) -> int:
        """Number of layers with weights, without the last one and without normalization."""
        return max(len(self.convolutions) + len(self.dense) - 1, 0)


def traits(net: nn.Module, table: Table) -> Traits:
    """Return the traits of a network, which is neither changed nor called: a copy is. `table` is its layer table."""
    kinds = {kind: tuple(row for row in table.rows if layer_type(row) == kind) for kind in ("conv", "dense", "pool")}
    names = Counter(row.kind for row in table.rows)
    dropout, ending = _probe(net, table)
    pools = Counter(
        {name: n for name, n in names.items() if "Pool" in name}
        | {name: n for name, n in table.unlisted.items() if "pool" in name}
    )
    pooling: Counter[str] = Counter()
    for name, n in pools.items():
        pooling["max" if "max" in name.lower() else "average" if "avg" in name.lower() else name] += n
    return Traits(
        table=table,
        convolutions=kinds["conv"],
        pools=kinds["pool"],
        dense=kinds["dense"],
        activations=_activations(table),
        pooling=pooling,
        normalization=Counter({name: n for name, n in names.items() if "Norm" in name}),
        dropout=dropout,
        ending=ending,
    )


def _activations(table: Table) -> Counter[str]:
    """Activations as layers or functions; a layer of another class is one if it keeps the shape and has no weights."""
    counts: Counter[str] = Counter()
    for row in table.rows:
        is_own = row.inputs == row.outputs and not row.parameters and layer_type(row) == "other"
        is_else = any(word in row.kind for word in ("Dropout", "Norm", "Identity", "Flatten", "DropConnect"))
        if row.kind in _ACTIVATIONS or (is_own and not is_else):
            counts[row.kind] += 1
    functions = {name.lower(): name for name in _ACTIVATIONS}
    for operation, n in table.unlisted.items():
        if name := functions.get(operation.replace("_", "")):
            counts[name] += n
    for name in ("Softmax", "LogSoftmax", "Softmax2d"):  # at the end, where it is reported as `ending`
        counts.pop(name, None)
    return counts


def _probe(net: nn.Module, table: Table) -> tuple[bool, str]:
    """Whether training is random, and what the outputs are passed through, from a few images of noise."""
    copied = copy_module(unwrap(net), "cpu")
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        complete(copied, table.input_shape)
        images = in_dtype_of(copied, torch.rand(_IMAGES, *table.input_shape))
        outputs = copied.eval()(images)
        copied.train()
        state = copy.deepcopy(copied.state_dict())
        first = copied(images)
        copied.load_state_dict(state)
        is_random = not torch.equal(first, copied(images))
    return is_random, _ending(outputs)


def _ending(outputs: torch.Tensor) -> str:
    if outputs.dim() < 2 or not outputs.isfinite().all():
        return ""
    for name, values in (("softmax", outputs), ("log-softmax", outputs.exp())):
        if (values >= 0).all() and torch.allclose(values.sum(1), torch.ones(()), atol=1e-4):
            return name
    return "ReLU" if (outputs >= 0).all() and (outputs == 0).any() else ""


def changes(book: Traits, yours: Traits) -> dict[str, list[str]]:
    """Return what differs from the book's network: sentences by aspect, in the order of `ASPECTS`."""
    pairs = {aspect: [*_differences(aspect, book, yours)] for aspect in ASPECTS}
    return {aspect: sentences for aspect, sentences in pairs.items() if sentences}


def _differences(aspect: str, book: Traits, yours: Traits) -> Iterator[str]:
    if aspect == "input":
        if book.table.input_shape != yours.table.input_shape:
            old, new = (format_size(each.table.input_shape) for each in (book, yours))
            yield _("images: {old} -> {new}", old=old, new=new)
    elif aspect in ("convolutions", "dense"):
        old_n, new_n = len(getattr(book, aspect)), len(getattr(yours, aspect))
        if old_n != new_n and aspect == "dense":
            yield _("dense layers: {old} -> {new}", old=old_n, new=new_n)
        elif old_n != new_n:
            yield _("convolutions: {old} -> {new}", old=old_n, new=new_n)
    elif aspect in ("activation", "pooling", "normalization"):
        attribute = "activations" if aspect == "activation" else aspect
        old_counts, new_counts = (getattr(each, attribute) for each in (book, yours))
        # more layers have more activations of the same kind, which is no change of the activation
        same = set(old_counts) == set(new_counts) if aspect == "activation" else old_counts == new_counts
        if not same:
            yield labeled(_name(aspect), f"{_counts(old_counts)} -> {_counts(new_counts)}")
    elif aspect == "dropout":
        if book.dropout != yours.dropout:
            yield _("dropout: no -> yes") if yours.dropout else _("dropout: yes -> no")
    else:
        yield from _layer_differences(aspect, book, yours)


def _layer_differences(aspect: str, book: Traits, yours: Traits) -> Iterator[str]:
    """Differences of layers with the same number; lists if the numbers of layers differ."""
    readers: dict[str, tuple[str, str, Callable[[Row], str]]] = {
        "window": ("convolutions", _("kernel"), lambda row: format_size(row.kernel or (0,))),
        "stride": ("convolutions", _("stride"), _stride),
        "padding": ("convolutions", _("padding"), _padding),
        "channels": ("convolutions", _("channels"), lambda row: str(row.outputs[0])),
        "pool_window": ("pools", _("window"), _pool_window),
        "widths": ("dense", _("outputs"), lambda row: str(row.outputs[-1])),
    }
    kind, label, read = readers[aspect]
    prefix = {"convolutions": "conv", "pools": "pool", "dense": "fc"}[kind]
    old, new = ([*map(read, getattr(each, kind))] for each in (book, yours))
    if not old or not new:
        return
    if len(old) == len(new):
        for number, (before, after) in enumerate(zip(old, new, strict=True), 1):
            if before != after:
                yield labeled(f"{prefix}{number}", f"{label} {before} -> {after}")
    elif set(old) != set(new) and aspect not in ("widths", "channels", "padding", "stride"):
        yield labeled(prefix, f"{label} {', '.join(old)} -> {', '.join(new)}")


def _name(aspect: str) -> str:
    return {"activation": _("activation"), "pooling": _("pooling"), "normalization": _("normalization")}[aspect]


def _padding(row: Row) -> str:
    return row.padding if isinstance(row.padding, str) else format_size(row.padding or (0,))


def _stride(row: Row) -> str:
    return format_size(row.stride or row.kernel or (0,))


def _pool_window(row: Row) -> str:
    return f"{format_size(row.kernel or row.outputs[1:])}/{_stride(row)}"


def _counts(counts: Counter[str]) -> str:
    return ", ".join(f"{name} x{n}" for name, n in counts.items()) or _("none")
