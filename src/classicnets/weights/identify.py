"""Identifies the registry network that a weights file belongs to, by tensor names and shapes."""

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
from classicnets.text import _, plural
from classicnets.text import shape as shape_text
from classicnets.weights import files

_CHECKPOINT_PREFIX = "net/"  # prefix of the weights in a classicnets checkpoint
_IMAGE_SIZES = range(8, 320)  # image sizes that a network may have been built for


@dataclass(frozen=True, kw_only=True)
class Match:
    """A registry network compared with the tensors of a file.

    Attributes:
        net: name of the network.
        num_classes: number of classes that it was built with for the comparison.
        in_channels: number of image channels that it was built with.
        image_size: image height and width that it was built with.
        prefix: prefix of its tensor names in the file.
        renamed: whether the file has other names, so that only shapes were compared.
        similarity: share of tensors that agree, 0..1.
        differences: the tensors that do not agree, in words.
    """

    net: str
    num_classes: int
    in_channels: int
    image_size: int
    prefix: str = ""
    renamed: bool = False
    similarity: float = 1.0
    differences: tuple[str, ...] = ()

    def __str__(self) -> str:
        return plural(
            "{net} for {n} class and {shape} images",
            "{net} for {n} classes and {shape} images",
            self.num_classes,
            net=self.net,
            shape=shape_text((self.in_channels, self.image_size, self.image_size)),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        values["likeness"] = values.pop("similarity")
        return values


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known about a weights file.

    Attributes:
        path: the file.
        tensor_count: number of tensors.
        element_count: number of elements of all tensors.
        matches: networks with these tensors, first those with the image size of their source. There are several if
            networks differ only in layers without tensors.
        nearest: the most similar network if there are no matches and any tensor agrees.
        run: the run that a classicnets checkpoint belongs to; {} for other files.
    """

    path: str
    tensor_count: int
    element_count: int
    matches: tuple[Match, ...]
    nearest: Match | None
    run: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": self.path,
            "tensors": self.tensor_count,
            "numbers": self.element_count,
            "matches": tuple(match.to_dict() for match in self.matches),
            "nearest": self.nearest.to_dict() if self.nearest else None,
            "run": self.run,
        }

    def lines(self) -> list[str]:
        """Return the same as text."""
        tensors = plural(
            "{path}: {n:,} tensor with {elements:,} elements",
            "{path}: {n:,} tensors with {elements:,} elements",
            self.tensor_count,
            path=self.path,
            elements=self.element_count,
        )
        lines = [tensors]
        if self.run:
            lines.append(
                _("written by classicnets: {net} on {data}, recipe {recipe}, seed {seed}, {epoch}", **self.run)
            )
        lines += [_match_line(match) for match in self.matches]
        if self.matches:
            lines.append(_("Activations, pooling and dropout have no tensors, so the file does not show them."))
        elif self.nearest:
            lines.append(
                _("No network of the registry matches. The most similar is {net}; it differs in:", net=self.nearest)
            )
            lines += [f"  {difference}" for difference in self.nearest.differences]
        else:
            lines.append(_("No network of the registry is similar."))
        return lines


def _match_line(match: Match) -> str:
    fields = {"match": match, "prefix": match.prefix}
    if match.renamed and match.prefix:
        return _("same shapes as {match}, under other names, with the prefix {prefix!r}", **fields)
    if match.renamed:
        return _("same shapes as {match}, under other names", **fields)
    if match.prefix:
        return _("same names and shapes as {match}, with the prefix {prefix!r}", **fields)
    return _("same names and shapes as {match}", **fields)


def identify(path: str | Path) -> Identity:
    """Find the network whose tensors a file has, for any prefix, number of classes and channels, and image size.

    Every network of the registry is built on the meta device and compared with the file by names and shapes. No tensor
    is read, and no code in the file is run.

    Args:
        path: a file of safetensors, torch.save, MXNet, Caffe or Keras, whatever its name.

    Raises:
        DataError: CN305 if the file cannot be read, or has no tensors.
    """
    tensors, metadata = files.read(Path(path), data=False)
    run = _run(metadata)
    if metadata:
        tensors = {name: t for name, t in tensors.items() if name.startswith(_CHECKPOINT_PREFIX)} or tensors
    candidates = [_compare(net, tensors) for net in NETS]
    matches = [match for match in candidates if not match.differences]
    if any(not match.renamed for match in matches):
        matches = [match for match in matches if not match.renamed]
    matches.sort(key=lambda match: match.image_size != NETS[match.net].input[1])
    nearest = max(candidates, key=lambda match: match.similarity)
    return Identity(
        path=str(path),
        tensor_count=len(tensors),
        element_count=sum(tensor.numel() for tensor in tensors.values()),
        matches=tuple(matches),
        nearest=None if matches or not nearest.similarity else nearest,
        run=run,
    )


def _run(metadata: dict[str, Any]) -> dict[str, Any]:
    """The run in the metadata of a checkpoint; {} for metadata that classicnets does not write."""
    try:
        state, recipe = metadata["state"], metadata["recipe"]
        fields = {"epoch": state["epoch"], "epochs": recipe["epochs"], "step": state["step"]}
        return {
            "net": NetSpec(**metadata["net"]).display_name,
            "data": metadata["data_name"],
            "recipe": recipe["source"],
            "seed": metadata["seed"],
            "epoch": _("epoch {epoch} of {epochs}, step {step}", **fields)
            if state["step"]
            else _("epoch {epoch} of {epochs}", **fields),
            "classes": metadata["classes"],
        }
    except (KeyError, TypeError):
        return {}


def _compare(net: str, file: dict[str, Tensor]) -> Match:
    """Build the network in the configuration most similar to the file, and report what differs."""
    default = (NETS[net].classes, NETS[net].input[0], NETS[net].input[1])
    state = _state(net, *default)
    prefix = files.prefix_of(file, state)
    tensors = {name.removeprefix(prefix): tensor for name, tensor in file.items() if name.startswith(prefix)}
    renamed = not tensors.keys() & state.keys()
    best: tuple[float, tuple[int, int, int], dict[str, Tensor]] = (-1.0, default, state)
    for configuration in _configurations(default, state, tensors, renamed=renamed):
        try:
            state = _state(net, *configuration)
        except (ValueError, RuntimeError):  # the network cannot be built like that
            continue
        similarity = _similarity(state, tensors, renamed=renamed)
        if similarity > best[0]:
            best = (similarity, configuration, state)
        if similarity == 1:
            break
    similarity, (classes, channels, size), state = best
    return Match(
        net=net,
        num_classes=classes,
        in_channels=channels,
        image_size=size,
        prefix=prefix,
        renamed=renamed,
        similarity=similarity,
        differences=tuple(_differences(net, state, tensors, renamed=renamed)),
    )


def _state(net: str, classes: int, channels: int, size: int) -> dict[str, Tensor]:
    """The tensors of a network that is built on the meta device."""
    with torch.device("meta"):
        state: dict[str, Tensor] = NETS[net].load()(classes, channels, size).state_dict()
    return state


def _configurations(
    default: tuple[int, int, int], state: dict[str, Tensor], tensors: dict[str, Tensor], *, renamed: bool
) -> Iterator[tuple[int, int, int]]:
    """Classes, channels and image sizes that the network may have been built for, the most probable first."""
    yield default
    classes, channels, size = default
    if renamed and len(tensors) == len(state):
        widths = {len(tensor) for tensor in tensors.values() if tensor.dim() == 1}
        yield from ((n, in_channels, size) for n in sorted(widths - {0}) for in_channels in (1, 3))
    if not state.keys() <= tensors.keys():
        return
    first, last = next(iter(state)), [name for name, tensor in state.items() if tensor.dim() > 1][-1]
    if tensors[last].dim() == state[last].dim():
        classes = tensors[last].shape[0] or classes
    axis = 1 if state[first].dim() == 4 else 0  # grows with the channels; 0 in a connection table, which lists pairs
    if tensors[first].dim() == state[first].dim():
        channels = default[1] * tensors[first].shape[axis] // state[first].shape[axis] or channels
    yield classes, channels, size
    kernels = [name for name, tensor in state.items() if tensor.dim() > 2 and name.endswith("weight")]
    if all(tensors[name].shape == state[name].shape for name in kernels if name != first):
        yield from ((classes, channels, other_size) for other_size in _IMAGE_SIZES)


def _similarity(state: dict[str, Tensor], tensors: dict[str, Tensor], *, renamed: bool) -> float:
    """The share of tensors that agree (intersection over union): by name and shape, or only by shape."""
    if renamed:
        shapes, file_shapes = (Counter(tensor.shape for tensor in group.values()) for group in (state, tensors))
        agreeing = (shapes & file_shapes).total()
    else:
        agreeing = sum(name in tensors and tensors[name].shape == tensor.shape for name, tensor in state.items())
    return agreeing / (len(state) + len(tensors) - agreeing)


def _differences(net: str, state: dict[str, Tensor], tensors: dict[str, Tensor], *, renamed: bool) -> Iterator[str]:
    """A sentence for each tensor that does not agree."""
    if renamed:
        unmatched = Counter(tensor.shape for tensor in state.values())
        for name, tensor in tensors.items():
            if not unmatched[tensor.shape]:
                shape = shape_text(tensor.shape)
                yield _("{name} of {shape} has no counterpart in {net}", name=name, shape=shape, net=net)
            unmatched[tensor.shape] -= unmatched[tensor.shape] > 0
        for size in unmatched.elements():
            yield _("a tensor of {shape} in {net} is missing from the file", shape=shape_text(size), net=net)
        return
    for name, tensor in state.items():
        shape = shape_text(tensor.shape)
        if name not in tensors:
            yield _("{name} of {shape} is missing from the file", name=name, shape=shape)
        elif tensors[name].shape != tensor.shape:
            file_shape = shape_text(tensors[name].shape)
            yield _(
                "{name} is {file_shape} in the file and {shape} in {net}",
                name=name,
                file_shape=file_shape,
                shape=shape,
                net=net,
            )
    for name, tensor in tensors.items():
        if name not in state:
            yield _("{name} of {shape} is only in the file", name=name, shape=shape_text(tensor.shape))
