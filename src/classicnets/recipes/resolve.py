"""Looks up recipes by source, network and variation, and applies settings (`--set KEY=VALUE`) to them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.recipes import (
    caffe2014,
    cuda_convnet,
    d2l,
    fast,
    krizhevsky2012,
    krizhevsky2014,
    lecun1998,
    mxnet,
    torchvision,
)
from classicnets.text import _, assignments, command, nearest
from classicnets.values import Recipe

FAST = fast.ANY.source
ANY_NET = ""  # the `net` of a recipe for any network


@dataclass(frozen=True)
class RecipeKey:
    """The key of a recipe: its source, the network that it trains, and the variation that it was tuned for."""

    source: str
    net: str
    variation: tuple[tuple[str, str | float], ...] = ()  # sorted by name

    @property
    def label(self) -> str:
        """The network as printed: "lenet_d2l", "lenet_d2l with activation=relu, pool=max", "any network"."""
        name = "any network" if self.net == ANY_NET else self.net
        return f"{name} with {assignments(dict(self.variation))}" if self.variation else name


# The first recipe of a network is its default, except `fast`.
RECIPES: dict[RecipeKey, Recipe] = {
    RecipeKey(recipe.source, recipe.net, recipe.variation): recipe
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

_CHOICES = {
    "loss": ("cross_entropy", "lecun1998"),
    "class_weights": ("none", "auto"),
    "optimizer": ("sgd", "sgd_rate_inside", "adamw"),
    "schedule": ("constant", "one_cycle", "steps", "inverse", "plateau"),
    "precision": machine.PRECISIONS,
    "fit": ("stretch", "crop", "letterbox"),
    "views": (1, 2, 9, 10),
    "crop": ("none", "random", "resized"),
    "color_noise": ("none", "paper", "code"),
    "initialize": (
        "as_built",
        "xavier_uniform",
        "xavier_uniform_zero_bias",
        "lecun1998",
        "krizhevsky2012",
        "krizhevsky2012_code",
        "krizhevsky2014",
        "caffe_alexnet",
        "caffe_caffenet",
        "caffe_xavier",
        "normal",
        "cuda_convnet_26pct",
        "cuda_convnet_18pct",
        "cuda_convnet_13pct",
    ),
    "monitor": ("none", "validation", "test"),
}


# What a setting may need beside it; hints suggest these.
_COMPANIONS: dict[str, dict[str, Any]] = {
    "monitor": {"validation": 0.05},
    "patience": {"monitor": "validation", "validation": 0.05},
    "join_after": {"validation": 0.05, "patience": 0},
    "schedule": {"monitor": "validation", "validation": 0.05, "patience": 3},
    "optimizer": {"momentum": 0.0},
    "drop_at": {"schedule": "steps"},
}


@dataclass(frozen=True)
class Resolved:
    """A recipe with settings applied. The source of each setting is "recipe" or "--set"; a plan adds "machine"."""

    recipe: Recipe
    setting_sources: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether any setting differs from the recipe as published."""
        return any(source != "recipe" for source in self.setting_sources.values())


def find(
    source: str | None, net: str, *, registered: bool, variation: Mapping[str, str | float] | None = None
) -> Recipe:
    """Returns the recipe of a source for a network.

    A source's recipe for the network is used for every variation of it, except with `fast`: it has recipes for a few
    variations and trains all others as any network.

    Args:
        source: the source; None is the first published one for a `registered` network, and `fast` for others.
        net: the name of the network.
        registered: whether the network is in the registry.
        variation: replaced layers, as names and values.

    Raises:
        UsageError: CN203 if there is none; the message lists the recipes for this network.
    """
    published = [key.source for key in RECIPES if key.net == net and key.source != FAST]
    name = source or ((published or [""])[0] if registered else FAST)
    keys = [RecipeKey(name, net, tuple(sorted((variation or {}).items()))), RecipeKey(name, ANY_NET)]
    if name != FAST:  # what `fast` tuned for a network fits only that network
        keys.insert(1, RecipeKey(name, net))
    if recipe := next((RECIPES[key] for key in keys if key in RECIPES), None):
        return replace(recipe, net=net)
    available = list(dict.fromkeys(key.source for key in RECIPES if key.net in (net, ANY_NET)))
    sources = list(dict.fromkeys(key.source for key in RECIPES))
    message = _("there is no recipe {name!r} for {net}", name=name, net=net)
    if not name:
        message = _("there is no published recipe for {net}", net=net)
        why = _("the recipes do not include its original training, and no other is used in its place")
    elif name in sources:
        labels = ", ".join(key.label for key in RECIPES if key.source == name)
        why = _("{name} has recipes for {labels}", name=name, labels=labels)
    elif near := nearest(name, sources):
        why = _("did you mean {name!r}?", name=near)
    else:
        why = _("the sources are {sources}", sources=", ".join(sources))
    raise UsageError(
        "CN203",
        message,
        where=_("recipes for {net}: {sources}", net=net, sources=", ".join(available)),
        why=why,
        hint=command("--recipe", available[0]),
    )


