"""Claims about the shapes of images, feature maps and weights."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F

from claims.claim import Finding, Topic, judge
from classicnets.text import shape as shape_text
from pages.networks import (
    build_network,
    convolution_layers,
    dense_layers,
    layer_table,
    layers_by_name,
    output_shape,
    pooling_layers,
)
from pages.texts import _, clauses, join

TOPIC = Topic("Which shape")


@TOPIC.computed("true")
def lenets_13_printed_shapes() -> Finding:
    """The 13 shapes that the book prints for its LeNet, from 1x28x28 to 10."""
    printed = ["1x28x28", "6x28x28", "6x28x28", "6x14x14", "16x10x10", "16x10x10", "16x5x5"]
    printed += ["400", "120", "120", "84", "84", "10"]
    return _printed("lenet_d2l", printed, with_input=True)


@TOPIC.computed("true")
def alexnets_21_printed_shapes() -> Finding:
    """The 21 shapes that the book prints for its AlexNet, from 96x54x54 to 10."""
    printed = ["96x54x54", "96x54x54", "96x26x26", "256x26x26", "256x26x26", "256x12x12"]
    printed += ["384x12x12"] * 4 + ["256x12x12"] * 2 + ["256x5x5", "6400"] + ["4096"] * 6 + ["10"]
    return _printed("alexnet_d2l", printed)


def _printed(name: str, printed: list[str], with_input: bool = False) -> Finding:
    table = layer_table(name)
    shapes = [shape_text(table.input_shape)] * with_input + [shape_text(row.outputs) for row in table.rows]
    equal = sum(a == b for a, b in zip(printed, shapes, strict=False))
    return judge(shapes == printed), _("{equal} of {n} are equal (`{name}`).", equal=equal, n=len(shapes), name=name)


@TOPIC.computed("wrong")
def every_layer_is_smaller() -> Finding:
    """In LeNet's convolutional part, the feature maps of each layer are smaller than those of the layer before."""
    layers = [*convolution_layers("lenet_d2l"), *pooling_layers("lenet_d2l")]
    steps = [(row.name, row.inputs[1], row.outputs[1]) for row in layers]
    unchanged = [
        _("{name} keeps {size}x{size}", name=name, size=before) for name, before, after in steps if after >= before
    ]
    return judge(not unchanged), _(
        "{unchanged} (5x5, padding {padding}). The others: {others}.",
        unchanged=clauses(unchanged) if unchanged else _("All shrink"),
        padding=(layers_by_name("lenet_d2l")["conv1"].padding or "0")[0],
        others=join(
            _("{name} {before} to {after}", name=name, before=before, after=after)
            for name, before, after in steps
            if after < before
        ),
    )


@TOPIC.computed("true")
def lenet_on_padded_28() -> Finding:
    """LeNet's 32x32 input is a padded 28x28 image; then 6 feature maps of 28x28, 6 of 14x14, 16 of 10x10, 16 of 5x5;
    kernels of 6x5x5 and 16x6x5x5; a dense layer of 120 by 400.
    """
    network, rows = build_network("lenet_32", "cpu"), layers_by_name("lenet_32")
    shapes = [shape_text(rows[name].outputs) for name in ("conv1", "pool1", "conv2", "pool2")]
    weights = [shape_text(network.get_parameter(f"{name}.weight").shape) for name in ("conv1", "conv2", "fc1")]
    right = shapes == ["6x28x28", "6x14x14", "16x10x10", "16x5x5"] and weights == ["6x1x5x5", "16x6x5x5", "120x400"]
    same = right and _same_on_padded(network, build_network("lenet_d2l", "cpu"))
    original = convolution_layers("lenet5_1998")[1]
    pairs = original.weights // math.prod(original.kernel or ())
    fields = {
        "shapes": join(shapes),
        "weights": join(weights),
        "pairs": pairs,
        "all_pairs": original.inputs[0] * original.outputs[0],
    }
    if not same:
        return judge(right and same), _(
            "{shapes}; weights {weights} (`lenet_32`). For the padded image, it does not give the output that"
            " `lenet_d2l` gives for the image itself. In the original, the second convolution is sparse: {pairs} of"
            " {all_pairs} pairs of feature maps.",
            **fields,
        )
    return judge(right and same), _(
        "{shapes}; weights {weights} (`lenet_32`). For the padded image, it gives the output that `lenet_d2l` gives for"
        " the image itself. In the original, the second convolution is sparse: {pairs} of {all_pairs} pairs of feature"
        " maps.",
        **fields,
    )


