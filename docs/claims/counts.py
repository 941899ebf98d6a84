"""Claims about numbers of layers, weights, units and channels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import nn

from claims.claim import Finding, Topic, judge
from classicnets.inspection.shapes import Table, trace
from pages.markdown import size
from pages.networks import channel_counts, convolution_layers, dense_layers, family, layer_table, layers_by_name
from pages.texts import _, clauses, join

TOPIC = Topic("How many")

EIGHT = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


@TOPIC.computed("wrong")
def lenet_has_millions() -> Finding:
    """LeNet has a few million parameters."""
    counts = {name: layer_table(name).parameters for name in family("lenet")}
    verdict = judge(min(counts.values()) >= 1e6, max(counts.values()) >= 1e6)
    return verdict, _(
        "{original:,} as published in 1998, {book:,} in the book; the largest network of that name, `{largest}`, has"
        " {most:,}.",
        original=counts["lenet5_1998"],
        book=counts["lenet_d2l"],
        largest=max(counts, key=counts.__getitem__),
        most=max(counts.values()),
    )


@TOPIC.computed("true")
def alexnet_in_round_numbers() -> Finding:
    """AlexNet is 8 layers deep, with 60 million parameters, 650,000 neurons and 1,000 classes."""
    table = layer_table("alexnet_2012")
    depth, classes = sum(row.weights > 0 for row in table.rows), table.output_shape[0]
    error = max(abs(table.parameters / 60e6 - 1), abs(table.units / 650e3 - 1))
    return judge((depth, classes) == (8, 1000) and error < 0.02), _(
        "{depth} layers with weights, {parameters:,} parameters, {units:,} units, {classes:,} classes: the round"
        " numbers differ by at most {percent:.1f} %.",
        depth=depth,
        parameters=table.parameters,
        units=table.units,
        classes=classes,
        percent=100 * error,
    )


@TOPIC.computed("true")
def weights_of_the_eight_layers() -> Finding:
    """AlexNet's eight layers have 34,848, 307,200, 884,736, 663,552, 442,368, 37,748,736, 16,777,216 and 4,096,000
    weights.
    """
    claimed = [34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000]
    table, rows = layer_table("alexnet_2012"), layers_by_name("alexnet_2012")
    weights = [rows[name].weights for name in EIGHT]
    equal = sum(a == b for a, b in zip(claimed, weights, strict=True))
    return judge(weights == claimed), _(
        "{equal} of 8 are equal. Biases are not counted: {biases:,} more.", equal=equal, biases=table.biases
    )


@TOPIC.computed("wrong")
def sum_of_the_eight_layers() -> Finding:
    """Those eight counts add up to 60,924,656."""
    rows, parameters = layers_by_name("alexnet_2012"), layer_table("alexnet_2012").parameters
    total = sum(rows[name].weights for name in EIGHT)
    return judge(total == 60_924_656), _(
        "They add up to {total:,}, a difference of {difference:,}; with biases {parameters:,}.",
        total=total,
        difference=abs(total - 60_924_656),
        parameters=parameters,
    )


@TOPIC.computed("true")
def neurons_of_the_eight_layers() -> Finding:
    """AlexNet's layers have 290,400, 186,624, 64,896, 64,896, 43,264, 4,096, 4,096 and 1,000 neurons,
    659,272 in total.
    """
    claimed = [290_400, 186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]
    rows = layers_by_name("alexnet_2012")
    units = [rows[name].units for name in EIGHT]
    equal = sum(a == b for a, b in zip(claimed, units, strict=True))
    return judge(units == claimed and sum(units) == 659_272), _(
        "{equal} of 8 are equal; the sum is {total:,}.", equal=equal, total=sum(units)
    )


@TOPIC.computed("wrong")
def listing_is_the_net_of_the_table() -> Finding:
    """MXNet's listing, printed below those tables, builds the network that they count."""
    listed, counted = layers_by_name("alexnet_mxnet"), layers_by_name("alexnet_2012")
    differing = [name for name in EIGHT if listed[name].weights != counted[name].weights]
    wider = [listed[name].weights for name in EIGHT[:5] if name in differing]
    totals = [layer_table("alexnet_mxnet", shape=(3, side, side)).parameters for side in (224, 227)]
    return judge(not differing), _(
        "{layers} have other numbers of weights: no layer has two groups, so the convolutions among them have {wider},"
        " and at 224 pixels fc6 has {fc6:,}. In total {at_224:,} parameters at 224 and {at_227:,} at 227, instead of"
        " {counted:,}.",
        layers=join(differing),
        wider=join(wider),
        fc6=listed["fc6"].weights,
        at_224=totals[0],
        at_227=totals[1],
        counted=layer_table("alexnet_2012").parameters,
    )


