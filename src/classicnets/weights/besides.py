"""Lists what a weights file holds besides the weights that are used: epoch, accuracy, optimizer, averages of weights.

Nothing in a file is run; its objects are described by the names of their classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import safetensors

from classicnets.errors import DataError
from classicnets.files import native_path
from classicnets.runs import checkpoint
from classicnets.text import _, labeled, phrases, plural
from classicnets.text import shape as shape_text
from classicnets.weights import files
from classicnets.weights.pickles import Made, Name, Reference, walk
from classicnets.weights.tensors import Content, StateDict, is_module, is_optimizer, is_tensor

_MAX_LINES = 10
_MAX_TEXT = 40  # characters of a value or a key
_MAX_KEYS = 4  # keys of a dictionary that are listed
_MAX_SETS = 3  # other sets of weights that are listed
_SCALARS = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


def besides(path: Path) -> tuple[str, ...]:
    """Return what a file holds besides the weights that are used, as short lines such as "epoch: 90".

    Of a file of torch.save, these are the other entries of its dictionary. If it has several sets of weights, the first
    line says which one is used. Of a file of safetensors, it is the metadata; () for checkpoints of classicnets, and
    for other formats, which hold nothing else.

    Raises:
        DataError: CN305 if the file is missing or damaged.
    """
    start = files.start_of(path)
    if files.is_safetensors(start):
        return _limited([], [*_of_safetensors(path)], lambda entry: labeled(entry[0], _short(entry[1])))
    if not files.is_torch(path, start):
        return ()
    with files.torch_content(path) as content:
        found = content.state_dicts()
        others = [each for each in found[1:] if any(name.endswith(("weight", "bias")) for name in each.records)]
        used = found[0] if found else StateDict((), {})
        lines = [*_sets(used, others)] if others else []
        return _limited(lines, [*_entries(content, used, others)], lambda entry: _line(content, *entry))


def _limited(
    lines: list[str], entries: list[tuple[str, Any]], describe: Callable[[tuple[str, Any]], str]
) -> tuple[str, ...]:
    """The lines, and one for each entry, up to the limit."""
    free = _MAX_LINES - len(lines)
    more = len(entries) - free + 1 if len(entries) > free else 0
    lines += [describe(entry) for entry in entries[: free - 1 if more else free]]
    return (*lines, *([_("and {n:,} more", n=more)] if more else []))


def _of_safetensors(path: Path) -> Iterator[tuple[str, str]]:
    """The metadata of another program."""
    try:
        with native_path(path) as readable, safetensors.safe_open(readable, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        what = _("the weights file is truncated or damaged")
        raise DataError("CN305", what, where=str(path), why=str(error)[:300]) from error
    if checkpoint.KEY not in metadata:
        yield from ((_short(key), value) for key, value in metadata.items())


def _sets(used: StateDict, others: list[StateDict]) -> Iterator[str]:
    """Lines on the sets of weights of a file that has several."""
    n, path = len(used.records), _path(used.path)
    yield plural("weights used: {n:,} tensor in {path!r}", "weights used: {n:,} tensors in {path!r}", n, path=path)
    for number, each in enumerate(others[:_MAX_SETS]):
        which, n, path = _("another") if number else _("a second"), len(each.records), _path(each.path)
        yield plural(
            "{which} set of {n:,} weight in {path!r}",
            "{which} set of {n:,} weights in {path!r}",
            n,
            which=which,
            path=path,
        )
    if len(others) > _MAX_SETS:
        yield _("and {n:,} more sets of weights", n=len(others) - _MAX_SETS)


def _entries(content: Content, used: StateDict, others: list[StateDict]) -> Iterator[tuple[str, Any]]:
    """Keys and values beside the state dict that is used: on the way to it, and in it."""
    place: tuple[str, ...] = ()
    value = content.tree
    while isinstance(value, dict):
        ahead = used.path[len(place)] if len(place) < len(used.path) else None
        for key, part in value.items():
            if not isinstance(key, str) or part is None or (isinstance(part, dict | list | tuple) and not part):
                continue
            here = (*place, key)
            is_set = any(each.path[: len(here)] == here for each in others)
            if not is_set and key != ahead and not (ahead is None and is_tensor(part)):
                yield _path(here), part
        if ahead is None or ahead not in value:
            return
        place, value = (*place, ahead), value[ahead]
    if isinstance(value, Made):
        yield _path(place) or _("the file"), value


def _path(keys: tuple[str, ...]) -> str:
    return ".".join(map(_short, keys))


def _line(content: Content, key: str, value: Any) -> str:
    """Describe one entry of a dictionary."""
    if isinstance(value, list) and len(value) == 1 and is_optimizer(value[0]):
        value = value[0]  # Lightning has a list of them
    if is_optimizer(value):
        tensors = sum(map(is_tensor, walk(value["state"])))
        text = plural("{n:,} tensor", "{n:,} tensors", tensors)
        groups = value["param_groups"]
        rate = groups[0].get("lr") if groups and isinstance(groups[0], dict) else None
        rate = _scalar(content, rate)
        return labeled(key, phrases([text, f"lr {rate:g}" if isinstance(rate, float | int) else ""]))
    return labeled(key, _describe(content, value))


def _describe(content: Content, value: Any) -> str:
    """Describe a value in a few words."""
    value = _scalar(content, value)
    if isinstance(value, Name):
        return _short(value.text)
    if is_tensor(value):
        return _("a tensor of {shape}", shape=_shape(content, value))
    if is_module(value):
        return _("a module of the class {name}", name=_class(value))
    if isinstance(value, Made):
        state = value.state if isinstance(value.state, dict) else {}
        return _("an object of the class {name}", name=_class(value)) + _keys(state)
    tensors = sum(map(is_tensor, walk(value))) if isinstance(value, dict | list | tuple) else 0
    if isinstance(value, dict):
        if tensors:
            return plural("{n:,} tensor", "{n:,} tensors", tensors)
        return plural("{n:,} entry", "{n:,} entries", len(value)) + _keys(value)
    if isinstance(value, list | tuple):
        if tensors:
            return plural("a list of {n:,} tensor", "a list of {n:,} tensors", tensors)
        return plural("a list of {n:,} value", "a list of {n:,} values", len(value))
    if isinstance(value, float) and math.isfinite(value):
        return f"{value:.6g}"
    return _short(value if isinstance(value, str) else repr(value), quoted=isinstance(value, str))


def _class(value: Made) -> str:
    """The name of the class of an object; before torch 1.6, torch.save put modules' classes beside the pickle."""
    maker = value.maker
    if isinstance(maker, Reference) and isinstance(maker.key, tuple) and maker.key[:1] == ("module",):
        maker = maker.key[1]
    return _short(maker.text) if isinstance(maker, Name) else "?"


