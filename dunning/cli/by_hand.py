"""`cases hold`, `resume`, `retry` and `close`: what people do by hand, always with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.cases import app
from dunning.cli.opening import program
from dunning.cli.options import (
    ByOption,
    CaseArgument,
    DataOption,
    PageFormatOption,
    WhyOption,
    author,
)
from dunning.cli.output import PageFormat, json_page, say
from dunning.cli.words import moment_and_hint, read_after

__all__ = ["app"]

if TYPE_CHECKING:
    from dunning.acts import ByHand, Person


@app.command("hold")
def hold(
    name: CaseArgument,
    why: WhyOption,
    until: Annotated[
        str | None,
        typer.Option(
            "--until",
            metavar="WHEN",
            help="7d, 2026-03-20, or a time in UTC; until it is resumed if left out.",
        ),
    ] = None,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Stop a case until a date: no charge, no email, no suspension."""

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        end = read_after(until, person.now, "--until") if until else None
        return hand.hold(case, person, until=end)

    _by_hand(name, why, by, form, data, act, "on hold")


@app.command("resume")
def resume(
    name: CaseArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Let a held case go on; what fell due meanwhile is not made up for in a burst."""

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.resume(case, person)

    _by_hand(name, why, by, form, data, act, "goes on")


@app.command("retry")
def retry(
    name: CaseArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Charge once more now, beside the timeline; refused where the card must not be charged."""

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.retry(case, person)

    _by_hand(name, why, by, form, data, act, "will be charged as soon as a worker takes it")


@app.command("close")
def close(
    name: CaseArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """End a case for good: the debt is no longer pursued and access comes back.

    The invoice at the provider stays as it is. This cannot be undone.
    """

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.close(case, person)

    _by_hand(name, why, by, form, data, act, "closed")


def _by_hand(
    name: str,
    why: str,
    by: str | None,
    form: PageFormat,
    data: Path | None,
    act: Callable[[ByHand, str, Person], dict[str, object]],
    done: str,
) -> None:
    with program(data) as running:
        from dunning.acts import ByHand, Person
        from dunning.cli.case_file import find
        from dunning.store import transaction

        with transaction(running.engine) as session:
            case = find(session, name).id
        now = running.clock.fresh()
        told = act(
            ByHand(running.engine, running.cases),
            case,
            Person(by=author(by), why=why, now=now),
        )
        acts = str(told["source"]) in running.providers
    if form is PageFormat.JSON:
        json_page(told)
        return
    say(f"{told['id']}: {done}. It is {told['state']}, {_next(told, now)}.")
    if not acts and told["next_step"]:
        say(
            f"There is no API key for {told['source']} here; a worker that has one must do it.",
            style="yellow",
        )


def _next(told: dict[str, object], now: datetime) -> str:
    at = told["next_at"]
    if not told["next_step"] or at is None:
        return "with nothing to do until something happens"
    when = datetime.fromisoformat(str(at))
    return f"next {told['next_step']} at {moment_and_hint(when, now)}"
