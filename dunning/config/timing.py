"""When the lines of a timeline are due, counted from the first failure, as `core.places` has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from dunning.core.events import StepKind
from dunning.core.places import places
from dunning.core.policy import Policy, Rung


@dataclass(frozen=True, slots=True)
class Timed:
    """A line of the timeline with its number in the file and its offset."""

    index: int
    rung: Rung
    offset: timedelta


def timed(policy: Policy) -> list[Timed]:
    """Every line that has a place, in the order of the file."""
    found = zip(policy.timeline, places(policy), strict=True)
    return [Timed(i, rung, at) for i, (rung, at) in enumerate(found) if at is not None]


def in_order(policy: Policy) -> list[Timed]:
    """The same in the order in which they come; lines of one moment as in the file."""
    return sorted(timed(policy), key=lambda each: (each.offset, each.index))


def of_kind(lines: list[Timed], kind: StepKind) -> Iterator[Timed]:
    return (line for line in lines if line.rung.do is kind)


def first(lines: list[Timed], kind: StepKind) -> Timed | None:
    return next(of_kind(lines, kind), None)


def span_words(span: timedelta) -> str:
    """`3d`, `36h`, `45m`: as in the file, in the largest unit that fits."""
    minutes = span // timedelta(minutes=1)
    if minutes % 1440 == 0 and minutes:
        return f"{minutes // 1440}d"
    return f"{minutes // 60}h" if minutes % 60 == 0 else f"{minutes}m"
