"""Rules about access: taken too soon, or twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dunning.config.lint.rule import Found, Rule, Way
from dunning.config.timing import span_words
from dunning.core.events import StepKind

LEAST_GRACE = timedelta(days=3)


def too_soon(way: Way) -> Iterator[Found]:
    for door in way.doors[:1]:
        if door.offset < LEAST_GRACE:
            yield Found(
                door.place,
                f"Access is gone {span_words(door.offset)} after the first failure.",
                f"Wait {span_words(LEAST_GRACE)} at least: weekends, and mail that is read late.",
            )


def restricted_late(way: Way) -> Iterator[Found]:
    limit, door = way.first(StepKind.RESTRICT), way.first(StepKind.SUSPEND)
    if limit and door and limit.offset >= door.offset:
        yield Found(
            limit.place,
            "Restricting comes when access is suspended already.",
            "Move it before the suspension, or remove it.",
        )


SUBJECT = "Access"
RULES = (
    Rule(
        name="grace-too-short",
        why="A charge that fails on Friday is seen on Monday. Access that is gone by then is taken"
        " from people who would have paid, and paying ones talk to support first.",
        fix="Leave 3d at least before the first door; two weeks are usual.",
        of_way=too_soon,
    ),
    Rule(
        name="restrict-after-suspend",
        why="Restricting access that is suspended already does nothing.",
        fix="Restrict before the suspension, or not at all.",
        of_way=restricted_late,
    ),
)
