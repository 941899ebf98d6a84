"""The claims of docs/claims.md have the expected verdicts, and the checks depend on the networks.

That the pages have these verdicts, `test_docs.py` checks. The Chinese page has what the English one has.
"""

from __future__ import annotations

import contextlib
import functools
import re
import string
from collections import Counter
from itertools import pairwise

import claim_messages
import messages
import pytest
import torch
from torch import nn

import make
from claims import CLAIMS, TOPICS
from claims.claim import MARKS, Claim, Finding, judge
from claims.measured import MARKS as SHOWN
from claims.measured import MEASURED, Measured
from claims.open_questions import OPEN
from classicnets.language import texts_in
from classicnets.report import markdown
from pages import claims, networks, studies
from pages.texts import _, join, translated
from support.glossary import AVOIDED

COMPUTED = [claim for claim in CLAIMS if claim.check]
SOURCED = [claim for claim in CLAIMS if not claim.check]
PAGES = {
    language: (make.DOCS / name).read_text(encoding="utf-8")
    for language, name in {"en": "claims.md", "zh": "claims.zh-CN.md"}.items()
}


@functools.cache
def finding(claim: Claim) -> Finding:
    return claim.finding()


@pytest.mark.parametrize("claim", COMPUTED, ids=lambda claim: claim.id)
def test_the_computed_verdict_is_the_expected_one(claim: Claim) -> None:
    verdict, evidence = finding(claim)
    assert verdict == claim.expected, str(evidence)


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
    assert all(claim.text.strip() and str(claim.source).strip() for claim in SOURCED)
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


@pytest.mark.parametrize("name", studies.names())
def test_the_sentence_of_a_comparison_is_that_of_the_facts(name: str) -> None:
    facts = studies.finished(name)
    assert facts is not None
    for pair in facts["result"]["comparisons"]:
        assert studies.verdict(facts, pair) == pair["verdict"]


@pytest.mark.parametrize("language", PAGES)
def test_every_topic_is_on_the_page(language: str) -> None:
    folder = make.DOCS / "claims"
    topics = {path.stem for path in folder.glob("*.py")} - {"__init__", "claim", "measured", "open_questions"}
    assert len(topics) == len(TOPICS)
    with texts_in(language):
        titles = [translated(topic.title) for topic in TOPICS]
    headings = [line[3:] for line in PAGES[language].splitlines() if line.startswith("## ")]
    assert headings[:-2] == titles
    if language == "en":
        assert headings[-2:] == [
            "What training shows on small images",
            "Open: only training or measuring can tell",
        ]


@pytest.mark.parametrize("language", PAGES)
def test_tables_are_well_formed(language: str) -> None:
    width = 0
    for before, line in pairwise(PAGES[language].splitlines()):
        if not before.startswith("|"):
            width = line.count("|")
        if line.startswith("|"):
            assert line.count("|") == width, line
    assert not re.search(r"\bseeds?\b", PAGES[language])  # the page speaks of runs


def rows(language: str) -> list[list[str]]:
    """The cells of all tables, without their heads."""
    lines = PAGES[language].splitlines()
    heads = {i + j for i, line in enumerate(lines) if line.startswith("| --- |") for j in (-1, 0)}
    return [line[2:-2].split(" | ") for i, line in enumerate(lines) if line.startswith("|") and i not in heads]


def test_the_chinese_page_has_the_same_rows_and_verdicts() -> None:
    english, chinese = rows("en"), rows("zh")
    with texts_in("zh"):
        marks = {mark: translated(mark) for mark in [*MARKS.values(), *SHOWN.values(), "source"]}
    assert len(english) == len(chinese) == len(CLAIMS) + len(MEASURED) + len(OPEN)
    for row, other in zip(english, chinese, strict=True):
        if len(row) == 4:
            assert other[1] == marks[row[1]]
            assert other[3] == marks.get(row[3], row[3])  # the function, the study or the source
        for cell, translation in zip(row, other, strict=True):
            assert Counter(re.findall(r"`[^`]+`|\]\([^)]+\)", translation)) == Counter(
                re.findall(r"`[^`]+`|\]\([^)]+\)", cell)
            ), translation


WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBERS = {word: str(n) for n, word in enumerate(WORDS)} | {"twenty": "20", "third": "3", "July": "7"}
UNITS = {"million": 10**6, "万": 10**4, "亿": 10**8}


def numbers(text: str) -> Counter[str]:
    """The numbers of a text: "60 million" and "6000 万" are 60000000, "1990s" is the 90s of century 20."""
    text = re.sub(r"(\d\d)(\d0)s", lambda decade: f"{int(decade[1]) + 1} {decade[2]}", text)
    counted: Counter[str] = Counter()
    for digits, unit in re.findall(r"(\d+(?:[.,]\d+)*)(?: (million|万|亿))?", text):
        number = digits.replace(",", "")
        counted[f"{float(number) * UNITS[unit]:.0f}" if unit else number] += 1
    return counted


def numbers_and_words(text: str) -> Counter[str]:
    """Also the numbers that are English words."""
    words = [NUMBERS[word] for word in re.findall(r"\w+", text.replace("-", " ")) if word in NUMBERS]
    words += [NUMBERS[word.lower()] for word in re.findall(r"\b[A-Z]\w+", text) if word.lower() in NUMBERS]
    return numbers(text) + Counter(words)


def test_the_chinese_page_has_the_same_numbers() -> None:
    for row, other in zip(rows("en"), rows("zh"), strict=True):
        for cell, translation in zip(row, other, strict=True):
            assert numbers(cell) <= numbers(translation) <= numbers_and_words(cell), translation
    head, other_head = (page.partition("##")[0] for page in PAGES.values())
    assert numbers(head) == numbers(other_head)


def test_values_are_computed_once_for_both_languages(monkeypatch: pytest.MonkeyPatch) -> None:
    computed = []

    def check() -> Finding:
        computed.append(1)
        return "true", _("{least} to {most}.", least=len(computed), most=12)

    claim = Claim(TOPICS[0].title, "once", "LeNet has a few million parameters.", "true", check)
    monkeypatch.setattr(claims, "CLAIMS", [claim])
    assert "| LeNet has a few million parameters. | true | 1 to 12. | `once` |" in make.page("claims.md")
    assert "| LeNet 有几百万个参数。 | 正确 | 1 到 12 个。 | `once` |" in make.page("claims.zh-CN.md")
    assert len(computed) == 1


def test_a_page_is_in_its_language_whatever_that_of_the_process_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "CLAIMS", SOURCED[:1])
    monkeypatch.setenv("CLASSICNETS_LANG", "zh")
    assert make.page("claims.md").startswith("# What common notes say")


def test_a_missing_translation_is_an_error() -> None:
    text = _("{n} networks", n=join([1000, "a"]))
    assert str(text) == "1,000, a networks"
    with texts_in("zh"):
        assert str(join([1000, "a"])) == "1,000、a"
        with pytest.raises(KeyError, match="networks"):
            str(text)


def fields(message: str) -> Counter[str]:
    return Counter(f"{name}:{form}" for _text, name, form, _kind in string.Formatter().parse(message) if name)


def test_every_text_is_translated() -> None:
    catalog = messages.read(claim_messages.CATALOG)
    translations = {str(entry.id): str(entry.string) for entry in catalog if entry.id}
    assert translations.keys() == claim_messages.extract().keys(), "run python tools/claim_messages.py"
    assert [message for message, text in translations.items() if not text] == []
    assert [message for message, text in translations.items() if fields(text).keys() != fields(message).keys()] == []


def test_the_chinese_page_uses_the_words_of_the_book() -> None:
    page = re.sub(r"`[^`]*`|\]\([^)]*\)", "", PAGES["zh"])
    assert [word for word in AVOIDED if word in page] == []
    assert re.findall(r"\b[a-z]{2,} [a-z]{2,}\b", page) == []  # no English is left
    assert re.findall(r"[\u4e00-\u9fff][A-Za-z0-9]|[A-Za-z0-9][\u4e00-\u9fff]", page) == []  # without a space
    assert re.findall(r"[\u4e00-\u9fff][,.:?!()]", page) == []
