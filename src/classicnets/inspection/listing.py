"""A built network as Python source to be changed: plain torch, with the shape of every output as a comment."""

from __future__ import annotations

import inspect
import itertools
import math
import textwrap
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from classicnets.inspection.layer_source import is_from_torch
from classicnets.inspection.shapes import Table
from classicnets.models.alexnet_ports import ShrinkingPool
from classicnets.models.layers import RBFOutput, SelectedOutput, Subsampling
from classicnets.models.lenet import digit_codes
from classicnets.text import shape as shape_text

_WIDTH = 120  # of a line, and the layout is that of `ruff format`
_OURS = "classicnets.models."
# Arguments that are always written with their names; those that are written even if they are the default; those that
# are left out; and those where one number stands for one number for each axis.
_KEYWORDS = frozenset({"kernel_size", "table"})
_ALWAYS = frozenset({"size", "alpha", "beta", "k", "convention", "p"})
_NEVER = frozenset({"self", "device", "dtype", "inplace"})
_PER_AXIS = frozenset({"kernel_size", "stride", "padding", "dilation", "output_size", "size"})
# Attributes that have another name than the argument
_ATTRIBUTES = {(Subsampling, "size"): "kernel_size", (ShrinkingPool, "size"): "output_size"}


def listing(net: nn.Module, table: Table, about: Sequence[str], commands: Sequence[str]) -> str:
    """Return a Python file that defines `net`, with the same names of its layers, so that its weights can be loaded.

    Only torch is imported, and the layers of `classicnets.models` that torch lacks. The numbers are written out: the
    file is to be read and changed.

    Args:
        net: An nn.Sequential, or one inside `SelectedOutput`, of layers from torch and `classicnets.models`.
        table: Its layer table.
        about: The first lines of the file, as paragraphs.
        commands: What to do with the file, as lines for a shell.

    Raises:
        ValueError: A module is of another type.
    """
    return _Listing(net, table).text(about, commands)


