"""Sums of the ledger by the keys of a report: from the sums of months where these will do.

Amounts are added up without a look at whose they are. Cases are counted once, and that takes more:
an entry counts as a case, and for the few cases with several entries that count, what is too much
is taken off again. Such a case has one at a place other than the second, which an index finds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import (
    Column,
    ColumnElement,
    Select,
    SQLColumnExpression,
    Text,
    case,
    cast,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    text,
    union_all,
)
from sqlalchemy.sql import visitors
from sqlmodel import Session, col

from dunning.reports.dimensions import dimensions
from dunning.reports.flows import (
    ENTRY_KEYS,
    between,
    edges_of,
    in_scope,
    in_span,
    is_counter,
    moment_of,
    month_of,
    period,
)
from dunning.reports.periods import (
    UNITS,
    label_of,
    period_from,
    periods_between,
    span,
    unit_of,
    zone_named,
)
from dunning.reports.report import Row
from dunning.reports.scope import Scope
from dunning.store import EntryRow, RollupRow

# What the sums of months are kept by, and periods that are made of months.
_KEPT = {"source", "currency", "debit", "credit", "cause", "how", "amount", "reverses"}
_OF_MONTHS = ("month", "quarter", "year")
# As the index `ix_entries_further` has it.
_FURTHER = text("entries.place <> 2 AND entries.debit <> 'owed'")
_ANYTHING = "_anything"

Key = tuple[str | None, ...]
Figures = Counter[str]
Sums = dict[Key, Figures]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Figures of the entries that count: amounts, and cases each counted once."""

    amounts: Mapping[str, ColumnElement[int]]
    cases: Mapping[str, ColumnElement[bool]]
    where: ColumnElement[bool]

    @property
    def rules(self) -> dict[str, ColumnElement[bool]]:
        """When an entry counts as a case of each figure; last, whether of any figure at all."""
        held = [_as_one(figure) != 0 for figure in self.amounts.values()]
        return {**self.cases, _ANYTHING: or_(*held, *self.cases.values())}


def sums(session: Session, scope: Scope, asked: Asked) -> list[Row]:
    """One row for each combination of the scope's keys."""
    rows, _ = sums_and_totals(session, scope, asked)
    return rows


def sums_and_totals(session: Session, scope: Scope, asked: Asked) -> tuple[list[Row], list[Row]]:
    """The same, and beside it a row for each currency."""
    found, of_all = _added_up(session, scope, asked), Sums()
    place = scope.keys.index("currency")
    for key, figures in found.items():
        _add(of_all, (key[place],), figures)
    if found:
        for key, figures, is_total in _twice(session, scope, asked):
            _add(of_all if is_total else found, key, figures)
    return _rows(scope, asked, found), _rows(scope.totalled, asked, of_all)


def _rows(scope: Scope, asked: Asked, found: Sums) -> list[Row]:
    """Rows as reports have them; of what was wholly taken back there is none."""
    names = (*asked.amounts, *asked.cases)
    return [
        dict(zip(scope.keys, key, strict=True)) | {name: figures[name] for name in names}
        for key, figures in found.items()
        if figures[_ANYTHING]
    ]


# --- every entry ---------------------------------------------------------------------------


def _added_up(session: Session, scope: Scope, asked: Asked) -> Sums:
    """The figures as if each entry were of a case of its own."""
    found: Sums = {}
    for base, sign, label in _bases(session, scope, asked):
        lines = session.execute(_of_base(scope, asked, base, label)).mappings()
        for key, figures in _read(scope, asked, lines):
            _add(found, key, figures, sign)
    return found


def _of_base(scope: Scope, asked: Asked, base: Any, label: str | None) -> Select[Any]:
    """What the entries of a base come to, which have been added up where they are alike."""
    told: dict[str, Any] = {}
    for key in scope.keys:
        if key in UNITS:
            told[key] = base[key] if label is None else literal(label, Text())
        else:
            told[key] = _from(base, ENTRY_KEYS[key]) if key in ENTRY_KEYS else base[key]
    each: Any = _from(base, _each(scope)) * base["_many"]
    told |= {name: _from(base, figure) for name, figure in asked.amounts.items()}
    told |= {name: case((_from(base, rule), each), else_=0) for name, rule in asked.rules.items()}
    lines = select(*(one.label(name) for name, one in told.items())).subquery().c
    keys = [lines[key] for key in scope.keys]
    figures = [func.sum(lines[name]).label(name) for name in told if name not in scope.keys]
    return select(*keys, *figures).group_by(*keys)


def _each(scope: Scope) -> ColumnElement[int]:
    """What an entry counts for: by when it occurred, a counter-entry with what it takes back."""
    return case((is_counter, -1), else_=1) if scope.date == "occurred" else literal_column("1")


