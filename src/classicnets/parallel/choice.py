"""How processes share a run: the form that its plan asks for, or the cheapest one; and what they cannot share."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.images import batches
from classicnets.inspection.meta import without_data
from classicnets.inspection.shapes import Table
from classicnets.models.registry import NETS
from classicnets.parallel import cost, hardware, hybrid, loopback, towers
from classicnets.parallel.cost import Network, Prediction
from classicnets.parallel.hardware import Cluster, Link
from classicnets.parallel.layers import Linear
from classicnets.parallel.mesh import Mesh
from classicnets.text import N_, _, byte_count, command, duration, phrases, plural
from classicnets.training.group import ALONE
from classicnets.training.plan import Plan

_NO_FASTER = 1.05  # times the speed of one process
_LOW_EFFICIENCY = 0.1
_CORE_FLOPS = 4e10  # per second, assumed: of a CPU core in a training step
_UNKNOWN_GPU = "a100"  # rates that are assumed for a GPU that is not in hardware.GPUS
_ASSUMED_NETWORK = "10Gbit"  # between hosts, if the processes of a run are on several


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The form in which a run is shared, its predicted cost, and why it was chosen.

    Attributes:
        prediction: the cost of a step.
        reason: why this form, as a sentence; "" if the plan leaves no choice.
        epoch_steps: number of steps in an epoch.
        shares_cores: whether the processes share the cores of one machine.
    """

    prediction: Prediction
    reason: str
    epoch_steps: int
    shares_cores: bool

    @property
    def epoch_seconds(self) -> float:
        """The predicted time of an epoch, without its evaluation."""
        return self.epoch_steps * self.prediction.step_seconds

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            **self.prediction.to_dict(),
            "reason": self.reason,
            "epoch_steps": self.epoch_steps,
            "epoch_seconds": self.epoch_seconds,
            "verdict": self.verdict,
        }

    @property
    def verdict(self) -> str:
        """Why this number of processes is not worth it, as a sentence; "" if it is."""
        predicted = self.prediction
        speedup = predicted.strong_efficiency * predicted.processes
        if self.shares_cores and speedup <= _NO_FASTER:
            return _(
                "{n} processes on this machine are no faster than one, which uses all its cores already",
                n=predicted.processes,
            )
        if speedup <= _NO_FASTER or predicted.strong_efficiency < _LOW_EFFICIENCY:
            return _(
                "a batch of {images:,} images is too small for {n} processes; use fewer, or larger batches: {command}"
                " reaches {weak:.0%}",
                images=predicted.batch_size,
                n=predicted.processes,
                command=command("--set", f"batch_size={predicted.processes * predicted.batch_size}"),
                weak=predicted.weak_efficiency,
            )
        return ""

    def lines(self) -> list[str]:
        """Return the prediction as text."""
        predicted = self.prediction
        lines = [
            _(
                "processes {n}, {form}: predicted {step} a step of {images:,} images, {epoch} an epoch to train",
                n=predicted.processes,
                form=predicted.name,
                step=cost.milliseconds(predicted.step_seconds),
                images=predicted.batch_size,
                epoch=duration(self.epoch_seconds),
            ),
            _(
                "exchange  {size} sent by each process in a step{parts}",
                size=byte_count(round(predicted.sent)),
                parts=_parts(predicted.sent_bytes),
            ),
            _(
                "memory    {size} in each process, without torch and the images{parts}",
                size=byte_count(round(predicted.memory)),
                parts=_parts(predicted.memory_bytes),
            ),
            _(
                "efficiency {strong:.0%} of the speed of {n} single processes; {weak:.0%} with {images:,} images each",
                strong=predicted.strong_efficiency,
                weak=predicted.weak_efficiency,
                n=predicted.processes,
                images=predicted.batch_size,
            ),
        ]
        if self.reason:
            lines.append(_("chosen    {reason}", reason=self.reason))
        if self.verdict:
            lines.append(_("verdict   {verdict}", verdict=self.verdict))
        return lines + [_("basis     {basis}", basis=basis) for basis in predicted.basis]


_PARTS = {
    "weights": N_("weights"),
    "gradients": N_("gradients"),
    "optimizer": N_("optimizer"),
    "whole copy": N_("whole copy"),
    "activations": N_("activations"),
    "dense layers": N_("dense layers"),
    "towers": N_("towers"),
    "moments": N_("moments"),
}  # of the bytes of a `Prediction`


def _parts(sizes: dict[str, float]) -> str:
    """The parts of a sum: ": weights 1.0 MB, gradients 1.0 MB"."""
    parts = phrases(f"{_(_PARTS[name])} {byte_count(round(size))}" for name, size in sizes.items() if size)
    return _(": {parts}", parts=parts) if parts else ""


