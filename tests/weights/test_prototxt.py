"""The text form of Protocol Buffers: what it allows, Google's own library as an oracle, and errors with their lines."""

from __future__ import annotations

import math
import random
from typing import Any

import pytest
from google.protobuf import text_format  # type: ignore[import-untyped]

from classicnets.weights import prototxt
from classicnets.weights.messages import SKIP, Enum, MessageError, Schema
from support.mutations import mutant_count
from support.protobuf import oracle, plain, plain_of_google

INNER = Schema("Inner", {1: ("dim", ["int"]), 2: ("name", "string"), 3: ("filler", SKIP)}, closed=True, packed=True)
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
        11: ("word", ["string"]),
        12: ("color", Enum("Color", {"RED": 0, "GREEN": 5})),
        1000: ("inners", [INNER]),
    },
)


def read(text: str) -> dict[str, Any]:
    return plain(prototxt.read(text, OUTER))


ALLOWED: dict[str, dict[str, Any]] = {
    "": {},
    "# nothing": {},
    "\ufeffcount: 1": {"count": [1]},
    "count: 1\r\nflag: true\r\n": {"count": [1], "flag": [True]},
    "count:1 offset:-1# x\nflag:t": {"count": [1], "offset": [-1], "flag": [True]},
    "offset: - 7": {"offset": [-7]},
    "count: 0x1F offset: -0x1f": {"count": [31], "offset": [-31]},
    "count: 017": {"count": [15]},
    "flag: false": {"flag": [False]},
    "flag: 1": {"flag": [True]},
    "alpha: 0.0001": {"alpha": [0.0001]},
    "alpha: 0.00010000000000001": {"alpha": [0.0001]},  # float32
    "alpha: 1.f": {"alpha": [1.0]},
    "alpha: .5": {"alpha": [0.5]},
    "alpha: 5e-05F": {"alpha": [5e-05]},
    "alpha: -3": {"alpha": [-3.0]},
    "alpha: inf": {"alpha": [math.inf]},
    "alpha: -Infinity": {"alpha": [-math.inf]},
    "alpha: 1e99": {"alpha": [math.inf]},
    "alpha: -1e99": {"alpha": [-math.inf]},
    "color: GREEN": {"color": ["GREEN"]},
    "color: 5": {"color": ["GREEN"]},
    "name: 'a\"b'": {"name": ['a"b']},
    'name: "a\'b\\"c\\\\"': {"name": ["a'b\"c\\"]},
    r'name: "\101\x42\n\t\?\u00e4\U0001F600"': {"name": ["AB\n\t?ä😀"]},
    r'name: "\303\xa4"': {"name": ["ä"]},
    "name: 'a' \"b\"\n# x\n'c'": {"name": ["abc"]},
    "name: 'ä # no comment'": {"name": ["ä # no comment"]},
    "pad: 1 pad: 2": {"pad": [1, 2]},
    "pad: [1, 2] pad: 3": {"pad": [1, 2, 3]},
    "pad: []": {},
    "word: ['a' 'b', 'c']": {"word": ["ab", "c"]},
    "inner { dim: 1 }": {"inner": [{"dim": [1]}]},
    "inner: < dim: 1; dim: 2, >": {"inner": [{"dim": [1, 2]}]},
    "inners { } inners: { dim: -1 };": {"inners": [{}, {"dim": [-1]}]},
    "inners [{ dim: 1 }, < >]": {"inners": [{"dim": [1]}, {}]},
    "data: [1, 2.5] data: 3": {"data": [1.0, 2.5, 3.0]},
    "double_data: 0.1": {"double_data": [0.1]},
    "other: 1 count: 2": {"count": [2]},
    "other { a { b: 'x' c: [1, { }] } } count: 2": {"count": [2]},
    "inner { filler { type: 'xavier' std: 0.1 } dim: 3 }": {"inner": [{"dim": [3]}]},
}


@pytest.mark.parametrize("text", ALLOWED)
def test_reads_what_the_format_allows(text: str) -> None:
    expected = dict(sorted(ALLOWED[text].items()))
    assert read(text) == expected
    if "- 7" not in text and r"\?" not in text:  # Google's library for C++ reads them, the one for Python does not
        google = text_format.Parse(text.removeprefix("\ufeff"), oracle(OUTER)(), allow_unknown_field=True)
        assert plain_of_google(google, OUTER) == expected


