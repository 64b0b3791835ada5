"""`staff …`: what the merchant's own people are told, tried out and looked at."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import load, opened, program, reading
from dunning.cli.options import DataOption, PageFormatOption
from dunning.cli.output import Column, PageFormat, json_page, say, table
from dunning.cli.words import count_text, moment_text

if TYPE_CHECKING:
    from sqlalchemy import Select

    from dunning.staff import Notice, Way
    from dunning.store import StaffNoticeRow

app = typer.Typer(
    no_args_is_help=True,
    help="Tell your own people what needs them, and of each day.",
    epilog="""\
Examples:
  dunning staff test                    one message to everybody who is to be told
  dunning staff digest                  what the digest of yesterday says
  dunning staff list                    what was told lately
  dunning staff retry                   send again what was given up

Who is told: DUNNING_STAFF_EMAIL and DUNNING_STAFF_WEBHOOK_URL. What and when: `staff` in the policy
file.""",
)
PAINT = {"dead": "bold red", "sent": "green"}
SCREENFUL = 30


@app.command("test")
def try_out() -> None:
    """Send one message each way that is configured, and say what came of it."""
    from dunning.errors import ConfigError

    ways = _ways()
    if not ways:
        message = "nobody is told: set DUNNING_STAFF_EMAIL or DUNNING_STAFF_WEBHOOK_URL"
        raise ConfigError(message)
    from dunning.clock import SystemClock

    now = SystemClock().now()
    failed = []
    for way in ways:
        where = way.recipient or "the chat room"
        outcome = way.send(f"test-{now:%Y%m%dT%H%M%S}", _sample(), again=False)
        if outcome.sent:
            say(f"{where}: sent")
        else:
            failed.append(f"{where}: {outcome.why}")
    if failed:
        raise ConfigError("; ".join(failed))


def _ways() -> tuple[Way, ...]:
    from dunning.wiring import staff_ways

    return staff_ways(load().settings)


def _sample() -> Notice:
    from dunning.staff import Notice, Part

    return Notice(
        title="A test: staff notices get through",
        lead="Nothing has happened. This is what a message looks like:",
        parts=(
            Part(
                title="Services suspended",
                head=("Owed", "Customer", "Case"),
                rows=(("49.00 USD", "cus_example", "case_example"),),
                note="See: dunning cases show CASE",
            ),
        ),
        tone="good",
    )


@app.command("digest")
def digest(
    ago: Annotated[
        int, typer.Option("--days", min=1, metavar="N", help="Of the day so many days ago.")
    ] = 1,
    html: Annotated[
        Path | None, typer.Option("--html", metavar="FILE", help="Write it there as HTML.")
    ] = None,
    data: DataOption = None,
) -> None:
    """Show the digest of a day as it would be sent now; nothing is sent."""
    from dunning.cli.output import write_file
    from dunning.staff.digest import day_ago
    from dunning.staff.digest import digest as made
    from dunning.staff.written import as_html, as_text

    with program(data) as running:
        from dunning.reports.snapshot import snapshot

        now = running.clock.fresh()
        terms = running.policies.current.staff
        with snapshot(running.engine) as session:
            notice = made(session, day_ago(terms, now, ago), terms, now)
    if notice is None:
        say("Nothing happened that day, and `empty_digest` leaves such days out.")
    elif html is None:
        say(as_text(notice).rstrip("\n"))
    else:
        write_file(html, as_html(notice))
        say(f"{html}: {notice.title}")


@app.command("list")
def list_(
    dead: Annotated[bool, typer.Option("--dead", help="Only what was given up.")] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Show what staff were told, the newest first, and what did not get through."""
    with reading(data) as view:
        rows = list(view.session.scalars(_newest(dead=dead)))
        _show(rows, form)


def _show(rows: Sequence[StaffNoticeRow], form: PageFormat) -> None:
    if form is PageFormat.JSON:
        json_page({"messages": [_told(row) for row in rows]})
        return
    table(
        [
            Column("ID", lambda row: str(row.id)),
            Column("WRITTEN", lambda row: moment_text(row.created_at)),
            Column("OF", lambda row: str(row.alert)),
            Column("TO", lambda row: row.recipient or "the chat room"),
            Column("STATE", lambda row: str(row.state), paint=PAINT),
            Column("TRIES", lambda row: str(row.tries), right=True, rank=2),
            Column("WHAT", _what, fold=True),
        ],
        rows,
    )


def _newest(*, dead: bool) -> Select[Any]:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.store import StaffNoticeRow

    query = select(StaffNoticeRow).order_by(col(StaffNoticeRow.id).desc()).limit(SCREENFUL)
    return query.where(col(StaffNoticeRow.state) == "dead") if dead else query


def _what(row: StaffNoticeRow) -> str:
    from dunning.staff.notice import from_text

    return from_text(row.body).title + (f" ({row.error})" if row.error else "")


def _told(row: StaffNoticeRow) -> dict[str, Any]:
    from dunning.clock import rfc3339
    from dunning.staff.notice import from_text

    names = ("id", "name", "alert", "way", "recipient", "state", "tries", "error")
    return {name: getattr(row, name) for name in names} | {
        "title": from_text(row.body).title,
        "created_at": rfc3339(row.created_at),
        "sent_at": rfc3339(row.sent_at),
    }


@app.command("retry")
def retry(
    number: Annotated[
        int | None,
        typer.Argument(metavar="[ID]", help="One message; all that were given up if left out."),
    ] = None,
    data: DataOption = None,
) -> None:
    """Send again what was given up; whoever runs sends it within seconds."""
    from dunning.staff.sending import revive
    from dunning.store import transaction

    with opened(data) as there:
        now = there.now()
        with transaction(there.engine) as session:
            count = revive(session, number, now)
    say(f"{count_text(count, 'message')} to be sent again.")
