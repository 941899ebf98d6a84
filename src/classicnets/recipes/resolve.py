"""Finds a recipe by source, network and variation; applies `--set key=value`, typed, reports all faults together."""

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
from classicnets.text import assignments, nearest
from classicnets.values import Recipe

FAST = fast.ANY.source
ANY_NET = ""  # the `net` of a recipe that trains any network


@dataclass(frozen=True)
class RecipeKey:
    """What a recipe is found by: its source, the network that it trains and the variation that it was tuned for."""

    source: str
    net: str
    variation: tuple[tuple[str, str | float], ...] = ()  # sorted by name

    @property
    def label(self) -> str:
        """The network for people: "lenet_d2l", "lenet_d2l with activation=relu, pool=max", "any net"."""
        name = "any net" if self.net == ANY_NET else self.net
        return f"{name} with {assignments(dict(self.variation))}" if self.variation else name


# Where a net has several, the first is taken when none is asked for (but `fast` never).
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

# What recipes are for and `data.datasets` does not hold: what it is, and who has it.
NOT_FETCHED: dict[str, str] = {
    "imagenet": "ILSVRC-2012: 1,281,167 and 50,000 photographs in 1,000 classes, from image-net.org on registration",
}

# How many classes, training and test images they have: a folder with other numbers only shares the name.
PUBLISHED_SIZES: dict[str, tuple[int, int, int]] = {
    "mnist": (10, 60_000, 10_000),
    "cifar10": (10, 50_000, 10_000),
    "imagenet": (1_000, 1_281_167, 50_000),
}

# What `--set` may change: everything that says how to train, nothing that says where the recipe comes from.
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


@dataclass(frozen=True)
class Resolved:
    """A recipe ready to use, and where each setting came from: "recipe" or "--set"; a plan adds "machine"."""

    recipe: Recipe
    setting_sources: dict[str, str]

    @property
    def changed(self) -> bool:
        """Whether any setting differs from the recipe as published."""
        return any(source != "recipe" for source in self.setting_sources.values())


def find(
    source: str | None, net: str, *, registered: bool, variation: Mapping[str, str | float] | None = None
) -> Recipe:
    """The recipe of `source` for `net`, with `variation` exchanged in it.

    Without a source: `fast` for a user's own net, the first that is published for a `registered` one. A source is
    followed whatever was exchanged; `fast` has recipes for a few variations and trains all others as any net.

    Raises UsageError CN203 if there is none, listing what exists for this net.
    """
    published = [key.source for key in RECIPES if key.net == net and key.source != FAST]
    wanted = source or ((published or [""])[0] if registered else FAST)
    keys = [RecipeKey(wanted, net, tuple(sorted((variation or {}).items()))), RecipeKey(wanted, ANY_NET)]
    if wanted != FAST:  # what `fast` tuned for a net fits that net only
        keys.insert(1, RecipeKey(wanted, net))
    if recipe := next((RECIPES[key] for key in keys if key in RECIPES), None):
        return replace(recipe, net=net)
    there = list(dict.fromkeys(key.source for key in RECIPES if key.net in (net, ANY_NET)))
    sources = list(dict.fromkeys(key.source for key in RECIPES))
    if not wanted:
        why = "its own training is not among the recipes, and nothing is substituted"
    elif wanted in sources:
        why = f"{wanted} has recipes for {', '.join(key.label for key in RECIPES if key.source == wanted)}"
    else:
        near = nearest(wanted, sources)
        why = f"did you mean {near!r}?" if near else f"the sources are {', '.join(sources)}"
    raise UsageError(
        "CN203",
        f"there is no recipe {wanted!r} for {net}" if wanted else f"there is no recipe as published for {net}",
        where=f"recipes for {net}: {', '.join(there)}",
        why=why,
        hint=f"classicnets train {net} --recipe {there[0]}",
    )


def apply(recipe: Recipe, settings: Mapping[str, Any]) -> Resolved:
    """The recipe with `settings` (text from the command line, or values from Python) put in.

    Raises UsageError CN202 for an unknown key (with the nearest one), CN204 for everything wrong with the values.
    """
    unknown = [key for key in settings if key not in SETTINGS]
    if unknown:
        key = unknown[0]
        near = nearest(key, SETTINGS)
        raise UsageError(
            "CN202",
            f"{key!r} is not a setting of a recipe",
            where=f"--set {key}={settings[key]}",
            why=f"the settings are {', '.join(SETTINGS)}",
            hint=f"--set {near}={settings[key]}" if near else "classicnets train NET --dry-run",
        )
    faults: list[str] = []
    values: dict[str, Any] = {}
    for key, given in settings.items():
        try:
            values[key] = _typed(key, given)
        except ValueError as error:
            faults.append(f"{key}={given}: {error}")
    resolved = replace(recipe, **values)
    faults += _contradictions(resolved)
    if faults:
        raise UsageError(
            "CN204",
            "the recipe cannot be used with these settings",
            where=assignments(settings),
            why="\n".join(faults),
            hint=f"classicnets train {recipe.net or 'NET'} --dry-run",
        )
    return Resolved(resolved, {key: "--set" if key in values else "recipe" for key in SETTINGS})