def network_of(plan: Plan, processes: int, precision: str = "") -> Network:
    """Return what of a plan decides its cost: the layers that could be divided are divided in copies without data.

    Args:
        plan: the plan.
        processes: number of processes, which gives the possible sizes of model groups.
        precision: "float32", "float64" or "bfloat16"; "" for that of the plan.

    Raises:
        UsageError: CN216 if the network cannot be divided as the plan asks for.
    """
    precision = precision or plan.recipe.precision
    form, chains, crossings = plan.spec.parallel, dict[int, list[list[str]]](), tuple[str, ...]()
    refusal: UsageError | None = None
    sizes = [size for size in range(2, processes + 1) if processes % size == 0]
    for size in sizes if form in {"hybrid", "auto"} else ():
        try:
            chains[size] = _chains(_divided(plan, "hybrid", processes, size))
        except UsageError as error:
            refusal = error
    if form in {"towers", "auto"} and processes > 1:
        try:
            _divided(plan, "towers", processes, processes)
            crossings = NETS[plan.net_spec.spec].crossings
        except UsageError as error:
            refusal = error
    if refusal is not None and form != "auto" and not chains:
        raise refusal
    return Network(
        table=plan.table,
        chains=chains,
        crossings=crossings,
        weight_bytes=8 if precision == "float64" else 4,
        activation_bytes={"float64": 8, "bfloat16": 2}.get(precision, 4),
        optimizer_tensors=cost.optimizer_tensors(plan.recipe),
        global_batch_norm=not plan.spec.local_batch_norm,
    )


def _divided(plan: Plan, form: str, processes: int, model_size: int) -> nn.Module:
    """Return a copy of the network of a plan as the first process would have it. Raises UsageError CN216."""
    net = without_data(plan.net if plan.net is not None else plan.net_spec.build_for_shapes())
    mesh = Mesh("cpu", processes, model_size, rank=0)
    if form == "towers":
        entry = NETS.get(plan.net_spec.spec)
        towers.divide(net, mesh, entry.crossings if entry else ())
    else:
        hybrid.divide(net, mesh, plan.preprocess.shape)
    return net


def _chains(divided: nn.Module) -> list[list[str]]:
    """The names of the divided dense layers, in chains."""
    chains: list[list[str]] = []
    for name, layer in divided.named_modules():
        if isinstance(layer, Linear):
            chains += [[name]] if layer.reads == "rows" else []
            chains[-1] += [name] if layer.reads == "own" else []
    return chains


def choose(plan: Plan, processes: int, cluster: Cluster, precision: str = "") -> Choice:
    """Return the form that a plan asks for, or the cheapest one if it leaves a choice.

    Raises:
        UsageError: CN216 if the network cannot be divided as the plan asks for.
    """
    form = plan.spec.parallel or "ddp"
    data, recipe = plan.description, plan.recipe
    train_count = batches.split_sizes(data.train, recipe.validation, plan.spec.limit, data.validation)[0]
    batch_size = min(recipe.batch_size, train_count or recipe.batch_size)  # a resumed run's plan has no counts
    best, reason = cost.choose(network_of(plan, processes, precision), form, processes, batch_size, cluster)
    return Choice(
        prediction=best,
        reason=reason,
        epoch_steps=math.ceil(train_count / batch_size),
        shares_cores=cluster.shares_cores and cluster.host_size > 1,
    )


def form_of_run(plan: Plan, processes: int, hosts: int) -> tuple[str, int, str]:
    """Return the form of a run that starts, the size of its model groups, and why; nothing is measured for that.

    Raises:
        UsageError: CN216 if the network cannot be divided as the plan asks for.
    """
    if plan.spec.parallel in {None, "ddp"}:
        return "ddp", 1, ""
    chosen = choose(plan, processes, assumed_cluster(plan, processes, hosts))
    return chosen.prediction.form, chosen.prediction.model_size, chosen.reason


