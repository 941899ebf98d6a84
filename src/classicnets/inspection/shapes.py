"""The layer table of any module: shapes, parameters, multiply-accumulates, units and bytes, without any data.

A copy of the module, whose parameters are empty tensors on the meta device, is called once; hooks note which layer
runs and a dispatch mode counts what it does. The module itself is never called or changed; its weights are not copied.
"""

from __future__ import annotations

import copy
import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined]
from torch.nn.utils.parametrize import is_parametrized
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from classicnets.errors import UsageError

Shape = tuple[int, ...]

# Their outputs are not units: they rescale or bend the outputs of the layer before them.
_NOT_UNITS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.PReLU)
# Copies and changes of layout are not worth a line, like the views that torch itself marks.
_LAYOUT = {"unsafe_view", "clone", "to_copy", "copy", "detach", "lift_fresh", "contiguous", "alias", "expand"}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One call of one layer; shapes are without the batch axis, all counts are for one picture.

    `name` is the path inside the net ("" is the net itself). Parameters are counted in the first row that uses them.
    `macs` are multiply-accumulates, taps on padding included and additions of biases not; `units` are the outputs of a
    layer that carries weights (normalisation has none). `activation_bytes` is the new memory its output takes: 0 for
    a layer that passes its input on. A layer that holds parameters but was not called has empty shapes.
    """

    name: str
    kind: str
    inputs: Shape
    outputs: Shape
    kernel: Shape | None = None
    stride: Shape | None = None
    padding: Shape | str | None = None
    dilation: Shape | None = None
    groups: int | None = None
    ceil: bool = False
    weights: int = 0
    biases: int = 0
    trainable: int = 0
    units: int = 0
    macs: int = 0
    weight_bytes: int = 0
    activation_bytes: int = 0

    @property
    def parameters(self) -> int:
        """Weights and biases."""
        return self.weights + self.biases

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**asdict(self), "parameters": self.parameters}


_TOTALS = (
    "weights",
    "biases",
    "parameters",
    "trainable",
    "units",
    "macs",
    "weight_bytes",
    "activation_bytes",
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """The rows of a net in the order of the calls, and their sums.

    `unlisted` names and counts what forward() does outside any layer, such as {"relu": 2}; views are left out.
    `note` says what a reader must know: the pass could not use the meta device, or a layer enlarges its input.
    """

    rows: tuple[Row, ...]
    input_shape: Shape
    output_shape: Shape
    unlisted: dict[str, int] = field(default_factory=dict)
    note: str = ""

    def total(self, column: str) -> int:
        """The sum of a column over all rows."""
        return sum(getattr(row, column) for row in self.rows)

    @property
    def weights(self) -> int:
        """Parameters that are not biases."""
        return self.total("weights")

    @property
    def biases(self) -> int:
        """Parameters with "bias" in their name."""
        return self.total("biases")

    @property
    def parameters(self) -> int:
        """All parameters, tied ones once."""
        return self.total("parameters")

    @property
    def trainable(self) -> int:
        """Parameters that require a gradient."""
        return self.total("trainable")

    @property
    def units(self) -> int:
        """Outputs of all layers that carry weights."""
        return self.total("units")

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one picture."""
        return self.total("macs")

    @property
    def weight_bytes(self) -> int:
        """Bytes of all parameters in the type they have now."""
        return self.total("weight_bytes")

    @property
    def activation_bytes(self) -> int:
        """Bytes of all layers' outputs for one picture; what forward() makes outside any layer is not in it."""
        return self.total("activation_bytes")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: the rows, the sums and the notes."""
        return {
            "input_shape": list(self.input_shape),
            "output_shape": list(self.output_shape),
            "rows": [row.to_dict() for row in self.rows],
            "totals": {column: self.total(column) for column in _TOTALS},
            "unlisted": dict(self.unlisted),
            "note": self.note,
        }


class ShapeError(UsageError):
    """The pass stopped; the attributes say at which layer and why, for `doctor` to explain.

    `layer` is the innermost module that was running and `name` its path; `inputs` what it was given; `operation` the
    torch operation that failed and `operands` the shapes it got, as far as known; `rows` the layers that did finish;
    `results` how many results came out for one picture, where the pass ended with the wrong number.
    """

    def __init__(
        self,
        reason: str,
        input_shape: Shape,
        *,
        name: str = "",
        layer: nn.Module | None = None,
        inputs: Shape = (),
        operation: str = "",
        operands: tuple[Shape, ...] = (),
        rows: tuple[Row, ...] = (),
        results: int | None = None,
        device: str = "meta",
    ) -> None:
        kind = type(layer).__name__ if layer is not None else ""
        super().__init__(
            "CN201",
            f"the net cannot take {times(input_shape)} input",
            where=f"{name or 'the net'} ({kind}), which gets {times(inputs)}" if kind else "",
            why=reason,
            hint="classicnets show FILE.py:net --input CxHxW prints the sum behind every shape",
        )
        self.reason, self.input_shape, self.name, self.layer, self.inputs = reason, input_shape, name, layer, inputs
        self.operation, self.operands, self.rows = operation, operands, rows
        self.results, self.device = results, device


def trace(net: nn.Module, input_shape: Sequence[int]) -> Table:
    """Call a copy of `net` on one empty picture of `input_shape` (without the batch axis) and list its layers.

    MACs follow torch's own formulas (`torch.utils.flop_counter`). Where those are blind, a module may declare its own
    with a method `macs(output_shape) -> int` (shape without batch); it is then one layer, whatever is inside it.
    Hooks that the user registered do not run. A net that cannot run without data (it reads a value, calls NumPy) gets a
    real picture of zeros on the CPU instead, and `Table.note` says so. Raises UsageError (CN201) where it does not fit.
    """
    shape = checked_shape(input_shape)
    net = getattr(net, "_orig_mod", net)  # what torch.compile wrapped
    _takes_one_input(net, shape)
    outcome, needs_data = _attempt(net, shape, "meta")
    if needs_data and not any(tensor.is_meta for tensor in (*net.parameters(), *net.buffers())):
        outcome, _ = _attempt(net, shape, "cpu")
        if isinstance(outcome, Table):
            note = (
                f"a picture of zeros went through a copy on the CPU, as the net cannot run without data: {needs_data}"
            )
            return replace(outcome, note="; ".join(filter(None, (note, outcome.note))))
    if isinstance(outcome, ShapeError):
        raise outcome
    return outcome


def trial(net: nn.Module, device: str = "meta", batch: int = 2) -> Callable[[Shape], bool]:
    """The quick question, for trying many shapes: whether the net takes a batch of this one."""
    lazy = any(isinstance(module, LazyModuleMixin) for module in net.modules())
    twin = without_data(net, device)

    def passes(shape: Shape) -> bool:
        model = without_data(net, device) if lazy else twin
        try:
            with quiet(device):
                output = _tensors(model(_picture(model, (batch, *shape), device)))
        except Exception:
            return False
        return bool(output) and output[0].dim() > 0 and len(output[0]) == batch

    return passes


def without_data(net: nn.Module, device: str = "meta") -> nn.Module:
    """A copy of `net` in eval mode with every tensor on `device` (empty on "meta"), without the user's hooks."""
    memo: dict[int, Any] = {}
    for module in net.modules():
        tensors = [v for v in vars(module).values() if isinstance(v, torch.Tensor)]  # plain attributes
        for tensor in (*module._parameters.values(), *module._buffers.values(), *tensors):
            if tensor is not None and id(tensor) not in memo:  # a tied weight stays one tensor
                memo[id(tensor)] = _copied_tensor(tensor, device)
        for hook in _foreign_hooks(module):
            memo[id(hook)] = _nothing  # a bound method would drag its object along
    try:
        twin = copy.deepcopy(net, memo)
    except Exception as error:
        raise UsageError(
            "CN205",
            f"{type(net).__name__} cannot be copied, so its layers cannot be listed",
            why=f"{type(error).__name__}: {one_line(error)}",
            hint="keep open files, locks and generators out of the module's attributes",
        ) from error
    for module in twin.modules():
        for name in _HOOKS:
            hooks = getattr(module, name)
            for key in [key for key, hook in hooks.items() if not _from_torch(hook)]:
                del hooks[key]
    return twin.eval()


