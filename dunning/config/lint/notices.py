"""Rules about notices: what is told too late, or of a term too short for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta

from dunning.config.lint.rule import DAY, Found, Rule, Way
from dunning.config.timing import span_words
from dunning.core.words import Kind

# The shortest that each term may be.
_TERMS: Mapping[str, timedelta] = {
    "day": DAY,
    "week": 7 * DAY,
    "month": 28 * DAY,
    "quarter": 90 * DAY,
    "half_year": 181 * DAY,
    "year": 365 * DAY,
}
# Less than this, and nobody finds the new card in time.
SOON = 3 * DAY


def _span_of(interval: str) -> timedelta | None:
    number, _, unit = interval.rpartition(" ")
    span = _TERMS.get(unit.removesuffix("s"))
    return None if span is None else span * (int(number) if number.isdecimal() else 1)


def term_too_short(way: Way) -> Iterator[Found]:
    if way.policy.kind is not Kind.RENEWAL:
        return
    known = way.words("interval")
    for line in way.lines:
        before = line.rung.before or timedelta(0)
        if known is None:
            if before >= _TERMS["month"]:
                yield Found(
                    line.place,
                    "Subscriptions billed each month come to this policy too, and"
                    f" {span_words(before)} before their renewal the term has not begun.",
                    "Choose the policy by `when: {interval: year}`.",
                )
            continue
        for interval in sorted(known):
            span = _span_of(interval)
            if span is not None and before >= span:
                yield Found(
                    line.place,
                    f"{span_words(before)} before the renewal of a term of a {interval} it has not"
                    " begun.",
                    f"Leave {interval} out of its `when`, or write later.",
                )


def told_late(way: Way) -> Iterator[Found]:
    if way.policy.kind is not Kind.CARD_EXPIRY:
        return
    first = max((line.rung.before or timedelta(0) for line in way.lines), default=timedelta(0))
    if first < SOON:
        yield Found(
            way.place,
            f"The first word comes {span_words(first)} before the card expires.",
            "Write 30d before, and once more 7d before.",
        )


def waits_too_long(way: Way) -> Iterator[Found]:
    for line in way.lines:
        rung = line.rung
        wait = (rung.patience if rung.on else timedelta(0)) + rung.jitter
        if rung.before is not None and wait >= rung.before:
            yield Found(
                line.place,
                f"It may wait {span_words(wait)}, and what it tells of comes after"
                f" {span_words(rung.before)}: then it is left out.",
                "Place it further ahead, or let it wait less.",
            )


SUBJECT = "Notices"
RULES = (
    Rule(
        name="term-too-short",
        why="A notice that is placed before the term has begun is left out; without that a customer"
        " would hear of the next renewal on the day of the last one.",
        fix="Choose renewal policies by `interval`, and place their lines within the term.",
        of_way=term_too_short,
        of_notices=True,
    ),
    Rule(
        name="expiry-told-late",
        why="New cards come by post weeks ahead of the old one's last day, and customers need a few"
        " days to act. What is told on the last day saves no renewal.",
        fix="Begin with `{before: 30d, do: email, template: card_expiring}`.",
        of_way=told_late,
        of_notices=True,
    ),
    Rule(
        name="notice-waits-past-its-date",
        why="A notice that waits for its day until what it tells of has come is not sent.",
        fix="Make `within` and `jitter` shorter than `before`.",
        of_way=waits_too_long,
        of_notices=True,
    ),
)
