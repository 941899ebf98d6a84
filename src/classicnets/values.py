"""Frozen values that packages exchange: `Preprocess`, `Recipe` and the `Expected` result of a recipe.

Needs neither torch nor numpy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Self

from classicnets.text import _

# ITU-R 601 luma: weights of red, green and blue in a grayscale image; training uses them as floats.
LUMA = (0.299, 0.587, 0.114)
# The same in units of 2 ** -LUMA_BITS, as in Pillow; 255 times their sum is below 2 ** 24, so exact in float32.
LUMA_BITS = 16
LUMA_WEIGHTS = tuple(round(weight * 2**LUMA_BITS) for weight in LUMA)
LUMA_HALF = 1 << (LUMA_BITS - 1)  # added before the shift, to round half up

MAX_SIDE = 4096  # largest height and width of an input in pixels; one such image takes 200 MB as float32


def luma(red: Any, green: Any, blue: Any) -> Any:
    """Pillow's gray level for integers 0 to 255: ints, or arrays or tensors of at least 32 bits."""
    by_red, by_green, by_blue = LUMA_WEIGHTS
    return (red * by_red + green * by_green + blue * by_blue + LUMA_HALF) >> LUMA_BITS


def centered(length: int, size: int) -> int:
    """Offset of the central `size` of `length` pixels; negative if `size` is larger.

    If the difference is odd, the smaller half comes first.
    """
    return int((length - size) / 2)  # toward 0, as ONNX divides


def fit_box(width: int, height: int, fit: str) -> tuple[int, int, int, int]:
    """Return the box (left, top, right, bottom) of a resized image; for "letterbox" it extends beyond the image."""
    if fit == "stretch":
        return 0, 0, width, height
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = centered(width, side), centered(height, side)
    return left, top, left + side, top + side


AUTO = "auto"  # the background that is chosen by the training images
BLACK, GRAY, WHITE = "#000000", "#808080", "#ffffff"  # in the form of `Preprocess.background`


def rgb(color: str) -> tuple[int, int, int]:
    """Return red, green and blue, each 0 to 255, of a color "#rrggbb"; raise ValueError for anything else."""
    if not re.fullmatch("#[0-9a-fA-F]{6}", color):
        raise ValueError(_("{color!r} is not a color of the form #rrggbb", color=color))
    red, green, blue = bytes.fromhex(color[1:])
    return red, green, blue


