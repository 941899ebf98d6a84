"""From image files to network input, and from network output to metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional as F

from classicnets.datasets.types import Split
from classicnets.errors import DataError
from classicnets.evaluation.evaluate import evaluate
from classicnets.evaluation.predictor import Predictor
from classicnets.images import transforms
from classicnets.images.decode import read_image
from classicnets.images.transforms import prepare
from classicnets.values import Preprocess

GENERATOR = np.random.default_rng(0)
CPU = torch.device("cpu")


def pixels(*shape: int) -> np.ndarray:
    return GENERATOR.integers(0, 256, shape, dtype=np.uint8)


def test_pixels_are_scaled_to_0_to_1_as_by_totensor() -> None:
    images = pixels(5, 1, 28, 28)
    x = prepare(torch.from_numpy(images), Preprocess(channels=1, image_size=28))
    assert x.dtype == torch.float32 and torch.equal(x, torch.from_numpy(images).float() / 255)


@pytest.mark.parametrize("size", [224, 56, 28, 20])
def test_resizing_equals_pillow_within_rounding(size: int) -> None:
    image = np.asarray(Image.fromarray(pixels(7, 7)).resize((28, 28), Image.Resampling.BICUBIC))
    x = prepare(torch.from_numpy(image.copy())[None, None], Preprocess(channels=1, image_size=size))
    expected = np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))
    assert np.abs(x[0, 0].numpy() * 255 - expected).max() <= 1.01  # Pillow rounds once in each direction


def test_converts_color_to_gray_as_pillow_and_gray_to_color() -> None:
    color = pixels(1, 3, 8, 8)
    gray = prepare(torch.from_numpy(color), Preprocess(channels=1, image_size=8))
    expected = np.asarray(Image.fromarray(color[0].transpose(1, 2, 0)).convert("L"))
    assert np.abs(gray[0, 0].numpy() * 255 - expected).max() <= 1
    color_again = prepare(torch.from_numpy(pixels(1, 1, 8, 8)), Preprocess(channels=3, image_size=8))
    assert color_again.shape == (1, 3, 8, 8)
    assert torch.equal(color_again[:, 0], color_again[:, 2])


def test_mean_and_std_are_per_channel() -> None:
    x = torch.from_numpy(pixels(2, 3, 8, 8))
    result = prepare(x, Preprocess(channels=3, image_size=8, mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0)))
    for c, (m, s) in enumerate(zip((0.1, 0.2, 0.3), (0.5, 1.0, 2.0), strict=True)):
        torch.testing.assert_close(result[:, c], (x[:, c] / 255 - m) / s)


@given(st.integers(0, 3), st.integers(-3, 3), st.integers(-3, 3))
def test_shift_equals_cropping_a_padded_image(reach: int, down: int, right: int) -> None:
    x = torch.rand(3, 2, 6, 6)
    shifts = torch.tensor([[down, right], [0, 0], [reach, -reach]])
    result = transforms.shift(x, shifts)
    assert torch.equal(result[1], x[1])
    padded = F.pad(x[0], (3, 3, 3, 3))
    assert torch.equal(result[0], padded[:, 3 - down : 9 - down, 3 - right : 9 - right])


def test_flip_applies_to_selected_images() -> None:
    x = torch.rand(3, 1, 4, 4)
    result = transforms.flip(x, torch.tensor([True, False, True]))
    assert (
        torch.equal(result[0], x[0].flip(-1)) and torch.equal(result[1], x[1]) and torch.equal(result[2], x[2].flip(-1))
    )


def as_file(tmp_path: Path, image: Image.Image, name: str, **options: Any) -> Path:
    image.save(tmp_path / name, **options)
    return tmp_path / name


def test_reads_every_kind_of_image_file(tmp_path: Path) -> None:
    color, gray = Image.fromarray(pixels(10, 12, 3)), Image.fromarray(pixels(10, 12))
    files = [
        as_file(tmp_path, color, "a.png"),
        as_file(tmp_path, gray, "b.jpg"),
        as_file(tmp_path, color.convert("CMYK"), "c.jpg"),
        as_file(tmp_path, color.convert("P"), "d.gif"),
        as_file(tmp_path, color.convert("RGBA"), "e.webp"),
        as_file(tmp_path, gray.convert("1"), "f.bmp"),
        as_file(tmp_path, Image.fromarray(GENERATOR.integers(0, 65536, (10, 12), dtype=np.uint16)), "g.png"),
        as_file(tmp_path, gray.convert("LA"), "h.png"),
    ]
    for path in files:
        for channels in (1, 3):
            image = read_image(path, channels)
            assert image.shape == (channels, 10, 12) and image.dtype == np.uint8, path


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, 256, dtype=np.uint16).reshape(16, 16)
    result = read_image(as_file(tmp_path, Image.fromarray(deep), "x.png"), 1)[0]
    assert np.abs(result.astype(int) - np.arange(256).reshape(16, 16)).max() <= 1


def test_exif_orientation_and_transparency(tmp_path: Path) -> None:
    upright = Image.new("L", (4, 2), 0)
    upright.putpixel((0, 0), 255)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by 90 degrees
    assert read_image(as_file(tmp_path, upright, "x.png", exif=exif), 1).shape == (1, 4, 2)
    clear = Image.new("RGBA", (3, 3), (255, 255, 255, 0))
    assert not read_image(as_file(tmp_path, clear, "y.png"), 1).any()


@pytest.fixture(scope="module")
def noise() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (30, 30), dtype=np.uint8)


@given(st.integers(0, 900))
def test_truncated_image_is_a_data_error(noise: np.ndarray, tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """Noise cannot be compressed, so the first 900 bytes never contain all of its 900 pixels."""
    path = tmp_path_factory.mktemp("cut") / "x.png"
    Image.fromarray(noise).save(path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(DataError) as caught:
        read_image(path, 1)
    assert caught.value.code == "CN304"


class FirstPixels(nn.Module):
    """Returns the first ten pixels as logits."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :10] * 50


def test_accuracy_loss_and_confusion_of_known_logits() -> None:
    images = np.zeros((4, 1, 4, 4), dtype=np.uint8)
    for i, label in enumerate([3, 3, 5, 9]):
        images[i].reshape(-1)[label] = 255
    split = Split(images, np.array([3, 4, 5, 9]))
    net = FirstPixels()
    predictor = Predictor(net, Preprocess(channels=1, image_size=4), tuple("0123456789"), CPU)
    result, probabilities = evaluate(predictor, split)
    assert (result.n, result.accuracy) == (4, 0.75)
    assert result.confusion[4][3] == 1 and result.confusion[3][3] == 1 and sum(map(sum, result.confusion)) == 4
    assert result.recall[3] == 1 and result.recall[4] == 0
    expected = F.cross_entropy(net(torch.from_numpy(images) / 255), torch.tensor([3, 4, 5, 9]))
    assert result.loss == pytest.approx(min(float(expected), -np.log(1e-12) / 4), rel=1e-4)
    assert probabilities.shape == (4, 10)


def test_averages_two_views_and_keeps_the_mode_of_the_network() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 10)).train()
    images = pixels(6, 1, 4, 4)
    p = Predictor(net, Preprocess(channels=1, image_size=4, views=2), tuple("0123456789"), CPU).probabilities(images)
    assert net.training
    net.eval()
    x = torch.from_numpy(images) / 255
    expected = (net(x).softmax(1) + net(x.flip(-1)).softmax(1)) / 2
    np.testing.assert_allclose(p, expected.detach().numpy(), rtol=1e-5)
