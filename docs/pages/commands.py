"""reference/commands.md: every command with its options, from the parser itself."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from classicnets.cli.main import parser
from pages import markdown

_COMMON = ("json", "debug", "lang")  # options that every command has, described once


def page() -> str:
    """Every command with its usage, arguments and options."""
    commands = "\n\n".join(_command(name, command) for name, command in all_commands())
    return f"""# Commands

`classicnets COMMAND --help` prints the same options. NET is a name from `classicnets list`, `file.py:net`, or a run
folder. Every command also takes:

{_options_of(next(command for _, command in all_commands()), _COMMON)}

[Language](../notebook.md#language) has more on the languages, and on figures and encodings without Chinese.

Results go to standard output, messages to standard error. The exit code is 0 for success, 1 if a check failed, 2 for a
mistake in the command, 3 for a problem with data, 4 for a problem with the machine, and 130 after Ctrl-C.

{commands}
"""


def all_commands() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command and subcommand with its parser; a command that has subcommands is not listed itself."""
    for name, command in _subparsers(parser()).items():
        subcommands = _subparsers(command)
        if not subcommands:
            yield name, command
        for action, subparser in subcommands.items():
            yield f"{name} {action}", subparser


def _subparsers(command: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    for action in command._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def _command(name: str, command: argparse.ArgumentParser) -> str:
    usage = " ".join(command.format_usage().removeprefix("usage:").split())
    lines = [f"## {name}", "", f"{_sentence(command.description or '')}", "", "```text", usage, "```"]
    for group in command._action_groups:
        options = [a for a in group._group_actions if a.dest not in ("help", *_COMMON)]
        if options:
            title = "arguments" if any(not a.option_strings for a in options) else (group.title or "")
            lines += ["", f"**{title.capitalize()}**", "", *_table(options)]
    return "\n".join(lines)


def _options_of(command: argparse.ArgumentParser, names: tuple[str, ...]) -> str:
    return "\n".join(_table([action for action in command._actions if action.dest in names]))


def _table(options: list[argparse.Action]) -> list[str]:
    column = "option" if options[0].option_strings else "argument"
    return markdown.table((column, "meaning"), [(_spelling(option), _help(option)) for option in options])


def _spelling(option: argparse.Action) -> str:
    metavar = option.metavar or ("{" + ",".join(map(str, option.choices)) + "}" if option.choices else "")
    if not option.option_strings:
        return markdown.code(f"{metavar}")
    value = "" if option.nargs == 0 else f" {metavar or option.dest.upper()}"
    return ", ".join(markdown.code(f"{flag}{value}") for flag in option.option_strings)


def _help(option: argparse.Action) -> str:
    text = (option.help or "").replace("%%", "%").replace("|", "&#124;")
    return re.sub(r"<", "&lt;", text)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}." if text and text[-1] not in ".!?" else text
