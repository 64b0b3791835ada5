"""A world for each story, on each database."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.world import World, world_on


@pytest.fixture
def world(migrated_url: str, tmp_path: Path) -> Iterator[World]:
    """The default policy, nobody there yet."""
    with world_on(migrated_url, tmp_path) as world:
        yield world