class View(NamedTuple):
    """A square crop of a resized image: its upper left corner in pixels, and whether it is flipped left to right."""

    top: int
    left: int
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """Preprocessing of a uint8 image for a network; it is saved with the weights.

    Transparent parts of an image show `background`, a color "#rrggbb"; files of version 0.1, which have no such key,
    mean black. An image that is not square is stretched (`fit` "stretch"), cropped along its longer side ("crop"), or
    padded with black along its shorter side ("letterbox"), whatever the background. It is converted to `channels`,
    resized bilinearly to `side` x `side`, scaled to 0..1 and padded with `pad` black pixels. Then the center
    `image_size` x `image_size` is cropped (all of it if `resize` is None) and normalized per channel: (x - mean) / std.

    A prediction is the mean of the probabilities over `views` crops: 1, the center; 2, the center and its flip; 9, a
    grid of three by three from border to border; 10, the four corners and the center, each with its flip.
    """

    channels: int
    image_size: int
    resize: int | None = None
    pad: int = 0
    fit: str = "stretch"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    views: int = 1
    background: str = BLACK

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the network's input, without the batch axis: (channels, height, width)."""
        return (self.channels, self.image_size, self.image_size)

    @property
    def side(self) -> int:
        """Height and width in pixels to which images are resized, before padding and cropping."""
        return self.resize or self.image_size - 2 * self.pad

    @property
    def padded(self) -> int:
        """Height and width in pixels after padding, from which the views are cropped."""
        return self.side + 2 * self.pad

    @property
    def view_places(self) -> tuple[View, ...]:
        """Crops of image_size x image_size, one for each of the `views`, in the order of prediction."""
        middle, last = centered(self.padded, self.image_size), self.padded - self.image_size
        corners = [(middle, middle)]
        if self.views == 9:
            corners = [(top, left) for top in (0, middle, last) for left in (0, middle, last)]
        if self.views == 10:
            corners += [(0, 0), (0, last), (last, 0), (last, last)]
        flips = (False, True) if self.views in {2, 10} else (False,)
        return tuple(View(top, left, mirrored) for mirrored in flips for top, left in corners)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the inverse of `to_dict`; raises TypeError for unknown keys, such as those of a newer version."""
        known: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        return cls(**known)


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A published result to compare a run with: lowest, highest and mean test accuracy of `n` runs, and the source.

    If a single run was published, all three are its accuracy (see `single`).
    """

    low: float
    high: float
    mean: float
    n: int
    source: str

    @classmethod
    def single(cls, accuracy: float, source: str) -> Self:
        """Return the result of a single published run, which has no range."""
        return cls(low=accuracy, high=accuracy, mean=accuracy, n=1, source=source)

    def __str__(self) -> str:
        """The range, or the accuracy of a single run: "0.752 to 0.828 (n = 130)", "0.9897 (n = 1)"."""
        if self.n == 1:
            return _("{mean:.4g} (n = 1)", mean=self.mean)
        return _("{low:.3f} to {high:.3f} (n = {n})", low=self.low, high=self.high, n=self.n)

    def verdict(self, accuracy: float) -> str:
        """Compare `accuracy` with the published result, in words: within or outside its range."""
        if self.n == 1:
            difference = 100 * (accuracy - self.mean)
            about = {"points": abs(difference), "mean": self.mean, "source": _(self.source)}
            if difference < 0:
                return _(
                    "{points:.2f} points below the single published run, {mean:.4g}, which gives no range ({source})",
                    **about,
                )
            return _(
                "{points:.2f} points above the single published run, {mean:.4g}, which gives no range ({source})",
                **about,
            )
        published = {**vars(self), "source": _(self.source)}
        if self.low <= accuracy <= self.high:
            return _(
                "within the published range {low:.3f} to {high:.3f} (mean {mean:.4f}, n = {n}: {source})", **published
            )
        return _(
            "outside the published range {low:.3f} to {high:.3f} (mean {mean:.4f}, n = {n}: {source})", **published
        )


# Settings whose spelling changed: the name in stored files and `--json`, which stays, and the name everywhere else.
RENAMED_SETTINGS = {"initialise": "initialize", "colour_noise": "color_noise"}


