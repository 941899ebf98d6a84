"""What the first layers of a trained network compute from a few images, and how alike it is."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from classicnets.exercises.kinds import Activations
from classicnets.exercises.result import Result
from classicnets.images.transforms import prepare
from classicnets.inspection.shape_errors import check_input
from classicnets.inspection.windows import layer_type
from classicnets.models.modules import in_dtype_of, restored_modes
from classicnets.text import _
from classicnets.values import Preprocess


@dataclass(frozen=True)
class Maps:
    """What is drawn: images [H, W] by name, and for each layer their feature maps [channels, H, W] by name."""

    images: dict[str, np.ndarray]
    layers: dict[str, dict[str, np.ndarray]]


def unlike(image: np.ndarray) -> dict[str, np.ndarray]:
    """Return images that are unlike a uint8 image [C, H, W]: noise, the same each time, and the inverted image."""
    noise = np.random.default_rng(0).integers(0, 256, image.shape, dtype=np.uint8)
    return {_("noise"): noise, _("inverted"): 255 - image}


def check(
    exercise: Activations,
    net: nn.Module,
    preprocess: Preprocess,
    images: Mapping[str, np.ndarray],
    classes: Sequence[str],
) -> tuple[Result, Maps | None]:
    """Compute the activations of the first convolutions.

    Args:
        exercise: The exercise.
        net: The trained network.
        preprocess: How images become its input.
        images: uint8 images [C, H, W] by name.
        classes: Names of the classes, in the order of the outputs.

    Returns:
        The result, and what is drawn; None if the network has too few convolutions.

    Raises:
        UsageError: CN201, the network cannot take the images.
    """
    table = check_input(net, preprocess.shape, name=_("your network"))
    wanted = _layers_to_show(table.rows, exercise.layers)
    if len(wanted) < exercise.layers:
        missing = _("the network has {n} convolutions; the exercise looks at the first two", n=len(wanted))
        return Result(id=exercise.id, passed=False, missing=(missing,)), None
    if table.output_shape != (len(classes),):
        missing = _("the network does not return one number for each of the {n} classes", n=len(classes))
        return Result(id=exercise.id, passed=False, missing=(missing,)), None
    outputs, logits = _outputs(net, preprocess, np.stack([*images.values()]), wanted)
    seen, facts = [], {}
    for layer, maps in outputs.items():
        for (first, a), (second, b) in itertools.combinations(zip(images, maps, strict=True), 2):
            alike = float(torch.cosine_similarity(a.flatten() - a.mean(), b.flatten() - b.mean(), dim=0))
            facts[f"{layer}: {first}, {second}"] = alike
            fields: dict[str, Any] = {"layer": layer, "first": first, "second": second, "alike": alike}
            seen.append(_("{layer}: activations of {first} and {second} correlate by {alike:.2f}", **fields))
    probabilities = logits.softmax(1)
    for name, row in zip(images, probabilities, strict=True):
        best = int(row.argmax())
        facts[f"probability: {name}"] = float(row[best])
        fields = {"name": name, "label": classes[best], "probability": float(row[best])}
        seen.append(_("{name}: classified as {label} with a probability of {probability:.2f}", **fields))
    result = Result(
        id=exercise.id,
        passed=None,
        seen=tuple(seen),
        notes=(_("look at the figure, and say which channels answer to edges, to areas, and to one image only"),),
        facts=facts,
    )
    drawn = {
        layer: {name: values.numpy() for name, values in zip(images, maps, strict=True)}
        for layer, maps in outputs.items()
    }
    return result, Maps({name: image[0] for name, image in images.items()}, drawn)


def _layers_to_show(rows: Any, count: int) -> dict[str, str]:
    """The first convolutions, and the module whose output is shown: the activation after each, if there is one."""
    wanted: dict[str, str] = {}
    for row, following in itertools.zip_longest(rows, rows[1:]):
        if layer_type(row) == "conv" and len(wanted) < count:
            is_activation = following is not None and following.inputs == following.outputs == row.outputs
            is_activation = is_activation and not following.parameters and layer_type(following) == "other"
            wanted[f"conv{len(wanted) + 1}"] = following.name if is_activation else row.name
    return wanted


def _outputs(
    net: nn.Module, preprocess: Preprocess, images: np.ndarray, wanted: Mapping[str, str]
) -> tuple[dict[str, Tensor], Tensor]:
    """The outputs [N, channels, H, W] of modules by the names of layers, and the logits."""
    outputs: dict[str, Tensor] = {}
    hooks = []
    for layer, name in wanted.items():

        def keep(_module: nn.Module, _inputs: Any, output: Tensor, layer: str = layer) -> None:
            outputs.setdefault(layer, output.detach().float().cpu().clone())

        hooks.append(net.get_submodule(name).register_forward_hook(keep))
    try:
        with restored_modes(net), torch.no_grad():
            net.eval()
            batch = in_dtype_of(net, prepare(torch.from_numpy(images), preprocess))
            logits = net(batch.to(next(net.parameters()).device)).float().cpu()
    finally:
        for hook in hooks:
            hook.remove()
    return outputs, logits
