"""The pages in Chinese: they say the same as the English ones, in the terms of the book, and lead to each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import make
from classicnets.language import VARIABLE
from support.command_line import CommandLine
from support.glossary import AVOIDED

ROOT = make.DOCS.parent
PAGES = [ROOT / "README.zh-CN.md", *sorted(make.DOCS.rglob("*.zh-CN.md"))]
BLOCK = re.compile(r"^```(\w+)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
POOLED = """from torch import nn

net = nn.Sequential(
    nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(), nn.MaxPool2d(2),
    nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(), nn.AvgPool2d(2),
    nn.Flatten(), nn.Linear(400, 120), nn.Sigmoid(), nn.Linear(120, 84), nn.Sigmoid(), nn.Linear(84, 10),
)
"""  # the average pooling of the second half was forgotten

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def english(page: Path) -> Path:
    return page.with_name(page.name.replace(".zh-CN", ""))


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(page: Path) -> str:
    """The text of a page without code, commands and the targets of links."""
    text = re.sub(r"\]\([^)]*\)", "]", BLOCK.sub("", read(page)))
    return re.sub(r"`[^`]*`", "`", text)


def code(page: Path) -> list[str]:
    """The commands and listings of a page without comments."""
    lines = [
        line
        for language, block in BLOCK.findall(read(page))
        if language in {"sh", "python"}
        for line in block.splitlines()
    ]
    return [shown for line in lines if (shown := re.sub(r"\s*#.*", "", line))]


def calls(page: Path) -> list[str]:
    """The calls that a page explains in a table."""
    return re.findall(r"^\| `([^`]+\))` \|", read(page), re.MULTILINE)


@every_page
def test_has_the_commands_listings_and_calls_of_the_english_page(page: Path) -> None:
    assert code(page) == code(english(page))
    assert calls(page) == calls(english(page))


# the claims count in units of ten thousand, and test_claims.py compares their numbers
@pytest.mark.parametrize("page", [page for page in PAGES if "claims" not in page.name], ids=lambda page: page.name)
def test_has_the_numbers_of_the_tables_of_the_english_page(page: Path) -> None:
    numbers = [
        [sorted(re.findall(r"\d[\d.,]*\d|\d", row)) for row in re.findall(r"^\| .*", read(name), re.MULTILINE)]
        for name in (page, english(page))
    ]
    assert numbers[0] == numbers[1]


@every_page
def test_leads_to_the_english_page_and_back(page: Path) -> None:
    for one, other in ((page, english(page)), (english(page), page)):
        assert f"]({other.name})" in "".join(read(one).splitlines(keepends=True)[:8])


@every_page
def test_leads_to_pages_in_chinese_where_there_are_any(page: Path) -> None:
    targets = [(page.parent / target).resolve() for target in re.findall(r"\]\(([^)#:]+\.md)", read(page))]
    assert targets
    chinese = {english(page): page for page in PAGES if page.parent != ROOT}
    assert [target for target in targets if target in chinese and target != english(page)] == []


@every_page
def test_links_lead_to_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", read(page)):
        headings = re.findall(r"^#+ (.*)", read(page.parent / target if target else page), re.MULTILINE)
        assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, anchor


@every_page
def test_uses_the_terms_of_the_glossary(page: Path) -> None:
    text = prose(page)
    assert sorted(word for word in {*AVOIDED, "您"} if word in text) == []


@every_page
@pytest.mark.parametrize(
    "fault",
    [
        r".*[\u4e00-\u9fff]\n *[\u4e00-\u9fff（《“].*",  # a line break is shown as a blank
        r".*[，。、；：！？）]\n *[^\W\d]|[，。、；：！？）]\n *[`\[（《“].*",
        r".*[\u4e00-\u9fff][,;:?!](?=[\u4e00-\u9fff\s]|$)",
        r".*[\u4e00-\u9fff][A-Za-z0-9`].*",
        r".*[A-Za-z0-9`][\u4e00-\u9fff].*",
        r".*[\u4e00-\u9fff]\(.*",
    ],
)
def test_punctuation_is_chinese(page: Path, fault: str) -> None:
    assert re.findall(fault, prose(page)) == []


@pytest.mark.parametrize("language", ["en", "zh"])
def test_shows_what_an_exercise_prints(
    language: str, tmp_path: Path, cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, language)
    (tmp_path / "my_net.py").write_text(POOLED, encoding="utf-8")
    _, out, _ = cli("exercise", "check", "lenet-1", "my_net.py:net")
    page = make.DOCS / ("exercises.zh-CN.md" if language == "zh" else "exercises.md")
    shown = next(block for kind, block in BLOCK.findall(read(page)) if kind == "text")
    assert shown in out
