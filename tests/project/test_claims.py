"""docs/claims.md is what the nets say, verdict by verdict; and in another world the checks would say something else."""

from __future__ import annotations

import contextlib
import re
from functools import partial

import make
import pytest
import torch
from torch import nn

COMPUTED = [claim for claim in make.CLAIMS if callable(claim.by)]
SOURCED = [claim for claim in make.CLAIMS if claim not in COMPUTED]


def test_the_page_is_what_the_nets_say() -> None:
    page = (make.HERE / "claims.md").read_text(encoding="utf-8")
    assert page == make.claims_page(), f"docs/claims.md is not what the nets say; renew it: {make.COMMAND}"


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_the_computed_verdict_is_the_fact_sheet_s(claim: make.Claim) -> None:
    verdict, evidence = claim.finding()
    assert verdict == claim.expected, evidence


# Worlds in which each net is another: strangers, with other activations and pools too; and cousins with the same names.
STRANGERS = {
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
COUSINS = {
    "lenet_32": "lenet_d2l_v1",
    "lenet5_1998": "lenet1_1990",
    "alexnet_2012": "alexnet_mxnet",
    "alexnet_d2l": "alexnet_d2l_v1",
}


def move_to(stand_ins: dict[str, str], patch: pytest.MonkeyPatch) -> None:
    layers, net, relu, sigmoid = make.layers, make._net, torch.relu, torch.sigmoid
    patch.setattr(make, "layers", lambda name, **options: layers(stand_ins.get(name, name), **options))
    patch.setattr(make, "_net", lambda name, *device: net(stand_ins.get(name, name), *device))
    if stand_ins is STRANGERS:
        patch.setattr(torch, "relu", sigmoid)
        patch.setattr(torch, "sigmoid", relu)
        patch.setattr(nn, "MaxPool2d", partial(nn.MaxPool2d, stride=1))


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_a_check_asks_the_nets_and_not_its_author(claim: make.Claim, monkeypatch: pytest.MonkeyPatch) -> None:
    """With other nets and operations the evidence is another, and what was true is true no more."""
    here, elsewhere = claim.finding(), []
    for stand_ins in (STRANGERS, COUSINS):
        with monkeypatch.context() as patch, contextlib.suppress(LookupError, AttributeError, RuntimeError, TypeError):
            move_to(stand_ins, patch)  # an error: the check looked for a layer that is not there
            elsewhere.append(claim.finding())
    assert any(evidence != here[1] for _, evidence in elsewhere)
    assert here[0] != "true" or any(verdict != "true" for verdict, _ in elsewhere)


def test_a_wrong_verdict_is_refused_when_the_page_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    first = make.CLAIMS[0]
    monkeypatch.setattr(make, "CLAIMS", [make.Claim(first.topic, "true", first.by)])
    with pytest.raises(AssertionError, match="lenet_has_millions: wrong, not true"):
        make.claims_page()


def test_a_verdict_is_one_of_three() -> None:
    assert (make.judge(True), make.judge(False, True), make.judge(False)) == ("true", "loose", "wrong")
    assert {claim.expected for claim in make.CLAIMS} == set(make.MARKS)


def test_claims_are_told_apart_and_sourced_ones_have_a_source() -> None:
    assert len({claim.id for claim in make.CLAIMS}) == len({claim.claim for claim in make.CLAIMS}) == len(make.CLAIMS)
    assert all(claim.claim.strip() and claim.source.strip() for claim in SOURCED)
    assert all(all(cell.strip() for cell in row) for row in make.OPEN)


def test_tables_are_well_formed() -> None:
    widths = {"notes say": 0}
    for line in make.claims_page().splitlines():
        if line.startswith("| notes say"):
            widths["notes say"] = line.count("|")
        if line.startswith("|"):
            assert line.count("|") == widths["notes say"], line
    assert not re.search(r"\bseeds?\b", make.claims_page())  # chance is called a run here
