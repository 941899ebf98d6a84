"""Reads the networks of MXNet: `-symbol.json` files of all versions, as nodes that `models.graph` builds.

Version 0.8 and earlier keep the settings of an operator under "param" and leave out auxiliary variables; 0.9 to 0.11
have "attr", and later versions "attrs". Inputs are numbers of earlier nodes, so that a cycle cannot be written.

Source: apache/mxnet, src/nnvm/legacy_json_util.cc; dmlc/nnvm, src/pass/saveload_json.cc.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.models.graph import DATA, Node
from classicnets.strict_json import parse
from classicnets.text import _, byte_count, join
from classicnets.weights import node_tensors
from classicnets.weights.mxnet_operators import ANY, NOTHING, OPERATORS, Attributes

_MAX_BYTES = 8 * 2**20  # a network of a thousand layers has one
_MAX_ENTRIES = 100_000
_MAX_LAYERS = 10_000
_MAX_NAME = 200  # characters
_VARIABLE = "null"  # the operator of inputs and parameters
_OPERATOR_NAMES = [name for name in OPERATORS if name[0].isupper() and not name.endswith("_v1")]


@dataclass(frozen=True)
class Symbol:
    """A network of MXNet.

    Attributes:
        nodes: the layers in the order of computation; the last one gives the output. `SoftmaxOutput` and the losses of
            regression are left out, so that the output is that before them.
        parameters: the name of each parameter in MXNet's files, such as "conv1_weight", by its name in torch, such as
            "conv1.weight".
        ones: the parameters, by their names in torch, that are 1 whatever a file says: `gamma` with `fix_gamma`.
        input_shape: channels, height and width of an image, if the file states them.
    """

    nodes: list[Node]
    parameters: dict[str, str]
    ones: frozenset[str]
    input_shape: tuple[int, int, int] | None

    def name_tensors(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parameters of the network by their names in torch; other tensors of the file are left out.

        Args:
            tensors: those of `mxnet_params.read`, also on the meta device.

        Raises:
            DataError: CN306 if a tensor is missing or does not have the shape that its node needs.
        """
        problems, named = [], {}
        for node in self.nodes:
            for parameter, shape in node_tensors.shapes(node).items():
                name = f"{node.name}.{parameter}"
                source = self.parameters[name]
                if source not in tensors:
                    problems.append(node_tensors.missing(source, node))
                    continue
                tensor = tensors[source]
                if not node_tensors.agree(tensor.shape, shape):
                    problems.append(node_tensors.mismatch(source, tensor.shape, shape, node))
                named[name] = torch.ones_like(tensor) if name in self.ones else tensor
        if problems:
            raise DataError("CN306", _("the weights do not fit the graph"), why="\n".join(node_tensors.first(problems)))
        return named


def graph(path: Path) -> list[Node]:
    """Return the layers of a `-symbol.json` file; `read` also says where their parameters are."""
    return read(path).nodes


def read(path: Path) -> Symbol:
    """Read a `-symbol.json` file of any version. Nothing in it is executed.

    Raises:
        DataError: CN305 if the file is missing, damaged or not a graph of MXNet, or if the network has an operator or a
            setting that a node cannot express, several inputs or several outputs; the message names the node.
    """
    try:
        size = path.stat().st_size
        if size > _MAX_BYTES:
            raise _unreadable(path, _("it has {size}", size=byte_count(size)))
        content = path.read_bytes()
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the graph cannot be opened"), where=str(path), why=why) from error
    try:
        values = parse(content)
    except ValueError as error:
        raise _unreadable(path, str(error)) from error
    try:
        return _Reader(values).symbol()
    except ValueError as error:
        is_unknown = isinstance(error, _UnknownOperatorError)
        hint = _("operators that can be read: {names}", names=", ".join(_OPERATOR_NAMES)) if is_unknown else ()
        raise DataError("CN305", _("the graph cannot be read"), where=str(path), why=str(error), hint=hint) from error


class _UnknownOperatorError(ValueError):
    """The network has an operator that no node can express."""


@dataclass(frozen=True)
class _Entry:
    """A node of the file: an operator or a variable. Inputs are (number of the node, number of its output)."""

    number: int
    operator: str
    name: str
    values: dict[str, str]
    inputs: tuple[tuple[int, int], ...]

    @property
    def label(self) -> str:
        """How messages call it."""
        return _("node {number} {name!r} ({operator})", number=self.number, name=self.name, operator=self.operator)

    @property
    def is_variable(self) -> bool:
        """Whether it is an input or a parameter."""
        return self.operator == _VARIABLE


