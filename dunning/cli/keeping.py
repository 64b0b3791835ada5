"""`prune` and `move`: for a database that has run for long, or has become too small."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.opening import engine_of, explained, load, moment
from dunning.cli.options import DataOption, PageFormatOption, usage
from dunning.cli.output import PageFormat, console, is_terminal, json_page, say
from dunning.cli.words import count_text

if TYPE_CHECKING:
    from dunning.prune import Pruned

_DAYS = re.compile(r"([1-9][0-9]{0,3})d?")


def prune(
    bodies: Annotated[
        str | None,
        typer.Option("--bodies-after", metavar="DAYS", help="Handled webhooks; 30d."),
    ] = None,
    seen: Annotated[
        str | None,
        typer.Option("--seen-after", metavar="DAYS", help="Ids of events, at least 35d; 42d."),
    ] = None,
    calls: Annotated[
        str | None,
        typer.Option("--calls-after", metavar="DAYS", help="Delivered calls of ended cases; 90d."),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be removed.")
    ] = False,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Remove what nobody needs any more; never the ledger, never an attempt.

    `up` and `dispatch` do it once a day by themselves. Webhooks that are new or parked stay, and
    those that wait for a case stay for 35 days. May be stopped at any moment, and beside anything.

    Example: dunning prune --bodies-after 30d --dry-run
    """
    settings = load(data).settings
    given = (("--bodies-after", bodies), ("--seen-after", seen), ("--calls-after", calls))
    days = {option: _days(option, text) for option, text in given}
    now = moment(settings)
    with engine_of(settings) as engine:
        from dunning.errors import ConfigError
        from dunning.prune import SEEN_AT_LEAST, Limits
        from dunning.prune import prune as remove
        from dunning.store import misfit

        limits = Limits.of_days(
            bodies=days["--bodies-after"] or settings.keep_bodies_days,
            seen=days["--seen-after"] or settings.keep_seen_days,
            calls=days["--calls-after"] or settings.keep_calls_days,
        )
        if limits.seen < max(SEEN_AT_LEAST, limits.bodies):
            least = max(SEEN_AT_LEAST, limits.bodies) // timedelta(days=1)
            raise usage(f"an event must be known for at least {least}d", "--seen-after")
        if why := misfit(engine):
            raise ConfigError(f"the database {settings.database_url} {why}")
        with _progress() as advance:
            done = remove(engine, now, limits, dry_run=dry_run, progress=advance)
    if form is PageFormat.JSON:
        json_page(done.summary())
    else:
        _show(done, dry_run=dry_run)


def _days(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    found = _DAYS.fullmatch(text)
    if found is None:
        raise usage(f"{text!r} is not a number of days, such as 30d", option)
    return int(found[1])


def _show(done: Pruned, *, dry_run: bool) -> None:
    verb = "would be removed" if dry_run else "removed"
    say(f"{count_text(done.inbox, 'webhook')} {verb}, {done.waited:,} of them for no case of ours")
    say(f"{count_text(done.seen, 'id')} of events {verb}")
    say(f"{count_text(done.outbox, 'delivered call')} {verb}")
    bounces = count_text(done.returns, "bounce")
    say(f"{count_text(done.mail_days, 'day')} of emails {verb}, {bounces} of emails not ours")
    if done.left:
        say(f"left for another day, as they are needed: {', '.join(done.left)}", style="dim")


@contextmanager
def _progress() -> Iterator[Callable[[Pruned], None]]:
    """How far it is, for a person who waits; nothing in a pipe."""
    if not is_terminal("stderr"):
        yield lambda _done: None
        return
    from rich.progress import Progress, SpinnerColumn, TextColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console("stderr"), transient=True) as progress:
        line = progress.add_task("looking")

        def advance(done: Pruned) -> None:
            told = f"{done.inbox:,} webhooks, {done.seen:,} ids, {done.outbox:,} calls"
            progress.update(line, description=told)

        yield advance


def move(
    to: Annotated[
        str, typer.Option("--to", metavar="URL", help="postgresql://… of an empty database.")
    ],
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Move everything from the embedded database to PostgreSQL.

    Stop `dunning up` first. Everything is copied in one transaction under the same ids and proved
    before it is committed; stopped half-way, nothing has happened. The file stays as it is.

    Example: dunning move --to postgresql://dunning:PASSWORD@db:5432/dunning
    """
    loaded = load(data)
    with explained(loaded.settings):
        from dunning.config import readers
        from dunning.moving import move as copy

        try:
            target = readers.database_url(to)
        except readers.Wrong as wrong:
            raise usage(str(wrong), "--to") from None
        with _copying() as advance:
            moved = copy(loaded.settings.database_url.reveal(), target.reveal(), advance)
    if form is PageFormat.JSON:
        json_page({"rows": moved.rows, "ledger": moved.ledger})
        return
    rows = sum(moved.rows.values())
    say(f"Moved {count_text(rows, 'row')}; the ledger holds and is the same.", style="green")
    say(f"Now set DUNNING_DATABASE_URL={target} (with its password) for every process,")
    say("and start `dunning up` again, or web, worker and dispatch with DUNNING_BROKER_URL.")


@contextmanager
def _copying() -> Iterator[Callable[[str, int, int], None]]:
    if not is_terminal("stderr"):
        yield lambda _table, _done, _whole: None
        return
    from rich.progress import Progress, TaskID

    with Progress(console=console("stderr"), transient=True) as progress:
        lines: dict[str, TaskID] = {}

        def advance(name: str, done: int, whole: int) -> None:
            line = lines.get(name)
            if line is None:
                line = lines[name] = progress.add_task(name, total=whole)
            progress.update(line, completed=done)

        yield advance
