"""The frozen values that travel between rooms: how pictures are prepared, how a net is trained, what happened."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Self


@dataclass(frozen=True, kw_only=True)
class Preprocess:
    """What is done to a uint8 picture before the net sees it; it travels with the weights.

    The picture becomes `channels` x `image_size` x `image_size` in 0..1 (bilinear), then (x - mean) / std per channel.
    With `mirror`, a prediction is the mean of the probabilities for the picture and for its mirror image.
    """

    channels: int
    image_size: int
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    mirror: bool = False

    @property
    def shape(self) -> tuple[int, int, int]:
        """What the net is given, without the batch axis: (channels, height, width)."""
        return (self.channels, self.image_size, self.image_size)

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`; unknown keys of a newer version are refused by the constructor."""
        return cls(**{**values, "mean": tuple(values["mean"]), "std": tuple(values["std"])})


@dataclass(frozen=True, kw_only=True)
class Expected:
    """A published result to hold a run against: test accuracy over `n` runs, and who published it."""

    low: float
    high: float
    mean: float
    n: int
    source: str


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a net is trained: values only. `recipes.resolve.SETTINGS` can be overridden with `--set`.

    Attributes are in the field's words: `validation` is the share of the training pictures kept aside, `monitor` the
    split whose accuracy is computed after each epoch ("validation", "test" or "none"); only "validation" keeps a best.
    `image_size` None means the data set's own size; `shift` moves pictures by up to that many pixels, `flip` mirrors
    half of them; `initialise` "as_built" leaves the weights as the net was made.
    """

    source: str
    net: str
    data: str
    epochs: int
    batch_size: int
    lr: float
    optimizer: str = "sgd"
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: str = "constant"
    label_smoothing: float = 0.0
    initialise: str = "as_built"
    image_size: int | None = None
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    flip: bool = False
    shift: int = 0
    mirror: bool = False
    validation: float = 0.0
    monitor: str = "none"
    expected: Expected | None = None
    deviations: tuple[str, ...] = ()

    def preprocess(self, channels: int, image_size: int) -> Preprocess:
        """How pictures of `image_size` pixels are prepared under this recipe."""
        return Preprocess(
            channels=channels,
            image_size=self.image_size or image_size,
            mean=self.mean,
            std=self.std,
            mirror=self.mirror,
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of `to_dict`."""
        known = {f.name for f in fields(cls)}
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        if values.get("expected"):
            values["expected"] = Expected(**values["expected"])
        return cls(**values)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One training step was taken. `loss` and `accuracy` (means over the epoch so far) come five times an epoch."""

    epoch: int
    step: int
    steps: int
    images: int
    seconds: float
    loss: float | None = None
    accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """An epoch is finished. Accuracies are shares in 0..1; `wait_share` is the part of the time spent on data."""

    epoch: int
    epochs: int
    loss: float
    accuracy: float
    validation_accuracy: float | None
    test_accuracy: float | None
    lr: float
    seconds: float
    evaluation_seconds: float
    images_per_second: float
    wait_share: float
    best: bool = False


Event = Step | Epoch
