"""What the policy of a case says of its access and of a cancellation, as a fact of the case."""

from __future__ import annotations

from dataclasses import replace

from dunning.core.facts import Case, Terms
from dunning.core.policy import Policy, Reach
from dunning.core.remembered import per_policy


def under(case: Case, policy: Policy) -> Case:
    """The case with the terms of its policy; the same one where it has them."""
    terms = _terms(policy)
    return case if case.terms == terms else replace(case, terms=terms)


@per_policy
def _terms(policy: Policy) -> Terms:
    return Terms(on_cancel=policy.on_cancel, wide=policy.access is Reach.CUSTOMER)
