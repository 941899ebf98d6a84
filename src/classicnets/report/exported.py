"""The contents of an exported file, one line for each fact."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Console

from classicnets.report import preprocessing
from classicnets.text import _, byte_count, command, join, pad, plural, visible
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from classicnets.evaluation.exported import ExportedFile

_CLASS_NAMES = 10  # that are printed
_DIGEST_DIGITS = 16
_Rows = Iterator[tuple[str, str]]


def print_file(out: Console, file: ExportedFile) -> None:
    """Print what an exported file contains, and how to use it."""
    for name, value in _rows(file):
        out.print(f"{pad(_('{label}:', label=name), 16)}{visible(value, one_line=True)}")
    out.print(_("next: {command}", command=command("classicnets", "predict", file.path, "image.png")))


def _rows(file: ExportedFile) -> _Rows:
    facts, preprocess = file.facts, Preprocess.from_dict(file.facts["preprocess"])
    kind = {"onnx": _("ONNX"), "torch": _("torch program"), "executorch": _("ExecuTorch program")}[file.format]
    precision = _("int8") if facts.get("int8") else _("float32")
    yield _("file"), _("{path}, {kind}, {size}", path=file.path, kind=kind, size=byte_count(file.bytes))
    yield _("network"), _network(facts)
    yield _("weights"), precision
    classes = facts["classes"]
    names = join(classes, most=_CLASS_NAMES)
    yield _("classes"), plural("{n} class: {names}", "{n:,} classes: {names}", len(classes), names=names)
    yield from _data_rows(facts)
    yield _("input"), _input(file, preprocess)
    yield from preprocessing.rows(preprocess)
    yield from _confidence_rows(facts)
    yield from _origin_rows(file)


def _network(facts: dict[str, Any]) -> str:
    if facts.get("parameters") is None or facts.get("macs") is None:
        return str(facts.get("net") or _("unknown"))
    return plural(
        "{net}, {n:,} parameter, {macs:,} MACs per image",
        "{net}, {n:,} parameters, {macs:,} MACs per image",
        facts["parameters"],
        net=facts.get("net"),
        macs=facts["macs"],
    )


def _data_rows(facts: dict[str, Any]) -> _Rows:
    if facts.get("data_name"):
        fingerprint = (facts.get("fingerprint") or _("unknown"))[:_DIGEST_DIGITS]
        yield (
            _("trained on"),
            _("{name}, fingerprint {fingerprint}", name=facts["data_name"], fingerprint=fingerprint),
        )
    accuracy = facts.get("test_accuracy")
    if accuracy is None:
        yield _("test accuracy"), _("not measured, because the data was not available")
    else:
        measured = plural(
            "{accuracy:.4f} on {n:,} test image",
            "{accuracy:.4f} on {n:,} test images",
            facts.get("test_pictures") or 0,
            accuracy=accuracy,
        )
        yield _("test accuracy"), measured


def _input(file: ExportedFile, preprocess: Preprocess) -> str:
    """Type and shape of the input; the names are those in the file."""
    side = preprocess.side
    if file.format == "executorch":
        return _("uint8 [1, {side}, {side}, 3], RGB; you resize the image, the file does the rest", side=side)
    if file.format == "torch":
        return _("uint8 [N, 3, {side}, {side}], RGB; you resize the image, the file does the rest", side=side)
    if file.facts.get("input") != "float":
        return _("pixels: uint8 [N, height, width, 3], RGB, any size; the file does the preprocessing")
    sizes = ", ".join(map(str, (1, preprocess.channels, preprocess.side, preprocess.side)))
    if preprocess.channels == 1:
        return _("image: float32 [{sizes}], gray, 0 to 1; you resize the image, the file does the rest", sizes=sizes)
    return _("image: float32 [{sizes}], RGB, 0 to 1; you resize the image, the file does the rest", sizes=sizes)


def _confidence_rows(facts: dict[str, Any]) -> _Rows:
    smallest, temperature = facts.get("min_confidence"), facts.get("temperature")
    if smallest is None:
        yield _("confidence"), _("none: the most probable class is the answer")
    else:
        yield _("confidence"), _("at least {p:g}; below it, the answer is unknown", p=smallest)
    if temperature is None:
        yield _("temperature"), _("none: the probabilities cannot be calibrated")
    elif smallest is None:
        yield _("temperature"), _("{temperature:.4g}, used with --min-confidence", temperature=temperature)
    else:
        yield _("temperature"), _("{temperature:.4g}, applied in the file", temperature=temperature)


def _origin_rows(file: ExportedFile) -> _Rows:
    facts = file.facts
    if facts.get("licence"):
        yield _("license"), _("unknown") if facts["licence"] == "unknown" else facts["licence"]
    if facts.get("created_at"):
        versions = ", ".join(f"{name} {version}" for name, version in facts.get("versions", {}).items())
        yield _("created"), _("{time} with {versions}", time=facts["created_at"], versions=versions)
    states = {
        "unchanged": _("the file is as it was written"),
        "changed": _("the file is damaged, or another program has changed it; it can be used only with --trust"),
        "missing": _("none, because an older version wrote the file, so damage goes unnoticed"),
    }
    yield _("checksum"), states[file.checksum]
    if file.trusted is not None:
        known = _("known on this machine")
        unknown = _("never run on this machine; the file can be used only with --trust")
        yield _("code"), known if file.trusted else unknown
