"""What is said of a net or of two, in each language: a fact is a key and its numbers, and a language has its sentence.

All languages have the same keys and the same fields; `{name}` is filled in from the fact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from classicnets.errors import UsageError

Fact = tuple[str, dict[str, Any]]


class Word(str):
    """A field of a fact that is itself a key of the language."""

    __slots__ = ()


def say(facts: Iterable[Fact], words: dict[str, dict[str, str]], language: str) -> list[str]:
    """Each fact as the sentence that `words` has for it."""
    if language not in words:
        raise UsageError("CN202", f"there is no explanation in {language!r}", hint=" or ".join(sorted(words)))
    known = words[language]
    lines = []
    for key, fields in facts:
        spoken = {name: known[value] if isinstance(value, Word) else value for name, value in fields.items()}
        lines.append(known[key].format(**spoken))
    return lines


# Of one net or layer, for `explain`.
WORDS: dict[str, dict[str, str]] = {
    "en": {
        "call": "call {number} of {calls}",
        "conv": "{name} ({kind}) turns {inputs} into {outputs}: a convolution, kernel {kernel}, stride {stride}, "
        "padding {padding}",
        "sparse": "{name} ({kind}) turns {inputs} into {outputs}: a convolution, kernel {kernel}, stride {stride}, "
        "padding {padding}, in which an output map reads some of the input maps only",
        "pairs": "connected: {pairs} of {inputs} x {outputs} = {every} pairs of maps, each by a kernel of its own",
        "local": "{name} ({kind}) turns {inputs} into {outputs}: as a convolution, kernel {kernel}, stride {stride}, "
        "padding {padding}, but every place has weights of its own",
        "dense": "{name} ({kind}) turns {inputs} into {outputs}: a dense layer, every output reads every input",
        "pool": "{name} ({kind}) turns {inputs} into {outputs}: pooling, window {kernel}, stride {stride}, "
        "padding {padding}",
        "adaptive": "{name} ({kind}) turns {inputs} into {outputs}: its windows adapt, the output has this side "
        "whatever comes in",
        "other": "{name} ({kind}) turns {inputs} into {outputs}",
        "uncalled": "{name} ({kind}) is not called in this pass: {parameters:,} parameters that do no work",
        "side": "side",
        "height": "height",
        "width": "width",
        "axis": "length",
        "side_end": "columns on the right, and as many rows at the bottom,",
        "height_end": "rows at the bottom",
        "width_end": "columns on the right",
        "axis_end": "places at the end",
        "side_untold": "side: {before} becomes {after}",
        "sum_exact": "{axis}: {sum}, + 1 = {after}",
        "sum_floor": "{axis}: {sum}, floor {whole}, + 1 = {after}",
        "sum_ceil": "{axis}: {sum}, ceil {whole}, + 1 = {after}",
        "sum_dropped": "{axis}: {sum}, ceil {whole}, + 1, less the last window, which would start in the padding "
        "= {after}",
        "steps": "in words: of {padded} (padding included) the first window takes the beginning, then it moves {steps} "
        "times by {stride}, so there are {after} places",
        "unread": "{tail} of {padded} {ends} are never read: {pixels} of them input, the rest padding",
        "gaps": "between the windows, {gaps} of {padded} are never read: {pixels} of them input, the rest padding",
        "hangs_over": "the last window hangs {over} over the edge: {ends} that do not exist",
        "all_read": "nothing at the edges is left unread",
        "same_map": "inputs of {low}..{high} give the same {after}; the next larger map begins at {next}",
        "overlapping": "overlapping: the window of {kernel} is larger than the stride of {stride}, so neighbors share "
        "inputs",
        "tiling": "not overlapping: the window of {kernel} moves by {stride}, so every input is in at most a single "
        "window",
        "apart": "with gaps: the window of {kernel} is smaller than the stride of {stride} and skips inputs",
        "largest": "the largest",
        "mean": "the mean",
        "one_value": "a single value",
        "pooled": "each output is {taken} of the {taps} places in its window, channel by channel",
        "each_row": "inputs: each of {rows} rows of {numbers} numbers goes through the same weights",
        "from_forward": "inputs: {numbers} numbers, not the plain output of the layer before: forward() makes them",
        "from_units": "inputs: {numbers}, the outputs of {name}",
        "from_image": "inputs: the image itself, {shape} = {numbers} numbers",
        "from_map": "why {numbers}? {name} hands over {channels} channels of side {side}: {sum} = {numbers}",
        "by_way_of": "the side comes about so: {path}",
        "fitting": "images with a side of {low}..{high} end at side {side} and so fit the dense layer's {numbers} "
        "inputs; others do not",
        "conv_parameters": "parameters: {kernels} output x {seen} input channels x {kernel} = {weights:,} weights, "
        "+ {biases:,} biases = {parameters:,}",
        "dense_parameters": "parameters: {outputs} outputs x {inputs} inputs = {weights:,} weights, "
        "+ {biases:,} biases = {parameters:,}",
        "parameters": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "shared": "parameters: no new ones; its weights were counted at an earlier call or layer",
        "no_parameters": "parameters: none, nothing is learned here",
        "groups": "groups: {groups}; the {outputs} kernels of a group see {seen} of the {inputs} input channels",
        "conv_macs": "MACs: {shape} = {outputs:,} outputs, each does {seen} x {kernel} = {taps:,} multiply-adds: "
        "{macs:,}",
        "on_padding": "of these, {macs:,} meet padding",
        "uses": "each weight is used at every place of the map: {shape} = {uses:,} times for an image",
        "dense_macs": "MACs: {outputs:,} outputs, each does {inputs:,} multiply-adds: {macs:,}; each weight is used a "
        "single time for an image",
        "dense_macs_again": "MACs: {outputs:,} outputs, each does {inputs:,} multiply-adds: {macs:,}",
        "plain_macs": "MACs: {macs:,}",
        "share": "share of the net: {parameters:.2f} % of the parameters, {macs:.2f} % of the MACs",
        "memory": "units {units:,}; memory: {weight_bytes:,} bytes of parameters, {bytes:,} bytes of new output for an "
        "image",
        "does_ReLU": "what it does: max(0, x); negative numbers become 0, positive ones pass with gradient 1",
        "does_Sigmoid": "what it does: 1 / (1 + exp(-x)); the outputs lie between 0 and 1, and far from 0 the gradient "
        "almost vanishes",
        "does_Tanh": "what it does: tanh(x); the outputs lie between -1 and 1, and far from 0 the gradient almost "
        "vanishes",
        "does_Dropout": "what it does: in training it sets numbers to 0 at random and scales up the rest; in "
        "evaluation it does nothing",
        "does_Flatten": "what it does: lays the axes out as a single one; no number changes",
        "does_Softmax": "what it does: exp(x) divided by its sum; the outputs are positive and add up to 1",
        "does_LocalResponseNorm": "what it does: divides each number by a sum over neighboring channels at its place",
        "does_BatchNorm2d": "what it does: brings each channel to mean 0 and variance 1, then scales and shifts it",
        "net": "layers: {rows} calls, {carrying} of them with parameters; {convs} convolutions, {dense} dense",
        "path": "sides: {path}",
        "first_sum": "the first map: {name} gives {sum} = {after}",
        "sums": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "hold": "where they sit: convolutions {convs:,} ({convs_share:.1f} %), dense layers {dense:,} "
        "({dense_share:.1f} %), the rest {rest:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "work": "MACs: {total:,}; convolutions {convs:,} ({convs_share:.1f} %), dense layers {dense:,} "
        "({dense_share:.1f} %), the rest {rest:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "the_other_way": "so the parameters sit in the dense layers ({parameters:.1f} %) and the work in the "
        "convolutions ({macs:.1f} %)",
        "mean_uses": "uses per weight: {macs:,} MACs / {weights:,} weights = {uses:,.1f}",
        "why_uses": "why: a kernel is used at every place of its map, here {convs:,.1f} times for an image on "
        "average; a weight of a dense layer {dense:,.1f} times",
        "size": "memory of the parameters: {bytes:,} bytes = {mb} MB = {mib} MiB",
        "training": "training keeps: weights and gradients, {sgd} MB with plain SGD; also a velocity with momentum, "
        "{momentum} MB; also two moments with Adam, {adam} MB",
        "activations": "outputs of the layers: {bytes:,} bytes = {mb} MB for an image; a batch of {batch}: "
        "{batch_mb} MB",
        "mlp": "dense layers only, with the same inputs and the net's own dense widths, {widths}: {parameters:,} "
        "parameters, {macs:,} MACs",
        "mlp_hidden": "dense layers only, with the same inputs and a hidden layer as in the book, {widths}: "
        "{parameters:,} parameters, {macs:,} MACs",
        "mlp_holds": "so this net has fewer weights and more multiplications: those have {parameters:,.2f} times its "
        "parameters, and it does {macs:,.2f} times their MACs",
        "mlp_fails": "'fewer weights, more multiplications' does not hold here: the net has {parameters:,.2f} times "
        "their parameters and {macs:,.2f} times their MACs",
        "counted": "counted: {macs:,} MACs with taps on padding; additions of biases, activations, pooling and "
        "normalization not; {units:,} units, the outputs of layers with weights (normalization has none)",
        "flops": "other conventions: FLOPs = 2 x MACs = {flops:,}",
        "with_adds": "with the {adds:,} additions of biases: {macs:,}",
        "without_padding": "without the {macs:,} taps on padding: {left:,} MACs",
        "unlisted": "in forward(), outside any layer and not in the MACs: {operations}",
    },
    "zh": {
        "call": "第 {number} 次调用（共 {calls} 次）",
        "conv": "{name}（{kind}）把 {inputs} 变成 {outputs}：卷积，卷积核 {kernel}，步幅 {stride}，填充 {padding}",
        "sparse": "{name}（{kind}）把 {inputs} 变成 {outputs}：卷积，卷积核 {kernel}，步幅 {stride}，填充 {padding}，"
        "每个输出通道只读取一部分输入通道",
        "pairs": "相连的通道对：{pairs}（共 {inputs} x {outputs} = {every} 对），每对各有一个卷积核",
        "local": "{name}（{kind}）把 {inputs} 变成 {outputs}：类似卷积，但每个位置有自己的权重，"
        "卷积核 {kernel}，步幅 {stride}，填充 {padding}",
        "dense": "{name}（{kind}）把 {inputs} 变成 {outputs}：全连接层，每个输出都读取全部输入",
        "pool": "{name}（{kind}）把 {inputs} 变成 {outputs}：汇聚层，窗口 {kernel}，步幅 {stride}，填充 {padding}",
        "adaptive": "{name}（{kind}）把 {inputs} 变成 {outputs}：窗口自适应，不论输入多大，输出边长不变",
        "other": "{name}（{kind}）把 {inputs} 变成 {outputs}",
        "uncalled": "{name}（{kind}）在这次前向传播中没有被调用：{parameters:,} 个参数不参与计算",
        "side": "边长",
        "height": "高",
        "width": "宽",
        "axis": "长度",
        "side_end": "右边的列（底边的行也一样）",
        "height_end": "底边的行",
        "width_end": "右边的列",
        "axis_end": "末端的位置",
        "side_untold": "边长：{before} 变成 {after}",
        "sum_exact": "{axis}：{sum}，+ 1 = {after}",
        "sum_floor": "{axis}：{sum}，向下取整 {whole}，+ 1 = {after}",
        "sum_ceil": "{axis}：{sum}，向上取整 {whole}，+ 1 = {after}",
        "sum_dropped": "{axis}：{sum}，向上取整 {whole}，+ 1，再去掉会从填充处开始的最后一个窗口 = {after}",
        "steps": "也就是说：连同填充共 {padded}，第一个窗口在开头，再移动 {steps} 次，步幅 {stride}，"
        "所以有 {after} 个位置",
        "unread": "从未读到的有 {tail}（共 {padded}）：{ends}；其中 {pixels} 属于输入，其余是填充",
        "gaps": "窗口之间从未读到的有 {gaps}（共 {padded}）：其中 {pixels} 属于输入，其余是填充",
        "hangs_over": "最后一个窗口超出边缘 {over}：{ends}，那里并没有数据",
        "all_read": "边缘没有漏读",
        "same_map": "输入边长为 {low}..{high} 时结果同样是 {after}；从 {next} 起输出才变大",
        "overlapping": "有重叠：窗口 {kernel} 大于步幅 {stride}，相邻窗口共用一部分输入",
        "tiling": "无重叠：窗口 {kernel} 每次移动 {stride}，每个输入最多属于一个窗口",
        "apart": "有间隔：窗口 {kernel} 小于步幅 {stride}，会跳过一些输入",
        "largest": "最大值",
        "mean": "平均值",
        "one_value": "一个值",
        "pooled": "逐个通道计算，每个输出取窗口内的{taken}，窗口有 {taps} 个位置",
        "each_row": "输入：{rows} 行中的每一行有 {numbers} 个数，都使用同一组权重",
        "from_forward": "输入：{numbers} 个数，不是前一层的直接输出，而由 forward() 产生",
        "from_units": "输入：{numbers}，即 {name} 的输出",
        "from_image": "输入：图像本身，{shape} = {numbers} 个数",
        "from_map": "为什么是 {numbers}？{name} 交出 {channels} 个通道，边长 {side}：{sum} = {numbers}",
        "by_way_of": "边长的由来：{path}",
        "fitting": "图像边长为 {low}..{high} 时，最后的边长都是 {side}，正好符合全连接层的 {numbers} 个输入；"
        "其他边长不行",
        "conv_parameters": "参数：{kernels} 个输出通道 x {seen} 个输入通道 x {kernel} = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "dense_parameters": "参数：{outputs} 个输出 x {inputs} 个输入 = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "parameters": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "shared": "参数：没有新的；它的权重已在前面的调用或层中计入",
        "no_parameters": "参数：没有，这里不学习任何东西",
        "groups": "分组：{groups}；每组的 {outputs} 个卷积核只看 {seen} 个输入通道（共 {inputs} 个）",
        "conv_macs": "乘加：{shape} = {outputs:,} 个输出，每个做 {seen} x {kernel} = {taps:,} 次乘加：{macs:,}",
        "on_padding": "其中 {macs:,} 次落在填充上",
        "uses": "每个权重在输出的每个位置都用到：每张图像 {shape} = {uses:,} 次",
        "dense_macs": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}；每张图像中每个权重只用一次",
        "dense_macs_again": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}",
        "plain_macs": "乘加：{macs:,}",
        "share": "占整个网络：参数的 {parameters:.2f} %，乘加的 {macs:.2f} %",
        "memory": "单元 {units:,}；内存：参数 {weight_bytes:,} 字节，每张图像新产生的输出 {bytes:,} 字节",
        "does_ReLU": "作用：max(0, x)；负数变成 0，正数原样通过，梯度为 1",
        "does_Sigmoid": "作用：1 / (1 + exp(-x))；输出在 0 和 1 之间，远离 0 时梯度几乎消失",
        "does_Tanh": "作用：tanh(x)；输出在 -1 和 1 之间，远离 0 时梯度几乎消失",
        "does_Dropout": "作用：暂退法；训练时随机把一些数置为 0，并放大其余的数；评估时什么也不做",
        "does_Flatten": "作用：把各个轴展平成一个轴；数值不变",
        "does_Softmax": "作用：exp(x) 除以它们的和；输出为正，总和为 1",
        "does_LocalResponseNorm": "作用：把每个数除以同一位置上相邻通道的某个和",
        "does_BatchNorm2d": "作用：使每个通道的均值为 0、方差为 1，再缩放和平移",
        "net": "层：{rows} 次调用，其中 {carrying} 次带参数；{convs} 个卷积层，{dense} 个全连接层",
        "path": "边长：{path}",
        "first_sum": "第一个特征图：{name} 给出 {sum} = {after}",
        "sums": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "hold": "参数在哪里：卷积层 {convs:,}（{convs_share:.1f} %），全连接层 {dense:,}（{dense_share:.1f} %），"
        "其余 {rest:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "work": "乘加：{total:,}；卷积层 {convs:,}（{convs_share:.1f} %），全连接层 {dense:,}（{dense_share:.1f} %），"
        "其余 {rest:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "the_other_way": "所以参数主要在全连接层（{parameters:.1f} %），计算主要在卷积层（{macs:.1f} %）",
        "mean_uses": "每个权重的使用次数：{macs:,} 次乘加 / {weights:,} 个权重 = {uses:,.1f}",
        "why_uses": "原因：卷积核在输出的每个位置都用到，每张图像平均 {convs:,.1f} 次；全连接层的权重 {dense:,.1f} 次",
        "size": "参数占用的内存：{bytes:,} 字节 = {mb} MB = {mib} MiB",
        "training": "训练时要保存：权重和梯度，普通 SGD {sgd} MB；动量法另加速度，{momentum} MB；"
        "Adam 另加两个矩，{adam} MB",
        "activations": "各层的输出：每张图像 {bytes:,} 字节 = {mb} MB；批量大小 {batch} 时 {batch_mb} MB",
        "mlp": "只用全连接层，输入相同，宽度取自网络自己的全连接层，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_hidden": "只用全连接层，输入相同，隐藏层与书中相同，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_holds": "所以这个网络权重更少，乘法更多：前者的参数"
        "是它的 {parameters:,.2f} 倍，它的乘加是前者的 {macs:,.2f} 倍",
        "mlp_fails": "“权重更少，乘法更多”在这里不成立：它的参数"
        "是前者的 {parameters:,.2f} 倍，乘加是前者的 {macs:,.2f} 倍",
        "counted": "计入：{macs:,} 次乘加，包括落在填充上的；不计偏置的加法、激活函数、汇聚层和规范化；"
        "{units:,} 个单元，即带权重的层的输出（规范化没有单元）",
        "flops": "其他算法：FLOPs = 2 x 乘加 = {flops:,}",
        "with_adds": "加上 {adds:,} 次偏置加法：{macs:,}",
        "without_padding": "去掉落在填充上的 {macs:,} 次：{left:,} 次乘加",
        "unlisted": "在 forward() 中、不属于任何层、不计入乘加：{operations}",
    },
}

# Of what the right net has instead of the left one, for `compare`.
DIFFERENCES: dict[str, dict[str, str]] = {
    "en": {
        "alike": "no difference: all {layers} layers are equal",
        "input": "input: {right} instead of {left}",
        "layers": "{trend} layers with parameters: {right} instead of {left} (convolutions {right_conv} against "
        "{left_conv}, dense {right_dense} against {left_dense})",
        "kernel": "{trend} kernels: {right} instead of {left}; the largest {most} against {least}",
        "stride": "{trend} strides: {right} instead of {left}; the largest {most} against {least}",
        "groups": "groups of the convolutions: {right} instead of {left}",
        "conv_widths": "{trend} convolutions: channels {right} instead of {left}; in sum {right_sum} against "
        "{left_sum}, a factor of {ratio}",
        "dense_widths": "{trend} dense layers: {right} instead of {left}; in sum {right_sum} against {left_sum}, a "
        "factor of {ratio}",
        "activation": "activation: {right} instead of {left}",
        "pooling": "pooling: {right} instead of {left}",
        "pool_windows": "pooling windows (side/stride): {right} instead of {left}",
        "overlap": "the pooling windows overlap, as they do not in the other net",
        "no_overlap": "the pooling windows do not overlap, as they do in the other net",
        "Dropout": "dropout: {right} instead of {left}",
        "Norm": "normalization: {right} instead of {left}",
        "parameters": "{trend} parameters: {right:,} instead of {left:,}, a factor of {ratio}",
        "macs": "{trend} MACs: {right:,} instead of {left:,}, a factor of {ratio}",
        "activation_bytes": "{trend} bytes for the outputs of an image: {right:,} instead of {left:,}, a factor of "
        "{ratio}",
        "pairs": "layer by layer: {equal} equal, {changed} changed, {added} added, {removed} removed",
        "more": "more",
        "fewer": "fewer",
        "as_many": "as many",
        "larger": "larger",
        "smaller": "smaller",
        "wider": "wider",
        "narrower": "narrower",
        "other": "other",
        "max": "maximum",
        "average": "average",
        "another": "another kind",
        "mixed": "several kinds",
        "none": "none",
    },
    "zh": {
        "alike": "没有差别：{layers} 层全部相同",
        "input": "输入：{right}，而不是 {left}",
        "layers": "带参数的层{trend}：{right}，而不是 {left}（卷积层 {right_conv} 对 {left_conv}，"
        "全连接层 {right_dense} 对 {left_dense}）",
        "kernel": "卷积核{trend}：{right}，而不是 {left}；最大的 {most} 对 {least}",
        "stride": "步幅{trend}：{right}，而不是 {left}；最大的 {most} 对 {least}",
        "groups": "卷积的分组：{right}，而不是 {left}",
        "conv_widths": "卷积层{trend}：通道 {right}，而不是 {left}；总和 {right_sum} 对 {left_sum}，相差 {ratio} 倍",
        "dense_widths": "全连接层{trend}：{right}，而不是 {left}；总和 {right_sum} 对 {left_sum}，相差 {ratio} 倍",
        "activation": "激活函数：{right}，而不是 {left}",
        "pooling": "汇聚：{right}，而不是 {left}",
        "pool_windows": "汇聚窗口（边长/步幅）：{right}，而不是 {left}",
        "overlap": "汇聚窗口有重叠，另一个网络没有",
        "no_overlap": "汇聚窗口没有重叠，另一个网络有",
        "Dropout": "暂退法：{right}，而不是 {left}",
        "Norm": "规范化：{right}，而不是 {left}",
        "parameters": "参数{trend}：{right:,}，而不是 {left:,}，相差 {ratio} 倍",
        "macs": "乘加{trend}：{right:,}，而不是 {left:,}，相差 {ratio} 倍",
        "activation_bytes": "每张图像的输出所占字节{trend}：{right:,}，而不是 {left:,}，相差 {ratio} 倍",
        "pairs": "逐层比较：{equal} 层相同，{changed} 层改变，{added} 层增加，{removed} 层去掉",
        "more": "更多",
        "fewer": "更少",
        "as_many": "一样多",
        "larger": "更大",
        "smaller": "更小",
        "wider": "更宽",
        "narrower": "更窄",
        "other": "不同",
        "max": "最大值",
        "average": "平均值",
        "another": "另一种",
        "mixed": "多种",
        "none": "没有",
    },
}
