"""hours(): how charges go by hour, weekday and day of the month, so that retries can be timed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from typing import Any, Literal, get_args
from zoneinfo import ZoneInfo

from sqlalchemy import (
    BigInteger,
    Select,
    SQLColumnExpression,
    case,
    cast,
    func,
    select,
)
from sqlmodel import Session, col

from dunning.core.calendar import zone_of
from dunning.core.policy import from_data
from dunning.core.words import Actor, AttemptStatus
from dunning.reports.cohorts import seconds_of
from dunning.reports.dimensions import CASE_DEFINITIONS, CASE_HEADINGS, dimensions, joined
from dunning.reports.flows import Scope
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.intervals import Counted, wilson
from dunning.reports.periods import span, zone_named
from dunning.reports.report import (
    Column,
    Kind,
    Report,
    Row,
    checked_breakdown,
    in_order,
    refuse_unknown,
)
from dunning.store import AttemptRow, CaseRow, CustomerRow, PolicyRow
from dunning.workdays import works_on

ON_THE_CLOCK = ("hour", "weekday", "monthday")
_OF_CASE = ("policy", "policy_version", "country", "plan")
BY = (*ON_THE_CLOCK, "made_by", "step", "network", *_OF_CASE, "source", "currency")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
Clock = Literal["customer", "books"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)
ALL = "all"
MADE_BY = (*(one.value for one in Actor), ALL)
# Fewer than these say nothing of an hour.
LEAST = 30
_SLOT = 900  # no zone is off by anything else than whole quarters of an hour
_GOOD = AttemptStatus.SUCCEEDED.value
_DECIDED = (_GOOD, AttemptStatus.DECLINED.value, AttemptStatus.ACTION_NEEDED.value)

DEFINITIONS = {
    "attempts": "Charges after the first failure that went through or did not: declined, or held "
    "up until the customer authenticates. The charge whose failure began the case is not one.",
    "undecided": "Charges that are still in process, such as bank debits, or were called off; "
    "they are in no rate.",
    "succeeded": "Of the attempts, those that went through.",
    "rate": f"succeeded divided by attempts; nothing where there are fewer than {LEAST} attempts.",
    "interval": "low and high are the bounds of Wilson's interval for the rate, for 95 %. The "
    "charges of one customer are not independent: all rows are taken for as much smaller as the "
    "customers of the whole report are alike.",
    "amount": "What the charges that went through came to, in minor units, whatever became of it.",
    "verdict": "above, below: the whole interval is on that side of the rate of all rows together. "
    "Of twenty rows one stands out by chance alone. And an hour may look good for what is charged "
    "then: add --by step or --by network before a policy is changed.",
    "hour": "The hour in which the charge was made.",
    "weekday": "The day of the week on which it was made.",
    "monthday": "The day of the month on which it was made.",
    "made_by": "Who made the charge: ours, the provider's own retries, or the customer.",
    "step": "Which step of ours it was: retry:2 is the second of the timeline.",
    "network": "The card network of this charge; none for bank debits.",
    "currency": "That of the charge; currencies are never added.",
}
_CLOCK_WORDS = {
    "customer": "Hours and days are the customer's own, as `time` and `on` of a policy have "
    "them: by the customer's time zone as last heard, else one of their country, else that of "
    "the policy.",
    "books": "Hours and days are those of {zone}.",
}
_HEADINGS = {"made_by": "Made by", "monthday": "Day", **CASE_HEADINGS}


@dataclass(slots=True)
class _Sums:
    """The charges of one key."""

    attempts: int = 0
    succeeded: int = 0
    undecided: int = 0
    amount: int = 0

    def add(self, attempts: int, succeeded: int, undecided: int, amount: int) -> None:
        self.attempts += attempts
        self.succeeded += succeeded
        self.undecided += undecided
        self.amount += amount


_Groups = dict[tuple[str | None, ...], _Sums]


def hours(
    session: Session,
    now: datetime,
    *,
    since: date | None = None,
    until: date | None = None,
    by: Sequence[str] = ("hour",),
    source: str | None = None,
    policy: str | None = None,
    currency: str | None = None,
    zone: str = "UTC",
    year_from: int = 1,
    clock: Clock = "customer",
    made_by: str | None = None,
) -> Report:
    """How charges went; both dates are of the charge, by the calendar of `zone`."""
    refuse_unknown("clock", clock, CLOCKS)
    scope = Scope(
        by=checked_breakdown("hours", by, BY),
        since=since,
        until=until,
        source=source,
        policy=policy,
        currency=currency,
        zone=zone,
        year_from=year_from,
    )
    made_by = made_by or (ALL if "made_by" in scope.by else Actor.OURS.value)
    refuse_unknown("made by", made_by, MADE_BY)
    fresh_until, sentence = data_until(session, now)
    groups = _gathered(session, scope, clock, made_by)
    alike = _alike(session, scope, made_by)
    whole: _Groups = {}
    for key, sums in groups.items():
        one = whole.setdefault((key[scope.keys.index("currency")],), _Sums())
        one.add(sums.attempts, sums.succeeded, sums.undecided, sums.amount)
    average = {key[0]: _rate(sums) for key, sums in whole.items()}
    rows = [_row(scope.keys, key, sums, alike, average) for key, sums in groups.items()]
    totals = [_row(("currency",), key, sums, alike, {}) for key, sums in whole.items()]
    filters = scope.filters() | {"clock": clock, "made_by": made_by}
    for unused in ("date", "fiscal_year_start"):
        del filters[unused]
    return Report(
        name="hours",
        filters=filters,
        definitions=_definitions(scope, clock, alike) | {"data_until": sentence},
        data_until=fresh_until,
        rows=in_order(rows, scope.by, {"weekday": WEEKDAYS}),
        totals=in_order(totals, (), {}),
        shown=_columns(scope),
        note="" if rows else why_empty(session, "no charge", policy=policy, source=source),
    )


def _definitions(scope: Scope, clock: Clock, alike: float) -> dict[str, str]:
    words = {key: text for key, text in DEFINITIONS.items() if key not in BY or key in scope.keys}
    words |= {key: CASE_DEFINITIONS[key] for key in scope.by if key in (*_OF_CASE, "source")}
    words["clock"] = _CLOCK_WORDS[clock].format(zone=scope.zone)
    words["period"] = (
        f"Since and until are days by the calendar of {scope.zone}, by when the charge was made; "
        "both are part of the range."
    )
    words["interval"] += f" Here: as if divided by {alike:.2f}."
    return words


def _columns(scope: Scope) -> tuple[Column, ...]:
    return (
        *(Column(key, _HEADINGS.get(key, key.capitalize())) for key in scope.keys),
        Column("attempts", "Attempts", Kind.COUNT),
        Column("succeeded", "Succeeded", Kind.COUNT),
        Column("rate", "Rate", Kind.RATE),
        Column("low", "from", Kind.RATE, 1),
        Column("high", "to", Kind.RATE, 1),
        Column("amount", "Amount", Kind.MONEY),
        Column("undecided", "Undecided", Kind.COUNT, 3),
        Column("verdict", "Verdict", rank=2),
    )


# --- rows ----------------------------------------------------------------------------------


def _rate(sums: _Sums) -> float:
    return sums.succeeded / sums.attempts if sums.attempts else 0.0


def _row(
    keys: Sequence[str],
    key: Sequence[str | None],
    sums: _Sums,
    alike: float,
    average: Mapping[str | None, float],
) -> Row:
    row: Row = dict(zip(keys, key, strict=True))
    row |= {
        "attempts": sums.attempts,
        "succeeded": sums.succeeded,
        "rate": None,
        "low": None,
        "high": None,
        "amount": sums.amount,
        "undecided": sums.undecided,
    }
    if sums.attempts < LEAST:
        return row | {"verdict": f"not enough data yet: {sums.attempts} of {LEAST} attempts"}
    found = wilson(Counted(sums.succeeded, sums.attempts, alike))
    row |= {"rate": round(found.value, 6), "low": round(found.low, 6), "high": round(found.high, 6)}
    usual = average.get(row["currency"])
    if usual is None:
        return row | {"verdict": None}
    verdict = "above" if found.low > usual else "below" if found.high < usual else "no difference"
    return row | {"verdict": verdict}


# --- reading -------------------------------------------------------------------------------


def _gathered(session: Session, scope: Scope, clock: Clock, made_by: str) -> _Groups:
    """The charges of each key. The database adds up by quarters of an hour and by whose they are;
    which hour that was where the customer lives is looked up here, the same for both databases.
    """
    groups: _Groups = {}
    policies = _zones(session) if clock == "customer" else {}
    books = zone_named(scope.zone)
    for found in session.execute(_slots(session, scope, clock, made_by)).mappings():
        told: Row = {key: found[key] for key in scope.keys if key not in ON_THE_CLOCK}
        if "step" in told:
            told["step"] = step_of_key(told["step"])
        if "slot" in found:
            zone = books
            if clock == "customer":
                otherwise = policies.get(found["_version"], "UTC")
                zone = zone_of(found["_zone"], found["_country"], otherwise)
            told |= zip(ON_THE_CLOCK, _on_the_clock(zone, found["slot"]), strict=True)
        sums = groups.setdefault(tuple(told[key] for key in scope.keys), _Sums())
        sums.add(
            found["attempts"],
            int(found["succeeded"] or 0),
            int(found["undecided"] or 0),
            int(found["amount"] or 0),
        )
    return groups


@lru_cache(maxsize=65_536)
def _on_the_clock(zone: ZoneInfo, slot: int) -> tuple[str, str, str]:
    at = datetime.fromtimestamp(slot * _SLOT, zone)
    return f"{at.hour:02}:00", WEEKDAYS[at.weekday()], f"{at.day:02}"


_RUNG = re.compile(r"(?:.*\.)?retry:[0-9]+")


def step_of_key(name: str | None) -> str | None:
    """`retry:2` of the timeline stays; of the others, one for each, the kind: `retry:card`."""
    if name is None or _RUNG.fullmatch(name):
        return name
    return ":".join(name.split(":")[:2])


def _zones(session: Session) -> dict[str, str]:
    """The time zone of each policy, where a customer's own is not known."""
    told = session.execute(select(col(PolicyRow.version), col(PolicyRow.body)))
    return {version: from_data(json.loads(body), works_on).timezone for version, body in told}


