"""Changes of weights that leave what a network computes as it is, or say what they change."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from classicnets.conversion.network import Network, by_node, of_graph
from classicnets.errors import DataError, UsageError
from classicnets.models.graph import DATA, Graph, Node, module_name
from classicnets.text import _, command
from classicnets.text import shape as shape_text
from classicnets.values import Preprocess


def reverse_channels(network: Network) -> Network:
    """Reverse the channels of a network for BGR, so that it reads RGB and computes the same.

    Raises:
        UsageError: CN206 if the channels are not read by a convolution or a dense layer.
    """
    return network.changed(_for_first(network, lambda weight: weight.flip(1), "--channel-order"))


def to_gray(network: Network, preprocess: Preprocess) -> tuple[Network, Preprocess, str]:
    """Turn a network for color images into one for gray images.

    For a gray image, the new network computes what the color network computes for the same image in three channels:
    exactly if no zeros are padded before the first layer, or if all channels are normalized alike.

    Returns:
        The network, its preprocessing, and a sentence that says how exact it is.

    Raises:
        UsageError: CN206 if the network does not read color images, or subtracts a mean image.
    """
    if network.spec.in_channels != 3:
        raise UsageError(
            "CN206",
            _("the network reads {n} channels, so there are no colors to sum", n=network.spec.in_channels),
            where="--gray",
            hint=_("the same command without {option}", option="--gray"),
        )
    if _mean_image(network):
        raise UsageError(
            "CN206",
            _("a network that subtracts a mean image cannot become one for gray images"),
            where="--gray",
            hint=command("--mean", "104,117,123"),
        )
    if _scales(network) and len({*preprocess.mean}) + len({*preprocess.std}) > 2:
        raise UsageError(
            "CN206",
            _(
                "a network that scales its images itself can become one for gray images only if all channels are"
                " normalized alike"
            ),
            where="--gray",
            hint=command("--mean", "117"),
        )
    means, stds = (list(numbers) * (3 // len(numbers)) for numbers in (preprocess.mean, preprocess.std))
    mean, std = sum(means) / 3, sum(stds) / 3
    factors = torch.tensor([std / each for each in stds]).reshape(1, 3, 1, 1)
    shifts = torch.tensor([(mean - m) / s for m, s in zip(means, stds, strict=True)]).reshape(1, 3, 1, 1)
    tensors = _for_first(network, lambda w: (w * factors.to(w)).sum(dim=1, keepdim=True), "--gray")
    biases = {name: name.removesuffix("weight") + "bias" for name in network.first}
    without = [name for name, bias in biases.items() if bias not in network.tensors]
    exact = _("exactly")
    if len({*means}) > 1:
        exact = _("exactly where no zeros are padded")
        for name, bias in biases.items():
            if name not in without:
                weight = _image_weight(network, name)
                tensors[bias] = network.tensors[bias] + (weight * shifts.to(weight)).sum(dim=(1, 2, 3))
        if without:
            exact = _("but for the difference of the channels' means, because {name} has no bias", name=without[0])
    gray = replace(preprocess, channels=1, mean=(mean,), std=(std,))
    return network.changed(tensors, in_channels=1), gray, exact


def set_groups(network: Network, groups: int) -> tuple[Network, list[str]]:
    """Make grouped convolutions dense, with zeros between the groups, or split convolutions with such zeros again.

    Args:
        network: the network, which becomes a graph.
        groups: 1, or the number of groups of those convolutions whose other weights are all zero.

    Returns:
        The network, and the names of the convolutions that were changed.

    Raises:
        UsageError: CN206 if no convolution can be changed.
    """
    graph_network = network.as_graph()
    graph, tensors, changed = graph_network.spec.read_graph(), dict(graph_network.tensors), []
    nodes = []
    for node in graph.nodes:
        name = f"{module_name(node.name)}.weight"
        own = node.settings.get("groups", 1)
        weight = None
        if node.kind == "conv" and own != groups:
            dense = _dense(tensors[name], own)
            weight = dense if groups == 1 else split(dense, groups)
        if weight is not None:
            tensors[name] = weight
            changed.append(node.name)
            nodes.append(replace(node, settings={**node.settings, "groups": groups}))
        else:
            nodes.append(node)
    if not changed:
        why = (
            _("no convolution has groups")
            if groups == 1
            else _("no convolution has zeros between {n} groups", n=groups)
        )
        raise UsageError(
            "CN206",
            _("the groups cannot be changed"),
            where=command("--groups", str(groups)),
            why=why,
            hint=_("the same command without {option}", option="--groups"),
        )
    renewed = Graph(name=graph.name, input=graph.input, nodes=tuple(nodes))
    return of_graph(renewed, by_node(renewed, tensors), network.spec.num_classes), changed


def subtract_mean(network: Network, image: Tensor) -> Network:
    """Let the network subtract a mean image [C, H, W] itself, in the order of the channels that it reads.

    The center of a larger image is used, as Caffe crops image and mean together.

    Raises:
        DataError: CN306 if the image is smaller, or has other channels.
    """
    channels, height, width = network.shape
    top, left = (image.shape[1] - height) // 2, (image.shape[2] - width) // 2
    if image.shape[0] != channels or top < 0 or left < 0:
        raise DataError(
            "CN306",
            _(
                "the mean image of {found} does not fit images of {shape}",
                found=shape_text(image.shape),
                shape=shape_text(network.shape),
            ),
            where="--mean",
            hint=_("use the mean image of the same network, or the mean of each channel: --mean 104,117,123"),
        )
    graph_network = network.as_graph()
    graph = graph_network.spec.read_graph()
    name = "mean_image"
    while name in {node.name for node in graph.nodes}:
        name += "_"
    moved = [
        replace(node, inputs=tuple(name if each == DATA else each for each in node.inputs)) for node in graph.nodes
    ]
    nodes = (Node(name=name, kind="mean_image", inputs=(DATA,), settings={}), *moved)
    renewed = Graph(name=graph.name, input=graph.input, nodes=nodes)
    mean = image[:, top : top + height, left : left + width].contiguous()
    tensors = {**by_node(graph, graph_network.tensors), f"{name}.mean": mean}
    return of_graph(renewed, tensors, network.spec.num_classes)


def new_head(network: Network, num_classes: int) -> Network:
    """Replace the last dense layer by a new one, with the initial weights of torch.

    Raises:
        UsageError: CN206 if the last layer with weights is not dense.
    """
    head = network.head
    if not head:
        raise UsageError(
            "CN206",
            _("the last layer with weights is not a dense layer, so it cannot be replaced"),
            where="--new-head",
            hint=_("the same command without {option}", option="--new-head"),
        )
    old = network.tensors[f"{head}.weight"]
    bias = f"{head}.bias" in network.tensors
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layer = nn.Linear(old.shape[1], num_classes, bias=bias, dtype=old.dtype)
    tensors = {f"{head}.{name}": value.detach() for name, value in layer.named_parameters()}
    return network.changed(tensors, num_classes=num_classes)


def _for_first(network: Network, change: Callable[[Tensor], Tensor], option: str) -> dict[str, Tensor]:
    """The weights that read the image, changed as [outputs, channels, height, width]."""
    if not network.first:
        raise UsageError(
            "CN206",
            _("the image is read by a layer that mixes its channels or has no weights, so they cannot be changed"),
            where=option,
            hint=_("the same command without {option}", option=option),
        )
    changed = {}
    for name in network.first:
        weight = change(_image_weight(network, name))
        changed[name] = weight.flatten(1) if network.tensors[name].dim() == 2 else weight.contiguous()
    return changed


def _image_weight(network: Network, name: str) -> Tensor:
    """Weights that read the image, as [outputs, channels, height, width]."""
    weight, channels = network.tensors[name], network.spec.in_channels
    if weight.dim() == 4 and weight.shape[1] == channels:
        return weight
    if weight.dim() == 2 and weight.shape[1] == math.prod(network.shape):
        return weight.reshape(len(weight), *network.shape)
    raise UsageError(
        "CN206",
        _(
            "{name} of {shape} does not read all {n} channels of an image",
            name=name,
            shape=shape_text(weight.shape),
            n=channels,
        ),
        hint=_("{option}   # leaves the order of the channels as it is", option=command("--channel-order", "rgb")),
    )


def _scales(network: Network) -> bool:
    """Whether a layer without weights changes the pixels before the first layer with weights."""
    return network.spec.kind == "graph" and any(
        node.kind == "power" and DATA in node.inputs for node in network.spec.read_graph().nodes
    )


def _mean_image(network: Network) -> bool:
    return network.spec.kind == "graph" and any(n.kind == "mean_image" for n in network.spec.read_graph().nodes)


def _dense(weight: Tensor, groups: int) -> Tensor:
    """[out, in / groups, h, w] as [out, in, h, w], with zeros between the groups."""
    out, channels = weight.shape[:2]
    dense = weight.new_zeros(out, channels * groups, *weight.shape[2:])
    for i in range(groups):
        rows, columns = _block(out, channels * groups, groups, i)
        dense[rows, columns] = weight[rows]
    return dense


def split(dense: Tensor, groups: int) -> Tensor | None:
    """Return the blocks of a dense weight that has only zeros between its groups; None for another one."""
    out, channels = dense.shape[:2]
    if out % groups or channels % groups:
        return None
    blocks = [dense[_block(out, channels, groups, i)] for i in range(groups)]
    inside = sum(int(block.count_nonzero()) for block in blocks)
    return torch.cat(blocks) if inside and inside == int(dense.count_nonzero()) else None


def _block(out: int, channels: int, groups: int, i: int) -> tuple[slice, slice]:
    rows, columns = out // groups, channels // groups
    return slice(i * rows, (i + 1) * rows), slice(i * columns, (i + 1) * columns)
