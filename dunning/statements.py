"""What the books of a closed period say, in one form, with a digest; and whether that still holds.

Each entry of the period becomes one line, in the order of ids: a JSON array of its `FIELDS`
without spaces, in ASCII, ended by a newline. The SHA-256 of these lines is the statement's
`entries_digest`; the SHA-256 of the statement, as JSON with sorted keys and without spaces, is its
digest, and the statement holds that of the one before. So the newest digest vouches for all.

A statement says its `form`. The first form, which named none, left out what the customer had last
heard and done before a payment; such statements are proved as they were written.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select, text
from sqlmodel import Session, col

from dunning.clock import rfc3339
from dunning.closed import Booked, booked_between, closings
from dunning.core.attribution import TOUCH
from dunning.core.calendar import known_zone
from dunning.core.entries import Account
from dunning.errors import RefusedError
from dunning.store import (
    ClosingRow,
    EntryRow,
    RecurringRow,
    StatementRow,
    table_of,
)

FIELDS = (
    "id key base case_id place source debit credit amount currency cause how occurred_at "
    "recorded_at reverses posted_at closed_period"
).split()
RECURRING_FIELDS = (*FIELDS[:6], "subscription", *FIELDS[6:])
FORM = 2
FIELDS_OF: Mapping[int, Sequence[str]] = {1: FIELDS, FORM: (*FIELDS, *TOUCH)}
_PERIOD = re.compile(r"(?!0000)(\d{4})-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it is stored."""

    period: str
    content: Mapping[str, Any]
    digest: str


# --- periods -------------------------------------------------------------------------------


