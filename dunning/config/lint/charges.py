"""Rules about charges: too many, too soon, never made."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import pairwise

from dunning.config.lint.rule import DAY, HOUR, ONLY_THE_CUSTOMER, Found, Line, Rule, Way
from dunning.config.timing import span_words
from dunning.core.branches import BANK_DEBIT
from dunning.core.choosing import OneOf
from dunning.core.events import StepKind
from dunning.core.limits import ORIGINAL, Limit, built_in
from dunning.core.merge import DEBITS
from dunning.core.policy import Retries

# Stripe's recommended setting of its own retries is eight within two weeks.
PROVIDER_TRIES_FOR = timedelta(days=14)
WAIT_FOR_IT = timedelta(days=3)
# Where nothing says which debits these are: most are one of the two, and both allow two more tries.
COMMON_DEBITS = ("us_bank_account", "sepa_debit")
# Four business days (ACH) are six days over a weekend less the day of the debit itself.
SETTLES = timedelta(days=5)


def never_made(way: Way) -> Iterator[Found]:
    if way.policy.retries is Retries.PROVIDER:
        for line in way.retries[:1]:
            yield Found(
                line.place,
                "Retries belong to the provider here, so this one is never made.",
                "Remove it, or set `retries: ours`.",
            )
    elif way.by_hand:
        for line in way.retries[:1]:
            yield Found(
                line.place,
                "These customers pay by hand, so there is nothing to charge.",
                "Remove it; ask by email.",
            )


def after_hard_decline(way: Way) -> Iterator[Found]:
    if way.policy.retries is Retries.PROVIDER or way.by_hand:
        return
    for line in way.retries:
        asked = _declines(line)
        if way.branch in ONLY_THE_CUSTOMER:
            what = way.branch
        elif asked and asked <= set(ONLY_THE_CUSTOMER):
            what = " or ".join(sorted(asked))
        else:
            continue
        yield Found(
            line.place,
            f"After {what} a charge brings nothing: it is left out, or declined again at a fee.",
            "Remove it, and ask the customer by email for what is needed.",
        )


def _declines(line: Line) -> set[str]:
    """The meanings of a decline that the line itself asks for."""
    conditions = line.rung.when.all_of
    asked = [c for c in conditions if isinstance(c, OneOf) and c.key == "decline"]
    return set(asked[0].words) if asked else set()


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
    if way.branch == BANK_DEBIT:
        return
    for i, line in enumerate(way.charges):
        earlier = next((one for one in way.charges[:i][::-1] if not way.apart(one, line)), None)
        gap = line.offset - (earlier.offset if earlier else timedelta(0))
        least = HOUR if "issuer_unavailable" in (way.branch, *_declines(line)) else DAY
        if gap < least:
            before = "the retry before" if earlier else "the first failure"
            yield Found(
                line.place,
                f"Only {span_words(gap)} after {before}; banks repeat their answer.",
                f"Leave at least {span_words(least)} between charges.",
            )


def too_many(way: Way) -> Iterator[Found]:
    """The first try that is over a limit whatever these customers pay with."""
    methods = way.words("method") or (COMMON_DEBITS if way.branch == BANK_DEBIT else (None,))
    over = [_first_over(way, method) for method in sorted(methods, key=str)]
    told = [found for found in over if found is not None]
    if len(told) == len(over):
        line, limit, count = max(told, key=lambda found: found[0].offset)
        window = span_words(limit.window)
        yield Found(
            line.place,
            f"With the first failure this is try {count + 1} within {window}; {limit.count} are"
            f" allowed ({limit.name}), so it is left out.",
            f"Keep to {limit.count - 1} retries within {window}.",
        )


def _first_over(way: Way, method: str | None) -> tuple[Line, Limit, int] | None:
    limits = [limit for limit in built_in() if limit.method_type in (None, method)]
    tries: list[Line] = []
    for line in way.charges:
        for limit in sorted(limits, key=lambda limit: (limit.count, -limit.window)):
            after = line.offset - limit.window
            if limit.counted == ORIGINAL:
                after = timedelta(days=-1)  # every try of this debt counts
            within = [one for one in tries if one.offset > after and not way.apart(one, line)]
            count = len(within) + (after < timedelta(0))  # the failure that began it all counts
            if count >= limit.count:
                return line, limit, count
        tries.append(line)
    return None


def debits_too_fast(way: Way) -> Iterator[Found]:
    """Between two debits of one debt there must be time for the first to come back."""
    methods = way.words("method")
    if way.branch != BANK_DEBIT and not (methods and methods <= DEBITS):
        return
    for earlier, later in pairwise(way.charges):
        gap = later.offset - earlier.offset
        if gap < SETTLES and not way.apart(earlier, later):
            yield Found(
                later.place,
                f"Only {span_words(gap)} after the debit before, which is still on its way then.",
                f"Leave at least {span_words(SETTLES)}; SEPA debits may take 14 days to come back.",
            )


def none_before_suspension(way: Way) -> Iterator[Found]:
    door = way.first(StepKind.SUSPEND)
    if door is None or not way.can_charge:
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
        name="charge-after-hard-decline",
        why="Lost, stolen, closed, expired, or to be confirmed: the bank has said that this card"
        " will not be paid from as it is. Networks fine each further try, and fraud systems"
        " remember who made it.",
        fix="Write to the customer instead.",
        of_way=after_hard_decline,
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
        fix="Keep to seven retries of a card within 30 days, and two of a bank debit: the first"
        " failure is a try as well.",
        of_way=too_many,
    ),
    Rule(
        name="bank-debit-too-fast",
        why="A debit takes four business days (ACH) to two weeks (SEPA) to go through or come"
        " back. A second one before that asks twice for one debt, and each return costs a fee.",
        fix="Leave at least 5d between debits, better two weeks.",
        of_way=debits_too_fast,
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
