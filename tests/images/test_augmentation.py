"""Views, crops and color noise as in their sources, and random numbers as functions of their key."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from classicnets.datasets.types import Split
from classicnets.images import transforms
from classicnets.images.batches import Batches, _random_boxes, generator, order
from classicnets.recipes import resolve
from classicnets.values import Preprocess, Recipe
from support.typed import present

CPU = torch.device("cpu")
PLAIN = Recipe(source="x", net="x", data="x", epochs=2, batch_size=8, lr=0.1)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def split(n: int = 20, channels: int = 3, side: int = 12) -> Split:
    return Split(pixels(n, channels, side, side), np.arange(n) % 10)


def batches(recipe: Recipe, data: Split, **options: Any) -> Batches:
    preprocess = recipe.preprocess(data.images.shape[1], data.images.shape[2])
    return Batches(data, recipe, preprocess, seed=3, device=CPU, **options)


def test_one_two_nine_and_ten_views() -> None:
    images = torch.from_numpy(pixels(2, 3, 12, 12))
    scaled = images / 255

    def views(count: int) -> list[torch.Tensor]:
        return transforms.views(images, Preprocess(channels=3, image_size=8, resize=12, views=count))

    center = scaled[..., 2:10, 2:10]
    (view,) = views(1)
    assert torch.equal(view, center)
    assert torch.equal(view, transforms.prepare(images, Preprocess(channels=3, image_size=8, resize=12)))
    assert all(torch.equal(a, b) for a, b in zip(views(2), (center, center.flip(-1)), strict=True))
    nine = [scaled[..., top : top + 8, left : left + 8] for top in (0, 2, 4) for left in (0, 2, 4)]
    assert all(torch.equal(a, b) for a, b in zip(views(9), nine, strict=True))
    five = [center, nine[0], nine[2], nine[6], nine[8]]
    ten = views(10)
    assert len(ten) == 10 and all(torch.equal(a, b) for a, b in zip(ten[:5], five, strict=True))
    assert all(torch.equal(a.flip(-1), b) for a, b in zip(ten[:5], ten[5:], strict=True))


def test_long_image_is_cropped_stretched_or_letterboxed() -> None:
    images = torch.from_numpy(pixels(1, 3, 8, 20))
    cropped = transforms.prepare(images, Preprocess(channels=3, image_size=8, fit="crop"))
    assert torch.equal(cropped, images[..., 6:14] / 255)
    boxed = transforms.prepare(images, Preprocess(channels=3, image_size=20, fit="letterbox"))
    assert (
        torch.equal(boxed[..., 6:14, :], images / 255) and not boxed[..., :6, :].any() and not boxed[..., 14:, :].any()
    )
    stretched = transforms.prepare(images, Preprocess(channels=3, image_size=8))
    assert stretched.shape == cropped.shape and not torch.equal(stretched, cropped)


def test_random_crops_occur_at_every_position() -> None:
    data = split(400, side=6)
    loader = batches(replace(PLAIN, image_size=4, resize=6, crop="random", batch_size=400), data)
    ((x, y),) = list(loader.epoch(1))
    sources = torch.from_numpy(data.images).float() / 255
    counts: dict[tuple[int, int], int] = {}
    permutation = order(400, seed=3, epoch=1)
    for image, index in zip(x, permutation, strict=True):
        corners = [
            (top, left)
            for top in range(3)
            for left in range(3)
            if torch.equal(image, sources[index][:, top : top + 4, left : left + 4])
        ]
        assert len(corners) == 1
        counts[corners[0]] = counts.get(corners[0], 0) + 1
    assert len(counts) == 9 and min(counts.values()) > 20  # 400 / 9 = 44 each
    assert torch.equal(y, torch.from_numpy(data.labels)[permutation])


def test_resized_crop_of_whole_pixels_equals_slicing() -> None:
    """Boxes of whole pixels, enlarged or not, against slices of the tensor."""
    x = torch.rand(2, 3, 8, 8)
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.75, 0.5, 0.5]])
    result = transforms.resized_crop(x, boxes, 8)
    torch.testing.assert_close(result[0], x[0])
    quarter = transforms.resized_crop(x, boxes, 4)[1]
    torch.testing.assert_close(quarter, x[1, :, :4, 4:])


def test_resized_crops_have_8_to_100_percent_of_the_area() -> None:
    boxes = _random_boxes(20_000, 0.08, generator("box"))
    rows, columns, heights, widths = boxes.unbind(dim=1)
    area = heights * widths
    assert 0.07 < area.min() < 0.09 and 0.9 < area.max() <= 1
    assert ((rows - heights / 2) >= -1e-6).all() and ((columns + widths / 2) <= 1 + 1e-6).all()
    ratio = (widths / heights).log()
    assert ratio.abs().max() <= np.log(4 / 3) + 1e-5 and abs(float(ratio.mean())) < 0.01


@pytest.mark.parametrize("variant", ["paper", "code"])
def test_color_axes_are_the_principal_components_of_the_pixels(variant: str) -> None:
    generator = np.random.default_rng(1)
    base = generator.integers(0, 200, (50, 1, 6, 6))
    images = (base + generator.integers(0, 50, (50, 3, 6, 6))).astype(np.uint8)  # the channels are correlated
    axes = transforms.color_axes([torch.from_numpy(images)], Preprocess(channels=3, image_size=6), variant)
    values, vectors = np.linalg.eigh(np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1) / 255.0, bias=True))
    lengths = values if variant == "paper" else np.sqrt(values)
    for axis, value, vector in zip(axes.numpy(), lengths, vectors.T, strict=True):
        assert np.linalg.norm(axis) == pytest.approx(value, rel=1e-4)
        assert abs(axis @ vector) == pytest.approx(value, rel=1e-4)


def test_color_noise_shifts_images_along_the_axes_and_the_code_divides() -> None:
    data = split(8)
    plain = next(iter(batches(PLAIN, data).epoch(1)))[0]
    paper = batches(replace(PLAIN, color_noise="paper"), data)
    shift = next(iter(paper.epoch(1)))[0] - plain
    assert float(shift.std(dim=(2, 3)).max()) < 1e-6 and float(shift.abs().max()) > 1e-4  # one value per channel
    alphas = torch.linalg.solve(present(paper.axes).T, shift.mean(dim=(2, 3)).T)
    assert 0.03 < float(alphas.std()) < 0.3  # N(0, 0.1)
    code = batches(replace(PLAIN, color_noise="code"), data)
    shifted = next(iter(code.epoch(1)))[0] * 1.1 - plain
    torch.testing.assert_close(
        torch.linalg.solve(present(code.axes).T, shifted.mean(dim=(2, 3)).T), alphas, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("large", [1, 64])  # images from this size on are cropped one by one
@pytest.mark.parametrize("crop", ["none", "random", "resized"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("more", [{}, {"color_noise": "code", "erase": 3}, {"shift": 2, "color_noise": "paper"}])
def test_cropping_bytes_equals_cropping_floats(
    monkeypatch: pytest.MonkeyPatch, large: int, crop: str, flip: bool, more: dict[str, Any]
) -> None:
    base = Preprocess(channels=3, image_size=9, resize=12, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    recipe = replace(PLAIN, crop=crop, flip=flip, batch_size=7, **more)
    data = split()
    monkeypatch.setattr(transforms, "_LARGE", large)
    loader = Batches(data, recipe, base, seed=3, device=CPU)
    batches_ = [x for x, _ in loader.epoch(2)]
    noise, n = generator("colour", 3, 2), len(data)
    x = transforms.scale(torch.from_numpy(data.images), base)
    if loader.axes is not None:
        x = x + (torch.randn(n, 3, generator=noise) * 0.1 @ loader.axes)[:, :, None, None]
    if crop == "resized":
        x = transforms.resized_crop(x, _random_boxes(n, 0.08, generator("box", 3, 2)), 9)
    elif crop == "random":
        x = transforms.crop(x, torch.randint(4, (n, 2), generator=generator("crop", 3, 2)), 9)
    else:
        x = transforms.center_crop(x, 9)
    if flip:
        x = transforms.flip(x, torch.rand(n, generator=generator("flip", 3, 2)) < 0.5)
    if recipe.shift:
        x = transforms.shift(x, torch.randint(-2, 3, (n, 2), generator=generator("shift", 3, 2)))
    x = transforms.normalize(x, base)
    if recipe.erase:
        x = transforms.erase(x / 1.1, torch.randint(-1, 8, (n, 2), generator=generator("erase", 3, 2)), 3)
    torch.testing.assert_close(torch.cat(batches_), x[order(n, 3, 2)], rtol=0, atol=1e-6 if crop == "resized" else 0)


def test_erase_blanks_a_square_that_may_lie_partly_outside() -> None:
    loader = batches(replace(PLAIN, erase=4, mean=(0.5,), std=(0.25,), batch_size=300), split(300))
    plain = batches(replace(PLAIN, mean=(0.5,), std=(0.25,), batch_size=300), split(300))
    (x, _), (before, _) = next(iter(loader.epoch(1))), next(iter(plain.epoch(1)))
    changed = (x != before).any(dim=1)
    assert (x[(x != before)] == 0).all()
    areas = changed.sum(dim=(1, 2))
    assert areas.max() == 16 and 4 <= areas.min() < 16


def test_channel_means() -> None:
    images = torch.from_numpy(pixels(30, 3, 6, 6))
    means = transforms.channel_means(images.split(3), Preprocess(channels=3, image_size=6))
    np.testing.assert_allclose(means, (images / 255).mean(dim=(0, 2, 3)), rtol=1e-5)


EVERYTHING = replace(
    PLAIN, image_size=8, resize=12, crop="random", flip=True, shift=1, color_noise="code", erase=3, mean=(0.5,) * 3
)


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(EVERYTHING, crop="resized")], ids=["random", "resized"])
def test_images_do_not_depend_on_threads_batch_size_or_first_step(recipe: Recipe) -> None:
    data = split(50)
    expected = list(batches(recipe, data).epoch(2))
    for threads in (1, 3):
        result = list(batches(recipe, data, threads=threads).epoch(2))
        assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(result, expected, strict=True))
    late = list(batches(recipe, data, threads=2).epoch(2, start=4))
    assert len(late) == 3 and all(torch.equal(a, b) for (a, _), (b, _) in zip(late, expected[4:], strict=True))
    images = torch.cat([x for x, _ in expected])
    other = torch.cat([x for x, _ in batches(replace(recipe, batch_size=7), data).epoch(2)])
    torch.testing.assert_close(images, other)
    assert not torch.equal(images, torch.cat([x for x, _ in batches(recipe, data).epoch(1)]))


def test_closing_a_loader_early_ends_it() -> None:
    iterator = batches(EVERYTHING, split(50), threads=3).epoch(1)
    assert isinstance(iterator, Generator)
    next(iterator)
    iterator.close()


def test_error_in_a_loader_thread_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    loader = batches(EVERYTHING, split(50), threads=2)

    def broken(*_: Any) -> None:
        raise RuntimeError("no image")

    monkeypatch.setattr(transforms, "to_float", broken)
    with pytest.raises(RuntimeError, match="no image"):
        list(loader.epoch(1))


def test_held_out_images_join_later() -> None:
    recipe = replace(PLAIN, validation=0.2, join_after=1, epochs=2, batch_size=10)
    train, held_out = split(40), Split(pixels(10, 3, 12, 12), np.full(10, 77))
    loader = batches(recipe, train, held_out=held_out)
    assert (loader.steps(1), loader.steps(2), loader.image_count(1), loader.image_count(2)) == (4, 5, 40, 50)
    labels = [torch.cat([y for _, y in loader.epoch(e)]) for e in (1, 2)]
    assert (labels[0] == 77).sum() == 0 and (labels[1] == 77).sum() == 10


def test_explains_contradictory_settings() -> None:
    for settings, words in (
        ({"crop": "random"}, "needs resize"),
        ({"resize": "256"}, "needs an image_size"),
        ({"resize": "20", "image_size": "24"}, "not larger"),
        ({"views": "3"}, "must be one of 1, 2, 9, 10"),
        ({"patience": "3"}, "needs monitor=validation"),
        ({"schedule": "plateau"}, "needs patience"),
        ({"schedule": "steps", "drop_at": "0.5", "drop_to": "0.1,0.01"}, "drop_at has 1 values and drop_to 2"),
        ({"schedule": "steps", "drop_at": "0.5,0.3", "drop_to": "0.1,0.01"}, "rising fractions"),
        ({"drop_at": "0.5", "drop_to": "0.1"}, "drop_at needs schedule=steps"),
        ({"join_after": "3"}, "needs a validation set to join"),
    ):
        with pytest.raises(ValueError, match=words):
            resolve.apply(replace(PLAIN, monitor="none"), settings)
