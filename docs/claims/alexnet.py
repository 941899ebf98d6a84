"""Claims about the layers of AlexNet."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from claims.claim import Finding, Topic, judge, number_of
from classicnets.text import shape as shape_text
from pages.networks import (
    build_network,
    channel_counts,
    convolution_layers,
    dense_layers,
    family,
    grouped,
    layer_kinds,
    layer_table,
    layers_by_name,
    pooling_layers,
    window_sizes,
)
from pages.texts import _, join

TOPIC = Topic("AlexNet's layers")


@TOPIC.computed("true")
def five_convolutions_three_dense() -> Finding:
    """AlexNet has eight layers with weights: five convolutions, two hidden dense layers and a dense output."""
    convolutions, dense = convolution_layers("alexnet_2012"), dense_layers("alexnet_2012")
    holds = (len(convolutions), len(dense)) == (5, 3)
    return judge(holds and channel_counts(dense) == [4096, 4096, 1000]), _(
        "{convolutions} convolutions of {maps} feature maps and {dense} dense layers of {units}.",
        convolutions=len(convolutions),
        maps=join(channel_counts(convolutions)),
        dense=len(dense),
        units=join(channel_counts(dense)),
    )


@TOPIC.computed("true")
def windows_11_5_3() -> Finding:
    """AlexNet's windows are 11x11, then 5x5, then 3x3; max pooling of 3x3 with stride 2 follows layers 1, 2 and 5."""
    table = layer_table("alexnet_2012")
    windows, pools = window_sizes(convolution_layers("alexnet_2012")), pooling_layers("alexnet_2012")
    after, convolutions = [], 0
    for row in table.rows:
        convolutions += row.kind == "Conv2d"
        after += [convolutions] if row.kind == "MaxPool2d" else []
    pooling = {(row.kind, row.kernel, row.stride) for row in pools}
    holds = windows == [11, 5, 3, 3, 3] and after == [1, 2, 5] and pooling == {("MaxPool2d", (3, 3), (2, 2))}
    return judge(holds), _(
        "Windows {windows}; pooling windows of {pooling} after layers {after}.",
        windows=join(windows),
        pooling=join(sorted(set(window_sizes(pools)))),
        after=join(after),
    )


