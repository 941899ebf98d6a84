"""Reads bytes and numbers of an HDF5 file, within its bounds, and names the byte where something is wrong."""

from __future__ import annotations

import struct

from classicnets.text import _
from classicnets.weights.messages import MessageError, place

_MAX_STEPS = 200_000  # messages, links and nodes; a network of a thousand layers has some 30,000


class Content:
    """The bytes of a file, and how many parts of it have been read."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.steps = 0
        self.text_bytes = 0

    def copy(self, at: int, size: int) -> bytes:
        """Read bytes. Raises MessageError if the file ends before."""
        return bytes(self.view(at, size))

    def view(self, at: int, size: int) -> memoryview:
        """Return a part of the file. Raises MessageError if the file ends before."""
        if at + size > len(self.data):
            raise MessageError(
                _(
                    "the file is truncated: it has {n:,} bytes, and {size:,} are expected there",
                    n=len(self.data),
                    size=size,
                ),
                place(at, in_text=False),
            )
        return self.data[at : at + size]

    def numbers(self, kinds: str, at: int) -> tuple[int, ...]:
        """Read numbers of the kinds of `struct`."""
        return struct.unpack(f"<{kinds}", self.view(at, struct.calcsize(f"<{kinds}")))

    def expect(self, at: int, content: bytes, what: str) -> None:
        """Check that something, which `what` names, begins as it must."""
        if self.copy(at, len(content)) != content:
            raise self.damage(_("there is no {what}", what=_(what)), at)  # translated here: it takes its time

    def step(self, at: int, count: int = 1) -> None:
        """Count a part that is read, or one that takes as long as several; their number is limited."""
        self.steps += count
        if self.steps > _MAX_STEPS:
            raise self.damage(_("it has more than {n:,} parts", n=_MAX_STEPS), at)

    def text(self, at: int, size: int, *, is_variable: bool) -> bytes:
        """Read a text that is at a place, or the one elsewhere in the file that the bytes there refer to."""
        content = self.copy(at, size)
        if is_variable:
            length, address, index = struct.unpack("<IQI", content)
            content = self._heap_object(address, index)[:length]
        self.text_bytes += len(content)
        if self.text_bytes > 2 * len(self.data):  # several attributes may refer to one text
            raise self.damage(_("its texts are longer than the file"), at)
        return content

    def damage(self, what: str, at: int) -> MessageError:
        """Return the error for a file that is damaged at a byte."""
        return MessageError(_("the file is damaged: {what}", what=what), place(at, in_text=False))

    def refused(self, what: str, at: int) -> MessageError:
        """Return the error for what is not read."""
        what = _("the file has {what}, which Keras does not write, and which is not read", what=what)
        return MessageError(
            what,
            place(at, in_text=False),
            hint=_("in Python: load the model with Keras, and save it again with model.save"),
        )

    def _heap_object(self, at: int, index: int) -> bytes:
        """Read an object of a heap that all groups share."""
        self.expect(at, b"GCOL", "heap of texts")
        (size,) = self.numbers("Q", at + 8)
        self.view(at, size)
        position = at + 16
        while position + 16 <= at + size:
            self.step(position)
            found, _references, _reserved, length = self.numbers("HHIQ", position)
            if found == index and index:
                return self.copy(position + 16, length)
            if not found:
                break
            position += 16 + -(-length // 8) * 8
        raise self.damage(_("there is no text {n}", n=index), at)
