"""Makes argparse arguments from dataclasses of options (see `classicnets.options`), grouped and with their defaults."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import Field, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from classicnets.cli.argparse_texts import translated
from classicnets.errors import UsageError
from classicnets.language import LANGUAGES
from classicnets.options import (
    GROUPS,
    about,
    check_options,
    default_text,
    note_new_spelling,
    option,
    option_fields,
    option_words,
    spelling,
)
from classicnets.report.output import print
from classicnets.text import _, command, nearest, note, wrap

Options = TypeVar("Options")


@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    json: bool = option(False, help="print one JSON document on standard output", group="output")
    debug: bool = option(False, help="show the traceback of an error", group="output")
    lang: str | None = option(
        None,
        help="language of all texts (default: that of CLASSICNETS_LANG, otherwise of the locale)",
        group="output",
        choices=LANGUAGES,
    )


def nothing_instead(_option: str) -> str:
    """Return no hint for an option of another command."""
    return ""


@dataclass(frozen=True)
class Action:
    """A subcommand: its help text, its dataclasses of options, and the function that runs it.

    `instead` returns a hint for an option of another command, "" if it knows none.
    """

    help: str
    options: tuple[type, ...]
    run: Callable[[argparse.Namespace], int]
    instead: Callable[[str], str] = nothing_instead


class Parser(argparse.ArgumentParser):
    """An argument parser that raises UsageError instead of exiting."""

    words: Sequence[str] = ()  # those that are parsed

    def __init__(self, **settings: Any):
        defaults: dict[str, Any] = {"formatter_class": _Formatter, "add_help": False}
        super().__init__(**{**defaults, **settings})
        self._positionals.title, self._optionals.title = _("positional arguments"), _("options")
        self.add_argument("-h", "--help", action="help", help=_("show this help and exit"))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse words as argparse does."""
        self.words = sys.argv[1:] if args is None else [*args]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """Raise UsageError CN206; the hint is the nearest subcommand, the option with a valid value, or a file."""
        raise UsageError(
            "CN206", translated(message), where=self.prog, hint=dashed_file(self.words) or self._repair(message)
        )

    def format_help(self) -> str:
        """Return the help; argparse ends all headings with a colon of ASCII."""
        return re.sub(
            r"^(\S*[^\x00-\x7f]):$",
            lambda heading: _("{heading}:", heading=heading[1]),
            super().format_help(),
            flags=re.M,
        )

    def print_help(self, file: Any = None) -> None:
        """Print the help; argparse would ignore that it cannot be written."""
        print(self.format_help(), end="", file=file)

    def _repair(self, message: str) -> str:
        """What to type instead, for the errors of argparse about one argument."""
        programs, show_help = self.prog.split(), command(*self.prog.split(), "--help")
        about_argument = re.match(r"argument (\S+): (?:invalid \w+(?: value)?: '([^']*)')?", message)
        if not about_argument:
            return show_help
        argument, value = about_argument[1], about_argument[2] or ""
        if argument == "ACTION":
            actions = next(action for action in self._actions if action.choices and not action.option_strings)
            near = nearest(value, map(str, actions.choices or ()))
            return command(*programs, near) if near else show_help
        flag = argument.split("/")[-1]
        option = self._option_string_actions.get(flag)
        if option is None:
            return show_help
        if message.endswith("expected one argument"):
            given = next((word for before, word in pairwise(self.words) if before == flag), "")
            if given and given not in self._option_string_actions:  # a value that begins with a dash
                return command(flag, Path(given))
        choices = [str(choice) for choice in option.choices or ()]
        if choices:
            return command(flag, nearest(value, choices) or choices[0])
        if option.type in {int, float}:
            return command(flag, "1")
        return command(flag, str(option.metavar)) if isinstance(option.metavar, str) and not value else show_help


def add(parser: argparse.ArgumentParser, *kinds: type) -> None:
    """Add the options of dataclasses: first the positional arguments, then the groups in the order of `GROUPS`.

    The namespace contains only the options that the user gave; see `given`.
    """
    shown_fields = [f for kind in (*kinds, Common) for f in option_fields(kind) if about(f).flag != ""]
    positional = [f for f in shown_fields if not about(f).group]
    parser.usage = " ".join(["%(prog)s", *map(_usage, positional), "[OPTIONS]"])
    for f in positional:
        nargs: dict[str, Any] = {"nargs": about(f).nargs} if about(f).nargs else {}
        parser.add_argument(f.name, metavar=_name(f), help=_help(f), default=argparse.SUPPRESS, **nargs)
    for title in GROUPS:
        options = [f for f in shown_fields if about(f).group == title]
        if options:
            group = parser.add_argument_group(_(title))
            for f in options:
                shared: dict[str, Any] = {"dest": f.name, "default": argparse.SUPPRESS}
                action = group.add_argument(*_flags(f), help=_help(f), **shared, **_action(f))
                shared |= {"nargs": action.nargs, "type": action.type, "choices": action.choices}
                for old in about(f).old_flags:
                    group.add_argument(old, help=argparse.SUPPRESS, action=_old_flag(action), **shared)


def _old_flag(current: argparse.Action) -> type[argparse.Action]:
    """The action of a former spelling: prints a note and sets the current option."""

    class OldFlag(argparse.Action):
        def __call__(
            self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, flag: str | None = None
        ) -> None:
            note_new_spelling(str(flag), current.option_strings[0])
            current(parser, namespace, values, flag)

    return OldFlag


def language(words: Sequence[str]) -> str | None:
    """Return the language that the words of a command line choose, before they are parsed; None for no valid one."""
    chosen = [word.removeprefix("--lang=") for word in words if word.startswith("--lang=")]
    chosen += [value for option, value in pairwise(words) if option == "--lang"]
    return next((value for value in chosen if value in LANGUAGES), None)


