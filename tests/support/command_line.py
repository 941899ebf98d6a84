"""The type of the fixture `cli`, which runs a command line in the process of the tests."""

from __future__ import annotations

from typing import Protocol


class CommandLine(Protocol):
    """Run the command with these arguments and return exit code, standard output and standard error."""

    def __call__(self, *arguments: object) -> tuple[int, str, str]: ...
