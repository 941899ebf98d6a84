"""Images that are made to exhaust memory or time: small files with many pixels, odd shapes, metadata that explodes.

All of them are read by another process, one after the other, so that the memory for each can be measured.
"""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
import time
import warnings
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from classicnets.errors import DataError
from classicnets.images.decode import read_fitted
from classicnets.images.formats import TooLarge
from classicnets.values import Preprocess

MAX_BYTES = 10**9
MAX_SECONDS, LONG = 20.0, 0.5  # of the processor
DECODED, REFUSED, TOO_LARGE = "decoded", "refused", "too large"


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png(*chunks: bytes, width: int = 8, height: int = 8) -> bytes:
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(bytes(9 * 8)))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + rows + chunk(b"IEND", b"")


def tiff(width: int, height: int, tile: int, tiles: int) -> bytes:
    """A tiled gray TIFF without compression, all of whose tiles are the same bytes."""
    offset = 8 + 2 + 10 * 12 + 4
    entries = [(256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    entries += [(277, 3, 1, 1), (322, 4, 1, tile), (323, 4, 1, tile)]
    entries += [(324, 4, tiles, offset), (325, 4, tiles, offset + 4 * tiles)]
    data = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries))
    data += b"".join(struct.pack("<HHII", *entry) for entry in entries) + bytes(4)
    pixels = offset + 8 * tiles
    return data + struct.pack("<I", pixels) * tiles + struct.pack("<I", tile * tile) * tiles + bytes([9]) * tile * tile


def with_size(data: bytes, size: int) -> bytes:
    """An image of 8x8 pixels whose header declares size x size."""
    return data.replace(struct.pack(">II", 8, 8), struct.pack(">II", size, size))


def zeros(size: int) -> bytes:
    """`size` zeros, compressed a thousand times."""
    return zlib.compress(bytes(size), 9)


HOSTILE: dict[str, tuple[Callable[[], bytes], str]] = {
    "strip, PNG": (lambda: saved(Image.new("RGB", (30_000, 20)), "PNG"), DECODED),
    "strip, JPEG": (lambda: saved(Image.new("RGB", (65_000, 20)), "JPEG"), DECODED),
    "flat strip, JPEG": (lambda: saved(Image.new("RGB", (65_000, 3)), "JPEG"), DECODED),
    "pillar, PNG": (lambda: saved(Image.new("L", (1, 60_000)), "PNG"), DECODED),
    "pillar, RGBA": (lambda: saved(Image.new("RGBA", (20, 99_999), (9, 9, 9, 9)), "PNG"), DECODED),
    "line, PNG": (lambda: saved(Image.new("L", (10**7, 1)), "PNG"), TOO_LARGE),
    "many pixels, PNG": (lambda: png(width=20_000, height=20_000), TOO_LARGE),
    "many pixels without data, PNG": (lambda: png(width=11_000, height=11_000), REFUSED),
    "many pixels, gray, PNG": (lambda: saved(Image.new("1", (11_000, 11_000)), "PNG"), DECODED),
    "color profile, PNG": (lambda: png(chunk(b"iCCP", b"x\0\0" + zeros(2 * 10**8))), REFUSED),
    "text, PNG": (lambda: png(chunk(b"zTXt", b"x\0\0" + zeros(2 * 10**8))), REFUSED),
    "many texts, PNG": (lambda: png(*[chunk(b"zTXt", b"x\0\0" + zeros(10**6))] * 200), REFUSED),
    "canvas, GIF": (
        lambda: b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0, 0, 0) + b",\0\0\0\0\1\0\1\0\0\2\2L\1\0;",
        TOO_LARGE,
    ),
    "frame, GIF": (
        lambda: b"GIF89a\1\0\1\0\0\0\0," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\2\2L\1\0;",
        TOO_LARGE,
    ),
    "canvas, WebP": (
        lambda: b"RIFF\x30\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\xfe\x3f\0\xfe\x3f\0ANIM\6\0\0\0" + bytes(20),
        TOO_LARGE,
    ),
    "lossless, WebP": (
        lambda: b"RIFF\x30\0\0\0WEBPVP8L\x20\0\0\0\x2f" + struct.pack("<I", 0x0FFFFFFF) + bytes(40),
        TOO_LARGE,
    ),
    "size, TIFF": (lambda: tiff(2**31 - 1, 2**31 - 1, 16, 4), TOO_LARGE),
    "size and one tile, TIFF": (lambda: tiff(11_000, 11_000, 11_008, 1)[:2000], REFUSED),
    "tiles, TIFF": (lambda: tiff(4_000, 4_000, 16, 62_500), DECODED),
    "size, BMP": (
        lambda: saved(Image.new("L", (8, 8)), "BMP").replace(struct.pack("<ii", 8, 8), b"\xff" * 8),
        TOO_LARGE,
    ),
    "size, PPM": (lambda: b"P5 99999999999 99999999999 255\n" + bytes(9), REFUSED),
    "JPEG 2000": (
        lambda: saved(Image.new("L", (8, 8)), "JPEG2000").replace(
            struct.pack(">II", 8, 8), struct.pack(">II", 9000, 9000)
        ),
        TOO_LARGE,
    ),
    "JPEG 2000, size": (
        lambda: saved(Image.new("L", (8, 8)), "JPEG2000").replace(struct.pack(">II", 8, 8), b"\x7f" * 8),
        TOO_LARGE,
    ),
    "AVIF": (lambda: with_size(saved(Image.new("L", (8, 8)), "AVIF"), 9000), TOO_LARGE),
    "scans, JPEG": (
        lambda: saved(Image.new("L", (99, 99)), "JPEG", progressive=True)[:-2] + b"\xff\xda\0\7\1\1\0\0\0\0" * 999,
        REFUSED,
    ),
}


def high_water() -> int:
    """The largest memory of this process in bytes since `reset_high_water`."""
    return 1024 * int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0])


def reset_high_water() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def measure(name: str) -> Iterator[dict[str, Any]]:
    """Read an image with each fit, or one fit if it takes long; yield the results, bytes and seconds."""
    data = HOSTILE[name][0]()
    for fit in ("letterbox", "stretch", "crop"):
        reset_high_water()
        before, started = high_water(), time.process_time()
        try:
            read_fitted(io.BytesIO(data), Preprocess(channels=3, image_size=28, fit=fit))
            result = DECODED
        except DataError as error:
            result = TOO_LARGE if isinstance(error.__cause__, TooLarge) else REFUSED if error.why else "no reason"
        seconds = time.process_time() - started
        yield {"name": name, "fit": fit, "result": result, "bytes": high_water() - before, "seconds": seconds}
        if seconds > LONG:
            return


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory as Linux does")
def test_hostile_images_are_bounded() -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.run([sys.executable, __file__], env=environment, capture_output=True, text=True, check=False)
    assert not child.returncode, child.stderr[-3000:]
    rows = [json.loads(line) for line in child.stdout.splitlines()]
    assert {row["name"] for row in rows} == {*HOSTILE}
    assert [row for row in rows if row["result"] != HOSTILE[row["name"]][1]] == []
    assert [row for row in rows if row["bytes"] > MAX_BYTES or row["seconds"] > MAX_SECONDS] == []


if __name__ == "__main__":
    warnings.simplefilter("error")
    for hostile in HOSTILE:
        for row in measure(hostile):
            print(json.dumps(row), flush=True)
