"""The options of the command line and of the Python functions. Each option is one field, with its help text.

`RunSpec` defines what a run computes; `cn.train`, the command line, `run.json` and resuming all use it. `Output` and
`Study` define where results go and how many runs there are. Needs neither torch nor numpy.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Self, TypeVar

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.text import _, command
from classicnets.values import RENAMED_SETTINGS, Recipe, current_names, stored_names

_Function = TypeVar("_Function", bound=Callable[..., Any])

ON_BAD_IMAGE = ("fail", "skip")
EXPORT_FORMATS = ("onnx", "torch", "web")
EXPORT_INPUTS = ("pixels", "float")
MAX_LOSS = 5.0  # percentage points of test accuracy that int8 quantization may cost by default
GROUPS = ("data", "recipe", "run", "machine", "output")  # headings of the help, in its order


@dataclass(frozen=True, kw_only=True)
class Option:
    """What the command line and the documentation need to know about an option.

    `help` is translated when it is shown; `group` is its heading, one of `GROUPS`, or "" for a positional argument,
    which takes `nargs` values as argparse spells it. `shown` is the default as a reader understands it, where it is
    not the value itself. `flag` is the spelling on the command line (None: from the field's name; "": not on the
    command line), and `old_flags` are former spellings, which still work there and as keywords in Python, with a note.
    `read` parses the value where the annotation does not say how, and raises ValueError. `minimum` and `maximum` are
    the range of a number. With `resumes`, a resumed run may be given another value: results do not depend on it.
    """

    help: str
    group: str = ""
    metavar: str = ""
    shown: str | None = None
    choices: Sequence[str] = ()
    flag: str | None = None
    read: Callable[[str], Any] | None = None
    nargs: str = ""
    minimum: float | None = None
    maximum: float | None = None
    resumes: bool = False
    old_flags: Sequence[str] = ()


def option(default: Any = MISSING, **about: Any) -> Any:
    """Return a dataclass field with the metadata of an `Option`.

    Args:
        default: default value, or a factory such as `dict`; an option without one is required.
        about: fields of `Option`.
    """
    metadata = {"option": Option(**about)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def about(f: Field[Any]) -> Option:
    """Return the `Option` metadata of a field that `option` has made."""
    metadata: Option = f.metadata["option"]
    return metadata


def read_count(text: str) -> int | None:
    """Parse an integer of at least 1, or "auto" as None; raise ValueError for anything else."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(_("{text}: must be auto or an integer of at least 1", text=text))
    return int(text)


