"""How a net is made: by a registry name, from file.py:name, or as a module that was passed in Python; and varied."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from classicnets.errors import UsageError
from classicnets.models.registry import NETS
from classicnets.models.variants import CHOICES, vary
from classicnets.text import assignments, nearest

VARIATIONS = (*CHOICES, "dropout")  # what can be exchanged from outside: `net.activation` and so on on the command line
_PREFIX = "net."


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """Enough to make the net again. `kind` is "registry", "file" or "object"; `sha256` is of the file's text.

    A net of the registry is made for so many classes and channels and one image size; others are as they are.
    `variation` is what `vary` exchanges in it afterwards.
    """

    kind: str
    name: str
    path: str = ""
    sha256: str = ""
    num_classes: int = 0
    in_channels: int = 0
    image_size: int = 0
    variation: dict[str, str | float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name that is fit for a folder: lenet_d2l-relu-max."""
        clear = {key: isinstance(value, str) and value != "none" for key, value in self.variation.items()}
        return "-".join([self._plain, *(f"{v}" if clear[k] else f"{k}_{v}" for k, v in self.variation.items())])

    @property
    def display_name(self) -> str:
        """The net for people: lenet_d2l with activation=relu, pool=max."""
        return f"{self._plain} with {assignments(self.variation)}" if self.variation else self._plain

    @property
    def _plain(self) -> str:
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

        Raises UsageError CN204 if there is nothing to vary as asked, CN205 if the file does not give a module, CN207 if
        it changed since or there is no file.
        """
        net = self._as_it_came()
        if not self.variation:
            return net
        exchanged: dict[str, Any] = {**self.variation}
        try:
            return vary(net, **exchanged)
        except ValueError as error:
            raise UsageError(
                "CN204",
                f"{self._plain} cannot be varied like this",
                where=assignments(self.variation, _PREFIX),
                why=str(error),
                hint=f"classicnets show {self.spec}",
            ) from error

    def _as_it_came(self) -> nn.Module:
        if self.kind == "registry":
            try:
                return NETS[self.name].load()(self.num_classes, self.in_channels, self.image_size)
            except ValueError as error:  # a net that its source defines for some numbers only
                raise UsageError(
                    "CN204",
                    f"{self.name} cannot be made like this",
                    where=f"{self.num_classes} classes, {self.in_channels} channels, {self.image_size} pixels",
                    why=str(error),
                    hint=f"classicnets show {self.name}",
                ) from error
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


def find(spec: str) -> NetSpec:
    """What NET on the command line means: a registry name, file.py:name, or a run, whose net is made afresh.

    Raises UsageError CN202 for an unknown name (with the nearest one), CN205 for a file that is not there.
    """
    if spec in NETS:
        return NetSpec(kind="registry", name=spec)
    path, separator, name = spec.rpartition(":")
    if separator and path.endswith(".py"):
        if not Path(path).is_file():
            raise UsageError("CN205", f"there is no file {path}", where=f"NET = {spec}", hint=f"ls {Path(path).parent}")
        full = Path(path).resolve()
        return NetSpec(kind="file", name=name, path=str(full), sha256=_sha256(full))
    run = Path(spec) / "run.json"
    if run.is_file():
        return NetSpec(**json.loads(run.read_text(encoding="utf-8"))["net"])
    raise UsageError(
        "CN202",
        f"no net is called {spec!r}",
        where=f"the nets are {', '.join(NETS)}",
        why="NET is a name from this list, file.py:name for a net of your own, or the folder of a run",
        hint=(*filter(None, [nearest(spec, NETS)]), "classicnets list"),
    )


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Settings that vary the net (without their `net.`), and all others.

    Raises UsageError CN202 for one that varies the net but lacks the `net.`.
    """
    for key, value in settings.items():
        if key in VARIATIONS:
            raise UsageError(
                "CN202",
                f"{key!r} is not a setting of a recipe: it varies the net",
                where=f"--set {key}={value}",
                hint=(f"--set {_PREFIX}{key}={value}", f'in Python: variation={{"{key}": {value!r}}}'),
            )
    variation = {k.removeprefix(_PREFIX): v for k, v in settings.items() if k.startswith(_PREFIX)}
    return variation, {k: v for k, v in settings.items() if not k.startswith(_PREFIX)}


def with_variation(made: NetSpec, variation: Mapping[str, Any]) -> NetSpec:
    """`made` with these layers exchanged as well: text from the command line, or values from Python.

    Raises UsageError CN202 for what cannot be exchanged (with the nearest that can), CN204 for all faulty values.
    """
    faults, typed = [], dict(made.variation)
    for key, value in variation.items():
        said = f"{_PREFIX}{key}={value}"
        if key not in VARIATIONS:
            near = nearest(key, VARIATIONS)
            raise UsageError(
                "CN202",
                f"{_PREFIX + key!r} is not a setting of a net",
                where=f"--set {said}",
                why=f"the settings are {', '.join(_PREFIX + name for name in VARIATIONS)}",
                hint=f"--set {_PREFIX}{near}={value}" if near else f"--set {_PREFIX}activation=relu",
            )
        typed[key] = str(value)
        if key in CHOICES and value not in CHOICES[key]:
            faults.append(f"{said}: must be one of {', '.join(CHOICES[key])}")
        elif key not in CHOICES:
            try:
                typed[key] = float(value)
                if not 0 <= float(value) < 1:
                    faults.append(f"{said}: must be a probability, from 0 to below 1")
            except (TypeError, ValueError):
                faults.append(f"{said}: must be a number")
    if faults:
        raise UsageError(
            "CN204",
            "the net cannot be varied like this",
            where=assignments(variation, _PREFIX),
            why="\n".join(faults),
            hint=f"classicnets show {made.spec}",
        )
    return replace(made, variation={key: typed[key] for key in VARIATIONS if key in typed})


def from_module(net: nn.Module) -> NetSpec:
    """The origin of a module that was passed in Python."""
    return NetSpec(kind="object", name=type(net).__name__.lower())


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""


def _from_file(path: Path, name: str) -> nn.Module:
    """Runs the file and takes the module called `name`, or what the function of that name returns."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent))  # so that the file can import its neighbors, as a script can
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