def stored_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same values with the keys that run.json, checkpoints and `--json` use."""
    names = {current: stored for stored, current in RENAMED_SETTINGS.items()}
    return {names.get(key, key): value for key, value in settings.items()}


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the inverse of `stored_names`; current keys are accepted too."""
    return {RENAMED_SETTINGS.get(key, key): value for key, value in settings.items()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Training hyperparameters of one published source. `--set` changes those in `recipes.resolve.SETTINGS`.

    Attributes:
        source: publication or project that the recipe comes from.
        net: name of the network that it trains; "" for any network.
        data: name of the data set.
        variation: replaced layers that the recipe was tuned for, as sorted (name, value) pairs.
        loss: "cross_entropy", or "lecun1998": the MAP loss on distances.
        label_smoothing: fraction of the target that is spread evenly over all classes.
        class_weights: "auto" weights each class by its inverse frequency.
        epochs: number of passes over the training images.
        batch_size: number of images in a training step.
        patience: number of epochs without a better validation accuracy before training stops early, or before the
            learning rate drops with the schedule "plateau" (0: off).
        lr: learning rate, which the schedule changes.
        optimizer: "sgd" as in torch, "sgd_rate_inside" with the learning rate inside the velocity, or "adamw".
        momentum: momentum of SGD.
        weight_decay: factor of the weights that is added to their gradient; decoupled with "adamw".
        weight_decays: weight decay of each layer with weights, in their order, instead of `weight_decay`.
        bias_lr: factor of the learning rate for biases.
        bias_decay: whether weight decay applies to biases too.
        clip: maximum norm of the gradient (0: off).
        ema: decay of an exponential moving average of the weights, which is then evaluated and saved (0: off).
        precision: "float32"; "float64"; or "bfloat16": autocast, with the weights in float32; "auto" lets
            `machine.choose_precision` decide.
        schedule: "constant", "one_cycle", "steps" (see `drop_at`), "inverse" (lr (1 + progress)^-0.75), or "plateau"
            (lr / 10 after `patience` epochs without a better validation accuracy, three times; then training stops).
        drop_at: with the schedule "steps", the fractions of the epochs at which the learning rate changes.
        drop_to: with the schedule "steps", the factor of the learning rate from each `drop_at` on.
        initialize: scheme for the initial weights; "as_built" leaves them as the network was built.
        freeze: patterns of names of layers that are not trained, such as "conv*".
        image_size: height and width of the network's input; None is the size of the data set plus the padding.
        resize: height and width to which images are resized before `image_size` is cropped from them; None: no crop.
        pad: number of black pixels added on each side.
        fit: how images that are not square are made square: "stretch", "crop" or "letterbox".
        mean: mean that is subtracted from each channel; empty: the mean of the training images.
        std: standard deviation by which each channel is divided.
        views: number of crops over which a prediction is averaged.
        background: color of transparent parts, "#rrggbb"; "auto" is the one that training images stand out from best.
        flip: whether half of the training images are mirrored left to right.
        shift: maximum translation of a training image in each direction, in pixels.
        crop: training crop of `image_size`: "none" (the center), at a "random" position, or a "resized" random part.
        crop_area: smallest area of a "resized" crop, as a fraction of the image's.
        color_noise: color augmentation of 2012, as described in the "paper" or computed by the "code".
        erase: height and width of a square that is blanked at a random position, in pixels (0: off).
        validation: fraction of the training images that is held out.
        join_after: number of epochs after which the validation set is trained on as well (0: never).
        monitor: split that is evaluated after each epoch; only with "validation" are the best weights saved.
        expected: published result, if there is one.
        deviations: differences between this recipe and its source.
    """

    source: str
    net: str
    data: str
    variation: tuple[tuple[str, str | float], ...] = ()

    loss: str = "cross_entropy"
    label_smoothing: float = 0.0
    class_weights: str = "none"

    epochs: int
    batch_size: int
    patience: int = 0

    lr: float
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    weight_decays: tuple[float, ...] = ()
    bias_lr: float = 1.0
    bias_decay: bool = True
    clip: float = 0.0
    ema: float = 0.0
    precision: str = "auto"

    schedule: str = "constant"
    drop_at: tuple[float, ...] = ()
    drop_to: tuple[float, ...] = ()

    initialize: str = "as_built"
    freeze: tuple[str, ...] = ()

    image_size: int | None = None
    resize: int | None = None
    pad: int = 0
    fit: str = "stretch"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    views: int = 1
    background: str = AUTO

    flip: bool = False
    shift: int = 0
    crop: str = "none"
    crop_area: float = 0.08
    color_noise: str = "none"
    erase: int = 0

    validation: float = 0.0
    join_after: int = 0
    monitor: str = "none"

    expected: Expected | None = None
    deviations: tuple[str, ...] = ()

    def preprocess(self, channels: int, image_size: int) -> Preprocess:
        """Return the preprocessing of this recipe for images of height and width `image_size`.

        Its background is black if the recipe's is "auto", which depends on the images.
        """
        return Preprocess(
            channels=channels,
            image_size=self.image_size or image_size + 2 * self.pad,
            resize=self.resize,
            pad=self.pad,
            fit=self.fit,
            mean=self.mean or (0.0,),
            std=self.std,
            views=self.views,
            background=BLACK if self.background == AUTO else self.background,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the keys of `stored_names`."""
        return stored_names(asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Return the inverse of `to_dict`, also after JSON. Files of version 0.1 have no `variation`."""
        known = {f.name for f in fields(cls)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in current_names(values).items() if k in known}
        values["variation"] = tuple((name, value) for name, value in values.get("variation", ()))
        if values.get("expected"):
            values["expected"] = Expected(**values["expected"])
        return cls(**values)
