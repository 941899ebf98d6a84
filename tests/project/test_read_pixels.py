"""`examples/read_pixels.py`, which users copy, reads every kind of image as `classicnets predict` does."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image
from read_pixels import read_pixels

import classicnets as cn
from classicnets.images.decode import read_fitted
from classicnets.values import Preprocess
from images.test_image_mutations import animation, deep, pixels, saved, turned
from support.onnx_files import colors_onnx


def plain_cmyk() -> bytes:
    """A CMYK JPEG without Adobe's marker."""
    data = saved(pixels().convert("CMYK"), "JPEG")
    start = data.index(b"\xff\xee")
    return data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :]


def with_alpha(mode: str) -> Image.Image:
    image = pixels().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return image.convert(mode)


def wide() -> Image.Image:
    return pixels(400).resize((533, 401)).crop((0, 0, 531, 397))


KINDS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved(wide(), "PNG"),
    "PNG, gray": lambda: saved(wide().convert("L"), "PNG"),
    "PNG, 16 bits": lambda: saved(deep(), "PNG"),
    "PNG, 16 bits, transparent level": lambda: saved(deep(), "PNG", transparency=int(np.asarray(deep())[3, 3])),
    "PNG, alpha": lambda: saved(with_alpha("RGBA"), "PNG"),
    "PNG, gray and alpha": lambda: saved(with_alpha("LA"), "PNG"),
    "PNG, palette": lambda: saved(pixels().quantize(16), "PNG"),
    "PNG, palette, transparent": lambda: saved(pixels().quantize(16), "PNG", transparency=3),
    "PNG, transparent color": lambda: saved(pixels(), "PNG", transparency=pixels().getpixel((3, 3))),
    "PNG, 1 bit": lambda: saved(wide().convert("1"), "PNG"),
    "PNG, turned": lambda: saved(wide(), "PNG", exif=turned()),
    "PNG, animated": lambda: animation("PNG"),
    "JPEG": lambda: saved(pixels(), "JPEG"),
    "JPEG, turned": lambda: saved(pixels(60).crop((0, 0, 60, 40)), "JPEG", exif=turned()),
    "JPEG, large": lambda: saved(wide(), "JPEG"),
    "JPEG, large, turned": lambda: saved(wide(), "JPEG", exif=turned()),
    "JPEG, large, gray": lambda: saved(wide().convert("L"), "JPEG"),
    "JPEG, large, progressive": lambda: saved(wide(), "JPEG", progressive=True),
    "JPEG, CMYK": lambda: saved(pixels().convert("CMYK"), "JPEG"),
    "JPEG, CMYK, plain": plain_cmyk,
    "JPEG, CMYK, large": lambda: saved(wide().convert("CMYK"), "JPEG"),
    "MPO": lambda: saved(wide(), "MPO", save_all=True, append_images=[wide()]),
    "GIF": lambda: animation("GIF"),
    "BMP": lambda: saved(wide(), "BMP"),
    "WebP": lambda: saved(with_alpha("RGBA"), "WEBP"),
    "TIFF, 16 bits": lambda: saved(deep(), "TIFF"),
    "TIFF, turned": lambda: saved(wide(), "TIFF", exif=turned()),
    "TIFF, CMYK": lambda: saved(pixels().convert("CMYK"), "TIFF"),
    "PGM, 16 bits": lambda: saved(deep(), "PPM"),
    "AVIF": lambda: saved(with_alpha("RGBA"), "AVIF"),
    "JPEG 2000": lambda: saved(pixels(), "JPEG2000"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_copied_function_gives_the_pixels_of_predict(kind: str) -> None:
    data = KINDS[kind]()
    for channels in (1, 3):
        for fit, background in (("stretch", "#000000"), ("crop", "#ffffff"), ("letterbox", "#ff8000")):
            preprocess = Preprocess(channels=channels, image_size=28, pad=2, fit=fit, background=background)
            result = read_pixels(io.BytesIO(data), preprocess.to_dict())
            expected = np.broadcast_to(read_fitted(io.BytesIO(data), preprocess), (3, 24, 24)).transpose(1, 2, 0)
            np.testing.assert_array_equal(result[0], expected, err_msg=f"{channels} {fit}")


def test_an_exported_file_then_gives_the_answers_of_predict(tmp_path: Path) -> None:
    preprocess = Preprocess(channels=3, image_size=8, fit="crop", background="#ff8000")
    model = colors_onnx(tmp_path / "colors.onnx", preprocess=preprocess)
    session = onnxruntime.InferenceSession(str(model))
    loaded = cn.load(model)
    for number, kind in enumerate(("PNG, 16 bits", "PNG, alpha", "JPEG, large, turned")):
        path = tmp_path / f"{number}.x"
        path.write_bytes(KINDS[kind]())
        (prediction,) = loaded.predict(path)
        answer = session.run(None, {"pixels": read_pixels(path, loaded.predictor.preprocess.to_dict())})[0][0]
        assert dict(zip(loaded.classes, answer, strict=True)) == pytest.approx(
            dict(zip(prediction.classes, prediction.probabilities, strict=True)), abs=1e-6
        )


@pytest.mark.parametrize("size", [(30_000, 20), (20, 30_000)])
def test_copied_function_refuses_strips_that_would_fill_the_memory(size: tuple[int, int]) -> None:
    data = io.BytesIO(saved(Image.new("1", size), "PNG"))
    with pytest.raises(ValueError, match="30000"):
        read_pixels(data, Preprocess(channels=3, image_size=28, fit="letterbox").to_dict())


def test_copied_function_opens_no_other_format() -> None:
    with pytest.raises(OSError, match="cannot identify"):
        read_pixels(
            io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"),
            Preprocess(channels=3, image_size=8).to_dict(),
        )
