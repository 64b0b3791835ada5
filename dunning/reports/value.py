"""value(): the lifetime value of the subscriptions that were kept, by the formula of the file."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    null,
    select,
)
from sqlalchemy.dialects.postgresql import JSON
from sqlmodel import Session, col

from dunning.clock import utc
from dunning.core.heard import pairs_from
from dunning.core.money import Money
from dunning.core.status import State
from dunning.core.worth import Value, lifetime_value
from dunning.reports.dimensions import CASE_HEADINGS, CASE_KEYS, dimensions, joined
from dunning.reports.flows import came_in, in_span, period, standing
from dunning.reports.freshness import data_until, why_empty
from dunning.reports.origins import CLAIMED, PAYMENT_DEFINITIONS, mechanism_of
from dunning.reports.periods import UNITS, label_of, span, unit_of, zone_named
from dunning.reports.recovered import MECHANISMS, told_of
from dunning.reports.report import Column, Kind, Report, Row, in_order
from dunning.reports.scope import BY_MONTH, Scope
from dunning.store import CaseRow, CustomerRow, EntryRow, SubscriptionRow

BY = (*UNITS, "mechanism", *CASE_KEYS, "source", "currency")
_REASONS = 5  # so many are told

DEFINITIONS = {
    "subscriptions": "Subscriptions with a case that was paid up and of which a payment came in "
    "during the range, each counted once: in the row of the first such payment. One that fails "
    "and is recovered again in another range is in that report as well, so reports of several "
    "ranges are not to be added up. One-off invoices have no subscription and are not counted.",
    "ended": "Of the subscriptions, those that have ended since: nothing was kept, and they are "
    "in no value.",
    "without_inputs": "Of the subscriptions, those whose value cannot be reckoned, since an input "
    "is not known; they are in no value either.",
    "valued": "Of the subscriptions, those whose value is in the figures: the rest of them.",
    "value": "The sum of their lifetime values, in minor units: what they are expected to bring "
    "from here on by the formula, and not what came in. Each is rounded down. One that costs more "
    "than it brings counts with a minus.",
    "claimed": "The part of value whose payment an act of ours brought in, as in `claimed` of the "
    "report `recovered`. The rest was kept, too, and is not our doing.",
    "mechanism": PAYMENT_DEFINITIONS["mechanism"].partition(" A refund")[0],
    "currency": "Amounts are minor units of their own currency; currencies are never added.",
}
_SUMS = ("subscriptions", "ended", "without_inputs", "valued", "value", "claimed")


def value(
    session: Session,
    now: datetime,
    scope: Scope = BY_MONTH,
    *,
    formula: Value | None,
) -> Report:
    """What the recovered subscriptions are worth; both dates are of the payment."""
    scope = scope.of("value", BY)
    fresh_until, sentence = data_until(session, now)
    rows: dict[tuple[str | None, ...], Row] = {}
    totals: dict[str, Row] = {}
    reasons: Counter[str] = Counter()
    for told, sums, why in _groups(session, scope, formula, utc(fresh_until)):
        row = rows.setdefault(tuple(told.values()), told | dict.fromkeys(_SUMS, 0))
        code = told["currency"]
        total = totals.setdefault(code, {"currency": code} | dict.fromkeys(_SUMS, 0))
        for name, more in sums.items():
            row[name] += more
            total[name] += more
        if why:
            reasons[why] += sums["without_inputs"]
    filters = scope.filters(("date",))
    words = told_of(scope)
    del words["corrections"]
    empty = "no subscription was recovered"
    return Report(
        name="value",
        filters=filters,
        definitions=_definitions(formula, reasons) | words | {"data_until": sentence},
        data_until=fresh_until,
        rows=in_order(list(rows.values()), scope.by, {"mechanism": MECHANISMS}),
        totals=in_order(list(totals.values()), (), {}),
        shown=_columns(scope),
        note=_note(formula) if rows else why_empty(session, empty, scope),
    )


def _note(formula: Value | None) -> str:
    if formula is not None and formula.expected_years is not None:
        return ""
    return "no value is reckoned: the policy file has no `value` with `expected_years`"


def _definitions(formula: Value | None, reasons: Counter[str]) -> dict[str, str]:
    words = dict(DEFINITIONS) | {"formula": in_words(formula)}
    if reasons:
        most = reasons.most_common(_REASONS)
        told = "; ".join(f"{count:,} x {why}" for why, count in most)
        rest = reasons.total() - sum(count for _, count in most)
        words["without_inputs"] += f" Here: {told}{f'; {rest:,} x other' if rest else ''}."
    return words


def in_words(formula: Value | None) -> str:
    """The formula with its inputs, and where they stand."""
    if formula is None or formula.expected_years is None:
        return "None: the policy file has no `value` with `expected_years`."
    parts = [
        "the yearly revenue of the subscription as last heard",
        _term(formula, "expected_years"),
    ]
    if formula.margin is not None:
        parts.append(_term(formula, "margin"))
    cost = ""
    if formula.acquisition_cost is not None:
        cost = f" - {_term(formula, 'acquisition_cost')}"
    return f"{' x '.join(parts)}{cost}. The inputs are those of the policy file in force now."


def _term(formula: Value, name: str) -> str:
    term = getattr(formula, name)
    words = name.replace("_", " ")
    given = term.given
    said = None if given is None else str(given if isinstance(given, Money) else float(given))
    if term.metadata is None:
        return f"{words} ({said})"
    default = f", else {said}" if said else ""
    return f"{words} (metadata {term.metadata} of the customer{default})"


def _columns(scope: Scope) -> tuple[Column, ...]:
    headings = {"mechanism": "Mechanism", **CASE_HEADINGS}
    return (
        *(Column(key, headings.get(key, key.capitalize())) for key in scope.keys),
        Column("subscriptions", "Subscriptions", Kind.COUNT),
        Column("ended", "Ended", Kind.COUNT, 1),
        Column("without_inputs", "No inputs", Kind.COUNT),
        Column("valued", "Valued", Kind.COUNT, 2),
        Column("value", "Value kept", Kind.MONEY),
        Column("claimed", "of it claimed", Kind.MONEY),
    )


# --- reading -------------------------------------------------------------------------------


def _groups(
    session: Session, scope: Scope, formula: Value | None, until: datetime
) -> Iterator[tuple[Row, dict[str, int], str]]:
    """The keys of a group of alike subscriptions, what it adds, and why it has no value."""
    unit = unit_of(scope.by)
    for found in session.execute(_alike(session, scope, formula, until)).mappings():
        mechanism = mechanism_of(found["_how"])
        told: Row = {key: mechanism if key == "mechanism" else found[key] for key in scope.keys}
        if unit is not None:
            told[unit] = label_of(unit, date.fromisoformat(told[unit]), scope.year_from)
        many = found["_subscriptions"]
        sums = dict.fromkeys(_SUMS, 0) | {"subscriptions": many}
        if found["_ended"]:
            yield told, sums | {"ended": many}, ""
            continue
        yearly = json.loads(found["_yearly"]) if found["_yearly"] else None
        pairs = pairs_from(found["_pairs"]) or ()
        each = lifetime_value(formula, Money(*yearly) if yearly else None, pairs, told["currency"])
        if isinstance(each, str):
            yield told, sums | {"without_inputs": many}, each
            continue
        whole = each.minor * many
        claimed = whole if mechanism in CLAIMED else 0
        yield told, sums | {"valued": many, "value": whole, "claimed": claimed}, ""


def _alike(session: Session, scope: Scope, formula: Value | None, until: datetime) -> Select[Any]:
    """Recovered subscriptions that are alike in their keys and inputs, and how many there are."""
    dialect = session.get_bind().dialect.name
    first = _first_payments(session, scope)
    keys: dict[str, SQLColumnExpression[Any]] = dimensions(dialect) | {
        "source": col(CaseRow.source),
        "currency": col(CaseRow.currency),
    }
    keys |= {key: first.c[key] for key in scope.keys if key in UNITS}
    told: dict[str, Any] = {key: keys[key] for key in scope.keys if key != "mechanism"}
    ended = col(SubscriptionRow.ended_at)
    told |= {
        "_how": first.c.how,
        "_ended": case((ended <= until, 1), else_=0),
        "_yearly": _yearly(dialect),
        "_pairs": col(CustomerRow.pairs) if _asks_metadata(formula) else null(),
    }
    named: list[Any] = [one.label(name) for name, one in told.items()]
    query: Select[Any] = select(*named).select_from(first)
    query = query.join(CaseRow, col(CaseRow.id) == first.c.case_id)
    query = joined(query, (*scope.keys, "plan", "country")).where(first.c.place == 1)
    each = query.subquery()
    groups = [each.c[name] for name in told]
    return select(*groups, func.count().label("_subscriptions")).group_by(*groups)


def _first_payments(session: Session, scope: Scope) -> Any:
    """The payments of recovered cases in the range, numbered within each subscription."""
    unit = unit_of(scope.by)
    at = col(EntryRow.occurred_at)
    told: dict[str, Any] = {"case_id": col(EntryRow.case_id), "at": at, "how": col(EntryRow.how)}
    if unit is not None:
        told[unit] = period(session, unit, scope, at)
    place = func.row_number().over(
        partition_by=(col(CaseRow.source), col(CaseRow.subscription)),
        order_by=(at, col(EntryRow.case_id), col(EntryRow.how)),
    )
    told["place"] = place
    query: Select[Any] = select(*(one.label(name) for name, one in told.items()))
    query = query.select_from(EntryRow).join(CaseRow, col(CaseRow.id) == col(EntryRow.case_id))
    starts, _ = span(scope.since, scope.until, zone_named(scope.zone))
    query = in_span(scope, query).where(
        came_in(),
        *standing(starts),
        col(CaseRow.state) == State.RECOVERED.value,
        col(CaseRow.subscription).is_not(None),
    )
    given = (
        (col(CaseRow.source), scope.source),
        (col(CaseRow.currency), scope.currency),
        (col(CaseRow.policy), scope.policy),
    )
    query = query.where(*(column == value for column, value in given if value is not None))
    return query.subquery()


def _yearly(dialect: str) -> ColumnElement[Any]:
    """The yearly revenue as it stands in the subscription's details: an amount and a currency."""
    details = col(SubscriptionRow.details)
    if dialect == "sqlite":
        return func.json_extract(details, "$.yearly", type_=Text())
    return cast(cast(details, JSON())["yearly"], Text())


def _asks_metadata(formula: Value | None) -> bool:
    """Whether customers differ in their inputs: if not, the database can add them up."""
    terms = (formula.expected_years, formula.acquisition_cost, formula.margin) if formula else ()
    return any(term is not None and term.metadata is not None for term in terms)
