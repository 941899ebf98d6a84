"""What a run will be: every name resolved and every shape checked before any picture is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import machine
from classicnets.data import datasets
from classicnets.errors import DataError, UsageError
from classicnets.inspection.doctor import check_input
from classicnets.inspection.shapes import Table
from classicnets.recipes import resolve
from classicnets.runs import origin
from classicnets.runs.folder import RunFolder
from classicnets.runs.origin import Origin
from classicnets.training import initialise
from classicnets.values import Preprocess, Recipe


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a run that is known before any picture is read."""

    net: nn.Module | None  # a module that was passed in Python; otherwise `origin` makes it
    origin: Origin
    recipe: Recipe
    origins: dict[str, str]
    as_published: bool
    data: str
    description: datasets.Description
    preprocess: Preprocess
    table: Table
    seed: int
    device: str
    limit: int | None

    def build(self) -> nn.Module:
        """The net with its first weights, which depend on the seed alone."""
        torch.manual_seed(self.seed)
        net = self.net if self.net is not None else self.origin.build()
        initialise.initialise(net, self.recipe.initialise)
        return net

    def lines(self) -> list[str]:
        """What is about to happen, for people: the net, the recipe, the data, the machine."""
        recipe, table = self.recipe, self.table
        pictures = "x".join(map(str, self.preprocess.shape))
        changed = ", ".join(f"{key}={getattr(recipe, key)}" for key, where in self.origins.items() if where != "recipe")
        return [
            f"net     {self.origin.described}: {table.parameters:,} parameters,"
            f" {table.macs:,} MACs a picture of {pictures}",
            f"recipe  {recipe.source}: {recipe.epochs} epochs, batch {recipe.batch_size}, {recipe.optimizer}"
            f" lr {recipe.lr:g}, {recipe.schedule}, weights {recipe.initialise}"
            + (f"; changed: {changed}" if changed else ""),
            f"device  {self.device}, {torch.get_num_threads()} threads, float32, seed {self.seed}",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The part of run.json that says what was asked for."""
        return {
            "net": self.origin.to_dict(),
            "recipe": self.recipe.to_dict(),
            "origins": self.origins,
            "as_published": self.as_published,
            "data": self.data,
            "data_name": self.description.name,
            "classes": list(self.description.classes),
            "preprocess": self.preprocess.to_dict(),
            "parameters": self.table.parameters,
            "macs": self.table.macs,
            "seed": self.seed,
            "device": self.device,
            "limit": self.limit,
        }


def plan(
    net: str | nn.Module,
    *,
    data: str | None = None,
    recipe: str | Recipe | None = None,
    settings: Mapping[str, Any] | None = None,
    variation: Mapping[str, Any] | None = None,
    seed: int = 0,
    device: str = "auto",
    limit: int | None = None,
) -> Plan:
    """Resolves every name and checks that the pictures fit the net and the net the classes; reads no picture.

    `settings` may hold what `variation` does, each under a name that begins with `net.`.
    Raises UsageError CN201 to CN206, DataError, MachineError CN402.
    """
    if limit is not None and limit < 1:
        raise UsageError("CN204", f"--limit {limit}: at least one picture is needed", hint="--limit 512")
    module, made = (None, origin.find(net)) if isinstance(net, str) else (net, origin.of_module(net))
    if not isinstance(recipe, Recipe):
        recipe = resolve.find(recipe, made.spec, registered=made.kind == "registry")
    exchanged, settings = origin.split(settings or {})
    made = origin.varied(made, {**(variation or {}), **exchanged})
    if module is not None and made.variation:
        said = ", ".join(f"{key}={value!r}" for key, value in made.variation.items())
        raise UsageError(
            "CN204",
            "a module of your own is trained as it is",
            where=said,
            why="it is trained in place, and to exchange layers makes another module",
            hint=f"net = cn.vary(net, {said})",
        )
    resolved = resolve.apply(recipe, settings)
    spec = str(data or resolved.recipe.data)
    description = datasets.describe(spec)
    channels, height, _ = description.shape
    preprocess = resolved.recipe.preprocess(channels, height)
    made = replace(made, num_classes=len(description.classes), in_channels=channels, image_size=preprocess.image_size)
    table = check_fit(made, module, preprocess, description, resolved.recipe.initialise)
    return Plan(
        net=module,
        origin=made,
        recipe=resolved.recipe,
        origins=resolved.origins,
        as_published=not (resolved.changed or made.variation or limit) and description.name == resolved.recipe.data,
        data=spec if spec in datasets.DATASETS else str(Path(spec).resolve()),
        description=description,
        preprocess=preprocess,
        table=table,
        seed=seed,
        device=str(machine.choose_device(device)),
        limit=limit,
    )


def check_fit(
    made: Origin, net: nn.Module | None, preprocess: Preprocess, description: datasets.Description, weights: str
) -> Table:
    """The layer table of the net for these pictures.

    Raises UsageError CN201 or DataError CN306 if they do not fit, UsageError CN204 if the net cannot have such first
    weights.
    """
    if net is None:
        with torch.device("meta" if made.kind == "registry" else "cpu"):
            net = made.build()
    table = check_input(net, preprocess.shape, name=made.spec)
    initialise.check(net, weights)
    classes = len(description.classes)
    if table.output_shape != (classes,):
        given = "x".join(map(str, table.output_shape))
        raise DataError(
            "CN306",
            f"{made.spec} gives {given} numbers for a picture, and {description.name} has {classes} classes",
            where=f"the last layer, {table.rows[-1].name}",
            why="there must be one number (logit) for each class",
            hint=f"end the net with nn.Linear({table.rows[-1].inputs[-1]}, {classes})",
        )
    return table


def planned(where: RunFolder, net: nn.Module | None = None) -> Plan:
    """The plan of an existing run, from its run.json."""
    facts = where.read()
    made = where.origin()
    preprocess = where.preprocess()
    description = datasets.Description(facts["data_name"], tuple(facts["classes"]), preprocess.shape)
    return Plan(
        net=net,
        origin=made,
        recipe=where.recipe(),
        origins=facts["origins"],
        as_published=facts["as_published"],
        data=facts["data"],
        description=description,
        preprocess=preprocess,
        table=check_fit(made, net, preprocess, description, facts["recipe"]["initialise"]),
        seed=facts["seed"],
        device=str(machine.choose_device(facts["device"])),
        limit=facts["limit"],
    )


def verdict(plan: Plan, accuracy: float) -> str:
    """How the result stands to the published range, in a sentence; empty if there is none to hold it against."""
    expected = plan.recipe.expected
    if expected is None:
        return ""
    if not plan.as_published:
        changed = "the net, the recipe, the data or the number of pictures was changed"
        return f"no verdict against the published range: {changed}"
    inside = expected.low <= accuracy <= expected.high
    return (
        f"{'within' if inside else 'outside'} the published range {expected.low:.3f} to {expected.high:.3f}"
        f" (mean {expected.mean:.4f}, n = {expected.n}: {expected.source})"
    )
