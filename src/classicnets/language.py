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


def set_language(language: str) -> None:
    """Set the language of all further texts of this process, and of the processes that it starts.

    Args:
        language: "en" for English, "zh" for Simplified Chinese.

    Raises:
        UsageError: CN204, the language is not available.
    """
    os.environ[VARIABLE] = check(language)


def check(language: str) -> str:
    """Return the language. Raises UsageError CN204 if it is not available."""
    if language not in LANGUAGES:
        from classicnets.errors import UsageError
        from classicnets.text import _

        raise UsageError(
            "CN204",
            _("the language {language!r} is not available", language=language),
            hint=_("use one of: {languages}", languages=", ".join(LANGUAGES)),
        )
    return language


def language() -> str:
    """Return the language of the texts: that of CLASSICNETS_LANG, otherwise that of the locale; "en" by default.

    Any Chinese locale is "zh".
    """
    chosen = _of_block.get() or os.environ.get(VARIABLE) or _of_locale()
    return "zh" if chosen.lower().startswith("zh") else "en"


@contextmanager
def texts_in(language: str | None) -> Iterator[None]:
    """While open, the texts of this thread are in another language; None changes nothing.

    Raises:
        UsageError: CN204, the language is not available.
    """
    token = _of_block.set(_of_block.get() if language is None else check(language))
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
