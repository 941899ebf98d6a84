"""What is wrong with a user's file that should define a network: one error (CN205) for each kind of mistake."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from classicnets.errors import UsageError
from classicnets.runs.neighbors import Neighbors
from classicnets.text import _, command, join, nearest, plural

# Packages that pip knows under another name than that of their module.
_DISTRIBUTIONS = {
    "PIL": "pillow",
    "cv2": "opencv-python",
    "pytorch_lightning": "lightning",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "PyYAML",
}


def unreadable(path: Path, error: OSError) -> UsageError:
    """The file cannot be read."""
    return UsageError(
        "CN205",
        _("{file} cannot be read", file=path.name),
        where=str(path),
        why=error.strerror or str(error),
        hint=command("ls", "-l", path),
    )


def wrong_encoding(path: Path, source: bytes, error: Exception) -> UsageError:
    """The bytes of the file are not text in UTF-8, or in the encoding that it declares."""
    line = source[: error.start].count(b"\n") + 1 if isinstance(error, UnicodeDecodeError) else 1
    return UsageError(
        "CN205",
        _("{file} is not text in UTF-8", file=path.name),
        where=f"{path}:{line}",
        why=str(error),
        hint=(
            command("iconv", "-f", "latin1", "-t", "utf-8", path, "-o", path.with_stem(f"{path.stem}_utf8")),
            _("or declare its encoding in the first line: # -*- coding: latin-1 -*-"),
        ),
    )


def empty(path: Path) -> UsageError:
    """The file has no code."""
    return UsageError(
        "CN205", _("{file} is empty", file=path.name), where=str(path), hint=f"net = nn.Sequential(...)   # {path.name}"
    )


def explain(error: BaseException, path: Path, name: str, neighbors: Neighbors, function: str) -> UsageError:
    """An exception that ended the file, or its function `function`."""
    place, line = _place(error, path, neighbors)
    where = f"{place}:{line}" if line else str(place)
    if isinstance(error, SystemExit):
        return _exits(error, path, name, where, function)
    if isinstance(error, SyntaxError) and error.filename:
        return _invalid(error)
    if isinstance(error, ImportError) and (explained := _import(error, place, where, neighbors)):
        return explained
    hints = [command("python", path)]
    module = error.name if isinstance(error, ImportError) else getattr(getattr(error, "obj", None), "__name__", None)
    if isinstance(error, ImportError | AttributeError) and (file := neighbors.shadowed_by_standard(module or "")):
        hints.insert(0, _("rename {file}: import {module} gives Python's own module", file=file, module=module))
    return UsageError(
        "CN205",
        _("{file}:{name} cannot be built", file=path.name, name=name),
        where=where,
        why=f"{type(error).__name__}: {error}" if str(error) else type(error).__name__,
        hint=tuple(hints),
    )


def not_defined(path: Path, name: str, module: ModuleType) -> UsageError:
    """The file has no such name."""
    names = _networks(module)
    near = nearest(name, names)
    return UsageError(
        "CN205",
        _("{file}:{name} is not a network", file=path.name, name=name),
        where=str(path),
        why=_("it is not defined; it must be a torch.nn.Module, or a function without arguments that returns one")
        if name
        else _("the name of the network is missing after the colon"),
        hint=_specs(path, sorted(names, key=lambda candidate: candidate != near)) or _example(path, name),
    )


def needs_arguments(path: Path, name: str, arguments: list[str], *, is_class: bool) -> UsageError:
    """The function, or the constructor of the class, has arguments without defaults."""
    names = join(arguments)
    call = ", ".join(f"{argument}=..." for argument in arguments)
    if is_class:
        what = plural(
            "{file}:{name} is a class whose constructor needs the argument {names}",
            "{file}:{name} is a class whose constructor needs the arguments {names}",
            len(arguments),
            file=path.name,
            name=name,
            names=names,
        )
        hint = f"net = {name}({call})   # {path.name}", command(f"{path}:net")
    else:
        what = plural(
            "the function {file}:{name} needs the argument {names}",
            "the function {file}:{name} needs the arguments {names}",
            len(arguments),
            file=path.name,
            name=name,
            names=names,
        )
        hint = f"def {name}({call}):   # {path.name}", f"net = {name}({call})   # {path.name}"
    return UsageError("CN205", what, where=str(path), why=_("it is called without arguments"), hint=hint)


def not_a_network(value: Any, path: Path, name: str, module: ModuleType, *, returned: bool) -> UsageError:
    """The name, or what its function has returned, is something else than a network."""
    why, line = _described(value, name, returned=returned)
    hints = () if returned else _specs(path, _networks(module))
    return UsageError(
        "CN205",
        _("{file}:{name} is not a network", file=path.name, name=name),
        where=str(path),
        why=why,
        hint=(f"{line}   # {path.name}", *hints) if line else hints or _example(path, name),
    )


def has_forward(net: nn.Module) -> bool:
    """Whether the class of a module defines forward()."""
    forward = net.forward
    return getattr(forward, "__func__", forward) is not nn.Module.forward


def required_arguments(function: Any) -> list[str]:
    """The arguments without default of a function, or of the constructor of a class."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # not known for all that is written in C
        return []
    variable = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [p.name for p in parameters if p.default is inspect.Parameter.empty and p.kind not in variable]


