"""Histories of which the truth is known: made-up customers, with chances that are written down.

Charges go through as in the sandbox (`dunning.sandbox.curves`); customers act at a rate a day that
depends on how long ago they were written to.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from dunning.core.choosing import Subject
from dunning.core.events import Decline, StepKind
from dunning.core.facts import Word
from dunning.core.money import Money
from dunning.core.policy import Policy
from dunning.evidence.cells import stretches
from dunning.evidence.records import Outcome, Record, Try, family_of
from dunning.evidence.walking import Act, Start
from dunning.evidence.ways import Walks
from dunning.sandbox.curves import chance as of_charge
from tests.policies import rung

BEGAN = datetime(2026, 1, 3, 10, tzinfo=UTC)
UTC_ZONE = ZoneInfo("UTC")
CODES = ("insufficient_funds",) * 5 + ("do_not_honor",) * 3 + ("expired_card",) * 2
# A day, by how long ago the customer was written to.
RATES = {"1st day": 0.06, "2nd-3rd day": 0.03, "4th-7th day": 0.02, "later": 0.01}
UNWRITTEN = 0.005
WALKS = Walks()  # each start is walked once, whatever the test

SPARSE = Policy(
    name="sparse",
    grace=timedelta(days=14),
    window=timedelta(days=21),
    timeline=(
        rung("email", 0, template="payment_failed"),
        rung("retry", 4),
        rung("retry", 12),
        rung("suspend", 14),
        rung("give_up", 21),
    ),
)
DENSE = replace(
    SPARSE,
    name="dense",
    timeline=(
        rung("email", 0, template="payment_failed"),
        rung("retry", 3),
        rung("retry", 6),
        rung("email", 7, template="reminder"),
        rung("retry", 12),
        rung("suspend", 14),
        rung("retry", 16),
        rung("give_up", 21),
    ),
)


@dataclass(frozen=True)
class Customer:
    """One of them: what failed, and the day they are paid."""

    name: str
    start: Start
    code: str
    payday: int


_STARTS = {
    (day, code): Start(
        source="stripe",
        provider="stripe",
        invoice=f"in_{day}_{code}",
        failed_at=BEGAN + timedelta(days=day * 3),
        amount=4900,
        currency="usd",
        decline=Decline(code=code),
        words=(Word(about="subscription", value="sub_1", at=BEGAN, id="evt_1"),),
    )
    for day in range(10)
    for code in sorted(set(CODES))
}


def customers(count: int, seed: int) -> list[Customer]:
    chance = random.Random(f"customers/{seed}")
    made = []
    for number in range(count):
        code, day = chance.choice(CODES), chance.randrange(10)
        payday = chance.choice((1, 15))
        made.append(Customer(f"cus_{number}", _STARTS[day, code], code, payday))
    return made


def history(people: Sequence[Customer], policy: Policy, seed: int) -> list[Record]:
    """What the policy came to, by the chances above and the luck of the seed."""
    chance = random.Random(f"history/{seed}")
    return [_lived(person, policy, chance) for person in people]


def _blank(person: Customer, policy: Policy) -> Record:
    start = person.start
    return Record(
        customer=person.name,
        start=start,
        subject=Subject(source="stripe", amount=Money(start.amount, "usd")),
        policy=policy,
        family=family_of(start.decline, start.method_type),
        zone=UTC_ZONE,
        outcome=Outcome.LOST,
        ended_at=start.failed_at,
    )


def _lived(person: Customer, policy: Policy, chance: random.Random) -> Record:
    record = _blank(person, policy)
    acts = WALKS.of(record, policy)
    tries: list[Try] = []
    for at, good, act in moments(person, record, acts):
        if act is not None:
            tries.append(Try(act.at, record.family, chance.random() < good))
            if not tries[-1].good:
                continue
        elif chance.random() >= good:
            continue
        done = tuple(one for one in acts if one.at <= at)
        return replace(
            record,
            acts=done,
            tries=tuple(tries),
            outcome=Outcome.RECOVERED,
            ended_at=at,
            came_in=((at, person.start.amount),),
            reacted=act is None,
        )
    return replace(record, acts=tuple(acts), tries=tuple(tries), ended_at=acts[-1].at)


def moments(
    person: Customer, record: Record, acts: Sequence[Act]
) -> list[tuple[datetime, float, Act | None]]:
    """Everything that may bring the money in, with its true chance; None is the customer."""
    start, end = person.start.failed_at, acts[-1].at
    emails = [act.at for act in acts if act.kind is StepKind.EMAIL]
    found: list[tuple[datetime, float, Act | None]] = []
    for cell, begin, days in stretches(start, end, record.family, emails):
        # By the day, so that it shows when somebody acted.
        for part in range(math.ceil(days)):
            span = min(1.0, days - part)
            rate = RATES.get(cell[2], UNWRITTEN)
            at = begin + timedelta(days=part + span * 0.999)
            found.append((at, 1 - (1 - rate) ** span, None))
    charges = (act for act in acts if act.kind is StepKind.RETRY)
    found += [(act.at, _charge(person, act.at), act) for act in charges]
    return sorted(found, key=lambda one: one[0])


def _charge(person: Customer, at: datetime) -> float:
    return of_charge(
        person.code,
        failed_at=int(person.start.failed_at.timestamp()),
        at=int(at.timestamp()),
        zone="UTC",
        payday=person.payday,
    )


def truth(people: Sequence[Customer], policy: Policy) -> float:
    """How many of them the policy recovers in the long run."""
    whole = 0.0
    for person in people:
        record = _blank(person, policy)
        unpaid = 1.0
        for _, good, _ in moments(person, record, WALKS.of(record, policy)):
            unpaid *= 1 - good
        whole += 1 - unpaid
    return whole
