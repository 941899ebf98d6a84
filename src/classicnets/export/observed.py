"""A network as an ONNX graph that also gives the outputs of every layer, and the weights that they compute with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from classicnets import machine
from classicnets.export import graph
from classicnets.export.onnx import export_network
from classicnets.inspection.meta import Shape, tensors
from classicnets.inspection.observer import is_layer, layers
from classicnets.values import Preprocess

if TYPE_CHECKING:
    from onnx import ModelProto

_BATCH = 3  # images of the pass that lists the calls
_MAX_CONSTANT_BYTES = 2**18  # a tensor that is in the graph in another form is added only up to this size


@dataclass(frozen=True, kw_only=True)
class LayerCall:
    """One call of a layer while the network classifies an image. Shapes are without the batch axis.

    Attributes:
        index: its place among all calls of layers.
        number: its place among those that the graph shows.
        name: path of the layer in the network; "" for the network itself.
        module: the layer.
        inputs: shape of its first input.
        outputs: shape of its first output.
        source: name of the output that holds its input; None if it has several inputs, or none.
    """

    index: int
    number: int
    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape
    source: str | None

    @property
    def output(self) -> str:
        """The name of the graph's output that holds its output."""
        return f"layers/{self.number}"

    @property
    def own_input(self) -> str | None:
        """The name of the graph's output that holds only its input; None if `source` is another one."""
        return self.source if self.source == f"{self.output}/input" else None


def layer_calls(net: nn.Module, preprocess: Preprocess) -> tuple[LayerCall, ...]:
    """Return the calls of the layers of `net` in their order, from one pass of noise.

    A call is left out if its output is no floating-point tensor with a batch axis.
    """
    x = torch.rand(_BATCH, *preprocess.shape, generator=torch.Generator().manual_seed(0))
    calls: list[LayerCall] = []
    sources = {id(x): (graph.PREPARED, x._version)}  # of tensors that `kept` keeps alive, so that no id is used twice
    kept, pending, count = [x], list[tuple[int, str, Shape, str | None]](), 0

    def before(name: str, inputs: list[Tensor]) -> None:
        nonlocal count
        source = None
        if len(inputs) == 1 and _is_batch(inputs[0]):
            known, version = sources.get(id(inputs[0]), ("", 0))
            source = known if version == inputs[0]._version else ""  # "": forward() has computed or changed it
        kept.extend(inputs)
        pending.append((count, name, tuple(inputs[0].shape[1:]) if inputs else (), source))
        count += 1

    def after(outputs: list[Tensor]) -> None:
        index, name, shape, source = pending.pop()
        if not outputs or not _is_batch(outputs[0]):
            return
        number, (output, *_others) = len(calls), outputs
        kept.append(output)
        sources[id(output)] = (f"layers/{number}", output._version)
        calls.append(
            LayerCall(
                index=index,
                number=number,
                name=name,
                module=net.get_submodule(name),
                inputs=shape,
                outputs=tuple(output.shape[1:]),
                source=f"layers/{number}/input" if source == "" else source,
            )
        )

    with torch.no_grad(), hooked(net, layer_names(net), before, after):
        net(x)
    return tuple(calls)


def _is_batch(tensor: Tensor) -> bool:
    """Whether a tensor has one value, or several, for each image of the pass."""
    return tensor.is_floating_point() and tensor.shape[:1] == (_BATCH,)


def export_observed(net: nn.Module, preprocess: Preprocess, calls: Sequence[LayerCall]) -> ModelProto:
    """Export the network, without pre- and postprocessing, with the output of each call, and its input if needed.

    Args:
        net: the network, which is not changed.
        preprocess: how images are preprocessed.
        calls: those of `net`, from `layer_calls`.

    Returns:
        A model from `prepared` to `logits`, and to `LayerCall.output` and `LayerCall.own_input` of each call.

    Raises:
        CheckFailed: CN105 if torch cannot export the network.
    """
    names = layer_names(net)
    outputs = [graph.LOGITS, *(call.output for call in calls), *(call.own_input for call in calls if call.own_input)]
    model = export_network(
        net, preprocess, wrap=lambda network: _Observed(network, names, calls), output_names=tuple(outputs)
    )
    _rename_outputs(model, outputs)
    return model


