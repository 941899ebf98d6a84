"""Reads HDF5 files, as h5py writes them for Keras: groups, arrays of numbers, and attributes that are text.

HDF5's own library may read a damaged file for ever, so that it is not used. Everything that a file states is checked
against the bytes that are there. What h5py does not write by default is refused by name: compressed and chunked arrays,
arrays in other files, links by name, and groups and attributes that are stored in heaps for large numbers of them.

Source: HDF5 File Format Specification, version 3.0.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classicnets.text import _
from classicnets.weights.hdf5_content import Content
from classicnets.weights.messages import MessageError, place

SIGNATURE = b"\x89HDF\r\n\x1a\n"

_NOWHERE = 2**64 - 1  # an address that is not defined
_MAX_DEPTH = 32  # groups in groups
_MAX_NAME = 1000  # bytes
_MAX_AXES = 32  # as in HDF5
# messages of an object, by their numbers
_SPACE, _LINK_INFO, _TYPE, _LINK, _FILES, _LAYOUT, _ATTRIBUTE, _CONTINUED, _TABLE, _ATTRIBUTE_INFO = (
    *(1, 2, 3, 6, 7, 8, 12, 16, 17, 21),
)
_INTEGER, _FLOAT, _STRING, _OPAQUE, _VARIABLE = 0, 1, 3, 5, 9  # classes of types
_SOFT_LINK = 2  # the kind of an entry in a table of links


@dataclass(frozen=True)
class Type:
    """The type of the elements of an array, or of an attribute.

    Attributes:
        name: a name of NumPy, such as "<f4"; "<bfloat16", "<opaque" (bytes), "text", or "".
        size: bytes of one element.
        is_variable: whether an element is the place of a text elsewhere in the file.
    """

    name: str
    size: int
    is_variable: bool = False


@dataclass(frozen=True, eq=False)
class Array:
    """An array in a file.

    Attributes:
        shape: its axes.
        type: the type of its elements.
        content: its values, a view of the file.
        at: the byte where they are.
        attributes: its attributes, by name.
    """

    shape: tuple[int, ...]
    type: Type
    content: memoryview
    at: int
    attributes: dict[str, Attribute]

    def values(self) -> NDArray[Any]:
        """Return the values, a view of the file; those of two bytes that NumPy does not know as uint16.

        The type must be that of numbers.
        """
        name = self.type.name if self.type.name[1:2] in set("fiu") else f"{self.type.name[:1]}u2"
        return np.frombuffer(self.content, dtype=np.dtype(name)).reshape(self.shape)


@dataclass(frozen=True, eq=False)
class Group:
    """A group: arrays and other groups by name, and attributes."""

    members: dict[str, Group | Array] = field(default_factory=dict)
    attributes: dict[str, Attribute] = field(default_factory=dict)

    def group(self, name: str) -> Group:
        """Return the group of a name, empty if there is none."""
        member = self.members.get(name)
        return member if isinstance(member, Group) else Group()

    def arrays(self, prefix: str = "") -> Iterator[tuple[str, Array]]:
        """Yield all arrays with their paths, such as "conv/kernel:0"."""
        for name, member in self.members.items():
            if isinstance(member, Group):
                yield from member.arrays(f"{prefix}{name}/")
            else:
                yield prefix + name, member


@dataclass(frozen=True, eq=False)
class Attribute:
    """An attribute, which is read when its text is asked for."""

    file: Content
    type: Type
    shape: tuple[int, ...] | None
    at: int

    def text(self) -> str | None:
        """Return its text; None if it is something else. Raises MessageError if it is damaged."""
        if self.type.name != "text" or self.shape != ():
            return None
        content = self.file.text(self.at, self.type.size, is_variable=self.type.is_variable)
        try:
            return str(content.rstrip(b"\0"), "utf-8")
        except UnicodeDecodeError as error:
            raise MessageError(_("a text is not UTF-8"), place(self.at, in_text=False)) from error


def read(data: memoryview) -> Group:
    """Read all groups of a file. Arrays are views of `data`.

    Raises:
        MessageError: the file is damaged, or has something that is not read; it names the byte.
    """
    return _File(data).root()


class _File:
    """A file and the objects that have been read."""

    def __init__(self, data: memoryview) -> None:
        self.content = Content(data)
        self.visited = set[int]()

    # --- objects

    def root(self) -> Group:
        """Read the group that holds everything."""
        self.content.expect(0, SIGNATURE, "HDF5")
        version = self.content.numbers("B", 8)[0]
        if version > 3:
            raise self.content.refused(_("version {n} of the format", n=version), 8)
        sizes_at = 13 if version < 2 else 9
        sizes = self.content.numbers("BB", sizes_at)
        if sizes != (8, 8):
            raise self.content.refused(_("addresses of {n} bytes and sizes of {m}", n=sizes[0], m=sizes[1]), sizes_at)
        first = {0: 24, 1: 28}.get(version, 12)  # four addresses, the first of which is that of the whole
        (base,) = self.content.numbers("Q", first)
        if base:
            raise self.content.refused(_("a block of another program before its contents"), first)
        (root,) = self.content.numbers("Q", first + (40 if version < 2 else 24))
        found = self.object(root, 0)
        if not isinstance(found, Group):
            raise self.content.damage(_("its root is not a group"), first)
        return found

    def object(self, at: int, depth: int) -> Group | Array | None:
        """Read a group or an array with all that it contains; None for an object of another kind."""
        if at in self.visited:
            raise self.content.damage(_("two links lead to one object"), at)
        if depth > _MAX_DEPTH:
            raise self.content.damage(_("groups are nested more than {n} levels", n=_MAX_DEPTH), at)
        self.visited.add(at)
        attributes: dict[str, Attribute] = {}
        members: dict[str, Group | Array] = {}
        parts: dict[int, tuple[int, int]] = {}
        links: list[tuple[str, int]] = []
        for kind, place_at, size in self.messages(at):
            if kind == _ATTRIBUTE:
                name, attribute = self.attribute(place_at)
                attributes[name] = attribute
            elif kind == _TABLE:
                links += self.table(*self.content.numbers("QQ", place_at))
            elif kind == _LINK:
                links.append(self.link(place_at))
            elif kind == _FILES:
                raise self.content.refused(_("an array whose values are in another file"), place_at)
            elif kind in {_LINK_INFO, _ATTRIBUTE_INFO}:
                self.refuse_heap(place_at, kind)
            parts[kind] = (place_at, size)
        if _LAYOUT in parts and _TYPE in parts and _SPACE in parts:
            return self.array(parts, attributes)
        if not parts.keys() & {_TABLE, _LINK, _LINK_INFO}:
            return None
        for name, address in links:
            if name in members:
                raise self.content.damage(_("a group has two members {name!r}", name=name[:80]), at)
            member = self.object(address, depth + 1)
            if member is not None:
                members[name] = member
        return Group(members, attributes)

    def messages(self, at: int) -> Iterator[tuple[int, int, int]]:
        """Yield the kind, place and size of each message of an object; they may go on elsewhere."""
        if self.content.copy(at, 4) == b"OHDR":
            version, flags = self.content.numbers("BB", at + 4)
            start = at + 6 + 16 * bool(flags & 0x20) + 4 * bool(flags & 0x10)
            width = 1 << (flags & 3)
            size = int.from_bytes(self.content.view(start, width), "little")
            head, blocks = 4 + 2 * bool(flags & 4), [(start + width, size)]
        else:
            version, _reserved, _count, _references, size = self.content.numbers("BBHII", at)
            head, blocks = 8, [(at + 16, size)]
        if version != (1 if head == 8 else 2):
            raise self.content.damage(_("there is no object"), at)
        for start, size in blocks:  # grows in the loop
            self.content.view(start, size)
            position = start
            while position + head <= start + size:
                self.content.step(position)
                kind, length, flags = self.content.numbers("HHB" if head == 8 else "BHB", position)
                position += head
                if position + length > start + size:
                    raise self.content.damage(_("a part of an object goes beyond it"), position)
                if flags & 2 and kind in {_TYPE, _SPACE, _ATTRIBUTE}:
                    raise self.content.refused(_("types that objects share"), position)
                if kind == _CONTINUED:
                    address, length_there = self.content.numbers("QQ", position)
                    if head != 8:  # after a signature, and before a checksum
                        self.content.expect(address, b"OCHK", "continuation of an object")
                        address, length_there = address + 4, max(0, length_there - 8)
                    blocks.append((address, length_there))
                else:
                    yield kind, position, length
                position += length

    # --- links of groups

    def table(self, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Yield the names and addresses of a group's members, from its tree of tables."""
        self.content.expect(heap, b"HEAP", "heap of names")
        size, _free, names = self.content.numbers("QQQ", heap + 8)
        self.content.view(names, size)
        nodes = [tree]
        for node in nodes:  # grows in the loop
            self.content.step(node)
            self.content.expect(node, b"TREE", "tree of links")
            kind, _level, count = self.content.numbers("BBH", node + 4)
            if kind:
                raise self.content.damage(_("there is no tree of links"), node)
            for i in range(count):
                self.content.step(node)
                (child,) = self.content.numbers("Q", node + 24 + 16 * i + 8)
                if self.content.copy(child, 4) == b"TREE":
                    nodes.append(child)
                else:
                    yield from self.entries(child, names, size)

    def entries(self, at: int, names: int, size: int) -> Iterator[tuple[str, int]]:
        """Yield the names and addresses in one table of links."""
        self.content.expect(at, b"SNOD", "table of links")
        (count,) = self.content.numbers("H", at + 6)
        for i in range(count):
            entry = at + 8 + 40 * i
            self.content.step(entry)
            offset, address, kind = self.content.numbers("QQI", entry)
            if kind == _SOFT_LINK or address == _NOWHERE:
                raise self.content.refused(_("links by name"), entry)
            if offset >= size:
                raise self.content.damage(_("the name of a link is outside of the heap"), entry)
            name = self.content.copy(names + offset, min(_MAX_NAME, size - offset)).partition(b"\0")[0]
            yield self.name(name, entry), address

    def link(self, at: int) -> tuple[str, int]:
        """Read the name and the address of one link, as newer versions write it."""
        version, flags = self.content.numbers("BB", at)
        position = at + 2
        if version != 1 or (flags & 8 and self.content.numbers("B", position) != (0,)):
            raise self.content.refused(_("links by name"), at)
        position += bool(flags & 8) + 8 * bool(flags & 4) + bool(flags & 16)
        width = 1 << (flags & 3)
        length = int.from_bytes(self.content.view(position, width), "little")
        if length > _MAX_NAME:
            raise self.content.damage(_("a name has {n:,} bytes", n=length), position)
        name = self.content.copy(position + width, length)
        (address,) = self.content.numbers("Q", position + width + length)
        return self.name(name, at), address

    def refuse_heap(self, at: int, kind: int) -> None:
        """Refuse a group with so many links or attributes that they are in a heap of their own."""
        _version, flags = self.content.numbers("BB", at)
        index = (8 if kind == _LINK_INFO else 2) * (flags & 1)
        if self.content.numbers("Q", at + 2 + index) != (_NOWHERE,):
            what = _("links in a heap") if kind == _LINK_INFO else _("attributes in a heap")
            raise self.content.refused(what, at)

    def name(self, content: bytes, at: int) -> str:
        """Return a name as text."""
        try:
            return content.decode()
        except UnicodeDecodeError as error:
            raise self.content.damage(_("a name is not UTF-8"), at) from error

    # --- arrays and attributes

    def array(self, parts: dict[int, tuple[int, int]], attributes: dict[str, Attribute]) -> Array:
        """Read where the values of an array are."""
        type_, shape, (at, _size) = self.type(parts[_TYPE][0]), self.shape(parts[_SPACE][0]), parts[_LAYOUT]
        version, layout = self.content.numbers("BB", at)
        if version not in {3, 4}:
            raise self.content.refused(_("version {n} of the layout of arrays", n=version), at)
        if layout == 0:
            (size,), start = self.content.numbers("H", at + 2), at + 4
        elif layout == 1:
            start, size = self.content.numbers("QQ", at + 2)
        else:
            raise self.content.refused(_("an array that is compressed, in chunks or virtual"), at)
        needed = math.prod(shape or ()) * type_.size
        if start == _NOWHERE and needed:
            raise self.content.refused(_("an array without stored values"), at)
        if size != needed and start != _NOWHERE:
            raise self.content.damage(_("an array of {n:,} bytes has {m:,}", n=needed, m=size), at)
        content = self.content.view(start, needed) if needed else memoryview(b"")
        return Array(shape or (), type_, content, start, attributes)

    def attribute(self, at: int) -> tuple[str, Attribute]:
        """Read the name of an attribute, and where its value is."""
        self.content.step(at, 5)
        version, _flags, name_size, type_size, shape_size = self.content.numbers("BBHHH", at)
        if version not in {1, 2, 3}:
            raise self.content.damage(_("an attribute has the version {n}", n=version), at)
        position = at + 8 + (version == 3)
        name = self.content.copy(position, min(name_size, _MAX_NAME)).partition(b"\0")[0]
        sizes = [-(-n // 8) * 8 if version == 1 else n for n in (name_size, type_size, shape_size)]
        type_at = position + sizes[0]
        shape_at = type_at + sizes[1]
        shape = self.shape(shape_at)
        return self.name(name, at), Attribute(self.content, self.type(type_at), shape, shape_at + sizes[2])

    def type(self, at: int) -> Type:
        """Read a type."""
        version_and_class, bits, _bits, _more, size = self.content.numbers("BBBBI", at)
        kind, order = version_and_class & 15, "<>"[bits & 1]
        if kind == _INTEGER and size in {1, 2, 4, 8}:
            return Type(f"{order}{'i' if bits & 8 else 'u'}{size}", size)
        if kind == _FLOAT and size in {2, 4, 8} and not bits & 0x40:
            exponent = self.content.numbers("B", at + 13)[0]
            names = {(2, 5): "f2", (2, 8): "bfloat16", (4, 8): "f4", (8, 11): "f8"}
            name = names.get((size, exponent))
            return Type(order + name if name else "", size)
        if kind == _STRING:
            return Type("text", size)
        if kind == _VARIABLE and bits & 15 == 1 and size == 16:
            return Type("text", size, is_variable=True)
        return Type("<opaque" if kind == _OPAQUE else "", size)

    def shape(self, at: int) -> tuple[int, ...] | None:
        """Read the axes of an array; None if it has no elements at all."""
        version, axes, _flags, kind = self.content.numbers("BBBB", at)
        if version not in {1, 2} or axes > _MAX_AXES:
            raise self.content.damage(_("a shape has the version {n} and {m} axes", n=version, m=axes), at)
        if version == 2 and kind == 2:
            return None
        return self.content.numbers(f"{axes}Q", at + (8 if version == 1 else 4))
