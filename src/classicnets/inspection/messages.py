"""The sentences that describe one network or compare two.

A fact is a key with its numbers. `{name}` in the sentence of its key is replaced by the field of the fact.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from classicnets.language import texts_in
from classicnets.options import check_language
from classicnets.text import _

Fact = tuple[str, dict[str, Any]]


class Term(str):
    """A field of a fact that is itself a key of the table, such as "maximum"."""

    __slots__ = ()


def render(facts: Iterable[Fact], sentences: dict[str, str], language: str | None = None) -> list[str]:
    """Return the sentence of each fact.

    Args:
        facts: the facts.
        sentences: the English sentence of each key.
        language: "en" or "zh" (default: the language of all texts).

    Raises:
        UsageError: CN204, the language is not available.
    """
    check_language(language or "")
    lines = []
    with texts_in(language):
        for key, fields in facts:
            values = {name: _(sentences[value]) if isinstance(value, Term) else value for name, value in fields.items()}
            lines.append(_(sentences[key], **values))
    return lines


# A network or a layer, for `explain`.
EXPLANATIONS: dict[str, str] = {
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
    "fitting_size": "only images of size {low} end at size {size} and fit the {values} inputs of the dense layer",
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
    "memory": "units: {units:,}; memory: {weight_bytes:,} bytes of parameters, {bytes:,} bytes of new output per image",
    "does_ReLU": "computes max(0, x): negative values become 0, positive values pass with gradient 1",
    "does_Sigmoid": "computes 1 / (1 + exp(-x)): outputs lie between 0 and 1; far from 0 the gradient almost vanishes",
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
    "network": "layers: {rows} calls, {with_parameters} with parameters (convolutions: {convs}, dense layers: {dense})",
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
}

# What the right network has instead of the left one, for `compare`.
DIFFERENCES: dict[str, str] = {
    "equal": "no difference: all {layers} layers are equal",
    "input": "input: {right} instead of {left}",
    "layers_more": "more layers with parameters: {right} instead of {left} (convolutions: {right_conv} instead "
    "of {left_conv}, dense layers: {right_dense} instead of {left_dense})",
    "layers_fewer": "fewer layers with parameters: {right} instead of {left} (convolutions: {right_conv} "
    "instead of {left_conv}, dense layers: {right_dense} instead of {left_dense})",
    "layers_same": "the same number of layers with parameters: {right} instead of {left} (convolutions: "
    "{right_conv} instead of {left_conv}, dense layers: {right_dense} instead of {left_dense})",
    "kernel_larger": "larger kernels: {right} instead of {left}; the largest is {most} instead of {least}",
    "kernel_smaller": "smaller kernels: {right} instead of {left}; the largest is {most} instead of {least}",
    "kernel_different": "different kernels: {right} instead of {left}; the largest is {most} instead of {least}",
    "stride_larger": "larger strides: {right} instead of {left}; the largest is {most} instead of {least}",
    "stride_smaller": "smaller strides: {right} instead of {left}; the largest is {most} instead of {least}",
    "stride_different": "different strides: {right} instead of {left}; the largest is {most} instead of {least}",
    "groups": "groups of the convolutions: {right} instead of {left}",
    "conv_widths_wider": "wider convolutions: channels {right} instead of {left}; {right_sum} instead of "
    "{left_sum} in total, a factor of {ratio}",
    "conv_widths_narrower": "narrower convolutions: channels {right} instead of {left}; {right_sum} instead of "
    "{left_sum} in total, a factor of {ratio}",
    "conv_widths_different": "different convolutions: channels {right} instead of {left}; {right_sum} instead "
    "of {left_sum} in total",
    "dense_widths_wider": "wider dense layers: {right} instead of {left}; {right_sum} instead of {left_sum} in "
    "total, a factor of {ratio}",
    "dense_widths_narrower": "narrower dense layers: {right} instead of {left}; {right_sum} instead of "
    "{left_sum} in total, a factor of {ratio}",
    "dense_widths_different": "different dense layers: {right} instead of {left}; {right_sum} instead of "
    "{left_sum} in total",
    "activation_changed": "activation: {right} instead of {left}",
    "activation_added": "activation: {right} instead of none",
    "activation_removed": "activation: none instead of {left}",
    "Dropout_changed": "dropout: {right} instead of {left}",
    "Dropout_added": "dropout: {right} instead of none",
    "Dropout_removed": "dropout: none instead of {left}",
    "Norm_changed": "normalization: {right} instead of {left}",
    "Norm_added": "normalization: {right} instead of none",
    "Norm_removed": "normalization: none instead of {left}",
    "pooling": "pooling: {right} instead of {left}",
    "pool_windows": "pooling windows (size/stride): {right} instead of {left}",
    "overlap": "the pooling windows overlap; those of the other network do not",
    "no_overlap": "the pooling windows do not overlap; those of the other network do",
    "parameters_more": "more parameters: {right:,} instead of {left:,}, a factor of {ratio}",
    "parameters_fewer": "fewer parameters: {right:,} instead of {left:,}, a factor of {ratio}",
    "macs_more": "more MACs: {right:,} instead of {left:,}, a factor of {ratio}",
    "macs_fewer": "fewer MACs: {right:,} instead of {left:,}, a factor of {ratio}",
    "activation_bytes_more": "more bytes of layer outputs per image: {right:,} instead of {left:,}, a factor "
    "of {ratio}",
    "activation_bytes_fewer": "fewer bytes of layer outputs per image: {right:,} instead of {left:,}, a factor "
    "of {ratio}",
    "pairs": "layer by layer: {equal} equal, {changed} changed, {added} added, {removed} removed",
    "max": "maximum",
    "average": "average",
    "another": "another kind",
    "mixed": "several kinds",
    "none": "none",
}