def times(shape: Sequence[int], by: str = "x") -> str:
    """A shape as it is spoken: 1x28x28."""
    return by.join(map(str, shape)) or "a single number"


def one_line(error: object) -> str:
    """The text of an error on one line."""
    return " ".join(str(error).split())


def checked_shape(input_shape: Sequence[int]) -> Shape:
    """The shape as a tuple; anything but positive whole numbers is refused (CN201)."""
    shape = tuple(input_shape)
    if not shape or not all(isinstance(n, int) and n > 0 for n in shape):
        raise UsageError(
            "CN201",
            f"{input_shape} is not the shape of a picture",
            why="a shape is channels, height and width, without the batch axis; each at least 1",
            hint="(1, 28, 28)",
        )
    return shape


# ---------------------------------------------------------------------------------------------------------- one pass


@dataclass
class _Call:
    """A module while it runs, and what it did itself (not through a listed layer inside it)."""

    name: str
    module: nn.Module
    inputs: Shape
    outputs: Shape = ()
    done: bool = False
    macs: int = 0
    counted_outputs: int = 0  # of the operations with MACs
    new_bytes: int = 0
    operations: Counter[str] = field(default_factory=Counter)


class _Observer(TorchDispatchMode):
    """Attributes every operation to the innermost running module: hooks keep the stack, the mode sees the operations.

    The stack is left as it is when something fails: its top is then the module that could not go on.
    """

    def __init__(self, net: nn.Module, shape: Shape, batch: int, device: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.net, self.shape, self.batch, self.device = net, shape, batch, device
        self.stack: list[_Call] = []
        self.calls: list[_Call] = []
        self.storages: dict[int, torch.UntypedStorage] = {}  # kept alive, or an address could come twice
        self.operation = ""  # the one running now
        self.operands: tuple[Shape, ...] = ()
        for name, module in layers(net):
            module.register_forward_pre_hook(partial(self.enter, name), with_kwargs=True, prepend=True)
            module.register_forward_hook(self.leave)

    def enter(self, name: str, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = _tensors((args, kwargs))
        self.new_bytes(given)
        self.stack.append(_Call(name, module, _without_batch(given)))
        self.calls.append(self.stack[-1])

    def leave(self, module: nn.Module, _args: tuple[Any, ...], output: object) -> None:
        # forward() may have caught an exception of a layer inside it, which then never left
        while (call := self.stack.pop()).module is not module:
            pass
        made = _tensors(output)
        call.outputs, call.done = _without_batch(made), True
        call.new_bytes = self.new_bytes(made)

    def new_bytes(self, tensors: list[torch.Tensor]) -> int:
        """Bytes of those tensors whose storage has not been seen before."""
        size = 0
        for tensor in tensors:
            storage = tensor.untyped_storage()
            if storage._cdata not in self.storages:
                size += tensor.numel() * tensor.element_size()
                self.storages[storage._cdata] = storage
        return size

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        given = _tensors((args, kwargs))
        self.operation = _plain(func._overloadpacket.__name__)
        self.operands = tuple(tuple(tensor.shape) for tensor in given)
        _check_transposed(func, args)
        output = func(*args, **kwargs)
        self.operation, self.operands = "", ()
        if not self.stack:
            return output
        call = self.stack[-1]
        if (formula := flop_registry.get(func._overloadpacket)) is not None:
            call.macs += formula(*args, **kwargs, out_val=output) // 2  # torch counts two operations for one MAC
            call.counted_outputs += _tensors(output)[0].numel()
        elif given and not func.is_view and _plain(func._overloadpacket.__name__) not in _LAYOUT:
            call.operations[_plain(func._overloadpacket.__name__)] += 1
        return output


def _attempt(net: nn.Module, shape: Shape, device: str) -> tuple[Table | ShapeError, str]:
    """The table, or the first failure; and torch's words where it failed for want of data.

    One picture is exact; two are tried for a net that squeezes away a batch axis of one.
    """
    failures, needs_data = [], ""
    for batch in (1, 2):
        observer = _Observer(without_data(net, device), shape, batch, device)  # anew: a lazy layer changes in the pass
        try:
            with quiet(device), observer:
                output = _tensors(observer.net(_picture(observer.net, (batch, *shape), device)))
        except Exception as error:
            if "meta" in str(error).lower() or isinstance(error, NotImplementedError):
                needs_data = needs_data or one_line(error)
            failures.append(_failure(observer, one_line(error)))
            continue
        results = len(output[0]) if output and output[0].dim() else 0
        if results == batch:
            return _table(observer, tuple(output[0].shape[1:])), ""
        failures.append(_failure(observer, _wrong_batch(len(output), results), results))
    return failures[0], needs_data


def _wrong_batch(tensors: int, results: int) -> str:
    if not tensors:
        return "forward() returns no tensor"
    if results == 0:
        return "one picture goes in and a single number without a batch axis comes out"
    return f"one picture goes in and {results} results come out: forward() mixes the pictures of a batch"


def _failure(observer: _Observer, reason: str, results: int | None = None) -> ShapeError:
    call = observer.stack[-1] if observer.stack else _Call("", observer.net, observer.shape)
    return ShapeError(
        reason,
        observer.shape,
        name=call.name,
        layer=call.module,
        inputs=call.inputs,
        operation=observer.operation,
        operands=observer.operands,
        rows=_rows(observer),
        results=results,
        device=observer.device,
    )


# ---------------------------------------------------------------------------------------------------- rows and table


def _table(observer: _Observer, output_shape: Shape) -> Table:
    rows = _rows(observer)
    listed = {id(p) for call in observer.calls for _, p in _own_parameters(call.module)}
    for name, module in layers(observer.net):  # so that the sums are those of the net, whatever forward() uses
        left = [(n, p) for n, p in _own_parameters(module) if id(p) not in listed]
        if left:
            rows += (Row(name=name, kind=type(module).__name__, inputs=(), outputs=(), **_parameters(left)),)
            listed |= {id(p) for _, p in left}
    unlisted: Counter[str] = Counter()
    for call in observer.calls:
        if not _is_layer(call.module):
            unlisted += call.operations
    return Table(
        rows=rows,
        input_shape=observer.shape,
        output_shape=output_shape,
        unlisted=dict(unlisted),
        note="; ".join(_enlarged(rows)),
    )


def _enlarged(rows: tuple[Row, ...]) -> Iterator[str]:
    """Adaptive pooling accepts any size, and may hide that the picture was too small."""
    for row in rows:
        before, after = row.inputs[1:], row.outputs[1:]
        if row.kind.startswith("Adaptive") and any(b > a for a, b in zip(before, after, strict=False)):
            yield f"{row.name or row.kind} enlarges {times(before)} to {times(after)}: it copies pixels"


def _rows(observer: _Observer) -> tuple[Row, ...]:
    seen: set[int] = set()
    rows, batch = [], observer.batch
    for call in observer.calls:
        own = [(name, p) for name, p in _own_parameters(call.module) if id(p) not in seen]
        layer = _is_layer(call.module)
        if not call.done or not (layer or call.macs or next(_own_parameters(call.module), None)):
            continue
        seen |= {id(p) for _, p in own}
        macs = call.macs // batch
        units = 0
        if not layer:
            units = call.counted_outputs // batch
        elif (macs or next(_own_parameters(call.module), None)) and not isinstance(call.module, _NOT_UNITS):
            units = math.prod(call.outputs)
        if declares_macs(call.module):
            macs, units = int(call.module.macs(call.outputs)), math.prod(call.outputs)  # type: ignore[operator]
        rows.append(
            Row(
                name=call.name,
                kind=type(call.module).__name__,
                inputs=call.inputs,
                outputs=call.outputs,
                macs=macs,
                units=units,
                activation_bytes=call.new_bytes // batch,
                **_parameters(own),
                **geometry(call.module, len(call.inputs) - 1),
            )
        )
    return tuple(rows)


def _parameters(named: list[tuple[str, torch.Tensor]]) -> dict[str, Any]:
    sizes = [(p.numel(), "bias" in name, p) for name, p in named if not isinstance(p, UninitializedTensorMixin)]
    return {
        "weights": sum(n for n, is_bias, _ in sizes if not is_bias),
        "biases": sum(n for n, is_bias, _ in sizes if is_bias),
        "trainable": sum(n for n, _, p in sizes if p.requires_grad),
        "weight_bytes": sum(n * p.element_size() for n, _, p in sizes),
    }


def geometry(module: nn.Module, sides: int) -> dict[str, Any]:
    """Kernel and its steps, one number for each side, of any module that names them as torch does."""
    kernel = getattr(module, "kernel_size", None)
    if not isinstance(kernel, int | tuple):
        return {}

    def each(value: Any) -> Shape | None:
        return (value,) * max(sides, 1) if isinstance(value, int) else value if isinstance(value, tuple) else None

    stride, padding, groups = (getattr(module, name, None) for name in ("stride", "padding", "groups"))
    return {
        "kernel": each(kernel),
        "stride": each(kernel if stride is None else stride),
        "padding": padding if isinstance(padding, str) else each(padding),
        "dilation": each(getattr(module, "dilation", None)),
        "groups": groups if isinstance(groups, int) else None,
        "ceil": bool(getattr(module, "ceil_mode", False)),
    }


# ------------------------------------------------------------------------------------------- modules, tensors, hooks


def layers(net: nn.Module, name: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, nn.Module]]:
    """All modules by name, a shared one once, without looking inside what counts as one layer."""
    seen = set() if seen is None else seen
    if id(net) in seen:
        return
    seen.add(id(net))
    yield name, net
    if not _is_layer(net):
        for child_name, child in net.named_children():
            yield from layers(child, f"{name}.{child_name}" if name else child_name, seen)


def declares_macs(module: nn.Module) -> bool:
    """Whether the module's class has a method `macs`."""
    return callable(getattr(type(module), "macs", None))


def _is_layer(module: nn.Module) -> bool:
    """No modules inside, apart from those that torch puts there to compute a weight (weight norm and its like)."""
    inside = {name for name, _ in module.named_children()}
    return not inside or declares_macs(module) or (inside == {"parametrizations"} and is_parametrized(module))


def _own_parameters(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    return module.named_parameters(recurse=_is_layer(module))


def _takes_one_input(net: nn.Module, shape: Shape) -> None:
    try:
        signature = inspect.signature(net.forward)
        signature.bind(None)
    except TypeError:
        raise UsageError(
            "CN201",
            f"{type(net).__name__} does not take one picture",
            where=f"forward{signature}",
            why="only a net whose forward() can be called with one tensor can be listed",
            hint=f"wrap it in a module with forward(self, x) that fills in the rest for x of {times(shape)}",
        ) from None
    except ValueError:  # no signature to be had, as for scripted modules
        return


def _picture(net: nn.Module, shape: Shape, device: str) -> torch.Tensor:
    dtype = next((p.dtype for p in net.parameters() if p.is_floating_point()), torch.get_default_dtype())
    return torch.zeros(shape, dtype=dtype, device=device)


@contextmanager
def quiet(device: str) -> Iterator[None]:
    """No gradients, factory calls in forward() land on the device, and the generators are as before."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.no_grad(), torch.device(device):
        yield


def _copied_tensor(tensor: torch.Tensor, device: str) -> torch.Tensor:
    with torch.inference_mode(False), torch.no_grad():
        if isinstance(tensor, UninitializedTensorMixin):  # of a lazy layer
            kind: Any = type(tensor)
            unknown: torch.Tensor = kind(requires_grad=tensor.requires_grad, device=device, dtype=tensor.dtype)
            return unknown
        data = tensor.detach()
        twin = torch.empty_like(data, device=device) if device == "meta" else data.to(device, copy=True)
        return nn.Parameter(twin, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else twin


def _foreign_hooks(module: nn.Module) -> list[Callable[..., Any]]:
    return [hook for name in _HOOKS for hook in getattr(module, name).values() if not _from_torch(hook)]


def _from_torch(hook: object) -> bool:
    """Torch's own hooks make weights (lazy layers, weight norm, pruning); the user's may record, print or refuse."""
    return str(getattr(hook, "__module__", "")).startswith("torch.")


def _nothing(*_args: object, **_kwargs: object) -> None:
    pass


def _tensors(value: object) -> list[torch.Tensor]:
    """All tensors in a tensor, tuple, list, dict or dataclass-like output, in order."""
    if isinstance(value, torch.Tensor):
        return [] if isinstance(value, UninitializedTensorMixin) else [value]  # a lazy layer is filling it in
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return [tensor for item in value for tensor in _tensors(item)]
    return []


def _without_batch(tensors: list[torch.Tensor]) -> Shape:
    return tuple(tensors[0].shape[1:]) if tensors else ()


def _plain(name: str) -> str:
    """max_pool2d_with_indices -> max_pool2d, relu_ -> relu, _softmax -> softmax: as the user calls it."""
    return re.sub(r"^(_|native_)+|_with_indices|_$", "", name)


def _check_transposed(func: Any, args: Any) -> None:
    """Torch's meta kernel for transposed convolutions lets wrong channels pass; the real one does not."""
    if func is torch.ops.aten.convolution.default and args[6] and args[0].shape[1] != args[1].shape[0]:
        raise RuntimeError(f"expected {args[1].shape[0]} channels, but got {args[0].shape[1]}")
