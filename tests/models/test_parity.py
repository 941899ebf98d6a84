"""Networks against the frameworks they come from, with equal weights and images; outputs: tests/models/goldens.

An error is measured relative to the spread of the outputs over images. Networks whose weights files are read too are
compared in tests/weights/test_full_size.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import parity
import pytest
import torch
from golden_inputs import images, parameters
from torch import nn

import classicnets as cn
from classicnets.models.registry import NETS

GOLDENS = Path(__file__).parent / "goldens"

FRAMEWORKS = [json.loads(path.read_text()) for path in sorted(GOLDENS.glob("*.json"))]
CASES = {name: facts for framework in FRAMEWORKS for name, facts in framework["nets"].items()}
TOLERANCE = 1e-4  # of the spread; another order of float32 sums gives about 1e-6 to 1e-5


def with_golden_weights(net: nn.Module, gain: float) -> nn.Module:
    own_parameters = list(net.parameters())
    with torch.no_grad():
        for parameter, value in zip(
            own_parameters, parameters([tuple(p.shape) for p in own_parameters], gain), strict=True
        ):
            parameter.copy_(torch.from_numpy(value))
    return net.eval()


def relative_error(net: nn.Module, facts: dict[str, Any]) -> float:
    """The largest difference to the framework's outputs, in units of their spread over the images."""
    expected = np.asarray(facts["outputs"])
    with torch.no_grad():
        outputs = net(torch.from_numpy(images(facts["input"], *facts["range"]))).numpy()
    return float((np.abs(outputs - expected) / expected.std(axis=0).mean()).max())


def build(name: str) -> nn.Module:
    facts = CASES[name]
    _, channels, image_size, _ = facts["input"]
    net = cn.create(name, num_classes=len(facts["outputs"][0]), in_channels=channels, image_size=image_size)
    return with_golden_weights(net, facts["gain"])


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_outputs_equal_the_framework(name: str) -> None:
    assert relative_error(build(name), CASES[name]) < TOLERANCE


def test_torchvision_alexnet_has_the_names_of_torchvision() -> None:
    facts = CASES["alexnet_torchvision"]
    assert list(cn.create("alexnet_torchvision").state_dict()) == facts["names"]


def test_registry_claims_the_tested_frameworks() -> None:
    assert {name for name, entry in NETS.items() if "framework" in entry.proven} == {*CASES, *parity.NETS}
