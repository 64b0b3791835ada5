"""What the page shows: whose link it is and how the customer's invoices stand, by our records."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import select
from sqlmodel import Session, col

from dunning import links
from dunning.case_rows import read_facts
from dunning.core.coming import coming
from dunning.core.declines import Verdict
from dunning.core.events import InvoiceStatus, StepKind
from dunning.core.facts import Case
from dunning.core.freezing import Stop, freeze
from dunning.core.local import local_of
from dunning.core.money import Money
from dunning.core.policy import Policy
from dunning.core.promises import Ending, Judged, judged
from dunning.core.promising import last_day_to_promise
from dunning.core.status import State, last_decline, spoken_of
from dunning.messages import locale_for
from dunning.revoking import is_revoked
from dunning.store import CaseRow, MethodRow, StepRow, reading

if TYPE_CHECKING:
    from dunning.wiring import Program

# More than these are not listed; whoever has as many is not helped by a list.
MOST_INVOICES = 50
NAME_LENGTH = 10
# Steps that charge, while somebody is at it.
_AT_IT = ("running", "unknown")
# A debt that was given up is still gladly paid, for as long as the provider takes it.
_PAYABLE = (InvoiceStatus.OPEN, InvoiceStatus.UNCOLLECTIBLE)


class Link(enum.Enum):
    """How a link stands that one of our keys signed, or did not."""

    UNKNOWN = enum.auto()
    REVOKED = enum.auto()
    EXPIRED = enum.auto()
    GOOD = enum.auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """One invoice that is owed. Dates are the customer's."""

    name: str  # in addresses of this page
    case: Case
    policy: Policy
    amount: Money
    number: str | None
    since: date
    said: Verdict | None
    code: str | None
    card: tuple[str | None, str] | None  # network and last digits of what was charged
    in_process: bool
    suspended: bool
    pursued: bool  # False: given up, but it can be paid
    next_try: date | None
    suspends: date | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The page of a good link."""

    named: links.Named
    case: Case
    state: State
    policy: Policy
    zone: ZoneInfo
    invoices: tuple[Invoice, ...]
    promise: Judged | None  # the last one that the customer or somebody for them gave
    promise_until: tuple[date, date] | None  # the first and the last day that may be promised

    @property
    def totals(self) -> tuple[Money, ...]:
        """What is owed in each currency: different ones are not added."""
        sums: dict[str, int] = {}
        for one in self.invoices:
            sums[one.amount.currency] = sums.get(one.amount.currency, 0) + one.amount.minor
        return tuple(Money(minor, currency) for currency, minor in sorted(sums.items()))

    @property
    def waiting(self) -> bool:
        """Whether every invoice waits for a payment that is under way."""
        return bool(self.invoices) and all(one.in_process for one in self.invoices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a token led to; `row` and what follows only where there is a case behind it."""

    link: Link
    named: links.Named | None = None
    row: CaseRow | None = None
    case: Case | None = None
    locale: str | None = None  # as emails to them have it
    seen: Seen | None = None


UNKNOWN = Read(link=Link.UNKNOWN)


def read(program: Program, token: str, now: datetime) -> Read:
    """How the link stands and, of a good one, what the page shows."""
    keys = [key.reveal() for key in program.settings.secret_keys]
    named = links.read_token(keys, token)
    if named is None or not keys:
        return UNKNOWN
    with reading(program.engine) as session:
        row = session.get(CaseRow, named.case_id)
        if row is None:
            return UNKNOWN
        case = read_facts(row)
        link = _standing(session, program, named, row, now)
        seen = _seen(session, program, named, row, case, now) if link is Link.GOOD else None
        policy = program.cases.policy_of(session, row.policy_version)
    locale = speaks(program, case, policy)
    return Read(link=link, named=named, row=row, case=case, locale=locale, seen=seen)


def speaks(program: Program, case: Case, policy: Policy) -> str:
    """The locale of whatever is said to the customer."""
    known = program.messages.languages()
    return locale_for(case.word("locale"), case.word("country"), policy.locale, known)


def _standing(
    session: Session, program: Program, named: links.Named, row: CaseRow, now: datetime
) -> Link:
    if is_revoked(session, named):
        return Link.REVOKED
    # A link from before links said when they were made is as old as its case at most.
    issued = named.issued_at or row.opened_at
    old = now - issued > timedelta(days=program.settings.link_days)
    return Link.EXPIRED if old else Link.GOOD


