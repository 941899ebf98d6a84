"""Claims about activation functions, pooling and normalization."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import nn

from claims.claim import Finding, Topic, gradient, judge, number_of
from pages.networks import build_network, layer_kinds, output_shape
from pages.texts import _, join

TOPIC = Topic("Activation, pooling, normalization")


@TOPIC.computed("loose")
def relu_replaced_the_sigmoid() -> Finding:
    """AlexNet replaced LeNet's sigmoid by ReLU."""
    kinds = {name: layer_kinds(name) for name in ("lenet5_1998", "lenet_d2l", "alexnet_2012")}
    relu = kinds["alexnet_2012"]["ReLU"] > 0
    original, book = kinds["lenet5_1998"]["Sigmoid"], kinds["lenet_d2l"]["Sigmoid"]
    return judge(relu and original > 0, relu and book > 0), _(
        "The book's LeNet has {book}; LeNet-5 has {original} and {tanh} scaled tanh. The paper argues against both.",
        book=number_of(book, "sigmoid"),
        original=number_of(original, "sigmoid"),
        tanh=kinds["lenet5_1998"]["ScaledTanh"],
    )


@TOPIC.computed("wrong")
def relu_closes_the_right_side() -> Finding:
    """ReLU shuts off the right (positive) side."""
    values, slopes = torch.relu(torch.tensor([-2.0, 2.0])).tolist(), gradient(torch.relu, -2, 2)
    return judge(slopes[1] == 0 and values[1] == 0), _(
        "It zeroes the left: at -2 value {left:g} and gradient {left_slope:g}, at +2 value {right:g} and gradient"
        " {right_slope:g}.",
        left=values[0],
        left_slope=slopes[0],
        right=values[1],
        right_slope=slopes[1],
    )


@TOPIC.computed("true")
def relu_has_no_exponential_and_slope_1() -> Finding:
    """ReLU needs no exponential, and its gradient is 1 for every positive input."""
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)
    plain = torch.equal(torch.relu(x), torch.where(x > 0, x, 0.0))
    exponential = torch.allclose(torch.sigmoid(x), 1 / (1 + torch.exp(-x)), rtol=1e-12)
    slopes = set(gradient(torch.relu, 0.001, 1, 1000))
    return judge(plain and exponential and slopes == {1.0}), _(
        "Equal to a comparison with zero on 65 values; the sigmoid equals 1 / (1 + exp(-a)). Gradient at 0.001, 1 and"
        " 1000: {slopes}.",
        slopes=join(f"{slope:g}" for slope in slopes),
    )


@TOPIC.computed("true")
def saturated_sigmoid_has_no_gradient() -> Finding:
    """Where the output of a sigmoid is close to 0 or 1, its gradient is close to 0."""
    at = [0.0, 5.0, -5.0, 10.0]
    slopes, values = gradient(torch.sigmoid, *at), torch.sigmoid(torch.tensor(at)).tolist()
    pairs = [
        _("{value:.4f}: {slope:.5f}", value=value, slope=slope) for value, slope in zip(values, slopes, strict=True)
    ]
    return judge(max(slopes[1:]) < 0.01 < slopes[0]), _("Output and gradient: {pairs}.", pairs=join(pairs))


@TOPIC.computed("true")
def saturated_sigmoids_do_not_learn() -> Finding:
    """Saturated sigmoids keep a deep network from learning."""
    biases = (0.0, 2.0, 5.0)
    sigmoid, relu = ([_first_by_last_gradient(kind, bias) for bias in biases] for kind in (nn.Sigmoid, nn.ReLU))
    return judge(sigmoid[0] > 100 * sigmoid[-1] and relu[-1] > 0.01, sigmoid[0] > sigmoid[-1]), _(
        "Gradient of the first layer's weights by that of the last layer's in `lenet_d2l`, before training, with hidden"
        " biases of {biases}: with sigmoids {sigmoid}, with ReLU in their place {relu}. Networks with sigmoids in"
        " training: the studies [relu](studies/relu.md) and [relu_lenet](studies/relu_lenet.md).",
        biases=join(f"{bias:g}" for bias in biases),
        sigmoid=join(f"{ratio:.2g}" for ratio in sigmoid),
        relu=join(f"{ratio:.2g}" for ratio in relu),
    )


