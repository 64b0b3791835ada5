"""Columns packed for PostgreSQL come back as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import BigInteger, Boolean, LargeBinary, String, bindparam, func, select
from sqlalchemy.exc import StatementError
from sqlalchemy.types import TypeEngine

from dunning.store import Column, UTCDateTime
from tests.stages.kit import Stage

EARLY = datetime(1970, 1, 1, 0, 0, 1, 7, tzinfo=UTC)
COLUMNS: list[tuple[TypeEngine[Any], list[Any]]] = [
    (String(), ["", 'a "quoted" \\ word', "NULL", None, "{é,💳}\n"]),
    (BigInteger(), [0, -1, 2**63 - 1, -(2**63), None]),
    (Boolean(), [True, None, False]),
    (LargeBinary(), [b"", b"\x00\xff{}", None]),
    (UTCDateTime(), [EARLY, None, datetime(2099, 12, 31, tzinfo=timezone(timedelta(hours=2)))]),
    (String(), [None, None]),
    (BigInteger(), []),
]


@pytest.mark.parametrize(("of", "values"), COLUMNS)
def test_what_is_packed_comes_back(stage: Stage, of: TypeEngine[Any], values: list[Any]) -> None:
    if stage.engine.dialect.name != "postgresql":
        return
    given = func.unnest(bindparam("given", type_=Column(of)), type_=of)
    with stage.writing() as session:
        assert list(session.scalars(select(given), {"given": values})) == values


def test_a_naive_time_is_refused(stage: Stage) -> None:
    if stage.engine.dialect.name != "postgresql":
        return
    given = func.unnest(bindparam("given", type_=Column(UTCDateTime())))
    naive = EARLY.replace(tzinfo=None)
    with stage.writing() as session, pytest.raises(StatementError, match="naive time"):
        session.scalars(select(given), {"given": [naive]})
