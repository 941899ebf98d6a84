"""`classicnets weights identify FILE...`: the networks that weights files belong to."""

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

    files: list[str] = option(
        help="weights of PyTorch, safetensors, MXNet or Caffe, such as .pth or .caffemodel, and files that belong to"
        " them: deploy.prototxt, NAME-symbol.json, mean.binaryproto; no code in them is run",
        metavar="FILE",
        nargs="+",
    )


def identify(*paths: str, as_json: bool) -> int:
    """Print what files are, and which networks of the registry they belong to.

    With one result, the JSON is that; otherwise it is a list.

    Raises:
        DataError: CN305 for a file that cannot be read, and CN306 for weights and a network that do not fit.
    """
    results = api.networks.identify_files(paths)
    if as_json:
        values = [result.to_dict() for result in results]
        print(dump(values[0] if len(values) == 1 else values, indent=2))
    else:
        print("\n\n".join("\n".join(result.lines()) for result in results))
    return 0


ACTIONS = {
    "identify": Action(
        "find the network that weights belong to, by their names, their shapes and the files beside them",
        (Identify,),
        lambda args: identify(*args.files, as_json=args.json),
    ),
}
