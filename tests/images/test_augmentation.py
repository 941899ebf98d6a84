"""Views, crops and color noise: what the sources say, checked by hand; and that chance is a function of its key."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from classicnets.datasets.types import Split
from classicnets.images import transforms
from classicnets.images.batches import Batches, _boxes, generator, order
from classicnets.recipes import resolve
from classicnets.values import Preprocess, Recipe

CPU = torch.device("cpu")
PLAIN = Recipe(source="x", net="x", data="x", epochs=2, batch_size=8, lr=0.1)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def split(n: int = 20, channels: int = 3, side: int = 12) -> Split:
    return Split(pixels(n, channels, side, side), np.arange(n) % 10)


def batches(recipe: Recipe, data: Split, **options) -> Batches:
    preprocess = recipe.preprocess(data.images.shape[1], data.images.shape[2])
    return Batches(data, recipe, preprocess, seed=3, device=CPU, **options)


def test_one_two_nine_and_ten_views():
    images = torch.from_numpy(pixels(2, 3, 12, 12))
    whole = images / 255

    def seen(count: int) -> list[torch.Tensor]:
        return transforms.views(images, Preprocess(channels=3, image_size=8, resize=12, views=count))

    middle = whole[..., 2:10, 2:10]
    (one,) = seen(1)
    assert torch.equal(one, middle)
    assert torch.equal(one, transforms.prepare(images, Preprocess(channels=3, image_size=8, resize=12)))
    assert all(torch.equal(a, b) for a, b in zip(seen(2), (middle, middle.flip(-1)), strict=True))
    nine = [whole[..., top : top + 8, left : left + 8] for top in (0, 2, 4) for left in (0, 2, 4)]
    assert all(torch.equal(a, b) for a, b in zip(seen(9), nine, strict=True))
    five = [middle, nine[0], nine[2], nine[6], nine[8]]
    ten = seen(10)
    assert len(ten) == 10 and all(torch.equal(a, b) for a, b in zip(ten[:5], five, strict=True))
    assert all(torch.equal(a.flip(-1), b) for a, b in zip(ten[:5], ten[5:], strict=True))


def test_a_long_image_is_cropped_stretched_or_boxed():
    images = torch.from_numpy(pixels(1, 3, 8, 20))
    cropped = transforms.prepare(images, Preprocess(channels=3, image_size=8, fit="crop"))
    assert torch.equal(cropped, images[..., 6:14] / 255)
    boxed = transforms.prepare(images, Preprocess(channels=3, image_size=20, fit="letterbox"))
    assert (
        torch.equal(boxed[..., 6:14, :], images / 255) and not boxed[..., :6, :].any() and not boxed[..., 14:, :].any()
    )
    stretched = transforms.prepare(images, Preprocess(channels=3, image_size=8))
    assert stretched.shape == cropped.shape and not torch.equal(stretched, cropped)


def test_random_crops_are_windows_of_the_image_at_every_place():
    data = split(400, side=6)
    loader = batches(replace(PLAIN, image_size=4, resize=6, crop="random", batch_size=400), data)
    ((x, y),) = list(loader.epoch(1))
    sources = torch.from_numpy(data.images).float() / 255
    from_where = {}
    taken = order(400, seed=3, epoch=1)
    for image, index in zip(x, taken, strict=True):
        places = [
            (top, left)
            for top in range(3)
            for left in range(3)
            if torch.equal(image, sources[index][:, top : top + 4, left : left + 4])
        ]
        assert len(places) == 1
        from_where[places[0]] = from_where.get(places[0], 0) + 1
    assert len(from_where) == 9 and min(from_where.values()) > 20  # 400 / 9 = 44 each
    assert torch.equal(y, torch.from_numpy(data.labels)[taken])


def test_a_part_of_the_image_is_what_pillow_cuts_out():
    """A box in whole pixels, enlarged or not, against torch's own slicing."""
    x = torch.rand(2, 3, 8, 8)
    boxes = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.25, 0.75, 0.5, 0.5]])
    whole = transforms.part(x, boxes, 8)
    torch.testing.assert_close(whole[0], x[0])
    quarter = transforms.part(x, boxes, 4)[1]
    torch.testing.assert_close(quarter, x[1, :, :4, 4:])


