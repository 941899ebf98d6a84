"""`classicnets weights identify FILE`: whose weights a file holds."""

from __future__ import annotations

import json
from dataclasses import dataclass

from classicnets import api
from classicnets.cli.arguments import Action
from classicnets.spec import option

HELP = "files of weights: find out which network they belong to"


@dataclass(frozen=True, kw_only=True)
class Identify:
    """The file."""

    file: str = option(help="a .safetensors, .pth or .pt file; nothing in it is executed", metavar="FILE")


def identify(path: str, *, as_json: bool) -> int:
    """Prints which network of the registry has such tensors. Raises DataError CN305 for a file without weights."""
    found = api.networks.identify(path)
    print(json.dumps(found.to_dict(), indent=2) if as_json else "\n".join(found.lines()))
    return 0


ACTIONS = {
    "identify": Action(
        "which network a file of weights belongs to, by names and shapes",
        (Identify,),
        lambda args: identify(args.file, as_json=args.json),
    ),
}
