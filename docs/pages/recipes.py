"""docs/recipes.md: every recipe, its settings and its published result."""

from __future__ import annotations

from dataclasses import fields

from classicnets.recipes.resolve import RECIPES, SETTINGS, RecipeKey
from classicnets.values import Recipe
from pages import markdown


def page(command: str) -> str:
    """Every recipe: its settings, the published result, and where it differs from its source."""
    sources: dict[str, list[RecipeKey]] = {}
    for key in RECIPES:
        sources.setdefault(key.source, []).append(key)
    sections = "\n\n".join("\n\n".join([f"## {source}", *map(_recipe, keys)]) for source, keys in sources.items())
    return f"""# Recipes

<!-- made by `{command}` from the recipes -->

A recipe is how a source trains a network. `classicnets train NET --recipe SOURCE` runs one; without `--recipe`, the
first recipe of the network on this page is used (`fast` only if you ask for it, or for your own network). Recipes for
"any network" train your own like the network of their source, for example `classicnets train my_net.py:net --recipe
d2l`; no published accuracy applies to it. For a folder of images, the recipe `folder` is [chosen by the
images](folders.md) instead, unless you name another. `--dry-run` shows every setting, and `--set KEY=VALUE` changes
one. At the end of a run, the result is compared with the published one, and `card.md` lists the deviations. ImageNet is
not downloaded: use `--data FOLDER` with any folder of images.
Settings that are not listed have the defaults of `classicnets.Recipe`.

{sections}
"""


def defaults() -> dict[str, object]:
    """The default of every setting that has one."""
    recipe = Recipe(source="", net="", data="", epochs=0, batch_size=0, lr=0.0)
    return {key: getattr(recipe, key) for key in SETTINGS if key not in {"epochs", "batch_size", "lr"}}


def value_text(value: object) -> str:
    """The value of a setting, for people."""
    if isinstance(value, tuple):
        return " ".join(map(value_text, value)) or "that of the training images"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _recipe(key: RecipeKey) -> str:
    recipe, usual = RECIPES[key], defaults()
    values = {f.name: getattr(recipe, f.name) for f in fields(Recipe) if f.name in SETTINGS}
    settings = ", ".join(
        f"{name} {value_text(value)}" for name, value in values.items() if name not in usual or value != usual[name]
    )
    expected = f"{recipe.expected}, {recipe.expected.source}" if recipe.expected else "none published"
    items = [markdown.item(f"On {recipe.data}: {settings}."), markdown.item(f"Test accuracy: {expected}.")]
    lines = [f"### {key.label}", "", *items]
    if recipe.deviations:
        lines += ["- Deviations:", *(markdown.item(line, indent="  ") for line in recipe.deviations)]
    return "\n".join(lines)
