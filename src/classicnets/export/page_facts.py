"""What the web page knows of a network: its entry in site.json, and the weights that calculations of layers use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from classicnets.datasets.catalog import DATASETS
from classicnets.evaluation.onnx import OUTPUT
from classicnets.evaluation.rejection import applied_temperature
from classicnets.events import Epoch
from classicnets.export import graph
from classicnets.export.layer_facts import LayerFacts, layer_facts
from classicnets.export.observed import LayerCall
from classicnets.export.source import ExportSource
from classicnets.inspection.arithmetic import format_size_change
from classicnets.inspection.shapes import Row, Table
from classicnets.language import texts_in
from classicnets.text import shape
from classicnets.values import Preprocess


@dataclass(frozen=True, kw_only=True)
class EpochFile:
    """The weights of an epoch on the page: its number, its file, and what the history says of it."""

    number: int
    file: str
    event: Epoch | None


@dataclass(frozen=True, kw_only=True)
class PageNetwork:
    """A network on the page.

    Attributes:
        source: the run.
        file: its ONNX file in the folder of the page.
        facts: the metadata of the file.
        calls: the calls of layers that it shows.
        sources: which outputs each of them reads, from `observed.layer_sources`.
        table: its layer table.
        weights: names of the outputs that hold weights, of this file and of those of all epochs.
        epochs: the files of its epochs.
    """

    source: ExportSource
    file: str
    facts: Mapping[str, Any]
    calls: Sequence[LayerCall]
    sources: Mapping[str, Sequence[str]]
    table: Table
    weights: frozenset[str]
    epochs: tuple[EpochFile, ...] = ()


def layer_weights(calls: Sequence[LayerCall]) -> dict[str, Tensor]:
    """Return the tensors that the calculations of layers use, by the names of the outputs that hold them."""
    return {_weight_name(call, role): tensor for call in calls for role, tensor in layer_facts(call).weights.items()}


def _weight_name(call: LayerCall, role: str) -> str:
    return f"weights/{call.name or 'net'}.{role}"


def run_entry(network: PageNetwork) -> dict[str, Any]:
    """Return what site.json says of the network of a run."""
    return {
        **network_entry(network.facts, network.source.run.path.resolve().name, network.file),
        "logits_sources": [*network.sources[graph.LOGITS]],
        "layers": [*_layer_entries(network)],
        "epochs": [
            {
                "epoch": epoch.number,
                "file": epoch.file,
                "validation_accuracy": epoch.event.validation_accuracy if epoch.event else None,
                "loss": epoch.event.loss if epoch.event else None,
            }
            for epoch in network.epochs
        ],
    }


def network_entry(facts: Mapping[str, Any], run: str, file: str) -> dict[str, Any]:
    """Return what site.json says of a network, without its layers and epochs.

    Args:
        facts: the metadata of its file.
        run: the name of its run.
        file: its ONNX file in the folder of the page.
    """
    dataset = DATASETS.get(facts["data_name"])
    return {
        "name": facts["net"],
        "run": run,
        "file": file,
        "int8": facts["int8"],
        "license": facts["licence"],
        "classes": facts["classes"],
        "data_name": facts["data_name"],
        "data_title": dataset.title if dataset else facts["data_name"],
        "test_accuracy": facts["test_accuracy"],
        "test_images": facts["test_pictures"],
        "parameters": facts["parameters"],
        "macs": facts["macs"],
        "min_confidence": facts["min_confidence"],
        "temperature": applied_temperature(facts),
        "preprocess": facts["preprocess"],
        "handwriting": dataset is not None and dataset.characters,
        "input": graph.PREPARED,
        "input_shape": [*Preprocess.from_dict(facts["preprocess"]).shape],
        "probabilities": OUTPUT,
        "logits": graph.LOGITS,
    }


def _layer_entries(network: PageNetwork) -> Iterator[dict[str, Any]]:
    """What site.json says of each call of a layer."""
    rows: dict[str, list[Row]] = {}
    for listed in network.table.rows:
        rows.setdefault(listed.name, []).append(listed)
    for call in network.calls:
        row = rows[call.name].pop(0) if rows.get(call.name) else None
        facts = layer_facts(call)
        held = {role: name for role in facts.weights if (name := _weight_name(call, role)) in network.weights}
        in_facts = facts.type == "batch_norm"
        # the parameters of a parametrization are rows of their own
        inside = [name for name in rows if name.startswith(f"{call.name}.parametrizations.")]
        own = [*([row] if row else []), *(r for name in inside for r in rows.pop(name))]
        yield {
            "name": call.name,
            "kind": type(call.module).__name__,
            "type": facts.type,
            "input": call.source,
            "sources": [*network.sources[call.output]],
            "output": call.output,
            "input_shape": [*call.inputs],
            "shape": [*call.outputs],
            "weight": None if in_facts else held.get("weight"),
            "bias": None if in_facts else held.get("bias"),
            "parameters": sum(r.parameters for r in own),
            "macs": row.macs if row else 0,
            "size": _size(row, call),
            "facts": facts.facts | (_batch_norm_weights(facts, held) if in_facts else {}),
        }


def _batch_norm_weights(facts: LayerFacts, held: Mapping[str, str]) -> dict[str, str | None]:
    """The names of the outputs with the numbers of a batch normalization; None for a number that it lacks."""
    return {role: held.get(role) for role in ("mean", "variance", "weight", "bias")} if facts.weights else {}


def _size(row: Row | None, call: LayerCall) -> str:
    """How the size of the output follows from that of the input: "14 -> floor((14 + 2*0 - 5) / 1) + 1 = 10"."""
    if row and len(row.inputs) == len(row.outputs) >= 2:
        with texts_in("en"):  # the page has its remark in each of its languages
            return format_size_change(row)
    return f"{shape(call.inputs)} -> {shape(call.outputs)}"
