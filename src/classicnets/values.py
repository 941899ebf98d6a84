"""The frozen values that travel between rooms: how images are prepared, how a net is trained, what happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Self

# ITU-R 601 luma: how much of red, green and blue a grayscale image takes; what training computes with.
LUMA = (0.299, 0.587, 0.114)
# The same in units of 2 ** -LUMA_BITS, as Pillow has them; 255 times their sum is below 2 ** 24, so exact in float32.
LUMA_BITS = 16
LUMA_WEIGHTS = tuple(round(weight * 2**LUMA_BITS) for weight in LUMA)
LUMA_HALF = 1 << (LUMA_BITS - 1)  # added before the bits are dropped: rounds half up


def luma(red: Any, green: Any, blue: Any) -> Any:
    """Pillow's gray level of whole numbers 0 to 255: ints, or arrays or tensors of at least 32 bits."""
    by_red, by_green, by_blue = LUMA_WEIGHTS
    return (red * by_red + green * by_green + blue * by_blue + LUMA_HALF) >> LUMA_BITS


def centered(length: int, size: int) -> int:
    """Where the central `size` of `length` pixels begin; negative where `size` is larger.

    Of an odd rest the smaller half comes first.
    """
    return int((length - size) / 2)  # toward 0, as ONNX divides


def fit_box(width: int, height: int, fit: str) -> tuple[int, int, int, int]:
    """The part of an image that becomes the whole: (left, top, right, bottom), partly outside of it for "letterbox"."""
    if fit == "stretch":
        return 0, 0, width, height
    side = min(width, height) if fit == "crop" else max(width, height)
    left, top = centered(width, side), centered(height, side)
    return left, top, left + side, top + side


class View(NamedTuple):
    """A square of a resized image: its upper left corner in pixels, and whether it is mirrored left to right."""

    top: int
    left: int
    mirrored: bool


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What is done to a uint8 image before the net sees it; it travels with the weights.

    An image that is not square is stretched (`fit` "stretch"), loses what its longer side has too much ("crop"), or
    gets what its shorter side lacks in black ("letterbox"). It becomes `channels` x `side` x `side` in 0..1 (bilinear)
    and gets a border of `pad` black pixels, of which the middle `image_size` x `image_size` are taken (`resize` None:
    all), then (x - mean) / std per channel.

    A prediction is the mean of the probabilities over `views`: 1, the middle; 2, the middle and its mirror image; 9,
    three by three places from border to border; 10, the four corners, the middle, and the mirror images of the five.
    """

    channels: int
    image_size: int
    resize: int | None = None
    pad: int = 0
    fit: str = "stretch"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    views: int = 1

    @property
    def shape(self) -> tuple[int, int, int]:
        """What the net is given, without the batch axis: (channels, height, width)."""
        return (self.channels, self.image_size, self.image_size)

    @property
    def side(self) -> int:
        """The side to which whole images are resized, before the border and before the middle is taken."""
        return self.resize or self.image_size - 2 * self.pad

    @property
    def padded(self) -> int:
        """The side with the border: what the views are taken from."""
        return self.side + 2 * self.pad

    @property
    def view_places(self) -> tuple[View, ...]:
        """The `views`, each image_size x image_size, in the order in which a net is given them."""
        middle, last = centered(self.padded, self.image_size), self.padded - self.image_size
        corners = [(middle, middle)]
        if self.views == 9:
            corners = [(top, left) for top in (0, middle, last) for left in (0, middle, last)]
        if self.views == 10:
            corners += [(0, 0), (0, last), (last, 0), (last, last)]
        turns = (False, True) if self.views in {2, 10} else (False,)
        return tuple(View(top, left, mirrored) for mirrored in turns for top, left in corners)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; unknown keys of a newer version are refused by the constructor."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A published result to hold a run against: the lowest, highest and mean test accuracy of `n` runs, and its source.

    Where a single figure was published, all three are that figure: see `single`.
    """

    low: float
    high: float
    mean: float
    n: int
    source: str

    @classmethod
    def single(cls, accuracy: float, source: str) -> Self:
        """The single run that was published; it has no range, and none is made up."""
        return cls(low=accuracy, high=accuracy, mean=accuracy, n=1, source=source)

    def __str__(self) -> str:
        """The range, or the figure of the single run: "0.752 to 0.828 (n = 130)", "0.9897 (n = 1)"."""
        return f"{self.low:.3f} to {self.high:.3f} (n = {self.n})" if self.n > 1 else f"{self.mean:.4g} (n = 1)"

    def verdict(self, accuracy: float) -> str:
        """How `accuracy` stands to what was published, in a sentence: within the range, or so far from the one run."""
        if self.n == 1:
            points = 100 * (accuracy - self.mean)
            return (
                f"{abs(points):.2f} points {'below' if points < 0 else 'above'} the single published run,"
                f" {self.mean:.4g}, which gives no range ({self.source})"
            )
        inside = self.low <= accuracy <= self.high
        return (
            f"{'within' if inside else 'outside'} the published range {self.low:.3f} to {self.high:.3f}"
            f" (mean {self.mean:.4f}, n = {self.n}: {self.source})"
        )


