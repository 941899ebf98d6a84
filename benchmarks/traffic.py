"""Bytes that each of several processes sends in a training step, counted by the kernel and predicted from the layers.

    python benchmarks/traffic.py                            (Linux, as root: six minutes on 2 quiet cores)
    python benchmarks/traffic.py --cases lenet_d2l --processes 2

Each case is the command `classicnets train NET --processes N --parallel FORM` in a network namespace of its own, whose
loopback interface carries nothing else. It runs twice, with few steps and with more: the difference is that of the
steps, without start, evaluation, checkpoint and the five reports of an epoch. /proc/net/dev counts with the headers of
TCP (about 0.1%) and with the messages of control, of which the prediction has none. Images are noise; bytes depend
neither on them nor on the load.

ddp, hybrid  of every network
towers       of the network of 2012, with images of 67 pixels, so that two processes compute it quickly
full size    torchvision's AlexNet with 224 pixels, 32 images for each of two processes
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from classicnets.parallel import choice, cost
from classicnets.spec import run_spec
from classicnets.training.plan import Plan, plan
from timing import Row, arguments, conditions, quantity, skip, write

TOLERANCE = 2.0  # percent
_COUNT = "ip link set lo up && {command} 1>&2 && cat /proc/net/dev"
_TIMEOUT = 600  # seconds of one training


@dataclass(frozen=True, kw_only=True)
class Case:
    """A network with its data, as several processes train it; `steps` are those of the short and of the long run.

    Both are multiples of 5, so that both epochs have five reports, at which the weights may be gathered.
    """

    net: str
    forms: Sequence[str]
    batch: int
    channels: int = 1
    classes: int = 10
    size: int = 28
    steps: tuple[int, int] = (5, 15)
    settings: dict[str, object] = field(default_factory=dict)
    processes: tuple[int, ...] = (2, 4)

    @property
    def all_settings(self) -> dict[str, object]:
        """The settings of its recipe."""
        return {
            "epochs": 1,
            "monitor": "none",
            "validation": 0,
            "batch_size": self.batch,
            "precision": "float32",
            **self.settings,
        }


CASES = {
    "lenet_d2l": Case(net="lenet_d2l", forms=("ddp", "hybrid"), batch=256),
    "alexnet_28": Case(net="alexnet_28", forms=("ddp", "hybrid"), batch=64),
    "alexnet_2012": Case(
        net="alexnet_2012",
        forms=("ddp", "hybrid", "towers"),
        batch=64,
        channels=3,
        settings={"image_size": 67, "resize": 67},
        processes=(2,),
    ),
    "full_size": Case(
        net="alexnet_torchvision",
        forms=("ddp", "hybrid"),
        batch=64,
        channels=3,
        steps=(5, 10),
        processes=(2,),
    ),
}


def noise(case: Case, folder: Path) -> Path:
    """A folder of noise images, enough for the longer run; of at least one for each class."""
    root, chance = folder / f"noise-{case.channels}-{case.classes}", np.random.default_rng(0)
    count = max(case.steps[1] * case.batch, case.classes)
    for split, images in (("train", count), ("test", case.classes)):
        for number in range(images):
            label = number % case.classes
            path = root / split / f"class{label:04}" / f"{number}.png"
            if not path.exists():
                path.parent.mkdir(parents=True, exist_ok=True)
                shape = (case.size, case.size, 3)[: 3 if case.channels == 3 else 2]
                Image.fromarray(chance.integers(0, 256, shape, np.uint8)).save(path)
    return root


def count_bytes(case: Case, data: Path, form: str, processes: int, steps: int, runs: Path) -> int:
    """Bytes that all processes have sent in a training of `steps` steps, by the kernel's counters."""
    line = [sys.executable, "-m", "classicnets", "train", case.net, "--data", str(data), "--device", "cpu"]
    line += ["--processes", str(processes), "--parallel", form, "--limit", str(steps * case.batch)]
    line += [
        "--save-every",
        "100000",
        "--runs",
        str(runs),
        "--set",
        *(f"{key}={value}" for key, value in case.all_settings.items()),
    ]
    quoted = " ".join(f"'{word}'" for word in line)
    shell = ["unshare", "--net", "sh", "-c", _COUNT.format(command=quoted)]
    process = subprocess.run(shell, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    counters = re.findall(r"^\s*lo:(.*)$", process.stdout, re.MULTILINE)[-1].split()
    return int(counters[8])


def predicted_parts(case: Case, data: Path, form: str, processes: int) -> tuple[dict[str, float], Plan]:
    """Bytes that a process sends in a step by the model, by what they are, and the plan."""
    planned = plan(*run_spec(case.net, data=str(data), parallel=form, device="cpu", settings=case.all_settings))
    model_size = choice.form_of_run(planned, processes, 1)[1]
    parts: dict[str, float] = {}
    network = choice.network_of(planned, processes)
    for part in cost.exchanges(network, form, processes, model_size, case.batch):
        parts[part.what] = parts.get(part.what, 0.0) + part.sent
    return parts, planned


def measure(case: Case, folder: Path, all_processes: Sequence[int]) -> Iterator[Row]:
    """A row for each form and number of processes: by how many percent counted and predicted bytes differ."""
    data = noise(case, folder)
    for processes in (n for n in case.processes if n in all_processes):
        for form in case.forms:
            parts, planned = predicted_parts(case, data, form, processes)
            predicted = sum(parts.values())
            runs = folder / "runs"
            few, many = (count_bytes(case, data, form, processes, steps, runs) for steps in case.steps)
            shutil.rmtree(runs)
            counted = (many - few) / (case.steps[1] - case.steps[0]) / processes
            row = Row(
                what=f"`{case.net}`, {planned.table.parameters:,} parameters, {case.batch} images, {processes}"
                f" processes, {form}",
                ours=f"counted {quantity(counted / 1e6, 'MB')} for each process and step",
                theirs=f"predicted {quantity(predicted / 1e6, 'MB')}",
                values=[100 * abs(counted / predicted - 1)],
                unit="%",
                at_least=TOLERANCE,
                less_is_better=True,
                facts={
                    "net": case.net,
                    "form": form,
                    "processes": processes,
                    "batch": case.batch,
                    "counted_bytes": counted,
                    "predicted_bytes": predicted,
                    "predicted_parts": parts,
                    "steps": case.steps,
                },
            )
            print(f"{row}; {row.ours}, {row.theirs}", flush=True)
            yield row


def main() -> None:
    parser = arguments(__doc__, name="traffic", pairs=1)
    parser.add_argument("--cases", nargs="+", choices=CASES, default=[*CASES])
    parser.add_argument("--processes", nargs="+", type=int, default=[2, 4])
    args = parser.parse_args()
    before, rows, skipped = conditions(), list[Row](), list[str]()
    if shutil.which("unshare") is None or not hasattr(os, "geteuid") or os.geteuid():
        skipped.append(skip("network namespaces", "Linux, as root, with unshare and ip"))
    else:
        with tempfile.TemporaryDirectory(prefix="traffic-") as name:
            for case in args.cases:
                rows += measure(CASES[case], Path(name), args.processes)
    write(args.out, rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
