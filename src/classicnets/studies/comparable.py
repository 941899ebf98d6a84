"""Refuses arms that cannot be compared: other test images, no difference, or a measure that a run does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from classicnets.errors import UsageError
from classicnets.options import option_fields
from classicnets.spec import RunSpec
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.definition import Definition, flat
from classicnets.studies.measures import OF_CLASSIC, measure
from classicnets.text import _, assignments, command
from classicnets.training.plan import Plan


def check_measures(definition: Definition, name: str, plan: Plan | ClassicSpec) -> None:
    """Refuse a measure that needs validation images if the arm holds none out."""
    for text in definition.measures:
        curve = measure(text).curve
        if not isinstance(plan, Plan):
            if text not in OF_CLASSIC:
                raise invalid(
                    _("{measure!r} is a measure of networks, and the arm {name} has none", measure=text, name=name),
                    _("a classical method has {names}", names=", ".join(OF_CLASSIC)),
                    'measure = "test_accuracy"',
                )
        elif curve.startswith("validation") and plan.recipe.monitor != "validation":
            raise invalid(
                _("{measure!r} needs validation images, and the arm {name} has none", measure=text, name=name),
                _("the test split is evaluated at the end only, and selects nothing"),
                'settings = { validation = 0.1, monitor = "validation" }',
            )


def _check_same_images(definition: Definition, plans: Mapping[str, Plan | ClassicSpec]) -> None:
    """Refuse arms that are compared, but tested on different images."""
    for pair in definition.compare:
        first, second = (plans[name] for name in pair.arms)
        if first.data != second.data:
            raise invalid(
                _("the arms {first} and {second} have different test images", first=pair.arms[0], second=pair.arms[1]),
                _("{first} and {second}", first=first.data, second=second.data),
                _("give data in [base] only, or compare arms with the same data"),
            )


def _check_differences(definition: Definition, plans: Mapping[str, Plan | ClassicSpec]) -> None:
    """Refuse arms that are compared, but the same."""
    for pair in definition.compare:
        first, second = (plans[name] for name in pair.arms)
        if not _are_equal(first, second):
            continue
        changed = definition.to_dict()["arms"]
        changes = assignments({**flat(changed[pair.arms[0]]), **flat(changed[pair.arms[1]])})
        named = first.net_spec.argument if isinstance(first, Plan) and first.net is None else ""
        network = command("classicnets", "show", named) if named else ""
        raise invalid(
            _("the arms {first} and {second} are the same", first=pair.arms[0], second=pair.arms[1]),
            _("{changes} changes nothing: both have the same network and the same settings", changes=changes)
            if changes
            else _("neither of them changes anything"),
            _("{command}   # shows the network", command=network) if network else _("change something in one arm"),
        )


def _are_equal(first: Plan | ClassicSpec, second: Plan | ClassicSpec) -> bool:
    """Whether two plans train the same network in the same way."""
    if not isinstance(first, Plan) or not isinstance(second, Plan):
        return first == second

    def settings(plan: Plan) -> tuple[Any, ...]:
        ignored = {"net", "settings", "variation", "recipe", "data"}
        spec = {f.name: getattr(plan.spec, f.name) for f in option_fields(RunSpec) if f.name not in ignored}
        recipe = replace(plan.recipe, source="", net="", variation=(), expected=None, deviations=())
        return spec, recipe, plan.data, plan.weights

    if settings(first) != settings(second):
        return False
    if first.net is not None or second.net is not None:
        return first.net is second.net or str(first.net) == str(second.net)
    if first.net_spec == second.net_spec:
        return True
    is_same_net = replace(first.net_spec, variation={}) == replace(second.net_spec, variation={})
    return is_same_net and str(first.net_spec.build_for_shapes()) == str(second.net_spec.build_for_shapes())


def check_pairs(definition: Definition, plans: Mapping[str, Plan | ClassicSpec]) -> None:
    """Refuse arms that are compared, but tested on different images, or the same. Raises UsageError CN217."""
    _check_same_images(definition, plans)
    _check_differences(definition, plans)


def invalid(what: str, why: str, hint: str, where: str = "") -> UsageError:
    """Return the error of a study whose arms cannot be trained or compared."""
    return UsageError("CN217", what, where=where, why=why, hint=hint)
