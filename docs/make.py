"""Makes docs/nets.md, docs/claims.md and docs/recipes.md from the live nets and recipes, and docs/performance.md from
what the benchmarks found: `python docs/make.py`, or with the names of some pages. The tests hold the pages equal.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from classicnets.api.networks import layers
from classicnets.inspection.shapes import Row, Table, trace
from classicnets.models.registry import NETS, Entry
from classicnets.recipes.resolve import RECIPES, RecipeKey
from classicnets.text import shape as shape_text
from classicnets.values import Recipe

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import timing

HERE = Path(__file__).parent
RESULTS = timing.RESULTS
STUDIES = HERE.parent / "studies" / "results"
COMMAND = "python docs/make.py"

# ------------------------------------------------------------------------------------------------------ docs/nets.md

GROUPS = {
    "lenet": "LeNet",
    "alexnet": "AlexNet",
    "alexnet_ports": "AlexNet as others have it",
    "cifar": "CIFAR-10",
    "vgg": "Beside them",
}  # by file of the builder


def nets_page() -> str:
    """All nets of the registry, counted on the meta device, a table for each group."""
    return f"""# The nets

<!-- made by `{COMMAND}` from the built nets -->

Every net of the registry, counted on the net as `classicnets.create` builds it, for one image of its source's size.
The name leads to its card: what was published, what differs, what had to be assumed, how it is proven.
`classicnets show NET` prints the same numbers layer by layer.

- **Weights** and **biases** add up to the **parameters**; **memory** is what these take as float32 (MB = 1,000,000
  bytes).
- **MACs**: multiply-accumulates. Taps on padding count; additions of biases, activations, maxima, plain averages and
  normalization do not.
- **Units**: outputs of layers that carry weights (convolution, trainable subsampling, dense); neither the input nor
  pooling.
- **Connections**, as the 1990s counted: every use of a weight, and one bias for each unit that has one. Sources print
  {_published()};
  for the others they are counted here in the same way.
- **Proven**: *counts*, every layer has the published or derived counts; *engine*, outputs equal those of the engine it
  came from; *reference*, those of an independent implementation; *trained*, the published accuracy is reached.

{"".join(_group(module, title) for module, title in GROUPS.items()).rstrip()}
"""


def _published() -> str:
    return ", ".join(f"{entry.connections:,} (`{name}`)" for name, entry in NETS.items() if entry.connections)


def family(module: str) -> list[str]:
    """The names of the nets whose builder is in this file of classicnets.models."""
    return [name for name, entry in NETS.items() if entry.builder.split(":")[0].endswith(f".{module}")]


def connections(table: Table) -> int:
    """Uses of weights, and one bias for each unit that has one."""
    return sum(row.macs + (row.units if row.biases else 0) for row in table.rows)


def _group(module: str, title: str) -> str:
    counts = ("weights", "biases", "parameters", "MACs", "units", "connections", "memory")
    lines = [f"## {title}", "", _line("net", "year", "source", "input", *counts, "proven")]
    lines += [_line(*["---"] * 4, *["---:"] * len(counts), "---")]
    lines += [_net_line(name, NETS[name]) for name in family(module)]
    return "\n".join([*lines, "", ""])


def _net_line(name: str, entry: Entry) -> str:
    table = _table(name)
    counts = (table.weights, table.biases, table.parameters, table.macs, table.units, connections(table))
    return _line(
        f"[`{name}`](../src/classicnets/models/cards/{name}.md){' (ours)' if entry.ours else ''}",
        entry.year or "-",
        entry.source,
        shape_text(table.input_shape),
        *(f"{count:,}" for count in counts),
        _bytes(table.weight_bytes),
        ", ".join(entry.proven) or "-",
    )


def _line(*cells: object) -> str:
    return "| " + " | ".join(map(str, cells)) + " |"


def _bytes(n: int) -> str:
    return f"{n / 1e6:.1f} MB" if n >= 1e6 else f"{n / 1e3:.1f} kB"


# ---------------------------------------------------------------------------------------------------- docs/claims.md
# A check computes its verdict and the evidence; its docstring is the claim, in our words, and its name the claim's id.

Finding = tuple[str, str]  # the verdict, and what there is


@dataclass(frozen=True)
class Claim:
    """What notes say, the verdict that the fact sheet gives it, and what settles it.

    That is a check; or, for what cannot be computed, an id, the claim and what sources say.
    """

    topic: str
    expected: str
    by: Callable[[], Finding] | str
    text: str = ""
    source: str = ""

    @property
    def id(self) -> str:
        """For a computed claim the name of its check."""
        return self.by if isinstance(self.by, str) else self.by.__name__

    @property
    def claim(self) -> str:
        """What notes say, on one line."""
        return self.text if isinstance(self.by, str) else " ".join((self.by.__doc__ or "").split())

    def finding(self) -> Finding:
        """The verdict and the evidence: computed now, or as the sources have it."""
        return (self.expected, self.source) if isinstance(self.by, str) else self.by()


def judge(literal: bool, reading: bool = False) -> str:
    """True as it is said, else loose if some reading of it is true, else wrong."""
    return "true" if literal else "loose" if reading else "wrong"


def _table(name: str, **options: tuple[int, int, int]) -> Table:
    return layers(name, **options)[1]


def _rows(name: str, **options: tuple[int, int, int]) -> dict[str, Row]:
    return {row.name: row for row in _table(name, **options).rows}


def _net(name: str, device: str = "meta") -> nn.Module:
    """The net as its builder makes it; with numbers (seeded) only on a device other than meta."""
    with torch.random.fork_rng([]), torch.device(device):
        torch.manual_seed(0)
        return NETS[name].load()()


def _convolutions(name: str) -> list[Row]:
    return [row for row in _table(name).rows if row.kind in {"Conv2d", "TableConv2d"}]


def _grouped(name: str) -> list[str]:
    return [row.name for row in _convolutions(name) if (row.groups or 1) > 1]


def _few(n: int, noun: str) -> str:
    return f"{n or 'no'} {noun}{'' if n == 1 or noun.isupper() else 's'}"


def _dense(name: str) -> list[Row]:
    return [row for row in _table(name).rows if row.kind == "Linear"]


def _pools(name: str) -> list[Row]:
    return [row for row in _table(name).rows if row.kind in {"MaxPool2d", "AvgPool2d", "Subsampling"}]


def _kinds(name: str) -> Counter[str]:
    return Counter(row.kind for row in _table(name).rows)


def _windows(rows: Iterable[Row]) -> list[int]:
    return [row.kernel[0] for row in rows if row.kernel]


def _maps(rows: Iterable[Row]) -> list[int]:
    return [row.outputs[0] for row in rows]


def _sides(rows: Iterable[Row]) -> list[int]:
    return [row.outputs[1] for row in rows]


def _list(values: Iterable[object]) -> str:
    return ", ".join(f"{v:,}" if isinstance(v, int) else str(v) for v in values)


def _after(module: nn.Module, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that a module turns this one into."""
    return trace(nn.Sequential(module), tuple(shape)).output_shape


def _slope(function: Callable[[torch.Tensor], torch.Tensor], *at: float) -> list[float]:
    """The derivative at these places, by autograd."""
    x = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    return torch.autograd.grad(function(x).sum(), x)[0].tolist()


# ---- how many

EIGHT = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]


def lenet_has_millions() -> Finding:
    """LeNet makes do with a few million parameters."""
    counts = {name: _table(name).parameters for name in family("lenet")}
    verdict = judge(min(counts.values()) >= 1e6, max(counts.values()) >= 1e6)
    return verdict, (
        f"{counts['lenet5_1998']:,} as published in 1998, {counts['lenet_d2l']:,} in the book; the largest that goes "
        f"by the name, `{max(counts, key=counts.__getitem__)}`, has {max(counts.values()):,}."
    )


def weights_of_the_eight_layers() -> Finding:
    """AlexNet's eight layers have 34,848, 307,200, 884,736, 663,552, 442,368, 37,748,736, 16,777,216 and 4,096,000
    weights.
    """
    claimed = [34_848, 307_200, 884_736, 663_552, 442_368, 37_748_736, 16_777_216, 4_096_000]
    table, rows = _table("alexnet_2012"), _rows("alexnet_2012")
    weights = [rows[name].weights for name in EIGHT]
    equal = sum(a == b for a, b in zip(claimed, weights, strict=True))
    return judge(weights == claimed), (f"{equal} of 8 are equal. Biases are left out: {table.biases:,} more.")


