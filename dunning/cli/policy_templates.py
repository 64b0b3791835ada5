"""`policy templates`: ready policy files to begin with."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from typing import Annotated

import typer

from dunning.cli.options import FormatOption
from dunning.cli.output import Column, Format, csv_list, json_page, say, table
from dunning.errors import NotFoundError

EPILOG = """\
Examples:
  dunning policy templates
  dunning policy templates consumer_monthly > policies.yaml
  dunning policy check --strict policies.yaml"""

_DEFAULT = "default"
_DIRECTIVE = "# yaml-language-server"


@dataclass(frozen=True, slots=True)
class Ready:
    """A policy file that comes with the program."""

    name: str
    about: str
    text: str


def templates(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Print this one; list all if left out."),
    ] = None,
    form: FormatOption = Format.TABLE,
) -> None:
    """List the policy files that come with the program, or print one to begin with."""
    found = ready()
    if name is not None:
        typer.echo(_named(found, name).text, nl=False)
        return
    told = [{"name": each.name, "about": each.about} for each in found]
    match form:
        case Format.JSON:
            json_page(told)
        case Format.CSV:
            csv_list(("name", "about"), told)
        case Format.TABLE:
            table(
                [
                    Column("NAME", lambda each: str(each["name"])),
                    Column("ABOUT", lambda each: str(each["about"]), fold=True),
                ],
                told,
            )
            say()
            say("`dunning policy templates NAME > policies.yaml` makes one yours.")


def ready() -> list[Ready]:
    """Every one of them, the built-in default first."""
    found = []
    for file in (resources.files("dunning") / "policies").iterdir():
        name, _, kind = file.name.rpartition(".")
        if kind == "yaml":
            text = file.read_text(encoding="utf-8")
            found.append(Ready(name, _about(text), text))
    return sorted(found, key=lambda each: (each.name != _DEFAULT, each.name))


def _about(text: str) -> str:
    """The first sentence of the comment at its head."""
    words: list[str] = []
    for line in text.splitlines():
        if line.startswith(_DIRECTIVE) or (line == "#" and not words):
            continue
        if not line.startswith("# "):
            break
        words.append(line.removeprefix("# "))
    return " ".join(words).partition(". ")[0].rstrip(".") + "."


def _named(found: list[Ready], name: str) -> Ready:
    from dunning.config.problems import nearest

    for each in found:
        if each.name == name.removesuffix(".yaml"):
            return each
    names = [each.name for each in found]
    meant = nearest(name, names)
    hint = f". Did you mean '{meant}'?" if meant else ""
    message = f"no ready policy file {name!r}; there are {', '.join(names)}{hint}"
    raise NotFoundError(message)
