"""`classicnets COMMAND ...`: runs a command and turns errors into a message and an exit code."""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import traceback
from collections.abc import Sequence
from functools import partial

from classicnets import __version__, api, machine, report
from classicnets.cli import (
    arguments,
    compare,
    data,
    doctor,
    evaluate,
    exercise,
    explain,
    export,
    list_,
    predict,
    process,
    serve,
    show,
    streams,
    study,
    train,
    weights,
)
from classicnets.errors import ClassicnetsError, MachineError, UsageError
from classicnets.language import VARIABLE, language_of_process
from classicnets.options import check_language
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import N_, _, command, nearest, running

_OVERVIEW = N_("""\
classicnets: networks from LeNet (1989) to AlexNet (2014), built exactly as in their sources.

  classicnets list                          list the networks, data sets and recipes
  classicnets show lenet_d2l                show the layers: shapes, parameters, MACs, memory
  classicnets train lenet_d2l               train a network with its recipe, here on Fashion-MNIST
  classicnets compare RUN RUN               compare the results of runs, over several seeds
  classicnets evaluate RUN                  compute accuracy and other metrics on the test split
  classicnets predict RUN boot.png          classify images
  classicnets export RUN                    write an ONNX file that runs without classicnets
  classicnets serve RUN                     answer requests over HTTP

RUN is the folder that train creates, such as runs/lenet_d2l-fashion_mnist-1. Instead of lenet_d2l, you can
name your own network as my_net.py:net.

all commands: {commands}
help for one: classicnets COMMAND --help
""")
_COMMANDS = {
    "list": list_,
    "show": show,
    "data": data,
    "train": train,
    "study": study,
    "compare": compare,
    "evaluate": evaluate,
    "predict": predict,
    "export": export,
    "serve": serve,
    "exercise": exercise,
    "weights": weights,
    "explain": explain,
    "doctor": doctor,
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line, with all commands."""
    main_parser = arguments.Parser(prog="classicnets", usage="classicnets COMMAND ...")
    main_parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    main_parser.format_help = lambda: _(_OVERVIEW, commands=" ".join(_COMMANDS))  # type: ignore[method-assign]
    subparsers = main_parser.add_subparsers(dest="command", prog="classicnets", parser_class=arguments.Parser)
    for name, module in _COMMANDS.items():
        help_text = _(module.HELP)
        subparser = subparsers.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        if actions := getattr(module, "ACTIONS", None):
            _add_actions(subparser, actions)
        else:
            arguments.add(subparser, *module.OPTIONS)
            instead = arguments.nothing_instead
            subparser.set_defaults(run=module.run, parser=subparser, kinds=module.OPTIONS, instead=instead)
    return main_parser


def _add_actions(parser: argparse.ArgumentParser, actions: dict[str, arguments.Action]) -> None:
    """Add the subcommands of a command, each with its own options."""
    subparsers = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=arguments.Parser)
    for name, action in actions.items():
        help_text = _(action.help)
        subparser = subparsers.add_parser(name, help=help_text, description=help_text, allow_abbrev=False)
        arguments.add(subparser, *action.options)
        subparser.set_defaults(run=action.run, parser=subparser, kinds=action.options, instead=action.instead)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return the exit code.

    Args:
        argv: The arguments without the program name (default: those of the process).

    Returns:
        0 success, 1 a check failed, 2 usage, 3 data, 4 environment, 130 Ctrl-C.
    """
    words = sys.argv[1:] if argv is None else [*argv]
    machine.tune_process()
    chosen = arguments.language(words)
    if argv is None and streams.lack_chinese():
        chosen = "en"
    with language_of_process(chosen):
        return _main(words, is_process=argv is None)


def _main(words: Sequence[str], *, is_process: bool) -> int:
    """Run a command line and return the exit code."""
    if is_process and process.is_one_of_several() and os.environ.get("LOCAL_RANK", "0") != "0":
        report.output.mute()  # a mistake in the command line is reported once
    try:
        check_language(os.environ.get(VARIABLE, ""), VARIABLE)
        if words and not words[0].startswith("-") and words[0] not in _COMMANDS:
            raise _unknown_command(words[0])
        main_parser = parser()
        args, extra = _parse(main_parser, words)
        if args.command is None:
            print(main_parser.format_help(), end="")
            report.output.flush()
            return 0
        if extra:
            raise arguments.unknown(args.parser, extra[0], args.instead)
        common = arguments.read(args, arguments.Common)
        args.json, args.debug = common.json, common.debug
        if getattr(args, "offline", False):
            api.catalog.go_offline()
        with report.output.reserved(until_exit=is_process):
            code = _run(args)
            report.output.flush()
        return code
    except KeyboardInterrupt:
        return _stopped()
    except ClassicnetsError as error:
        if _follows_ctrl_c(error):
            return _stopped()
        if "--debug" in words:
            raise
        return _report(error, as_json="--json" in words)
    except BrokenPipeError:  # the reader of the pipe has closed it, as `| head` does
        report.output.discard()
        return 0
    except OSError as error:
        if _follows_ctrl_c(error):
            return _stopped()
        if "--debug" in words:
            raise
        return _report(_unusable(error), as_json="--json" in words)
    except Exception as error:
        if _follows_ctrl_c(error):
            return _stopped()
        raise


def _parse(main_parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The options, and the words that are none."""
    try:
        return main_parser.parse_known_args(words)
    except SystemExit:  # after --help and --version
        report.output.flush()
        raise


def _report(error: ClassicnetsError, *, as_json: bool) -> int:
    """Print an error and return its exit code."""
    try:
        if isinstance(error, report.output.Unwritable):
            raise error
        if as_json:
            print(dump(error.to_dict(), indent=2, ascii=False), flush=True)
    except (BrokenPipeError, report.output.Unwritable):
        report.output.discard()
    print(error, file=sys.stderr)
    return error.exit_code


def _unusable(error: OSError) -> MachineError:
    """The error for a file that no command expects to be unusable, such as one in a folder that may not be searched."""
    return MachineError(
        "CN401",
        _("a file or folder cannot be used"),
        where=os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else "",
        why=error.strerror or str(error),
        hint=(_("{command}   # checks which folders can be written", command=command("classicnets", "doctor")),),
    )


def _stopped() -> int:
    if not process.stops_quietly:
        print(_("stopped"), file=sys.stderr)
    return 130


def _follows_ctrl_c(error: BaseException | None) -> bool:
    """Whether an error is what a library made of a KeyboardInterrupt."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error is not None or bool(process.signals)


def _run(args: argparse.Namespace) -> int:
    """Run the command. Raises UsageError CN205 if the user's code exits, which would look like success."""
    try:
        with running(args.parser.prog, partial(arguments.words, args)):
            code: int = args.run(args)
    except SystemExit as error:
        own = [frame for frame in traceback.extract_tb(error.__traceback__) if not _is_installed(frame.filename)]
        raise UsageError(
            "CN205",
            _("the code of the network exits the program"),
            where=f"{own[-1].filename}:{own[-1].lineno}" if own else "",
            why=_("it exits with code {code}", code=error.code or 0),
            hint=_("remove sys.exit() from forward()"),
        ) from error
    return code


def _is_installed(file: str) -> bool:
    """Whether a file of a traceback belongs to Python or to an installed package."""
    return file.startswith("<") or any(file.startswith(folder) for folder in sysconfig.get_paths().values())


def _unknown_command(name: str) -> UsageError:
    near = nearest(name, _COMMANDS)
    return UsageError(
        "CN206",
        _("there is no command {name!r}", name=name),
        where=_("the commands are {names}", names=", ".join(_COMMANDS)),
        hint=command("classicnets", near) if near else "classicnets --help",
    )


if __name__ == "__main__":
    sys.exit(main())
