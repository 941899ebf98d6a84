"""Damaged image files of every kind: refused in our words, or decoded alike by every command, within bounds.

Each kind of file has its own process, so that its memory can be measured. `make fuzz` tries many more mutants.
"""

from __future__ import annotations

import io
import json
import os
import re
import resource
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from classicnets.errors import DataError
from classicnets.images.cache import read_images
from classicnets.images.decode import fit_image, read_fitted, read_header, read_image
from classicnets.images.gif import first_image
from classicnets.images.thumbnails import Thumbnails, inspect_file
from classicnets.values import Preprocess
from support.mutations import mutant_count, mutants

MAX_BYTES = 10**9
MAX_SECONDS = 5.0  # of the processor, for all commands together; typically a hundredth of a second


def pixels(size: int = 40) -> Image.Image:
    """A color image with gradients and noise."""
    y, x = np.mgrid[:size, :size] * 255 // size
    noise = np.random.default_rng(1).integers(0, 40, (size, size, 3))
    return Image.fromarray((np.stack([x, y, (x + y) // 2], axis=2) * 5 // 6 + noise).clip(0, 255).astype(np.uint8))


def deep() -> Image.Image:
    return Image.fromarray(np.random.default_rng(1).integers(0, 65536, (30, 40)).astype(np.uint16))


def animation(kind: str, size: int = 40, **options: Any) -> bytes:
    file = io.BytesIO()
    frames = [pixels(size).rotate(90 * i) for i in range(3)]
    frames[0].save(file, kind, save_all=True, append_images=frames[1:], duration=40, **options)
    return file.getvalue()


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


KINDS: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: saved(pixels(), "PNG"),
    "PNG, alpha": lambda: saved(pixels().convert("RGBA"), "PNG"),
    "PNG, 16 bits": lambda: saved(deep(), "PNG"),
    "PNG, palette": lambda: saved(pixels().quantize(16), "PNG", transparency=3),
    "PNG, animated": lambda: animation("PNG"),
    "JPEG": lambda: saved(pixels(), "JPEG", exif=turned()),
    "JPEG, large": lambda: saved(pixels(300), "JPEG"),
    "JPEG, progressive": lambda: saved(pixels(), "JPEG", progressive=True),
    "JPEG, CMYK": lambda: saved(pixels().convert("CMYK"), "JPEG"),
    "GIF": lambda: saved(pixels().quantize(32), "GIF"),
    "GIF, animated": lambda: animation("GIF"),
    "BMP": lambda: saved(pixels(), "BMP"),
    "BMP, palette": lambda: saved(pixels().quantize(16), "BMP"),
    "WebP": lambda: saved(pixels(), "WEBP", lossless=True),
    "WebP, lossy": lambda: saved(pixels().convert("RGBA"), "WEBP"),
    "WebP, animated": lambda: animation("WEBP"),
    "TIFF": lambda: saved(pixels(), "TIFF"),
    "TIFF, LZW": lambda: saved(pixels(), "TIFF", compression="tiff_lzw", exif=turned()),
    "TIFF, deflate": lambda: saved(deep(), "TIFF", compression="tiff_adobe_deflate"),
    "TIFF, JPEG": lambda: saved(pixels(), "TIFF", compression="jpeg"),
    "TIFF, fax": lambda: saved(pixels().convert("1"), "TIFF", compression="group4"),
    "PPM": lambda: saved(pixels(), "PPM"),
    "PGM, 16 bits": lambda: saved(deep(), "PPM"),
    "PBM, text": lambda: b"P1\n8 8\n" + b"0 1 1 0 1 0 0 1\n" * 8,
    "AVIF": lambda: saved(pixels(), "AVIF", exif=turned()),
    "AVIF, alpha": lambda: saved(pixels().convert("RGBA"), "AVIF"),
    "JPEG 2000": lambda: saved(pixels(), "JPEG2000"),
    "JPEG 2000, tiles": lambda: saved(pixels(), "JPEG2000", tile_size=(16, 16), irreversible=True),
}


def heif() -> bytes:
    from pillow_heif.as_plugin import register_heif_opener

    register_heif_opener()
    return saved(pixels(), "HEIF")


def with_checksums(data: bytes) -> bytes:
    """A PNG file with correct checksums, so that a damaged chunk is read."""
    result, position = bytearray(data[:8]), 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        result += data[position:end] + zlib.crc32(data[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return bytes(result + data[position:])


def verdict(read: Callable[[], np.ndarray]) -> np.ndarray | str:
    """The pixels, or the reason of the refusal."""
    try:
        return read()
    except DataError as error:
        assert error.code == "CN304" and error.why and error.why.isprintable(), error.why
        return error.why


def check(data: bytes, path: Path, preprocess: Preprocess) -> bool:
    """Read a file in every way that commands do; return whether it was decoded."""
    path.write_bytes(data)
    result = verdict(lambda: read_fitted(path, preprocess))
    refused = isinstance(result, str)
    cached = read_images([path], preprocess, lambda _: None)
    assert bool(cached.faults) == refused
    whole = verdict(lambda: read_image(path, preprocess.channels))
    info = inspect_file(path, 0, Thumbnails.empty(1))
    assert isinstance(whole, str) == refused, (result, whole)
    assert info.readable != refused, (result, info)
    if isinstance(result, str):
        assert cached.faults[0].why == result and (not data or info.why == result)
        assert whole == result
    else:
        verdict_of_header = read_header(path)
        assert verdict_of_header[1:3] == (info.height, info.width)
        np.testing.assert_array_equal(cached.images[0], result)
        assert not isinstance(whole, str)
        if max(whole.shape) < 6 * preprocess.side:  # larger ones may be decoded at reduced size
            np.testing.assert_array_equal(fit_image(whole, preprocess.side, preprocess.fit), result)
    return not refused


@contextmanager
def limited_memory() -> Iterator[None]:
    """Let the system refuse more memory than the bound, so that a fault of ours cannot fill the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 8 * MAX_BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def attack(kind: str, count: int, seed: int, folder: Path) -> dict[str, Any]:
    """Check `count` mutants of one kind of file; return counts, bytes and seconds."""
    data = heif() if kind == "HEIC" else KINDS[kind]()
    assert check(data, folder / "whole", Preprocess(channels=3, image_size=12))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result: dict[str, Any] = {"kind": kind, "mutants": count, "refused": 0, "decoded": 0, "seconds": 0.0}
    fits = ("stretch", "crop", "letterbox")
    for number, mutant in enumerate(mutants(data, count, seed)):
        preprocess = Preprocess(channels=1 + 2 * (number % 2), image_size=12, fit=fits[number % 3])
        if kind.startswith("PNG") and number % 4 > 1:
            mutant = with_checksums(mutant)
        started = time.process_time()
        decoded = check(mutant, folder / "x", preprocess)
        result["seconds"] = max(result["seconds"], time.process_time() - started)
        result["decoded" if decoded else "refused"] += 1
    result["bytes"] = 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
    return result


def in_child(kinds: list[str], count: int, seed: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Run `attack` in another process."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "CLASSICNETS_IMAGE_CACHE": "memory"}
    command = [sys.executable, __file__, str(count), str(seed), str(folder), *kinds]
    child = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert not child.returncode, child.stderr[-3000:]
    assert not re.search(r"Warning: |Traceback", child.stderr), child.stderr[-3000:]  # libtiff has lines of its own
    yield from map(json.loads, child.stdout.splitlines())


def check_attack(kinds: list[str], folder: Path) -> None:
    results = list(in_child(kinds, mutant_count(), 0, folder))
    assert [row["kind"] for row in results] == kinds
    for row in results:
        assert row["bytes"] < MAX_BYTES and row["seconds"] < MAX_SECONDS, row
        assert row["refused"] and row["refused"] + row["decoded"] == row["mutants"]


GIFS: dict[str, Callable[[], bytes]] = {
    "plain": lambda: saved(pixels(12).quantize(8), "GIF", interlace=0),
    "interlaced": lambda: saved(pixels(12).quantize(8), "GIF", interlace=1),
    "with a comment": lambda: saved(pixels(12).quantize(8), "GIF", comment=b"x" * 300),
    "animated": lambda: animation("GIF", size=12),
}


@pytest.mark.parametrize("kind", [*GIFS])
def test_a_gif_that_ends_within_its_first_image_is_refused(kind: str, tmp_path: Path) -> None:
    """Whether the file ends there, or more images follow; one that ends later has all pixels of the first."""
    data, preprocess = GIFS[kind](), Preprocess(channels=3, image_size=12)
    end = len(first_image(data)) - 1  # after the block of no bytes
    assert check(data, tmp_path / "whole", preprocess) and first_image(data)[:-1] == data[:end]
    whole = read_image(tmp_path / "whole", 3)
    start = data.index(b",\0\0\0\0") + 11
    for cut in range(start, end - 3):
        assert not check(data[:cut], tmp_path / "x", preprocess)
    for cut in (end, (end + len(data)) // 2, len(data) - 1):
        assert check(data[:cut], tmp_path / "x", preprocess)
        np.testing.assert_array_equal(read_image(tmp_path / "x", 3), whole)
    length = data[start]
    assert start + length + 2 <= end  # a block of pixels
    short = data[:start] + bytes([length // 2]) + data[start + 1 : start + 1 + length // 2] + b"\0"
    for rest in (b";", data[end:], data[data.index(b",\0\0\0\0") :], bytes(range(256)) * 20):
        assert not check(short + rest, tmp_path / "x", preprocess)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_damaged_files_are_refused_or_decoded_alike(tmp_path: Path) -> None:
    check_attack([*KINDS], tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_damaged_heic_files_are_refused_or_decoded_alike(tmp_path: Path) -> None:
    pytest.importorskip("pillow_heif")
    check_attack(["HEIC"], tmp_path)


if __name__ == "__main__":
    warnings.simplefilter("error")
    with limited_memory():
        for name in sys.argv[4:]:
            print(json.dumps(attack(name, int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))), flush=True)
