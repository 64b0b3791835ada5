"""`ledger …`: prove the books, and give them to finance."""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from dunning.cli.opening import opened, reading
from dunning.cli.options import DataOption, PageFormatOption
from dunning.cli.output import (
    Column,
    PageFormat,
    console,
    csv_list,
    is_terminal,
    json_list,
    json_page,
    say,
    table,
)
from dunning.cli.words import amount_text, count_text
from dunning.errors import ConfigError

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from dunning.proving import Proved

FAULTS_SHOWN = 50

app = typer.Typer(
    no_args_is_help=True,
    help="Every movement of money at risk: prove it, export it.",
    epilog="""\
Examples:
  dunning ledger verify
  dunning ledger close 2026-10
  dunning ledger export --format csv --output entries.csv

Entries are appended, never changed; a correction is a counter-entry. What is heard of a closed
month is booked to the next.""",
)


class ExportFormat(enum.StrEnum):
    """How the entries are written."""

    CSV = "csv"
    JSON = "json"


@app.command("verify")
def verify(
    full: Annotated[
        bool, typer.Option("--full", help="All of it, whatever was proved before.")
    ] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Prove entries and sums again from the facts; exit 1 and the cases if something fails.

    Opening at risk + newly failed = recovered + lost + withdrawn + closing at risk, per currency
    and month, to the minor unit. It goes on from the last proof that held; what was changed behind
    the program's back before that is found by --full.
    """
    with opened(data) as at:
        from dunning.proving import prove

        with _progress(at.engine) as advance:
            proved = prove(at.engine, at.now(), full=full, progress=advance)
    if form is PageFormat.JSON:
        json_page(proved.summary())
    else:
        _show(proved)
    if not proved.proof.holds:
        raise typer.Exit(1)


def _show(proved: Proved) -> None:
    proof = proved.proof
    checked = f"{count_text(proof.rows, 'entry', 'entries')} of {count_text(proof.cases, 'case')}"
    if proved.since is not None:
        checked = f"since {proved.since:%Y-%m-%d %H:%M} UTC {checked}"
    if proof.holds:
        say(f"The ledger holds: {checked}, every identity proved.", style="green")
    else:
        number = len(proof.faults) + proof.more_faults
        say(f"The ledger does not hold: {count_text(number, 'fault')} in {checked}.", style="red")
        shown = proof.faults[:FAULTS_SHOWN]
        columns = [
            Column("CASE", lambda fault: str(fault[0])),
            Column("FAULT", lambda fault: str(fault[1]), fold=True),
        ]
        table(columns, shown)
        if number > len(shown):
            say(f"… and {number - len(shown):,} more; --format json lists them", style="dim")
    if proof.currencies:
        say()
        names = list(next(iter(proof.currencies.values())))
        table(
            [Column(name.replace("_", " ").upper(), _Sum(name), right=True) for name in names],
            list(proof.currencies.items()),
        )
    if proof.recurring:
        say()
        say("Recurring revenue a month, each subscription once:")
        names = [name for name in next(iter(proof.recurring.values())) if name != "running"]
        table(
            [Column(name.replace("_", " ").upper(), _Sum(name), right=True) for name in names],
            list(proof.recurring.items()),
        )


class _Sum:
    """The cell of one account: an amount in the line's currency."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, line: tuple[str, dict[str, int]]) -> str:
        currency, sums = line
        return amount_text(sums.get(self._name, 0), currency)


@contextmanager
def _progress(engine: Engine) -> Iterator[Callable[[int], None] | None]:
    """How far it is, for a person who waits; nothing in a pipe."""
    if not is_terminal("stderr"):
        yield None
        return
    from rich.progress import Progress
    from sqlalchemy import func, select

    from dunning.reports.snapshot import snapshot
    from dunning.store import CaseRow

    with snapshot(engine) as session:
        total = session.execute(select(func.count()).select_from(CaseRow)).scalar_one()
    with Progress(console=console("stderr"), transient=True) as progress:
        task = progress.add_task("proving", total=total)
        yield lambda done: progress.update(task, completed=done)


@app.command("export")
def export(
    form: Annotated[
        ExportFormat, typer.Option("--format", help="csv for spreadsheets, json for programs.")
    ] = ExportFormat.CSV,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Write it there instead of to the screen."),
    ] = None,
    recurring: Annotated[
        bool, typer.Option("--recurring", help="The entries of recurring revenue instead.")
    ] = False,
    data: DataOption = None,
) -> None:
    """Write every entry of the ledger, oldest first; amounts are minor units."""
    with reading(data) as view, _opened(output) as out:
        from dunning import ledger

        entries = ledger.export(view.session, recurring=recurring)
        names = ledger.EXPORTED_RECURRING if recurring else ledger.EXPORTED
        if form is ExportFormat.JSON:
            json_list(entries, out)
        else:
            csv_list(names, entries, out)


@contextmanager
def _opened(output: Path | None) -> Iterator[TextIO]:
    """The file to write to, or the screen."""
    if output is None:
        yield sys.stdout
        return
    try:
        file = output.open("w", encoding="utf-8", newline="")
    except OSError as error:
        message = f"cannot write {output}: {error.strerror or type(error).__name__}"
        raise ConfigError(message) from None
    with file:
        yield file
