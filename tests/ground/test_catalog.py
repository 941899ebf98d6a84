"""The catalog of Chinese texts is complete, with fields and terms; and which language a process uses."""

from __future__ import annotations

import errno
import gettext
import json
import os
import pickle
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from string import Formatter

import messages
import pytest

import classicnets as cn
from classicnets import language, text
from classicnets.errors import CODES, DataError, UsageError
from classicnets.report import fonts
from support.command_line import CommandLine
from support.glossary import AVOIDED, ROWS

ROOT = messages.ROOT
EXTRACTED = messages.extract()
CATALOG = messages.read()
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def chinese(message: messages.Message) -> str:
    """The translation of a message; "" if it has none."""
    context, key = message if isinstance(message, messages.InContext) else (None, message)
    entry = CATALOG.get(key if isinstance(key, str) else key[0], context)
    if entry is None:
        return ""
    string = entry.string
    return string if isinstance(string, str) else "".join(string or ())


def translated() -> Iterator[tuple[str, str]]:
    """English and Chinese of all messages."""
    for message in EXTRACTED:
        english = message if isinstance(message, str) else message[1]  # the plural form, or the text in a context
        yield english, chinese(message)


def test_every_message_is_translated() -> None:
    missing = [message for message in EXTRACTED if not chinese(message)]
    assert missing == [], "python tools/messages.py adds them to the catalog"


def test_the_catalog_has_no_other_messages() -> None:
    known = {
        message.text if isinstance(message, messages.InContext) else message if isinstance(message, str) else message[0]
        for message in EXTRACTED
    }
    ids = [entry.id if isinstance(entry.id, str) else entry.id[0] for entry in CATALOG if entry.id]
    assert sorted(set(ids) - known) == []


def fields(pattern: str) -> set[tuple[str, str, str | None]]:
    """The fields of a message with their formats."""
    return {(name, spec or "", conversion) for _, name, spec, conversion in Formatter().parse(pattern) if name}


def test_translations_have_the_fields_of_the_messages() -> None:
    wrong = []
    for english, translation in translated():
        if "{" in english or "{" in translation:
            try:
                expected = fields(english)
            except ValueError:  # braces of code, in a message without fields
                continue
            if not fields(translation) <= expected or {f[0] for f in fields(translation)} != {f[0] for f in expected}:
                wrong.append((english, translation))
    assert wrong == []


def test_translations_use_the_terms_of_the_glossary() -> None:
    assert len(AVOIDED) > 50
    wrong = [(word, translation) for _, translation in translated() for word in AVOIDED if word in translation]
    assert wrong == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["english"])
def test_a_term_has_one_translation(row: dict[str, str]) -> None:
    """A short message that is the term is translated as in the glossary."""
    for english, translation in translated():
        if english.lower() == row["english"]:
            assert row["chinese"] in translation


@pytest.mark.parametrize(
    "fault",
    [
        r"[\u4e00-\u9fff][,;:?!](?=[\u4e00-\u9fff\s]|$)",
        r"[\u4e00-\u9fff]\.(?=\s|$)",
        r"[\u4e00-\u9fff]\(",
        "而不是 没有",
    ],
)
def test_punctuation_is_chinese(fault: str) -> None:
    plain = (
        re.sub(r"\[[^\]]*\]", "", translation) for _, translation in translated()
    )  # without lists such as [高, 宽]
    wrong = [translation for translation in plain if re.search(fault, translation)]
    assert wrong == []


# --- which language ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "en"),
        ({"CLASSICNETS_LANG": "zh"}, "zh"),
        ({"CLASSICNETS_LANG": "zh_CN.UTF-8"}, "zh"),
        ({"CLASSICNETS_LANG": "zh-Hans"}, "zh"),
        ({"CLASSICNETS_LANG": "en", "LANG": "zh_CN.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "en_US.UTF-8", "LC_MESSAGES": "zh_CN.UTF-8"}, "zh"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "en_US.UTF-8"}, "en"),
        ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "en"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh"),
        ({"LANG": "C", "LANGUAGE": "zh_CN:en"}, "en"),  # as gettext does
        ({"LANG": "de_DE.UTF-8"}, "en"),
    ],
)
def test_the_language_is_that_of_the_environment(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CLASSICNETS_LANG", "LC_ALL", "LC_MESSAGES", "LANG", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert language.language() == expected


def test_python_sets_the_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_LANG", "en")
    cn.set_language("zh")
    assert text._("stopped") == chinese("stopped") != "stopped"
    with pytest.raises(UsageError) as caught:
        cn.set_language("fr")
    assert caught.value.code == "CN204" and "fr" in str(caught.value)
    cn.set_language("en")
    assert text._("stopped") == "stopped"


def test_a_block_has_another_language() -> None:
    with language.texts_in("zh"):
        assert text.plural("{n} image", "{n:,} images", 2) != "2 images"
        with language.texts_in(None):
            assert language.language() == "zh"
    assert language.language() == "en"


def test_without_its_catalog_texts_are_english(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(language, "_FOLDER", tmp_path)
    language.catalog.cache_clear()
    try:
        assert type(language.catalog("zh")) is gettext.NullTranslations
    finally:
        language.catalog.cache_clear()


# --- the command ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", [["--lang", "zh"], ["--lang=zh"]])
def test_every_command_takes_the_language(cli: CommandLine, words: list[str]) -> None:
    code, out, _ = cli("explain", "CN201", *words)
    assert code == 0 and out == f"CN201: {chinese(CODES['CN201'])}\n"
    assert cli("explain", "CN201")[1] == f"CN201: {CODES['CN201']}\n"  # the next command is not affected
    assert "CLASSICNETS_LANG" in os.environ


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--seed", "x"], "{argument} cannot be {value}; an integer is needed"),
        (["train", "--seed"], "{argument} needs a value"),
        (["show", "--lang", "fr"], "{argument} cannot be {value}; choose one of {choices}"),
        (["predict"], "these arguments are missing: {names}"),
    ],
)
def test_messages_of_argparse_are_translated(cli: CommandLine, words: list[str], message: str) -> None:
    code, _, error = cli(*words, "--lang=zh")
    start, *_ = re.split(r"\{\w+\}", chinese(message))
    assert code == 2 and start in error.splitlines()[0] and CHINESE.search(error.splitlines()[0])