def _first_by_last_gradient(activation: type[nn.Module], bias: float) -> float:
    """The gradient (root mean square) of the first layer's weights by that of the last layer's, before training.

    Images are noise, weights Xavier's; the hidden layers have this bias, and the network's sigmoids are replaced.
    """
    network = build_network("lenet_d2l", "cpu")
    layers = [module for module in network.children() if isinstance(module, nn.Conv2d | nn.Linear)]
    for name, module in network.named_children():
        if isinstance(module, nn.Sigmoid):
            setattr(network, name, activation())
    with torch.random.fork_rng([]), torch.enable_grad():
        torch.manual_seed(0)
        for layer in layers:
            nn.init.xavier_uniform_(layer.weight)
            nn.init.constant_(cast(torch.Tensor, layer.bias), 0.0 if layer is layers[-1] else bias)
        x, labels = torch.rand(64, 1, 28, 28), torch.arange(64) % 10
        nn.functional.cross_entropy(network(x), labels).backward()
    first, last = (cast(torch.Tensor, layer.weight.grad).square().mean().sqrt() for layer in (layers[0], layers[-1]))
    return float(first / last)


@TOPIC.computed("wrong")
def relu_prevents_divergence() -> Finding:
    """ReLU prevents the divergence of gradients that sigmoids cause."""

    def eight(function: Callable[[torch.Tensor], torch.Tensor]) -> float:
        def deep(x: torch.Tensor) -> torch.Tensor:
            for _layer in range(8):
                x = function(x)
            return x

        return gradient(deep, 0.5)[0]

    steepest = max(gradient(torch.sigmoid, *[i / 10 for i in range(-50, 51)]))
    return judge(eight(torch.sigmoid) > 1, steepest > 1), _(
        "The correct word is vanishing: a sigmoid's gradient is at most {steepest:g}; behind eight of them"
        " {sigmoids:.6f} is left, behind eight ReLUs {relus:g} (activations only).",
        steepest=steepest,
        sigmoids=eight(torch.sigmoid),
        relus=eight(torch.relu),
    )


@TOPIC.computed("loose")
def relu_acts_like_l1() -> Finding:
    """ReLU's sparse outputs act like an L1 penalty."""
    network = build_network("alexnet_28", "cpu").eval()
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        x, zeros = torch.randn(8, 1, 28, 28), []
        for module in network.children():
            x = module(x)
            zeros += [float((x == 0).float().mean())] if isinstance(module, nn.ReLU) else []
    zero_weights = sum(int((p == 0).sum()) for p in network.parameters() if p.ndim > 1)  # biases are zero initially
    return judge(zero_weights > 0, min(zeros) > 0.3), _(
        "An analogy. Outputs are sparse: before training, {percent:.0f} % of the outputs of the {layers} ReLU layers of"
        " `alexnet_28` are zero. But an L1 penalty makes weights zero, and {zero_weights} weights are. Whether sparse"
        " outputs narrow the gap between training and test accuracy: below.",
        percent=100 * round(sum(zeros) / len(zeros), 1),
        layers=len(zeros),
        zero_weights=zero_weights,
    )


@TOPIC.computed("true")
def pools_do_not_overlap_by_default() -> Finding:
    """PyTorch's pooling windows do not overlap by default."""
    strides = [
        (size, nn.MaxPool2d(size).stride, output_shape(nn.MaxPool2d(size), (1, 12, 12))[1]) for size in (2, 3, 4)
    ]
    return judge(all(size == stride and size * side == 12 for size, stride, side in strides)), _(
        "The stride is the size of the window: 12 pixels pooled with windows of {windows} give {sizes}.",
        windows=join(size for size, _stride, _side in strides),
        sizes=join(side for _size, _stride, side in strides),
    )


@TOPIC.computed("wrong")
def lrn_as_printed() -> Finding:
    """MXNet's LRN with alpha = 0.0001 is the formula of the paper."""
    x = torch.linspace(-100, 100, 96, dtype=torch.float64).reshape(1, 96, 1, 1)
    paper: Any = build_network("alexnet_2012").get_submodule("norm1")
    mxnet: Any = build_network("alexnet_mxnet").get_submodule("norm1")
    torchs = nn.LocalResponseNorm(mxnet.size, mxnet.alpha, mxnet.beta, mxnet.k)
    terms = [float(((x / norm(x)) ** (1 / norm.beta) - norm.k)[0, 10]) for norm in (paper, mxnet, torchs)]
    ratio = terms[0] / terms[1]
    return judge(abs(ratio - 1) < 1e-6), _(
        "The term added to k is {ratio:.2f} times as large in the paper's formula: MXNet, Caffe, Krizhevsky's own code"
        " and torch ({torch:.2f} times MXNet's) divide alpha by the size of the window, {size}.",
        ratio=ratio,
        torch=terms[2] / terms[1],
        size=paper.size,
    )
