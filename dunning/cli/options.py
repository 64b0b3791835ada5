"""Options that several commands share."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

import typer

from dunning.cli.output import Format, PageFormat

FormatOption = Annotated[
    Format,
    typer.Option("--format", help="table for people, json or csv for programs."),
]
PageFormatOption = Annotated[
    PageFormat,
    typer.Option("--format", help="table for people, json for programs."),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        metavar="DIR",
        help="Folder of the embedded database, instead of DUNNING_DATA and DUNNING_DATABASE_URL.",
    ),
]
SourceOption = Annotated[
    str | None,
    typer.Option("--source", metavar="NAME", help="Only this billing account."),
]
WhyOption = Annotated[
    str, typer.Option("--why", metavar="TEXT", help="The reason; it is kept with the case.")
]
ByOption = Annotated[
    str | None,
    typer.Option("--by", metavar="NAME", help="Who does it; you, if left out."),
]
CaseArgument = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="The case's id, the beginning of it, or the provider's invoice id.",
        show_default=False,
    ),
]

StepArgument = Annotated[
    str,
    typer.Argument(
        metavar="STEP",
        help="A planned step as `cases show` names it, such as email:2 or suspend.",
        show_default=False,
    ),
]


def author(by: str | None) -> str:
    """The name to put on record: the one given, else the login of whoever runs the command."""
    if by is not None:
        return by
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"


def usage(message: str, option: str) -> typer.BadParameter:
    """Something is wrong with this option."""
    return typer.BadParameter(message, param_hint=option)
