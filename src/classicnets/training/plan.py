"""Resolves a RunSpec: names, recipe, device and precision; checks every shape before any image is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import machine
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import Description
from classicnets.errors import DataError, UsageError
from classicnets.files import user_path
from classicnets.images import loading
from classicnets.images.automatic_split import Copies
from classicnets.inspection.classifier import Check
from classicnets.inspection.shapes import Table
from classicnets.models.modules import complete, unwrap
from classicnets.recipes import folder, resolve
from classicnets.runs import checkpoint, net_spec
from classicnets.runs.folder import RunFolder, find_net, nearest_run, open_run
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import RunSpec, check_spec
from classicnets.text import _, assignments, clauses, command, labeled, phrases, plural, shape
from classicnets.training import data_rules, folder_recipe, initialize
from classicnets.training.freeze import freeze
from classicnets.training.network_check import check_fit, check_network
from classicnets.values import Expected, Preprocess, Recipe, current_names, stored_names
from classicnets.weights import load

_SUMMARY = (
    "source",
    "batch_size",
    "optimizer",
    "lr",
    "schedule",
    "initialize",
)  # settings of the recipe in `Plan.lines`
_OTHER_SCALE = 2.0  # ratio of standard deviations from which weights and images do not fit
_UNUSED_SEED = 2**63 - 25  # a number that nobody chooses


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about a run that is known before any image is read: the RunSpec, and what it resolves to."""

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
    check: Check
    device: str
    weights: str  # file of the initial weights, or ""
    statement: str = ""  # how the recipe was chosen for the images or for the network, or ""
    copies: Copies | None = ()  # groups of copies in image files, found by `survey`; None for runs of version 0.1
    sets_seed: bool = False  # whether the file of the network seeds torch's generator itself

    @property
    def title(self) -> str:
        """A one-line title of the run, for figures."""
        return _(
            "{net} on {data}, recipe {source}, seed {seed}",
            net=self.net_spec.display_name,
            data=self.description.name,
            source=self.recipe.source,
            seed=self.spec.seed,
        )

    @property
    def expected(self) -> Expected | None:
        """The published result of exactly this run; None if there is none, or if something was changed."""
        return self.recipe.expected if self.as_published else None

    def with_seed(self, seed: int) -> Plan:
        """Return a copy with another seed."""
        return replace(self, spec=self.spec.with_seed(seed))

    def build(self, say: Callable[[str], None]) -> nn.Module:
        """Build the network with its initial weights, which depend only on the seed and on the file of `weights`."""
        torch.manual_seed(self.spec.seed)
        net = complete(self.net if self.net is not None else self.net_spec.build(), self.preprocess.shape)
        initialize.initialize(net, self.recipe.initialize)
        set_precision(net, self.recipe.precision)
        if self.weights:
            for line in load.load_weights(self.weights, net).lines():
                say(labeled(self.weights, line))
        freeze(net, self.recipe.freeze)
        return net

    def rebuild(self) -> nn.Module:
        """Build the network of the run again, with other initial weights; not for a module that was passed in."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.spec.seed + 1)
            net = complete(self.net_spec.build(), self.preprocess.shape)
        return set_precision(net, self.recipe.precision)

    def lines(self, *, of_this_machine: bool = True) -> list[str]:
        """Return a readable summary of the run: network, recipe, device and process settings, one line each.

        Args:
            of_this_machine: whether to say what depends on this machine: the device and the process settings.
        """
        recipe, sources = self.recipe, self.setting_sources
        net = _(
            "network {name}: {parameters:,} parameters, {macs:,} MACs per {shape} image",
            name=self.net_spec.display_name,
            parameters=self.table.parameters,
            macs=self.table.macs,
            shape=shape(self.preprocess.shape),
        )
        training = plural(
            "recipe  {source}: {n} epoch, batch size {batch_size}, {optimizer} lr {lr:g}, {schedule}, weights"
            " {initialize}",
            "recipe  {source}: {n} epochs, batch size {batch_size}, {optimizer} lr {lr:g}, {schedule}, weights"
            " {initialize}",
            recipe.epochs,
            **{key: getattr(recipe, key) for key in _SUMMARY},
        )
        if changed := {key: getattr(recipe, key) for key, source in sources.items() if source == "--set"}:
            training = clauses((training, _("changed: {settings}", settings=assignments(changed))))
        device = plural(
            "device  {device}, {n} thread, {precision}, seed {seed}",
            "device  {device}, {n} threads, {precision}, seed {seed}",
            torch.get_num_threads(),
            device=self.device,
            precision=f"{recipe.precision} (auto)" if sources["precision"] == "machine" else recipe.precision,
            seed=self.spec.seed,
        )
        if self.spec.deterministic:
            device = phrases((device, _("only deterministic algorithms")))
        notes = [*self.description.notes]
        if self.sets_seed:
            notes.append(
                _(
                    "seed    {file} calls torch.manual_seed, so the initial weights are the same for every --seed;"
                    " remove the call",
                    file=Path(self.net_spec.path).name,
                )
            )
        choice = [_("choice  {statement}", statement=self.statement)] if self.statement else []
        if not of_this_machine:
            return [net, *choice, training, *notes]
        return [net, *choice, training, device, *notes, *machine.process_settings()]

    def to_dict(self) -> dict[str, Any]:
        """Return the part of run.json with the RunSpec and what it resolves to."""
        spec = self.spec
        return {
            "spec": spec.to_dict(),
            "net": self.net_spec.to_dict(),
            "recipe": self.recipe.to_dict(),
            "origins": stored_names(self.setting_sources),
            "as_published": self.as_published,
            "data": self.data,
            "data_name": self.description.name,
            "classes": list(self.description.classes),
            "preprocess": self.preprocess.to_dict(),
            "parameters": self.table.parameters,
            "macs": self.table.macs,
            "needs_two_images": self.check.needs_two_images,
            "remarks": [remark._asdict() for remark in self.check.remarks],
            "seed": spec.seed,
            "device": self.device,
            "limit": spec.limit,
            "weights": self.weights,
            "statement": self.statement,
            "deterministic": spec.deterministic,
            "loader_threads": spec.loader_threads,
            "on_bad_image": spec.on_bad_image,
            "copies": self.copies,
        }


def plan(spec: RunSpec, net: nn.Module | None = None, *, trust: bool = False) -> Plan:
    """Resolve all names, and check that the images fit the network and the network the classes.

    Reads no image, except a sample of the training images of a folder whose recipe is chosen by it.

    Args:
        spec: what the user has specified.
        net: the module to train if `spec.net` is "".
        trust: whether code in a run folder may be run that was not run on this machine before.

    Raises:
        UsageError: CN201 to CN207; CN212 for code that is not trusted.
        DataError: if the data set is unknown or not available, or does not fit.
        MachineError: CN402 if the device is not available.
    """
    check_spec(spec)
    net = None if net is None else unwrap(net)
    network = find_net(spec.net, trust=trust) if net is None else net_spec.from_module(net)
    variation, settings = net_spec.split(spec.settings)
    if spec.precision is not None:
        settings = {**settings, "precision": spec.precision}
    network = net_spec.with_variation(network, {**spec.variation, **variation})
    description, statement, recipe = None, "", spec.recipe
    if recipe in {None, folder.SOURCE} and spec.data and loading.has_image_files(spec.data):
        description = loading.describe(spec.data, spec.on_bad_image)
        if folder_recipe.is_chosen(spec, network.spec, description):
            recipe, statement = folder_recipe.choose(spec, network, settings, description)
    if not isinstance(recipe, Recipe):
        recipe = resolve.find(
            recipe,
            network.spec,
            registered=network.kind == "registry",
            variation=network.variation,
            image_size=folder_recipe.given_size(settings) or network.own_size,
        )
        statement = resolve.statement(recipe)
    if net is not None and network.variation:
        raise _cannot_vary(network.variation)
    resolved = resolve.apply(recipe, settings)
    recipe, sources = resolved.recipe, resolved.setting_sources
    if network.kind == "graph" and recipe.image_size is None and "image_size" not in settings:
        recipe, sources = replace(recipe, image_size=network.own_size), {**sources, "image_size": "network"}
    source = str(spec.data or recipe.data)
    if source in resolve.NOT_FETCHED and not Path(source).is_dir():
        raise DataError(
            "CN302",
            _("the recipe is for {name}, which is not downloaded automatically", name=source),
            where=_(resolve.NOT_FETCHED[source]),
            why=_("--data takes any folder with one folder of images per class, or with four IDX files"),
            hint=("--data FOLDER", "--data fashion_mnist"),
        )
    description = description or loading.describe(source, spec.on_bad_image)
    channels, class_count = description.shape[0], len(description.classes)
    preprocess = recipe.preprocess(channels, recipe.image_size or description.native_size())
    data_rules.check(spec, recipe, preprocess, description)
    network = replace(network, num_classes=class_count, in_channels=channels, image_size=preprocess.image_size)
    weights = _weights_file(spec.weights) if spec.weights else ""
    # Runs start from their own seed, so that any other one shows here whether a user's file sets the seed, too.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(_UNUSED_SEED)
        built = net
        if built is None:  # a graph is also called with real numbers, like a user's own network
            built = network.build() if network.kind == "graph" else network.build_for_shapes()
        sets_seed = torch.initial_seed() != _UNUSED_SEED
        check = check_network(network, built, preprocess, description, recipe, weights)
        table = check_fit(network, built, preprocess, description, recipe, weights)
    network = network.with_neighbors()
    device = str(machine.choose_device(spec.device))
    if recipe.precision == "float64" and device.startswith("mps"):
        raise UsageError(
            "CN204",
            _("the device {device} does not compute in float64", device=device),
            where="precision=float64",
            hint=("--precision float32", "--device cpu"),
        )
    if recipe.precision == "auto":
        recipe = replace(recipe, precision=machine.choose_precision(device, table.macs))
        sources = {**sources, "precision": "machine"}
    if note := _other_scale(weights, preprocess):
        description = replace(description, notes=(*description.notes, note))
    changed = resolved.changed or network.variation or spec.limit or weights
    return Plan(
        spec=spec,
        net=net,
        net_spec=network,
        recipe=recipe,
        setting_sources=sources,
        as_published=not changed and description.name == recipe.data,
        data=source if source in DATASETS else str(user_path(source).resolve()),
        description=description,
        preprocess=preprocess,
        table=table,
        check=check,
        device=device,
        weights=weights,
        statement=statement,
        sets_seed=network.kind == "file" and sets_seed,
    )


def _cannot_vary(variation: Mapping[str, Any]) -> UsageError:
    """The error for a variation of a module that was passed in Python."""
    arguments = ", ".join(f"{key}={value!r}" for key, value in variation.items())
    return UsageError(
        "CN204",
        _("an option cannot replace layers of a module that is passed in Python"),
        where=arguments,
        why=_("it is trained in place, and replacing layers makes a new module"),
        hint=f"net = cn.vary(net, {arguments})",
    )


def plan_of_run(run: RunFolder, net: nn.Module | None = None, *, trust: bool = False) -> Plan:
    """Return the plan of an existing run, from its run.json; raise what `check_fit` and `RunFolder.net_spec` do."""
    facts = run.read()
    net = None if net is None else unwrap(net)
    network = run.net_spec(trust=trust) if net is None else run.described_net()
    recipe, preprocess = run.recipe(), run.preprocess()
    description = Description(facts["data_name"], tuple(facts["classes"]), preprocess.shape)
    return Plan(
        spec=RunSpec.from_facts(facts),
        net=net,
        net_spec=network,
        recipe=recipe,
        setting_sources=current_names(facts["origins"]),
        as_published=facts["as_published"],
        data=facts["data"],
        description=description,
        preprocess=preprocess,
        table=check_fit(network, net, preprocess, description, recipe),
        check=Check(needs_two_images=facts.get("needs_two_images", False)),
        device=str(machine.choose_device(facts["device"])),
        weights=facts["weights"],
        statement=facts.get("statement", ""),
        copies=facts.get("copies"),
    )


def set_precision(net: nn.Module, precision: str) -> nn.Module:
    """Convert the weights to float64 if that is the precision; autocast converts to bfloat16 instead."""
    return net.double() if precision == "float64" else net


def _other_scale(weights: str, preprocess: Preprocess) -> str:
    """A note for weights that expect pixels of another scale than this run gives them; "" if there is none."""
    is_ours = weights.endswith(checkpoint.SUFFIX)
    saved = checkpoint.read_facts(Path(weights)).get("preprocess") if is_ours else None
    if saved is None:
        return ""
    expected = Preprocess.from_dict(saved)
    ratio = (sum(expected.std) / len(expected.std)) / (sum(preprocess.std) / len(preprocess.std))
    if 1 / _OTHER_SCALE < ratio < _OTHER_SCALE:
        return ""
    std = ",".join(f"{number:.6g}" for number in expected.std)
    mean = ",".join(f"{number:.6g}" for number in expected.mean)
    return _(
        "weights expect images that are normalized with std={std}, which this run does not: {option}",
        std=std,
        option=command("--set", f"mean={mean}", f"std={std}"),
    )


def _weights_file(source: str | Path) -> str:
    """The absolute path of a weights file, or of the weights of a run folder."""
    path = open_run(source).weights_file() if Path(source).is_dir() else Path(source)
    if not path.is_file():
        raise DataError(
            "CN305", _("the weights file does not exist"), where=str(source), hint=nearest_run(Path(source))
        )
    return str(path.resolve())
