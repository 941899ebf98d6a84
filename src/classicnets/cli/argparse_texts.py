"""The messages of argparse, which are in English, in the language of the user."""

from __future__ import annotations

import re

from classicnets.text import N_, _

# by the form of the message; argparse has them in its source
_FORMS = (
    (r"argument (?P<argument>\S+): expected one argument", N_("{argument} needs a value")),
    (r"argument (?P<argument>\S+): expected at least one argument", N_("{argument} needs at least one value")),
    (r"argument (?P<argument>\S+): expected (?P<n>\d+) arguments", N_("{argument} needs {n} values")),
    (
        r"argument (?P<argument>\S+): invalid choice: (?P<value>.*) \(choose from (?P<choices>.*)\)",
        N_("{argument} cannot be {value}; choose one of {choices}"),
    ),
    (
        r"argument (?P<argument>\S+): invalid int value: (?P<value>.*)",
        N_("{argument} cannot be {value}; an integer is needed"),
    ),
    (
        r"argument (?P<argument>\S+): invalid float value: (?P<value>.*)",
        N_("{argument} cannot be {value}; a number is needed"),
    ),
    (
        r"argument (?P<argument>\S+): ignored explicit argument (?P<value>.*)",
        N_("{argument} takes no value, and {value} is given"),
    ),
    (r"argument (?P<argument>\S+): (?P<reason>.*)", N_("{argument}: {reason}")),
    (r"the following arguments are required: (?P<names>.*)", N_("these arguments are missing: {names}")),
)


def translated(message: str) -> str:
    """Return a message of argparse in the language of the texts; unchanged in English, or if it is not known."""
    for form, text in _FORMS:
        if match := re.fullmatch(form, message, re.DOTALL):
            translation = _(text, **match.groupdict())
            return message if translation == text.format(**match.groupdict()) else translation
    return message
