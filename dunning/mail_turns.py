"""Whose turn it is to write to a customer today, among the steps about to be begun."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlmodel import Session

from dunning import begun, mail_days
from dunning.begun import Beginning
from dunning.cases import CaseBook
from dunning.core.daily import Put, instead, mail_day, strength, stronger
from dunning.core.steps import Step
from dunning.core.words import MESSAGES
from dunning.mail_days import Neighbour, Wish
from dunning.schedule import Claim
from dunning.store import CaseRow, StepRow


def take_days(
    cases: CaseBook,
    session: Session,
    beginnings: Sequence[Beginning],
    known: Mapping[str, StepRow],
    now: datetime,
) -> tuple[dict[Claim, Wish], dict[Claim, Put]]:
    """Take the customers' days for what is to be written to them, in bulk; and who may not.

    Of a message that may have left the day was taken then; it is not going to be sent again.
    """
    writing = [
        one
        for one in beginnings
        if one.step.kind in MESSAGES and not begun.was_begun(known.get(one.step.key))
    ]
    if not writing:
        return {}, {}
    put: dict[Claim, Put] = {}
    wishes: dict[Claim, Wish] = {}
    beside = mail_days.neighbours(session, [one.case for one in writing])
    for one in writing:
        policy = cases.policy_of(session, one.policy_version)
        day, others = mail_day(one.case, policy, now), beside[one.case.id]
        ahead = _ahead_today(cases, session, others, day.ends_at, now)
        if later := stronger(one.step, ahead, day, now):
            put[one.claim] = later
        else:
            names = tuple(other.id for other in others)
            wishes[one.claim] = Wish(one.step.key, day, strength(one.step.template), names)
    refused = mail_days.take(session, list(wishes.values()), now)
    for one in writing:
        if taken := refused.get(one.step.key):
            policy = cases.policy_of(session, one.policy_version)
            put[one.claim] = instead(one.case, policy, one.step, taken, now)
    return wishes, put


def _ahead_today(
    cases: CaseBook, session: Session, others: Sequence[Neighbour], ends_at: datetime, now: datetime
) -> list[Step]:
    """The steps of the customer's other cases of which one is due today."""
    found: list[Step] = []
    for other in others:
        if other.next_at is not None and other.next_at < ends_at:
            row = session.get_one(CaseRow, other.id)
            found += cases.plan_of(session, row, now)[1].steps
    return found
