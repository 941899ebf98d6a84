"""The binary form of Protocol Buffers: bytes by hand, Google's own library as an oracle, and damage."""

from __future__ import annotations

import random
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from classicnets.weights import wire
from classicnets.weights.caffe_schema import BLOB, NET
from classicnets.weights.messages import SKIP, Enum, MessageError, Schema
from support.mutations import mutant_count, mutants
from support.protobuf import block, floats, number, oracle, plain, plain_of_google, single, varint

INNER = Schema("Inner", {1: ("dim", ["int"]), 2: ("name", "string")}, packed=True)
OUTER = Schema(
    "Outer",
    {
        1: ("name", "string"),
        2: ("count", "uint"),
        3: ("offset", "int"),
        4: ("flag", "bool"),
        5: ("data", ["floats"]),
        6: ("alpha", "float"),
        7: ("inner", INNER),
        8: ("double_data", ["doubles"]),
        9: ("pad", ["uint"]),
        10: ("factor", ["float"]),
        11: ("word", ["string"]),
        12: ("color", Enum("Color", {"RED": 0, "GREEN": 5})),
        13: ("skipped", SKIP),
        1000: ("inners", [INNER]),
    },
)


def read(content: bytes, schema: Schema = OUTER) -> dict[str, Any]:
    return plain(wire.read(memoryview(content), schema))


def random_values(generator: random.Random, schema: Schema) -> dict[str, Any]:
    """Values for some fields of a schema, in random order."""
    makers: dict[Any, Any] = {
        "string": lambda: generator.choice(["", "conv1", "ä/\x00"]),
        "uint": lambda: generator.choice([0, 1, 127, 128, 2**32 - 1]),
        "int": lambda: generator.choice([0, -1, 1, 2**40, -(2**63), 2**63 - 1]),
        "bool": lambda: generator.random() < 0.5,
        "float": lambda: float(np.float32(generator.gauss(0, 1))),
    }
    values: dict[str, Any] = {}
    fields = [field for field in schema.fields.values() if field.kind != SKIP]
    for field in generator.sample(fields, generator.randint(0, len(fields))):
        count = generator.randint(1, 3) if field.is_repeated else 1
        if isinstance(field.kind, Schema):
            several: Any = [random_values(generator, field.kind) for _i in range(count)]
        elif isinstance(field.kind, Enum):
            several = [generator.choice([*field.kind.numbers]) for _i in range(count)]
        elif field.kind in ("floats", "doubles"):
            several = np.asarray(
                [generator.gauss(0, 1) for _i in range(count)], "f4" if field.kind == "floats" else "f8"
            )
        else:
            several = [makers[field.kind]() for _i in range(count)]
        values[field.name] = several if field.is_repeated else several[0]
    return values


def test_reads_each_kind_of_field() -> None:
    content = block(1, "a") + number(2, 300) + number(3, -2) + number(4, 1) + single(6, 0.1) + number(12, 5)
    content += block(7, block(1, varint(2) + varint(-1))) + number(9, 1) + number(9, 2) + block(10, floats([1, 2]))
    content += block(1000, b"") + block(1000, block(2, "b"))
    assert read(content) == {
        "name": ["a"],
        "count": [300],
        "offset": [-2],
        "flag": [True],
        "alpha": [0.1],  # the shortest decimal that is the same float32
        "color": ["GREEN"],
        "inner": [{"dim": [2, -1]}],
        "pad": [1, 2],
        "factor": [1.0, 2.0],
        "inners": [{}, {"name": ["b"]}],
    }


def test_the_last_value_counts_and_messages_in_parts_are_merged() -> None:
    content = block(1, "a") + block(7, block(2, "x") + block(1, varint(1))) + block(1, "b")
    message = wire.read(memoryview(content + block(7, block(2, "y") + block(1, varint(2)))), OUTER)
    assert message.one("name") == "b" and message.one("count", 7) == 7 and "count" not in message
    assert plain(message.message("inner")) == {"name": ["y"], "dim": [1, 2]}
    assert message.place("name") == f"byte {len(content) - 3}" and message.place() == "byte 0"


def test_unknown_fields_of_every_type_are_skipped() -> None:
    unknown = number(99, 2**64 - 1) + block(99, b"\xff" * 9) + single(98, 1) + varint(97 << 3 | 1) + bytes(8)
    skipped = number(13, 1) + block(13, b"\xff")
    message = wire.read(memoryview(unknown + skipped + number(2, 5) + unknown), OUTER)
    assert plain(message) == {"count": [5]}
    assert message.unknown == {"99": 0, "98": 24, "97": 30, "skipped": 40}


PACKED = block(5, floats([1, 2])) + block(5, b"") + block(5, floats([3]))
UNPACKED = single(5, 1) + single(5, 2) + single(5, 3)
MIXED = single(5, 1) + number(2, 0) + block(5, floats([2])) + single(5, 3)


@pytest.mark.parametrize("content", [PACKED, UNPACKED, MIXED], ids=["packed", "unpacked", "mixed"])
def test_numbers_may_be_packed_unpacked_and_in_pieces(content: bytes) -> None:
    assert read(content)["data"] == [1, 2, 3]


def test_long_runs_of_unpacked_numbers() -> None:
    values = np.random.default_rng(0).normal(size=1000)
    doubles = b"".join(varint(8 << 3 | 1) + struct.pack("<d", value) for value in values)
    for n in (1, 63, 64, 65, 191, 1000):
        message = wire.read(memoryview(doubles[: 9 * n] + number(2, 1)), OUTER)
        assert len(message.all("double_data")) == 1 and message.one("count") == 1
        assert message.one("double_data").tolist() == values[:n].tolist()