def _slots(session: Session, scope: Scope, clock: Clock, made_by: str) -> Select[Any]:
    dialect = session.get_bind().dialect.name
    name = func.substr(col(AttemptRow.key), func.length(col(AttemptRow.case_id)) + 2)
    known = dimensions(dialect) | {
        "currency": col(AttemptRow.currency),
        "source": col(AttemptRow.source),
        "made_by": col(AttemptRow.by),
        "network": col(AttemptRow.network),
        "step": name,
    }
    keys: dict[str, SQLColumnExpression[Any]] = {
        key: known[key] for key in scope.keys if key not in ON_THE_CLOCK
    }
    tables: tuple[str, ...] = scope.keys
    if len(keys) < len(scope.keys):
        keys["slot"] = _slot(dialect)
        if clock == "customer":
            keys["_zone"], keys["_country"] = col(CustomerRow.timezone), col(CustomerRow.country)
            keys["_version"] = col(CaseRow.policy_version)
            tables = (*scope.keys, "country")
    of_each: list[Any] = [one.label(name) for name, one in keys.items()]
    of_each += [col(AttemptRow.status).label("_status"), col(AttemptRow.amount).label("_amount")]
    each = _charges(select(*of_each).select_from(AttemptRow), scope, made_by, tables)
    made = each.subquery()
    good, decided = made.c["_status"] == _GOOD, made.c["_status"].in_(_DECIDED)
    sums = (
        func.sum(case((decided, 1), else_=0)).label("attempts"),
        func.sum(case((good, 1), else_=0)).label("succeeded"),
        func.sum(case((decided, 0), else_=1)).label("undecided"),
        func.sum(case((good, made.c["_amount"]), else_=0)).label("amount"),
    )
    groups = [made.c[name] for name in keys]
    return select(*groups, *sums).group_by(*groups)