def with_state(model: ModelProto, net: nn.Module, other: nn.Module) -> ModelProto | None:
    """Return a model of `export_observed` with the weights of another network of the same structure.

    This takes a hundredth of the time of an export. The result has to be checked like one.

    Args:
        model: the model of `net`.
        net: a network.
        other: the same network with other weights.

    Returns:
        The model of `other`; None if a tensor that differs is not in the model under its name, because the exporter has
        combined it with others.
    """
    onnx = machine.require("onnx", extra="export")
    result = type(model)()
    result.CopyFrom(model)
    stored = {tensor.name.removeprefix("net."): tensor for tensor in result.graph.initializer}
    for (name, before), after in zip(net.state_dict().items(), other.state_dict().values(), strict=True):
        if torch.equal(before, after) or not before.is_floating_point():
            continue
        tensor = stored.get(name)
        if tensor is None or not np.array_equal(onnx.numpy_helper.to_array(tensor), before.numpy()):
            return None
        tensor.CopyFrom(onnx.numpy_helper.from_array(after.numpy(), tensor.name))
    return result


class _Observed(nn.Module):
    """The network, with the outputs and inputs of its calls as further outputs."""

    def __init__(self, net: nn.Module, names: Mapping[str, str], calls: Sequence[LayerCall]):
        super().__init__()
        self.net, self.names = net, names
        self.shown = [call.index for call in calls]
        self.own_inputs = [call.index for call in calls if call.own_input]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        inputs, outputs = list[Tensor | None](), list[Tensor | None]()
        open_calls: list[int] = []

        def before(_name: str, values: list[Tensor]) -> None:
            index = len(inputs)
            open_calls.append(index)
            inputs.append(values[0].clone() if index in self.own_inputs else None)
            outputs.append(None)

        def after(values: list[Tensor]) -> None:
            index = open_calls.pop()
            if index in self.shown:  # a copy, because the next layer may work in place
                outputs[index] = values[0].clone()

        with hooked(self.net, self.names, before, after):
            logits = self.net(x)
        shown = (*(outputs[index] for index in self.shown), *(inputs[index] for index in self.own_inputs))
        return (logits, *(value for value in shown if value is not None))


def layer_names(net: nn.Module) -> dict[str, str]:
    """Return the paths of the layers with the name of each; one that is registered twice has that of its first path.

    A parametrized layer is one layer; what computes its weights is none.
    """
    listed = {
        id(module): name
        for name, module in layers(net)
        if (is_layer(module) or parametrize.is_parametrized(module)) and "parametrizations" not in name.split(".")
    }
    return {path: listed[id(m)] for path, m in net.named_modules(remove_duplicate=False) if id(m) in listed}


