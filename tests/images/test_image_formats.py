"""Which files are read: by content, from one list of formats; everything else is called what it is."""

from __future__ import annotations

import ast
import io
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

import classicnets
from classicnets.errors import DataError
from classicnets.images.decode import read_fitted, read_header, read_image
from classicnets.images.formats import FORMATS, image_suffixes, max_pixels
from classicnets.images.thumbnails import Thumbnails, inspect_file
from classicnets.images.tree import read_tree
from classicnets.values import Preprocess

SOURCE = Path(classicnets.__file__).parent
DOCS = Path(__file__).parents[2] / "docs" / "data-layouts.md"
FORBIDDEN = {"open", "OPEN", "init", "preinit", "registered_extensions", "imread"}  # of PIL.Image and matplotlib
PREPROCESS = Preprocess(channels=3, image_size=8)
# How a photograph of an iPhone begins.
HEIC = b"\0\0\0\x24ftypheic\0\0\0\0mif1MiHEMiPrmiafheictmap" + bytes(400)


def error_of(data: bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        read_fitted(io.BytesIO(data), PREPROCESS)
    assert caught.value.code == "CN304"
    return caught.value


def saved(kind: str, mode: str = "RGB", size: int = 20) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, kind)
    return file.getvalue()


def test_only_formats_py_opens_images() -> None:
    """Image.open would try every plug-in of Pillow, and of other packages."""
    opening, plugins = set(), set()
    for path in SOURCE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if "PIL" not in text and "imread" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN:
                base = ast.unparse(node.value)
                opening |= {f"{path.name}: {base}.{node.attr}"} if base.endswith(("Image", "plt", "image")) else set()
            elif isinstance(node, ast.ImportFrom) and "Plugin" in (node.module or ""):
                plugins.add(path.name)
    assert opening == set() and plugins == {"formats.py"}