def apply(recipe: Recipe, settings: Mapping[str, Any]) -> Resolved:
    """Returns the recipe with `settings` applied: text from the command line, or values from Python.

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
    resolved, errors = _with_settings(recipe, settings)
    if errors:
        repairs = [f"{key}={setting_text(value)}" for key, value in _repairs(recipe, settings).items()]
        raise UsageError(
            "CN204",
            _("the recipe cannot be used with these settings"),
            where=assignments(settings),
            why="\n".join(errors),
            hint=command("--set", *repairs),
        )
    return Resolved(resolved, {key: "--set" if key in settings else "recipe" for key in SETTINGS})


def _with_settings(recipe: Recipe, settings: Mapping[str, Any]) -> tuple[Recipe, list[str]]:
    """The recipe with the settings that have the right type, and a message for each fault."""
    errors: list[str] = []
    values: dict[str, Any] = {}
    for key, value in settings.items():
        try:
            values[key] = _typed(key, value)
        except ValueError as error:
            errors.append(f"{key}={value}: {error}")
    resolved = replace(recipe, **values)
    return resolved, errors + _invalid_values(resolved)


def _repairs(recipe: Recipe, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The fewest settings to add to invalid `settings`, or to change in them, so that the recipe can be used."""
    companions = {name: value for key in settings for name, value in _COMPANIONS.get(key, {}).items()}
    wrong = [key for key, value in settings.items() if _with_settings(recipe, {**companions, key: value})[1]]
    valid = {key: _valid_value(recipe, key, settings[key]) for key in wrong}
    as_published = {key: getattr(recipe, key) for key in settings}
    for changes in (companions, valid, {**companions, **valid}, as_published):
        if not _with_settings(recipe, {**settings, **changes})[1]:
            needed = dict(changes)
            for key in changes:
                fewer = {name: value for name, value in needed.items() if name != key}
                if not _with_settings(recipe, {**settings, **fewer})[1]:
                    needed = fewer
            return needed
    return as_published


def _valid_value(recipe: Recipe, key: str, value: Any) -> Any:
    """The choice that is spelled similarly, else the value of the recipe."""
    choices = {str(choice): choice for choice in _CHOICES.get(key, ())}
    return choices.get(nearest(str(value), choices), getattr(recipe, key))


def setting_text(value: Any) -> str:
    """A value as it is typed after --set."""
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _typed(key: str, value: Any) -> Any:
    """Converts a value to the type of the field `key`; values from Python are checked in the same way as text."""
    kind = next(f.type for f in fields(Recipe) if f.name == key)
    text = str(value).strip()
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ValueError(_("must be true or false"))
        return text.lower() == "true"
    if kind in {"int", "int | None"}:
        if kind == "int | None" and text.lower() == "none":
            return None
        try:
            return int(text)
        except ValueError:
            raise ValueError(_("must be an integer")) from None
    if kind == "float":
        return _number(text)
    if kind.startswith("tuple["):
        parts = value if isinstance(value, tuple | list) else text.strip("()[]").split(",")
        words = [str(part).strip() for part in parts if str(part).strip() not in {"", "none"}]
        return tuple(map(_number, words)) if "float" in kind else tuple(words)
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(_("must be a number")) from None
    if not math.isfinite(value):
        raise ValueError(_("must be a finite number"))
    return value


