"""Images per second of a training that several processes share: on this machine, and over a link of a chosen rate.

    python benchmarks/scaling.py                            (a quarter of an hour on 2 quiet cores)
    python benchmarks/scaling.py --parts link --rates 200mbit   (Linux, as root)

strong  the same batch for all processes together, against one process with one thread
weak    the same batch for each process
link    two network namespaces with a link between them, as two machines: torchrun in each of them, as docs/scale.md
        has it; `tc` limits the rate. ddp against hybrid, in pairs.

A process has one thread. The speed is that of the second of two epochs, as `classicnets train --jsonl` reports it,
without evaluation. Values are images per second of both, pair by pair, or their ratio.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from classicnets import machine
from hosts import PORT, Host, two_hosts
from timing import Pairs, Row, arguments, compared, conditions, pair_by_pair, skip, write
from traffic import CASES, Case, noise

PARTS = ("strong", "weak", "link")
_TIMEOUT = 600  # seconds of one training


def speed(lines: str) -> float:
    """Images per second of the last epoch, from what --jsonl prints."""
    events: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines() if line.startswith("{")]
    return float([event for event in events if "images_per_second" in event][-1]["images_per_second"])


def words(
    case: Case, data: Path, runs: Path, *, batch: int, steps: int, form: str = "", device: str = "cpu"
) -> list[str]:
    """The words after `classicnets` of a training of two epochs."""
    settings = {**case.all_settings, "epochs": 2, "batch_size": batch}
    line = [
        "train",
        case.net,
        "--data",
        str(data),
        "--device",
        device,
        "--threads",
        "1",
        "--jsonl",
        "--runs",
        str(runs),
    ]
    line += ["--limit", str(steps * batch), *(["--parallel", form] if form else [])]
    return [*line, "--set", *(f"{key}={value}" for key, value in settings.items())]


def run(command: Sequence[str], environment: dict[str, str] | None = None) -> str:
    """The standard output of a command, which must end with 0."""
    environment = {**os.environ, **(environment or {})}
    process = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT, check=False, env=environment)
    if process.returncode:
        raise RuntimeError(process.stderr[-2000:])
    return process.stdout


def of_one_machine(case: Case, folder: Path, part: str, processes: int, pairs: int, steps: int) -> Iterator[Row]:
    """Each form with all processes against one process."""
    data = noise(case, folder)
    batch = case.batch * processes if part == "weak" else case.batch

    def seconds(count: int, form: str) -> float:
        size = batch if count > 1 else case.batch
        line = [
            sys.executable,
            "-m",
            "classicnets",
            *words(case, data, folder / "runs", batch=size, steps=steps, form=form),
        ]
        line += ["--processes", str(count)] if count > 1 else []
        images_per_second = speed(run(line))
        shutil.rmtree(folder / "runs")
        return 1 / images_per_second

    for form in case.forms:
        readings = pair_by_pair(partial(seconds, processes, form), partial(seconds, 1, ""), pairs=pairs, warm_up=0)
        yield compared(
            readings,
            what=f"`{case.net}`, {processes} processes, {form}, {part} scaling: {batch} images in all, against one"
            f" process with {case.batch}",
            ours=f"{1 / min(readings.ours):,.0f} images/s",
            theirs=f"{1 / min(readings.theirs):,.0f} images/s",
            facts={"part": part, "form": form, "processes": processes, "batch": batch},
        )


def torchrun(hosts: Sequence[Host], line: Sequence[str]) -> str:
    """Run `classicnets` on both machines by torchrun, one process on each, and return the output of the first."""
    job = uuid.uuid4().hex
    children = []
    for host in hosts:
        agent = ["ip", "netns", "exec", host.space, "env", f"GLOO_SOCKET_IFNAME={host.interface}", "OMP_NUM_THREADS=1"]
        agent += [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        agent += ["--rdzv-id", job, "--rdzv-backend", "c10d", "--rdzv-endpoint", f"{hosts[0].address}:{PORT}"]
        agent += ["--rdzv-conf", f"is_host={str(host == hosts[0]).lower()}", "--local-addr", host.address]
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        children.append(subprocess.Popen([*agent, "-m", "classicnets", *line], **pipes))
    try:
        outputs = [child.communicate(timeout=_TIMEOUT) for child in children]
    finally:
        for child in children:
            child.terminate()  # an agent of torchrun ends its processes
            child.wait()
    if any(child.returncode for child in children):
        raise RuntimeError("\n".join(error[-2000:] for _, error in outputs))
    return "".join(output for output, _ in outputs)


def over_links(case: Case, folder: Path, rates: Sequence[str], pairs: int, steps: int) -> Iterator[Row]:
    """hybrid against ddp over a link of each rate."""
    data = noise(case, folder)
    for rate in rates:
        with two_hosts(rate) as hosts:

            def seconds(form: str, hosts: Sequence[Host] = hosts) -> float:
                line = words(case, data, folder / "runs", batch=case.batch, steps=steps, form=form)
                images_per_second = speed(torchrun(hosts, line))
                shutil.rmtree(folder / "runs")
                return 1 / images_per_second

            readings: Pairs = pair_by_pair(lambda: seconds("hybrid"), lambda: seconds("ddp"), pairs=pairs, warm_up=0)
        yield compared(
            readings,
            what=f"`{case.net}`, {case.batch} images, two machines with a link of {rate}: hybrid against ddp",
            ours=f"hybrid, {1 / min(readings.ours):,.1f} images/s",
            theirs=f"ddp, {1 / min(readings.theirs):,.1f} images/s",
            facts={"part": "link", "rate": rate, "batch": case.batch, "steps": steps},
        )


def main() -> None:
    parser = arguments(__doc__, name="scaling", pairs=3)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--case", choices=CASES, default="alexnet_2012", help="network and batch, see traffic.py")
    parser.add_argument("--processes", type=int, default=min(4, max(2, machine.usable_cores())))
    parser.add_argument("--steps", type=int, default=6, help="steps of an epoch (default: 6)")
    parser.add_argument("--rates", nargs="+", default=["1gbit", "200mbit"], help="of the link (default: 1gbit 200mbit)")
    args = parser.parse_args()
    before, rows, skipped = conditions(), list[Row](), list[str]()
    case = CASES[args.case]
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        folder = Path(name)
        for part in ("strong", "weak"):
            if part in args.parts:
                rows += of_one_machine(case, folder, part, args.processes, args.pairs, args.steps)
        if "link" in args.parts:
            if hasattr(os, "geteuid") and os.geteuid() == 0 and shutil.which("ip") and shutil.which("tc"):
                rows += over_links(case, folder, args.rates, args.pairs, args.steps)
            else:
                skipped.append(skip("link", "Linux, as root, with ip and tc"))
    write(args.out, rows, before, skipped=skipped)


if __name__ == "__main__":
    main()
