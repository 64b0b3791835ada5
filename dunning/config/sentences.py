"""A policy in plain sentences, one for each line of its timeline, in the order they come."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import time, timedelta
from fractions import Fraction
from typing import assert_never

from dunning.config.notices import MOMENTS
from dunning.config.timing import Timed, in_order, span_words
from dunning.core.choosing import Terms, words
from dunning.core.days import NAMES, Day, Quiet, Wish
from dunning.core.events import OnCancel, StepKind
from dunning.core.holdout import Holdout
from dunning.core.money import Money
from dunning.core.places import walked
from dunning.core.policy import (
    ANY_METHOD,
    PROMISE_WITHIN,
    Collection,
    Invoice,
    Policy,
    Reach,
    Retries,
    Rung,
    Subscription,
)
from dunning.core.words import Kind
from dunning.core.worth import Term

_DAYS = {
    Day.WEEKDAY: "a working day (Monday to Friday)",
    Day.BUSINESS_DAY: "a day on which the customer's country works",
    Day.LAST_DAY: "the last day of a month",
}
_QUIET = {Quiet.HOLIDAY: "public holidays of the customer's country"}
_STEPS = {"restrict": "restricting", "suspend": "suspension", "give_up": "giving up"}
_COLLECTION = {
    Collection.KEEP_AS_DRAFT: "later invoices wait as drafts",
    Collection.MARK_UNCOLLECTIBLE: "later invoices are marked uncollectible",
    Collection.VOID: "later invoices are voided",
    Collection.GO_ON: "later invoices are billed as before",
}
_SUBSCRIPTION = {
    Subscription.CANCEL: "cancel the subscription",
    Subscription.PAUSE: "pause the subscription, whose later invoices are voided,",
    Subscription.UNPAID: "switch the service off, while later invoices wait as drafts,",
    Subscription.KEEP: "keep the subscription",
}
_INVOICE = {
    Invoice.UNCOLLECTIBLE: "mark the invoice uncollectible",
    Invoice.VOID: "void the invoice",
    Invoice.KEEP: "leave the invoice open",
}
_ON_CANCEL = {
    OnCancel.KEEP: "what is owed is pursued all the same",
    OnCancel.VOID: "the invoice is voided",
    OnCancel.VOID_IF_WHOLLY_UNPAID: "the invoice is voided, unless a part of it was paid",
}
_CHARGE = {
    Retries.OURS: "try the charge again",
    Retries.PROVIDER: "no charge of ours, as the provider owns the retries",
    Retries.PROVIDER_FIRST: "try the charge again, once the provider has stopped trying",
    Retries.SIGNAL: "tell the billing system to try the charge again",
}


def describe(policy: Policy) -> list[str]:
    """One sentence for each step, soonest first, and for each other thing that is not usual.

    Times of day are the customer's.
    """
    sentences = [_sentence(policy, line) for line in in_order(policy)]
    if policy.kind.is_notice:
        return [*sentences, _ENDS[policy.kind]]
    if all(rung.do is not StepKind.GIVE_UP for rung in policy.timeline):
        end = Rung(do=StepKind.GIVE_UP, after=policy.window)
        sentences.append(_sentence(policy, Timed(len(policy.timeline), end, policy.window)))
    sentences += _terms(policy)
    if policy.holdout is not None:
        sentences.append(_held_out(policy.holdout))
    return sentences


def _held_out(holdout: Holdout) -> str:
    share = f"{holdout.share / 100:g} % of the customers are held out, for comparison"
    if holdout.policy is not None:
        return f"{share}: policy {holdout.policy} walks their cases."
    return f"{share}: no retries and no emails; access and giving up as above."


def describe_branches(policy: Policy) -> dict[str, list[str]]:
    """The sentences of each branch, in the order of the file; what it shares is not repeated."""
    found = {}
    for name, lines in policy.branches:
        whole = walked(policy, name)
        own = [line for line in in_order(whole) if line.index < len(lines)]
        found[name] = [_sentence(whole, line) for line in own]
    return found


def describe_terms(terms: Terms) -> list[str]:
    """What the file calls a customer's value, and its segments."""
    told = []
    value = terms.value
    if value is not None and value.expected_years is not None:
        parts = ["the yearly revenue", f"{_term(value.expected_years)} years"]
        parts += [_term(value.margin)] if value.margin else []
        cost = f", less {_term(value.acquisition_cost)}" if value.acquisition_cost else ""
        told.append(f"Lifetime value: {' x '.join(parts)}{cost}.")
    if value is not None and value.lifetime_revenue is not None:
        where = f"the customer's metadata {value.lifetime_revenue}"
        told.append(f"Lifetime revenue: {where}, else the invoices seen paid.")
    return [*told, *(f"Segment {name}: {words(when)}." for name, when in terms.segments)]


def _term(term: Term) -> str:
    given = None if term.given is None else _given(term.given)
    if term.metadata is None:
        return given or ""
    default = f", else {given}" if given else ""
    return f"(the customer's metadata {term.metadata}{default})"


def _given(given: Fraction | Money) -> str:
    """`80%`, `5/2`, `120.00 USD`: a share of less than one as a percentage where it is whole."""
    if isinstance(given, Fraction) and given < 1 and (given * 100).denominator == 1:
        return f"{given * 100}%"
    return str(given)


_ENDS = {
    Kind.CARD_EXPIRY: "It ends with a new card, a later date, or no renewal after the card's last"
    " day; access and charges stay as they are.",
    Kind.RENEWAL: "It moves with the renewal, and ends with it or with a cancellation.",
}

