"""Claims about the layers of LeNet."""

from __future__ import annotations

import math

import torch

from claims.claim import Finding, Topic, judge, number_of
from pages.networks import (
    build_network,
    channel_counts,
    convolution_layers,
    dense_layers,
    layer_kinds,
    layer_table,
    pooling_layers,
    window_sizes,
)
from pages.texts import _, clauses, join

TOPIC = Topic("LeNet's layers")


@TOPIC.computed("true")
def lenet_of_the_first_edition() -> Finding:
    """A LeNet has two 5x5 convolutions with 6 and 16 feature maps, sigmoid, 2x2 max pooling and dense layers of 120, 84
    and 10.
    """
    kinds, original = layer_kinds("lenet_d2l_v1"), layer_kinds("lenet5_1998")
    holds = _has_the_usual_layers("lenet_d2l_v1") and window_sizes(pooling_layers("lenet_d2l_v1")) == [2, 2]
    holds &= kinds["MaxPool2d"] == 2 and kinds["Sigmoid"] == 4
    return judge(holds), _(
        "This is the LeNet of the book's first edition (`lenet_d2l_v1`, {parameters:,} parameters). LeNet-5 itself has"
        " {sigmoids} and {pools}.",
        parameters=layer_table("lenet_d2l_v1").parameters,
        sigmoids=number_of(original["Sigmoid"], "sigmoid"),
        pools=number_of(original["MaxPool2d"], "max pooling"),
    )


def _has_the_usual_layers(name: str) -> bool:
    """Whether a network has two 5x5 convolutions of 6 and 16 feature maps and dense layers of 120, 84 and 10."""
    convolutions = convolution_layers(name)
    return (
        window_sizes(convolutions) == [5, 5]
        and channel_counts(convolutions) == [6, 16]
        and channel_counts(dense_layers(name)) == [120, 84, 10]
    )


@TOPIC.computed("true")
def lenet_of_the_second_edition() -> Finding:
    """LeNet has two 5x5 convolutions with 6 and 16 feature maps, 2x2 pooling that leaves a quarter of the values, and
    three dense layers of 120, 84 and 10.
    """
    convolutions, dense = convolution_layers("lenet_d2l"), dense_layers("lenet_d2l")
    factors = [math.prod(row.inputs) / math.prod(row.outputs) for row in pooling_layers("lenet_d2l")]
    return judge(_has_the_usual_layers("lenet_d2l") and factors == [4, 4]), _(
        "{convolutions} convolutions of {maps} feature maps, {dense} dense layers of {units}; each pooling layer leaves"
        " 1 value in {factor:g} (`lenet_d2l`).",
        convolutions=len(convolutions),
        maps=join(channel_counts(convolutions)),
        dense=len(dense),
        units=join(channel_counts(dense)),
        factor=factors[0],
    )


@TOPIC.computed("wrong")
def original_unit_is_sigmoid_and_average() -> Finding:
    """LeNet's original convolutional unit ends in a sigmoid and average pooling."""
    kinds, tanh = layer_kinds("lenet5_1998"), build_network("lenet5_1998").get_submodule("squash1")
    trained = [f"{row.name} {row.parameters}" for row in pooling_layers("lenet5_1998") if row.parameters]
    return judge(kinds["Sigmoid"] > 0 and kinds["AvgPool2d"] > 0), _(
        "LeNet-5 has {sigmoids} and {pools}. It has {tanh} x {amplitude:g} tanh({slope:.3f} a), and subsampling with"
        " trained parameters: {trained}.",
        sigmoids=number_of(kinds["Sigmoid"], "sigmoid"),
        pools=number_of(kinds["AvgPool2d"], "plain average pooling"),
        tanh=kinds["ScaledTanh"],
        amplitude=tanh.amplitude,
        slope=tanh.slope,
        trained=join(trained),
    )


@TOPIC.computed("wrong")
def only_the_gaussian_was_removed() -> Finding:
    """The book's LeNet is LeNet-5 except for the Gaussian output."""
    names = ("lenet5_1998", "lenet_d2l")
    sizes = [layer_table(name).input_shape[1] for name in names]
    tanh = [layer_kinds(name)["ScaledTanh"] for name in names]
    trained = [sum(row.parameters for row in pooling_layers(name)) for name in names]
    second = [convolution_layers(name)[1].parameters for name in names]
    head = [[row for row in layer_table(name).rows if row.units or row.macs][-1].parameters for name in names]
    differences = [
        text
        for text, differs in {
            _("output: {book} trained parameters instead of {original}", book=head[1], original=head[0]): (
                head[0] != head[1]
            ),
            _("sigmoid instead of scaled tanh"): tanh[0] != tanh[1],
            _("subsampling: {book} parameters instead of {original}", book=trained[1], original=trained[0]): (
                trained[0] != trained[1]
            ),
            _("second convolution: {book:,} parameters instead of {original:,}", book=second[1], original=second[0]): (
                second[0] != second[1]
            ),
            _("{book} pixels, padded, instead of {original}", book=sizes[1], original=sizes[0]): sizes[0] != sizes[1],
        }.items()
        if differs
    ]
    return judge(len(differences) <= 1), _(
        "{n} differences in the architecture: {differences}. Four more in training (source): cross-entropy,"
        " Fashion-MNIST, Xavier initialization, plain gradient descent.",
        n=len(differences),
        differences=clauses(differences),
    )


@TOPIC.computed("wrong")
def lenet5_gives_probabilities() -> Finding:
    """LeNet-5's ten outputs are probabilities."""
    shape, codes = layer_table("lenet5_1998").input_shape, dense_layers("lenet5_1998")[-1].outputs[0]
    with torch.no_grad():
        outputs = build_network("lenet5_1998", "cpu")(torch.linspace(-0.1, 1.175, math.prod(shape)).reshape(1, *shape))
    probabilities = bool((outputs >= 0).all()) and bool((outputs.sum(1) - 1).abs().max() < 1e-3)
    negative = int((outputs < 0).sum())
    return judge(probabilities), _(
        "They are squared distances to fixed codes of {codes} numbers, negated here: {negative} of {outputs} are below"
        " zero on a test image. In the book's network, the softmax in the loss makes probabilities.",
        codes=codes,
        negative=negative,
        outputs=outputs.numel(),
    )
