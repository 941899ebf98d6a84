"""The sentences that describe one network or compare two, in English and in Chinese.

A fact is a key with its numbers, and each language has a sentence for the key. All languages have the same keys and
the same fields; `{name}` is replaced by the field of the fact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from classicnets.errors import UsageError
from classicnets.text import _

Fact = tuple[str, dict[str, Any]]


class Term(str):
    """A field of a fact that is itself a key of the table, such as "maximum"."""

    __slots__ = ()


def render(facts: Iterable[Fact], sentences: dict[str, dict[str, str]], language: str) -> list[str]:
    """Return the sentence of each fact in `language`. Raises UsageError CN202 for an unknown language."""
    if language not in sentences:
        raise UsageError(
            "CN202",
            _("explanations are not available in the language {language!r}", language=language),
            hint=_("use one of: {languages}", languages=", ".join(sorted(sentences))),
        )
    table = sentences[language]
    lines = []
    for key, fields in facts:
        values = {name: table[value] if isinstance(value, Term) else value for name, value in fields.items()}
        lines.append(table[key].format(**values))
    return lines


# A network or a layer, for `explain`.
EXPLANATIONS: dict[str, dict[str, str]] = {
    "en": {
        "call": "call {number} of {calls}",
        "conv": "{name} ({kind}) turns {inputs} into {outputs}: convolution with kernel {kernel}, stride {stride}, "
        "padding {padding}",
        "sparse": "{name} ({kind}) turns {inputs} into {outputs}: convolution with kernel {kernel}, stride "
        "{stride}, padding {padding}; each output channel reads only some of the input channels",
        "connections": "connections: {pairs} of {inputs} x {outputs} = {possible} pairs of channels, each with its "
        "own kernel",
        "local": "{name} ({kind}) turns {inputs} into {outputs}: locally connected, with kernel {kernel}, stride "
        "{stride}, padding {padding}; unlike a convolution, each position has its own weights",
        "dense": "{name} ({kind}) turns {inputs} into {outputs}: dense layer; every output reads every input",
        "pool": "{name} ({kind}) turns {inputs} into {outputs}: pooling with window {kernel}, stride {stride}, "
        "padding {padding}",
        "adaptive": "{name} ({kind}) turns {inputs} into {outputs}: adaptive; the output size is the same for any "
        "input size",
        "other": "{name} ({kind}) turns {inputs} into {outputs}",
        "uncalled": "{name} ({kind}) is not called in this forward pass: its {parameters:,} parameters are not used",
        "size": "output size",
        "height": "output height",
        "width": "output width",
        "length": "output length",
        "size_end": "columns on the right (and rows at the bottom)",
        "height_end": "rows at the bottom",
        "width_end": "columns on the right",
        "length_end": "positions at the end",
        "size_change": "output size: {before} becomes {after}",
        "size_exact": "{axis}: {formula}, + 1 = {after}",
        "size_floor": "{axis}: {formula}, floor {steps}, + 1 = {after}",
        "size_ceil": "{axis}: {formula}, ceil {steps}, + 1 = {after}",
        "size_dropped": "{axis}: {formula}, ceil {steps}, + 1, minus the last window, which would start in the "
        "padding = {after}",
        "window_steps": "with padding, the size is {padded}: the first window is at the edge and moves {steps} "
        "times by {stride}, which gives {after} positions",
        "unread_at_end": "{unread} of {padded} {edges} are never read: {pixels} belong to the input, the rest to "
        "the padding",
        "unread_between": "{unread} of {padded} positions between the windows are never read: {pixels} belong to "
        "the input, the rest to the padding",
        "beyond_edge": "the last window extends beyond the input, by this many {edges}: {excess}",
        "all_read": "the windows read every value of the input",
        "same_output_size": "input sizes {low} to {high} give the same output size {after}; {next_size} is the "
        "first to give a larger one",
        "overlapping": "overlapping windows: the window of {kernel} is larger than the stride of {stride}, so "
        "neighboring windows share inputs",
        "tiling": "windows without overlap: the window of {kernel} moves by {stride}, so each input is in at most "
        "one window",
        "with_gaps": "windows with gaps: the window of {kernel} is smaller than the stride of {stride}, so some "
        "inputs are skipped",
        "maximum": "the maximum",
        "mean": "the mean",
        "statistic": "a statistic",
        "pooled": "each output is {statistic} of the {taps} values in its window, separately for each channel",
        "each_row": "inputs: each of the {rows} rows of {values} values is multiplied by the same weights",
        "from_forward": "inputs: {values} values that forward() computes; they are not the direct output of the "
        "layer before",
        "from_units": "inputs: the {values} outputs of {name}",
        "from_image": "inputs: the image itself, {shape} = {values} values",
        "from_channels": "why {values}? {name} outputs {channels} channels of size {size}: {product} = {values}",
        "size_path": "sizes from the image to this layer: {path}",
        "fitting_sizes": "images of size {low} to {high} end at size {size} and fit the {values} inputs of the "
        "dense layer; other sizes do not",
        "conv_parameters": "parameters: {kernels} output channels x {kernel_channels} input channels x {kernel} = "
        "{weights:,} weights, + {biases:,} biases = {parameters:,}",
        "dense_parameters": "parameters: {outputs} outputs x {inputs} inputs = {weights:,} weights, + {biases:,} "
        "biases = {parameters:,}",
        "parameters": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "shared": "parameters: shared with an earlier call or layer, where they are counted",
        "no_parameters": "parameters: none; nothing is learned here",
        "groups": "groups: {groups}; kernels per group: {outputs}, each reading {kernel_channels} of the {inputs} "
        "input channels",
        "conv_macs": "MACs: {shape} = {outputs:,} outputs with {kernel_channels} x {kernel} = {taps:,} "
        "multiply-accumulates each: {macs:,}",
        "on_padding": "of these, {macs:,} are on padding",
        "uses": "each weight is used at every position of the output: {shape} = {uses:,} times per image",
        "dense_macs": "MACs: {outputs:,} outputs with {inputs:,} multiply-accumulates each: {macs:,}; each weight "
        "is used once per image",
        "dense_macs_shared": "MACs: {outputs:,} outputs with {inputs:,} multiply-accumulates each: {macs:,}",
        "macs": "MACs: {macs:,}",
        "share": "share of the network: {parameters:.2f} % of the parameters, {macs:.2f} % of the MACs",
        "memory": "units: {units:,}; memory: {weight_bytes:,} bytes of parameters, {bytes:,} bytes of new output "
        "per image",
        "does_ReLU": "computes max(0, x): negative values become 0, positive values pass with gradient 1",
        "does_Sigmoid": "computes 1 / (1 + exp(-x)): outputs lie between 0 and 1; far from 0 the gradient almost "
        "vanishes",
        "does_Tanh": "computes tanh(x): outputs lie between -1 and 1; far from 0 the gradient almost vanishes",
        "does_Dropout": "sets random values to 0 in training and scales up the others; does nothing in evaluation",
        "does_Flatten": "flattens all axes into a single one; the values do not change",
        "does_Softmax": "computes exp(x) divided by the sum of these: outputs are positive and add up to 1",
        "does_LocalResponseNorm": "divides each value by a sum over neighboring channels at the same position",
        "does_BatchNorm2d": "normalizes each channel to mean 0 and variance 1, then scales and shifts it",
        "does_Concat": "puts its inputs side by side along one axis; the values do not change",
        "does_Eltwise": "combines its inputs value by value: their sum, product or maximum",
        "does_Absolute": "computes |x|: negative values change their sign",
        "does_Power": "computes (shift + scale * x)^power for each value",
        "does_Exponential": "computes base^(shift + scale * x) for each value",
        "does_Logarithm": "computes the logarithm of shift + scale * x for each value",
        "does_ChannelScale": "multiplies each channel by a trained factor, and adds a trained constant",
        "network": "layers: {rows} calls, {with_parameters} with parameters (convolutions: {convs}, dense layers: "
        "{dense})",
        "sizes": "sizes: {path}",
        "first_feature_map": "first feature map: {name} gives {formula} = {after}",
        "total_parameters": "parameters: {weights:,} weights + {biases:,} biases = {parameters:,}",
        "parameters_by_type": "parameters by layer type: convolutions {convs:,} ({convs_share:.1f} %), dense layers "
        "{dense:,} ({dense_share:.1f} %), other layers {others:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "macs_by_type": "MACs: {total:,}; convolutions {convs:,} ({convs_share:.1f} %), dense layers {dense:,} "
        "({dense_share:.1f} %), other layers {others:,}; most in {name}: {most:,} ({most_share:.1f} %)",
        "parameters_versus_macs": "most parameters are in the dense layers ({parameters:.1f} %), most MACs in the "
        "convolutions ({macs:.1f} %)",
        "mean_uses": "uses per weight: {macs:,} MACs / {weights:,} weights = {uses:,.1f}",
        "uses_reason": "reason: a kernel is used at every position of its feature map, here {convs:,.1f} times per "
        "image on average; a weight of a dense layer {dense:,.1f} times",
        "parameter_memory": "memory of the parameters: {bytes:,} bytes = {mb} MB = {mib} MiB",
        "training_memory": "training memory: weights and gradients, {sgd} MB with plain SGD; also a velocity with "
        "momentum, {momentum} MB; also two moments with Adam, {adam} MB",
        "output_memory": "layer outputs: {bytes:,} bytes = {mb} MB per image; for a batch of {batch}: {batch_mb} MB",
        "mlp": "an MLP with the same inputs and dense widths, {widths}: {parameters:,} parameters, {macs:,} MACs",
        "mlp_hidden": "an MLP with the same inputs and a hidden layer as in the book, {widths}: {parameters:,} "
        "parameters, {macs:,} MACs",
        "mlp_holds": "fewer weights, more multiplications: the MLP has {parameters:,.2f} times the parameters of "
        "this network, which does {macs:,.2f} times the MACs of the MLP",
        "mlp_fails": "'fewer weights, more multiplications' does not hold here: the network has {parameters:,.2f} "
        "times the parameters and {macs:,.2f} times the MACs of the MLP",
        "counting_rules": "counting rules: {macs:,} MACs include taps on padding, but not bias additions, "
        "activations, pooling and normalization; {units:,} units are the outputs of layers with weights, except "
        "normalization",
        "flops": "other conventions: FLOPs = 2 x MACs = {flops:,}",
        "with_bias_additions": "with the {additions:,} bias additions: {macs:,}",
        "without_padding": "without the {macs:,} taps on padding: {left:,} MACs",
        "unlisted": "computed in forward() outside any layer and not counted in the MACs: {operations}",
    },
    "zh": {
        "call": "第 {number} 次调用（共 {calls} 次）",
        "conv": "{name}（{kind}）把 {inputs} 变成 {outputs}：卷积，卷积核 {kernel}，步幅 {stride}，填充 {padding}",
        "sparse": "{name}（{kind}）把 {inputs} 变成 {outputs}：卷积，卷积核 {kernel}，步幅 {stride}，"
        "填充 {padding}，每个输出通道只读取一部分输入通道",
        "connections": "相连的通道对：{pairs}（共 {inputs} x {outputs} = {possible} 对），每对各有一个卷积核",
        "local": "{name}（{kind}）把 {inputs} 变成 {outputs}：类似卷积，但每个位置有自己的权重，卷积核 {kernel}，"
        "步幅 {stride}，填充 {padding}",
        "dense": "{name}（{kind}）把 {inputs} 变成 {outputs}：全连接层，每个输出都读取全部输入",
        "pool": "{name}（{kind}）把 {inputs} 变成 {outputs}：汇聚层，窗口 {kernel}，步幅 {stride}，填充 {padding}",
        "adaptive": "{name}（{kind}）把 {inputs} 变成 {outputs}：窗口自适应，不论输入多大，输出边长不变",
        "other": "{name}（{kind}）把 {inputs} 变成 {outputs}",
        "uncalled": "{name}（{kind}）在这次前向传播中没有被调用：{parameters:,} 个参数不参与计算",
        "size": "边长",
        "height": "高",
        "width": "宽",
        "length": "长度",
        "size_end": "右边的列（底边的行也一样）",
        "height_end": "底边的行",
        "width_end": "右边的列",
        "length_end": "末端的位置",
        "size_change": "边长：{before} 变成 {after}",
        "size_exact": "{axis}：{formula}，+ 1 = {after}",
        "size_floor": "{axis}：{formula}，向下取整 {steps}，+ 1 = {after}",
        "size_ceil": "{axis}：{formula}，向上取整 {steps}，+ 1 = {after}",
        "size_dropped": "{axis}：{formula}，向上取整 {steps}，+ 1，再去掉会从填充处开始的最后一个窗口 = {after}",
        "window_steps": "也就是说：连同填充共 {padded}，第一个窗口在开头，再移动 {steps} 次，步幅 {stride}，"
        "所以有 {after} 个位置",
        "unread_at_end": "从未读到的有 {unread}（共 {padded}）：{edges}；其中 {pixels} 属于输入，其余是填充",
        "unread_between": "窗口之间从未读到的有 {unread}（共 {padded}）：其中 {pixels} 属于输入，其余是填充",
        "beyond_edge": "最后一个窗口超出边缘 {excess}：{edges}，那里并没有数据",
        "all_read": "边缘没有漏读",
        "same_output_size": "输入边长为 {low}..{high} 时结果同样是 {after}；从 {next_size} 起输出才变大",
        "overlapping": "有重叠：窗口 {kernel} 大于步幅 {stride}，相邻窗口共用一部分输入",
        "tiling": "无重叠：窗口 {kernel} 每次移动 {stride}，每个输入最多属于一个窗口",
        "with_gaps": "有间隔：窗口 {kernel} 小于步幅 {stride}，会跳过一些输入",
        "maximum": "最大值",
        "mean": "平均值",
        "statistic": "一个值",
        "pooled": "逐个通道计算，每个输出取窗口内的{statistic}，窗口有 {taps} 个位置",
        "each_row": "输入：{rows} 行中的每一行有 {values} 个数，都使用同一组权重",
        "from_forward": "输入：{values} 个数，不是前一层的直接输出，而由 forward() 产生",
        "from_units": "输入：{values}，即 {name} 的输出",
        "from_image": "输入：图像本身，{shape} = {values} 个数",
        "from_channels": "为什么是 {values}？{name} 交出 {channels} 个通道，边长 {size}：{product} = {values}",
        "size_path": "边长的由来：{path}",
        "fitting_sizes": "图像边长为 {low}..{high} 时，最后的边长都是 {size}，正好符合全连接层的 {values} 个输入；"
        "其他边长不行",
        "conv_parameters": "参数："
        "{kernels} 个输出通道 x {kernel_channels} 个输入通道 x {kernel} = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "dense_parameters": "参数：{outputs} 个输出 x {inputs} 个输入 = {weights:,} 个权重，"
        "+ {biases:,} 个偏置 = {parameters:,}",
        "parameters": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "shared": "参数：没有新的；它的权重已在前面的调用或层中计入",
        "no_parameters": "参数：没有，这里不学习任何东西",
        "groups": "分组：{groups}；每组的 {outputs} 个卷积核只看 {kernel_channels} 个输入通道（共 {inputs} 个）",
        "conv_macs": "乘加：{shape} = {outputs:,} 个输出，每个做 {kernel_channels} x {kernel} = {taps:,} 次乘加："
        "{macs:,}",
        "on_padding": "其中 {macs:,} 次落在填充上",
        "uses": "每个权重在输出的每个位置都用到：每张图像 {shape} = {uses:,} 次",
        "dense_macs": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}；每张图像中每个权重只用一次",
        "dense_macs_shared": "乘加：{outputs:,} 个输出，每个做 {inputs:,} 次乘加：{macs:,}",
        "macs": "乘加：{macs:,}",
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
        "does_Concat": "作用：沿一个轴把各个输入拼接起来；数值不变",
        "does_Eltwise": "作用：把各个输入逐个数合并：求和、求积或取最大值",
        "does_Absolute": "作用：|x|；负数变号",
        "does_Power": "作用：对每个数计算 (shift + scale * x)^power",
        "does_Exponential": "作用：对每个数计算 base^(shift + scale * x)",
        "does_Logarithm": "作用：对每个数计算 shift + scale * x 的对数",
        "does_ChannelScale": "作用：每个通道乘以一个学到的系数，再加上一个学到的常数",
        "network": "层：{rows} 次调用，其中 {with_parameters} 次带参数；{convs} 个卷积层，{dense} 个全连接层",
        "sizes": "边长：{path}",
        "first_feature_map": "第一个特征图：{name} 给出 {formula} = {after}",
        "total_parameters": "参数：{weights:,} 个权重 + {biases:,} 个偏置 = {parameters:,}",
        "parameters_by_type": "参数在哪里：卷积层 {convs:,}（{convs_share:.1f} %），"
        "全连接层 {dense:,}（{dense_share:.1f} %），其余 {others:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "macs_by_type": "乘加：{total:,}；卷积层 {convs:,}（{convs_share:.1f} %），"
        "全连接层 {dense:,}（{dense_share:.1f} %），其余 {others:,}；最多的是 {name}：{most:,}（{most_share:.1f} %）",
        "parameters_versus_macs": "所以参数主要在全连接层（{parameters:.1f} %），计算主要在卷积层（{macs:.1f} %）",
        "mean_uses": "每个权重的使用次数：{macs:,} 次乘加 / {weights:,} 个权重 = {uses:,.1f}",
        "uses_reason": "原因：卷积核在输出的每个位置都用到，每张图像平均 {convs:,.1f} 次；"
        "全连接层的权重 {dense:,.1f} 次",
        "parameter_memory": "参数占用的内存：{bytes:,} 字节 = {mb} MB = {mib} MiB",
        "training_memory": "训练时要保存：权重和梯度，普通 SGD {sgd} MB；动量法另加速度，{momentum} MB；"
        "Adam 另加两个矩，{adam} MB",
        "output_memory": "各层的输出：每张图像 {bytes:,} 字节 = {mb} MB；批量大小 {batch} 时 {batch_mb} MB",
        "mlp": "只用全连接层，输入相同，宽度取自网络自己的全连接层，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_hidden": "只用全连接层，输入相同，隐藏层与书中相同，{widths}：{parameters:,} 个参数，{macs:,} 次乘加",
        "mlp_holds": "所以这个网络权重更少，乘法更多：前者的参数是它的 {parameters:,.2f} 倍，"
        "它的乘加是前者的 {macs:,.2f} 倍",
        "mlp_fails": "“权重更少，乘法更多”在这里不成立：它的参数是前者的 {parameters:,.2f} 倍，"
        "乘加是前者的 {macs:,.2f} 倍",
        "counting_rules": "计入：{macs:,} 次乘加，包括落在填充上的；不计偏置的加法、激活函数、汇聚层和规范化；"
        "{units:,} 个单元，即带权重的层的输出（规范化没有单元）",
        "flops": "其他算法：FLOPs = 2 x 乘加 = {flops:,}",
        "with_bias_additions": "加上 {additions:,} 次偏置加法：{macs:,}",
        "without_padding": "去掉落在填充上的 {macs:,} 次：{left:,} 次乘加",
        "unlisted": "在 forward() 中、不属于任何层、不计入乘加：{operations}",
    },
}

# What the right network has instead of the left one, for `compare`.
DIFFERENCES: dict[str, dict[str, str]] = {
    "en": {
        "equal": "no difference: all {layers} layers are equal",
        "input": "input: {right} instead of {left}",
        "layers": "{trend} layers with parameters: {right} instead of {left} (convolutions: {right_conv} instead of "
        "{left_conv}, dense layers: {right_dense} instead of {left_dense})",
        "kernel": "{trend} kernels: {right} instead of {left}; the largest is {most} instead of {least}",
        "stride": "{trend} strides: {right} instead of {left}; the largest is {most} instead of {least}",
        "groups": "groups of the convolutions: {right} instead of {left}",
        "conv_widths": "{trend} convolutions: channels {right} instead of {left}; {right_sum} instead of {left_sum} "
        "in total, a factor of {ratio}",
        "dense_widths": "{trend} dense layers: {right} instead of {left}; {right_sum} instead of {left_sum} in "
        "total, a factor of {ratio}",
        "activation": "activation: {right} instead of {left}",
        "pooling": "pooling: {right} instead of {left}",
        "pool_windows": "pooling windows (size/stride): {right} instead of {left}",
        "overlap": "the pooling windows overlap; those of the other network do not",
        "no_overlap": "the pooling windows do not overlap; those of the other network do",
        "Dropout": "dropout: {right} instead of {left}",
        "Norm": "normalization: {right} instead of {left}",
        "parameters": "{trend} parameters: {right:,} instead of {left:,}, a factor of {ratio}",
        "macs": "{trend} MACs: {right:,} instead of {left:,}, a factor of {ratio}",
        "activation_bytes": "{trend} bytes of layer outputs per image: {right:,} instead of {left:,}, a factor of "
        "{ratio}",
        "pairs": "layer by layer: {equal} equal, {changed} changed, {added} added, {removed} removed",
        "more": "more",
        "fewer": "fewer",
        "same_number": "the same number of",
        "larger": "larger",
        "smaller": "smaller",
        "wider": "wider",
        "narrower": "narrower",
        "different": "different",
        "max": "maximum",
        "average": "average",
        "another": "another kind",
        "mixed": "several kinds",
        "none": "none",
    },
    "zh": {
        "equal": "没有差别：{layers} 层全部相同",
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
        "same_number": "一样多",
        "larger": "更大",
        "smaller": "更小",
        "wider": "更宽",
        "narrower": "更窄",
        "different": "不同",
        "max": "最大值",
        "average": "平均值",
        "another": "另一种",
        "mixed": "多种",
        "none": "没有",
    },
}
