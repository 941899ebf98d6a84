"""What a user can ask for. An option is one field here, with its help text, and one place that uses it.

`RunSpec` says what a run computes: `cn.train`, the command line, `run.json` and resuming all go through it.
`Output` and `Study` say where results go and how many runs there are. Needs neither torch nor numpy.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Self

from classicnets import machine
from classicnets.errors import UsageError
from classicnets.text import _
from classicnets.values import RENAMED_SETTINGS, Recipe, current_names, stored_names

ON_BAD_IMAGE = ("fail", "skip")
EXPORT_FORMATS = ("onnx", "torch")
GROUPS = ("data", "recipe", "run", "machine", "output")  # in which order help shows the options


@dataclass(frozen=True, kw_only=True)
class Option:
    """What the command line and the documentation need to know about an option.

    `help` is translated when it is shown; `group` is its heading, one of `GROUPS`, or "" for a positional argument,
    which takes `nargs` values as argparse spells it. `shown` is the default as a reader understands it, where it is
    not the value itself. `flag` is the spelling on the command line (None: from the field's name; "": not on the
    command line), and `old_flags` are former spellings, which still work there and as keywords in Python, with a note.
    `read` parses the value where the annotation does not say how, and raises ValueError. With `resumes`, a resumed run
    may be given another value: results do not depend on it.
    """

    help: str
    group: str = ""
    metavar: str = ""
    shown: str | None = None
    choices: Sequence[str] = ()
    flag: str | None = None
    read: Callable[[str], Any] | None = None
    nargs: str = ""
    resumes: bool = False
    old_flags: Sequence[str] = ()


def option(default: Any = MISSING, **about: Any) -> Any:
    """A dataclass field that is an option, with its default (or what makes it, as `dict`) and the facts of `Option`."""
    metadata = {"option": Option(**about)}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(metadata=metadata) if default is MISSING else field(default=default, metadata=metadata)


def about(f: Field[Any]) -> Option:
    """What is known of the option that a field is."""
    found: Option = f.metadata["option"]
    return found


def read_count(text: str) -> int | None:
    """The number in `text`, at least 1; None for "auto"."""
    if text == "auto":
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(_("{text}: must be auto, or a whole number from 1 on").format(text=text))
    return int(text)


def read_size(text: str) -> int:
    """Bytes of "300kB", "1.5MB" or "2000B"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|kB|MB)", text, re.IGNORECASE)
    if not match:
        raise ValueError(_("{text} is not a size: a number with B, kB or MB").format(text=text))
    return int(float(match[1]) * {"b": 1, "kb": 1000, "mb": 1_000_000}[match[2].lower()])


