"""The facts and the checksum of an exported file (.onnx, .pt2, .pte): checked before any other program opens it."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from classicnets import checksum, schema, trust
from classicnets.checksum import State
from classicnets.errors import DataError
from classicnets.files import mapped
from classicnets.runs import formats
from classicnets.strict_json import dump
from classicnets.text import _, byte_count, command, plural
from classicnets.values import Preprocess

KEY = "classicnets"  # the metadata entry of an .onnx file that has the facts
RECORD = "classicnets.json"  # the extra file of a .pt2 file that has them
METHOD = "metadata"  # the method of a .pte file that returns them
FORMAT = 1

_MAX_FACTS = 16 * 2**20  # bytes
_PROBES = 4  # images of noise, whose colors a network sees or not
# The last bytes of a file before its checksum: a metadata entry of the ONNX model, and the comment of the zip archive.
_NAME = b"classicnets.checksum"
_ONNX_END = b"\x72" + bytes([len(_NAME) + checksum.DIGITS + 4]) + b"\x0a" + bytes([len(_NAME)]) + _NAME + b"\x12\x40"
_ZIP_END = _NAME + b"="
_PTE_END = _NAME + b"="  # after all that ExecuTorch reads
_PTE_FACTS = re.compile(rb'\{"format": \d')
_METADATA_FIELD = 14  # of ModelProto in onnx.proto


def facts_text(facts: dict[str, Any]) -> str:
    """Return the facts as the text that the file contains; it says that the file has a checksum."""
    return dump({**facts, checksum.KEY: "sha256"}, ascii=False)


def seal_onnx(content: bytes) -> bytes:
    """Return the content of an .onnx file with a checksum, in a metadata entry at its end."""
    return bytes(checksum.fill(content + _ONNX_END + checksum.BLANK.encode(), len(content) + len(_ONNX_END)))


def seal_program(content: bytes) -> bytes:
    """Return the content of a .pt2 file with a checksum, in the comment at its end."""
    comment = _ZIP_END + checksum.BLANK.encode()
    sized = content[:-2] + len(comment).to_bytes(2, "little") + comment
    return bytes(checksum.fill(sized, len(sized) - checksum.DIGITS))


def seal_executorch(content: bytes) -> bytes:
    """Return the content of a .pte file with a checksum, after its end."""
    return bytes(checksum.fill(content + _PTE_END + checksum.BLANK.encode(), len(content) + len(_PTE_END)))


def program_digest(content: bytes | memoryview) -> str:
    """Return the digest by which `classicnets.trust` knows a .pt2 file."""
    return checksum.digest(content, len(content))


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """What an exported file says about itself, and whether it is as it was written.

    Attributes:
        path: the .onnx, .pt2 or .pte file.
        bytes: its size.
        facts: its metadata.
        checksum: "unchanged", "changed", or "missing" in a file of a version without checksums.
        trusted: whether a .pt2 file, which can contain code, was made or run on this machine before; None for others.
    """

    path: Path
    bytes: int
    facts: dict[str, Any]
    checksum: State
    trusted: bool | None

    @property
    def format(self) -> str:
        """Return the format as `classicnets export --format` names it."""
        return _FORMATS[_suffix(self.path)]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, without the digests of the training images."""
        preprocess = Preprocess.from_dict(self.facts["preprocess"]).to_dict()  # files of version 0.1 have fewer keys
        facts, trained = {**self.facts, "preprocess": preprocess}, self.facts.get("trained_images")
        if trained:
            facts["trained_images"] = {key: value for key, value in trained.items() if key != "digests"}
        return {**vars(self), "path": str(self.path), "format": self.format, "facts": facts}


def describe(path: Path) -> ExportedFile:
    """Return what an exported file contains, even if another program has changed it; no code in it is executed.

    Args:
        path: an .onnx, .pt2 or .pte file.

    Raises:
        DataError: CN308 if it is missing, damaged, or was not exported by classicnets.
    """
    content, facts = _parse(path)
    return ExportedFile(
        path=path,
        bytes=len(content),
        facts=facts,
        checksum=checksum.state(content, _checksum_start(path, content), expected=checksum.KEY in facts),
        trusted=trust.is_known(program_digest(content)) if _is_program(path) else None,
    )


