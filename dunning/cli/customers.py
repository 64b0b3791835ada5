"""`customers …`: take a customer out of dunning, and back in; who owes, and who is exempt.

What is said of one customer is in `customer_page`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import program, reading
from dunning.cli.options import (
    ByOption,
    DataOption,
    FormatOption,
    PageFormatOption,
    SourceOption,
    author,
    usage,
)
from dunning.cli.output import (
    Column,
    Format,
    PageFormat,
    csv_list,
    json_list,
    json_page,
    say,
    table,
)
from dunning.cli.words import (
    NOTHING,
    amount_text,
    count_text,
    moment_and_hint,
    moment_text,
    read_after,
)
from dunning.clock import rfc3339

if TYPE_CHECKING:
    from dunning.acts import Person
    from dunning.exempting import Exemptions, Standing, Told
    from dunning.wiring import Program

app = typer.Typer(
    no_args_is_help=True,
    help="Customers: who owes, and who is left alone.",
    epilog="""\
Examples:
  dunning customers exempt cus_9s6X --why "a partner" --until 90d
  dunning customers list --exempt
  dunning customers unexempt cus_9s6X --why "the contract has ended"
  dunning customers show cus_9s6X
  dunning customers resume-notices cus_9s6X --why "pressed the link by mistake"

An exempt customer is not charged by us, not written to and not restricted, in cases open and to
come, and no case is given up. What they owe stays at risk and is shown as exempt.""",
)

CustomerArgument = Annotated[
    str,
    typer.Argument(metavar="ID", help="The provider's id of the customer.", show_default=False),
]
WhyOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept for good.")
]
KEYS = "source customer name exempt since until by why cases at_risk".split()


@app.command("exempt")
def exempt(
    customer: CustomerArgument,
    why: WhyOption,
    source: SourceOption = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="WHEN",
            help="90d, 2026-12-31, or a time in UTC; until it is lifted if left out.",
        ),
    ] = None,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Stop retries, emails and restrictions for a customer, in cases open and to come.

    What was taken before stays taken. Whatever the provider does by itself it goes on doing where
    the policy leaves the retries to it.
    """

    def act(hand: Exemptions, where: str, person: Person) -> Told:
        end = read_after(until, person.now, "--until") if until else None
        return hand.exempt(where, customer, person, until=end)

    _act(source, why, by, form, data, act, "is exempt")


@app.command("unexempt")
def unexempt(
    customer: CustomerArgument,
    why: WhyOption,
    source: SourceOption = None,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Let dunning go on for a customer; what fell due meanwhile is not made up for in a burst."""

    def act(hand: Exemptions, where: str, person: Person) -> Told:
        return hand.lift(where, customer, person)

    _act(source, why, by, form, data, act, "is not exempt any more")


@app.command("revoke-links")
def revoke_links(
    customer: CustomerArgument,
    why: WhyOption,
    source: SourceOption = None,
    by: ByOption = None,
    data: DataOption = None,
) -> None:
    """Take back every link that a customer was sent until now; the next email has a new one.

    dunning customers revoke-links cus_9s6X --why "their mailbox was broken into"
    """
    with program(data) as running:
        from dunning.acts import Person
        from dunning.revoking import Revoking

        person = Person(by=author(by), why=why, now=running.clock.fresh())
        where = account(running, source)
        cases = Revoking(running.engine).of_customer(where, customer, person)
    reached = count_text(len(cases), "case")
    say(f"{customer} of {where}: links of {reached} lead nowhere any more.")


@app.command("list")
def list_(
    exempt: Annotated[
        bool, typer.Option("--exempt", help="Only those who are exempt now.")
    ] = False,
    source: SourceOption = None,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """List the customers who owe, or are exempt, with what is at risk."""
    with reading(data) as view:
        from dunning.exempting import standings

        found = standings(view.session, view.now, exempt=exempt, source=source)
        now = view.now
    if form is Format.JSON:
        json_list(_told(one) for one in found)
    elif form is Format.CSV:
        csv_list(KEYS, ({**_told(one), "at_risk": _amounts(one)} for one in found))
    elif not found:
        say("Nobody is exempt." if exempt else "Nobody owes anything, and nobody is exempt.")
    else:
        table(_columns(now), found)


def _columns(now: datetime) -> list[Column]:
    def until(one: Standing) -> str:
        if one.exemption is None:
            return NOTHING
        return moment_and_hint(one.exemption.until, now) if one.exemption.until else "lifted"

    return [
        Column("CUSTOMER", lambda one: str(one.customer)),
        Column("NAME", lambda one: one.name or NOTHING, rank=3),
        Column("CASES", lambda one: str(one.cases), right=True),
        Column("AT RISK", lambda one: _amounts(one) or NOTHING, right=True),
        Column("EXEMPT", lambda one: "exempt" if one.exemption else NOTHING),
        Column(
            "SINCE", lambda one: moment_text(one.exemption.at if one.exemption else None), rank=2
        ),
        Column("UNTIL", until, rank=1),
        Column("BY", lambda one: one.exemption.by if one.exemption else NOTHING, rank=4),
        Column("WHY", lambda one: one.exemption.why if one.exemption else NOTHING, fold=True),
        Column("SOURCE", lambda one: str(one.source), rank=5),
    ]


def _amounts(one: Standing) -> str:
    return ", ".join(amount_text(minor, code) for code, minor in sorted(one.at_risk.items()))


def _told(one: Standing) -> dict[str, Any]:
    said = one.exemption
    return {
        "source": one.source,
        "customer": one.customer,
        "name": one.name,
        "exempt": said is not None,
        "since": rfc3339(said.at) if said else None,
        "until": rfc3339(said.until) if said else None,
        "by": said.by if said else None,
        "why": said.why if said else None,
        "cases": one.cases,
        "at_risk": dict(one.at_risk),
    }


def _act(
    source: str | None,
    why: str,
    by: str | None,
    form: PageFormat,
    data: Path | None,
    act: Callable[[Exemptions, str, Person], Told],
    done: str,
) -> None:
    with program(data) as running:
        from dunning.acts import Person
        from dunning.exempting import Exemptions

        person = Person(by=author(by), why=why, now=running.clock.fresh())
        hand = Exemptions(running.engine, running.cases)
        told = act(hand, account(running, source), person)
    if form is PageFormat.JSON:
        json_page(
            {
                "source": told.source,
                "customer": told.customer,
                "cases": list(told.cases),
                "known": told.known,
            }
        )
        return
    reached = count_text(len(told.cases), "case")
    say(f"{told.customer} of {told.source} {done}: {reached} reached, and those to come.")
    if not told.known:
        say(
            f"Nothing was heard of {told.customer} so far: is the id right? It counts from its "
            "first case on.",
            style="yellow",
        )


def account(running: Program, asked: str | None) -> str:
    """The account that is meant: the only one there is, if none is named."""
    names = sorted(running.sources)
    if asked is None:
        if len(names) != 1:
            raise usage(
                f"there are {len(names)} accounts; say which: {', '.join(names)}", "--source"
            )
        return names[0]
    if asked not in names:
        known = ", ".join(names) or "none is set up"
        raise usage(f"no billing account {asked!r}; there is {known}", "--source")
    return asked
