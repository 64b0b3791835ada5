"""The embedded database when its disk is full, read-only, or its log torn by a power cut."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from dunning.store import engine_for, reading, transaction

# Processes start, die and start again: on a busy machine that takes its time.
pytestmark = pytest.mark.timeout(400)


def test_a_connection_opens_while_its_own_process_writes(migrated_url: str) -> None:
    """Otherwise a thread that writes and needs another look waits for itself."""
    engine = engine_for(migrated_url)
    with transaction(engine) as session:
        session.execute(text("UPDATE fits SET oldest = oldest"))
        with reading(engine) as other:
            assert other.execute(text("SELECT count(*) FROM cases")).scalar() == 0
    engine.dispose()
