"""The stages on each database, empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.stages.kit import Stage, on_database


@pytest.fixture
def stage(migrated_url: str) -> Iterator[Stage]:
    """Inbox and cases; the merchant's product is not told."""
    yield from on_database(migrated_url)


@pytest.fixture
def announcing(migrated_url: str) -> Iterator[Stage]:
    """Inbox and cases; the merchant's product is told of what changes."""
    yield from on_database(migrated_url, announces=True)
