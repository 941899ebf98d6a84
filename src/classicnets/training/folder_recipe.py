"""Chooses the recipe `folder` for a folder or CSV of images, and states the choice in one line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from classicnets.datasets.types import Description
from classicnets.errors import ClassicnetsError
from classicnets.images import loading
from classicnets.images.look import look
from classicnets.inspection.shape_errors import check_input
from classicnets.recipes import folder, resolve
from classicnets.recipes.setting_values import convert, typed
from classicnets.runs.net_spec import NetSpec
from classicnets.spec import RunSpec
from classicnets.text import _, assignments, clauses, command, plural
from classicnets.values import Recipe


def is_chosen(spec: RunSpec, net: str, description: Description) -> bool:
    """Whether the recipe is chosen for the images: of image files, if the user names no other recipe.

    A folder that is the data set of the network's published recipe, such as `imagenet/`, is trained on by that recipe.
    """
    if not description.decoded or spec.recipe not in {None, folder.SOURCE}:
        return False
    published = resolve.published(net)
    return spec.recipe is not None or published is None or published.data != description.name


def choose(spec: RunSpec, network: NetSpec, settings: dict[str, Any], description: Description) -> tuple[Recipe, str]:
    """Look at the training images and choose the recipe.

    Args:
        spec: what the user has specified.
        network: the network.
        settings: settings of the recipe that the user has changed.
        description: the folder or CSV.

    Returns:
        The recipe, and a line that states the choice.

    Raises:
        DataError: CN304 if no training image can be read.
    """
    path = loading.image_location(str(spec.data))
    assert path is not None  # as `is_chosen` has checked
    seen = look(path)
    size = given_size(settings) if "image_size" in settings else _image_size(network, seen, description)
    count = min(description.train, spec.limit or description.train)
    recipe = folder.recipe(network.spec, seen, size, count, own_validation=description.validation > 0)
    return recipe, _statement(seen, recipe, settings, description, count)


def given_size(settings: Mapping[str, Any]) -> int | None:
    """Return the user's image size; None if there is none, or if it is invalid, which is an error later."""
    if "image_size" not in settings:
        return None
    try:
        size = convert("image_size", settings["image_size"])
    except ValueError:
        return None
    return size if isinstance(size, int) and size > 0 else None


def _image_size(network: NetSpec, seen: folder.Look, description: Description) -> int:
    """The size to train at: that of the images for your own network, else one that the network can be built for."""
    own, common = network.own_size, description.shape[1]
    if own is None:
        return common or folder.image_size(seen)
    size = folder.image_size(seen, common)
    if folder.is_large(own):
        return own
    built = replace(network, num_classes=len(description.classes), in_channels=description.shape[0], image_size=size)
    try:
        check_input(built.build_for_shapes(), (description.shape[0], size, size), name=network.spec)
    except ClassicnetsError:
        return own
    return size


def _statement(
    seen: folder.Look, recipe: Recipe, settings: dict[str, Any], description: Description, count: int
) -> str:
    """What was seen, what follows, and how to change it, in one line."""
    fields = {
        "classes": len(description.classes),
        "size": f"{seen.size}x{seen.size}",
        "images": plural("{n} color image", "{n:,} color images", count)
        if description.shape[0] == 3
        else plural("{n} gray image", "{n:,} gray images", count),
        "settings": _augmentation(recipe),
        "epochs": recipe.epochs,
        "image_size": recipe.image_size,
        "option": command("--set", _opposite(recipe)),
    }
    if seen.kind == folder.SYMBOLS:
        message = _(
            "{images} of {classes} classes, about {size}, of two tones like letters: {settings},"
            " image_size={image_size}, {epochs} epochs ({option} to change)",
            **fields,
        )
    elif seen.kind == folder.GRAPHICS:
        message = _(
            "{images} of {classes} classes, about {size}, with flat areas like icons: {settings},"
            " image_size={image_size}, {epochs} epochs ({option} to change)",
            **fields,
        )
    else:
        message = _(
            "{images} of {classes} classes, about {size}, like photos: {settings}, image_size={image_size},"
            " {epochs} epochs ({option} to change)",
            **fields,
        )
    parts = [message]
    changed = {key: settings[key] for key in settings if key in resolve.SETTINGS and key != "precision"}
    if changed:
        parts.append(_("changed: {settings}", settings=assignments(changed)))
    published = resolve.published(recipe.net)
    if published is not None:
        other = command("--recipe", published.source)
        parts.append(_("{option} is the recipe published for this network", option=other))
    return clauses(parts)


def _augmentation(recipe: Recipe) -> str:
    """The augmentation as settings: "flip=true crop=resized"."""
    values = {"flip": recipe.flip, "crop": recipe.crop, "shift": recipe.shift}
    return " ".join(
        f"{key}={typed(value)}" for key, value in values.items() if key == "flip" or value not in {0, "none"}
    )


def _opposite(recipe: Recipe) -> str:
    """The setting whose choice is most likely to be wrong, with its other value."""
    return f"flip={typed(not recipe.flip)}"
