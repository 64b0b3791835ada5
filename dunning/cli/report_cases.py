"""`report timing`, `hours`, `grace`, `value`: how long it took, when, and what it was worth."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.decline_codes import app
from dunning.cli.report_asking import Given, asking
from dunning.cli.report_options import PERIODS, value_of

if TYPE_CHECKING:
    from dunning.cli.opening import Reading
    from dunning.reports import Report

__all__ = ["app"]

_OF_CASE = "policy, policy_version, decline_code, advice, network, country, plan, source, currency"


class Clock(enum.StrEnum):
    """Whose hours and days."""

    CUSTOMER = "customer"
    BOOKS = "books"


class MadeBy(enum.StrEnum):
    """Whose charges."""

    OURS = "ours"
    PROVIDER = "provider"
    CUSTOMER = "customer"
    UNKNOWN = "unknown"
    ALL = "all"


@app.command("timing")
@asking(f"took (how many days after); {PERIODS}, of the first failure; {_OF_CASE}.")
def timing(given: Given) -> None:
    """How long it took from the first failure to the payment: median, quartiles, 90th percentile.

    With --by took: how many cases and how much money came in within 24 hours, 48 hours and so on,
    and what part of all cases had been paid by then, of those that began long enough ago.

    Example: dunning report timing --by took --since 2026-01-01
    """
    given.answer("timing")


@app.command("hours")
@asking(
    "hour, weekday, monthday; made_by, step, network, policy, policy_version, "
    "country, plan, source, currency; several times.",
    usual="hour",
)
def hours(
    given: Given,
    clock: Annotated[
        Clock,
        typer.Option(
            "--clock",
            help="customer: the hours and days where the customer lives, as `time` and `on` of a "
            "policy mean them; books: those of --timezone.",
        ),
    ] = Clock.CUSTOMER,
    made_by: Annotated[
        MadeBy | None,
        typer.Option("--made-by", help="Whose charges; ours if not said."),
    ] = None,
) -> None:
    """At which hours and on which days charges go through, to set `time` and `on` of a policy.

    A row with fewer than 30 charges says so instead of a rate.

    Example: dunning report hours --by weekday --since 2026-01-01
    """
    whose = None if made_by is None else made_by.value
    given.answer("hours", clock=clock.value, made_by=whose)


@app.command("grace")
@asking(f"outcome; {PERIODS}, of the first failure; {_OF_CASE}.")
def grace(
    given: Given,
    cut_off: Annotated[
        int,
        typer.Option(
            "--cut-off",
            metavar="DAYS",
            help="Without grace the service would have ended so many days after the failure.",
        ),
    ] = 0,
) -> None:
    """What service was given while a payment was failing, and what came in meanwhile.

    Example: dunning report grace --by outcome --since 2026-01-01 --until 2026-03-31
    """
    given.answer("grace", cut_off=cut_off)


@app.command("value")
@asking(f"{PERIODS}, of the payment; mechanism, {_OF_CASE}.")
def value(given: Given) -> None:
    """The lifetime value of recovered subscriptions, by the formula in `value` of the policy file.

    (yearly revenue x expected years [x margin]) - acquisition cost, each once. Subscriptions that
    lack an input are counted apart.

    Example: dunning report value --by mechanism --since 2026-01-01
    """

    def make(view: Reading) -> Report:
        from dunning.reports import value as make_report

        scope = given.asked.scope(view)
        return make_report(view.session, view.now, scope, formula=value_of(view))

    given.give(make)
