"""`ledger close`, `statements`, `statement`: closed periods and what they say."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.ledger import app
from dunning.cli.opening import opened, program, reading
from dunning.cli.options import ByOption, DataOption, PageFormatOption, author, usage
from dunning.cli.output import Column, PageFormat, json_page, pairs, say, table
from dunning.cli.words import amount_text, count_text

__all__ = ["app"]

if TYPE_CHECKING:
    from dunning.rebuilding import Rebuilt
    from dunning.statements import Statement

PeriodArgument = Annotated[
    str, typer.Argument(metavar="MONTH", help="Such as 2026-10.", show_default=False)
]


@app.command("close")
def close(
    period: PeriodArgument,
    even_so: Annotated[
        str | None,
        typer.Option(
            "--even-so",
            metavar="WHY",
            help="Close it although something is not settled; the reason is kept.",
        ),
    ] = None,
    zone: Annotated[
        str | None,
        typer.Option(
            "--zone",
            metavar="NAME",
            help="Whose calendar its days are of, such as Europe/Berlin; UTC. All months alike.",
        ),
    ] = None,
    with_earlier: Annotated[
        bool, typer.Option("--with-earlier", help="The months before it that are open, too.")
    ] = False,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Close a month of the books for good, and seal its statement with a digest.

    Refused while the month is not over, while something of it is not settled, and when the ledger
    cannot be proved. What is heard of the month later is booked to the next one that is open, with
    a reference to the statement. Keep the digest: it vouches for every month up to this one.
    """
    with opened(data) as at:
        from dataclasses import replace

        from dunning import closing
        from dunning.errors import RefusedError
        from dunning.proving import prove
        from dunning.reports.snapshot import snapshot

        now = at.now()
        wish = closing.Wish(period=period, by=author(by), why=even_so or "", zone=zone)
        if not prove(at.engine, now).proof.holds:
            raise RefusedError("the ledger does not hold; `dunning ledger verify` says where")
        periods = [period]
        if with_earlier:
            with snapshot(at.engine) as session:
                periods = closing.to_close(session, wish) or periods
        told = [closing.close(at.engine, replace(wish, period=name), now) for name in periods]
    if form is PageFormat.JSON:
        json_page([{**one.content, "digest": one.digest} for one in told])
        return
    for one in told:
        entries = count_text(one.content["entries"], "entry", "entries")
        say(f"{one.period} is closed: {entries}, digest {one.digest}", style="green")


@app.command("statements")
def statements(form: PageFormatOption = PageFormat.TABLE, data: DataOption = None) -> None:
    """List the closed months with their digests."""
    with reading(data) as view:
        from dunning import statements as books

        told = books.listed(view.session)
    if form is PageFormat.JSON:
        json_page([{**one.content, "digest": one.digest} for one in told])
        return
    if not told:
        say("No month is closed yet; `dunning ledger close 2026-10` closes one.", style="dim")
        return
    columns = [
        Column("MONTH", lambda one: str(one.period)),
        Column("ENTRIES", lambda one: f"{one.content['entries']:,}", right=True),
        Column("CLOSED", lambda one: str(one.content["closed_at"])[:10]),
        Column("BY", lambda one: str(one.content["closed_by"])),
        Column("DIGEST", lambda one: str(one.digest)),
    ]
    table(columns, told)


