"""`messages list`: what was said to whom, and what did not arrive."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import Reading, reading
from dunning.cli.options import DataOption, FormatOption, SourceOption
from dunning.cli.output import Column, Format, csv_list, is_terminal, json_list, say, table
from dunning.cli.words import NOTHING, count_text, hint, moment_text

if TYPE_CHECKING:
    from sqlalchemy import Select

    from dunning.store import MessageRow

SCREENFUL = 50
KEYS = (
    "message case source customer channel template recipient locale subject state at why reference"
).split()
COLOURS = {"bounced": "red", "complained": "red", "doubtful": "yellow", "sent": "green"}

app = typer.Typer(
    no_args_is_help=True,
    help="Messages to customers: sent, bounced, complained about, in doubt.",
    epilog="""\
Examples:
  dunning messages list --state bounced
  dunning messages list --case in_1Qx8Yz
  dunning messages list --format csv > messages.csv

A message in doubt may have arrived: it is never sent again by itself.""",
)


@app.callback()
def messages() -> None:
    """Keep `list` a command of its own while it is the only one."""


class StateFilter(enum.StrEnum):
    """What became of a message."""

    SENT = "sent"
    BOUNCED = "bounced"
    COMPLAINED = "complained"
    DOUBTFUL = "doubtful"


@app.command("list")
def list_(
    state: Annotated[
        StateFilter | None, typer.Option("--state", help="Only in this state.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="ID", help="Only to this customer.")
    ] = None,
    case: Annotated[
        str | None,
        typer.Option("--case", metavar="ID", help="Only of this case: its id or the invoice's."),
    ] = None,
    source: SourceOption = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=0,
            help="At most so many, 0 for all; 50 in a table and all in json and csv if left out.",
            show_default=False,
        ),
    ] = None,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """List messages, the newest first."""
    if limit is None:
        limit = SCREENFUL if form is Format.TABLE else 0
    with reading(data) as view:
        query = _chosen(state, customer, case, source, limit)
        if form is Format.JSON:
            json_list(_records(view, query))
        elif form is Format.CSV:
            csv_list(KEYS, _records(view, query))
        else:
            _show(view, query, state, limit)


def _chosen(
    state: StateFilter | None,
    customer: str | None,
    case: str | None,
    source: str | None,
    limit: int,
) -> Select[MessageRow]:
    from sqlalchemy import or_, select
    from sqlmodel import col

    from dunning.store import CaseRow, MessageRow

    query = select(MessageRow).order_by(col(MessageRow.at).desc(), col(MessageRow.step_key))
    if state is not None:
        query = query.where(col(MessageRow.state) == state.value)
    if customer is not None:
        query = query.where(col(MessageRow.customer) == customer)
    if source is not None:
        query = query.where(col(MessageRow.source) == source)
    if case is not None:
        of_invoice = select(col(CaseRow.id)).where(col(CaseRow.invoice) == case)
        name = col(MessageRow.case_id)
        query = query.where(or_(name == case, name.in_(of_invoice)))
    return query.limit(limit) if limit else query


def _records(view: Reading, query: Select[MessageRow]) -> Iterator[dict[str, Any]]:
    for row in view.session.scalars(query.execution_options(yield_per=200)):
        yield record(row)
        view.session.expunge(row)


def record(row: MessageRow) -> dict[str, Any]:
    """A message for programs."""
    from dunning.clock import rfc3339

    return {
        "message": row.step_key,
        "case": row.case_id,
        "source": row.source,
        "customer": row.customer,
        "channel": row.channel,
        "template": row.template,
        "recipient": row.recipient,
        "locale": row.locale,
        "subject": row.subject,
        "state": row.state,
        "at": rfc3339(row.at),
        "why": row.why,
        "reference": row.reference,
    }


def _show(view: Reading, query: Select[MessageRow], state: StateFilter | None, limit: int) -> None:
    rows = list(view.session.scalars(query))
    if not rows:
        say(f"No message is {state.value}." if state else "No message like that was sent.")
        return
    columns = [
        Column("AT (UTC)", lambda row: moment_text(row.at)),
        Column("", lambda row: hint(row.at, view.now), right=True, rank=4),
        Column("STATE", lambda row: str(row.state), paint=COLOURS),
        Column("EMAIL", lambda row: str(row.template)),
        Column("TO", lambda row: str(row.recipient)),
        Column("CUSTOMER", lambda row: row.customer or NOTHING, rank=2),
        Column("CASE", lambda row: str(row.case_id), rank=1),
        Column("SOURCE", lambda row: str(row.source), rank=5),
        Column("WHY", lambda row: row.why or NOTHING, fold=True),
    ]
    table(columns, rows)
    if limit and len(rows) == limit and is_terminal():
        say(f"the newest {count_text(limit, 'message')}; --limit 0 shows all", style="dim")
