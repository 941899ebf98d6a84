"""What the batches (X, y) of a data iterator must be to train a classifier, and the errors for others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset

from classicnets.errors import DataError
from classicnets.text import _, plural
from classicnets.text import shape as shape_text


class Loader(Protocol):
    """A reusable iterable of batches (X, y): a torch DataLoader, a list, or ImageBatches."""

    def __iter__(self) -> Iterator[Any]: ...

    def __len__(self) -> int: ...


class Batch(NamedTuple):
    """Images [N, ...] and labels of one batch, and how errors name its place."""

    images: Tensor
    labels: Tensor
    place: str


def first_batch(batches: Loader, name: str) -> Batch:
    """Return the first batch of a data iterator, without changing its random generator or torch's.

    Args:
        batches: The data iterator.
        name: Its name in the code of the user.

    Raises:
        DataError: CN311, these are no batches (X, y) of tensors, or there are none.
    """
    check_iterable(batches, name)
    generator = getattr(batches, "generator", None)
    state = generator.get_state() if isinstance(generator, torch.Generator) else None
    try:
        with torch.random.fork_rng(devices=[]):
            for batch in batches:
                return as_batch(batch, _("the first batch of {name}", name=name))
    finally:
        if isinstance(generator, torch.Generator) and state is not None:
            generator.set_state(state)
    raise DataError(
        "CN311",
        _("{name} has no batches", name=name),
        why=_("its data set is empty, or drop_last removes the only batch"),
        hint="DataLoader(dataset, batch_size=32, drop_last=False)",
    )


def check_iterable(batches: Any, name: str) -> None:
    """Check that `batches`, which the user calls `name`, can be iterated in each epoch. Raises DataError CN311."""
    as_list = f"{name} = list({name})" if name.isidentifier() else _("return a list of the batches, or a DataLoader")
    loader = f"{name} = torch.utils.data.DataLoader({{}}, batch_size=256, shuffle=True)"
    if isinstance(batches, Tensor) or not hasattr(batches, "__iter__"):
        if isinstance(batches, Dataset):
            hint = loader.format("dataset")
        else:
            hint = loader.format("torch.utils.data.TensorDataset(X, y)")
        raise _error(
            _("{name} is a {kind}, not an iterable of batches", name=name, kind=type(batches).__name__), hint=hint
        )
    if isinstance(batches, Dataset) and not isinstance(batches, IterableDataset):
        what = _("{name} is a data set, which gives single images, not batches", name=name)
        raise _error(what, hint=loader.format("dataset"))
    if isinstance(batches, Iterator):
        what = _("{name} can be iterated only once, so that it is empty in the second epoch", name=name)
        raise _error(what, where=f"{name}: {type(batches).__name__}", hint=as_list)
    try:
        len(batches)
    except TypeError:
        what = _("{name} has no len(), so that the number of steps in an epoch is not known", name=name)
        raise _error(what, where=f"{name}: {type(batches).__name__}", hint=as_list) from None


def as_batch(batch: Any, place: str) -> Batch:
    """Return what an iterator gave as a `Batch`. Raises DataError CN311 if it is not a pair of tensors (X, y)."""
    if not isinstance(batch, tuple | list) or len(batch) != 2:
        kind = type(batch).__name__
        if isinstance(batch, tuple | list):
            kind = plural("a {kind} of {n} value", "a {kind} of {n} values", len(batch), kind=kind)
        raise _error(
            _("a batch must be a pair of images and labels (X, y), and this is {kind}", kind=kind),
            where=place,
            hint="for X, y in train_iter: ...",
        )
    images, labels = batch
    for letter, value in (("X", images), ("y", labels)):
        if not isinstance(value, Tensor):
            raise _error(
                _("{name} of a batch must be a tensor, and it is a {kind}", name=letter, kind=type(value).__name__),
                where=place,
                hint=f"{letter} = torch.tensor({letter})",
            )
    if not images.dim() or not labels.dim():
        raise _error(
            _("X and y of a batch must have an axis for the images, and one of them is a single number"),
            where=place,
            hint="torch.utils.data.TensorDataset(X, y)",
        )
    if len(images) != len(labels) or not len(images):
        raise _error(
            _("a batch has {images:,} images and {labels:,} labels", images=len(images), labels=len(labels)),
            where=place,
            why=_("each image needs one label"),
            hint=_("X and y must come from the same rows: TensorDataset(X, y) checks this"),
        )
    return Batch(images, labels, place)


def check_images(batch: Batch, dtype: torch.dtype) -> None:
    """Check that the images are finite floating-point numbers in the precision of the network.

    Raises:
        DataError: CN311.
    """
    X = batch.images
    actual = str(X.dtype).removeprefix("torch.")
    if not X.is_floating_point() and not X.is_complex():
        low, high = int(X.min()), int(X.max())
        raise _error(
            _("the images are {dtype} with values from {low} to {high}", dtype=actual, low=low, high=high),
            where=_("X of {place}", place=batch.place),
            why=_("a network computes with floating-point numbers, and is trained with pixels in 0..1"),
            hint="X = X.float() / 255" if high > 1 else "X = X.float()",
        )
    if X.dtype != dtype:
        expected = str(dtype).removeprefix("torch.")
        raise _error(
            _("the images are {dtype}, and the weights {expected}", dtype=actual, expected=expected),
            where=_("X of {place}", place=batch.place),
            why=_("torch does not multiply numbers of different precision"),
            hint=f"X = X.to(torch.{expected})",
        )
    if not X.isfinite().all():
        count = int((~X.isfinite()).flatten(1).any(dim=1).sum())
        raise _error(
            plural(
                "{n:,} of {total:,} images has values that are not finite (NaN or infinite)",
                "{n:,} of {total:,} images have values that are not finite (NaN or infinite)",
                count,
                total=len(X),
            ),
            where=_("X of {place}", place=batch.place),
            why=_("one such image makes all weights NaN"),
            hint="X = torch.nan_to_num(X)",
        )


def check_labels(batch: Batch, outputs: int, change: Callable[[int], str]) -> None:
    """Check that the labels are class numbers [N] in 0..outputs-1.

    Args:
        batch: The batch.
        outputs: The number of outputs of the network.
        change: Returns the change of the network for another number of outputs.

    Raises:
        DataError: CN311.
    """
    y = batch.labels
    shape, dtype = shape_text(y.shape), str(y.dtype).removeprefix("torch.")
    where = _("y of {place}", place=batch.place)
    why = _("cross-entropy needs the number of the class of each image: int64 of shape [N]")
    if y.dim() == 2 and y.shape[1] == 1:
        raise _error(_("the labels have shape {shape}", shape=shape), where=where, why=why, hint=_flat(y))
    if y.dim() > 1:
        one_hot = y.dim() == 2 and bool(((y == 0) | (y == 1)).all()) and bool((y.sum(dim=1) == 1).all())
        if one_hot:
            what = _("the labels are one-hot vectors of shape {shape}", shape=shape)
        else:
            what = _("the labels have shape {shape}", shape=shape)
        raise _error(what, where=where, why=why, hint="y = y.argmax(dim=1)" if y.dim() == 2 else "y = y[:, 0].long()")
    if y.is_floating_point():
        if not bool((y == y.round()).all()):
            raise _error(
                _("the labels are values such as {value:.3g}, not class numbers", value=float(y[y != y.round()][0])),
                where=where,
                why=why,
                hint=_("for a regression, use nn.MSELoss in a loop of your own"),
            )
        raise _error(_("the labels are {dtype}", dtype=dtype), where=where, why=why, hint="y = y.long()")
    if y.dtype not in (torch.int64, torch.uint8):
        raise _error(_("the labels are {dtype}", dtype=dtype), where=where, why=why, hint="y = y.long()")
    low, high = int(y.min()), int(y.max())
    if low >= 0 and high < outputs:
        return
    what = _(
        "the labels run from {low} to {high}, and the network has {outputs} outputs, for the classes 0 to {last}",
        low=low,
        high=high,
        outputs=outputs,
        last=outputs - 1,
    )
    hints = [change(high + 1)] if high >= outputs else []
    if low > 0 and high - low < outputs:
        hints.insert(0, f"y = y - {low}")
    if low < 0:
        hints = [_("leave these images out: X, y = X[y >= 0], y[y >= 0]")]
    raise _error(what, where=where, why=_("labels count from 0"), hint=(*hints,))


def is_sorted_by_class(batch: Batch) -> bool:
    """Whether the labels of a batch are in order, which happens by chance in at most one of 100 million batches."""
    y = batch.labels.flatten()
    return len(y) >= 32 and bool((y.diff() >= 0).all())


def _flat(y: Tensor) -> str:
    return "y = y.flatten()" if y.dtype in (torch.int64, torch.uint8) else "y = y.flatten().long()"


def exact_labels(batches: Loader) -> Tensor | None:
    """Return the labels of all images, if they are in memory; None where they must be read batch by batch."""
    dataset = batches.dataset if isinstance(batches, DataLoader) else getattr(batches, "dataset", None)
    labels = getattr(dataset, "labels", None)
    if labels is None and isinstance(dataset, torch.utils.data.TensorDataset):
        labels = dataset.tensors[-1]
    if isinstance(labels, Tensor) and labels.dim() == 1 and not labels.is_floating_point():
        return labels
    return None


def _error(what: str, *, hint: str | tuple[str, ...], where: str = "", why: str = "") -> DataError:
    return DataError("CN311", what, where=where, why=why, hint=hint)
