"""Settings that are out of range, contradict each other or do not fit the data are refused, with a hint that works."""

from __future__ import annotations

import itertools
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import classicnets as cn
from classicnets import machine
from classicnets.datasets.types import ImageSplits, Split
from classicnets.errors import UsageError
from classicnets.images import transforms
from classicnets.images.batches import Batches
from classicnets.options import check_options
from classicnets.recipes import resolve, rules
from classicnets.recipes.resolve import SETTINGS, RecipeKey
from classicnets.spec import Output, RunSpec, StudyOptions, run_spec
from classicnets.training import data_rules
from classicnets.training.plan import Plan, plan
from classicnets.values import Recipe
from support.command_line import CommandLine
from support.idx import make_idx_folder
from support.images import make_image_folder
from support.typed import present

OWN_NET = """
from torch import nn
net = nn.Sequential(nn.Conv2d({channels}, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, {classes}))
"""
D2L = RecipeKey("d2l", "lenet_d2l")
FAST = RecipeKey("fast", "lenet_d2l")
CIFAR = RecipeKey("cuda_convnet", "cifar10_13pct")
ALEXNET = RecipeKey("torchvision", "alexnet_torchvision")


def hinted(error: UsageError) -> tuple[dict[str, str], dict[str, str]]:
    """The settings and the options of a hint such as "--set a=1 b=2 --limit 10"."""
    words = shlex.split(error.hints[0])
    settings: dict[str, str] = {}
    options: dict[str, str] = {}
    flag = ""
    for word in words:
        if word.startswith("--"):
            flag = word.removeprefix("--").replace("-", "_")
        elif flag == "set":
            key, _, value = word.partition("=")
            settings[key] = value
        else:
            options[flag] = word
    return settings, options