@contextmanager
def hooked(
    net: nn.Module,
    names: Mapping[str, str],
    before: Callable[[str, list[Tensor]], None],
    after: Callable[[list[Tensor]], None],
) -> Iterator[None]:
    """While open, each call of a layer calls `before` with its name and inputs, and `after` with its outputs."""

    def call_before(name: str, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        before(name, tensors((args, kwargs)))

    def call_after(_module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        after(tensors(output))

    modules = {id(net.get_submodule(path)): (name, net.get_submodule(path)) for path, name in names.items()}
    handles: list[Any] = []
    try:
        for name, module in modules.values():
            handles.append(module.register_forward_pre_hook(partial(call_before, name), with_kwargs=True))
            handles.append(module.register_forward_hook(call_after))
        yield
    finally:
        for handle in handles:
            handle.remove()


def layer_sources(model: ModelProto, calls: Sequence[LayerCall]) -> dict[str, tuple[str, ...]]:
    """Return which outputs each call, and the logits, are computed from, by the name of their own.

    Operations that are no layers may come between.

    Args:
        model: a model of `export_observed`, or one that computes the same.
        calls: its calls.

    Returns:
        Names of the outputs of earlier calls, and of the preprocessed image, in their order; empty if the call has
        several inputs, which the model does not tell apart.
    """
    makers = {name: node for node in model.graph.node for name in node.output}
    order = {graph.PREPARED: -1} | {call.output: call.number for call in calls}

    def original(name: str) -> str:
        """The value that a value is a copy of, or itself."""
        while name in makers and makers[name].op_type == "Identity":
            name = makers[name].input[0]
        return name

    copies = dict[str, list[str]]()  # of a value, the outputs of calls that are equal to it
    for name in order:
        copies.setdefault(original(name), []).append(name)
    sources: dict[str, tuple[str, ...]] = {}
    read = [(call.output, call.number, call.source) for call in calls]
    for output, number, source in (*read, (graph.LOGITS, len(calls), graph.LOGITS)):
        found, seen, pending = set[str](), set[str](), [source] if source else []
        while pending:
            name = pending.pop()
            if name in seen:
                continue
            seen.add(name)
            earlier = [copy for copy in copies.get(original(name), ()) if order[copy] < number]
            if earlier and (name != source or source not in order):  # a known source is the one of its equals to name
                name = earlier[-1]
            if order.get(name, number) < number:
                found.add(name)
            elif name in makers:
                pending += makers[name].input
        sources[output] = tuple(sorted(found, key=order.__getitem__))
    return sources


def _rename_outputs(model: ModelProto, names: Sequence[str]) -> None:
    """Give the outputs of a graph these names; one that is an input, a weight or another output gets a node Identity.

    The exporter renames an output that is the same value as another one.
    """
    fixed = {tensor.name for tensor in (*model.graph.initializer, *model.graph.input)}
    renamed, same = dict[str, str](), dict[str, str]()
    for output, name in zip(model.graph.output, names, strict=True):
        if output.name in fixed or output.name in renamed:
            same[name] = renamed.get(output.name, output.name)
        else:
            renamed[output.name] = name
        output.name = name
    _rename_values(model, renamed)
    _add_copies(model, same)


def _rename_values(model: ModelProto, names: Mapping[str, str]) -> None:
    """Rename values wherever they are made and used, also in the graphs of nodes."""
    graphs = [model.graph]
    while graphs:
        current = graphs.pop()
        for tensor in current.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for node in current.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            node.output[:] = [names.get(name, name) for name in node.output]
            graphs += [a.g for a in node.attribute if a.HasField("g")]


def _add_copies(model: ModelProto, sources: Mapping[str, str]) -> None:
    """Add a value with each name, equal to that of its source."""
    onnx = machine.require("onnx", extra="export")
    for name, source in sources.items():
        model.graph.node.append(onnx.helper.make_node("Identity", [source], [name], name=f"{name}/same"))


# --- weights as outputs ------------------------------------------------------------------------------------------


def add_weights(model: ModelProto, weights: Mapping[str, Tensor]) -> set[str]:
    """Add tensors as outputs of a graph under these names, and return the names of those that could be added.

    An output that is an initializer, or a quantized one after its scale, costs no bytes. A tensor that the graph has in
    no such form, such as one that torch's exporter has combined with another, is added as a constant if it is small.
    """
    onnx = machine.require("onnx", extra="export")
    sources = [*_initializers(model), *_dequantized(model)]
    renamed, same, added = dict[str, str](), dict[str, str](), set[str]()
    for name, tensor in weights.items():
        values = np.ascontiguousarray(tensor.detach().float().numpy())
        source = _equal_value(values, sources)
        if source is None and values.nbytes > _MAX_CONSTANT_BYTES:
            continue
        if source is None:
            same[name] = f"{name}/constant"
            model.graph.initializer.append(onnx.numpy_helper.from_array(values, same[name]))
        elif source in renamed:
            same[name] = renamed[source]
        else:
            renamed[source] = name
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, values.shape))
        added.add(name)
    _rename_values(model, renamed)
    _add_copies(model, same)
    return added


_Source = tuple[str, np.ndarray, Any]  # a value of a graph, what it contains, and how far rounding may have moved it


def _equal_value(values: np.ndarray, sources: Sequence[_Source]) -> str | None:
    """The name of the source that is closest to `values`, within its rounding; None if there is none."""
    fitting = [
        (float(np.abs(array - values).max(initial=0)), name)
        for name, array, tolerance in sources
        if array.shape == values.shape and bool((np.abs(array - values) <= tolerance).all())
    ]
    return min(fitting)[1] if fitting else None


def _initializers(model: ModelProto) -> Iterator[_Source]:
    """The weights in float32, which must be equal."""
    onnx = machine.require("onnx", extra="export")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            yield tensor.name, onnx.numpy_helper.to_array(tensor), 0.0


def _dequantized(model: ModelProto) -> Iterator[_Source]:
    """The weights in int8 after their scale, of which rounding is at most half a step."""
    onnx = machine.require("onnx", extra="export")
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type != "DequantizeLinear" or not {*node.input} <= stored.keys():
            continue
        integers, scale, *zero = (onnx.numpy_helper.to_array(stored[name]) for name in node.input)
        shape = [1] * integers.ndim
        if scale.size > 1:
            shape[next((a.i for a in node.attribute if a.name == "axis"), 1)] = scale.size
        scale = scale.reshape(shape if integers.ndim else ())
        offset = zero[0].astype(np.float32).reshape(scale.shape) if zero else np.float32(0)
        yield node.output[0], (integers.astype(np.float32) - offset) * scale, 0.501 * scale
