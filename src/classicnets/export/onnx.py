"""Exports a network as an ONNX model: preprocessing, network and softmax in one graph, and facts in its metadata."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from classicnets import __version__, machine
from classicnets.errors import CheckFailed
from classicnets.evaluation.exported import KEY, facts_text, seal_onnx
from classicnets.evaluation.onnx import FLOAT_INPUT, OnnxClassifier
from classicnets.evaluation.rejection import applied_temperature
from classicnets.export import graph, pooling
from classicnets.export.layers import replace_layers
from classicnets.inspection.meta import one_line, without_data
from classicnets.machine import quiet
from classicnets.text import _, visible
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

_CONVERSION_ERRORS = {"ConversionError", "DispatchError", "UnsupportedOperatorError"}  # of step 3 of torch.onnx.export
MAX_BYTES = 2**31 - 2**20  # largest size of one protobuf file


def require_packages() -> None:
    """Raise MachineError CN403 if a package of the extra `export` is missing."""
    for name in ("onnx", "onnxscript", "onnxruntime"):
        machine.require(name, extra="export")


def export_network(
    net: nn.Module,
    preprocess: Preprocess,
    *,
    one_image: bool = False,
    wrap: Callable[[nn.Module], nn.Module] = lambda network: network,
    output_names: Sequence[str] = (graph.LOGITS,),
) -> ModelProto:
    """Export the network without pre- and postprocessing; `net` is not changed.

    Args:
        net: the network.
        preprocess: how images are preprocessed.
        one_image: whether the model takes one image only.
        wrap: receives the copy of the network that is exported, and returns what is exported instead.
        output_names: the outputs of that.

    Returns:
        A model from `prepared` float32 [M, C, S, S], for any M or only for one image, to `logits` [M, classes].

    Raises:
        CheckFailed: CN105 if torch cannot export the network or if it is too large for one file.
    """
    size = sum(t.nbytes for t in (*net.parameters(), *net.buffers()))
    if size > MAX_BYTES:
        raise CheckFailed(
            "CN105",
            _("the network has {size:.1f} GB of weights, and an ONNX file holds at most 2 GB", size=size / 1e9),
            why=_("ONNX stores larger weights in separate files, and classicnets exports a single file"),
            hint="--format torch",
        )
    network = wrap(replace_layers(without_data(net, "cpu").float()))
    example = torch.rand(1 if one_image else 2, *preprocess.shape)
    try:
        with quiet():
            program = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                dynamic_shapes=None if one_image else ({0: torch.export.Dim("batch")},),
                input_names=[graph.PREPARED],
                output_names=[*output_names],
                custom_translation_table=pooling.translations(),
                opset_version=graph.OPSET,
                verbose=False,
            )
    except Exception as error:
        raise export_error(error, _("torch cannot export this network to ONNX"), net) from error
    assert program is not None
    model: ModelProto = program.model_proto
    if (
        model.graph.input[0].type.tensor_type.shape.dim[0].dim_value and not one_image
    ):  # torch fell back to the size of the example
        raise fixed_batch_error(_("torch cannot export this network to ONNX"), net)
    _remove_debug_info(model)
    return model


def export_error(error: Exception, message: str, net: nn.Module) -> CheckFailed:
    """CheckFailed CN105 with the innermost cause of `error`, on one line, its place in forward(), and its remedy."""
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None:
        chain.append(cause)
    text = one_line(chain[-1])
    if "specialized it to be a constant" in text:
        return fixed_batch_error(message, net)
    where = next(filter(None, (_line_in_forward(cause) for cause in reversed(chain))), "")
    if "data-dependent" in text or "__bool__" in text or ".item()" in text:
        hint = _("on that line, use torch.where(condition, a, b) instead of if, and neither float(x) nor x.item()")
    elif any(type(cause).__name__ in _CONVERSION_ERRORS for cause in chain):  # torch.export has succeeded
        hint = "--format torch"
    else:
        hint = _("on that line, use only operations of torch on tensors, without NumPy")
    return CheckFailed("CN105", message, where=where, why=f"{type(chain[-1]).__name__}: {text[:300]}", hint=hint)


def fixed_batch_error(message: str, net: nn.Module) -> CheckFailed:
    """CheckFailed CN105 for a network whose forward() works only for the number of images of the example."""
    return CheckFailed(
        "CN105",
        message,
        where=_("forward() of {name}", name=type(net).__name__),
        why=_("its code depends on the number of images in the batch, which must stay variable"),
        hint=_("in forward(), use x.flatten(1) instead of x.view(64, -1), and neither len(x) nor a loop over images"),
    )


def _line_in_forward(error: BaseException) -> str:
    """The last line of the traceback that is in the code of the user: "net.py:12: x = x * float(x.max())"."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not any(folder in Path(f.filename).parts for folder in ("torch", "classicnets"))]
    lines = [f"{frame.filename}:{frame.lineno}: {frame.line}" for frame in own if frame.name == "forward"]
    return lines[-1] if lines else ""


