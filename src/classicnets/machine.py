"""The machine: device, precision, threads, memory and versions, and what `auto` means on it.

Imports torch only within the functions that need it.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import io
import logging
import os
import platform
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from classicnets.errors import MachineError
from classicnets.text import _, command

if TYPE_CHECKING:
    import torch

PRECISIONS = ("auto", "float32", "bfloat16", "float64")

LARGE_MACS = 2_000_000  # per image; in smaller networks, conversion takes the time that bfloat16 saves
_process_settings: list[str] = []
_PACKAGES = ("torch", "numpy", "safetensors", "pillow", "simplejpeg", "matplotlib", "rich")


def choose_device(name: str = "auto") -> torch.device:
    """Return the torch device of that name; "auto" is CUDA if available, else Apple's MPS, else the CPU.

    Raises:
        MachineError: CN402 if the device is not available.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the device meta has shapes only
    except (RuntimeError, AssertionError) as error:
        raise MachineError(
            "CN402",
            _("device {name!r} is not available on this machine", name=name),
            why=str(error).splitlines()[0],
            hint="classicnets doctor",
        ) from error
    if device.type == "cpu" and device.index:
        raise MachineError(
            "CN402",
            _("device {name!r} is not available on this machine", name=name),
            why=_("all cores are one device, cpu; --threads N sets how many are used"),
            hint="--device cpu",
        )
    return device


def choose_precision(device: str, macs: int) -> str:
    """Return the precision that "auto" means on this machine: "bfloat16" or "float32".

    It is bfloat16 if the hardware supports it (CUDA from Ampere on, AVX512-BF16, AMX) and the network is large. It
    depends only on the machine and the network, so that the same command gives the same numbers again.

    Args:
        device: torch's name of the device.
        macs: multiply-accumulate operations (MACs) of the network per image.
    """
    import torch

    kind = torch.device(device).type
    if macs < LARGE_MACS:
        return "float32"
    if kind == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    # older versions of torch have no such function
    get_capabilities: Callable[[], Mapping[str, Any]] = getattr(torch.cpu, "get_capabilities", dict)
    capabilities = get_capabilities() if kind == "cpu" else {}
    return "bfloat16" if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else "float32"


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_of_process() -> int:
    """Return the number of cores that this process may use, if it shares them with other processes of one training."""
    return max(1, usable_cores() // local_processes())


def local_processes() -> int:
    """Return the number of processes on this machine that train together: 1, or what torchrun has set."""
    value = os.environ.get("LOCAL_WORLD_SIZE", "1")
    return max(1, int(value)) if value.isdecimal() else 1


def set_threads(count: int | None) -> None:
    """Set the number of torch's intra-op threads; None leaves it unchanged."""
    import torch

    if count is not None:
        torch.set_num_threads(count)


@contextmanager
def restore_threads() -> Iterator[None]:
    """Restore torch's number of intra-op threads on exit."""
    import torch

    before = torch.get_num_threads()
    try:
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)


def require(module: str, *, extra: str) -> ModuleType:
    """Import a module of an optional dependency (`pip install 'classicnets[extra]'`).

    Raises:
        MachineError: CN403 if it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MachineError(
            "CN403",
            _("a package of the extra [{extra}] is not installed", extra=extra),
            why=str(error),
            hint=command("pip", "install", f"classicnets[{extra}]"),
        ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress warnings, log messages and output of libraries about packages that are not needed here."""
    disabled_level = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        hidden = io.StringIO()
        with warnings.catch_warnings(), redirect_stdout(hidden), redirect_stderr(hidden):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled_level)