def sum_of_the_eight_layers() -> Finding:
    """Those eight counts add up to 60,924,656."""
    rows, parameters = _rows("alexnet_2012"), _table("alexnet_2012").parameters
    total = sum(rows[name].weights for name in EIGHT)
    return judge(total == 60_924_656), (
        f"They add up to {total:,}, which is {abs(total - 60_924_656):,} away; with biases {parameters:,}."
    )


def neurons_of_the_eight_layers() -> Finding:
    """AlexNet's layers have 290,400, 186,624, 64,896, 64,896, 43,264, 4,096, 4,096 and 1,000 neurons, in all
    659,272.
    """
    claimed = [290_400, 186_624, 64_896, 64_896, 43_264, 4_096, 4_096, 1_000]
    rows = _rows("alexnet_2012")
    units = [rows[name].units for name in EIGHT]
    equal = sum(a == b for a, b in zip(claimed, units, strict=True))
    return judge(units == claimed and sum(units) == 659_272), (f"{equal} of 8 are equal; the sum is {sum(units):,}.")


def alexnet_in_round_numbers() -> Finding:
    """AlexNet is 8 layers deep, with 60 million parameters, 650,000 neurons and 1,000 classes."""
    table = _table("alexnet_2012")
    deep, classes = sum(row.weights > 0 for row in table.rows), table.output_shape[0]
    close = max(abs(table.parameters / 60e6 - 1), abs(table.units / 650e3 - 1))
    return judge((deep, classes) == (8, 1000) and close < 0.02), (
        f"{deep} layers with weights, {table.parameters:,} parameters, {table.units:,} units, {classes:,} classes: the "
        f"round numbers are off by {100 * close:.1f} % at most."
    )


def listing_is_the_net_of_the_table() -> Finding:
    """MXNet's listing, printed below those tables, builds the net that they count."""
    listed, counted = _rows("alexnet_mxnet"), _rows("alexnet_2012")
    differing = [name for name in EIGHT if listed[name].weights != counted[name].weights]
    wider = [listed[name].weights for name in EIGHT[:5] if name in differing]
    totals = [_table("alexnet_mxnet", shape=(3, side, side)).parameters for side in (224, 227)]
    return judge(not differing), (
        f"Other weights in {_list(differing)}: nothing is in two groups, so the convolutions among them have "
        f"{_list(wider)}, and at 224 pixels fc6 has {listed['fc6'].weights:,}. In all {totals[0]:,} parameters at 224 "
        f"and {totals[1]:,} at 227, for {_table('alexnet_2012').parameters:,}."
    )


def one_gigabyte() -> Finding:
    """AlexNet's two dense layers of 4,096 units take nearly 1 GB."""
    two = {name: sum(_rows(name)[fc].weight_bytes for fc in ("fc6", "fc7")) for name in ("alexnet_2012", "alexnet_d2l")}
    whole = {name: _table(name).weight_bytes for name in two}
    return judge(max(two.values()) > 0.9e9, max(whole.values()) > 0.9e9), (
        f"{_bytes(two['alexnet_2012'])} as published, {_bytes(two['alexnet_d2l'])} in the book's net (float32); the "
        f"whole nets {_bytes(whole['alexnet_2012'])} and {_bytes(whole['alexnet_d2l'])}. Near 1 GB are only four "
        "copies of the whole net, which training with Adam needs (weights, gradients, two moments): "
        f"{_bytes(4 * whole['alexnet_2012'])}."
    )


def channels_tens_of_times() -> Finding:
    """AlexNet's convolutions have tens of times as many channels as LeNet's."""
    large, small = _maps(_convolutions("alexnet_2012")), _maps(_convolutions("lenet_d2l"))
    ratios = [a / b for a, b in zip(large, small, strict=False)]
    summed = sum(large) / sum(small)
    return judge(min(ratios) >= 20, summed >= 20), (
        f"{' and '.join(f'{r:.0f}' for r in ratios)} times in the first two layers; {sum(large):,} to {sum(small)} "
        f"over all layers, {summed:.1f} times."
    )


def channels_ten_times() -> Finding:
    """AlexNet's convolutions have ten times LeNet's channels."""
    large, small = _maps(_convolutions("alexnet_d2l")), _maps(_convolutions("lenet_d2l"))
    ratios = [a / b for a, b in zip(large, small, strict=False)]
    return judge(set(ratios) == {10}, min(ratios) >= 10), (
        f"{large[0]} to {small[0]} and {large[1]} to {small[1]}: {ratios[0]:.0f} times, so more than ten. Another note "
        "says tens of times."
    )


def fewer_parameters_more_work_than_an_mlp() -> Finding:
    """A convolutional net has fewer parameters than a multilayer perceptron of similar depth and yet costs more, as
    each weight is used many times.
    """
    lenet = _table("lenet_d2l")
    mlps = {sizes: _mlp(sizes) for sizes in ((784, 256, 10), (784, 120, 84, 10))}
    right = all(lenet.parameters < mlp.parameters and lenet.macs > mlp.macs for mlp in mlps.values())
    beside = "; ".join(f"{'-'.join(map(str, s))}: {m.parameters:,} and {m.macs:,}" for s, m in mlps.items())
    return judge(right), (
        f"`lenet_d2l`: {lenet.parameters:,} parameters and {lenet.macs:,} MACs, {lenet.macs / lenet.weights:.1f} uses "
        f"of each weight. MLP {beside}, one use each."
    )


def _mlp(sizes: Sequence[int]) -> Table:
    parts = [part for n, m in pairwise(sizes) for part in (nn.Linear(n, m, device="meta"), nn.ReLU())]
    return trace(nn.Sequential(*parts[:-1]), sizes[:1])


def alexnet_is_much_costlier() -> Finding:
    """AlexNet is far costlier to compute than LeNet."""
    large, small = _table("alexnet_d2l"), _table("lenet_d2l")
    return judge(large.macs > 100 * small.macs), (
        f"{large.macs:,} MACs to {small.macs:,}, {large.macs / small.macs:,.0f} times (the book's two nets); "
        f"{large.parameters / small.parameters:,.0f} times the parameters, "
        f"{large.activation_bytes / small.activation_bytes:,.0f} times the memory for activations."
    )


def vgg16_has_16_convolutions() -> Finding:
    """VGG-16 has 16 convolutions and 3 dense layers."""
    convolutions, dense = len(_convolutions("vgg16")), len(_dense("vgg16"))
    return judge((convolutions, dense) == (16, 3)), (
        f"{convolutions} convolutions and {dense} dense layers; the {convolutions + dense} of the name are all layers "
        "with weights."
    )


def vgg16_has_138_million() -> Finding:
    """VGG-16 has about 138 million parameters."""
    parameters = _table("vgg16").parameters
    return judge(round(parameters / 1e6) == 138), (f"{parameters:,}.")


def vgg_has_dozens_of_kernels() -> Finding:
    """VGG's layers have up to a few dozen kernels."""
    maps = _maps(_convolutions("vgg16"))
    return judge(max(maps) <= 48, min(maps) <= 48), (f"{min(maps)} to {max(maps)}.")


# ---- which shape


def lenets_13_printed_shapes() -> Finding:
    """The 13 shapes that the book prints for its LeNet, from 1x28x28 to 10."""
    printed = ["1x28x28", "6x28x28", "6x28x28", "6x14x14", "16x10x10", "16x10x10", "16x5x5"]
    printed += ["400", "120", "120", "84", "84", "10"]
    return _printed("lenet_d2l", printed, with_input=True)


def alexnets_21_printed_shapes() -> Finding:
    """The 21 shapes that the book prints for its AlexNet, from 96x54x54 to 10."""
    printed = ["96x54x54", "96x54x54", "96x26x26", "256x26x26", "256x26x26", "256x12x12"]
    printed += ["384x12x12"] * 4 + ["256x12x12"] * 2 + ["256x5x5", "6400"] + ["4096"] * 6 + ["10"]
    return _printed("alexnet_d2l", printed)


