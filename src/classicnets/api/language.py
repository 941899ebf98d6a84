"""The language of all texts."""

from __future__ import annotations

import os

from classicnets.language import VARIABLE
from classicnets.options import check_language


def set_language(language: str) -> None:
    """Set the language of the texts of this process, and of those that it starts, as CLASSICNETS_LANG does.

    Args:
        language: "en" for English, "zh" for Simplified Chinese; "" for that of the locale.

    Raises:
        UsageError: CN204, the language is not available.
    """
    check_language(language, "set_language")
    os.environ[VARIABLE] = language
