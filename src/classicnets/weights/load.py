"""Loads weights from a file into a network, with a new head for other classes and a grayscale first convolution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from classicnets.errors import DataError
from classicnets.runs import checkpoint
from classicnets.text import _, command
from classicnets.text import shape as shape_text
from classicnets.weights import files, recognize

_MAX_MISMATCHES = 8  # tensors that the error lists
_NOT_IN_OLD_FILES = "num_batches_tracked"  # of batch normalization, which torch has since 0.4.1 and Keras never had


@dataclass(frozen=True, kw_only=True)
class Report:
    """Which tensors were loaded.

    Attributes:
        loaded: tensors of the network that come from the file.
        converted: those of them whose weights for color images were summed for grayscale images.
        unused: tensors of the file that were not loaded, named as in the file.
        newly_initialized: tensors of the network that keep their initial values.
    """

    loaded: tuple[str, ...]
    converted: tuple[str, ...]
    unused: tuple[str, ...]
    newly_initialized: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the report, one line per list."""
        lines = [_("loaded: {names}", names=_names(self.loaded))]
        if self.converted:
            lines.append(_("converted from color to grayscale: {names}", names=_names(self.converted)))
        return [
            *lines,
            _("in the file, but not used: {names}", names=_names(self.unused)),
            _("newly initialized, to be trained: {names}", names=_names(self.newly_initialized)),
        ]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names) or _("none")


def load_weights(path: str | Path, net: nn.Module) -> Report:
    """Load weights into `net`, in place, where names and shapes agree.

    If the file has none of the names, each layer takes the weights of one with the same shapes, in the order of the
    names, where conv2 comes before conv10; provided that each has one partner.
    The last linear layer keeps its values if the file has another number of classes. If the file's first convolution is
    for color images and that of `net` for grayscale images, its kernels are summed over the three channels: for a
    grayscale image this gives the output of the color network, provided that all channels are normalized alike.
    Nothing is downloaded, and no code in the file is run.

    Args:
        path: a local file of safetensors, torch.save, MXNet, Caffe or Keras, whatever its name.
        net: the network to load into.

    Raises:
        DataError: CN305 if the file cannot be read; CN306, before anything is changed, if another tensor of the network
            is missing or has another shape.
    """
    tensors, report = _match(path, net.state_dict(), data=True)
    net.load_state_dict(tensors, strict=False)
    return report


def check(path: str | Path, net: nn.Module) -> Report:
    """Report or raise what `load_weights` would, from names and shapes only; `net` is not changed."""
    return _match(path, net.state_dict(), data=False)[1]


def _match(path: str | Path, state: Mapping[str, Tensor], *, data: bool) -> tuple[dict[str, Tensor], Report]:
    """The tensors of the file to load, by their names in `state`, and the report."""
    file_tensors, metadata = files.read(Path(path), data=data)
    if metadata:  # a classicnets checkpoint has more than weights
        file_tensors = checkpoint.weights(file_tensors)
    names = _names_in_file(file_tensors, state) or recognize.pair(state, file_tensors)
    tensors = {name: _as(file_tensors[names[name]], state[name]) for name in state if name in names}
    converted = _convert_to_grayscale(tensors, state)
    head = [name.rpartition(".")[0] for name, tensor in state.items() if tensor.dim() == 2][-1:]
    has_new_head, mismatches = False, []
    for name, tensor in state.items():
        if name not in tensors:
            if name.endswith(_NOT_IN_OLD_FILES):
                continue
            mismatches.append(
                _("{name} is {shape} in the network and not in the file", name=name, shape=shape_text(tensor.shape))
            )
        elif tensors[name].shape == tensor.shape:
            continue
        elif name.rpartition(".")[0] in head and tensors[name].shape[1:] == tensor.shape[1:]:
            has_new_head = True
        else:
            mismatches.append(
                _(
                    "{name} is {shape} in the network and {file_shape} in the file",
                    name=name,
                    shape=shape_text(tensor.shape),
                    file_shape=shape_text(tensors[name].shape),
                )
            )
    if mismatches:
        raise _mismatch_error(path, mismatches)
    # weight and bias of the head belong together
    new = [name for name in state if name.rpartition(".")[0] in head] if has_new_head else []
    tensors = {name: tensor for name, tensor in tensors.items() if name not in new}
    used = {names[name] for name in tensors}
    unused = [name for name in file_tensors if name not in used]
    report = Report(
        loaded=tuple(tensors), converted=tuple(converted), unused=tuple(unused), newly_initialized=tuple(new)
    )
    return tensors, report


def _names_in_file(file_tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> dict[str, str]:
    """The name in the file of each tensor of the network that the file has.

    The file's names may have a prefix, and modules that wrap others may be in between, in either of them.
    """
    prefix = files.prefix_of(file_tensors, state)
    names = {name: prefix + name for name in state if prefix + name in file_tensors}
    if len(names) < len(state):
        plain, plain_state = files.without_wrappers(file_tensors), files.without_wrappers(state)
        originals = {short: name for name, short in plain.items()}
        prefix = files.prefix_of(originals, plain_state.values())
        others = {name: originals[prefix + short] for name, short in plain_state.items() if prefix + short in originals}
        names = max(names, others, key=len)
    return names


def _as(tensor: Tensor, like: Tensor) -> Tensor:
    """A tensor of the file in the precision of the network, so that sums over channels are as exact."""
    return tensor.to(like.dtype) if tensor.is_floating_point() and like.is_floating_point() else tensor


def _convert_to_grayscale(tensors: dict[str, Tensor], state: Mapping[str, Tensor]) -> list[str]:
    """Sum the first convolution in `tensors` over its three channels if `state` has one channel there; its name."""
    name = next((name for name, tensor in state.items() if tensor.dim() == 4), None)
    if name not in tensors or tensors[name].shape[1:2] != (3,) or state[name].shape[1] != 1:
        return []
    tensors[name] = tensors[name].sum(dim=1, keepdim=True)
    return [name]


def _mismatch_error(path: str | Path, mismatches: list[str]) -> DataError:
    lines = mismatches[:_MAX_MISMATCHES]
    if len(mismatches) > _MAX_MISMATCHES:
        lines.append(_("and {n:,} more", n=len(mismatches) - _MAX_MISMATCHES))
    return DataError(
        "CN306",
        _("the weights do not fit the network"),
        where=str(path),
        why="\n".join(lines),
        hint=command("classicnets", "weights", "identify", Path(path)),
    )
