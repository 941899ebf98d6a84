"""One file of a run: written to a temporary file, checked there against the network, and only then given its name."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from classicnets.errors import CheckFailed
from classicnets.export import budget, int8, narrow, onnx, parity, program
from classicnets.export.source import ExportSource
from classicnets.files import cannot_write, move_into_place, temporary_file
from classicnets.spec import ExportOptions
from classicnets.text import count

if TYPE_CHECKING:
    from onnx import ModelProto


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and what was checked.

    `difference` is the largest between a probability of the file and of its network, and `bound` what rounding
    explains; None for int8, which is held to its accuracy. `accuracy` is the file's on the test split and
    `net_accuracy` that of the run's network; None, and `unchecked` says why, if the data is not available.
    `candidates` and `chosen_on` are those of a size budget.
    """

    path: Path
    bytes: int
    format: str
    int8: bool
    narrowed: bool
    calibration: int
    difference: float
    bound: float | None
    image_count: int
    sizes: int
    accuracy: float | None
    net_accuracy: float | None
    other_predictions: int
    unchecked: str
    candidates: tuple[budget.Candidate, ...] = ()
    chosen_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = vars(self) | {"path": str(self.path), "candidates": [vars(one) for one in self.candidates]}
        values["pictures"] = values.pop("image_count")
        return values


@dataclass(frozen=True, kw_only=True)
class _Choice:
    """What is written: the network, narrowed or not, as int8 or not, and how many points of accuracy that may cost.

    `candidates` and `chosen_on` are those of a size budget.
    """

    net: nn.Module
    int8: bool
    max_loss: float
    narrowed: bool = False
    candidates: tuple[budget.Candidate, ...] = ()
    chosen_on: str = ""


def export(source: ExportSource, path: Path, options: ExportOptions) -> Exported:
    """Writes the network of a run, with its weights, as one file.

    Raises DataError if images are needed and not available, CheckFailed CN102 to CN105, MachineError CN401, CN403.
    """
    if options.format == "onnx":
        onnx.packages()
    choice = _choice(source, options)
    try:
        with temporary_file(path) as part:
            exported = _write_and_check(part, source, choice, options)
            move_into_place(part, path)
    except OSError as error:
        raise cannot_write(path, error) from error
    return replace(exported, path=path)


def _choice(source: ExportSource, options: ExportOptions) -> _Choice:
    """What the options ask for; under a size budget the most accurate file that fits."""
    if options.size_budget is None:
        return _Choice(net=source.net, int8=options.int8, max_loss=options.max_loss)
    candidates, chosen_on = _candidates(source, options, options.size_budget)
    best = budget.best(candidates, options.size_budget)
    return _Choice(
        net=source.net if best.numbers is None else narrow.narrowed(source.net, best.numbers),
        int8=best.int8,
        max_loss=100.0,  # the candidates' table shows what it costs
        narrowed=best.numbers is not None,
        candidates=candidates,
        chosen_on=chosen_on,
    )


def _write_and_check(part: Path, source: ExportSource, choice: _Choice, options: ExportOptions) -> Exported:
    """Writes the file to `part` in float32, compares it with the network, and writes it again as it is wanted.

    An int8 file is held to its accuracy on the test split. Raises OSError if `part` cannot be written.
    """
    net = choice.net
    facts = functools.partial(source.facts, net, options.license)
    compared, sizes = _write_float32(part, source, net, options.format, facts(as_int8=False, accuracy=None))
    expected = source.accuracy(compared.net)
    if choice.narrowed:
        expected = source.accuracy(_reference(source, source.net).probabilities(source.images))
    if choice.int8:
        part.write_bytes(_int8(source, onnx.net_part(net, source.preprocess), facts(as_int8=True, accuracy=None)))
        compared = parity.compare(parity.onnx_file(part), _reference(source, net), source.images)
        _refuse_loss(source.accuracy(compared.file), expected, choice.max_loss)

    accuracy = source.accuracy(compared.file)
    final = facts(as_int8=choice.int8, accuracy=accuracy)
    content = (
        onnx.with_facts(part.read_bytes(), final)
        if options.format == "onnx"
        else program.program(net, source.preprocess, final)
    )
    part.write_bytes(content)
    _check_again(_reader(part, source, options.format), source, compared)
    return Exported(
        path=part,
        bytes=len(content),
        format=options.format,
        int8=choice.int8,
        narrowed=choice.narrowed,
        calibration=len(source.calibration()) if choice.int8 else 0,
        difference=compared.difference,
        bound=None if choice.int8 else compared.bound,
        image_count=compared.n,
        sizes=sizes,
        accuracy=accuracy,
        net_accuracy=expected,
        other_predictions=compared.others,
        unchecked=source.missing,
        candidates=choice.candidates,
        chosen_on=choice.chosen_on,
    )


