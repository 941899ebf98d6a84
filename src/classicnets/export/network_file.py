"""Writes the file of a network: chooses what to write, and checks the file against the network."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from classicnets.errors import CheckFailed
from classicnets.export import budget, formats, low_rank, parity, program
from classicnets.export.formats import FORMATS
from classicnets.export.result import Exported
from classicnets.export.source import ExportSource
from classicnets.spec import MAX_LOSS, ExportOptions
from classicnets.text import _, plural


def write_network(
    part: Path, source: ExportSource, options: ExportOptions, check: Callable[[bool], object] = lambda _as_int8: None
) -> Exported:
    """Write the file that the options choose, and check it.

    Args:
        part: where it is written.
        source: the run.
        options: how it is exported.
        check: checks what else the file has to fulfil; receives whether it is quantized to int8.

    Raises:
        CheckFailed: CN102 to CN106, see `write.export`.
        DataError: CN302 if int8 or a size budget needs images that are not available.
        OSError: the file cannot be written.
    """
    parity.check_finite(reference(source, source.net), source.images)
    choice = _choice(source, options)
    try:
        exported = _write_and_check(part, source, choice, options)
        check(choice.int8)
        return exported
    except CheckFailed as error:
        if error.code == "CN102":
            raise _cause_of_difference(error, source, choice.net, options.format) from error
        raise


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What to write.

    Attributes:
        net: the network of the run, or a low-rank approximation of it.
        int8: whether to quantize it.
        max_loss: points of accuracy that quantization may cost.
        low_rank: whether `net` is an approximation.
        candidates: the files that a size budget chose from.
        compared_on: the images that they were compared on, in words.
    """

    net: nn.Module
    int8: bool
    max_loss: float
    low_rank: bool = False
    candidates: tuple[budget.Candidate, ...] = ()
    compared_on: str = ""


def _cause_of_difference(error: CheckFailed, source: ExportSource, net: nn.Module, format: str) -> CheckFailed:
    """The error for a file that differs from its network: the network if it is at fault, else the export."""
    try:
        parity.check_network(reference(source, net), source.images)
        if format == "torch":
            return error
        # values that Python code has read are constants in the file; only torch.export says where
        program.program(net, source.preprocess, source.facts(net, "", as_int8=False, accuracy=None))
    except CheckFailed as cause:
        if cause.code == "CN102":
            return cause
        error.where, error.hints = cause.where or error.where, cause.hints
    return error


def _choice(source: ExportSource, options: ExportOptions) -> _Choice:
    """What to write; with a size budget, the most accurate file that fits."""
    if options.size_budget is None:
        return _Choice(
            net=source.net, int8=options.int8, max_loss=MAX_LOSS if options.max_loss is None else options.max_loss
        )
    candidates, compared_on = _candidates(source, options, options.size_budget)
    best = budget.best(candidates, options.size_budget)
    return _Choice(
        net=source.net if best.max_weights is None else low_rank.approximate(source.net, best.max_weights),
        int8=best.int8,
        max_loss=100.0,  # the table of candidates shows the loss
        low_rank=best.max_weights is not None,
        candidates=candidates,
        compared_on=compared_on,
    )


def _write_and_check(part: Path, source: ExportSource, choice: _Choice, options: ExportOptions) -> Exported:
    """Write the file to `part` in float32, compare it with the network, and write it again in its final form.

    An int8 file is checked by its accuracy on the test split. Raises OSError if `part` cannot be written.
    """
    net = choice.net
    facts = functools.partial(source.facts, net, options.license)
    comparison, size_count = _write_float32(part, source, net, options.format, facts(as_int8=False, accuracy=None))
    expected = source.accuracy(comparison.net)
    if choice.low_rank:
        whole = reference(source, source.net)
        batches = parity.batches_of(source.images, source.preprocess.side)
        expected = source.accuracy(np.concatenate([whole.probabilities(batch) for batch in batches]))
    source.compare_with_run(expected)
    if choice.int8:
        part.write_bytes(
            formats.int8_content(source, formats.onnx_network(source, net), net, facts(as_int8=True, accuracy=None))
        )
        comparison = parity.compare(parity.onnx_classifier(part), reference(source, net), source.images)
        _check_loss(source.accuracy(comparison.file), expected, choice.max_loss)

    accuracy = source.accuracy(comparison.file)
    final = facts(as_int8=choice.int8, accuracy=accuracy)
    content = FORMATS[options.format].with_facts(part.read_bytes(), source, net, final)
    part.write_bytes(content)
    _check_final_file(FORMATS[options.format].classifier(part, source), source, comparison)
    return Exported(
        path=part,
        bytes=len(content),
        format=options.format,
        int8=choice.int8,
        low_rank=choice.low_rank,
        calibration_count=len(source.calibration_images()) if choice.int8 else 0,
        difference=comparison.difference,
        bound=None if choice.int8 else comparison.bound,
        image_count=comparison.n,
        size_count=size_count,
        accuracy=accuracy,
        net_accuracy=expected,
        changed_predictions=comparison.changed_predictions,
        missing_data=source.missing_data,
        candidates=choice.candidates,
        compared_on=choice.compared_on,
        min_confidence=options.min_confidence,
        calibration=source.calibration,
    )


