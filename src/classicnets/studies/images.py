"""The images of several plans, read one data set after the other."""

from __future__ import annotations

from dataclasses import replace

from classicnets.datasets.types import ImageSplits
from classicnets.training.begin import Say, read, survey
from classicnets.training.plan import Plan


class Images:
    """Surveys and reads the images of plans; for plans with the same data in succession, it reads them once.

    Only the images that were read last are kept in memory: plans with the same data should be read in succession.
    Notes about images that are read again are not repeated.

    Args:
        say: Receives notes about the data.
    """

    def __init__(self, say: Say) -> None:
        self.say = say
        self._surveys: dict[object, Plan] = {}
        self._noted: list[object] = []  # what notes were printed about
        self._last: tuple[object, ImageSplits] | None = None

    def survey(self, plan: Plan) -> Plan:
        """Complete a plan with what depends on the contents of image files."""
        key = (plan.data, plan.preprocess, plan.recipe.background, plan.recipe.validation > 0, plan.spec.on_bad_image)
        if key not in self._surveys:
            self._surveys[key] = survey(plan, self.say)
        surveyed = self._surveys[key]
        return replace(plan, copies=surveyed.copies, preprocess=surveyed.preprocess)

    def read(self, plan: Plan) -> ImageSplits:
        """Read the images of a plan. Raises DataError."""
        decoded = replace(plan.preprocess, mean=(), std=())  # both are applied later; the mean depends on the seed
        key = (plan.data, decoded, plan.copies, plan.spec.on_bad_image, plan.recipe.validation, plan.spec.limit)
        if self._last is None or self._last[0] != key:
            self._last = None  # frees these images before others are read
            self._last = key, read(plan, (lambda _: None) if key in self._noted else self.say)
            self._noted.append(key)
        return self._last[1]