def _charges(
    query: Select[Any], scope: Scope, made_by: str, tables: Sequence[str] = ()
) -> Select[Any]:
    """The charges after the first failure that the filters let through."""
    query = query.join(CaseRow, col(CaseRow.id) == col(AttemptRow.case_id))
    query = joined(query, tables)
    at = col(AttemptRow.at)
    starts, ends = span(scope.since, scope.until, zone_named(scope.zone))
    if starts is not None:
        query = query.where(at >= starts)
    if ends is not None:
        query = query.where(at < ends)
    given = (
        (col(AttemptRow.source), scope.source),
        (col(AttemptRow.currency), scope.currency),
        (col(CaseRow.policy), scope.policy),
        (col(AttemptRow.by), None if made_by == ALL else made_by),
    )
    query = query.where(*(column == value for column, value in given if value is not None))
    return query.where(at > col(CaseRow.opened_at))


def _slot(dialect: str) -> SQLColumnExpression[int]:
    """Which quarter of an hour since 1970, in UTC."""
    if dialect == "sqlite":
        return seconds_of(col(AttemptRow.at)) // _SLOT
    return cast(func.floor(func.extract("epoch", col(AttemptRow.at)) / _SLOT), BigInteger())


def _alike(session: Session, scope: Scope, made_by: str) -> float:
    """The design effect of charging some customers several times, over the whole selection."""
    who = func.coalesce(col(CaseRow.customer), col(CaseRow.id)).label("who")
    good = case((col(AttemptRow.status) == _GOOD, 1), else_=0).label("good")
    query: Select[Any] = select(col(AttemptRow.source).label("source"), who, good)
    query = _charges(query.select_from(AttemptRow), scope, made_by)
    each = query.where(col(AttemptRow.status).in_(_DECIDED)).subquery()
    told = select(func.sum(each.c.good).label("x"), func.count().label("n"))
    of = told.group_by(each.c.source, each.c.who).subquery()
    x, n = of.c.x, of.c.n
    sums = select(
        *(func.count(), func.sum(x), func.sum(n)),
        *(func.sum(x * x), func.sum(x * n), func.sum(n * n)),
    )
    many, good_ones, all_of_them, xx, xn, nn = (
        int(one or 0) for one in session.execute(sums).one()
    )
    if many < 2 or not 0 < good_ones < all_of_them:
        return max(1.0, all_of_them / max(1, many))
    rate = good_ones / all_of_them
    spread = (xx - 2 * rate * xn + rate * rate * nn) * many / (many - 1)
    return max(1.0, spread / (all_of_them * rate * (1 - rate)))
