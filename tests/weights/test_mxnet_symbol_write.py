"""Networks written as `-symbol.json`: every kind of node is read as it was, and the file is that of MXNet."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from classicnets.models.graph import Node, build
from classicnets.models.graph_kinds import with_defaults
from classicnets.weights import mxnet_params, mxnet_symbol, mxnet_symbol_write
from support.graphs import node

FILES = Path(__file__).parents[1] / "models" / "goldens" / "mxnet_files"
SHAPE = (4, 11, 13)


def written(path: Path, nodes: list[Node], shape: tuple[int, int, int] = SHAPE) -> mxnet_symbol.Symbol:
    """What is read of the file for these nodes."""
    path.write_text(mxnet_symbol_write.write(nodes, shape))
    return mxnet_symbol.read(path)


def complete(nodes: list[Node]) -> list[Node]:
    """The nodes with all settings."""
    completed = []
    for each in nodes:
        settings = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in with_defaults(each.kind, each.settings).items()
        }
        completed.append(Node(name=each.name, kind=each.kind, inputs=each.inputs, settings=settings))
    return completed


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net-symbol.json"


FULL: dict[str, Any] = {"stride": [2, 2], "padding": [1, 1], "ceil": True}
KINDS = [
    node("times", "power", "data", scale=2.0),
    node("plus", "power", "times", shift=-0.5),
    node("minus", "power", "plus", scale=-1.0, shift=0.3),
    node("conv1", "conv", "minus", out=6, kernel=[3, 3], stride=[1, 2], padding=[1, 0], groups=2, bias=False),
    node("bn1", "batch_norm", "conv1", eps=0.002, momentum=0.2),
    node("lrn1", "lrn", "bn1", size=3, alpha=5e-05, beta=0.75, k=1.5),
    node("a", "conv", "lrn1", out=4, kernel=[3, 2], dilation=[2, 1], padding=[2, 1]),
    node("slopes", "prelu", "a"),
    node("one.slope", "prelu", "a", shared=True),
    node("relu", "relu", "a"),
    node("leaky", "relu", "a", slope=0.2),
    node("elu", "elu", "a", alpha=0.7),
    node("sigmoid", "sigmoid", "a"),
    node("tanh", "tanh", "a"),
    node("softplus", "softplus", "a"),
    node("absolute", "absolute", "a"),
    node("sum2", "eltwise", "slopes one.slope"),
    node("difference", "eltwise", "leaky elu", coefficients=[1.0, -1.0]),
    node("sum3", "eltwise", "sigmoid tanh softplus"),
    node("product", "eltwise", "sum2 difference", operation="product"),
    node("largest", "eltwise", "sum3 product", operation="max"),
    node("joined", "concat", "largest absolute relu"),
    node("dropped", "dropout", "joined", p=0.3),
    node("maximum", "pool", "dropped", mode="max", kernel=[3, 3], **FULL),
    node("mean", "pool", "dropped", mode="average", kernel=[3, 3], count_padding=True, **FULL),
    node("pixels", "pool", "dropped", mode="average", kernel=[3, 3], count_padding=False, **FULL),
    node("pooled", "eltwise", "maximum mean pixels"),
    node("down", "pool", "pooled", mode="max", kernel=[2, 3], stride=[2, 1], padding=[0, 0], ceil=False),
    node("shares", "softmax", "down"),
    node("most", "pool", "shares", mode="max", whole=True),
    node("all", "pool", "shares", mode="average", whole=True),
    node("both", "concat", "most all"),
    node("flat", "flatten", "both"),
    node("fc1", "dense", "flat", out=7),
    node("prob", "softmax", "fc1"),
    node("fc2", "dense", "prob", out=5, bias=False),
]


def test_every_kind_is_read_as_it_was(path: Path) -> None:
    symbol = written(path, KINDS)
    assert complete(symbol.nodes) == complete(KINDS)
    assert symbol.input_shape == SHAPE
    assert symbol.ones == frozenset()


def test_a_chain_is_written_in_the_format_of_mxnet(path: Path) -> None:
    """Numbers are text, variables stand before the operator that reads them, and a classifier ends in SoftmaxOutput."""
    nodes = [
        node("conv1", "conv", "data", out=2, kernel=[3, 3], stride=[2, 1], bias=False),
        node("pool1", "pool", "conv1", mode="max", kernel=[2, 2], stride=[2, 2], ceil=True),
        node("bn1", "batch_norm", "pool1", eps=0.001, momentum=0.1, scale=False),
        node("fc", "dense", "bn1", out=3),
    ]
    path.write_text(mxnet_symbol_write.write(nodes, (1, 9, 8)))
    assert json.loads(path.read_text()) == {
        "nodes": [
            {"op": "null", "name": "data", "attrs": {"__shape__": "(0, 1, 9, 8)"}, "inputs": []},
            {"op": "null", "name": "conv1_weight", "inputs": []},
            {
                "op": "Convolution",
                "name": "conv1",
                "attrs": {"kernel": "(3, 3)", "no_bias": "True", "num_filter": "2", "stride": "(2, 1)"},
                "inputs": [[0, 0, 0], [1, 0, 0]],
            },
            {
                "op": "Pooling",
                "name": "pool1",
                "attrs": {
                    "kernel": "(2, 2)", "pool_type": "max", "pooling_convention": "full", "stride": "(2, 2)",
                },
                "inputs": [[2, 0, 0]],
            },
            {"op": "null", "name": "bn1_gamma", "inputs": []},
            {"op": "null", "name": "bn1_beta", "inputs": []},
            {"op": "null", "name": "bn1_moving_mean", "inputs": []},
            {"op": "null", "name": "bn1_moving_var", "inputs": []},
            {
                "op": "BatchNorm",
                "name": "bn1",
                "attrs": {"eps": "0.001", "fix_gamma": "True", "momentum": "0.9"},
                "inputs": [[3, 0, 0], [4, 0, 0], [5, 0, 0], [6, 0, 1], [7, 0, 1]],
            },
            {"op": "null", "name": "fc_weight", "inputs": []},
            {"op": "null", "name": "fc_bias", "inputs": []},
            {
                "op": "FullyConnected",
                "name": "fc",
                "attrs": {"num_hidden": "3"},
                "inputs": [[8, 0, 0], [9, 0, 0], [10, 0, 0]],
            },
            {"op": "null", "name": "softmax_label", "inputs": []},
            {"op": "SoftmaxOutput", "name": "softmax", "inputs": [[11, 0, 0], [12, 0, 0]]},
        ],
        "arg_nodes": [0, 1, 4, 5, 6, 7, 9, 10, 12],
        "node_row_ptr": [0, 1, 2, 3, 5, 6, 7, 8, 9, 12, 13, 14, 15, 16, 17],
        "heads": [[13, 0, 0]],
        "attrs": {"mxnet_version": ["int", 10901]},
    }  # fmt: skip
    symbol = mxnet_symbol.read(path)
    assert [each.name for each in symbol.nodes] == [each.name for each in nodes]
    assert symbol.ones == {"bn1.weight"} and symbol.parameters["bn1.running_var"] == "bn1_moving_var"


@pytest.mark.parametrize("name", ["layers", "branches", "gluon"])
def test_files_of_mxnet_are_written_as_they_were_read(path: Path, name: str) -> None:
    """MXNet's own files; a softmax at the end becomes a SoftmaxOutput, which is not read."""
    nodes = mxnet_symbol.read(FILES / f"{name}-symbol.json").nodes
    again = written(path, nodes, (2, 9, 9)).nodes
    assert again == (nodes[:-1] if nodes[-1].kind == "softmax" else nodes)