def _printed(name: str, printed: list[str], with_input: bool = False) -> Finding:
    table = _table(name)
    shapes = [shape_text(table.input_shape)] * with_input + [shape_text(row.outputs) for row in table.rows]
    equal = sum(a == b for a, b in zip(printed, shapes, strict=False))
    return judge(shapes == printed), (f"{equal} of {len(shapes)} are equal (`{name}`).")


def every_layer_is_smaller() -> Finding:
    """In LeNet's convolutional part each layer's maps are smaller than those before."""
    maps = [*_convolutions("lenet_d2l"), *_pools("lenet_d2l")]
    steps = [(row.name, row.inputs[1], row.outputs[1]) for row in maps]
    kept = [f"{name} keeps {before}x{before}" for name, before, after in steps if after >= before]
    return judge(not kept), (
        f"{'; '.join(kept) or 'All shrink'} (5x5, padded by {(_rows('lenet_d2l')['conv1'].padding or '0')[0]}). The "
        f"others: {', '.join(f'{name} {before} to {after}' for name, before, after in steps if after < before)}."
    )


def lenet_on_padded_28() -> Finding:
    """LeNet's 32x32 input is a padded 28x28; then 6 maps of 28, 6 of 14, 16 of 10, 16 of 5; kernels 6x5x5 and 16x6x5x5;
    a dense layer of 120 by 400.
    """
    notes, rows = _net("lenet_32", "cpu"), _rows("lenet_32")
    shapes = [shape_text(rows[name].outputs) for name in ("conv1", "pool1", "conv2", "pool2")]
    weights = [shape_text(notes.get_parameter(f"{name}.weight").shape) for name in ("conv1", "conv2", "fc1")]
    right = shapes == ["6x28x28", "6x14x14", "16x10x10", "16x5x5"] and weights == ["6x1x5x5", "16x6x5x5", "120x400"]
    same = right and _same_on_padded(notes, _net("lenet_d2l", "cpu"))
    original = _convolutions("lenet5_1998")[1]
    pairs = original.weights // math.prod(original.kernel or ())
    return judge(right and same), (
        f"{_list(shapes)}; weights {_list(weights)} (`lenet_32`). Fed the padded image it "
        f"{'gives' if same else 'does not give'} what `lenet_d2l` gives for the image itself. In the original the "
        f"second convolution is sparse: {pairs} of {original.inputs[0] * original.outputs[0]} pairs of maps."
    )


def _same_on_padded(wide: nn.Module, narrow: nn.Module) -> bool:
    """Whether a net gives for a padded image what another, with the same weights, gives for the image itself."""
    wide.load_state_dict(narrow.state_dict())
    image = torch.linspace(0, 1, 28 * 28).reshape(1, 1, 28, 28)
    return torch.allclose(wide(F.pad(image, (2, 2, 2, 2))), narrow(image), atol=1e-6)


def dense_layer_of_64() -> Finding:
    """LeNet's dense layer after the one of 120 gives 64 values."""
    after = {name: [r.outputs[0] for r in _dense(name) if r.inputs == (120,)] for name in ("lenet5_1998", "lenet_d2l")}
    values = {n for found in after.values() for n in found}
    return judge(values == {64}, 64 in values), (
        f"{_list(sorted(values))}, in 1998 and in the book; 84 = 7 x 12, an image of a character."
    )


def conv2_has_stride_2() -> Finding:
    """AlexNet's second convolution, 5x5 on 48 maps, has stride 2 and padding 2."""
    row = _rows("alexnet_2012")["conv2"]
    strided = nn.Conv2d(row.inputs[0], row.outputs[0], 5, stride=2, padding=2, groups=row.groups or 1, device="meta")
    side = _after(strided, row.inputs)
    pooled = [_after(nn.MaxPool2d(3, 2, ceil_mode=up), side)[1] for up in (False, True)]
    return judge(row.stride == (2, 2)), (
        f"Stride {(row.stride or '-')[0]}: {row.inputs[1]} stays {row.outputs[1]} and the pool gives "
        f"{_rows('alexnet_2012')['pool2'].outputs[1]}. Stride 2 would give {shape_text(side[1:])}, and "
        f"{pooled[0]}x{pooled[0]} after the pool ({pooled[1]}x{pooled[1]} where pools round up, as in 2012)."
    )


def conv3_has_stride_2() -> Finding:
    """AlexNet's third convolution, 3x3 on all 256 maps, has stride 2."""
    row = _rows("alexnet_2012")["conv3"]
    strided = nn.Conv2d(row.inputs[0], row.outputs[0], 3, stride=2, padding=1, device="meta")
    return judge(row.stride == (2, 2)), (
        f"Stride {(row.stride or '-')[0]}, padding {(row.padding or '-')[0]}: {row.inputs[1]} stays {row.outputs[1]}. "
        f"Stride 2 would give {shape_text(_after(strided, row.inputs)[1:])}."
    )


def fifty_five_from_224() -> Finding:
    """AlexNet's first convolution turns 224 pixels into 55."""
    row = _rows("alexnet_2012")["conv1"]
    window, stride = (row.kernel or (0,))[0], (row.stride or (0,))[0]
    conv = nn.Conv2d(3, 96, kernel_size=window, stride=stride, device="meta")

    def side(pixels: int, *border: int) -> int:
        return _after(nn.Sequential(nn.ZeroPad2d(border or 0), conv), (3, pixels, pixels))[1]

    plain = side(224)
    sides = {
        "no padding, rounded up as in Krizhevsky's code (3 zeros at the right and lower border)": side(224, 0, 3, 0, 3),
        "padding 1": side(224, 1, 1, 1, 1),
        "padding 2": side(224, 2, 2, 2, 2),
        "an image of 227": side(227),
    }
    return judge(plain == 55, row.outputs[1] == 55), (
        f"{window}x{window} every {stride}. No padding, rounded down: {plain}; "
        f"{'; '.join(f'{how}: {found}' for how, found in sides.items())}."
    )


def images_ten_times_as_large() -> Finding:
    """ImageNet's images are more than ten times as high and wide as MNIST's."""
    large, small = _table("alexnet_2012").input_shape[1], _table("lenet_d2l").input_shape[1]
    return judge(large > 10 * small, reading=large > small), (
        f"True of the photographs as collected (source). What the nets read is {large} and {small} pixels wide: "
        f"{large / small:g} times."
    )


# ---- LeNet's layers


def lenet_of_the_first_edition() -> Finding:
    """A LeNet of two 5x5 convolutions with 6 and 16 maps, sigmoid, 2x2 maximum pooling and dense layers of
    120, 84 and 10.
    """
    kinds, original = _kinds("lenet_d2l_v1"), _kinds("lenet5_1998")
    convolutions, pools, dense = _convolutions("lenet_d2l_v1"), _pools("lenet_d2l_v1"), _dense("lenet_d2l_v1")
    right = _windows(convolutions) == [5, 5] and _maps(convolutions) == [6, 16] and _maps(dense) == [120, 84, 10]
    right &= _windows(pools) == [2, 2] and kinds["MaxPool2d"] == 2 and kinds["Sigmoid"] == 4
    return judge(right), (
        f"So it is in the book's first edition (`lenet_d2l_v1`, {_table('lenet_d2l_v1').parameters:,} parameters). "
        f"LeNet-5 itself has {_few(original['Sigmoid'], 'sigmoid')} and {_few(original['MaxPool2d'], 'maximum pool')}."
    )


def lenet_of_the_second_edition() -> Finding:
    """LeNet has two 5x5 convolutions with 6 and 16 maps, 2x2 pooling that leaves a quarter of the values, and three
    dense layers of 120, 84 and 10.
    """
    convolutions, pools, dense = _convolutions("lenet_d2l"), _pools("lenet_d2l"), _dense("lenet_d2l")
    left = [math.prod(row.inputs) / math.prod(row.outputs) for row in pools]
    right = _windows(convolutions) == [5, 5] and _maps(convolutions) == [6, 16] and _maps(dense) == [120, 84, 10]
    return judge(right and left == [4, 4]), (
        f"{len(convolutions)} convolutions of {_list(_maps(convolutions))} maps, {len(dense)} dense layers of "
        f"{_list(_maps(dense))}; each pool leaves 1 value in {left[0]:g} (`lenet_d2l`)."
    )


