"""Made-up facts of finished studies, as study.json has them, and their run folders."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from classicnets.events import Epoch
from classicnets.runs import history
from classicnets.runs.folder import RunFolder
from classicnets.studies.folder import StudyFolder
from classicnets.studies.measures import measure
from classicnets.studies.results import StudyResults
from classicnets.studies.summary import summarize

ACCURACY, GAP, EPOCHS = "test_accuracy", "generalization_gap", "epochs to train_accuracy 0.75"
SEEDS = [0, 1, 2, 3, 4, 5]
VALUES: dict[str, dict[str, list[float | None]]] = {
    "average": {
        ACCURACY: [0.7612, 0.7544, 0.7498, 0.7631, 0.7580, 0.7566],
        GAP: [0.0061, 0.0080, 0.0054, 0.0072, 0.0049, 0.0063],
        EPOCHS: [9, 10, 10, 9, 10, 10],
    },
    "max": {
        ACCURACY: [0.7831, 0.7702, 0.7733, 0.7868, 0.7775, 0.7790],
        GAP: [0.0112, 0.0098, 0.0121, 0.0090, 0.0105, 0.0101],
        EPOCHS: [7, 8, 8, 7, 7, 8],
    },
    "ReLU": {
        ACCURACY: [0.7590, 0.7630, 0.7472, 0.7655, 0.7561, 0.7602],
        GAP: [0.0066, 0.0061, 0.0080, 0.0058, 0.0071, 0.0070],
        EPOCHS: [4, 4, 5, 4, 4, 4],
    },
    "sigmoid without bias": {
        ACCURACY: [0.7212, None, 0.7051, 0.7139, 0.7180, 0.7165],  # the run of the second seed has failed
        GAP: [0.0031, None, 0.0044, 0.0029, 0.0035, 0.0038],
        EPOCHS: [None, None, None, None, None, None],
    },
}
FAILED = ("sigmoid without bias", 1)
ERROR = "error CN105: the loss is not finite\n  where: epoch 3"
_ARM: dict[str, Any] = {
    "net": "lenet_d2l",
    "changes": [],
    "parameters": 61706,
    "macs": 416520,
    "recipe": "d2l",
    "epochs": 10,
    "data_name": "fashion_mnist",
    "train_images": 2000,
    "matched": None,
}
_ARMS = {
    "average": _ARM,
    "max": {**_ARM, "changes": ["net.pool=max"]},
    "ReLU": {**_ARM, "changes": ["net.activation=relu", "lr=0.1"]},
    "sigmoid without bias": {
        **_ARM,
        "changes": ["net.bias=False"],
        "parameters": 61510,
        "macs": 415210,
        "matched": {"width": 1.0156, "what": "parameters", "value": 61510, "target": 61706},
    },
}


def facts(arms: Sequence[str] = tuple(VALUES), measures: Sequence[str] = (ACCURACY, GAP, EPOCHS)) -> dict[str, Any]:
    """The facts of a study of these arms: differences that are shown and not shown, a ratio, a failed run, no pairs."""
    rows = [_row(arm, i, seed, measures) for arm in arms for i, seed in enumerate(SEEDS)]
    compare = [{"arms": [arms[0], name], "claim": 1.2 if name == "max" else None} for name in arms[1:]]
    return {
        "version": "0.2.0",
        "command": "classicnets study run pooling",
        "started_at": "2026-11-29T18:02:11+00:00",
        "finished_at": "2026-11-29T18:21:40+00:00",
        "definition": {
            "name": "pooling",
            "question": "Is maximum pooling better than average pooling in the book's LeNet?",
            "seeds": SEEDS,
            "measures": [*measures],
            "match": "parameters",
            "scope": "Nothing is said about ImageNet directly: its images are larger and in color, its networks"
            " have a thousand times as many parameters.",
            "base": {"net": "lenet_d2l", "data": "fashion_mnist", "limit": 2000, "settings": {"epochs": 10}},
            "arms": {name: {} for name in arms},
            "compare": compare,
            "reported": [
                {
                    "what": "overlapping maximum pooling (3, stride 2): top-1 error of ILSVRC-2010",
                    "value": "-0.4 points",
                    "source": "Krizhevsky et al. 2012, section 3.4",
                },
                {
                    "what": "maximum pooling instead of subsampling: error on NORB",
                    "value": "-0.9 points",
                    "source": "Scherer et al. 2010, table 1",
                },
            ],
        },
        "arms": {name: copy.deepcopy(_ARMS[name]) for name in arms},
        "side_by_side": 2,
        "threads": 1,
        "why": "fastest of those measured",
        "device": "cpu",
        "machine": {
            "system": "Linux 6.1.0",
            "processor": "AMD EPYC 7B13",
            "cores": 2,
            "memory_bytes": 8 * 2**30,
            "cpu_capability": "AVX2",
            "versions": {
                "classicnets": "0.2.0",
                "python": "3.11.2",
                "torch": "2.13.0",
                "numpy": "2.4.1",
                "onnx": "missing",
            },
        },
        "fingerprint": "3b1f6d7ac0de" * 5 + "feed",
        "result": {
            "seconds": sum(row.get("seconds") or 0.0 for row in rows),
            "rows": rows,
            **summarize(compare, [measure(name) for name in measures], rows),
        },
    }


def results(folder: Path, facts: dict[str, Any]) -> StudyResults:
    """The results of a study in `folder`, whose runs of networks have a history."""
    for row in facts["result"]["rows"]:
        run = RunFolder(folder / row["folder"])
        run.path.mkdir(parents=True, exist_ok=True)
        if "classifier" not in facts["arms"][row["arm"]]:
            stop = 3 if "error" in row else 10
            for epoch in range(1, stop + 1):
                history.append(run.history, _epoch(epoch, row.get(ACCURACY) or 0.7, row["seed"]))
    return StudyResults(StudyFolder(folder), facts)


def _epoch(epoch: int, accuracy: float, seed: int) -> Epoch:
    left = math.exp(-epoch / (3.5 - 30 * (accuracy - 0.75)) + 0.02 * math.sin(seed + epoch))
    return Epoch(
        epoch=epoch,
        epochs=10,
        loss=0.55 + 1.75 * left,
        accuracy=accuracy + 0.008 - 0.7 * left,
        validation_accuracy=accuracy - 0.72 * left,
        test_accuracy=None,
        lr=0.9,
        seconds=3.0,
        evaluation_seconds=0.2,
        images_per_second=700.0,
        wait_share=0.01,
    )


def _row(arm: str, index: int, seed: int, measures: Sequence[str]) -> dict[str, Any]:
    identity = {"arm": arm, "seed": seed, "folder": f"{arm}/seed-{seed}"}
    if (arm, seed) == FAILED:
        return {**identity, "error": ERROR}
    return {**identity, "seconds": 88.0 + 3 * index, **{name: VALUES[arm][name][index] for name in measures}}


def classic_facts() -> dict[str, Any]:
    """The facts of a study that compares a network with a classical method."""
    made = facts(("average", "max"), (ACCURACY,))
    made["arms"]["max"] = {"classifier": "svm_rbf", "features": "hog"}
    for row in made["result"]["rows"]:
        if row["arm"] == "max":
            row |= {"fit_seconds": 4.2, "predict_seconds": 6.1}
    return made


def without_results(made: Mapping[str, Any]) -> dict[str, Any]:
    """The facts of a study whose runs have all failed."""
    definition, result = made["definition"], made["result"]
    rows = [{key: row[key] for key in ("arm", "seed", "folder")} | {"error": ERROR} for row in result["rows"]]
    measures = [measure(name) for name in definition["measures"]]
    return {**made, "result": {**result, "rows": rows, **summarize(definition["compare"], measures, rows)}}
