"""`cases hold`, `promise`, `retry` and so on: what people do by hand, always with a reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
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
    StepArgument,
    WhyOption,
    author,
    usage,
)
from dunning.cli.output import PageFormat, is_terminal, json_page, say
from dunning.cli.words import moment_and_hint, read_after, read_money

__all__ = ["app"]

if TYPE_CHECKING:
    from dunning.acts import ByHand, Person
    from dunning.core.money import Money


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


@app.command("promise")
def promise(
    name: CaseArgument,
    until: Annotated[
        str,
        typer.Option(
            "--until",
            metavar="WHEN",
            help="2026-03-20 for the whole of that day where the customer is; 7d, or a time.",
        ),
    ],
    why: WhyOption,
    amount: Annotated[
        str | None,
        typer.Option(
            "--amount", metavar="AMOUNT", help="What they will pay, such as 49.00; all if left out."
        ),
    ] = None,
    currency: Annotated[
        str | None,
        typer.Option("--currency", metavar="ABC", help="Three letters; the invoice's if not said."),
    ] = None,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """The customer named a date: nothing is done until then, and it goes on by itself after.

    Suspension and giving up wait as well. `cases show` says whether the promise was kept;
    `cases resume` withdraws it.

    dunning cases promise case_hsyq --until 2026-03-20 --amount 49.00 --why "ticket 4711"
    """

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        end = _day_or_moment(until, person.now)
        return hand.promise(case, person, until=end, amount=money(hand, case))

    def money(hand: ByHand, case: str) -> Money | None:
        if amount is None:
            if currency is not None:
                raise usage("--currency says of which --amount; there is none", "--currency")
            return None
        return read_money(amount, currency or hand.currency_of(case))

    _by_hand(name, why, by, form, data, act, "stands still for the promise")


def _day_or_moment(text: str, now: datetime) -> date | datetime:
    """A day is the whole of it; whose day, only the case knows."""
    try:
        return date.fromisoformat(text.strip())
    except ValueError:
        return read_after(text, now, "--until")


@app.command("skip")
def skip(
    name: CaseArgument,
    step: StepArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Leave a planned step out: one email, one retry, the suspension.

    `cases show` names the steps; `suspend` alone will do where there is one.

    dunning cases skip case_hsyq email:2 --why "we have called them"
    """

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.skip(case, step, person)

    _by_hand(name, why, by, form, data, act, f"{step} will not be done")


@app.command("advance")
def advance(
    name: CaseArgument,
    step: StepArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Do a step of the timeline now instead of later; an email waits for its hours.

    Refused before the grace has ended (suspension), ahead of a door that has not opened, and while
    the bank asks to wait.

    dunning cases advance case_hsyq email:3 --why "they asked for it in writing"
    """

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.advance(case, step, person)

    _by_hand(name, why, by, form, data, act, f"{step} is due now")


@app.command("resume")
def resume(
    name: CaseArgument,
    why: WhyOption,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Let a held case go on, or withdraw a promise; nothing is made up for in a burst."""

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        return hand.resume(case, person)

    _by_hand(name, why, by, form, data, act, "goes on")


@app.command("retry")
def retry(
    name: CaseArgument,
    why: WhyOption,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Also against the provider's advice, a wait the network asks for, and our own "
            "ceiling of tries; never against a network's rule.",
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="With --force: go past what it warns of, unasked.")
    ] = False,
    by: ByOption = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Charge once more now, beside the timeline; refused where the card must not be charged.

    Nothing charges what is paid, void, disputed or in process, or whose card a network forbids.
    """

    def act(hand: ByHand, case: str, person: Person) -> dict[str, object]:
        if force:
            _warned(hand.overridden(case, person.now), asked=not yes)
        return hand.retry(case, person, forced=force)

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


@app.command("revoke-links")
def revoke_links(
    name: CaseArgument,
    why: WhyOption,
    by: ByOption = None,
    data: DataOption = None,
) -> None:
    """Take back every link of a case that was sent until now; the next email has a new one.

    `customers revoke-links` does so for all cases of a customer.

    dunning cases revoke-links case_hsyq --why "the email was forwarded"
    """
    with program(data) as running:
        from dunning.acts import Person
        from dunning.cli.case_file import find
        from dunning.revoking import Revoking
        from dunning.store import transaction

        with transaction(running.engine) as session:
            case = find(session, name).id
        person = Person(by=author(by), why=why, now=running.clock.fresh())
        Revoking(running.engine).of_case(case, person)
    say(f"{case}: links that were sent until now lead nowhere any more.")


def _warned(against: list[str], *, asked: bool) -> None:
    """Say what is gone past, and let nobody do it without having read it."""
    for sentence in against:
        typer.echo(f"warning: --force goes past this: {sentence}", err=True)
    if not against or not asked:
        return
    if not (is_terminal("stdin") and is_terminal("stderr")):
        raise usage("a charge against such advice needs --yes beside --force", "--force")
    typer.confirm("Charge all the same?", abort=True, err=True)


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