# Settings whose spelling changed: the name in stored files and `--json`, which stays, and the name everywhere else.
RENAMED_SETTINGS = {"initialise": "initialize", "colour_noise": "color_noise"}


def stored_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with the keys that run.json, checkpoints and `--json` use."""
    names = {current: stored for stored, current in RENAMED_SETTINGS.items()}
    return {names.get(key, key): value for key, value in settings.items()}


def current_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The inverse of `stored_names`; current keys are accepted too."""
    return {RENAMED_SETTINGS.get(key, key): value for key, value in settings.items()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a net is trained: values only, in the field's words. `recipes.resolve.SETTINGS` can be changed by `--set`.

    Identity. `source` published it; `net` is the name of the network that it trains ("" for any network) and
    `variation` the exchanged layers that it was tuned for, as sorted (name, value) pairs.
    Objective. `loss` is "cross_entropy" or "lecun1998" (the MAP loss on distances); `class_weights` "auto" weighs each
    class by the inverse of its share.
    Length. With `patience`, the run stops after so many epochs without a better validation accuracy (0: never).
    Optimizer. "sgd" as torch has it, "sgd_rate_inside" with the rate inside the velocity, "adamw". `weight_decays`, one
    for each layer with weights, stands in for the one `weight_decay`; biases learn at `bias_lr` times the rate, and
    decay if `bias_decay`. `clip` bounds the norm of the gradient (0: not). `ema` is the decay of a moving average of
    the weights, which is then what is evaluated and kept (0: none). `precision` "bfloat16" computes in it and keeps
    the weights in float32; "auto" is what `machine.choose_precision` says.
    Rate. `schedule` is "constant", "one_cycle", "steps" (from the share `drop_at[i]` of the epochs on, lr x
    `drop_to[i]`), "inverse" (lr (1 + progress)^-0.75) or "plateau" (lr / 10 after `patience` epochs without a better
    validation accuracy, three times; then the run stops).
    First weights. `initialize` "as_built" leaves them as the net was made; layers whose names match a pattern in
    `freeze` are not trained.
    Images. `image_size`, `resize`, `pad`, `fit`, `mean`, `std` and `views` are those of Preprocess; image_size None
    means the data set's own size and the border, and an empty `mean` that of the training images, channel by channel.
    Augmentation. `flip` mirrors half of them; `shift` moves each by up to that many pixels; `crop` takes the
    image_size from a "random" place of the resized image, or a "resized" random part of it; `color_noise` is that
    of 2012 as the "paper" or the "code" has it; `erase` blanks a square of that side at a random place.
    Splits. `validation` is the share of the training images kept aside; after `join_after` epochs (0: never) they
    are trained on as well. `monitor` is the split whose accuracy is computed after each epoch ("validation", "test"
    or "none"); only "validation" keeps a best.
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

    flip: bool = False
    shift: int = 0
    crop: str = "none"
    color_noise: str = "none"
    erase: int = 0

    validation: float = 0.0
    join_after: int = 0
    monitor: str = "none"

    expected: Expected | None = None
    deviations: tuple[str, ...] = ()

    def preprocess(self, channels: int, image_size: int) -> Preprocess:
        """How images of `image_size` pixels are prepared under this recipe."""
        return Preprocess(
            channels=channels,
            image_size=self.image_size or image_size + 2 * self.pad,
            resize=self.resize,
            pad=self.pad,
            fit=self.fit,
            mean=self.mean or (0.0,),
            std=self.std,
            views=self.views,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the keys of `stored_names`."""
        return stored_names(asdict(self))

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`, also after JSON; reads what version 0.1 wrote, which had no `variation`."""
        known = {f.name for f in fields(cls)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in current_names(values).items() if k in known}
        values["variation"] = tuple((name, value) for name, value in values.get("variation", ()))
        if values.get("expected"):
            values["expected"] = Expected(**values["expected"])
        return cls(**values)