def given(args: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the options of a dataclass that the user gave, by name."""
    return {f.name: getattr(args, f.name) for f in option_fields(kind) if hasattr(args, f.name)}


def read(args: argparse.Namespace, kind: type[Options]) -> Options:
    """Return an instance of a dataclass of options, with the defaults for those that the user did not give.

    Raises:
        UsageError: CN204, a value is out of range.
    """
    values = given(args, kind)
    for f in option_fields(kind):
        if f.name in values and str(f.type).startswith("Mapping"):
            values[f.name] = settings(values[f.name], spelling(f))
    options = kind(**values)
    check_options(options)
    return options


def words(args: argparse.Namespace, **changes: object) -> list[str]:
    """Return the words that give the command the options that the user gave, except for these changes."""
    return option_words(vars(args) | changes, *args.kinds, Common)


def reject(args: argparse.Namespace, kinds: Sequence[type], names: Collection[str], reason: str, hint: str) -> None:
    """Raise UsageError CN206 if the user gave options that have no effect.

    Args:
        args: the parsed command line.
        kinds: the dataclasses of options of the command.
        names: the names of the options that have no effect.
        reason: why, as a sentence.
        hint: what to type instead.
    """
    fields = [f for kind in kinds for f in option_fields(kind) if f.name in names and hasattr(args, f.name)]
    if fields:
        flags = ", ".join(spelling(f) if about(f).group else str(getattr(args, f.name)) for f in fields)
        raise UsageError(
            "CN206", _("{options} has no effect here", options=flags), where=args.parser.prog, why=reason, hint=hint
        )


def settings(pairs: Sequence[str], flag: str = "--set") -> dict[str, str]:
    """Parse the KEY=VALUE pairs of an option; of a key that is set twice, the last value counts, with a note.

    Raises:
        UsageError: CN204, a pair has no value.
    """
    for pair in pairs:
        if "=" not in pair:
            raise UsageError(
                "CN204",
                _("{option} {pair} has no value", option=flag, pair=pair),
                why=_("they have the form KEY=VALUE, and NET comes before {option}", option=flag)
                if flag != "--set"
                else _("settings have the form KEY=VALUE, and NET comes before --set"),
                hint=command(flag, f"{pair}=VALUE"),
            )
    values: dict[str, str] = {}
    for key, value in (pair.split("=", 1) for pair in pairs):
        if values.get(key, value) != value:
            message = _(
                "note: {key} is set twice, to {first} and {last}; {last} is used",
                key=key,
                first=values[key],
                last=value,
            )
            note(message)
        values[key] = value
    return values


def dashed_file(words: Sequence[str]) -> str:
    """A hint for the first word that is a file, and no option, although it begins with a dash; "" if there is none."""
    file = next((word for word in words if word.startswith("-") and word != "-" and os.path.lexists(word)), "")
    return _("{path}   # a file whose name begins with a dash", path=command(Path(file))) if file else ""


def unknown(parser: argparse.ArgumentParser, text: str, instead: Callable[[str], str]) -> UsageError:
    """Return the error for an unknown option; it names what `instead` returns, or the nearest known option."""
    actions = parser._option_string_actions
    options = [name for name, action in actions.items() if name != "-h" and action.help != argparse.SUPPRESS]
    name, equals, value = text.partition("=")
    near = nearest(name, options)
    return UsageError(
        "CN206",
        _("{command} does not take {text!r}", command=parser.prog, text=text),
        where=_("its options are {options}", options=", ".join(options)),
        hint=dashed_file([text])
        or instead(name)
        or (command(near + equals + value) if near else command(*parser.prog.split(), "--help")),
    )


class _Formatter(argparse.HelpFormatter):
    """Breaks lines between Chinese characters, too, which are two columns wide."""

    def __init__(self, prog: str, **settings: Any):
        super().__init__(prog, **{"max_help_position": 30, **settings})

    def add_usage(self, usage: Any, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, _("usage: ") if prefix is None else prefix)

    def _split_lines(self, text: str, width: int) -> list[str]:
        return wrap(" ".join(text.split()), width)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(indent + line for line in wrap(" ".join(text.split()), width - len(indent)))


def _usage(f: Field[Any]) -> str:
    """Format a positional argument for the usage line: NET, [NET], INPUT ..."""
    name = _name(f)
    return {"?": f"[{name}]", "+": f"{name} [{name} ...]"}.get(about(f).nargs, name)


def _name(f: Field[Any]) -> str:
    return about(f).metavar or f.name.upper()


def _flags(f: Field[Any]) -> list[str]:
    return spelling(f).split("|")


def _help(f: Field[Any]) -> str:
    text = _(about(f).help)
    default = default_text(f)
    return (_("{help} (default: {default})", help=text, default=default) if default else text).replace("%", "%%")


def _action(f: Field[Any]) -> dict[str, Any]:
    """Return the keyword arguments for argparse, derived from the annotation of an option."""
    kind = str(f.type).removesuffix(" | None")
    if kind == "bool":
        return {"action": "store_true"}
    metavar = {"metavar": about(f).metavar} if about(f).metavar else {}
    if kind.startswith("Mapping"):
        return {"nargs": "+", "action": "extend", **metavar}
    if about(f).choices:
        return {"choices": list(about(f).choices), **metavar}
    reader = about(f).read
    if reader is not None and reader is not int:
        return {"type": _typed(reader), **metavar}
    return {"type": {"int": int, "float": float}.get(kind, str), **metavar}


def _typed(reader: Callable[[str], Any]) -> Callable[[str], Any]:
    """Wrap `reader` so that argparse reports the message of its ValueError."""

    def typed(text: str) -> Any:
        try:
            return reader(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return typed
