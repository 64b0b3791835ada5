"""Whether a charge, a message or a change of access is allowed for a case now, and which."""

from __future__ import annotations

from dunning.core.declines import Verdict, permits_charge
from dunning.core.facts import Case
from dunning.core.policy import Policy, Retries
from dunning.core.status import method_gone, spoken_of, verdict
from dunning.core.steps import fitting_template

# By names of their own: to look `Retries.PROVIDER` up takes as long as to call a function.
_PROVIDER, _PROVIDER_FIRST = Retries.PROVIDER, Retries.PROVIDER_FIRST


def why_no_charge(case: Case, policy: Policy, *, forced: bool = False) -> str | None:
    """The reason not to charge this invoice now, or None when nothing speaks against it.

    `forced`: a person overrides the advice, unless a network or scheme itself forbids the charge.
    """
    return charge_barred(case, policy, verdict(case, policy.declines), forced=forced)


def charge_barred(
    case: Case, policy: Policy, said: Verdict | None, *, forced: bool = False
) -> str | None:
    """The same, where it is at hand what the bank said."""
    if case.by_hand:
        return "the customer pays this invoice by hand; there is no card to charge"
    against = said is not None and not permits_charge(said.advice)
    if said is not None and against and (said.forbidden or not forced):
        return f"{said.advice.value}: {said.reason}"
    if method_gone(case):
        return "new_method: the payment method was removed, and no other has come"
    bill = case.bill
    if policy.retries is _PROVIDER:
        return "the provider owns the charges of this policy"
    theirs = bill is not None and bill.next_attempt_at is not None
    if policy.retries is _PROVIDER_FIRST and theirs:
        return "the provider has not finished its own retries"
    return None


def why_held_out(case: Case) -> str | None:
    """The reason to leave a customer alone who is held out, or None.

    What a person or the customer asks for (a charge by hand, a new card) is done all the same.
    """
    drawn = case.drawn
    if drawn is None or not drawn.left_alone:
        return None
    return f"held out: no retries and no emails for this part of policy {drawn.policy}"


def why_no_access(case: Case) -> str | None:
    """The reason why there is no service to restrict or suspend, or None when there is."""
    if case.terms.wide:
        return None if case.customer else "nobody knows whose invoice it is"
    if case.subscription is None:
        return "it belongs to no subscription, and access is that of a subscription here"
    if case.end is not None:
        return "the subscription has ended; there is no service left to take away"
    return None


def template_for(case: Case, planned: str, policy: Policy) -> str:
    """The message that fits what the bank said, or says how to pay to who pays by hand."""
    return fitting_template(planned, spoken_of(case, policy.declines), by_hand=case.by_hand)


def why_no_email(case: Case, policy: Policy) -> str | None:
    """The reason not to write to the customer now, or None."""
    return email_barred(verdict(case, policy.declines))


def email_barred(said: Verdict | None) -> str | None:
    """The same, where it is at hand what the bank said."""
    return f"no messages: {said.reason}" if said is not None and said.quiet else None
