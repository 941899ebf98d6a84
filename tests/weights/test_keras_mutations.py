"""Damaged models of Keras are refused in our words, or give a result of the file's size; `make fuzz` tries more."""

from __future__ import annotations

import json
import random
import struct
import zipfile
from pathlib import Path
from typing import Any

import pytest

from classicnets.errors import DataError
from classicnets.models.graph import DATA
from classicnets.weights import files, hdf5, keras
from classicnets.weights.messages import MessageError
from support.mutations import mutant_count, mutants

FILES = Path(__file__).parents[1] / "models" / "goldens" / "keras_files"
SMALL = ["lenet_2.h5", "lenet_3.keras", "lenet_newest.h5", "rows_2.weights.h5"]
NOWHERE = 2**64 - 1


def read(path: Path, content: bytes) -> bool:
    """Whether a file is read, in all ways, with no more values than it has bytes."""
    path.write_bytes(content)
    try:
        shapes, tensors = (files.read(path, data=data)[0] for data in (False, True))
        with path.open("rb") as file:
            if not keras.sniff(file):
                return True  # by chance another format
        nodes = keras.graph(path).nodes
    except DataError as error:
        assert error.code == "CN305" and error.what and str(path) in str(error.where)
        return False
    assert [(n, t.shape, t.dtype) for n, t in shapes.items()] == [(n, t.shape, t.dtype) for n, t in tensors.items()]
    assert sum(tensor.nbytes for tensor in tensors.values()) <= max(3 * len(content), 1 << 16)
    earlier = {DATA}
    for node in nodes:
        assert earlier.issuperset(node.inputs) and node.name not in earlier
        earlier.add(node.name)
        json.dumps(node.settings, allow_nan=False)
    return True


@pytest.mark.parametrize("name", SMALL)
def test_damaged_files_are_refused_or_read(tmp_path: Path, name: str) -> None:
    content = (FILES / name).read_bytes()
    results = [read(tmp_path / "model", mutant) for mutant in mutants(content, 3 * mutant_count(), seed=len(name))]
    assert results.count(False) > len(results) / 4


