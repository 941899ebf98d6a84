"""The modules beside a user's file: importable for that file, invisible for the rest of the process."""

from __future__ import annotations

import builtins
import hashlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.abc import MetaPathFinder
from importlib.machinery import (
    BYTECODE_SUFFIXES,
    EXTENSION_SUFFIXES,
    SOURCE_SUFFIXES,
    ExtensionFileLoader,
    FileFinder,
    ModuleSpec,
    PathFinder,
    SourceFileLoader,
    SourcelessFileLoader,
)
from pathlib import Path
from types import ModuleType
from typing import NoReturn

# Never replaced by a neighbor, because modules of others that are imported meanwhile would keep the neighbor.
STANDARD = sys.stdlib_module_names | {"__main__", "classicnets", "numpy", "torch"}

_lock = threading.RLock()  # sys.modules shows the neighbors of one file at a time


class Neighbors(MetaPathFinder):
    """The modules that a file finds in its folder, and in folders that it adds to `sys.path`.

    They are in `sys.modules` only while the file runs (see `visible`), so that files in two folders never get each
    other's modules. `builtins` are for the globals of the file: with them, import statements in its functions find the
    neighbors later, too.

    Args:
        folder: The folder of the file.
        admit: Is given path (as in `digests`) and SHA-256 of each neighbor before it runs, and raises an error if it
            must not run.
    """

    def __init__(self, folder: Path, admit: Callable[[str, str], None] = lambda _path, _digest: None):
        self.folder, self.admit = folder, admit
        self.digests: dict[str, str] = {}  # SHA-256 of each file, by its path, which is relative inside of the folder
        # the exit() of Python would also close standard input
        self.builtins = {**vars(builtins), "__import__": self._import, "exit": sys.exit, "quit": sys.exit}
        self._added_folders: list[str] = []
        self._finders: dict[str, FileFinder] = {}
        self._names: set[str] = set()  # top-level modules that were found here
        self._modules: dict[str, ModuleType] = {}  # the neighbors, while they are not in sys.modules
        self._hidden: dict[str, ModuleType] = {}  # other modules of these names, while the neighbors are there
        self._outside: list[str] | None = None  # sys.path without our folders, while the neighbors are there

    @contextmanager
    def visible(self) -> Iterator[None]:
        """While open, imports find the neighbors, even if other modules of the same names are already imported."""
        with _lock:
            if self._outside is not None:
                yield
                return
            self._outside, self._finders = [*sys.path], {}  # new finders, because files may have been created
            sys.path[:0] = [str(self.folder), *self._added_folders]  # as for a script
            self._hide({name.partition(".")[0] for name in sys.modules})
            sys.modules.update(self._modules)
            sys.meta_path.insert(0, self)
            try:
                yield
            finally:
                sys.meta_path.remove(self)
                added = [path for path in self._folders() if path != str(self.folder)]
                self._added_folders = [str(Path(path).absolute()) for path in added]
                sys.path[:], self._outside = self._outside, None
                self._modules = _take_out(self._names)
                sys.modules.update(self._hidden)
                self._hidden.clear()

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, _target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module in the folders of the file, or below a package in them (see importlib.abc.MetaPathFinder)."""
        top = name.partition(".")[0]
        if path is not None:
            return self._find(name, path) if top in self._names else None
        if top in STANDARD:
            return PathFinder.find_spec(name, self._outside)
        spec = self._find_top(name)
        if spec is not None:
            self._names.add(top)
        return spec

    def has(self, name: str) -> bool:
        """Whether a file or a folder beside the user's file has the name of this top-level module."""
        return self._find(name, self._folders()) is not None

    def file_names(self) -> list[str]:
        """The names of the modules in the folder."""
        return sorted(path.stem for path in self.folder.glob("*.py"))

    def shadowed_by_standard(self, name: str) -> str:
        """The file beside the user's file that is not imported because `name` is a standard module; "" if none is."""
        spec = self._find(name, [str(self.folder)]) if name in STANDARD else None
        return Path(spec.origin).name if spec and spec.origin else ""

    def _import(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Replace `__import__`, which import statements call."""
        top = name.partition(".")[0]
        if not level and (top in STANDARD or not (top in self._names or self._find_top(top))):
            return builtins.__import__(name, globals, locals, fromlist or (), level)
        with self.visible():
            if not level and top not in self._names:
                self._hide([top])  # not hidden yet if the file has added its folder to sys.path
            return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _hide(self, names: Iterable[str]) -> None:
        """Take the modules of others out of sys.modules whose top-level names are those of neighbors."""
        candidates = {*names} - STANDARD
        self._hidden |= _take_out({name for name in candidates if name in self._names or self._find_top(name)})

    def _find_top(self, name: str) -> ModuleSpec | None:
        spec = self._find(name, self._folders())
        if spec is None or spec.loader is not None:
            return spec
        # a folder without __init__.py, which is a package only if there is no other module of this name
        other = PathFinder.find_spec(name, self._outside)
        return spec if other is None or other.origin is None else None

    def _find(self, name: str, folders: Iterable[str]) -> ModuleSpec | None:
        parts: list[str] = []  # of a package without __init__.py
        for folder in folders:
            if folder not in self._finders:
                kinds = (_Source, SOURCE_SUFFIXES), (_Extension, EXTENSION_SUFFIXES), (_Bytecode, BYTECODE_SUFFIXES)
                loaders = [(partial(loader, self), suffixes) for loader, suffixes in kinds]
                self._finders[folder] = FileFinder(folder, *loaders)  # type: ignore[arg-type]
            spec = self._finders[folder].find_spec(name)
            if spec is not None and spec.loader is not None:
                return spec
            parts += (spec and spec.submodule_search_locations) or []
        if not parts:
            return None
        package = ModuleSpec(name, None, is_package=True)
        package.submodule_search_locations = parts
        return package

    def _folders(self) -> list[str]:
        """The folder of the file, and those that it has added to sys.path, except those of installed packages."""
        folder, outside = str(self.folder), self._outside
        if outside is None:
            return [folder, *self._added_folders]
        own = [path for path in sys.path if isinstance(path, str) and (path == folder or path not in outside)]
        return [path for path in own if not {"site-packages", "dist-packages"} & {*Path(path).parts}]

    def record(self, path: str, data: bytes) -> None:
        """Record the digest of a file that is about to run, if it may run."""
        file = Path(path)
        name = file.relative_to(self.folder).as_posix() if file.is_relative_to(self.folder) else path
        digest = hashlib.sha256(data).hexdigest()
        self.admit(name, digest)
        self.digests[name] = digest


class _Source(SourceFileLoader):
    """Load a neighbor from its source, with the builtins of `neighbors`."""

    def __init__(self, neighbors: Neighbors, name: str, path: str):
        super().__init__(name, path)
        self.neighbors = neighbors

    def path_stats(self, path: str) -> NoReturn:  # noqa: ARG002
        """Decline to cache bytecode: a file that changes within a second would not be read again."""
        raise OSError

    def get_data(self, path: str) -> bytes:
        """Read the file and record its digest."""
        data = super().get_data(path)
        self.neighbors.record(path, data)
        return data

    def exec_module(self, module: ModuleType) -> None:
        """Run the file."""
        vars(module)["__builtins__"] = self.neighbors.builtins
        super().exec_module(module)


class _Bytecode(SourcelessFileLoader):
    """Load a neighbor of which only the bytecode is there."""

    def __init__(self, neighbors: Neighbors, name: str, path: str):
        super().__init__(name, path)
        self.neighbors = neighbors

    def get_data(self, path: str) -> bytes:
        """Read the file and record its digest."""
        data = super().get_data(path)
        self.neighbors.record(path, data)
        return data


class _Extension(ExtensionFileLoader):
    """Load a neighbor that is compiled, such as from C."""

    def __init__(self, neighbors: Neighbors, name: str, path: str):
        super().__init__(name, path)
        self.neighbors = neighbors

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Record the digest of the file, and open it."""
        self.neighbors.record(self.path, self.get_data(self.path))
        return super().create_module(spec)


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Remove the top-level modules of these names and their submodules from sys.modules, and return them."""
    taken = [name for name in sys.modules if name.partition(".")[0] in names]
    return {name: sys.modules.pop(name) for name in taken}