def test_resized_crops_cover_eight_percent_to_all():
    boxes = _boxes(20_000, generator("box"))
    rows, columns, heights, widths = boxes.unbind(dim=1)
    area = heights * widths
    assert 0.07 < area.min() < 0.09 and 0.9 < area.max() <= 1
    assert ((rows - heights / 2) >= -1e-6).all() and ((columns + widths / 2) <= 1 + 1e-6).all()
    ratio = (widths / heights).log()
    assert ratio.abs().max() <= np.log(4 / 3) + 1e-5 and abs(float(ratio.mean())) < 0.01


@pytest.mark.parametrize("flavour", ["paper", "code"])
def test_color_axes_are_the_principal_components_of_the_pixels(flavour):
    generator = np.random.default_rng(1)
    base = generator.integers(0, 200, (50, 1, 6, 6))
    images = (base + generator.integers(0, 50, (50, 3, 6, 6))).astype(np.uint8)  # channels go together
    axes = transforms.color_axes([torch.from_numpy(images)], Preprocess(channels=3, image_size=6), flavour)
    values, vectors = np.linalg.eigh(np.cov(images.transpose(1, 0, 2, 3).reshape(3, -1) / 255.0, bias=True))
    reach = values if flavour == "paper" else np.sqrt(values)
    for axis, value, vector in zip(axes.numpy(), reach, vectors.T, strict=True):
        assert np.linalg.norm(axis) == pytest.approx(value, rel=1e-4)
        assert abs(axis @ vector) == pytest.approx(value, rel=1e-4)


