"""`classicnets explain CODE`: what an error code means. Does not import torch."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass

from classicnets.errors import CODES, UsageError
from classicnets.spec import option
from classicnets.text import nearest

HELP = "what an error code means, its usual causes, and the way out"


@dataclass(frozen=True, kw_only=True)
class Explain:
    """The code."""

    code: str = option(help="a code such as CN201, as errors print it", metavar="CODE")


OPTIONS = (Explain,)


def run(args: argparse.Namespace) -> int:
    """Prints the explanation of the code that was given."""
    return explain(args.code.upper(), as_json=args.json)


def explain(code: str, *, as_json: bool) -> int:
    """Prints the explanation of a code. Raises UsageError CN202 for one that there is not."""
    if code not in CODES:
        raise UsageError(
            "CN202",
            f"there is no error code {code}",
            where=f"the codes are {', '.join(CODES)}",
            hint=f"classicnets explain {nearest(code, CODES) or next(iter(CODES))}",
        )
    print(json.dumps({"code": code, "explanation": CODES[code]}) if as_json else f"{code}: {CODES[code]}")
    return 0
