"""`inbox …`: webhooks as they came, and those that wait for a person."""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import Reading, program, reading
from dunning.cli.options import DataOption, FormatOption, PageFormatOption, SourceOption
from dunning.cli.output import (
    Column,
    Format,
    PageFormat,
    csv_list,
    heading,
    is_terminal,
    json_list,
    json_page,
    pairs,
    plain,
    say,
    table,
)
from dunning.cli.words import count_text, hint, moment_and_hint, moment_text

if TYPE_CHECKING:
    from sqlalchemy import Select
    from sqlmodel import Session

    from dunning.store import InboxRow

SCREENFUL = 50
BATCH = 100
KEYS = (
    "id source event_id type state reason created_at received_at handled_at tries about waiting"
).split()

app = typer.Typer(
    no_args_is_help=True,
    help="Every webhook as it came; what was not understood is parked.",
    epilog="""\
Examples:
  dunning inbox list --state parked
  dunning inbox show evt_1Qx8Yz
  dunning inbox replay --parked         after a new version, or a missing source

Nothing is lost: a parked webhook waits until it is replayed.""",
)


class StateFilter(enum.StrEnum):
    """States of a kept webhook; `waiting`: understood, but no case exists for it yet."""

    NEW = "new"
    HANDLED = "handled"
    IGNORED = "ignored"
    PARKED = "parked"
    WAITING = "waiting"


