"""Fixtures for the tests of exports."""

from __future__ import annotations

import functools
from collections.abc import Iterator

import pytest
from torch.onnx._internal.exporter import _registration


@pytest.fixture(autouse=True, scope="session")
def operators_listed_once() -> Iterator[None]:
    """torch lists all operators of onnxscript for each network that it exports, which takes a third of the time."""
    scripts = vars(_registration)["onnxscript_apis"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "get_torchlib_ops", functools.cache(scripts.get_torchlib_ops))
        yield
