"""Images in memory give the predictions of the same images saved as PNG; everything else has a clear error."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import classicnets as cn
from classicnets.errors import DataError
from classicnets.images.decode import read_fitted
from classicnets.images.inputs import find_images
from classicnets.values import Preprocess
from support.command_line import CommandLine
from support.onnx_files import colors_onnx

COLOR = np.random.default_rng(0).integers(0, 256, (9, 12, 3), dtype=np.uint8)
GRAY = np.ascontiguousarray(COLOR[..., 0])
PREPROCESS = Preprocess(channels=3, image_size=8)


def pixels(*values: Any) -> list[np.ndarray]:
    return [read_fitted(image.file, PREPROCESS) for image in find_images(values)]


def as_png(image: np.ndarray | Image.Image) -> bytes:
    file = io.BytesIO()
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(file, "PNG")
    return file.getvalue()


FORMS: dict[str, tuple[Any, list[np.ndarray]]] = {
    "gray": (GRAY, [GRAY]),
    "channels last": (COLOR, [COLOR]),
    "channels first": (COLOR.transpose(2, 0, 1), [COLOR]),
    "one channel first": (GRAY[None], [GRAY]),
    "one channel last": (GRAY[..., None], [GRAY]),
    "batch": (np.stack([COLOR, COLOR[::-1]]), [COLOR, COLOR[::-1]]),
    "gray batch": (np.stack([GRAY, GRAY[::-1]])[:, None], [GRAY, GRAY[::-1]]),
    "tensor": (torch.from_numpy(COLOR).permute(2, 0, 1), [COLOR]),
    "tensor batch": (torch.from_numpy(COLOR).permute(2, 0, 1)[None].repeat(2, 1, 1, 1), [COLOR, COLOR]),
    "transposed": (GRAY.T, [GRAY.T]),
    "PIL": (Image.fromarray(COLOR), [COLOR]),
    "PIL gray": (Image.fromarray(GRAY), [GRAY]),
    "bytes": (as_png(COLOR), [COLOR]),
    "bytearray": (bytearray(as_png(COLOR)), [COLOR]),
    "file": (io.BytesIO(as_png(COLOR)), [COLOR]),
    "list": ([GRAY, (COLOR, [GRAY])], [GRAY, COLOR, GRAY]),
}


@pytest.mark.parametrize("name", FORMS)
def test_an_image_in_memory_is_that_of_the_saved_file(tmp_path: Path, name: str) -> None:
    value, expected = FORMS[name]
    for i, image in enumerate(expected):
        (tmp_path / f"{i}.png").write_bytes(as_png(np.ascontiguousarray(image)))
    files = pixels(*(tmp_path / f"{i}.png" for i in range(len(expected))))
    if name == "file":
        value.seek(0)
    assert all(np.array_equal(a, b) for a, b in zip(pixels(value), files, strict=True))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"])
def test_takes_pil_images_of_every_mode(mode: str) -> None:
    image = (
        Image.fromarray(COLOR).convert("RGBA").convert(mode) if mode == "RGBa" else Image.fromarray(COLOR).convert(mode)
    )
    assert pixels(image)[0].shape == (3, 8, 8)


def test_turns_a_pil_image_as_its_file(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(COLOR).save(tmp_path / "turned.png", exif=exif)
    opened, file = pixels(Image.open(tmp_path / "turned.png"), tmp_path / "turned.png")
    assert np.array_equal(opened, file)


def circular() -> list[Any]:
    values: list[Any] = []
    values.append(values)
    return values


REFUSED: dict[str, tuple[Any, str]] = {
    "float": (COLOR / 255, "uint8"),
    "float tensor": (torch.rand(3, 4, 4), "uint8"),
    "bfloat16": (torch.rand(3, 4, 4).bfloat16(), "uint8"),
    "integers": (COLOR.astype(np.int64), "uint8"),
    "bool": (COLOR > 3, "uint8"),
    "objects": (np.array([None]), "uint8"),
    "vector": (GRAY[0], "[H, W]"),
    "empty": (COLOR[:0], "[H, W]"),
    "channels": (np.zeros((5, 6, 7), np.uint8), "channels"),
    "dimensions": (np.zeros((1, 1, 1, 4, 4), np.uint8), "[H, W]"),
    "F": (Image.fromarray(GRAY.astype(np.float32)), "white"),
    "none": (None, "paths"),
    "number": (3, "paths"),
    "dict": ({"image": GRAY}, "paths"),
    "text file": (io.StringIO("x"), "mode 'rb'"),
    "itself": (circular(), "itself"),
    "http": ("https://example.org/a.png", "curl"),
    "path of a URL": (Path("http://example.org/a.png"), "curl"),
    "data": ("data:image/png;base64,AAAA", "URL"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_has_a_clear_error(name: str) -> None:
    value, text = REFUSED[name]
    with pytest.raises(DataError) as caught:
        pixels(value)
    assert caught.value.code == "CN304" and text in str(caught.value)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "x" * 300 + ".csv"])
def test_what_cannot_be_a_path_is_no_image(name: str) -> None:
    with pytest.raises(DataError) as caught:
        pixels(name)
    assert caught.value.code == "CN304"


def test_a_model_predicts_images_in_memory(tmp_path: Path, cli: CommandLine) -> None:
    model = cn.load(colors_onnx(tmp_path / "colors.onnx"))
    red = np.full((9, 12, 3), (250, 20, 20), dtype=np.uint8)
    (tmp_path / "red.png").write_bytes(as_png(red))
    file, array, damaged = model.predict(tmp_path / "red.png", red, b"no image")
    assert array.classes == file.classes and array.probabilities == file.probabilities
    assert (array.image, damaged.image) == ("image 1", "image 2") and damaged.error
    code, _, err = cli("predict", tmp_path / "colors.onnx", "https://example.org/a.png")
    assert code == 3 and "is a URL" in err
