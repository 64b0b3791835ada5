"""A policy in plain sentences, one for each line of its timeline, in the order they come."""

from __future__ import annotations

from datetime import timedelta
from typing import assert_never

from dunning.config.timing import Timed, in_order, span_words
from dunning.core.calendar import PREFERENCE_DAYS
from dunning.core.events import StepKind
from dunning.core.policy import Collection, Day, Invoice, Policy, Retries, Rung, Subscription

_DAYS = {
    Day.PAYDAY: "payday (the 1st, the 15th or the last day of a month)",
    Day.WEEKDAY: "working day (Monday to Friday)",
}
_COLLECTION = {
    Collection.KEEP_AS_DRAFT: "later invoices wait as drafts",
    Collection.MARK_UNCOLLECTIBLE: "later invoices are marked uncollectible",
    Collection.VOID: "later invoices are voided",
    Collection.GO_ON: "later invoices are billed as before",
}
_SUBSCRIPTION = {
    Subscription.CANCEL: "cancel the subscription",
    Subscription.KEEP: "keep the subscription",
}
_INVOICE = {
    Invoice.UNCOLLECTIBLE: "mark the invoice uncollectible",
    Invoice.VOID: "void the invoice",
    Invoice.KEEP: "leave the invoice open",
}
_CHARGE = {
    Retries.OURS: "try the charge again",
    Retries.PROVIDER: "no charge of ours, as the provider owns the retries",
    Retries.PROVIDER_FIRST: "try the charge again, once the provider has stopped trying",
    Retries.SIGNAL: "tell the billing system to try the charge again",
}


def describe(policy: Policy) -> list[str]:
    """One sentence for each step, soonest first; times of day are the customer's."""
    sentences = [_sentence(policy, line) for line in in_order(policy)]
    if all(rung.do is not StepKind.GIVE_UP for rung in policy.timeline):
        end = Rung(do=StepKind.GIVE_UP, after=policy.window)
        sentences.append(_sentence(policy, Timed(len(policy.timeline), end, policy.window)))
    return sentences


def _sentence(policy: Policy, line: Timed) -> str:
    return f"{_when(line)}{_moved(line.rung)}: {_what(policy, line.rung)}."


def _when(line: Timed) -> str:
    rung, at = line.rung, line.offset
    if rung.anchor is not None and rung.before is not None:
        step = "suspension" if rung.anchor is StepKind.SUSPEND else "giving up"
        gap = f"{_length(rung.before)} before" if rung.before else "Just before"
        return f"{gap} {step}, {_length(at)} after the first failure"
    return f"{_length(at)} after the first failure" if at else "When the charge first fails"


def _moved(rung: Rung) -> str:
    """The time of day and the days that the step waits for."""
    text = f", at the next {rung.clock:%H:%M}" if rung.clock else ""
    if rung.on:
        days = ", else a ".join(_DAYS[day] for day in rung.on)
        text += f", moved to a {days} if one is within {PREFERENCE_DAYS} days"
    return text


def _what(policy: Policy, rung: Rung) -> str:
    match rung.do:
        case StepKind.RETRY:
            return _CHARGE[policy.retries]
        case StepKind.EMAIL:
            return f"write to the customer ({rung.template}){_hours(policy)}"
        case StepKind.RESTRICT:
            return "restrict access"
        case StepKind.SUSPEND:
            return f"suspend access; {_COLLECTION[rung.collection]}"
        case StepKind.GIVE_UP:
            return f"give up: {_SUBSCRIPTION[rung.subscription]} and {_INVOICE[rung.invoice]}"
        case StepKind.RESTORE:
            return "restore access"
        case StepKind.ANNOUNCE:
            return "tell the billing system"
        case StepKind.RECONCILE:
            return "ask the provider how the invoice stands"
        case _:
            assert_never(rung.do)


def _hours(policy: Policy) -> str:
    if policy.send_between is None:
        return ""
    opens, closes = policy.send_between
    return f", between {opens:%H:%M} and {closes:%H:%M}"


def _length(span: timedelta) -> str:
    """`3 days`, `36 hours`, `1 day`."""
    short = span_words(span)
    unit = {"d": "day", "h": "hour", "m": "minute"}[short[-1]]
    number = short[:-1]
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
