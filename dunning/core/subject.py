"""What is known of a case, as conditions ask for it: to choose its policy, and at each step."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from dunning.core.around import ALONE, Around
from dunning.core.branches import meanings, method_type, said_now
from dunning.core.choosing import Subject
from dunning.core.events import Attempt, AttemptStatus, NoticeReported
from dunning.core.facts import Case
from dunning.core.heard import customer_metadata, kind_of_method, subscription_details, tags_in
from dunning.core.money import Money
from dunning.core.policy import Policy
from dunning.core.status import Status, last_decline

_OUTCOMES = {
    AttemptStatus.DECLINED: "declined",
    AttemptStatus.ACTION_NEEDED: "action_needed",
}
OUTCOMES = (*_OUTCOMES.values(), "none")


def subject_of(case: Case, present: Status, around: Around = ALONE) -> Subject:
    """What the choice of a policy goes by; the amount is the one that failed."""
    if case.notice is not None:
        return _of_notice(case, case.notice, around)
    bill = case.bill
    details = subscription_details(case)
    of_customer = customer_metadata(case)
    metadata = dict(details.metadata) | dict(bill.metadata if bill else ())
    return Subject(
        source=case.source,
        amount=Money(sum(e.amount for e in present.books.entries[:1]), case.currency),
        country=case.word("country"),
        products=_merged(bill.products if bill else (), details.products),
        plans=_merged(bill.plans if bill else (), details.plans),
        intervals=_merged(bill.intervals if bill else (), details.intervals),
        metadata=tuple(sorted(metadata.items())),
        customer_metadata=of_customer,
        tags=_merged(tags_in(metadata), tags_in(dict(of_customer))),
        method=_method(case),
        tenure=_tenure(case),
        subscription=None if bill is None else case.subscription is not None,
        by_hand=None if bill is None else not bill.automatic,
        yearly=details.yearly,
        revenue=around.revenue,
    )


def _of_notice(case: Case, told: NoticeReported, around: Around) -> Subject:
    """What lies ahead, as a choice goes by it; an amount that nobody knows fits no condition."""
    ahead, details, of_customer = told.ahead, subscription_details(case), customer_metadata(case)
    amount = None if ahead.amount is None else Money(ahead.amount, ahead.currency)
    since = case.customer_since
    return Subject(
        source=case.source,
        kind=told.kind,
        amount=amount,
        country=case.word("country"),
        products=details.products,
        plans=details.plans,
        intervals=details.intervals or ((ahead.term,) if ahead.term else ()),
        metadata=details.metadata,
        customer_metadata=of_customer,
        tags=_merged(tags_in(dict(details.metadata)), tags_in(dict(of_customer))),
        method=ahead.method_type,
        tenure=max(told.at - since, timedelta(0)) if since else None,
        subscription=True,
        by_hand=False,
        yearly=details.yearly,
        revenue=around.revenue,
    )


def subject_at(case: Case, policy: Policy, present: Status, around: Around) -> Subject:
    """What the `when` of a line goes by: as the case stands, and what is still owed of it."""
    if case.notice is not None:
        found = subject_of(case, present, around)
        return replace(found, clicked=case.link_opened_at is not None)
    said = said_now(case, policy)
    last = case.attempts[-1] if case.attempts else None
    return replace(
        subject_of(case, present, around),
        amount=Money(present.at_risk, case.currency),
        declines=meanings(case, policy),
        advice=said[1].advice.value if said else None,
        codes=_codes(last_decline(case)),
        outcome=_OUTCOMES.get(last.status, "none") if last else "none",
        clicked=case.clicked,
        open_invoices=around.open_invoices,
    )


def _codes(attempt: Attempt | None) -> tuple[str, ...]:
    decline = attempt.decline if attempt else None
    if decline is None:
        return ()
    told = (decline.code, decline.error_code, decline.outcome_reason, decline.network_code)
    return _merged(tuple(code for code in told if code), ())


def _merged(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))


def _method(case: Case) -> str | None:
    """What kind of thing would be charged now."""
    last = case.attempts[-1] if case.attempts else None
    if case.method and (last is None or (case.method_at and last.at < case.method_at)):
        return kind_of_method(case, case.method)
    return method_type(last) if last else None


def _tenure(case: Case) -> timedelta | None:
    """How long they had been a customer when the charge failed."""
    if case.customer_since is None or case.failed_at is None:
        return None
    return max(case.failed_at - case.customer_since, timedelta(0))
