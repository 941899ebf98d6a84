"""What the files of classicnets contain: the schema of each, in one place.

Unknown keys are ignored where they add facts, and refused in `net` and `preprocess`, where a newer version would
compute something else with them.
"""

from __future__ import annotations

from typing import Any

from classicnets.models.registry import NETS
from classicnets.models.variants import CHOICES, MAX_WIDTH, MIN_WIDTH, PROBABILITIES
from classicnets.recipes import rules
from classicnets.runs import graph_file
from classicnets.runs.net_spec import NetSpec
from classicnets.schema import (
    Anything,
    Choice,
    Color,
    Either,
    Flag,
    Kind,
    Mapped,
    Real,
    Record,
    Several,
    Text,
    Whole,
    optional,
    record,
)
from classicnets.spec import EXPORT_INPUTS, RunSpec
from classicnets.text import _, shape
from classicnets.values import MAX_SIDE, Expected, Preprocess, Recipe, stored_names

_MAX_CLASSES = 100_000
_MAX_COUNT = 10**15  # parameters, operations, bytes

_SHARE = Real(0, 1)
_COUNT = Whole(0, _MAX_COUNT)
_CALIBRATION: dict[str, Kind] = {
    "temperature": optional(Real(1e-4, 1e4)),
    "calibration_images": optional(_COUNT),
    "uncalibrated": Text(most=100),
}
_CLASSES = Several(Text(most=1000, least=1), most=_MAX_CLASSES, least=1)
_CHANNEL_VALUES = Several(Real(-1e6, 1e6), most=4, least=1)
_SIDE = Whole(1, MAX_SIDE)
_VARIATION: dict[str, Kind] = {
    **{key: Choice(values) for key, values in CHOICES.items()},
    **dict.fromkeys(PROBABILITIES, _SHARE),
    "width": Real(MIN_WIDTH, MAX_WIDTH),
    "output": Text(most=1000),
}
_CHOICES_OF_SETTINGS: dict[str, Kind] = {key: Choice(values) for key, values in rules.CHOICES.items()}

_NET = record(
    NetSpec,
    {
        "kind": Choice(("registry", "file", "graph", "object")),
        "name": Text(most=1000),
        "neighbors": Mapped(Text(most=64)),
        "graph": graph_file.IN_RUN,
        "num_classes": Whole(0, _MAX_CLASSES),
        "in_channels": Whole(0, 4),
        "image_size": Whole(0, MAX_SIDE),
        "variation": Record(_VARIATION, frozenset(_VARIATION), closed=True),
    },
    closed=True,
)
_PREPROCESS = record(
    Preprocess,
    {
        **_CHOICES_OF_SETTINGS,
        "background": Color(),
        "channels": Choice((1, 3)),
        "image_size": _SIDE,
        "resize": optional(_SIDE),
        "pad": Whole(0, MAX_SIDE),
        "mean": _CHANNEL_VALUES,
        "std": _CHANNEL_VALUES,
    },
    closed=True,
)
_REQUIRED_OF_RECIPE = {"source", "net", "data", "epochs", "batch_size", "lr"}


def _recipe() -> Record:
    """The schema of a recipe, whose settings may have the names that files use, and the current ones."""
    kinds = record(
        Recipe,
        {
            **_CHOICES_OF_SETTINGS,
            "variation": Several(Several(Either((Text(), Real())), most=2, least=2)),
            "epochs": Whole(1, 10**9),
            "batch_size": Whole(1, 10**9),
            "image_size": optional(_SIDE),
            "resize": optional(_SIDE),
            "expected": optional(record(Expected)),
        },
    ).kinds
    kinds = {**stored_names(kinds), **kinds}
    return Record(kinds, frozenset(kinds) - _REQUIRED_OF_RECIPE)


_RECIPE = _recipe()

