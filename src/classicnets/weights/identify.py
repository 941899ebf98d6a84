"""Which net of the registry a file of weights belongs to: by names and shapes, never by what the file is called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.models.registry import NETS
from classicnets.runs.net_spec import NetSpec
from classicnets.text import shape as shape_text
from classicnets.weights import files

_OURS = "net/"  # what a checkpoint of ours has before the names of the net
_SIZES = range(8, 320)  # images a net may have been built for


@dataclass(frozen=True, kw_only=True)
class Match:
    """A net of the registry beside the tensors of a file, built for so many classes and channels and for one size.

    `prefix` stands before the names in the file; `renamed` says that the shapes are the same and the names are not.
    `likeness` is the share of tensors that agree, `differences` says which do not.
    """

    net: str
    num_classes: int
    in_channels: int
    image_size: int
    prefix: str = ""
    renamed: bool = False
    likeness: float = 1.0
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        image = shape_text((self.in_channels, self.image_size, self.image_size))
        return f"{self.net} for {self.num_classes} classes and images of {image}"


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known of a file of weights.

    `matches` are the nets whose tensors these are, those for the images of their source first: several where nets
    differ only in layers without tensors. Where there are none, `nearest` is the net that agrees most. `run` is what a
    checkpoint of ours says of its run.
    """

    path: str
    tensors: int
    numbers: int
    matches: tuple[Match, ...]
    nearest: Match | None
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def lines(self) -> list[str]:
        """For people."""
        said = [f"{self.path}: {self.tensors} tensors, {self.numbers:,} numbers"]
        if self.run:
            said.append(
                "written by classicnets: {net} on {data}, recipe {recipe}, seed {seed}, {epoch}".format(**self.run)
            )
        for match in self.matches:
            names = "the shapes, under other names, are" if match.renamed else "names and shapes are"
            before = f", after {match.prefix!r}" if match.prefix else ""
            said.append(f"{names} those of {match}{before}")
        if self.matches:
            said.append("activations, pools and dropout have no tensors: a file of weights does not tell them")
        elif self.nearest:
            said.append(f"no net of the registry; the nearest is {self.nearest}, with these differences:")
            said += [f"  {difference}" for difference in self.nearest.differences]
        else:
            said.append("no net of the registry is like it")
        return said


def identify(path: str | Path) -> Identity:
    """What net the tensors of a .safetensors, .pth or .pt file are, up to a prefix, classes, channels and image size.

    Each net of the registry is built on the meta device and held against the file; nothing in the file is executed and
    no tensor is read. Raises DataError CN305 for a file that cannot be read like that.
    """
    tensors, facts = files.read(Path(path), data=False)
    run = _run(facts)
    if facts:
        tensors = {name: tensor for name, tensor in tensors.items() if name.startswith(_OURS)} or tensors
    candidates = [_beside(net, tensors) for net in NETS]
    matches = [match for match in candidates if not match.differences]
    if any(not match.renamed for match in matches):
        matches = [match for match in matches if not match.renamed]
    matches.sort(key=lambda match: match.image_size != NETS[match.net].input[1])
    nearest = max(candidates, key=lambda match: match.likeness)
    return Identity(
        path=str(path),
        tensors=len(tensors),
        numbers=sum(tensor.numel() for tensor in tensors.values()),
        matches=tuple(matches),
        nearest=None if matches or not nearest.likeness else nearest,
        run=run,
    )


def _run(facts: dict[str, Any]) -> dict[str, Any]:
    """The facts that a checkpoint of ours holds about its run; {} where they are not what we write."""
    try:
        state = facts["state"]
        return {
            "net": NetSpec(**facts["net"]).display_name,
            "data": facts["data_name"],
            "recipe": facts["recipe"]["source"],
            "seed": facts["seed"],
            "epoch": f"epoch {state['epoch']} of {facts['recipe']['epochs']}"
            + (f", step {state['step']}" if state["step"] else ""),
            "classes": facts["classes"],
        }
    except (KeyError, TypeError):
        return {}


