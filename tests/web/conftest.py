"""The receiver on a real server, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.web.edge import Edge, served


@pytest.fixture
def edge(migrated_url: str, tmp_path: Path) -> Iterator[Edge]:
    """One source, one secret, no key; nobody works on what is kept."""
    with served(migrated_url, tmp_path) as edge:
        yield edge