# recipe, settings, parts of the error, settings of the hint
RECIPE_CASES: list[tuple[RecipeKey, dict[str, Any], list[str], dict[str, str]]] = [
    (D2L, {"epochs": "0"}, ["epochs=0: must be at least 1"], {"epochs": "10"}),
    (D2L, {"epochs": "2.5"}, ["epochs=2.5: must be an integer"], {"epochs": "2"}),
    (D2L, {"epochs": True}, ["must be an integer"], {"epochs": "10"}),
    (D2L, {"epochs": 2.5}, ["must be an integer"], {"epochs": "2"}),
    (D2L, {"batch_size": "-1"}, ["batch_size=-1: must be at least 1"], {"batch_size": "256"}),
    (D2L, {"lr": "0"}, ["must be greater than 0"], {"lr": "0.9"}),
    (D2L, {"lr": "-0.1"}, ["must be greater than 0"], {"lr": "0.9"}),
    (D2L, {"lr": "nan"}, ["must be a finite number"], {"lr": "0.9"}),
    (D2L, {"lr": "inf"}, ["must be a finite number"], {"lr": "0.9"}),
    (D2L, {"lr": "1e39"}, ["must be a number that float32 can hold"], {"lr": "0.9"}),
    (D2L, {"lr": "1e-50"}, ["must be a number that float32 can hold"], {"lr": "0.9"}),
    (D2L, {"weight_decay": 1e39}, ["must be a number that float32 can hold"], {"weight_decay": "0.0"}),
    (D2L, {"bias_lr": "1e39"}, ["must be a number that float32 can hold"], {"bias_lr": "1.0"}),
    (D2L, {"momentum": "1"}, ["must be at least 0 and below 1"], {"momentum": "0.0"}),
    (D2L, {"momentum": "-0.1"}, ["must be at least 0 and below 1"], {"momentum": "0.0"}),
    (D2L, {"ema": "1"}, ["must be at least 0 and below 1"], {"ema": "0.0"}),
    (D2L, {"ema": "-1"}, ["must be at least 0 and below 1"], {"ema": "0.0"}),
    (D2L, {"label_smoothing": "1"}, ["must be at least 0 and below 1"], {"label_smoothing": "0.0"}),
    (D2L, {"clip": "-1"}, ["clip=-1.0: must not be negative"], {"clip": "0.0"}),
    (D2L, {"pad": "-1"}, ["must not be negative"], {"pad": "0"}),
    (D2L, {"shift": "-1"}, ["must not be negative"], {"shift": "0"}),
    (D2L, {"erase": "-2"}, ["must not be negative"], {"erase": "0"}),
    (D2L, {"image_size": "0"}, ["must be at least 1"], {"image_size": "none"}),
    (D2L, {"flip": "yes"}, ["must be true or false"], {"flip": "true"}),
    (D2L, {"flip": "0"}, ["must be true or false"], {"flip": "false"}),
    (D2L, {"optimizer": "adam"}, ["must be one of sgd, sgd_rate_inside, adamw"], {"optimizer": "adamw"}),
    (D2L, {"schedule": ""}, ["must be one of constant"], {"schedule": "constant"}),
    (D2L, {"views": "3"}, ["must be one of 1, 2, 9, 10"], {"views": "1"}),
    (D2L, {"std": "0"}, ["std=0.0: pixels are scaled to 0..1"], {"std": "1.0"}),
    (D2L, {"std": "-0.5"}, ["std=-0.5"], {"std": "1.0"}),
    (D2L, {"std": "none"}, ["std has no value"], {"std": "1.0"}),
    (D2L, {"std": "58.4"}, ["std=58.4", "at most 2"], {"std": "0.229"}),
    (D2L, {"mean": "-0.1"}, ["mean=-0.1", "at least 0 and at most 1"], {"mean": "0.0"}),
    (
        D2L,
        {"mean": "123.7,116.3,103.5", "std": "58.4,57.1,57.4"},
        ["mean=123.7,116.3,103.5: pixels are scaled to 0..1", "std=58.4,57.1,57.4"],
        {"mean": "0.4851,0.4561,0.4059", "std": "0.229,0.2239,0.2251"},
    ),
    (D2L, {"mean": "0.5", "std": "0.2,0.3"}, ["mean has 1 values and std 2"], {"std": "0.25"}),
    (FAST, {"validation": "0"}, ["monitor=validation needs a validation set"], {"monitor": "none"}),
    (D2L, {"monitor": "validation"}, ["monitor=validation needs a validation set"], {"validation": "0.05"}),
    (D2L, {"validation": "1"}, ["must be at least 0 and below 1"], {"validation": "0.0"}),
    (D2L, {"patience": "2"}, ["patience=2 needs monitor=validation"], {"monitor": "validation", "validation": "0.05"}),
    (FAST, {"patience": "20"}, ["patience=20 has no effect in 30 epochs"], {}),
    (FAST, {"patience": "29"}, ["patience=29 has no effect in 30 epochs"], {"epochs": "31"}),
    (D2L, {"schedule": "steps"}, ["schedule=steps needs drop_at"], {"drop_at": "0.5", "drop_to": "0.1"}),
    (D2L, {"drop_at": "0.5", "drop_to": "0.1"}, ["drop_at needs schedule=steps"], {"schedule": "steps"}),
    (
        D2L,
        {"schedule": "steps", "drop_at": "0.3,0.6", "drop_to": "0.1"},
        ["drop_at has 2 values and drop_to 1"],
        {"drop_to": "0.1,0.01"},
    ),
    (
        D2L,
        {"schedule": "steps", "drop_at": "0.6,0.3", "drop_to": "0.1,0.01"},
        ["drop_at=0.6,0.3: must be rising"],
        {"drop_at": "0.3,0.6"},
    ),
    (
        D2L,
        {"schedule": "steps", "drop_at": "0.3,0.3", "drop_to": "0.1,0.01"},
        ["drop_at=0.3,0.3: must be rising"],
        {},
    ),
    (
        D2L,
        {"schedule": "steps", "drop_at": "4,8", "drop_to": "0.1,0.01"},
        ["rising fractions of the epochs"],
        {"drop_at": "0.4,0.8"},
    ),
    (D2L, {"schedule": "steps", "drop_at": "0.5", "drop_to": "0"}, ["drop_to=0.0: must be greater than 0"], {}),
    (D2L, {"schedule": "plateau"}, ["schedule=plateau needs patience=N"], {"patience": "5"}),
    (D2L, {"join_after": "3"}, ["join_after=3 needs a validation set"], {"validation": "0.05"}),
    (CIFAR, {"join_after": "520"}, ["join_after=520 has no effect", "after epoch 520"], {"epochs": "521"}),
    (CIFAR, {"join_after": "20", "epochs": "10"}, ["join_after=20 has no effect"], {"join_after": "0"}),
    (CIFAR, {"weight_decay": "0.1"}, ["weight_decay=0.1 has no effect"], {"weight_decays": "none"}),
    (FAST, {"momentum": "0.9"}, ["momentum is a setting of sgd"], {"optimizer": "sgd"}),
    (ALEXNET, {"optimizer": "adamw"}, ["momentum is a setting of sgd"], {"momentum": "0.0"}),
    (
        D2L,
        {"loss": "lecun1998", "label_smoothing": "0.1"},
        ["label_smoothing=0.1 has no effect with loss=lecun1998"],
        {"label_smoothing": "0.0"},
    ),
    (
        D2L,
        {"loss": "lecun1998", "class_weights": "auto"},
        ["class_weights=auto has no effect with loss=lecun1998"],
        {"class_weights": "none"},
    ),
    (D2L, {"loss": "mse"}, ["loss=mse: must be one of cross_entropy, lecun1998"], {}),
    (D2L, {"crop": "random"}, ["crop=random needs resize"], {"crop": "none"}),
    (D2L, {"crop": "random", "resize": "28", "image_size": "28"}, ["crop=random has no effect"], {"crop": "none"}),
    (D2L, {"resize": "20", "image_size": "28"}, ["needs an image_size that is not larger"], {}),
    (D2L, {"views": "10"}, ["views=10 needs a resize that is larger"], {"views": "2"}),
    (D2L, {"views": "9"}, ["views=9 needs a resize that is larger"], {"views": "1"}),
    (D2L, {"pad": "4", "image_size": "8"}, ["pad=4: must be less than half of image_size=8"], {"pad": "0"}),
    (
        D2L,
        {"epochs": "0", "lr": "fast", "monitor": "validation", "std": "0"},
        ["epochs=0", "lr=fast: must be a number", "set validation=0.05", "std=0.0"],
        {"epochs": "10", "lr": "0.9", "validation": "0.05", "std": "1.0"},
    ),
]
VALID = {("patience", "20")}  # rows above that show where a range ends


