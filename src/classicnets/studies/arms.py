"""Resolves the arms of a study to plans, and matches their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from torch import nn

from classicnets.errors import UsageError
from classicnets.models.variants import vary
from classicnets.spec import RunSpec, run_spec
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.comparable import check_measures, check_pairs, invalid
from classicnets.studies.definition import Definition, flat
from classicnets.studies.matching import Match, What, match
from classicnets.text import _, assignments
from classicnets.training import plan as planning
from classicnets.training.plan import Plan

_OF_STUDY = ("seed", "keep_epochs")  # what the study decides, not its arms
_BASE = "base"


@dataclass(frozen=True)
class Arm:
    """An arm: its plan with the first seed, and how its width was matched to that of the first arm.

    A classical method has a ClassicSpec instead of a plan.
    """

    plan: Plan | ClassicSpec
    matched: Match | None = None

    def __str__(self) -> str:
        if not isinstance(self.plan, Plan):
            return self.label
        return _(
            "{net}, {parameters:,} parameters, {macs:,} MACs",
            net=self.label,
            parameters=self.plan.table.parameters,
            macs=self.plan.table.macs,
        )

    @property
    def label(self) -> str:
        """What is trained, in a few words."""
        plan = self.plan
        return plan.net_spec.display_name if isinstance(plan, Plan) else f"{plan.classifier}, {plan.features}"

    def to_dict(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of an arm in study.json; `changes` is what the definition says that it changes."""
        plan, matched = self.plan, self.matched
        changed = [f"{key}={value}" for key, value in flat(changes).items()]
        if isinstance(plan, ClassicSpec):
            names = {"classifier": plan.classifier, "features": plan.features}
            return {**names, "changes": changed, "data_name": plan.data, "limit": plan.limit, "matched": None}
        return {
            "net": plan.net_spec.display_name,
            "changes": changed,
            "parameters": plan.table.parameters,
            "macs": plan.table.macs,
            "recipe": plan.recipe.source,
            "epochs": plan.recipe.epochs,
            "data_name": plan.description.name,
            "limit": plan.spec.limit,
            "matched": None if matched is None else asdict(matched),
        }


def resolve(definition: Definition, *, trust: bool = False) -> dict[str, Arm]:
    """Return the arms by name.

    Args:
        definition: The study.
        trust: Whether code in a run folder may be run that was not run on this machine before.

    Raises:
        UsageError: CN217, the arms cannot be compared; CN201 to CN212, a network or a setting is not valid.
        DataError: CN302, the data is not there.
    """
    planner = _Planner(definition, trust=trust)
    arms: dict[str, Arm] = {}
    for name in definition.arms:
        arms[name] = Arm(_classic(definition, name) or planner.plan(name))
        check_measures(definition, name, arms[name].plan)
    if definition.match:
        plans = {name: arm.plan for name, arm in arms.items() if isinstance(arm.plan, Plan)}
        for name, found in match(plans, cast(What, definition.match), planner.plan).items():
            arms[name] = Arm(plans[name] if found.width == 1 else planner.plan(name, found.width), found)
    check_pairs(definition, {name: arm.plan for name, arm in arms.items()})
    return arms


def _classic(definition: Definition, name: str) -> ClassicSpec | None:
    """The classical method of an arm; None if it trains a network."""
    arm = definition.arms[name]
    if "classifier" not in arm:
        return None
    return ClassicSpec.from_arguments({**definition.base, **arm}, definition.seeds[0])


@dataclass(frozen=True)
class _Planner:
    """Makes the plans of arms.

    An arm that names neither a network nor a recipe is trained with the recipe of the base run, although another one
    may have been published for its variation: arms differ in what they name, and in nothing else.
    """

    definition: Definition
    trust: bool

    @cached_property
    def base(self) -> Plan | None:
        """The plan of the base run; None if it has no network."""
        values = _arguments(self.definition.base, _BASE)
        return self._resolved(*self._spec(values), _BASE) if values.get("net") is not None else None

    def plan(self, name: str, width: float = 1.0) -> Plan:
        """Return the plan of an arm whose network is `width` times as wide as the arm says."""
        base = _arguments(self.definition.base, _BASE)
        arm = _arguments(self.definition.arms[name], name)
        merged = {**base, **arm, **{key: {**base[key], **arm[key]} for key in ("settings", "variation")}}
        if not {"net", "recipe"} & arm.keys() and self.base is not None:
            merged["recipe"] = self.base.recipe
        if width != 1:
            merged["variation"]["width"] = float(merged["variation"].get("width", 1)) * width
        return self._resolved(*self._spec(merged), name)

    def _spec(self, values: dict[str, Any]) -> tuple[RunSpec, nn.Module | None]:
        """The RunSpec of these arguments, and the module if one was passed in Python."""
        given = {**values, "seed": self.definition.seeds[0]}
        net = self._located(given.pop("net", None))
        if net is None:
            raise invalid(
                _("the study {name} has no network", name=self.definition.name),
                _('[base] needs net = NAME or net = "file.py:net", unless every arm has one'),
                'net = "lenet_d2l"',
            )
        return run_spec(net, **given)

    def _located(self, net: Any) -> Any:
        """A network in a Python file beside the study with its full path; others as they are."""
        if self.definition.file and isinstance(net, str) and ".py:" in net:
            path = self.definition.folder / net
            return str(path) if Path(str(path).rpartition(":")[0]).is_file() else net
        return net

    def _resolved(self, spec: RunSpec, net: nn.Module | None, name: str) -> Plan:
        """The plan of a RunSpec; a module is varied here."""
        if net is not None and spec.variation:
            variation: dict[str, Any] = {**spec.variation}
            try:
                net, spec = vary(net, **variation), replace(spec, variation={})
            except (TypeError, ValueError) as error:
                what = _("the network of the arm {name} cannot be changed", name=name)
                raise UsageError("CN204", what, where=assignments(variation, "net."), why=str(error)) from error
        try:
            return planning.plan(spec, net, trust=self.trust)
        except UsageError as error:
            error.where = _("arm {name}: {where}", name=name, where=error.where) if error.where else name
            raise


def _arguments(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """The arguments of `run_spec` in a table of a study; `net.pool = "max"` is a table `net` in TOML.

    Raises UsageError CN217 for what a study decides itself, and for a setting that has two values.
    """
    known = {f.name for f in fields(RunSpec)}
    own = {key: value for key, value in values.items() if key in known}
    if wrong := [key for key in _OF_STUDY if key in own]:
        raise invalid(
            _("{place} has {key}, which the study decides", place=name, key=wrong[0]),
            _("all arms are trained with the same seeds"),
            "seeds = [3, 4, 5]" if wrong == ["seed"] else _("remove {key}", key=wrong[0]),
        )
    settings = [*(own.get("settings") or {}).items(), *((k, v) for k, v in values.items() if k not in known)]
    variation = [*(own.get("variation") or {}).items()]
    if isinstance(own.get("net"), Mapping):
        variation += own.pop("net").items()
    variation += [(key.removeprefix("net."), value) for key, value in settings if key.startswith("net.")]
    settings = [(key, value) for key, value in settings if not key.startswith("net.")]
    for pairs, prefix in ((settings, ""), (variation, "net.")):
        if twice := [key for i, (key, _value) in enumerate(pairs) if key in dict(pairs[:i])]:
            raise invalid(
                _("{place} has {key} twice", place=name, key=prefix + twice[0]),
                _("settings, variation and the keys beside them are the same settings"),
                _("remove one of them"),
            )
    return {**own, "settings": dict(settings), "variation": dict(variation)}
