"""How a net is made: by a registry name, from file.py:name, or as a module that was passed in Python."""

from __future__ import annotations

import difflib
import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from classicnets.errors import UsageError
from classicnets.models.registry import NETS


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Enough to make the net again. `kind` is "registry", "file" or "object"; `sha256` is of the file's text.

    A net of the registry is made for so many classes and channels and one picture size; others are as they are.
    """

    kind: str
    name: str
    path: str = ""
    sha256: str = ""
    num_classes: int = 0
    in_channels: int = 0
    image_size: int = 0

    @property
    def label(self) -> str:
        """A short name that is fit for a folder."""
        return self.name if self.kind != "file" else f"{Path(self.path).stem}_{self.name}"

    @property
    def spec(self) -> str:
        """What one types for it: a registry name or file.py:name."""
        return self.name if self.kind != "file" else f"{Path(self.path).name}:{self.name}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def build(self) -> nn.Module:
        """Makes the net, with fresh weights.

        Raises UsageError CN205 if the file does not give a module, CN207 if it changed since or there is no file.
        """
        if self.kind == "registry":
            return NETS[self.name].load()(self.num_classes, self.in_channels, self.image_size)
        if self.kind == "file":
            if _sha256(Path(self.path)) != self.sha256:
                raise UsageError(
                    "CN207",
                    f"{Path(self.path).name} has changed since the run, or is gone",
                    where=self.path,
                    why="the run's weights belong to the net as it was; net.py in the run folder is a copy of that",
                    hint=f"--net RUN/net.py:{self.name}",
                )
            return _from_file(Path(self.path), self.name)
        raise UsageError(
            "CN207",
            "this run's net was passed as an object in Python, so it cannot be made again from the folder",
            where=self.name,
            hint='in Python: cn.Run("FOLDER", net=my_net)',
        )


def find(spec: str) -> Origin:
    """What NET on the command line means: a registry name, file.py:name, or a run, whose net is made afresh.

    Raises UsageError CN202 for an unknown name (with the nearest one), CN205 for a file that is not there.
    """
    if spec in NETS:
        return Origin(kind="registry", name=spec)
    path, separator, name = spec.rpartition(":")
    if separator and path.endswith(".py"):
        if not Path(path).is_file():
            raise UsageError("CN205", f"there is no file {path}", where=f"NET = {spec}", hint=f"ls {Path(path).parent}")
        full = Path(path).resolve()
        return Origin(kind="file", name=name, path=str(full), sha256=_sha256(full))
    run = Path(spec) / "run.json"
    if run.is_file():
        return Origin(**json.loads(run.read_text(encoding="utf-8"))["net"])
    nearest = difflib.get_close_matches(spec, NETS, 1)
    raise UsageError(
        "CN202",
        f"no net is called {spec!r}",
        where=f"the nets are {', '.join(NETS)}",
        why="NET is a name from this list, file.py:name for a net of your own, or the folder of a run",
        hint=(*nearest, "classicnets list"),
    )


def of_module(net: nn.Module) -> Origin:
    """The origin of a module that was passed in Python."""
    return Origin(kind="object", name=type(net).__name__.lower())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _from_file(path: Path, name: str) -> nn.Module:
    """Runs the file and takes the module called `name`, or what the function of that name returns."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # so that the file can import its neighbours, as a script can
    try:
        spec.loader.exec_module(module)
        found: Any = getattr(module, name, None)
        net = found() if isinstance(found, Callable) and not isinstance(found, nn.Module) else found  # type: ignore[arg-type]
    except Exception as error:
        raise UsageError(
            "CN205",
            f"{path.name}:{name} could not be made",
            where=_line_of(error, path),
            why=f"{type(error).__name__}: {error}",
            hint=f"python {path}",
        ) from error
    finally:
        sys.path.remove(str(path.parent))
    if not isinstance(net, nn.Module):
        names = [key for key, value in vars(module).items() if isinstance(value, nn.Module)]
        raise UsageError(
            "CN205",
            f"{path.name}:{name} is not a net",
            where=str(path),
            why=f"it is {'not defined' if found is None else type(net).__name__}; a torch.nn.Module, or a function"
            " without arguments that returns one, is needed",
            hint=tuple(f"{path}:{key}" for key in names) or f"{name} = nn.Sequential(...) in {path.name}",
        )
    return net


def _line_of(error: BaseException, path: Path) -> str:
    """file:line of the last frame inside the user's file."""
    line, frame = 0, error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename == str(path):
            line = frame.tb_lineno
        frame = frame.tb_next
    return f"{path}:{line}" if line else str(path)
