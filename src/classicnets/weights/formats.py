"""Names the format of a file by its content, for files that are not weights of PyTorch."""

from __future__ import annotations

import re
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from classicnets.errors import DataError
from classicnets.text import N_, _, command

_DOWNLOAD = N_("download the file itself, not the page that shows it")
_START_BYTES = 512
_CONVERT = N_("load it with its own library, and save its tensors with torch.save")
_UNPACK = N_("unpack it, and use the file of weights inside")
_MEAN = "classicnets weights convert NAME.caffemodel --graph deploy.prototxt --mean {path} -o DIR"
_OF_CAFFE = "classicnets weights convert NAME.caffemodel --graph {path} -o DIR"
_OF_MXNET = "classicnets weights convert NAME.params --graph {path} -o DIR"


@dataclass(frozen=True)
class Format:
    """A format that is not read: how its files begin, what it is, and the way out.

    In the hint, {path} is the path as typed in a shell, and {python_path} the same in Python.
    """

    pattern: bytes  # a regular expression
    what: str
    hint: str


_MEAN_IMAGE = Format(rb"\x08\x01\x10[\x01\x03\x04]\x18", "the file is a mean image of Caffe (.binaryproto)", _MEAN)
_NETWORKS = (
    Format(
        rb"(\s|#[^\n]*\n)*+(name\s*:\s*[\"']|layers?\s*:?\s*\{|input(_dim|_shape)?\s*[:{])",
        "the file defines a network of Caffe (.prototxt), and has no weights",
        _OF_CAFFE,
    ),
    Format(
        rb'\s*\{\s*"nodes"\s*:\s*\[',
        "the file defines a network of MXNet (-symbol.json), and has no weights",
        _OF_MXNET,
    ),
    Format(
        rb'\s*\{\s*"format"\s*:\s*"classicnets graph"',
        "the file defines a network (a graph file), and has no weights",
        "classicnets weights convert FILE --graph {path} -o DIR",
    ),
)
_SOLVER = Format(
    rb"(\s|#[^\n]*\n)*+((train_|test_)?net|(test|base|max)_(iter|interval|lr)|solver_(mode|type)|lr_policy)\s*:",
    "the file configures the training of a network of Caffe (a solver), and has no weights",
    "classicnets weights convert NAME.caffemodel --graph deploy.prototxt -o DIR",
)
_JSON = Format(rb"\s*(\{|\[)\s*[\"\[{}\]]", "the file is text in JSON, not weights", _DOWNLOAD)
_FORMATS = (
    Format(rb"version https://git-lfs", "the file is a pointer of Git LFS, not the file itself", "git lfs pull"),
    Format(rb"\s*<(!doctype html|html|head|\?xml|!--)", "the file is a web page, so a download has failed", _DOWNLOAD),
    Format(rb"GGUF", "the file is a GGUF file, a format for language models", _CONVERT),
    Format(rb"....TFL3", "the file is a TensorFlow Lite model", _CONVERT),
    Format(rb"\x93NUMPY", "the file is a NumPy array", _CONVERT),
    Format(rb"\x1f\x8b", "the file is compressed by gzip", "gunzip --keep --suffix '' {path}"),
    Format(rb"BZh\d", "the file is compressed by bzip2", "bunzip2 --keep {path}"),
    Format(rb"\xfd7zXZ\0", "the file is compressed by xz", "xz --decompress --keep {path}"),
    Format(rb"\x28\xb5\x2f\xfd", "the file is compressed by zstd", "zstd --decompress {path}"),
    Format(rb"7z\xbc\xaf\x27\x1c|Rar!", "the file is an archive", _UNPACK),
    Format(rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", "the file is an image", "classicnets predict RUN {path}"),
    Format(rb"%PDF", "the file is a PDF document", _DOWNLOAD),
    Format(
        rb"\x08[\x01-\x20][\x12\x3a\x42]",
        "the file is an ONNX model, which is a whole network, not weights for one",
        "classicnets evaluate {path}   # if classicnets exported it",
    ),
    _MEAN_IMAGE,
)
_WEIGHTS = Format(
    rb".{5}\0\0\0\{|\x12\x01\0\0\0\0\0\0|PK\x03\x04|\x80",
    "the file has weights, and defines no network",
    "classicnets weights identify {path}",
)
_ARCHIVES = (  # by the name of a file in a zip archive
    Format(
        rb"(.*/)?(archive_format|serialized_exported_program\.json|models/model\.json)$",
        "the file is a program of torch.export",
        'in Python: torch.save(torch.export.load({python_path}).state_dict, "weights.pth")',
    ),
    Format(
        rb"(.*/)?(constants\.pkl|code/.*)$",
        "the file is a TorchScript program",
        'in Python, if you trust it: torch.save(torch.jit.load({python_path}).state_dict(), "weights.pth")',
    ),
)
_OTHER_ARCHIVE = Format(b"", "the file is a zip archive that torch.save did not write", _UNPACK)
_OLD_TAR = Format(
    b"",
    "the file has a format that torch has not written since 2017",
    'in Python, if you trust it: torch.save(torch.load({python_path}, weights_only=False), "weights.pth")',
)
_OTHER_TAR = Format(b"", "the file is a tar archive", _UNPACK)
_TENSORFLOW_END = b"\x57\xfb\x80\x8b\x24\x75\x47\xdb"  # of the index of a TensorFlow checkpoint
_TENSORFLOW = Format(b"", "the file is the index of a TensorFlow checkpoint", _CONVERT)


def refuse(path: Path, start: bytes) -> None:
    """Raise DataError CN305 if a file is in a known format other than that of weights.

    Args:
        path: The file.
        start: Its first bytes.
    """
    if not start:
        raise DataError(
            "CN305", _("the weights file is empty"), where=str(path), hint=_("copy or download the file again")
        )
    for known in (*_FORMATS, *_NETWORKS, _SOLVER, _JSON):
        if re.match(known.pattern, start, re.DOTALL | re.IGNORECASE):
            raise _other_format(path, known)
    if start[257:262] == b"ustar":
        raise _other_format(path, _OLD_TAR if _is_old_torch(path) else _OTHER_TAR)


def kind_of(path: Path) -> str:
    """Return "network" for a file that defines a network, "mean" for a mean image, and "weights" for all others.

    Files that are neither, or cannot be read, are "weights", too, whose reader says what they are.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError:
        return "weights"
    kinds = {"network": (*_NETWORKS, _JSON), "mean": (_MEAN_IMAGE,)}
    for kind, known in kinds.items():
        if any(re.match(each.pattern, start, re.DOTALL | re.IGNORECASE) for each in known):
            return kind
    if re.match(_SOLVER.pattern, start, re.DOTALL | re.IGNORECASE):
        return "weights"
    return {".prototxt": "network", ".binaryproto": "mean"}.get(path.suffix.lower(), "weights")


def refuse_graph(path: Path, start: bytes) -> None:
    """Raise DataError CN305 if a file is in a known format that defines no network.

    Args:
        path: The file.
        start: Its first bytes.
    """
    for known in (*_FORMATS, _WEIGHTS):
        if re.match(known.pattern, start, re.DOTALL | re.IGNORECASE):
            raise DataError(
                "CN305",
                _(known.what),
                where=str(path),
                why=networks(),
                hint=_hint(path, known),
            )


def networks() -> str:
    """Return the sentence that says which files define networks."""
    return _("networks are read from a .prototxt or .caffemodel, a -symbol.json, or a NAME.graph.json")


def refuse_archive(path: Path, archive: zipfile.ZipFile) -> None:
    """Raise DataError CN305 for a zip archive that torch.save did not write."""
    names = archive.namelist()
    for known in _ARCHIVES:
        if any(re.match(known.pattern, name.encode("utf-8", "replace")) for name in names):
            raise _other_format(path, known)
    if sum(name.endswith("/data.pkl") for name in names) != 1:
        raise _other_format(path, _OTHER_ARCHIVE)


def unknown(path: Path) -> DataError:
    """Return the error for a file that is in none of the formats that can be read or named by their start."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - len(_TENSORFLOW_END)))
        if file.read() == _TENSORFLOW_END:
            return _other_format(path, _TENSORFLOW)
    return DataError(
        "CN305",
        _("the file is damaged or is not a weights file"),
        where=str(path),
        why=_("weights are read from files of safetensors, torch.save, MXNet, Caffe and Keras"),
        hint=_("copy or download the file again"),
    )


def _is_old_torch(path: Path) -> bool:
    try:
        with tarfile.open(path, "r:") as archive:
            return {"storages", "tensors", "pickle"} <= {archive.next().name for _i in range(4)}  # type: ignore[union-attr]
    except (tarfile.TarError, AttributeError, OSError):
        return False


def _other_format(path: Path, known: Format) -> DataError:
    return DataError(
        "CN305",
        _(known.what),
        where=str(path),
        why=_("weights are read from files of safetensors, torch.save, MXNet, Caffe and Keras"),
        hint=_hint(path, known),
    )


def _hint(path: Path, known: Format) -> str:
    return _(known.hint, path=command(path), python_path=repr(str(path)))