@pytest.mark.parametrize(("key", "settings", "texts", "hint"), RECIPE_CASES, ids=lambda case: str(case)[:60])
def test_settings_are_refused_with_a_hint_that_works(
    key: RecipeKey, settings: dict[str, Any], texts: list[str], hint: dict[str, str]
) -> None:
    recipe = resolve.RECIPES[key]
    if VALID & settings.items():
        assert resolve.apply(recipe, settings).changed
        return
    with pytest.raises(UsageError) as caught:
        resolve.apply(recipe, settings)
    error = caught.value
    assert error.code == "CN204" and all(text in error.why for text in texts), error
    corrections, options = hinted(error)
    assert not options and hint.items() <= corrections.items()
    assert resolve.apply(recipe, {**settings, **corrections}).changed


VALUES = {
    "int": ["0", "-1", "2.5", "7"],
    "float": ["0", "-1", "0.5", "1", "1e39", "nan", "x"],
    "bool": ["true", "1"],
    "str": ["none", "x"],
}


def odd_values(key: str) -> list[str]:
    """Values to try for a setting: its choices, and valid and invalid ones of its type."""
    kind = str(Recipe.__dataclass_fields__[key].type).split(" ")[0]
    if key in rules.CHOICES:
        return [*map(str, rules.CHOICES[key]), "x"]
    if kind.startswith("tuple[float"):
        return ["none", "0.5", "0.9,0.1", "-1", "120"]
    return VALUES.get(kind, ["none", "x"])


@pytest.mark.parametrize("key", [D2L, FAST, CIFAR, RecipeKey("krizhevsky2012", "alexnet_2012")], ids=str)
def test_every_pair_of_settings_is_valid_or_has_a_hint_that_works(key: RecipeKey) -> None:
    """All pairs of settings, each with one of its values in turn."""
    recipe, turn = resolve.RECIPES[key], itertools.count()
    refused = 0
    for first, second in itertools.combinations(SETTINGS, 2):
        n = next(turn)
        settings = {name: odd_values(name)[n % len(odd_values(name))] for name in (first, second)}
        try:
            resolve.apply(recipe, settings)
        except UsageError as error:
            refused += 1
            assert error.code == "CN204" and error.why
            resolve.apply(recipe, {**settings, **hinted(error)[0]})
    assert refused > 100


