"""`classicnets weights identify FILE`: the network that a weights file belongs to."""

from __future__ import annotations

from dataclasses import dataclass

from classicnets import api
from classicnets.cli.arguments import Action
from classicnets.options import option
from classicnets.report.output import print
from classicnets.strict_json import dump

HELP = "identify weights files"


@dataclass(frozen=True, kw_only=True)
class Identify:
    """Options of `weights identify`."""

    file: str = option(
        help="file of safetensors, torch.save, MXNet or Caffe, such as .pth or .caffemodel; no code in it is run",
        metavar="FILE",
    )


def identify(path: str, *, as_json: bool) -> int:
    """Print which network of the registry has these tensors. Raises DataError CN305 for a file without weights."""
    identity = api.networks.identify(path)
    print(dump(identity.to_dict(), indent=2) if as_json else "\n".join(identity.lines()))
    return 0


ACTIONS = {
    "identify": Action(
        "find the network that a weights file belongs to, by the names and shapes of its tensors",
        (Identify,),
        lambda args: identify(args.file, as_json=args.json),
    ),
}
