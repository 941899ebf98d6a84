"""Pooling in ONNX files: sizes, padding and divisors are written out, so that no runtime reads them differently."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import nn
from torch.nn import functional as F

from classicnets.export import graph, pooling
from classicnets.export import onnx as export_onnx
from classicnets.models.layers import RBFOutput, SameMapNorm
from classicnets.values import Preprocess
from export.test_export import check_export, with_large_weights

SIDE = 11
Pool = Callable[[torch.Tensor], torch.Tensor]

# Most of them are wrong in some runtime if the size or the divisor is left to it.
POOLS: dict[str, Pool] = {
    "average": nn.AvgPool2d(3, 2),
    "average, rounded up": nn.AvgPool2d(2, 2, ceil_mode=True),
    "average, rounded up, overlapping": nn.AvgPool2d(4, 3, ceil_mode=True),
    "average, padded": nn.AvgPool2d(3, 2, padding=1),
    "average, padding not counted": nn.AvgPool2d(3, 2, padding=1, count_include_pad=False),
    "average, both": nn.AvgPool2d(4, 3, padding=1, ceil_mode=True),
    "average, both, not counted": nn.AvgPool2d(4, 3, padding=1, ceil_mode=True, count_include_pad=False),
    "average, last window outside": nn.AvgPool2d(2, 4, padding=1, ceil_mode=True),
    "average, other divisor": nn.AvgPool2d(3, 2, divisor_override=5),
    "average, both, other divisor": nn.AvgPool2d(4, 3, padding=2, ceil_mode=True, divisor_override=2),
    "average, not square": nn.AvgPool2d((5, 3), (3, 2), padding=(2, 0), ceil_mode=True, count_include_pad=False),
    "average, function": lambda x: F.avg_pool2d(x, 2, ceil_mode=True),
    "average, one axis": lambda x: F.avg_pool1d(x.flatten(2), 7, 4, 3, ceil_mode=True, count_include_pad=False),
    "average, three axes": lambda x: F.avg_pool3d(x[:, None], 2, 2, 1, ceil_mode=True, count_include_pad=False),
    "average, no channels": lambda x: F.avg_pool2d(x[:, 0], 2, ceil_mode=True),
    "maximum": nn.MaxPool2d(3, 2),
    "maximum, rounded up": nn.MaxPool2d(2, 2, ceil_mode=True),
    "maximum, padded": nn.MaxPool2d(3, 2, padding=1),
    "maximum, both": nn.MaxPool2d(4, 3, padding=1, ceil_mode=True),
    "maximum, last window outside": nn.MaxPool2d(2, 4, padding=1, ceil_mode=True),
    "maximum, dilated": nn.MaxPool2d(3, 3, dilation=2, ceil_mode=True),
    "maximum, not square": nn.MaxPool2d((5, 3), (3, 2), padding=(2, 0), ceil_mode=True),
    "maximum, function": lambda x: F.max_pool2d(x, 2, ceil_mode=True),
    "maximum, one axis": lambda x: F.max_pool1d(x.flatten(2), 7, 4, 3, ceil_mode=True),
    "maximum, no channels": lambda x: F.max_pool2d(x[:, 0], 2, ceil_mode=True),
    "maximum, three axes": lambda x: F.max_pool3d(x[:, None], 2, 2, 1, ceil_mode=True),
}


class Pools(nn.Module):
    """All of `POOLS` beside each other, of negative numbers, so that zeros in the padding would be a maximum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.cat([pool(x - 1).flatten(1) for pool in POOLS.values()], dim=1)


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    """All of `POOLS` in one graph, because an export takes a second."""
    return export_onnx.export_network(Pools().eval(), Preprocess(channels=3, image_size=SIDE))


def check_pools(outputs: np.ndarray, x: torch.Tensor) -> None:
    start = 0
    for name, pool in POOLS.items():
        expected = pool(x - 1).flatten(1).numpy()
        part = outputs[:, start : start + expected.shape[1]]
        np.testing.assert_allclose(part, expected, atol=1e-6, rtol=0, err_msg=name)
        start += expected.shape[1]
    assert start == outputs.shape[1]


@pytest.mark.parametrize("n", [1, 3])
def test_every_pooling_equals_that_of_torch(n: int, model: onnx.ModelProto) -> None:
    x = torch.rand(n, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    check_pools(session.run(None, {graph.PREPARED: x.numpy()})[0], x)


def test_the_graph_means_the_same_by_the_definition_of_onnx(model: onnx.ModelProto) -> None:
    x = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    outputs: Any = ReferenceEvaluator(model).run(None, {graph.PREPARED: x.numpy()})
    check_pools(outputs[0], x)


def test_no_node_leaves_a_choice_to_the_runtime(model: onnx.ModelProto) -> None:
    pools = [node for node in model.graph.node if "Pool" in node.op_type]
    assert {node.op_type for node in pools} == {"AveragePool", "MaxPool"} and len(pools) > 20
    for node in pools:
        settings = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in node.attribute}
        assert not settings.get("ceil_mode") and settings.get("auto_pad", b"NOTSET") == b"NOTSET", node.name
        assert node.op_type == "MaxPool" or not any(settings.get("pads", ())), node.name


def test_windows_are_those_of_torch_for_every_geometry() -> None:
    for length, kernel, stride, ceil_mode in itertools.product(range(3, 12), range(1, 5), range(1, 6), (False, True)):
        for padding in range(kernel // 2 + 1):
            if length + 2 * padding < kernel:
                continue
            axis = pooling._Axis(length, kernel, stride, padding, 1, ceil_mode)
            arguments = kernel, stride, padding, ceil_mode
            counted = F.avg_pool1d(torch.ones(1, 1, length), *arguments)[0, 0].numpy()
            pixels = axis.divisors(with_padding=False)
            assert axis.count == len(counted), arguments
            np.testing.assert_allclose(pixels / axis.divisors(with_padding=True), counted, atol=1e-6)
            padded = length + padding + axis.after  # what a node without padding of its own makes of it
            assert (padded - kernel) // stride + 1 == axis.count and padded - length - padding < kernel
            end = max(axis.after, axis.end_padding)  # of a node that pads by itself
            assert (length + padding + end - kernel) // stride + 1 == axis.count
            assert ceil_mode or end == padding, "NCNN's converter takes other padding for something else"


def test_replaced_layers_have_operators_that_ncnn_has() -> None:
    """NCNN has no ReduceMax, and its converter makes an operator that it lacks of a negation before the softmax."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), SameMapNorm(5, alpha=0.9), nn.Flatten(), RBFOutput(torch.randn(4, 324)))
    nodes = check_export(with_large_weights(net), (3, SIDE, SIDE))
    assert nodes["AveragePool"] == 1 and not nodes.keys() & {"ReduceMax", "Neg"}
