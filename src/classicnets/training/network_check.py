"""Checks the network of a plan, before any image is read: does everything fit it, and is it a classifier?"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from classicnets.datasets.types import Description
from classicnets.errors import UsageError
from classicnets.images.transforms import prepare
from classicnets.inspection.classifier import (
    IMAGES,
    Check,
    check_classifier,
    check_dtype,
    check_output,
    check_registration,
    normalizes_over_batch,
)
from classicnets.inspection.output_errors import last_weighted_row, wrong_output
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Row, Table
from classicnets.models.modules import complete, copy_module, in_dtype_of
from classicnets.runs.net_spec import NetSpec
from classicnets.text import _
from classicnets.training import initialize
from classicnets.training.freeze import freeze
from classicnets.values import Preprocess, Recipe
from classicnets.weights import load


def check_fit(
    network: NetSpec,
    net: nn.Module | None,
    preprocess: Preprocess,
    description: Description,
    recipe: Recipe,
    weights: str = "",
) -> Table:
    """Check that network, images, recipe and weights fit each other, and return the layer table.

    Args:
        network: how the network is built, if `net` is None.
        net: the module to train.
        preprocess: how images are preprocessed.
        description: name and classes of the data.
        recipe: the hyperparameters.
        weights: file of the initial weights, or "".

    Raises:
        UsageError: CN201 if the image does not fit the network; CN204 if initialization, frozen layers or weight
            decays do not fit it.
        DataError: CN306 if the number of classes differs; CN305 or CN306 if the weights do not fit.
    """
    net = network.build_for_shapes() if net is None else net
    table = check_input(net, preprocess.shape, name=network.spec)
    with torch.random.fork_rng(devices=[]):
        net = complete(copy_module(net), preprocess.shape)
    initialize.check(net, recipe.initialize)
    freeze(net, recipe.freeze)
    layer_count = len(initialize.weighted_layers(net))
    if recipe.weight_decays and len(recipe.weight_decays) != layer_count:
        raise UsageError(
            "CN204",
            _(
                "weight_decays has {values} values, and the network has {layers} layers with weights",
                values=len(recipe.weight_decays),
                layers=layer_count,
            ),
            hint="--set weight_decays=none weight_decay=0.0005",
        )
    classes = len(description.classes)
    if table.output_shape != (classes,):
        last = last_weighted_row(net, table)
        hint = _change_of_graph(table, last, classes) if network.kind == "graph" and last else ()
        raise wrong_output(net, table, classes, name=network.spec, data=description.name, hint=hint)
    if weights:
        load.check(weights, net)
    return table


def _change_of_graph(table: Table, last: Row, classes: int) -> str:
    """The change in a graph file with which the output becomes one number for each class."""
    if math.prod(table.output_shape) == classes:  # [N, 10, 1, 1]
        return _("in the file of the graph: end it with a node of the kind flatten")
    return _('in the file of the graph, at {name}: "out": {classes}', name=last.name, classes=classes)


def check_network(
    network: NetSpec,
    net: nn.Module,
    preprocess: Preprocess,
    description: Description,
    recipe: Recipe,
    weights: str = "",
) -> Check:
    """Check a network with its initial weights on images of noise, on the CPU.

    A network of the registry is not called, because the tests of this package check all of them.

    Args:
        network: how the network is built.
        net: the network; it is copied.
        preprocess: how images are preprocessed.
        description: the classes of the data.
        recipe: the hyperparameters.
        weights: file of the initial weights, or "".

    Raises:
        UsageError: CN201 if the image does not fit the network, CN204 if the initialization or the batch size does not,
            CN209 if the network is no classifier, CN210 if its state dict is not complete.
    """
    if network.kind == "registry":
        check = Check(needs_two_images=normalizes_over_batch(net))
    else:
        check = _check_users_network(network, net, preprocess, description, recipe, weights)
    if check.needs_two_images and recipe.batch_size == 1:
        raise UsageError(
            "CN204",
            _("batch_size=1 does not fit the network"),
            where=network.spec,
            why=_("in training mode it normalizes over the batch, which needs at least two images"),
            hint="--set batch_size=2",
        )
    return check


def _check_users_network(
    network: NetSpec,
    net: nn.Module,
    preprocess: Preprocess,
    description: Description,
    recipe: Recipe,
    weights: str,
) -> Check:
    name = network.spec
    with torch.random.fork_rng(devices=[]):
        check_input(net, preprocess.shape, name=name)
        if recipe.precision != "float64":
            check_dtype(net, name=name)
        check_registration(net, name=name)
        subject = complete(copy_module(net, "cpu"), preprocess.shape)
        rebuilt = network.build() if network.kind in {"file", "graph"} else copy_module(net, "cpu")
        rebuilt = complete(rebuilt, preprocess.shape)
        initialize.initialize(subject, recipe.initialize)
        if weights:
            load.load_weights(weights, subject)
        if recipe.precision == "float64":
            subject, rebuilt = subject.double(), rebuilt.double()
        images = _noise(preprocess if recipe.mean else replace(preprocess, mean=(0.5,)), description)
        images = in_dtype_of(subject, images)
        check_output(subject, images, len(description.classes), name=name)
        return check_classifier(subject, rebuilt, images, name=name, cross_entropy=recipe.loss == "cross_entropy")


def _noise(preprocess: Preprocess, description: Description) -> Tensor:
    """Preprocessed images of smooth noise whose brightness and contrast differ [5, C, S, S]."""
    channels, height, width = description.loaded_shape(preprocess)
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(IMAGES, channels, 1 + height // 4, 1 + width // 4, generator=generator)
    smooth = F.interpolate(coarse, size=(height, width), mode="bilinear")
    contrast = torch.linspace(0.3, 1.0, IMAGES)[:, None, None, None]
    pixels = (255 * (smooth * contrast)).to(torch.uint8)
    return prepare(pixels, preprocess)
