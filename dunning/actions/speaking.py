"""Which cases a message speaks of: each as the provider has it now, right before it is sent."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from dunning.actions.looking import Seen, fold
from dunning.core.daily import may_be_told
from dunning.core.facts import Case
from dunning.core.policy import Policy
from dunning.core.ports import Doing, Provider

# The facts of these cases as they are stored now, each with the policy it goes by.
Stored = Callable[[Sequence[str]], Sequence[tuple[Case, Policy]]]
# Whether what is written of the one case is read by the customer of the other.
Readers = Callable[[Case, Case], bool]
# So many invoices at most are looked up for one message; the others have messages of their own.
MOST = 20


@dataclass(frozen=True, slots=True)
class Spoken:
    """A case that a message speaks of."""

    case: Case
    policy: Policy
    looked: Seen


def spoken(
    provider: Provider,
    stored: Stored,
    doing: Doing,
    looked: Seen,
    template: str,
    reads_it: Readers,
) -> list[Spoken]:
    """The case itself, and what else the customer owes and may be told of, the oldest first.

    Only what goes to the same address: what one person reads may not be for another's eyes.
    """
    own = Spoken(looked.case, doing.policy, looked)
    # What lies ahead is told by itself, and never beside a debt.
    if not doing.others or looked.case.notice is not None:
        return [own]
    found = [own, *_others(provider, stored, doing, looked.case, template, reads_it)]
    return sorted(found, key=lambda one: (one.case.failed_at or doing.now, one.case.id))


def _others(
    provider: Provider,
    stored: Stored,
    doing: Doing,
    own: Case,
    template: str,
    reads_it: Readers,
) -> Iterator[Spoken]:
    asked = 0
    for case, policy in stored(doing.others):
        if asked == MOST or case.notice is not None or not reads_it(own, case):
            continue
        if not may_be_told(case, policy, template, doing.now, looked=False):
            continue
        asked += 1
        looked = fold(case, provider.look(case.invoice))
        if reads_it(own, looked.case) and may_be_told(looked.case, policy, template, doing.now):
            yield Spoken(looked.case, policy, looked)


def same_person(own: Case, other: Case) -> bool:
    """Whose phone it is, wherever emails go."""
    return own.customer is not None and (own.customer, own.source) == (other.customer, other.source)


def same_address(own: Case, other: Case) -> bool:
    """Whether an email to the one is read by the other."""
    one, two = own.word("email"), other.word("email")
    same = one is not None and two is not None and one.casefold() == two.casefold()
    return same and own.customer == other.customer and own.source == other.source
