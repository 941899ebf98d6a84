"""Where the time of a training step goes, layer by layer, and how close each layer comes to the machine's limits.

    python benchmarks/roofline.py lenet_d2l --batch 256
    python benchmarks/roofline.py my_net.py:net --input 3x32x32 --precision bfloat16

Each layer runs by itself, repeatedly, on the input and the output gradient that it had in a real step; medians are
reported. By itself, a layer finds data in the cache that a step would have evicted, so "the rest" of the step that no
layer explains includes this effect; it is negative where layers take longer by themselves. Arithmetic is 2 FLOP for
each multiply-accumulate of `classicnets show`; in backward once for the gradient of the input and once for that of the
weights, where they are needed; other operations are not counted. Bytes are the least that must be moved: input, output
and weights; in backward input, weights and the gradients of output, input and weights. A view moves none.

The limits are measured in the same run: arithmetic as the best of matrix products and convolutions, bandwidth as the
best of copy, add and triad (a + 2 b) over arrays from small (in the cache) to large (out of it). "of roof" is the time
that the limits allow divided by the time measured, with the bandwidth of arrays at least as large in total.
The step is SGD with momentum 0.9 on noise. Writes benchmarks/results/roofline-NET.json and .png.
"""

from __future__ import annotations

import statistics
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only

from ceilings import BANDWIDTH, FLOPS, best, ceilings
from classicnets.inspection import observer, shapes
from classicnets.inspection.meta import tensors
from classicnets.report import figures, tables
from drawing import roofline
from subject import ExportSource, Work, arguments, load, parse, readings, run_main, say
from timing import Row, conditions, read, write


@dataclass
class Call:
    """A layer as it was called in a step: its input, and the gradient of each of its outputs that had one.

    `in_place` layers wrote over their input; of these it is what they left.
    """

    name: str
    module: nn.Module
    inputs: tuple[tuple[Any, ...], dict[str, Any]]
    needs_gradient: list[bool]  # which of the tensors in it need a gradient
    in_place: bool
    view: bool
    outputs: list[Tensor]
    gradients: dict[int, Tensor] = field(default_factory=dict)

    def weights(self) -> list[Tensor]:
        return [p for _, p in observer.own_parameters(self.module)]

    def leaves(self) -> tuple[list[Tensor], tuple[tuple[Any, ...], dict[str, Any]]]:
        """Its input anew, cut off from the layers before: the tensors, and them in the places of the arguments."""
        flags = iter(self.needs_gradient)
        leaf_tensors: list[Tensor] = []

        def leaf(tensor: Tensor) -> Tensor:
            leaf_tensors.append(tensor.detach().requires_grad_(next(flags)))
            return leaf_tensors[-1]

        return leaf_tensors, tree_map_only(Tensor, leaf, self.inputs)

    def forward(self, work: Work) -> Callable[[], object]:
        """What runs it forward once."""
        _, inputs = self.leaves()
        if self.in_place:  # not twice in one graph, and what it leaves stays with it
            inputs = tree_map_only(Tensor, lambda t: t.detach().clone(), inputs)
        args, kwargs = inputs

        def run() -> object:
            with work.computing():
                return self.module(*args, **kwargs)

        return run

    def backward(self, work: Work) -> Callable[[], object] | None:
        """What runs it backward once; None where nothing needs a gradient."""
        leaves, inputs = self.leaves()
        args, kwargs = tree_map_only(Tensor, lambda t: t.clone(), inputs) if self.in_place else inputs
        with work.computing():
            results = tensors(self.module(*args, **kwargs))
        into = [t for t in (*leaves, *self.weights()) if t.requires_grad]
        outputs = {i: t for i, t in enumerate(results) if i in self.gradients and t.requires_grad}
        if not into or not outputs:
            return None
        gradients = [self.gradients[i] for i in outputs]
        return partial(torch.autograd.grad, [*outputs.values()], into, gradients, retain_graph=True, allow_unused=True)

    def bytes(self, direction: str) -> int:
        """What must move at least."""
        if self.view:
            return 0
        inputs = tensors(self.inputs)
        if direction == "forward":
            return _size([*inputs, *self.outputs, *self.weights()])
        needed = [t for t, flag in zip(inputs, self.needs_gradient, strict=True) if flag]
        trained = [p for p in self.weights() if p.requires_grad]
        return _size([*inputs, *self.weights(), *self.gradients.values(), *needed, *trained])

    def products(self, direction: str) -> int:
        """How often its multiply-accumulates are done."""
        return 1 if direction == "forward" else any(self.needs_gradient) + any(p.requires_grad for p in self.weights())


