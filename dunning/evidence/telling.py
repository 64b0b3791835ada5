"""What a simulation on history says, or why it says nothing: for programs and for people."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dunning.clock import rfc3339
from dunning.core.policy import Policy
from dunning.core.words import MESSAGES
from dunning.evidence.cells import CHARGE, CUSTOMER, STRENGTH, THIN, Cell, Tally, words
from dunning.evidence.history import TURNS, Basis, Figure, Simulated, fits
from dunning.evidence.reading import APART, History

# The rule for saying a number at all; it is part of the definitions.
LEAST_CASES, LEAST_CUSTOMERS, LEAST_CHARGES, LEAST_OF_EACH, MOST_THIN = 30, 20, 30, 5, 0.5
MONEY = ("recovered",)

DEFINITIONS = {
    "cases": "Cases on record that have ended, whose window has closed under the policy that walked"
    " them and under the other one. All others are told apart.",
    "known": "Cases kept as they were: they ended before the other policy would have done anything"
    " else than was done. `paid_anyway`: the customer paid or gave a new card before the first act"
    " of ours, paid outside, or by a charge a person asked for: paid under any policy, only the"
    " number of acts before it is estimated.",
    "estimate": "Everything else is followed from where the two policies part. Each charge goes"
    " through with the chance of its cell, and on each day the customer acts with the chance of"
    " its cell. A charge's cell: the last answer of the bank, its age, whether it is the first try,"
    " and where time or money is lacking, whether it is a payday (or one of two days after). A"
    " day's cell: how long since the last message, an email or a text, whether only the customer"
    " can mend it, and whether that was the first. The chance of the debt to go away unpaid is by"
    " its age.",
    "pooling": "A cell's rate is that of its own record and of"
    f" {STRENGTH[CHARGE]:.0f} charges ({STRENGTH[CUSTOMER]:.0f} days) more of the wider cell above"
    " it.",
    "interval": f"Customers are drawn again with replacement, {TURNS} times, and the cells with"
    " them; how far a cell with few on record may lie from the wider one is drawn by chance too."
    " 95 % of the figures lie within. The same seed gives the same interval.",
    "thin": f"A cell with fewer than {THIN[CHARGE]:.0f} charges ({THIN[CUSTOMER]:.0f} days) on"
    " record. `thin_part` is the part of the money that comes in by thin cells.",
    "at_most": "Exact, if nobody paid before the end: what the policy would do to these cases.",
    "check": "The same method, with nothing taken as known, on the policies that really walked the"
    " cases. If what really happened is not within its interval, no number is told.",
    "enough": f"A currency needs {LEAST_CASES} cases of {LEAST_CUSTOMERS} customers; charges to be"
    f" estimated need {LEAST_CHARGES} on record, {LEAST_OF_EACH} of them good and"
    f" {LEAST_OF_EACH} not; and at most {MOST_THIN * 100:.0f} % of the money may come in by thin"
    " cells.",
    "recovered": "Money that came in before the case was given up, before refunds and disputes,"
    " in minor units. Estimates are rounded, their bounds outwards.",
    "free_days": "Days of service until suspension, or the end, to customers who never paid.",
}
INSTEAD = "hold out a part for this policy instead (`holdout` in the policy file)"
NEVER = (
    "the outcome of a charge at a moment at which nobody tried; it is taken from similar charges",
    "what customers do on reading other words, or on hearing from us more or less often",
    "what sets apart those still unpaid: charges on record were made on cases that failed so far",
    "cases whose window has not closed, and what would have come in after it",
    "what the bank would have answered: later refusals are taken to be of the kind of the first",
    "whether customers, banks and prices are still as they were",
    "charges that a card network's limit would have held back: all that are planned are made",
    "holds, disputes and bank debits in process, which stop the clock in life",
    "the group of a hold-out: under the other policy everybody is taken to be treated",
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether numbers are told, by currency, and why not."""

    silent: dict[str, str]  # the currencies of which nothing is said, and why


def judge(made: Simulated, cases: int) -> Verdict:
    """Apply the rule."""
    reasons: dict[str, str] = {}
    for currency, basis in made.basis.items():
        reason = _too_few(basis) or _too_few_charges(made, cases) or _too_thin(made, basis)
        if not fits(figure for figure in made.check if figure.currency == currency):
            reason = reason or "the method does not give back what really happened here: see check"
        if reason:
            reasons[currency] = reason
    return Verdict(reasons)


def _too_few(basis: Basis) -> str | None:
    missing = max(LEAST_CASES - basis.cases, LEAST_CUSTOMERS - basis.customers)
    return None if missing <= 0 else _not_enough(missing)


def _not_enough(missing: float) -> str:
    digits: int = 10 ** max(0, len(str(math.ceil(missing))) - 2)
    about = math.ceil(missing / digits) * digits
    return f"not enough data yet: needs about {about:,} more cases whose window has closed"


def _too_few_charges(made: Simulated, cases: int) -> str | None:
    if not any(cell[0] == CHARGE for cell in made.used):
        return None
    of, good = made.tally.of.get((CHARGE,), 0.0), made.tally.good.get((CHARGE,), 0.0)
    if not of:
        return f"the cases on record cannot say: no charge was made without the customer; {INSTEAD}"
    missing = max(LEAST_CHARGES - of, 0.0)
    if of and not missing:
        rare = min(good, of - good)
        missing = (LEAST_OF_EACH - rare) * of / max(rare, 1.0)
    if missing <= 0:
        return None
    return _not_enough(missing * cases / of)