def read_facts(path: Path, *, trusted: bool = False) -> dict[str, Any]:
    """Return the facts of an exported file, which is unchanged or `trusted`.

    A .pt2 file may contain pickles and expressions that torch evaluates when it opens the file, so it is code.

    Args:
        path: an .onnx, .pt2 or .pte file.
        trusted: use a file that another program has changed, and run the code of a .pt2 file from elsewhere.

    Raises:
        DataError: CN308 if it is missing, damaged, or was not exported by classicnets.
        UsageError: CN212 if it is a .pt2 file that was not made or run on this machine before.
    """
    content, facts = _parse(path)
    checksum.check(
        path,
        content,
        _checksum_start(path, content),
        code="CN308",
        expected=checksum.KEY in facts,
        trust=trusted,
        hint=_("{command}   # writes the file again", command=command("classicnets", "export", "RUN")),
    )
    if _is_program(path):
        trust.check(
            program_digest(content),
            trust=trusted,
            what=_("{name} may contain Python code, which torch would run when it opens the file", name=path.name),
            where=str(path),
            hints=(_("ask its author for an .onnx file, which runs no code"),),
        )
    return facts


def _is_program(path: Path) -> bool:
    """Whether it is a torch program; otherwise it is an ONNX model."""
    return path.suffix.lower() == ".pt2"


def _suffix(path: Path) -> str:
    """The suffix that says what a file is; any other is taken for an ONNX model."""
    suffix = path.suffix.lower()
    return suffix if suffix in _FORMATS else ".onnx"


def _parse(path: Path) -> tuple[memoryview, dict[str, Any]]:
    """The bytes of a file, and its facts, which agree with their schema. Raises DataError CN308."""
    content = _content(path)
    try:
        text = _FACTS[_suffix(path)](content)
        if text is None:
            raise ValueError(
                _("its metadata has no entry {key!r}, so its classes and preprocessing are unknown", key=KEY)
            )
        facts: dict[str, Any] = schema.read(text, formats.EXPORTED)
        formats.check_relations({**facts, "net": None})
    except ValueError as error:
        raise unusable(path, str(error)) from error
    if facts["format"] != FORMAT:
        why = _(
            "its format version is {version}, but this version of classicnets reads {supported}",
            version=facts["format"],
            supported=FORMAT,
        )
        raise unusable(path, why)
    return content, facts


def _checksum_start(path: Path, content: memoryview) -> int | None:
    """Where the checksum is in the file; None if it has none."""
    start = len(content) - checksum.DIGITS
    end = _ENDS[_suffix(path)]
    return start if bytes(content[start - len(end) : start]) == end else None


def check_channels(path: Path, facts: dict[str, Any], classify: Callable[[np.ndarray], np.ndarray]) -> None:
    """Check that the network sees colors if the facts say so; only for a file without a checksum, which may be changed.

    Args:
        path: the file, for messages.
        facts: its facts.
        classify: computes probabilities [N, classes] of pixels uint8 [N, H, W, 3] with the file.

    Raises:
        DataError: CN308, the channels of its preprocessing are not those of its network.
    """
    if checksum.KEY in facts:
        return
    preprocess = Preprocess.from_dict(facts["preprocess"])
    colors = np.random.default_rng(0).integers(0, 256, (_PROBES, preprocess.side, preprocess.side, 3), dtype=np.uint8)
    gray = np.stack([np.asarray(Image.fromarray(image).convert("L")) for image in colors])
    seen, seen_gray = classify(colors), classify(np.repeat(gray[..., None], 3, axis=3))
    answers_alike = not np.ptp(seen, axis=0).any()  # then its answers say nothing about what it sees
    sees_colors = not np.array_equal(seen, seen_gray)
    if not answers_alike and sees_colors != (preprocess.channels == 3):
        why = plural(
            "preprocess.channels is {stated}, but its network sees {n} channel",
            "preprocess.channels is {stated}, but its network sees {n} channels",
            3 if sees_colors else 1,
            stated=preprocess.channels,
        )
        raise unusable(path, why)


