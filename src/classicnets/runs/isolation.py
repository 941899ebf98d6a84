"""Keeps what a user's file changes in the process from the next network, and from our own numbers."""

from __future__ import annotations

import argparse
import os
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

# What `torch.set_...` changes for the whole process: how it is read, and how it is set.
_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], object]], ...] = (
    (torch.get_default_dtype, torch.set_default_dtype),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_deterministic_debug_mode, torch.set_deterministic_debug_mode),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
)
# The same as attributes. Newer versions of torch have fp32_precision beside allow_tf32; each can be
# read only as long as the other one was not set.
_FLAGS = (
    "backends.cuda.matmul.allow_tf32",
    "backends.cudnn.allow_tf32",
    "backends.cudnn.benchmark",
    "backends.cudnn.deterministic",
    "backends.cudnn.enabled",
    "backends.mkldnn.enabled",
    "backends.fp32_precision",
    "backends.cuda.matmul.fp32_precision",
    "backends.cudnn.conv.fp32_precision",
    "backends.cudnn.rnn.fp32_precision",
    "backends.mkldnn.matmul.fp32_precision",
    "backends.mkldnn.conv.fp32_precision",
)


@contextmanager
def isolated(script: Path) -> Iterator[None]:
    """While open, `sys.argv` is that of the script; at the end, what the script has changed is restored.

    That is the working folder, warning filters, and torch's default type and device, gradient mode, threads and
    precision. The generators of `random` and numpy start from torch's seed, so that weights drawn with them depend on
    the seed of the run, and are restored, too. torch's own generator is left as it is, because training continues
    with it.

    If argparse rejects the arguments, SystemExit has its message, and no usage line is printed as if it were ours.
    """
    with ExitStack() as stack:
        stack.enter_context(_attribute(sys, "argv", [str(script)]))
        stack.enter_context(_attribute(argparse.ArgumentParser, "error", _end))
        for restore in (_working_folder(), _generators(), _torch_device(), _torch_settings()):
            stack.enter_context(restore)
        stack.enter_context(warnings.catch_warnings())  # restored first: the others may warn
        yield


def _end(parser: argparse.ArgumentParser, message: str) -> NoReturn:
    raise SystemExit(f"{parser.prog}: {message}")


@contextmanager
def _attribute(owner: object, name: str, value: object) -> Iterator[None]:
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def _working_folder() -> Iterator[None]:
    try:
        before = Path.cwd()
    except FileNotFoundError:  # it was removed, so nothing can be restored
        yield
        return
    try:
        yield
    finally:
        os.chdir(before)


@contextmanager
def _generators() -> Iterator[None]:
    before, before_numpy = random.getstate(), np.random.get_state()
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    try:
        yield
    finally:
        random.setstate(before)
        np.random.set_state(before_numpy)


@contextmanager
def _torch_device() -> Iterator[None]:
    """Restore what torch.set_default_device and set_default_tensor_type set."""
    before, tensor_device = _default_device(), torch._C._get_default_device()
    try:
        yield
    finally:
        if _default_device() != before:
            torch.set_default_device(before)
        if torch._C._get_default_device() != tensor_device:
            with warnings.catch_warnings(action="ignore"):  # it is deprecated, but files use it
                name = "torch.FloatTensor" if tensor_device == "cpu" else "torch.cuda.FloatTensor"
                torch.set_default_tensor_type(name)


def _default_device() -> torch.device | None:
    """The argument of the last torch.set_default_device, unlike get_default_device in a `with torch.device(...)`."""
    context = getattr(getattr(torch, "_GLOBAL_DEVICE_CONTEXT", None), "device_context", None)
    return None if context is None else torch.device(context.device)


@contextmanager
def _torch_settings() -> Iterator[None]:
    settings = [*_SETTINGS, *map(_flag, _FLAGS)]
    before = [_read(get) for get, _set in settings]
    try:
        yield
    finally:
        for (get, set_), value in zip(settings, before, strict=True):
            if value is not None and _read(get) != value:
                set_(value)


def _flag(name: str) -> tuple[Callable[[], Any], Callable[[Any], None]]:
    """How a flag of torch is read and set."""
    owner, _, attribute = name.rpartition(".")
    return (lambda: attrgetter(name)(torch)), (lambda value: setattr(attrgetter(owner)(torch), attribute, value))


def _read(get: Callable[[], Any]) -> Any:
    """The value of a setting; None if this version of torch does not have it, or cannot tell."""
    with suppress(AttributeError, RuntimeError), warnings.catch_warnings(action="ignore"):  # some are deprecated
        return get()
    return None
