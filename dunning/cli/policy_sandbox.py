"""`policy simulate --on sandbox`: the file in force and another one in the same made-up world."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import typer

from dunning.cli.options import usage
from dunning.cli.output import Column, PageFormat, heading, item, json_page, say, table
from dunning.cli.policy_files import load_file
from dunning.cli.words import amount_text

if TYPE_CHECKING:
    from dunning.config import PolicyFile

_PART = re.compile(r"([a-z_]+)=([0-9]{1,6})")
_FIGURES = {
    "cases": "cases",
    "recovered_cases": "cases recovered",
    "failed": "money that failed",
    "recovered": "money recovered",
    "lost": "money lost",
    "at_risk": "still at risk",
    "charges": "charges",
    "emails": "emails",
    "suspensions": "suspensions",
}


def try_on_sandbox(
    loaded: PolicyFile,
    *,
    customers: int,
    days: int,
    seed: int,
    mix: str | None,
    form: PageFormat,
) -> None:
    """Play both and print them side by side."""
    from dunning.demo.compare import World, compare

    world = World(customers=customers, days=days, seed=seed, mix=read_mix(mix))
    told = compare(load_file(None), loaded, world, lambda text: typer.echo(text, err=True))
    if form is PageFormat.JSON:
        json_page(told)
    else:
        _show(told)


def read_mix(text: str | None) -> dict[str, float] | None:
    """`insufficient_funds=60,expired_card=40` as shares of one."""
    if text is None:
        return None
    from dunning.sandbox.curves import MIX

    parts = [_PART.fullmatch(part.strip()) for part in text.split(",")]
    if not all(parts):
        raise usage(f"{text!r} is no mix; expected CODE=SHARE, such as lost_card=1", "--mix")
    shares = {part[1]: int(part[2]) for part in parts if part}
    if unknown := sorted(shares.keys() - MIX.keys()):
        raise usage(f"{unknown[0]!r} is not in the made-up world; it has {', '.join(MIX)}", "--mix")
    if not sum(shares.values()) or len(shares) < len(parts):
        raise usage(f"{text!r} is no mix: each code once, and some share above 0", "--mix")
    return {code: share / sum(shares.values()) for code, share in shares.items() if share}


def _show(told: dict[str, Any]) -> None:
    say(f"SIMULATED. {told['warning']}", style="bold")
    for currency in dict.fromkeys(row["currency"] for row in told["rows"]):
        heading(currency.upper())
        table(
            [
                Column("FIGURE", lambda row: _FIGURES[row["figure"]]),
                Column(told["present"], _cell("present"), right=True),
                Column(told["file"], _cell("other"), right=True),
            ],
            [row for row in told["rows"] if row["currency"] == currency],
        )
    mix = ", ".join(f"{code} {share * 100:.0f} %" for code, share in told["mix"].items())
    heading("The world")
    item(f"{told['customers']} customers, half of whose renewals fail; {told['days']} days")
    item(f"seed {told['seed']}; first declines: {mix}")
    item("what they do is in the source: dunning/sandbox/people.py and curves.py")


def _cell(name: str) -> Any:
    from dunning.demo.compare import MONEY

    def text(row: dict[str, Any]) -> str:
        value = row[name]
        return amount_text(value, row["currency"]) if row["figure"] in MONEY else f"{value:,}"

    return text