_RESULT = Record(
    {
        "weights": Text(most=1000),
        "test_accuracy": _SHARE,
        "n": _COUNT,
        "train_accuracy": _SHARE,
        "seconds": Real(0, 1e12),
        "test_loss": optional(Real()),
        "train_loss": optional(Real()),
        "top5_accuracy": optional(_SHARE),
        "balanced_accuracy": optional(_SHARE),
        "calibration_error": optional(_SHARE),
        "peak_memory_bytes": optional(_COUNT),
        "verdict": Text(),
        **_CALIBRATION,
    },
    frozenset(
        {*_CALIBRATION, "top5_accuracy", "balanced_accuracy", "calibration_error", "peak_memory_bytes", "verdict"}
    ),
)

_OPTIONAL_IN_RUN = """
    spec size_fingerprint needs_two_images remarks deterministic loader_threads on_bad_image command started_at
    finished_at data_source machine batch_threads parallel result converted
"""
_FILE_OF_WEIGHTS = Record({"name": Text(most=1000), "bytes": _COUNT, "sha256": Text(most=64)})
_CONVERTED = Record(
    {
        "format": Text(most=100),
        "files": Several(_FILE_OF_WEIGHTS, most=1000),
        "changes": Several(Text(most=100_000)),
        "notes": Several(Text(most=100_000)),
    }
)
RUN = Record(
    {
        "net": _NET,
        "recipe": _RECIPE,
        "preprocess": _PREPROCESS,
        "classes": _CLASSES,
        "data": Text(),
        "data_name": Text(most=1000),
        "fingerprint": Text(most=1000),
        "size_fingerprint": Text(most=1000),
        "parameters": _COUNT,
        "macs": _COUNT,
        "seed": Whole(),
        "device": Text(most=100),
        "limit": optional(Whole(1, _MAX_COUNT)),
        "weights": Text(),
        "threads": Whole(1, 100_000),
        "origins": Mapped(Text(most=1000)),
        "as_published": Flag(),
        "spec": record(RunSpec, every=True),
        "needs_two_images": Flag(),
        "remarks": Several(Mapped(Anything())),
        "deterministic": Flag(),
        "loader_threads": Whole(0, 100_000),
        "batch_threads": Whole(1, 100_000),
        "parallel": Mapped(Anything()),
        "on_bad_image": Choice(("fail", "skip")),
        "command": Text(most=1_000_000),
        "started_at": Text(most=1000),
        "finished_at": Text(most=1000),
        "data_source": Text(),
        "machine": Mapped(Anything()),
        "result": _RESULT,
        "converted": _CONVERTED,
    },
    frozenset(_OPTIONAL_IN_RUN.split()),
)

_STATE = Record(
    {
        "epoch": _COUNT,
        "step": _COUNT,
        "images": _COUNT,
        "seconds": Real(0, 1e12),
        "waited": Real(0, 1e12),
        "best": Real(-1, 1),
        "best_loss": Real(),
        "stale": _COUNT,
        "drops": _COUNT,
        "stopped": Flag(),
    }
)
CHECKPOINT = Record(
    {
        "version": Whole(1, 10**6),
        "net": _NET,
        "recipe": _RECIPE,
        "preprocess": _PREPROCESS,
        "classes": _CLASSES,
        "data_name": Text(most=1000),
        "seed": Whole(),
        "fingerprint": Text(most=1000),
        "state": _STATE,
        "part": Record(
            {
                "index": Whole(0, 10**6),
                "count": Whole(1, 10**6),
                "save": Text(most=1000),
                "divided": Several(Text(most=10_000)),
            },
            closed=True,
        ),
        "run": RUN,  # of a file that is a run by itself
    },
    frozenset({"net", "recipe", "preprocess", "classes", "data_name", "seed", "fingerprint", "state", "part", "run"}),
)