@app.command("list")
def list_(
    state: Annotated[
        StateFilter | None, typer.Option("--state", help="Only in this state.")
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
    """List kept webhooks, the newest first."""
    if limit is None:
        limit = SCREENFUL if form is Format.TABLE else 0
    with reading(data) as view:
        query = _chosen(state, source, limit)
        if form is Format.JSON:
            json_list(_records(view, query))
        elif form is Format.CSV:
            csv_list(KEYS, _records(view, query))
        else:
            _show_list(view, query, state, limit)


def _chosen(state: StateFilter | None, source: str | None, limit: int) -> Select[InboxRow]:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.store import InboxRow

    query = select(InboxRow).order_by(col(InboxRow.id).desc())
    if source is not None:
        query = query.where(col(InboxRow.source) == source)
    if state is StateFilter.WAITING:
        query = query.where(col(InboxRow.waiting))
    elif state is not None:
        query = query.where(col(InboxRow.state) == state.value)
    return query.limit(limit) if limit else query


def _records(view: Reading, query: Select[InboxRow]) -> Iterator[dict[str, Any]]:
    for row in view.session.scalars(query.execution_options(yield_per=200)):
        yield record(row)
        view.session.expunge(row)


def record(row: InboxRow) -> dict[str, Any]:
    """A kept webhook for programs, without its body."""
    from dunning.clock import rfc3339

    return {
        "id": row.id,
        "source": row.source,
        "event_id": row.event_id,
        "type": row.type,
        "state": row.state,
        "reason": hidden(row.reason),
        "created_at": rfc3339(row.created_at),
        "received_at": rfc3339(row.received_at),
        "handled_at": rfc3339(row.handled_at),
        "tries": row.tries,
        "about": row.ref,
        "waiting": row.waiting,
    }


COLOURS = {"parked": "red", "new": "yellow", "handled": "green", "ignored": "dim"}


def _show_list(
    view: Reading, query: Select[InboxRow], state: StateFilter | None, limit: int
) -> None:
    rows = list(view.session.scalars(query))
    if not rows:
        say(_nothing(state))
        return
    columns = [
        Column("ID", lambda row: str(row.id), right=True),
        Column("STATE", lambda row: str(row.state), paint=COLOURS),
        Column("TYPE", lambda row: str(row.type)),
        Column("RECEIVED (UTC)", lambda row: moment_text(row.received_at), rank=2),
        Column("", lambda row: hint(row.received_at, view.now), right=True, rank=3),
        Column("EVENT", lambda row: str(row.event_id), rank=1),
        Column("SOURCE", lambda row: str(row.source), rank=4),
        Column("WHY", lambda row: hidden(row.reason), fold=True),
    ]
    table(columns, rows)
    if limit and len(rows) == limit and is_terminal():
        say(f"the newest {count_text(limit, 'event')}; --limit 0 shows all", style="dim")


def _nothing(state: StateFilter | None) -> str:
    if state is StateFilter.PARKED:
        return "Nothing is parked: every webhook was understood."
    if state is not None:
        return f"No webhook is {state.value}."
    return (
        "No webhook has come yet. The address of each source is printed by `dunning up`; "
        "`dunning doctor` checks the rest."
    )


@app.command("show")
def show(
    name: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="The row's number, or the provider's event id.", show_default=False
        ),
    ],
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Show one webhook with its body; secrets in it are starred."""
    with reading(data) as view:
        row = _find(view.session, name)
        body = shown_body(row.body)
        if form is PageFormat.JSON:
            json_page({**record(row), "body": body})
        else:
            _show_page(row, body, view.now)


def _show_page(row: InboxRow, body: Any, now: datetime) -> None:
    say(f"{row.event_id}: {row.type}, {row.state}", style="bold")
    told = [
        ("row", str(row.id)),
        ("source", row.source),
        ("created", moment_and_hint(row.created_at, now)),
        ("received", moment_and_hint(row.received_at, now)),
        ("handled", moment_and_hint(row.handled_at, now)),
        ("tries", str(row.tries)),
        ("about", row.ref or "—"),
        ("why", hidden(row.reason) or "—"),
    ]
    pairs([(f"  {name}", value) for name, value in told])
    heading("Body")
    text = body if isinstance(body, str) else json.dumps(body, indent=2, ensure_ascii=False)
    for line in text.splitlines():
        typer.echo("  " + line[: len(line) - len(line.lstrip())] + plain(line))
    if row.state == "parked":
        say()
        say(f"`dunning inbox replay {row.id}` handles it again.", style="dim")


# --- bodies without secrets ------------------------------------------------------------------

HIDDEN = "****"
_SECRET_KEY = re.compile(r"secret|password|(?:^|_)token$|api_key|private_key", re.IGNORECASE)
_SECRET_VALUE = re.compile(
    r"\b(?:sk|rk|whsec)_[A-Za-z0-9_+/=-]+|\b(?:pi|seti|cs|ek)_[A-Za-z0-9]+_secret_[A-Za-z0-9]+"
)
# Stripe's own pages let whoever has the address pay, and see the bill.
_OPEN_PAGE = re.compile(r"(https://(?:invoice|pay|billing|checkout)\.stripe\.com/)\S+")


def hidden(text: str) -> str:
    """The text without anything that opens a door."""
    return _OPEN_PAGE.sub(rf"\1{HIDDEN}", _SECRET_VALUE.sub(HIDDEN, text))


def shown_body(body: bytes) -> Any:
    """The body as data, its secrets starred; as text where it is no JSON."""
    text = body.decode("utf-8", "replace")
    try:
        return _without_secrets(json.loads(text))
    except (ValueError, RecursionError):
        return hidden(text)


def _without_secrets(value: Any, name: str = "") -> Any:
    match value:
        case dict():
            return {key: _without_secrets(each, key) for key, each in value.items()}
        case list():
            return [_without_secrets(each, name) for each in value]
        case str():
            return HIDDEN if _SECRET_KEY.search(name) and value else hidden(value)
        case _:
            return value


# --- again -----------------------------------------------------------------------------------


@app.command("replay")
def replay(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID]…", help="Row numbers or the provider's event ids.", show_default=False
        ),
    ] = None,
    parked: Annotated[bool, typer.Option("--parked", help="Everything that is parked.")] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Handle webhooks again, here and now; exit 1 if any is parked again.

    Safe at any time: news that a case has already taken in changes nothing.
    """
    if bool(names) == parked:
        message = "name the webhooks, or say --parked for all that are parked"
        raise typer.BadParameter(message, param_hint="ID")
    with program(data) as running:
        from dunning import inbox
        from dunning.store import transaction

        with transaction(running.engine) as session:
            ids = (
                _parked(session) if parked else [_id(_find(session, each)) for each in names or ()]
            )
        told = []
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            now = running.clock.fresh()
            with transaction(running.engine) as session:
                inbox.replay(session, batch, now)
            running.inbox.handle(batch, now)
            with transaction(running.engine) as session:
                told += [record(_row(session, row_id)) for row_id in batch]
    if form is PageFormat.JSON:
        json_page(told)
    else:
        _show_replayed(told)
    if any(each["state"] == "parked" for each in told):
        raise typer.Exit(1)


def _show_replayed(told: Sequence[dict[str, Any]]) -> None:
    if not told:
        say("Nothing is parked: every webhook was understood.")
        return
    table(
        [
            Column("ID", lambda each: str(each["id"]), right=True),
            Column("STATE", lambda each: str(each["state"]), paint=COLOURS),
            Column("TYPE", lambda each: str(each["type"])),
            Column("EVENT", lambda each: str(each["event_id"]), rank=1),
            Column("ABOUT", lambda each: str(each["about"] or "—"), rank=2),
            Column("WHY", lambda each: str(each["reason"]), fold=True),
        ],
        told,
    )


def _parked(session: Session) -> list[int]:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.store import InboxRow

    query = select(col(InboxRow.id)).where(col(InboxRow.state) == "parked")
    return [row_id for row_id in session.scalars(query.order_by(col(InboxRow.id))) if row_id]


def _find(session: Session, name: str) -> InboxRow:
    """The webhook of that row number or event id."""
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.errors import NotFoundError
    from dunning.store import InboxRow, SeenRow

    if name.isascii() and name.isdigit() and len(name) < 18:
        found = list(session.scalars(select(InboxRow).where(col(InboxRow.id) == int(name))))
    else:
        seen = list(
            session.scalars(select(col(SeenRow.inbox_id)).where(col(SeenRow.event_id) == name))
        )
        # What was parked for longer than ids of events are remembered is looked for row by row.
        here = col(InboxRow.id).in_(seen) if seen else col(InboxRow.event_id) == name
        found = list(session.scalars(select(InboxRow).where(here)))
        if seen and not found:
            message = f"webhook {name} was handled, and `dunning prune` has removed it since"
            raise NotFoundError(message)
    if not found:
        message = f"no webhook {name}; `dunning inbox list` shows the ones that were kept"
        raise NotFoundError(message)
    if len(found) > 1:
        rows = ", ".join(f"{row.id} ({row.source})" for row in found)
        message = f"{name} came from several sources: {rows}; name the row"
        raise NotFoundError(message)
    return found[0]


def _row(session: Session, row_id: int) -> InboxRow:
    from dunning.store import InboxRow

    return session.get_one(InboxRow, row_id)


def _id(row: InboxRow) -> int:
    assert row.id is not None
    return row.id