def assemble(network: ModelProto, preprocess: Preprocess, classes: int, facts: dict[str, Any]) -> bytes:
    """Return the content of the file: the network between pre- and postprocessing, with `facts` in its metadata.

    If the network has more outputs than the logits, they and the prepared image are outputs of the file, too.
    """
    onnx = machine.require("onnx", extra="export")
    is_float, temperature = OnnxClassifier.takes_floats(facts), applied_temperature(facts)
    before = graph.float_preprocessing_graph(preprocess) if is_float else graph.preprocessing_graph(preprocess)
    batch_size = 1 if is_float else "N"
    after = graph.postprocessing_graph(preprocess, classes, temperature=temperature, batch_size=batch_size)
    model = onnx.ModelProto()
    model.CopyFrom(network)
    del model.graph.node[:], model.graph.input[:], model.graph.output[:]
    for part in (before, network, after):
        model.graph.node.extend(part.graph.node)
    model.graph.initializer.extend([*before.graph.initializer, *after.graph.initializer])
    model.graph.input.extend(before.graph.input)
    model.graph.output.extend(after.graph.output)
    if len(network.graph.output) > 1:
        model.graph.output.extend([*before.graph.output, *network.graph.output])
    model.graph.name = "classicnets"
    domains = {node.domain for node in model.graph.node}
    for opset in [opset for opset in model.opset_import if opset.domain not in domains]:
        model.opset_import.remove(opset)
    _remove_debug_info(model)
    model.producer_name, model.producer_version = "classicnets", __version__
    return with_facts(model.SerializeToString(deterministic=True), facts)


def with_facts(content: bytes, facts: dict[str, Any]) -> bytes:
    """Return the content of a file with other facts in its metadata."""
    model = machine.require("onnx", extra="export").load_from_string(content)
    model.doc_string = visible(description(facts))
    del model.metadata_props[:]
    entry = model.metadata_props.add()
    entry.key, entry.value = KEY, facts_text(facts)
    return seal_onnx(model.SerializeToString(deterministic=True))


def description(facts: dict[str, Any]) -> str:
    """Return the facts as a text for other programs that show the file.

    The text is part of the file, so it is not translated: the same run always gives the same file.
    """
    n, classes = facts["test_pictures"], len(facts["classes"])
    trained = f"{facts['net']} trained on {facts['data_name']}{', int8' if facts['int8'] else ''}"
    if facts["test_accuracy"] is None:
        accuracy = "not measured: the data was not available"
    else:
        accuracy = f"{facts['test_accuracy']:.4f} on {n:,} test images"
    pixels = "Input pixels: uint8 [N, H, W, 3] RGB of any size"
    if OnnxClassifier.takes_floats(facts):
        preprocess = Preprocess.from_dict(facts["preprocess"])
        shape = f"[1, {preprocess.channels}, {preprocess.side}, {preprocess.side}]"
        pixels = f"Input {FLOAT_INPUT}: float32 {shape}, {'RGB' if preprocess.channels == 3 else 'gray'}, 0 to 1"
    return (
        f"{trained}; accuracy {accuracy}. {pixels};"
        f" output probabilities: float32 [N, {classes}]. License: {facts['licence']}."
    )


def _remove_debug_info(model: ModelProto) -> None:
    """Remove what the exporter records about its work: file paths, stack traces, intermediate shapes."""
    del model.graph.value_info[:], model.graph.metadata_props[:], model.metadata_props[:]
    model.doc_string = model.graph.doc_string = ""
    for item in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
