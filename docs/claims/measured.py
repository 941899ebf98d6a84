"""Claims that training settles, on small images: each with the comparisons of a finished study that answer it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from classicnets.report import study_text
from classicnets.report.markdown import escaped
from classicnets.text import N_
from pages.studies import verdict

Change = Literal["more", "less"]
# how the page shows each
MARKS = {"yes": N_("yes"), "no": N_("**no**"), "in part": N_("*in part*"), "not shown": N_("not shown")}


@dataclass(frozen=True)
class Measured:
    """One claim, in our words: the second arm of each pair has more, or less, of the measure than the first.

    `text` is English: the page translates it.

    `study` names the study, whose facts are in studies/results.
    """

    text: str
    study: str
    measure: str
    change: Change
    pairs: Sequence[tuple[str, str]]

    def finding(self, facts: Mapping[str, Any]) -> tuple[str, str]:
        """The verdict and the evidence, from the facts of the study; the evidence is in the language of the page.

        "yes" if all pairs show the claim, "no" if all show the opposite, "not shown" if none shows anything, otherwise
        "in part". Pairs without values do not count, nor do those with an arm that has learned nothing.

        Raises:
            KeyError: the study does not compare one of the pairs by this measure.
        """
        compared = {(pair["measure"], *pair["arms"]): pair for pair in facts["result"]["comparisons"]}
        found = [compared[self.measure, *arms] for arms in self.pairs]
        neutral = next(
            1.0 if measure.ratio else 0.0 for measure in study_text.measures_of(facts) if measure.name == self.measure
        )
        nothing = study_text.guessing(facts).keys()
        changes = {_change(pair, neutral) for pair in found if pair["n"] and not nothing & {*pair["arms"]}}
        evidence = "<br>".join(escaped(verdict(facts, pair)) for pair in found)
        if changes <= {None}:
            return "not shown", evidence
        if len(changes) > 1:
            return "in part", evidence
        return "yes" if changes == {self.change} else "no", evidence


def _change(pair: Mapping[str, Any], neutral: float) -> Change | None:
    """What a comparison shows; None if nothing."""
    if pair["conclusion"] != "shown":
        return None
    return "more" if pair["estimate"] > neutral else "less"


MEASURED = [
    Measured(
        "Networks need fewer epochs with ReLU than with tanh or sigmoid.",
        "relu",
        "epochs to train_accuracy 0.8",
        "more",
        [("relu", "tanh"), ("relu", "scaled_tanh"), ("relu", "sigmoid")],
    ),
    Measured(
        "The book's LeNet is more accurate with ReLU or tanh than with sigmoid.",
        "relu_lenet",
        "test_accuracy",
        "more",
        [("sigmoid", "relu"), ("sigmoid", "tanh")],
    ),
    Measured(
        "Dropout reduces overfitting.",
        "dropout",
        "generalization_gap",
        "less",
        [("none", "dropout_25"), ("none", "dropout_50")],
    ),
    Measured(
        "Augmentation reduces overfitting.",
        "augmentation",
        "generalization_gap",
        "less",
        [("none", "flip"), ("none", "shift"), ("none", "erase"), ("none", "all")],
    ),
    Measured(
        "Response normalization makes a network more accurate.", "lrn", "test_accuracy", "more", [("none", "lrn")]
    ),
    Measured(
        "Overlapping pooling makes a network more accurate.",
        "overlapping",
        "test_accuracy",
        "more",
        [("plain", "overlapping")],
    ),
    Measured(
        "Overlapping pooling resists overfitting.",
        "overlapping",
        "generalization_gap",
        "less",
        [("plain", "overlapping")],
    ),
    Measured(
        "Maximum pooling works better than average pooling.",
        "pooling",
        "test_accuracy",
        "more",
        [("average", "max"), ("average_relu", "max_relu")],
    ),
    Measured(
        "Batch normalization makes a network more accurate.",
        "batch_norm",
        "test_accuracy",
        "more",
        [("none", "before")],
    ),
    Measured(
        "Batch normalization is better after the activation than before it.",
        "batch_norm",
        "test_accuracy",
        "more",
        [("before", "after")],
    ),
    Measured(
        "Trained on 2,000 images, networks are more accurate than the methods before them.",
        "baselines",
        "test_accuracy",
        "more",
        [("svm_rbf_hog", "lenet"), ("svm_rbf_hog", "lenet_relu_max"), ("svm_rbf_hog", "alexnet_28")],
    ),
    Measured(
        "Leaky, parametric and random ReLUs are more accurate than ReLU.",
        "activations",
        "test_accuracy",
        "more",
        [("relu", "leaky"), ("relu", "parametric"), ("relu", "random")],
    ),
    Measured(
        "Sparse outputs regularize: without ReLU's zeros, a network overfits more.",
        "activations",
        "generalization_gap",
        "more",
        [("relu", "leaky")],
    ),
    Measured(
        "More ReLU units die with a higher learning rate.",
        "dead_units",
        "dead_units",
        "more",
        [
            ("initialize=xavier_uniform,lr=0.03", "initialize=xavier_uniform,lr=0.3"),
            ("initialize=as_built,lr=0.03", "initialize=as_built,lr=0.3"),
            ("initialize=normal,lr=0.03", "initialize=normal,lr=0.3"),
        ],
    ),
    Measured(
        "A convolutional network is more accurate than an MLP with as many parameters or as many multiplications.",
        "mlp",
        "test_accuracy",
        "more",
        [("mlp_parameters", "lenet_relu_max"), ("mlp_macs", "lenet_relu_max")],
    ),
    Measured(
        "LeNet improves with ReLU, dropout and preprocessing (the book's exercise).",
        "lenet_exercise",
        "test_accuracy",
        "more",
        [("book", "relu"), ("book", "dropout"), ("book", "preprocessing"), ("book", "all")],
    ),
    Measured(
        "With the same learning rate and as many epochs, smaller batches are more accurate.",
        "batch_size",
        "test_accuracy",
        "more",
        [("batch_128", "batch_32")],
    ),
    Measured(
        "DropConnect is better than dropout.", "dropconnect", "test_accuracy", "more", [("dropout", "dropconnect")]
    ),
    Measured(
        "ReLU makes training easier, whatever the initial weights.",
        "initialization",
        "train_accuracy",
        "more",
        [
            (f"initialize={initialize},activation={other}", f"initialize={initialize},activation=relu")
            for initialize in ("xavier_uniform", "as_built", "normal")
            for other in ("sigmoid", "tanh")
        ],
    ),
    Measured("More epochs make a network more accurate.", "size", "test_accuracy", "more", [("plain", "more_epochs")]),
    Measured("A wider network is more accurate.", "size", "test_accuracy", "more", [("plain", "wide")]),
    Measured("A narrower network overfits less.", "size", "generalization_gap", "less", [("plain", "narrow")]),
    Measured("Weight decay regularizes LeNet.", "weight_decay", "generalization_gap", "less", [("none", "decay")]),
    Measured(
        "The LeNet of the book's second edition is more accurate than that of the first.",
        "editions",
        "test_accuracy",
        "more",
        [("first", "second")],
    ),
]
