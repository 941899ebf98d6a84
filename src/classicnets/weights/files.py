"""Reads tensors from files of safetensors, torch.save, MXNet, Caffe and Keras by content; runs no code in them."""

from __future__ import annotations

import mmap
import zipfile
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import safetensors
import torch
from torch import Tensor

from classicnets.errors import DataError
from classicnets.files import mapped, native_path
from classicnets.runs import checkpoint
from classicnets.strict_json import parse
from classicnets.text import _, byte_count
from classicnets.weights import caffe, formats, keras, mxnet_params, numpy_archive, pickles, tensors

_MAX_BYTES = 4 * 2**30  # VGG-16 has half a GiB
_START_BYTES = 512
# modules that only hold another one: nn.DataParallel, torch.compile, FSDP and checkpointing of activations
_WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}


class Content(NamedTuple):
    """The content of a file: its format, as `read_content` says, its tensors, and the metadata of our checkpoints."""

    format: str
    tensors: dict[str, Tensor]
    metadata: dict[str, Any]


def read(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of a weights file and the metadata of a classicnets checkpoint; see `read_content`."""
    _format, tensors, metadata = read_content(path, data=data)
    return tensors, metadata


def read_content(path: Path, *, data: bool) -> Content:
    """Read a weights file.

    The format is found by the content. Of the dictionaries in a file of torch.save, the one with the most weights and
    biases is used; of a module that was saved as a whole, its state dict.

    Args:
        path: a file of safetensors or torch.save, a list of arrays of MXNet, an archive of NumPy arrays, or a model of
            Caffe or Keras.
        data: whether to read the values; otherwise the tensors are on the meta device and have only shapes.

    Returns:
        The format ("safetensors", "torch", "mxnet", "numpy" or "caffe"), the tensors by name, and the metadata of a
        classicnets checkpoint ({} for other files).

    Raises:
        DataError: CN305 if the file is missing, damaged or too large, in another format, or has no tensors.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
            format = "mxnet" if mxnet_params.sniff(start) else "numpy" if numpy_archive.sniff(file) else ""
            format = format or ("keras" if keras.sniff(file) else "")
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the weights file cannot be opened"), where=str(path), why=why) from error
    if size > _MAX_BYTES:
        limit = byte_count(_MAX_BYTES)
        raise DataError(
            "CN305",
            _("the weights file has {size}, more than the limit of {limit}", size=byte_count(size), limit=limit),
            where=str(path),
        )
    if is_safetensors(start):
        return Content("safetensors", *_read_safetensors(path, data=data))
    if format == "keras":
        return Content("keras", keras.read(path, data=data), {})
    if format:
        return Content(format, mxnet_params.read(path, data=data), {})
    formats.refuse(path, start)
    if caffe.is_model(mapped(path)):
        return Content("caffe", caffe.read(path, data=data), {})
    return Content("torch", _read_torch(path, start, data=data), {})


def start_of(path: Path) -> bytes:
    """Return the first bytes of a file, which tell its format. Raises DataError CN305 if it cannot be opened."""
    try:
        with path.open("rb") as file:
            return file.read(_START_BYTES)
    except OSError as error:
        why = error.strerror or str(error)
        raise DataError("CN305", _("the weights file cannot be opened"), where=str(path), why=why) from error


def is_safetensors(start: bytes) -> bool:
    """Return whether a file with this start is one of safetensors."""
    return start[8:9] == b"{" and not any(start[5:8])  # after the length of the header, of 8 bytes


def is_torch(path: Path, start: bytes) -> bool:
    """Return whether a file with this start may be one of torch.save, as far as its first bytes tell."""
    if start[:2] != b"PK":
        return start[:1] == b"\x80"
    with path.open("rb") as file:
        return not (numpy_archive.sniff(file) or keras.sniff(file))


def prefix_of(file_names: Collection[str], names: Collection[str]) -> str:
    """Return the prefix of `names` in a file, such as "module." or "net/": the one that most names have."""
    first = next(iter(names), "")
    prefixes = [name.removesuffix(first) for name in file_names if name.endswith(first)]
    prefixes = [prefix for prefix in prefixes if prefix[-1:] in ("", ".", "/")]
    return max(prefixes, key=lambda prefix: sum(prefix + name in file_names for name in names), default="")


def without_wrappers(names: Iterable[str]) -> dict[str, str]:
    """Return each name without the modules that only wrap another one, as torch.compile and nn.DataParallel do.

    The first part of a name stays, unless all names begin with the same wrapper: features.module.0.weight becomes
    features.0.weight. Names stay as they are if two of them became equal.
    """
    names = [*names]
    parts = [name.split(".") for name in names]
    firsts = {each[0] for each in parts}
    skipped = 0
    while len(firsts) == 1 and firsts <= _WRAPPERS and all(len(each) > skipped + 1 for each in parts):
        skipped += 1
        firsts = {each[skipped] for each in parts}
    plain = [
        ".".join([each[skipped], *(part for part in each[skipped + 1 :] if part not in _WRAPPERS)]) for each in parts
    ]
    return dict(zip(names, plain if len({*plain}) == len(plain) else names, strict=True))


def _read_safetensors(path: Path, *, data: bool) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with native_path(path) as readable, safetensors.safe_open(readable, framework="pt") as file:
            names = list(file.keys())
            if data:
                values = {name: file.get_tensor(name) for name in names}
            else:
                values = {name: torch.empty(file.get_slice(name).get_shape(), device="meta") for name in names}
            metadata = (checkpoint.check_facts(path, file.metadata() or {}) or {}) if data else _facts(file.metadata())
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise _unreadable(path, _("the weights file is truncated or damaged"), error) from error
    return values, metadata if isinstance(metadata, dict) else {}


def _facts(metadata: dict[str, str] | None) -> object:
    """The facts of a checkpoint whose contents are not read; {} for other files."""
    return parse((metadata or {}).get(checkpoint.KEY, "{}"))


@contextmanager
def torch_content(path: Path) -> Iterator[tensors.Content]:
    """Open a file of torch.save; no code in it is run, because its pickle is only read as data.

    Raises:
        DataError: CN305 if it is damaged or in another format, also for damage that is found while it is open.
    """
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content, ExitStack() as stack:
        start = content[:_START_BYTES]
        try:
            if zipfile.is_zipfile(file):
                archive = stack.enter_context(zipfile.ZipFile(file))
                formats.refuse_archive(path, archive)
                saved = tensors.read_zip(archive)
            elif tensors.is_stream(start):
                saved = tensors.read_stream(content)
            elif start[:1] == b"\x80":
                file.seek(0)
                saved = tensors.Content(pickles.read_pickle(file), {}, lambda _key: b"")
            else:
                raise formats.unknown(path)
            yield saved
        except DataError:
            raise
        except Exception as error:  # damage anywhere in a file can raise any exception
            raise _unreadable(path, _("the weights file is truncated or damaged"), error) from error


def _read_torch(path: Path, start: bytes, *, data: bool) -> dict[str, Tensor]:
    """The tensors of a file of torch.save."""
    with torch_content(path) as saved:
        records = saved.state_dict()
        if records:
            return {name: saved.read(record, data=data) for name, record in records.items()}
        is_named = not any(map(tensors.is_tensor, pickles.walk(saved.tree)))
    why = _("its tensors have no names")
    if is_named:
        why = _("its tensors are not where torch.save puts them") if start[:1] == b"\x80" else ""
    raise DataError(
        "CN305",
        _("the file has no tensors") if is_named else _("the file has no state dict"),
        where=str(path),
        why=why,
        hint=_('save the state dict: torch.save(net.state_dict(), "weights.pth")'),
    )


def _unreadable(path: Path, what: str, error: Exception) -> DataError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return DataError("CN305", what, where=str(path), why=reason[:300], hint=_("copy or download the file again"))
