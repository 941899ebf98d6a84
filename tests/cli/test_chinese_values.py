"""The texts of values - networks, recipes, data sets, studies of the package - in Chinese, where they are shown."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Any

import messages
import pytest

from classicnets.datasets.catalog import DATASETS
from classicnets.language import texts_in
from classicnets.models.registry import NETS
from classicnets.recipes.resolve import NOT_FETCHED, RECIPES
from classicnets.studies import preset_texts
from classicnets.studies.definition import presets
from classicnets.text import _, columns
from support.command_line import CommandLine

CHINESE = re.compile("[一-鿿]")
TEXTS = {"question", "scope", "reported"}


def shown() -> Iterator[str]:
    """What the commands show of networks, data sets and recipes, besides names of data sets."""
    for net in NETS.values():
        yield from (net.title, net.source)
    yield from (data.license for data in DATASETS.values())
    for recipe in RECIPES.values():
        yield from recipe.deviations
        if recipe.expected:
            yield recipe.expected.source
    yield from NOT_FETCHED.values()


def definition(toml: str) -> dict[str, Any]:
    return tomllib.loads(toml)


def test_texts_of_values_are_in_the_catalog() -> None:
    catalog = messages.read()
    missing = [text for text in shown() if not (known := catalog.get(text)) or not known.string]
    assert missing == []
    sentences = [text for recipe in RECIPES.values() for text in recipe.deviations]
    with texts_in("zh"):
        assert all(CHINESE.search(_(text)) for text in [*sentences, *(net.title for net in NETS.values())])


@pytest.mark.parametrize("name", presets())
def test_a_study_is_the_same_in_chinese(name: str) -> None:
    toml = presets()[name].read_text(encoding="utf-8")
    assert preset_texts.translated(toml) == toml
    with texts_in("zh"):
        chinese = preset_texts.translated(toml)
        before, after = definition(toml), definition(chinese)
        assert {k: v for k, v in before.items() if k not in TEXTS} == {k: v for k, v in after.items() if k not in TEXTS}
        assert (after["question"], after["scope"]) == (_(before["question"]), _(before["scope"]))
        assert [_(row[key]) for row in before.get("reported", ()) for key in row] == [
            row[key] for row in after.get("reported", ()) for key in row
        ]
    assert CHINESE.search(after["question"]) and CHINESE.search(after["scope"])
    comments = re.findall(r"(?:^|  )# .*[A-Za-z].*$", toml, re.MULTILINE)
    kept = [line for line in comments if line in chinese.splitlines()]
    assert all(re.fullmatch(r"#[\d\s.,-]*", line) for line in kept), kept
    assert max(map(columns, chinese.splitlines())) <= 120


def test_every_text_of_a_study_is_found() -> None:
    for path in presets().values():
        toml = path.read_text(encoding="utf-8")
        values = definition(toml)
        rows = [row[key] for row in values.get("reported", ()) for key in row]
        found = [*preset_texts.texts(toml)]
        assert {values["question"], values["scope"], *rows} <= {*found}
        assert len(re.findall("#", toml)) == sum(
            text.count("\n") + 1 for text in found if f"# {text.splitlines()[0]}" in toml
        ) + len(re.findall("^#$", toml, re.MULTILINE))


def test_a_long_text_keeps_its_blanks() -> None:
    text = 'Quotes " and \\ and a long line of words, ' * 8 + "；中文 " * 40
    toml = f"scope = {preset_texts._spelled(text)}"
    assert definition(toml)["scope"] == text and max(map(columns, toml.splitlines())) <= 120


def test_lists_are_in_chinese(cli: CommandLine) -> None:
    _code, listed, _err = cli("list", "--lang", "zh", "--json")
    facts = json.loads(listed)
    assert all(CHINESE.search(net["title"]) for net in facts["nets"].values())
    assert {recipe["net"] for recipe in facts["recipes"]} >= {"任意网络", "任意网络（大图像）"}
    assert "0.752 到 0.828（n = 130）" in cli("list", "--lang", "zh")[1]
    studies = json.loads(cli("study", "list", "--lang", "zh", "--json")[1])["presets"]
    assert len(studies) == len(presets()) and all(study["question"].endswith("？") for study in studies)
    assert json.loads(cli("study", "list", "--lang", "en", "--json")[1])["presets"][0]["question"].endswith("?")


def test_a_study_of_the_user_is_shown_as_it_is(cli: CommandLine, tmp_path: Any) -> None:
    toml = presets()["pooling"].read_text(encoding="utf-8")
    (tmp_path / "mine.toml").write_text(toml)
    assert cli("study", "show", "mine.toml", "--lang", "zh")[1] == toml
    shown_text = cli("study", "show", "pooling", "--lang", "zh")[1]
    assert "最大汇聚" in shown_text and definition(shown_text)["name"] == "pooling"


def test_a_card_is_printed_in_the_language_of_the_user(cli: CommandLine) -> None:
    for language, heading in (("en", "## As published"), ("zh", "## 原始设定")):
        assert heading in cli("show", "lenet_d2l", "--card", "--lang", language)[1]
        assert heading in json.loads(cli("show", "lenet_d2l", "--card", "--json", "--lang", language)[1])["card"]
