"""`cases …`: look at cases, understand them, and act by hand."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.opening import Reading, reading
from dunning.cli.options import (
    CaseArgument,
    DataOption,
    FormatOption,
    PageFormatOption,
    SourceOption,
    usage,
)
from dunning.cli.output import (
    Column,
    Format,
    PageFormat,
    csv_list,
    is_terminal,
    json_list,
    json_page,
    say,
    table,
)
from dunning.cli.words import (
    NOTHING,
    amount_text,
    count_text,
    hint,
    moment_text,
)

if TYPE_CHECKING:
    from sqlalchemy import Select

    from dunning.store import CaseRow

SCREENFUL = 50

app = typer.Typer(
    no_args_is_help=True,
    help="One case for each unpaid invoice: look, understand, act.",
    epilog="""\
Examples:
  dunning cases list --state open --policy standard
  dunning cases show case_hsyq          the beginning of an id is enough
  dunning cases explain in_1Qx8Yz       so is the provider's invoice
  dunning cases hold case_hsyq --until 7d --why "ticket 4711"
  dunning cases promise case_hsyq --until 2026-03-20 --why "pays on Friday"
  dunning cases skip case_hsyq email:2 --why "we have called them"

What is done by hand is kept with its reason and its author.""",
)


class StateFilter(enum.StrEnum):
    """States to ask for; `open` is in_grace or suspended."""

    OPEN = "open"
    IN_GRACE = "in_grace"
    SUSPENDED = "suspended"
    RECOVERED = "recovered"
    LOST = "lost"
    CLOSED = "closed"
    AHEAD = "ahead"
    OVER = "over"


class KindFilter(enum.StrEnum):
    """Kinds to ask for."""

    RECOVERY = "recovery"
    CARD_EXPIRY = "card_expiry"
    RENEWAL = "renewal"


_OPEN = ("in_grace", "suspended")


@app.command("list")
def list_(
    state: Annotated[
        list[StateFilter] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="open, in_grace, suspended, recovered, lost or closed; ahead or over of notices;"
            " several times.",
        ),
    ] = None,
    kind: Annotated[
        KindFilter | None,
        typer.Option("--kind", metavar="KIND", help="Only recovery, card_expiry or renewal."),
    ] = None,
    policy: Annotated[
        str | None, typer.Option("--policy", metavar="NAME", help="Only of this policy.")
    ] = None,
    customer: Annotated[
        str | None, typer.Option("--customer", metavar="ID", help="Only of this customer.")
    ] = None,
    due: Annotated[
        bool, typer.Option("--due", help="Only with a step that is due, the longest due first.")
    ] = False,
    standing: Annotated[
        str | None,
        typer.Option(
            "--standing",
            metavar="WHY",
            help="Only what stands still: exempt, hold, promise, dispute or in_process.",
        ),
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
    """List cases, the newest failure first."""
    states = {
        name
        for each in state or ()
        for name in (_OPEN if each is StateFilter.OPEN else (each.value,))
    }
    if limit is None:
        limit = SCREENFUL if form is Format.TABLE else 0
    with reading(data) as view:
        query = _chosen(view.now, states, policy, customer, source, due=due, kind=kind)
        if standing is not None:
            query = _only_standing(query, standing, view.now)
        if form is Format.TABLE:
            _show(
                view,
                query,
                limit,
                asked=bool(states or kind or policy or customer or source or due or standing),
            )
            return
        records = _records(view, query, limit)
        if form is Format.JSON:
            json_list(records)
        else:
            csv_list(SUMMARY_KEYS, records)


def _only_standing(query: Select[CaseRow], word: str, now: datetime) -> Select[CaseRow]:
    from sqlmodel import col

    from dunning.core.freezing import Stop
    from dunning.store import CaseRow

    if word not in [stop.value for stop in Stop]:
        known = ", ".join(stop.value for stop in Stop)
        raise usage(f"{word!r} is nothing to stand still for; there is {known}", "--standing")
    ends = col(CaseRow.standing_until)
    return query.where(col(CaseRow.standing) == word, ends.is_(None) | (ends > now))


SUMMARY_KEYS = (
    "id source provider invoice customer subscription state access amount_due amount_at_risk "
    "currency decline_code advice policy policy_version holdout_of holdout_group opened_at "
    "next_at next_step closed_at closed_reason standing standing_until kind"
).split()


def _chosen(
    now: datetime,
    states: set[str],
    policy: str | None,
    customer: str | None,
    source: str | None,
    *,
    due: bool,
    kind: KindFilter | None,
) -> Select[CaseRow]:
    from sqlalchemy import select
    from sqlmodel import col

    from dunning.core.status import State
    from dunning.store import CaseRow

    query = select(CaseRow)
    for column, value in (
        (col(CaseRow.policy), policy),
        (col(CaseRow.customer), customer),
        (col(CaseRow.source), source),
        (col(CaseRow.kind), kind and kind.value),
    ):
        if value is not None:
            query = query.where(column == value)
    if states:
        query = query.where(col(CaseRow.state).in_(sorted(states)))
    else:
        # Opened on news that turned out to be late: nothing was owed, so there is no case.
        query = query.where(col(CaseRow.state) != State.NONE.value)
    if due:
        return query.where(col(CaseRow.next_at) <= now).order_by(
            col(CaseRow.next_at), col(CaseRow.id)
        )
    return query.order_by(col(CaseRow.opened_at).desc(), col(CaseRow.id))


def _records(view: Reading, query: Select[CaseRow], limit: int) -> Iterator[dict[str, object]]:
    from dunning.case_rows import summary

    if limit:
        query = query.limit(limit)
    for row in view.session.scalars(query.execution_options(yield_per=500)):
        yield summary(row)
        view.session.expunge(row)


def _show(view: Reading, query: Select[CaseRow], limit: int, *, asked: bool) -> None:
    from sqlalchemy import func, select

    rows = list(view.session.scalars(query.limit(limit) if limit else query))
    if not rows:
        say(_nothing(asked))
        return
    left_out = table(list_columns(view.now), rows)
    whole = len(rows)
    if limit and len(rows) == limit:
        count = select(func.count()).select_from(query.order_by(None).subquery())
        whole = view.session.execute(count).scalar_one()
    hints = []
    if whole > len(rows):
        hints.append(f"{count_text(whole - len(rows), 'more case')}: --limit 0 shows all")
    if left_out:
        hints.append(f"no room for {count_text(left_out, 'column')}: --format csv has all")
    if hints and is_terminal():
        say("; ".join(hints), style="dim")


def _nothing(asked: bool) -> str:
    if asked:
        return "No case is like that. `dunning cases list` shows all there are."
    return (
        "No cases yet: a case begins with the first webhook of a failed payment. "
        "`dunning doctor` checks what is set up; `dunning demo` shows the whole job."
    )


STATE_COLOURS = {
    "in_grace": "yellow",
    "suspended": "red",
    "recovered": "green",
    "lost": "magenta",
    "closed": "dim",
    "ahead": "cyan",
    "over": "dim",
}


def list_columns(now: datetime) -> list[Column]:
    """The columns of the list; the last ones to go say what, how much, and what is next."""

    def amount(row: CaseRow) -> str:
        return NOTHING if row.kind != "recovery" else amount_text(row.amount_due, row.currency)

    def following(row: CaseRow) -> str:
        if row.standing and not (row.standing_until and row.standing_until <= now):
            end = f" {hint(row.standing_until, now)}" if row.standing_until else ""
            return f"({row.standing}{end})"
        if row.next_step and row.next_at:
            return f"{row.next_step} {hint(row.next_at, now)}"
        return f"({row.closed_reason})" if row.closed_reason else NOTHING

    def walked(row: CaseRow) -> str:
        if row.holdout_group != "held_out":
            return str(row.policy)
        of = f" of {row.holdout_of}" if row.holdout_of != row.policy else ""
        return f"{row.policy} (held out{of})"

    return [
        Column("CASE", lambda row: str(row.id)),
        Column("STATE", lambda row: str(row.state), paint=STATE_COLOURS),
        Column("AMOUNT", amount, right=True),
        Column("NEXT", following, rank=1),
        Column("DECLINE", lambda row: row.decline_code or NOTHING, rank=2),
        Column("ADVICE", lambda row: row.advice or NOTHING, rank=4),
        Column("CUSTOMER", lambda row: row.customer or NOTHING, rank=3),
        Column("POLICY", walked, rank=6),
        Column("VERSION", lambda row: str(row.policy_version)[:8], rank=7),
        Column("KIND", lambda row: str(row.kind), rank=6),
        Column("ACCESS", lambda row: str(row.access), rank=7),
        Column("OPENED (UTC)", lambda row: moment_text(row.opened_at), rank=5),
        Column("INVOICE", lambda row: str(row.invoice), rank=8),
        Column("SOURCE", lambda row: str(row.source), rank=9),
    ]


@app.command("show")
def show(
    name: CaseArgument, form: PageFormatOption = PageFormat.TABLE, data: DataOption = None
) -> None:
    """Show one case whole: facts, timeline, attempts, emails, ledger entries, acts."""
    with reading(data) as view:
        from dunning.cli import case_file, case_page

        file = case_file.read(view.session, case_file.find(view.session, name), view.now)
        if form is PageFormat.JSON:
            json_page(case_file.as_json(file))
        else:
            case_page.show(file)


@app.command("explain")
def explain(
    name: CaseArgument, form: PageFormatOption = PageFormat.TABLE, data: DataOption = None
) -> None:
    """Explain why the last step happened or did not, and what comes next."""
    with reading(data) as view:
        from dunning.cli import case_file, explaining

        file = case_file.read(view.session, case_file.find(view.session, name), view.now)
        explanation = explaining.explain(file)
        if form is PageFormat.JSON:
            json_page(explaining.as_json(explanation))
        else:
            explaining.show(explanation)