# Options that several commands have.
DEVICE: dict[str, Any] = {"help": "auto, cpu, cuda, cuda:1, mps", "group": "machine", "metavar": "DEVICE"}
NET_FILE: dict[str, Any] = {
    "help": "build the network from here instead of where the run had it",
    "group": "recipe",
    "metavar": "FILE.py:NET",
    "shown": "",
}
OFFLINE: dict[str, Any] = {"help": "fetch nothing, as with CLASSICNETS_OFFLINE=1", "group": "data"}


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """What a run computes, as it was asked for: nothing is resolved yet (see `training.plan`).

    `net` is a name of the registry, "file.py:net" or a run folder; "" for a module that is passed in Python.
    `settings` change the recipe, or with names that begin with `net.` the network; `variation` does the latter without
    the prefix.
    """

    net: str = option(
        "",
        help="a name of `classicnets list`, file.py:net, or a run whose network is built afresh",
        metavar="NET",
        nargs="?",
    )

    data: str | None = option(
        None,
        help="a data set, a folder of images or of IDX files, or a CSV",
        group="data",
        metavar="NAME",
        shown="the recipe's",
    )
    limit: int | None = option(
        None, help="train on the first N images of the seed's order", group="data", metavar="N", shown="all"
    )
    on_bad_image: str = option(
        ON_BAD_IMAGE[0], help="what to do with an image that cannot be read", group="data", choices=ON_BAD_IMAGE
    )
    loader_threads: int = option(
        0, help="number of threads that prepare batches ahead", group="data", metavar="N", resumes=True
    )

    recipe: str | Recipe | None = option(
        None,
        help="source of the recipe",
        group="recipe",
        metavar="SOURCE",
        shown="the one published for the network; fast for your own",
    )
    settings: Mapping[str, Any] = option(
        dict,
        help="change the recipe (epochs=3), or the network (net.activation=relu)",
        group="recipe",
        metavar="KEY=VALUE",
        flag="--set",
        shown="",
    )
    variation: Mapping[str, Any] = option(dict, help="layers to exchange, as `vary` does", flag="")
    weights: str | None = option(
        None,
        help="initialize with the weights of a file or a run; a new head where the classes differ",
        group="recipe",
        metavar="FILE",
        shown="",
    )

    seed: int = option(0, help="seed of everything random", group="run", metavar="N")

    device: str = option("auto", **DEVICE)
    precision: str | None = option(
        None,
        help="floating-point precision of training; auto: bfloat16 where the hardware supports it and the network is"
        " large",
        group="machine",
        choices=machine.PRECISIONS,
        shown="auto",
    )
    threads: int | None = option(
        None,
        help="number of CPU threads; auto: all",
        group="machine",
        metavar="N",
        shown="auto",
        read=read_count,
    )
    batch_threads: int | None = option(
        None,
        help="number of Python threads that share each batch; auto: by network and number of CPU threads",
        group="machine",
        metavar="N",
        shown="auto",
        read=read_count,
    )
    deterministic: bool = option(False, help="refuse algorithms that are not deterministic", group="machine")

    def __post_init__(self) -> None:
        for name in self.settings:
            if name in RENAMED_SETTINGS:
                note_new_spelling(name, RENAMED_SETTINGS[name])
        object.__setattr__(self, "settings", current_names(self.settings))

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON, with the keys of settings that `values.stored_names` gives."""
        values = asdict(self)
        if isinstance(self.recipe, Recipe):
            values["recipe"] = self.recipe.to_dict()
        return {**values, "settings": stored_names(self.settings), "variation": dict(self.variation)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The spec in a run.json; for a run of version 0.1, which has none, from what it says instead."""
        if "spec" not in facts:
            known = {f.name for f in fields(cls)} - {"net", "recipe"}
            return cls(**{key: value for key, value in facts.items() if key in known})
        known = {f.name for f in fields(cls)}
        values = {key: value for key, value in facts["spec"].items() if key in known}
        if isinstance(values.get("recipe"), dict):
            values["recipe"] = Recipe.from_dict(values["recipe"])
        return cls(**{**values, "settings": current_names(values.get("settings", {}))})

    def with_seed(self, seed: int) -> Self:
        """The same with another seed."""
        return replace(self, seed=seed)


@dataclass(frozen=True, kw_only=True)
class Output:
    """Where a run goes and what is shown of it; results do not depend on it."""

    runs: str = option("runs", help="folder for run folders", group="output", metavar="FOLDER")
    save_every: float = option(
        300.0, help="save also within an epoch, after so many seconds", group="output", metavar="SECONDS"
    )
    tensorboard: bool = option(False, help="also write scalars to RUN/tensorboard", group="output")
    quiet: bool = option(False, help="show no progress", flag="")


@dataclass(frozen=True, kw_only=True)
class Study:
    """Several runs of one spec, with `seed` and the seeds after it."""

    seeds: int | None = option(
        None,
        help="number of runs, with this seed and those after it; mean and spread are reported",
        group="run",
        metavar="N",
        shown="1",
    )
    parallel_runs: int | None = option(
        None,
        help="number of runs in parallel",
        group="run",
        metavar="N",
        shown="chosen by timing a few steps",
        read=int,
        old_flags=("--side-by-side",),
    )


@dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """How a run is exported. `max_loss` is in percentage points of test accuracy, `size_budget` in bytes.

    Raises UsageError CN206 for an unknown format, and for `int8` or `size_budget` with a format other than ONNX.
    """

    format: str = option("onnx", help="onnx, or torch for a .pt2", group="output", choices=EXPORT_FORMATS)
    int8: bool = option(False, help="int8 quantization, calibrated on training images", group="output")
    max_loss: float = option(
        5.0, help="refuse --int8 that costs more test accuracy than this", group="output", metavar="POINTS"
    )
    size_budget: int | None = option(
        None,
        help="the most accurate file within 300kB, say: int8, dense layers narrowed, or both",
        group="output",
        metavar="SIZE",
        shown="",
        read=read_size,
    )
    license: str = option(
        "unknown",
        help="license of the weights, written into the file",
        group="output",
        metavar="TEXT",
        old_flags=("--licence",),
    )

    def __post_init__(self) -> None:
        if self.format not in EXPORT_FORMATS:
            raise UsageError("CN206", f"there is no export format {self.format}", hint="--format onnx")
        if self.format != "onnx" and (self.int8 or self.size_budget is not None):
            raise UsageError("CN206", "--int8 and --size-budget make ONNX files", hint="--format onnx")


