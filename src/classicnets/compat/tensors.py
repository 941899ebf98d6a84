"""The book's names for devices and for methods of tensors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def cpu() -> torch.device:
    """Return the CPU device."""
    return torch.device("cpu")


def gpu(i: int = 0) -> torch.device:
    """Return the i-th CUDA device."""
    return torch.device(f"cuda:{i}")


def num_gpus() -> int:
    """Return the number of CUDA devices."""
    return torch.cuda.device_count()


def try_gpu(i: int = 0) -> torch.device:
    """Return the i-th CUDA device if it exists, else the CPU."""
    return gpu(i) if num_gpus() > i else cpu()


def try_all_gpus() -> list[torch.device]:
    """Return all CUDA devices; the CPU if there are none."""
    return [gpu(i) for i in range(num_gpus())] or [cpu()]


# the names of the book's Markdown pages, which its released notebooks replace with those of torch
abs = torch.abs
arange = torch.arange
batch_matmul = torch.bmm
concat = torch.cat
cos = torch.cos
cosh = torch.cosh
exp = torch.exp
eye = torch.eye
float32 = torch.float32
int32 = torch.int32
int64 = torch.int64
linspace = torch.linspace
log = torch.log
matmul = torch.matmul
meshgrid = torch.meshgrid
normal = torch.normal
ones = torch.ones
ones_like = torch.ones_like
rand = torch.rand
randn = torch.randn
sigmoid = torch.sigmoid
sin = torch.sin
sinh = torch.sinh
stack = torch.stack
tanh = torch.tanh
tensor = torch.tensor
zeros = torch.zeros
zeros_like = torch.zeros_like


def size(a: Tensor) -> int:
    """Return the number of elements of `a`."""
    return a.numel()


def argmax(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.argmax`."""
    return x.argmax(*args, **kwargs)


def astype(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Convert `x` to `dtype`."""
    return x.to(dtype)


def reduce_sum(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.sum`."""
    return x.sum(*args, **kwargs)


def reduce_mean(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.mean`."""
    return x.mean(*args, **kwargs)


def reshape(x: Tensor, *args: Any) -> Tensor:
    """Call `x.reshape`."""
    return x.reshape(*args)


def numpy(x: Tensor) -> Any:
    """Return a CPU tensor as a NumPy array, without its gradient."""
    return x.detach().numpy()


def to(x: Any, *args: Any, **kwargs: Any) -> Any:
    """Call `x.to`."""
    return x.to(*args, **kwargs)


def transpose(x: Tensor) -> Tensor:
    """Return the transpose of a matrix."""
    return x.t()


def expand_dims(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.unsqueeze`."""
    return x.unsqueeze(*args, **kwargs)


def swapaxes(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.swapaxes`."""
    return x.swapaxes(*args, **kwargs)


def repeat(x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Call `x.repeat`."""
    return x.repeat(*args, **kwargs)