def test_images_as_output_get_no_softmax(path: Path) -> None:
    nodes = [node("conv1", "conv", "data", out=2, kernel=[3, 3]), node("s", "softmax", "conv1")]
    assert [each.kind for each in written(path, nodes).nodes] == ["conv", "softmax"]
    assert "SoftmaxOutput" not in path.read_text()


def test_a_softmax_at_the_end_becomes_the_output(path: Path) -> None:
    nodes = [node("fc", "dense", "data", out=2), node("softmax", "softmax", "fc")]
    assert [each.kind for each in written(path, nodes).nodes] == ["dense"]
    assert '{"op": "SoftmaxOutput", "name": "softmax"' in path.read_text()


def test_names_do_not_meet(path: Path) -> None:
    """Operators that a node needs in addition, and the output, have names of their own."""
    nodes = [
        node("softmax", "power", "data", scale=2.0, shift=1.0),
        node("softmax_scale", "relu", "softmax"),
        node("s_input0", "tanh", "softmax_scale"),
        node("s", "eltwise", "s_input0 softmax softmax_scale", coefficients=[0.5, 1.0, 2.0]),
        node("p", "eltwise", "s softmax s_input0", operation="product"),
        node("fc", "dense", "p", out=2),
    ]
    symbol = written(path, nodes)
    names = [entry["name"] for entry in json.loads(path.read_text())["nodes"]]
    assert len(set(names)) == len(names) and names[-1] == "softmax_"
    x = torch.randn(2, *SHAPE)
    weights = {"fc.weight": torch.randn(2, 4 * 11 * 13), "fc.bias": torch.zeros(2)}
    outputs = []
    for each in (nodes, symbol.nodes):
        net = build(each, SHAPE)
        net.load_state_dict(weights)
        outputs.append(net(x).detach())
    torch.testing.assert_close(*outputs)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (node("x", "lrn", "data", size=3, alpha=1.0, beta=0.5, k=1.0, region="within"), "across channels only"),
        (node("x", "power", "data", power=2.0), "only a power of 1"),
        (node("x", "exponential", "data"), "no such operator"),
        (node("x", "scale", "data"), "no such operator"),
        (node("x", "dropout", "data", p=1), "p is 1"),
        (node("x", "pool", "data", mode="max", kernel=[2, 2], stride=[3, 3], ceil=True), "no number"),
    ],
)
def test_nodes_without_equivalent_are_named(wrong: Node, why: str) -> None:
    with pytest.raises(ValueError, match=f"'x' \\({wrong.kind}\\): .*{why}"):
        mxnet_symbol_write.write([wrong], (4, 11, 11))