def test_the_documentation_lists_the_formats() -> None:
    rows = re.findall(r"^\| ([\w ]+) \| ((?:`\.\w+` ?)+)\| (\d+) million", DOCS.read_text(encoding="utf-8"), re.M)
    assert {name: (tuple(re.findall(r"\.\w+", suffixes)), int(pixels)) for name, suffixes, pixels in rows} == {
        entry.name: (entry.suffixes, max_pixels(entry.bytes_per_pixel) // 10**6) for entry in FORMATS.values()
    }


@pytest.mark.parametrize("kind", [name for name in FORMATS if name != "HEIF"])
def test_recognizes_a_file_by_its_content(tmp_path: Path, kind: str) -> None:
    expected = read_image(io.BytesIO(data := saved(kind)), 3)
    for name in ("x", "x.jpg", "x.png", "x.heic", "x.txt"):
        (tmp_path / name).write_bytes(data)
        np.testing.assert_array_equal(read_image(tmp_path / name, 3), expected)
        assert read_header(tmp_path / name)[:3] == (3, 20, 20)
        assert inspect_file(tmp_path / name, 0, Thumbnails.empty(1)).format == kind


def tiff_with_tags(*entries: tuple[int, int, int, int]) -> bytes:
    """A small TIFF file with these entries in addition."""
    image = Image.new("L", (4, 4))
    file = io.BytesIO()
    image.save(file, "TIFF", tiffinfo={tag: value for tag, _kind, _count, value in entries})
    return file.getvalue()


REFUSED: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "the file is empty"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n", "contains PostScript"),
    "PostScript of DOS": (b"\xc5\xd0\xd3\xc6" + bytes(28), "contains PostScript"),
    "PDF": (b"%PDF-1.7\n", "contains PDF"),
    "SVG": (b'<?xml version="1.0"?>\n<!-- drawn -->\n<svg xmlns="http://www.w3.org/2000/svg"/>', "contains SVG"),
    "HTML": (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
    "HTML with space": (b"\n\n <HTML><head></head></html>", "web page"),
    "text": (b"There is no image here.\n", "text file"),
    "long text": ("f\u00fcr ".encode() * 400, "text file"),
    "JSON": (b'{"error": "not found"}', "text file"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS"),
    "PSD": (b"8BPS\0\1" + bytes(30), "Photoshop"),
    "JPEG XL": (b"\xff\x0a" + bytes(30), "JPEG XL"),
    "JPEG XL, container": (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "JPEG XL"),
    "CR2": (b"II*\0\x10\0\0\0CR\2\0" + bytes(99), "raw data"),
    "CR3": (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(99), "raw data"),
    "RAF": (b"FUJIFILMCCD-RAW 0201" + bytes(99), "raw data"),
    "ORF": (b"IIRO\x08\0\0\0" + bytes(99), "raw data"),
    "DNG": (tiff_with_tags((50706, 1, 4, 1)), "raw data"),
    "NEF": (tiff_with_tags((254, 4, 1, 1), (330, 4, 1, 8)), "raw data"),
    "MP4": (b"\0\0\0\x18ftypisom\0\0\2\0isomiso2mp41" + bytes(99), "video"),
    "MOV": (b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + bytes(99), "video"),
    "AVI": (b"RIFF\0\0\0\0AVI LIST" + bytes(99), "video"),
    "Matroska": (b"\x1aE\xdf\xa3" + bytes(99), "video"),
    "icon": (b"\0\0\1\0\1\0\x10\x10" + bytes(99), "icon"),
    "other": (b"\x93\1\2\3" * 9, "unknown"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_calls_other_content_what_it_is(tmp_path: Path, kind: str) -> None:
    data, words = REFUSED[kind]
    assert words in error_of(data).why
    (tmp_path / "x.png").write_bytes(data)
    with pytest.raises(DataError, match=words):
        read_header(tmp_path / "x.png")
    info = inspect_file(tmp_path / "x.png", 0, Thumbnails.empty(1))
    assert info.problem == ("empty" if kind == "empty" else "no_picture")


def test_starts_no_program(tmp_path: Path) -> None:
    """A PostScript file named x.png would be given to Ghostscript by Pillow: the first `gs` on PATH."""
    gs = tmp_path / "gs"
    gs.write_text("#!/bin/sh\ntouch " + str(tmp_path / "started"))
    gs.chmod(0o755)
    (tmp_path / "x.png").write_bytes(REFUSED["PostScript"][0])
    code = f"from classicnets.images.decode import read_image\nread_image({str(tmp_path / 'x.png')!r}, 3)"
    environment = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert "it contains PostScript" in child.stderr and not (tmp_path / "started").exists()


# --- HEIC ------------------------------------------------------------------------------------------------------------


def test_heic_without_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [*sys.modules]:
        if name.partition(".")[0] == "pillow_heif":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    image_suffixes.cache_clear()
    try:
        error = error_of(HEIC)
        assert "HEIC" in error.why and error.hints == ("pip install 'classicnets[heic]'",)
        (tmp_path / "x.heic").write_bytes(HEIC)
        tree = read_tree(tmp_path)
        assert not tree.top.images and "to read HEIC images, run pip install 'classicnets[heic]'" in tree.notes()
    finally:
        image_suffixes.cache_clear()


def test_heic_with_its_package(tmp_path: Path) -> None:
    heif = pytest.importorskip("pillow_heif")
    y, x = np.mgrid[:60, :80]
    pixels = np.stack([3 * x, 4 * y, x + y], axis=2).astype(np.uint8)
    path = tmp_path / "photo.jpg"
    heif.from_pillow(Image.fromarray(pixels)).save(path, quality=95)
    difference = np.abs(read_image(path, 3).transpose(1, 2, 0).astype(int) - pixels)
    assert difference.mean() < 4 and read_header(path)[:3] == (3, 60, 80)
    assert inspect_file(path, 0, Thumbnails.empty(1)).format == "HEIF"
    assert "HEIF" not in Image.OPEN and ".heic" in image_suffixes()


# --- Pillow's settings and warnings ----------------------------------------------------------------------------------


def test_pillow_warns_of_nothing_and_keeps_its_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged TIFF and EXIF make Pillow warn; the program's own filters and settings stay."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 12345)
    filters = list(warnings.filters)
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.new("RGB", (20, 10)).save(file, "JPEG", exif=exif)
    damaged = file.getvalue().replace(b"\x12\x01\x03\x00\x01\x00\x00\x00", b"\x12\x01\x03\x00\xff\xff\xff\x0f")
    damaged = damaged.replace(b"\x01\x12\x00\x03\x00\x00\x00\x01", b"\x01\x12\x00\x03\x0f\xff\xff\xff")
    assert damaged != file.getvalue()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with ThreadPoolExecutor(4) as pool:
            for image in pool.map(lambda _: read_image(io.BytesIO(damaged), 3), range(40)):
                assert image.shape == (3, 10, 20)  # without its orientation, it is whole
        read_image(io.BytesIO(saved("PNG", size=400)), 3)  # more than that limit
        assert not caught
        warnings.warn("mine", stacklevel=1)
        assert len(caught) == 1
    assert list(warnings.filters) == filters and Image.MAX_IMAGE_PIXELS == 12345


def test_a_failure_restores_the_filters() -> None:
    filters = list(warnings.filters)
    error_of(saved("PNG")[:60])
    assert list(warnings.filters) == filters


@pytest.mark.parametrize("kind", [name for name in FORMATS if name != "HEIF"])
def test_truncated_images_are_errors_whatever_the_program_sets(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = saved(kind, size=60)
    for part in (0.3, 0.6, 0.9):
        assert error_of(data[: int(part * len(data))]).why
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("size", [60, 300])  # the second is decoded at reduced size
@pytest.mark.parametrize("progressive", [False, True])
def test_a_truncated_jpeg_with_an_end_is_no_half_gray_image(mode: str, size: int, progressive: bool) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    Image.fromarray(noise).convert(mode).save(file, "JPEG", progressive=progressive)
    data = file.getvalue()
    scan = data.index(b"\xff\xda")
    error = error_of(data[: scan + (len(data) - scan) // 2] + b"\xff\xd9")
    assert "damaged or incomplete" in error.why


FAILURES: list[Callable[[], Exception]] = [
    *(AssertionError, IndexError, MemoryError, EOFError, OverflowError, RecursionError, TypeError, AttributeError),
    lambda: KeyError("tag"),
    lambda: ValueError("\x1b[31mred\nline"),
]


@pytest.mark.parametrize("failure", FAILURES)
def test_every_failure_of_a_decoder_is_an_error_of_ours(
    failure: Callable[[], Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_image: Image.Image) -> None:
        raise failure()

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    why = error_of(saved("BMP")).why
    assert why and why.isprintable()


# --- sizes -----------------------------------------------------------------------------------------------------------


def with_declared_size(data: bytes, width: int, height: int) -> bytes:
    """A JPEG whose header declares another size."""
    start = re.search(rb"\xff[\xc0\xc2]\0.\x08", data, re.DOTALL)
    assert start
    return data[: start.end()] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + data[start.end() + 4 :]


def test_phone_images_of_200_megapixels_are_within_the_limit(tmp_path: Path) -> None:
    """The verdict follows from the header, without decoding."""
    data = saved("JPEG")
    for width, height, accepted in ((12_000, 9_000, True), (16_320, 12_240, True), (20_000, 15_000, False)):
        path = tmp_path / f"{width}.jpg"
        path.write_bytes(with_declared_size(data, width, height))
        if accepted:
            assert read_header(path)[:3] == (3, height, width)
        else:
            with pytest.raises(DataError, match="more than 250,000,000, the limit for JPEG"):
                read_header(path)


def test_large_photograph(tmp_path: Path) -> None:
    """108 megapixels, as phones make them; it takes little, because it is decoded at an eighth of its size."""
    path = tmp_path / "photo.jpg"
    Image.new("L", (12_000, 9_000), 77).save(path)
    assert (read_fitted(path, Preprocess(channels=1, image_size=28, fit="crop")) == 77).all()
    assert inspect_file(path, 0, Thumbnails.empty(1)).readable