def option_fields(kind: type) -> list[Field[Any]]:
    """The fields of an options dataclass that were made by `option`."""
    return [f for f in fields(kind) if "option" in f.metadata]


def default_text(f: Field[Any]) -> str:
    """The default of an option as a reader understands it; "" where there is nothing to say."""
    shown = about(f).shown
    if shown is not None:
        return _(shown) if shown else ""
    if f.default is MISSING or f.default is None or f.default is False or f.default == "":
        return ""
    return f"{f.default:g}" if isinstance(f.default, float) else str(f.default)


def run_spec(net: Any, /, **options: Any) -> tuple[RunSpec, Any | None]:
    """The spec of a network and options given in Python, and the module if `net` is one.

    `net` is text (a registry name, file.py:net, a run), a RunSpec, or a module. Options that RunSpec does not have
    are settings of the recipe: run_spec("lenet_d2l", seed=1, epochs=3).
    """
    known = {f.name for f in fields(RunSpec)}
    own = {key: value for key, value in options.items() if key in known}
    settings = {key: value for key, value in options.items() if key not in known}
    for key in ("data", "weights"):
        if isinstance(own.get(key), Path):
            own[key] = str(own[key])
    if isinstance(net, RunSpec):
        settings = {**net.settings, **own.pop("settings", {}), **settings}
        return replace(net, **own, settings=settings), None
    own["settings"] = {**(own.get("settings") or {}), **settings}
    own["variation"] = dict(own.get("variation") or {})
    if isinstance(net, str | Path):
        return RunSpec(net=str(net), **own), None
    return RunSpec(**own), net


def split_options(options: Mapping[str, Any], *kinds: type) -> tuple[list[Any], dict[str, Any]]:
    """An instance of each of the dataclasses `kinds` from the options that it has, and the options that none has."""
    left, made = rename_old(options, *kinds), []
    for kind in kinds:
        own = {f.name: left.pop(f.name) for f in fields(kind) if f.name in left}
        made.append(kind(**{key: str(value) if isinstance(value, Path) else value for key, value in own.items()}))
    return made, left


def rename_old(options: Mapping[str, Any], *kinds: type) -> dict[str, Any]:
    """Options given in Python, with the former spellings in the dataclasses `kinds` replaced; notes each of them."""
    renamed = dict(options)
    for f in (f for kind in kinds for f in option_fields(kind)):
        for old in (flag.removeprefix("--").replace("-", "_") for flag in about(f).old_flags):
            if old in renamed:
                note_new_spelling(old, f.name)
                renamed[f.name] = renamed.pop(old)
    return renamed


def note_new_spelling(old: str, new: str) -> None:
    """Prints on standard error that an option or a setting has a new name."""
    print(_("note: {old} is now spelled {new}", old=old, new=new), file=sys.stderr)


def documented(*kinds: type) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorator: puts the options of these dataclasses into a function's signature and docstring.

    So `help(cn.train)` and a notebook show each option with its default, though it is written down once.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        signature = inspect.signature(function)
        shown = [f for kind in kinds for f in option_fields(kind) if f.name not in signature.parameters]
        own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        rest = [p for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD]
        named = [
            inspect.Parameter(
                f.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=None if f.default is MISSING else f.default,
                annotation=f.type,
            )
            for f in shown
        ]
        function.__signature__ = signature.replace(parameters=[*own, *named, *rest])  # type: ignore[attr-defined]
        lines = [f"    {f.name}: {about(f).help}{_default_note(f)}." for f in shown]
        function.__doc__ = "\n".join([inspect.cleandoc(function.__doc__ or ""), "", "Options:", *lines])
        return function

    return decorate


def _default_note(f: Field[Any]) -> str:
    text = default_text(f)
    return f" (default: {text})" if text else ""


def check_spec(spec: RunSpec) -> None:
    """Raises UsageError CN204 for a value that no run can have."""
    if spec.limit is not None and spec.limit < 1:
        raise UsageError("CN204", f"--limit {spec.limit}: at least one image is needed", hint="--limit 512")
    if spec.on_bad_image not in ON_BAD_IMAGE:
        choices = " or ".join(ON_BAD_IMAGE)
        raise UsageError("CN204", f"on_bad_image={spec.on_bad_image!r}: must be {choices}", hint="--on-bad-image skip")
