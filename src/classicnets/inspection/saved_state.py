"""Checks that the state dict of a network holds everything that its outputs depend on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_flatten, tree_leaves

from classicnets.errors import UsageError
from classicnets.models.modules import MODULE_ATTRIBUTES, in_dtype_of, restored_modes
from classicnets.text import _

# Relative to the largest output. On a CPU the same weights, images and thread count mostly give the same bits; 100
# roundings of float32 are left for another order of sums. A GPU may choose other kernels, which round to TF32.
_CPU_TOLERANCE, _GPU_TOLERANCE = 1e-5, 1e-3


def check_saved(live: nn.Module, rebuilt: nn.Module, images: Tensor, *, name: str) -> None:
    """Check that `rebuilt`, which has loaded what a save of `live` holds, gives the same outputs.

    Args:
        live: the network of the run.
        rebuilt: the network, built again, with the saved weights.
        images: the network's input [N, C, H, W].
        name: how the error names the network.

    Raises:
        UsageError: CN210 with the attributes that are not saved.
    """
    expected, actual = _outputs(live, images), _outputs(rebuilt, images)
    difference, largest = float((expected - actual).abs().max()), float(expected.abs().max())
    tolerance = (_CPU_TOLERANCE if images.device.type == "cpu" else _GPU_TOLERANCE) * largest
    if difference <= tolerance or torch.equal(expected.nan_to_num(), actual.nan_to_num()):
        return
    attributes = unsaved_attributes(live, rebuilt)
    if attributes:
        why = _("these attributes differ, and the state dict does not hold them: {names}", names=", ".join(attributes))
    else:
        why = _("it depends on values that are neither parameters nor buffers, such as global variables")
    raise UsageError(
        "CN210",
        _("the weights of {name} do not hold its whole state: a saved copy gives other outputs", name=name),
        where=_(
            "outputs differ by up to {difference:.2g}; the largest is {largest:.2g}",
            difference=difference,
            largest=largest,
        ),
        why=why,
        hint=tuple(dict.fromkeys(_cure(rebuilt, path) for path in attributes[:4]))
        or _(
            "register what forward() reads: self.register_buffer(NAME, TENSOR), or nn.ModuleList for a list of layers"
        ),
    )


def unsaved_attributes(live: nn.Module, rebuilt: nn.Module) -> list[str]:
    """The attributes, as "layer.name", that differ between two builds and that no state dict holds."""
    names = []
    others = dict(rebuilt.named_modules())
    for path, module in live.named_modules():
        other = others.get(path)
        if other is None:
            continue
        for key, value in _unsaved(module):
            if _differ(value, dict(_unsaved(other)).get(key)):
                names.append(f"{path}.{key}" if path else key)
    return names


def _unsaved(module: nn.Module) -> Iterator[tuple[str, Any]]:
    """The attributes of a module that its state dict does not hold, and its non-persistent buffers."""
    yield from ((key, value) for key, value in vars(module).items() if key not in MODULE_ATTRIBUTES)
    yield from ((key, module._buffers[key]) for key in module._non_persistent_buffers_set if key in module._buffers)


def _differ(a: object, b: object) -> bool:
    """Whether two attributes have different values; the tensors of unregistered layers count."""
    leaves = [_expand(tree_leaves(value)) for value in (a, b)]
    if tree_flatten(a)[1] != tree_flatten(b)[1] or len(leaves[0]) != len(leaves[1]):
        return True
    return any(_leaves_differ(x, y) for x, y in zip(*leaves, strict=True))


def _expand(leaves: list[Any]) -> list[Any]:
    """The leaves, with the weights and buffers of a module in its place."""
    return [
        value for leaf in leaves for value in (leaf.state_dict().values() if isinstance(leaf, nn.Module) else [leaf])
    ]


def _leaves_differ(x: object, y: object) -> bool:
    if isinstance(x, Tensor) and isinstance(y, Tensor):
        return x.shape != y.shape or not torch.equal(x, y.to(x))
    if isinstance(x, bool | int | float | complex | str | bytes | None):
        return type(x) is not type(y) or repr(x) != repr(y)  # not a number equals itself
    return False


def _cure(net: nn.Module, path: str) -> str:
    """The line that registers the attribute, in the constructor of its layer."""
    parent, _separator, key = path.rpartition(".")
    value = getattr(net.get_submodule(parent), key)
    if isinstance(value, nn.Module):
        return f"self.add_module({key!r}, ...)"
    if isinstance(value, Tensor):
        return f"self.register_buffer({key!r}, {_source(value)})"
    if isinstance(value, list | tuple | dict):
        kind = "Dict" if isinstance(value, dict) else "List"
        if any(isinstance(leaf, nn.Module) for leaf in tree_leaves(value)):
            return f"self.{key} = nn.Module{kind}(self.{key})"
        return f"self.{key} = nn.Parameter{kind}(...)"
    return f"self.register_buffer({key!r}, torch.tensor({value!r}))"


def _source(tensor: Tensor) -> str:
    """Python source of a constant tensor; "..." for another one."""
    for value, constructor in ((0, "zeros"), (1, "ones")):
        if bool((tensor == value).all()):
            return f"torch.{constructor}({', '.join(map(str, tensor.shape)) or '()'})"
    return "..."


def _outputs(net: nn.Module, images: Tensor) -> Tensor:
    with restored_modes(net), torch.random.fork_rng(devices=[]), torch.no_grad():
        net.eval()
        outputs: Tensor = net(in_dtype_of(net, images.clone()))
        return outputs
