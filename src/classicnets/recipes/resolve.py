"""Looks up recipes by source, network and variation, and applies settings (`--set KEY=VALUE`) to them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Self

from classicnets.errors import UsageError
from classicnets.recipes import (
    caffe2014,
    cuda_convnet,
    d2l,
    fast,
    folder,
    krizhevsky2012,
    krizhevsky2014,
    lecun1998,
    mxnet,
    rules,
    torchvision,
)
from classicnets.recipes.setting_values import convert, default_value, hint, nearest_value, typed
from classicnets.text import _, assignments, command, labeled, nearest
from classicnets.values import Recipe

FAST = fast.ANY.source
ANY_NET = ""  # the `net` of a recipe for any network


@dataclass(frozen=True)
class RecipeKey:
    """The key of a recipe: its source, the network that it trains, and the variation that it was tuned for.

    A source may have two recipes for any network: one of them for `large_images`, as `folder.is_large` defines them.
    """

    source: str
    net: str
    variation: tuple[tuple[str, str | float], ...] = ()  # sorted by name
    large_images: bool = False

    @classmethod
    def of(cls, recipe: Recipe) -> Self:
        """Return the key of a recipe."""
        large = recipe.net == ANY_NET and folder.is_large(recipe.image_size or 0)
        return cls(recipe.source, recipe.net, recipe.variation, large)

    @property
    def label(self) -> str:
        """The network as printed: "lenet_d2l", "lenet_d2l with activation=relu, pool=max", "any network"."""
        if self.net == ANY_NET:
            return _("any network for large images") if self.large_images else _("any network")
        if self.variation:
            return _("{net} with {settings}", net=self.net, settings=assignments(dict(self.variation)))
        return self.net


# The first recipe of a network is its default, except `fast`.
RECIPES: dict[RecipeKey, Recipe] = {
    RecipeKey.of(recipe): recipe
    for recipe in (
        *d2l.RECIPES,
        *lecun1998.RECIPES,
        *caffe2014.RECIPES,
        *krizhevsky2012.RECIPES,
        *krizhevsky2014.RECIPES,
        *torchvision.RECIPES,
        *mxnet.RECIPES,
        *cuda_convnet.RECIPES,
        *fast.RECIPES,
    )
}

# Data sets of recipes that cannot be downloaded: description and source.
NOT_FETCHED: dict[str, str] = {
    "imagenet": "ILSVRC-2012: 1,281,167 and 50,000 photographs in 1,000 classes, from image-net.org on registration",
}

# Numbers of classes, training and test images of published data sets: a folder with other numbers is not that data set.
PUBLISHED_SIZES: dict[str, tuple[int, int, int]] = {
    "mnist": (10, 60_000, 10_000),
    "cifar10": (10, 50_000, 10_000),
    "imagenet": (1_000, 1_281_167, 50_000),
}

# Fields that `--set` cannot change, because they identify the recipe.
_IDENTITY = {"source", "net", "data", "variation", "expected", "deviations"}
SETTINGS = tuple(f.name for f in fields(Recipe) if f.name not in _IDENTITY)


def published(net: str) -> Recipe | None:
    """Return the first published recipe of a network, which is its default; None if there is none."""
    return next((recipe for key, recipe in RECIPES.items() if key.net == net and key.source != FAST), None)


@dataclass(frozen=True)
class Resolved:
    """A recipe with settings applied.

    The source of each setting is "recipe" or "--set"; a plan adds "machine" and "network".
    """

    recipe: Recipe
    setting_sources: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether any setting differs from the recipe as published."""
        return any(source != "recipe" for source in self.setting_sources.values())


