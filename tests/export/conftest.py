"""Fixtures for the tests of exports."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True, scope="session")
def _quick(quick_export: None) -> None:
    """All of them export networks."""
