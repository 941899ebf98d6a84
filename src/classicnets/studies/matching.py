"""Finds the widths with which the arms of a study have as many parameters or MACs as the first one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from classicnets.errors import UsageError
from classicnets.models.variants import MAX_WIDTH, MIN_WIDTH
from classicnets.text import _
from classicnets.training.plan import Plan

What = Literal["parameters", "macs"]
_STEPS = 1000  # widths are multiples of 1 / _STEPS: a layer of 4096 units changes by 4 at most


@dataclass(frozen=True)
class Match:
    """How near the width of an arm brings it to the first arm.

    Attributes:
        width: the factor of the width of its hidden layers; 1 leaves the network as it is.
        what: "parameters" or "macs".
        value: the number of the arm with this width.
        target: the number of the first arm.
    """

    width: float
    what: What
    value: int
    target: int

    @property
    def difference(self) -> float:
        """The relative difference, as a fraction of the target; negative if the arm has fewer."""
        return (self.value - self.target) / self.target

    @property
    def change(self) -> str:
        """What was done to its width: "widened 1.23 times"."""
        if self.width > 1:
            return _("widened {width:g} times", width=self.width)
        if self.width < 1:
            return _("narrowed to {width:g} of its width", width=self.width)
        return _("of its own width")

    def line(self, first: str) -> str:
        """Describe the match: "widened 1.23 times: 61,500 parameters, 0.3 % below 61,706 of average".

        Args:
            first: the name of the first arm.
        """
        values = {
            "change": self.change,
            "value": self.value,
            "what": _name(self.what),
            "percent": f"{100 * abs(self.difference):.1f}" if abs(self.difference) >= 0.001 else _("less than 0.1"),
            "target": self.target,
            "first": first,
        }
        if self.value == self.target:
            return _("{change}: {value:,} {what}, as many as {first}", **values)
        if self.value < self.target:
            return _("{change}: {value:,} {what}, {percent} % below {target:,} of {first}", **values)
        return _("{change}: {value:,} {what}, {percent} % above {target:,} of {first}", **values)


def match(plans: Mapping[str, Plan], what: What, make: Callable[[str, float], Plan]) -> dict[str, Match]:
    """Find the width of each arm but the first that brings it nearest to the first one.

    Widths are discrete, because units are whole numbers: the search is over multiples of 1 / 1000, on which the number
    of an arm never falls. An arm keeps its own width if no other one is nearer.

    Args:
        plans: the arms by name, in order.
        what: what is matched: "parameters", or "macs" of one image.
        make: returns the plan of an arm whose network has this width, as `vary` takes it.

    Returns:
        The matches by name, without the first arm.

    Raises:
        UsageError: CN204, an arm cannot have another width.
    """
    first, *others = plans
    target, setting = _number(plans[first], what), f'match = "{what}"'
    matches = {}
    for arm in others:
        own = _number(plans[arm], what)

        def count(width: float, arm: str = arm) -> int:
            return _number(make(arm, width), what)

        try:
            matches[arm] = _match(own, what, target, count)
        except UsageError as error:
            raise UsageError(
                "CN204",
                _("the arm {arm} cannot have as many {what} as {first}", arm=arm, what=_name(what), first=first),
                where=setting,
                why=error.why or error.what,
                hint=_("remove {setting} from the study, and compare the arms as they are", setting=setting),
            ) from error
    return matches


def _match(own: int, what: What, target: int, count: Callable[[float], int]) -> Match:
    """The match of an arm that has the number `own`, and `count(width)` with another width."""
    counts = {_STEPS: own}  # numbers by the width in steps

    def number(steps: int) -> int:
        if steps not in counts:
            counts[steps] = count(steps / _STEPS)
        return counts[steps]

    # The target lies above the number at `low`, and not above that at `high`, unless it is out of reach.
    least, most = round(MIN_WIDTH * _STEPS), round(MAX_WIDTH * _STEPS)
    low, high = least - 1, _STEPS
    while own != target and number(high) < target and high < most:
        low, high = high, min(2 * high, most)
    while own != target and high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if number(middle) < target else (low, middle)
    steps = min(counts, key=lambda steps: (abs(counts[steps] - target), abs(steps - _STEPS)))
    return Match(steps / _STEPS, what, counts[steps], target)


def _number(plan: Plan, what: What) -> int:
    return plan.table.parameters if what == "parameters" else plan.table.macs


def _name(what: What) -> str:
    return _("parameters") if what == "parameters" else _("MACs")
