"""What this machine is, and what `auto` means on it. Imports torch only when asked about it."""

from __future__ import annotations

import ctypes
import importlib
import os
import platform
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from classicnets.errors import MachineError

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16")

_MANY_MACS = 2_000_000  # an image; below, converting costs what multiplying saves
_process_settings: list[str] = []
_PACKAGES = ("torch", "numpy", "safetensors", "pillow", "simplejpeg", "matplotlib", "rich")


def choose_device(name: str = "auto") -> torch.device:
    """The torch device of that name; "auto" takes CUDA, then Apple's MPS, then the CPU.

    Raises MachineError CN402 if it is not available.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise MachineError(
            "CN402",
            f"no device {name!r} on this machine",
            why=str(error).splitlines()[0],
            hint="classicnets doctor",
        ) from error
    return device


def choose_precision(device: str, macs: int) -> str:
    """What "auto" is on this machine for a net of so many multiplications an image: "bfloat16" where the hardware
    multiplies it (CUDA from Ampere on, AVX512-BF16, AMX) and there is much to multiply, else "float32".

    A function of the machine and the net alone, so that the same command gives the same numbers again.
    """
    import torch

    kind = torch.device(device).type
    if macs < _MANY_MACS:
        return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    tell: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)  # older versions cannot tell
    told = tell() if kind == "cpu" else {}
    return "bfloat16" if told.get("avx512_bf16") or told.get("amx_bf16") else "float32"


def set_threads(count: int | None) -> None:
    """Lets torch compute with `count` threads from now on; None leaves the number as it is."""
    import torch

    if count is not None:
        torch.set_num_threads(count)


@contextmanager
def restore_threads() -> Iterator[None]:
    """Afterwards torch has as many threads as before, whatever was set meanwhile."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def require(module: str, *, extra: str) -> ModuleType:
    """The module, which `pip install 'classicnets[extra]'` brings. Raises MachineError CN403 if it is missing."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MachineError(
            "CN403",
            f"a package of the extra [{extra}] is missing",
            why=str(error),
            hint=f"pip install 'classicnets[{extra}]'",
        ) from error


def share_cores() -> bool:
    """Lets torch's threads sleep soon when they wait for each other; takes effect before torch is first imported.

    By default they spin, and two runs at once on as many cores then spend most of their time waiting. With this they
    share the cores, and a single run pays a little for it. Returns whether it does; a setting of the user's stays.
    """
    if "torch" in sys.modules or {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & {*os.environ}:
        return False
    os.environ["GOMP_SPINCOUNT"] = "1000"
    return True


def make_cublas_deterministic() -> None:
    """Gives cuBLAS the workspace that makes it deterministic; takes effect before its first use in the process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(wanted: bool) -> Iterator[None]:
    """While open, torch uses deterministic algorithms alone, where `wanted`, and refuses what has none."""
    import torch

    before, warned = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    if wanted:
        make_cublas_deterministic()
        torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warned)


def keep_memory() -> bool:
    """Lets the C library keep up to 512 MB of freed memory instead of returning it to the system at every step:
    reallocating a batch of 128 images of 224 px costs more than filling it. Returns whether it does.

    There is one heap for all threads, because those of later threads hold no block so large. Takes effect for threads
    that begin afterwards. Linux with glibc, unless CLASSICNETS_MALLOC is "system"; elsewhere nothing happens.
    """
    if os.environ.get("CLASSICNETS_MALLOC") == "system":
        return False
    trim_threshold, mmap_max, arena_max = -1, -4, -8  # M_TRIM_THRESHOLD, M_MMAP_MAX and M_ARENA_MAX of malloc.h
    try:
        library = ctypes.CDLL("libc.so.6")
        settings = ((trim_threshold, 512 * 2**20), (mmap_max, 0), (arena_max, 1))
        return all(library.mallopt(parameter, value) for parameter, value in settings)
    except (OSError, AttributeError):
        return False


def tune_process() -> None:
    """Applies the settings of a process that only trains and classifies: the command's, never those of a user's Python.

    `process_settings` says which were applied.
    """
    _process_settings.clear()
    if share_cores():
        _process_settings.append("openmp  threads that wait sleep after 1,000 spins (GOMP_SPINCOUNT changes this)")
    if keep_memory():
        _process_settings.append(
            "memory  glibc keeps up to 512 MB of freed memory (CLASSICNETS_MALLOC=system turns this off)"
        )


def process_settings() -> list[str]:
    """A line for each setting of this process that `tune_process` has changed."""
    return [*_process_settings]


def peak_memory_bytes() -> int | None:
    """The largest resident size of this process so far; None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.exists() and (found := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(found[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on Linux, also of what was run before in this process
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory_bytes() -> int | None:
    """The machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def memory_bytes_of(device: torch.device) -> int | None:
    """The memory of a CUDA device, else the machine's; None where the system does not tell."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return total_memory_bytes()


def fits_on_device(device: torch.device, size: int) -> bool:
    """Whether so many bytes may lie on the device beside the work: half of what is free there, where that is told."""
    import torch

    return device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2


def available_memory_bytes() -> int | None:
    """The memory that is free for programs now, as Linux estimates it; elsewhere all the machine has, if known."""
    meminfo = Path("/proc/meminfo")
    found = re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text()) if meminfo.exists() else None
    return int(found[1]) * 1024 if found else total_memory_bytes()


def is_busy() -> bool:
    """Whether more programs wanted to compute over the last minute than there are cores; False where not told."""
    try:
        return os.getloadavg()[0] > (os.cpu_count() or 1)
    except (AttributeError, OSError):  # Windows
        return False


def processor() -> str:
    """The processor's name as the system gives it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(errors="replace"))
        if found:
            return found[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Versions of what a result depends on."""
    from importlib import metadata  # takes long to import

    from classicnets import __version__

    found = {"classicnets": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "missing"
    return found


def describe() -> dict[str, Any]:
    """What a result depends on, as plain values: system, processor, cores, memory, versions."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": total_memory_bytes(),
        "versions": versions(),
    }


def write_error(folder: Path) -> str:
    """Empty if files can be made in `folder` (or in the nearest parent that exists), otherwise why not."""
    while not folder.exists():
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def torch_facts() -> dict[str, Any]:
    """What torch would use: the device, its memory, CPU threads and instruction set."""
    import torch

    device = choose_device()
    memory = memory_bytes_of(device) if device.type == "cuda" else None
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return {
        "device": name,
        "device_memory_bytes": memory,
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }
