"""Decoding of image files, compared with independent expectations."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classicnets.errors import DataError
from classicnets.images.decode import fit_image, read_fitted, read_image
from classicnets.values import Preprocess

RAMP = np.linspace(0, 255, 24 * 32).reshape(24, 32)


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """uint8 [H, W, 3] with a spectrum like that of photographs."""
    generator = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for cells in (2, 4, 8, 16, 32, 64, 128):
        noise = generator.normal(0, 60 / cells**0.7, (cells, cells, 3))
        for c in range(3):
            enlarged = Image.fromarray(noise[..., c].astype(np.float32)).resize(
                (width, height), Image.Resampling.BICUBIC
            )
            total[..., c] += np.asarray(enlarged)
    return (total + 128).clip(0, 255).astype(np.uint8)


def save(image: Image.Image | np.ndarray, path: Path, **options: object) -> Path:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    image.save(path, **options)  # type: ignore[arg-type]
    return path


def assert_close(result: np.ndarray, expected: np.ndarray, levels: float) -> None:
    assert result.dtype == np.uint8 and result.shape == expected.shape
    assert np.abs(result.astype(float) - expected).max() <= levels


def png(width: int, height: int, depth: int, kind: int, rows: bytes, *chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG file made without Pillow: `kind` 0 is gray, 2 color, 3 palette, 4 gray and alpha."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(height))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    middle = b"".join(chunk(name, body) for name, body in chunks)
    return b"\x89PNG\r\n\x1a\n" + header + middle + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


# --- JPEG ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("subsampling", [0, 2])
def test_jpeg_equals_the_source_and_pillow(tmp_path: Path, progressive: bool, subsampling: int) -> None:
    pixels = np.stack([RAMP, RAMP[::-1], RAMP / 2], axis=2).astype(np.uint8)
    options = {"quality": 95, "subsampling": subsampling, "progressive": progressive}
    path = save(pixels, tmp_path / "x.jpg", **options)
    result = read_image(path, 3)
    assert_close(result, pixels.transpose(2, 0, 1), 14)
    np.testing.assert_array_equal(result, np.asarray(Image.open(path)).transpose(2, 0, 1))
    np.testing.assert_array_equal(read_image(path, 1)[0], np.asarray(Image.open(path).convert("L")))


def test_gray_jpeg(tmp_path: Path) -> None:
    path = save(RAMP.astype(np.uint8), tmp_path / "x.jpg", quality=95)
    assert_close(read_image(path, 1)[0], RAMP, 4)
    three = read_image(path, 3)
    assert (three == three[:1]).all() and three.shape == (3, 24, 32)


INKS = [(0, 0, 0, 0), (255, 0, 0, 0), (0, 255, 0, 0), (0, 0, 255, 0), (0, 0, 0, 255), (100, 50, 20, 80)]


@pytest.mark.parametrize("ink", INKS)
@pytest.mark.parametrize("kind", ["Adobe", "plain", "YCCK"])
def test_cmyk_values_are_ink(tmp_path: Path, ink: tuple[int, ...], kind: str) -> None:
    """Adobe's files, and only they, hold how much ink is missing; YCCK is the same turned into luma and chroma."""
    sheet = np.full((16, 16, 4), ink, np.uint8)
    path = tmp_path / "x.jpg"
    if kind == "Adobe":
        Image.fromarray(sheet, "CMYK").save(path, quality=100)
    elif kind == "plain":
        file = io.BytesIO()
        Image.fromarray(255 - sheet, "CMYK").save(file, "jpeg", quality=100)
        data = file.getvalue()
        start = data.index(b"\xff\xee")
        path.write_bytes(data[:start] + data[start + 2 + int.from_bytes(data[start + 2 : start + 4], "big") :])
    else:
        path.write_bytes(simplejpeg.encode_jpeg(255 - sheet, 100, "CMYK", "444"))
        assert path.read_bytes()[path.read_bytes().index(b"Adobe") + 11] == 2
    expected = [(255 - part) * (255 - ink[3]) / 255 for part in ink[:3]]
    assert_close(read_image(path, 3), np.broadcast_to(np.array(expected)[:, None, None], (3, 16, 16)), 4)


ORIENTATIONS = {  # how an upright image is stored, by EXIF orientation (EXIF 2.3, 4.6.4)
    1: lambda u: u,
    2: lambda u: u[:, ::-1],
    3: lambda u: u[::-1, ::-1],
    4: lambda u: u[::-1],
    5: lambda u: u.T,
    6: lambda u: u[:, ::-1].T,
    7: lambda u: u[::-1, ::-1].T,
    8: lambda u: u[::-1].T,
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("kind", ["jpg", "png", "webp", "tif"])
def test_applies_exif_orientation(tmp_path: Path, orientation: int, kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    of_kind: dict[str, dict[str, object]] = {"jpg": {"quality": 98}, "webp": {"lossless": True}}
    options = of_kind.get(kind, {})
    path = save(ORIENTATIONS[orientation](RAMP.astype(np.uint8)).copy(), tmp_path / f"x.{kind}", exif=exif, **options)
    assert_close(read_image(path, 1)[0], RAMP, 4)


@pytest.mark.parametrize("orientation", ORIENTATIONS)
@pytest.mark.parametrize("fit", ["crop", "stretch", "letterbox"])
@pytest.mark.parametrize("size", [(401, 523), (300, 300), (523, 260)])
def test_large_jpeg_is_decoded_at_reduced_size_with_the_same_result(
    tmp_path: Path, orientation: int, fit: str, size: tuple[int, ...]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    upright = photograph(*size)
    stored = np.stack([ORIENTATIONS[orientation](upright[..., c]) for c in range(3)], axis=2)
    path = save(stored, tmp_path / "x.jpg", exif=exif, quality=95)
    preprocess = Preprocess(channels=3, image_size=24, fit=fit)
    result = read_fitted(path, preprocess).astype(float)
    difference = np.abs(result - fit_image(read_image(path, 3), 24, fit))
    assert 0 < difference.mean() < 1 and difference.max() <= 12  # not 0, because it was decoded at reduced size
    if orientation == 1:  # in a flipped one the center may differ by one pixel
        assert difference.mean() < 0.3
    assert_close(
        read_fitted(path, Preprocess(channels=3, image_size=200, fit=fit)), fit_image(read_image(path, 3), 200, fit), 0
    )


@pytest.mark.parametrize("channels", [1, 3])
def test_rejects_a_large_jpeg_without_pixels(tmp_path: Path, channels: int) -> None:
    path = save(photograph(400, 400), tmp_path / "cut.jpg")
    content = path.read_bytes()
    path.write_bytes(content[: content.index(b"\xff\xda")])
    with pytest.raises(DataError) as caught:
        read_fitted(path, Preprocess(channels=channels, image_size=28))
    assert caught.value.code == "CN304" and caught.value.why


def test_reads_images_one_pixel_wide(tmp_path: Path) -> None:
    for size in ((1, 900), (900, 1), (3, 2000), (1, 1)):
        path = save(photograph(*size), tmp_path / "x.jpg")
        for fit in ("crop", "stretch", "letterbox"):
            assert read_fitted(path, Preprocess(channels=3, image_size=16, fit=fit)).shape == (3, 16, 16)


# --- PNG -------------------------------------------------------------------------------------------------------------


def test_sixteen_bit_gray_is_scaled_from_65535(tmp_path: Path) -> None:
    """A dark image stays dark: white is 65535, not the brightest pixel."""
    dark = np.arange(0, 6000, 10).astype(">u2").reshape(20, 30)
    (tmp_path / "x.png").write_bytes(png(30, 20, 16, 0, dark.tobytes()))
    assert_close(read_image(tmp_path / "x.png", 1)[0], dark / 257, 0.51)
    assert_close(read_image(tmp_path / "x.png", 3)[2], dark / 257, 0.51)
    full = np.linspace(0, 65535, 600).astype(">u2").reshape(20, 30)
    for kind in ("tif", "png", "pgm"):
        path = save(Image.fromarray(full.astype(np.uint16)), tmp_path / f"y.{kind}")
        assert_close(read_image(path, 1)[0], full / 257.0, 0.51)


def test_sixteen_bit_color(tmp_path: Path) -> None:
    deep = np.random.default_rng(0).integers(0, 65536, (20, 30, 3)).astype(">u2")
    (tmp_path / "x.png").write_bytes(png(30, 20, 16, 2, deep.tobytes()))
    assert_close(read_image(tmp_path / "x.png", 3), deep.transpose(2, 0, 1) / 257, 1)


def test_rejects_32_bit_images_with_the_reason(tmp_path: Path) -> None:
    for dtype in (np.float32, np.int32):
        with pytest.raises(DataError, match="32 bits"):
            read_image(save(Image.fromarray(RAMP.astype(dtype)), tmp_path / "x.tif"), 1)


def test_palette_and_alpha_are_composed_over_black(tmp_path: Path) -> None:
    palette, alpha = bytes([255, 0, 0, 10, 200, 30, 0, 0, 255]), bytes([255, 128, 0])
    index = bytes([0, 1, 2, 0])
    (tmp_path / "x.png").write_bytes(png(2, 2, 8, 3, index, (b"PLTE", palette)))
    opaque = read_image(tmp_path / "x.png", 3).reshape(3, 4).T
    assert opaque.tolist() == [[255, 0, 0], [10, 200, 30], [0, 0, 255], [255, 0, 0]]
    (tmp_path / "x.png").write_bytes(png(2, 2, 8, 3, index, (b"PLTE", palette), (b"tRNS", alpha)))
    over = read_image(tmp_path / "x.png", 3).reshape(3, 4).T
    assert_close(over, np.array([[255, 0, 0], [5, 100, 15], [0, 0, 0], [255, 0, 0]]), 1)
    gray = bytes([200, 255, 200, 128, 200, 0, 100, 51])
    (tmp_path / "x.png").write_bytes(png(2, 2, 8, 4, gray))
    assert_close(read_image(tmp_path / "x.png", 1).reshape(4), np.array([200, 100, 0, 20]), 1)


# --- other formats ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("x.webp", {"lossless": True}),
        ("x.bmp", {}),
        ("x.tif", {"compression": "tiff_lzw"}),
        ("x.ppm", {}),
        ("x.png", {}),
    ],
)
def test_lossless_formats_are_exact(tmp_path: Path, name: str, options: dict[str, Any]) -> None:
    pixels = photograph(20, 30)
    assert_close(read_image(save(pixels, tmp_path / name, **options), 3), pixels.transpose(2, 0, 1), 0)


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png"])
def test_reads_the_first_frame_of_an_animation(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (8, 6), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    options = {"lossless": True} if name == "x.webp" else {}
    path = save(frames[0], tmp_path / name, save_all=True, append_images=frames[1:], duration=50, **options)
    with Image.open(path) as opened:
        animation: Any = opened
        assert animation.n_frames == 3
    assert_close(read_image(path, 3), np.broadcast_to(np.array([255, 0, 0])[:, None, None], (3, 6, 8)), 0)


# --- errors ----------------------------------------------------------------------------------------------------------


def reason(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_fitted(path, Preprocess(channels=3, image_size=8))
    assert (caught.value.code, caught.value.where) == ("CN304", str(path))
    return caught.value.why


def test_explains_empty_files_text_and_folders(tmp_path: Path) -> None:
    (tmp_path / "x.jpg").touch()
    assert reason(tmp_path / "x.jpg") == "the file is empty"
    (tmp_path / "x.jpg").write_bytes(b"\x93\1\2\3")
    assert reason(tmp_path / "x.jpg") == "its format is unknown, or its header is damaged"
    (tmp_path / "d.jpg").mkdir()
    assert "directory" in reason(tmp_path / "d.jpg")


KINDS = ["jpg", "progressive.jpg", "png", "webp", "bmp", "tif", "gif", "ppm"]


def noise_file(kind: str, size: int) -> bytes:
    """A file of noise, which cannot be compressed, so that no part of it contains the whole image."""
    file, pixels = io.BytesIO(), np.random.default_rng(1).integers(0, 256, (size, size, 3), dtype=np.uint8)
    options = {"progressive.jpg": {"progressive": True}, "webp": {"lossless": True}}.get(kind, {})
    name = {"jpg": "jpeg", "progressive.jpg": "jpeg", "tif": "tiff"}.get(kind, kind)
    Image.fromarray(pixels).save(file, name, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [40, 200])  # a JPEG of the second size is decoded at reduced size
@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.9])
def test_rejects_a_truncated_file(tmp_path: Path, kind: str, size: int, fraction: float) -> None:
    content = noise_file(kind, size)
    (tmp_path / "x").write_bytes(content[: int(fraction * len(content))])
    assert reason(tmp_path / "x")


@pytest.mark.filterwarnings("ignore")  # Pillow warns of invalid EXIF and TIFF fields
@settings(max_examples=75)
@given(kind=st.sampled_from(KINDS), changes=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12))
def test_damaged_file_gives_pixels_or_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, kind: str, changes: list[tuple[float, int]]
) -> None:
    data = bytearray(noise_file(kind, 40))
    for position, value in changes:
        data[int(position**3 * (len(data) - 1))] = value  # most of them near the beginning, in the header
    path = tmp_path_factory.mktemp("damaged") / "x"
    path.write_bytes(data)
    try:
        assert read_fitted(path, Preprocess(channels=3, image_size=8)).shape == (3, 8, 8)
    except DataError as error:
        assert error.code == "CN304"


def test_rejects_a_decompression_bomb_by_its_header(tmp_path: Path) -> None:
    """20,000 x 20,000 pixels without data: if it were decoded, the error would be about missing rows."""
    data = png(20_000, 20_000, 8, 2, b"")[:33] + png(1, 1, 8, 2, b"abc")[33:]
    (tmp_path / "x.png").write_bytes(data)
    assert "bomb" in reason(tmp_path / "x.png")
