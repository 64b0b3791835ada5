"""`report declines`: the decline table in force, and the codes it does not know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.opening import reading
from dunning.cli.options import DataOption, FormatOption
from dunning.cli.output import Column, Format, csv_list, heading, json_page, say, table
from dunning.cli.report import app
from dunning.cli.words import NOTHING, count_text, moment_text

if TYPE_CHECKING:
    from dunning.core.decline_table import Row
    from dunning.reports.codes import Codes, Seen

__all__ = ["app"]


@app.command("declines")
def declines(
    whole: Annotated[
        bool, typer.Option("--all", help="In a table, also the rows that nobody has said yet.")
    ] = False,
    form: FormatOption = Format.TABLE,
    data: DataOption = None,
) -> None:
    """What each decline code means here and on whose word; and codes seen that mean nothing yet.

    The table is that of the policy file in force; a case keeps the one it began under. A code that
    is not known is never an error: it is tried again a day later. With `declines` the policy file
    says what it means.
    """
    from dunning.cli.policy_files import load_file

    overrides = load_file(None).declines
    with reading(data) as view:
        from dunning.reports import codes as reporting

        codes = reporting.declines(view.session, overrides)
    records = list(reporting.as_records(codes))
    match form:
        case Format.JSON:
            json_page(
                {
                    "report": "declines",
                    "unmapped": [one for one in records if not one["mapped"]],
                    "rows": [one for one in records if one["mapped"]],
                }
            )
        case Format.CSV:
            csv_list(reporting.KEYS, ({**one, "networks": _words(one)} for one in records))
        case Format.TABLE:
            _show(codes, whole=whole)


def _words(record: dict[str, Any]) -> str:
    return " ".join(record["networks"])


def _show(codes: Codes, *, whole: bool) -> None:
    heading("Seen, and not known")
    if codes.unmapped:
        table(_unknown_columns(), codes.unmapped, indent=2)
    elif any(seen.count for _, seen in codes.rows):
        say("  none: every code that was seen has a row")
    else:
        say("  none: no charge has failed with a code yet")
    shown = [pair for pair in codes.rows if whole or pair[1].count or pair[0].overridden]
    heading("In force")
    if shown:
        table(_columns(), shown, indent=2)
    else:
        say("  no code of the table was seen, and the policy file overrides none")
    left = len(codes.rows) - len(shown)
    if left:
        say(f"{count_text(left, 'further row')} that nobody has said: --all shows them too.", "dim")


def _unknown_columns() -> list[Column]:
    def seen(one: tuple[str, str, Seen]) -> Seen:
        return one[2]

    return [
        Column("CODE", lambda one: str(one[1])),
        Column("SAID AS", lambda one: str(one[0])),
        Column("SEEN", lambda one: str(seen(one).count), right=True),
        Column("FIRST", lambda one: moment_text(seen(one).first), rank=2),
        Column("LAST", lambda one: moment_text(seen(one).last), rank=1),
        Column("NETWORKS", lambda one: ", ".join(sorted(seen(one).networks)) or NOTHING, rank=3),
        Column("FOR EXAMPLE", lambda one: seen(one).example or NOTHING),
    ]


def _columns() -> list[Column]:
    def wait(pair: tuple[Row, Seen]) -> str:
        return NOTHING if pair[0].wait is None else f"{pair[0].wait.total_seconds() / 3600:g} h"

    def origin(pair: tuple[Row, Seen]) -> str:
        return "policy file" if pair[0].overridden else "built in"

    return [
        Column("CODE", lambda pair: str(pair[0].code)),
        Column("KIND", lambda pair: str(pair[0].kind), rank=3),
        Column("ADVICE", lambda pair: str(pair[0].advice.value)),
        Column("WAIT", wait, rank=2, right=True),
        Column("BY", origin),
        Column("SEEN", lambda pair: str(pair[1].count), right=True),
        Column("LAST", lambda pair: moment_text(pair[1].last), rank=4),
        Column("CERTAINTY", lambda pair: str(pair[0].certainty), rank=5),
        Column("SOURCE", lambda pair: str(pair[0].source), fold=True),
    ]
