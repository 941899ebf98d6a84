"""reference/settings.md: the settings of a recipe, from `classicnets.Recipe`."""

from __future__ import annotations

import inspect
import re
from dataclasses import MISSING, fields

from classicnets.recipes.resolve import RECIPES, SETTINGS
from classicnets.recipes.rules import CHOICES
from classicnets.values import Recipe
from pages import markdown
from pages.recipes import value_text

_COLUMNS = ("setting", "meaning", "type", "default", "values", "recipes")


def page() -> str:
    """Every setting with its meaning, type, default and values, and the number of recipes that change it."""
    return f"""# Settings of a recipe

`classicnets train NET --set KEY=VALUE ...` changes the settings of a recipe, and so do the keyword arguments of
`classicnets.train`. `--dry-run` shows the value of every setting and where it comes from. Settings that contradict each
other are reported together, before any data is read. A tuple is written with commas: `mean=0.485,0.456,0.406`.

`--set net.KEY=VALUE` changes the network instead of the recipe, for example `net.activation=relu` or `net.pool=max`;
see `classicnets.vary`.

{chr(10).join(markdown.table(_COLUMNS, map(_row, SETTINGS)))}

The last column is the number of recipes, of {len(RECIPES)}, that have another value than the default.
"""


def meanings() -> dict[str, str]:
    """The description of each field in the docstring of Recipe."""
    attributes = inspect.cleandoc(Recipe.__doc__ or "").split("Attributes:\n")[1]
    entries = re.findall(r"^    (\w+): (.+(?:\n {8}.+)*)", attributes, re.MULTILINE)
    return {name: re.sub(r"\s+", " ", text[0].upper() + text[1:]) for name, text in entries}


def _row(name: str) -> list[str]:
    field = next(f for f in fields(Recipe) if f.name == name)
    required = field.default is MISSING
    choices = ", ".join(markdown.code(str(choice)) for choice in CHOICES.get(name, ()))
    changed = sum(required or getattr(recipe, name) != field.default for recipe in RECIPES.values())
    default = "required" if required else markdown.code(_default(field.default))
    return [markdown.code(name), meanings()[name], markdown.code(str(field.type)), default, choices, str(changed)]


def _default(value: object) -> str:
    return "none" if value in (None, ()) else value_text(value)