def _bases(session: Session, scope: Scope, asked: Asked) -> Iterator[tuple[Any, int, str | None]]:
    """Where to take the sums from, each with its sign, and its period where there is one only."""
    if not _from_months(scope, asked):
        yield _folded(session, scope, asked, *span(scope.since, scope.until, _zone(scope))), 1, None
        return
    starts, ends = edges_of(session, scope)
    for first, after, label in _pieces(scope, starts, ends):
        since, until = _nearest(first), _nearest(after)
        if since >= until:
            yield _folded(session, scope, asked, first, after), 1, label
            continue
        yield _kept(scope, asked, since, until), 1, label
        for one, other, sign in ((first, since, 1), (until, after, 1)):
            if one < other:
                yield _folded(session, scope, asked, one, other), sign, label
            elif one > other:
                yield _folded(session, scope, asked, other, one), -sign, label


def _from_months(scope: Scope, asked: Asked) -> bool:
    """Whether the sums of months say all that is asked."""
    entries = (ENTRY_KEYS[key] for key in scope.keys if key in ENTRY_KEYS)
    known = {key for key in scope.keys if key in ENTRY_KEYS or key in _OF_MONTHS}
    figures = (*entries, *asked.amounts.values(), *asked.cases.values(), asked.where)
    return (
        scope.date == "occurred"
        and scope.policy is None
        and known == set(scope.keys)
        and {column.key for column in _columns(figures)} <= _KEPT
    )


def _pieces(
    scope: Scope, starts: datetime, ends: datetime
) -> Iterator[tuple[datetime, datetime, str | None]]:
    """The range; by a calendar other than UTC's each period by itself, with its first day."""
    unit, zone = unit_of(scope.by), _zone(scope)
    if unit is None or zone.key == "UTC":
        yield starts, ends, None
        return
    for _, first, after in periods_between(unit, starts, ends, zone, scope.year_from):
        day = period_from(unit, first.astimezone(zone).date(), scope.year_from)
        yield first, after, day.isoformat()


def _nearest(at: datetime) -> datetime:
    """The beginning of a month, by UTC, that is nearest: the least is to be folded up to it."""
    before = month_of(at)
    after = month_of(before + timedelta(days=32))
    return before if at - before < after - at else after


def _kept(scope: Scope, asked: Asked, since: datetime, until: datetime) -> Any:
    """The sums of these months, as entries that are alike."""
    row = RollupRow
    many: Any = func.sum(col(row.entries))
    names = ("source", "currency", "debit", "credit", "cause", "how")
    groups = [col(getattr(row, name)) for name in names]
    query = select(
        *groups,
        col(row.month).label("_month"),
        func.sum(col(row.amount)).label("amount"),
        many.label("_many"),
    ).where(col(row.month) >= f"{since:%Y-%m}", col(row.month) < f"{until:%Y-%m}")
    for name in ("source", "currency"):
        if (given := getattr(scope, name)) is not None:
            query = query.where(col(getattr(row, name)) == given)
    found = query.group_by(*groups, col(row.month)).subquery().c
    day = found["_month"].concat("-01")
    told: list[Any] = [*(found[name] for name in (*names, "amount", "_many"))]
    told.append(cast(null(), Text()).label("reverses"))
    told += [day.label(key) for key in scope.keys if key in UNITS]
    every = select(*told).subquery().c
    return select(*every).where(_from(every, asked.where)).subquery().c


def _folded(
    session: Session, scope: Scope, asked: Asked, since: datetime | None, until: datetime | None
) -> Any:
    """The entries of this time, those that are alike added up."""
    known = _known(session, scope)
    entries = [figure for key, figure in known.items() if key in ENTRY_KEYS]
    figures = (*entries, *asked.amounts.values(), *asked.cases.values(), is_counter)
    told: dict[str, Any] = {
        column.key: column for column in _columns(figures) if column.key != "amount"
    }
    # Whether it takes something back, not what.
    told["reverses"] = case((is_counter, literal_column("''")), else_=None)
    told |= {key: figure for key, figure in known.items() if key not in ENTRY_KEYS}
    query: Select[Any] = select(
        *(one.label(name) for name, one in told.items()), col(EntryRow.amount).label("amount")
    ).select_from(EntryRow)
    query = in_scope(scope, query, scope.keys).where(asked.where)
    lines = between(scope, query, since, until).subquery().c
    alike = [lines[name] for name in told]
    many = func.count().label("_many")
    summed = select(*alike, func.sum(lines["amount"]).label("amount"), many)
    return summed.group_by(*alike).subquery().c


def _known(session: Session, scope: Scope) -> dict[str, SQLColumnExpression[Any]]:
    """The keys of the scope as columns of the ledger and what is joined to it."""
    known = dimensions(session.get_bind().dialect.name) | ENTRY_KEYS
    keys = {key: known[key] for key in scope.keys if key not in UNITS}
    unit = unit_of(scope.by)
    if unit is not None:
        keys[unit] = period(session, unit, scope, moment_of(scope))
    return keys


def _zone(scope: Scope) -> Any:
    return zone_named(scope.zone)


# --- cases with several --------------------------------------------------------------------