def bounds(period: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """When the month begins and when the next one does, in UTC."""
    found = _PERIOD.fullmatch(period)
    if found is None:
        raise RefusedError(f"{period!r} is no month; write it as 2026-10")
    year, month = int(found[1]), int(found[2])
    later = (year + month // 12, month % 12 + 1)
    if later[0] > 2999:
        raise RefusedError(f"{period} is no month of a payment")
    first, after = datetime(year, month, 1, tzinfo=zone), datetime(*later, 1, tzinfo=zone)
    return first.astimezone(UTC), after.astimezone(UTC)


# --- what a statement says -----------------------------------------------------------------


def form_of(content: Mapping[str, Any]) -> int:
    """In which form a statement was written."""
    form = content.get("form", 1)
    if form not in FIELDS_OF:
        raise RefusedError(f"the statement is of a later version (form {form}); update dunning")
    return int(form)


def _told(
    session: Session, closing: ClosingRow, before: StatementRow | None, form: int = FORM
) -> dict[str, Any]:
    opening: dict[str, dict[str, int]] = {}
    if before is not None:
        told = json.loads(before.content)["currencies"]
        opening = {currency: told[currency]["closing"] for currency in told}
    hashed = hashlib.sha256()
    sums = _Sums()
    for row in entries_of(session, closing, form):
        hashed.update(line_of(row))
        sums.take(row)
    named = {} if form == 1 else {"form": form}
    return named | {
        "period": closing.period,
        "zone": closing.zone,
        "starts_at": rfc3339(closing.starts_at),
        "ends_at": rfc3339(closing.ends_at),
        "closed_at": rfc3339(closing.closed_at),
        "closed_by": closing.closed_by,
        "even_so": closing.why,
        "loose_ends": json.loads(closing.loose_ends),
        "entries": sums.entries,
        "entries_digest": hashed.hexdigest(),
        "previous": before.digest if before else None,
        "currencies": sums.told(opening),
        "recurring": _recurring(session, closing),
    }


def _recurring(session: Session, closing: ClosingRow) -> dict[str, Any]:
    """The same of recurring revenue, case by case: a digest, and each sum."""
    hashed = hashlib.sha256()
    sums = _Sums()
    for row in entries_of(session, closing, recurring=True):
        hashed.update(line_of(row))
        sums.take(row)
    return {
        "entries": sums.entries,
        "entries_digest": hashed.hexdigest(),
        "transfers": sums.moved(),
    }


class _Sums:
    """The entries of a period added up, net of what they take back."""

    def __init__(self) -> None:
        self.entries = 0
        self._moved: Counter[tuple[str, ...]] = Counter()
        self._late: Counter[tuple[str, ...]] = Counter()
        self._rows: Counter[tuple[str, ...]] = Counter()
        self._late_rows: Counter[tuple[str, ...]] = Counter()

    def take(self, row: Mapping[str, Any]) -> None:
        back = row["reverses"] is not None
        debit, credit = row["debit"], row["credit"]
        way = (credit, debit) if back else (debit, credit)
        amount = -row["amount"] if back else row["amount"]
        self.entries += 1
        key = (row["currency"], *way, row["cause"], row["how"])
        self._moved[key] += amount
        self._rows[key] += 1
        if row["closed_period"] is not None:
            key = (row["currency"], row["closed_period"], *way, row["cause"])
            self._late[key] += amount
            self._late_rows[key] += 1

    def moved(self) -> dict[str, Any]:
        """By currency: what moved."""
        names = ("debit", "credit", "cause", "how")
        return {
            currency: _listed(names, currency, self._moved, self._rows)
            for currency in sorted({key[0] for key in self._moved})
        }

    def told(self, opening: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        """By currency: what there was, what moved, what of it came too late, what there is."""
        currencies: dict[str, Any] = {}
        for currency in sorted({key[0] for key in self._moved} | opening.keys()):
            held = Counter({name.value: 0 for name in Account})
            held.update(opening.get(currency, {}))
            start = dict(held)
            for (of, debit, credit, _, _), amount in self._moved.items():
                if of == currency:
                    held[debit] -= amount
                    held[credit] += amount
            currencies[currency] = {
                "opening": start,
                "transfers": _listed(
                    ("debit", "credit", "cause", "how"), currency, self._moved, self._rows
                ),
                "of_closed_periods": _listed(
                    ("period", "debit", "credit", "cause"), currency, self._late, self._late_rows
                ),
                "closing": dict(held),
            }
        return currencies


def _listed(
    names: Sequence[str],
    currency: str,
    amounts: Counter[tuple[str, ...]],
    rows: Counter[tuple[str, ...]],
) -> list[dict[str, Any]]:
    return [
        dict(zip(names, key[1:], strict=True)) | {"amount": amounts[key], "entries": rows[key]}
        for key in sorted(amounts)
        if key[0] == currency
    ]


def entries_of(
    session: Session, closing: ClosingRow, form: int = FORM, *, recurring: bool = False
) -> Iterator[Mapping[str, Any]]:
    """The entries that the books count in a closed period, in the order of their ids."""
    model: Booked = RecurringRow if recurring else EntryRow
    table = table_of(model)
    query = (
        select(*(table.c[name] for name in (RECURRING_FIELDS if recurring else FIELDS_OF[form])))
        .where(booked_between(closing.starts_at, closing.ends_at, model))
        .order_by(table.c.id)
        .execution_options(yield_per=5_000)
    )
    for row in session.execute(query).mappings():
        yield dict(row)


def line_of(row: Mapping[str, Any]) -> bytes:
    """An entry in the form that digests are made of."""
    told = [rfc3339(v) if isinstance(v, datetime) else v for v in row.values()]
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def digest_of(content: str) -> str:
    """The digest of a statement."""
    return hashlib.sha256(content.encode()).hexdigest()


def canonical(told: Any) -> str:
    """JSON in the one form there is of it."""
    return json.dumps(told, sort_keys=True, separators=(",", ":"))


def content_of(session: Session, period: str, form: int = FORM) -> str:
    """The statement of a closed period as it should be, in its canonical form."""
    rows = closings(session)
    place = next(number for number, row in enumerate(rows) if row.period == period)
    before = session.get(StatementRow, rows[place - 1].period) if place else None
    if place and before is None:
        raise RefusedError(f"the statement of {rows[place - 1].period} is missing: close it again")
    return canonical(_told(session, rows[place], before, form))


# --- reading -------------------------------------------------------------------------------


def listed(session: Session) -> list[Statement]:
    """The statements, oldest first."""
    rows = session.scalars(select(StatementRow).order_by(col(StatementRow.period))).all()
    return [Statement(row.period, json.loads(row.content), row.digest) for row in rows]


def named(session: Session, period: str) -> tuple[ClosingRow, Statement]:
    """The closing and the statement of a period; `RefusedError` when there are none."""
    closing = session.get(ClosingRow, period)
    row = session.get(StatementRow, period)
    if closing is None or row is None:
        raise RefusedError(f"{period} is not closed; `dunning ledger close {period}` does it")
    return closing, Statement(row.period, json.loads(row.content), row.digest)


# --- proof ---------------------------------------------------------------------------------

_GUARDS = {
    "sqlite": text(
        "SELECT count(*) = 6 FROM sqlite_master WHERE type = 'trigger'"
        " AND tbl_name IN ('closings', 'statements') AND sql LIKE '%RAISE(ABORT%'"
        " AND name IN ('closings_in_order', 'closings_no_update', 'closings_no_delete',"
        " 'statements_in_order', 'statements_no_update', 'statements_no_delete')"
    ),
    "postgresql": text(
        "SELECT count(*) = 6 FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid"
        " WHERE tgrelid IN ('closings'::regclass, 'statements'::regclass)"
        " AND tgenabled IN ('O', 'A') AND tgqual IS NULL AND prosrc LIKE '%RAISE EXCEPTION%'"
        " AND tgname IN ('closings_in_order', 'closings_no_change', 'closings_no_truncate',"
        " 'statements_in_order', 'statements_no_change', 'statements_no_truncate')"
    ),
}


def faults(session: Session, *, entries: bool = True) -> Iterator[str]:
    """What does not hold of closed periods; without `entries` only the statements themselves."""
    if not session.execute(_GUARDS[session.get_bind().dialect.name]).scalar_one():
        yield "the database no longer refuses to change closed books: a trigger is gone"
    written = {
        row.period: row
        for row in session.scalars(select(StatementRow).execution_options(populate_existing=True))
    }
    rows = closings(session)
    for period in sorted(written.keys() - {row.period for row in rows}):
        yield f"{period}: a statement of a period that is not closed"
    before: StatementRow | None = None
    ends: datetime | None = None
    for closing in rows:
        period = closing.period
        if closing.starts_at != (ends or closing.starts_at) or _bounds_of(closing) is None:
            yield f"{period}: the closing is not of that month, or does not follow the one before"
        ends = closing.ends_at
        row = written.get(period)
        if row is None:
            yield f"{period}: its statement is missing; `dunning ledger close {period}` writes it"
            return
        yield from _wrong_with(session, closing, row, before, entries)
        before = row


def _bounds_of(closing: ClosingRow) -> tuple[datetime, datetime] | None:
    zone = known_zone(closing.zone)
    mine = (closing.starts_at, closing.ends_at)
    try:
        return mine if zone is not None and bounds(closing.period, zone) == mine else None
    except RefusedError:
        return None


def _wrong_with(
    session: Session,
    closing: ClosingRow,
    row: StatementRow,
    before: StatementRow | None,
    entries: bool,
) -> Iterator[str]:
    period = closing.period
    if row.digest != digest_of(row.content):
        yield f"{period}: the statement is not what its digest is of"
    try:
        told: dict[str, Any] = json.loads(row.content)
        said = told["previous"], told["closed_by"], told["closed_at"], told["period"]
        found = _told(session, closing, before, form_of(told)) if entries else told
        if "recurring" not in told:
            found.pop("recurring", None)  # of before it was booked
    except (ValueError, TypeError, KeyError, AttributeError, RefusedError):
        yield f"{period}: the statement cannot be read"
        return
    previous = before.digest if before else None
    if said != (previous, closing.closed_by, rfc3339(closing.closed_at), period):
        yield f"{period}: the statement does not belong to its closing and to the one before"
    for name in sorted(told.keys() | found.keys()):
        if told.get(name) != found.get(name):
            have, should = (canonical(each.get(name))[:200] for each in (found, told))
            yield f"{period}, {name}: the books say {have}, the statement {should}"