def test_packed_numbers_are_views_of_the_file() -> None:
    content = bytearray(block(1, "abc") + block(5, floats([1, 2])))  # not aligned
    (data,) = wire.read(memoryview(content), OUTER).all("data")
    assert data.tolist() == [1, 2]
    content[-4:] = floats([7])
    assert data.tolist() == [1, 7]


DAMAGED = {
    "cut number": (number(2, 300)[:-1], "a number is incomplete", "byte 1"),
    "cut tag": (number(2, 3) + b"\x80", "a number is incomplete", "byte 2"),
    "long number": (b"\x10" + b"\xff" * 11, "more than 10 bytes", "byte 1"),
    "field 0": (number(2, 3) + number(0, 1), "the number of a field", "byte 2"),
    "huge field": (varint(1 << 33) + b"\0", "the number of a field", "byte 0"),
    "group": (varint(99 << 3 | 3) + varint(99 << 3 | 4), "unknown type 3", "byte 2"),
    "cut type": (varint(99 << 3 | 7), "unknown type 7", "byte 2"),
    "cut text": (block(1, "abc")[:-1], "3 bytes are stated, and 2 are left", "byte 1"),
    "huge length": (b"\x0a" + varint(2**63), "bytes are stated, and 0 are left", "byte 1"),
    "cut float": (single(6, 1)[:-1], "4 bytes are stated, and 3 are left", "byte 1"),
    "cut unpacked": (single(5, 1) + single(5, 1)[:-1], "4 bytes are stated, and 3 are left", "byte 6"),
    "cut packed": (number(2, 0) + block(5, b"12345"), "5 bytes of data", "byte 2"),
    "cut doubles": (block(8, bytes(12)), "12 bytes of double_data", "byte 0"),
    "cut factors": (block(10, b"12345"), "5 bytes of factor", "byte 0"),
    "inner length": (block(7, b"\x12\x02a") + b"aaa", "2 bytes are stated, and 1 are left", "byte 3"),
    "inner number": (block(7, b"\x0a\x01\x80") + b"aaa", "a number is incomplete", "byte 4"),
    "no text": (block(1, b"\xff"), "the text name is not UTF-8", "byte 0"),
    "another type": (number(1, 1), "the field name of Outer has another type", "byte 0"),
    "number as text": (number(2, 1) + block(2, b"a"), "the field count of Outer has another type", "byte 2"),
    "long tag": (bytes([5 << 3 | 5 | 0x80, 0]) + bytes(4), "the number of a field", "byte 0"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_damage_names_the_byte(name: str) -> None:
    content, what, at = DAMAGED[name]
    with pytest.raises(MessageError) as caught:
        read(content + (b"" if "cut" in name or name == "huge length" else number(2, 1)))
    assert what in caught.value.what and caught.value.at == at


def test_the_number_of_fields_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "_MAX_FIELDS", 100)
    assert len(read(number(9, 1) * 100)["pad"]) == 100
    for content in (number(9, 1) * 101, block(9, b"\x01" * 101), block(10, floats([1] * 101)), block(99, b"") * 101):
        with pytest.raises(MessageError, match="more than 100 fields"):
            read(content)
    assert len(read(single(5, 1) * 500)["data"]) == 500  # a run is one field


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_library_of_google(seed: int) -> None:
    """Both read what the other one has written."""
    google, generator = oracle(OUTER), random.Random(seed)
    written = b"".join(wire.encode(OUTER, random_values(generator, OUTER)))
    message = google.FromString(written)
    assert read(written) == plain_of_google(message, OUTER)
    assert read(message.SerializeToString()) == plain_of_google(message, OUTER)


def test_what_is_read_of_damaged_bytes_is_what_google_reads() -> None:
    google, generator, count = oracle(OUTER), random.Random(0), 0
    for seed in range(10):
        written = b"".join(wire.encode(OUTER, {"name": "a"} | random_values(generator, OUTER)))
        for mutant in mutants(written, mutant_count() // 3, seed):
            try:
                values = read(mutant)
            except MessageError:
                continue
            try:
                message = google.FromString(mutant)
            except DecodeError as error:
                raise AssertionError(mutant) from error
            expected = plain_of_google(message, OUTER)
            for name in ("count", "pad"):  # Google's keep 32 bits
                values[name] = [value % 2**32 for value in values.get(name, [])] or expected.get(name)
            count += repr(values.get("data")) == repr(expected.get("data"))
            assert {*expected} <= {*values}
            for name in expected:
                if name != "color":
                    assert repr(values[name]) == repr(expected[name])  # repr, since NaN is not equal to itself
    assert count > 10


def test_files_are_recognized_by_their_first_fields() -> None:
    layer = block(100, block(1, "conv1") + block(2, "Convolution"))

    def is_net(content: bytes) -> bool:
        return wire.starts_as(memoryview(content), NET, within=("layer", "layers"))

    assert is_net(layer) and is_net(block(1, "net") + layer) and is_net(block(2, block(4, "conv1")))
    assert is_net(block(1, "net") + layer[:10])  # damage that is reported later
    for other in (b"", b"\0" * 100, b"hello\n", b"PK\3\4", block(1, "net"), block(1, "net") + number(77, 1) + layer):
        assert not is_net(other)
    assert not is_net(number(1, 1) + layer) and not is_net(block(100, number(1, 5)))
    assert not is_net(block(1, "net") * 2 + layer)  # as in graphs of TensorFlow, whose nodes have this number
    assert not is_net(number(4, 1) * 2000 + layer)  # takes too long
    assert not is_net(b"".join(wire.encode(BLOB, {"num": 1, "data": np.ones(3)})))
