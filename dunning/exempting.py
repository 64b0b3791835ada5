"""Customers taken out of dunning by people: a fact of the customer that reaches all their cases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Engine, func, select
from sqlmodel import Session, col

from dunning.acts import Person
from dunning.cases import CaseBook
from dunning.core.events import Exempted, ExemptionLifted
from dunning.errors import RefusedError
from dunning.mirror import exemption_id, exemption_of
from dunning.store import CaseRow, CustomerRow, ExemptionRow, guard, transaction


@dataclass(frozen=True, slots=True)
class Told:
    """What became of an act: the cases it reached, and whether the customer is known at all."""

    source: str
    customer: str
    cases: Sequence[str]
    known: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """A customer with unpaid invoices, or an exempt one."""

    source: str
    customer: str
    name: str | None = None
    exemption: Exempted | None = None
    cases: int = 0
    at_risk: Mapping[str, int] = field(default_factory=dict)  # by currency


class Exemptions:
    """The acts. Each in one transaction, through the one door, on record."""

    def __init__(self, engine: Engine, cases: CaseBook) -> None:
        self._engine = engine
        self._cases = cases

    def exempt(
        self, source: str, customer: str, person: Person, *, until: datetime | None = None
    ) -> Told:
        """Stop retries, emails and restrictions of a customer; what is owed stays at risk."""
        if until is not None and until <= person.now:
            message = f"cannot exempt until {until:%Y-%m-%d %H:%M} UTC: that moment has passed"
            raise RefusedError(message)
        with transaction(self._engine) as session:
            guard(session, {f"{source}/{customer}"})
            present = in_force(last_word(session, source, customer), person.now)
            if present is not None and present.until == until:
                message = (
                    f"{customer} is exempt since {present.at:%Y-%m-%d %H:%M} UTC, by "
                    f"{present.by}: {present.why}; `dunning customers unexempt` ends it"
                )
                raise RefusedError(message)
            event = Exempted(
                id=exemption_id(customer, person.now),
                at=person.now,
                customer=customer,
                until=until,
                why=person.why.strip(),
                by=person.by.strip(),
            )
            return self._apply(session, source, event, person.now)

    def lift(self, source: str, customer: str, person: Person) -> Told:
        """Let dunning go on for a customer; nothing is made up for in a burst."""
        with transaction(self._engine) as session:
            guard(session, {f"{source}/{customer}"})
            if in_force(last_word(session, source, customer), person.now) is None:
                message = (
                    f"{customer} of {source} is not exempt; "
                    "`dunning customers list --exempt` shows who is"
                )
                raise RefusedError(message)
            event = ExemptionLifted(
                id=exemption_id(customer, person.now),
                at=person.now,
                customer=customer,
                why=person.why.strip(),
                by=person.by.strip(),
            )
            return self._apply(session, source, event, person.now)

    def _apply(
        self, session: Session, source: str, event: Exempted | ExemptionLifted, now: datetime
    ) -> Told:
        known = session.get(CustomerRow, (source, event.customer)) is not None
        # No case begins with such news, so nobody asks for the provider's name.
        applied = self._cases.apply(session, source, "", [event], now)
        return Told(source, event.customer, applied.cases, known or bool(applied.cases))


def last_word(session: Session, source: str, customer: str) -> Exempted | ExemptionLifted | None:
    """What people last said of the customer."""
    query = select(ExemptionRow).where(
        col(ExemptionRow.source) == source, col(ExemptionRow.customer) == customer
    )
    told = [exemption_of(row.model_dump()) for row in session.scalars(query)]
    return max(told, key=lambda one: (one.at, isinstance(one, ExemptionLifted)), default=None)


def in_force(said: Exempted | ExemptionLifted | None, now: datetime) -> Exempted | None:
    """The exemption that holds now, if one does."""
    if isinstance(said, Exempted) and (said.until is None or said.until > now):
        return said
    return None


def standings(
    session: Session, now: datetime, *, exempt: bool = False, source: str | None = None
) -> list[Standing]:
    """The customers with money at risk and the exempt ones, or only these."""
    last: dict[tuple[str, str], Exempted | ExemptionLifted] = {}
    for row in session.scalars(select(ExemptionRow).order_by(col(ExemptionRow.id))):
        heard, key = exemption_of(row.model_dump()), (row.source, row.customer)
        known = last.get(key, heard)
        last[key] = max(known, heard, key=lambda one: (one.at, isinstance(one, ExemptionLifted)))
    holding = {key: held for key, said in last.items() if (held := in_force(said, now))}
    about = (col(CaseRow.source), col(CaseRow.customer), col(CaseRow.currency))
    called = func.coalesce(col(CustomerRow.name), col(CustomerRow.email))
    theirs = (col(CustomerRow.source) == about[0]) & (col(CustomerRow.id) == about[1])
    query = (
        select(*about, func.count(), func.sum(col(CaseRow.amount_at_risk)), func.max(called))
        .join(CustomerRow, theirs, isouter=True)
        .where(col(CaseRow.amount_at_risk) > 0, col(CaseRow.customer).is_not(None))
        .group_by(*about)
    )
    counts: defaultdict[tuple[str, str], int] = defaultdict(int)
    sums: defaultdict[tuple[str, str], dict[str, int]] = defaultdict(dict)
    names: dict[tuple[str, str], str | None] = {}
    for where, customer, currency, count, amount, name in session.execute(query):
        names[where, customer] = name
        counts[where, customer] += count
        sums[where, customer][currency] = int(amount)
    wanted = holding.keys() if exempt else holding.keys() | counts.keys()
    return [
        Standing(
            source=key[0],
            customer=key[1],
            name=names[key] if key in names else _name(session, key),
            exemption=holding.get(key),
            cases=counts[key],
            at_risk=sums[key],
        )
        for key in sorted(wanted)
        if source is None or key[0] == source
    ]


def _name(session: Session, key: tuple[str, str]) -> str | None:
    row = session.get(CustomerRow, key)
    return (row.name or row.email) if row else None
