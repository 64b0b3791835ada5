"""Houses: one process on an embedded database, or several on PostgreSQL and Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crashes.house import House, house_on
from tests.databases import PostgresDatabases, SqliteDatabases
from tests.world import Customer


@pytest.fixture
def house(tmp_path: Path, sqlite_databases: SqliteDatabases) -> Iterator[House]:
    """On an embedded database; nothing runs yet."""
    url = sqlite_databases.copy_migrated(tmp_path / "dunning.db")
    # One process knows whether its own threads are at work: nobody who is slow is taken for dead.
    with house_on(url, tmp_path, environ={"DUNNING_LEASE_SECONDS": "1"}) as house:
        yield house


@pytest.fixture
def ann(house: House) -> Customer:
    """Subscribed before we were there: the first webhook we hear is of the renewal that fails."""
    return house.world.customer()


@pytest.fixture
def apart(tmp_path: Path, postgres_databases: PostgresDatabases, redis_url: str) -> Iterator[House]:
    """On PostgreSQL and Redis; nothing runs yet."""
    url = postgres_databases.create(migrated=True)
    with house_on(url, tmp_path, broker_url=redis_url) as house:
        yield house
    postgres_databases.drop(url)
