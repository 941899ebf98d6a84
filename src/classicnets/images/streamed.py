"""Images of files that are decoded whenever they are used, for data that fits neither into memory nor into the cache.

`StreamedImages` takes the place of an array of decoded images. Indexing decodes the images that are asked for;
`batches` decodes many of them in other processes, ahead of the caller. Both return what the cache would hold, bit for
bit.
"""

from __future__ import annotations

import signal
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch.utils.data import DataLoader, Dataset

from classicnets import machine
from classicnets.datasets.types import Images, LazyImages
from classicnets.errors import DataError
from classicnets.images.decode import read_fitted
from classicnets.text import _, command
from classicnets.values import Preprocess
from classicnets.workers import ordered_map

Pixels = npt.NDArray[np.uint8]
Rows = npt.NDArray[np.int64]
Index = slice | Sequence[int] | npt.NDArray[Any]

MAX_STATISTICS = 20_000  # images from which a mean is computed: its error is far below a level, and more take hours


class StreamedImages(LazyImages):
    """The images of files, as uint8 [N, channels, side, side], of which none is kept.

    Attributes:
        paths: The files.
        preprocess: How they are read.
        shape: (N, channels, side, side).
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths: Sequence[Path], preprocess: Preprocess):
        self.paths, self.preprocess = paths, preprocess
        self.shape = (len(paths), preprocess.channels, preprocess.side, preprocess.side)

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def nbytes(self) -> int:
        """The memory that all images together would need."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __getitem__(self, index: int | np.integer[Any] | Index) -> Pixels:
        """Decode one image, or those of a slice, of indices or of a mask, in threads.

        Raises:
            DataError: CN304 if a file cannot be read.
        """
        if isinstance(index, int | np.integer):
            return read_fitted(self.paths[int(index)], self.preprocess)
        return self._decode([self.paths[row] for row in self._rows(index)])

    def subset(self, index: Index) -> StreamedImages:
        """Return the images at `index`, without decoding them."""
        return StreamedImages([self.paths[row] for row in self._rows(index)], self.preprocess)

    def joined(self, others: LazyImages) -> StreamedImages:
        """Return these images, followed by the others."""
        assert isinstance(others, StreamedImages)
        return StreamedImages([*self.paths, *others.paths], self.preprocess)

    def batches(self, batches: Sequence[Rows], processes: int = 0) -> Iterator[Pixels]:
        """Decode batches of images in other processes, and yield them in the order of `batches`.

        The processes end with the iterator, and also with this process, however it ends.

        Args:
            batches: The indices of the images of each batch.
            processes: Number of processes; 0 for one for each core.

        Raises:
            DataError: CN304 if a file cannot be read, CN310 if a process has died.
        """
        count = min(processes or machine.cores_of_process(), len(batches))
        if not count:
            return
        with warnings.catch_warnings(action="ignore"):  # of more processes than cores, and of processes beside threads
            decoded = iter(
                DataLoader(
                    _Batches(self),
                    batch_size=None,
                    sampler=batches,
                    num_workers=count,
                    collate_fn=_unchanged,
                    worker_init_fn=_ignore_ctrl_c,
                    # does not import the user's program again, which may start a training when it is imported
                    multiprocessing_context="fork" if sys.platform == "linux" else None,
                    generator=torch.Generator(),  # otherwise a number of torch's generator would be used up
                )
            )
        while True:
            try:
                batch = next(decoded)
            except StopIteration:
                return
            except RuntimeError as error:
                raise _died(error) from error
            if isinstance(batch, DataError):
                raise batch
            yield batch

    def _rows(self, index: Index) -> list[int]:
        """The numbers of the images at `index`."""
        if isinstance(index, slice):
            return list(range(len(self))[index])
        rows = np.asarray(index)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows.astype(np.int64)
        return [int(row) for row in rows]

    def _decode(self, paths: Sequence[Path]) -> Pixels:
        images = np.empty((len(paths), *self.shape[1:]), np.uint8)
        decoded = ordered_map(lambda path: read_fitted(path, self.preprocess), paths, threads=machine.usable_cores())
        for row, image in enumerate(decoded):
            images[row] = image
        return images


def for_statistics(images: Images, rows: Rows) -> Rows:
    """Return the rows from which statistics of the images at `rows` are computed: of many streamed images, a part."""
    if not isinstance(images, LazyImages) or len(rows) <= MAX_STATISTICS:
        return rows
    return rows[np.arange(MAX_STATISTICS) * len(rows) // MAX_STATISTICS]


class _Batches(Dataset[Any]):
    """Decodes a batch in one of the processes; a file that cannot be read gives its error."""

    def __init__(self, images: StreamedImages):
        self.images = images

    def __getitem__(self, rows: Any) -> Pixels | DataError:
        images = np.empty((len(rows), *self.images.shape[1:]), np.uint8)
        for target, row in zip(images, rows, strict=True):
            try:
                target[:] = self.images[row]
            except DataError as error:
                return error
        return images


def _unchanged(batch: Any) -> Any:
    return batch


def _ignore_ctrl_c(_number: int) -> None:
    """Leave Ctrl-C, which a terminal sends to all processes, to the training, which needs the batch in progress."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _died(error: RuntimeError) -> DataError:
    return DataError(
        "CN310",
        _("a process that decodes images has died"),
        where=_("images that are decoded while training"),
        why=" ".join(str(error).split())[:300],
        hint=_("{option}   # fewer processes need less memory", option=command("--loader-threads", "1")),
    )