def find(
    source: str | None,
    net: str,
    *,
    registered: bool,
    variation: Mapping[str, str | float] | None = None,
    image_size: int | None = None,
) -> Recipe:
    """Return the recipe of a source for a network.

    A source's recipe for the network is used for every variation of it, except with `fast`: it has recipes for a few
    variations and trains all others as any network. `d2l` and `d2l_en` train networks that the book does not have with
    the settings of one of its chapters, which the image size decides.

    Args:
        source: the source; None is the first published one for a `registered` network, and `fast` for others.
        net: the name of the network.
        registered: whether the network is in the registry.
        variation: replaced layers, as names and values.
        image_size: height and width in pixels of the network's images; None if they are not known.

    Raises:
        UsageError: CN203 if there is none; the message lists the recipes for this network.
    """
    default = published(net)
    name = source or ((default.source if default else "") if registered else FAST)
    any_net = RecipeKey(name, ANY_NET, large_images=folder.is_large(image_size or 0))
    keys = [RecipeKey(name, net, tuple(sorted((variation or {}).items()))), any_net, RecipeKey(name, ANY_NET)]
    if name != FAST:  # what `fast` tuned for a network fits only that network
        keys.insert(1, RecipeKey(name, net))
    if recipe := next((RECIPES[key] for key in keys if key in RECIPES), None):
        return replace(recipe, net=net)
    own = [key.source for key in RECIPES if key.net == net]
    available = list(dict.fromkeys([*own, FAST, *(key.source for key in RECIPES if key.net == ANY_NET)]))
    sources = list(dict.fromkeys(key.source for key in RECIPES))
    near = nearest(name, available) or nearest(name, sources)
    message = _("there is no recipe {name!r} for {net}", name=name, net=net)
    if not name:
        message = _("there is no published recipe for {net}", net=net)
        why = _("the recipes do not include its original training, and no other is used in its place")
    elif name in sources:
        labels = ", ".join(key.label for key in RECIPES if key.source == name)
        why = _("{name} has recipes for {labels}", name=name, labels=labels)
    elif near:
        why = _("did you mean {name!r}?", name=near)
    else:
        why = _("the sources are {sources}", sources=", ".join(sources))
    raise UsageError(
        "CN203",
        message,
        where=_("recipes for {net}: {sources}", net=net, sources=", ".join(available)),
        why=why,
        hint=command("--recipe", near if near in available else available[0]),
    )


def statement(recipe: Recipe) -> str:
    """Return what must be said of a recipe that is not for the network that it trains; "" if there is nothing to say.

    Args:
        recipe: as `find` has returned it.
    """
    is_own = any(key.source == recipe.source and key.net == recipe.net for key in RECIPES)
    return "" if is_own or recipe.source == FAST else d2l.chapter(recipe)


def apply(recipe: Recipe, settings: Mapping[str, Any]) -> Resolved:
    """Return the recipe with `settings` applied: text from the command line, or values from Python.

    Raises:
        UsageError: CN202 for an unknown key, with the nearest one; CN204 for invalid values, with all of them.
    """
    unknown = [key for key in settings if key not in SETTINGS]
    if unknown:
        key = unknown[0]
        near = nearest(key, SETTINGS)
        raise UsageError(
            "CN202",
            _("{key!r} is not a setting of a recipe", key=key),
            where=command("--set", f"{key}={settings[key]}"),
            why=_("the settings are {names}", names=", ".join(SETTINGS)),
            hint=command("--set", f"{near}={settings[key]}") if near else "classicnets train NET --dry-run",
        )
    messages: dict[str, str] = {}
    corrections: dict[str, Any] = {}

    def converted(key: str, value: Any, usual: Any) -> Any:
        try:
            return convert(key, value)
        except ValueError as error:
            messages[key] = labeled(f"{key}={typed(value)}", error)
            corrections[key] = nearest_value(value, usual)
            return corrections[key]

    original = replace(recipe, **{key: converted(key, getattr(recipe, key), default_value(key)) for key in SETTINGS})
    for key in settings:  # replaced, so that the recipe's own value does not matter
        messages.pop(key, None)
        corrections.pop(key, None)
    values = {key: converted(key, value, getattr(original, key)) for key, value in settings.items()}
    resolved = replace(original, **values)
    invalid, further = rules.problems(resolved, original, settings)
    if messages or invalid:
        raise UsageError(
            "CN204",
            _("the recipe cannot be used with these settings"),
            where=assignments(settings),
            why="\n".join([*messages.values(), *invalid]),
            hint=hint(corrections | further),
        )
    return Resolved(resolved, {key: "--set" if key in settings else "recipe" for key in SETTINGS})