@pytest.mark.parametrize("name", ["lenet_newest.h5", "lenet_3.keras"])
def test_truncations_are_noticed(tmp_path: Path, name: str) -> None:
    content = (FILES / name).read_bytes()
    for end in [*range(0, 300, 3), *range(300, len(content) - 1, len(content) // (2 * mutant_count()))]:
        if read(tmp_path / "model", content[:end]):
            assert end > 0.9 * len(content), end  # only what is not needed is missing


def test_edited_configurations_are_refused_or_read(tmp_path: Path) -> None:
    """Any value of the configuration may be replaced by another one."""
    with zipfile.ZipFile(FILES / "layers_3.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    generator = random.Random(5)
    extreme: list[Any] = [
        None,
        True,
        -1,
        0,
        1e300,
        2**63,
        "",
        "same",
        "relu",
        [],
        {},
        [[]],
        [1, 2, 3],
        {"class_name": "ReLU"},
        "Add",
    ]
    for _number in range(2 * mutant_count()):
        config = json.loads(parts["config.json"])
        for _edit in range(generator.choice((1, 1, 2))):
            place = generator.choice(config["config"]["layers"])
            while True:
                keys = [*place] if isinstance(place, dict) else [*range(len(place))]
                key = generator.choice(keys)
                if isinstance(place[key], dict | list) and place[key] and generator.random() < 0.8:
                    place = place[key]
                    continue
                place[key] = generator.choice(extreme)
                break
        with zipfile.ZipFile(tmp_path / "edited", "w") as archive:
            for name, content in parts.items():
                archive.writestr(name, json.dumps(config) if name == "config.json" else content)
        read(tmp_path / "model", (tmp_path / "edited").read_bytes())


# ---------------------------------------------------------------------------------- files that are made to take long


def file_of(*objects: tuple[int, bytes], size: int) -> bytes:
    """An HDF5 file with the root at byte 96, and these bytes at their places."""
    content = bytearray(size)
    content[:96] = (
        b"\x89HDF\r\n\x1a\n" + bytes([0, 0, 0, 0, 0, 8, 8, 0]) + struct.pack("<HHI", 4, 16, 0)
        + struct.pack("<QQQQ", 0, NOWHERE, size, NOWHERE) + struct.pack("<QQIIQQ", 0, 96, 1, 0, 0, 0)
    )  # fmt: skip
    for at, part in objects:
        content[at : at + len(part)] = part
    return bytes(content)


def header(*messages: tuple[int, bytes]) -> bytes:
    """An object with these messages."""
    parts = b"".join(struct.pack("<HHBxxx", kind, len(content), 0) + content for kind, content in messages)
    return struct.pack("<BBHIII", 1, 0, len(messages), 1, len(parts), 0) + parts


def table(*entries: tuple[int, int]) -> bytes:
    """A table of links, each the place of its name in the heap and an address."""
    parts = b"".join(struct.pack("<QQII16x", name, address, 0, 0) for name, address in entries)
    return b"SNOD" + struct.pack("<BBH", 1, 0, len(entries)) + parts


def tree(*children: int, stated: int | None = None) -> bytes:
    parts = b"".join(struct.pack("<QQ", 0, child) for child in children)
    return b"TREE" + struct.pack("<BBHQQ", 0, 0, len(children) if stated is None else stated, NOWHERE, NOWHERE) + parts


GROUP = header((17, struct.pack("<QQ", 200, 300)))
NAMES = b"HEAP" + bytes(4) + struct.pack("<QQQ", 16, 0, 340) + bytes(8) + b"a\0b\0\xff\0".ljust(16, b"\0")
CONTINUED = header((16, struct.pack("<QQ", 112, 24)))
LONG = struct.pack("<QQ", 112, 24 * 1000)
TEXT = struct.pack("<BBBBI", 0x13, 0, 0, 0, 4) + struct.pack("<BBBBI", 1, 0, 0, 0, 0) + b"text"
ATTRIBUTE = struct.pack("<BBHHH", 1, 0, 2, 8, 8) + b"a".ljust(8, b"\0") + TEXT.ljust(24, b"\0")


AGAIN = (16, struct.pack("<QQ", 112, 1301 * (8 + len(ATTRIBUTE))))


@pytest.mark.parametrize(
    ("objects", "why"),
    [
        ([(96, GROUP), (200, tree(400)), (300, NAMES), (400, table((0, 96)))], "two links lead to one object"),
        ([(96, GROUP), (200, tree(400)), (300, NAMES), (400, table((0, 600), (2, 600))), (600, GROUP)], "lead to one"),
        ([(96, GROUP), (200, tree(400)), (300, NAMES), (400, table((0, 600), (0, 600))), (600, GROUP)], "to one"),
        ([(96, GROUP), (200, tree(400)), (300, NAMES), (400, table((4, 600))), (600, header())], "not UTF-8"),
        ([(96, GROUP), (200, tree(400)), (300, NAMES), (400, table((99, 600)))], "outside of the heap"),
        ([(96, GROUP), (200, tree(200)), (300, NAMES)], "more than"),
        ([(96, GROUP), (200, tree(200, stated=60_000)), (300, NAMES)], "there is no table of links|expected"),
        ([(96, CONTINUED)], "more than"),
        ([(96, header(*[(16, LONG)] * 1000))], "more than"),
        ([(96, header(*[(12, ATTRIBUTE)] * 1300, AGAIN))], "more than"),
        ([(96, header((12, ATTRIBUTE[:5])))], "root is not a group|attribute|shape"),
    ],
)  # fmt: skip
def test_hostile_files_end_soon(objects: list[tuple[int, bytes]], why: str) -> None:
    """What refers to itself or to one place many times is noticed, and the number of parts is limited."""
    with pytest.raises(MessageError, match=why):
        hdf5.read(memoryview(file_of(*objects, size=100_000)))


def test_groups_are_not_nested_without_end() -> None:
    objects = [(300, NAMES)]
    for level in range(40):
        at = 1000 * (level + 1)
        links = header((17, struct.pack("<QQ", at + 100, 300)))
        objects += [(96 if not level else at, links), (at + 100, tree(at + 200)), (at + 200, table((0, at + 1000)))]
    with pytest.raises(MessageError, match="nested more than 32"):
        hdf5.read(memoryview(file_of(*objects, size=50_000)))


def test_texts_that_many_attributes_refer_to_are_limited() -> None:
    """A text of many bytes that each attribute refers to would otherwise be read once for each."""
    kind = struct.pack("<BBBBI", 0x19, 1, 0, 0, 16) + struct.pack("<BBBBI", 0x13, 0, 0, 0, 1)
    value = struct.pack("<IQI", 40_000, 20_000, 1)
    messages = []
    for number in range(9):
        name = f"a{number}".encode().ljust(8, b"\0")
        space = struct.pack("<BBBBI", 1, 0, 0, 0, 0)
        messages.append((12, struct.pack("<BBHHH", 1, 0, 3, len(kind), 8) + name + kind + space + value))
    heap = b"GCOL" + struct.pack("<BxxxQ", 1, 60_000) + struct.pack("<HHIQ", 1, 1, 0, 40_000) + b"x" * 40_000
    links = (17, struct.pack("<QQ", 10_200, 10_300))
    objects = [
        (96, header(links, *messages)),
        (10_200, tree()),
        (10_300, NAMES.replace(struct.pack("<Q", 340), struct.pack("<Q", 10_340))),
    ]
    group = hdf5.read(memoryview(file_of(*objects, (20_000, heap), size=100_000)))
    assert len(group.attributes) == 9 and group.attributes["a0"].text() == "x" * 40_000
    with pytest.raises(MessageError, match="texts are longer than the file"):
        [attribute.text() for attribute in group.attributes.values()]
