"""Files that are nearly right, with hostile values in their fields, are refused in our words or are read."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classicnets.errors import DataError
from support.hostile_files import READERS
from support.mutations import mutant_count


@pytest.mark.parametrize("name", READERS)
def test_hostile_values_are_refused_or_read(tmp_path: Path, name: str) -> None:
    reader, path = READERS[name], tmp_path / "file"
    read = refused = 0

    @settings(
        max_examples=mutant_count(),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(st.one_of(reader.files, st.sampled_from(reader.real())))
    def check(content: bytes) -> None:
        nonlocal read, refused
        path.write_bytes(content)
        try:
            reader.read(path)
            read += 1
        except DataError as error:
            assert error.code == "CN305" and error.what and error.where.startswith(str(path))
            str(error).encode()
            refused += 1

    check()
    assert read and refused