def test_a_recipe_from_python_is_checked_like_settings() -> None:
    recipe = replace(resolve.RECIPES[D2L], epochs="many", lr=-1.0, freeze="conv1")  # type: ignore[arg-type]
    with pytest.raises(UsageError) as caught:
        resolve.apply(recipe, {})
    assert "epochs=many: must be an integer" in caught.value.why and "lr=-1.0" in caught.value.why
    fixed = resolve.apply(recipe, hinted(caught.value)[0]).recipe
    assert fixed.epochs >= 1 and fixed.lr > 0 and fixed.freeze == ("conv1",)
    with pytest.raises(UsageError, match="cannot be used"):
        resolve.apply(recipe, {"epochs": "0", "lr": "x"})


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Gray IDX files in ten classes, and color image files in three, of 28x28 pixels; and a network for each."""
    root = tmp_path_factory.mktemp("settings")
    make_idx_folder(root / "gray", train=60, test=20)
    make_image_folder(root / "color", per_class=6, test_per_class=2, size=28)
    (root / "own_gray.py").write_text(OWN_NET.format(channels=1, classes=10))
    (root / "own_color.py").write_text(OWN_NET.format(channels=3, classes=3))
    return {"gray": root / "gray", "color": root / "color", "root": root}


IMAGENET = {"mean": "0.485,0.456,0.406", "std": "0.229,0.224,0.225"}

# data, network ("own" or of the registry), settings, options, parts of the error
DATA_CASES: list[tuple[str, str, dict[str, Any], dict[str, Any], list[str]]] = [
    ("gray", "lenet_d2l", IMAGENET, {}, ["mean=0.485,0.456,0.406 has 3 values", "std=0.229", "1 channel"]),
    ("gray", "own", IMAGENET, {}, ["mean=0.485,0.456,0.406 has 3 values, and the images have 1 channel"]),
    ("gray", "own", {"mean": "0.5,0.5"}, {}, ["mean=0.5,0.5 has 2 values"]),
    ("color", "own", {"mean": "0.5,0.5", "std": "1"}, {}, ["mean=0.5,0.5 has 2 values", "3 channels"]),
    ("color", "own", {"mean": "0.1,0.2,0.3,0.4", "std": "0.5"}, {}, ["mean=0.1,0.2,0.3,0.4 has 4 values"]),
    ("color", "own", {"std": "0.5,0.5", "mean": "none"}, {}, ["std=0.5,0.5 has 2 values"]),
    ("gray", "own", {"shift": "28"}, {}, ["shift=28: must be smaller than the image, which has 28x28 pixels"]),
    ("gray", "own", {"erase": "100"}, {}, ["erase=100: must be smaller"]),
    ("color", "own", {"shift": "40", "erase": "40"}, {}, ["shift=40", "erase=40"]),
    ("gray", "own", {"image_size": "1000000"}, {}, ["image_size=1000000: must be at most 4096 pixels"]),
    ("gray", "own", {"pad": "1000000"}, {}, ["pad=1000000: must be at most 4096 pixels"]),
    ("gray", "own", {"batch_size": "2000000000"}, {}, ["a batch of 2,000,000,000 images"]),
    ("gray", "own", {"validation": "0.001"}, {}, ["validation=0.001 holds out 0 of 60 training images"]),
    ("gray", "own", {"validation": "0.99"}, {}, ["validation=0.99 holds out 59 of 60 training images"]),
    ("gray", "own", {}, {"limit": 9}, ["--limit 9: must be at least 10, the number of classes"]),
    ("color", "own", {}, {"limit": 2}, ["--limit 2: must be at least 3, the number of classes"]),
    ("gray", "own", {}, {"on_bad_image": "skip"}, ["--on-bad-image skip has no effect"]),
    ("gray", "lenet_d2l", {**IMAGENET, "shift": 99}, {"limit": 1}, ["mean=", "std=", "shift=99", "--limit 1:"]),
]


@pytest.mark.parametrize(("name", "net", "settings", "options", "texts"), DATA_CASES, ids=lambda case: str(case)[:50])
def test_settings_that_do_not_fit_the_data_are_refused(
    name: str, net: str, settings: dict[str, Any], options: dict[str, Any], texts: list[str], data: dict[str, Path]
) -> None:
    network = f"{data['root']}/own_{name}.py:net" if net == "own" else net

    def resolved(settings: dict[str, Any], options: dict[str, Any]) -> Plan:
        return plan(*run_spec(network, data=str(data[name]), settings=settings, **options))

    with pytest.raises(UsageError) as caught:
        resolved(settings, options)
    error = caught.value
    assert error.code == "CN204" and all(text in error.why for text in texts), error
    corrections, corrected = hinted(error)
    numbers = {key: int(value) if value.isdecimal() else value for key, value in corrected.items()}
    assert resolved({**settings, **corrections}, {**options, **numbers})


def test_published_means_of_color_images_are_refused_on_gray_ones(data: dict[str, Path], cli: CommandLine) -> None:
    command = ("train", "alexnet_torchvision", "--data", data["gray"], "--dry-run")
    code, _, err = cli(*command)
    assert code == 2 and "error[CN204]" in err and "hint:  --set mean=0.449 std=0.226" in err
    settings = {"mean": "0.449", "std": "0.226"}
    assert plan(*run_spec("alexnet_torchvision", data=str(data["gray"]), settings=settings)).preprocess.channels == 1


def test_weight_decays_and_frozen_layers_of_another_network_are_refused(data: dict[str, Path]) -> None:
    for setting in ({"weight_decays": "0.1,0.2"}, {"freeze": "nothing"}, {"freeze": "*"}):
        with pytest.raises(UsageError) as caught:
            plan(*run_spec("lenet_d2l", data=str(data["gray"]), settings=setting))
        assert caught.value.code == "CN204" and caught.value.hints


def test_a_network_with_one_pixel_of_shift_or_hole_less_than_the_image_trains(data: dict[str, Path]) -> None:
    run = cn.train(
        "lenet_d2l", data=str(data["gray"]), epochs=1, shift=27, erase=27, quiet=True, save_every=0, batch_size=30
    )
    assert np.isfinite(present(run.result)["test_loss"])


def test_crops_of_padded_images_are_at_every_position() -> None:
    """The usual augmentation of CIFAR-10: 4 pixels of padding, and random crops of the original size."""
    recipe = resolve.apply(
        resolve.RECIPES[D2L], {"pad": 4, "resize": 28, "image_size": 28, "crop": "random", "batch_size": 300}
    ).recipe
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 14, 14] = 255
    split = Split(np.repeat(image[None], 300, axis=0), np.zeros(300, np.int64))
    preprocess = recipe.preprocess(1, 28)
    (x, _), *_rest = Batches(split, recipe, preprocess, seed=0, device=torch.device("cpu")).epoch(1)
    positions = x.flatten(1).argmax(dim=1)
    rows, columns = positions // 28, positions % 28
    assert {*rows.tolist()} == {*columns.tolist()} == {*range(10, 19)}


def splits_of(images: np.ndarray) -> ImageSplits:
    """A data set of these training images, in two classes."""
    split = Split(images, np.arange(len(images)) % 2)
    return ImageSplits("drawn", ("a", "b"), split, split, "", "")


@pytest.mark.parametrize(
    ("gray_level", "mean", "is_far"),
    [(240, (0.286,), True), (240, (0.94,), False), (20, (0.9,), True), (128, (0.45,), False), (240, (0.0,), False)],
)
def test_a_mean_far_from_the_images_is_named_with_the_measured_one(
    gray_level: int, mean: tuple[float, ...], is_far: bool
) -> None:
    noise = np.random.default_rng(0).integers(-9, 10, (40, 1, 12, 12))
    recipe = replace(resolve.RECIPES[D2L], batch_size=8, mean=mean)
    splits = splits_of((gray_level + noise).astype(np.uint8))
    lines = data_rules.notes(splits, np.arange(40), recipe, recipe.preprocess(1, 12))
    assert len(lines) == is_far
    if is_far:
        settings = dict(word.split("=") for word in lines[0].partition("--set ")[2].split())
        assert float(settings["mean"]) == pytest.approx(gray_level / 255, abs=0.005)
        corrected = resolve.apply(recipe, settings).recipe
        assert data_rules.notes(splits, np.arange(40), corrected, corrected.preprocess(1, 12)) == []


def test_the_mean_of_each_channel_is_compared() -> None:
    images = np.zeros((20, 3, 8, 8), np.uint8)
    images[:, 2] = 250
    recipe = replace(resolve.RECIPES[D2L], batch_size=8, mean=(0.0, 0.0, 0.5), std=(1.0, 1.0, 1.0))
    (line,) = data_rules.notes(splits_of(images), np.arange(20), recipe, recipe.preprocess(3, 8))
    assert "mean=0.0,0.0,0.5 is far" in line and "measured: --set mean=0.0,0.0,0.98" in line
    right = replace(recipe, mean=transforms.channel_means([torch.from_numpy(images)], recipe.preprocess(3, 8)))
    assert data_rules.notes(splits_of(images), np.arange(20), right, right.preprocess(3, 8)) == []


def test_a_batch_larger_than_the_data_is_named() -> None:
    recipe, splits = resolve.RECIPES[D2L], splits_of(np.zeros((300, 1, 4, 4), np.uint8))
    (line,) = data_rules.notes(splits, np.arange(255), recipe, recipe.preprocess(1, 4))
    assert line == "batch_size=256 is larger than the 255 training images, so an epoch is a single step"
    assert data_rules.notes(splits, np.arange(256), recipe, recipe.preprocess(1, 4)) == []


def test_a_limit_above_the_number_of_images_is_named() -> None:
    recipe, splits = resolve.RECIPES[D2L], splits_of(np.zeros((300, 1, 4, 4), np.uint8))
    (line,) = data_rules.notes(splits, np.arange(300), recipe, recipe.preprocess(1, 4), 301)
    assert line == "--limit 301 has no effect, because there are only 300 training images"
    assert data_rules.notes(splits, np.arange(300), recipe, recipe.preprocess(1, 4), 300) == []


def test_notes_on_the_settings_are_printed(data: dict[str, Path], cli: CommandLine) -> None:
    _, _, err = cli("train", "lenet_d2l", "--data", data["gray"], "--set", "epochs=1", "mean=1", "std=0.01")
    assert "batch_size=256 is larger than the 60 training images" in err


def test_a_setting_that_is_given_twice_is_named(data: dict[str, Path], cli: CommandLine) -> None:
    command = ("train", "lenet_d2l", "--data", data["gray"], "--dry-run", "--json", "--set", "lr=0.1")
    code, out, err = cli(*command, "--set", "lr=0.2")
    assert code == 0 and err.startswith("note: lr is set twice, to 0.1 and 0.2; 0.2 is used\n") and '"lr": 0.2' in out
    assert "twice" not in cli(*command, "lr=0.1", "epochs=2")[2]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (RunSpec(limit=2.5), "--limit must be an integer, not 2.5"),  # type: ignore[arg-type]
        (RunSpec(limit=True), "--limit must be an integer, not True"),
        (RunSpec(seed=10**30), "--seed must be at most"),
        (RunSpec(seed="1"), "--seed must be an integer, not '1'"),  # type: ignore[arg-type]
        (RunSpec(loader_threads=-1), "--loader-threads must be at least 0, not -1"),
        (RunSpec(threads=0), "--threads must be at least 1, not 0"),
        (RunSpec(batch_threads=0), "--batch-threads must be at least 1, not 0"),
        (RunSpec(deterministic="no"), "--deterministic must be true or false"),  # type: ignore[arg-type]
        (RunSpec(data=[1]), "--data must be text"),  # type: ignore[arg-type]
        (RunSpec(data=""), "--data must not be empty"),
        (RunSpec(precision="float16"), "--precision must be auto, float32, bfloat16 or float64"),
        (RunSpec(on_bad_image="repair"), "--on-bad-image must be fail or skip"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_options_out_of_range_are_refused(options: RunSpec, text: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_options(options)
    assert caught.value.code == "CN204" and text in caught.value.what and caught.value.hints


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Output, {"save_every": -1.0}),
        (Output, {"save_every": float("nan")}),
        (Output, {"runs": ""}),
        (StudyOptions, {"seeds": 0}),
        (StudyOptions, {"seeds": 1, "parallel_runs": 0}),
    ],
)
def test_invalid_options_cannot_be_made(kind: type, options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        kind(**options)
    assert caught.value.code == "CN204"


def test_all_options_out_of_range_are_reported_together() -> None:
    with pytest.raises(UsageError) as caught:
        check_options(RunSpec(loader_threads=-1, threads=0))
    assert "--loader-threads" in caught.value.what and "--threads must be at least 1" in caught.value.what
    assert caught.value.hints == ("--loader-threads 0 --threads 1",)


@pytest.mark.parametrize("name", ["meta", "cpu:3", "", "tpu"])
def test_devices_that_cannot_train_are_refused(name: str) -> None:
    with pytest.raises(cn.MachineError) as caught:
        machine.choose_device(name)
    assert caught.value.code == "CN402" and machine.choose_device("cpu:0").type == "cpu"


def test_the_precision_is_given_once(data: dict[str, Path]) -> None:
    spec, _ = run_spec("lenet_d2l", data=str(data["gray"]), precision="float32", settings={"precision": "bfloat16"})
    with pytest.raises(UsageError, match="given twice"):
        plan(spec)
    assert plan(replace(spec, settings={"precision": "float32"})).recipe.precision == "float32"