def _typed(key: str, given: Any) -> Any:
    """The value as the field's type; text is parsed, values from Python are checked the same way."""
    kind = next(f.type for f in fields(Recipe) if f.name == key)
    text = str(given).strip()
    if kind == "bool":
        if text.lower() not in {"true", "false"}:
            raise ValueError("must be true or false")
        return text.lower() == "true"
    if kind in {"int", "int | None"}:
        if kind == "int | None" and text.lower() == "none":
            return None
        try:
            return int(text)
        except ValueError:
            raise ValueError("must be a whole number") from None
    if kind == "float":
        return _number(text)
    if kind.startswith("tuple["):
        parts = given if isinstance(given, tuple | list) else text.strip("()[]").split(",")
        words = [str(part).strip() for part in parts if str(part).strip() not in {"", "none"}]
        return tuple(map(_number, words)) if "float" in kind else tuple(words)
    return text


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError("must be a number") from None
    if not math.isfinite(value):
        raise ValueError("must be a finite number")
    return value


def _contradictions(r: Recipe) -> list[str]:
    """Everything about the recipe that cannot be, in words."""
    rules = [
        (r.epochs >= 1, f"epochs={r.epochs}: must be at least 1"),
        (r.batch_size >= 1, f"batch_size={r.batch_size}: must be at least 1"),
        (r.lr > 0, f"lr={r.lr}: must be above 0"),
        (0 <= r.momentum < 1, f"momentum={r.momentum}: must be in 0..1, below 1"),
        (0 <= r.label_smoothing < 1, f"label_smoothing={r.label_smoothing}: must be in 0..1, below 1"),
        (0 <= r.ema < 1, f"ema={r.ema}: must be in 0..1, below 1"),
        (0 <= r.validation < 1, f"validation={r.validation}: the share of images kept aside, 0 to below 1"),
        (r.image_size is None or r.image_size >= 1, f"image_size={r.image_size}: must be at least 1"),
        (all(s > 0 for s in r.std) and len(r.std) > 0, f"std={r.std}: every value must be above 0"),
        (
            not r.mean or len(r.std) == 1 or len(r.mean) == len(r.std),
            f"mean has {len(r.mean)} values and std {len(r.std)}: one each per channel",
        ),
        (r.monitor != "validation" or r.validation > 0, "monitor=validation needs images aside: set validation=0.05"),
        (not r.patience or r.monitor == "validation", f"patience={r.patience} needs monitor=validation to judge by"),
        (r.schedule != "plateau" or r.patience > 0, "schedule=plateau needs patience=N, epochs to wait before a drop"),
        (not r.join_after or r.validation > 0, f"join_after={r.join_after} needs images kept aside that can join"),
        (
            not (r.join_after and r.patience),
            "join_after and patience: once the images kept aside are trained on, nothing can be judged by them",
        ),
        (r.optimizer != "adamw" or r.momentum == 0, "momentum belongs to sgd; adamw has its own"),
        (
            not r.drop_at or r.schedule == "steps",
            f"drop_at belongs to schedule=steps, and the schedule is {r.schedule}",
        ),
        (len(r.drop_at) == len(r.drop_to), f"drop_at has {len(r.drop_at)} values and drop_to {len(r.drop_to)}"),
        (
            list(r.drop_at) == sorted(r.drop_at) and all(0 < share < 1 for share in r.drop_at),
            f"drop_at={r.drop_at}: rising shares of the epochs, above 0 and below 1",
        ),
        (
            r.crop == "none" or r.resize is not None,
            f"crop={r.crop} needs resize, the side of the image that is cropped",
        ),
        (
            r.resize is None or (r.image_size is not None and r.resize + 2 * r.pad >= r.image_size),
            f"resize={r.resize} needs an image_size that is not larger, as that is cut out of it",
        ),
        (
            r.image_size is None or r.resize is not None or r.image_size > 2 * r.pad,
            f"pad={r.pad}: twice that leaves nothing of image_size={r.image_size} for the image",
        ),
        (all(decay >= 0 for decay in r.weight_decays), f"weight_decays={r.weight_decays}: none may be negative"),
    ]
    rules += [
        (getattr(r, key) >= 0, f"{key}={getattr(r, key)}: must not be negative")
        for key in ("weight_decay", "bias_lr", "clip", "patience", "pad", "shift", "erase", "join_after")
    ]
    rules += [
        (getattr(r, key) in choices, f"{key}={getattr(r, key)}: must be one of {', '.join(map(str, choices))}")
        for key, choices in _CHOICES.items()
    ]
    return [fault for good, fault in rules if not good]
