"""What is known about files of weights and of networks, as values and as text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from classicnets.text import N_, _, columns, join, pad, phrases, plural
from classicnets.text import shape as shape_text
from classicnets.weights import node_tensors
from classicnets.weights.differences import Difference

_LIBRARIES = {"caffe": "Caffe", "mxnet": "MXNet", "numpy": "MXNet", "torch": "PyTorch", "keras": "Keras"}
_FORMATS = {
    "caffe": N_("weights of Caffe"),
    "mxnet": N_("weights of MXNet"),
    "numpy": N_("arrays of NumPy, as MXNet 2 writes them"),
    "torch": N_("weights of PyTorch"),
    "keras": N_("a model of Keras"),
    "safetensors": N_("a file of safetensors"),
}


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
class Network:
    """The network that a file defines.

    Attributes:
        path: the file.
        name: the name of the network; "" if it has none.
        layers: number of its layers.
        input: channels, height and width of an image; None if the file does not state them.
        outputs: number of outputs; None if the input is unknown.
        matches: networks of the registry that compute the same.
        nearest: the network of the registry with the same weights that differs least, if none computes the same.
        difference: where that network differs; the network of the file is called "".
    """

    path: str
    name: str
    layers: int
    input: tuple[int, int, int] | None
    outputs: int | None
    matches: tuple[Match, ...] = ()
    nearest: str = ""
    difference: Difference | None = None

    def __str__(self) -> str:
        parts = [plural("{n} layer", "{n:,} layers", self.layers)]
        if self.input:
            parts.append(_("{shape} images", shape=shape_text(self.input)))
        if self.outputs is not None:
            parts.append(plural("{n:,} output", "{n:,} outputs", self.outputs))
        return phrases([repr(self.name), *parts] if self.name else parts)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {**asdict(self), "matches": [match.to_dict() for match in self.matches]}

    def difference_lines(self) -> Iterator[str]:
        """Yield what the nearest network has in place of the layers of this one."""
        if self.difference:
            yield _(
                "The weights fit {net}, which differs first {place}:", net=self.nearest, place=_place(self.difference)
            )
            yield from _layer_lines(self.difference, {"": _("the file")})


@dataclass(frozen=True, kw_only=True)
class Identity:
    """What is known about a weights file.

    Attributes:
        path: the file.
        tensor_count: number of tensors.
        element_count: number of elements of all tensors.
        matches: networks with these tensors, first those that were published for the library that wrote the file, then
            those with the image size of their source. There are several if networks differ only in layers without
            tensors. If a file defines the network, those that compute the same.
        nearest: the most similar network if there are no matches and any tensor agrees.
        run: the run that a classicnets checkpoint belongs to; {} for other files.
        format: the format of the file, as `Source.format`.
        network: the network that this file or one beside it defines, if any.
        likely: how many of the matches, from the first on, were published for the library; 0 if unknown.
        difference: where the likely matches differ; if there is at most one, where all differ.
        notes: what is known about preprocessing, groups and classes, and what is not.
        commands: what to type next.
    """

    path: str
    tensor_count: int
    element_count: int
    matches: tuple[Match, ...]
    nearest: Match | None
    run: dict[str, Any] = field(default_factory=dict)
    format: str = ""
    network: Network | None = None
    likely: int = 0
    difference: Difference | None = None
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "path": self.path,
            "format": self.format,
            "tensors": self.tensor_count,
            "numbers": self.element_count,
            "matches": tuple(match.to_dict() for match in self.matches),
            "likely": [match.net for match in self.matches[: self.likely]],
            "nearest": self.nearest.to_dict() if self.nearest else None,
            "difference": self.difference.to_dict() if self.difference else None,
            "network": self.network.to_dict() if self.network else None,
            "run": self.run,
            "notes": self.notes,
            "next": self.commands,
        }

    def lines(self) -> list[str]:
        """Return the same as text; the second line is the answer."""
        tensors = plural(
            "{path}: {format}, {n:,} tensor with {elements:,} elements",
            "{path}: {format}, {n:,} tensors with {elements:,} elements",
            self.tensor_count,
            path=self.path,
            format=_(_FORMATS.get(self.format, self.format)),
            elements=self.element_count,
        )
        return [tensors, *self._answer(), *self.notes, *_next(self.commands)]

    def _answer(self) -> Iterator[str]:
        if "converted" in self.run:
            yield _("written by classicnets: {net}, converted from a file of another library", **self.run)
        elif self.run:
            yield _("written by classicnets: {net} on {data}, recipe {recipe}, seed {seed}, {epoch}", **self.run)
        if self.network and self.network.matches:
            yield from _same_function(self.network, self.path)
        elif self.network:
            yield _("the network in {path}: {network}", path=self.network.path, network=self.network)
            yield _("No network of the registry computes the same.")
            yield from self.network.difference_lines()
        elif self.matches:
            yield from self._matches()
        elif self.run:
            return
        elif self.nearest:
            yield _("No network of the registry matches. The most similar is {net}; it differs in:", net=self.nearest)
            yield from (f"  {difference}" for difference in node_tensors.first([*self.nearest.differences]))
        else:
            yield _("No network of the registry is similar.")

    def _matches(self) -> Iterator[str]:
        """Lines for networks that the tensors fit."""
        shown = self.matches[: self.likely or None]
        if len(self.matches) == 1 or self.run:
            yield from map(_match_line, self.matches)
            return
        names = [match.net for match in shown]
        if len(names) == 1:
            fields = {"match": _match_line(shown[0]), "library": _LIBRARIES.get(self.format, self.format)}
            yield _("{match}; it was published for {library}", **fields)
        else:
            yield _("one of {nets}, whose weights have the same shapes", nets=join(names))
            yield from (f"  {_match_line(match)}" for match in shown)
        others = [match.net for match in self.matches[len(shown) :]]
        also = [_("It also fits networks of other sources: {nets}.", nets=join(others))] if others else []
        difference = []
        if self.difference:
            difference = [_("They differ first {place}:", place=_place(self.difference))]
            difference += _layer_lines(self.difference)
        yield from also + difference if len(shown) == 1 else difference + also


@dataclass(frozen=True, kw_only=True)
class Companion:
    """What is known about a file without weights: one that defines a network, or a mean image.

    Attributes:
        path: the file.
        kind: "network" or "mean".
        what: what it is, in words.
        network: the network that it defines.
        notes: what else is known.
        commands: what to type next.
    """

    path: str
    kind: str
    what: str
    network: Network | None = None
    notes: tuple[str, ...] = ()
    commands: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = {"path": self.path, "kind": self.kind, "what": self.what, "notes": self.notes, "next": self.commands}
        return {**values, "network": self.network.to_dict() if self.network else None}

    def lines(self) -> list[str]:
        """Return the same as text; the second line is the answer."""
        lines = [_("{path}: {what}", path=self.path, what=self.what)]
        if self.network and self.network.matches:
            lines += _same_function(self.network, self.path)
        elif self.network:
            lines += [_("No network of the registry computes the same."), *self.network.difference_lines()]
        return [*lines, *self.notes, *_next(self.commands)]


def _same_function(network: Network, path: str) -> Iterator[str]:
    """Lines for the networks that compute what a definition computes."""
    for match in network.matches:
        if network.path != path:
            yield _("{match}: {path} computes the same", match=match, path=network.path)
        elif network.input:
            yield _("{match}: the definition in the file computes the same", match=match)
        else:
            yield _(
                "{match}: the definition in the file computes the same for this size, which it leaves open", match=match
            )


def _match_line(match: Match) -> str:
    fields = {"match": match, "prefix": match.prefix}
    if match.renamed:
        return _("same shapes as {match}, under other names", **fields)
    if match.prefix:
        return _("same names and shapes as {match}, with the prefix {prefix!r}", **fields)
    return _("same names and shapes as {match}", **fields)


def _place(difference: Difference) -> str:
    if difference.is_after:
        return _("after {layer}", layer=difference.layer)
    return _("at {layer}", layer=difference.layer)


def _layer_lines(difference: Difference, names: dict[str, str] | None = None) -> Iterator[str]:
    labels = {net: (names or {}).get(net, net) for net in difference.layers}
    width = max(map(columns, labels.values()))
    for net, layers in difference.layers.items():
        yield f"  {pad(labels[net], width)}  {layers or _('none')}"


def _next(commands: tuple[str, ...]) -> Iterator[str]:
    for i, each in enumerate(commands):
        yield _("or:    {command}", command=each) if i else _("next:  {command}", command=each)
