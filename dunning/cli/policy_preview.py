"""`policy preview`: the dated timeline of one customer."""

from __future__ import annotations

import enum
import io
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.options import usage
from dunning.cli.output import csv_list, json_text, say, write_file
from dunning.cli.policy_files import load_file, policy_named
from dunning.cli.words import read_moment, read_money, read_zone

if TYPE_CHECKING:
    from dunning.cli.preview import Asked, Preview
    from dunning.config import PolicyFile
    from dunning.core.policy import Policy


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


def preview(
    amount: Annotated[
        str, typer.Option("--amount", metavar="AMOUNT", help="The unpaid amount, such as 49.00.")
    ],
    policy: Annotated[
        str | None,
        typer.Option("--policy", metavar="NAME", help="The policy; the file chooses if left out."),
    ] = None,
    currency: Annotated[
        str, typer.Option("--currency", metavar="CODE", help="Three letters.")
    ] = "USD",
    decline: Annotated[
        str | None,
        typer.Option(
            "--decline", metavar="CODE", help="Why the charge failed, e.g. insufficient_funds."
        ),
    ] = None,
    advice: Annotated[
        str | None,
        typer.Option(
            "--advice", metavar="CODE", help="The provider's advice code, e.g. do_not_try_again."
        ),
    ] = None,
    failed_at: Annotated[
        str | None,
        typer.Option(
            "--failed-at", metavar="TIME", help="When it failed, UTC unless it says; now if not."
        ),
    ] = None,
    timezone: Annotated[
        str | None,
        typer.Option("--timezone", metavar="ZONE", help="The customer's, e.g. Europe/Berlin."),
    ] = None,
    country: Annotated[
        str | None, typer.Option("--country", metavar="CODE", help="The customer's, e.g. DE.")
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", metavar="FILE", help="Another file than DUNNING_POLICY_FILE."),
    ] = None,
    form: Annotated[
        PreviewFormat,
        typer.Option(
            "--format", help="table for people, json or csv for programs, svg or html to show."
        ),
    ] = PreviewFormat.TABLE,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Write there instead of the screen."),
    ] = None,
) -> None:
    """Show the dated timeline one customer would live through if every charge failed.

    Nothing is stored and nobody is charged. The dates are those the program itself computes.
    """
    from dunning.cli import preview as previewing
    from dunning.clock import SystemClock

    if timezone is not None:
        read_zone(timezone, "--timezone")
    asked = previewing.Asked(
        amount=read_money(amount, currency),
        code=decline,
        advice_code=advice,
        failed_at=read_moment(failed_at, "--failed-at") if failed_at else SystemClock().now(),
        timezone=timezone,
        country=country.upper() if country else None,
    )
    loaded = load_file(file)
    chosen = _chosen(loaded, policy, asked)
    preview = previewing.live_through(chosen, asked)
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


def _chosen(file: PolicyFile, name: str | None, asked: Asked) -> Policy:
    from dunning.cli.preview import subject_of
    from dunning.core.policy import choose

    return policy_named(file, name or choose(file.choices, subject_of(asked)))
