"""The clocks a report goes by: which hour and which day it was where a customer lives."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    SQLColumnExpression,
    case,
    cast,
    func,
    literal,
    select,
)
from sqlmodel import Session, col

from dunning.core.calendar import zone_of
from dunning.core.policy import from_data
from dunning.reports.cohorts import seconds_of
from dunning.reports.periods import offsets, span, zone_named
from dunning.reports.scope import Scope
from dunning.store import AttemptRow, CaseRow, CustomerRow, PolicyRow
from dunning.workdays import works_on

ON_THE_CLOCK = ("hour", "weekday", "monthday")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_SLOT = 900  # no zone is off by anything else than whole quarters of an hour
_A_DAY = 86_400 // _SLOT
# So few days have few quarters of an hour: to ask for the zones of all customers takes longer.
_SHORT = timedelta(days=62)


class Clocks:
    """Those of the customers or, where a zone of the books is given, that one for all.

    A charge goes by its quarter of an hour, of which a long range has nearly as many as charges.
    But from one change of clocks to the next, an era, local time is UTC and a constant: there the
    quarter of the day tells the hour, and that of the week the weekday.
    """

    def __init__(
        self, session: Session, now: datetime, scope: Scope, books: ZoneInfo | None
    ) -> None:
        self._session, self._now, self._books = session, now, books
        told = select(col(PolicyRow.version), col(PolicyRow.body))
        self._policies = {
            version: from_data(json.loads(body), works_on).timezone
            for version, body in (() if books else session.execute(told))
        }
        self._many = 7 * _A_DAY if "weekday" in scope.by else _A_DAY
        self._eras = [] if "monthday" in scope.by else self._eras_of(scope)

    def _eras_of(self, scope: Scope) -> list[datetime]:
        """When each of the range began, until now; none where the range is short."""
        starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
        last = min(ends or self._now, self._now)
        if starts and last - starts <= _SHORT:
            return []
        # No charge that counts is from before its case.
        opened = self._session.execute(select(func.min(col(CaseRow.opened_at)))).scalar_one()
        if opened is None:
            return []
        first = max(starts or opened, opened)
        return sorted({at for zone in self._in_use() for at, _ in offsets(zone, first, last)})

    def _in_use(self) -> set[ZoneInfo]:
        if self._books:
            return {self._books}
        told = select(col(CustomerRow.timezone), col(CustomerRow.country)).distinct()
        known = [(None, None), *self._session.execute(told)]
        others = {"UTC", *self._policies.values()}
        return {zone_of(zone, country, other) for zone, country in known for other in others}

    def told(self) -> dict[str, SQLColumnExpression[Any]]:
        """What `shown` is to be told of a charge: its time, and whose it is."""
        at, slot = col(AttemptRow.at), _slot(self._session.get_bind().dialect.name)
        time = slot
        if self._eras:
            # Below nought, since what is later than now keeps its quarter of an hour.
            within = slot % self._many - self._many * _era(at, self._eras[1:])
            time = case((at < self._now, within), else_=slot)
        if self._books:
            return {"_time": time}
        zone, country = col(CustomerRow.timezone), col(CustomerRow.country)
        of_case = col(CaseRow.policy_version)
        return {"_time": time, "_zone": zone, "_country": country, "_version": of_case}

    def shown(self, time: int, *where: str | None) -> tuple[str, str, str]:
        """The hour, the weekday and the day of the month; of an era's charges no such day."""
        zone = self._books or self._of_customer(*where)
        if time < 0:
            era, slot = divmod(time, self._many)
            ahead = self._eras[-era - 1].astimezone(zone).utcoffset()
            assert ahead is not None
            at = datetime.fromtimestamp(slot * _SLOT, UTC) + ahead
        else:
            at = datetime.fromtimestamp(time * _SLOT, zone)
        return f"{at.hour:02}:00", WEEKDAYS[at.weekday()], f"{at.day:02}"

    def _of_customer(self, zone: str | None, country: str | None, version: str | None) -> ZoneInfo:
        return zone_of(zone, country, self._policies.get(version or "", "UTC"))


def _era(
    at: SQLColumnExpression[datetime], changes: Sequence[datetime], n: int = 1
) -> ColumnElement[int]:
    """Between which two changes a moment lies, counted from one; found by halves."""
    if not changes:
        return literal(n)
    middle = len(changes) // 2
    before, after = changes[:middle], changes[middle + 1 :]
    return case((at < changes[middle], _era(at, before, n)), else_=_era(at, after, n + middle + 1))


def _slot(dialect: str) -> ColumnElement[int]:
    """In which quarter of an hour since 1970 a charge was made, in UTC."""
    if dialect == "sqlite":
        return seconds_of(col(AttemptRow.at)) // _SLOT
    # As a float: exact to the microsecond, and quicker than EXTRACT's numeric.
    return cast(func.floor(func.date_part("epoch", col(AttemptRow.at)) / _SLOT), BigInteger())
