"""Rules about the end: when a case is given up, and what is left of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from dunning.config.lint.rule import Found, Rule, Way
from dunning.config.lint.standing import all_are
from dunning.config.timing import span_words
from dunning.core.events import StepKind
from dunning.core.policy import Invoice, Subscription

MONTH = timedelta(days=31)


def too_long(way: Way) -> Iterator[Found]:
    window, terms = way.policy.window, way.file.terms
    if all_are(way.chosen, "subscription", so=False, terms=terms):
        return  # no next invoice follows
    known = way.words("interval")
    longest = min((_length(interval) for interval in known), default=MONTH) if known else MONTH
    if window <= longest:
        return
    if known:
        yield Found(
            ("window",),
            f"{span_words(window)} is longer than the {span_words(longest)} from one invoice to"
            " the next, which fails beside this one.",
            f"Keep to {span_words(longest)} or less.",
        )
    else:
        yield Found(
            ("window",),
            f"{span_words(window)} is over a month: the next invoice fails beside this one.",
            f"Keep to {span_words(MONTH)} or less; if these invoices are yearly, choose this"
            " policy by `interval: year`.",
        )


def _length(interval: str) -> timedelta:
    """`month`, `2 weeks`: how long it is at most; one that nobody knows, a month."""
    number, _, unit = interval.rpartition(" ")
    days = _DAYS.get(unit.removesuffix("s"))
    return MONTH if days is None else days * int(number or 1) * timedelta(days=1)


_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "half_year": 184, "year": 366}


def left_open(way: Way) -> Iterator[Found]:
    if way.first(StepKind.GIVE_UP) is None:
        yield Found(
            ("timeline",),
            f"Given up after {span_words(way.policy.window)}, with subscription and invoice kept.",
            "Add a line with `do: give_up`, `subscription:` and `invoice:`.",
        )


def keeps_both(way: Way) -> Iterator[Found]:
    end = way.first(StepKind.GIVE_UP)
    if end and end.rung.subscription is Subscription.KEEP and end.rung.invoice is Invoice.KEEP:
        yield Found(
            end.place,
            "Giving up keeps both the subscription and the invoice: service goes on unpaid.",
            "Say `subscription: cancel`, `invoice: uncollectible`, or both.",
        )


def too_early(way: Way) -> Iterator[Found]:
    end, window = way.first(StepKind.GIVE_UP), way.policy.window
    if end and end.offset < window:
        yield Found(
            end.place,
            f"The case is given up before its window of {span_words(window)} closes.",
            f"Set `window: {span_words(end.offset)}`, or move this line.",
        )


SUBJECT = "The end"
RULES = (
    Rule(
        name="window-too-long",
        why="When the next invoice comes while this one is open, it fails with the same card: two"
        " cases, twice the emails, and a debt that grows past what the customer will pay.",
        fix="Give up before the next invoice is due.",
        of_way=too_long,
    ),
    Rule(
        name="no-give-up",
        why="Without a line for it a case is given up at its window, and subscription and invoice"
        " stay as they are: bills go on for a service nobody pays.",
        fix="Add `{at: 28d, do: give_up, subscription: cancel, invoice: uncollectible}`.",
        of_way=left_open,
    ),
    Rule(
        name="give-up-keeps-all",
        why="The case is over and nothing has changed: the subscription bills on, the invoice"
        " stays open, and nobody looks after either.",
        fix="Say what becomes of one of them at least.",
        of_way=keeps_both,
    ),
    Rule(
        name="give-up-before-window",
        why="The two disagree about when the case ends; whoever reads the window plans with days"
        " that there are not.",
        fix="Set `window` to the place of `give_up`.",
        of_way=too_early,
    ),
)
