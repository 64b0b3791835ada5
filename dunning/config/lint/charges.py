"""Rules about charges: too many, too soon, never made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dunning.config.lint.rule import DAY, Found, Line, Rule, Way
from dunning.config.timing import span_words
from dunning.core.events import StepKind
from dunning.core.limits import Limit, built_in
from dunning.core.policy import Retries

# Stripe's recommended setting of its own retries is eight within two weeks.
PROVIDER_TRIES_FOR = timedelta(days=14)
WAIT_FOR_IT = timedelta(days=3)


def never_made(way: Way) -> Iterator[Found]:
    if way.policy.retries is Retries.PROVIDER:
        for line in way.retries[:1]:
            yield Found(
                line.place,
                "Retries belong to the provider here, so this one is never made.",
                "Remove it, or set `retries: ours`.",
            )


def inside_the_providers(way: Way) -> Iterator[Found]:
    if way.policy.retries is not Retries.PROVIDER_FIRST:
        return
    for line in way.retries:
        if line.offset < PROVIDER_TRIES_FOR:
            yield Found(
                line.place,
                f"At {span_words(line.offset)} the provider's own retries are mostly still"
                " running, and while they do this one is left out.",
                f"Place it after {span_words(PROVIDER_TRIES_FOR)}, or set `retries: ours`.",
            )


def too_close(way: Way) -> Iterator[Found]:
    earlier: Line | None = None
    for line in way.charges:
        gap = line.offset - (earlier.offset if earlier else timedelta(0))
        if gap < DAY:
            before = "the retry before" if earlier else "the first failure"
            yield Found(
                line.place,
                f"Only {span_words(gap)} after {before}; banks repeat their answer.",
                "Leave at least 24h between charges.",
            )
        earlier = line


def too_many(way: Way) -> Iterator[Found]:
    """The first try that a limit would not allow; the failure that began it all counts."""
    tries = [timedelta(0)]
    for line in way.charges:
        for limit in sorted(built_in(), key=lambda limit: limit.count):
            if not _binds(limit):
                continue
            within = [at for at in tries if at > line.offset - limit.window]
            if len(within) >= limit.count:
                yield Found(
                    line.place,
                    f"With the first failure this is try {len(within) + 1} of a card within"
                    f" {span_words(limit.window)}; {limit.count} are allowed ({limit.name}), so"
                    " it is left out.",
                    f"Keep to {limit.count - 1} retries within {span_words(limit.window)}.",
                )
                return
        tries.append(line.offset)


def _binds(limit: Limit) -> bool:
    return limit.method_type is None


def none_before_suspension(way: Way) -> Iterator[Found]:
    door = way.first(StepKind.SUSPEND)
    if door is None or way.policy.retries is Retries.PROVIDER:
        return
    if not any(timedelta(0) < line.offset < door.offset for line in way.retries):
        yield Found(
            door.place,
            "Access is taken without one retry since the first failure.",
            "Add `{before: suspend 1d, do: retry}`.",
        )


def suspension_first(way: Way) -> Iterator[Found]:
    door = way.first(StepKind.SUSPEND)
    retries = way.charges
    if door is None:
        return
    before = [line for line in retries if line.offset <= door.offset]
    after = [line for line in retries if line.offset > door.offset]
    if before and after and after[0].offset - door.offset <= WAIT_FOR_IT:
        gap = span_words(after[0].offset - door.offset)
        yield Found(
            door.place,
            f"Access is taken {gap} before a retry that may bring the money.",
            "Put the retry before it: `{before: suspend 1d, do: retry}`.",
        )
    elif before and len(after) > len(before):
        yield Found(
            door.place,
            f"{len(after)} retries come after the suspension, and only {len(before)} before it.",
            "Suspend later, or try earlier.",
        )


SUBJECT = "Charges"
RULES = (
    Rule(
        name="retry-never-made",
        why="With `retries: provider` the provider makes every charge; a retry in the timeline"
        " looks like a chance and is none.",
        fix="Remove the retries, or set `retries: ours`.",
        of_way=never_made,
    ),
    Rule(
        name="retry-inside-providers-retries",
        why="With `provider_first` no charge is made while the provider still plans one. Stripe's"
        " recommended setting tries for two weeks.",
        fix="Place the first retry when theirs are over, or set `retries: ours`.",
        of_way=inside_the_providers,
    ),
    Rule(
        name="retries-too-close",
        why="Within a day a bank repeats its answer: the money is no more there than before. The"
        " try is used up, and banks take hurried tries for an attack.",
        fix="Leave at least 24h between charges.",
        of_way=too_close,
    ),
    Rule(
        name="too-many-retries",
        why="Card networks count everybody's tries of a card and charge for too many; from eight"
        " on issuers take them for fraud. What is over the limit is left out when its time comes.",
        fix="Keep to seven retries within 30 days; the first failure is a try as well.",
        of_way=too_many,
    ),
    Rule(
        name="no-retry-before-suspend",
        why="Many declines pass by themselves: a limit, a fraud check, an empty account before"
        " payday. Who is suspended without a second try may have been able to pay.",
        fix="Put a retry a day before the suspension.",
        of_way=none_before_suspension,
    ),
    Rule(
        name="suspend-before-last-retry",
        why="Access is taken from customers whom the next charge would have kept; each of them"
        " writes to support, and some leave for good.",
        fix="Suspend after the retry, or move most retries ahead of the suspension.",
        of_way=suspension_first,
    ),
)
