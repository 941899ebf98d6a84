"""The book's names for devices and for methods of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cpu() -> torch.device:
    """The CPU."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """The i-th CUDA device."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """How many CUDA devices there are."""
    return torch.cuda.device_count()


def try_gpu(i: int = 0) -> torch.device:
    """The i-th CUDA device, or the CPU where there is none."""
    return gpu(i) if num_gpus() > i else cpu()


def try_all_gpus() -> list[torch.device]:
    """All CUDA devices, or the CPU where there is none."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


randn = torch.randn


def size(a: Tensor) -> int:
    """How many numbers `a` holds."""
    return a.numel()


def argmax(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As the method of the tensor."""
    return x.argmax(*args, **kwargs)


def astype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The numbers of `x` as `dtype`."""
    return x.to(dtype)


def reduce_sum(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As the tensor's method `sum`."""
    return x.sum(*args, **kwargs)


def reduce_mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """As the tensor's method `mean`."""
    return x.mean(*args, **kwargs)


def reshape(x: Tensor, *args: Any) -> Tensor:
    """As the method of the tensor."""
    return x.reshape(*args)


def numpy(x: Tensor) -> Any:
    """A tensor of the CPU as a NumPy array, without its gradient."""
    return x.detach().numpy()


def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """As the method of the tensor or module."""
    return x.to(*args, **kwargs)
