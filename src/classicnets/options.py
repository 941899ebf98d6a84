"""How an option of the command line and of the Python functions is defined, read, checked and documented.

An option is a field of a dataclass: those of a run are in `spec.py`, those of one command in the file of the command.
Needs neither torch nor numpy.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

from classicnets.errors import UsageError
from classicnets.language import LANGUAGES
from classicnets.text import N_, _, clauses, note

_Function = TypeVar("_Function", bound=Callable[..., Any])

GROUPS = (
    N_("network"),
    N_("preprocessing"),
    N_("data"),
    N_("recipe"),
    N_("run"),
    N_("access"),
    N_("limits"),
    N_("processes"),
    N_("machine"),
    N_("output"),
)  # headings of the help, in its order


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


def check_language(language: str, where: str = "") -> None:
    """Raise UsageError CN204 if the language is not available.

    Args:
        language: "en" or "zh", or a locale such as "zh_CN.UTF-8"; "" is the default.
        where: What the language was given to.
    """
    if language and not language.lower().startswith(LANGUAGES):
        raise UsageError(
            "CN204",
            _("the language {language!r} is not available", language=language),
            where=where,
            hint=_("use one of: {languages}", languages=", ".join(LANGUAGES)),
        )


def option_fields(kind: type) -> list[Field[Any]]:
    """Return the fields of a dataclass that `option` has made."""
    return [f for f in fields(kind) if "option" in f.metadata]


def option_words(values: Mapping[str, Any], *kinds: type) -> list[str]:
    """Return the words of a command line that give options these values: positional arguments, then the others.

    Args:
        values: by the names of fields, in the order of the words; an option with None or False is left out.
        kinds: the dataclasses of these options.
    """
    given = {name: value for name, value in values.items() if value is not None and value is not False}
    known = {f.name: f for kind in kinds for f in option_fields(kind) if f.name in given and about(f).flag != ""}
    words = [word for f in known.values() if not about(f).group for word in _value_words(f, given[f.name])]
    for f in (known[name] for name in given if name in known and about(known[name]).group):
        flag, texts = spelling(f), _value_words(f, given[f.name])
        joined = len(texts) == 1 and texts[0].startswith("-")  # otherwise it would be taken for an option
        words += [f"{flag}={texts[0]}"] if joined else [flag, *texts]
    return words


def _value_words(f: Field[Any], value: Any) -> list[str]:
    """The words of the value of an option."""
    if value is True:
        return []
    if isinstance(value, Mapping):
        return [f"{key}={text}" for key, text in value.items()]
    if isinstance(value, list | tuple):
        return [*map(str, value)]
    if isinstance(value, float):
        return [str(value).removesuffix(".0")]
    return [f"{value}B" if about(f).read is read_size else str(value)]


def default_text(f: Field[Any]) -> str:
    """Return the default value as the help shows it; "" if there is nothing to show."""
    shown = about(f).shown
    if shown is not None:
        return _(shown) if shown else ""
    if f.default is MISSING or f.default is None or f.default is False or f.default == "":
        return ""
    return f"{f.default:g}" if isinstance(f.default, float) else str(f.default)


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
    note(_("note: {old} is now spelled {new}", old=old, new=new))


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


def check_options(options: Any) -> None:
    """Raise UsageError CN204 for values of the wrong type, out of range, or not one of the choices; with all of them.

    Args:
        options: an instance of a dataclass of options.
    """
    problems = [(f, why) for f in option_fields(type(options)) if (why := _problem(f, getattr(options, f.name)))]
    if problems:
        raise UsageError(
            "CN204",
            clauses(why for _f, why in problems),
            where=", ".join(f"{spelling(f)} {getattr(options, f.name)}" for f, _why in problems),
            hint=" ".join(_valid_option(f) for f, _why in problems),
        )


def _problem(f: Field[Any], value: Any) -> str:
    """Why a value is not valid for an option; "" if it is."""
    kinds = [kind.strip() for kind in str(f.type).split("|")]
    about_f, fields_of_text = about(f), {"option": spelling(f), "value": value}
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
    if kinds[0] == "str" and type(value).__name__ not in kinds[1:]:
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


def spelling(f: Field[Any]) -> str:
    """Return an option as it is spelled on the command line, or its name if it is only for Python."""
    flag = about(f).flag
    return f.name if flag == "" else flag or "--" + f.name.replace("_", "-")


def _valid_option(f: Field[Any]) -> str:
    """An option with a valid value: its default, else a choice, else its smallest value."""
    value = f.default if f.default not in {None, MISSING} else next(iter(about(f).choices), about(f).minimum)
    return _("without {option}", option=spelling(f)) if value is None else f"{spelling(f)} {value}"