def _size(arrays: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in arrays)


def calls(work: Work) -> tuple[list[Call], Tensor]:
    """What the layers of a step got, in the order of the calls, and the logits."""
    result: list[Call] = []
    state: dict[str, Any] = {}

    def before(_module: nn.Module, args: Any, kwargs: Any) -> None:
        state["versions"] = [t._version for t in tensors((args, kwargs))]

    def after(name: str, module: nn.Module, args: Any, kwargs: Any, output: object) -> None:
        inputs, outputs = tensors((args, kwargs)), tensors(output)
        in_place = state["versions"] != [t._version for t in inputs]
        storages = {t.untyped_storage()._cdata for t in inputs}
        call = Call(
            name,
            module,
            tree_map_only(Tensor, lambda t: t.detach(), (args, kwargs)),
            [t.requires_grad for t in inputs],
            in_place,
            not in_place and all(t.untyped_storage()._cdata in storages for t in outputs),
            [t.detach() for t in outputs],
        )
        result.append(call)
        for i, tensor in enumerate(outputs):
            if tensor.requires_grad:
                tensor.register_hook(partial(call.gradients.__setitem__, i))

    hooks = [work.net.register_forward_hook(lambda _net, _args, output: state.update(logits=tensors(output)[0]))]
    for name, module in observer.layers(work.net):
        if observer.is_layer(module):
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(partial(after, name), with_kwargs=True))
    work.step()
    for hook in hooks:
        hook.remove()
    return result, state["logits"].detach()


def parts(subject: ExportSource, work: Work, seconds: float) -> Iterator[Row]:
    """A row for each layer and direction, for loss, optimizer and the rest, then the whole step; values are seconds."""
    work.net.train()
    layer_calls, logits = calls(work)
    step_seconds = readings(work.step, seconds)
    rows: list[Row] = []

    def add(layer: str, kind: str, direction: str, values: list[float], flop: int = 0, size: int = 0) -> None:
        facts = {"layer": layer, "kind": kind, "direction": direction, "flop": flop, "bytes": size}
        rows.append(Row(what=f"{layer} {direction}".strip(), ours=kind, values=values, unit="s", facts=facts))

    of_name: dict[str, list[shapes.Row]] = defaultdict(list)
    for row in subject.table.rows:
        of_name[row.name].append(row)
    for call in layer_calls:
        table_rows = of_name[call.name] or [
            shapes.Row(name=call.name, kind=type(call.module).__name__, inputs=(), outputs=())
        ]
        row = table_rows.pop(0)
        for direction, runs in (("forward", call.forward(work)), ("backward", call.backward(work))):
            if runs is not None:
                flop = 2 * row.macs * len(work.x) * call.products(direction)
                add(call.name or "(the net)", row.kind, direction, readings(runs, seconds), flop, call.bytes(direction))
                say(rows[-1])
    leaf = logits.float().requires_grad_()
    add("loss", "", "", readings(lambda: torch.autograd.grad(work.loss(leaf, work.y), leaf), seconds))
    for parameter in work.net.parameters():  # a step leaves none
        parameter.grad = torch.zeros_like(parameter)
    add("optimiser", "SGD, momentum", "", readings(work.state.optimizer.step, seconds))
    work.state.optimizer.zero_grad()
    step_seconds += readings(work.step, seconds)
    step = statistics.median(step_seconds)
    add("the rest", "", "", [step - sum(part.median for part in rows)])
    for part in rows:
        yield replace(part, facts={**part.facts, "share": part.median / step})
    about = {
        "net": subject.name,
        "input": subject.shape,
        "batch": len(work.x),
        "precision": work.precision,
        "device": str(work.device),
        "macs": subject.table.macs,
        "parameters": subject.table.parameters,
        "not_alone": sorted({row.name for rest in of_name.values() for row in rest if row.macs}),
    }
    yield Row(what="whole step", ours=subject.name, values=step_seconds, unit="s", facts=about)


