"""The language of the texts for users: English or Simplified Chinese, with a catalog of gettext in `locale/`.

Imports neither torch nor numpy.
"""

from __future__ import annotations

import gettext
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

LANGUAGES = ("en", "zh")
VARIABLE = "CLASSICNETS_LANG"
_DOMAIN = "classicnets"
_FOLDER = Path(__file__).with_name("locale")
_LOCALES = {"zh": "zh_CN"}
_CHINESE_ON_WINDOWS = 0x04  # the primary language of the identifiers of all Chinese locales
_of_block: ContextVar[str | None] = ContextVar("_of_block", default=None)  # see `texts_in`


def language() -> str:
    """Return the language of the texts: that of CLASSICNETS_LANG, otherwise that of the locale; "en" by default.

    Any Chinese locale is "zh".
    """
    chosen = _of_block.get() or os.environ.get(VARIABLE) or _of_locale()
    return "zh" if chosen.lower().startswith("zh") else "en"


def html_language() -> str:
    """Return the language of the texts as HTML names it."""
    return "zh-CN" if language() == "zh" else "en"


def preferred_language(chosen: str | None, accepted: str) -> str | None:
    """Return the language of a reader on the web: the chosen one, else the first that the browser accepts.

    Args:
        chosen: a tag of a language, such as "zh-CN", from the address.
        accepted: the header Accept-Language, such as "zh-CN,zh;q=0.9,en;q=0.8".

    Returns:
        One of `LANGUAGES`, or None if none of them is asked for.
    """
    ranked = []
    for part in accepted.split(","):
        tag, _semicolon, weight = part.partition(";")
        try:
            ranked.append((float(weight.strip().removeprefix("q=") or 1), tag))
        except ValueError:
            continue
    tags = [chosen or "", *(tag for weight, tag in sorted(ranked, key=lambda entry: -entry[0]) if weight > 0)]
    languages = (tag.strip().lower().partition("-")[0] for tag in tags)
    return next((language for language in languages if language in LANGUAGES), None)


@contextmanager
def language_of_process(language: str | None) -> Iterator[None]:
    """While open, the texts of this process, and of those that it starts, are in a language; None changes nothing."""
    before = os.environ.get(VARIABLE)
    if language is not None:
        os.environ[VARIABLE] = language
    try:
        yield
    finally:
        if language is not None:
            os.environ.pop(VARIABLE) if before is None else os.environ.update({VARIABLE: before})


@contextmanager
def texts_in(language: str | None) -> Iterator[None]:
    """While open, the texts of this thread are in another language, one of `LANGUAGES`; None changes nothing."""
    token = _of_block.set(_of_block.get() if language is None else language)
    try:
        yield
    finally:
        _of_block.reset(token)


def _of_locale() -> str:
    """The locale of the environment, such as "zh_CN.UTF-8"; on Windows without one, that of the user interface."""
    names = ("LC_ALL", "LC_MESSAGES", "LANG")
    locale = next((value for name in names if (value := os.environ.get(name))), "")
    if locale and locale.partition(".")[0] not in {"C", "POSIX"}:
        return os.environ.get("LANGUAGE", "").partition(":")[0] or locale
    if not locale and sys.platform == "win32":
        import ctypes

        if ctypes.windll.kernel32.GetUserDefaultUILanguage() & 0x3FF == _CHINESE_ON_WINDOWS:
            return "zh"
    return locale


@cache
def catalog(language: str) -> gettext.NullTranslations:
    """Return the translations of a language; those of English change nothing."""
    if language not in _LOCALES:
        return gettext.NullTranslations()
    return gettext.translation(_DOMAIN, _FOLDER, [_LOCALES[language]], fallback=True)