def _write_float32(
    part: Path, source: ExportSource, net: nn.Module, format: str, facts: dict[str, Any]
) -> tuple[parity.Comparison, int]:
    """Write the file in float32 and check it on the test images and on other image sizes.

    Returns:
        The comparison on the test images, and the number of other sizes.
    """
    part.write_bytes(FORMATS[format].content(source, net, facts))
    file, of_network = FORMATS[format].classifier(part, source), reference(source, net)
    comparison = parity.compare(file, of_network, source.images)
    if source.missing_data:
        description = plural("{n:,} image of noise", "{n:,} images of noise", comparison.n)
    else:
        description = plural("{n:,} test image", "{n:,} test images", comparison.n)
    parity.check(comparison, description)
    probes = parity.probes(source.images, source.preprocess.side)
    for batch in probes:
        height, width = batch.shape[2:]
        description = plural(
            "{n} image of {height} x {width} pixels",
            "{n} images of {height} x {width} pixels",
            len(batch),
            height=height,
            width=width,
        )
        parity.check(parity.compare(file, of_network, batch), description)
    return comparison, len({batch.shape[2:] for batch in probes})


def reference(source: ExportSource, net: nn.Module) -> parity.Reference:
    """The network that a file of the run is compared with."""
    return parity.Reference(net, source.preprocess, source.classes, source.rejection)


def _check_final_file(file: parity.Classify, source: ExportSource, comparison: parity.Comparison) -> None:
    """Check that the final file gives the first images the same probabilities as before it got its metadata."""
    batch = parity.first_batch(source.images, source.preprocess.side)
    probabilities = comparison.file[: len(batch)]
    final = parity.Comparison(file(batch), probabilities, comparison.bound)
    parity.check(
        final, plural("the first image of the final file", "the first {n:,} images of the final file", len(batch))
    )


def _check_loss(accuracy: float | None, expected: float | None, max_loss: float) -> None:
    """Raise CheckFailed CN103 if int8 costs more than `max_loss` points of accuracy."""
    if accuracy is None or expected is None or 100 * (expected - accuracy) <= max_loss:
        return
    raise CheckFailed(
        "CN103",
        _("int8 lowers the accuracy by {points:.2f} points; nothing was written", points=100 * (expected - accuracy)),
        where=_("test accuracy {before:.4f} before, {after:.4f} after", before=expected, after=accuracy),
        why=_("the limit, --max-loss, is {points:g}", points=max_loss),
        hint=("--max-loss 100", _("export without --int8")),
    )


def _candidates(
    source: ExportSource, options: ExportOptions, size_budget: int
) -> tuple[tuple[budget.Candidate, ...], str]:
    """The files that could be written, and a description of the images that they were compared on."""
    split, compared_on = source.selection_split()
    network = functools.cache(functools.partial(formats.onnx_network, source))  # for float32 and int8

    def build(net: nn.Module, as_int8: bool) -> bytes:
        facts = source.facts(net, options.license, as_int8=as_int8, accuracy=1 / 3)  # the longest number, for the size
        if as_int8:
            return formats.int8_content(source, network(net), net, facts)
        return formats.onnx_content(network(net), source, net, facts)

    def measure(content: bytes) -> float:
        return parity.accuracy(parity.onnx_classifier(content), split, source.preprocess.side)

    return budget.candidates(source.net, size_budget, build, measure, only_int8=options.int8), compared_on