def _exits(error: SystemExit, path: Path, name: str, where: str, function: str) -> UsageError:
    message = isinstance(error.code, str) and error.code
    hints = [_('if __name__ == "__main__":   # above the code that is not for importing {file}', file=path.name)]
    if function:
        hints = [_("return net   # instead of exiting in {function}()", function=function)]
    if _passes_through(error, "argparse.py"):
        hints.append(_("give every argument of the parser a default, because the file is run without arguments"))
    return UsageError(
        "CN205",
        _("{file} exits instead of defining the network {name}", file=path.name, name=name),
        where=where,
        why=_("it exits with the message: {message}", message=message)
        if message
        else _("it exits with code {code}", code=error.code or 0),
        hint=tuple(hints),
    )


def _invalid(error: SyntaxError) -> UsageError:
    file = Path(str(error.filename))
    line = f": {error.text.strip()}" if error.text else ""
    return UsageError(
        "CN205",
        _("{file} is not valid Python", file=file.name),
        where=f"{file}:{error.lineno}",
        why=f"{type(error).__name__}: {error.msg}{line}",
        hint=command("python", "-m", "py_compile", file),
    )


def _import(error: ImportError, place: Path, where: str, neighbors: Neighbors) -> UsageError | None:
    """The error for a module that does not exist; None if the cause is another one."""
    module, why = error.name or "", str(error)
    if "relative import" in why:
        return UsageError(
            "CN205",
            _("{file} imports with a leading dot, which works only inside of a package", file=place.name),
            where=where,
            why=why,
            hint=_("from layers import Block   # instead of from .layers import Block"),
        )
    if not isinstance(error, ModuleNotFoundError) or not module:
        return None
    package, _dot, submodule = module.partition(".")
    if submodule and neighbors.has(package):
        return UsageError(
            "CN205",
            _("{file} imports {module}, and there is no such file beside it", file=place.name, module=module),
            where=where,
            why=why,
            hint=command("ls", neighbors.folder / package),
        )
    install = command("pip", "install", _DISTRIBUTIONS.get(package, package))
    if submodule:
        return UsageError(
            "CN205",
            _("the installed package {package} has no module {module}", package=package, module=module),
            where=where,
            why=why,
            hint=install.replace("install", "install --upgrade"),
        )
    if not _raised_in(error, place):
        return UsageError(
            "CN205",
            _("a package that {file} imports needs {module}, which is not installed", file=place.name, module=module),
            where=where,
            why=why,
            hint=install,
        )
    near = nearest(module, neighbors.file_names())
    hints = [_("import {near}   # a file beside it", near=near)] if near else []
    return UsageError(
        "CN205",
        _(
            "{file} imports {module}, which is neither a file beside it nor an installed package",
            file=place.name,
            module=module,
        ),
        where=where,
        why=why,
        hint=(*hints, install, _("or put your own file there: {path}", path=place.with_name(f"{module}.py"))),
    )


