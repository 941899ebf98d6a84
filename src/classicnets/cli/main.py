"""`classicnets VERB ...`: finds the verb, turns errors into four lines and an exit code."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence

from classicnets import __version__, api, machine
from classicnets.cli import (
    arguments,
    data,
    doctor,
    evaluate,
    explain,
    export,
    list_,
    predict,
    show,
    train,
    weights,
)
from classicnets.errors import ClassicnetsError, UsageError
from classicnets.text import nearest

_PURPOSE = """\
classicnets: the networks from LeNet (1989) to AlexNet (2014), built as their sources have them,
explained, trained and measured. NET is a name from `classicnets list`, file.py:net, or a run.

  classicnets train lenet_d2l                                train the book's LeNet on Fashion-MNIST
  classicnets show alexnet_d2l                               every layer: shape, parameters, MACs, memory
  classicnets train my_net.py:net --set epochs=5             your own network
  classicnets predict runs/lenet_d2l-fashion_mnist-1 boot.png
  classicnets list                                           networks, data sets, recipes

verbs: {verbs}        more: classicnets VERB --help
"""
_VERBS = {
    "list": list_,
    "show": show,
    "data": data,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "weights": weights,
    "explain": explain,
    "doctor": doctor,
}


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    whole = arguments.Parser(prog="classicnets", usage="classicnets VERB ...", add_help=True)
    whole.add_argument("--version", action="version", version=f"classicnets {__version__}")
    whole.format_help = lambda: _PURPOSE.format(verbs=" ".join(_VERBS))  # type: ignore[method-assign]
    verbs = whole.add_subparsers(dest="verb", prog="classicnets", parser_class=arguments.Parser)
    for name, verb in _VERBS.items():
        sub = verbs.add_parser(name, help=verb.HELP, description=verb.HELP, allow_abbrev=False)
        if actions := getattr(verb, "ACTIONS", None):
            _add_actions(sub, actions)
        else:
            arguments.add(sub, *verb.OPTIONS)
            sub.set_defaults(run=verb.run, parser=sub)
    return whole


def _add_actions(sub: argparse.ArgumentParser, actions: dict[str, arguments.Action]) -> None:
    """Subcommands of a verb, each with its own options."""
    subs = sub.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=arguments.Parser)
    for name, action in actions.items():
        one = subs.add_parser(name, help=action.help, description=action.help, allow_abbrev=False)
        arguments.add(one, *action.options)
        one.set_defaults(run=action.run, parser=one)


def main(arguments_given: Sequence[str] | None = None) -> int:
    """Runs a command line; the exit code is 0 ok, 1 check failed, 2 usage, 3 data, 4 environment, 130 Ctrl-C."""
    words = sys.argv[1:] if arguments_given is None else [*arguments_given]
    machine.tune_process()
    try:
        if words and not words[0].startswith("-") and words[0] not in _VERBS:
            raise _unknown_verb(words[0])
        whole = parser()
        args, extra = whole.parse_known_args(words)
        if args.verb is None:
            print(whole.format_help(), end="")
            return 0
        if extra:
            raise arguments.unknown(args.parser, extra[0])
        common = arguments.read(args, arguments.Common)
        args.json, args.debug = common.json, common.debug
        if getattr(args, "offline", False):
            api.catalog.go_offline()
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except ClassicnetsError as error:
        if "--debug" in words:
            raise
        if "--json" in words:
            print(json.dumps(error.to_dict(), indent=2, ensure_ascii=False))
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _unknown_verb(verb: str) -> UsageError:
    near = nearest(verb, _VERBS)
    return UsageError(
        "CN206",
        f"there is no verb {verb!r}",
        where=f"the verbs are {', '.join(_VERBS)}",
        hint=f"classicnets {near}" if near else "classicnets",
    )


if __name__ == "__main__":
    sys.exit(main())
