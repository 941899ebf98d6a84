"""What study.json and classic.json contain: the schema of each, and reading them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from classicnets import checksum, schema, strict_json
from classicnets.errors import UsageError
from classicnets.runs import formats
from classicnets.schema import Anything, Kind, Mapped, Real, Record, Several, Text, Whole, optional, record
from classicnets.studies.classic_spec import ClassicSpec
from classicnets.studies.definition import DEFINITION
from classicnets.text import _

SEEDS = formats.SEEDS  # the file of several seeds in version 0.1
_COUNT = Whole(0, 10**15)
_SECONDS = Real(0, 1e12)
_SHARE = Real(0, 1)
_WORDS = Text(most=1000)

_MACHINE = Record({"system": _WORDS, "processor": _WORDS, "cores": _COUNT, "versions": Mapped(_WORDS)})

_STUDY = Record(
    {
        "definition": optional(DEFINITION),
        "arms": Mapped(Mapped(Anything()), most=1000),
        "seeds": SEEDS.kinds["seeds"],
        "side_by_side": SEEDS.kinds["side_by_side"],
        "threads": SEEDS.kinds["threads"],
    }
)
_RESULT = Record(
    {
        "seconds": _SECONDS,
        "rows": Several(Record({"arm": Text(most=100), "seed": Whole(), "folder": _WORDS})),
        "arms": Mapped(Mapped(Anything())),
        "comparisons": Several(Mapped(Anything())),
    }
)
_OF_ARMS = Record({**_STUDY.kinds, "machine": _MACHINE, "result": _RESULT}, frozenset({"result"}))
# Several seeds of one plan have no definition, but the facts of the plan.
_OF_ONE_ARM = Record({**SEEDS.kinds, **_STUDY.kinds}, SEEDS.optional)

_OPTIONAL_IN_CLASSIC = frozenset(
    {"finished_at", "threads", "parameters", "data_name", "fingerprint", "classes", "train_images", "result"}
)
CLASSIC = Record(
    {
        "spec": record(ClassicSpec, closed=True),
        "command": Text(most=1_000_000),
        "started_at": _WORDS,
        "finished_at": _WORDS,
        "machine": Mapped(Anything()),
        "threads": Whole(1, 100_000),
        "parameters": Mapped(Anything()),
        "data_name": _WORDS,
        "fingerprint": _WORDS,
        "classes": formats.RUN.kinds["classes"],
        "train_images": _COUNT,
        "result": Record(
            {
                "test_accuracy": _SHARE,
                "test_loss": optional(Real()),
                "train_accuracy": _SHARE,
                "fit_seconds": _SECONDS,
                "predict_seconds": _SECONDS,
                "n": _COUNT,
                "confusion": Several(Several(_COUNT)),
            }
        ),
    },
    _OPTIONAL_IN_CLASSIC,
)


def study(values: Any) -> Record:
    """Return the schema of study.json, which depends on whether arms are compared."""
    has_definition = isinstance(values, dict) and values.get("definition") is not None
    return _OF_ARMS if has_definition else _OF_ONE_ARM


def read(file: Path, kind: Callable[[Any], Kind], *, trust: bool, has_checksum: bool = True) -> dict[str, Any]:
    """Return the contents of a file.

    Args:
        file: Its path.
        kind: Returns the schema of its values.
        trust: Whether a file is used that was changed since it was written.
        has_checksum: Whether the checksum must be there; version 0.1 wrote none.

    Raises:
        UsageError: CN207, it cannot be read, is not valid, or was changed.
    """
    try:
        facts: dict[str, Any] = strict_json.parse(file.read_bytes())
        schema.check(facts, kind(facts))
        is_compared = has_checksum or checksum.KEY in facts
        if is_compared and not trust and facts.get(checksum.KEY) != checksum.of_values(facts):
            raise ValueError(_("its checksum is not that of its contents"))
    except (OSError, ValueError) as error:
        raise UsageError(
            "CN207",
            _("{name} cannot be read, is not valid, or was changed", name=file.name),
            where=str(file),
            why=error.strerror or str(error) if isinstance(error, OSError) else str(error),
            hint=(_("copy the folder again"), _("{option}   # uses a changed file", option="--trust")),
        ) from error
    return facts
