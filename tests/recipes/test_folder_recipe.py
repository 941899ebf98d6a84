"""The recipe that is chosen for a folder of images: by what its training images look like, and by their number."""

from __future__ import annotations

from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from classicnets.errors import UsageError
from classicnets.events import Epoch, Step
from classicnets.images.look import look
from classicnets.recipes.folder import GRAPHICS, PHOTOS, SYMBOLS, Look, epochs
from classicnets.recipes.resolve import RECIPES
from classicnets.runs import checkpoint
from classicnets.spec import Output, run_spec
from classicnets.training import folder_recipe
from classicnets.training import plan as planning
from classicnets.training.plan import Plan
from classicnets.training.session import Session


def photo(random: np.random.Generator, size: int, color: int) -> np.ndarray:
    """A blurred pattern of many colors."""
    small = random.uniform(0, 255, (6, 6, 3)) * 0.5 + np.roll([200, 60, 20], color) * 0.5
    return np.asarray(Image.fromarray(small.astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)) + (
        random.integers(0, 8, (size, size, 3))
    ).astype(np.uint8)


def icon(random: np.random.Generator, size: int, shape: int) -> np.ndarray:
    """A few rectangles of one color each on a transparent ground."""
    image = np.zeros((size, size, 4), np.uint8)
    for number in range(3):
        top, left = random.integers(0, size // 2, 2)
        image[top : top + size // 3 + shape, left : left + size // 3] = [80 * number, 250 - 90 * number, 128, 255]
    return image


def letter(random: np.random.Generator, size: int, shape: int) -> np.ndarray:
    """A stroke with a hook to the right (a b) or to the left (a d), dark on white."""
    image = np.full((size, size), 250, np.uint8)
    top, left = random.integers(1, size // 8 + 2, 2) + size // 4
    image[top : top + size // 2, left : left + max(1, size // 10)] = 10
    hook = slice(left, left + size // 3) if shape == 0 else slice(max(0, left - size // 3), left)
    image[top + size // 3 : top + size // 2, hook] = 10
    return image


MAKERS = {PHOTOS: photo, GRAPHICS: icon, SYMBOLS: letter}


def write(
    folder: Path,
    kind: str,
    count: int = 30,
    size: int = 24,
    classes: tuple[str, ...] = ("a", "b"),
    *,
    gray: bool = False,
) -> Path:
    """`count` images of each class in train/, and four of noise in test/, which must not matter."""
    random = np.random.default_rng(0)
    for number, name in enumerate(classes):
        for split, n in (("train", count), ("test", 4)):
            target = folder / split / name
            target.mkdir(parents=True)
            for i in range(n):
                pixels = MAKERS[kind](random, size, number)
                if split == "test":
                    pixels = random.integers(0, 255, pixels.shape)
                image = Image.fromarray(pixels.astype(np.uint8))
                (image.convert("L") if gray else image).save(target / f"{i}.png")
    return folder


def planned(folder: Path, net: str = "convnet_48", **options: Any) -> Plan:
    return planning.plan(run_spec(net, data=str(folder), **options)[0])


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        (PHOTOS, {"flip": True, "crop": "resized", "shift": 0, "views": 2}),
        (GRAPHICS, {"flip": True, "crop": "resized", "shift": 0, "views": 2}),
        (SYMBOLS, {"flip": False, "crop": "none", "shift": 2, "views": 1}),
    ],
)
@pytest.mark.parametrize("gray", [False, True])
def test_settings_follow_from_the_kind_of_images(
    tmp_path: Path, kind: str, settings: dict[str, Any], gray: bool
) -> None:
    folder = write(tmp_path / "mine", kind, gray=gray)
    assert look(folder).kind == kind
    plan = planned(folder)
    assert plan.recipe.source == "folder"
    assert {key: getattr(plan.recipe, key) for key in settings} == settings
    assert plan.preprocess.shape == (1 if gray or kind == SYMBOLS else 3, 24, 24)
    assert plan.recipe.epochs == epochs(60) == 173
    flipped = "true" if settings["flip"] else "false"
    assert f"flip={flipped}" in plan.statement and "173 epochs" in plan.statement
    assert any(plan.statement in line for line in plan.lines())
    assert plan == planned(folder)  # the same again


def test_only_training_images_are_looked_at(tmp_path: Path) -> None:
    before = look(write(tmp_path / "mine", SYMBOLS))
    for path in (tmp_path / "mine" / "test").rglob("*.png"):
        path.write_bytes(b"damaged")
    assert look(tmp_path / "mine") == before


@pytest.mark.parametrize("tone", [0, 255])
def test_shapes_on_transparency_are_seen_whatever_their_tone(tmp_path: Path, tone: int) -> None:
    random = np.random.default_rng(3)
    for number in range(40):
        alpha = 255 - letter(random, 24, number % 2)
        pixels = np.stack([np.full_like(alpha, tone)] * 3 + [alpha], axis=2)
        path = tmp_path / "letters" / "bd"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels, "RGBA").save(path)
    found = look(tmp_path / "letters")
    assert (found.kind, found.flips) == (SYMBOLS, False)


def test_settings_of_the_user_win_and_the_statement_says_so(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", PHOTOS)
    plan = planned(folder, flip=False, crop="none", epochs=3, image_size=40)
    assert (plan.recipe.flip, plan.recipe.crop, plan.recipe.epochs, plan.preprocess.image_size) == (
        False,
        "none",
        3,
        40,
    )
    assert "changed: flip=False, crop=none, epochs=3, image_size=40" in plan.statement
    assert planned(folder, image_size=None, crop="none").preprocess.image_size == 24
    with pytest.raises(UsageError, match="must be an integer"):
        planned(folder, image_size="large")


@pytest.mark.parametrize("names", [("turn_left", "turn_right"), ("East", "West")])
def test_classes_named_left_and_right_are_not_mirrored(tmp_path: Path, names: tuple[str, str]) -> None:
    assert not look(write(tmp_path / "mine", PHOTOS, classes=names)).flips
    assert look(write(tmp_path / "other", PHOTOS, classes=("left", "up"))).flips


def test_images_whose_mirror_images_are_another_class_are_not_mirrored(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    scenes = [photo(random, 24, 0) for _ in range(40)]
    for number, name in enumerate(("facing_one_way", "facing_the_other")):
        for split in ("train", "test"):
            (tmp_path / split / name).mkdir(parents=True)
            for i, scene in enumerate(scenes):
                scene = scene.copy()
                scene[:, :12] = np.minimum(scene[:, :12], 80)
                noisy = (scene + random.normal(0, 4, scene.shape)).clip(0, 255).astype(np.uint8)
                Image.fromarray(noisy[:, ::-1] if number else noisy).save(tmp_path / split / name / f"{i}.png")
    seen = look(tmp_path)
    assert seen.kind == PHOTOS and not seen.flips


def test_other_recipes_are_used_where_they_are_named_or_published_for_the_data(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", GRAPHICS)
    named = planned(folder, "lenet_d2l", recipe="d2l")
    assert named.recipe.source == "d2l" and not named.statement
    assert planned(folder, "alexnet_28", recipe="fast").recipe.epochs == 14
    chosen = planned(folder, "lenet_d2l")
    assert chosen.recipe.source == "folder" and "--recipe d2l is the recipe published" in chosen.statement
    assert planned(folder, "lenet_d2l", recipe="folder").recipe == chosen.recipe
    imagenet = write(tmp_path / "imagenet", GRAPHICS)
    assert planned(imagenet, "alexnet_2012").recipe.source != "folder"
    assert "folder" not in {key.source for key in RECIPES}


@pytest.mark.parametrize(("net", "size"), [("lenet5_1998", 32), ("convnet_48", 24), ("alexnet_torchvision", 224)])
def test_networks_of_one_size_are_trained_at_it(tmp_path: Path, net: str, size: int) -> None:
    assert planned(write(tmp_path / "mine", GRAPHICS), net).preprocess.image_size == size


@pytest.mark.parametrize(("per_class", "validation"), [(1, 0.0), (10, 0.0), (25, 0.1)])
def test_few_images(tmp_path: Path, per_class: int, validation: float) -> None:
    recipe = planned(write(tmp_path / "mine", PHOTOS, per_class)).recipe
    assert recipe.validation == validation
    assert recipe.monitor == ("validation" if validation else "none")


def test_more_images_need_fewer_epochs_but_more_steps() -> None:
    counts = [20, 100, 845, 5_000, 20_000, 100_000, 10**6]
    numbers = [epochs(n) for n in counts]
    assert numbers == sorted(numbers, reverse=True) and numbers[0] == 200 and numbers[-1] == 8
    seen = [n * e for n, e in zip(counts, numbers, strict=True)]
    assert seen == sorted(seen)


def test_images_of_several_sizes_and_one_damaged(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", PHOTOS, size=70)
    Image.fromarray(np.zeros((30, 200, 3), np.uint8)).save(folder / "train" / "a" / "wide.png")
    (folder / "train" / "a" / "0.png").write_bytes(b"damaged")
    plan = planned(folder, on_bad_image="skip")
    assert (plan.preprocess.image_size, plan.preprocess.side) == (48, 54)
    assert look(folder).size == 70


@pytest.mark.usefixtures("undrawn")
@pytest.mark.parametrize("steps", [0, 1, 4])
def test_a_resumed_run_keeps_its_choice_and_ends_like_an_unbroken_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Even if the images would be seen as others now; stopped before the first step, and within an epoch."""
    data = write(tmp_path / "mine", PHOTOS, count=12)
    plan, ends = planned(data, "lenet_d2l", recipe="folder", epochs=2, batch_size=8), []
    for name in ("unbroken", "stopped"):
        session = Session.start(plan, lambda _: None, Output(runs=str(tmp_path / name), save_every=0))
        if name == "stopped":
            with closing(session.events()) as events:
                # a step is saved before the next one
                for event in islice(events, steps + steps // 3 + 1 if steps else 0):
                    assert isinstance(event, Step | Epoch)
            session.lock.release()
            monkeypatch.setattr(folder_recipe, "look", lambda _: Look(kind=SYMBOLS, size=200, flips=False))
            assert planned(data, "lenet_d2l", recipe="folder").recipe.flip != plan.recipe.flip
            session.folder.trained_images.write_text("{}")  # it is written again
            session = Session.resume(session.folder.path, lambda _: None)
            assert session.state.epoch * 3 + session.state.step == steps
        assert (session.plan.recipe, session.plan.statement) == (plan.recipe, plan.statement)
        assert session.plan.preprocess.side == plan.preprocess.side
        for _event in session.events():
            pass
        session.finish()
        facts, tensors = session.folder.read(), checkpoint.load(session.folder.last)[0]
        kept = {key: facts[key] for key in ("recipe", "preprocess", "statement", "net", "fingerprint")}
        result = {key: value for key, value in facts["result"].items() if "seconds" not in key and "memory" not in key}
        ends.append((kept, result, session.folder.read_trained_images(), tensors))
    (*unbroken, weights), (*resumed, resumed_weights) = ends
    assert resumed == unbroken and unbroken[2] and weights.keys() == resumed_weights.keys()
    assert all(torch.equal(weights[name], resumed_weights[name]) for name in weights)
