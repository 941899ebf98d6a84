"""Choose the parameters of the classical methods on validation images of Fashion-MNIST (20 minutes on 1 core).

    OMP_NUM_THREADS=1 python studies/choose_classic.py [CLASSIFIER ...] > studies/results/choose_classic.jsonl

5,000 training images are fitted and 2,000 others decide; the test split is not read. One line for each combination. The
seed is none of those of the study `baselines`, so its subsets are others, though of the same training split.
"""

from __future__ import annotations

import itertools
import sys
from typing import Any

import numpy as np

from classicnets.images import batches, loading
from classicnets.strict_json import dump
from classicnets.studies.classifiers import CLASSIFIERS
from classicnets.studies.features import FEATURES

TRAIN, VALIDATE, SEED = 5000, 2000, 1000

# Forests have 100 trees, as in the benchmark of the data set's paper: more would be better, and slower.
GRIDS: dict[str, dict[str, list[Any]]] = {
    "linear_svm": {"C": [0.001, 0.01, 0.1, 1.0]},
    "svm_rbf": {"C": [1.0, 10.0, 30.0], "gamma": [1.0, 2.0]},
    "nearest_neighbors": {"n_neighbors": [1, 3, 5, 9], "weights": ["uniform", "distance"]},
    "logistic_regression": {"C": [0.01, 0.1, 1.0], "standardize": [False, True]},
    "random_forest": {"max_features": ["sqrt", 0.1]},
    "mlp": {"alpha": [1e-4, 1e-2, 1.0], "standardize": [False, True]},
}


def main(names: list[str]) -> None:
    splits = loading.load("fashion_mnist")
    train = splits.train
    indices, held_out = batches.split_indices(train.labels, VALIDATE / len(train), TRAIN, SEED)
    for kind, name in itertools.product(FEATURES, names or CLASSIFIERS):
        x, check_x = (
            FEATURES[kind](train.images[part].astype(np.float32) / np.float32(255)) for part in (indices, held_out)
        )
        for values in itertools.product(*GRIDS[name].values()):
            changes = dict(zip(GRIDS[name], values, strict=True))
            model = CLASSIFIERS[name].fit(kind, x, train.labels[indices], SEED, **changes)
            accuracy = float((model.predict(check_x) == train.labels[held_out]).mean())
            facts = {"features": kind, "classifier": name, **changes, "validation_accuracy": accuracy}
            print(dump(facts), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
