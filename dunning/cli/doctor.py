"""`doctor`: everything a person would otherwise find out at 3 a.m."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING

import typer

from dunning.cli.options import DataOption, PageFormatOption
from dunning.cli.output import Column, PageFormat, json_page, say, table
from dunning.cli.words import count_text

if TYPE_CHECKING:
    from dunning.doctor import Check

COLOURS = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(form: PageFormatOption = PageFormat.TABLE, data: DataOption = None) -> None:
    """Check everything that is set up; exit 1 on an error.

    Database, broker, mail, provider, secrets, clock, policy. Reads only; charges nobody and writes
    to nobody. Each line that is not ok says what to do.
    """
    checks = list(_checks(data))
    worst = {check.level for check in checks}
    if form is PageFormat.JSON:
        json_page({"ok": "error" not in worst, "checks": [asdict(check) for check in checks]})
    else:
        _show(checks)
    if "error" in worst:
        raise typer.Exit(1)


def _checks(data: object) -> list[Check]:
    from pathlib import Path

    from dunning.cli.opening import load, start_logging
    from dunning.doctor import Check, examine
    from dunning.errors import ConfigError

    try:
        loaded = load(data if isinstance(data, Path) else None)
    except ConfigError as error:
        advice = "mend the environment or .env; .env.example lists every variable"
        return [
            Check(level="error", name="settings", what=line, advice=advice)
            for line in str(error).splitlines()
        ]
    start_logging(loaded.settings, quiet=True)
    return list(examine(loaded.settings, loaded.environ))


def _show(checks: list[Check]) -> None:
    def told(check: Check) -> str:
        if not check.advice:
            return check.what
        end = "" if check.what.endswith(("?", ".", "!")) else "."
        return f"{check.what}{end} To do: {check.advice}."

    table(
        [
            Column("", lambda check: str(check.level), paint=COLOURS),
            Column("CHECKED", lambda check: str(check.name)),
            Column("FOUND", told, fold=True),
        ],
        checks,
    )
    count: Mapping[str, int] = {
        level: sum(1 for check in checks if check.level == level) for level in COLOURS
    }
    say()
    if count["error"]:
        say(f"{count_text(count['error'], 'error')}, {count_text(count['warning'], 'warning')}.")
    elif count["warning"]:
        say(f"No error, {count_text(count['warning'], 'warning')}.")
    else:
        say("All is well.", style="green")