def unusable(path: Path, why: str) -> DataError:
    """Return the error for a file that cannot be used."""
    return DataError(
        "CN308",
        _("{name} is damaged, or was not exported by classicnets", name=path.name),
        where=str(path),
        why=why,
        hint=command("classicnets", "export", "RUN"),
    )


def _content(path: Path) -> memoryview:
    """The bytes of a file."""
    try:
        return mapped(path)
    except FileNotFoundError as error:
        raise unusable(path, _("the file does not exist")) from error
    except OSError as error:
        raise unusable(path, error.strerror or str(error)) from error


def _onnx_facts(content: memoryview) -> bytes | None:
    """The facts in the metadata of an ONNX model; None if it has none. Raises ValueError if it is no such model."""
    for number, value in _fields(content):
        if number == _METADATA_FIELD:
            entry = {inner: bytes(text) for inner, text in _fields(value) if len(text) <= _MAX_FACTS}
            if entry.get(1) == KEY.encode():
                return entry.get(2)
    return None


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield number and content of the fields of a protobuf message that have a length; the others are skipped.

    Raises:
        ValueError: it is no such message, or is truncated.
    """
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        kind = tag & 7
        if kind == 0:
            _value, position = _varint(message, position)
            continue
        length = {1: 8, 5: 4}.get(kind)
        if kind == 2:
            length, position = _varint(message, position)
        if length is None or tag >> 3 == 0 or position + length > len(message):
            raise ValueError(_("it is not an ONNX model, or is truncated"))
        if kind == 2:
            yield tag >> 3, message[position : position + length]
        position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number at a position, and the position after it."""
    value = shift = 0
    while position < len(message) and shift < 64:
        byte = message[position]
        value |= (byte & 127) << shift
        position, shift = position + 1, shift + 7
        if byte < 128:
            return value, position
    raise ValueError(_("it is not an ONNX model, or is truncated"))


def _program_facts(content: memoryview) -> bytes | None:
    """The facts in a .pt2 file; None if it has none. Raises ValueError if it is no zip archive."""
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith(f"/extra/{RECORD}")]
            if not entries:
                return None
            if entries[0].file_size > _MAX_FACTS:
                raise ValueError(_("its metadata has {size}", size=byte_count(entries[0].file_size)))
            return archive.read(entries[0])
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, NotImplementedError, RuntimeError) as error:
        raise ValueError(_("it is not a torch program, or is damaged: {reason}", reason=error)) from error


def executorch_facts(content: bytes | memoryview) -> slice | None:
    """Return where the facts are in a .pte file: a string of its flatbuffer, after its length; None if it has none."""
    for match in _PTE_FACTS.finditer(content):
        start = match.start()
        end = start + int.from_bytes(content[max(0, start - 4) : start], "little")
        if bytes(content[end : end + 1]) == b"\0" and bytes(content[start:end]).rstrip().endswith(b"}"):
            return slice(start, end)
    return None


def _executorch_facts(content: memoryview) -> bytes | None:
    """The facts in a .pte file; None if it has none. Raises ValueError if it is no such file."""
    if bytes(content[4:6]) != b"ET":
        raise ValueError(_("it is not an ExecuTorch program"))
    place = executorch_facts(content)
    return None if place is None else bytes(content[place])


_FORMATS = {".onnx": "onnx", ".pt2": "torch", ".pte": "executorch"}  # as `classicnets export --format` names them
_FACTS = {".onnx": _onnx_facts, ".pt2": _program_facts, ".pte": _executorch_facts}
_ENDS = {".onnx": _ONNX_END, ".pt2": _ZIP_END, ".pte": _PTE_END}  # before the checksum
