"""Exports a run: writes a temporary file or folder, checks it against the network, and renames it if it agrees."""

from __future__ import annotations

import copy
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from classicnets import files, machine
from classicnets.errors import CheckFailed, UsageError
from classicnets.evaluation.onnx import OnnxClassifier
from classicnets.evaluation.program import ProgramClassifier
from classicnets.evaluation.rejection import Calibration
from classicnets.events import Epoch
from classicnets.export import budget, int8, layer_parity, low_rank, observed, onnx, page_facts, parity, program, web
from classicnets.export.source import ExportSource
from classicnets.inspection.shapes import trace
from classicnets.runs import history
from classicnets.spec import MAX_LOSS, ExportOptions
from classicnets.text import _, command, plural
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto


# JSON keys of fields of `Exported` with other names
_JSON_KEYS = {
    "low_rank": "narrowed",
    "calibration_count": "calibration",
    "image_count": "pictures",
    "size_count": "sizes",
    "changed_predictions": "other_predictions",
    "missing_data": "unchecked",
    "compared_on": "chosen_on",
}
_OF_PAGES = {"networks", "layer_count", "epoch_count", "example_count"}
_EPOCH_IMAGES = 256  # on which the file of an epoch is compared with its network
_LAYER_IMAGES = 8  # on which the layers of a web page are compared


@dataclass(frozen=True, kw_only=True)
class Exported:
    """A written file, and how it was checked.

    Attributes:
        path: the file, or the folder of a web page.
        bytes: its size.
        format: "onnx", "torch" or "web".
        int8: whether it is quantized.
        low_rank: whether its linear layers are low-rank approximations.
        calibration_count: number of training images that set the ranges of int8.
        difference: the largest difference between a probability of the file and of its network.
        bound: the difference that rounding explains; None for int8, which is checked by its accuracy.
        image_count: number of images that were compared.
        size_count: number of other image sizes that were compared.
        accuracy: test accuracy of the file; None without the data.
        net_accuracy: test accuracy of the network of the run; None without the data.
        changed_predictions: number of images whose predicted class differs.
        missing_data: why the data is not available; "" if it is.
        candidates: the files that a size budget chose from.
        compared_on: the images that they were compared on, in words.
        min_confidence: the smallest confidence of an answer that is not rejected; None if none is.
        calibration: the temperature in the file, which it applies if answers are rejected, or why there is none.
        networks: the files of a web page, one for each network; the fields above, but path and size, are the first's.
        layer_count: number of calls of layers that a file of a web page shows.
        epoch_count: number of epochs whose weights a web page has.
        example_count: number of test images on a web page.
    """

    path: Path
    bytes: int
    format: str
    int8: bool
    low_rank: bool
    calibration_count: int
    difference: float
    bound: float | None
    image_count: int
    size_count: int
    accuracy: float | None
    net_accuracy: float | None
    changed_predictions: int
    missing_data: str
    candidates: tuple[budget.Candidate, ...] = ()
    compared_on: str = ""
    min_confidence: float | None = None
    calibration: Calibration = field(default_factory=Calibration)
    networks: tuple[Exported, ...] = ()
    layer_count: int = 0
    epoch_count: int = 0
    example_count: int = 0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = vars(self) | {
            "path": str(self.path),
            "candidates": [candidate.to_dict() for candidate in self.candidates],
            "networks": [network.to_dict() for network in self.networks],
        }
        values |= values.pop("calibration").to_dict()
        if self.format != "web":
            values = {name: value for name, value in values.items() if name not in _OF_PAGES}
        return {_JSON_KEYS.get(name, name): value for name, value in values.items()}


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


