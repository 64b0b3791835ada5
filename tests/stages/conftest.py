"""The stages on each database, empty."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dunning.core.policy import Policy
from tests.builders import days, declined, failed
from tests.stages.doing import RETRIES, Begin, Bench
from tests.stages.kit import Stage, on_database


@pytest.fixture
def stage(migrated_url: str) -> Iterator[Stage]:
    """Inbox and cases; the merchant's product is not told."""
    yield from on_database(migrated_url)


@pytest.fixture
def announcing(migrated_url: str) -> Iterator[Stage]:
    """Inbox and cases; the merchant's product is told of what changes."""
    yield from on_database(migrated_url, announces=True)


@pytest.fixture
def begin(stage: Stage) -> Begin:
    """A case that failed just now, past its first look at the provider."""

    def start(chosen: Policy = RETRIES, *, day: float = 0) -> Bench:
        stage.policy = chosen
        stage.tell(failed(), declined())
        bench = Bench(stage)
        bench.begins()
        stage.clock.time = days(day)
        return bench

    return start
