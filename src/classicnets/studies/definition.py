"""What a study is: a base run, arms that change it, seeds, measures and comparisons, read from a TOML file."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any, Self

from classicnets import schema
from classicnets.errors import UsageError
from classicnets.files import user_path
from classicnets.schema import Anything, Choice, Either, Kind, Mapped, Real, Record, Several, Text, Whole, record
from classicnets.studies import toml_errors
from classicnets.studies.measures import measure
from classicnets.text import _, command, join, nearest

MATCHES = ("", "parameters", "macs")
MAX_RUNS = 10_000
_MAX_NAME = 200  # bytes; a name of a folder has at most 255, with a number or the suffix of a temporary one


@dataclass(frozen=True, kw_only=True)
class Compare:
    """Two arms that are compared, the second against the first.

    `claim` is the difference that a source reports, in the unit of the first measure; None: there is none.
    """

    arms: tuple[str, str]
    claim: float | None = None


@dataclass(frozen=True, kw_only=True)
class Reported:
    """A result of a paper, printed beside those of the study."""

    what: str
    value: str
    source: str


@dataclass(frozen=True, kw_only=True)
class Definition:
    """A study: what is asked, what is trained, and what is compared.

    `base` has arguments of `cn.train`: fields of RunSpec and settings of the recipe. Each arm has those that it
    changes. The first of the `measures` answers the question. With `match`, the other arms get as many parameters or
    MACs as the first one. `scope` says how far the results can be transferred. `file` is the file of the study or the
    name of a preset; networks in Python files lie relative to it.
    """

    name: str
    question: str
    seeds: tuple[int, ...]
    base: Mapping[str, Any]
    arms: Mapping[str, Mapping[str, Any]]
    measures: tuple[str, ...] = ("test_accuracy",)
    compare: tuple[Compare, ...] = ()
    match: str = ""
    reported: tuple[Reported, ...] = ()
    scope: str = ""
    file: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON. A module that was passed in Python has the name of its type."""
        values = asdict(replace(self, base={}, arms={}))
        return {
            **values,
            **{key: list(values[key]) for key in ("seeds", "measures", "reported")},
            "compare": [{**pair, "arms": list(pair["arms"])} for pair in values["compare"]],
            "base": _plain(self.base),
            "arms": {name: _plain(arm) for name, arm in self.arms.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the inverse of `to_dict`, except for modules that were passed in Python."""
        return cls(
            **{
                **values,
                **{key: tuple(values[key]) for key in ("seeds", "measures") if key in values},
                "compare": tuple(Compare(**{**pair, "arms": (*pair["arms"],)}) for pair in values.get("compare", ())),
                "reported": tuple(Reported(**row) for row in values.get("reported", ())),
            }
        )

    @property
    def folder(self) -> Path:
        """The folder relative to which the files of networks lie."""
        return presets().get(self.file, Path(self.file)).absolute().parent

    def with_seeds(self, seeds: int | None) -> Self:
        """Return a copy with this number of seeds, which continue those of the study; None: as they are."""
        if seeds is None:
            return self
        return replace(self, seeds=(*self.seeds, *range(max(self.seeds) + 1, max(self.seeds) + seeds))[:seeds])


class _MeasureName(Kind):
    """The name of a measure."""

    allowed = property(lambda _self: _("the name of a measure"))

    def accepts(self, value: Any) -> bool:
        try:
            return isinstance(value, str) and bool(measure(value).name)
        except ValueError:
            return False


_NAME, _TEXT = Text(most=100, least=1), Text(most=1000, least=1)
DEFINITION = record(  # in study.json
    Definition,
    {
        "name": _NAME,
        "question": _TEXT,
        "seeds": Several(Whole(), most=MAX_RUNS, least=1),
        "arms": Mapped(Mapped(Anything()), most=1000),
        "measures": Several(_MeasureName(), most=20, least=1),
        "compare": Several(record(Compare, {"arms": Several(_NAME, most=2, least=2)}, closed=True), most=1000),
        "match": Choice(MATCHES),
        "reported": Several(record(Reported, dict.fromkeys(("what", "value", "source"), _TEXT), closed=True), most=100),
    },
    closed=True,
)


@dataclass(frozen=True)
class _Worded(Kind):
    """A kind, described for a person who writes the file."""

    kind: Kind
    words: Callable[[], str]
    allowed = property(lambda self: self.words())

    def accepts(self, value: Any) -> bool:
        return self.kind.accepts(value)

    def parts(self, value: Any, place: str) -> Iterator[str]:
        return self.kind.parts(value, place)


@dataclass(frozen=True)
class _Table(Record):
    """A table of the file, whose unknown keys are mistakes."""

    def parts(self, value: Any, place: str) -> Iterator[str]:
        yield from super().parts({key: each for key, each in value.items() if key in self.kinds}, place)
        for key in value:
            if key not in self.kinds:
                yield _unknown_key(f"{place}." if place else "", str(key), self.kinds)


def _unknown_key(prefix: str, key: str, known: Mapping[str, Kind]) -> str:
    near, shown = nearest(key, known), prefix + key
    if near:
        return _("{key} is not known; did you mean {near}?", key=shown, near=near)
    return _("{key} is not known; known are {names}", key=shown, names=", ".join(known))


_FILE = _Table(  # of the user
    {
        **{key: kind for key, kind in DEFINITION.kinds.items() if key not in {"file", "measures"}},
        "seeds": _Worded(
            Either((Whole(1, MAX_RUNS), DEFINITION.kinds["seeds"])),
            lambda: _("the number of seeds, such as 6, or a list of them, such as [0, 1, 2]"),
        ),
        "base": _Worded(DEFINITION.kinds["base"], lambda: _("a table [base] with what all arms have")),
        "arms": _Worded(
            Mapped(_Worded(Mapped(Anything()), lambda: _("a table [arms.NAME]")), most=1000),
            lambda: _("a table [arms.NAME] for each arm"),
        ),
        "measure": _Worded(
            Either((_NAME, Several(_NAME, most=20, least=1))),
            lambda: _('the name of a measure, or a list such as ["test_accuracy", "seconds"]'),
        ),
        "grid": _Worded(Mapped(Anything(), most=20), lambda: _("a table [grid] with lists of values")),
        "compare": _Worded(
            Several(
                _Table(
                    {
                        "arms": _Worded(
                            Several(_NAME, most=2, least=2), lambda: _('the names of two arms, such as ["a", "b"]')
                        ),
                        "claim": _Worded(Real(), lambda: _("a number")),
                    },
                    frozenset({"claim"}),
                ),
                most=1000,
            ),
            lambda: _("tables [[compare]] with arms"),
        ),
        "reported": _Worded(
            Several(_Table(dict.fromkeys(("what", "value", "source"), _TEXT)), most=100),
            lambda: _("tables [[reported]] with what, value and source"),
        ),
    },
    frozenset({"measure", "match", "scope", "arms", "grid", "compare", "reported"}),
)


def _plain(values: Any) -> Any:
    """Values that JSON has: paths as text, functions by their names, modules by the names of their types."""
    if isinstance(values, Mapping):
        return {str(key): _plain(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [_plain(value) for value in values]
    if isinstance(values, str | int | float | bool | Path | None):
        return str(values) if isinstance(values, Path) else values
    return getattr(values, "__name__", type(values).__name__)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of a base run or of an arm by the names with which `--set` takes them.

    {"net": {"pool": "max"}, "settings": {"lr": 0.1}} is {"net.pool": "max", "lr": 0.1}.
    """
    settings: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            settings |= flat(value, {"settings": "", "variation": "net."}.get(key, f"{prefix}{key}."))
        else:
            settings[prefix + key] = value
    return settings


def presets() -> dict[str, Path]:
    """Return the studies that come with the package: their files by name."""
    folder = Path(str(resources.files("classicnets.studies") / "presets"))
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def find(study: str | Path, action: str = "run") -> Path:
    """Return the file of a preset or of the user, for `study run` or `study show`.

    Raises UsageError CN217 if there is none.
    """
    known = presets()
    if str(study) in known:
        return known[str(study)]
    path = user_path(study)
    if path.is_file():
        return path
    near = nearest(str(study), known)
    raise UsageError(
        "CN217",
        _("there is no study {name!r}; did you mean {near}?", name=str(study), near=near)
        if near
        else _("there is no study {name!r}", name=str(study)),
        where=str(path),
        why=_("STUDY is the folder of a study, a TOML file, or one of {names}", names=", ".join(known))
        if action == "show"
        else _("STUDY is a TOML file, or one of {names}", names=", ".join(known)),
        hint=command("classicnets", "study", action, near) if near else "classicnets study list",
    )


def read(path: Path) -> Definition:
    """Return the study in a file. Raises UsageError CN217 with all reasons."""
    text = ""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        why, line = error.strerror or str(error) if isinstance(error, OSError) else str(error), ""
        if isinstance(error, tomllib.TOMLDecodeError):
            why, line = toml_errors.explain(text, error)
        raise UsageError(
            "CN217",
            _("the study {file} cannot be read", file=path.name),
            where=str(path),
            why=why,
            hint=line or _example({}),
        ) from error
    return make(values, path.stem if presets().get(path.stem) == path else str(path))


def make(values: Mapping[str, Any], file: str = "") -> Definition:
    """Return the study that plain values define.

    Args:
        values: as in a TOML file.
        file: its file, or the name of a preset.

    Raises:
        UsageError: CN217, with all reasons.
    """
    problems = [*_problems(values)]
    if problems:
        raise UsageError(
            "CN217",
            _("this does not define a study"),
            where=file or _("the values that were passed"),
            why="\n".join(problems),
            hint=_example(values),
        )
    seeds, measures, arms = values["seeds"], values.get("measure", "test_accuracy"), _all_arms(values)
    first = next(iter(arms))
    compare = values.get("compare") or [{"arms": [first, name]} for name in arms if name != first]
    return Definition(
        name=values["name"],
        question=values["question"],
        seeds=tuple(range(seeds)) if isinstance(seeds, int) else tuple(seeds),
        base=values["base"],
        arms=arms,
        measures=tuple(measure(name).name for name in ([measures] if isinstance(measures, str) else measures)),
        compare=tuple(Compare(arms=(pair["arms"][0], pair["arms"][1]), claim=pair.get("claim")) for pair in compare),
        match=values.get("match", ""),
        reported=tuple(Reported(**row) for row in values.get("reported", ())),
        scope=values.get("scope", ""),
        file=file,
    )


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    """What prevents values from being a study."""
    try:
        schema.check(values, _FILE)
    except ValueError as error:
        yield str(error)
        return
    arms = _all_arms(values)
    grid = _grid_of(values)
    if not arms and not grid:
        yield _("there is no arm; a study has [arms.NAME] for each, or [grid] with lists of values")
    if not _is_folder_name(values["name"]):
        yield _("the name {name!r} cannot be the name of a folder", name=values["name"])
    for name in arms:
        if not _is_folder_name(name):
            yield _("the arm {name!r} cannot be the name of a folder", name=name)
    for key, choices in grid.items():
        if key in {"classifier", "features"}:
            yield _(
                "grid.{key}: a grid is over networks and settings; write [arms.NAME] for classical methods", key=key
            )
        elif not isinstance(choices, list):
            yield _("grid.{key} must be a list of values, in square brackets", key=key)
        elif not choices:
            yield _("grid.{key} is empty; it needs at least one value", key=key)
    if isinstance(values["seeds"], list) and len({*values["seeds"]}) < len(values["seeds"]):
        yield _("seeds has a number twice, so that a run would count twice")
    given = values.get("measure", [])
    names = list[str]()
    for text in [given] if isinstance(given, str) else given:
        try:
            names.append(measure(text).name)
        except ValueError as error:
            yield str(error)
    if len({*names}) < len(names):
        yield _("measure has a name twice")
    yield from _compare_problems(values.get("compare", []), arms)


def _example(values: Mapping[str, Any]) -> str:
    """The command that prints a study with what this one has."""
    arms, pairs = values.get("arms"), values.get("compare")
    name = "pooling"
    if "grid" in values:
        name = "dead_units"
    elif isinstance(arms, Mapping) and any(isinstance(arm, Mapping) and "classifier" in arm for arm in arms.values()):
        name = "baselines"
    elif pairs:
        name = "lrn"
    return _("{command}   # prints a study to start from", command=command("classicnets", "study", "show", name))


def _is_folder_name(name: str) -> bool:
    return not name.startswith(".") and not {*"/\\\0\n"} & {*name} and 0 < len(os.fsencode(name)) <= _MAX_NAME


def _compare_problems(pairs: Sequence[Mapping[str, Any]], arms: Mapping[str, Any]) -> Iterator[str]:
    unknown = [name for name in dict.fromkeys(name for pair in pairs for name in pair["arms"]) if name not in arms]
    nearest_arms = {name: nearest(name, arms) for name in unknown}
    for name, near in nearest_arms.items():
        if near:
            yield _("compare names the arm {name!r}, which does not exist; did you mean {near}?", name=name, near=near)
    others = [repr(name) for name, near in nearest_arms.items() if not near]
    if others:
        yield _("compare names {names}; the arms are {arms}", names=join(others), arms=", ".join(arms))
    seen = set()
    for pair in pairs:
        first, second = pair["arms"]
        if first == second:
            yield _("compare has the arm {name!r} against itself", name=first)
        if frozenset({first, second}) in seen:
            yield _("compare has the arms {first} and {second} twice", first=first, second=second)
        seen.add(frozenset({first, second}))


def _all_arms(values: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The arms of a study by name: those of [arms], then all combinations of [grid]."""
    grid = _grid_of(values)
    combinations = product(*grid.values()) if grid and all(isinstance(choice, list) for choice in grid.values()) else ()
    made = {
        grid_name(settings): {"settings": settings}
        for settings in (dict(zip(grid, combination, strict=True)) for combination in combinations)
    }
    return {**values.get("arms", {}), **made}


def grid_name(settings: Mapping[str, Any]) -> str:
    """Return the name of the arm of a grid with these settings."""
    return ",".join(f"{key.removeprefix('net.')}={value}" for key, value in settings.items())


def _grid_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The lists of [grid] by setting; `net.norm = [...]` is a table in TOML."""
    flat: dict[str, Any] = {}
    for key, value in values.get("grid", {}).items():
        flat |= (
            {f"{key}.{name}": choice for name, choice in value.items()} if isinstance(value, Mapping) else {key: value}
        )
    return flat
