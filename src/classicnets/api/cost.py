"""Which runs several processes can share, and what these cost: predicted from layers and from measured steps."""

from __future__ import annotations

from pathlib import Path

from classicnets.forecast.forecast import Forecast
from classicnets.parallel import choice, hardware
from classicnets.parallel.choice import Choice
from classicnets.parallel.launch import check_processes
from classicnets.runs.folder import RunFolder
from classicnets.training.plan import Plan, plan_of_run

__all__ = ["Choice", "check", "check_run", "predict"]


def check(resolved: Plan, processes: int) -> None:
    """Check that processes of this machine can share a run, before its data is read and its folder created.

    Raises:
        UsageError: CN215 if they are too many for this machine; CN216 if the network cannot be divided as the plan
            asks for, or if its batches are too small.
    """
    check_processes(processes, resolved.device)
    choice.check(resolved, processes)


def check_run(path: str | Path, processes: int, *, trust: bool = False) -> None:
    """Check that processes of this machine can share the run in a folder, before its data is read.

    Raises what `check` raises, and what `Session.resume` does for a folder whose network cannot be built.
    """
    run = RunFolder(Path(path))
    if "result" not in run.read():
        check(plan_of_run(run, trust=trust), processes)


def predict(resolved: Plan, processes: int, forecast: Forecast | None, *, gpu: str = "", link: str = "") -> Choice:
    """Predict the cost of a run in the form that its plan asks for, or in the cheapest one.

    Args:
        resolved: the plan.
        processes: number of processes.
        forecast: the estimate for one process on this machine; not needed with `gpu`.
        gpu: a GPU that each process has, by its name in `hardware.GPUS`; "" for machines like this one.
        link: the rate of the network between machines, such as "10Gbit"; "" for processes on one machine.

    Raises:
        UsageError: CN204 for an unknown GPU or rate; CN206 for contradictions; CN216 for a form that the network cannot
            take, or batches that are too small.
    """
    choice.smallest_batch(resolved, processes)
    network = hardware.link(link) if link else None
    if gpu:
        cluster = choice.gpu_cluster(resolved, gpu, processes, network)
        return choice.choose(resolved, processes, cluster, choice.gpu_precision(resolved))
    assert forecast is not None
    image_seconds = forecast.step_seconds / forecast.step_images
    return choice.choose(resolved, processes, choice.measured_cluster(resolved, processes, image_seconds, network))
