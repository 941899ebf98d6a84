"""What a run will be: every name resolved and every shape checked before any image is read."""

from __future__ import annotations

import copy
import fnmatch
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import machine
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import Description
from classicnets.errors import DataError, UsageError
from classicnets.images import loading
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.shapes import Table
from classicnets.recipes import resolve
from classicnets.runs import net_spec
from classicnets.runs.folder import RunFolder, open_run
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import RunSpec, check_spec
from classicnets.text import count, shape
from classicnets.training import initialise
from classicnets.values import Expected, Preprocess, Recipe
from classicnets.weights import load


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a run that is known before any image is read: what was asked for, and what it resolves to."""

    spec: RunSpec
    net: nn.Module | None  # a module that was passed in Python; otherwise `net_spec` makes it
    net_spec: NetSpec
    recipe: Recipe
    setting_sources: dict[str, str]
    as_published: bool
    data: str
    description: Description
    preprocess: Preprocess
    table: Table
    device: str
    weights: str  # a file whose weights the net begins with, or ""

    @property
    def title(self) -> str:
        """The run on one line, for figures."""
        seed = self.spec.seed
        return f"{self.net_spec.described} on {self.description.name}, recipe {self.recipe.source}, seed {seed}"

    @property
    def expected(self) -> Expected | None:
        """What was published for exactly this, if anything."""
        return self.recipe.expected if self.as_published else None

    def with_seed(self, seed: int) -> Plan:
        """The same run with another seed."""
        return replace(self, spec=self.spec.with_seed(seed))

    def build(self, say: Callable[[str], None]) -> nn.Module:
        """The network with its initial weights, which depend on the seed and on the file of `weights` alone."""
        torch.manual_seed(self.spec.seed)
        net = self.net if self.net is not None else self.net_spec.build()
        initialise.initialise(net, self.recipe.initialise)
        if self.weights:
            for line in load.load_weights(self.weights, net).lines():
                say(f"{self.weights}: {line}")
        freeze(net, self.recipe.freeze)
        return net

    def lines(self) -> list[str]:
        """What is about to happen, for people: the net, the recipe, the data, the machine."""
        recipe, table, sources = self.recipe, self.table, self.setting_sources
        images = shape(self.preprocess.shape)
        changed = ", ".join(f"{key}={getattr(recipe, key)}" for key, where in sources.items() if where == "--set")
        auto = " (auto)" if sources["precision"] == "machine" else ""
        return [
            f"net     {self.net_spec.described}: {table.parameters:,} parameters,"
            f" {table.macs:,} MACs an image of {images}",
            f"recipe  {recipe.source}: {recipe.epochs} epochs, batch {recipe.batch_size}, {recipe.optimizer}"
            f" lr {recipe.lr:g}, {recipe.schedule}, weights {recipe.initialise}"
            + (f"; changed: {changed}" if changed else ""),
            f"device  {self.device}, {count(torch.get_num_threads(), 'thread')}, {recipe.precision}{auto},"
            f" seed {self.spec.seed}" + (", deterministic algorithms alone" if self.spec.deterministic else ""),
            *machine.process_settings(),
        ]

    def to_dict(self) -> dict[str, Any]:
        """The part of run.json that says what was asked for, and what it resolved to."""
        spec = self.spec
        return {
            "spec": spec.to_dict(),
            "net": self.net_spec.to_dict(),
            "recipe": self.recipe.to_dict(),
            "origins": self.setting_sources,
            "as_published": self.as_published,
            "data": self.data,
            "data_name": self.description.name,
            "classes": list(self.description.classes),
            "preprocess": self.preprocess.to_dict(),
            "parameters": self.table.parameters,
            "macs": self.table.macs,
            "seed": spec.seed,
            "device": self.device,
            "limit": spec.limit,
            "weights": self.weights,
            "deterministic": spec.deterministic,
            "loader_threads": spec.loader_threads,
            "on_bad_image": spec.on_bad_image,
        }


def plan(spec: RunSpec, net: nn.Module | None = None) -> Plan:
    """Resolves every name and checks that the images fit the network and the network the classes; reads no image.

    `net` is the module to train where `spec.net` is "". Raises UsageError CN201 to CN206, DataError, MachineError
    CN402.
    """
    check_spec(spec)
    made = net_spec.find(spec.net) if net is None else net_spec.of_module(net)
    exchanged, settings = net_spec.split(spec.settings)
    if spec.precision is not None:
        settings = {**settings, "precision": spec.precision}
    made = net_spec.varied(made, {**spec.variation, **exchanged})
    recipe = spec.recipe
    if not isinstance(recipe, Recipe):
        recipe = resolve.find(
            recipe,
            made.spec,
            registered=made.kind == "registry",
            variation=made.variation,
        )
    if net is not None and made.variation:
        raise _cannot_vary(made.variation)
    resolved = resolve.apply(recipe, settings)
    source = str(spec.data or resolved.recipe.data)
    if source in resolve.ELSEWHERE and not Path(source).is_dir():
        raise DataError(
            "CN302",
            f"the recipe is for {source}, which is not fetched",
            where=f"{resolve.ELSEWHERE[source]}",
            why="it runs on any folder of images, one folder a class, or of four IDX files",
            hint=("--data FOLDER", "--data fashion_mnist"),
        )
    description = loading.describe(source, spec.on_bad_image)
    channels = description.shape[0]
    preprocess = resolved.recipe.preprocess(channels, resolved.recipe.image_size or description.native_size())
    made = replace(made, num_classes=len(description.classes), in_channels=channels, image_size=preprocess.image_size)
    weights = _weights_file(spec.weights) if spec.weights else ""
    table = check_fit(made, net, preprocess, description, resolved.recipe, weights)
    device = str(machine.choose_device(spec.device))
    chosen, sources = resolved.recipe, resolved.setting_sources
    if chosen.precision == "auto":
        chosen = replace(chosen, precision=machine.choose_precision(device, table.macs))
        sources = {**sources, "precision": "machine"}
    return Plan(
        spec=spec,
        net=net,
        net_spec=made,
        recipe=chosen,
        setting_sources=sources,
        as_published=not (resolved.changed or made.variation or spec.limit or weights)
        and description.name == resolved.recipe.data,
        data=source if source in DATASETS else str(Path(source).expanduser().resolve()),
        description=description,
        preprocess=preprocess,
        table=table,
        device=device,
        weights=weights,
    )


def _cannot_vary(variation: Mapping[str, Any]) -> UsageError:
    """The error for a variation of a module that was passed in Python."""
    exchanged = ", ".join(f"{key}={value!r}" for key, value in variation.items())
    return UsageError(
        "CN204",
        "a module of your own is trained as it is",
        where=exchanged,
        why="it is trained in place, and to exchange layers makes another module",
        hint=f"net = cn.vary(net, {exchanged})",
    )


def check_fit(
    made: NetSpec,
    net: nn.Module | None,
    preprocess: Preprocess,
    description: Description,
    recipe: Recipe,
    weights: str = "",
) -> Table:
    """The layer table of the net for these images.

    Raises UsageError CN201 or DataError CN306 if they do not fit, UsageError CN204 if the net cannot have such first
    weights, frozen layers or decays, DataError CN305 or CN306 if it cannot begin with the `weights` of that file.
    """
    if net is None:
        with torch.device("meta" if made.kind == "registry" else "cpu"):
            net = made.build()
    table = check_input(net, preprocess.shape, name=made.spec)
    initialise.check(net, recipe.initialise)
    freeze(copy.deepcopy(net), recipe.freeze)
    weighted = len(initialise.weighted_layers(net))
    if recipe.weight_decays and len(recipe.weight_decays) != weighted:
        raise UsageError(
            "CN204",
            f"weight_decays has {len(recipe.weight_decays)} values, and the net {weighted} layers with weights",
            hint="--set weight_decays=none weight_decay=0.0005",
        )
    classes = len(description.classes)
    if table.output_shape != (classes,):
        given = shape(table.output_shape)
        raise DataError(
            "CN306",
            f"{made.spec} gives {given} numbers for an image, and {description.name} has {classes} classes",
            where=f"the last layer, {table.rows[-1].name}",
            why="there must be one number (logit) for each class",
            hint=f"end the net with nn.Linear({table.rows[-1].inputs[-1]}, {classes})",
        )
    if weights:
        load.check(weights, net)
    return table


def plan_of_run(where: RunFolder, net: nn.Module | None = None) -> Plan:
    """The plan of an existing run, from its run.json."""
    facts = where.read()
    made, recipe, preprocess = where.net_spec(), where.recipe(), where.preprocess()
    description = Description(facts["data_name"], tuple(facts["classes"]), preprocess.shape)
    return Plan(
        spec=RunSpec.from_facts(facts),
        net=net,
        net_spec=made,
        recipe=recipe,
        setting_sources=facts["origins"],
        as_published=facts["as_published"],
        data=facts["data"],
        description=description,
        preprocess=preprocess,
        table=check_fit(made, net, preprocess, description, recipe),
        device=str(machine.choose_device(facts["device"])),
        weights=facts["weights"],
    )


def freeze(net: nn.Module, patterns: Sequence[str]) -> None:
    """Keeps the weights of all layers out of training whose names match one of `patterns`, such as "conv*".

    Raises UsageError CN204 for a pattern that no layer with weights has, and if nothing is left to train.
    """
    layers = {name: layer for name, layer in net.named_modules() if [*layer.parameters(recurse=False)]}
    for pattern in patterns:
        matching = fnmatch.filter(layers, pattern)
        if not matching:
            raise UsageError(
                "CN204",
                f"no layer with weights is called {pattern!r}",
                where=f"freeze={','.join(patterns)}",
                why=f"these have weights: {', '.join(layers)}",
                hint=f"--set freeze={next(iter(layers), 'none')}",
            )
        for name in matching:
            layers[name].requires_grad_(requires_grad=False)
    if patterns and not any(p.requires_grad for p in net.parameters()):
        raise UsageError(
            "CN204", "every layer is frozen", where=f"freeze={','.join(patterns)}", hint="--set freeze=conv*"
        )


def _weights_file(given: str | Path) -> str:
    """The file itself, or the one with the weights of a run."""
    path = open_run(given).weights_file() if Path(given).is_dir() else Path(given)
    if not path.is_file():
        raise DataError("CN305", "there is no such file of weights", where=str(given), hint="ls runs")
    return str(path.resolve())


def verdict(plan: Plan, accuracy: float) -> str:
    """How the result stands to the published range, in a sentence; empty if there is none to hold it against."""
    expected = plan.recipe.expected
    if expected is None:
        return ""
    if not plan.as_published:
        changed = "the net, the recipe, the data or the number of images was changed"
        return f"no verdict against the published range: {changed}"
    return expected.verdict(accuracy)
