"""Rules about what the file says in place of our tables: declines made milder, a higher ceiling."""

from __future__ import annotations

from collections.abc import Iterator

from dunning.config.lint.rule import Found, Rule
from dunning.config.policy_file import PolicyFile
from dunning.core.decline_table import NETWORKS_OWN, STRICTNESS, permits_charge, rows_meant
from dunning.core.limits import built_in


def milder(file: PolicyFile) -> Iterator[Found]:
    for override in file.declines:
        if not permits_charge(override.advice):
            continue
        rows = [
            row
            for row in rows_meant(override)
            if STRICTNESS[override.advice] < STRICTNESS[row.advice]
            and not permits_charge(row.advice)
        ]
        if rows:
            own = any(row.kind in NETWORKS_OWN for row in rows)
            who = "the network itself says" if own else "our table says"
            yield Found(
                ("declines", override.name),
                f"It charges again where {who} {rows[0].advice.value} ({rows[0].meaning}).",
                "Remove it, unless its source is your acquirer or bank, in writing.",
            )


def higher(file: PolicyFile) -> Iterator[Found]:
    house = next(limit for limit in built_in() if limit.is_house)
    for number, limit in enumerate(file.limits):
        if limit.is_house and limit.count > house.count:
            yield Found(
                ("limits", number),
                f"It allows {limit.count} tries, where banks begin to take offence after"
                f" {house.count}.",
                f"Keep to {house.count}: fewer tries recover more.",
            )


SUBJECT = "Declines and limits"
RULES = (
    Rule(
        name="decline-made-milder",
        why="Networks fine charges of cards that must not be tried, and each one makes the bank"
        " trust the next charge less, of other customers too.",
        fix="Remove the line, unless your acquirer or bank says so in writing.",
        of_file=milder,
    ),
    Rule(
        name="ceiling-raised",
        why="Banks decline cards that are tried too often, and Stripe blocks a card after the"
        " fifteenth try, whoever made it.",
        fix="Keep the house ceiling, or set a lower one.",
        of_file=higher,
    ),
)
