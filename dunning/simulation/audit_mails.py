"""The part of the audit that looks at what was written to customers, and how often a day."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlmodel import Session

from dunning.case_rows import read_facts
from dunning.core.announced import TO_READ
from dunning.core.calendar import zone_of
from dunning.core.events import StepResult
from dunning.core.places import every_way, namespace
from dunning.core.policy import Policy, from_data
from dunning.store import CaseRow, MailDayRow, MessageRow, PolicyRow

if TYPE_CHECKING:
    from dunning.simulation.audit_books import Line
    from dunning.simulation.auditor import Arrived, Evidence, Seen


def check(session: Session, seen: Seen, lines: Mapping[str, Line], evidence: Evidence) -> list[str]:
    """Every breach of what holds of messages."""
    days = list(session.scalars(select(MailDayRow)))
    spoken = {row.step_key: json.loads(row.cases) for row in days if row.cases}
    return [
        *_mails(seen, lines, evidence, spoken),
        *_two_a_day(session, seen, evidence),
        *_told_elsewhere(seen, spoken),
        *_unread(session, seen, evidence),
    ]


def _mails(
    seen: Seen, lines: Mapping[str, Line], evidence: Evidence, spoken: Mapping[str, list[str]]
) -> Iterator[str]:
    """I2, I3: no message about a debt after its end; none twice; what left is on record.

    Of each step: sent <= arrived <= sent + doubtful.
    """
    arrived = Counter(_local(mail.id) for mail in evidence.mails)
    said = {_message_id(row.step_key): row for row in seen.messages if row.channel == "email"}
    # What a mail server took has its answer as reference, though it may have come back since.
    sent = {name for name, row in said.items() if row.state == "sent" or row.reference}
    doubtful = {name for name, row in said.items() if row.state == "doubtful"}
    # Of one whose worker died, or lost its lease, no words are kept: only that it may have left.
    doubtful |= {_message_id(row.key) for row in seen.steps if row.result == "doubtful"}
    for name, count in arrived.items():
        if count > 1:
            yield f"I3 {name} was sent {count} times"
        if name not in sent | doubtful:
            state = said[name].state if name in said else "nothing"
            yield f"I3 {name} arrived, and {state} is on record of it"
    for name in sent - arrived.keys():
        yield f"I3 {said[name].step_key} is on record as sent, and did not arrive"
    for mail in evidence.mails:
        row = said.get(_local(mail.id))
        if row is not None and row.template != "recovered":
            for name in {row.case_id, *spoken.get(row.step_key, ())}:
                yield from _after_the_end(seen.by_case[name], lines, row, mail)


def _after_the_end(
    case: CaseRow, lines: Mapping[str, Line], row: MessageRow, mail: Arrived
) -> Iterator[str]:
    line = lines.get(case.invoice)
    if line is None:
        return
    if mail.known is not None:
        why = line.stopped_at_place(mail.known)
        if why:
            yield f"I2 {row.step_key}: {row.template} spoke of {case.id} although it was {why}"
    elif row.state == "sent" and line.paid_at is not None and row.at > line.paid_at:
        yield f"I2 {row.step_key}: {row.template} spoke of {case.id} after the payment"


def _message_id(key: str) -> str:
    return key.replace("/", ".").replace(":", ".")


def _local(name: str) -> str:
    return name.strip("<>").rpartition("@")[0]


def _policies(session: Session) -> dict[str, Policy]:
    rows = session.scalars(select(PolicyRow))
    return {row.version: from_data(json.loads(row.body)) for row in rows}


def _two_a_day(session: Session, seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I3: nobody is written to twice on one day of theirs, whatever for."""
    policies = _policies(session)
    steps = {_message_id(row.key): row for row in seen.steps}
    counted: Counter[tuple[str, str, str]] = Counter()
    for mail in evidence.mails:
        step = steps.get(_local(mail.id))
        if step is None or mail.written is None:
            continue
        case = seen.by_case[step.case_id]
        facts = read_facts(case)
        known = facts.word("timezone"), facts.word("country")
        zone = zone_of(*known, policies[case.policy_version].timezone)
        written = mail.written.astimezone(zone).date()
        counted[case.source, case.customer or case.id, written.isoformat()] += 1
    for (_, customer, day), count in counted.items():
        if count > 1:
            yield f"I3 {customer} was written to {count} times on {day}"


def _told_elsewhere(seen: Seen, spoken: Mapping[str, list[str]]) -> Iterator[str]:
    """I3: what is not sent because another message said it was really said there."""
    # One that came back later had left all the same.
    left = {r.step_key for r in seen.messages if r.state in ("sent", "doubtful") or r.reference}
    left |= {row.key for row in seen.steps if row.result == "doubtful"}
    for case in seen.cases:
        for step in read_facts(case).done:
            if step.said_in is None:
                continue
            if step.said_in not in left or case.id not in spoken.get(step.said_in, ()):
                yield f"I3 {step.id} was left out for {step.said_in}, which did not say it"


def _unread(session: Session, seen: Seen, evidence: Evidence) -> Iterator[str]:
    """I6: no door opened before the customer could read the message that announced it."""
    policies = _policies(session)
    for row in seen.cases:
        case, policy = read_facts(row), policies[row.policy_version]
        for way in every_way(policy):
            doors = [line for line in way.lines if line.is_door]
            for line in way.lines:
                said = case.step(f"{row.id}/{namespace(case)}{line.name}")
                if not line.is_notice or said is None or not said.told:
                    continue
                for door in doors:
                    opened = case.step(f"{row.id}/{door.name}")
                    if opened is None or opened.result is not StepResult.DONE:
                        continue
                    between = min(timedelta(seconds=door.order - line.order), TO_READ)
                    after = opened.at - said.at
                    if door.order > line.order and timedelta(0) <= after < between - evidence.apart:
                        yield f"I6 {opened.id} came {after} after {said.id}, not {between}"
