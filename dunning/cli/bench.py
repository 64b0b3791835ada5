"""`bench`: how fast the program is on this machine, as ratios against limits and peers."""

from __future__ import annotations

import enum
from typing import Annotated, Any

import typer

from dunning.cli.options import PageFormatOption
from dunning.cli.output import Column, PageFormat, json_page, say, table
from dunning.errors import ConfigError


class Size(enum.StrEnum):
    """How long to measure."""

    QUICK = "quick"
    USUAL = "usual"
    FULL = "full"


PartOption = Annotated[
    list[str] | None,
    typer.Option("--part", metavar="NAME", help="Only this part; may be given again."),
]
SizeOption = Annotated[
    Size,
    typer.Option("--size", help="quick: two minutes; usual: ten; full: an hour and 10 M cases."),
]


def bench(
    part: PartOption = None,
    size: SizeOption = Size.USUAL,
    form: PageFormatOption = PageFormat.TABLE,
) -> None:
    """Measure the program on this machine, beside the machine's limits and beside its peers.

    Starts a PostgreSQL and a Redis of its own, which end with it. Peers are installed into a
    cache the first time, which needs a package index; without one their ratios stay empty.

    Example: dunning bench --part receiving --format json
    """
    try:
        from dunning.bench import run as benching
        from dunning.bench.servers import ServerUnavailableError
    except ModuleNotFoundError as error:
        message = f"{error.name} is not installed; the extra has it: pip install 'dunning[bench]'"
        raise ConfigError(message) from None
    from dunning import log

    unknown = [each for each in part or () if each not in benching.PARTS]
    if unknown:
        message = f"no part {unknown[0]!r}; there are: {', '.join(benching.PARTS)}"
        raise typer.BadParameter(message, param_hint="--part")
    log.configure("warning")
    try:
        told = benching.run(part or list(benching.PARTS), size.value, _progress)
    except ServerUnavailableError as error:
        raise ConfigError(str(error)) from None
    if form is PageFormat.JSON:
        json_page(told)
        return
    _show(told)


def _progress(line: str) -> None:
    typer.echo(line, err=True)


def _show(told: dict[str, Any]) -> None:
    machine = told["machine"]
    say(f"{machine['cores']} cores, {machine['system']}, Python {machine['python']}")
    for each in told["parts"]:
        say(f"\n{each['part']}")
        for name, figure in each["figures"].items():
            say(f"  {name}: {_figure(figure)}")
    say("")
    table(
        [
            Column("GOAL", lambda each: each["goal"]),
            Column(
                "RATIO",
                lambda each: "-" if each["ratio"] is None else f"{each['ratio']:g}",
                right=True,
            ),
            Column("WANTED", lambda each: each["wanted"], right=True),
            Column("MET", lambda each: {True: "yes", False: "no", None: "?"}[each["meets"]]),
            Column(
                "WHAT",
                lambda each: each["what"] + (f": {each['why']}" if each["why"] else ""),
                fold=True,
            ),
        ],
        told["goals"],
    )


def _figure(figure: Any) -> str:
    if not isinstance(figure, dict):
        return f"{figure:,}" if isinstance(figure, int) else str(figure)
    shown = {name: value for name, value in figure.items() if not isinstance(value, dict)}
    return ", ".join(f"{name} {value}" for name, value in shown.items())