@app.command("statement")
def statement(
    period: PeriodArgument,
    lines: Annotated[
        bool,
        typer.Option("--lines", help="Its entries in the form whose SHA-256 is entries_digest."),
    ] = False,
    recurring: Annotated[
        bool, typer.Option("--recurring", help="With --lines: those of recurring revenue.")
    ] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Show what the books of a closed month say."""
    with reading(data) as view:
        from dunning import statements as books

        closing, told = books.named(view.session, period)
        if lines:
            form_of = books.form_of(told.content)
            for row in books.entries_of(view.session, closing, form_of, recurring=recurring):
                sys.stdout.buffer.write(books.line_of(row))
            return
    if form is PageFormat.JSON:
        json_page({**told.content, "digest": told.digest})
    else:
        _show(told)


def _show(told: Statement) -> None:
    content = told.content
    facts = [
        ("month", f"{told.period}, {content['zone']}"),
        ("closed", f"{content['closed_at']} by {content['closed_by']}"),
        ("entries", f"{content['entries']:,}"),
        ("entries digest", str(content["entries_digest"])),
        ("digest", told.digest),
        ("the one before", str(content["previous"] or "none")),
    ]
    if content["even_so"]:
        ends = ", ".join(f"{count} {name}" for name, count in content["loose_ends"].items())
        facts.append(("closed even so", f"{content['even_so']} ({ends})"))
    pairs(facts)
    for currency, sums in content["currencies"].items():
        say()
        _table_of(currency, sums)


def _table_of(currency: str, sums: Mapping[str, Any]) -> None:
    names = [name for name in sums["closing"] if sums["opening"][name] or sums["closing"][name]]
    lines = [
        (name.replace("_", " "), sums["opening"][name], sums["closing"][name]) for name in names
    ]
    columns = [
        Column(currency.upper(), lambda line: str(line[0])),
        Column("OPENING", lambda line: amount_text(line[1], currency), right=True),
        Column("CLOSING", lambda line: amount_text(line[2], currency), right=True),
    ]
    table(columns, lines)
    moved = [
        Column("FROM", lambda one: str(one["debit"])),
        Column("TO", lambda one: str(one["credit"])),
        Column("CAUSE", lambda one: " ".join(filter(None, (one["cause"], one.get("how"))))),
        Column("FOR", lambda one: str(one.get("period", ""))),
        Column("AMOUNT", lambda one: amount_text(one["amount"], currency), right=True),
    ]
    say()
    table(moved, sums["transfers"])
    if sums["of_closed_periods"]:
        say("Of these for months that were closed:", style="dim")
        table(moved, sums["of_closed_periods"])


REBUILD_SHOWN = 50


@app.command("rebuild")
def rebuild(
    check: Annotated[
        bool, typer.Option("--check", help="Compare only; there is no other way yet.")
    ] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Replay the kept webhooks into a fresh database and compare; exit 1 where ledgers differ.

    Nothing is asked of the provider and nothing of the books is changed. What could not be
    compared, because its webhooks were let go of or never came, is counted and named.
    """
    if not check:
        raise usage("the books are never overwritten; compare with --check", "--check")
    with program(data) as made:
        from dunning.readers import SourceReader
        from dunning.rebuilding import rebuild as replay

        sources = {name: SourceReader(live.reader, None) for name, live in made.sources.items()}
        told = replay(made.engine, sources, made.policies.choose)
    if form is PageFormat.JSON:
        json_page(told.summary())
    else:
        _show_rebuilt(told)
    if not told.same:
        raise typer.Exit(1)


def _show_rebuilt(told: Rebuilt) -> None:
    entries = count_text(told.entries, "entry", "entries")
    checked = (
        f"{count_text(told.webhooks, 'webhook')}, {entries} of {count_text(told.cases, 'case')}"
    )
    if told.same:
        say(f"The webhooks make the same ledger: {checked}.", style="green")
    else:
        number = len(told.differences) + told.more_differences
        say(f"The ledgers differ: {count_text(number, 'difference')} in {checked}.", style="red")
        columns = [
            Column("CASE", lambda one: str(one[0])),
            Column("DIFFERENCE", lambda one: str(one[1]), fold=True),
        ]
        table(columns, told.differences[:REBUILD_SHOWN])
        say("What is only in the books may have been learnt by asking the provider.", style="dim")
    for why, count in sorted(told.left_out.items()):
        say(f"Left out: {count:,} {why}.", style="dim")