MEANINGS = {
    "hard_decline": "the bank says never again with this card",
    "authentication": "the bank wants the customer to confirm the payment",
    "data_to_fix": "the details of the card are wrong or out of date",
    "funds": "there is not enough money",
    "issuer_unavailable": "the bank could not answer for the moment",
    "bank_debit": "a bank debit failed",
    "unknown": "nobody says why",
}


def _sentence(policy: Policy, line: Timed) -> str:
    only = f", only if {words(line.rung.when)}" if line.rung.when else ""
    return f"{_when(policy, line)}{_moved(policy, line.rung)}: {_what(policy, line.rung)}{only}."


def _when(policy: Policy, line: Timed) -> str:
    rung, at = line.rung, line.offset
    if rung.anchor is None and rung.before is not None:
        return f"{_length(rung.before)} before {MOMENTS[policy.kind]}"
    if rung.anchor is not None:
        gap, side = (rung.before, "before") if rung.past is None else (rung.past, "after")
        step = _STEPS.get(rung.anchor, rung.anchor)
        apart = f"{_length(gap)} {side}" if gap else f"Just {side}"
        return f"{apart} {step}, {_length(at)} after the first failure"
    return f"{_length(at)} after the first failure" if at else "When the charge first fails"


def _moved(policy: Policy, rung: Rung) -> str:
    """What the step waits for: a time of day, days, chance, hours."""
    text = f", at the next {rung.clock:%H:%M}" if rung.clock else ""
    if rung.on:
        days = ", else ".join(_day(policy, wish) for wish in rung.on)
        text += f", moved to {days} if one is within {_length(rung.patience)}"
    if rung.jitter:
        text += f", up to {_length(rung.jitter)} later by chance"
    if rung.between:
        text += f", between {_span(rung.between)}"
    return text


def _day(policy: Policy, wish: Wish) -> str:
    if wish is Day.PAYDAY:
        paydays = [_day(policy, each) for each in policy.paydays]
        return f"a payday ({' or '.join(filter(None, (', '.join(paydays[:-1]), paydays[-1])))})"
    if isinstance(wish, int):
        return f"the {_ordinal(wish)}"
    return f"a {wish.value.capitalize()}" if wish in NAMES else _DAYS[wish]


def _ordinal(number: int) -> str:
    teens = 11 <= number % 100 <= 13
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _span(between: tuple[time, time]) -> str:
    return f"{between[0]:%H:%M} and {between[1]:%H:%M}"


def _what(policy: Policy, rung: Rung) -> str:
    match rung.do:
        case StepKind.RETRY:
            return _CHARGE[policy.retries]
        case StepKind.EMAIL | StepKind.SMS:
            hours = policy.send_between if rung.between is None else None
            between = f", between {_span(hours)}" if hours else ""
            how = "write to" if rung.do is StepKind.EMAIL else "text"
            return f"{how} the customer ({rung.template}){between}"
        case StepKind.RESTRICT:
            return f"restrict access{_whose(policy)}{_tell(rung)}"
        case StepKind.SUSPEND:
            later = _COLLECTION[rung.collection]
            return f"suspend access{_whose(policy)}; {later}{_tell(rung)}"
        case StepKind.GIVE_UP:
            return f"give up: {_SUBSCRIPTION[rung.subscription]} and {_INVOICE[rung.invoice]}"
        case StepKind.RESTORE:
            return "restore access"
        case StepKind.ANNOUNCE:
            return f"tell the product: {rung.name}{_tell(rung)}"
        case StepKind.SIGNAL:
            return "tell the billing system"
        case StepKind.VOID:
            return "void the invoice"
        case StepKind.RECONCILE:
            return "ask the provider how the invoice stands"
        case _:
            assert_never(rung.do)


def _whose(policy: Policy) -> str:
    return " to all that the customer has" if policy.access is Reach.CUSTOMER else ""


def _tell(rung: Rung) -> str:
    words = ", ".join(f"{name}: {value}" for name, value in rung.tell)
    return f" ({words})" if words else ""


def _terms(policy: Policy) -> Iterator[str]:
    """What the policy says beside its timeline, where that is not the usual."""
    if policy.quiet_days:
        *others, last = [_QUIET.get(day, f"{day.value.capitalize()}s") for day in policy.quiet_days]
        listed = f"{', '.join(others)} and {last}" if others else last
        yield f"No email is written on {listed}: it waits for the next day that is none of them."
    if policy.on_cancel is not OnCancel.CLOSE:
        yield f"If the customer cancels, {_ON_CANCEL[policy.on_cancel]}."
    if policy.backup_methods:
        listed = ", then ".join(policy.backup_methods)
        order = "whatever its type" if policy.backup_methods == (ANY_METHOD,) else listed
        also = ", or after the last retry before a door" if policy.backup_after_last_retry else ""
        when = f"When the present method may not be charged any more{also}"
        yield f"{when}: charge another saved method of the customer ({order}), each once."
    if not policy.promise_within:
        yield "Customers cannot promise a day of payment by themselves."
    elif (policy.promise_within, policy.promise_most) != (PROMISE_WITHIN, 1):
        times = "once" if policy.promise_most == 1 else f"{policy.promise_most} times at most"
        within = _length(policy.promise_within)
        yield f"On their page customers may promise to pay within {within}, {times} for an invoice."


def _length(span: timedelta) -> str:
    """`3 days`, `36 hours`, `1 day`."""
    short = span_words(span)
    unit = {"d": "day", "h": "hour", "m": "minute"}[short[-1]]
    number = short[:-1]
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"