def share_cores() -> bool:
    """Make OpenMP's waiting threads sleep after 1,000 spins; has an effect only before torch is imported.

    By default they spin for long, so that two runs on the same cores spend most of their time waiting. Sleeping
    threads share the cores; a single run becomes slightly slower.

    Returns:
        Whether the setting was applied. A setting of the user's own takes precedence.
    """
    if "torch" in sys.modules or {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & {*os.environ}:
        return False
    os.environ["GOMP_SPINCOUNT"] = "1000"
    return True


def make_cublas_deterministic() -> None:
    """Set the workspace with which cuBLAS is deterministic; has an effect only before its first use in the process."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


@contextmanager
def deterministic(enabled: bool) -> Iterator[None]:
    """While open and `enabled`, torch uses only deterministic algorithms and rejects operations that have none."""
    import torch

    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    if enabled:
        make_cublas_deterministic()
        torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn_only)


def keep_memory() -> bool:
    """Let glibc keep up to 512 MB of freed memory instead of returning it to the system after every step.

    Reallocating the buffer of a batch of 128 images of 224 px costs more than filling it. All threads share one heap,
    because the heaps of later threads cannot hold blocks of that size. The setting applies to threads that start
    afterwards, on Linux with glibc, unless CLASSICNETS_MALLOC is "system".

    Returns:
        Whether the setting was applied.
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


def release_memory() -> None:
    """Return freed memory to the system, before other processes need it; `keep_memory` would keep it."""
    gc.collect()
    with suppress(OSError, AttributeError):  # glibc only
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def tune_process() -> None:
    """Apply allocator and thread settings for a process that only trains and classifies.

    The command line calls it; importing the package does not. `process_settings` reports what was applied.
    """
    _process_settings.clear()
    if share_cores():
        _process_settings.append(_("openmp  waiting threads sleep after 1,000 spins (GOMP_SPINCOUNT changes this)"))
    if keep_memory():
        _process_settings.append(
            _("memory  glibc keeps up to 512 MB of freed memory (CLASSICNETS_MALLOC=system turns this off)")
        )


def process_settings() -> list[str]:
    """Return one line for each setting that `tune_process` has applied."""
    return [*_process_settings]


def peak_memory_bytes() -> int | None:
    """Return the peak resident memory of this process; None if the system does not report it."""
    status = Path("/proc/self/status")
    if status.exists() and (match := re.search(r"VmHWM:\s*(\d+) kB", status.read_text())):
        return int(match[1]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return None
    # on Linux, includes programs that this process ran before exec
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def total_memory_bytes() -> int | None:
    """Return the main memory of the machine; None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return None


def memory_bytes_of(device: torch.device) -> int | None:
    """Return the memory of a CUDA device, for other devices the main memory; None if the system does not report it."""
    import torch

    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return total_memory_bytes()


def fits_on_device(device: torch.device, size: int) -> bool:
    """Return whether `size` bytes may stay on the device: on CUDA, up to half of its free memory; elsewhere always."""
    import torch

    return device.type != "cuda" or size <= torch.cuda.mem_get_info(device)[0] // 2


def available_memory_bytes() -> int | None:
    """Return the memory available to new programs, as Linux estimates it; elsewhere the total, None if unknown."""
    meminfo = Path("/proc/meminfo")
    match = re.search(r"MemAvailable:\s*(\d+) kB", meminfo.read_text()) if meminfo.exists() else None
    return int(match[1]) * 1024 if match else total_memory_bytes()


def is_busy() -> bool:
    """Return whether the load average of the last minute exceeds the number of cores; False if it is unknown."""
    try:
        return os.getloadavg()[0] > (os.cpu_count() or 1)
    except (AttributeError, OSError):  # Windows
        return False


def processor() -> str:
    """Return the name of the processor, as the system reports it."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        match = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text(errors="replace"))
        if match:
            return match[1].strip()
    return platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of the packages that results depend on; "missing" for one that is not installed."""
    from importlib import metadata  # takes long to import

    from classicnets import __version__

    result = {"classicnets": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            result[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            result[package] = "missing"
    return result


def describe() -> dict[str, Any]:
    """Return the system, processor, cores, memory and versions, as plain values for JSON."""
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": processor(),
        "cores": os.cpu_count(),
        "memory_bytes": total_memory_bytes(),
        "versions": versions(),
    }


def write_error(folder: Path) -> str:
    """Return why no file can be created in `folder`, or in its nearest existing parent; "" if it can."""
    while not os.path.exists(folder):  # noqa: PTH110 - Path.exists fails where the permission is missing
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def torch_facts() -> dict[str, Any]:
    """Return the device that torch would use, its memory, CPU threads and instruction set, as plain values for JSON."""
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
