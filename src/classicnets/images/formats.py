"""The image formats that are read: how their content is recognized, which plug-in of Pillow opens them, size limits.

A file is opened by the one plug-in that its content asks for, whatever its suffix. No other plug-in is ever called, so
no image can start a program (PostScript) or name another file. Pillow's settings for a whole program, such as
`Image.MAX_IMAGE_PIXELS`, are not changed.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

from PIL import Image, ImageFile, features
from PIL.AvifImagePlugin import AvifImageFile
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.Jpeg2KImagePlugin import Jpeg2KImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.PpmImagePlugin import PpmImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from classicnets.text import N_, _, command

START_BYTES = 512  # from which a format is recognized
HEIC_INSTALLATION = command("pip", "install", "classicnets[heic]")
MAX_SIDE = 100_000  # pixels; a step of resizing may need this times the target size
_MAX_DECODING_BYTES = 10**9

_TIFF_NEW_SUBFILE_TYPE, _TIFF_SUB_IFDS, _DNG_VERSION = 254, 330, 50706
_RAW = N_("a camera's raw data")
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}


class Refused(ValueError):
    """An image that is not decoded; the text is the reason. `hint` is a command that helps, or empty."""

    def __init__(self, why: str, hint: str = "") -> None:
        super().__init__(why)
        self.hint = hint


class NotAnImage(Refused):
    """The content is not an image, or an image of a format that is not read."""


class TooLarge(Refused):
    """The header declares more pixels than are decoded."""


def _heif_image_file(stream: BinaryIO) -> ImageFile.ImageFile:
    """Open a HEIC file. pillow-heif is imported here and not registered with Pillow."""
    try:
        from pillow_heif.as_plugin import HeifImageFile
    except ImportError as error:
        raise NotAnImage(_("it is a HEIC image, which needs the package pillow-heif"), HEIC_INSTALLATION) from error
    image: ImageFile.ImageFile = HeifImageFile(stream)
    return image


@dataclass(frozen=True)
class Format:
    """An image format that is read.

    Attributes:
        name: The name for users.
        suffixes: File suffixes by which images of a folder are found.
        open: Opens a stream and reads the header; Pillow's plug-in.
        bytes_per_pixel: Memory for decoding, measured for color with transparency.
        feature: What Pillow must be built with, as `PIL.features` names it; "" if nothing.
    """

    name: str
    suffixes: tuple[str, ...]
    open: Callable[[Any], ImageFile.ImageFile]
    bytes_per_pixel: int
    feature: str = ""

    def is_available(self) -> bool:
        """Return whether the installed packages can read it."""
        if self.open is _heif_image_file:
            return importlib.util.find_spec("pillow_heif") is not None
        return not self.feature or bool(features.check(self.feature))


# By Pillow's name. A baseline JPEG is decoded at reduced size unless the network needs all of it.
FORMATS = {
    "PNG": Format("PNG", (".png",), PngImageFile, 8),
    "JPEG": Format("JPEG", (".jpg", ".jpeg", ".jpe", ".jfif"), JpegImageFile, 4, "jpg"),
    "BMP": Format("BMP", (".bmp",), BmpImageFile, 8),
    "GIF": Format("GIF", (".gif",), GifImageFile, 8),
    "WEBP": Format("WebP", (".webp",), WebPImageFile, 20, "webp"),
    "TIFF": Format("TIFF", (".tif", ".tiff"), TiffImageFile, 8),
    "PPM": Format("PPM", (".ppm", ".pgm"), PpmImageFile, 8),
    "AVIF": Format("AVIF", (".avif",), AvifImageFile, 16, "avif"),
    "JPEG2000": Format("JPEG 2000", (".jp2",), Jpeg2KImageFile, 24, "jpg_2000"),
    "HEIF": Format("HEIC", (".heic", ".heif"), _heif_image_file, 16),
}
_PROGRESSIVE_BYTES = 8  # a progressive JPEG keeps its coefficients in memory

_STARTS = {
    "PNG": rb"\x89PNG\r\n\x1a\n",
    "JPEG": rb"\xff\xd8\xff",
    "BMP": rb"BM.{12}[\x0c\x10\x28\x34\x38\x40\x6c\x7c]\0\0\0",
    "GIF": rb"GIF8[79]a",
    "WEBP": rb"RIFF....WEBP",
    "TIFF": rb"II[*+]\0|MM\0[*+]",
    "PPM": rb"P[1-6f]\s",
    "JPEG2000": rb"\xff\x4f\xff\x51|\0\0\0\x0cjP  \r\n\x87\n",
}
_START_OF_FORMAT = {name: re.compile(start, re.DOTALL) for name, start in _STARTS.items()}
# What else is found under the name of an image. The first that fits is named.
_OTHER_CONTENT = [
    (re.compile(start, re.DOTALL | re.IGNORECASE), name)
    for start, name in (
        (rb"%!PS|\xc5\xd0\xd3\xc6", "PostScript"),
        (rb"%PDF", "PDF"),
        (rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype svg[^>]*>\s*)?<svg", "SVG"),
        (rb"8BPS", "Photoshop (PSD)"),
        (rb"\xff\x0a|\0\0\0\x0cJXL ", "JPEG XL"),
        (rb"\0\0\x01\0[^\0]\0", N_("an icon (ICO)")),
        (rb"v/1\x01", "OpenEXR"),
        (rb"gimp xcf", "GIMP (XCF)"),
        (rb"DDS ", "DDS"),
        (rb"qoif", "QOI"),
        (rb"SIMPLE  =", "FITS"),
        (rb".{128}DICM", "DICOM"),
        (rb"\xd7\xcd\xc6\x9a|\x01\0\0\0.{36} EMF", N_("a Windows metafile")),
        (rb"FUJIFILMCCD-RAW|IIU\0|IIR[OS]|MMOR|.{4}ftypcrx |II\*\0.{4}CR", _RAW),
    )
]
_WEB_PAGE = re.compile(rb"(\xef\xbb\xbf)?\s*(<\?xml[^>]*>\s*)?(<!--.*?-->\s*)?(<!doctype html|<html|<head|<body)", re.I)
_VIDEO = re.compile(rb".{4}(ftyp|moov|mdat)|RIFF....AVI |\x1aE\xdf\xa3|\0\0\x01[\xba\xb3]|OggS|FLV\x01", re.DOTALL)


def recognize(start: bytes) -> str | None:
    """Return the key of `FORMATS` for the first bytes of a file; None for other content, such as camera raw files."""
    if start[4:8] == b"ftyp":
        brands = _brands(start)
        return "AVIF" if brands & {b"avif", b"avis"} else "HEIF" if brands & _HEIF_BRANDS else None
    if start[:4] == b"II*\0" and start[8:10] == b"CR":  # Canon's raw files are TIFF files
        return None
    return next((name for name, pattern in _START_OF_FORMAT.items() if pattern.match(start)), None)


def open_image(stream: BinaryIO) -> ImageFile.ImageFile:
    """Open an image and read its header.

    Raises:
        Refused: It is not an image of these formats, or too large.
        Exception: Any, from Pillow, if the header is damaged.
    """
    stream.seek(0)
    start = stream.read(START_BYTES)
    stream.seek(0)
    name = recognize(start)
    if name is None:
        raise NotAnImage(_other_content(start))
    image_format = FORMATS[name]
    if image_format.feature and not image_format.is_available():
        why = _("it is a {format} image, which the installed Pillow cannot open", format=image_format.name)
        raise NotAnImage(why, command("pip", "install", "--upgrade", "pillow"))
    if name == "WEBP" and (size := _webp_size(start)):
        _check_size(image_format, *size, image_format.bytes_per_pixel)  # opening it allocates memory for all pixels
    try:
        opened = image_format.open(stream)
    except Image.DecompressionBombError as error:  # of a part, such as a frame
        raise TooLarge(_("it declares more pixels than are decoded; it may be a decompression bomb")) from error
    try:
        progressive = name == "JPEG" and "progressive" in opened.info
        _check_size(image_format, *opened.size, _PROGRESSIVE_BYTES if progressive else image_format.bytes_per_pixel)
        if name == "TIFF" and _is_raw(opened):
            raise NotAnImage(_unsupported(_RAW))
    except Exception:
        opened.close()
        raise
    return opened


def max_pixels(bytes_per_pixel: int) -> int:
    """Return the largest number of pixels of an image that takes so much memory to decode."""
    return _MAX_DECODING_BYTES // bytes_per_pixel


def check_pixels(width: int, height: int, limit: int) -> None:
    """Raise TooLarge if an image has more pixels than a caller reads."""
    if width * height > limit:
        raise TooLarge(
            _(
                "it has {width} x {height} pixels, and at most {limit:,} are read here",
                width=width,
                height=height,
                limit=limit,
            )
        )


def decoding_bytes(opened: Image.Image) -> int:
    """Return about how much memory decoding an open image takes."""
    return opened.width * opened.height * FORMATS[opened.format or "PNG"].bytes_per_pixel


@cache
def image_suffixes() -> tuple[str, ...]:
    """Return the suffixes of image files that the installed packages can open."""
    return tuple(
        suffix for image_format in FORMATS.values() if image_format.is_available() for suffix in image_format.suffixes
    )


def suffix_format(suffix: str) -> str | None:
    """Return the key of `FORMATS` that files with a suffix have; None for other suffixes."""
    return next((name for name, image_format in FORMATS.items() if suffix.casefold() in image_format.suffixes), None)


def _check_size(image_format: Format, width: int, height: int, bytes_per_pixel: int) -> None:
    limit = max_pixels(bytes_per_pixel)
    if width * height > limit:
        raise TooLarge(
            _(
                "it has {width} x {height} pixels, more than {limit:,}, the limit for {format}; "
                "it may be a decompression bomb",
                width=width,
                height=height,
                limit=limit,
                format=image_format.name,
            )
        )
    if max(width, height) > MAX_SIDE:
        raise TooLarge(
            _(
                "it has {width} x {height} pixels, and no side may have more than {limit:,}",
                width=width,
                height=height,
                limit=MAX_SIDE,
            )
        )


def _brands(start: bytes) -> set[bytes]:
    """The major and the compatible brands of an ISO media file."""
    size = int.from_bytes(start[:4], "big")
    box = start[: min(size, len(start))] if size >= 16 else start[:12]
    return {start[8:12], *(box[i : i + 4] for i in range(16, len(box), 4))}


def _webp_size(start: bytes) -> tuple[int, int] | None:
    """Width and height that the header of a WebP file declares; None if it is cut off."""
    if len(start) < 30:
        return None
    if start[12:16] == b"VP8X":
        return int.from_bytes(start[24:27], "little") + 1, int.from_bytes(start[27:30], "little") + 1
    if start[12:16] == b"VP8L":
        bits = int.from_bytes(start[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return int.from_bytes(start[26:28], "little") & 0x3FFF, int.from_bytes(start[28:30], "little") & 0x3FFF


def _is_raw(opened: Any) -> bool:
    """Whether a TIFF file is a camera's raw file, whose first image is a thumbnail."""
    tags = opened.tag_v2
    thumbnail = tags.get(_TIFF_NEW_SUBFILE_TYPE, 0) == 1 and _TIFF_SUB_IFDS in tags
    return _DNG_VERSION in tags or thumbnail


def _unsupported(name: str) -> str:
    return _("it contains {format}, which is not read; save it as a JPEG or PNG image", format=_(name))


def _other_content(start: bytes) -> str:
    """What a file that is not an image may be, as a reason."""
    if not start:
        return _("the file is empty")
    for pattern, name in _OTHER_CONTENT:
        if pattern.match(start):
            return _unsupported(name)
    if _WEB_PAGE.match(start):
        return _("it is a web page (HTML) saved under this name")
    if _VIDEO.match(start):
        return _("it is a video; extract its frames as images")
    if start.startswith(b"version https://git-lfs"):
        return _("it is a pointer of Git LFS instead of the file; run git lfs pull")
    if _is_text(start):
        return _("it is a text file")
    return _("its format is unknown, or its header is damaged")


def _is_text(start: bytes) -> bool:
    try:
        text = start.decode()
    except UnicodeDecodeError as error:
        if len(start) < START_BYTES or error.start < START_BYTES - 4:  # the last character may be cut
            return False
        text = start[: error.start].decode()
    return all(c.isprintable() or c in "\t\r\n\f" for c in text)