def test_weights_have_the_names_of_a_checkpoint() -> None:
    nodes = [
        node("conv1", "conv", "data", out=2, kernel=[3, 3], bias=False),
        node("bn1", "batch_norm", "conv1"),
        node("slopes", "prelu", "bn1"),
        node("bn2", "batch_norm", "slopes", scale=False),
        node("fc", "dense", "bn2", out=3),
    ]
    state = build(nodes, (1, 5, 5)).state_dict()
    named = mxnet_symbol_write.name_tensors(nodes, state)
    assert [*named] == [
        "arg:conv1_weight", "arg:bn1_gamma", "arg:bn1_beta", "arg:slopes_gamma", "arg:bn2_gamma", "arg:bn2_beta",
        "arg:fc_weight", "arg:fc_bias", "aux:bn1_moving_mean", "aux:bn1_moving_var", "aux:bn2_moving_mean",
        "aux:bn2_moving_var",
    ]  # fmt: skip
    assert named["arg:slopes_gamma"] is state["slopes.weight"]
    assert named["arg:bn2_gamma"].tolist() == [1, 1] and named["arg:bn2_beta"].tolist() == [0, 0]
    del state["fc.bias"]
    with pytest.raises(ValueError, match=r"fc\.bias are missing"):
        mxnet_symbol_write.name_tensors(nodes, state)


def test_a_checkpoint_of_mxnet_is_written_to_the_byte(tmp_path: Path) -> None:
    """The file that MXNet 1.9.1 has written, read and written again."""
    symbol = mxnet_symbol.read(FILES / "branches-symbol.json")
    tensors = symbol.name_tensors(mxnet_params.read(FILES / "branches.params", data=True))
    mxnet_params.write(mxnet_symbol_write.name_tensors(symbol.nodes, tensors), tmp_path / "again.params")
    assert (tmp_path / "again.params").read_bytes() == (FILES / "branches.params").read_bytes()