def test_an_unknown_language_of_the_environment_is_an_error(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSICNETS_LANG", "fr")
    code, _, error = cli("list")
    assert code == 2 and "CN204" in error and "CLASSICNETS_LANG" in error and "en, zh" in error


@pytest.mark.parametrize("command", ["train", "predict", "export", "data check", "study run", "show"])
def test_lines_of_the_help_fit(
    cli: CommandLine, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        cli(*command.split(), "--help", "--lang=zh")
    lines = capsys.readouterr().out.splitlines()
    assert CHINESE.search("".join(lines))
    texts = [line for line in lines if CHINESE.search(line)]
    assert [line for line in texts if text.columns(line) > 80] == []
    assert [line for line in texts if re.match(r"\s*[，。；：？！、）]", line)] == []


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "gbk"])
def test_encodings_that_lack_a_character_degrade(encoding: str) -> None:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "CLASSICNETS_LANG": "zh"}
    for words in (["list"], ["trian"], ["explain", "CN201", "--json"]):
        result = subprocess.run(
            [sys.executable, "-m", "classicnets", *words], capture_output=True, env=environment, check=False
        )
        assert result.returncode == (2 if words == ["trian"] else 0), result.stderr
        assert b"Traceback" not in result.stderr
        (result.stdout + result.stderr).decode(encoding)
        if words[-1] == "--json":
            assert json.loads(result.stdout.decode(encoding))["code"] == "CN201"


# --- lines and figures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "width", "lines"),
    [
        ("a bb ccc", 4, ["a bb", "ccc"]),
        ("  - a bb", 5, ["  - a", "bb"]),
        ("步幅和填充", 6, ["步幅和", "填充"]),
        ("步幅，填充", 4, ["步", "幅，", "填充"]),  # no mark at the start of a line
        ("（步幅）填充", 6, ["（步", "幅）填", "充"]),  # and no bracket at its end
        ("使用 16 个通道", 8, ["使用 16", "个通道"]),
        ("abcdefgh", 3, ["abc", "def", "gh"]),
        ("", 5, [""]),
    ],
)
def test_wraps_by_columns(line: str, width: int, lines: list[str]) -> None:
    assert text.wrap(line, width) == lines


def test_pads_by_columns() -> None:
    assert text.pad("步幅", 6) + "|" == "步幅  |" and text.pad("ab", 4) + "|" == "ab  |"


def test_figures_are_english_without_a_chinese_font(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fonts, "_families", lambda letters: (["DejaVu Sans"], set(letters)))
    with language.texts_in("zh"), fonts.figure_texts():
        assert text._("epoch") == "epoch"


def test_figures_are_chinese_with_a_chinese_font(monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib import rcParams

    monkeypatch.setattr(fonts, "_families", lambda letters: (["DejaVu Sans", "Some CJK"], set()))
    with language.texts_in("zh"), fonts.figure_texts():
        assert text._("epoch") == chinese("epoch") != "epoch"
        assert rcParams["font.family"] == ["DejaVu Sans", "Some CJK"]
    assert "Some CJK" not in rcParams["font.family"]


@pytest.mark.parametrize(
    ("name", "shown"), [("LeNet", "LeNet 不接受形状为 1x28x28 的图像"), ("网络", "网络不接受形状为 1x28x28 的图像")]
)
def test_no_blank_between_chinese_and_a_chinese_field(name: str, shown: str) -> None:
    with language.texts_in("zh"):
        assert text._filled("{name} 不接受形状为 {shape} 的图像", {"name": name, "shape": "1x28x28"}) == shown
        assert text._filled("来自 {source}", {"source": "缓存"}) == "来自缓存"
        assert text._filled("来自 {source}", {"source": "the cache"}) == "来自 the cache"
        assert text._filled("打开 {path}：", {"path": "我的 图片"}) == "打开我的 图片："  # names stay as they are


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR, errno.ENOTDIR, errno.ENOSPC, errno.EROFS])
def test_reasons_of_the_system_are_translated(number: int) -> None:
    why = os.strerror(number)
    assert DataError("CN302", "what", why=why).why == why
    with language.texts_in("zh"):
        error = DataError("CN302", "what", why=why)
    assert CHINESE.search(error.why) and pickle.loads(pickle.dumps(error)).why == error.why