@TOPIC.computed("wrong")
def one_gigabyte() -> Finding:
    """AlexNet's two dense layers of 4,096 units take nearly 1 GB."""
    two_layers = {
        name: sum(layers_by_name(name)[fc].weight_bytes for fc in ("fc6", "fc7"))
        for name in ("alexnet_2012", "alexnet_d2l")
    }
    network = {name: layer_table(name).weight_bytes for name in two_layers}
    return judge(max(two_layers.values()) > 0.9e9, max(network.values()) > 0.9e9), _(
        "{two} as published, {book_two} in the book's network (float32); the whole networks take {whole} and"
        " {book_whole}. Only four copies of the whole network, which training with Adam needs (weights, gradients, two"
        " moments), come near 1 GB: {four}.",
        two=size(two_layers["alexnet_2012"]),
        book_two=size(two_layers["alexnet_d2l"]),
        whole=size(network["alexnet_2012"]),
        book_whole=size(network["alexnet_d2l"]),
        four=size(4 * network["alexnet_2012"]),
    )


@TOPIC.computed("loose")
def channels_tens_of_times() -> Finding:
    """AlexNet's convolutions have tens of times as many channels as LeNet's."""
    large, small = channel_counts(convolution_layers("alexnet_2012")), channel_counts(convolution_layers("lenet_d2l"))
    ratios = [a / b for a, b in zip(large, small, strict=False)]
    summed = sum(large) / sum(small)
    return judge(min(ratios) >= 20, summed >= 20), _(
        "{first:.0f} and {second:.0f} times in the first two layers; {large:,} to {small} over all layers,"
        " {summed:.1f} times.",
        first=ratios[0],
        second=ratios[1],
        large=sum(large),
        small=sum(small),
        summed=summed,
    )


@TOPIC.computed("loose")
def channels_ten_times() -> Finding:
    """AlexNet's convolutions have ten times LeNet's channels."""
    large, small = channel_counts(convolution_layers("alexnet_d2l")), channel_counts(convolution_layers("lenet_d2l"))
    ratios = [a / b for a, b in zip(large, small, strict=False)]
    return judge(set(ratios) == {10}, min(ratios) >= 10), _(
        "{large} to {small} and {second_large} to {second_small}: {ratio:.0f} times, so more than ten. Other notes say"
        " tens of times.",
        large=large[0],
        small=small[0],
        second_large=large[1],
        second_small=small[1],
        ratio=ratios[0],
    )


@TOPIC.computed("true")
def fewer_parameters_more_work_than_an_mlp() -> Finding:
    """A convolutional network has fewer parameters than a multilayer perceptron of similar depth but costs more to
    compute, because each weight is used many times.
    """
    lenet = layer_table("lenet_d2l")
    mlps = {sizes: _mlp(sizes) for sizes in ((784, 256, 10), (784, 120, 84, 10))}
    holds = all(lenet.parameters < mlp.parameters and lenet.macs > mlp.macs for mlp in mlps.values())
    return judge(holds), _(
        "`lenet_d2l`: {parameters:,} parameters and {macs:,} MACs, {uses:.1f} uses of each weight. MLP {mlps}, one use"
        " of each weight.",
        parameters=lenet.parameters,
        macs=lenet.macs,
        uses=lenet.macs / lenet.weights,
        mlps=clauses(
            _(
                "{sizes}: {parameters:,} and {macs:,}",
                sizes="-".join(map(str, sizes)),
                parameters=mlp.parameters,
                macs=mlp.macs,
            )
            for sizes, mlp in mlps.items()
        ),
    )


def _mlp(sizes: Sequence[int]) -> Table:
    parts = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m, device="meta"), nn.ReLU())]
    return trace(nn.Sequential(*parts[:-1]), sizes[:1])


@TOPIC.computed("true")
def alexnet_is_much_costlier() -> Finding:
    """AlexNet costs far more to compute than LeNet."""
    large, small = layer_table("alexnet_d2l"), layer_table("lenet_d2l")
    return judge(large.macs > 100 * small.macs), _(
        "{large:,} MACs to {small:,}, {ratio:,.0f} times (the book's two networks); {parameters:,.0f} times the"
        " parameters, {memory:,.0f} times the memory for activations.",
        large=large.macs,
        small=small.macs,
        ratio=large.macs / small.macs,
        parameters=large.parameters / small.parameters,
        memory=large.activation_bytes / small.activation_bytes,
    )


@TOPIC.computed("wrong")
def vgg16_has_16_convolutions() -> Finding:
    """VGG-16 has 16 convolutions and 3 dense layers."""
    convolutions, dense = len(convolution_layers("vgg16")), len(dense_layers("vgg16"))
    return judge((convolutions, dense) == (16, 3)), _(
        "{convolutions} convolutions and {dense} dense layers; the {layers} in the name counts all layers with"
        " weights.",
        convolutions=convolutions,
        dense=dense,
        layers=convolutions + dense,
    )


@TOPIC.computed("true")
def vgg16_has_138_million() -> Finding:
    """VGG-16 has about 138 million parameters."""
    parameters = layer_table("vgg16").parameters
    return judge(round(parameters / 1e6) == 138), _("{parameters:,}.", parameters=parameters)


@TOPIC.computed("wrong")
def vgg_has_dozens_of_kernels() -> Finding:
    """VGG's layers have up to a few dozen kernels."""
    kernels = channel_counts(convolution_layers("vgg16"))
    return judge(max(kernels) <= 48, min(kernels) <= 48), _("{least} to {most}.", least=min(kernels), most=max(kernels))