def _beside(net: str, file: dict[str, Tensor]) -> Match:
    """The net, built as far as possible like what is in the file, and what still differs."""
    usual = (NETS[net].classes, NETS[net].input[0], NETS[net].input[1])
    built = _built(net, *usual)
    prefix = files.prefix_of(file, built)
    inside = {name.removeprefix(prefix): tensor for name, tensor in file.items() if name.startswith(prefix)}
    renamed = not inside.keys() & built.keys()
    best: tuple[float, tuple[int, int, int], dict[str, Tensor]] = (-1.0, usual, built)
    for made_for in _guesses(usual, built, inside, renamed=renamed):
        try:
            built = _built(net, *made_for)
        except (ValueError, RuntimeError):  # it cannot be built for that
            continue
        likeness = _likeness(built, inside, renamed=renamed)
        if likeness > best[0]:
            best = (likeness, made_for, built)
        if likeness == 1:
            break
    likeness, (classes, channels, size), built = best
    return Match(
        net=net,
        num_classes=classes,
        in_channels=channels,
        image_size=size,
        prefix=prefix,
        renamed=renamed,
        likeness=likeness,
        differences=tuple(_differences(net, built, inside, renamed=renamed)),
    )


def _built(net: str, classes: int, channels: int, size: int) -> dict[str, Tensor]:
    with torch.device("meta"):
        state: dict[str, Tensor] = NETS[net].load()(classes, channels, size).state_dict()
    return state


def _guesses(
    usual: tuple[int, int, int], built: dict[str, Tensor], inside: dict[str, Tensor], *, renamed: bool
) -> Iterator[tuple[int, int, int]]:
    """Classes, channels and sizes that the net may have been built for, the likeliest first."""
    yield usual
    classes, channels, size = usual
    if renamed and len(inside) == len(built):
        widths = {len(tensor) for tensor in inside.values() if tensor.dim() == 1}
        yield from ((n, maps, size) for n in sorted(widths - {0}) for maps in (1, 3))
    if not built.keys() <= inside.keys():
        return
    first, last = next(iter(built)), [name for name, tensor in built.items() if tensor.dim() > 1][-1]
    if inside[last].dim() == built[last].dim():
        classes = inside[last].shape[0] or classes
    maps = 1 if built[first].dim() == 4 else 0  # the axis that grows with the channels; a table has pairs
    if inside[first].dim() == built[first].dim():
        channels = usual[1] * inside[first].shape[maps] // built[first].shape[maps] or channels
    yield classes, channels, size
    kernels = [name for name, tensor in built.items() if tensor.dim() > 2 and name.endswith("weight")]
    if all(inside[name].shape == built[name].shape for name in kernels if name != first):
        yield from ((classes, channels, other) for other in _SIZES)


def _likeness(built: dict[str, Tensor], inside: dict[str, Tensor], *, renamed: bool) -> float:
    """The share of tensors that agree: by name, or where no name does, by shape alone."""
    if renamed:
        ours, theirs = (Counter(tensor.shape for tensor in some.values()) for some in (built, inside))
        agreeing = (ours & theirs).total()
    else:
        agreeing = sum(name in inside and inside[name].shape == tensor.shape for name, tensor in built.items())
    return agreeing / (len(built) + len(inside) - agreeing)


def _differences(net: str, built: dict[str, Tensor], inside: dict[str, Tensor], *, renamed: bool) -> Iterator[str]:
    if renamed:
        left = Counter(tensor.shape for tensor in built.values())
        for name, tensor in inside.items():
            if not left[tensor.shape]:
                yield f"{name} of {shape_text(tensor.shape)} has no counterpart in {net}"
            left[tensor.shape] -= left[tensor.shape] > 0
        for shape in left.elements():
            yield f"a tensor of {shape_text(shape)} of {net} is not in the file"
        return
    for name, tensor in built.items():
        if name not in inside:
            yield f"{name} of {shape_text(tensor.shape)} is not in the file"
        elif inside[name].shape != tensor.shape:
            yield f"{name} is {shape_text(inside[name].shape)} in the file and {shape_text(tensor.shape)} in {net}"
    for name, tensor in inside.items():
        if name not in built:
            yield f"{name} of {shape_text(tensor.shape)} is in the file alone"
