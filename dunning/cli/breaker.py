"""`breaker …`: sources whose charges and emails are held, by themselves or by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import program
from dunning.cli.options import (
    ByOption,
    DataOption,
    PageFormatOption,
    WhyOption,
    author,
)
from dunning.cli.output import Column, PageFormat, json_page, say, table
from dunning.cli.words import moment_text

if TYPE_CHECKING:
    from dunning.breaker import Standing
    from dunning.wiring import Program

app = typer.Typer(
    no_args_is_help=True,
    help="Hold a source's charges and emails while something is wrong with all of them.",
    epilog="""\
Examples:
  dunning breaker list
  dunning breaker hold stripe-eu --why "the bank has announced an outage"
  dunning breaker release stripe-eu --why "the key is right again"

A source is also held by itself when far more goes wrong than usual, and released when it is well.
What is held loses no rung; it goes on later, spread over time.""",
)

SourceArgument = Annotated[
    str, typer.Argument(metavar="SOURCE", help="The billing account.", show_default=False)
]
HELD = {"held": "bold red", "goes": "green"}


@app.command("list")
def list_(form: PageFormatOption = PageFormat.TABLE, data: DataOption = None) -> None:
    """Show how each source stands, and since when."""
    with program(data) as running:
        from dunning.breaker import standings
        from dunning.store import reading

        with reading(running.engine) as session:
            found = standings(session, _sources(running), running.clock.fresh())
    if form is PageFormat.JSON:
        json_page({"sources": [_told(standing) for standing in found]})
        return
    table(
        [
            Column("SOURCE", lambda standing: str(standing.source)),
            Column("STATE", lambda standing: "held" if standing.open else "goes on", paint=HELD),
            Column("SINCE", lambda standing: moment_text(standing.since)),
            Column("BY", lambda standing: str(standing.by)),
            Column("WHY", lambda standing: str(standing.why), fold=True),
        ],
        found,
    )


@app.command("hold")
def hold(
    source: SourceArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Hold all charges and emails of a source until it is released by hand."""
    _by_hand("hold", source, why, by, form, data)


@app.command("release")
def release(
    source: SourceArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Let a held source go on, whoever held it."""
    _by_hand("release", source, why, by, form, data)


def _by_hand(
    act: str, source: str, why: str, by: str | None, form: PageFormat, data: Path | None
) -> None:
    with program(data) as running:
        from dunning.acts import Person
        from dunning.errors import NotFoundError

        if source not in (known := _sources(running)):
            names = ", ".join(known) or "none"
            raise NotFoundError(f"no source {source}; there are: {names}")
        person = Person(by=author(by), why=why, now=running.clock.fresh())
        do = running.breaker.hold if act == "hold" else running.breaker.release
        told = do(source, by=person.by.strip(), why=person.why.strip(), now=person.now)
    if form is PageFormat.JSON:
        json_page(_told(told))
    elif told.open:
        say(f"{source}: its charges and emails are held until `dunning breaker release {source}`.")
    else:
        say(f"{source}: goes on; what was held goes out within six hours, spread.")


def _sources(running: Program) -> list[str]:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.store import BreakerRow, CaseRow, reading

    with reading(running.engine) as session:
        kept = {str(name) for name in session.scalars(select(col(CaseRow.source)).distinct())}
        kept |= {str(name) for name in session.scalars(select(col(BreakerRow.source)))}
    return sorted(kept | set(running.sources))


def _told(standing: Standing) -> dict[str, Any]:
    since = standing.since.isoformat().replace("+00:00", "Z") if standing.since else None
    return {**asdict(standing), "since": since}