def _described(value: Any, name: str, *, returned: bool) -> tuple[str, str]:
    """What a value is instead of a network, and a line of code that makes it one, or ""."""
    begin = "return " if returned else f"{name} = "
    if isinstance(value, nn.ModuleList | nn.ModuleDict):
        layers = f"{'layers' if returned else name}{'.values()' if isinstance(value, nn.ModuleDict) else ''}"
        return _("it is a collection of layers, which has no forward()"), f"{begin}nn.Sequential(*{layers})"
    if isinstance(value, nn.Module):
        return _("its class {name} has no forward()", name=type(value).__name__), "def forward(self, x):"
    if value is None:
        return (_("the function returns None"), "return net") if returned else (_("it is None"), "")
    if inspect.isclass(value):
        if issubclass(value, nn.Module):
            return _("the function returns the class {name}", name=value.__name__), f"return {value.__name__}()"
        return _("it is a class that is not a torch.nn.Module"), f"class {value.__name__}(nn.Module):"
    if isinstance(value, Mapping) and value:
        inner = (v for part in value.values() if isinstance(part, Mapping) for v in part.values())
        if any(isinstance(tensor, Tensor) for tensor in (*value.values(), *inner)):
            return (
                _("it is a state dict: it holds weights, but not the layers that they belong to"),
                f"net.load_state_dict({'weights' if returned else name})",
            )
        if all(isinstance(layer, nn.Module) for layer in value.values()):
            return _("it is a dict of layers"), f"{begin}nn.Sequential(OrderedDict(layers))"
    if isinstance(value, list | tuple) and value and all(isinstance(layer, nn.Module) for layer in value):
        return (
            plural("it is a list of {n} layer", "it is a list of {n} layers", len(value)),
            f"{begin}nn.Sequential(*{'layers' if returned else name})",
        )
    if inspect.iscoroutine(value):
        value.close()  # otherwise Python warns that it was never awaited
    message = _(
        "it is of type {type}; it must be a torch.nn.Module, or a function without arguments that returns one",
        type=type(value).__name__,
    )
    return message, ""


def _networks(module: ModuleType) -> list[str]:
    """The names in a module that can be loaded: networks, and classes of networks whose constructors need nothing."""
    own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
    networks = [key for key, value in own.items() if isinstance(value, nn.Module)]
    classes = [
        key
        for key, value in own.items()
        if inspect.isclass(value) and issubclass(value, nn.Module) and value.__module__ == module.__name__
    ]
    return networks + [key for key in classes if not required_arguments(own[key])]


def _specs(path: Path, names: list[str]) -> tuple[str, ...]:
    return tuple(command(f"{path}:{name}") for name in names)


def _example(path: Path, name: str) -> str:
    return f"{name or 'net'} = nn.Sequential(...)   # {path.name}"


def _place(error: BaseException, path: Path, neighbors: Neighbors) -> tuple[Path, int]:
    """The last line of the traceback that is in the user's file or beside it; line 0 if there is none."""
    files = {str(neighbors.folder / name) for name in neighbors.digests} | {str(path)}
    place, line, frame = path, 0, error.__traceback__
    while frame:
        if frame.tb_frame.f_code.co_filename in files:
            place, line = Path(frame.tb_frame.f_code.co_filename), frame.tb_lineno
        frame = frame.tb_next
    return place, line


def _raised_in(error: BaseException, place: Path) -> bool:
    """Whether an import failed in this file itself, not in a module that it has imported."""
    file, frame = "", error.__traceback__
    while frame:
        name = frame.tb_frame.f_code.co_filename
        if not name.startswith("<frozen importlib") and name != Neighbors.find_spec.__code__.co_filename:
            file = name
        frame = frame.tb_next
    return file == str(place)


def _passes_through(error: BaseException, file: str) -> bool:
    frame = error.__traceback__
    while frame:
        if Path(frame.tb_frame.f_code.co_filename).name == file:
            return True
        frame = frame.tb_next
    return False
