"""The claims of docs/claims.md have the expected verdicts, and the checks depend on the networks.

That the page has these verdicts, `test_docs.py` checks.
"""

from __future__ import annotations

import contextlib
import functools
import re

import pytest
import torch
from torch import nn

import make
from claims import CLAIMS, TOPICS
from claims.claim import MARKS, Claim, judge
from claims.measured import MEASURED, Measured
from claims.open_questions import OPEN
from classicnets.report import markdown
from pages import claims, networks, studies

COMPUTED = [claim for claim in CLAIMS if claim.check]
SOURCED = [claim for claim in CLAIMS if not claim.check]
PAGE = (make.DOCS / "claims.md").read_text(encoding="utf-8")


@functools.cache
def finding(claim: Claim) -> tuple[str, str]:
    return claim.finding()


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_the_computed_verdict_is_the_expected_one(claim: Claim) -> None:
    verdict, evidence = finding(claim)
    assert verdict == claim.expected, evidence


# Each network is replaced by an unrelated one, with other activations and pooling, or by a similar one with layers of
# the same names.
UNRELATED = {
    "lenet_d2l": "alexnet_2012",
    "lenet5_1998": "vgg16",
    "lenet_d2l_v1": "cifar10_18pct",
    "lenet_32": "lenet_d2l",
    "alexnet_2012": "lenet_caffe",
    "alexnet_d2l": "lenet_d2l",
    "alexnet_d2l_v1": "vgg16",
    "alexnet_mxnet": "lenet_32",
    "alexnet_28": "lenet_caffe",
    "vgg16": "alexnet_d2l",
}
SIMILAR = {
    "lenet_d2l": "lenet_caffe",
    "lenet_32": "lenet_d2l_v1",
    "lenet5_1998": "lenet1_1990",
    "alexnet_2012": "alexnet_mxnet",
    "alexnet_d2l": "alexnet_d2l_v1",
}


def replace_networks(replacements: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    def other(name: str) -> str:
        return replacements.get(name, name)

    trace, construct, relu, sigmoid = networks.trace_network, networks.construct_network, torch.relu, torch.sigmoid
    patch.setattr(networks, "trace_network", lambda name, shape: trace(other(name), shape))
    patch.setattr(networks, "construct_network", lambda name: construct(other(name)))
    if replacements is UNRELATED:
        patch.setattr(torch, "relu", sigmoid)
        patch.setattr(torch, "sigmoid", relu)
        patch.setattr(nn, "MaxPool2d", functools.partial(nn.MaxPool2d, stride=1))


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_a_check_depends_on_the_networks(claim: Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other networks and operations the evidence differs, and what was true is no longer true."""
    verdict, evidence = finding(claim)
    findings = []
    for replacements in (UNRELATED, SIMILAR):
        with monkeypatch.context() as patch, contextlib.suppress(LookupError, AttributeError, RuntimeError, TypeError):
            replace_networks(replacements, patch)  # an error: the check looked for a layer that does not exist
            findings.append(claim.finding())
    assert any(other != evidence for _, other in findings)
    assert verdict != "true" or any(other != "true" for other, _ in findings)


def test_an_unexpected_verdict_is_rejected_when_the_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    first = CLAIMS[0]
    monkeypatch.setattr(claims, "CLAIMS", [Claim(first.topic, first.id, first.text, "true", first.check)])
    with pytest.raises(ValueError, match="lenet_has_millions: wrong, not true"):
        make.page("claims.md")


def test_a_verdict_is_one_of_three() -> None:
    assert (judge(True), judge(False, True), judge(False)) == ("true", "loose", "wrong")
    assert {claim.expected for claim in CLAIMS} == set(MARKS)


def test_claims_differ_and_those_without_a_check_have_a_source() -> None:
    assert len({claim.id for claim in CLAIMS}) == len({claim.text for claim in CLAIMS}) == len(CLAIMS)
    assert all(claim.text.strip() and claim.source.strip() for claim in SOURCED)
    assert all(all(cell.strip() for cell in row) for row in OPEN)


@pytest.mark.parametrize("claim", [claim for claim in MEASURED if studies.finished(claim.study)], ids=lambda c: c.text)
def test_what_a_study_shows_follows_from_its_comparisons(claim: Measured) -> None:
    facts = studies.finished(claim.study)
    assert facts is not None
    pairs = [pair for pair in facts["result"]["comparisons"] if pair["measure"] == claim.measure]
    counted = [pair for pair in pairs if pair["n"] and not facts["result"]["guessing"].keys() & {*pair["arms"]}]
    compared = [pair for pair in counted if tuple(pair["arms"]) in claim.pairs]
    assert all(markdown.escaped(pair["verdict"]) in claim.finding(facts)[1] for pair in compared)

    def found(conclusions: list[str], estimates: list[float]) -> str:
        for pair, conclusion, estimate in zip(compared, conclusions, estimates, strict=True):
            pair |= {"conclusion": conclusion, "estimate": estimate}
        return claim.finding(facts)[0]

    n = len(compared)
    right, wrong = (4.0, 0.25) if claim.measure.startswith("epochs") else (0.1, -0.1)
    if claim.change == "less":
        right, wrong = wrong, right
    assert found(["shown"] * n, [right] * n) == "yes"
    assert found(["shown"] * n, [wrong] * n) == "no"
    assert found(["not shown"] * n, [right] * n) == "not shown"
    if n > 1:
        assert found(["shown"] + ["not shown"] * (n - 1), [right] * n) == "in part"
        assert found(["shown"] * n, [right] + [wrong] * (n - 1)) == "in part"


def test_every_topic_is_on_the_page() -> None:
    folder = make.DOCS / "claims"
    topics = {path.stem for path in folder.glob("*.py")} - {"__init__", "claim", "measured", "open_questions"}
    assert len(topics) == len(TOPICS)
    assert [line[3:] for line in PAGE.splitlines() if line.startswith("## ")] == [
        *(topic.title for topic in TOPICS),
        "What training shows on small images",
        "Open: only training or measuring can tell",
    ]


def test_tables_are_well_formed() -> None:
    width = 0
    for line in PAGE.splitlines():
        if line.startswith("| claim |"):
            width = line.count("|")
        if line.startswith("|"):
            assert line.count("|") == width, line
    assert not re.search(r"\bseeds?\b", PAGE)  # the page speaks of runs