def export(source: ExportSource, path: Path, options: ExportOptions, *others: ExportSource) -> Exported:
    """Write the trained network of a run as one file, or as a web page.

    Args:
        source: the run.
        path: the file, or the folder of the page.
        options: how it is exported.
        *others: runs whose networks the page shows, too.

    Raises:
        CheckFailed: CN106 if outputs are not finite, CN102 if the outputs of the file differ from those of the network,
            CN103 if int8 costs too much accuracy, CN104 if nothing fits into the size budget, CN105 if torch cannot
            export the network, CN107 if a page would be too large.
        DataError: CN302 if int8 or a size budget needs images that are not available.
        MachineError: CN401 if the file cannot be written, CN403 if a package is missing.
    """
    check_target(path, options)
    if options.format == "web":
        return _export_page([source, *others], path, options)
    try:
        with files.temporary_file(path) as part:
            exported = _write_chosen(part, source, options)
            files.move_into_place(part, path)
    except OSError as error:
        raise files.cannot_write(path, error, option="-o") from error
    return replace(exported, path=path)


def _write_chosen(part: Path, source: ExportSource, options: ExportOptions) -> Exported:
    """Write to `part` the file that the options choose, and check it. Raises OSError if it cannot be written."""
    parity.check_finite(_reference(source, source.net), source.images)
    choice = _choice(source, options)
    try:
        return _write_and_check(part, source, choice, options)
    except CheckFailed as error:
        if error.code == "CN102":
            raise _cause_of_difference(error, source, choice.net, options.format) from error
        raise


def _export_page(sources: Sequence[ExportSource], path: Path, options: ExportOptions) -> Exported:
    """Write a web page, as a folder or as one file, in place of the one that is there, if any."""
    try:
        with files.folder_beside(path) as folder:
            (folder / "networks").mkdir()
            written = [_write_network(folder, number, source) for number, source in enumerate(sources)]
            networks = [network for _exported, network in written]
            images = web.examples(sources)
            web.write_page(folder, networks, images)
            size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
            if options.single_file:
                content = web.single_file(folder)
                size = len(content)
                with files.temporary_file(path) as part:
                    part.write_bytes(content)
                    files.move_into_place(part, path)
            else:
                files.move_folder_into_place(folder, path)
    except OSError as error:
        raise files.cannot_write(path, error, option="-o") from error
    exported = tuple(exported for exported, _network in written)
    return replace(
        exported[0],
        path=path,
        bytes=size,
        networks=exported,
        epoch_count=sum(network.epoch_count for network in exported),
        example_count=len(images),
    )


def _write_network(folder: Path, number: int, source: ExportSource) -> tuple[Exported, page_facts.PageNetwork]:
    """Write the ONNX files of a network, and of its epochs, to the folder of a page."""
    options, file = source.options, f"networks/{number}.onnx"
    exported = _write_chosen(folder / file, source, options)
    outputs = layer_parity.FileOutputs(folder / file)
    events = {event.epoch: event for event in history.read(source.run.history) if isinstance(event, Epoch)}
    weights, epochs = outputs.names, []
    for epoch in source.run.kept_epochs():
        name = f"networks/{number}-epoch-{epoch}.onnx"
        weights = weights & _write_epoch(folder / name, source, epoch)
        epochs.append(page_facts.EpochFile(number=epoch, file=name, event=events.get(epoch)))
    calls = observed.layer_calls(source.net, source.preprocess)
    model = machine.require("onnx", extra="export").load(folder / file)
    network = page_facts.PageNetwork(
        source=source,
        file=file,
        facts=source.facts(source.net, options.license, as_int8=options.int8, accuracy=exported.accuracy),
        calls=calls,
        sources=observed.layer_sources(model, calls),
        table=trace(source.net, source.preprocess.shape),
        weights=frozenset(weights),
        epochs=tuple(epochs),
    )
    return replace(exported, path=Path(file), epoch_count=len(epochs)), network


def _write_epoch(part: Path, source: ExportSource, number: int) -> frozenset[str]:
    """Write the file of the weights of an epoch, check it on some images, and return the names of its outputs."""
    epoch = source.at_epoch(number)
    model = observed.with_state(source.models[source.net], source.net, epoch.net)
    if model is not None:
        epoch.models[epoch.net] = model
    try:
        outputs = _write_and_check_epoch(part, epoch)
    except CheckFailed:
        if model is None:
            raise
        epoch.models.clear()  # something else in the model depends on weights
        outputs = _write_and_check_epoch(part, epoch)
    return outputs