def _write_float32(
    part: Path, source: ExportSource, net: nn.Module, format: str, facts: dict[str, Any]
) -> tuple[parity.Compared, int]:
    """Writes the file in float32 and checks it on the test split, and on images of several other sizes: how many."""
    if format == "torch":
        content = program.program(net, source.preprocess, facts)
    else:
        net_part = onnx.net_part(net, source.preprocess)
        content = onnx.assemble(net_part, source.preprocess, len(source.classes), facts)
    part.write_bytes(content)
    file, reference = _reader(part, source, format), _reference(source, net)
    compared = parity.compare(file, reference, source.images)
    noun = ("image of noise", "images of noise") if source.missing else ("test image", "test images")
    parity.check(compared, count(compared.n, *noun))
    probes = parity.probes(source.images, source.preprocess.side)
    for batch in probes:
        height, width = batch.shape[2:]
        parity.check(parity.compare(file, reference, batch), f"{len(batch)} of {height} x {width} pixels")
    return compared, len({batch.shape[2:] for batch in probes})


def _int8(source: ExportSource, net_part: ModelProto, facts: dict[str, Any]) -> bytes:
    quantized = int8.quantized(net_part, source.calibration(), source.preprocess)
    return onnx.assemble(quantized, source.preprocess, len(source.classes), facts)


def _reference(source: ExportSource, net: nn.Module) -> parity.Reference:
    return parity.Reference(net, source.preprocess, source.classes)


def _reader(path: Path, source: ExportSource, format: str) -> parity.Probabilities:
    return parity.onnx_file(path) if format == "onnx" else program.torch_file(path, source.preprocess)


def _check_again(file: parity.Probabilities, source: ExportSource, compared: parity.Compared) -> None:
    """Checks that the file gives the first images the same probabilities now that it holds its facts."""
    first = parity.parts(source.images, source.preprocess.side)[0]
    before = compared.file[: len(first)]
    parity.check(parity.Compared(file(first), before, compared.bound), "the first images, read again")


def _refuse_loss(accuracy: float | None, expected: float | None, max_loss: float) -> None:
    if accuracy is None or expected is None or 100 * (expected - accuracy) <= max_loss:
        return
    raise CheckFailed(
        "CN103",
        f"int8 costs {100 * (expected - accuracy):.2f} points of accuracy; nothing was written",
        where=f"on the test split: {expected:.4f} before, {accuracy:.4f} after",
        why=f"more than {max_loss:g} points are refused unless you allow them",
        hint=("--max-loss 100", "export without --int8"),
    )


def _candidates(
    source: ExportSource, options: ExportOptions, size_budget: int
) -> tuple[tuple[budget.Candidate, ...], str]:
    """The files that could be written, and on which images they were compared."""
    split, chosen_on = source.judged_on()
    part_of = functools.cache(lambda net: onnx.net_part(net, source.preprocess))  # needed twice: in float32 and int8

    def build(net: nn.Module, as_int8: bool) -> bytes:
        facts = source.facts(net, options.license, as_int8=as_int8, accuracy=1 / 3)  # as many digits as any
        if as_int8:
            return _int8(source, part_of(net), facts)
        return onnx.assemble(part_of(net), source.preprocess, len(source.classes), facts)

    def judge(content: bytes) -> float:
        return parity.accuracy(parity.onnx_file(content), split, source.preprocess.side)

    return budget.candidates(source.net, size_budget, build, judge, only_int8=options.int8), chosen_on