class _Reader:
    """Turns the values of a file into a `Symbol`. All methods raise ValueError with the node that is wrong."""

    def __init__(self, values: Any) -> None:
        if not isinstance(values, dict) or not isinstance(values.get("nodes"), list):
            raise ValueError(_("it has no list of nodes, as the graphs of MXNet have"))
        if not 0 < len(values["nodes"]) <= _MAX_ENTRIES:
            raise ValueError(_("it has {n:,} nodes", n=len(values["nodes"])))
        self.entries = [_entry(number, node) for number, node in enumerate(values["nodes"])]
        try:
            heads = _references(values.get("heads"), len(self.entries))
        except ValueError as error:
            raise ValueError(_("the output: {problem}", problem=error)) from error
        if len(heads) != 1:
            names = join([self.entries[number].name for number, _output in heads])
            raise ValueError(_("it has {n:,} outputs, and a network has one: {names}", n=len(heads), names=names))
        self.head = heads[0]
        self.nodes: dict[str, Node] = {}
        self.outputs: dict[int, str] = {}  # the node whose output is that of an entry
        self.flat = {DATA: False}  # whether the output of a node is rows of values
        self.image: _Entry | None = None
        self.parameters: dict[str, str] = {}
        self.ones: set[str] = set()
        self.used: dict[int, str] = {}  # the parameter that a variable is
        self.counts: dict[str, int] = {}  # of nodes with a name

    def symbol(self) -> Symbol:
        """Read the nodes that the output needs."""
        needed = self.needed()
        for entry in self.entries:
            if entry.number in needed and not entry.is_variable:
                self.convert(entry)
        output = self.source(self.entries[self.head[0]], self.head)
        if output == DATA or self.image is None:
            raise ValueError(_("it has no layer between the image and the output"))
        return Symbol([*self.nodes.values()], self.parameters, frozenset(self.ones), _image_shape(self.image))

    def needed(self) -> set[int]:
        """The entries that the output is computed from, without what only training uses."""
        needed = {self.head[0]}
        for entry in reversed(self.entries):
            if entry.number in needed:
                operator = OPERATORS.get(entry.operator)
                inputs = entry.inputs[: operator.inputs] if operator and operator.labels else entry.inputs
                needed.update(number for number, _output in inputs)
        return needed

    def convert(self, entry: _Entry) -> None:
        """Add the node of an operator."""
        operator = OPERATORS.get(entry.operator)
        if operator is None:
            raise _UnknownOperatorError(_("{label}: there is no layer for this operator", label=entry.label))
        count = len(entry.inputs) if operator.inputs == ANY else operator.inputs
        if not 0 < count <= len(entry.inputs):
            raise ValueError(_("{label}: it has {n} inputs", label=entry.label, n=len(entry.inputs)))
        sources = tuple(self.source(entry, reference) for reference in entry.inputs[:count])
        is_flat = all(self.flat[source] for source in sources)
        try:
            result = operator.convert(Attributes(entry.values, is_flat))
        except ValueError as error:
            raise ValueError(_("{label}: {problem}", label=entry.label, problem=error)) from error
        most = count + len(result.parameters) + operator.labels
        if len(entry.inputs) > most:
            fields: dict[str, Any] = {"label": entry.label, "n": len(entry.inputs), "most": most}
            raise ValueError(_("{label}: it has {n} inputs, and {most} at most are read", **fields))
        if result.kind == NOTHING:
            self.outputs[entry.number] = sources[0]
            return
        if len(self.nodes) == _MAX_LAYERS:
            raise ValueError(_("{label}: a network has at most {n:,} layers", label=entry.label, n=_MAX_LAYERS))
        name = self.free_name(entry.name)
        settings = dict(result.settings)
        for i, (own_name, torch_name) in enumerate(result.parameters, count):
            variable = self.parameter(entry, i, own_name, f"{name}.{torch_name}")
            if "shared" in settings:  # one slope for all channels
                settings["shared"] = variable is not None and _stated_shape(variable) == (1,)
        self.ones |= {f"{name}.{parameter}" for parameter in result.ones}
        self.nodes[name] = Node(name=name, kind=result.kind, inputs=sources, settings=settings)
        self.outputs[entry.number] = name
        self.flat[name] = result.kind in {"dense", "flatten"} or is_flat

    def source(self, entry: _Entry, reference: tuple[int, int]) -> str:
        """The name of the node that an input of `entry` comes from."""
        number, output = reference
        other = self.entries[number]
        if output:
            fields: dict[str, Any] = {"label": entry.label, "n": output, "other": other.name}
            raise ValueError(_("{label}: it reads output {n} of {other!r}, and only output 0 is read", **fields))
        if not other.is_variable:
            return self.outputs[number]
        if number in self.used:
            fields = {"label": entry.label, "other": other.name, "parameter": self.used[number]}
            raise ValueError(_("{label}: it reads {other!r}, which is the parameter {parameter!r}", **fields))
        if self.image is not None and self.image is not other:
            names = f"{self.image.name!r}, {other.name!r}"
            raise ValueError(
                _("{label}: the network has more inputs than one: {names}", label=entry.label, names=names)
            )
        self.image = other
        return DATA

    def parameter(self, entry: _Entry, place: int, own_name: str, torch_name: str) -> _Entry | None:
        """Register a parameter, and return its variable; old files leave out variables, whose names are known."""
        if place >= len(entry.inputs):
            self.parameters[torch_name] = f"{entry.name}_{own_name}"
            return None
        number, _output = entry.inputs[place]
        variable = self.entries[number]
        if not variable.is_variable or variable is self.image:
            fields = {"label": entry.label, "parameter": own_name, "other": variable.name}
            raise ValueError(_("{label}: its {parameter} is {other!r}, which is computed", **fields))
        if number in self.used:
            fields = {"label": entry.label, "other": variable.name, "parameter": self.used[number]}
            raise ValueError(_("{label}: it shares {other!r} with {parameter!r}, which is not read", **fields))
        self.used[number] = torch_name
        self.parameters[torch_name] = variable.name
        return variable

    def free_name(self, name: str) -> str:
        """The name for a node: MXNet allows several operators of one name, which get a number here."""
        candidate = name
        while candidate in self.nodes or candidate == DATA:
            self.counts[name] = self.counts.get(name, 1) + 1
            candidate = f"{name}_{self.counts[name]}"
        return candidate


