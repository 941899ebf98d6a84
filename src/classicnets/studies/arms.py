"""Resolves the arms of a study to plans, and matches their sizes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from torch import nn

from classicnets.errors import ClassicnetsError, UsageError
from classicnets.models.messages import reason
from classicnets.models.variants import vary
from classicnets.recipes.resolve import SETTINGS
from classicnets.runs.net_spec import VARIATIONS
from classicnets.spec import RunSpec, run_spec
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.comparable import check_measures, check_pairs, invalid
from classicnets.studies.definition import Definition, flat
from classicnets.studies.hints import BASE, adapt, table, toml
from classicnets.studies.matching import Match, What, match
from classicnets.text import _, assignments, nearest
from classicnets.training import plan as planning
from classicnets.training.plan import Plan
from classicnets.values import RENAMED_SETTINGS

_OF_STUDY = ("seed", "keep_epochs")  # what the study decides
_OF_BASE = ("threads", "batch_threads", "device")  # what is the same in all runs of a study
_OF_CLASSIC = ("classifier", "features")


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
    settings = arm.get("settings")
    own = {f.name for f in fields(ClassicSpec)} - {"seed"}
    if wrong := [key for key in flat(arm) if key not in own and key not in _OF_STUDY]:
        raise invalid(
            _("a classical method has no {key}", key=", ".join(wrong)),
            _("a classical method has {names}", names=", ".join(sorted(own))),
            _("remove {key} from {place}", key=", ".join(wrong), place=table(definition, name)),
            table(definition, name),
        )
    if wrong := [key for key in _OF_STUDY if key in arm or (isinstance(settings, Mapping) and key in settings)]:
        raise _decided(definition, name, wrong[0])
    if definition.match:
        raise invalid(
            _("the arm {name} has no size that could be matched", name=name),
            _("match compares networks of equal size, and a classical method is no network"),
            _("remove match from the study, or {place}", place=table(definition, name)),
            f'match = "{definition.match}"',
        )
    _check_tables(definition, BASE)
    values = {**definition.base, **arm}
    if values.get("data") is None:
        raise invalid(
            _("the arm {name} has no data", name=name),
            _("a classical method has no recipe that names some"),
            _('data = "fashion_mnist"   # in [base]'),
            table(definition, name),
        )
    try:
        return ClassicSpec.from_arguments(values, definition.seeds[0])
    except ClassicnetsError as error:
        adapt(error, definition, name)
        raise


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
        values = _arguments(self.definition, BASE)
        return self._resolved(*self._spec(values, BASE), BASE) if values.get("net") is not None else None

    def plan(self, name: str, width: float = 1.0) -> Plan:
        """Return the plan of an arm whose network is `width` times as wide as the arm says."""
        base, arm = _arguments(self.definition, BASE), _arguments(self.definition, name)
        merged = {**base, **arm, **{key: {**base[key], **arm[key]} for key in ("settings", "variation")}}
        if not {"net", "recipe"} & arm.keys() and self.base is not None:
            merged["recipe"] = self.base.recipe
        if width != 1:
            merged["variation"]["width"] = float(merged["variation"].get("width", 1)) * width
        return self._resolved(*self._spec(merged, name), name)

    def _spec(self, values: dict[str, Any], name: str) -> tuple[RunSpec, nn.Module | None]:
        """The RunSpec of these arguments, and the module if one was passed in Python."""
        given = {**values, "seed": self.definition.seeds[0]}
        net = self._located(given.pop("net", None))
        if net is None:
            raise invalid(
                _("the study {name} has no network", name=self.definition.name),
                _('[base] needs net = NAME or net = "file.py:net", unless every arm has one'),
                'net = "lenet_d2l"',
            )
        if not isinstance(net, str | Path | nn.Module):
            is_class = isinstance(net, type) and issubclass(net, nn.Module)
            raise invalid(
                _("the network of the arm {name} is not a network", name=name),
                _("{net} is a class; a network is an instance of it, with its arguments", net=net.__name__)
                if is_class
                else _(
                    'net is a name, a text such as "file.py:net", or in Python a torch.nn.Module; this is {net!r}',
                    net=net,
                ),
                f'"net": {net.__name__}(...)' if is_class else 'net = "lenet_d2l"',
                table(self.definition, name),
            )
        return run_spec(net, **given)

    def _located(self, net: Any) -> Any:
        """A network in a Python or graph file beside the study with its full path; others as they are."""
        if self.definition.file and isinstance(net, str) and (".py:" in net or net.endswith(".json")):
            path = self.definition.folder / net
            file = path if net.endswith(".json") else Path(str(path).rpartition(":")[0])
            return str(path) if file.is_file() else net
        return net

    def _resolved(self, spec: RunSpec, net: nn.Module | None, name: str) -> Plan:
        """The plan of a RunSpec; a module is varied here."""
        if net is not None and spec.variation:
            variation: dict[str, Any] = {**spec.variation}
            try:
                net, spec = vary(net, **variation), replace(spec, variation={})
            except (TypeError, ValueError) as error:
                what = _("the network of the arm {name} cannot be changed", name=name)
                raise UsageError("CN204", what, where=assignments(variation, "net."), why=reason(error, _)) from error
        try:
            return planning.plan(spec, net, trust=self.trust)
        except ClassicnetsError as error:
            adapt(error, self.definition, name)
            raise


def _check_tables(definition: Definition, name: str) -> None:
    """Raise UsageError CN217 if `settings` or `variation` is not a table."""
    own = definition.base if name == BASE else definition.arms[name]
    for part in ("settings", "variation"):
        if own.get(part) is not None and not isinstance(own[part], Mapping):
            raise invalid(
                _("{part} is not a table", part=part),
                _("{part} has keys and values, not {value!r}", part=part, value=own[part]),
                f"{part} = {{ {'lr = 0.1' if part == 'settings' else 'pool = ' + toml('max')} }}",
                table(definition, name),
            )


def _arguments(definition: Definition, name: str) -> dict[str, Any]:
    """The arguments of `run_spec` in a table of a study; `net.pool = "max"` is a table `net` in TOML.

    Raises UsageError CN217 for what a study decides itself, for what no run has, and for a setting with two values.
    """
    values = definition.base if name == BASE else definition.arms[name]
    known = {f.name for f in fields(RunSpec)}
    own = {key: value for key, value in values.items() if key in known}
    _check_tables(definition, name)
    if wrong := [key for key in (*_OF_STUDY, *(() if name == BASE else _OF_BASE)) if key in own]:
        raise _decided(definition, name, wrong[0])
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
                table(definition, name),
            )
    for key, _value in settings:
        _check_key(definition, name, key)
    return {**own, "settings": dict(settings), "variation": dict(variation)}


def _decided(definition: Definition, name: str, key: str) -> UsageError:
    """The error for an option that a study gives to all of its runs."""
    if key in _OF_BASE:
        why, hint = _("it is the same in all runs of a study"), _("{key} = ...   # in [base] only", key=key)
    else:
        why = _("all arms are trained with the same seeds")
        hint = "seeds = [3, 4, 5]" if key == "seed" else _("remove {key}", key=key)
    return invalid(
        _("{place} has {key}, which the study decides", place=name, key=key), why, hint, table(definition, name)
    )


def _check_key(definition: Definition, name: str, key: str) -> None:
    """Raise UsageError CN217 for a key of a classical method without one, CN202 for one that nothing has."""
    place = table(definition, name)
    if key in _OF_CLASSIC:
        if name == BASE:
            raise invalid(
                _("[base] has {key}, but trains a network", key=key),
                _("a classical method is an arm of its own"),
                _('classifier = "svm_rbf"   # in [arms.NAME]'),
                place,
            )
        raise invalid(
            _("{key} needs classifier", key=key),
            _("an arm without a classifier trains a network, which sees the pixels"),
            _('classifier = "svm_rbf"   # in {place}', place=place),
            place,
        )
    names = [f.name for f in fields(RunSpec) if f.name not in {*_OF_STUDY, "settings", "variation"}]
    if key in {*SETTINGS, *RENAMED_SETTINGS, *VARIATIONS}:
        return
    near = nearest(key, [*names, *SETTINGS, *_OF_CLASSIC])
    raise UsageError(
        "CN202",
        _("{key!r} is not known; did you mean {near}?", key=key, near=near)
        if near
        else _("{key!r} is not known", key=key),
        where=place,
        why=_(
            "the options of a run are {options}; the settings of its recipe are {settings}",
            options=", ".join(names),
            settings=", ".join(SETTINGS),
        ),
        hint=_("{line}   # in {place}", line=f"{near} = ...", place=place)
        if near
        else _("# {key}: ...   as a comment, if it is only for readers", key=key),
    )
