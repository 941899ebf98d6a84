"""`classicnets VERB ...`: finds the verb, turns errors into four lines and an exit code."""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from classicnets import __version__, machine
from classicnets.cli import data, doctor, evaluate, export, predict, show, train
from classicnets.cli import list as list_
from classicnets.datasets import sources
from classicnets.errors import ClassicnetsError, UsageError

_PURPOSE = """\
classicnets: the networks from LeNet (1989) to AlexNet (2014), built as their sources have them,
explained, trained and measured. NET is a name from `classicnets list`, file.py:net, or a run.

  classicnets train lenet_d2l                                train the book's LeNet on Fashion-MNIST
  classicnets show alexnet_d2l                               every layer: shape, parameters, MACs, memory
  classicnets train my_net.py:net --set epochs=5             a net of your own
  classicnets predict runs/lenet_d2l-fashion_mnist-1 boot.png
  classicnets list                                           nets, data sets, recipes

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
    "doctor": doctor,
}


class _Parser(argparse.ArgumentParser):
    """argparse whose mistakes are errors like all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError("CN206", message, where=self.prog, hint=f"{self.prog} --help")


def parser() -> argparse.ArgumentParser:
    """The whole command line."""
    common = _Parser(add_help=False)
    common.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    whole = _Parser(prog="classicnets", usage="classicnets VERB ...", add_help=True)
    whole.add_argument("--version", action="version", version=f"classicnets {__version__}")
    whole.format_help = lambda: _PURPOSE.format(verbs=" ".join(_VERBS))  # type: ignore[method-assign]
    verbs = whole.add_subparsers(dest="verb", prog="classicnets", parser_class=_Parser)
    for name, verb in _VERBS.items():
        sub = verbs.add_parser(name, parents=[common], help=verb.HELP, description=verb.HELP, allow_abbrev=False)
        verb.add_arguments(sub)
        sub.set_defaults(run=verb.run, parser=sub)
    return whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; the exit code is 0 ok, 1 check failed, 2 usage, 3 data, 4 environment, 130 Ctrl-C."""
    given = sys.argv[1:] if arguments is None else [*arguments]
    machine.tune_process()
    try:
        if given and not given[0].startswith("-") and given[0] not in _VERBS:
            _unknown_verb(given[0])
        whole = parser()
        args, extra = whole.parse_known_args(given)
        if args.verb is None:
            print(whole.format_help(), end="")
            return 0
        if extra:
            _unknown_option(args.parser, extra[0])
        if getattr(args, "offline", False):
            sources.go_offline()
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except ClassicnetsError as error:
        if "--debug" in given:
            raise
        if "--json" in given:
            print(json.dumps(error.to_dict(), indent=2, ensure_ascii=False))
        print(error, file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader of a pipe went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _unknown_verb(verb: str) -> NoReturn:
    nearest = difflib.get_close_matches(verb, _VERBS, 1)
    raise UsageError(
        "CN206",
        f"there is no verb {verb!r}",
        where=f"the verbs are {', '.join(_VERBS)}",
        hint=f"classicnets {nearest[0]}" if nearest else "classicnets",
    )


def _unknown_option(sub: argparse.ArgumentParser, option: str) -> NoReturn:
    options = [name for name in sub._option_string_actions if name.startswith("--")]
    nearest = difflib.get_close_matches(option.split("=", maxsplit=1)[0], options, 1)
    raise UsageError(
        "CN206",
        f"{sub.prog} does not take {option!r}",
        where=f"its options are {', '.join(options)}",
        hint=f"{sub.prog} ... {nearest[0]}" if nearest else f"{sub.prog} --help",
    )


if __name__ == "__main__":
    sys.exit(main())