def _same_on_padded(wide: nn.Module, narrow: nn.Module) -> bool:
    """Whether `wide` gives for a padded image what `narrow`, with the same weights, gives for the image itself."""
    wide.load_state_dict(narrow.state_dict())
    image = torch.linspace(0, 1, 28 * 28).reshape(1, 1, 28, 28)
    return torch.allclose(wide(F.pad(image, (2, 2, 2, 2))), narrow(image), atol=1e-6)


@TOPIC.computed("wrong")
def dense_layer_of_64() -> Finding:
    """The dense layer that follows LeNet's layer of 120 has 64 outputs."""
    after = {
        name: [r.outputs[0] for r in dense_layers(name) if r.inputs == (120,)] for name in ("lenet5_1998", "lenet_d2l")
    }
    values = {n for sizes in after.values() for n in sizes}
    return judge(values == {64}, 64 in values), _(
        "{sizes}, in 1998 and in the book; 84 = 7 x 12, the size of a character's bitmap.", sizes=join(sorted(values))
    )


@TOPIC.computed("loose")
def fifty_five_from_224() -> Finding:
    """AlexNet's first convolution turns a side of 224 pixels into 55."""
    row = layers_by_name("alexnet_2012")["conv1"]
    window, stride = (row.kernel or (0,))[0], (row.stride or (0,))[0]
    conv = nn.Conv2d(3, 96, kernel_size=window, stride=stride, device="meta")

    def output_size(pixels: int, padding: tuple[int, int, int, int] = (0, 0, 0, 0)) -> int:
        return output_shape(nn.Sequential(nn.ZeroPad2d(padding), conv), (3, pixels, pixels))[1]

    unpadded = output_size(224)
    return judge(unpadded == 55, row.outputs[1] == 55), _(
        "{window}x{window}, stride {stride}. No padding, rounded down: {unpadded}; no padding, rounded up as in"
        " Krizhevsky's code (3 zeros right and below): {rounded_up}; padding 1: {padding_1}; padding 2: {padding_2}; an"
        " image of 227 pixels: {size_227}.",
        window=window,
        stride=stride,
        unpadded=unpadded,
        rounded_up=output_size(224, (0, 3, 0, 3)),
        padding_1=output_size(224, (1, 1, 1, 1)),
        padding_2=output_size(224, (2, 2, 2, 2)),
        size_227=output_size(227),
    )


@TOPIC.computed("wrong")
def conv2_has_stride_2() -> Finding:
    """AlexNet's second convolution, 5x5 on 48 feature maps, has stride 2 and padding 2."""
    row = layers_by_name("alexnet_2012")["conv2"]
    strided = nn.Conv2d(row.inputs[0], row.outputs[0], 5, stride=2, padding=2, groups=row.groups or 1, device="meta")
    outputs = output_shape(strided, row.inputs)
    pooled = [output_shape(nn.MaxPool2d(3, 2, ceil_mode=up), outputs)[1] for up in (False, True)]
    return judge(row.stride == (2, 2)), _(
        "Stride {stride}: {before} stays {after} and pooling gives {pooling}. Stride 2 would give {strided}, and"
        " {pooled}x{pooled} after pooling ({rounded_up}x{rounded_up} if it rounds up, as in 2012).",
        stride=(row.stride or "-")[0],
        before=row.inputs[1],
        after=row.outputs[1],
        pooling=layers_by_name("alexnet_2012")["pool2"].outputs[1],
        strided=shape_text(outputs[1:]),
        pooled=pooled[0],
        rounded_up=pooled[1],
    )


@TOPIC.computed("wrong")
def conv3_has_stride_2() -> Finding:
    """AlexNet's third convolution, 3x3 on all 256 feature maps, has stride 2."""
    row = layers_by_name("alexnet_2012")["conv3"]
    strided = nn.Conv2d(row.inputs[0], row.outputs[0], 3, stride=2, padding=1, device="meta")
    return judge(row.stride == (2, 2)), _(
        "Stride {stride}, padding {padding}: {before} stays {after}. Stride 2 would give {strided}.",
        stride=(row.stride or "-")[0],
        padding=(row.padding or "-")[0],
        before=row.inputs[1],
        after=row.outputs[1],
        strided=shape_text(output_shape(strided, row.inputs)[1:]),
    )


@TOPIC.computed("loose")
def images_ten_times_as_large() -> Finding:
    """ImageNet's images are more than ten times as high and wide as MNIST's."""
    large, small = layer_table("alexnet_2012").input_shape[1], layer_table("lenet_d2l").input_shape[1]
    return judge(large > 10 * small, reading=large > small), _(
        "True of the photographs as collected (source). The images that the networks read are {large} and {small}"
        " pixels wide: a factor of {factor:g}.",
        large=large,
        small=small,
        factor=large / small,
    )
