"""How a network is built: from the registry, from file.py:name, from a graph, or as a module from Python.

Layers of each can be replaced by a variation.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from classicnets import trust
from classicnets.errors import UsageError
from classicnets.models.graph import Graph
from classicnets.models.messages import reason
from classicnets.models.modules import unwrap
from classicnets.models.registry import NETS
from classicnets.models.variants import CHOICES, MAX_WIDTH, MIN_WIDTH, PROBABILITIES, vary
from classicnets.runs import graph_file, user_file
from classicnets.text import _, assignments, command, join, nearest, plural

VARIATIONS = (*CHOICES, *PROBABILITIES, "width", "output")  # with the prefix `net.` on the command line
_PREFIX = "net."


@dataclass(frozen=True, kw_only=True)
class NetSpec:
    """Everything that is needed to rebuild a network. `kind` is "registry", "file", "graph" or "object".

    `path` and `sha256` are those of the file, and `neighbors` has the SHA-256 of the modules beside it that it imports,
    by path relative to its folder (see `with_neighbors`). `graph` has the input and the nodes of a graph, so that the
    file that they come from is not needed again. A network of the registry is built for `num_classes`, `in_channels`
    and `image_size`; others have these built in. `variation` is applied to it with `vary`.
    """

    kind: str
    name: str
    path: str = ""
    sha256: str = ""
    neighbors: dict[str, str] = field(default_factory=dict)
    graph: dict[str, Any] = field(default_factory=dict)
    num_classes: int = 0
    in_channels: int = 0
    image_size: int = 0
    variation: dict[str, str | float] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """A short name for folders: lenet_d2l-relu-max."""
        words = [
            value if key in CHOICES and isinstance(value, str) and value != "none" else f"{key}_{value}"
            for key, value in self.variation.items()
        ]
        name = self._name_without_variation
        return "-".join([graph_file.label(name) if self.kind == "graph" else name, *words])

    @property
    def display_name(self) -> str:
        """The name as printed: lenet_d2l with activation=relu, pool=max."""
        name = self._name_without_variation
        return _("{name} with {changes}", name=name, changes=assignments(self.variation)) if self.variation else name

    @property
    def _name_without_variation(self) -> str:
        return self.name if self.kind != "file" else f"{Path(self.path).stem}_{self.name}"

    @property
    def spec(self) -> str:
        """The argument NET on the command line: a registry name, file.py:name or a graph file."""
        if self.kind == "graph":  # never the name alone, which may be that of a network of the registry
            return Path(self.path).name if self.path else f"{graph_file.label(self.name)}.graph{graph_file.SUFFIX}"
        return self.name if self.kind != "file" else f"{Path(self.path).name}:{self.name}"

    @property
    def argument(self) -> str:
        """The argument NET of a command that can be pasted: as `spec`, but with the full path of the file."""
        if self.kind == "graph":
            return self.path or self.spec
        return self.name if self.kind != "file" else f"{self.path}:{self.name}"

    @property
    def code_digest(self) -> str:
        """Digest of the code that `build` runs, wherever its files lie; see `classicnets.trust`."""
        return trust.digest({"name": self.name, "sha256": self.sha256, "neighbors": self.neighbors})

    @property
    def own_size(self) -> int | None:
        """Height and width in pixels of the images that its source is for; None if that is not known."""
        if self.kind == "graph":
            _channels, height, width = self.graph["input"]
            return int(height) if height == width else None
        return NETS[self.name].input[1] if self.kind == "registry" else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        values = asdict(self)
        for key in ("neighbors", "graph"):
            if not values[key]:
                del values[key]
        return values

    def read_graph(self) -> Graph:
        """Return the graph of a network that is one. Raises ValueError if it is not valid."""
        return Graph.from_json({"name": self.name, **self.graph})

    def with_neighbors(self) -> NetSpec:
        """Return a copy with the modules that the file has imported when it was loaded last in this process."""
        return replace(self, neighbors=user_file.digests(Path(self.path))) if self.kind == "file" else self

    def build(self) -> nn.Module:
        """Build the network with new weights.

        Raises:
            UsageError: CN204 if the variation cannot be applied, CN205 if the file does not define a module, or the
                graph no network, CN207 if the file has changed or does not exist, or if the network was passed as a
                module, CN212 if it imports files that are not trusted.
        """
        return self.vary(self._build_without_variation())

    def vary(self, net: nn.Module) -> nn.Module:
        """Apply the variation to a copy of `net`. Raises UsageError CN204 if it cannot be applied."""
        if not self.variation:
            return net
        variation: dict[str, Any] = {**self.variation}
        try:
            return vary(net, **variation)
        except ValueError as error:
            raise UsageError(
                "CN204",
                _("this variation cannot be applied to {net}", net=self._name_without_variation),
                where=assignments(self.variation, _PREFIX),
                why=reason(error, _),
                hint="cn.show(net)" if self.kind == "object" else command("classicnets", "show", self.argument),
            ) from error

    def build_for_shapes(self) -> nn.Module:
        """Build the network to check shapes only: without data, unless it is code. Raises what `build` raises."""
        with torch.device("meta" if self.kind in {"registry", "graph"} else "cpu"):
            return self.build()

    def _build_without_variation(self) -> nn.Module:
        if self.kind == "registry":
            try:
                return NETS[self.name].load()(self.num_classes, self.in_channels, self.image_size)
            except ValueError as error:  # its source defines the network only for some numbers
                raise UsageError(
                    "CN204",
                    _("{net} cannot be built for these numbers", net=self.name),
                    where=_(
                        "{classes} classes, {channels} channels, images of {size} pixels",
                        classes=self.num_classes,
                        channels=self.in_channels,
                        size=self.image_size,
                    ),
                    why=reason(error, _),
                    hint=command("classicnets", "show", self.name),
                ) from error
        if self.kind == "graph":
            try:
                return self.read_graph().build()
            except ValueError as error:
                raise graph_file.invalid(self.argument, error) from error
        if self.kind == "file":
            path = Path(self.path)
            files = {path: self.sha256, **{path.parent / name: digest for name, digest in self.neighbors.items()}}
            if changed := [file for file, digest in files.items() if _sha256(file) != digest]:
                raise UsageError(
                    "CN207",
                    plural(
                        "{files} has changed since the run was started, or does not exist",
                        "{files} have changed since the run was started, or do not exist",
                        len(changed),
                        files=join([file.name for file in changed]),
                    ),
                    where=", ".join(map(str, changed)),
                    why=_(
                        "the weights of the run belong to the earlier files; the run folder has a copy of them, and"
                        " net.py is that of {file}",
                        file=path.name,
                    )
                    if self.neighbors
                    else _(
                        "the weights of the run belong to the earlier file; net.py in the run folder is a copy of it"
                    ),
                    hint=(
                        _(
                            "{option}   # to evaluate, predict or export with the copy",
                            option=command("--net", f"RUN/net.py:{self.name}"),
                        ),
                        _(
                            "{command}   # to resume, restores the earlier file",
                            command=command("cp", "RUN/net.py", Path(self.path)),
                        ),
                    ),
                )
            return unwrap(user_file.load(path, self.name, self.neighbors))
        raise UsageError(
            "CN207",
            _("the network of this run was passed as a module in Python, so it cannot be rebuilt from the folder"),
            where=self.name,
            hint='in Python: cn.Run("FOLDER", net=my_net)',
        )


def find(spec: str) -> NetSpec:
    """Resolve a registry name, file.py:name or a graph file; see `folder.find_net` for run folders.

    Raises:
        UsageError: CN202 for an unknown name, with the nearest one; CN205 for a file that does not exist, or that is no
            graph.
    """
    if spec in NETS:
        return NetSpec(kind="registry", name=spec)
    if spec.endswith(graph_file.SUFFIX):
        return from_graph(graph_file.read(Path(spec)), Path(spec))
    path, separator, name = spec.rpartition(":")
    if separator and path.endswith(".py"):
        if not Path(path).is_file():
            message = _("the file {path} does not exist", path=path)
            if Path(path).is_dir():
                message = _("{path} is a folder, not a Python file", path=path)
            raise UsageError("CN205", message, where=f"NET = {spec}", hint=_existing_file(Path(path), name))
        full = Path(path).resolve()
        user_file.permit(full)
        return NetSpec(kind="file", name=name, path=str(full), sha256=_sha256(full))
    if spec.endswith(".py") and Path(spec).is_file():
        raise UsageError(
            "CN205",
            _("the name of the network in {file} is missing", file=Path(spec).name),
            where=f"NET = {spec}",
            why=_("your own network is FILE:NAME; NAME is a torch.nn.Module, or a function that returns one"),
            hint=command(f"{spec}:net"),
        )
    suggestion = nearest(spec, NETS)
    raise UsageError(
        "CN202",
        _("there is no network {name!r}; did you mean {suggestion}?", name=spec, suggestion=suggestion)
        if suggestion
        else _("there is no network {name!r}", name=spec),
        where=_("the networks are {names}", names=", ".join(NETS)),
        why=_("NET must be a name from this list, file.py:name for your own network, a graph file, or a run folder"),
        hint="classicnets list",
    )


def _existing_file(path: Path, name: str) -> str:
    """A hint for a file that does not exist: the nearest Python file beside it, else the files there."""
    folder = next(folder for folder in (path.parent, *path.absolute().parents) if folder.is_dir())
    files = {file.name: file for file in folder.glob("*.py")}
    near = nearest(path.name, files)
    return command("classicnets", "show", f"{files[near]}:{name}") if near else command("ls", folder)


def split(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Split settings into those of the network, without their prefix `net.`, and those of the recipe.

    Raises:
        UsageError: CN202 for a setting of the network without the prefix.
    """
    for key, value in settings.items():
        if key in VARIATIONS:
            raise UsageError(
                "CN202",
                _("{key!r} is a setting of the network, not of the recipe", key=key),
                where=command("--set", f"{key}={value}"),
                hint=(command("--set", f"{_PREFIX}{key}={value}"), f'in Python: variation={{"{key}": {value!r}}}'),
            )
    variation = {k.removeprefix(_PREFIX): v for k, v in settings.items() if k.startswith(_PREFIX)}
    return variation, {k: v for k, v in settings.items() if not k.startswith(_PREFIX)}