_STATISTICS = Record({key: optional(Real()) for key in ("mean", "sd", "min", "max")})
_MEASURED = ("test_accuracy", "test_loss", "train_accuracy", "train_loss", "seconds")
_ROW = Record(
    {
        "seed": Whole(),
        "folder": Text(most=1000),
        "error": Text(most=100_000),
        "n": _COUNT,
        **{key: optional(Real()) for key in _MEASURED},
    },
    frozenset({"error", "n", *_MEASURED}),
)
SEEDS = Record(
    {
        "seeds": Several(Whole(), most=100_000, least=1),
        "side_by_side": Whole(1, 100_000),
        "threads": Whole(1, 100_000),
        "recipe": _RECIPE,
        "net": _NET,
        "result": Record(
            {
                "n": _COUNT,
                "of": _COUNT,
                "pictures": optional(_COUNT),
                **dict.fromkeys(_MEASURED, _STATISTICS),
                "published": optional(record(Expected)),
                "verdict": Text(),
                "runs": Several(_ROW),
            }
        ),
    },
    frozenset({"result"}),
)

TRAINED_IMAGES = Record(
    {
        "images": _COUNT,
        "in_test": _COUNT,
        "split_of": Text(most=1000),
        "count": Whole(0, 10**9),
        "digests": Text(most=60 * 2**20),
    },
    frozenset({"split_of", "count", "digests"}),
)

_OF_EXPORTED: dict[str, Kind] = {
    "net": Text(),
    "parameters": optional(_COUNT),
    "macs": optional(_COUNT),
    "data_name": optional(Text(most=1000)),
    "fingerprint": optional(Text(most=1000)),
    "size_fingerprint": optional(Text(most=1000)),
    "test_accuracy": optional(_SHARE),
    "test_pictures": optional(_COUNT),
    "licence": Text(),
    "int8": Flag(),
    "trained_images": optional(TRAINED_IMAGES),
    "input": Choice(EXPORT_INPUTS),
    **_CALIBRATION,
    "min_confidence": optional(_SHARE),
    "weights_sha256": Text(most=64),
    "versions": Mapped(Text(most=1000)),
    "created_at": Text(most=1000),
}
EXPORTED = Record(
    {"format": Whole(1, 10**6), "classes": _CLASSES, "preprocess": _PREPROCESS, **_OF_EXPORTED},
    frozenset(_OF_EXPORTED),
)

# Of the site.json of an exported web page, only what says whether a folder is one; the page checks the rest.
SITE = Record({"version": Whole(1, 10**6), "files": Several(Text(most=1000))})


def check_relations(facts: dict[str, Any]) -> None:
    """Check what values of checked facts must have in common. Raises ValueError with what contradicts each other."""
    if "preprocess" not in facts:
        return
    values, net = Preprocess.from_dict(facts["preprocess"]), facts.get("net")
    wrong = []
    if not (values.side >= 1 and values.image_size <= values.padded <= MAX_SIDE):
        wrong.append(
            _(
                "preprocess.image_size is {size}, but images are resized to {side} and padded by {pad}",
                size=values.image_size,
                side=values.side,
                pad=values.pad,
            )
        )
    for key in ("mean", "std"):
        if len(getattr(values, key)) not in {1, values.channels}:
            count = len(getattr(values, key))
            wrong.append(
                _(
                    "preprocess.{key} has {count} values for {channels} channels",
                    key=key,
                    count=count,
                    channels=values.channels,
                )
            )
    if 0 in values.std:
        wrong.append(_("preprocess.std is 0, but images are divided by it"))
    if isinstance(net, dict) and net["kind"] == "registry":
        spec = NetSpec(**net)
        if spec.name not in NETS:
            wrong.append(_("net.name is {name!r}, but there is no such network", name=spec.name[:60]))
        built = (spec.num_classes, spec.in_channels, spec.image_size)
        expected = (len(facts["classes"]), *values.shape[:2])
        if built != expected:
            wrong.append(
                _(
                    "net is built for {built} (classes x channels x image size), and the rest for {expected}",
                    built=shape(built),
                    expected=shape(expected),
                )
            )
    if isinstance(net, dict) and (net["kind"] == "graph") != bool(net.get("graph")):
        wrong.append(_("net.graph belongs to a network of the kind graph, and net.kind is {kind}", kind=net["kind"]))
    elif isinstance(net, dict) and net["kind"] == "graph":
        try:
            NetSpec(**net).read_graph()
        except ValueError as error:
            wrong.append(_("net.graph is not a network: {reason}", reason=error))
    if wrong:
        raise ValueError("\n".join(wrong))
