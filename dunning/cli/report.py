"""`report …`: what is at risk, recovered and lost, at what rates, and what our doing brought."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.opening import reading
from dunning.cli.output import heading
from dunning.cli.report_asking import OF_MOVEMENTS, Given, asking
from dunning.cli.report_forms import must_fit, put, show
from dunning.cli.report_options import OF_CASE, OF_PAYMENT, PERIODS, ReportFormat
from dunning.cli.words import read_moment
from dunning.errors import RefusedError

if TYPE_CHECKING:
    from dunning.cli.opening import Reading
    from dunning.reports import Report

app = typer.Typer(
    no_args_is_help=True,
    help="Revenue at risk, recovered and lost, from the ledger; rates and churn.",
    epilog="""\
Examples:
  dunning report at-risk --by age --by policy
  dunning report recovered --by month --by mechanism --since 2026-01-01
  dunning report recovered --by last_email --by last_click
  dunning report recovered --date books --by month    as the closed statements have it
  dunning report lost --by cause --format xlsx --output lost.xlsx
  dunning report recurring --by month
  dunning report rates --definition all
  dunning report churn --by month --by kind
  dunning report uplift --by month
  dunning report timing --by took      how long it took; also hours, grace, value
  dunning report overview --format html --output overview.html
  dunning report declines              what codes mean, and which are not known
  dunning report reconcile --from 2026-10-01 --to 2026-10-31
  dunning report schedule              the report of each month, by mail to finance

JSON has amounts in minor units (cents) beside the currency; currencies are added only
where you ask for one of them: --in EUR --rates FILE.""",
)


@app.command("at-risk")
@asking(
    f"age, state, standing, {OF_CASE}; several times.",
    usual="currency",
    without=("since", "until", "zone", "date"),
)
def at_risk(
    given: Given,
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="Count ages from here instead of from now."),
    ] = None,
) -> None:
    """What is open now: unpaid, pursued, and not yet lost."""

    def make(view: Reading) -> Report:
        from dunning.reports import at_risk as make_report

        moment = read_moment(as_of, "--as-of") if as_of else view.now
        return make_report(view.session, moment, given.asked.scope(view), into=given.exchange)

    given.give(make)


@app.command("recovered")
@asking(f"{PERIODS}; {OF_PAYMENT}; {OF_CASE}; several times.", without=())
def recovered(given: Given) -> None:
    """Revenue that came back, net of refunds and disputes, and what brought it in."""
    given.answer("recovered")


@app.command("lost")
@asking(f"{PERIODS}; kind, cause, {OF_CASE}; several times.", without=())
def lost(given: Given) -> None:
    """What was written off or withdrawn, and what came in late after all."""
    given.answer("lost")


@app.command("recurring")
@asking(f"{PERIODS}; mechanism, {OF_CASE}.")
def recurring(given: Given) -> None:
    """What subscriptions bring in a month: at risk, saved and lost, each counted once.

    Example: dunning report recurring --by month --since 2026-01-01
    """
    given.answer("recurring")


@app.command("rates")
@asking(f"{PERIODS}, of the first failure; {OF_PAYMENT}; {OF_CASE}.")
def rates(
    given: Given,
    definition: Annotated[
        list[str] | None,
        typer.Option(
            "--definition",
            metavar="NAME",
            help="ours, ours_cases, ours_so_far, stripe, recurly, churn_buster, baremetrics, "
            "retain, or all of them side by side; several times.",
        ),
    ] = None,
) -> None:
    """What part of what had failed came in, by when it first failed.

    Beside each rate stand what is above and below the line, the window within which money counts,
    and how much of the cohort is past it.

    Example: dunning report rates --definition all --since 2026-01-01 --until 2026-01-31
    """
    from dunning.reports.published import USUAL

    given.answer("rates", definitions=tuple(definition or USUAL))


@app.command("churn")
@asking(f"{PERIODS}; kind, source, currency.", without=("policy", *OF_MOVEMENTS))
def churn(given: Given) -> None:
    """Customers, subscriptions and recurring revenue lost, of those at the start of each period.

    Example: dunning report churn --by month --by kind --since 2026-01-01
    """
    given.answer("churn")


@app.command("uplift")
@asking("policy, or month of the first failure as well.", usual="policy")
def uplift(given: Given) -> None:
    """What a policy brings in beyond those who are held out (`holdout` in the policy file).

    Only cases whose window has closed count. Until there are enough of them the report says how
    many are missing, and no difference.

    Example: dunning report uplift --policy standard --since 2026-01-01
    """
    given.answer("uplift")


@app.command("overview")
@asking(f"{PERIODS}.", metavar="PERIOD", without=("policy", *OF_MOVEMENTS))
def overview(given: Given) -> None:
    """At risk, recovered, lost, rates and churn of twelve months, on one page.

    With --format html it is one file with charts, to be looked at, sent on or printed.

    Example: dunning report overview --format html --output overview.html
    """
    form, output = given.form, given.output
    if form is ReportFormat.CSV:
        message = "csv is of one report: choose html, xlsx, json or table"
        raise typer.BadParameter(message, param_hint="--format")
    must_fit(form, output)
    with reading(given.data) as view:
        from dunning import reports

        try:
            made = reports.overview(view.session, view.now, given.asked.scope(view))
        except RefusedError as error:
            raise typer.BadParameter(str(error)) from None
    if form is ReportFormat.TABLE:
        for report in made:
            heading(report.name)
            show(report)
    elif form is ReportFormat.HTML:
        page = reports.to_html(made, "Payment recovery", reports.tiles(made))
        put(page, output, f"overview, {len(made)} reports")
    elif form is ReportFormat.XLSX:
        book = reports.to_xlsx(*made, title="Payment recovery")
        put(book, output, f"overview, {len(made)} reports")
    else:
        put(reports.to_json_list(made), output, f"overview, {len(made)} reports")
