"""`policy preview`: the dated timeline of one customer."""

from __future__ import annotations

import enum
import io
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.options import usage
from dunning.cli.output import csv_list, json_text, say, write_file
from dunning.cli.policy_files import load_file, policy_named
from dunning.cli.words import read_moment, read_money, read_span, read_zone

if TYPE_CHECKING:
    from dunning.cli.preview import Preview


EPILOG = """\
Examples:
  dunning policy preview --amount 49.00 --decline insufficient_funds
  dunning policy preview --amount 49.00 --decline lost_card --country DE \\
      --format html --out lost_card.html"""


class PreviewFormat(enum.StrEnum):
    """How the timeline is shown."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"
    SVG = "svg"
    HTML = "html"


def _text_option(name: str, metavar: str, about: str) -> Any:
    return typer.Option(name, metavar=metavar, help=about)


_Maybe = str | None
Amount = Annotated[str, _text_option("--amount", "AMOUNT", "The unpaid amount, such as 49.00.")]
Currency = Annotated[str, _text_option("--currency", "CODE", "Three letters.")]
Named = Annotated[_Maybe, _text_option("--policy", "NAME", "The file chooses if left out.")]
Code = Annotated[
    _Maybe, _text_option("--decline", "CODE", "Why the charge failed, e.g. insufficient_funds.")
]
AdviceCode = Annotated[
    _Maybe, _text_option("--advice", "CODE", "The provider's advice, e.g. do_not_try_again.")
]
FailedAt = Annotated[
    _Maybe,
    _text_option(
        "--failed-at",
        "TIME",
        "When it failed (or what a notice tells of), UTC unless it says; now if not.",
    ),
]
Zone = Annotated[_Maybe, _text_option("--timezone", "ZONE", "The customer's, e.g. Europe/Berlin.")]
Country = Annotated[_Maybe, _text_option("--country", "CODE", "The customer's, e.g. DE.")]
Method = Annotated[str, _text_option("--method", "TYPE", "What was charged, e.g. sepa_debit.")]
Source = Annotated[str, _text_option("--source", "NAME", "The billing account.")]
Plan = Annotated[
    list[str] | None, _text_option("--plan", "ID", "A plan or product; may be repeated.")
]
Interval = Annotated[_Maybe, _text_option("--interval", "WORD", "How often it bills, e.g. month.")]
Yearly = Annotated[
    _Maybe, _text_option("--yearly", "AMOUNT", "What the subscription brings in a year.")
]
Tenure = Annotated[_Maybe, _text_option("--tenure", "SPAN", "A customer for so long, e.g. 90d.")]
Pair = Annotated[
    list[str] | None,
    _text_option("--metadata", "KEY=VALUE", "Of the customer; may be repeated."),
]
OneOff = Annotated[bool, typer.Option("--one-off", help="The invoice is of no subscription.")]
ByHand = Annotated[bool, typer.Option("--by-hand", help="The customer pays by hand.")]
File = Annotated[
    Path | None,
    typer.Option("--file", metavar="FILE", help="Another file than DUNNING_POLICY_FILE."),
]
Form = Annotated[
    PreviewFormat,
    typer.Option("--format", help="table for people, json or csv for programs, svg or html."),
]
Out = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write there, not on the screen.")
]


def preview(
    amount: Amount,
    policy: Named = None,
    currency: Currency = "USD",
    decline: Code = None,
    advice: AdviceCode = None,
    failed_at: FailedAt = None,
    timezone: Zone = None,
    country: Country = None,
    method: Method = "card",
    source: Source = "stripe",
    plan: Plan = None,
    interval: Interval = None,
    yearly: Yearly = None,
    tenure: Tenure = None,
    metadata: Pair = None,
    one_off: OneOff = False,
    by_hand: ByHand = False,
    file: File = None,
    form: Form = PreviewFormat.TABLE,
    out: Out = None,
) -> None:
    """Show the dated timeline one customer would live through if every charge failed.

    Nothing is stored and nobody is charged. The dates are those the program itself computes.
    """
    from dunning.cli import preview as previewing
    from dunning.cli.trial import Asked
    from dunning.clock import SystemClock

    if timezone is not None:
        read_zone(timezone, "--timezone")
    asked = Asked(
        amount=read_money(amount, currency),
        code=decline,
        advice_code=advice,
        failed_at=read_moment(failed_at, "--failed-at") if failed_at else SystemClock().now(),
        timezone=timezone,
        country=country.upper() if country else None,
        source=source,
        method=method,
        plans=tuple(plan or ()),
        interval=interval,
        yearly=read_money(yearly, currency, "--yearly") if yearly else None,
        tenure=_span(tenure),
        metadata=tuple(_pair(text) for text in metadata or ()),
        subscription=not one_off,
        by_hand=by_hand,
    )
    loaded = load_file(file)
    name = policy or previewing.chosen_for(asked, loaded.choices, loaded.terms)
    wanted = policy_named(loaded, name)
    if wanted.kind.is_notice and failed_at is None:
        asked = previewing.in_time(asked, wanted)
    preview = previewing.live_through(wanted, asked)
    if form is PreviewFormat.TABLE:
        if out is not None:
            raise usage("a table is for the screen; choose svg, html, json or csv", "--out")
        previewing.show(preview)
        return
    text = _text(preview, form)
    if out is None:
        typer.echo(text, nl=False)
    else:
        write_file(out, text)
        say(f"{out} is written.")


def _text(preview: Preview, form: PreviewFormat) -> str:
    from dunning.cli import preview as previewing
    from dunning.cli.drawing import page, story_of, wide

    match form:
        case PreviewFormat.SVG:
            return wide(story_of(preview)) + "\n"
        case PreviewFormat.HTML:
            return page(story_of(preview))
        case PreviewFormat.CSV:
            buffer = io.StringIO()
            csv_list(previewing.KEYS, previewing.as_json(preview)["timeline"], buffer)
            return buffer.getvalue()
        case _:
            return json_text(previewing.as_json(preview))


def _span(text: str | None) -> timedelta | None:
    if text is None:
        return None
    span = read_span(text)
    if span is None:
        raise usage(f"{text!r} is no span; expected one such as 90d", "--tenure")
    return span


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise usage(f"{text!r} is no pair; expected one such as tier=gold", "--metadata")
    return key, value