def _twice(session: Session, scope: Scope, asked: Asked) -> Iterator[tuple[Key, Figures, bool]]:
    """By how much cases with several entries that count are counted too often: less than nothing.

    For each key and, last of the three, for each currency as a whole.
    """
    several = select(col(EntryRow.case_id)).where(asked.where, _FURTHER)
    lines = _of_cases(session, scope, asked, in_span(scope, several))
    keys = [lines[name] for name in scope.keys]
    names = (*asked.amounts, *asked.cases, *(f"n_{name}" for name in asked.rules))
    summed = [func.sum(lines[name]).label(name) for name in names]
    # Of each key and case; both sums are taken from it.
    each = select(*keys, lines["case_id"], *summed).group_by(*keys, lines["case_id"]).cte("each").c
    again = [func.sum(each[name]).label(name) for name in names]
    whole = (
        select(each["currency"], *again).group_by(each["currency"], each["case_id"]).subquery().c
    )
    groups = [each[name] for name in scope.keys]
    by_key = select(literal_column("0"), *groups, *_too_many(asked, each)).group_by(*groups)
    told = [whole["currency"] if name == "currency" else null() for name in scope.keys]
    by_currency = select(literal_column("1"), *told, *_too_many(asked, whole))
    both = union_all(by_key, by_currency.group_by(whole["currency"]))
    for is_total, *row in session.execute(both):
        one = dict(zip((*scope.keys, *asked.rules), row, strict=True))
        figures = Counter({name: int(one[name]) for name in asked.rules})
        yield (one["currency"],) if is_total else _key(scope, one), figures, bool(is_total)


def _too_many(asked: Asked, each: Any) -> list[ColumnElement[int]]:
    """A case counts once where anything of it holds, less what its entries were counted for."""
    holds = {name: each[name] != 0 for name in asked.cases}
    holds[_ANYTHING] = or_(*(each[name] != 0 for name in (*asked.amounts, *asked.cases)))
    return [
        func.sum(case((rule, 1), else_=0) - each[f"n_{name}"]).label(name)
        for name, rule in holds.items()
    ]


def _of_cases(session: Session, scope: Scope, asked: Asked, several: Select[Any]) -> Any:
    """Each entry of these cases that counts: what it adds to each figure, and counts for."""
    one: Any = literal_column("1") if scope.is_recorded else case((is_counter, -1), else_=1)
    told: dict[str, Any] = {**_known(session, scope), "case_id": col(EntryRow.case_id)}
    told |= asked.amounts
    told |= {name: case((rule, one), else_=0) for name, rule in asked.cases.items()}
    each = _each(scope)
    told |= {f"n_{name}": case((rule, each), else_=0) for name, rule in asked.rules.items()}
    query: Select[Any] = select(*(one.label(name) for name, one in told.items()))
    query = in_scope(scope, query.select_from(EntryRow), scope.keys).where(asked.where)
    return in_span(scope, query).where(col(EntryRow.case_id).in_(several)).subquery().c


# --- expressions and rows ------------------------------------------------------------------


def _read(scope: Scope, asked: Asked, found: Iterable[Any]) -> Iterator[tuple[Key, Figures]]:
    """Rows by their keys, a period by its label."""
    for one in found:
        # PostgreSQL adds 64-bit integers up to a Decimal.
        yield (
            _key(scope, one),
            Counter({name: int(one[name] or 0) for name in (*asked.amounts, *asked.rules)}),
        )


def _key(scope: Scope, row: Mapping[str, Any]) -> Key:
    told, unit = {key: row[key] for key in scope.keys}, unit_of(scope.by)
    if unit is not None:
        told[unit] = label_of(unit, date.fromisoformat(told[unit]), scope.year_from)
    return tuple(told.values())


def _add(found: Sums, key: Key, figures: Mapping[str, int], sign: int = 1) -> None:
    held = found.setdefault(key, Counter())
    for name, much in figures.items():
        held[name] += sign * much


def _columns(figures: Iterable[Any]) -> list[Column[Any]]:
    """The columns of the ledger that these are made of, each once."""
    parts: Iterable[Any] = (one for figure in figures for one in visitors.iterate(_plain(figure)))
    found = {part.key: part for part in parts if _is_of_ledger(part)}
    return [found[name] for name in sorted(found)]


def _from(base: Any, figure: Any) -> Any:
    """The same figure with the columns of the base in place of the ledger's."""
    return _with(figure, lambda part: base[part.key])


def _as_one(figure: ColumnElement[int]) -> Any:
    """What an amount would be if the entry's were one."""
    return _with(figure, lambda part: literal_column("1") if part.key == "amount" else None)


def _with(figure: Any, instead: Callable[[Any], Any]) -> Any:
    def replaced(element: Any, **_words: Any) -> Any:
        return instead(element) if _is_of_ledger(element) else None

    changed: Any = visitors.replacement_traverse(_plain(figure), {}, replaced)
    return changed


def _is_of_ledger(part: Any) -> bool:
    return isinstance(part, Column) and getattr(part.table, "name", "") == EntryRow.__tablename__


def _plain(figure: Any) -> Any:
    """A column itself, where it is named by its model."""
    return figure.__clause_element__() if hasattr(figure, "__clause_element__") else figure