def original_unit_is_sigmoid_and_average() -> Finding:
    """LeNet's original convolutional unit ends in a sigmoid and an average pooling."""
    kinds, squash = _kinds("lenet5_1998"), _net("lenet5_1998").get_submodule("squash1")
    trained = [f"{row.name} {row.parameters}" for row in _pools("lenet5_1998") if row.parameters]
    return judge(kinds["Sigmoid"] > 0 and kinds["AvgPool2d"] > 0), (
        f"LeNet-5 has {_few(kinds['Sigmoid'], 'sigmoid')} and {_few(kinds['AvgPool2d'], 'plain average')}. It has "
        f"{kinds['ScaledTanh']} x {squash.amplitude:g} tanh({squash.slope:.3f} a), and subsampling with trained "
        f"parameters: {_list(trained)}."
    )


def only_the_gaussian_was_removed() -> Finding:
    """The book's LeNet is LeNet-5 but for the Gaussian output."""
    names = ("lenet5_1998", "lenet_d2l")
    sizes = [_table(name).input_shape[1] for name in names]
    tanh = [_kinds(name)["ScaledTanh"] for name in names]
    trained = [sum(row.parameters for row in _pools(name)) for name in names]
    second = [_convolutions(name)[1].parameters for name in names]
    head = [[row for row in _table(name).rows if row.units or row.macs][-1].parameters for name in names]
    differences = [
        text
        for text, differs in {
            f"output: {head[1]} trained parameters for {head[0]}": head[0] != head[1],
            "sigmoid for scaled tanh": tanh[0] != tanh[1],
            f"subsampling: {trained[1]} parameters for {trained[0]}": trained[0] != trained[1],
            f"second convolution: {second[1]:,} parameters for {second[0]:,}": second[0] != second[1],
            f"{sizes[1]} pixels, padded, for {sizes[0]}": sizes[0] != sizes[1],
        }.items()
        if differs
    ]
    return judge(len(differences) <= 1), (
        f"{len(differences)} differences in the architecture: {'; '.join(differences)}. Four more in training "
        "(source): cross-entropy, Fashion-MNIST, Xavier's weights, plain gradient descent."
    )


def lenet5_gives_probabilities() -> Finding:
    """LeNet-5's ten outputs are probabilities."""
    shape, codes = _table("lenet5_1998").input_shape, _dense("lenet5_1998")[-1].outputs[0]
    with torch.no_grad():
        outputs = _net("lenet5_1998", "cpu")(torch.linspace(-0.1, 1.175, math.prod(shape)).reshape(1, *shape))
    probabilities = bool((outputs >= 0).all()) and bool((outputs.sum(1) - 1).abs().max() < 1e-3)
    negative = int((outputs < 0).sum())
    return judge(probabilities), (
        f"They are squared distances to fixed codes of {codes} numbers, "
        f"here negated: {negative} of {outputs.numel()} are below zero on a test image. In the book's net a softmax "
        "in the loss makes probabilities."
    )


# ---- AlexNet's layers


def five_convolutions_three_dense() -> Finding:
    """AlexNet has eight layers with weights: five convolutions, two hidden dense layers and a dense output."""
    convolutions, dense = _convolutions("alexnet_2012"), _dense("alexnet_2012")
    right = (len(convolutions), len(dense)) == (5, 3)
    return judge(right and _maps(dense) == [4096, 4096, 1000]), (
        f"{len(convolutions)} convolutions of {_list(_maps(convolutions))} maps and {len(dense)} dense layers of "
        f"{_list(_maps(dense))}."
    )


def windows_11_5_3() -> Finding:
    """AlexNet's windows are 11x11, then 5x5, then 3x3; maximum pooling 3x3 every 2 follows layers 1, 2 and 5."""
    table = _table("alexnet_2012")
    windows, pools = _windows(_convolutions("alexnet_2012")), _pools("alexnet_2012")
    after, seen = [], 0
    for row in table.rows:
        seen += row.kind == "Conv2d"
        after += [seen] if row.kind == "MaxPool2d" else []
    shape = {(row.kind, row.kernel, row.stride) for row in pools}
    right = windows == [11, 5, 3, 3, 3] and after == [1, 2, 5] and shape == {("MaxPool2d", (3, 3), (2, 2))}
    return judge(right), (
        f"Windows {_list(windows)}; pools of {_list(sorted(set(_windows(pools))))} after layers {_list(after)}."
    )


