"""A net as an ONNX model: its preprocessing, itself and the softmax, in one graph with its facts in the metadata."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from classicnets import __version__, machine
from classicnets.errors import CheckFailed
from classicnets.evaluation.onnx import KEY
from classicnets.export import graph
from classicnets.export.layers import exchange
from classicnets.inspection.meta import one_line, without_data
from classicnets.text import count
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

LARGEST = 2**31 - 2**20  # bytes: what one protobuf file holds


def packages() -> None:
    """Refuses (MachineError CN403) before anything is done if a package of the extra is missing."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        machine.require(name, extra="export")


def net_part(net: nn.Module, preprocess: Preprocess) -> ModelProto:
    """The net alone: `prepared` float32 [M, C, S, S], M free, to `logits` [M, classes]. `net` stays as it is.

    Raises CheckFailed CN105 if torch cannot export it, or if it is too large for one file.
    """
    size = sum(t.nbytes for t in (*net.parameters(), *net.buffers()))
    if size > LARGEST:
        raise CheckFailed(
            "CN105",
            f"the net has {size / 1e9:.1f} GB of weights, and one ONNX file holds 2 GB",
            why="the format keeps larger weights in files of their own, and a net is one file here",
            hint="classicnets export RUN --format torch",
        )
    twin = exchange(without_data(net, "cpu").float())
    example = torch.rand(2, *preprocess.shape)
    try:
        with quiet():
            program = torch.onnx.export(
                twin,
                (example,),
                dynamo=True,
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                input_names=[graph.PREPARED],
                output_names=[graph.LOGITS],
                opset_version=graph.OPSET,
                verbose=False,
            )
    except Exception as error:
        raise cannot_export(error, "ONNX") from error
    assert program is not None
    made: ModelProto = program.model_proto
    _strip(made)
    return made


def cannot_export(error: Exception, what: str) -> CheckFailed:
    """CN105 with the innermost reason, on one line."""
    innermost: BaseException = error
    while innermost.__cause__ is not None:
        innermost = innermost.__cause__
    return CheckFailed(
        "CN105",
        f"torch cannot put this net into {what}",
        why=f"{type(innermost).__name__}: {one_line(innermost)[:300]}",
        hint="forward() may not depend on values or on the batch size: x.flatten(1), not x.view(64, -1)",
    )


def assemble(part: ModelProto, preprocess: Preprocess, classes: int, facts: dict[str, Any]) -> bytes:
    """The whole file: pixels to probabilities around the net's part, with the facts in its metadata."""
    onnx = machine.require("onnx", extra="export")
    before, after = graph.preparation(preprocess), graph.conclusion(preprocess, classes)
    made = onnx.ModelProto()
    made.CopyFrom(part)
    del made.graph.node[:], made.graph.input[:], made.graph.output[:]
    for one in (before, part, after):
        made.graph.node.extend(one.graph.node)
    made.graph.initializer.extend([*before.graph.initializer, *after.graph.initializer])
    made.graph.input.extend(before.graph.input)
    made.graph.output.extend(after.graph.output)
    made.graph.name = "classicnets"
    used = {node.domain for node in made.graph.node}
    for one in [one for one in made.opset_import if one.domain not in used]:
        made.opset_import.remove(one)
    _strip(made)
    made.producer_name, made.producer_version = "classicnets", __version__
    return with_facts(made.SerializeToString(deterministic=True), facts)


def with_facts(content: bytes, facts: dict[str, Any]) -> bytes:
    """The same file with these facts."""
    made = machine.require("onnx", extra="export").load_from_string(content)
    made.doc_string = described(facts)
    del made.metadata_props[:]
    entry = made.metadata_props.add()
    entry.key, entry.value = KEY, json.dumps(facts, ensure_ascii=False)
    whole: bytes = made.SerializeToString(deterministic=True)
    return whole


def described(facts: dict[str, Any]) -> str:
    """The facts for people who look at the file elsewhere."""
    accuracy = facts["test_accuracy"]
    tested = (
        "not measured: the data was not there"
        if accuracy is None
        else f"{accuracy:.4f} on {count(facts['test_pictures'], 'test image')}"
    )
    return (
        f"{facts['net']} trained on {facts['data_name']}{', int8' if facts['int8'] else ''}; accuracy {tested}."
        " Input pixels: uint8 [N, H, W, 3] RGB of any size;"
        f" output probabilities: float32 [N, {len(facts['classes'])}]."
        f" License: {facts['licence']}."
    )


def _strip(model: ModelProto) -> None:
    """Takes away what the exporter notes about its own work: file paths, stack traces, shapes in between."""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for one in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        one.doc_string = ""
        del one.metadata_props[:]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """While open, torch's exporter neither warns, nor logs, nor prints about packages that nobody needs here."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
