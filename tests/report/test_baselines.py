"""The table and the figure of classical methods: every arm once, sorted, also where values are missing."""

from __future__ import annotations

from typing import Any

import numpy as np

from classicnets.report import baselines, figures
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES


def make_facts() -> dict[str, Any]:
    """Facts as in study.json: all methods, two networks, one failed run, and one arm without results."""
    arms: dict[str, Any] = {
        f"{name}-{features}": {"classifier": name, "features": features}
        for name in CLASSIFIERS
        for features in FEATURES
    }
    arms |= {"a|b 网络": {"net": "lenet_d2l"}, "alexnet_28": {"net": "alexnet_28"}, "late": {"net": "lenet_5"}}
    rows: list[dict[str, Any]] = []
    measured: dict[str, Any] = {}
    for i, (name, arm) in enumerate(arms.items()):
        if name == "late":
            rows.append({"arm": name, "seed": 0, "folder": "late/seed-0", "error": "stopped"})
            measured[name] = {"test_accuracy": {"n": 0, "of": 1, "mean": None, "sd": None, "interval": None}}
            continue
        accuracy = 0.8 + 0.009 * ((i * 7) % 13)
        times = {"fit_seconds": 0.4 * 1.7**i, "predict_seconds": 0.3 * i} if "net" not in arm else {"seconds": 1234.0}
        rows += [
            {"arm": name, "seed": seed, "folder": f"{name}/seed-{seed}", "test_accuracy": accuracy, **times}
            for seed in (0, 1)
        ]
        rows.append({"arm": name, "seed": 2, "folder": f"{name}/seed-2", "error": "the process was killed"})
        measured[name] = {
            "test_accuracy": {
                "n": 2,
                "of": 3,
                "mean": accuracy,
                "sd": 0.004 if i else None,
                "interval": [accuracy - 0.006, accuracy + 0.006] if i else None,
            }
        }
    return {"arms": arms, "result": {"rows": rows, "arms": measured}}


def test_table_has_every_arm_the_most_accurate_first() -> None:
    facts = make_facts()
    lines = baselines.table(facts)
    assert len(lines) == 2 + len(facts["arms"])
    accuracies = [float(line.split(" | ")[2].split()[0]) for line in lines[2:-1]]
    assert accuracies == sorted(accuracies, reverse=True)
    assert "| linear SVM | pixels | 80.00 % | 2 | 0.4 | 0.0 |" in lines
    assert any(
        line.startswith("| a&#124;b 网络 | learned (network) |") and line.endswith("| 1,234 | – |") for line in lines
    )
    assert lines[-1] == "| late | learned (network) | – | 0 | – | – |"


def test_figure_has_a_row_for_each_method_and_a_dot_for_each_arm_with_results() -> None:
    facts = make_facts()
    figure = baselines.draw(facts)
    left, right = figure.axes
    assert len(left.get_yticks()) == len(CLASSIFIERS) + 2
    for axes in (left, right):
        dots = sum(np.size(line.get_xdata()) for line in axes.lines if line.get_linestyle() == "None")
        assert dots == len(facts["arms"]) - 1
    assert figures.png(figure).startswith(b"\x89PNG")


def test_every_classifier_and_kind_of_features_has_a_name() -> None:
    assert all("_" not in baselines._method_label(name) for name in CLASSIFIERS)
    assert len({baselines._features_label(name) for name in [*FEATURES, ""]}) == len(FEATURES) + 1


def test_arms_that_differ_in_something_else_keep_their_names() -> None:
    facts = make_facts()
    facts["arms"] |= {name: {"classifier": "mlp", "features": "hog"} for name in ("few images", "mlp-hog")}
    lines = baselines.table(facts)
    assert [sum(line.startswith(f"| {name} | HOG |") for line in lines) for name in ("few images", "mlp-hog")] == [1, 1]
    assert any(line.startswith("| MLP with one hidden layer | pixels |") for line in lines)
