"""`classicnets explain CODE`: the meaning of an error code. Does not import torch."""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from classicnets.errors import CODES, UsageError
from classicnets.options import option
from classicnets.report.output import print
from classicnets.strict_json import dump
from classicnets.text import _, command

HELP = "explain an error code: what happened, why it matters, what to do"


@dataclass(frozen=True, kw_only=True)
class Explain:
    """Options of `explain`."""

    code: str = option(help="error code, such as CN201", metavar="CODE")


OPTIONS = (Explain,)


def run(args: argparse.Namespace) -> int:
    """Print the explanation of an error code."""
    return explain(args.code.upper(), as_json=args.json)


def explain(code: str, *, as_json: bool) -> int:
    """Print the explanation of an error code. Raises UsageError CN202 for an unknown code."""
    if code not in CODES:
        raise UsageError(
            "CN202",
            _("there is no error code {code}", code=code),
            where=_("the codes are {codes}", codes=", ".join(CODES)),
            hint=command("classicnets", "explain", next(iter(CODES))),
        )
    explanation = _(CODES[code])
    print(dump({"code": code, "explanation": explanation}) if as_json else f"{code}: {explanation}")
    return 0