def with_rates(part: Row, ceiling_rows: list[Row]) -> Row:
    """The part with what it achieved, and how near that is to the ceilings."""
    flop, size, seconds = part.facts.get("flop", 0), part.facts.get("bytes", 0), part.median
    if not flop and not size:
        return part
    bandwidth_rows = [row for row in ceiling_rows if row.unit == BANDWIDTH]
    large_rows = [row for row in bandwidth_rows if row.facts["amount"] >= size] or [best(ceiling_rows)["memory"]]
    peak, rate = (max(max(row.values) for row in rows) for rows in ([best(ceiling_rows)["arithmetic"]], large_rows))
    allowed = max(flop / peak, size / rate) / 1e9
    facts = {
        "gflop_per_second": flop / seconds / 1e9 if flop else None,
        "gb_per_second": size / seconds / 1e9 if size else None,
        "flop_per_byte": flop / size if flop and size else None,
        "of_roof": allowed / seconds,
    }
    return replace(part, facts={**part.facts, **facts})


def print_table(rows: list[Row]) -> None:
    """The parts of the step, their sum beside the whole, and the ceilings."""
    out = tables.console()
    columns = ["layer", "kind", "", "ms", "share", "GFLOP", "MB", FLOPS, BANDWIDTH, "FLOP/byte", "of roof"]
    lines = []
    for row in (row for row in rows if "share" in row.facts):
        facts = row.facts
        rates = (facts.get("gflop_per_second"), facts.get("gb_per_second"), facts.get("flop_per_byte"))
        lines.append(
            [facts["layer"], facts["kind"], facts["direction"], f"{1e3 * row.median:.3f}", f"{facts['share']:.1%}"]
            + [f"{amount:.3f}" if amount else "" for amount in (facts["flop"] / 1e9, facts["bytes"] / 1e6)]
            + [f"{rate:.1f}" if rate else "" for rate in rates]
            + [f"{facts['of_roof']:.0%}" if "of_roof" in facts else ""]
        )
    [whole] = [row for row in rows if row.what == "whole step"]
    layer_seconds = sum(row.median for row in rows if "share" in row.facts and row.facts["layer"] != "the rest")
    out.print(tables.table(columns, lines, numbers=columns[3:]))
    out.print(
        f"the whole step {1e3 * whole.median:.3f} ms; its parts by themselves {1e3 * layer_seconds:.3f} ms together"
    )
    for name, row in best([row for row in rows if row.ours == "ceiling"]).items():
        out.print(f"{name} ceiling {max(row.values):.1f} {row.unit}: {row.what}")
    if whole.facts["not_alone"]:
        out.print(f"not timed by themselves, because they contain layers: {', '.join(whole.facts['not_alone'])}")


def main(argv: list[str] | None = None) -> None:
    args = parse(arguments(__doc__, batch=64), "roofline", argv)
    subject = load(args.net, args.input)
    machine_before = conditions()
    ceiling_rows = list(ceilings(args.device, args.precision, args.seconds, quick=args.quick))
    work = Work(subject, args.batch, args.device, args.precision)
    rows = [with_rates(part, ceiling_rows) for part in parts(subject, work, args.seconds)] + ceiling_rows
    with redirect_stdout(sys.stderr):
        write(args.out, rows, machine_before)
    rows, facts = read(args.out)
    image = args.out.with_suffix(".png")
    image.write_bytes(figures.png(roofline(rows, best([row for row in rows if row.ours == "ceiling"]), facts)))
    print(f"written to {image}", file=sys.stderr)
    if args.json:
        print(args.out.read_text(), end="")
    else:
        print_table(rows)


if __name__ == "__main__":
    run_main(main)
