"""Recipes: found by (source, net), overridden by typed settings, faults reported together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classicnets.data.datasets import DATASETS
from classicnets.errors import UsageError
from classicnets.models.registry import NETS
from classicnets.recipes import resolve
from classicnets.values import Recipe


@pytest.mark.parametrize("key", resolve.RECIPES, ids=lambda k: "-".join(k))
def test_every_recipe_is_sound(key):
    recipe = resolve.RECIPES[key]
    assert (recipe.source, recipe.net) == key
    assert recipe.net in NETS or recipe.net == resolve.ANY_NET
    assert recipe.data in DATASETS
    resolved = resolve.apply(recipe, {})
    assert not resolved.changed and resolved.recipe == recipe
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    if recipe.expected:
        assert recipe.expected.low < recipe.expected.mean < recipe.expected.high


@pytest.mark.parametrize("key", resolve.RECIPES, ids=lambda k: "-".join(k))
def test_nothing_selects_by_the_test_split(key):
    """A recipe that watches the test split keeps nothing aside and so has no best; ours never watch it."""
    recipe = resolve.RECIPES[key]
    if recipe.monitor == "test":
        assert recipe.validation == 0
    if recipe.source == "fast":
        assert recipe.monitor == "validation"


def test_the_book_s_recipe_as_published():
    lenet = resolve.find(None, "lenet_d2l", registered=True)
    assert (lenet.epochs, lenet.batch_size, lenet.optimizer, lenet.lr) == (10, 256, "sgd", 0.9)
    assert (lenet.momentum, lenet.weight_decay, lenet.schedule) == (0, 0, "constant")
    assert (lenet.initialise, lenet.mean, lenet.std) == ("xavier_uniform", (0.0,), (1.0,))
    assert (lenet.expected.low, lenet.expected.high, lenet.expected.n) == (0.752, 0.828, 130)
    alexnet = resolve.find("d2l", "alexnet_d2l", registered=True)
    assert (alexnet.epochs, alexnet.batch_size, alexnet.lr, alexnet.image_size) == (10, 128, 0.01, 224)
    assert (alexnet.expected.low, alexnet.expected.high, alexnet.expected.n) == (0.860, 0.886, 82)
    v1 = resolve.find("d2l", "lenet_d2l_v1", registered=True)
    assert (v1.epochs, v1.batch_size, v1.lr, v1.expected) == (5, 256, 0.9, None)


def test_own_nets_take_fast_and_registered_nets_never_do_so_silently():
    assert resolve.find(None, "my.py:net", registered=False).source == "fast"
    with pytest.raises(UsageError) as caught:
        resolve.find(None, "alexnet_28", registered=True)
    assert caught.value.code == "CN203"
    assert caught.value.hints == ("classicnets train alexnet_28 --recipe fast",)
    assert resolve.find("fast", "alexnet_28", registered=True).net == "alexnet_28"
    with pytest.raises(UsageError, match="no recipe 'fats'") as caught:
        resolve.find("fats", "lenet_d2l", registered=True)
    assert "fast" in caught.value.why


def lenet() -> Recipe:
    return resolve.find("d2l", "lenet_d2l", registered=True)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ({"epochs": "3"}, 3),
        ({"lr": "1e-2"}, 0.01),
        ({"flip": "true"}, True),
        ({"image_size": "none"}, None),
        ({"image_size": "32"}, 32),
        ({"epochs": 3}, 3),
        ({"flip": True}, True),
    ],
)
def test_settings_are_typed(setting, value):
    resolved = resolve.apply(lenet(), setting)
    (key,) = setting
    assert getattr(resolved.recipe, key) == value and type(getattr(resolved.recipe, key)) is type(value)
    assert resolved.origins[key] == "--set" and resolved.changed


def test_mean_and_std_are_lists():
    recipe = resolve.apply(lenet(), {"mean": "0.5,0.4,0.3", "std": (1, 1, 1)}).recipe
    assert recipe.mean == (0.5, 0.4, 0.3) and recipe.std == (1.0, 1.0, 1.0)


def test_an_unknown_setting_shows_the_nearest():
    with pytest.raises(UsageError) as caught:
        resolve.apply(lenet(), {"epoch": "3"})
    assert caught.value.code == "CN202" and caught.value.hints == ("--set epochs=3",)


def test_what_says_where_a_recipe_comes_from_cannot_be_set():
    for key in ("source", "net", "data", "expected", "deviations"):
        with pytest.raises(UsageError):
            resolve.apply(lenet(), {key: "x"})


def test_all_faults_are_reported_together():
    with pytest.raises(UsageError) as caught:
        resolve.apply(lenet(), {"epochs": "0", "lr": "fast", "monitor": "validation", "optimizer": "adam"})
    text = str(caught.value)
    assert caught.value.code == "CN204"
    for words in ("epochs=0", "lr=fast: must be a number", "set validation=0.05", "sgd, sgd_rate_inside, adamw"):
        assert words in text


@given(st.sampled_from(resolve.SETTINGS), st.text(max_size=12))
def test_any_text_gives_a_recipe_or_a_clear_error(key, text):
    try:
        recipe = resolve.apply(lenet(), {key: text}).recipe
    except UsageError as error:
        assert error.code == "CN204"
    else:
        assert recipe.epochs >= 1 and recipe.batch_size >= 1 and recipe.lr > 0
