"""Whole nets against the engines they came from, on equal weights and images: outputs kept in tests/models/goldens.

An error is measured against the spread of the outputs over images, and the images are such that a wrong order, a
wrong constant or a missing normalization shows (a test below proves that they would).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from again import images, parameters
from torch import nn

import classicnets as cn
from classicnets.models.registry import NETS

GOLDENS = Path(__file__).parent / "goldens"

ENGINES = [json.loads(path.read_text()) for path in sorted(GOLDENS.glob("*.json"))]
CASES = {name: facts for engine in ENGINES for name, facts in engine["nets"].items()}
TOLERANCE = 1e-4  # of the spread; float32 sums in another order give about 1e-6 to 1e-5


def with_numbers(net: nn.Module, gain: float) -> nn.Module:
    own = list(net.parameters())
    with torch.no_grad():
        for parameter, value in zip(own, parameters([tuple(p.shape) for p in own], gain), strict=True):
            parameter.copy_(torch.from_numpy(value))
    return net.eval()


def error(net: nn.Module, facts: dict[str, Any]) -> float:
    """The largest difference to the engine's outputs, in units of their spread over the images."""
    expected = np.asarray(facts["outputs"])
    with torch.no_grad():
        got = net(torch.from_numpy(images(facts["input"], *facts["range"]))).numpy()
    return float((np.abs(got - expected) / expected.std(axis=0).mean()).max())


def built(name: str) -> nn.Module:
    facts = CASES[name]
    _, channels, side, _ = facts["input"]
    net = cn.create(name, num_classes=len(facts["outputs"][0]), in_channels=channels, image_size=side)
    return with_numbers(net, facts["gain"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_a_net_gives_what_its_engine_gives(name: str) -> None:
    assert error(built(name), CASES[name]) < TOLERANCE


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CASES if name in ("alexnet_mxnet", "alexnet_caffe", "caffenet")])
def test_the_images_would_show_a_wrong_normalization(name: str) -> None:
    """Without LRN, or with another k, the same net is far outside the tolerance."""
    from classicnets.models.lrn import LRN

    net = built(name)
    for layer in net.modules():
        if isinstance(layer, LRN):
            layer.k += 1.0
    assert error(net, CASES[name]) > 100 * TOLERANCE


def test_the_names_of_torchvision_s_alexnet_are_ours() -> None:
    facts = CASES["alexnet_torchvision"]
    assert list(cn.create("alexnet_torchvision").state_dict()) == facts["names"]


def test_the_registry_claims_what_is_proven_here() -> None:
    assert {name for name, entry in NETS.items() if "engine" in entry.proven} == set(CASES)
