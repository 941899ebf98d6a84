"""What a classical method is fitted to: the arm of a study that is no network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from classicnets.errors import UsageError
from classicnets.spec import ON_BAD_IMAGE, RunSpec, check_spec
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES, MIN_HOG_SIZE
from classicnets.text import _, nearest
from classicnets.values import MAX_SIDE


@dataclass(frozen=True, kw_only=True)
class ClassicSpec:
    """What a classical method is fitted to. The fields from `data` on mean what they mean for a network.

    Attributes:
        classifier: a key of `CLASSIFIERS`.
        features: a key of `FEATURES`.
        data: data set, folder or CSV.
        limit: number of training images, drawn at random with the seed; None for all.
        validation: fraction of the training images that a network's recipe holds out. The method does not use them,
            since its parameters are chosen once for all, but without them it would be fitted to other images than the
            network.
        seed: draws the images, and the random numbers of the method.
        on_bad_image: "fail", or "skip" to leave out image files that cannot be read.
        image_size: height and width of the images; None for their own.

    Raises:
        UsageError: CN204 for an unknown name, a wrong type or a value out of range.
    """

    classifier: str
    features: str = "pixels"
    data: str
    limit: int | None = None
    validation: float = 0.0
    seed: int = 0
    on_bad_image: str = ON_BAD_IMAGE[0]
    image_size: int | None = None

    def __post_init__(self) -> None:
        if isinstance(data := getattr(self, "data"), Path):  # noqa: B009 (a caller may pass a path)
            object.__setattr__(self, "data", str(data))
        _check_name("classifier", self.classifier, CLASSIFIERS)
        _check_name("features", self.features, FEATURES)
        check_spec(RunSpec(data=self.data, limit=self.limit, seed=self.seed, on_bad_image=self.on_bad_image))
        share, size = self.validation, self.image_size
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 <= share < 1:
            raise UsageError(
                "CN204",
                _("validation={value!r}: must be a fraction of at least 0 and below 1", value=share),
                hint="validation = 0.05",
            )
        low = MIN_HOG_SIZE if self.features == "hog" else 1
        if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not low <= size <= MAX_SIDE):
            raise UsageError(
                "CN204",
                _("image_size={value!r}: must be an integer from {low} to {high}", value=size, low=low, high=MAX_SIDE),
                hint="image_size = 28",
            )

    @classmethod
    def from_arguments(cls, arguments: Mapping[str, Any], seed: int) -> Self:
        """Return the spec of an arm, from the arguments of the study's base and those of the arm.

        Args:
            arguments: by name; settings of recipes may be in `settings`. What only a network has is left out.
            seed: seed of the run.
        """
        known = {f.name for f in fields(cls)} - {"seed"}
        given = {**arguments.get("settings", {}), **arguments}
        return cls(**{key: value for key, value in given.items() if key in known}, seed=seed)

    def with_seed(self, seed: int) -> Self:
        """Return a copy with another seed."""
        return replace(self, seed=seed)


def _check_name(what: str, name: Any, known: Mapping[str, object]) -> None:
    """Raise UsageError CN204 if `name` is not one of the known names."""
    if isinstance(name, str) and name in known:
        return
    near = nearest(str(name), known)
    if near:
        message = _("there is no {what} {name!r}; did you mean {near!r}?", what=what, name=name, near=near)
    else:
        message = _("there is no {what} {name!r}", what=what, name=name)
    raise UsageError(
        "CN204",
        message,
        why=_("the names are {names}", names=", ".join(known)),
        hint=f'{what} = "{near or next(iter(known))}"',
    )
