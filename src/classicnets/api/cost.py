"""What a run costs that several processes share: predicted from its layers, and from steps measured on this machine."""

from __future__ import annotations

from classicnets.forecast.forecast import Forecast
from classicnets.parallel import choice, hardware
from classicnets.parallel.choice import Choice
from classicnets.training.plan import Plan

__all__ = ["Choice", "predict"]


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
            take.
    """
    network = hardware.link(link) if link else None
    if gpu:
        cluster = choice.gpu_cluster(resolved, gpu, processes, network)
        return choice.choose(resolved, processes, cluster, choice.gpu_precision(resolved))
    assert forecast is not None
    image_seconds = forecast.step_seconds / forecast.step_images
    return choice.choose(resolved, processes, choice.measured_cluster(resolved, processes, image_seconds, network))