def smallest_batch(plan: Plan, processes: int) -> int:
    """Return the smallest number of images on which processes can train the network of a plan.

    Raises:
        UsageError: CN216 if batches have fewer.
    """
    smallest = ALONE.smallest_batch(plan) * (processes if plan.spec.local_batch_norm else 1)
    least = max(smallest, processes)
    if plan.recipe.batch_size < least:
        raise UsageError(
            "CN216",
            _("{n} processes cannot share batches of {size}", n=processes, size=plan.recipe.batch_size),
            where=f"batch_size={plan.recipe.batch_size}",
            why=_("each process needs at least {n}", n=least // processes),
            hint=command("--set", f"batch_size={least}"),
        )
    return smallest


def check(plan: Plan, processes: int) -> None:
    """Check that processes of this machine can share a run, before its data is read.

    Raises:
        UsageError: CN216 if its network cannot be divided as the plan asks for, or if its batches are too small.
    """
    smallest_batch(plan, processes)
    if plan.spec.parallel not in {None, "ddp"}:
        network_of(plan, processes)


def measured_cluster(plan: Plan, processes: int, image_seconds: float, network: Link | None) -> Cluster:
    """Return machines like this one, whose speed was measured.

    Args:
        plan: the plan.
        processes: number of processes.
        image_seconds: time of a training step of one process for each of its images.
        network: the link between machines with a process each, or with one on each CUDA device; None for processes on
            this machine only, whose link on a CPU is measured.

    Raises:
        UsageError: CN206 if there are more processes than CUDA devices, and no network to other machines.
    """
    basis = _("a training step measured on this machine, {time} for each image", time=cost.milliseconds(image_seconds))
    if torch.device(plan.device).type != "cuda":
        local = loopback.measure(processes) if network is None else network
        return _cpus(image_seconds, local, network, processes, basis)
    devices = torch.cuda.device_count()
    if processes > devices and network is None:
        raise UsageError(
            "CN206",
            _("this machine has fewer CUDA devices than processes"),
            where=plural("{n} CUDA device", "{n} CUDA devices", devices),
            why=_("each process has a device, so that the others run on other machines, over a network"),
            hint=command("--processes", str(processes), "--link", _ASSUMED_NETWORK),
        )
    return replace(
        hardware.gpu_cluster(_this_gpu(plan.device), {}, network),
        image_seconds=image_seconds,
        host_size=devices,
        basis=(basis, _("the rate between GPUs of a host is that of a data sheet")),
    )


def gpu_cluster(plan: Plan, name: str, processes: int, network: Link | None) -> Cluster:
    """Return hosts with GPUs of one kind, by their data sheet.

    Raises:
        UsageError: CN204 for an unknown name; CN206 if the plan is for the CPU, or if there are more processes than
            GPUs in a host, and no network.
    """
    gpu = hardware.gpu(name)
    if plan.spec.device != "auto" and torch.device(plan.spec.device).type != "cuda":
        raise UsageError(
            "CN206",
            _("--gpu and --device contradict each other"),
            where=command("--gpu", name, "--device", plan.spec.device),
            hint=command("--gpu", name),
        )
    if processes > hardware.GPUS_PER_HOST and network is None:
        raise UsageError(
            "CN206",
            _("{n} GPUs are in several hosts, so the prediction needs the rate of their network", n=processes),
            why=_("a host has {n} GPUs", n=hardware.GPUS_PER_HOST),
            hint=command("--gpu", name, "--processes", str(processes), "--link", "400Gbit"),
        )
    return hardware.gpu_cluster(gpu, _image_flops(plan.table, gpu_precision(plan)), network)


def assumed_cluster(plan: Plan, processes: int, hosts: int) -> Cluster:
    """Return the machines of a run that starts, without measuring anything, so that all processes choose alike."""
    network = hardware.link(_ASSUMED_NETWORK) if hosts > 1 else None
    if torch.device(plan.device).type == "cuda":
        flops = _image_flops(plan.table, plan.recipe.precision)
        return replace(hardware.gpu_cluster(_this_gpu(plan.device), flops, network), host_size=processes // hosts)
    image_flops = sum(_image_flops(plan.table, plan.recipe.precision).values())
    local = Link(title=_("this machine"), rate=hardware.LOOPBACK_RATE, latency=hardware.LOOPBACK_LATENCY)
    cluster = _cpus(image_flops / (_CORE_FLOPS * machine.usable_cores()), local, network, processes // hosts, "")
    return replace(cluster, host_size=processes // hosts)


def _cpus(image_seconds: float, local: Link, network: Link | None, processes: int, basis: str) -> Cluster:
    """Hosts whose processes compute on the CPU."""
    if network is None:
        link = _("processes that share its cores, and exchange {rate:.2g} GB/s", rate=local.rate / 1e9)
    else:
        link = _("one process on each of several machines like this one, over {rate}", rate=network.title)
    return Cluster(
        image_seconds=image_seconds,
        local=local,
        network=network,
        host_size=processes if network is None else 1,
        shares_cores=True,
        overlaps=False,  # measured: gloo exchanges little while the backward pass continues
        basis=(basis, link),
    )


def _this_gpu(device: str) -> hardware.Gpu:
    """The known GPU that a CUDA device is, or the one that is assumed for others."""
    words = torch.cuda.get_device_name(device).casefold().replace("-", " ").split()
    return hardware.GPUS[next((name for name in hardware.GPUS if name in words), _UNKNOWN_GPU)]


def gpu_precision(plan: Plan) -> str:
    """Return the precision of a plan on a GPU of `hardware.GPUS`: another one if it was chosen for this machine."""
    if plan.setting_sources["precision"] != "machine":
        return plan.recipe.precision
    return "bfloat16" if plan.table.macs >= machine.LARGE_MACS else "float32"


def _image_flops(table: Table, precision: str) -> dict[str, float]:
    """Operations of a training step for one image, by the precision in which a GPU computes them.

    A product has one forward and two backward, except that nothing needs the gradient of the image.
    """
    flops: dict[str, float] = {}
    rows = [row for row in table.rows if row.macs]
    for row in rows:
        kind = "tf32" if precision == "float32" and row.kind not in ("Linear", "DropConnect") else precision
        flops[kind] = flops.get(kind, 0.0) + 2 * row.macs * (2 if row is rows[0] else 3)
    return flops
