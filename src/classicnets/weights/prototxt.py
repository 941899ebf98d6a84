r"""The text form of Protocol Buffers, as in .prototxt files: a reader that a schema drives, and a writer.

    layer { name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
            convolution_param { num_output: 96 kernel_size: [11, 11] } }   # a comment

Source of the format: https://protobuf.dev/reference/protobuf/textformat-spec/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, NoReturn

from classicnets.text import _, nearest
from classicnets.weights.messages import SKIP, Enum, Field, Message, MessageError, Schema, float32, place

_MAX_DEPTH = 50
_MAX_TOKENS = 200_000  # a network with 1,000 layers has some 40,000
_MAX_DIGITS = 64
_TOKEN = re.compile(
    r"""(?P<space>(?:\s++|\#[^\n]*+)++)
      | (?P<name>[A-Za-z_][A-Za-z0-9_]*+)
      | (?P<number>(?:0[xX][0-9a-fA-F]++|\d++\.?\d*+(?:[eE][+-]?\d++)?[fF]?|\.\d++(?:[eE][+-]?\d++)?[fF]?)(?![\w.]))
      | (?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')
      | (?P<mark>[{}<>\[\]:;,-])""",
    re.VERBOSE,
)
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|[xX]([0-9a-fA-F]{1,2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))")
_ESCAPES = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"a": b"\a", b"b": b"\b", b"f": b"\f", b"v": b"\v"}
_LITERALS = (b"\\", b"'", b'"', b"?")
_INTEGER = re.compile(r"0[xX][0-9a-fA-F]+|[0-9]+")
_INFINITE = {"inf", "infinity", "nan"}
_BOOLS = {"true": True, "True": True, "t": True, "1": True, "false": False, "False": False, "f": False, "0": False}
_CLOSING = {"{": "}", "<": ">"}


def read(text: str, schema: Schema) -> Message:
    """Read a message.

    Args:
        text: the whole file.
        schema: what the file contains. The contents of fields that it does not have are skipped.

    Raises:
        MessageError: the text is not such a message; it names the line.
    """
    return _Parser(text).file(schema)


class _Token(NamedTuple):
    kind: str  # "name", "number", "string", "mark" or "end"
    text: str
    line: int


def _tokens(text: str) -> Iterator[_Token]:
    at, line, count = 0, 1, 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            shown = text[at : at + 20].partition("\n")[0]
            if shown[0] in "\"'":
                raise _error(line, _("a string does not end on its line: {text}", text=shown))
            raise _error(line, _("there is no field or value at {text!r}", text=shown))
        at, kind = match.end(), match.lastgroup or ""
        if kind == "space":
            line += match[0].count("\n")
            continue
        count += 1
        if count > _MAX_TOKENS:
            raise _error(line, _("the file has more than {n:,} names and values", n=_MAX_TOKENS))
        yield _Token(kind, match[0], line)
    yield _Token("end", "", line)


def _error(line: int, what: str, *, hint: str = "") -> MessageError:
    return MessageError(what, place(line, in_text=True), hint=hint)


class _Parser:
    """Recursive descent over the tokens, of which one is looked at in advance."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text.removeprefix("\ufeff"))
        self.token = next(self.tokens)

    def take(self) -> _Token:
        """Return the token, and go on to the next one."""
        current = self.token
        self.token = next(self.tokens, current)
        return current

    def is_mark(self, marks: str) -> bool:
        """Return whether the token is one of the marks."""
        return self.token.kind == "mark" and self.token.text in marks

    def expected(self, what: str) -> NoReturn:
        found = self.token.text[:30] or _("the end of the file")
        raise _error(self.token.line, _("expected {what}, not {found}", what=what, found=found))

    def file(self, schema: Schema) -> Message:
        message = Message(schema, 1, in_text=True)
        self.fields(message, schema, "", 1)
        return message

    def fields(self, message: Message | None, schema: Schema | None, closing: str, depth: int) -> None:
        """Read the fields up to a closing mark, or to the end of the file; without a message, skip them."""
        if depth > _MAX_DEPTH:
            raise _error(self.token.line, _("messages are nested more than {n} deep", n=_MAX_DEPTH))
        opened = self.token.line
        while not (self.is_mark(closing) if closing else self.token.kind == "end"):
            if self.token.kind == "end":
                raise _error(opened, _("the message that begins here is never closed"))
            if self.token.kind != "name":
                self.expected(_("the name of a field"))
            name = self.take()
            self.field(name, message, self.known(name, schema), depth)
            if self.is_mark(";,"):
                self.take()
        self.take()

    def known(self, name: _Token, schema: Schema | None) -> Field | None:
        """The field with a name; None if it is to be skipped."""
        known = schema.by_name.get(name.text) if schema else None
        if known is None and schema and schema.closed:
            near = nearest(name.text, schema.by_name)
            raise _error(
                name.line,
                _("{message} has no field {field}", message=schema.name, field=name.text),
                hint=_("is it {name}?", name=near) if near else "",
            )
        return known

    def field(self, name: _Token, message: Message | None, known: Field | None, depth: int) -> None:
        """Read what follows the name of a field."""
        if message is not None and (known is None or known.kind == SKIP):
            message.unknown.setdefault(name.text, name.line)
        has_colon = self.is_mark(":")
        if has_colon:
            self.take()
        if self.is_mark("["):
            self.take()
            while not self.is_mark("]"):
                self.value(name, message, known, depth)
                if not self.is_mark("],"):
                    self.expected(_("a comma or ]"))
                if self.is_mark(","):
                    self.take()
                    if self.is_mark("]"):
                        self.expected(_("a value"))
            self.take()
        elif has_colon or self.is_mark("{<"):
            self.value(name, message, known, depth)
        else:
            self.expected(_("a colon after {name}", name=name.text))

    def value(self, name: _Token, message: Message | None, known: Field | None, depth: int) -> None:
        """Read one value of a field into `message`."""
        is_kept = message is not None and known is not None and known.kind != SKIP
        line = self.token.line
        value: Any
        if self.is_mark("{<"):
            closing = _CLOSING[self.take().text]
            value = None
            if known is not None and isinstance(known.kind, Schema):
                value = Message(known.kind, name.line, in_text=True)
            elif is_kept:
                raise _error(line, _("{field} is a value, not a message", field=name.text))
            self.fields(value, value.schema if value else None, closing, depth + 1)
        else:
            text, kind = self.scalar(name.text)
            if is_kept and known is not None:
                value = _converted(known, text, kind, line)
        if is_kept and message is not None and known is not None:
            if known.name in message and not known.is_repeated:
                first = message.places[known.name][0]
                raise _error(line, _("{field} is given twice, first on line {n}", field=name.text, n=first))
            message.add(known.name, value, name.line)

    def scalar(self, field: str) -> tuple[str, str]:
        """Read a value that is not a message: its text, with its sign, and its kind."""
        if self.token.kind == "string":
            line, parts = self.token.line, list[bytes]()
            while self.token.kind == "string":
                parts.append(_unescaped(self.take()))
            try:
                return b"".join(parts).decode(), "string"
            except UnicodeDecodeError as error:
                raise _error(line, _("the text {field} is not UTF-8", field=field)) from error
        sign = self.take().text if self.is_mark("-") else ""
        if self.token.kind not in ("number", "name"):
            self.expected(_("a value of {name}", name=field))
        token = self.take()
        if sign and token.kind == "name" and token.text.lower() not in _INFINITE:
            raise _error(token.line, _("{text} is not a number", text=sign + token.text))
        return sign + token.text, token.kind


def _unescaped(token: _Token) -> bytes:
    """The bytes of a string."""

    def replace(match: re.Match[bytes]) -> bytes:
        octal, hexadecimal, short, long, other = match.groups()
        if octal or hexadecimal:
            return bytes([(int(octal, 8) if octal else int(hexadecimal, 16)) & 0xFF])
        if short or long:
            code = int(short or long, 16)
            if code > 0x10FFFF or 0xD800 <= code < 0xE000:
                raise _error(token.line, _("a string has an invalid escape: {text}", text=match[0].decode()))
            return chr(code).encode()
        if other in _ESCAPES or other in _LITERALS:
            return _ESCAPES.get(other, other)
        raise _error(token.line, _("a string has an invalid escape: {text}", text=match[0].decode("utf-8", "replace")))

    return _ESCAPE.sub(replace, token.text[1:-1].encode("utf-8", "surrogatepass"))


def _converted(known: Field, text: str, kind: str, line: int) -> Any:
    """The value of a scalar of the kind that its field has."""
    if known.kind == "string":
        if kind == "string":
            return text
        what = _("a string in quotes")
    elif isinstance(known.kind, Enum):
        if text in known.kind.numbers:
            return text
        if name := next((name for name, number in known.kind.numbers.items() if str(number) == text), ""):
            return name
        what = _("one of {names}", names=", ".join(known.kind.numbers))
    elif known.kind == "bool":
        if text in _BOOLS and kind != "string":
            return _BOOLS[text]
        what = _("true or false")
    elif known.kind in ("int", "uint"):
        is_integer = _INTEGER.fullmatch(text.removeprefix("-")) and len(text) <= _MAX_DIGITS and kind == "number"
        if is_integer and (known.kind == "int" or text[0] != "-"):
            value = _integer(text.removeprefix("-"))
            if value is not None:
                return -value if text[0] == "-" else value
        what = _("a whole number") if known.kind == "int" else _("a whole number from 0 on")
    elif known.kind in ("float", "floats", "doubles"):
        value_text = text.lower().removeprefix("-")
        if kind == "name" and value_text in _INFINITE:
            return float(text)
        if kind == "number" and len(text) <= _MAX_DIGITS and not re.match("0[0-9x]", value_text):  # decimal
            number = float(text.rstrip("fF"))
            return number if known.kind == "doubles" else float32(number)
        what = _("a number")
    else:
        what = _("a message in braces")
    raise _error(line, _("{field} is {what}, not {text}", field=known.name, what=what, text=text[:40]))


def _integer(digits: str) -> int | None:
    """The value of decimal, octal or hexadecimal digits; None if they are none."""
    base = 16 if digits[:2] in ("0x", "0X") else 8 if digits[0] == "0" else 10
    try:
        return int(digits, base)
    except ValueError:  # 08
        return None


# ------------------------------------------------------------------------------------------------------------- writing


def encode(schema: Schema, values: Mapping[str, Any], indent: str = "") -> str:
    """Write a message of settings, with a line for each field, in the order of `values`.

    Args:
        schema: the message.
        values: values by field name: lists for repeated fields, names for enums, mappings for messages.
        indent: what each line begins with.
    """
    lines = []
    for name, value in values.items():
        known = schema.by_name[name]
        for each in value if known.is_repeated else [value]:
            if isinstance(known.kind, Schema):
                lines.append(f"{indent}{name} {{\n{encode(known.kind, each, indent + '  ')}{indent}}}\n")
            else:
                lines.append(f"{indent}{name}: {_text(known, each)}\n")
    return "".join(lines)


def _text(known: Field, value: Any) -> str:
    if known.kind == "string":
        escaped = value.replace("\\", r"\\").replace('"', r"\"")
        return '"' + re.sub(r"[\x00-\x1f\x7f]", lambda match: f"\\{ord(match[0]):03o}", escaped) + '"'
    return ("true" if value else "false") if known.kind == "bool" else str(value)
