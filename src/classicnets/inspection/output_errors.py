"""The changes of a network whose output is not one number for each class, the likeliest first."""

from __future__ import annotations

import math

from torch import nn
from torch.nn.modules.conv import _ConvNd

from classicnets.errors import DataError
from classicnets.inspection.arithmetic import python_path
from classicnets.inspection.layer_source import dense_source, is_from_torch, layer_source
from classicnets.inspection.shapes import Row, Table
from classicnets.text import _
from classicnets.text import shape as shape_text


def last_weighted_row(net: nn.Module, table: Table) -> Row | None:
    """The row of the last dense layer or convolution that was called, which decides the number of outputs."""
    layers = dict(net.named_modules())
    weighted = [row for row in table.rows if row.inputs and isinstance(layers.get(row.name), nn.Linear | _ConvNd)]
    return weighted[-1] if weighted else None


def wrong_output(
    net: nn.Module, table: Table, classes: int, *, name: str, data: str, hint: str | tuple[str, ...] = ()
) -> DataError:
    """Return the error CN306 for a network whose output is not one number for each class.

    Args:
        net: the network.
        table: its layer table, whose output has another shape.
        classes: the number of classes.
        name: how the error names the network.
        data: how the error names the data.
        hint: what to change (default: `output_changes`).
    """
    last = last_weighted_row(net, table)
    return DataError(
        "CN306",
        _(
            "the output of {net} has shape {shape}, and {data} has {classes} classes",
            net=name,
            shape=shape_text(table.output_shape),
            data=data,
            classes=classes,
        ),
        where=_("the last layer with weights, {name}", name=python_path(last.name)) if last else name,
        why=_("the output must be one number (logit) per class"),
        hint=hint or output_changes(net, table, classes),
    )


def output_changes(net: nn.Module, table: Table, classes: int) -> tuple[str, ...]:
    """Return the changes with which the output of `net` becomes one number for each of `classes` classes.

    Args:
        net: the network.
        table: its layer table, whose output has another shape.
        classes: the number of classes.
    """
    output = table.output_shape
    if math.prod(output) == classes:  # [N, 10, 1, 1]
        return (_("end the network with nn.Flatten()"), _("in your own forward(): x = x.flatten(1)"))
    layers = dict(net.named_modules())
    for row in table.rows:  # a dense layer that was applied to the columns of an image
        layer = layers.get(row.name)
        if isinstance(layer, nn.Linear) and len(row.inputs) > 1:
            path, values = python_path(row.name), math.prod(row.inputs)
            return (
                _(
                    "put nn.Flatten() before {path}: {product} = {values} numbers, and {change}",
                    path=path,
                    product=shape_text(row.inputs, " x "),
                    values=values,
                    change=dense_source(path, layer, values),
                ),
                _("in your own forward(): x = x.flatten(1)"),
            )
    last = last_weighted_row(net, table)
    layer = layers[last.name] if last else None
    if last and isinstance(layer, nn.Linear) and len(output) == 1:
        return (dense_source(python_path(last.name), layer, layer.in_features, classes),)
    if last and is_from_torch(layer) and isinstance(layer, _ConvNd) and math.prod(output) == last.outputs[0]:
        change = layer_source(python_path(last.name), layer, outputs=classes)
        return (change,) if len(output) == 1 else (change, _("end the network with nn.Flatten()"))
    if len(output) > 1 and output[0] == classes:
        return (_("end the network with nn.AdaptiveAvgPool2d(1), nn.Flatten()"),)
    values = math.prod(output)
    if len(output) == 1:
        return (_("end the network with nn.Linear({inputs}, {classes})", inputs=values, classes=classes),)
    return (_("end the network with nn.Flatten(), nn.Linear({inputs}, {classes})", inputs=values, classes=classes),)
