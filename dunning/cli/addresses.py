"""`addresses …`: who is not written to any more, and why; marked and cleared by people too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import opened, reading
from dunning.cli.options import ByOption, DataOption, FormatOption, author
from dunning.cli.output import Column, Format, csv_list, json_list, say, table
from dunning.cli.words import NOTHING, moment_text
from dunning.clock import rfc3339

if TYPE_CHECKING:
    from dunning.acts import Person
    from dunning.cli.opening import Opened
    from dunning.store import BadAddressRow

app = typer.Typer(
    no_args_is_help=True,
    help="Email addresses that are marked bad, and why.",
    epilog="""\
Examples:
  dunning addresses list
  dunning addresses clear ann@example.com --why "she has made room"
  dunning addresses mark ann@example.com --why "asked us on the phone"

Nobody writes to an address that is marked; charges and everything else of the timeline go on.""",
)
KEYS = "address since kind why by message cleared_at cleared_by cleared_why".split()
AddressArgument = Annotated[
    str, typer.Argument(metavar="ADDRESS", help="One email address.", show_default=False)
]
WhyOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept for good.")
]


@app.command("list")
def list_(
    cleared: Annotated[
        bool, typer.Option("--cleared", help="Those that were cleared as well.")
    ] = False,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """List the addresses that are marked bad, the newest first."""
    with reading(data) as view:
        from dunning.addresses import marks

        found = marks(view.session, cleared=cleared)
        if form is Format.JSON:
            json_list(record(row) for row in found)
        elif form is Format.CSV:
            csv_list(KEYS, (record(row) for row in found))
        elif not found:
            say("No address is marked bad.")
        else:
            table(_columns(cleared=cleared), found)


def _columns(*, cleared: bool) -> list[Column]:
    until = Column("CLEARED (UTC)", lambda row: moment_text(row.cleared_at), rank=1)
    return [
        Column("ADDRESS", lambda row: str(row.address)),
        Column("SINCE (UTC)", lambda row: moment_text(row.since)),
        Column("KIND", lambda row: str(row.kind)),
        Column("BY", lambda row: str(row.by), rank=2),
        *([until] if cleared else []),
        Column("MESSAGE", lambda row: row.reference or NOTHING, rank=3),
        Column("WHY", lambda row: row.cleared_why or row.why, fold=True),
    ]


def record(row: BadAddressRow) -> dict[str, Any]:
    """A mark for programs."""
    return {
        "address": row.address,
        "since": rfc3339(row.since),
        "kind": row.kind,
        "why": row.why,
        "by": row.by,
        "message": row.reference,
        "cleared_at": rfc3339(row.cleared_at),
        "cleared_by": row.cleared_by,
        "cleared_why": row.cleared_why,
    }


@app.command("mark")
def mark(
    address: AddressArgument, why: WhyOption, by: ByOption = None, data: DataOption = None
) -> None:
    """Mark an address bad by hand: nobody writes to it until it is cleared."""
    if "@" not in address.strip("@ "):
        raise typer.BadParameter(f"{address!r} is not an email address", param_hint="ADDRESS")
    with opened(data) as running:
        from dunning import addresses
        from dunning.store import transaction

        person = _person(running, by, why)
        with transaction(running.engine) as session:
            new = addresses.mark(
                session, address, kind="hand", why=person.why, now=person.now, by=person.by
            )
    say(f"{address} is marked bad." if new else f"{address} was marked before; nothing changed.")


@app.command("clear")
def clear(
    address: AddressArgument, why: WhyOption, by: ByOption = None, data: DataOption = None
) -> None:
    """Take the mark off: emails go to the address again, from the next step on."""
    with opened(data) as running:
        from dunning import addresses
        from dunning.store import transaction

        person = _person(running, by, why)
        with transaction(running.engine) as session:
            row = addresses.clear(session, address, by=person.by, why=person.why, now=person.now)
            said = f"{row.address} is good again; it was marked since {moment_text(row.since)} UTC."
    say(said)


def _person(running: Opened, by: str | None, why: str) -> Person:
    from dunning.acts import Person

    return Person(by=author(by), why=why, now=running.now())
