"""Reads a pickle as data: nothing that it names is imported, and nothing is called.

A pickle is a program for a stack machine. Here its instructions only build values: names, calls and states of objects
are recorded as `Name` and `Made`, so that a file from a stranger cannot run anything.
"""

from __future__ import annotations

import pickletools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import IO, Any

from classicnets.text import _

_MAX_INSTRUCTIONS = 2_000_000  # a checkpoint of a large network with its optimizer has some 100,000
_MARK = object()
_DICTS = {"collections.OrderedDict", "collections.defaultdict", "builtins.dict", "__builtin__.dict"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_VALUES = {"INT", "LONG", "LONG1", "LONG4", "FLOAT", "STRING", "UNICODE"}  # and all BIN..., SHORT_BIN..., BYTEARRAY8
_IGNORED = {"PROTO", "FRAME"}


@dataclass(frozen=True, slots=True)
class Name:
    """A class or function that the pickle names."""

    text: str  # "module.name"


@dataclass(frozen=True, slots=True)
class Reference:
    """A persistent id: what the pickle expects outside of itself, such as the numbers of a tensor."""

    key: Any


@dataclass(eq=False, slots=True)
class Made:
    """An object that unpickling would make: the callable and its arguments, then what is set on the object."""

    maker: Any
    arguments: Any
    state: Any = None
    items: Any = None  # dict or list

    @property
    def name(self) -> str:
        """The full name of the callable; "" if the pickle computes it."""
        return self.maker.text if isinstance(self.maker, Name) else ""

    def parts(self) -> tuple[Any, ...]:
        """Everything that the object consists of."""
        return self.arguments, self.state, self.items


def read_pickle(file: IO[bytes]) -> Any:
    """Read one pickle from the position of `file`, up to its end.

    Returns:
        Plain Python values; `Name`, `Made` and `Reference` for anything else. Sets are lists.

    Raises:
        ValueError: The pickle is damaged, too long or has instructions that no file of weights needs.
    """
    try:
        return _Machine().run(file)
    except (IndexError, KeyError, TypeError, AttributeError, UnicodeError, OverflowError) as error:
        raise ValueError(_("the pickle is damaged")) from error


def walk(value: Any) -> Iterator[Any]:
    """Yield a value and everything inside it, each object once, without recursion."""
    return (item for item, _parent, _key in walk_places(value))


def walk_places(value: Any) -> Iterator[tuple[Any, int, str]]:
    """Yield what `walk` does with its place: the number of the object that it is in, and the key there.

    Objects are numbered from 0 as they are yielded; the value itself is in -1. The key is "" if it is no text.
    """
    queue: list[tuple[Any, int, str]] = [(value, -1, "")]
    visited = {id(value)}
    for number, entry in enumerate(queue):  # grows in the loop
        yield entry
        item: Any = entry[0]
        inner: Iterable[tuple[Any, Any]] = ()
        if isinstance(item, dict):
            inner = item.items()
        elif isinstance(item, list | tuple):
            inner = (("", part) for part in item)
        elif isinstance(item, Made):
            inner = (("", part) for part in item.parts())
        for key, part in inner:
            if isinstance(part, dict | list | tuple | Made | Reference) and id(part) not in visited:
                visited.add(id(part))
                queue.append((part, number, key if isinstance(key, str) else ""))


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self, file: IO[bytes]) -> Any:
        for count, (instruction, argument, _position) in enumerate(pickletools.genops(file)):
            if count > _MAX_INSTRUCTIONS:
                raise ValueError(_("the pickle has more than {n:,} instructions", n=_MAX_INSTRUCTIONS))
            name = instruction.name
            if name == "STOP":
                return self.pop()
            if name in _IGNORED:
                continue
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif method := getattr(self, f"_{name.lower()}", None):
                method(argument)
            elif name in _VALUES or "BIN" in name or name == "BYTEARRAY8":
                self.stack.append(argument)
            else:
                raise ValueError(_("the pickle has the instruction {name}, which is not read", name=name))
        raise ValueError(_("the pickle is truncated"))

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise ValueError(_("the pickle is damaged"))
        return value

    def pop_to_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError(_("the pickle is damaged"))
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    # One method for each instruction that does more than push its argument.

    def _mark(self, _argument: None) -> None:
        self.stack.append(_MARK)

    def _pop(self, _argument: None) -> None:
        self.stack.pop()

    def _pop_mark(self, _argument: None) -> None:
        self.pop_to_mark()

    def _dup(self, _argument: None) -> None:
        self.stack.append(self.stack[-1])

    def _memoize(self, _argument: None) -> None:
        self.memo[len(self.memo)] = self.stack[-1]

    def _put(self, index: int) -> None:
        self.memo[index] = self.stack[-1]

    _binput = _long_binput = _put

    def _get(self, index: int) -> None:
        self.stack.append(self.memo[index])

    _binget = _long_binget = _get

    def _empty_list(self, _argument: None) -> None:
        self.stack.append([])

    _empty_set = _empty_list

    def _empty_dict(self, _argument: None) -> None:
        self.stack.append({})

    def _empty_tuple(self, _argument: None) -> None:
        self.stack.append(())

    def _list(self, _argument: None) -> None:
        self.stack.append(self.pop_to_mark())

    _frozenset = _list

    def _tuple(self, _argument: None) -> None:
        self.stack.append(tuple(self.pop_to_mark()))

    def _tuple1(self, _argument: None) -> None:
        self._take(1)

    def _tuple2(self, _argument: None) -> None:
        self._take(2)

    def _tuple3(self, _argument: None) -> None:
        self._take(3)

    def _take(self, n: int) -> None:
        values = [self.pop() for _i in range(n)]
        self.stack.append(tuple(reversed(values)))

    def _dict(self, _argument: None) -> None:
        values = self.pop_to_mark()
        self.stack.append({})
        self._set(values)

    def _append(self, _argument: None) -> None:
        self._add([self.pop()])

    def _appends(self, _argument: None) -> None:
        self._add(self.pop_to_mark())

    _additems = _appends

    def _add(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):
            target.items = target.items if isinstance(target.items, list) else []
            target = target.items
        if not isinstance(target, list):
            raise TypeError
        target.extend(values)

    def _setitem(self, _argument: None) -> None:
        value = self.pop()
        self._set([self.pop(), value])

    def _setitems(self, _argument: None) -> None:
        self._set(self.pop_to_mark())

    def _set(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, Made):
            target.items = target.items if isinstance(target.items, dict) else {}
            target = target.items
        if not isinstance(target, dict):
            raise TypeError
        for key, value in zip(pairs[::2], pairs[1::2], strict=True):
            # hashing a tuple that is nested very deeply would overflow the stack of C
            target[key if isinstance(key, str | int | float | bytes | None) else object()] = value

    def _global(self, names: str) -> None:
        self.stack.append(Name(names.replace(" ", ".", 1)))

    def _stack_global(self, _argument: None) -> None:
        name, module = self.pop(), self.pop()
        if not (isinstance(module, str) and isinstance(name, str)):
            raise TypeError
        self.stack.append(Name(f"{module}.{name}"))

    def _reduce(self, _argument: None) -> None:
        arguments = self.pop()
        self._make(self.pop(), arguments)

    _newobj = _reduce

    def _newobj_ex(self, _argument: None) -> None:
        keywords, arguments = self.pop(), self.pop()
        self._make(self.pop(), (arguments, keywords))

    def _obj(self, _argument: None) -> None:
        maker, *arguments = self.pop_to_mark()
        self._make(maker, tuple(arguments))

    def _inst(self, names: str) -> None:
        self._make(Name(names.replace(" ", ".", 1)), tuple(self.pop_to_mark()))

    def _make(self, maker: Any, arguments: Any) -> None:
        if not (isinstance(maker, Name) and maker.text in _DICTS):
            self.stack.append(Made(maker, arguments))
            return
        self.stack.append({})
        if isinstance(arguments, tuple) and arguments and isinstance(pairs := arguments[-1], list | tuple):
            self._set([value for pair in pairs for value in (pair if len(pair) == 2 else ())])

    def _build(self, _argument: None) -> None:
        state, target = self.pop(), self.stack[-1]
        if isinstance(target, Made):
            target.state = state

    def _persid(self, key: Any) -> None:
        self.stack.append(Reference(key))

    def _binpersid(self, _argument: None) -> None:
        self.stack.append(Reference(self.pop()))