def _write_and_check_epoch(part: Path, source: ExportSource) -> frozenset[str]:
    """Write the file of the weights of an epoch, check it in float32, and then quantize it if it is to be in int8."""
    net, as_int8 = source.net, source.options.int8
    facts = source.facts(net, source.options.license, as_int8=as_int8, accuracy=None)
    part.write_bytes(_assembled(_network(source, net), source, net, facts))
    images = source.images[:_EPOCH_IMAGES]
    comparison = parity.compare(parity.onnx_classifier(part), _reference(source, net), images)
    parity.check(comparison, plural("{n:,} image", "{n:,} images", comparison.n))
    outputs = _check_layers(part, source, net, as_int8=False)
    if as_int8:
        part.write_bytes(_int8(source, _network(source, net), net, facts))
        outputs = _check_layers(part, source, net, as_int8=True)
    return outputs


def _check_layers(part: Path, source: ExportSource, net: nn.Module, *, as_int8: bool) -> frozenset[str]:
    """Check what a file of a web page gives for each layer, and return the names of its outputs."""
    outputs = layer_parity.FileOutputs(part)
    calls = observed.layer_calls(net, source.preprocess)
    weights = {name: t for name, t in page_facts.layer_weights(calls).items() if name in outputs.names}
    images = source.images[:_LAYER_IMAGES]
    layer_parity.check_layers(outputs, net, calls, images, source.preprocess, weights, as_int8=as_int8)
    return outputs.names


def target(path: Path, options: ExportOptions) -> Path:
    """The path with the suffix of the format, by which `classicnets predict` recognizes the file.

    The folder of a web page has none.

    Raises:
        UsageError: CN206 if the suffix is that of another format.
    """
    suffix = _suffix(options)
    if path.suffix.lower() in {*_SUFFIXES.values()} - {suffix}:
        if not suffix:
            raise UsageError(
                "CN206",
                _("{name} has the suffix of another format", name=path.name),
                where=str(path),
                why=_("a web page is a folder of files, or with --single-file one .html file"),
                hint=(command("-o", path.with_suffix("")), command("-o", path.with_suffix(".html"), "--single-file")),
            )
        raise UsageError(
            "CN206",
            _("{name} has the suffix of another format", name=path.name),
            where=str(path),
            why=_("the format is {format}, whose files end with {suffix}", format=options.format, suffix=suffix),
            hint=command("-o", path.with_suffix(suffix)),
        )
    if not suffix:
        return path if path.name.strip(".") else path.resolve()
    return path if path.suffix.lower() == suffix else path.with_name(path.name + suffix)


_SUFFIXES = {"onnx": ".onnx", "torch": ".pt2", "web": ".html"}


def _suffix(options: ExportOptions) -> str:
    """The suffix of the file; "" for the folder of a web page."""
    return "" if options.format == "web" and not options.single_file else _SUFFIXES[options.format]


def check_target(path: Path, options: ExportOptions) -> None:
    """Checks, before any work is done, that the file can be written and that the packages are there.

    Raises:
        MachineError: CN401 if the file cannot be written, CN403 if a package is missing.
        UsageError: CN206 if a web page would replace something else.
    """
    is_folder = not _suffix(options)
    if options.format == "web":
        check_replaceable = web.check_replaceable if is_folder else web.check_replaceable_file
        check_replaceable(path)
        web.require_page()
    if options.format != "torch":
        onnx.require_packages()
    files.check_target(path, option="-o", is_folder=is_folder)


def check_size(net: nn.Module, preprocess: Preprocess, options: ExportOptions) -> None:
    """Raise CheckFailed CN107 if the network is too large for a web page, before its data is read."""
    if options.format == "web":
        web.check_size(net, preprocess, trace(net, preprocess.shape), as_int8=options.int8)


