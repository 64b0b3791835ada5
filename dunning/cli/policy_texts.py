"""`policy history`, `policy show`: which texts were in force, when, and by whom."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from dunning.cli.options import (
    DataOption,
    FormatOption,
    PageFormatOption,
)
from dunning.cli.output import (
    Column,
    Format,
    PageFormat,
    csv_list,
    json_list,
    json_page,
    table,
)
from dunning.cli.policy_opening import opened
from dunning.cli.words import moment_text
from dunning.errors import NotFoundError

if TYPE_CHECKING:
    from dunning.store import PolicyFileRow

HISTORY = ("id", "at", "kind", "hash", "file", "by", "why", "open_cases", "moved", "finished_at")


def history(form: FormatOption = Format.TABLE, data: DataOption = None) -> None:
    """List what was in force since when, the newest first, and who said so why."""
    from dunning.changing import history as every
    from dunning.store import reading

    with opened(data) as here, reading(here.engine) as session:
        rows = [_told(row) for row in every(session)]
    match form:
        case Format.JSON:
            json_list(rows)
        case Format.CSV:
            csv_list(HISTORY, rows)
        case Format.TABLE:
            _show_history(rows)


def _told(row: PolicyFileRow) -> dict[str, object]:
    import json

    from dunning.clock import rfc3339

    scope = json.loads(row.open_cases) if row.open_cases else []
    return {
        "id": row.id,
        "at": rfc3339(row.at),
        "kind": row.kind,
        "hash": row.hash,
        "file": row.name,
        "by": row.by,
        "why": row.why,
        "open_cases": "all" if scope is None else " ".join(scope) or "none",
        "moved": row.moved,
        "finished_at": rfc3339(row.finished_at),
    }


def _show_history(rows: list[dict[str, object]]) -> None:
    def cell(name: str) -> Callable[[dict[str, object]], str]:
        return lambda row: str(row[name])

    def cases(row: dict[str, object]) -> str:
        told = f"{row['open_cases']}, {row['moved']} moved" if row["moved"] else row["open_cases"]
        return f"{told}{'' if row['finished_at'] else ', not finished'}"

    table(
        [
            Column("SINCE", lambda row: moment_text(datetime.fromisoformat(row["at"]))),
            Column("HASH", cell("hash")),
            Column("KIND", cell("kind")),
            Column("OPEN CASES", cases),
            Column("BY", cell("by")),
            Column("FILE", cell("file"), rank=1),
            Column("WHY", cell("why"), fold=True),
        ],
        rows,
    )


def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[HASH]", help="As `history` lists it; what is in force, if left out."
        ),
    ] = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Print the text that is in force, or was."""
    from dunning.changing import named
    from dunning.in_force import newest
    from dunning.store import reading

    with opened(data) as here, reading(here.engine) as session:
        row = newest(session) if name is None else named(session, name)
        if row is None:
            message = "nothing is in force yet: no process has run here; `dunning up` begins"
            raise NotFoundError(message)
        if form is PageFormat.JSON:
            json_page({**_told(row), "text": row.text})
        else:
            sys.stdout.write(row.text if row.text.endswith("\n") else row.text + "\n")