def with_variation(spec: NetSpec, variation: Mapping[str, Any]) -> NetSpec:
    """Return `spec` with more layers replaced; values are text from the command line, or values from Python.

    Raises:
        UsageError: CN202 for an unknown name, with the nearest one; CN204 for invalid values, with all of them.
    """
    errors, repairs, typed = [], [], dict(spec.variation)
    for key, value in variation.items():
        setting = f"{_PREFIX}{key}={value}"
        if key not in VARIATIONS:
            near = nearest(key, VARIATIONS)
            raise UsageError(
                "CN202",
                _("{key!r} is not a setting of a network", key=_PREFIX + key),
                where=command("--set", setting),
                why=_("the settings are {names}", names=", ".join(_PREFIX + name for name in VARIATIONS)),
                hint=command("--set", f"{_PREFIX}{near}={value}" if near else f"{_PREFIX}activation=relu"),
            )
        typed[key] = str(value)
        if key in CHOICES and value not in CHOICES[key]:
            repairs.append(f"{_PREFIX}{key}={nearest(str(value), CHOICES[key]) or CHOICES[key][0]}")
            errors.append(_("{setting}: must be one of {names}", setting=setting, names=", ".join(CHOICES[key])))
        elif key not in (*CHOICES, "output"):
            typed[key], error = _number(key, value, setting)
            if error:
                repairs.append(f"{_PREFIX}{key}=0.5")
                errors.append(error)
    if errors:
        raise UsageError(
            "CN204",
            _("the variation of the network is not valid"),
            where=assignments(variation, _PREFIX),
            why="\n".join(errors),
            hint=command("--set", *repairs),
        )
    return replace(spec, variation={key: typed[key] for key in VARIATIONS if key in typed})


def _number(key: str, value: Any, setting: str) -> tuple[float, str]:
    """A value of a variation as a number, and what is wrong with it; "" if it is valid."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return 0.0, _("{setting}: must be a number", setting=setting)
    if key in PROBABILITIES and not 0 <= number < 1:
        return number, _("{setting}: must be a probability, at least 0 and below 1", setting=setting)
    if key == "width" and not MIN_WIDTH <= number <= MAX_WIDTH:
        values = {"setting": setting, "least": MIN_WIDTH, "most": MAX_WIDTH}
        return number, _("{setting}: must be a factor from {least:g} to {most:g}", **values)
    return number, ""


def from_graph(graph: Graph, path: Path | None = None) -> NetSpec:
    """Return the NetSpec of a graph; `path` is the file that it comes from."""
    values = graph.to_json()
    name = values.pop("name")
    return NetSpec(kind="graph", name=name, path=str(path.resolve()) if path else "", graph=values)


def from_module(net: nn.Module) -> NetSpec:
    """Return the NetSpec of a module that was passed in Python."""
    return NetSpec(kind="object", name=type(net).__name__.lower())


def _sha256(path: Path) -> str:
    """The digest of a file; "" if it does not exist or cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""
