"""One file of a run: made, checked against the net where it lies, and only then given its name."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from classicnets.errors import CheckFailed, UsageError
from classicnets.export import budget, int8, narrow, onnx, parity, program
from classicnets.export.source import ExportSource
from classicnets.files import cannot_write, sync_folder, write_whole

MOST_LOST = 5.0  # percentage points of test accuracy that --int8 may cost unless the user says otherwise


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written, and what was checked.

    `difference` is the largest between a probability of the file and of its net, and `bound` what rounding explains;
    None for int8, which is held to its accuracy. `accuracy` is the file's on the test split and `net_accuracy` that of
    the run's net; None, and `unchecked` says why, if the data could not be had. `candidates` and `chosen_on` are those
    of a size budget.
    """

    path: Path
    bytes: int
    format: str
    int8: bool
    narrowed: bool
    calibration: int
    difference: float
    bound: float | None
    pictures: int
    sizes: int
    accuracy: float | None
    net_accuracy: float | None
    other_predictions: int
    unchecked: str
    candidates: tuple[budget.Candidate, ...] = ()
    chosen_on: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {**vars(self), "path": str(self.path), "candidates": [vars(one) for one in self.candidates]}


def export(
    subject: ExportSource,
    path: Path,
    *,
    kind: str = "onnx",
    licence: str = "unknown",
    as_int8: bool = False,
    most_lost: float = MOST_LOST,
    size_budget: int | None = None,
) -> Exported:
    """Writes the net of a run, with its weights, as one file of the `kind` "onnx" or "torch" (.pt2).

    Raises UsageError CN206, DataError if pictures are needed and cannot be had, CheckFailed CN102 to CN105,
    MachineError CN401, CN403.
    """
    if kind == "torch" and (as_int8 or size_budget is not None):
        raise UsageError("CN206", "--int8 and --size-budget make ONNX files", hint="--format onnx")
    if kind == "onnx":
        onnx.packages()
    net, on = subject.net, ""
    found: tuple[budget.Candidate, ...] = ()
    narrowed = False
    if size_budget is not None:
        found, on = _candidates(subject, licence, size_budget, only_int8=as_int8)
        best = budget.best(found, size_budget)
        as_int8, narrowed = best.int8, best.numbers is not None
        net = net if best.numbers is None else narrow.narrowed(net, best.numbers)
        most_lost = 100.0  # the table has said what it costs

    aside = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        compared, sizes = _write_checked(aside, subject, net, kind, licence)
        expected = subject.accuracy(compared.net)
        if narrowed:
            reference = parity.Reference(subject.net, subject.preprocess, subject.classes)
            expected = subject.accuracy(reference.probabilities(subject.images))
        if as_int8:
            write_whole(aside, _int8(subject, net, licence))
            compared = parity.compare(parity.onnx_file(aside), _reference(subject, net), subject.images)
            _refuse_loss(subject.accuracy(compared.file), expected, most_lost)
        accuracy = subject.accuracy(compared.file)
        facts = subject.facts(net, licence, as_int8=as_int8, accuracy=accuracy)
        content = (
            onnx.with_facts(aside.read_bytes(), facts)
            if kind == "onnx"
            else program.program(net, subject.preprocess, facts)
        )
        write_whole(aside, content)
        _check_again(_reader(aside, subject, kind), subject, compared)
        try:
            aside.replace(path)
            sync_folder(path.parent)
        except OSError as error:
            raise cannot_write(path, error) from error
    finally:
        aside.unlink(missing_ok=True)
    return Exported(
        path=path,
        bytes=len(content),
        format=kind,
        int8=as_int8,
        narrowed=narrowed,
        calibration=len(subject.calibration()) if as_int8 else 0,
        difference=compared.difference,
        bound=None if as_int8 else compared.bound,
        pictures=compared.n,
        sizes=sizes,
        accuracy=accuracy,
        net_accuracy=expected,
        other_predictions=compared.others,
        unchecked=subject.missing,
        candidates=found,
        chosen_on=on,
    )


def _reference(subject: ExportSource, net: nn.Module) -> parity.Reference:
    return parity.Reference(net, subject.preprocess, subject.classes)


def _write_checked(
    aside: Path, subject: ExportSource, net: nn.Module, kind: str, licence: str
) -> tuple[parity.Compared, int]:
    """Writes the float32 file and holds it to the net: on the test split, and on pictures of so many other sizes."""
    facts = subject.facts(net, licence, as_int8=False, accuracy=None)
    if kind == "torch":
        write_whole(aside, program.program(net, subject.preprocess, facts))
    else:
        part = onnx.net_part(net, subject.preprocess)
        write_whole(aside, onnx.assemble(part, subject.preprocess, len(subject.classes), facts))
    file = _reader(aside, subject, kind)
    reference = _reference(subject, net)
    whole = parity.compare(file, reference, subject.images)
    parity.check(whole, f"{whole.n:,} {'pictures of noise' if subject.missing else 'test pictures'}")
    others = parity.probes(subject.images, subject.preprocess.side)
    for batch in others:
        parity.check(
            parity.compare(file, reference, batch), f"{len(batch)} of {batch.shape[-2]} x {batch.shape[-1]} pixels"
        )
    return whole, len({batch.shape[2:] for batch in others})


def _reader(path: Path, subject: ExportSource, kind: str) -> parity.Probabilities:
    return parity.onnx_file(path) if kind == "onnx" else program.torch_file(path, subject.preprocess)


def _check_again(file: parity.Probabilities, subject: ExportSource, compared: parity.Compared) -> None:
    """Now that its facts are in it, the file says of the first pictures what it said before."""
    first = parity.parts(subject.images, subject.preprocess.side)[0]
    before = compared.file[: len(first)]
    parity.check(parity.Compared(file(first), before, compared.bound), "the first pictures, read again")


def _int8(subject: ExportSource, net: nn.Module, licence: str) -> bytes:
    part = int8.quantised(onnx.net_part(net, subject.preprocess), subject.calibration(), subject.preprocess)
    facts = subject.facts(net, licence, as_int8=True, accuracy=None)
    return onnx.assemble(part, subject.preprocess, len(subject.classes), facts)


def _refuse_loss(accuracy: float | None, expected: float | None, most_lost: float) -> None:
    if accuracy is None or expected is None or 100 * (expected - accuracy) <= most_lost:
        return
    raise CheckFailed(
        "CN103",
        f"int8 costs {100 * (expected - accuracy):.2f} points of accuracy; nothing was written",
        where=f"on the test split: {expected:.4f} before, {accuracy:.4f} after",
        why=f"more than {most_lost:g} points are refused unless you allow them",
        hint=("--max-loss 100", "export without --int8"),
    )


def _candidates(
    subject: ExportSource, licence: str, limit: int, *, only_int8: bool
) -> tuple[tuple[budget.Candidate, ...], str]:
    """What could be written, and on which pictures it was judged."""
    split, on = subject.judged_on()
    part_of = functools.cache(lambda net: onnx.net_part(net, subject.preprocess))  # twice wanted: as it is and int8

    def build(net: nn.Module, as_int8: bool) -> bytes:
        facts = subject.facts(net, licence, as_int8=as_int8, accuracy=1 / 3)  # as many digits as any
        part = part_of(net)
        if as_int8:
            part = int8.quantised(part, subject.calibration(), subject.preprocess)
        return onnx.assemble(part, subject.preprocess, len(subject.classes), facts)

    def judge(content: bytes) -> float:
        file = parity.onnx_file(content)
        return parity.accuracy(file, split, subject.preprocess.side)

    return budget.candidates(subject.net, limit, build, judge, only_int8=only_int8), on
