"""A shop on each database."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.reports.shop import Shop


@pytest.fixture
def shop(migrated_url: str) -> Iterator[Shop]:
    """An empty shop."""
    shop = Shop(migrated_url)
    yield shop
    shop.engine.dispose()