def who_reads_both_towers() -> Finding:
    """AlexNet runs as two towers; only the third convolution reads all maps of the layer before; it ends in
    1,000 classes.
    """
    read = {row.name: (row.inputs[0] // (row.groups or 1), row.inputs[0]) for row in _convolutions("alexnet_2012")[1:]}
    both = [name for name, (some, all_) in read.items() if some == all_]
    return judge(both == ["conv3"] and _table("alexnet_2012").output_shape == (1000,)), (
        f"Maps that a kernel reads: {', '.join(f'{name} {some} of {all_}' for name, (some, all_) in read.items())}. "
        "The dense layers read both towers too."
    )


def conv4_and_conv5_read_192() -> Finding:
    """AlexNet's fourth and fifth convolutions have 384 kernels and 256 kernels of 3x3x192; nothing pools or normalizes
    between the third and the fifth.
    """
    net, names = _net("alexnet_2012"), [row.name for row in _table("alexnet_2012").rows]
    kernels = [tuple(net.get_parameter(f"{name}.weight").shape) for name in ("conv4", "conv5")]
    between = names[names.index("conv3") + 1 : names.index("conv5")]
    right = kernels == [(384, 192, 3, 3), (256, 192, 3, 3)] and between == ["relu3", "conv4", "relu4"]
    return judge(right), (f"Weights {' and '.join(map(shape_text, kernels))}; between them {_list(between)}.")


def two_towers_are_two_groups() -> Finding:
    """Two towers on two machines compute what one convolution in two groups computes."""
    row = _rows("alexnet_2012")["conv2"]
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        one = nn.Conv2d(row.inputs[0], row.outputs[0], 5, padding=2, groups=row.groups or 1).double()
        maps = torch.rand(1, row.inputs[0], 9, 9, dtype=torch.float64)
    halves = zip(maps.chunk(2, 1), one.weight.chunk(2), one.bias.chunk(2), strict=True)
    two = torch.cat([F.conv2d(x, weight[:, : x.shape[1]], bias, padding=2) for x, weight, bias in halves], 1)
    same = torch.allclose(one(maps), two, rtol=1e-12)
    return judge(same), (
        f"The second convolution as groups={row.groups} and as two convolutions on halves of the maps: "
        f"{'equal' if same else 'not equal'} up to the order of summation. {row.weights:,} weights; without groups "
        f"{row.weights * (row.groups or 1):,}."
    )


def every_dense_layer_has_4096() -> Finding:
    """Each of AlexNet's dense layers has 4,096 neurons."""
    sizes = _maps(_dense("alexnet_2012"))
    return judge(set(sizes) == {4096}, set(sizes[:-1]) == {4096}), (
        f"{_list(sizes)}: the hidden ones have, the output has not."
    )


def listing_ends_in_1000() -> Finding:
    """AlexNet as it is listed for Fashion-MNIST ends in a dense layer of 1,000."""
    book, paper = _table("alexnet_d2l_v1").output_shape[0], _table("alexnet_2012").output_shape[0]
    kinds, paper_lrn = _kinds("alexnet_d2l_v1"), _kinds("alexnet_2012")["LRN"]
    return judge(book == 1000, paper == 1000), (
        f"The paper's net does; the book's ends in {book}. It also has {_few(kinds['LRN'], 'LRN')} and "
        f"{_few(len(_grouped('alexnet_d2l_v1')), 'grouped convolution')}, the paper's {_few(paper_lrn, 'LRN')} and "
        f"{len(_grouped('alexnet_2012'))}."
    )


def book_has_the_paper_s_architecture() -> Finding:
    """The shapes of the book's AlexNet are those of the published architecture."""
    book, paper = _convolutions("alexnet_d2l"), _convolutions("alexnet_2012")
    sides = [
        [row.outputs[1] for row in [c[0], *_pools(n)]] for n, c in (("alexnet_d2l", book), ("alexnet_2012", paper))
    ]
    alike = _maps(book) == _maps(paper) and _windows(book) == _windows(paper)
    return judge(sides[0] == sides[1], alike), (
        f"{'Same' if alike else 'Other'} windows and numbers of maps, but sides of {_list(sides[0])} for "
        f"{_list(sides[1])}; {_few(len(_grouped('alexnet_d2l')), 'grouped convolution')} and "
        f"{_few(_kinds('alexnet_d2l')['LRN'], 'LRN')} for {len(_grouped('alexnet_2012'))} and "
        f"{_kinds('alexnet_2012')['LRN']}."
    )


def three_more_convolutions() -> Finding:
    """AlexNet has three convolutions more than LeNet."""
    counts = {name: len(_convolutions(name)) for name in ("alexnet_d2l", "lenet_d2l", "lenet5_1998")}
    more = counts["alexnet_d2l"] - counts["lenet_d2l"]
    return judge(more == 3), (
        f"{counts['alexnet_d2l']} to the {counts['lenet_d2l']} of the book's LeNet. LeNet-5 has "
        f"{counts['lenet5_1998']}, as its C5 is a convolution: {counts['alexnet_d2l'] - counts['lenet5_1998']} more."
    )


def larger_windows_and_strides() -> Finding:
    """AlexNet begins with a larger window and stride than LeNet, and pools over larger windows."""
    large, small = _convolutions("alexnet_2012")[0], _convolutions("lenet_d2l")[0]
    pools = _windows(_pools("alexnet_2012"))[0], _windows(_pools("lenet_d2l"))[0]
    sizes = [(row.kernel or (0,))[0] for row in (large, small)] + [(row.stride or (0,))[0] for row in (large, small)]
    return judge(sizes[0] > sizes[1] and sizes[2] > sizes[3] and pools[0] > pools[1]), (
        f"{sizes[0]} every {sizes[2]} for {sizes[1]} every {sizes[3]}; pools of {pools[0]} for {pools[1]}."
    )


def vgg_s_windows_are_larger() -> Finding:
    """LeNet's windows are small, 5x5; AlexNet's and VGG's are larger, mostly 3x3."""
    windows = {name: set(_windows(_convolutions(name))) for name in ("lenet_d2l", "alexnet_2012", "vgg16")}
    largest = max(windows["lenet_d2l"])
    later = windows["alexnet_2012"] | windows["vgg16"]
    return judge(min(later) > largest, min(windows["vgg16"]) > largest), (
        f"LeNet {_list(windows['lenet_d2l'])}; AlexNet {_list(_windows(_convolutions('alexnet_2012')))}; VGG "
        f"{_list(windows['vgg16'])} throughout. 3 is less than 5."
    )


def dropout_only_in_alexnet() -> Finding:
    """AlexNet has dropout after its hidden dense layers, LeNet has none."""
    lenets = sum(_kinds(name)["Dropout"] for name in family("lenet"))
    names = [row.name for row in _table("alexnet_2012").rows if row.weights or row.kind == "Dropout"]
    after = [before for before, name in pairwise(names) if name.startswith("drop")]
    return judge(lenets == 0 and after == ["fc6", "fc7"]), (
        f"After {_list(after)} (`alexnet_2012`); {lenets} in the {len(family('lenet'))} LeNets here. torchvision's "
        "AlexNet drops before those layers, not after."
    )


def what_alexnet_brought() -> Finding:
    """AlexNet combines ReLU, dropout, response normalization, overlapping pooling and training on several GPUs, with
    augmented data.
    """
    kinds, pool = _kinds("alexnet_2012"), _pools("alexnet_2012")[0]
    window, stride = (pool.kernel or (0,))[0], (pool.stride or (0,))[0]
    grouped = _grouped("alexnet_2012")
    return judge(bool(kinds["ReLU"] and kinds["Dropout"] and kinds["LRN"] and window > stride and grouped)), (
        f"{kinds['ReLU']} ReLU, {kinds['Dropout']} dropout, {kinds['LRN']} LRN, pools of {window} every {stride}, "
        f"{_list(grouped)} in two towers. Crops, mirrored images and color noise by the paper, section 4; dropout "
        "itself is from Hinton et al., July 2012 (source)."
    )


# ---- activations, pooling, normalization


def relu_replaced_the_sigmoid() -> Finding:
    """AlexNet put ReLU in the place of LeNet's sigmoid."""
    kinds = {name: _kinds(name) for name in ("lenet5_1998", "lenet_d2l", "alexnet_2012")}
    relu = kinds["alexnet_2012"]["ReLU"] > 0
    original, book = kinds["lenet5_1998"]["Sigmoid"], kinds["lenet_d2l"]["Sigmoid"]
    return judge(relu and original > 0, relu and book > 0), (
        f"The book's LeNet has {_few(book, 'sigmoid')}; LeNet-5 has {_few(original, 'sigmoid')} but "
        f"{kinds['lenet5_1998']['ScaledTanh']} scaled tanh. The paper argues against both."
    )


def relu_closes_the_right_side() -> Finding:
    """ReLU shuts off the right (positive) side."""
    values, slopes = torch.relu(torch.tensor([-2.0, 2.0])).tolist(), _slope(torch.relu, -2, 2)
    return judge(slopes[1] == 0 and values[1] == 0), (
        f"It zeroes the left: at -2 value {values[0]:g} and gradient {slopes[0]:g}, at +2 value {values[1]:g} and "
        f"gradient {slopes[1]:g}."
    )


def relu_has_no_exponential_and_slope_1() -> Finding:
    """ReLU needs no exponential, and its gradient is 1 wherever it is positive."""
    x = torch.linspace(-8, 8, 65, dtype=torch.float64)
    plain = torch.equal(torch.relu(x), torch.where(x > 0, x, 0.0))
    exponential = torch.allclose(torch.sigmoid(x), 1 / (1 + torch.exp(-x)), rtol=1e-12)
    slopes = set(_slope(torch.relu, 0.001, 1, 1000))
    return judge(plain and exponential and slopes == {1.0}), (
        "Equal to a comparison with zero on 65 values; the sigmoid equals 1 / (1 + exp(-a)). Gradient at 0.001, 1 and "
        f"1000: {_list(f'{s:g}' for s in slopes)}."
    )


def saturated_sigmoid_has_no_gradient() -> Finding:
    """Where a sigmoid is nearly 0 or 1, its gradient is nearly 0."""
    at = [0.0, 5.0, -5.0, 10.0]
    slopes, values = _slope(torch.sigmoid, *at), torch.sigmoid(torch.tensor(at)).tolist()
    pairs = [f"{value:.4f}: {slope:.5f}" for value, slope in zip(values, slopes, strict=True)]
    return judge(max(slopes[1:]) < 0.01 < slopes[0]), f"Output and gradient: {', '.join(pairs)}."


def relu_prevents_divergence() -> Finding:
    """ReLU keeps the gradient from diverging, as sigmoids make it do."""

    def eight(function: Callable[[torch.Tensor], torch.Tensor]) -> float:
        def deep(x: torch.Tensor) -> torch.Tensor:
            for _ in range(8):
                x = function(x)
            return x

        return _slope(deep, 0.5)[0]

    steepest = max(_slope(torch.sigmoid, *[i / 10 for i in range(-50, 51)]))
    return judge(eight(torch.sigmoid) > 1, steepest > 1), (
        f"The word is vanishing: a sigmoid's gradient is at most {steepest:g}, through eight of them "
        f"{eight(torch.sigmoid):.6f} is left, through eight ReLUs {eight(torch.relu):g} (activations alone)."
    )


def relu_acts_like_l1() -> Finding:
    """ReLU's sparse outputs act like an L1 penalty."""
    net = _net("alexnet_28", "cpu").eval()
    with torch.random.fork_rng([]), torch.no_grad():
        torch.manual_seed(0)
        x, zeros = torch.randn(8, 1, 28, 28), []
        for module in net.children():
            x = module(x)
            zeros += [float((x == 0).float().mean())] if isinstance(module, nn.ReLU) else []
    dead = sum(int((p == 0).sum()) for p in net.parameters() if p.ndim > 1)  # biases begin at zero
    return judge(dead > 0, min(zeros) > 0.3), (
        f"An analogy. Outputs are sparse: before any training {100 * round(sum(zeros) / len(zeros), 1):.0f} % of what "
        f"the {len(zeros)} ReLU layers of `alexnet_28` give are zeros. But an L1 penalty makes zeros of weights, and "
        f"of these {dead} are zero. Whether sparse outputs narrow the gap between training and test is open (below)."
    )


def pools_do_not_overlap_by_default() -> Finding:
    """PyTorch's pooling windows do not overlap unless told to."""
    strides = [(size, nn.MaxPool2d(size).stride, _after(nn.MaxPool2d(size), (1, 12, 12))[1]) for size in (2, 3, 4)]
    return judge(all(size == stride and size * side == 12 for size, stride, side in strides)), (
        f"The stride is the window: 12 pixels under windows of {_list(s for s, _, _ in strides)} give "
        f"{_list(side for _, _, side in strides)}."
    )


def lrn_as_printed() -> Finding:
    """MXNet's LRN with alpha = 0.0001 is the formula of the paper."""
    x = torch.linspace(-100, 100, 96, dtype=torch.float64).reshape(1, 96, 1, 1)
    paper, mxnet = (_net(name).get_submodule("norm1") for name in ("alexnet_2012", "alexnet_mxnet"))
    own = nn.LocalResponseNorm(mxnet.size, mxnet.alpha, mxnet.beta, mxnet.k)
    terms = [float(((x / norm(x)) ** (1 / norm.beta) - norm.k)[0, 10]) for norm in (paper, mxnet, own)]
    ratio = terms[0] / terms[1]
    return judge(abs(ratio - 1) < 1e-6), (
        f"What is added to k is {ratio:.2f} times as large in the paper's formula: MXNet, Caffe, Krizhevsky's own code "
        f"and torch (here {terms[2] / terms[1]:.2f} times MXNet's) divide alpha by the window, {paper.size}."
    )


HISTORY, TRAINING = "Years, names, published results", "Data and training"
COUNTS, SHAPES = "How many", "Which shape"
LENET, ALEXNET, PARTS = "LeNet's layers", "AlexNet's layers", "Activation, pooling, normalization"

CLAIMS: list[Claim] = [
    Claim(COUNTS, "wrong", lenet_has_millions),
    Claim(COUNTS, "true", alexnet_in_round_numbers),
    Claim(COUNTS, "true", weights_of_the_eight_layers),
    Claim(COUNTS, "wrong", sum_of_the_eight_layers),
    Claim(COUNTS, "true", neurons_of_the_eight_layers),
    Claim(COUNTS, "wrong", listing_is_the_net_of_the_table),
    Claim(COUNTS, "wrong", one_gigabyte),
    Claim(COUNTS, "loose", channels_tens_of_times),
    Claim(COUNTS, "loose", channels_ten_times),
    Claim(COUNTS, "true", fewer_parameters_more_work_than_an_mlp),
    Claim(COUNTS, "true", alexnet_is_much_costlier),
    Claim(COUNTS, "wrong", vgg16_has_16_convolutions),
    Claim(COUNTS, "true", vgg16_has_138_million),
    Claim(COUNTS, "wrong", vgg_has_dozens_of_kernels),
    Claim(SHAPES, "true", lenets_13_printed_shapes),
    Claim(SHAPES, "true", alexnets_21_printed_shapes),
    Claim(SHAPES, "wrong", every_layer_is_smaller),
    Claim(SHAPES, "true", lenet_on_padded_28),
    Claim(SHAPES, "wrong", dense_layer_of_64),
    Claim(SHAPES, "loose", fifty_five_from_224),
    Claim(SHAPES, "wrong", conv2_has_stride_2),
    Claim(SHAPES, "wrong", conv3_has_stride_2),
    Claim(SHAPES, "loose", images_ten_times_as_large),
    Claim(LENET, "true", lenet_of_the_first_edition),
    Claim(LENET, "true", lenet_of_the_second_edition),
    Claim(LENET, "wrong", original_unit_is_sigmoid_and_average),
    Claim(LENET, "wrong", only_the_gaussian_was_removed),
    Claim(LENET, "wrong", lenet5_gives_probabilities),
    Claim(ALEXNET, "true", five_convolutions_three_dense),
    Claim(ALEXNET, "true", windows_11_5_3),
    Claim(ALEXNET, "true", who_reads_both_towers),
    Claim(ALEXNET, "true", conv4_and_conv5_read_192),
    Claim(ALEXNET, "true", two_towers_are_two_groups),
    Claim(ALEXNET, "loose", every_dense_layer_has_4096),
    Claim(ALEXNET, "loose", listing_ends_in_1000),
    Claim(ALEXNET, "loose", book_has_the_paper_s_architecture),
    Claim(ALEXNET, "true", three_more_convolutions),
    Claim(ALEXNET, "true", larger_windows_and_strides),
    Claim(ALEXNET, "wrong", vgg_s_windows_are_larger),
    Claim(ALEXNET, "true", dropout_only_in_alexnet),
    Claim(ALEXNET, "true", what_alexnet_brought),
    Claim(PARTS, "loose", relu_replaced_the_sigmoid),
    Claim(PARTS, "wrong", relu_closes_the_right_side),
    Claim(PARTS, "true", relu_has_no_exponential_and_slope_1),
    Claim(PARTS, "true", saturated_sigmoid_has_no_gradient),
    Claim(PARTS, "wrong", relu_prevents_divergence),
    Claim(PARTS, "loose", relu_acts_like_l1),
    Claim(PARTS, "true", pools_do_not_overlap_by_default),
    Claim(PARTS, "wrong", lrn_as_printed),
    Claim(
        TRAINING,
        "wrong",
        "input_is_padded",
        "AlexNet's input is an image padded to 3x224x224.",
        "It is a 224x224 crop of a 256x256 image (Krizhevsky et al. 2012, section 4.1).",
    ),
    Claim(
        TRAINING,
        "true",
        "augmentation",
        "AlexNet is trained on mirrored, cropped and recolored images.",
        "Krizhevsky et al. 2012, section 4.1.",
    ),
    Claim(
        TRAINING,
        "true",
        "book_s_alexnet_settings",
        "The book trains AlexNet on Fashion-MNIST, 28x28 enlarged to 224, batch 128, lr 0.01, 10 epochs.",
        "d2l-ai/d2l-zh, alexnet.md.",
    ),
    Claim(
        TRAINING,
        "true",
        "book_s_lenet_settings",
        "The book trains LeNet in batches of 256; a GPU makes it faster.",
        "d2l-ai/d2l-zh, lenet.md; the publisher's own runs report 55,000 to 103,000 images a second.",
    ),
    Claim(
        TRAINING,
        "wrong",
        "lenet_used_weight_decay",
        "LeNet was regularized by weight decay alone.",
        "Neither LeCun et al. 1998 (as generally known) nor the book's `train_ch6` has weight decay.",
    ),
    Claim(
        HISTORY,
        "true",
        "named_after",
        "LeNet is named after LeCun and AlexNet after Alex Krizhevsky, the first authors.",
        "LeCun et al. 1989, 1998; Krizhevsky et al. 2012.",
    ),
    Claim(
        HISTORY,
        "loose",
        "lenet_1989_at_bell_labs",
        "LeCun, at AT&T Bell Labs, proposed LeNet in 1989. (Other notes: the prototype is LeNet-5 of 1998.)",
        "1989 is the net for zip codes (`lenet_1989`), 1990 LeNet-1, 1998 LeNet-5; the net that the notes show is a "
        "cousin of the last.",
    ),
    Claim(
        HISTORY,
        "wrong",
        "lenet_1999",
        "LeNet was published in 1999.",
        "LeNet-5 in 1998 (Proc. IEEE 86(11)), its ancestors in 1989 (Neural Computation 1(4)) and 1990 (NIPS 2).",
    ),
    Claim(
        HISTORY,
        "true",
        "as_good_as_svms",
        "LeNet did as well as the support vector machines of its day.",
        "MNIST test error 0.95 % and, with distortions, 0.8 %; SVMs 1.1, 1.0 and 0.8 % (LeCun et al. 1998, figure 9, "
        "as generally known).",
    ),
    Claim(
        HISTORY,
        "true",
        "cheques",
        "LeNet read cheques in cash machines.",
        "Dive into Deep Learning, English 1.0, chapter on LeNet.",
    ),
    Claim(
        HISTORY,
        "wrong",
        "no_relu_or_max_pooling_before",
        "In the 1990s neither ReLU nor maximum pooling had been invented.",
        "Rectified units: Fukushima, 1969 to 1975; maximum pooling: Yamaguchi 1990, Weng 1992. They were not used in "
        "LeNet.",
    ),
    Claim(
        HISTORY,
        "true",
        "imagenet_2009_alexnet_2012",
        "ImageNet was presented in 2009 by Fei-Fei Li's group; Krizhevsky, Sutskever and Hinton won its contest of "
        "2012.",
        "Deng et al., CVPR 2009; Krizhevsky et al. 2012.",
    ),
    Claim(
        HISTORY,
        "loose",
        "imagenet_2010",
        "ImageNet dates from 2010.",
        "The data set is of 2009, the first contest of 2010.",
    ),
    Claim(
        HISTORY,
        "loose",
        "better_by_41_percent",
        "AlexNet was 41 % better than the runner-up.",
        f"Top-5 error 15.3 % to 26.2 % (Krizhevsky et al. 2012): {100 * (1 - 15.3 / 26.2):.1f} % fewer errors, "
        f"{26.2 - 15.3:.1f} points.",
    ),
    Claim(
        HISTORY,
        "loose",
        "hinton_and_his_student",
        "AlexNet is by Hinton and his student Krizhevsky.",
        "And by Sutskever, the second author.",
    ),
    Claim(
        HISTORY,
        "wrong",
        "first_on_a_gpu",
        "AlexNet was the first net that was trained on GPUs.",
        "Convolutional nets had been before: Ciresan et al. 2011 is reference [5] of the paper.",
    ),
    Claim(
        HISTORY,
        "true",
        "two_towers_for_memory",
        "AlexNet was split in two because one GPU's memory was too small.",
        "Two GTX 580 of 3 GB each (Krizhevsky et al. 2012, section 3.2).",
    ),
    Claim(
        HISTORY,
        "true",
        "gain_by_lrn_and_overlap",
        "Response normalization lowers the top-5 error by 1.2 points and overlapping pooling by 0.3.",
        f"Top-1 and top-5: 1.4 and 1.2; 0.4 and 0.3 (Krizhevsky et al. 2012). His run notes: {42.034 - 40.664:.2f} and "
        f"{19.362 - 18.210:.2f}; {41.058 - 40.664:.2f} and {18.510 - 18.210:.2f} "
        "(computerhistory/AlexNet-Source-Code).",
    ),
    Claim(
        HISTORY,
        "loose",
        "learning_with_kernels_2001",
        "The book Learning with Kernels is of 2001.",
        "It is cataloged under 2002.",
    ),
    Claim(
        HISTORY,
        "true",
        "multiple_view_geometry_2000",
        "The book Multiple View Geometry is of 2000.",
        "First edition, Hartley and Zisserman.",
    ),
]

# What only training can tell: the claim, the experiment that would settle it, and what is expected of it.
OPEN: list[tuple[str, str, str]] = [
    (
        "The book's LeNet learns Fashion-MNIST as printed.",
        "lr 0.9, 10 epochs, batch 256, at least 5 runs",
        "test accuracy 0.804 ± 0.016 (130 published runs)",
    ),
    (
        "The book's AlexNet learns it as printed, too.",
        "lr 0.01, 10 epochs, batch 128, 224x224",
        "0.8795 ± 0.005 (82 published runs)",
    ),
    (
        "Maximum pooling works better than average pooling.",
        "exchange it in `lenet_d2l` with sigmoid and with ReLU, several runs",
        "small; depends on the activation",
    ),
    (
        "ReLU trains more easily than sigmoid or tanh, whatever the first weights.",
        "scales of the first weights x sigmoid, tanh, scaled tanh, ReLU: share of runs that train, steps to 25 % "
        "training error",
        "about 6 times fewer steps than tanh (the paper, four-layer net, CIFAR-10)",
    ),
    (
        "Saturated sigmoids stop a deep net from learning.",
        "gradient of each layer against the bias it starts with, before and during training",
        "decays with depth",
    ),
    (
        "ReLU is cheaper to compute.",
        "time of forward and backward per element, alone and inside a net (no training, but a machine to name)",
        "fastest alone; in a net the memory decides",
    ),
    (
        "Sparse outputs regularize, as L1 does.",
        "zeros and sum of absolute outputs in each layer against the gap between training and test accuracy",
        "half the outputs are zero at the start; the effect is unknown",
    ),
    (
        "ReLU units die.",
        "units that are zero on all images, against the learning rate",
        "more with a higher rate",
    ),
    (
        "Response normalization helps.",
        "with and without, same budget; `cifar10_13pct` against `cifar10_11pct`",
        "1.4 and 1.2 points on ImageNet, 13 to 11 % on CIFAR-10; small or nothing on other data",
    ),
    (
        "Overlapping pooling helps and resists overfitting.",
        "`alexnet_2012_code` against `alexnet_2012_plain_pooling`, with the gap between training and test",
        "half a point at most; many runs",
    ),
    (
        "Dropout and augmentation curb overfitting.",
        "each on and off, gap between training and test",
        "a large gap without both",
    ),
    (
        "Weight decay regularizes LeNet.",
        "add it to the book's recipe for `lenet_d2l`",
        "little change",
    ),
    (
        "Two towers do better than one of half the width.",
        "`alexnet_2012_code` against `alexnet_2012_one_tower`",
        "1.7 and 1.2 points",
    ),
    (
        "More epochs, smaller nets and other batch sizes (exercises).",
        "sweeps over `alexnet_d2l` and `alexnet_28`",
        "not known",
    ),
    (
        "LeNet improves with ReLU, dropout and preprocessing (exercise).",
        "all combinations, several runs",
        "ReLU ahead of sigmoid",
    ),
    (
        "LeNet-5 reaches 0.95 %, with distortions 0.8 %.",
        "`lenet5_1998` on MNIST, 20 passes, by the recipe of 1998",
        "about 1 % test error",
    ),
    (
        "The two editions' LeNets are the same net.",
        "`lenet_d2l_v1` (maximum, no padding) against `lenet_d2l` (average, padding), same budget",
        "not known; 44,426 and 61,706 parameters",
    ),
]


def claims_page() -> str:
    """All claims with verdict and evidence, computed now, and those that only training can settle."""
    found = [(claim, *claim.finding()) for claim in CLAIMS]
    for claim, verdict, evidence in found:
        assert verdict == claim.expected, f"{claim.id}: {verdict}, not {claim.expected}: {evidence}"
    verdicts = Counter(verdict for _, verdict, _ in found)
    computed = sum(callable(claim.by) for claim in CLAIMS)
    sections = []
    for topic in dict.fromkeys(claim.topic for claim in CLAIMS):
        lines = [_line("notes say", "verdict", "what there is", "settled by"), "| --- | --- | --- | --- |"]
        lines += [
            _line(claim.claim, MARKS[verdict], evidence, f"`{claim.id}`" if callable(claim.by) else "source")
            for claim, verdict, evidence in found
            if claim.topic == topic
        ]
        sections.append("\n".join([f"## {topic}", "", *lines]))
    head = [_line("notes say", "experiment", "to be expected"), "| --- | --- | --- |"]
    untrained = "\n".join([*head, *(_line(*row) for row in OPEN)])
    return f"""# What common notes say about LeNet and AlexNet

<!-- made by `{COMMAND}` from the built nets -->

Lecture notes and tutorials repeat each other. Here are {len(CLAIMS)} of their claims, in our words:
{verdicts["true"]} are true, {verdicts["loose"]} loose, {verdicts["wrong"]} wrong.

- **wrong**: not so in any reading. *loose*: so in some reading, which is given. true: as it is said.
- {computed} are settled by a computation on the built nets or on torch's own operations. The last column names the
  function in [`make.py`](make.py) that does it; a test runs it again and holds this page equal.
- {len(CLAIMS) - computed} are matters of history or of a text, and marked *source*. {len(OPEN)} more can only be
  settled by training or by measuring; they stand open at the end.
- "The book" is *Dive into Deep Learning*, "the paper" Krizhevsky, Sutskever and Hinton 2012, LeNet-5 the net of 1998.
  Names like `lenet_d2l` are [nets of this package](nets.md), where MACs and units are explained.

{(chr(10) * 2).join(sections)}

## Open: what only training or measuring can tell

{untrained}
"""


MARKS = {"true": "true", "loose": "*loose*", "wrong": "**wrong**"}

# --------------------------------------------------------------------------------------------------- docs/recipes.md


def recipes_page() -> str:
    """Every recipe: what it sets, what is published for it, where it differs from its source."""
    sources: dict[str, list[RecipeKey]] = {}
    for key in RECIPES:
        sources.setdefault(key.source, []).append(key)
    sections = "\n\n".join("\n\n".join([f"## {source}", *map(_recipe, keys)]) for source, keys in sources.items())
    return f"""# The recipes

<!-- made by `{COMMAND}` from the recipes -->

How each net is trained, as its source has it. `classicnets train NET --recipe SOURCE` runs one; without `--recipe` the
first of a net here is taken (`fast` only where it is asked for, or for a net of your own), `--dry-run` shows every
setting, `--set KEY=VALUE` changes one. A run ends with its result beside the published one, and its `card.md` repeats
the deviations. ImageNet is not fetched here and comes with `--data FOLDER`; any folder of images will do. Settings
that are not named have the defaults of `classicnets.Recipe`.

{sections}
"""


def _recipe(key: RecipeKey) -> str:
    recipe = RECIPES[key]
    default = Recipe(source="", net="", data="", epochs=0, batch_size=0, lr=0.0)
    told = {"source", "net", "variation", "data", "expected", "deviations"}
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe) if f.name not in told}
    said = ", ".join(f"{k} {_value(v)}" for k, v in values.items() if v != getattr(default, k))
    expected = f"{recipe.expected}, {recipe.expected.source}" if recipe.expected else "none published"
    lines = [f"### {key.label}", "", f"- On {recipe.data}: {said}.", f"- Test accuracy: {expected}."]
    if recipe.deviations:
        lines += ["- Deviations:", *(f"  - {line}" for line in recipe.deviations)]
    return "\n".join(lines)


