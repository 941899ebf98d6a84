"""The rules for the settings of a recipe: valid values, contradictions, and the settings that correct them.

Each rule is written once. Rules that depend on the data are in `training/data_rules.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from classicnets import machine
from classicnets.recipes.setting_values import average, default_value, typed
from classicnets.text import _, nearest, plural
from classicnets.values import MAX_SIDE, Recipe

Settings = dict[str, Any]

CHOICES: dict[str, tuple[Any, ...]] = {
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

_WHITE = 255.0  # of a pixel as a byte; means and standard deviations on this scale are a common mistake
_MAX_STD = 2.0  # pixels in 0..1 vary by at most 0.5; a little more is used as a scale: 256/255 in Caffe's LeNet
_VALIDATION, _PATIENCE, _DROP = 0.05, 5, 0.1  # values that hints suggest


@dataclass(frozen=True)
class Range:
    """The range of single settings.

    Attributes:
        keys: the settings, each of them a number or a tuple of numbers, or None for "not set".
        valid: whether a number is in the range.
        message: the reason why it is not, for the setting and its value as typed.
    """

    keys: tuple[str, ...]
    valid: Callable[[float], bool]
    message: Callable[[str, str], str]


@dataclass(frozen=True)
class Rule:
    """A relation between settings.

    Attributes:
        valid: whether a recipe fulfills it.
        message: the reason why a recipe does not.
        corrections: settings that make the recipe fulfill it, each of them one way to do so.
        only_given: the rule concerns only users who give this setting; "" for all. A recipe that is shortened with
            `epochs` may have a setting that would take effect later.
    """

    valid: Callable[[Recipe], bool]
    message: Callable[[Recipe], str]
    corrections: Callable[[Recipe], Sequence[Settings]]
    only_given: str = ""


RANGES = (
    Range(
        ("epochs", "batch_size", "image_size", "resize"),
        lambda x: x >= 1,
        lambda key, value: _("{key}={value}: must be at least 1", key=key, value=value),
    ),
    Range(
        ("image_size", "resize", "pad"),
        lambda x: x <= MAX_SIDE,
        lambda key, value: _("{key}={value}: must be at most {most} pixels", key=key, value=value, most=MAX_SIDE),
    ),
    Range(
        ("lr", "drop_to"),
        lambda x: x > 0,
        lambda key, value: _("{key}={value}: must be greater than 0", key=key, value=value),
    ),
    Range(
        ("momentum", "label_smoothing", "ema"),
        lambda x: 0 <= x < 1,
        lambda key, value: _("{key}={value}: must be at least 0 and below 1", key=key, value=value),
    ),
    Range(
        ("validation",),
        lambda x: 0 <= x < 1,
        lambda key, value: _(
            "{key}={value}: the fraction of images to hold out must be at least 0 and below 1", key=key, value=value
        ),
    ),
    Range(
        ("weight_decay", "weight_decays", "bias_lr", "clip", "patience", "pad", "shift", "erase", "join_after"),
        lambda x: x >= 0,
        lambda key, value: _("{key}={value}: must not be negative", key=key, value=value),
    ),
    Range(
        ("crop_area",),
        lambda x: 0 < x <= 1,
        lambda key, value: _("{key}={value}: must be above 0 and at most 1", key=key, value=value),
    ),
    Range(
        ("mean",),
        lambda x: 0 <= x <= 1,
        lambda key, value: _(
            "{key}={value}: pixels are scaled to 0..1, so their mean is at least 0 and at most 1", key=key, value=value
        ),
    ),
    Range(
        ("std",),
        lambda x: 0 < x <= _MAX_STD,
        lambda key, value: _(
            "{key}={value}: pixels are scaled to 0..1, so all values must be greater than 0 and at most {most:g}",
            key=key,
            value=value,
            most=_MAX_STD,
        ),
    ),
)

RULES = (
    Rule(
        lambda r: len(r.std) > 0,
        lambda _r: _("std has no value: it needs one, or one per channel"),
        lambda _r: [{"std": (1.0,)}],
    ),
    Rule(
        lambda r: not r.mean or len(r.std) == 1 or len(r.mean) == len(r.std),
        lambda r: _(
            "mean has {mean} values and std {std}: each needs one per channel", mean=len(r.mean), std=len(r.std)
        ),
        lambda r: [{"std": average(r.std)}, *([{"mean": r.mean * len(r.std)}] if len(r.mean) == 1 else [])],
    ),
    Rule(
        lambda r: r.loss == "cross_entropy" or r.label_smoothing == 0,
        lambda r: _("label_smoothing={value} has no effect with loss={loss}", value=r.label_smoothing, loss=r.loss),
        lambda _r: [{"label_smoothing": 0.0}, {"loss": "cross_entropy"}],
    ),
    Rule(
        lambda r: r.loss == "cross_entropy" or r.class_weights == "none",
        lambda r: _("class_weights={value} has no effect with loss={loss}", value=r.class_weights, loss=r.loss),
        lambda _r: [{"class_weights": "none"}, {"loss": "cross_entropy"}],
    ),
    Rule(
        lambda r: r.optimizer != "adamw" or r.momentum == 0,
        lambda _r: _("momentum is a setting of sgd; adamw has its own"),
        lambda _r: [{"momentum": 0.0}, {"optimizer": "sgd"}],
    ),
    Rule(
        lambda r: not (r.weight_decays and r.weight_decay) or r.bias_decay,
        lambda r: _(
            "weight_decay={value} has no effect, because weight_decays has one value for each layer",
            value=r.weight_decay,
        ),
        lambda _r: [{"weight_decay": 0.0}, {"weight_decays": ()}],
    ),
    Rule(
        lambda r: r.schedule == "steps" or not (r.drop_at or r.drop_to),
        lambda r: _("drop_at needs schedule=steps, and the schedule is {value}", value=r.schedule),
        lambda _r: [{"schedule": "steps"}, {"drop_at": (), "drop_to": ()}],
    ),
    Rule(
        lambda r: r.schedule != "steps" or bool(r.drop_at or r.drop_to),
        lambda _r: _("schedule=steps needs drop_at and drop_to, the times and the factors of the learning rate"),
        lambda _r: [{"drop_at": (0.5,), "drop_to": (_DROP,)}, {"schedule": "constant"}],
    ),
    Rule(
        lambda r: all(a < b for a, b in zip((0.0, *r.drop_at), (*r.drop_at, 1.0), strict=True)),
        lambda r: _(
            "drop_at={value}: must be rising fractions of the epochs, above 0 and below 1", value=typed(r.drop_at)
        ),
        lambda r: [{"drop_at": _fractions(r)}, {"drop_at": _evenly(len(r.drop_at))}],
    ),
    Rule(
        lambda r: len(r.drop_at) == len(r.drop_to),
        lambda r: _("drop_at has {at} values and drop_to {to}", at=len(r.drop_at), to=len(r.drop_to)),
        lambda r: [
            {"drop_to": tuple(float(f"{_DROP ** (i + 1):.3g}") for i in range(len(r.drop_at)))},
            {"drop_at": _evenly(len(r.drop_to))},
        ],
    ),
    Rule(
        lambda r: r.monitor != "validation" or r.validation > 0,
        lambda _r: _("monitor=validation needs a validation set: set validation=0.05"),
        lambda _r: [{"monitor": "none"}, {"validation": _VALIDATION}],
    ),
    Rule(
        lambda r: not r.patience or r.monitor == "validation",
        lambda r: _("patience={value} needs monitor=validation", value=r.patience),
        lambda _r: [{"patience": 0}, {"monitor": "validation"}],
    ),
    Rule(
        lambda r: r.schedule != "plateau" or r.patience > 0,
        lambda _r: _("schedule=plateau needs patience=N, the number of epochs before the learning rate drops"),
        lambda r: [*([{"patience": min(_PATIENCE, r.epochs - 2)}] if r.epochs > 2 else []), {"schedule": "constant"}],
    ),
    Rule(
        lambda r: not (r.join_after and r.patience),
        lambda _r: _(
            "join_after and patience exclude each other: the validation set cannot be used once it is trained on"
        ),
        lambda _r: [{"patience": 0}, {"join_after": 0}],
    ),
    Rule(
        lambda r: not r.join_after or r.validation > 0,
        lambda r: _("join_after={value} needs a validation set to join: set validation=0.05", value=r.join_after),
        lambda _r: [{"join_after": 0}, {"validation": _VALIDATION}],
    ),
    Rule(
        lambda r: not r.join_after or r.join_after < r.epochs,
        lambda r: _(
            "join_after={value} has no effect, because training ends after epoch {epochs}",
            value=r.join_after,
            epochs=r.epochs,
        ),
        lambda r: [{"join_after": 0}, {"epochs": r.join_after + 1}],
        only_given="join_after",
    ),
    Rule(
        lambda r: not r.patience or r.patience + 1 < r.epochs,
        lambda r: plural(
            "patience={patience} has no effect in {n} epoch",
            "patience={patience} has no effect in {n} epochs",
            r.epochs,
            patience=r.patience,
        ),
        lambda r: [{"patience": 0}, {"epochs": r.patience + 2}],
        only_given="patience",
    ),
    Rule(
        lambda r: r.resize is None or (r.image_size is not None and padded(r) >= r.image_size),
        lambda r: _(
            "resize={value} needs an image_size that is not larger, because it is cropped from it", value=r.resize
        ),
        lambda r: [{"image_size": padded(r)}, {"resize": None}] if r.image_size else [{"resize": None}],
    ),
    Rule(
        lambda r: r.image_size is None or r.resize is not None or r.image_size > 2 * r.pad,
        lambda r: _("pad={pad}: must be less than half of image_size={size}", pad=r.pad, size=r.image_size),
        lambda _r: [{"pad": 0}],
    ),
    Rule(
        lambda r: r.crop == "none" or r.resize is not None,
        lambda r: _("crop={value} needs resize, the size of the image that is cropped", value=r.crop),
        lambda r: [{"crop": "none"}, *([{"resize": r.image_size + 4}] if r.image_size else [])],
    ),
    Rule(
        lambda r: r.crop == "resized" or r.crop_area == default_value("crop_area"),
        lambda r: _("crop_area={value} needs crop=resized, and crop is {crop}", value=r.crop_area, crop=r.crop),
        lambda _r: [{"crop_area": default_value("crop_area")}, {"crop": "resized"}],
        only_given="crop_area",
    ),
    Rule(
        lambda r: r.crop != "random" or r.resize is None or padded(r) > (r.image_size or 0),
        lambda r: _(
            "crop=random has no effect, because resize={resize} leaves only one position for image_size={size}",
            resize=r.resize,
            size=r.image_size,
        ),
        lambda r: [{"crop": "none"}, {"resize": padded(r) + 4}],
    ),
    Rule(
        lambda r: r.views < 9 or (r.resize is not None and padded(r) > (r.image_size or 0)),
        lambda r: _(
            "views={value} needs a resize that is larger than image_size, or all crops are the same", value=r.views
        ),
        lambda r: [{"views": 2 if r.views == 10 else 1}],
    ),
)


def problems(recipe: Recipe, original: Recipe, given: Iterable[str]) -> tuple[list[str], Settings]:
    """Find what is invalid in a recipe.

    Args:
        recipe: the recipe with settings applied.
        original: the recipe before that; hints return to its values.
        given: the settings that the user has changed; hints prefer to change others.

    Returns:
        A message for each problem, and the settings that correct all of them.
    """
    messages, corrections = _invalid_values(recipe, original)
    corrected = replace(recipe, **corrections)
    fixed = {*given}
    checked = [rule for rule in RULES if not rule.only_given or rule.only_given in fixed]
    messages += [rule.message(corrected) for rule in checked if not rule.valid(corrected)]
    for _round in RULES:
        broken = next((rule for rule in checked if not rule.valid(corrected)), None)
        if broken is None:
            return messages, corrections
        effective = [c for c in broken.corrections(corrected) if broken.valid(replace(corrected, **c))]
        correction = next((c for c in effective if not fixed & c.keys()), effective[0])
        corrected, corrections = replace(corrected, **correction), corrections | correction
        fixed |= correction.keys()
    return messages, {key: getattr(original, key) for key in fixed}  # the corrections contradict each other


def _invalid_values(recipe: Recipe, original: Recipe) -> tuple[list[str], Settings]:
    """A message for each setting that is out of range or not one of its choices, and valid values."""
    messages, corrections = [], {}
    for limits in RANGES:
        for key in limits.keys:
            value = getattr(recipe, key)
            if not _in_range(limits, value):
                messages.append(limits.message(key, typed(value)))
                candidates = [getattr(original, key), default_value(key)]
                if key in {"mean", "std"}:
                    candidates.insert(0, tuple(round(x / _WHITE, 4) for x in value))
                corrections[key] = next(x for x in candidates if _in_range(limits, x))
    for key, choices in CHOICES.items():
        value = getattr(recipe, key)
        if value not in choices:
            names = ", ".join(map(str, choices))
            messages.append(_("{key}={value}: must be one of {names}", key=key, value=value, names=names))
            near = [choice for choice in choices if str(choice) == nearest(str(value), map(str, choices))]
            corrections[key] = next(x for x in (*near, getattr(original, key), default_value(key)) if x in choices)
    return messages, corrections


def _in_range(limits: Range, value: Any) -> bool:
    numbers = value if isinstance(value, tuple) else (value,)
    return all(x is None or limits.valid(x) for x in numbers)


def padded(recipe: Recipe) -> int:
    """Height and width in pixels from which images are cropped, of a recipe with `resize`."""
    return (recipe.resize or 0) + 2 * recipe.pad


def _fractions(recipe: Recipe) -> tuple[float, ...]:
    """`drop_at` in order; numbers of epochs become fractions."""
    last = max(recipe.drop_at)
    scale = recipe.epochs if 1 <= last < recipe.epochs else 1
    return tuple(sorted({float(f"{at / scale:.4g}") for at in recipe.drop_at}))


def _evenly(count: int) -> tuple[float, ...]:
    """`drop_at` for a number of drops, evenly spaced."""
    return tuple(float(f"{(i + 1) / (count + 1):.3g}") for i in range(count))
