"""The classical methods, as scikit-learn has them, with the values of their parameters (extra `classic`).

The values were chosen on 2,000 validation images of Fashion-MNIST's training split, after fitting on 5,000 others, once
for each kind of features, never on the test split (studies/choose_classic.py, studies/results/choose_classic.jsonl).
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from classicnets import machine
from classicnets.studies.features import Floats


@dataclass(frozen=True)
class Classifier:
    """A method of scikit-learn.

    Attributes:
        module: module of scikit-learn.
        name: class in it.
        fixed: its arguments for all features.
        chosen: by the kind of features, its chosen arguments. `gamma` is a multiple of what scikit-learn calls "scale",
            1 / (number of features * their variance); with `standardize`, features get the mean 0 and the standard
            deviation 1 over the training images.
        is_random: whether its seed matters.
        has_probabilities: whether it fits probabilities. Shares of neighbors or of trees are none: most of them are 0,
            where the cross-entropy is infinite.
        fits_in_threads: whether it fits in threads with a result that does not depend on their number.
    """

    module: str
    name: str
    fixed: Mapping[str, Any] = field(default_factory=dict)
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    is_random: bool = False
    has_probabilities: bool = False
    fits_in_threads: bool = False

    def fit(
        self, kind: str, features: Floats, labels: npt.NDArray[np.int64], seed: int, threads: int = 1, **changes: Any
    ) -> Any:
        """Fit the method and return scikit-learn's pipeline.

        Args:
            kind: kind of features.
            features: those of the training images, [N, D].
            labels: their labels [N].
            seed: seed of its random numbers.
            threads: number of threads that fit it, if it has any use for them.
            changes: arguments instead of the chosen ones.

        Raises:
            MachineError: CN403 without scikit-learn.
        """
        pipeline = machine.require("sklearn.pipeline", extra="classic")
        preprocessing = machine.require("sklearn.preprocessing", extra="classic")
        arguments = {**self.fixed, **self.chosen.get(kind, {}), **changes}
        standardize = arguments.pop("standardize", False)
        if "gamma" in arguments:
            variance = float(features.var(dtype=np.float64))
            arguments["gamma"] /= features.shape[1] * variance if variance else 1.0
        if self.is_random:
            arguments["random_state"] = seed % 2**32  # scikit-learn takes no other seeds
        if self.fits_in_threads:
            arguments["n_jobs"] = threads
        method = getattr(machine.require(f"sklearn.{self.module}", extra="classic"), self.name)(**arguments)
        steps = [preprocessing.StandardScaler()] if standardize else []
        with warnings.catch_warnings(action="ignore"):  # that an optimizer stops at max_iter, which is chosen
            return pipeline.make_pipeline(*steps, method).fit(features, labels)


CLASSIFIERS: dict[str, Classifier] = {
    # The primal problem: as many features as images, and no random order of them.
    "linear_svm": Classifier(
        "svm",
        "LinearSVC",
        {"dual": False, "max_iter": 1000},
        {"pixels": {"C": 0.01}, "hog": {"C": 0.1}},
    ),
    "svm_rbf": Classifier(
        "svm",
        "SVC",
        {"kernel": "rbf", "cache_size": 500},
        {"pixels": {"C": 10.0, "gamma": 2.0}, "hog": {"C": 10.0, "gamma": 2.0}},
    ),
    "nearest_neighbors": Classifier(
        "neighbors",
        "KNeighborsClassifier",
        {"algorithm": "brute", "weights": "distance"},
        {"pixels": {"n_neighbors": 5}, "hog": {"n_neighbors": 9}},
    ),
    "logistic_regression": Classifier(
        "linear_model",
        "LogisticRegression",
        {"max_iter": 300},
        {"pixels": {"C": 0.01, "standardize": True}, "hog": {"C": 0.1}},
        has_probabilities=True,
    ),
    "random_forest": Classifier(
        "ensemble",
        "RandomForestClassifier",
        {"n_estimators": 100},
        {"pixels": {"max_features": 0.1}, "hog": {"max_features": 0.1}},
        is_random=True,
        fits_in_threads=True,
    ),
    # 300 hidden units as in LeCun et al. 1998, figure 9.
    "mlp": Classifier(
        "neural_network",
        "MLPClassifier",
        {"hidden_layer_sizes": 300, "max_iter": 30},
        {"pixels": {"alpha": 1e-4}, "hog": {"alpha": 1e-4, "standardize": True}},
        is_random=True,
        has_probabilities=True,
    ),
}
