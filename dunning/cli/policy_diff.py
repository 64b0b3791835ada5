"""`policy diff`: what differs between two policy files, in words."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dunning.cli.options import DataOption, PageFormatOption
from dunning.cli.output import PageFormat, heading, item, json_page, say
from dunning.cli.policy_files import load_file

if TYPE_CHECKING:
    from dunning.config import PolicyFile
    from dunning.config.differences import Difference

OldArgument = Annotated[
    Path, typer.Argument(metavar="A", help="A policy file.", show_default=False)
]
NewArgument = Annotated[
    Path | None,
    typer.Argument(
        metavar="[B]",
        help="Another one. Left out: A is set beside what is in force.",
        show_default=False,
    ),
]


def diff(
    a: OldArgument,
    b: NewArgument = None,
    form: PageFormatOption = PageFormat.TABLE,
    data: DataOption = None,
) -> None:
    """Say in words what differs: lines added, removed and moved, keys, choices, what it means.

    With one file it is read as the new one, and what is in force as the old one.

    Example: dunning policy diff old.yaml new.yaml
    """
    from dunning.config.differences import differences

    if b is not None:
        old, new = load_file(a), load_file(b)
    else:
        old, new = in_force(data), load_file(a)
    found = differences(old, new)
    if form is PageFormat.JSON:
        json_page({"a": old.filename, "b": new.filename, **as_json(found)})
        return
    say(f"From {old.filename} to {new.filename}:")
    show(found)


def in_force(data: Path | None) -> PolicyFile:
    """What is in force; before anything was, the file that is named, or the default."""
    from dunning.cli.opening import engine_of, load
    from dunning.in_force import Text, loader, newest
    from dunning.messages import Messages
    from dunning.store import reading

    settings = load(data).settings
    with engine_of(settings) as engine, reading(engine) as session:
        row = newest(session)
    if row is None:
        return load_file(None)
    text = Text(row.text, f"what is in force ({row.hash})")
    return loader(tuple(Messages(settings.templates).names()))(text)


def as_json(found: list[Difference]) -> dict[str, Any]:
    """The differences for programs."""
    return {"same": not found, "differences": [asdict(each) for each in found]}


def show(found: list[Difference]) -> None:
    """The differences for people, policy by policy."""
    if not found:
        say("Nothing differs.")
    for policy, group in groupby(found, key=lambda each: each.policy):
        heading(policy or "The whole file")
        lines = list(group)
        for each in lines:
            if each.kind != "means":
                item(each.text)
        meaning = [each.text for each in lines if each.kind == "means"]
        if meaning:
            item(f"So: {'; '.join(meaning)}.")
