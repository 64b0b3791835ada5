"""Two policy files in the same made-up world, one after the other: what each of them comes to."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, func, select
from sqlmodel import col

from dunning import ledger, log
from dunning.config import PolicyFile
from dunning.core.entries import Account
from dunning.core.events import StepKind, StepResult
from dunning.demo.outcome import CHARGED
from dunning.demo.run import DAY, SETTLE_SECONDS
from dunning.demo.stage import staged
from dunning.reports import snapshot
from dunning.sandbox.curves import MIX
from dunning.store import CaseRow, StepRow

FIGURES = (
    "cases",
    "recovered_cases",
    "failed",
    "recovered",
    "lost",
    "at_risk",
    "charges",
    "emails",
    "suspensions",
)
MONEY = ("failed", "recovered", "lost", "at_risk")
_STEPS = {
    "charges": (StepKind.RETRY, CHARGED),
    "emails": (StepKind.EMAIL, (StepResult.DONE.value, StepResult.DOUBTFUL.value)),
    "suspensions": (StepKind.SUSPEND, (StepResult.DONE.value,)),
}
WARNING = (
    "Made-up customers with made-up chances: this shows how the machinery behaves, and not what you"
    " will recover."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is the same for both."""

    customers: int
    days: int
    seed: int
    mix: Mapping[str, float] | None = None


def compare(
    present: PolicyFile, other: PolicyFile, world: World, say: Callable[[str], None]
) -> dict[str, Any]:
    """Live through the same days twice, in folders that are thrown away."""
    log.configure("error")
    sides = {}
    for name, policies in (("present", present), ("other", other)):
        say(f"{policies.filename}: {world.customers} made-up customers, {world.days} days")
        sides[name] = _lived(policies, world)
    currencies = sorted({currency for side in sides.values() for currency in side})
    return {
        "simulation": "sandbox",
        "warning": WARNING,
        "file": other.filename,
        "present": present.filename,
        "customers": world.customers,
        "days": world.days,
        "seed": world.seed,
        "mix": dict(world.mix or MIX),
        "rows": [
            {
                "currency": currency,
                "figure": figure,
                **{name: sides[name].get(currency, {}).get(figure, 0) for name in sides},
            }
            for currency in currencies
            for figure in FIGURES
        ],
    }


def _lived(policies: PolicyFile, world: World) -> dict[str, dict[str, int]]:
    with (
        tempfile.TemporaryDirectory(prefix="dunning-") as folder,
        staged(
            customers=world.customers,
            days=world.days,
            seed=world.seed,
            data=Path(folder),
            policies=policies,
            mix=world.mix,
        ) as stage,
    ):
        for _ in range(world.days):
            stage.company.order("advance", seconds=DAY)
        stage.company.order("advance", seconds=SETTLE_SECONDS)
        return _counted(stage.program.engine)


def _counted(engine: Engine) -> dict[str, dict[str, int]]:
    """By currency; recovered is before refunds and disputes, which the world has as well."""
    found: dict[str, dict[str, int]] = {}
    with snapshot(engine) as session:
        for currency, sums in ledger.balances(session).items():
            back = sums[Account.REFUNDED] + sums[Account.DISPUTED]
            found[currency] = dict.fromkeys(FIGURES, 0) | {
                "failed": -sums[Account.OWED],
                "recovered": sums[Account.RECOVERED] + back,
                "lost": sums[Account.LOST],
                "at_risk": sums[Account.AT_RISK],
            }
        states = select(col(CaseRow.currency), col(CaseRow.state), func.count()).group_by(
            col(CaseRow.currency), col(CaseRow.state)
        )
        for currency, state, count in session.execute(states):
            found[currency]["cases"] += count
            if state == "recovered":
                found[currency]["recovered_cases"] += count
        for name, (kind, results) in _STEPS.items():
            steps = (
                select(col(CaseRow.currency), func.count())
                .join(StepRow, col(StepRow.case_id) == col(CaseRow.id))
                .where(col(StepRow.kind) == kind.value, col(StepRow.result).in_(results))
                .group_by(col(CaseRow.currency))
            )
            for currency, count in session.execute(steps):
                found[currency][name] = count
    return found
