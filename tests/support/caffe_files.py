"""Networks of Caffe as text, for tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from classicnets.errors import DataError
from classicnets.weights import caffe
from classicnets.weights.caffe_graph import Definition

INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 6 } } }\n'


def graph(folder: Path, text: str) -> Definition:
    """What is read of a text."""
    (folder / "net.prototxt").write_text(text)
    return caffe.graph(folder / "net.prototxt")


def error(folder: Path, text: str) -> DataError:
    """The error for a text."""
    with pytest.raises(DataError) as caught:
        graph(folder, text)
    assert caught.value.code == "CN305"
    return caught.value


def layer(kind: str, settings: str = "", *, name: str = "x", bottom: str = "data", top: str = "x") -> str:
    """A layer on one line, with names of one blob each, or several that are separated by spaces."""
    bottoms = " ".join(f'bottom: "{each}"' for each in bottom.split())
    tops = " ".join(f'top: "{each}"' for each in top.split())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} {tops} {settings} }}\n'
