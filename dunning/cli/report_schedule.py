"""`report schedule`: the report of each month by mail: when, what was sent, and now."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import load, program, reading
from dunning.cli.options import ByOption, DataOption, PageFormatOption, author, usage
from dunning.cli.output import Column, PageFormat, json_page, pairs, say, table, write_file
from dunning.cli.report_options import books_of
from dunning.cli.report_reconcile import app
from dunning.cli.words import moment_text

__all__ = ["app"]

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dunning.cli.opening import Reading
    from dunning.config import Books
    from dunning.staff.finance import Told
    from dunning.store import FinanceReportRow

SHOWN = 12
PAINT = {"given up": "bold red", "sent": "green"}
STATES = {"pending": "waiting", "dead": "given up"}
NOBODY = (
    "Nobody gets it: set DUNNING_FINANCE_EMAIL (with DUNNING_SMTP_URL and DUNNING_MAIL_FROM) "
    "where `up` or `dispatch` runs. --preview FILE.html shows what it looks like."
)


@app.command("schedule")
def schedule(
    send_now: Annotated[
        bool, typer.Option("--send-now", help="Send the report of a month that is over now.")
    ] = False,
    month: Annotated[
        str | None,
        typer.Option("--month", metavar="MONTH", help="Such as 2026-10; else the last one."),
    ] = None,
    preview: Annotated[
        Path | None,
        typer.Option(
            "--preview",
            metavar="FILE",
            help="Write the mail there and send nothing: .eml with what is attached, or .html.",
        ),
    ] = None,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """The report of each month, by mail to finance: when it goes out next, and what was sent.

    It goes to DUNNING_FINANCE_EMAIL at 08:00 on the fifth day of the next month, or on `report_day`
    of `books` in the policy file, in the zone of the books; `up` or `dispatch` sends it. In the
    mail are the main figures, attached a workbook and a page with charts.

    Example: dunning report schedule --send-now --month 2026-10
    """
    if send_now and preview is not None:
        raise usage("either --send-now or --preview", "--preview")
    if month is not None and not send_now and preview is None:
        raise usage("goes with --send-now or --preview", "--month")
    if preview is not None and preview.suffix not in (".eml", ".html"):
        raise usage("the file is to end in .eml or .html", "--preview")
    if send_now:
        _send(month, author(by), form, data)
    elif preview is not None:
        _preview(preview, month, data)
    else:
        _show(form, data)


# --- how it stands -------------------------------------------------------------------------


def _show(form: PageFormat, data: Path | None) -> None:
    from dunning.staff.finance import coming, told

    with reading(data) as view:
        books = books_of(view)
        reports = told(view.session, SHOWN)
        to = view.settings.finance_emails
        if form is PageFormat.JSON:
            from dunning.clock import rfc3339

            following = coming(books, view.now)
            upcoming = {"month": following.month.period, "at": rfc3339(following.at)}
            json_page(
                {
                    "recipients": list(to),
                    "timezone": books.timezone,
                    "report_day": books.report_day,
                    "next": upcoming if to else None,
                    "reports": [_told(each) for each in reports],
                }
            )
            return
        _say_next(view, books, to)
        _list(reports)


def _say_next(view: Reading, books: Books, to: Sequence[str]) -> None:
    from dunning.reports.periods import zone_named
    from dunning.staff.finance import begun, coming

    if not to:
        say(NOBODY)
        return
    following = coming(books, view.now)
    local = following.at.astimezone(zone_named(books.timezone))
    at = f"{local:%Y-%m-%d %H:%M} {books.timezone}"
    pairs(
        [
            ("to", ", ".join(to)),
            ("next", f"{following.month.name}, on {at}"),
            ("every month", f"on day {books.report_day} of the next one, at {local:%H:%M}"),
        ]
    )
    if not begun(view.session):
        say("No process has taken it up yet: `dunning up` or `dunning dispatch` does.")


def _list(reports: Sequence[Told]) -> None:
    say()
    if not reports:
        say("Nothing was sent yet; --send-now sends the report of the last month.", style="dim")
        return
    lines = [(each.report, one) for each in reports for one in each.messages]
    columns = [
        Column("MONTH", lambda line: str(line[0].period)),
        Column("MADE", lambda line: moment_text(line[0].made_at)),
        Column("BECAUSE", lambda line: _because(line[0]), rank=2),
        Column("TO", lambda line: str(line[1].recipient)),
        Column("STATE", lambda line: _state(line[1]), paint=PAINT),
        Column("BOOKS", lambda line: "closed" if line[0].digest else "open then", rank=1),
        Column("WHY", lambda line: str(line[1].error), fold=True, rank=3),
    ]
    table(columns, lines)


def _because(report: FinanceReportRow) -> str:
    return f"{report.made_by} asked" if report.made_by else "it was due"


def _state(message: Any) -> str:
    return STATES.get(message.state, str(message.state))


def _told(each: Told) -> dict[str, Any]:
    from dunning.clock import rfc3339

    return {
        "name": each.report.name,
        "month": each.report.period,
        "made_at": rfc3339(each.report.made_at),
        "made_by": each.report.made_by or None,
        "statement_digest": each.report.digest or None,
        "messages": [
            {
                "recipient": one.recipient,
                "state": one.state,
                "tries": one.tries,
                "sent_at": rfc3339(one.sent_at),
                "error": one.error,
            }
            for one in each.messages
        ],
    }


# --- now -----------------------------------------------------------------------------------


def _send(month: str | None, by: str, form: PageFormat, data: Path | None) -> None:
    from dunning.errors import ConfigError
    from dunning.staff.finance import asked_month, told
    from dunning.store import reading as look

    if not load(data).settings.finance_emails:
        raise ConfigError("nobody gets it: DUNNING_FINANCE_EMAIL is not set")
    with program(data) as running:
        now = running.clock.fresh()
        books = running.policies.current.books
        wanted = asked_month(books, month, now)
        name = running.staff.finance.send_for(books, wanted, now, by)
        running.staff.send(now, name)
        with look(running.engine) as session:
            [found] = told(session, 1, name)
    if form is PageFormat.JSON:
        json_page(_told(found))
    else:
        for one in found.messages:
            why = f": {one.error}" if one.error else ""
            say(f"{wanted.name} to {one.recipient}: {_state(one)}{why}")
    if any(one.state == "pending" for one in found.messages):
        say("Whoever runs `up` or `dispatch` tries again.", style="dim")
    if any(one.state != "sent" for one in found.messages):
        raise typer.Exit(1)


def _preview(path: Path, month: str | None, data: Path | None) -> None:
    from dunning.staff.finance import asked_month, parcel

    with program(data) as running:
        now = running.clock.fresh()
        books = running.policies.current.books
        wanted = asked_month(books, month, now)
        row = running.staff.finance.made(books, wanted, now)
        settings = running.settings
    if path.suffix == ".html":
        write_file(path, row.html)
    else:
        from email.headerregistry import Address

        from dunning.channels.email.body import written
        from dunning.staff.ways import letter_to

        to = (settings.finance_emails or ("finance@example.com",))[0]
        sender = settings.mail_from or "Billing <billing@example.com>"
        letter = letter_to(to, sender, "preview", parcel(row))
        write_file(path, written(letter, Address(addr_spec=to)).body)
    say(f"{path}: {row.subject}; nothing was sent")
