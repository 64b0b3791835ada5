"""Rules about what the file puts in place of our tables: declines and limits."""

from __future__ import annotations

from collections.abc import Iterator

from dunning.config.house_rules import NETWORKS_OWN, rows_meant
from dunning.config.lint.rule import Found, Rule
from dunning.config.policy_file import PolicyFile
from dunning.core.declines import STRICTNESS, permits_charge
from dunning.core.limits import built_in


def softened(file: PolicyFile) -> Iterator[Found]:
    for override in file.declines:
        milder = [
            row
            for row in rows_meant(override)
            if STRICTNESS[override.advice] < STRICTNESS[row.advice]
            and permits_charge(override.advice)
            and not permits_charge(row.advice)
        ]
        if milder:
            own = any(row.kind in NETWORKS_OWN for row in milder)
            who = "the network itself says" if own else "our table says"
            yield Found(
                ("declines", override.name),
                f"Charges again where {who} {milder[0].advice.value} ({milder[0].meaning}).",
                "Be sure of its source, or remove it.",
            )


def high_ceiling(file: PolicyFile) -> Iterator[Found]:
    house = next(one for one in built_in() if one.is_house)
    for place, limit in enumerate(file.limits):
        if limit.is_house and limit.count > house.count:
            yield Found(
                ("limits", place),
                f"Allows more than {house.count} tries, where banks begin to take offence.",
                f"Keep to {house.count}: fewer tries recover more.",
            )


SUBJECT = "Declines and limits"
RULES = (
    Rule(
        name="decline-softened",
        why="Networks fine charges of cards that must not be tried, and banks decline more of what"
        " comes from whoever makes them.",
        fix="Leave the code as our table has it, unless your bank has told you better.",
        of_file=softened,
    ),
    Rule(
        name="ceiling-too-high",
        why="A card that is tried too often is declined for that alone; from eight tries on"
        " issuers take them for fraud.",
        fix="Set the house ceiling to 8 or less.",
        of_file=high_ceiling,
    ),
)