def _keys(values: Mapping[Any, Any]) -> str:
    """The first keys of a dictionary, in brackets, with their values if these are numbers or text."""
    plain = int | float | str
    keys = [
        f"{_short(key)} {_short(value)}" if isinstance(value, plain) else _short(key)
        for key, value in islice(values.items(), _MAX_KEYS + 1)
        if isinstance(key, str)
    ]
    more = ", ..." if len(keys) > _MAX_KEYS else ""
    return f" ({', '.join(keys[:_MAX_KEYS])}{more})" if keys else ""


def _scalar(content: Content, value: Any) -> Any:
    """A number that is stored as a tensor or as one of NumPy; other values as they are."""
    try:
        if is_tensor(value):
            if content.read(value, data=False).numel() == 1:
                return content.read(value, data=True).item()
        elif isinstance(value, Made) and value.name in _SCALARS:
            dtype, stored = value.arguments
            kind = np.dtype(dtype.arguments[0])
            if isinstance(stored, Made):  # bytes as text, for old versions of pickle
                stored = stored.arguments[0].encode("latin1")
            if kind.kind in "biuf" and len(stored) == kind.itemsize:
                return np.frombuffer(stored, kind)[0].item()
    except (ValueError, TypeError, AttributeError, IndexError, KeyError):
        return value
    return value


def _shape(content: Content, value: Any) -> str:
    try:
        return shape_text(content.read(value, data=False).shape)
    except ValueError:
        return "?"


def _short(value: object, *, quoted: bool = False) -> str:
    """A value as text that can be printed, and not too long."""
    text = str(value)[: _MAX_TEXT + 1]
    text = repr(text) if quoted or not text.isprintable() else text
    return text if len(text) <= _MAX_TEXT else f"{text[: _MAX_TEXT - 3]}..."