def read_size(text: str) -> int:
    """Parse "300kB", "1.5MB" or "2000B" into bytes; raise ValueError for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB)", text, re.IGNORECASE)
    if not match:
        raise ValueError(_("{text} is not a size: must be a number with B, kB or MB", text=text))
    return int(float(match[1]) * {"b": 1, "kb": 1000, "mb": 1_000_000}[match[2].lower()])


# Options of several commands: keyword arguments of `option`.
DEVICE: dict[str, Any] = {"help": "device: auto, cpu, cuda, cuda:1, mps", "group": "machine", "metavar": "DEVICE"}
PRECISION: dict[str, Any] = {
    "help": "floating-point precision; auto: bfloat16 on hardware that supports it, for networks above 2M MACs",
    "group": "machine",
    "choices": machine.PRECISIONS,
}
SETTINGS: dict[str, Any] = {"group": "recipe", "flag": "--set", "shown": ""}
NET_FILE: dict[str, Any] = {
    "help": "file that defines the network, instead of the one that the run used",
    "group": "recipe",
    "metavar": "FILE.py:NET",
    "shown": "",
}
BAD_IMAGE: dict[str, Any] = {
    "help": "handling of images that cannot be read",
    "group": "data",
    "choices": ON_BAD_IMAGE,
}
TRUST: dict[str, Any] = {
    "help": "run Python code of a run folder from elsewhere, and use files that other programs have changed",
    "group": "machine",
}
MIN_CONFIDENCE: dict[str, Any] = {
    "help": "answer unknown if the largest probability, calibrated on validation images, is below this",
    "group": "output",
    "metavar": "P",
    "shown": "",
    "minimum": 0,
    "maximum": 1,
}
OFFLINE: dict[str, Any] = {"help": "do not download anything (as with CLASSICNETS_OFFLINE=1)", "group": "data"}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What a run computes, as the user has specified it; `training.plan` resolves it.

    `net` is a name of the registry, "file.py:net" or a run folder; "" for a module that is passed in Python.
    `settings` change the recipe, or the network if their names begin with `net.`; `variation` changes the network and
    has no such prefix.
    """

    net: str = option(
        "",
        help="name from `classicnets list`, file.py:net, or a run folder, whose network is built with new weights",
        metavar="NET",
        nargs="?",
    )

    data: str | None = option(
        None,
        help="data set, folder of images or of IDX files, or CSV file; with --resume, where that of the run is now",
        group="data",
        metavar="NAME",
        shown="the recipe's",
        resumes=True,
    )
    limit: int | None = option(
        None,
        help="number of training images, drawn at random with the seed",
        group="data",
        metavar="N",
        shown="all",
    )
    on_bad_image: str = option(ON_BAD_IMAGE[0], **BAD_IMAGE)
    loader_threads: int = option(
        0,
        help="number of threads that load batches in advance",
        group="data",
        metavar="N",
        minimum=0,
        resumes=True,
    )

    recipe: str | Recipe | None = option(
        None,
        help="source of the recipe",
        group="recipe",
        metavar="SOURCE",
        shown="chosen for a folder of images; else the one published for the network, or fast for your own",
    )
    settings: Mapping[str, Any] = option(
        dict,
        **SETTINGS,
        help="change the recipe (epochs=3) or the network (net.activation=relu)",
        metavar="KEY=VALUE",
    )
    variation: Mapping[str, Any] = option(dict, help="layers to replace, as in `vary`", flag="")
    weights: str | None = option(
        None,
        help="initialize with the weights of a file or run; the last layer is new if the classes differ",
        group="recipe",
        metavar="FILE",
        shown="",
    )

    seed: int = option(
        0, help="seed of all random numbers", group="run", metavar="N", minimum=-(2**63), maximum=2**63 - 1
    )

    device: str = option("auto", **DEVICE)
    precision: str | None = option(
        None,
        **PRECISION,
        shown="auto",
    )
    threads: int | None = option(
        None,
        help="number of CPU threads",
        group="machine",
        metavar="N",
        shown="all",
        read=read_count,
        minimum=1,
    )
    batch_threads: int | None = option(
        None,
        help="number of Python threads over which each batch is split",
        group="machine",
        metavar="N",
        shown="chosen by network and number of CPU threads",
        read=read_count,
        minimum=1,
    )
    keep_epochs: bool = option(
        False, help="keep the weights of every epoch, which `export --format web` then shows", group="run"
    )
    deterministic: bool = option(False, help="use only deterministic algorithms", group="machine")

    def __post_init__(self) -> None:
        for name in self.settings:
            if name in RENAMED_SETTINGS:
                note_new_spelling(name, RENAMED_SETTINGS[name])
        object.__setattr__(self, "settings", current_names(self.settings))
        for name in ("data", "weights"):
            if isinstance(path := getattr(self, name), Path):
                object.__setattr__(self, name, str(path))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON, with the keys of settings that `values.stored_names` gives."""
        values = asdict(self)
        if isinstance(self.recipe, Recipe):
            values["recipe"] = self.recipe.to_dict()
        return {**values, "settings": stored_names(self.settings), "variation": dict(self.variation)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return the spec in the facts of a run.json; for version 0.1, which has none, one from its other facts."""
        if "spec" not in facts:
            known = {f.name for f in fields(cls)} - {"net", "recipe"}
            return cls(**{key: value for key, value in facts.items() if key in known})
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in facts["spec"].items() if key in known}
        if isinstance(values.get("recipe"), dict):
            values["recipe"] = Recipe.from_dict(values["recipe"])
        return cls(**{**values, "settings": current_names(values.get("settings", {}))})

    def with_seed(self, seed: int) -> Self:
        """Return a copy with another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run is saved, how its progress is reported and what it may open; results do not depend on it."""

    runs: str = option("runs", help="folder in which run folders are created", group="output", metavar="FOLDER")
    save_every: float = option(
        300.0, help="seconds between checkpoints within an epoch", group="output", metavar="SECONDS", minimum=0
    )
    tensorboard: bool = option(False, help="write scalars for TensorBoard to RUN/tensorboard", group="output")
    quiet: bool = option(False, help="do not show progress", flag="")
    trust: bool = option(False, **TRUST)

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class Study:
    """Several runs of one spec with consecutive seeds."""

    seeds: int | None = option(
        None,
        help="number of runs with consecutive seeds, starting with --seed; reports their mean and spread",
        group="run",
        metavar="N",
        shown="1",
        minimum=1,
    )
    parallel_runs: int | None = option(
        None,
        help="number of runs in parallel",
        group="run",
        metavar="N",
        shown="chosen by timing a few steps",
        read=int,
        minimum=1,
        old_flags=("--side-by-side",),
    )

    def __post_init__(self) -> None:
        check_options(self)


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a run is exported. `max_loss` is in percentage points of test accuracy, `size_budget` in bytes.

    Raises:
        UsageError: CN206 for an unknown format, and for an option that has no effect with the others; CN204 for a value
            of the wrong type or out of range.
    """

    format: str = option(
        "onnx",
        help="ONNX file, torch program (.pt2), or web page that shows every layer and calculation",
        group="output",
        choices=EXPORT_FORMATS,
    )
    input: str = option(
        EXPORT_INPUTS[0],
        help="input of an ONNX file: pixels of images of any size, or float: one resized image, plain operators only",
        group="output",
        choices=EXPORT_INPUTS,
    )
    single_file: bool = option(
        False, help="write the web page as one HTML file, which opens without a web server", group="output"
    )
    min_confidence: float | None = option(None, **MIN_CONFIDENCE)
    int8: bool = option(False, help="quantize to int8, calibrated on training images", group="output")
    max_loss: float | None = option(
        None,
        help="largest drop of test accuracy that --int8 may cause, in percentage points",
        group="output",
        metavar="POINTS",
        shown=f"{MAX_LOSS:g}",
    )
    size_budget: int | None = option(
        None,
        help="write the most accurate file up to this size, such as 300kB, using int8, low-rank dense layers, or both",
        group="output",
        metavar="SIZE",
        shown="",
        read=read_size,
    )
    data: str | None = option(
        None,
        help="where the data of the run is now, if it has moved",
        group="data",
        metavar="DATA",
        shown="where it was",
    )
    license: str = option(
        "unknown",
        help="license of the weights, written to the file",
        group="output",
        metavar="TEXT",
        old_flags=("--licence",),
    )

    def __post_init__(self) -> None:
        if isinstance(data := getattr(self, "data"), Path):  # noqa: B009 (a caller may pass a path)
            object.__setattr__(self, "data", str(data))
        if self.format not in EXPORT_FORMATS:
            raise UsageError("CN206", _("unknown export format {name!r}", name=self.format), hint="--format onnx")
        if self.format == "torch" and (self.int8 or self.size_budget is not None):
            raise UsageError("CN206", _("--int8 and --size-budget require the ONNX format"), hint="--format onnx")
        if self.format == "web" and self.size_budget is not None:
            raise UsageError(
                "CN206",
                _("--size-budget has no effect on a web page, whose network is shown as it was trained"),
                hint=command("--format", "onnx"),
            )
        if self.single_file and self.format != "web":
            raise UsageError(
                "CN206",
                _("--single-file has no effect without --format web"),
                hint=command("--format", "web", "--single-file"),
            )
        if self.input == "float" and (self.format != "onnx" or self.int8 or self.size_budget is not None):
            raise UsageError(
                "CN206",
                _("--input float is a plain ONNX file: it has no other format, no int8 and no size budget"),
                hint="--input float",
            )
        if self.max_loss is not None and self.size_budget is not None:
            raise UsageError(
                "CN206",
                _("--max-loss has no effect with --size-budget, which writes the most accurate file that fits"),
                where=command("--max-loss", f"{self.max_loss:g}"),
                hint=command("--size-budget", f"{self.size_budget}B"),
            )
        if self.max_loss is not None and not self.int8:
            raise UsageError(
                "CN206",
                _("--max-loss has no effect without --int8"),
                where=command("--max-loss", f"{self.max_loss:g}"),
                hint=command("--int8", "--max-loss", f"{self.max_loss:g}"),
            )
        check_options(self)


def option_fields(kind: type) -> list[Field[Any]]:
    """Return the fields of a dataclass that `option` has made."""
    return [f for f in fields(kind) if "option" in f.metadata]


def default_text(f: Field[Any]) -> str:
    """Return the default value as the help shows it; "" if there is nothing to show."""
    shown = about(f).shown
    if shown is not None:
        return _(shown) if shown else ""
    if f.default is MISSING or f.default is None or f.default is False or f.default == "":
        return ""
    return f"{f.default:g}" if isinstance(f.default, float) else str(f.default)


def run_spec(net: Any, /, **options: Any) -> tuple[RunSpec, Any | None]:
    """Make a RunSpec from the arguments of a call such as cn.train("lenet_d2l", seed=1, epochs=3).

    Args:
        net: a registry name, "file.py:net", a run folder, a RunSpec, or a module.
        options: fields of RunSpec; all others are settings of the recipe.

    Returns:
        The spec, and the module if `net` is one, else None.
    """
    options = rename_old(options, RunSpec)
    known = {f.name for f in fields(RunSpec)}
    own = {key: value for key, value in options.items() if key in known}
    settings = {key: value for key, value in options.items() if key not in known}
    if isinstance(net, RunSpec):
        settings = {**net.settings, **own.pop("settings", {}), **settings}
        return replace(net, **own, settings=settings), None
    own["settings"] = {**(own.get("settings") or {}), **settings}
    own["variation"] = dict(own.get("variation") or {})
    if isinstance(net, str | Path):
        return RunSpec(net=str(net), **own), None
    return RunSpec(**own), net


def split_options(options: Mapping[str, Any], *kinds: type) -> tuple[list[Any], dict[str, Any]]:
    """Make an instance of each dataclass in `kinds` from its options; return these and the remaining options."""
    remaining, instances = rename_old(options, *kinds), []
    for kind in kinds:
        own = {f.name: remaining.pop(f.name) for f in fields(kind) if f.name in remaining}
        instances.append(kind(**{key: str(value) if isinstance(value, Path) else value for key, value in own.items()}))
    return instances, remaining


def rename_old(options: Mapping[str, Any], *kinds: type) -> dict[str, Any]:
    """Replace former spellings of keyword arguments, as listed in the dataclasses `kinds`; print a note for each."""
    renamed = dict(options)
    for f in (f for kind in kinds for f in option_fields(kind)):
        for old in (flag.removeprefix("--").replace("-", "_") for flag in about(f).old_flags):
            if old in renamed:
                note_new_spelling(old, f.name)
                renamed[f.name] = renamed.pop(old)
    return renamed


def note_new_spelling(old: str, new: str) -> None:
    """Print to standard error that an option or a setting has been renamed."""
    print(_("note: {old} is now spelled {new}", old=old, new=new), file=sys.stderr)


def documented(*kinds: type) -> Callable[[_Function], _Function]:
    """Decorator that adds the options of these dataclasses to a function's signature and docstring.

    `help(cn.train)` and notebooks then show each option with its default.
    """

    def decorate(function: _Function) -> _Function:
        signature = inspect.signature(function)
        options = [f for kind in kinds for f in option_fields(kind) if f.name not in signature.parameters]
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        var_keyword = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        added = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if f.default is MISSING else f.default,
                annotation=f.type,
            )
            for f in options
        ]
        function.__signature__ = signature.replace(parameters=[*own, *added, *var_keyword])  # type: ignore[attr-defined]
        lines = [f"    {f.name}: {about(f).help}{_default_note(f)}." for f in options]
        function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines])
        return function

    return decorate


def _default_note(f: Field[Any]) -> str:
    text = default_text(f)
    return f" (default: {text})" if text else ""


def check_spec(spec: RunSpec) -> None:
    """Raise UsageError CN204 for values of the wrong type, out of range, or in contradiction to each other."""
    check_options(spec)
    if spec.limit is not None and spec.limit < 1:
        raise UsageError("CN204", _("--limit {n}: must be at least one image", n=spec.limit), hint="--limit 512")
    precision = str(spec.settings.get("precision", spec.precision))
    if spec.precision is not None and precision != spec.precision:
        raise UsageError(
            "CN204",
            _("the precision is given twice, with different values"),
            where=command("--precision", spec.precision, "--set", f"precision={precision}"),
            hint=command("--precision", spec.precision),
        )


def check_options(options: Any) -> None:
    """Raise UsageError CN204 for values of the wrong type, out of range, or not one of the choices; with all of them.

    Args:
        options: an instance of a dataclass of options.
    """
    problems = [(f, why) for f in option_fields(type(options)) if (why := _problem(f, getattr(options, f.name)))]
    if problems:
        raise UsageError(
            "CN204",
            "; ".join(why for _f, why in problems),
            where=", ".join(f"{_spelling(f)} {getattr(options, f.name)}" for f, _why in problems),
            hint=" ".join(_valid_option(f) for f, _why in problems),
        )


def _problem(f: Field[Any], value: Any) -> str:
    """Why a value is not valid for an option; "" if it is."""
    kinds = [kind.strip() for kind in str(f.type).split("|")]
    about_f, fields_of_text = about(f), {"option": _spelling(f), "value": value}
    if value is None and "None" in kinds:
        return ""
    if kinds[0] == "bool" and not isinstance(value, bool):
        return _("{option} must be true or false, not {value!r}", **fields_of_text)
    if kinds[0] in {"int", "float"}:
        numbers = (int, Integral) if kinds[0] == "int" else (int, float, Real)
        if isinstance(value, bool) or not isinstance(value, numbers) or value != value:  # noqa: PLR0124 (NaN)
            if kinds[0] == "int":
                return _("{option} must be an integer, not {value!r}", **fields_of_text)
            return _("{option} must be a number, not {value!r}", **fields_of_text)
        number: Any = value
        if about_f.minimum is not None and number < about_f.minimum:
            return _("{option} must be at least {minimum}, not {value}", minimum=about_f.minimum, **fields_of_text)
        if about_f.maximum is not None and number > about_f.maximum:
            return _("{option} must be at most {maximum}, not {value}", maximum=about_f.maximum, **fields_of_text)
    if kinds[0] == "str" and not isinstance(value, Recipe):
        if not isinstance(value, str):
            return _("{option} must be text, not {value!r}", **fields_of_text)
        if not value and f.default != "":
            return _("{option} must not be empty", **fields_of_text)
        if about_f.choices and value not in about_f.choices:
            return _("{option} must be {names}, not {value!r}", names=one_of(about_f.choices), **fields_of_text)
    return ""


def one_of(choices: Sequence[str]) -> str:
    """List choices: "fail or skip", "auto, float32 or bfloat16"."""
    return _("{names} or {last}", names=", ".join(choices[:-1]), last=choices[-1])


def _spelling(f: Field[Any]) -> str:
    """An option as it is spelled on the command line, or its name if it is only for Python."""
    flag = about(f).flag
    return f.name if flag == "" else flag or "--" + f.name.replace("_", "-")


def _valid_option(f: Field[Any]) -> str:
    """An option with a valid value: its default, else a choice, else its smallest value."""
    value = f.default if f.default not in {None, MISSING} else next(iter(about(f).choices), about(f).minimum)
    return _("without {option}", option=_spelling(f)) if value is None else f"{_spelling(f)} {value}"
