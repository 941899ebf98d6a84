"""Weights of a file into a net: all that fits, a new head for other classes, color folded for gray images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from classicnets.errors import DataError
from classicnets.runs import checkpoint
from classicnets.text import shape as shape_text
from classicnets.weights import files


@dataclass(frozen=True, kw_only=True)
class Report:
    """Names of the tensors that came from the file, of those folded on the way, of those in it that were left, and of
    those that stay new.
    """

    loaded: tuple[str, ...]
    folded: tuple[str, ...]
    skipped: tuple[str, ...]
    made_new: tuple[str, ...]

    def lines(self) -> list[str]:
        """For people."""
        lists = [("loaded", self.loaded), ("left in the file", self.skipped), ("new, to be trained", self.made_new)]
        if self.folded:
            lists.insert(1, ("color folded into one channel", self.folded))
        return [f"{what}: {', '.join(names) or 'nothing'}" for what, names in lists]


def load_weights(path: str | Path, net: nn.Module) -> Report:
    """Puts the weights of a local .safetensors, .pth or .pt file into `net`, in place, where names and shapes agree.

    The last dense layer stays as `net` has it where the file has another number of classes. A first convolution for
    color images is folded for a net that reads gray ones, its kernels summed over the three channels: on a gray
    image this gives what the color net gives for it, if all channels are normalized alike. Nothing is downloaded
    and nothing in the file is executed. Raises DataError CN305 for a file that cannot be read, CN306, before anything
    is changed, where any other tensor of the net is not in the file.
    """
    loaded, report = _matched(path, net.state_dict(), data=True)
    net.load_state_dict(loaded, strict=False)
    return report


def check(path: str | Path, net: nn.Module) -> Report:
    """What `load_weights` would report or raise, by names and shapes alone: no tensor is read, nothing is changed."""
    return _matched(path, net.state_dict(), data=False)[1]


def _matched(path: str | Path, state: Mapping[str, Tensor], *, data: bool) -> tuple[dict[str, Tensor], Report]:
    """The tensors of the file that `state` takes, by its names, and the report."""
    tensors, facts = files.read(Path(path), data=data)
    if facts:  # a checkpoint of ours holds more than weights
        tensors = checkpoint.weights(tensors)
    prefix = files.prefix_of(tensors, state)
    found = {name: tensors[prefix + name] for name in state if prefix + name in tensors}
    first = [name for name, own in state.items() if own.dim() == 4][:1]
    folded = [name for name in first if name in found and (found[name].shape[1:2], state[name].shape[1]) == ((3,), 1)]
    for name in folded:
        found[name] = found[name].sum(dim=1, keepdim=True)
    head = [name.rpartition(".")[0] for name, layer in state.items() if layer.dim() == 2][-1:]
    made_new, faults = [], []
    for name, own in state.items():
        if name in found and found[name].shape == own.shape:
            continue
        if name in found and name.rpartition(".")[0] in head and found[name].shape[1:] == own.shape[1:]:
            made_new.append(name)
        else:
            there = f"{shape_text(found[name].shape)} in the file" if name in found else "not in the file"
            faults.append(f"{name} is {shape_text(own.shape)} in the net and {there}")
    if faults:
        raise DataError(
            "CN306",
            "these weights do not fit the net",
            where=str(path),
            why="\n".join([*faults[:8], *([f"and {len(faults) - 8} more"] if len(faults) > 8 else [])]),
            hint=f"classicnets weights identify {path}",
        )
    if made_new:  # weight and bias of a layer belong together
        made_new = [name for name in state if name.rpartition(".")[0] in head]
    loaded = {name: tensor for name, tensor in found.items() if name not in made_new}
    report = Report(
        loaded=tuple(loaded),
        folded=tuple(folded),
        skipped=tuple(
            name for name in tensors if name.removeprefix(prefix) not in loaded or not name.startswith(prefix)
        ),
        made_new=tuple(made_new),
    )
    return loaded, report
