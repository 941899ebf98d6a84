"""What `evaluate` and `predict` share: the model on the command line, and how it is computed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from classicnets import machine

if TYPE_CHECKING:
    from classicnets.api import Model


def add_argument(parser: argparse.ArgumentParser) -> None:
    """The model itself."""
    parser.add_argument("model", metavar="MODEL", help="the folder of a run, or an exported .onnx file")


def add_options(parser: argparse.ArgumentParser) -> None:
    """How it is made and computed."""
    parser.add_argument("--net", metavar="FILE.py:NET", help="make the net from here instead of where the run had it")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, mps (default: auto)")
    parser.add_argument(
        "--precision",
        choices=machine.PRECISIONS,
        default="float32",
        help="auto: bfloat16 where the hardware multiplies it and the net is large (default: float32)",
    )


def opened(args: argparse.Namespace) -> Model:
    """The model that was asked for. Raises what `api.load` does."""
    from classicnets.api import load

    return load(args.model, net=args.net, device=args.device, precision=args.precision)
