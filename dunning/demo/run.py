"""Runs the demo from the first day to the last, says what it is doing, and reports."""

from __future__ import annotations

import json
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dunning import log
from dunning.demo.outcome import Outcome, outcome
from dunning.demo.show import show
from dunning.demo.stage import Stage, staged
from dunning.reports.exports import to_minimal

DAY = 86_400
SAID = "provider.csv"
# An unfinished step of the last hour still counts: the books are compared when all is quiet.
SETTLE_SECONDS = 3_600


def run(*, customers: int, days: int, seed: int, format: str, once: bool, data: Path | None) -> int:
    """Play `days` days of `customers` simulated customers; 0 when every proof held, else 1."""
    log.configure("error")
    words = Console(stderr=True, highlight=False)
    began = time.monotonic()
    with ExitStack() as stack:
        folder = (
            data.resolve()
            if data
            else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dunning-")))
        )
        folder.mkdir(parents=True, exist_ok=True)
        if (folder / "dunning.db").exists():
            words.print(f"{folder} holds a database already; choose an empty folder with --data")
            return 1
        words.print(
            f"[bold]SIMULATED[/bold]: {customers} made-up customers of a pretend company, "
            f"{days} days, seed {seed}. No real card, mail or money is touched."
        )
        stage = stack.enter_context(staged(customers=customers, days=days, seed=seed, data=folder))
        _play(stage, days, words)
        result = outcome(
            stage, seed=seed, customers=customers, days=days, seconds=time.monotonic() - began
        )
        if data:
            (folder / SAID).write_text("".join(to_minimal(result.said)), encoding="utf-8")
        _report(result, format, folder if data else None)
        if not once:
            _stay(stage, words)
    return 0 if _holds(result) else 1


def _play(stage: Stage, days: int, words: Console) -> None:
    """Move the virtual clock a day at a time; the program acts whenever something is due."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("day {task.completed} of {task.total}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=words, disable=not words.is_terminal) as bar:
        task = bar.add_task("cards fail, timelines run", total=days)
        for day in range(1, days + 1):
            stage.company.order("advance", seconds=DAY)
            bar.advance(task)
            if not words.is_terminal and day % 15 == 0 and day < days:
                words.print(f"day {day} of {days}")
    stage.company.order("advance", seconds=SETTLE_SECONDS)


def _report(result: Outcome, format: str, data: Path | None) -> None:
    if format == "json":
        sys.stdout.write(json.dumps(result.data, indent=2) + "\n")
    else:
        show(result.data, data)
    for difference in result.differences[:20]:
        print(f"difference: {difference}", file=sys.stderr)


def _holds(result: Outcome) -> bool:
    data = result.data
    return bool(
        data["identity_holds"]
        and data["agrees_with_billing_system"]
        and data["ties_out"]
        and data["charged_twice"] == 0
        and data["emails_after_payment"] == 0
    )


def _stay(stage: Stage, words: Console) -> None:
    words.print(
        f"\nThe demo stays up until Ctrl-C. Emails: {stage.company.stripe_url}/_sandbox/mail"
    )
    words.print(f"Readiness: {stage.web_url}/readyz   metrics: {stage.web_url}/metrics")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        words.print("bye")