def _invalid_values(r: Recipe) -> list[str]:
    """A message for each value of the recipe that is out of range or contradicts another."""
    rules = [
        (r.epochs >= 1, _("epochs={value}: must be at least 1", value=r.epochs)),
        (r.batch_size >= 1, _("batch_size={value}: must be at least 1", value=r.batch_size)),
        (r.lr > 0, _("lr={value}: must be greater than 0", value=r.lr)),
        (0 <= r.momentum < 1, _("momentum={value}: must be at least 0 and below 1", value=r.momentum)),
        (
            0 <= r.label_smoothing < 1,
            _("label_smoothing={value}: must be at least 0 and below 1", value=r.label_smoothing),
        ),
        (0 <= r.ema < 1, _("ema={value}: must be at least 0 and below 1", value=r.ema)),
        (
            0 <= r.validation < 1,
            _(
                "validation={value}: the fraction of images to hold out must be at least 0 and below 1",
                value=r.validation,
            ),
        ),
        (
            r.image_size is None or r.image_size >= 1,
            _("image_size={value}: must be at least 1", value=r.image_size),
        ),
        (
            all(s > 0 for s in r.std) and len(r.std) > 0,
            _("std={value}: all values must be greater than 0", value=r.std),
        ),
        (
            not r.mean or len(r.std) == 1 or len(r.mean) == len(r.std),
            _("mean has {mean} values and std {std}: each needs one per channel", mean=len(r.mean), std=len(r.std)),
        ),
        (
            r.monitor != "validation" or r.validation > 0,
            _("monitor=validation needs a validation set: set validation=0.05"),
        ),
        (
            not r.patience or r.monitor == "validation",
            _("patience={value} needs monitor=validation", value=r.patience),
        ),
        (
            r.schedule != "plateau" or r.patience > 0,
            _("schedule=plateau needs patience=N, the number of epochs before the learning rate drops"),
        ),
        (
            not r.join_after or r.validation > 0,
            _("join_after={value} needs a validation set to join: set validation=0.05", value=r.join_after),
        ),
        (
            not (r.join_after and r.patience),
            _("join_after and patience exclude each other: the validation set cannot be used once it is trained on"),
        ),
        (r.optimizer != "adamw" or r.momentum == 0, _("momentum is a setting of sgd; adamw has its own")),
        (
            not r.drop_at or r.schedule == "steps",
            _("drop_at needs schedule=steps, and the schedule is {value}", value=r.schedule),
        ),
        (
            len(r.drop_at) == len(r.drop_to),
            _("drop_at has {at} values and drop_to {to}", at=len(r.drop_at), to=len(r.drop_to)),
        ),
        (
            list(r.drop_at) == sorted(r.drop_at) and all(0 < share < 1 for share in r.drop_at),
            _("drop_at={value}: must be rising fractions of the epochs, above 0 and below 1", value=r.drop_at),
        ),
        (
            r.crop == "none" or r.resize is not None,
            _("crop={value} needs resize, the size of the image that is cropped", value=r.crop),
        ),
        (
            r.resize is None or (r.image_size is not None and r.resize + 2 * r.pad >= r.image_size),
            _("resize={value} needs an image_size that is not larger, because it is cropped from it", value=r.resize),
        ),
        (
            r.image_size is None or r.resize is not None or r.image_size > 2 * r.pad,
            _("pad={pad}: must be less than half of image_size={size}", pad=r.pad, size=r.image_size),
        ),
        (
            all(decay >= 0 for decay in r.weight_decays),
            _("weight_decays={value}: no value may be negative", value=r.weight_decays),
        ),
    ]
    rules += [
        (getattr(r, key) >= 0, _("{key}={value}: must not be negative", key=key, value=getattr(r, key)))
        for key in ("weight_decay", "bias_lr", "clip", "patience", "pad", "shift", "erase", "join_after")
    ]
    rules += [
        (
            getattr(r, key) in choices,
            _(
                "{key}={value}: must be one of {names}",
                key=key,
                value=getattr(r, key),
                names=", ".join(map(str, choices)),
            ),
        )
        for key, choices in _CHOICES.items()
    ]
    return [message for valid, message in rules if not valid]
