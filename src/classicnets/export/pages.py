"""Exports runs as a web page: the files of the networks and of their epochs, with all layers checked, and the page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from classicnets import files, machine
from classicnets.errors import CheckFailed
from classicnets.events import Epoch
from classicnets.export import formats, layer_parity, network_file, observed, page_facts, parity, web
from classicnets.export.result import Exported
from classicnets.export.source import ExportSource
from classicnets.inspection.shapes import trace
from classicnets.runs import history
from classicnets.spec import ExportOptions
from classicnets.text import plural

_EPOCH_IMAGES = 256  # on which the file of an epoch is compared with its network
_LAYER_IMAGES = 8  # on which the layers of a web page are compared


def export_page(sources: Sequence[ExportSource], path: Path, options: ExportOptions) -> Exported:
    """Write a web page, as a folder or as one file, in place of the one that is there, if any."""
    try:
        with files.folder_beside(path) as folder:
            (folder / "networks").mkdir()
            written = [_write_network(folder, number, source) for number, source in enumerate(sources)]
            images = web.examples(sources)
            web.write_page(folder, [page_facts.run_entry(network) for _exported, network in written], images)
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
    exported = network_file.write_network(
        folder / file,
        source,
        options,
        lambda as_int8: _check_layers(folder / file, source, source.net, as_int8=as_int8),
    )
    outputs = layer_parity.FileOutputs(folder / file)
    events = {event.epoch: event for event in history.read(source.run.history) if isinstance(event, Epoch)}
    weights, epochs = outputs.names, []
    for epoch in source.run.kept_epochs():
        saved = source.at_epoch(epoch)
        name = file  # of the epoch that the run has chosen
        if not _has_equal_weights(saved.net, source.net):
            name = f"networks/{number}-epoch-{epoch}.onnx"
            weights = weights & _write_epoch(folder / name, source, saved)
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
    exported = replace(exported, path=Path(file), layer_count=len(network.calls), epoch_count=len(epochs))
    return exported, network


def _has_equal_weights(net: nn.Module, other: nn.Module) -> bool:
    """Whether two networks of the same structure give the same outputs, because all of their weights are equal."""
    states = (net.state_dict().items(), other.state_dict().items())
    return all(torch.equal(first, second) for (_, first), (_, second) in zip(*states, strict=True))


def _write_epoch(part: Path, source: ExportSource, epoch: ExportSource) -> frozenset[str]:
    """Write the file of the weights of an epoch, check it on some images, and return the names of its outputs."""
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
    part.write_bytes(formats.onnx_content(formats.onnx_network(source, net), source, net, facts))
    images = source.images[:_EPOCH_IMAGES]
    comparison = parity.compare(parity.onnx_classifier(part), network_file.reference(source, net), images)
    parity.check(comparison, plural("{n:,} image", "{n:,} images", comparison.n))
    outputs = _check_layers(part, source, net, as_int8=False)
    if as_int8:
        part.write_bytes(formats.int8_content(source, formats.onnx_network(source, net), net, facts))
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
