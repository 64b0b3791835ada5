"""`customers show`, `stop-notices` and `resume-notices`: how one customer stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from dunning.cli.customers import CustomerArgument, WhyOption, account, app
from dunning.cli.opening import program, reading
from dunning.cli.options import (
    ByOption,
    DataOption,
    PageFormatOption,
    SourceOption,
    author,
    usage,
)
from dunning.cli.output import Column, PageFormat, heading, json_page, pairs, say, table
from dunning.cli.words import NOTHING, amount_text, moment_and_hint, moment_text
from dunning.clock import rfc3339

__all__ = ["app"]

if TYPE_CHECKING:
    from sqlmodel import Session

    from dunning.acts import Person
    from dunning.core.events import Exempted
    from dunning.store import BadAddressRow, CaseRow, CustomerRow
    from dunning.unsubscribed import Stopped
    from dunning.wiring import Program


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a customer."""

    source: str
    customer: str
    row: CustomerRow | None
    exemption: Exempted | None
    stopped: Stopped | None
    bad: BadAddressRow | None
    cases: Sequence[CaseRow]
    now: datetime


@app.command("show")
def show(
    customer: CustomerArgument,
    source: SourceOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Show a customer: exempt or not, whether notices and emails reach them, and their cases."""
    with reading(data) as view:
        where = _where(view.session, customer, source)
        known = _find(view.session, where, customer, view.now)
        if form is PageFormat.JSON:
            json_page(_record(known))
        else:
            _page(known)


@app.command("stop-notices")
def stop_notices(
    customer: CustomerArgument,
    why: WhyOption,
    source: SourceOption = None,
    by: ByOption = None,
    data: DataOption = None,
) -> None:
    """Send a customer no more notices of renewals and expiring cards, as their own link does.

    Of a payment that failed they hear all the same; `customers exempt` stops that too.

    dunning customers stop-notices cus_9s6X --why "asked us on the phone"
    """
    with program(data) as running:
        from dunning import unsubscribed
        from dunning.store import transaction

        person, where = _person(running, by, why), account(running, source)
        with transaction(running.engine) as session:
            case = unsubscribed.stop_by_hand(
                session, where, customer, by=person.by, why=person.why, now=person.now
            )
    say(f"{customer} of {where} is sent no more notices; it is on the record of {case}.")


@app.command("resume-notices")
def resume_notices(
    customer: CustomerArgument,
    why: WhyOption,
    source: SourceOption = None,
    by: ByOption = None,
    data: DataOption = None,
) -> None:
    """Send a customer notices of renewals and expiring cards again, where they were stopped.

    It counts from the next notice on; one that was left out is not made up for.

    dunning customers resume-notices cus_9s6X --why "pressed the link by mistake"
    """
    with program(data) as running:
        from dunning import unsubscribed
        from dunning.store import transaction

        person, where = _person(running, by, why), account(running, source)
        with transaction(running.engine) as session:
            had = unsubscribed.resume(
                session, where, customer, by=person.by, why=person.why, now=person.now
            )
    say(
        f"{customer} of {where} is sent notices again; they were stopped since "
        f"{moment_text(had.at)} UTC, {_how(had)}. It is on the record of {had.case}."
    )


def _person(running: Program, by: str | None, why: str) -> Person:
    from dunning.acts import Person

    return Person(by=author(by).strip(), why=why.strip(), now=running.clock.fresh())


# --- what is known ---------------------------------------------------------------------------


def _where(session: Session, customer: str, asked: str | None) -> str:
    """The account that knows of this customer."""
    from sqlalchemy import select, union
    from sqlmodel import col

    from dunning.errors import NotFoundError
    from dunning.store import CaseRow, CustomerRow, ExemptionRow

    heard = union(
        select(col(CustomerRow.source)).where(col(CustomerRow.id) == customer),
        select(col(CaseRow.source)).where(col(CaseRow.customer) == customer),
        select(col(ExemptionRow.source)).where(col(ExemptionRow.customer) == customer),
    )
    names = sorted(name for name in session.scalars(heard) if asked in (None, name))
    if not names:
        at = f" at {asked}" if asked else ""
        raise NotFoundError(f"nothing was heard of {customer}{at}; is the id right?")
    if len(names) > 1:
        raise usage(f"{customer} is known to {', '.join(names)}; say which", "--source")
    return names[0]


def _find(session: Session, source: str, customer: str, now: datetime) -> Known:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning import addresses, exempting, unsubscribed
    from dunning.store import CaseRow, CustomerRow

    row = session.get(CustomerRow, (source, customer))
    theirs = select(CaseRow).where(col(CaseRow.source) == source, col(CaseRow.customer) == customer)
    newest = theirs.order_by(col(CaseRow.opened_at).desc(), col(CaseRow.id))
    return Known(
        source=source,
        customer=customer,
        row=row,
        exemption=exempting.in_force(exempting.last_word(session, source, customer), now),
        stopped=unsubscribed.stopped(session, source, customer),
        bad=addresses.is_bad(session, row.email) if row is not None and row.email else None,
        cases=session.scalars(newest).all(),
        now=now,
    )


# --- the page --------------------------------------------------------------------------------


def _how(one: Stopped) -> str:
    return f"by {one.by}: {one.why}" if one.by else f"by the link in the notice of {one.case}"


def _page(known: Known) -> None:
    row, said = known.row, known.exemption
    say(f"{known.customer} of {known.source}", style="bold")
    until = "it is lifted"
    if said is not None and said.until is not None:
        until = moment_and_hint(said.until, known.now)
    told = [
        ("name", (row and row.name) or NOTHING),
        ("email", (row and row.email) or NOTHING),
        ("country", (row and row.country) or NOTHING),
        ("exempt", f"until {until}, by {said.by}: {said.why}" if said else "no"),
        ("notices", f"stopped {_since(known.stopped, known.now)}" if known.stopped else "wanted"),
    ]
    if known.bad is not None:
        mark = moment_and_hint(known.bad.since, known.now)
        told.insert(2, ("", f"marked bad since {mark}: {known.bad.why}"))
    pairs([(f"  {name}", value) for name, value in told])
    heading("Cases (times are UTC)")
    if known.cases:
        table(_COLUMNS, list(known.cases), indent=2)
    else:
        say("  no cases")


def _since(one: Stopped, now: datetime) -> str:
    return f"since {moment_and_hint(one.at, now)}, {_how(one)}"


_COLUMNS = [
    Column("CASE", lambda row: str(row.id)),
    Column("KIND", lambda row: str(row.kind), rank=2),
    Column("STATE", lambda row: str(row.state)),
    Column("ACCESS", lambda row: str(row.access), rank=1),
    Column("AT RISK", lambda row: amount_text(row.amount_at_risk, row.currency), right=True),
    Column("OPENED", lambda row: moment_text(row.opened_at)),
    Column("ENDED", lambda row: moment_text(row.closed_at), rank=3),
]


def _record(known: Known) -> dict[str, Any]:
    from dunning.case_rows import summary
    from dunning.cli.addresses import record

    row, said, stopped = known.row, known.exemption, known.stopped
    return {
        "source": known.source,
        "customer": known.customer,
        "name": row.name if row else None,
        "email": row.email if row else None,
        "country": row.country if row else None,
        "bad_address": record(known.bad) if known.bad else None,
        "exempt": said
        and {
            "since": rfc3339(said.at),
            "until": rfc3339(said.until),
            "by": said.by,
            "why": said.why,
        },
        "notices_stopped": stopped
        and {
            "since": rfc3339(stopped.at),
            "case": stopped.case,
            "by": stopped.by or "customer",
            "why": stopped.why,
        },
        "cases": [summary(one) for one in known.cases],
    }
