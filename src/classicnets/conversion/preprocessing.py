"""How images are prepared for weights of another library: what its files, the network's recipe and the user say."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from classicnets.conversion.network import Network
from classicnets.errors import DataError, UsageError
from classicnets.recipes import resolve
from classicnets.spec import LARGEST_SCALE, SMALLEST_SCALE, ConvertOptions
from classicnets.text import _, command, nearest, plural
from classicnets.values import Preprocess, Recipe, stored_names
from classicnets.weights import caffe
from classicnets.weights.source import Source

_SETTINGS = ("image_size", "resize", "pad", "fit", "views", "mean", "std", "background")  # of a recipe
_BYTE = 255  # pixels are 0 to 255 in files of Caffe and MXNet, and 0 to 1 in Preprocess
_OF_BYTES = {"caffe", "mxnet"}  # formats of libraries that pass pixels from 0 to 255
_LARGEST_OWN_SCALE = 0.05  # of a first layer that scales pixels from 0 to 255 itself


@dataclass(frozen=True, kw_only=True)
class Preparation:
    """How images are prepared, in RGB.

    Attributes:
        recipe: the recipe of the network, with its preprocessing changed.
        sources: where each of its settings is from: "recipe", "--set" or "file".
        mean_image: the mean image that the network has to subtract [C, H, W], scaled as its inputs are; None if there
            is none.
        notes: what neither the files nor the options say, one sentence each.
    """

    recipe: Recipe
    sources: dict[str, str]
    mean_image: Tensor | None
    notes: tuple[str, ...]

    def preprocess(self, network: Network) -> Preprocess:
        """Return the preprocessing for the images that the network reads."""
        return self.recipe.preprocess(network.spec.in_channels, network.spec.image_size)


def prepare(network: Network, source: Source, options: ConvertOptions, *, order: str) -> Preparation:
    """Find out how images are prepared.

    The options count first, then what the files state, then the network's recipe, or that of a run of ours. A network
    without one gets pixels from 0 to 255 if it is of Caffe or MXNet, or scales them itself, and from 0 to 1 otherwise.

    Args:
        network: the network.
        source: the files.
        options: what the user says.
        order: "bgr" if means and mean images in files and in `--mean` have the channels in this order.

    Raises:
        UsageError: CN202 for a setting that is not about preprocessing, CN204 for a value that is not valid, CN206 for
            a mean that does not fit the channels, or options that contradict each other.
        DataError: CN305 if the mean image cannot be read; CN306 for a scale in a file that cannot be used.
    """
    spec, stated, notes = network.spec, source.preprocessing, list[str]()
    published = resolve.published(spec.name) if spec.kind == "registry" else None
    if "preprocess" in source.run and "recipe" in source.run:
        published = _of_run(source.run)
    recipe = published or _plain(source)
    given = {key: value for key, value in options.settings.items() if key != "image_size"}
    resolved = resolve.apply(replace(recipe, net=spec.name, image_size=spec.image_size), given)
    _check_counts(resolved.recipe, given, spec.in_channels)
    scale = _scale(stated, source) if options.scale is None else options.scale
    values: dict[str, Any] = {}
    if scale is not None and "std" not in given:
        values["std"] = (1 / (_BYTE * scale),)
    mean = None if "mean" in given else _mean(options.mean, stated, source, spec.in_channels)
    if isinstance(mean, Path):
        values["mean"] = (0.0,)
    elif mean is not None:
        values["mean"] = tuple(number / _BYTE for number in (mean[::-1] if order == "bgr" else mean))
    final = replace(resolved.recipe, **values)
    image = None
    if isinstance(mean, Path):
        image, resize = _mean_image(mean, final, network, order)
        if resize is not None and "resize" not in given and final.resize is None:
            final, values["resize"] = replace(final, resize=resize), resize
            notes.append(
                _("images are resized to {size} pixels, as the mean image is, and their center is used", size=resize)
            )
    if mean is None and "mean" not in given and stated.get("mean_file"):
        notes.append(_("the definition subtracts the mean image {file}: --mean gives it", file=stated["mean_file"]))
    elif mean is None and "mean" not in given and (not final.mean or (published is None and source.format == "caffe")):
        notes.append(_("no mean is subtracted, although the network was probably trained with one: --mean gives it"))
    if published is None and scale is None and "std" not in given:
        notes.append(
            _("pixels are passed from 0 to 255: --scale multiplies them")
            if final.std == (1 / _BYTE,)
            else _("pixels are passed from 0 to 1: --scale 1 passes them from 0 to 255")
        )
    final = replace(final, mean=final.mean or (0.0,))
    sources = {**resolved.setting_sources, **dict.fromkeys(values, "file"), "image_size": "file"}
    return Preparation(recipe=final, sources=stored_names(sources), mean_image=image, notes=tuple(notes))


def check_settings(options: ConvertOptions) -> None:
    """Check options that can be checked before a file is read.

    Raises:
        UsageError: CN202 for a setting that is not about preprocessing; CN206 for options that contradict each other.
    """
    for key, value in options.settings.items():
        if key not in _SETTINGS:
            near = nearest(key, _SETTINGS)
            raise UsageError(
                "CN202",
                _("{key!r} is not a setting of preprocessing", key=key),
                where=command("--set", f"{key}={value}"),
                why=_("the settings are {names}", names=", ".join(_SETTINGS)),
                hint=command("--set", f"{near}={value}" if near else "resize=256"),
            )
    for key, option, value in (("mean", "--mean", options.mean), ("std", "--scale", options.scale)):
        if key in options.settings and value is not None:
            raise UsageError(
                "CN206",
                _("{option} and --set {key} contradict each other", option=option, key=key),
                where=command(option, f"{value}", "--set", f"{key}={options.settings[key]}"),
                why=_("--set takes values for pixels from 0 to 1, in the order RGB"),
                hint=_("the same command without {option}", option=option),
            )
    if options.mean and not is_numbers(options.mean) and str(options.settings.get("views", 1)) != "1":
        raise UsageError(
            "CN206",
            _("a mean image and several views cannot be combined"),
            where=command("--set", f"views={options.settings['views']}"),
            why=_("the network subtracts the center of the mean image, whatever part of the image it gets"),
            hint=_("{option}   # the mean of each channel instead", option=command("--mean", "104,117,123")),
        )


def is_numbers(mean: str) -> bool:
    """Return whether the value of `--mean` is numbers, not a file."""
    return bool(re.fullmatch(r"[-+\d.,eE\s]+", mean))


def _of_run(run: Mapping[str, Any]) -> Recipe:
    """The recipe of a run of ours, with the preprocessing that its weights were trained with."""
    saved = Preprocess.from_dict(run["preprocess"])
    values = {key: getattr(saved, key) for key in _SETTINGS}
    return replace(Recipe.from_dict(run["recipe"]), **values)


def _plain(source: Source) -> Recipe:
    """The recipe for a network without one, with the preprocessing of the library."""
    recipe = resolve.find(resolve.FAST, resolve.ANY_NET, registered=False)
    first = source.nodes[0] if source.nodes else None
    scales = first is not None and first.kind == "power" and abs(first.settings.get("scale", 1.0)) < _LARGEST_OWN_SCALE
    std = (1 / _BYTE,) if scales or source.format in _OF_BYTES else (1.0,)
    return replace(recipe, mean=(0.0,), std=std, resize=None, pad=0, fit="stretch", views=1, image_size=None)


def _check_counts(recipe: Recipe, given: Mapping[str, Any], channels: int) -> None:
    """Check that the means and deviations of `--set` are as many as the channels."""
    for key in ("mean", "std"):
        if key in given and len(getattr(recipe, key)) not in {1, channels}:
            raise UsageError(
                "CN204",
                plural(
                    "{key} must be 1 number, as the images have {n} channel",
                    "{key} must be 1 number, or {n}, as the images have {n} channels",
                    channels,
                    key=key,
                ),
                where=command("--set", f"{key}={given[key]}"),
                hint=command("--set", f"{key}={','.join(['0.5'] * channels)}"),
            )


def _scale(stated: Mapping[str, Any], source: Source) -> float | None:
    """The factor of the pixels that a definition states."""
    scale: float | None = stated.get("scale")
    if scale is not None and not SMALLEST_SCALE <= scale <= LARGEST_SCALE:
        raise DataError(
            "CN306",
            _("the definition multiplies pixels by {scale:g}", scale=scale),
            where=str(source.graph_path),
            hint=_("{option}   # the factor of the pixels", option=command("--scale", "0.00390625")),
        )
    return scale


def _mean(
    option: str | None, stated: Mapping[str, Any], source: Source, channels: int
) -> Sequence[float] | Path | None:
    """The means of the channels from 0 to 255 in the order of the file, or the file of the mean image."""
    if option is None and not stated.get("mean_values"):
        return None
    if option is not None and not is_numbers(option):
        return Path(option)
    numbers: Sequence[float] = stated.get("mean_values", ()) if option is None else ()
    if option is not None:
        try:
            numbers = [float(number) for number in option.split(",")]
        except ValueError:
            numbers = []
    where = command("--mean", option) if option is not None else str(source.graph_path)
    if len(numbers) not in {1, channels} or not all(map(math.isfinite, numbers)):
        raise UsageError(
            "CN206",
            plural("the mean must be 1 number", "the mean must be 1 number, or {n} with commas", channels),
            where=where,
            hint=command("--mean", "104,117,123" if channels == len("RGB") else "33.3"),
        )
    if any(numbers) and all(abs(number) <= 1 for number in numbers):
        text = ",".join(f"{number:g}" for number in numbers)
        raise UsageError(
            "CN206",
            _("--mean takes values from 0 to 255"),
            where=where,
            hint=_("{option}   # for pixels from 0 to 1, in RGB", option=command("--set", f"mean={text}")),
        )
    return numbers


def _mean_image(path: Path, recipe: Recipe, network: Network, order: str) -> tuple[Tensor, int | None]:
    """The mean image in RGB, scaled as the inputs of the network, and its size if that is larger than they are."""
    image = caffe.mean(path)
    image = image.flip(0) if order == "bgr" else image
    scale = torch.tensor(recipe.std, dtype=image.dtype).reshape(-1, 1, 1) * _BYTE
    _channels, height, width = image.shape
    is_larger = height == width > network.spec.image_size
    return image / scale, height if is_larger else None