def test_color_noise_shifts_a_whole_image_along_the_axes_and_the_code_divides():
    data = split(8)
    plain = next(iter(batches(PLAIN, data).epoch(1)))[0]
    paper = batches(replace(PLAIN, color_noise="paper"), data)
    shift = next(iter(paper.epoch(1)))[0] - plain
    assert float(shift.std(dim=(2, 3)).max()) < 1e-6 and float(shift.abs().max()) > 1e-4  # one number a channel
    alphas = torch.linalg.solve(paper.axes.T, shift.mean(dim=(2, 3)).T)
    assert 0.03 < float(alphas.std()) < 0.3  # N(0, 0.1)
    code = batches(replace(PLAIN, color_noise="code"), data)
    shifted = next(iter(code.epoch(1)))[0] * 1.1 - plain
    torch.testing.assert_close(
        torch.linalg.solve(code.axes.T, shifted.mean(dim=(2, 3)).T), alphas, rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("large", [1, 64])  # images so large are cut out one by one
@pytest.mark.parametrize("crop", ["none", "random", "resized"])
@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("more", [{}, {"color_noise": "code", "erase": 3}, {"shift": 2, "color_noise": "paper"}])
def test_cutting_bytes_gives_the_very_numbers_of_cutting_numbers(monkeypatch, large, crop, flip, more):
    base = Preprocess(channels=3, image_size=9, resize=12, mean=(0.4, 0.5, 0.6), std=(0.2, 0.3, 0.4))
    recipe = replace(PLAIN, crop=crop, flip=flip, batch_size=7, **more)
    data = split()
    monkeypatch.setattr(transforms, "_LARGE", large)
    loader = Batches(data, recipe, base, seed=3, device=CPU)
    by_bytes = [x for x, _ in loader.epoch(2)]
    noise, n = generator("colour", 3, 2), len(data)
    x = transforms.scale(torch.from_numpy(data.images), base)
    if loader.axes is not None:
        x = x + (torch.randn(n, 3, generator=noise) * 0.1 @ loader.axes)[:, :, None, None]
    if crop == "resized":
        x = transforms.part(x, _boxes(n, generator("box", 3, 2)), 9)
    elif crop == "random":
        x = transforms.window(x, torch.randint(4, (n, 2), generator=generator("crop", 3, 2)), 9)
    else:
        x = transforms.middle(x, 9)
    if flip:
        x = transforms.mirror(x, torch.rand(n, generator=generator("flip", 3, 2)) < 0.5)
    if recipe.shift:
        x = transforms.move(x, torch.randint(-2, 3, (n, 2), generator=generator("shift", 3, 2)))
    x = transforms.normalize(x, base)
    if recipe.erase:
        x = transforms.erase(x / 1.1, torch.randint(-1, 8, (n, 2), generator=generator("erase", 3, 2)), 3)
    torch.testing.assert_close(torch.cat(by_bytes), x[order(n, 3, 2)], rtol=0, atol=1e-6 if crop == "resized" else 0)


def test_erasing_blanks_a_square_that_may_stick_out():
    loader = batches(replace(PLAIN, erase=4, mean=(0.5,), std=(0.25,), batch_size=300), split(300))
    plain = batches(replace(PLAIN, mean=(0.5,), std=(0.25,), batch_size=300), split(300))
    (x, _), (before, _) = next(iter(loader.epoch(1))), next(iter(plain.epoch(1)))
    changed = (x != before).any(dim=1)
    assert (x[(x != before)] == 0).all()
    areas = changed.sum(dim=(1, 2))
    assert areas.max() == 16 and 4 <= areas.min() < 16


def test_the_mean_of_the_training_images():
    images = torch.from_numpy(pixels(30, 3, 6, 6))
    means = transforms.channel_means(images.split(3), Preprocess(channels=3, image_size=6))
    np.testing.assert_allclose(means, (images / 255).mean(dim=(0, 2, 3)), rtol=1e-5)


EVERYTHING = replace(
    PLAIN, image_size=8, resize=12, crop="random", flip=True, shift=1, color_noise="code", erase=3, mean=(0.5,) * 3
)


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(EVERYTHING, crop="resized")], ids=["random", "resized"])
def test_threads_and_batch_size_change_nothing_and_any_step_can_be_the_first(recipe):
    data = split(50)
    want = list(batches(recipe, data).epoch(2))
    for threads in (1, 3):
        got = list(batches(recipe, data, threads=threads).epoch(2))
        assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(got, want, strict=True))
    late = list(batches(recipe, data, threads=2).epoch(2, start=4))
    assert len(late) == 3 and all(torch.equal(a, b) for (a, _), (b, _) in zip(late, want[4:], strict=True))
    whole = torch.cat([x for x, _ in want])
    other = torch.cat([x for x, _ in batches(replace(recipe, batch_size=7), data).epoch(2)])
    torch.testing.assert_close(whole, other)
    assert not torch.equal(whole, torch.cat([x for x, _ in batches(recipe, data).epoch(1)]))


def test_a_loader_that_is_left_early_ends():
    iterator = batches(EVERYTHING, split(50), threads=3).epoch(1)
    next(iterator)
    iterator.close()


def test_an_error_in_a_loader_thread_reaches_the_caller(monkeypatch):
    loader = batches(EVERYTHING, split(50), threads=2)

    def broken(*_):
        raise RuntimeError("no image")

    monkeypatch.setattr(transforms, "unit", broken)
    with pytest.raises(RuntimeError, match="no image"):
        list(loader.epoch(1))


def test_images_kept_aside_join_later():
    recipe = replace(PLAIN, validation=0.2, join_after=1, epochs=2, batch_size=10)
    train, aside = split(40), Split(pixels(10, 3, 12, 12), np.full(10, 77))
    loader = batches(recipe, train, aside=aside)
    assert (loader.steps(1), loader.steps(2), loader.images(1), loader.images(2)) == (4, 5, 40, 50)
    labels = [torch.cat([y for _, y in loader.epoch(e)]) for e in (1, 2)]
    assert (labels[0] == 77).sum() == 0 and (labels[1] == 77).sum() == 10


def test_what_contradicts_itself_is_said():
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
