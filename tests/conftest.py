"""Fixtures for every room's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shunt.lab.lab import Lab

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def lab() -> Iterator[Lab]:
    """An empty laboratory, removed after the test; mark the test with `lab`."""
    with Lab.create() as made:
        yield made
