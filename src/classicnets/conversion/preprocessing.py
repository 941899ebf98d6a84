"""How images are prepared for weights of another library: what its files, the network's recipe and the user say."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from classicnets.conversion.network import Network
from classicnets.errors import UsageError
from classicnets.recipes import resolve
from classicnets.spec import ConvertOptions
from classicnets.text import _, command, nearest, plural
from classicnets.values import Preprocess, Recipe, stored_names
from classicnets.weights import caffe
from classicnets.weights.source import Source

_SETTINGS = ("image_size", "resize", "pad", "fit", "views", "mean", "std", "background")  # of a recipe
_BYTE = 255  # pixels are 0 to 255 in files of Caffe and MXNet, and 0 to 1 in Preprocess
_OF_BYTES = {"caffe", "mxnet"}  # formats of libraries that pass pixels from 0 to 255


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images are prepared.

    Attributes:
        recipe: the recipe of the network, with its preprocessing changed.
        sources: where each of its settings is from: "recipe", "--set" or "file".
        mean_image: the mean image that the network has to subtract [C, H, W], in the order of the file's channels and
            scaled as its inputs are; None if there is none.
        notes: what nobody has said, one sentence each.
    """

    recipe: Recipe
    sources: dict[str, str]
    mean_image: Tensor | None
    notes: tuple[str, ...]

    def preprocess(self, network: Network) -> Preprocess:
        """Return the preprocessing for the images that the network reads."""
        return self.recipe.preprocess(network.spec.in_channels, network.spec.image_size)


def prepare(network: Network, source: Source, options: ConvertOptions) -> Preparation:
    """Find out how images are prepared.

    The options count first, then what the files state, then the network's recipe, or that of a run of ours. A network
    without one gets pixels from 0 to 255 if it is of Caffe or MXNet, and from 0 to 1 otherwise.

    Args:
        network: the network, for color channels in the order of the file.
        source: the files.
        options: what the user says.

    Raises:
        UsageError: CN202 for a setting that is not about preprocessing, CN204 for a value that is not valid, CN206 for
            a mean that does not fit the channels.
        DataError: CN305 if the mean image cannot be read.
    """
    _check_settings(options.settings)
    spec = network.spec
    published = resolve.published(spec.name) if spec.kind == "registry" else None
    if "preprocess" in source.run and "recipe" in source.run:
        published = _of_run(source.run)
    recipe = published or _plain(source.format)
    given = {key: value for key, value in options.settings.items() if key != "image_size"}
    resolved = resolve.apply(replace(recipe, net=spec.name, image_size=spec.image_size), given)
    values, notes = _from_files(resolved.recipe, source.preprocessing, options, spec.in_channels)
    image: Tensor | None = values.pop("image", None)
    for key in set(values) & set(given):
        del values[key]
    sources = {**resolved.setting_sources, **dict.fromkeys(values, "file"), "image_size": "file"}
    recipe = replace(resolved.recipe, **values)
    if published is None:
        notes.append(
            _("pixels are passed from 0 to 255, as usual in its library; --scale and --mean change this")
            if source.format in _OF_BYTES
            else _("pixels are passed from 0 to 1; --scale and --mean change this")
        )
    if not recipe.mean and image is None:
        recipe = replace(recipe, mean=(0.0,))
        notes.append(_("no mean is subtracted, although the network was probably trained with one: --mean gives it"))
    return Preparation(recipe=recipe, sources=stored_names(sources), mean_image=image, notes=tuple(notes))


def _of_run(run: Mapping[str, Any]) -> Recipe:
    """The recipe of a run of ours, with the preprocessing that its weights were trained with."""
    saved = Preprocess.from_dict(run["preprocess"])
    values = {key: getattr(saved, key) for key in _SETTINGS}
    return replace(Recipe.from_dict(run["recipe"]), **values)


def _plain(format: str) -> Recipe:
    """The recipe for a network without one, with the preprocessing of the library."""
    recipe = resolve.find(resolve.FAST, resolve.ANY_NET, registered=False)
    std = (1 / _BYTE,) if format in _OF_BYTES else (1.0,)
    return replace(recipe, mean=(0.0,), std=std, resize=None, pad=0, fit="stretch", views=1, image_size=None)


def _from_files(
    recipe: Recipe, stated: Mapping[str, Any], options: ConvertOptions, channels: int
) -> tuple[dict[str, Any], list[str]]:
    """The settings that the files and the options change, the mean image as "image", and notes."""
    values: dict[str, Any] = {}
    scale = stated.get("scale") if options.scale is None else options.scale
    if scale is not None:
        values["std"] = (1 / (_BYTE * scale),)
    mean, notes = options.mean, []
    if mean is None and stated.get("mean_values"):
        mean = ",".join(str(value) for value in stated["mean_values"])
    if mean is None and stated.get("mean_file"):
        notes.append(_("the definition subtracts the mean image {file}: --mean gives it", file=stated["mean_file"]))
    if mean is None:
        return values, notes
    if not re.fullmatch(r"[-+\d.,eE\s]+", mean):
        values["image"] = caffe.mean(Path(mean)) / (_BYTE * values.get("std", recipe.std)[0])
        return {**values, "mean": (0.0,)}, notes
    try:
        numbers = [float(number) for number in mean.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in {1, channels}:
        raise UsageError(
            "CN206",
            plural("the mean must be 1 number", "the mean must be 1 number, or {n} with commas", channels),
            where=command("--mean", mean),
            hint=command("--mean", "104,117,123" if channels == 3 else "33.3"),
        )
    values["mean"] = tuple(number / _BYTE for number in numbers)
    return values, notes


def _check_settings(settings: Mapping[str, Any]) -> None:
    for key, value in settings.items():
        if key not in _SETTINGS:
            near = nearest(key, _SETTINGS)
            raise UsageError(
                "CN202",
                _("{key!r} is not a setting of preprocessing", key=key),
                where=command("--set", f"{key}={value}"),
                why=_("the settings are {names}", names=", ".join(_SETTINGS)),
                hint=command("--set", f"{near}={value}" if near else "resize=256"),
            )