def _entry(number: int, node: Any) -> _Entry:
    """Check a node of the file. Raises ValueError."""
    if not isinstance(node, dict) or not isinstance(node.get("op"), str) or not isinstance(node.get("name"), str):
        raise ValueError(_("node {number}: it has no 'op' and 'name' in text", number=number))
    if len(node["name"]) > _MAX_NAME:
        raise ValueError(_("node {number}: its name has {n:,} characters", number=number, n=len(node["name"])))
    values: dict[str, str] = {}
    for key in ("attr", "attrs", "param"):
        attributes = node.get(key) or {}
        if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
            fields: dict[str, Any] = {"number": number, "name": node["name"], "key": key}
            raise ValueError(_("node {number} {name!r}: {key!r} is not an object with values in text", **fields))
        values |= attributes
    try:
        inputs = _references(node.get("inputs"), number)
    except ValueError as error:
        fields = {"number": number, "name": node["name"], "problem": error}
        raise ValueError(_("node {number} {name!r}: {problem}", **fields)) from error
    return _Entry(number, node["op"][:80], node["name"], values, inputs)


def _references(values: Any, most: int) -> tuple[tuple[int, int], ...]:
    """Check a list of outputs of earlier nodes, each of 2 or 3 numbers; the third is a version. Raises ValueError."""
    if not isinstance(values, list):
        raise ValueError(_("what it reads is not a list"))
    return tuple(_reference(value, most) for value in values)


def _reference(value: Any, most: int) -> tuple[int, int]:
    if (
        not isinstance(value, list)
        or not 2 <= len(value) <= 3
        or not all(type(number) is int and number >= 0 for number in value)
    ):
        raise ValueError(_("what it reads is not two or three numbers from 0 on"))
    if value[0] >= most:
        raise ValueError(_("it reads node {number:,}, which is not one before it", number=value[0]))
    return value[0], value[1]


def _stated_shape(variable: _Entry) -> tuple[int, ...] | None:
    """The shape in the attributes of a variable, as Gluon writes it; None if there is none."""
    text = variable.values.get("__shape__", "")[:200].strip("()[] ").rstrip(",")
    sizes = [size.strip() for size in text.split(",")]
    return tuple(map(int, sizes)) if all(size.isdecimal() and len(size) < 10 for size in sizes) else None


def _image_shape(image: _Entry) -> tuple[int, int, int] | None:
    shape = _stated_shape(image) or ()
    if len(shape) != 4 or not all(shape[1:]):
        return None
    return shape[1], shape[2], shape[3]


def _unreadable(path: Path, why: str) -> DataError:
    return DataError(
        "CN305",
        _("the file is damaged or is not a graph of MXNet"),
        where=str(path),
        why=why,
        hint=_("copy or download the file again"),
    )
