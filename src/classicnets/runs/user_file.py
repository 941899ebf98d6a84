"""Loads a network from a user's file: runs it like a program of its own, apart from the rest of this process."""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
import sys
import tokenize
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from classicnets import trust
from classicnets.errors import ClassicnetsError
from classicnets.runs import user_file_errors as errors
from classicnets.runs.isolation import isolated
from classicnets.runs.neighbors import Neighbors
from classicnets.text import _

_neighbors: dict[Path, Neighbors] = {}  # of each file, as it was loaded last
_permitted: set[Path] = set()  # files that the user has named, or trusts: they may import any file beside them


def permit(path: Path) -> None:
    """Let a file import whatever lies beside it, because the user has named it or said --trust."""
    _permitted.add(path.resolve())


def load(path: Path, name: str, recorded: Mapping[str, str] | None = None) -> nn.Module:
    """Run a file and return the network `name`, or what the function or class of that name returns.

    With `recorded`, the digests of the files that a run was started with, it imports only these, and those that were
    run with it on this machine before, unless it is permitted to import others.

    While the file runs, `sys.argv` is `[path]`. Its module is in `sys.modules` under a name that depends on path and
    contents, and stays there. The modules beside the file are imported only for it (`neighbors.Neighbors`), and the
    settings of the process are restored (`isolation.isolated`).

    Raises:
        UsageError: CN205 if the file cannot be run, or does not define a network of this name; CN212 if it imports a
            file that is not trusted.
    """
    path = path.resolve()
    source = _read(path)
    stem, digest = re.sub(r"\W", "_", path.stem), hashlib.sha256(str(path).encode() + source).hexdigest()

    def admit(neighbor: str, neighbor_digest: str) -> None:
        """Raise CN212 for a file beside this one that is neither recorded nor trusted."""
        if recorded is None or recorded.get(neighbor) == neighbor_digest:
            return
        together = {"file": hashlib.sha256(source).hexdigest(), "neighbor": neighbor, "sha256": neighbor_digest}
        trust.check(
            trust.digest(together),
            trust=path in _permitted,
            what=_(
                "{file} imports {neighbor}, which is not among the files that the run was started with",
                file=path.name,
                neighbor=neighbor,
            ),
            where=str(path.parent / neighbor),
        )

    neighbors = _neighbors[path] = Neighbors(path.parent, admit)
    module = _make_module(f"{stem}_{digest[:12]}", path, neighbors)

    @contextmanager
    def explained(function: str = "") -> Iterator[None]:
        """Turn errors of the user's code into CN205."""
        try:
            yield
        except (Exception, SystemExit) as error:
            if isinstance(error, ClassicnetsError) and error.code == "CN212":  # of `admit`
                raise
            raise errors.explain(error, path, name, neighbors, function) from error

    with isolated(path), neighbors.visible(), _registered(module):
        with explained():
            exec(compile(source, str(path), "exec", dont_inherit=True), vars(module))
            defined = bool(name) and hasattr(module, name)
            value: Any = getattr(module, name) if defined else None
        if not defined:
            raise errors.not_defined(path, name, module)
        if isinstance(value, nn.Module) or not _is_builder(value):
            net = value
        elif needed := errors.required_arguments(value):
            raise errors.needs_arguments(path, name, needed, is_class=inspect.isclass(value))
        else:
            with explained(name):
                net = value()
        if not isinstance(net, nn.Module) or not errors.has_forward(net):
            raise errors.not_a_network(net, path, name, module, returned=net is not value)
    return net


def digests(path: Path) -> dict[str, str]:
    """SHA-256 of the modules beside a file that it has imported since it was last loaded, by path.

    Paths are relative to the folder of the file, except those of modules in other folders.
    """
    path = path.resolve()
    known = _neighbors[path].digests if path in _neighbors else {}
    return {name: digest for name, digest in sorted(known.items()) if name != path.name}


def _read(path: Path) -> bytes:
    """The contents of the file. Raises UsageError CN205 if that is no text that Python reads."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise errors.unreadable(path, error) from error
    try:
        encoding, _lines = tokenize.detect_encoding(BytesIO(source).readline)
        text = source.decode(encoding)
    except (
        SyntaxError,
        UnicodeDecodeError,
    ) as error:  # the first if the encoding in its first line is unknown
        raise errors.wrong_encoding(path, source, error) from error
    if not text.strip():
        raise errors.empty(path)
    return source


def _make_module(name: str, path: Path, neighbors: Neighbors) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    module = importlib.util.module_from_spec(spec)
    vars(module)["__builtins__"] = neighbors.builtins
    return module


@contextmanager
def _registered(module: ModuleType) -> Iterator[None]:
    """Put a module into sys.modules, for dataclasses, pickle and type hints, and leave it there unless it fails."""
    before = sys.modules.get(module.__name__)
    sys.modules[module.__name__] = module
    try:
        yield
    except BaseException:
        del sys.modules[module.__name__]
        if before is not None:
            sys.modules[module.__name__] = before
        raise


def _is_builder(value: object) -> bool:
    """Whether it is a function, or a class of networks."""
    return issubclass(value, nn.Module) if inspect.isclass(value) else isinstance(value, Callable)  # type: ignore[arg-type]
