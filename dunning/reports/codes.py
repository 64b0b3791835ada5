"""declines(): the decline table in force, with whose word it is; and codes seen without a row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select
from sqlmodel import Session, col

from dunning.clock import rfc3339
from dunning.core.decline_table import ANY_CODE, Override, Row, in_force, index
from dunning.core.declines import Heard, words_of
from dunning.core.events import AttemptStatus, Decline
from dunning.store import AttemptRow

KEYS = (
    "code kind mapped origin advice wait_hours category certainty source reason seen first_seen "
    "last_seen networks example"
).split()
_FAILED = (AttemptStatus.DECLINED.value, AttemptStatus.ACTION_NEEDED.value)


@dataclass(slots=True)
class Seen:
    """How often a word was heard, from when to when, of which networks, and in which case."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None
    networks: set[str] = field(default_factory=set)
    example: str | None = None

    def add(self, count: int, first: datetime, last: datetime, network: str, case: str) -> None:
        """Count some tries more."""
        self.count += count
        self.first = min(self.first or first, first)
        self.last = max(self.last or last, last)
        if network:
            self.networks.add(network)
        self.example = max(self.example or case, case)


@dataclass(frozen=True, slots=True)
class Codes:
    """The rows of the table with what was seen of them, and the words without a row."""

    rows: Sequence[tuple[Row, Seen]]
    unmapped: Sequence[tuple[str, str, Seen]]  # who said it, the code


def declines(session: Session, overrides: tuple[Override, ...]) -> Codes:
    """The table of the policy file in force beside every failed try there is a record of."""
    rows = index(overrides)
    by_row: dict[Row, Seen] = {row: Seen() for row in in_force(overrides)}
    unknown: dict[tuple[str, str], Seen] = {}
    for decline, told in _tries(session):
        for one in words_of(decline, rows):
            seen = by_row[one.row]
            if one.row.code == ANY_CODE:
                seen = unknown.setdefault(_named(one), Seen())
            seen.add(*told)
    return Codes(
        rows=list(by_row.items()),
        unmapped=[(who, code, seen) for (who, code), seen in sorted(unknown.items())],
    )


def _named(one: Heard) -> tuple[str, str]:
    # `visa code 17`: who said it may be of several words, the code is the last.
    who, _, code = one.word.rpartition(" ")
    return who, code


def _tries(session: Session) -> Iterator[tuple[Decline, tuple[int, datetime, datetime, str, str]]]:
    said = (
        col(AttemptRow.decline_code),
        col(AttemptRow.network_code),
        col(AttemptRow.network_advice_code),
        col(AttemptRow.network),
        col(AttemptRow.method_type),
    )
    at = col(AttemptRow.at)
    query = (
        select(*said, func.count(), func.min(at), func.max(at), func.max(col(AttemptRow.case_id)))
        .where(col(AttemptRow.status).in_(_FAILED))
        .group_by(*said)
    )
    for code, raw, advice, network, method, count, first, last, case in session.execute(query):
        decline = Decline(
            code=code,
            network_code=raw,
            network_advice_code=advice,
            network=network,
            method_type=method,
        )
        yield decline, (count, first, last, network or method or "", case)


def as_records(codes: Codes) -> Iterator[dict[str, Any]]:
    """One record for each code: first those without a row, then the table."""
    for who, code, seen in codes.unmapped:
        blank = dict.fromkeys(KEYS)
        yield blank | {"code": code, "kind": who, "mapped": False} | _seen(seen)
    for row, seen in codes.rows:
        yield {
            "code": row.code,
            "kind": row.kind,
            "mapped": True,
            "origin": "policy file" if row.overridden else "built in",
            "advice": row.advice.value,
            "wait_hours": None if row.wait is None else row.wait // timedelta(hours=1),
            "category": row.category,
            "certainty": row.certainty,
            "source": row.source,
            "reason": row.reason,
        } | _seen(seen)


def _seen(seen: Seen) -> dict[str, Any]:
    return {
        "seen": seen.count,
        "first_seen": rfc3339(seen.first),
        "last_seen": rfc3339(seen.last),
        "networks": sorted(seen.networks),
        "example": seen.example,
    }
