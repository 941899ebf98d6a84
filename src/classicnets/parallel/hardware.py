"""What the model of cost needs to know about machines: rates of GPUs and links from data sheets, and of this CPU.

Nothing here is measured, except what `measured` gets: a share of a peak is an assumption, and so is a latency.
Imports neither torch nor numpy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from classicnets.errors import UsageError
from classicnets.text import _, command, nearest

PEAK_SHARE = 0.25  # assumed: of a GPU's peak arithmetic in a training step of AlexNet
LINK_SHARE = 0.8  # assumed: of the rate of NVLink or PCIe in one direction
GPUS_PER_HOST = 8  # assumed with --gpu, as in NVIDIA's HGX and DGX systems
GPU_LATENCY, GPU_NETWORK_LATENCY = 3e-6, 5e-6  # seconds, assumed: of one message of NCCL over NVLink, and over RDMA
NETWORK_LATENCY = 1e-4  # seconds, assumed: of one message of gloo over TCP
LOOPBACK_LATENCY = 0.75e-3  # seconds: gloo, small messages between 2 processes of one host with 2 cores, 2026-11-22
LOOPBACK_RATE = 0.9e9  # bytes a second: gloo, 64 MiB between 2 processes of one host with 2 cores, 2026-11-22

_UNITS = {"k": 1e3, "m": 1e6, "g": 1e9}


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU, by the data sheet of its vendor; dense arithmetic, without structured sparsity.

    Attributes:
        title: its name and form.
        flops: peak operations per second, by precision; "tf32" is what torch uses for float32 convolutions.
        memory_bytes: its memory.
        link_rate: bytes per second in one direction between two GPUs of a host: NVLink, or PCIe if it has none.
        source: the data sheet.
    """

    title: str
    flops: dict[str, float]
    memory_bytes: int
    link_rate: float
    source: str


# Data sheets print NVLink and PCIe for both directions together, and Tensor Core rates of Hopper, L40S and L4 with
# structured sparsity, which doubles them; here are one direction and dense rates.
GPUS = {
    "h200": Gpu(
        title="NVIDIA H200 SXM",
        flops={"bfloat16": 989e12, "tf32": 494e12, "float32": 67e12, "float64": 34e12},
        memory_bytes=141 * 10**9,
        link_rate=450e9,
        source="NVIDIA H200 Tensor Core GPU, data sheet",
    ),
    "h100": Gpu(
        title="NVIDIA H100 SXM",
        flops={"bfloat16": 989e12, "tf32": 494e12, "float32": 67e12, "float64": 34e12},
        memory_bytes=80 * 10**9,
        link_rate=450e9,
        source="NVIDIA H100 Tensor Core GPU, data sheet",
    ),
    "a100": Gpu(
        title="NVIDIA A100 80GB SXM",
        flops={"bfloat16": 312e12, "tf32": 156e12, "float32": 19.5e12, "float64": 9.7e12},
        memory_bytes=80 * 10**9,
        link_rate=300e9,
        source="NVIDIA A100 Tensor Core GPU, data sheet",
    ),
    "l40s": Gpu(
        title="NVIDIA L40S",
        flops={"bfloat16": 362e12, "tf32": 183e12, "float32": 91.6e12, "float64": 1.4e12},
        memory_bytes=48 * 10**9,
        link_rate=32e9,
        source="NVIDIA L40S, data sheet",
    ),
    "l4": Gpu(
        title="NVIDIA L4",
        flops={"bfloat16": 121e12, "tf32": 60e12, "float32": 30.3e12, "float64": 0.49e12},
        memory_bytes=24 * 10**9,
        link_rate=32e9,
        source="NVIDIA L4 Tensor Core GPU, data sheet",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Link:
    """A connection between processes.

    Attributes:
        title: what it is, for the reader.
        rate: bytes per second that a process sends, or a host if it connects hosts.
        latency: seconds of one small message.
    """

    title: str
    rate: float
    latency: float


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """The machines that train a run.

    Attributes:
        image_seconds: time of a training step for each of its images, of one process that has the machine to itself.
        local: the link between processes of one host.
        network: the link between hosts; None if there is only one host.
        host_size: number of processes on a host.
        shares_cores: whether the processes of a host share its cores, and so compute no faster than one of them.
        overlaps: whether gradients are exchanged while others are still computed.
        memory_bytes: memory of a process; None if unknown.
        basis: what was measured and what is assumed, one line each.
    """

    image_seconds: float
    local: Link
    network: Link | None = None
    host_size: int
    shares_cores: bool = False
    overlaps: bool = True
    memory_bytes: int | None = None
    basis: tuple[str, ...] = ()

    def link(self, processes: int) -> Link:
        """Return the slowest link of a group of processes with consecutive ranks."""
        return self.local if self.network is None or processes <= self.host_size else self.network


def gpu(name: str) -> Gpu:
    """Return a GPU by its name. Raises UsageError CN204 if it is unknown."""
    if known := GPUS.get(name.casefold()):
        return known
    near = nearest(name, GPUS)
    raise UsageError(
        "CN204",
        _("unknown GPU {name!r}", name=name),
        where=command("--gpu", name),
        why=_("known are {names}", names=", ".join(GPUS)),
        hint=command("--gpu", near or next(iter(GPUS))),
    )


def link(text: str) -> Link:
    """Parse the rate of a network, such as "10Gbit". Raises UsageError CN204 if it is none."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG])(?:bit|bit/s|bps)", text.strip(), re.IGNORECASE)
    if not match or not float(match[1]):
        raise UsageError(
            "CN204",
            _("{text!r} is not the rate of a network", text=text),
            where=command("--link", text),
            why=_("a rate is a number with Kbit, Mbit or Gbit, for each second and each direction"),
            hint="--link 10Gbit",
        )
    rate = float(match[1]) * _UNITS[match[2].lower()] / 8
    return Link(title=f"{match[1]} {match[2].upper()}bit/s", rate=rate, latency=NETWORK_LATENCY)


def gpu_cluster(gpu: Gpu, image_flops: dict[str, float], network: Link | None) -> Cluster:
    """Return hosts with GPUs of one kind.

    Args:
        gpu: the GPU of each process.
        image_flops: operations of a training step for each image, by the precision in which they are done.
        network: the link between hosts, if there are several.
    """
    rates = ", ".join(f"{precision} {gpu.flops[precision] / 1e12:g} TFLOP/s" for precision in image_flops)
    basis = _(
        "{share:.0%} of the peak of {gpu} ({rates}), {link_share:.0%} of {rate:g} GB/s between GPUs of a host",
        share=PEAK_SHARE,
        gpu=gpu.title,
        rates=rates,
        link_share=LINK_SHARE,
        rate=gpu.link_rate / 1e9,
    )
    return Cluster(
        image_seconds=sum(n / (PEAK_SHARE * gpu.flops[precision]) for precision, n in image_flops.items()),
        local=Link(title=gpu.title, rate=LINK_SHARE * gpu.link_rate, latency=GPU_LATENCY),
        network=None if network is None else replace(network, latency=GPU_NETWORK_LATENCY),
        host_size=GPUS_PER_HOST,
        memory_bytes=gpu.memory_bytes,
        basis=(basis,),
    )
