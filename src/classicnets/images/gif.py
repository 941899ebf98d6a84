"""The first image of a GIF file by itself, so that what follows cannot stand in for pixels that are missing in it.

Pillow reads the data of an image to the end of the file: if the image ends early, it decodes the next image of an
animation, or whatever follows, as the rest of its pixels.
"""

from __future__ import annotations

_HEADER_BYTES = 13  # with the size of the canvas; a color table may follow
_IMAGE_BYTES = 10  # of the description of an image; a color table may follow
_IMAGE, _EXTENSION, _COMMENT, _END = b",", b"!", 0xFE, b";"


def first_image(data: bytes) -> bytes:
    """Return a GIF file up to the end of its first image; unchanged if there is no such end."""
    try:
        position = _HEADER_BYTES + _color_table_bytes(data[10])
        while data[position : position + 1] not in (_IMAGE, _END, b""):
            is_extension, position = data[position : position + 1] == _EXTENSION, position + 1
            if is_extension:  # other bytes are skipped, as Pillow does
                position = _extension_end(data, position)
        if data[position : position + 1] != _IMAGE:
            return data
        position += _IMAGE_BYTES + _color_table_bytes(data[position + 9]) + 1
        while data[position]:
            position += data[position] + 1
    except IndexError:
        return data
    return data[: position + 1] + _END


def _extension_end(data: bytes, position: int) -> int:
    """Where an extension ends, whose label is at `position`; as Pillow reads it, even if its first block is empty."""
    is_comment, position = data[position] == _COMMENT, position + 1
    if not is_comment:
        position += data[position] + 1
    while data[position]:
        position += data[position] + 1
    return position + 1


def _color_table_bytes(flags: int) -> int:
    return 3 * 2 ** ((flags & 7) + 1) if flags & 0x80 else 0
