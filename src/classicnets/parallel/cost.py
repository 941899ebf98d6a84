"""What a training step costs when several processes share a run: bytes, seconds and memory, predicted from the layers.

The model counts what the forms of `parallel/` exchange (`exchanges`): gradients are summed by a ring; hybrid gathers
the rows and the columns of dense layers, and sends their gradients back by all-to-all; towers gather the channels that
both read. It leaves out the messages of control (a small one about every half second), the five reports of an
epoch, for which divided weights are gathered, the evaluation, checkpoints, and what TCP adds.

Sources: A. Krizhevsky, One weird trick for parallelizing convolutional neural networks, arXiv:1404.5997, 2014, for
hybrid (its scheme a) and for when it pays; A. Krizhevsky et al., NIPS 2012, for towers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from classicnets.inspection.shapes import Row, Table
from classicnets.parallel.hardware import Cluster
from classicnets.text import _, byte_count, phrases
from classicnets.values import Recipe

_EQUAL = 0.02  # forms whose times differ by less are about equal: predictions are not more exact
FORWARD_SHARE = 1 / 3  # of a step's arithmetic; the backward pass computes two gradients for each product
# of DistributedDataParallel: gradients that are exchanged together
_BUCKET_BYTES, _FIRST_BUCKET_BYTES = 25 * 2**20, 2**20
_BATCH_NORMS = ("BatchNorm1d", "BatchNorm2d", "BatchNorm3d")


@dataclass(frozen=True, kw_only=True)
class Network:
    """What of a network and of its recipe decides the cost.

    Attributes:
        table: the layers.
        chains: for each possible size of a model group, the names of the dense layers that hybrid divides, in chains
            whose columns stay divided from one layer to the next.
        crossings: the names of the layers that read both towers; empty without towers.
        weight_bytes: bytes of a weight, of its gradient, and of each tensor of the optimizer.
        activation_bytes: bytes of an output in the precision of training.
        optimizer_tensors: tensors of the optimizer, and averages of the weights, for each weight.
        global_batch_norm: whether batch normalization is over the batch of all processes.
    """

    table: Table
    chains: Mapping[int, Sequence[Sequence[str]]] = field(default_factory=dict)
    crossings: Sequence[str] = ()
    weight_bytes: int = 4
    activation_bytes: int = 4
    optimizer_tensors: int = 1
    global_batch_norm: bool = True

    def divided(self, form: str, model_size: int) -> list[Row]:
        """Return the layers whose weights are divided over the model group."""
        rows = {row.name: row for row in reversed(self.table.rows)}  # the first call, which has the counts
        if form == "hybrid":
            return [rows[name] for chain in self.chains[model_size] for name in chain]
        if form == "towers":
            return [row for row in rows.values() if row.parameters and not (row is self._last and self._is_odd)]
        return []

    @property
    def _last(self) -> Row:
        return [row for row in self.table.rows if row.weights][-1]

    @property
    def _is_odd(self) -> bool:
        """Whether the two towers cannot share the outputs equally, so that both compute them all."""
        return self.table.output_shape[0] % 2 == 1


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What processes send to each other at one place of a training step.

    Attributes:
        what: "gradients", "dense layers", "towers" or "moments" (of batch normalization).
        sent: bytes that a process sends, on average over the processes.
        span: number of consecutive ranks that exchange, or among which the group is spread.
        flows: how many times that many bytes leave a host, if its processes send to other hosts.
        rounds: messages one after the other.
        hidden: whether it may run while the backward pass continues.
    """

    what: str
    sent: float
    span: int
    flows: int = 1
    rounds: int
    hidden: bool = False


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The predicted cost of a training step.

    Attributes:
        form: "ddp", "towers" or "hybrid".
        processes: number of processes.
        model_size: number of processes that share each divided layer.
        batch_size: images in the batch of all processes.
        step_seconds: time of a step.
        compute_seconds: the part of it that a process computes; the rest waits for others.
        sent_bytes: bytes that a process sends in a step, by what they are, on average over the processes.
        memory_bytes: bytes of a process, by what they are, without torch itself and the images.
        strong_efficiency: speed by N times that of one process, with the same batch for all processes together.
        weak_efficiency: the same, with that batch for each process.
        basis: what was measured and what is assumed.
    """

    form: str
    processes: int
    model_size: int
    batch_size: int
    step_seconds: float
    compute_seconds: float
    sent_bytes: dict[str, float]
    memory_bytes: dict[str, float]
    strong_efficiency: float
    weak_efficiency: float
    basis: tuple[str, ...]

    @property
    def sent(self) -> float:
        """Bytes that a process sends in a step, on average over the processes."""
        return sum(self.sent_bytes.values())

    @property
    def memory(self) -> float:
        """Bytes of a process."""
        return sum(self.memory_bytes.values())

    @property
    def name(self) -> str:
        """The form, with the size of a model group if that is not the number of processes."""
        if self.form != "hybrid" or self.model_size == self.processes:
            return self.form
        return _("hybrid in groups of {n}", n=self.model_size)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "sent_bytes_in_all": self.sent, "memory_bytes_in_all": self.memory}


def exchanges(network: Network, form: str, processes: int, model_size: int, batch_size: int) -> Iterator[Exchange]:
    """Yield what processes exchange in one training step."""
    if processes == 1:
        return
    divided = network.divided(form, model_size)
    rest = sum(row.trainable for row in network.table.rows) - sum(row.trainable for row in divided)
    if form == "towers":
        yield from _towers(network, batch_size)
        if rest:
            yield _all_reduce(rest * network.weight_bytes, 2, 2, what="gradients")
        return
    if rest:
        calls = _buckets(network, divided)
        yield _all_reduce(rest * network.weight_bytes, processes, calls, what="gradients", hidden=True)
    if form == "hybrid":
        yield from _hybrid(network, processes, model_size, batch_size / processes)
    if network.global_batch_norm:
        for row in network.table.rows:
            if row.kind in _BATCH_NORMS:  # the sum, the squares, and two sums backward
                yield _all_reduce(4 * row.inputs[0] * network.weight_bytes, processes, 3, what="moments")


def _buckets(network: Network, divided: Sequence[Row]) -> int:
    """The number of calls in which DistributedDataParallel sums the gradients, last layer first."""
    count, size = 0, 0
    for row in reversed([row for row in network.table.rows if row not in divided]):
        size += row.trainable * network.weight_bytes
        if size >= (_BUCKET_BYTES if count else _FIRST_BUCKET_BYTES):
            count, size = count + 1, 0
    return count + (size > 0)


def _all_reduce(size: float, group: int, calls: int, *, what: str, hidden: bool = False) -> Exchange:
    """The sum of tensors of `size` bytes in all over the processes, by a ring, in `calls` calls."""
    rounds = 2 * (group - 1)
    return Exchange(what=what, sent=rounds / group * size, span=group, rounds=calls * rounds, hidden=hidden)


def _hybrid(network: Network, processes: int, model_size: int, rows: float) -> Iterator[Exchange]:
    """The exchanges of dense layers that a model group shares, with `rows` images for each process."""
    others, size = model_size - 1, network.activation_bytes
    data_size = processes // model_size
    names = {row.name: row for row in reversed(network.table.rows)}
    for chain in network.chains[model_size]:
        layers = [names[name] for name in chain]
        backward = _learns_before(network.table, layers[0])
        for layer in layers:  # each reads all rows and columns; their gradients are summed where they came from
            features = rows * math.prod(layer.inputs) * size
            directions = 1 if layer is layers[0] and not backward else 2
            yield Exchange(
                what="dense layers",
                sent=directions * others * features,
                span=model_size,
                rounds=directions * others,
            )
        outputs = rows * math.prod(layers[-1].outputs) * size
        yield Exchange(  # each gets the outputs of its own rows, and returns their gradient
            what="dense layers",
            sent=2 * others / model_size * outputs,
            span=model_size,
            flows=model_size,
            rounds=2 * others,
        )
    if data_size > 1:
        own = sum(row.trainable for row in network.divided("hybrid", model_size)) / model_size * network.weight_bytes
        calls = sum(map(len, network.chains[model_size]))
        reduced = _all_reduce(own, data_size, 2 * calls, what="gradients")
        yield Exchange(**{**asdict(reduced), "span": processes, "flows": model_size})


def _learns_before(table: Table, layer: Row) -> bool:
    """Whether a layer before this one has weights to train, so that the gradient of its inputs is needed."""
    before = table.rows[: [row.name for row in table.rows].index(layer.name)]
    return any(row.trainable for row in before)


def _towers(network: Network, batch_size: int) -> Iterator[Exchange]:
    """The exchanges of two towers, each of which computes half of the channels of all images."""
    rows = {row.name: row for row in reversed(network.table.rows)}
    half = batch_size / 2 * network.activation_bytes
    whole = network._last if network._is_odd else None  # both compute it, from the same gradient
    for name in network.crossings:
        directions = 1 if rows[name] is whole else 2
        yield Exchange(what="towers", sent=directions * half * math.prod(rows[name].inputs), span=2, rounds=directions)
    if whole is None:  # the gradient of all logits is known to both
        yield Exchange(what="towers", sent=half * math.prod(network.table.output_shape), span=2, rounds=1)


def predict(
    network: Network, form: str, processes: int, model_size: int, batch_size: int, cluster: Cluster
) -> Prediction:
    """Predict the cost of a training step.

    Args:
        network: the network.
        form: "ddp", "towers" or "hybrid".
        processes: number of processes.
        model_size: number of processes that share each divided layer: 1 for ddp, 2 for towers.
        batch_size: images in the batch of all processes.
        cluster: the machines.
    """
    parts = [*exchanges(network, form, processes, model_size, batch_size)]
    compute = _compute_seconds(network, form, processes, batch_size, cluster)
    step, weak = (
        _step_seconds(network, form, processes, model_size, size, cluster)
        for size in (batch_size, processes * batch_size)
    )
    alone = batch_size * cluster.image_seconds
    sent: dict[str, float] = {}
    for part in parts:
        sent[part.what] = sent.get(part.what, 0.0) + part.sent
    return Prediction(
        form=form,
        processes=processes,
        model_size=model_size,
        batch_size=batch_size,
        step_seconds=step,
        compute_seconds=compute,
        sent_bytes=sent,
        memory_bytes=_memory(network, form, processes, model_size, batch_size),
        strong_efficiency=alone / (processes * step),
        weak_efficiency=alone / weak,
        basis=cluster.basis,
    )


def _compute_seconds(network: Network, form: str, processes: int, batch_size: int, cluster: Cluster) -> float:
    """Seconds that the process with the most rows computes in a step."""
    images: float = math.ceil(batch_size / processes)
    if form == "towers":
        divided = sum(row.macs for row in network.divided(form, 2))
        images = batch_size * (1 - divided / 2 / max(1, network.table.macs))
    shared_by = min(processes, cluster.host_size) if cluster.shares_cores else 1
    return images * cluster.image_seconds * shared_by


def _step_seconds(
    network: Network, form: str, processes: int, model_size: int, batch_size: int, cluster: Cluster
) -> float:
    """Seconds of a step: what is computed, and the exchanges that nothing hides."""
    compute = _compute_seconds(network, form, processes, batch_size, cluster)
    shown = hidden = 0.0
    for part in exchanges(network, form, processes, model_size, batch_size):
        link = cluster.link(part.span)
        flows = min(part.flows, cluster.host_size) if link is cluster.network else 1
        seconds = part.sent * flows / link.rate + part.rounds * link.latency
        if part.hidden and cluster.overlaps:
            hidden += seconds
        else:
            shown += seconds
    divided = sum(row.macs for row in network.divided(form, model_size))
    backward = (1 - FORWARD_SHARE) * compute * (1 - divided / max(1, network.table.macs))
    return compute + shown + max(0.0, hidden - backward)


def _memory(network: Network, form: str, processes: int, model_size: int, batch_size: int) -> dict[str, float]:
    """Bytes of a process. Divided networks keep a whole copy of the weights beside, which is evaluated and saved."""
    divided = network.divided(form, model_size)
    share = 1 - 1 / model_size
    own = network.table.parameters - share * sum(row.parameters for row in divided)
    trained = network.table.trainable - share * sum(row.trainable for row in divided)
    rows = batch_size if form == "towers" else math.ceil(batch_size / processes)
    activations = rows * network.table.activation_bytes * network.activation_bytes / 4
    if form == "towers":
        names = {row.name: row for row in reversed(network.table.rows)}
        crossing = sum(math.prod(names[name].inputs) for name in network.crossings)
        activations = activations / 2 + rows * crossing * network.activation_bytes
    elif form == "hybrid":
        gathered = sum(math.prod(row.inputs) for row in divided)
        activations += (model_size - 1) * rows * gathered * network.activation_bytes
    return {
        "weights": own * network.weight_bytes,
        "gradients": trained * network.weight_bytes,
        "optimizer": trained * network.weight_bytes * network.optimizer_tensors,
        "whole copy": network.table.parameters * network.weight_bytes if divided else 0,
        "activations": activations,
    }


def candidates(network: Network, form: str, processes: int) -> list[tuple[str, int]]:
    """Return the forms that `form` may mean, each with a size of its model groups: the simplest first."""
    forms: list[tuple[str, int]] = []
    if form in {"ddp", "auto"} or processes == 1:
        forms.append(("ddp", 1))
    if form in {"towers", "auto"} and processes == 2 and network.crossings:
        forms.append(("towers", 2))
    if form in {"hybrid", "auto"}:
        sizes = (size for size in range(2, processes + 1) if processes % size == 0)
        forms += [("hybrid", size) for size in sizes if network.chains.get(size)]
    return forms


def choose(network: Network, form: str, processes: int, batch_size: int, cluster: Cluster) -> tuple[Prediction, str]:
    """Return the cheapest of the forms that `form` may mean, and the reason as a sentence.

    Args:
        network: the network, which can be divided into that form.
        form: "ddp", "towers", "hybrid" (of which the size of the model groups is chosen) or "auto".
        processes: number of processes.
        batch_size: images in the batch of all processes.
        cluster: the machines.
    """
    predictions = [
        predict(network, name, processes, size, batch_size, cluster)
        for name, size in candidates(network, form, processes)
    ]
    best, *others = sorted(predictions, key=lambda prediction: prediction.step_seconds)  # the simplest of equals
    if not others:
        return best, _("the network allows no other form") if form == "auto" else ""
    forms = phrases(
        _(
            "{form} {time} ({size} sent)",
            form=prediction.name,
            time=milliseconds(prediction.step_seconds),
            size=byte_count(round(prediction.sent)),
        )
        for prediction in (best, *others)
    )
    if others[0].step_seconds < (1 + _EQUAL) * best.step_seconds:
        names = {"form": best.name, "other": others[0].name}
        return best, _("{form} and {other} are predicted to be about equal in a step: {forms}", forms=forms, **names)
    return best, _("{form} is predicted to be the fastest in a step: {forms}", form=best.name, forms=forms)


def milliseconds(seconds: float) -> str:
    """Format the time of a step with three digits: "2.31 ms", "1,240 ms"."""
    value = 1e3 * seconds
    return f"{value:,.0f} ms" if value >= 999.5 else f"{value:.3g} ms"


def optimizer_tensors(recipe: Recipe) -> int:
    """Return how many tensors of the size of the weights the optimizer and the average of the weights keep."""
    kept = {"adamw": 2, "sgd_rate_inside": 1}.get(recipe.optimizer, int(recipe.momentum > 0))
    return kept + int(recipe.ema > 0)