def _seen(
    session: Session,
    program: Program,
    named: links.Named,
    row: CaseRow,
    case: Case,
    now: datetime,
) -> Seen:
    policy = program.cases.policy_of(session, row.policy_version)
    zone = local_of(case, policy).zone
    listed = [
        invoice
        for one in _rows(session, row)
        if (invoice := _invoice(session, program, one, zone, now)) is not None
    ]
    last = judged(case, now)
    return Seen(
        named=named,
        case=case,
        state=State(row.state),
        policy=policy,
        zone=zone,
        invoices=tuple(sorted(listed, key=lambda one: (one.since, one.name))),
        promise=last[-1] if last else None,
        promise_until=_promisable(listed, zone, now),
    )


def _rows(session: Session, row: CaseRow) -> Sequence[CaseRow]:
    """The case of the link, and every other open one of its customer."""
    if row.customer is None:
        return [row]
    theirs = select(CaseRow).where(
        col(CaseRow.source) == row.source,
        col(CaseRow.customer) == row.customer,
        col(CaseRow.state).in_((State.IN_GRACE.value, State.SUSPENDED.value)),
        col(CaseRow.id) != row.id,
    )
    others = session.scalars(theirs.order_by(col(CaseRow.opened_at)).limit(MOST_INVOICES - 1))
    return [row, *others]


def _invoice(
    session: Session, program: Program, row: CaseRow, zone: ZoneInfo, now: datetime
) -> Invoice | None:
    state, case = State(row.state), read_facts(row)
    pursued = state.is_open
    owed = row.amount_at_risk if pursued else _left(case, state)
    if owed <= 0 or case.failed_at is None:
        return None
    policy = program.cases.policy_of(session, row.policy_version)
    standing = freeze(case, now)
    ahead = coming(case, policy, now) if pursued and standing is None else {}
    last = last_decline(case)
    decline = last.decline if last else None
    bill = case.bill

    def day(moment: datetime | None) -> date | None:
        return moment.astimezone(zone).date() if moment else None

    theirs = bill.next_attempt_at if bill is not None and pursued and standing is None else None
    tries = [one for one in (ahead.get(StepKind.RETRY), theirs) if one is not None and one > now]
    return Invoice(
        name=name_of(row.id),
        case=case,
        policy=policy,
        amount=Money(owed, row.currency),
        number=case.word("number"),
        since=case.failed_at.astimezone(zone).date(),
        said=spoken_of(case, policy.declines),
        code=(decline.code or decline.error_code) if decline else None,
        card=_card(session, case),
        in_process=pursued and _in_process(session, row, standing is not None and standing.stop),
        suspended=state is State.SUSPENDED,
        pursued=pursued,
        next_try=day(min(tries, default=None)),
        suspends=day(ahead.get(StepKind.SUSPEND)),
    )


def name_of(case_id: str) -> str:
    """What an invoice is called in addresses: no counting that a payment meanwhile would shift."""
    return case_id.removeprefix("case_")[:NAME_LENGTH]


def _left(case: Case, state: State) -> int:
    bill = case.bill
    payable = state is State.LOST and bill is not None and bill.status in _PAYABLE
    return bill.remaining if payable and bill is not None else 0


def _in_process(session: Session, row: CaseRow, stop: Stop | bool) -> bool:
    """Whether a payment is under way: the bank has it, or a worker of ours asks for it."""
    if stop is Stop.IN_PROCESS:
        return True
    charging = select(col(StepRow.key)).where(
        col(StepRow.case_id) == row.id,
        col(StepRow.kind) == StepKind.RETRY.value,
        col(StepRow.state).in_(_AT_IT),
    )
    return session.scalars(charging.limit(1)).first() is not None


def _card(session: Session, case: Case) -> tuple[str | None, str] | None:
    last = last_decline(case)
    if last is None or last.method is None:
        return None
    row = session.get(MethodRow, (case.source, last.method))
    return (row.network, row.last4) if row is not None and row.last4 else None


def _promisable(
    listed: Sequence[Invoice], zone: ZoneInfo, now: datetime
) -> tuple[date, date] | None:
    """A promise is for all that is owed, so all of it must allow it."""
    open_ones = [one for one in listed if one.pursued]
    last = [last_day_to_promise(one.case, one.policy, now) for one in open_ones]
    granted = [day for day in last if day is not None]
    if not granted or len(granted) < len(last):
        return None
    return now.astimezone(zone).date() + timedelta(days=1), min(granted)


def broken(promise: Judged | None) -> bool:
    """Whether the day that was named has passed without the money."""
    return promise is not None and promise.ending is Ending.BROKEN