class _Listing:
    """The parts of the file: constants and imports are collected while the layers are written."""

    def __init__(self, net: nn.Module, table: Table) -> None:
        self.net, self.table = net, table
        self.output = net.output if isinstance(net, SelectedOutput) else None
        self.shapes = {row.name: row.outputs for row in table.rows}
        self.imports: dict[str, set[str]] = {}
        self.constants: list[str] = []

    def text(self, about: Sequence[str], commands: Sequence[str]) -> str:
        root, path = (self.net, "") if not isinstance(self.net, SelectedOutput) else (self.net.net, "net")
        lines = [*self._module(root, path, "net = ", "", 0)]
        if self.output is not None:
            self._import(SelectedOutput)
            lines.append(f"net = SelectedOutput(net, {_quoted(self.output)})")
        paragraphs = [textwrap.fill(_in_docstring(text), _WIDTH, break_on_hyphens=False) for text in about]
        paragraphs.append("\n".join(f"    {_in_docstring(command)}" for command in commands))
        first, *others = paragraphs
        ours = [f"from {module} import {', '.join(sorted(names))}" for module, names in self.imports.items()]
        imports = "\n".join(sorted([*ours, "from torch import nn"]))  # all of them are other people's packages
        parts = [
            "\n\n".join([f'"""{first}', *others]) + '\n"""',
            *(["from collections import OrderedDict"] if any("OrderedDict" in line for line in lines) else []),
            imports,
            *self.constants,
            "\n".join(lines),
        ]
        return "\n\n".join(parts) + "\n"

    def _module(self, module: nn.Module, path: str, before: str, after: str, indent: int) -> Iterator[str]:
        """The lines of a module that is written between `before` and `after`."""
        if type(module) is not nn.Sequential:
            yield from self._layer(module, path, before, after, indent)
            return
        margin, names = " " * indent, list(module._modules)
        yield f"{margin}{before}nn.Sequential("
        if names == [str(i) for i in range(len(names))]:
            yield from self._children(module, path, "", indent + 4)
        elif all(name.isidentifier() for name in names):
            yield f"{margin}    OrderedDict("
            yield from self._children(module, path, "{name}=", indent + 8)
            yield f"{margin}    )"
        else:
            yield f"{margin}    OrderedDict("
            yield f"{margin}        {{"
            yield from self._children(module, path, '"{name}": ', indent + 12)
            yield f"{margin}        }}"
            yield f"{margin}    )"
        yield f"{margin}){after}"

    def _children(self, module: nn.Module, path: str, before: str, indent: int) -> Iterator[str]:
        for name, child in module.named_children():
            yield from self._module(child, f"{path}.{name}".lstrip("."), before.format(name=name), ",", indent)

    def _layer(self, layer: nn.Module, path: str, before: str, after: str, indent: int) -> Iterator[str]:
        """A layer on one line with its output shape, or on three if that is too long."""
        name, arguments = self._class(layer), ", ".join(self._arguments(layer, path))
        margin, shape = " " * indent, self.shapes.get(path, ())
        comment = f"  # {shape_text(shape, ' x ')}" if shape else ""
        line = f"{margin}{before}{name}({arguments}){after}{comment}"
        if len(line) <= _WIDTH:
            yield line
        else:
            yield from (f"{margin}{before}{name}(", f"{margin}    {arguments}", f"{margin}){after}{comment}")

    def _class(self, layer: nn.Module) -> str:
        """The name of a layer's class, which is imported."""
        if is_from_torch(layer):
            return f"nn.{type(layer).__name__}"
        if not type(layer).__module__.startswith(_OURS):
            raise ValueError(f"{type(layer).__name__} is neither a layer of torch nor one of {_OURS.rstrip('.')}")
        self._import(type(layer))
        return type(layer).__name__

    def _import(self, thing: type | object) -> None:
        module, name = str(getattr(thing, "__module__", "")), str(getattr(thing, "__name__", ""))
        self.imports.setdefault(module, set()).add(name)

    def _arguments(self, layer: nn.Module, path: str) -> Iterator[str]:
        """The arguments that make the layer: required ones first, then those that are not the default."""
        if isinstance(layer, RBFOutput):
            yield self._codes(layer)
            return
        by_name = False
        for argument in inspect.signature(type(layer).__init__).parameters.values():
            variadic = argument.kind in {argument.VAR_POSITIONAL, argument.VAR_KEYWORD}
            if variadic or argument.name in _NEVER:
                continue
            value, is_required = _value(layer, argument.name), argument.default is argument.empty
            if not is_required and value == argument.default and argument.name not in _ALWAYS:
                continue
            by_name |= not is_required or argument.name in _KEYWORDS or argument.kind is argument.KEYWORD_ONLY
            text = self._written(layer, path, argument.name, value)
            yield f"{argument.name}={text}" if by_name else text

    def _written(self, layer: nn.Module, path: str, name: str, value: object) -> str:
        """The value of an argument as source."""
        if name == "table" and isinstance(value, Sequence):
            return self._table(path, value)
        if name == "in_features" and isinstance(layer, nn.Linear):
            return self._inputs(path, layer.in_features)
        return _quoted(value) if isinstance(value, str) else repr(value)

    def _inputs(self, path: str, count: int) -> str:
        """The inputs of a dense layer: 16 * 5 * 5 where it reads a feature map."""
        names = [row.name for row in self.table.rows]
        for row in reversed(self.table.rows[: names.index(path)]):
            if row.outputs != (count,):
                if len(row.outputs) > 1 and math.prod(row.outputs) == count > row.outputs[0]:
                    return " * ".join(map(str, row.outputs))
                break
        return str(count)

    def _table(self, path: str, rows: Sequence[Sequence[int]]) -> str:
        """The connections of a sparse convolution: a constant above the network, unless all rows are equal."""
        runs = [(list(row), len(list(equal))) for row, equal in itertools.groupby(rows)]
        if len(runs) == 1:
            return f"[{runs[0][0]}] * {runs[0][1]}"
        constant = f"{path.replace('.', '_').upper()}_TABLE"
        parts = [f"[{row}] * {n}" for row, n in runs]
        if 2 * len(runs) > len(rows):
            source = "\n".join([f"{constant} = [", *(f"    {list(row)}," for row in rows), "]"])
        elif len(source := f"{constant} = {' + '.join(parts)}") > _WIDTH:
            source = "\n".join([f"{constant} = (", f"    {parts[0]}", *(f"    + {part}" for part in parts[1:]), ")"])
        self.constants.append(
            f"# The input channels that each of the {len(rows)} output channels of {path} reads\n{source}"
        )
        return constant

    def _codes(self, layer: RBFOutput) -> str:
        """The codes of the digits; without data, as on the meta device, their number says which they are."""
        codes, count = layer.codes, len(layer.codes)
        digits = digit_codes(count) if count <= len(digit_codes()) else torch.empty(0)
        if digits.shape != codes.shape or not (codes.is_meta or torch.equal(codes.cpu().to(digits.dtype), digits)):
            raise ValueError("the codes of RBFOutput are not those of the digits, and too many to be written")
        self._import(digit_codes)
        return f"digit_codes({count})"


def _value(layer: nn.Module, name: str) -> object:
    """The value that an argument of the layer had."""
    if name == "bias":
        return layer.bias is not None
    value = getattr(layer, _ATTRIBUTES.get((type(layer), name), name))
    is_equal = isinstance(value, tuple) and len(set(value)) == 1
    return value[0] if is_equal and name in _PER_AXIS else value


def _quoted(text: str) -> str:
    """Text as source, in double quotes where possible."""
    return f'"{text}"' if repr(text) == f"'{text}'" and '"' not in text else repr(text)


def _in_docstring(text: str) -> str:
    """Text that does not end the docstring."""
    return text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