def _too_thin(made: Simulated, basis: Basis) -> str | None:
    """How many times the history would make the cells thick enough, if it could."""
    if basis.thin_part <= MOST_THIN:
        return None
    whole = sum(made.used.values())
    thin = sum(part for cell, part in made.used.items() if made.tally.is_thin(cell))
    for times in (2, 4, 8, 16, 32, 64):
        left = sum(
            part
            for cell, part in made.used.items()
            if made.tally.of.get(cell, 0.0) * times < THIN[cell[0]]
        )
        if whole and left / whole <= MOST_THIN * min(1.0, thin / whole / basis.thin_part):
            return _not_enough(basis.cases * (times - 1))
    return f"the cases on record cannot say: most of it was hardly ever tried; {INSTEAD}"


# --- for programs --------------------------------------------------------------------------


def as_json(
    made: Simulated,
    history: History,
    file: str,
    filters: Mapping[str, Any],
    policies: Iterable[Policy],
) -> dict[str, Any]:
    """Everything: figures with their basis, cells, what cannot be known."""
    verdict = judge(made, len(history.records))
    return {
        "simulation": "history",
        "file": file,
        "filters": dict(filters),
        "seed": made.seed,
        "data_until": rfc3339(history.data_until),
        "definitions": DEFINITIONS,
        "cases": {"walked": len(history.records), **{n: history.apart[n] for n in APART}},
        "late": sum(record.late for record in history.records),
        "not_enough": verdict.silent,
        "rows": [row_of(figure, made, verdict) for figure in made.figures],
        "check": [_check_row(one) for one in _checked(made)],
        "cells": [_cell_row(cell, made) for cell in in_use(made)],
        "cannot_be_known": cannot_be_known(made, history, policies),
    }


def row_of(figure: Figure, made: Simulated, verdict: Verdict) -> dict[str, Any]:
    """One figure: a fact, an estimate with its interval and basis, and what is exact."""
    basis = made.basis[figure.currency]
    row: dict[str, Any] = {
        "currency": figure.currency,
        "figure": figure.name,
        "really": round(figure.really),
        "kind": "estimate",
        **dict.fromkeys(
            ("estimate", "low", "high", "difference", "difference_low", "difference_high")
        ),
        "at_most": None if figure.at_most is None else math.ceil(figure.at_most),
        "at_most_kind": None if figure.at_most is None else "exact, if nobody paid",
        "n": basis.cases,
        "customers": basis.customers,
        "known": basis.known,
        "paid_anyway": basis.sure,
        "estimated_part": round(basis.estimated_part, 4),
        "thin_part": round(basis.thin_part, 4),
    }
    if figure.currency not in verdict.silent:
        told, apart = figure.estimate, figure.apart
        row |= {"estimate": round(told.value), "low": math.floor(told.low)}
        row |= {"high": math.ceil(told.high), "difference": round(apart.value)}
        row |= {"difference_low": math.floor(apart.low), "difference_high": math.ceil(apart.high)}
    return row


def _checked(made: Simulated) -> list[Figure]:
    return [figure for figure in made.check if figure.name in ("recovered_cases", "recovered")]


def _check_row(figure: Figure) -> dict[str, Any]:
    return {
        "currency": figure.currency,
        "figure": figure.name,
        "really": round(figure.really),
        "estimate": round(figure.estimate.value),
        "low": math.floor(figure.estimate.low),
        "high": math.ceil(figure.estimate.high),
        "fits": fits([figure]),
    }


def in_use(made: Simulated) -> list[Cell]:
    """The cells by which something comes in, the most important first."""
    return sorted(made.used, key=lambda cell: (-made.used[cell], cell))


def _cell_row(cell: Cell, made: Simulated) -> dict[str, Any]:
    whole = sum(made.used.values())
    return {
        "kind": cell[0],
        "cell": words(cell),
        "on_record": round(made.tally.of.get(cell, 0.0), 1),
        "good": round(made.tally.good.get(cell, 0.0)),
        "rate": round(made.rates[cell], 4),
        "part": round(made.used[cell] / whole, 4) if whole else 0.0,
        "thin": made.tally.is_thin(cell),
    }


def cannot_be_known(made: Simulated, history: History, policies: Iterable[Policy]) -> list[str]:
    """What no record can say, beginning with what this file asks that was never done."""
    found = []
    new = sorted(_templates(policies) - history.templates)
    if new:
        found.append(f"how customers take messages that were never sent here: {', '.join(new)}")
    if nowhere := [cell for cell in in_use(made) if not made.tally.of.get(cell)]:
        several = f"{len(nowhere)} kinds of moments" if len(nowhere) > 1 else "one kind of moment"
        found.append(f"{several} of which nothing is on record, {_most(nowhere)}: see the cells")
    if late := sum(record.late for record in history.records):
        found.append(f"{late} cases were paid after they had been given up: they count as lost")
    return [*found, *NEVER]


def _most(cells: Sequence[Cell]) -> str:
    return f"such as a {'charge' if cells[0][0] == CHARGE else 'day'} of ({words(cells[0])})"


def _templates(policies: Iterable[Policy]) -> set[str]:
    return {
        rung.template
        for policy in policies
        for rung in policy.timeline
        if rung.do in MESSAGES and rung.template
    }


__all__ = ["DEFINITIONS", "NEVER", "Tally", "Verdict", "as_json", "judge", "row_of"]
