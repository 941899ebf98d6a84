"""Weights of other libraries: which network they belong to, and how they become runs, and the other way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from classicnets.api.models import Run
from classicnets.conversion import targets, write
from classicnets.conversion.convert import Converted
from classicnets.conversion.convert import convert as convert_file
from classicnets.spec import ConvertOptions

__all__ = ["Converted", "convert", "write_for"]


def convert(path: str | Path, out: str | Path, **options: Any) -> Converted:
    """Turn weights of another library into a run, which predicts, is evaluated, exported, and trained further.

    Args:
        path: the weights: a file of Caffe, MXNet, PyTorch, Keras or safetensors, or a run. No code in it is run.
        out: the run folder, which must not exist, or a file that ends in .safetensors.
        **options: fields of `ConvertOptions`.

    Raises:
        DataError: CN305 if a file cannot be read; CN306 if the files do not fit each other.
        UsageError: CN202, CN204 or CN206 for options that do not apply, CN206 if the folder exists.
        MachineError: CN401 if the run cannot be written.
    """
    write.check_target(Path(out), Path(path))
    converted = convert_file(Path(path), ConvertOptions(**options))
    write.write(Path(out), converted)
    return converted


def write_for(run: str | Path, target: str, out: str | Path, *, channel_order: str | None = None) -> list[Path]:
    """Write the network of a run as a file that another library loads.

    Args:
        run: the run folder, or a run in one file.
        target: "torchvision", "caffe", "mxnet" or "gluon".
        out: the file; its suffix may be left out.
        channel_order: the order of the color channels that the file expects, "rgb" or "bgr" (default: bgr for Caffe).

    Returns:
        The files that were written.

    Raises:
        UsageError: CN219 if the library has no such layer or network, and what `Run` raises.
        DataError: what `Run` raises.
        MachineError: CN401 if a file cannot be written.
    """
    model = Run(run, device="cpu")
    bgr = (channel_order or ("bgr" if target == "caffe" else "rgb")) == "bgr"
    return targets.write(
        model.net,
        target,
        Path(out),
        shape=model.predictor.preprocess.shape,
        name=model.folder.described_net().label,
        bgr=bgr,
    )
