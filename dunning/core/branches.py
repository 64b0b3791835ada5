"""Which lines of a policy hold for a case now: its timeline, or a branch for what the bank said.

A branch takes the place of the timeline's retries, emails and announcements for as long as the
last decline has its meaning. Restricting and the doors stay those of the timeline, unless the
branch has its own; they have one key in all branches, so nothing is done twice. What lay before
the case came into a branch is not made up for: no charge fires late because the bank changed its
answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from dunning.core.choosing import Choice, Terms, When, keys_of
from dunning.core.declines import UNKNOWN, Verdict
from dunning.core.events import Attempt, AttemptStatus
from dunning.core.facts import Case
from dunning.core.merge import DEBITS
from dunning.core.places import Way, every_way
from dunning.core.policy import Policy
from dunning.core.status import standing_decline

BANK_DEBIT, NOTHING_KNOWN = "bank_debit", "unknown"
# What each kind of refusal in the table of declines is called in a policy.
MEANINGS: Mapping[str, str] = {
    "hard_never_retry": "hard_decline",
    "fraud_block": "hard_decline",
    "needs_authentication": "authentication",
    "fix_card_data": "data_to_fix",
    "soft_funds": "funds",
    "soft_temporary": "issuer_unavailable",
    "issuer_unspecified": NOTHING_KNOWN,
    "merchant_config": NOTHING_KNOWN,
    "": NOTHING_KNOWN,
}
BRANCHES = tuple(dict.fromkeys((*MEANINGS.values(), BANK_DEBIT)))


def way_of(case: Case, policy: Policy) -> Way:
    """The lines that hold for the case as its facts are."""
    ways = every_way(policy)
    if not policy.branches:
        return ways[0]
    name = _named(policy, meanings(case, policy))
    way = next(way for way in ways if way.branch == name)
    since = _since(case, policy, name)
    return replace(way, since=since) if since else way


def whens_of(policy: Policy) -> list[When]:
    """The conditions of all its lines, in its branches as well."""
    lines = (*policy.timeline, *(rung for _, several in policy.branches for rung in several))
    return [rung.when for rung in lines if rung.when]


def asks_revenue(choices: Sequence[Choice], policies: Mapping[str, Policy], terms: Terms) -> bool:
    """Whether anything in a file asks for what customers have paid so far."""
    # A segment that no line names is asked for all the same: reports go by it.
    named = [choice.when for choice in choices] + [when for _, when in terms.segments]
    chosen = any("lifetime_revenue" in keys_of(when, terms) for when in named)
    return chosen or any("lifetime_revenue" in asks(policy) for policy in policies.values())


def asks(policy: Policy) -> frozenset[str]:
    """Which facts besides the case its conditions need; see `core.around`."""
    asked = {key for when in whens_of(policy) for key in keys_of(when, policy.terms)}
    if policy.branches or asked:
        asked.add("begun")
    return frozenset(asked & {"open_invoices", "lifetime_revenue", "begun"})


# --- what the bank said ----------------------------------------------------------------------


def said_now(case: Case, policy: Policy) -> tuple[Attempt | None, Verdict] | None:
    """What is known of the present way to pay; None once a new one came and nobody has tried it."""
    standing = standing_decline(case, policy.declines)
    if standing is not None:
        return standing
    failed_at = case.failed_at
    changes = [at for at in (case.method_at, case.method_fixed_at) if at is not None]
    if failed_at is not None and any(at >= failed_at for at in changes):
        return None
    return None, UNKNOWN


def meanings(case: Case, policy: Policy) -> tuple[str, ...]:
    """What the last decline means; several words can fit, and the policy's order decides."""
    said = said_now(case, policy)
    if said is None:
        return ()
    attempt, told = said
    found = [MEANINGS.get(told.category, NOTHING_KNOWN)]
    if attempt is not None and method_type(attempt) in DEBITS:
        found.append(BANK_DEBIT)
    return tuple(found)


def method_type(attempt: Attempt) -> str | None:
    """What was charged: `card`, `sepa_debit`, …"""
    return attempt.method_type or (attempt.decline.method_type if attempt.decline else None)


def _named(policy: Policy, fitting: tuple[str, ...]) -> str | None:
    return next((name for name, _ in policy.branches if name in fitting), None)


# --- since when ------------------------------------------------------------------------------

_FAILED = (AttemptStatus.DECLINED, AttemptStatus.ACTION_NEEDED)


def _since(case: Case, policy: Policy, name: str | None) -> datetime | None:
    """When the case came into the branch it is in; None: it has been there from the beginning."""
    tries = {a.at for a in case.attempts if a.status in _FAILED}
    changes = {at for at in (case.method_at, case.method_fixed_at) if at is not None}
    moments = sorted(tries | changes, reverse=True)
    began, failed_at = None, case.failed_at
    for moment in moments:
        if _named(policy, meanings(_as_of(case, moment), policy)) != name:
            break
        began = moment
    else:
        # Before anything was heard, nothing was known.
        if _named(policy, (NOTHING_KNOWN,)) == name:
            return None
    if began is None or failed_at is None or began <= failed_at:
        return None
    return max([began, *_ended(case, began)])


def _as_of(case: Case, moment: datetime) -> Case:
    """The case as it was then, as far as the ways to pay go."""
    given = case.method_at is not None and case.method_at <= moment
    mended = case.method_fixed_at is not None and case.method_fixed_at <= moment
    return replace(
        case,
        attempts=tuple(attempt for attempt in case.attempts if attempt.at <= moment),
        method=case.method if given else None,
        method_at=case.method_at if given else None,
        method_fixed_at=case.method_fixed_at if mended else None,
    )


def _ended(case: Case, began: datetime) -> list[datetime]:
    """When, by our own clock, the charges of ours ended that brought the case here."""
    keys = {attempt.key for attempt in case.attempts if attempt.at == began and attempt.key}
    return [step.at for step in case.done if step.id in keys]
