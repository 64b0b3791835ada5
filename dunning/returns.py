"""Bounces and complaints, taken in: the message they are about, and what they say of its address.

So are texts that did not arrive, as their provider says.

Anybody may write a bounce. Only one that names our message, or comes from a service that proved who
it is, changes anything at once; one that only names a recipient counts like a letter that did not
arrive, and marks the address with the third in a row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote

import structlog
from sqlalchemy import select
from sqlmodel import Session, col

from dunning import addresses
from dunning.core.addresses import LONGEST, message_name, normalised
from dunning.core.returned import IN_A_ROW, Fate, Returned
from dunning.store import MessageRow, ReturnRow, guard, insert_into

log = structlog.get_logger(__name__)

# A server gives up after five days; a bounce that comes later is about something else.
RECENT = timedelta(days=10)
_LOOKED_AT = 10
_SHORTEST_NAME = 8  # of a server's own name for a message, to be looked for in its answer


@dataclass(frozen=True, slots=True)
class Taken:
    """What a report came to. `known`: it was taken in before, and nothing was done now."""

    known: bool
    fate: Fate
    address: str
    step_key: str | None = None
    proven: bool = False
    marked: bool = False


def take_receipt(session: Session, told: Returned, via: str, now: datetime) -> Taken:
    """The same of a text, by the name its provider gave it; its message may not be on record yet.

    Whoever is about to write that one down looks for this, behind the same guard.
    """
    guard(session, _names(told.message_ids))
    return take(session, told, via, now, early=True)


def keep(session: Session, message: MessageRow, now: datetime) -> None:
    """Write a message down; of a text its provider may have told before that it did not arrive."""
    session.add(message)
    if message.channel != "sms" or message.reference is None:
        return
    guard(session, _names((message.reference,)))
    query = select(ReturnRow).where(
        col(ReturnRow.address) == normalised(message.recipient),
        col(ReturnRow.message_id) == message.reference,
        col(ReturnRow.step_key).is_(None),
    )
    row = session.scalars(query.limit(1)).first()
    if row is not None:
        session.flush()
        row.step_key, row.proven = message.step_key, True
        session.add(row)
        session.flush()
        about = _About(message, proven=True)
        _judge(session, about, Fate(row.kind), row.why, row.address, now)


def _names(references: Sequence[str]) -> set[str]:
    return {f"text/{each}" for each in references}


@dataclass(frozen=True, slots=True)
class _About:
    """The message a report is about. `proven`: that message, and that recipient, for sure."""

    message: MessageRow | None
    proven: bool


def take(
    session: Session, told: Returned, via: str, now: datetime, *, early: bool = False
) -> Taken:
    """Take one report in, once; `early`: it is sure, and its message may not be on record yet."""
    about = _about(session, told, now)
    message = about.message
    ours = message.recipient if message is not None else next(iter(told.addresses), "")
    address = normalised(ours)
    fate = told.fate
    if fate is Fate.PERMANENT and not about.proven and not (early and message is None):
        fate = Fate.TEMPORARY
    key = message.step_key if message is not None else None
    values = {
        "key": told.key,
        "at": now,
        "kind": fate.value,
        "address": address,
        "status": told.status,
        "why": told.why,
        "via": via,
        "message_id": next(iter(told.message_ids), None),
        "step_key": key,
        "proven": about.proven,
    }
    new = insert_into(session, ReturnRow).values(**values).on_conflict_do_nothing()
    if session.execute(new.returning(col(ReturnRow.id))).first() is None:
        return Taken(True, fate, address, key, about.proven)
    marked = _judge(session, about, fate, told.why, address, now)
    what = "text" if message is not None and message.channel == "sms" else "mail"
    log.info(f"{what}.returned_{fate.value}", step=key, via=via, why=told.why)
    return Taken(False, fate, address, key, about.proven, marked)


def _judge(
    session: Session, about: _About, fate: Fate, why: str, address: str, now: datetime
) -> bool:
    """Write what it means down at the message and at the address; whether that is marked now."""
    message = about.message
    if message is None or fate is Fate.DELAYED:
        return False
    if about.proven:
        message.state = "complained" if fate is Fate.COMPLAINT else "bounced"
        message.why = why
        message.reference = message.reference or f"it came back: {why}"  # it had left, after all
        session.add(message)
        session.flush()
    key = message.step_key
    if fate is Fate.TEMPORARY:
        if _in_a_row(session, message, address) < IN_A_ROW:
            return False
        what = "texts" if message.channel == "sms" else "emails"
        why = f"{IN_A_ROW} {what} in a row did not arrive; the last: {why}"
    elif not about.proven:
        return False
    kind = "complaint" if fate is Fate.COMPLAINT else "bounce"
    return addresses.mark(session, address, kind=kind, why=why, now=now, reference=key)


# --- which message ---------------------------------------------------------------------------


def _about(session: Session, told: Returned, now: datetime) -> _About:
    named = _named(session, told.message_ids)
    if named is not None:
        given = {normalised(each) for each in told.addresses}
        # A copy for staff, or where the customer has it sent on to, says nothing of the customer.
        return _About(named, not given or normalised(named.recipient) in given)
    recent = _recent(session, told.addresses, now)
    for message in recent:
        if any(_in_answer(name, message.reference) for name in told.message_ids):
            return _About(message, proven=True)
    if not recent or (told.message_ids and not told.trusted):
        return _About(None, proven=False)  # it names a message, and that is none of ours
    return _About(recent[0], told.trusted)


def _named(session: Session, message_ids: Sequence[str]) -> MessageRow | None:
    """Our own Message-ID is made of the key of the step."""
    names = {unquote(each.rpartition("@")[0])[:LONGEST] for each in message_ids if "@" in each}
    cases = {name.partition(".")[0] for name in names}
    if not cases:
        return None
    query = select(MessageRow).where(col(MessageRow.case_id).in_(cases)).with_for_update()
    rows = session.scalars(query.order_by(col(MessageRow.step_key)))
    return next((row for row in rows if message_name(row.step_key) in names), None)


def _recent(session: Session, given: Sequence[str], now: datetime) -> Sequence[MessageRow]:
    """What was sent to one of these lately, newest first."""
    written = {form for each in given[:5] for form in (each, each.lower(), normalised(each))}
    if not written:
        return []
    query = (
        select(MessageRow)
        .where(col(MessageRow.recipient).in_(written), col(MessageRow.at) > now - RECENT)
        .order_by(col(MessageRow.at).desc())
        .limit(_LOOKED_AT)
    )
    return session.scalars(query).all()


def _in_answer(name: str, reference: str | None) -> bool:
    """Whether the mail server, when it took the message, gave it this name."""
    words = set(re.split(r"[\s<>;=]+", reference or ""))
    own = name.partition("@")[0]
    return len(own) >= _SHORTEST_NAME and (own in words or name in words)


def _in_a_row(session: Session, message: MessageRow, address: str) -> int:
    """How many emails to this address, one after the other, did not arrive."""
    cleared = addresses.last_cleared(session, address)
    query = select(col(MessageRow.step_key)).where(col(MessageRow.recipient) == message.recipient)
    if cleared is not None:
        query = query.where(col(MessageRow.at) > cleared)
    sent = session.scalars(query.order_by(col(MessageRow.at).desc()).limit(_LOOKED_AT)).all()
    lost = set(
        session.scalars(
            select(col(ReturnRow.step_key)).where(
                col(ReturnRow.step_key).in_(sent), col(ReturnRow.kind) == Fate.TEMPORARY.value
            )
        )
    )
    count = 0
    for key in sent:
        if key in lost:
            count += 1
        elif count:
            break  # one that arrived; those sent after the last bounce may still come back
    return count