REFUSED = {
    "count: 1\ncount: 2": ("count is given twice, first on line 1", 2),
    "inner { }\n\ninner { }": ("inner is given twice, first on line 1", 3),
    "\ncount: -1": ("count is a whole number from 0 on, not -1", 2),
    "count: 1.5": ("count is a whole number from 0 on, not 1.5", 1),
    "count: '1'": ("count is a whole number from 0 on, not 1", 1),
    "offset: x": ("offset is a whole number, not x", 1),
    "offset: 08": ("offset is a whole number, not 08", 1),
    "alpha: '1'": ("alpha is a number, not 1", 1),
    "alpha: 0x10": ("alpha is a number, not 0x10", 1),
    "alpha: 010": ("alpha is a number, not 010", 1),
    "alpha: x": ("alpha is a number, not x", 1),
    "alpha: - x": ("-x is not a number", 1),
    "flag: 2": ("flag is true or false, not 2", 1),
    "flag: 'true'": ("flag is true or false, not true", 1),
    "name: a": ("name is a string in quotes, not a", 1),
    "color: BLUE": ("color is one of RED, GREEN, not BLUE", 1),
    "inner: 1": ("inner is a message in braces, not 1", 1),
    "count { }": ("count is a value, not a message", 1),
    "count 1": ("expected a colon after count, not 1", 1),
    "count:\n\n": ("expected a value of count, not the end of the file", 3),
    "count: }": ("expected a value of count, not }", 1),
    "\n}": ("expected the name of a field, not }", 2),
    "inner { dim: 1": ("the message that begins here is never closed", 1),
    "inner { dim: 1 >": ("expected the name of a field, not >", 1),
    "[a.b]: 1": ("expected the name of a field, not [", 1),
    "pad: [1, ]": ("expected a value, not ]", 1),
    "pad: [1 2]": ("expected a comma or ], not 2", 1),
    "pad: [1,": ("expected a value of pad, not the end of the file", 1),
    "name: 'a\n'": ("a string does not end on its line: 'a", 1),
    "name: 'a": ("a string does not end on its line: 'a", 1),
    "count: 1\n@": ("there is no field or value at '@'", 2),
    "count: 3abc": ("there is no field or value at '3abc'", 1),
    r"name: '\q'": (r"a string has an invalid escape: \q", 1),
    r"name: '\x'": (r"a string has an invalid escape: \x", 1),
    r"name: '\ud800'": (r"a string has an invalid escape: \ud800", 1),
    r"name: '\U00110000'": (r"a string has an invalid escape: \U00110000", 1),
    r"name: '\377'": ("the text name is not UTF-8", 1),
    "inner {\n dims: 1 }": ("Inner has no field dims", 2),
    "a {" * 60: ("messages are nested more than 50 deep", 1),
}


@pytest.mark.parametrize("text", REFUSED)
def test_errors_name_the_line(text: str) -> None:
    what, line = REFUSED[text]
    with pytest.raises(MessageError) as caught:
        read(text)
    assert what in caught.value.what and caught.value.at == f"line {line}"


def test_a_wrong_name_suggests_the_right_one() -> None:
    with pytest.raises(MessageError) as caught:
        read("inner { dims: 1 }")
    assert caught.value.hint == "is it dim?"


def test_positions_are_lines() -> None:
    message = prototxt.read(
        "# x\nname: 'a' # y\n\ninners { # z\n  dim: 1\n  dim: 'x' 'y' }".replace("'x' 'y'", "2"), OUTER
    )
    assert message.place("name") == "line 2" and message.place("inners") == "line 4"
    (inner,) = message.all("inners")
    assert inner.place() == "line 4" and inner.places["dim"] == [5, 6]
    assert prototxt.read("\nother: 1", OUTER).unknown == {"other": 2}


def test_the_length_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prototxt, "_MAX_TOKENS", 30)
    assert len(read("pad: 1 " * 10)["pad"]) == 10
    for text in ("pad: 1 " * 11, "a { } " * 11, "name: " + "'' " * 29, "pad: [" + "1," * 20):
        with pytest.raises(MessageError, match="more than 30 names and values"):
            read(text)


@pytest.mark.parametrize("text", ["a: " + "1" * 100_000, "count: " + "1" * 100, "count: 0x" + "f" * 100_000])
def test_numbers_with_many_digits_end_quickly(text: str) -> None:
    if text.startswith("count"):
        with pytest.raises(MessageError, match="whole number"):
            read(text)
    else:
        assert read(text) == {}


def test_what_is_written_can_be_read() -> None:
    values: dict[str, Any] = {
        "name": 'a"b\\c\n\x7fä',
        "count": 3,
        "offset": -1,
        "flag": True,
        "alpha": 1e-05,
        "color": "GREEN",
        "pad": [1, 2],
        "word": [],
        "inner": {"name": "", "dim": [1]},
        "inners": [{}, {"dim": [2]}],
    }
    text = prototxt.encode(OUTER, values)
    expected = text_format.Parse(text, oracle(OUTER)())
    assert read(text) == plain_of_google(expected, OUTER)
    assert "pad: 1\npad: 2\n" in text and 'inner {\n  name: ""\n  dim: 1\n}\n' in text
    assert expected.name == values["name"] and not expected.word


def test_what_is_read_of_damaged_text_is_what_google_reads() -> None:
    google, generator, count = oracle(OUTER), random.Random(0), 0
    texts = [text for text in ALLOWED if not any(part in text for part in ("filler", "other", r"\?", "- 7", "\ufeff"))]
    for _i in range(3 * mutant_count()):
        text = generator.choice(texts) + "\n" + generator.choice(texts)
        for _fault in range(generator.choice((1, 1, 2))):
            at = generator.randrange(len(text))
            text = text[:at] + generator.choice(["", *"{}<>[]:;,-#'\"\\ 0.xfe"]) + text[at + generator.randint(0, 2) :]
        try:
            values = read(text)
        except MessageError:
            continue
        try:
            message = text_format.Parse(text, google())
        except (text_format.ParseError, DeprecationWarning):  # an unknown field, more than 32 bits, or \? in a string
            continue
        assert repr(plain_of_google(message, OUTER)) == repr(values), text
        count += 1
    assert count > mutant_count() // 10
