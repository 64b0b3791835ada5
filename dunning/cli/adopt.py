"""`adopt`: take the open debts of a running estate over, without a burst of charges or emails."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import program
from dunning.cli.options import DataOption, FormatOption, SourceOption
from dunning.cli.output import (
    Column,
    Format,
    console,
    csv_list,
    heading,
    is_terminal,
    item,
    json_page,
    say,
    table,
)
from dunning.cli.reconcile import accounts_of
from dunning.cli.words import (
    NOTHING,
    amount_text,
    count_text,
    moment_text,
    read_before,
    read_span,
)

if TYPE_CHECKING:
    from dunning.adopt import Line
    from dunning.wiring import Program

KEYS = (
    *("source", "outcome", "invoice", "case", "customer", "amount", "currency", "failed_at"),
    *("attempts", "policy", "day", "last_day", "next_step", "next_at", "suspends_at"),
    *("gives_up_at", "skipped", "why", "warnings"),
)
LONGEST_SPREAD = timedelta(days=30)
_DONE = {"adopted": "taken over", "known": "has a case", "left_out": "left out"}
_PLANNED = _DONE | {"adopted": "take over"}


@dataclass(slots=True)
class _Summary:
    """What all the lines come to, and the lines themselves where they are shown at the end."""

    lines: list[Line] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    amounts: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    warnings: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    first: datetime | None = None
    charges: int = 0

    def add(self, line: Line, *, keep: bool) -> None:
        """Count a line in."""
        self.outcomes[line.outcome] += 1
        if line.outcome == "adopted":
            self.amounts[line.currency] += line.amount
            self.warnings.update(line.warnings)
            self.charges += line.charges
            if line.next_at is not None:
                self.first = min(self.first or line.next_at, line.next_at)
        if line.outcome == "left_out":
            self.left_out[line.why] += 1
        # Those that have a case already would bury the others when a run is repeated.
        if keep and line.outcome != "known":
            self.lines.append(line)


def adopt(
    source: SourceOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the plan, one line per invoice; write nothing.")
    ] = False,
    since: Annotated[
        str | None,
        typer.Option(
            "--since", metavar="WHEN", help="Leave out what failed before: 60d, or a date."
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Take over at most so many.")
    ] = None,
    spread: Annotated[
        str, typer.Option("--spread", metavar="SPAN", help="Spread the first steps over so long.")
    ] = "1d",
    lift_pauses: Annotated[
        bool,
        typer.Option(
            "--lift-pauses",
            help="Where collection is paused already, it was for this debt: collect again once "
            "that is paid.",
        ),
    ] = False,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """Take over open invoices that failed before dunning was there.

    Each becomes a case at its place on the timeline. What lay before is left undone: no charge
    and no email of the past is made up for. No door opens sooner than 7 days from now, and the
    first steps are spread. Run it again at any time: what has a case is passed over.

    Example: dunning adopt --dry-run
    """
    with program(data) as running:
        summary = _Summary()
        lines = _lines(running, source, dry_run, since, limit, spread, lift_pauses)
        if form is Format.CSV:
            csv_list(KEYS, (_csv(line) for line in _counted(lines, summary, keep=False)))
            return
        for _ in _counted(lines, summary, keep=True):
            pass
    if form is Format.JSON:
        json_page({"dry_run": dry_run, "invoices": [_record(x) for x in summary.lines],
                   "totals": _totals(summary)})  # fmt: skip
        return
    _show(summary, dry_run=dry_run)


def _lines(
    running: Program,
    source: str | None,
    dry_run: bool,
    since: str | None,
    limit: int | None,
    spread: str,
    lift_pauses: bool,
) -> Iterator[Line]:
    """Every line, as it comes, with the progress for a person who waits."""
    from dunning.adopt import Adoption, Terms

    now = running.clock.fresh()
    span = read_span(spread)
    if span is None or span > LONGEST_SPREAD:
        message = f"{spread!r} is no span; expected one of at most 30 days, such as 12h or 3d"
        raise typer.BadParameter(message, param_hint="--spread")
    start = None if since is None else read_before(since, now, "--since")
    if start is not None and start > now:
        message = f"{since} lies in the future"
        raise typer.BadParameter(message, param_hint="--since")
    terms = Terms(spread=span, lift_pauses=lift_pauses, since=start, dry=dry_run)
    left = limit
    for account in accounts_of(running, source):
        if left == 0:
            return
        adoption = Adoption(
            running.engine,
            running.cases,
            account.source,
            account.provider,
            terms,
            running.clock.fresh,
        )
        with _progress(account.source) as progress:
            for line in adoption.all(limit=left):
                if left is not None and line.outcome == "adopted":
                    left -= 1
                progress()
                yield line


def _counted(lines: Iterator[Line], summary: _Summary, *, keep: bool) -> Iterator[Line]:
    for line in lines:
        summary.add(line, keep=keep)
        yield line


@contextmanager
def _progress(source: str) -> Iterator[Callable[[], None]]:
    if not is_terminal("stderr"):
        yield lambda: None
        return
    count = 0
    with console("stderr").status(f"{source}: asking") as status:

        def progress() -> None:
            nonlocal count
            count += 1
            status.update(f"{source}: {count_text(count, 'open invoice')}")

        yield progress


# --- for programs --------------------------------------------------------------------------


def _record(line: Line) -> dict[str, Any]:
    from dunning.clock import rfc3339

    told: dict[str, Any] = {name: getattr(line, name) for name in KEYS}
    for name in ("failed_at", "next_at", "suspends_at", "gives_up_at"):
        told[name] = rfc3339(told[name])
    told["skipped"] = [{"step": step, "why": why} for step, why in line.skipped]
    told["warnings"] = list(line.warnings)
    return told


def _csv(line: Line) -> dict[str, Any]:
    told = _record(line)
    told["skipped"] = " ".join(step for step, _ in line.skipped)
    told["warnings"] = "; ".join(line.warnings)
    return told


def _totals(summary: _Summary) -> dict[str, Any]:
    from dunning.clock import rfc3339

    return {
        **{name: summary.outcomes[name] for name in _DONE},
        "amounts": dict(sorted(summary.amounts.items())),
        "charges_first": summary.charges,
        "first_step_at": rfc3339(summary.first),
        "warnings": dict(summary.warnings.most_common()),
        "left_out_why": dict(summary.left_out.most_common()),
    }


# --- for people ----------------------------------------------------------------------------


def _show(summary: _Summary, *, dry_run: bool) -> None:
    words = _PLANNED if dry_run else _DONE
    if summary.lines:
        table(_columns(words), summary.lines)
        say()
    sums = " and ".join(amount_text(x, cur) for cur, x in sorted(summary.amounts.items()))
    taken = count_text(summary.outcomes["adopted"], "invoice")
    would = "would be taken over" if dry_run else "taken over"
    known, left = summary.outcomes["known"], summary.outcomes["left_out"]
    say(
        f"{taken} {would}{f' ({sums})' if sums else ''}, {known:,} with a case already, "
        f"{left:,} left out."
    )
    if summary.first is not None:
        charges = count_text(summary.charges, "case begins", "cases begin")
        say(f"The first step is on {moment_text(summary.first)} UTC; {charges} with a charge.")
    if summary.warnings:
        heading("Look at")
        for text, count in summary.warnings.most_common():
            item(f"{count:,} × {text}" if count > 1 else text)
    if dry_run:
        say()
        say("Nothing was written. Without --dry-run it is done.")


def _columns(words: dict[str, str]) -> list[Column]:
    return [
        Column("INVOICE", lambda line: line.invoice),
        Column("CUSTOMER", lambda line: line.customer or NOTHING, rank=4),
        Column("AMOUNT", lambda line: amount_text(line.amount, line.currency), right=True),
        Column("FAILED", lambda line: moment_text(line.failed_at)[:10], rank=1),
        Column("WHAT", lambda line: words[line.outcome]),
        Column("DAY", _place, right=True, rank=2),
        Column("NEXT", lambda line: line.next_step or NOTHING),
        Column("ON (UTC)", lambda line: moment_text(line.next_at)),
        Column("LEFT UNDONE", lambda line: _undone(line) or NOTHING, rank=5, fold=True),
        Column("NOTE", lambda line: line.why or "; ".join(line.warnings), rank=3, fold=True),
    ]


def _place(line: Line) -> str:
    if line.day is None or line.last_day is None:
        return NOTHING
    return f"{line.day:.0f} of {line.last_day:.0f}"


def _undone(line: Line) -> str:
    whys: dict[str, list[str]] = {}
    for step, why in line.skipped:
        whys.setdefault(why.partition(":")[0], []).append(step)
    return "; ".join(f"{', '.join(steps)} ({why})" for why, steps in whys.items())
