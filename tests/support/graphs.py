"""Networks as graphs: those of Caffe as in their prototxt files, and one with two paths."""

from __future__ import annotations

from typing import Any

from classicnets.models.graph import Graph, Node


def node(name: str, kind: str, inputs: str, **settings: Any) -> Node:
    """A node; `inputs` are names with spaces between them."""
    return Node(name=name, kind=kind, inputs=tuple(inputs.split()), settings=settings)


def chain(name: str, shape: tuple[int, int, int], *layers: tuple[str, str, dict[str, Any]]) -> Graph:
    """A graph in which each layer reads the one before it; a layer is its name, kind and settings."""
    before = ["data", *(layer[0] for layer in layers)]
    nodes = [node(name, kind, source, **s) for (name, kind, s), source in zip(layers, before, strict=False)]
    return Graph(name=name, input=shape, nodes=tuple(nodes))


def conv(name: str, out: int, kernel: int, stride: int = 1, padding: int = 0, groups: int = 1) -> Any:
    """A square convolution."""
    settings = {"out": out, "kernel": [kernel] * 2, "stride": [stride] * 2, "padding": [padding] * 2, "groups": groups}
    return name, "conv", settings


def pool(name: str, kernel: int, stride: int, mode: str = "max", **settings: Any) -> Any:
    """Square pooling that rounds up."""
    return name, "pool", {"mode": mode, "kernel": [kernel] * 2, "stride": [stride] * 2, "ceil": True, **settings}


def lrn(name: str) -> Any:
    """The normalization of Caffe's networks for ImageNet."""
    return name, "lrn", {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 1.0}


def _alexnet(name: str, size: int, *, pool_first: bool) -> Graph:
    blocks = [(pool(f"pool{i}", 3, 2), lrn(f"norm{i}")) for i in (1, 2)]
    first, second = blocks if pool_first else [block[::-1] for block in blocks]
    return chain(
        name,
        (3, size, size),
        conv("conv1", 96, 11, 4),
        ("relu1", "relu", {}),
        *first,
        conv("conv2", 256, 5, padding=2, groups=2),
        ("relu2", "relu", {}),
        *second,
        conv("conv3", 384, 3, padding=1),
        ("relu3", "relu", {}),
        conv("conv4", 384, 3, padding=1, groups=2),
        ("relu4", "relu", {}),
        conv("conv5", 256, 3, padding=1, groups=2),
        ("relu5", "relu", {}),
        pool("pool5", 3, 2),
        ("fc6", "dense", {"out": 4096}),
        ("relu6", "relu", {}),
        ("drop6", "dropout", {"p": 0.5}),
        ("fc7", "dense", {"out": 4096}),
        ("relu7", "relu", {}),
        ("drop7", "dropout", {"p": 0.5}),
        ("fc8", "dense", {"out": 1000}),
    )


def of_caffe(name: str, size: int) -> Graph:
    """bvlc_alexnet, CaffeNet or LeNet of Caffe, under their names in the registry, for images of this size."""
    if name == "lenet_caffe":
        return chain(
            name,
            (1, size, size),
            conv("conv1", 20, 5),
            pool("pool1", 2, 2),
            conv("conv2", 50, 5),
            pool("pool2", 2, 2),
            ("ip1", "dense", {"out": 500}),
            ("relu1", "relu", {}),
            ("ip2", "dense", {"out": 10}),
        )
    return _alexnet(name, size, pool_first=name == "caffenet")


def two_paths(classes: int = 10, size: int = 28) -> Graph:
    """A small network whose layers read several others, with names that torch's modules and files do not allow."""
    same = {"padding": [1, 1], "kernel": [3, 3]}
    nodes = (
        node("conv1", "conv", "data", out=8, kernel=[5, 5], stride=[2, 2], padding=[2, 2]),
        node("left/1x1", "conv", "conv1", out=4, kernel=[1, 1]),
        node("right.3x3", "conv", "conv1", out=4, **same),
        node("forward", "concat", "left/1x1 right.3x3"),
        node("sum", "eltwise", "forward conv1", coefficients=[1.0, 0.5]),
        node("norm", "batch_norm", "sum", scale=False),
        node("scale", "scale", "norm", bias=True),
        node("relu", "relu", "scale"),
        node("within", "lrn", "relu", size=3, alpha=0.1, beta=0.75, k=1.0, region="within"),
        node("pool", "pool", "within", mode="average", kernel=[3, 3], stride=[2, 2], padding=[2, 2], ceil=True),
        node("fc1", "dense", "pool", out=20),
        node("relu1", "relu", "fc1", slope=0.1),
        node("drop1", "dropout", "relu1", p=0.3),
        node("fc2", "dense", "drop1", out=classes),
    )
    return Graph(name="Two/../paths", input=(1, size, size), nodes=nodes)