@TOPIC.computed("true")
def who_reads_both_towers() -> Finding:
    """AlexNet runs as two towers; only the third convolution reads all feature maps of the layer before; it ends in
    1,000 classes.
    """
    inputs = {
        row.name: (row.inputs[0] // (row.groups or 1), row.inputs[0]) for row in convolution_layers("alexnet_2012")[1:]
    }
    both = [name for name, (read, total) in inputs.items() if read == total]
    return judge(both == ["conv3"] and layer_table("alexnet_2012").output_shape == (1000,)), _(
        "Feature maps that a kernel reads: {layers}. The dense layers read both towers, too.",
        layers=join(
            _("{name} {read} of {total}", name=name, read=read, total=total) for name, (read, total) in inputs.items()
        ),
    )


@TOPIC.computed("true")
def conv4_and_conv5_read_192() -> Finding:
    """AlexNet's fourth and fifth convolutions have 384 kernels and 256 kernels of 3x3x192, and there is no
    pooling or normalization between the third and the fifth.
    """
    network, names = build_network("alexnet_2012"), [row.name for row in layer_table("alexnet_2012").rows]
    kernels = [tuple(network.get_parameter(f"{name}.weight").shape) for name in ("conv4", "conv5")]
    between = names[names.index("conv3") + 1 : names.index("conv5")]
    holds = kernels == [(384, 192, 3, 3), (256, 192, 3, 3)] and between == ["relu3", "conv4", "relu4"]
    return judge(holds), _(
        "Weights {conv4} and {conv5}; between them {between}.",
        conv4=shape_text(kernels[0]),
        conv5=shape_text(kernels[1]),
        between=join(between),
    )


@TOPIC.computed("true")
def two_towers_are_two_groups() -> Finding:
    """Two towers on two machines compute what one convolution in two groups computes."""
    row = layers_by_name("alexnet_2012")["conv2"]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        grouped_layer = nn.Conv2d(row.inputs[0], row.outputs[0], 5, padding=2, groups=row.groups or 1).double()
        maps = torch.rand(1, row.inputs[0], 9, 9, dtype=torch.float64)
    bias = grouped_layer.bias
    assert bias is not None
    halves = zip(maps.chunk(2, 1), grouped_layer.weight.chunk(2), bias.chunk(2), strict=True)
    towers = torch.cat([F.conv2d(x, weight[:, : x.shape[1]], b, padding=2) for x, weight, b in halves], 1)
    same = torch.allclose(grouped_layer(maps), towers, rtol=1e-12)
    fields = {"groups": row.groups, "weights": row.weights, "all_weights": row.weights * (row.groups or 1)}
    if not same:
        return judge(same), _(
            "The second convolution as groups={groups} and as two convolutions on halves of the feature maps: not equal"
            " up to the order of summation. {weights:,} weights; without groups {all_weights:,}.",
            **fields,
        )
    return judge(same), _(
        "The second convolution as groups={groups} and as two convolutions on halves of the feature maps: equal up to"
        " the order of summation. {weights:,} weights; without groups {all_weights:,}.",
        **fields,
    )


@TOPIC.computed("loose")
def every_dense_layer_has_4096() -> Finding:
    """Each of AlexNet's dense layers has 4,096 neurons."""
    sizes = channel_counts(dense_layers("alexnet_2012"))
    return judge(set(sizes) == {4096}, set(sizes[:-1]) == {4096}), _(
        "{sizes}: true of the hidden layers, not of the output layer.", sizes=join(sizes)
    )


@TOPIC.computed("loose")
def listing_ends_in_1000() -> Finding:
    """The AlexNet that is listed for Fashion-MNIST ends in a dense layer of 1,000."""
    book, paper = layer_table("alexnet_d2l_v1").output_shape[0], layer_table("alexnet_2012").output_shape[0]
    kinds, paper_lrn = layer_kinds("alexnet_d2l_v1"), layer_kinds("alexnet_2012")["LRN"]
    return judge(book == 1000, paper == 1000), _(
        "True of the paper's network; the book's ends in {book}. It also has {lrn} and {grouped}; the paper's has"
        " {paper_lrn} and {paper_grouped}.",
        book=book,
        lrn=number_of(kinds["LRN"], "LRN"),
        grouped=number_of(len(grouped("alexnet_d2l_v1")), "grouped convolution"),
        paper_lrn=number_of(paper_lrn, "LRN"),
        paper_grouped=len(grouped("alexnet_2012")),
    )


@TOPIC.computed("loose")
def book_has_the_paper_s_architecture() -> Finding:
    """The shapes of the book's AlexNet are those of the published architecture."""
    book, paper = convolution_layers("alexnet_d2l"), convolution_layers("alexnet_2012")
    sizes = [
        [row.outputs[1] for row in [c[0], *pooling_layers(n)]]
        for n, c in (("alexnet_d2l", book), ("alexnet_2012", paper))
    ]
    same = channel_counts(book) == channel_counts(paper) and window_sizes(book) == window_sizes(paper)
    fields = {
        "sizes": join(sizes[0]),
        "paper_sizes": join(sizes[1]),
        "grouped": number_of(len(grouped("alexnet_d2l")), "grouped convolution"),
        "lrn": number_of(layer_kinds("alexnet_d2l")["LRN"], "LRN"),
        "paper_grouped": len(grouped("alexnet_2012")),
        "paper_lrn": layer_kinds("alexnet_2012")["LRN"],
    }
    if not same:
        return judge(sizes[0] == sizes[1], same), _(
            "Other windows and numbers of feature maps, and sizes of {sizes} instead of {paper_sizes}; {grouped} and"
            " {lrn} instead of {paper_grouped} and {paper_lrn}.",
            **fields,
        )
    return judge(sizes[0] == sizes[1], same), _(
        "The same windows and numbers of feature maps, but sizes of {sizes} instead of {paper_sizes}; {grouped} and"
        " {lrn} instead of {paper_grouped} and {paper_lrn}.",
        **fields,
    )


@TOPIC.computed("true")
def three_more_convolutions() -> Finding:
    """AlexNet has three more convolutions than LeNet."""
    counts = {name: len(convolution_layers(name)) for name in ("alexnet_d2l", "lenet_d2l", "lenet5_1998")}
    more = counts["alexnet_d2l"] - counts["lenet_d2l"]
    return judge(more == 3), _(
        "{alexnet} and {lenet} in the book's networks. LeNet-5 has {lenet5}, because its C5 is a convolution: {more}"
        " more.",
        alexnet=counts["alexnet_d2l"],
        lenet=counts["lenet_d2l"],
        lenet5=counts["lenet5_1998"],
        more=counts["alexnet_d2l"] - counts["lenet5_1998"],
    )


@TOPIC.computed("true")
def larger_windows_and_strides() -> Finding:
    """AlexNet begins with a larger window and stride than LeNet, and pools over larger windows."""
    large, small = convolution_layers("alexnet_2012")[0], convolution_layers("lenet_d2l")[0]
    pools = window_sizes(pooling_layers("alexnet_2012"))[0], window_sizes(pooling_layers("lenet_d2l"))[0]
    sizes = [(row.kernel or (0,))[0] for row in (large, small)] + [(row.stride or (0,))[0] for row in (large, small)]
    return judge(sizes[0] > sizes[1] and sizes[2] > sizes[3] and pools[0] > pools[1]), _(
        "Window {large}, stride {large_stride} instead of window {small}, stride {small_stride}; pooling over"
        " {large_pool} instead of {small_pool}.",
        large=sizes[0],
        large_stride=sizes[2],
        small=sizes[1],
        small_stride=sizes[3],
        large_pool=pools[0],
        small_pool=pools[1],
    )


@TOPIC.computed("wrong")
def vgg_s_windows_are_larger() -> Finding:
    """LeNet's windows are small, 5x5; AlexNet's and VGG's are larger, mostly 3x3."""
    windows = {name: set(window_sizes(convolution_layers(name))) for name in ("lenet_d2l", "alexnet_2012", "vgg16")}
    largest = max(windows["lenet_d2l"])
    later = windows["alexnet_2012"] | windows["vgg16"]
    return judge(min(later) > largest, min(windows["vgg16"]) > largest), _(
        "LeNet {lenet}; AlexNet {alexnet}; VGG {vgg} throughout. 3 is less than 5.",
        lenet=join(windows["lenet_d2l"]),
        alexnet=join(window_sizes(convolution_layers("alexnet_2012"))),
        vgg=join(windows["vgg16"]),
    )


@TOPIC.computed("true")
def dropout_only_in_alexnet() -> Finding:
    """AlexNet has dropout after its hidden dense layers; LeNet has none."""
    lenets = sum(layer_kinds(name)["Dropout"] for name in family("lenet"))
    names = [row.name for row in layer_table("alexnet_2012").rows if row.weights or row.kind == "Dropout"]
    after = [before for before, name in pairwise(names) if name.startswith("drop")]
    return judge(lenets == 0 and after == ["fc6", "fc7"]), _(
        "After {layers} (`alexnet_2012`); {count} in the {lenets} LeNets of this package. torchvision's AlexNet has"
        " dropout before those layers, not after them.",
        layers=join(after),
        count=lenets,
        lenets=len(family("lenet")),
    )


@TOPIC.computed("true")
def what_alexnet_brought() -> Finding:
    """AlexNet combines ReLU, dropout, response normalization, overlapping pooling, training on several GPUs and data
    augmentation.
    """
    kinds, pool = layer_kinds("alexnet_2012"), pooling_layers("alexnet_2012")[0]
    window, stride = (pool.kernel or (0,))[0], (pool.stride or (0,))[0]
    groups = grouped("alexnet_2012")
    return judge(bool(kinds["ReLU"] and kinds["Dropout"] and kinds["LRN"] and window > stride and groups)), _(
        "{relu} ReLU, {dropout} dropout, {lrn} LRN, pooling windows of {window} with stride {stride}, {groups} in two"
        " towers. Crops, mirrored images and color noise: section 4 of the paper; dropout itself is from Hinton et al.,"
        " July 2012 (source).",
        relu=kinds["ReLU"],
        dropout=kinds["Dropout"],
        lrn=kinds["LRN"],
        window=window,
        stride=stride,
        groups=join(groups),
    )
