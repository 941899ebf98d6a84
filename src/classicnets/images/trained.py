"""Recognizes the images that a model was trained on, wherever they lie: their digests travel with the model.

A digest is that of the pixels that a network sees before augmentation, so a copy, a renamed or losslessly encoded file,
and the same image in a CSV or an IDX file have the same. JPEG and other lossy files also have that of their content,
because another version of a decoder may return other pixels.

A record keeps 24 bits more of each digest than their number needs: an image that is not among them is taken for one of
them with a probability of at most 2**-24 (6e-8). It needs 3.25 bytes for each digest, a third more as text.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classicnets.datasets import sources
from classicnets.datasets.catalog import DATASETS
from classicnets.datasets.types import ImageSplits, Split
from classicnets.images import loading
from classicnets.text import _, command
from classicnets.workers import ordered_map

Digests = npt.NDArray[np.uint64]
Mask = npt.NDArray[np.bool_]

_LOW_BITS = 24
_LOSSY_SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".avif", ".jp2"}
_SMALL_BYTES = 4096  # Python hashes smaller images faster in one thread


def digest_of(image: npt.NDArray[np.uint8]) -> int:
    """Return the digest, 64 bits, of an image uint8 [C, H, W]."""
    digest = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=8).digest()
    return int.from_bytes(digest, "big")


def digests_of(images: npt.NDArray[np.uint8] | Sequence[npt.NDArray[np.uint8]]) -> Digests:
    """Return the digest of each of N images uint8 [C, H, W], uint64 [N]."""
    small = not len(images) or images[0].nbytes < _SMALL_BYTES
    values: Iterable[int] = map(digest_of, images) if small else ordered_map(digest_of, images)
    return np.fromiter(values, np.uint64, len(images))


def file_digest(sha256: str) -> int:
    """Return the digest, 64 bits, of a file, from its SHA-256 in hex."""
    return int(sha256[:16], 16)


def is_lossy(path: Path) -> bool:
    """Return whether a file has the suffix of a format whose decoders may differ."""
    return path.suffix.lower() in _LOSSY_SUFFIXES


@dataclass(frozen=True)
class TrainedImages:
    """The digests of the images that a model was trained on; `prefixes` are their first `bits` bits, sorted."""

    prefixes: Digests
    bits: int

    @classmethod
    def from_digests(cls, digests: Digests) -> TrainedImages:
        """Keep as many bits of the digests as their number needs."""
        unique = np.unique(digests)
        bits = _LOW_BITS + _high_bits(len(unique))
        return cls(unique >> np.uint64(64 - bits), bits)

    def contain(self, digests: Digests) -> Mask:
        """Return for each digest, uint64 [N], whether it is one of these images."""
        values = digests >> np.uint64(64 - self.bits)
        places = np.minimum(np.searchsorted(self.prefixes, values), max(len(self.prefixes) - 1, 0))
        return np.asarray(self.prefixes[places] == values) if len(self.prefixes) else np.zeros(len(values), bool)

    def to_text(self) -> str:
        """Return the digests as text for `from_text`, in the code of Elias and Fano.

        The low bits of each come first. The high bits are a sequence of bits: digest i with high bits h sets bit h + i.
        """
        high = (self.prefixes >> np.uint64(_LOW_BITS)).astype(np.int64)
        low = (self.prefixes & np.uint64(2**_LOW_BITS - 1)).astype("<u4").view(np.uint8).reshape(-1, 4)[:, :3]
        flags = np.zeros(_flag_count(len(high)), bool)
        flags[high + np.arange(len(high))] = True
        return base64.b64encode(low.tobytes() + np.packbits(flags).tobytes()).decode()

    @classmethod
    def from_text(cls, text: str, count: int) -> TrainedImages:
        """Return `count` digests from the text that `to_text` has made. Raises ValueError for any other text."""
        content = np.frombuffer(base64.b64decode(text, validate=True), np.uint8)
        low_bytes = np.zeros((count, 4), np.uint8)
        low_bytes[:, :3] = content[: 3 * count].reshape(count, 3)
        flags = np.flatnonzero(np.unpackbits(content[3 * count :])[: _flag_count(count)])
        if len(flags) != count:
            raise ValueError(_("it holds {n} digests instead of {count}", n=len(flags), count=count))
        high = (flags - np.arange(count)).astype(np.uint64)
        prefixes = (high << np.uint64(_LOW_BITS)) | low_bytes.view("<u4")[:, 0].astype(np.uint64)
        return cls(prefixes, _LOW_BITS + _high_bits(count))


def record(splits: ImageSplits, used: npt.NDArray[np.int64], validation: Split | None) -> dict[str, Any]:
    """Return the images that a run is trained on, as plain values for JSON.

    Validation images count as well, because they choose the epoch whose weights are kept. If they are the whole
    training split of a published data set, its name is enough.

    Args:
        splits: The data of the run.
        used: The indices of the images of the training split that are trained on or held out for validation.
        validation: The data's own validation split, if it is used.

    Returns:
        "images": the number of image files of the data, 0 for other data; "in_test": how many images of the test split
        are among them; and either "split_of", a published data set, or "count" and "digests" for `TrainedImages`.
    """
    is_whole = len(used) == len(splits.train)
    parts = [digests_of(splits.train.images[:] if is_whole else splits.train.images[used])]
    if validation is not None:
        parts.append(digests_of(validation.images[:]))
    parts.append(_lossy_digests(splits, used, with_validation=validation is not None))
    trained = TrainedImages.from_digests(np.concatenate(parts))
    facts: dict[str, Any] = {
        "images": len(splits.files),
        "in_test": int(trained.contain(digests_of(splits.test.images[:])).sum()),
    }
    published = DATASETS.get(splits.name)
    if is_whole and published is not None and splits.fingerprint == published.fingerprint:
        return {**facts, "split_of": splits.name}
    return {**facts, "count": len(trained.prefixes), "digests": trained.to_text()}


def read_record(facts: Mapping[str, Any] | None, model: str, say: Callable[[str], None]) -> TrainedImages | None:
    """Return the images of a record; None, with the reason to `say`, if they are not known.

    Args:
        facts: What `record` has returned; None for a model of an older version.
        model: The name of the model.
        say: Receives one line.

    Raises:
        ValueError: The record is damaged.
    """
    if facts is None:
        say(
            _(
                "{name}: its training images are not recorded, so copies of them cannot be recognized",
                name=model,
            )
        )
        return None
    if name := facts.get("split_of"):
        if name not in DATASETS:
            raise ValueError(_("there is no data set {name!r}", name=name))
        if not sources.is_local(DATASETS[name]):
            say(
                _(
                    "{name}: its training images are those of {data}, which is not on this machine, so copies of them"
                    " cannot be recognized (to get it: {command})",
                    name=model,
                    data=name,
                    command=command("classicnets", "data", "get", name),
                )
            )
            return None
        return TrainedImages.from_digests(digests_of(loading.load(name, say=say).train.images[:]))
    return TrainedImages.from_text(facts["digests"], facts["count"])


def _lossy_digests(splits: ImageSplits, used: npt.NDArray[np.int64], *, with_validation: bool) -> Digests:
    """The digests of the content of lossy image files that are trained on, or are used for validation."""
    files = [file for file in splits.files if file.split == "train"]
    chosen = [files[index] for index in used] if files else []
    if with_validation:
        chosen += [file for file in splits.files if file.split == "validation"]
    return np.array([file_digest(file.sha256) for file in chosen if is_lossy(Path(file.path))], np.uint64)


def _high_bits(count: int) -> int:
    return max(count - 1, 0).bit_length()


def _flag_count(count: int) -> int:
    return int(count + 2 ** _high_bits(count))