def _cause_of_difference(error: CheckFailed, source: ExportSource, net: nn.Module, format: str) -> CheckFailed:
    """The error for a file that differs from its network: the network if it is at fault, else the export."""
    reference = _reference(source, net)
    try:
        parity.check_network(reference, source.images)
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
        expected = source.accuracy(_reference(source, source.net).probabilities(source.images))
    source.compare_with_run(expected)
    if choice.int8:
        part.write_bytes(_int8(source, _network(source, net), net, facts(as_int8=True, accuracy=None)))
        comparison = parity.compare(parity.onnx_classifier(part), _reference(source, net), source.images)
        _check_loss(source.accuracy(comparison.file), expected, choice.max_loss)

    accuracy = source.accuracy(comparison.file)
    final = facts(as_int8=choice.int8, accuracy=accuracy)
    content = (
        program.program(net, source.preprocess, final)
        if options.format == "torch"
        else onnx.with_facts(part.read_bytes(), final)
    )
    part.write_bytes(content)
    _check_final_file(_classifier(part, source, options.format), source, comparison)
    layer_count = 0
    if options.format == "web":
        _check_layers(part, source, net, as_int8=choice.int8)
        layer_count = len(observed.layer_calls(net, source.preprocess))
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
        layer_count=layer_count,
    )


def _write_float32(
    part: Path, source: ExportSource, net: nn.Module, format: str, facts: dict[str, Any]
) -> tuple[parity.Comparison, int]:
    """Write the file in float32 and check it on the test images and on other image sizes.

    Returns:
        The comparison on the test images, and the number of other sizes.
    """
    if format == "torch":
        content = program.program(net, source.preprocess, facts)
    else:
        content = _assembled(_network(source, net), source, net, facts)
    part.write_bytes(content)
    file, reference = _classifier(part, source, format), _reference(source, net)
    comparison = parity.compare(file, reference, source.images)
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
        parity.check(parity.compare(file, reference, batch), description)
    return comparison, len({batch.shape[2:] for batch in probes})


def _network(source: ExportSource, net: nn.Module) -> ModelProto:
    """The network as an ONNX model, without pre- and postprocessing; for a web page, with the outputs of its layers."""
    if source.options.format == "web":
        if net not in source.models:
            calls = observed.layer_calls(net, source.preprocess)
            source.models[net] = observed.export_observed(net, source.preprocess, calls)
        return copy.deepcopy(source.models[net])
    return onnx.export_network(net, source.preprocess, one_image=source.options.input == "float")


def _assembled(network: ModelProto, source: ExportSource, net: nn.Module, facts: dict[str, Any]) -> bytes:
    """The content of the file with a model of `_network`; that of a web page has the weights as outputs, too."""
    if source.options.format == "web":
        observed.add_weights(network, page_facts.layer_weights(observed.layer_calls(net, source.preprocess)))
    return onnx.assemble(network, source.preprocess, len(source.classes), facts)


def _int8(source: ExportSource, network: ModelProto, net: nn.Module, facts: dict[str, Any]) -> bytes:
    quantized = int8.quantize(network, source.calibration_images(), source.preprocess)
    return _assembled(quantized, source, net, facts)


def _reference(source: ExportSource, net: nn.Module) -> parity.Reference:
    return parity.Reference(net, source.preprocess, source.classes, source.rejection)


def _classifier(path: Path, source: ExportSource, format: str) -> parity.Classify:
    if format == "torch":
        return ProgramClassifier(path, trust=True).probabilities
    if source.options.input == "float":
        return OnnxClassifier(path).probabilities
    return parity.onnx_classifier(path)


def _check_final_file(file: parity.Classify, source: ExportSource, comparison: parity.Comparison) -> None:
    """Check that the final file gives the first images the same probabilities as before it got its metadata."""
    batch = parity.batches_of(source.images, source.preprocess.side)[0]
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
    network = functools.cache(functools.partial(_network, source))  # for float32 and int8

    def build(net: nn.Module, as_int8: bool) -> bytes:
        facts = source.facts(net, options.license, as_int8=as_int8, accuracy=1 / 3)  # the longest number, for the size
        if as_int8:
            return _int8(source, network(net), net, facts)
        return _assembled(network(net), source, net, facts)

    def measure(content: bytes) -> float:
        return parity.accuracy(parity.onnx_classifier(content), split, source.preprocess.side)

    return budget.candidates(source.net, size_budget, build, measure, only_int8=options.int8), compared_on
