"""IDX files: valid ones are read exactly, and invalid ones raise one clear error."""

from __future__ import annotations

import gzip
import hashlib
import os
import struct
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classicnets.datasets.formats import idx_header, read_idx, sha256_of
from classicnets.errors import DataError
from support.idx import idx_bytes, write_idx

SMALL = np.arange(24, dtype=np.uint8).reshape(4, 3, 2)


def why(path: Path, **limits: int) -> str:
    with pytest.raises(DataError) as caught:
        read_idx(path, **limits)
    assert caught.value.code == "CN301"
    assert str(path) in str(caught.value)
    assert caught.value.hints
    return caught.value.why


@settings(max_examples=40, deadline=None)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), gz=st.booleans(), seed=st.integers(0, 99))
def test_round_trip(shape: list[int], gz: bool, seed: int) -> None:
    array = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        path = write_idx(Path(folder) / "file", array, gz=gz)
        result = read_idx(path)
        assert result.dtype == np.uint8
        assert result.flags.writeable
        np.testing.assert_array_equal(result, array)
        assert idx_header(path) == array.shape
        assert sha256_of(path) == hashlib.sha256(idx_bytes(array)).hexdigest()


@pytest.mark.parametrize("gz", [False, True])
def test_rejects_every_truncation(tmp_path: Path, gz: bool) -> None:
    content = write_idx(tmp_path / "whole", SMALL, gz=gz).read_bytes()
    path = tmp_path / "short"
    for length in range(len(content)):
        path.write_bytes(content[:length])
        assert why(path)
        if gz and length > 1:  # a shorter one has no gzip mark, so it is hashed as a plain file
            with pytest.raises(DataError, match="CN301"):
                sha256_of(path)


@settings(max_examples=300, deadline=None)
@given(at=st.integers(0, 15), value=st.integers(0, 255))
def test_changed_header_byte_raises_only_data_errors(at: int, value: int) -> None:
    content = bytearray(idx_bytes(SMALL))
    changed = content[at] != value
    content[at] = value
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        if changed:
            assert why(path)
        else:
            np.testing.assert_array_equal(read_idx(path), SMALL)


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_changed_gzip_byte_gives_the_same_array_or_a_data_error(data: st.DataObject) -> None:
    content = bytearray(gzip.compress(idx_bytes(SMALL), mtime=0))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            np.testing.assert_array_equal(read_idx(path), SMALL)
        except DataError as error:
            assert error.code == "CN301"


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=64))
def test_noise_is_an_array_or_a_data_error(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        try:
            assert idx_bytes(read_idx(path)) == content
        except DataError as error:
            assert error.code == "CN301"


def test_truncation_error_shows_declared_and_actual_size(tmp_path: Path) -> None:
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(bytes([0, 0, 8, 3]) + struct.pack(">3I", 60_000, 28, 28) + bytes(12_345))
    assert why(path) == "it is truncated: it declares 60000x28x28 = 47,040,000 bytes, but has 12,345"
    path.write_bytes(gzip.compress(path.read_bytes())[:-20])
    assert why(path).startswith("it is truncated: it declares 60000x28x28 = 47,040,000 bytes, but has ")


def packed(content: bytes) -> bytes:
    """Gzip without a timestamp, so that all test processes have the same parameter names."""
    return gzip.compress(content, mtime=0)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty"),
        (packed(b""), "it is empty"),
        (b"\0\0\x08", "it is truncated in its header: 3 bytes of at least 8"),
        (b"\0\0\x08\x02\0\0\0\x01", "it is truncated in its header: 8 of 12 bytes"),
        (b"<!DOCTYPE html><html>", "it begins with 3c 21 44 4f instead of 00 00 08; it looks like a web page"),
        (b"\n <html>", "it looks like a web page"),
        (b"PK\x03\x04abc", "it looks like a zip archive"),
        (b"\x89PNG\r\n\x1a\n", "it looks like a PNG image"),
        (packed(packed(idx_bytes(SMALL))), "it looks like a gzip stream inside a gzip stream"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it looks like a Git LFS pointer"),
        (b"abcdefgh", "it begins with 61 62 63 64 instead of 00 00 08"),
        (b"\0\0\x0d\x01\0\0\0\x01", "its element type is 0x0d (float32), but only 0x08 (unsigned byte) is supported"),
        (b"\0\0\x77\x01\0\0\0\x01", "its element type is 0x77 (unknown)"),
        (b"\0\0\x08\0", "it declares 0 dimensions, but 1 to 4 are supported"),
        (b"\0\0\x08\x05" + bytes(20), "it declares 5 dimensions, but 1 to 4 are supported"),
        (b"\0\0\x08\x02\0\0\0\x03\0\0\0\0", "it declares 3x0 = 0 bytes, but 1 to 1,073,741,824 are supported"),
        (b"\0\0\x08\x02" + b"\xff" * 8, "it declares 4294967295x4294967295 = 18,446,744,065,119,617,025 bytes"),
        (idx_bytes(SMALL) + b"x", "it declares 4x3x2 = 24 bytes, but has more"),
        (packed(idx_bytes(SMALL) + b"x"), "it declares 4x3x2 = 24 bytes, but has more"),
        (packed(idx_bytes(SMALL)) + b"garbage", "its gzip stream is damaged: Not a gzipped file"),
        (packed(idx_bytes(SMALL))[:-8] + bytes(8), "its gzip stream is damaged: CRC check failed"),
        (packed(idx_bytes(SMALL))[:-3], "it is truncated: its gzip stream ends early"),
    ],
)
def test_explains_invalid_files(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    assert expected in why(path)


def test_explains_paths_that_are_not_files(tmp_path: Path) -> None:
    assert why(tmp_path / "none") == "there is no such file"
    assert why(tmp_path) == "it is not a regular file"
    assert why(Path("/dev/null")) == "it is not a regular file"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_explains_missing_permission(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "file", SMALL)
    path.chmod(0)
    assert why(path) == "it cannot be read: Permission denied"


def test_error_has_four_lines(tmp_path: Path) -> None:
    path = tmp_path / "train-labels-idx1-ubyte"
    path.write_bytes(b"\0\0\x08\x01\0\0\0\x09abc")
    with pytest.raises(DataError) as caught:
        read_idx(path)
    assert str(caught.value).splitlines() == [
        "error[CN301]: train-labels-idx1-ubyte is not a valid IDX file",
        f"  where: {path}",
        "  why:   it is truncated: it declares 9 bytes, but has 3",
        f"  hint:  classicnets data check {tmp_path}",
    ]


def peak_bytes(read: Any) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="CN301"):
            read()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_false_header_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes([0, 0, 8, 2]) + struct.pack(">2I", 1000, 1_000_000) + b"few")
    assert peak_bytes(lambda: read_idx(path)) < 2**21


def test_gzip_bomb_costs_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(bytes([0, 0, 8, 1]) + struct.pack(">I", 1000) + bytes(2**26), compresslevel=1))
    assert peak_bytes(lambda: read_idx(path)) < 2**21
    assert peak_bytes(lambda: sha256_of(path, max_bytes=1008)) < 2**21
    assert idx_header(path) == (1000,)


def test_enforces_max_bytes(tmp_path: Path) -> None:
    path = write_idx(tmp_path / "file", SMALL)
    assert read_idx(path, max_bytes=24).shape == (4, 3, 2)
    assert why(path, max_bytes=23) == "it declares 4x3x2 = 24 bytes, but 1 to 23 are supported"
    with pytest.raises(DataError, match="more than 39 bytes"):
        sha256_of(path, max_bytes=39)
    assert sha256_of(path, max_bytes=40)
