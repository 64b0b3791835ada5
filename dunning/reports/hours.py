"""hours(): how charges go by hour, weekday and day of the month, so that retries can be timed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    literal,
    select,
    true,
)
from sqlmodel import Session, col

from dunning.core.words import Actor, AttemptStatus
from dunning.reports.clocks import ON_THE_CLOCK, WEEKDAYS, Clocks
from dunning.reports.dimensions import CASE_DEFINITIONS, CASE_HEADINGS, dimensions, joined
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.intervals import Counted, wilson
from dunning.reports.periods import span, zone_named
from dunning.reports.report import (
    Column,
    Kind,
    Report,
    Row,
    in_order,
    refuse_unknown,
)
from dunning.reports.scope import Scope
from dunning.store import AttemptRow, CaseRow

_OF_CASE = ("policy", "policy_version", "country", "plan")
BY = (*ON_THE_CLOCK, "made_by", "step", "network", *_OF_CASE, "source", "currency")
_WITHOUT = ("date", "year_from")
Clock = Literal["customer", "books"]
CLOCKS: tuple[Clock, ...] = get_args(Clock)
ALL = "all"
MADE_BY = (*(one.value for one in Actor), ALL)
# Fewer than these say nothing of an hour.
LEAST = 30
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
_USUAL = Scope(by=("hour",))


def hours(
    session: Session,
    now: datetime,
    scope: Scope = _USUAL,
    *,
    clock: Clock = "customer",
    made_by: str | None = None,
) -> Report:
    """How charges went; both dates are of the charge, by the calendar of `zone`."""
    refuse_unknown("clock", clock, CLOCKS)
    scope = scope.of("hours", BY, _WITHOUT)
    made_by = made_by or (ALL if "made_by" in scope.by else Actor.OURS.value)
    refuse_unknown("made by", made_by, MADE_BY)
    fresh_until, sentence = data_until(session, now)
    groups, alike = _gathered(session, now, scope, clock, made_by)
    whole: _Groups = {}
    for key, sums in groups.items():
        one = whole.setdefault((key[scope.keys.index("currency")],), _Sums())
        one.add(sums.attempts, sums.succeeded, sums.undecided, sums.amount)
    average = {key[0]: _rate(sums) for key, sums in whole.items()}
    rows = [_row(scope.keys, key, sums, alike, average) for key, sums in groups.items()]
    totals = [_row(("currency",), key, sums, alike, {}) for key, sums in whole.items()]
    filters = scope.filters(_WITHOUT) | {"clock": clock, "made_by": made_by}
    return Report(
        name="hours",
        filters=filters,
        definitions=_definitions(scope, clock, alike) | {"data_until": sentence},
        data_until=fresh_until,
        rows=in_order(rows, scope.by, {"weekday": WEEKDAYS}),
        totals=in_order(totals, (), {}),
        shown=_columns(scope),
        note="" if rows else why_empty(session, "no charge", scope),
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


def _gathered(
    session: Session, now: datetime, scope: Scope, clock: Clock, made_by: str
) -> tuple[_Groups, float]:
    """The charges of each key, and how much those of one customer are alike.

    The database adds up what was charged at one time and by what tells where the customer lives;
    which hour that was there is looked up here, the same for both databases.
    """
    keys = [key for key in scope.keys if key not in ON_THE_CLOCK]
    clocks = None
    if len(keys) < len(scope.keys):
        clocks = Clocks(session, now, scope, zone_named(scope.zone) if clock == "books" else None)
    found: dict[tuple[Any, ...], _Sums] = {}
    squares, fixed = "0 0 0 0 0 0", len(keys)
    for row in session.execute(_sums(session, scope, keys, clocks, made_by)):
        when = clocks.shown(*row[fixed:-5]) if clocks else ()
        key = (when, row[:fixed])
        sums = found.get(key)
        if sums is None:
            sums = found[key] = _Sums()
        sums.add(*row[-5:-1])
        squares = row[-1]
    alike = design_effect(*(int(one) for one in squares.split()))
    groups: _Groups = {}
    for (when, told), sums in found.items():
        known = dict(zip(keys, told, strict=True)) | dict(zip(ON_THE_CLOCK, when, strict=False))
        if "step" in known:
            known["step"] = step_of_key(known["step"])
        group = groups.setdefault(tuple(known[key] for key in scope.keys), _Sums())
        group.add(sums.attempts, sums.succeeded, sums.undecided, sums.amount)
    return groups, alike


_RUNG = re.compile(r"(?:.*\.)?retry:[0-9]+")


def step_of_key(name: str | None) -> str | None:
    """`retry:2` of the timeline stays; of the others, one for each, the kind: `retry:card`."""
    if name is None or _RUNG.fullmatch(name):
        return name
    return ":".join(name.split(":")[:2])


def _sums(
    session: Session, scope: Scope, keys: Sequence[str], clocks: Clocks | None, made_by: str
) -> Select[Any]:
    """The sums of each key and time; beside each, those of customers over all."""
    known = dimensions(session.get_bind().dialect.name) | {
        "currency": col(AttemptRow.currency),
        "source": col(AttemptRow.source),
        "made_by": col(AttemptRow.by),
        "network": col(AttemptRow.network),
        "step": func.substr(col(AttemptRow.key), func.length(col(AttemptRow.case_id)) + 2),
    }
    told: dict[str, SQLColumnExpression[Any]] = {key: known[key] for key in keys}
    if clocks is not None:
        told |= clocks.told()
    of_each: list[Any] = [one.label(name) for name, one in told.items()]
    of_each += [
        col(AttemptRow.status).label("_status"),
        col(AttemptRow.amount).label("_amount"),
        col(AttemptRow.source).label("_source"),
        func.coalesce(col(CaseRow.customer), col(CaseRow.id)).label("_who"),
    ]
    tables = (*scope.keys, "country") if "_country" in told else scope.keys
    made = _charges(select(*of_each).select_from(AttemptRow), scope, made_by, tables).cte("made")
    good, decided = made.c["_status"] == _GOOD, made.c["_status"].in_(_DECIDED)
    sums: list[Any] = [
        func.sum(case((decided, 1), else_=0)),
        func.sum(case((good, 1), else_=0)),
        func.sum(case((decided, 0), else_=1)),
        cast(func.sum(case((good, made.c["_amount"]), else_=0)), BigInteger()),
    ]
    of = (
        select(func.sum(case((good, 1), else_=0)).label("x"), func.count().label("n"))
        .where(decided)
        .group_by(made.c["_source"], made.c["_who"])
        .subquery()
    )
    x, n = of.c.x, of.c.n
    # One text, since it stands in every row.
    squares: ColumnElement[str] = literal("")
    for one in (
        *(func.count(), func.sum(x), func.sum(n)),
        *(func.sum(x * x), func.sum(x * n), func.sum(n * n)),
    ):
        squares = squares.concat(cast(func.coalesce(one, 0), Text())).concat(" ")
    over_all = select(squares.label("squares")).subquery()
    groups = [made.c[name] for name in told]
    grouped = select(*groups, *(one.label(f"f{i}") for i, one in enumerate(sums)))
    each = grouped.group_by(*groups).subquery()
    return select(each, over_all).join_from(each, over_all, true())


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


def design_effect(many: int, x: int, n: int, xx: int, xn: int, nn: int) -> float:
    """How much less the charges say for coming from so many customers, over the whole selection.

    `x` of `n` went through; `xx`, `xn` and `nn` are the sums of each customer's products.
    """
    if many < 2 or not 0 < x < n:
        return max(1.0, n / max(1, many))
    rate = x / n
    spread = (xx - 2 * rate * xn + rate * rate * nn) * many / (many - 1)
    return max(1.0, spread / (n * rate * (1 - rate)))