def _value(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(map(_value, value)) or "that of the training images"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


# ------------------------------------------------------------------------------------------------ docs/performance.md

MEASURED = {
    "lenet": "LeNet on Fashion-MNIST",
    "alexnet": "AlexNet on Fashion-MNIST",
    "evaluation": "Evaluation",
    "lrn": "Local response normalization",
    "reach": "Time to the book's accuracy",
    "many_seeds": "Many seeds",
    "start": "Start, import and size",
    "tried": "What was tried",
}  # by file in the folder of results
BY_HAND = "<!-- by hand from here on -->"


def performance_page(results: Path = RESULTS, by_hand: str | None = None) -> str:
    """A table of each benchmark of the suite that has results, of each machine; below, what is written by hand."""
    if by_hand is None:
        by_hand = (HERE / "performance.md").read_text(encoding="utf-8").partition(BY_HAND)[2]
    machines = [results, *sorted(path for path in results.iterdir() if path.is_dir())]
    found = {
        folder: {name: timing.read(path) for name in MEASURED if (path := _results_file(folder, name)).exists()}
        for folder in machines
    }
    sections = "".join(_machine(measured) for measured in found.values() if measured)
    rows = [row for measured in found.values() for rows, _ in measured.values() for row in rows]
    return f"""# How fast it is

<!-- made by `{COMMAND}` from benchmarks/results -->

`make bench` measures all of this again in some twelve minutes on 2 quiet cores. Where two ways are compared, they take
turns in one run, and each pair gives a ratio, theirs by ours; quoted are its median, its range and the number of pairs.
Other rows have a unit. *Asked* is what a row has to meet, *reach for* what was hoped for. What misses its target is
shown as missed.

{_tally(rows)}

{sections}{BY_HAND}{by_hand}"""


def _results_file(folder: Path, name: str) -> Path:
    """The results of a benchmark on the machine of `folder`; those of a finished study are in studies/results."""
    return (STUDIES if (folder, name) == (RESULTS, "tried") else folder) / f"{name}.json"


def _tally(rows: Sequence[timing.Row]) -> str:
    if not rows:
        return "Nothing has been measured yet."
    judged = [row for row in rows if row.verdict]
    missed = [row for row in judged if row.verdict.startswith("missed")]
    reached = sum(row.verdict == "reached" for row in judged)
    counts = f"{len(judged)} rows have a target: {reached} reach what was hoped for, "
    counts += f"{len(judged) - reached - len(missed)} meet what was asked, {len(missed)} miss it"
    counts += ":\n" if missed else "."
    return "\n".join([counts, *(f"- {row.what}: {row.verdict}" for row in missed)])


def _machine(measured: dict[str, tuple[list[timing.Row], dict[str, Any]]]) -> str:
    _, facts = next(iter(measured.values()))
    device = "" if facts["device"] == "cpu" else f"{facts['device']}, "
    tables = "".join(_measured(name, rows, facts) for name, (rows, facts) in measured.items())
    return f"## {device}{facts['cores']} cores of {facts['processor']}\n\n{tables}"


def _measured(name: str, rows: Sequence[timing.Row], facts: dict[str, Any]) -> str:
    head = [_line("what", "ours", "theirs", "median (range, n)", "asked", "reach for", "verdict")]
    head += [_line(*["---"] * 3, *["---:"] * 3, "---")]
    versions, load = facts["versions"], facts["load_before"]
    notes = [
        f"`{facts['command']}`, {facts['date']}, {facts['threads']} threads",
        f"torch {versions['torch']}, Python {versions['python']}, {facts['system']}",
        f"load before {load[0]:.2f}" if load else "load not told",
    ]
    if facts["cores_of_other_programs"] is not None:
        notes.append(f"other programs had {facts['cores_of_other_programs']:.2f} cores meanwhile")
    lines = [f"### {MEASURED[name]}", "", *head, *map(_row, rows), "", f"{'; '.join(notes)}."]
    if facts["busy"]:
        lines += ["**The machine was busy: these figures are not to be relied on.**"]
    lines += [f"Skipped: {', '.join(facts['skipped'])}."] * bool(facts["skipped"])
    return "\n".join([*lines, "", ""])


def _row(row: timing.Row) -> str:
    spread = f"{timing.quantity(row.median, row.unit)} ({_range(row.values)}n = {len(row.values)})"
    bound = "at most" if row.less_is_better else "at least"
    asked, wished = ("" if t is None else timing.quantity(t, row.unit) for t in (row.at_least, row.reach))
    verdict = f"**{row.verdict}**" if row.verdict.startswith("missed") else row.verdict or "for information"
    ours, theirs = _timed(row.ours, row.our_seconds), _timed(row.theirs, row.their_seconds)
    return _line(row.what, ours, theirs, spread, asked and f"{bound} {asked}", wished, verdict)


def _range(values: Sequence[float]) -> str:
    return f"{timing.quantity(min(values))} to {timing.quantity(max(values))}, " if len(values) > 1 else ""


def _timed(words: str, seconds: float | None) -> str:
    if seconds is None:
        return words
    unit, each = next((u, n) for u, n in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)) if seconds >= n or u == "µs")
    return f"{words}: {timing.quantity(seconds / each, unit)}"


PAGES: dict[str, Callable[[], str]] = {
    "nets.md": nets_page,
    "claims.md": claims_page,
    "recipes.md": recipes_page,
    "performance.md": performance_page,
}


if __name__ == "__main__":
    for page in sys.argv[1:] or PAGES:
        (HERE / page).write_text(PAGES[page](), encoding="utf-8")
        print(HERE / page)
